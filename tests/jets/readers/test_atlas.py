import gzip
import itertools
import math
import shutil

import h5py
import numpy as np
import pytest
from helpers.written import assert_same, stated
from helpers.written.atlas import LENGTH, write

from jetforge.errors import DataError
from jetforge.jets.readers import open_reader, recognise

VARIANTS = {
    "to train, new record": {},
    "to train, old record": {"record": 15013},
    "to test, new record": {"kind": "test"},
    "to test, old record": {"record": 15013, "kind": "test"},
    "varied": {"kind": "varied"},
    "not compressed": {"compression": None},
    "without labels": {"labelled": False},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, variant):
    written = write(tmp_path, **VARIANTS[variant])
    assert recognise(written.path) == "atlas"
    with open_reader(written.path) as reader:
        assert (reader.num_rows, reader.classes) == (40, () if "without" in variant else ("qcd", "top"))
        jets = reader.read(0, 40)
        assert_same(jets, written)
        assert set(jets.fields) == set(written.fields)
        assert set(jets.columns) == set(written.columns)
        for start, stop in ((7, 31), (31, 32), (39, 40), (0, 3), (20, 20), (40, 40)):
            assert_same(reader.read(start, stop), written, start, stop)
    assert all(jets.columns[name].dtype == np.float64 for name in ("px", "py", "pz", "energy"))


@pytest.mark.parametrize(("kind", "split"), [("train", "train"), ("test", "test"), ("varied", "test")])
def test_numbers_of_events_say_the_split(tmp_path, kind, split):
    with open_reader(write(tmp_path, kind=kind).path) as reader:
        assert stated(reader, reader.read(0, 40)) == {split}
        assert stated(reader, reader.read(3, 3)) == set()
    with open_reader(write(tmp_path, kind=kind, record=15013).path) as reader:
        assert stated(reader, reader.read(0, 40)) is None


@pytest.mark.parametrize("chunk", [1, 3, 7, 50])
def test_many_steps_give_the_same_as_one(tmp_path, monkeypatch, chunk):
    written = write(tmp_path, num=50)
    with h5py.File(written.path, "r+") as file:
        pt = file["fjet_clus_pt"][:]
        del file["fjet_clus_pt"]
        file.create_dataset("fjet_clus_pt", data=pt, chunks=(chunk, LENGTH))
    monkeypatch.setattr("jetforge.jets.readers.atlas._ROWS_AT_ONCE", 8)
    with open_reader(written.path) as reader:
        assert_same(reader.read(5, 47), written, 5, 47)
        assert_same(reader.read(0, 50), written)


def test_momenta_in_gev_are_read_as_such(tmp_path):
    written = write(tmp_path)
    powers = {"pt": 1, "E": 1, "m": 1, "Qw": 1, "Split12": 1, "Split23": 1, "ECF1": 1, "ECF2": 2, "ECF3": 3}
    with h5py.File(written.path, "r+") as file:
        for name, values in file.items():
            values[...] = values[...] / 1000.0 ** powers.get(name.removeprefix("fjet_").removeprefix("clus_"), 0)
    with open_reader(written.path, settings={"unit": "GeV"}) as reader:
        assert_same(reader.read(0, 40), written)


def change(written, name, where, value):
    with h5py.File(written.path, "r+") as file:
        file[name][where] = value


def test_constituents_behind_padding_are_found(tmp_path):
    """Varied files drop constituents after their order was found."""
    written = write(tmp_path)
    with h5py.File(written.path, "r+") as file:
        for name in ("pt", "eta", "phi", "E", "taste"):
            file[f"fjet_clus_{name}"][:] = np.roll(file[f"fjet_clus_{name}"][:], 5, axis=1)
    with open_reader(written.path) as reader:
        jets = reader.read(1, 40)
    assert_same(jets, written, 1, 40)


def test_the_papers_selection_leaves_out_what_it_says(tmp_path):
    written = write(tmp_path)
    change(written, "fjet_m", 7, 39_999.0)
    change(written, "fjet_m", 1, 39_999.0)
    change(written, "fjet_clus_pt", (9, 2), 99.9)
    for name in ("pt", "E", "eta", "phi"):
        change(written, f"fjet_clus_{name}", 12, 0.0)
    with (
        open_reader(written.path) as reader,
        pytest.raises(DataError, match=r"row 12: no constituents.*selection=paper"),
    ):
        reader.read(0, 40)
    with open_reader(written.path, settings={"selection": "paper"}) as reader:
        jets = reader.read(0, 40)
        assert reader.left_out == {"fewer than 3 constituents": 3, "m <= 40 GeV": 1}
        kept = np.setdiff1d(np.arange(40), (1, 2, 7, 12))
        np.testing.assert_array_equal(jets["event_number"], written.fields["event_number"][kept])
        counts = written.counts.copy()
        counts[9] -= 1
        assert np.diff(jets.offsets).tolist() == counts[kept].tolist()
        reader.read(20, 40)
        assert sum(reader.left_out.values()) == 0


def test_the_first_constituents_are_kept_when_asked(tmp_path):
    written = write(tmp_path)
    with open_reader(written.path, settings={"leading": 5}) as reader:
        jets = reader.read(0, 40)
    assert np.diff(jets.offsets).tolist() == np.minimum(written.counts, 5).tolist()
    first = np.concatenate([[0], np.cumsum(written.counts)])[:-1]
    np.testing.assert_allclose(jets.columns["px"][jets.offsets[:-1]], written.columns["px"][first], rtol=1e-6)
    with pytest.raises(DataError, match="leading=-3"):
        open_reader(written.path, settings={"leading": -3})


def test_the_hardest_constituents_are_kept_from_files_out_of_order(tmp_path):
    """Varied files have constituents in any order, with padding among them."""
    written = write(tmp_path, kind="varied")
    order = np.random.default_rng(5).permuted(np.tile(np.arange(LENGTH), (40, 1)), axis=1)
    with h5py.File(written.path, "r+") as file:
        for name in ("pt", "eta", "phi", "E", "taste"):
            file[f"fjet_clus_{name}"][:] = np.take_along_axis(file[f"fjet_clus_{name}"][:], order, axis=1)
    with open_reader(written.path, settings={"leading": 5}) as reader:
        jets = reader.read(0, 40)
    first = np.concatenate([[0], np.cumsum(written.counts)])
    wanted = np.concatenate([np.arange(low, min(low + 5, high)) for low, high in itertools.pairwise(first)])
    assert np.diff(jets.offsets).tolist() == np.minimum(written.counts, 5).tolist()
    for name in ("px", "energy", "taste"):
        np.testing.assert_allclose(jets.columns[name], written.columns[name][wanted], rtol=1e-6)


def test_constituents_of_equal_pt_keep_their_order(tmp_path):
    written = write(tmp_path)
    change(written, "fjet_clus_pt", slice(None), np.where(np.arange(LENGTH) < written.counts[:, None], 9e3, 0))
    with open_reader(written.path, settings={"leading": 3}) as reader:
        jets = reader.read(0, 1)
    np.testing.assert_array_equal(jets.columns["taste"], written.columns["taste"][:3])


def test_the_papers_selection_counts_all_constituents(tmp_path):
    written = write(tmp_path)
    left_out = []
    for leading in (0, 2):
        with open_reader(written.path, settings={"selection": "paper", "leading": leading}) as reader:
            jets = reader.read(0, 40)
            left_out.append((len(jets), reader.left_out))
    assert left_out[0] == left_out[1]
    assert left_out[0][0] == 38
    assert np.all(np.diff(jets.offsets) == 2)


@pytest.mark.parametrize("leading", [0, 20])
def test_the_papers_preprocessing_centres_turns_and_mirrors(tmp_path, leading):
    written = write(tmp_path)
    with open_reader(written.path, settings={"preprocessing": "paper", "leading": leading}) as reader:
        jets = reader.read(0, 40)
    if not leading:
        assert_same(jets, written)
    momenta = np.stack([jets.columns[name] for name in ("px", "py", "pz", "energy")])
    for low, high in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        px, py, pz, energy = momenta[:, low:high]
        pt = np.hypot(px, py)
        # As complex numbers, a rotation is a product with a number of length 1.
        place = np.arcsinh(pz / pt) + 1j * np.arctan2(py, px)
        place -= place[0]
        place = place.real + 1j * np.array([math.remainder(y, 2 * math.pi) for y in place.imag])
        if len(place) > 1:
            place *= -1j * abs(place[1]) / place[1]
        if len(place) > 2 and place[2].real < 0:
            place = -place.conjugate()
        wanted = {
            "rotated_eta": place.real, "rotated_phi": place.imag, "delta_r": abs(place), "log_pt": np.log(1000 * pt),
            "log_energy": np.log(1000 * energy), "log_pt_fraction": np.log(pt / pt.sum()),
            "log_energy_fraction": np.log(energy / energy.sum()),
        }  # fmt: skip
        for name, values in wanted.items():
            np.testing.assert_allclose(jets.columns[name][low:high], values, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("unit", ["MeV", "GeV"])
def test_logarithms_are_of_mev_whatever_the_file_is_in(tmp_path, unit):
    written = write(tmp_path)
    settings = {"unit": unit, "preprocessing": "paper"}
    if unit == "GeV":
        with h5py.File(written.path, "r+") as file:
            for name in ("fjet_clus_pt", "fjet_clus_E", "fjet_pt"):
                file[name][...] = file[name][...] / 1000
    with open_reader(written.path, settings=settings) as reader:
        jets = reader.read(0, 40)
    np.testing.assert_allclose(jets.columns["log_energy"], np.log(1000 * written.columns["energy"]), rtol=1e-5)


def test_negative_energies_of_varied_files_are_refused_or_dropped(tmp_path):
    written = write(tmp_path, kind="varied")
    for name in ("pt", "E"):
        change(written, f"fjet_clus_{name}", (0, 3), -1.5)
    with open_reader(written.path) as reader:
        with pytest.raises(DataError, match=r"row 0: a constituent has a negative pT or energy.*negative=drop"):
            reader.read(0, 3)
        reader.read(1, 40)
    with open_reader(written.path, settings={"negative": "drop"}) as reader:
        jets = reader.read(0, 40)
    assert np.diff(jets.offsets).tolist() == [LENGTH - 1, *written.counts[1:]]


@pytest.mark.parametrize(
    ("name", "where", "value", "message"),
    [
        ("fjet_clus_pt", (8, 1), 0.0, "row 8: of a constituent either pT or energy is zero, but not both"),
        ("fjet_clus_E", (8, 1), 0.0, "row 8: of a constituent either pT or energy is zero, but not both"),
        ("fjet_clus_E", (8, 199), 7.0, "row 8: of a constituent either pT or energy is zero, but not both"),
        ("fjet_clus_pt", (8, 1), np.nan, "row 8: pT, eta, phi or energy of a constituent is not a finite number"),
        ("fjet_clus_E", (8, 1), np.inf, "row 8: pT, eta, phi or energy of a constituent is not a finite number"),
        ("fjet_clus_phi", (8, 1), np.nan, "row 8: pT, eta, phi or energy of a constituent is not a finite number"),
        ("fjet_clus_eta", (8, 1), np.nan, r"row 8: .*\|eta\| is above 20"),
        ("fjet_clus_eta", (8, 1), -800.0, r"row 8: .*\|eta\| is above 20"),
        ("fjet_clus_pt", (8, 1), 1e12, "row 8: the constituents of a jet of pT .* GeV add up to"),
        ("fjet_pt", 8, 1.0, "row 8: the constituents of a jet of pT 0.001 GeV add up to"),
        ("fjet_pt", 8, np.nan, "row 8: the constituents of a jet of pT nan"),
        ("fjet_clus_taste", (8, 1), 3, "row 8: fjet_clus_taste is 3, none of 0, 1 and 2"),
        ("fjet_clus_taste", (8, 1), -1, "row 8: fjet_clus_taste is -1, none of 0, 1 and 2"),
        ("labels", 8, 2, "row 8: labels is 2, neither 0 nor 1"),
        ("labels", 8, -1, "row 8: labels is -1, neither 0 nor 1"),
        ("training_weights", 8, np.nan, "row 8: training_weights is nan, not a finite number"),
        ("training_weights", 8, -np.inf, "row 8: training_weights is -inf, not a finite number"),
    ],
)
def test_strange_numbers_are_refused_with_their_row(tmp_path, name, where, value, message):
    written = write(tmp_path)
    change(written, name, where, value)
    with open_reader(written.path) as reader:
        reader.read(0, 8)
        reader.read(9, 40)
        for start in (0, 8):
            with pytest.raises(DataError, match=message) as raised:
                reader.read(start, 40)
            assert str(written.path) in str(raised.value)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("fjet_clus_E", np.ones((39, LENGTH)), "'fjet_clus_E' is 39 rows of float64; 'fjet_clus_pt' has 40"),
        ("fjet_clus_E", np.ones((40, 100)), r"'fjet_clus_E' has the shape \(40, 100\), 'fjet_clus_pt' \(40, 200\)"),
        ("fjet_clus_E", np.ones(40), "rows of 'fjet_clus_E' have the shape"),
        ("fjet_clus_eta", np.full((40, LENGTH), b"x"), "'fjet_clus_eta' is 40 rows of .S1"),
        ("labels", np.zeros(41), "'labels' is 41 rows"),
        ("labels", np.zeros((40, 2)), "rows of 'labels' have the shape"),
        ("training_weights", np.zeros(3), "'training_weights' is 3 rows"),
        ("fjet_pt", np.full(40, "x", dtype=object), "'fjet_pt' is of type object"),
        ("EventInfo_mcEventWeights", np.zeros(40), "rows of 'EventInfo_mcEventWeights' have the shape"),
    ],
)
def test_datasets_that_do_not_fit_are_refused(tmp_path, name, values, message):
    path = write(tmp_path).path
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values
    with pytest.raises(DataError, match=message):
        open_reader(path, "atlas")


def test_a_missing_dataset_is_named(tmp_path):
    path = write(tmp_path).path
    with h5py.File(path, "r+") as file:
        del file["fjet_clus_phi"]
    with pytest.raises(DataError, match="none of the known formats"):
        recognise(path)
    with pytest.raises(DataError, match="'fjet_clus_phi' cannot be read"):
        open_reader(path, "atlas")


def test_a_gzipped_file_is_refused_with_the_cure(tmp_path):
    path = write(tmp_path).path
    zipped = tmp_path / "train_nominal_000.h5.gz"
    with path.open("rb") as source, gzip.open(zipped, "wb") as target:
        shutil.copyfileobj(source, target)
    for name in (None, "atlas"):
        with pytest.raises(DataError, match=f"gunzip {zipped}"):
            open_reader(zipped, name)


@pytest.mark.parametrize("compression", ["gzip", None])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_cut_file_is_refused(tmp_path, compression, share):
    data = write(tmp_path, compression=compression).path.read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match="copy it again"), open_reader(path, "atlas") as reader:
        reader.read(0, reader.num_rows)
