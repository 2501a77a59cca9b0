import h5py
import numpy as np
import pytest
from helpers.written import assert_same
from helpers.written.jetnet import write

from jetforge.errors import DataError
from jetforge.jets.readers import open_reader, recognise
from jetforge.jets.readers.contents import look_into
from jetforge.jets.readers.jetnet import JetNetReader

VARIANTS = {
    "30 particles": {},
    "150 particles": {"length": 150},
    "stored again with gzip": {"compression": "gzip", "chunks": (7, 30, 4)},
    "doubles": {"dtype": "f8"},
    "of the other byte order": {"dtype": ">f4"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, variant):
    written = write(tmp_path, **VARIANTS[variant])
    assert recognise(written.path) == "jetnet"
    with open_reader(written.path) as reader:
        assert (reader.num_rows, reader.classes) == (60, ())
        jets = reader.read(0, 60)
        assert_same(jets, written)
        for start, stop in ((7, 31), (59, 60), (20, 20), (0, 0)):
            assert_same(reader.read(start, stop), written, start, stop)
    for name in ("etarel", "phirel", "ptrel"):
        np.testing.assert_array_equal(jets.columns[name], written.columns[name])
    assert jets["num_particles"].dtype == np.int64
    # The sum of the stored particles of a jet that lost none has its pT, up to its width.
    sums = np.add.reduceat(jets.columns["px"], jets.offsets[:-1])
    assert (sums < 1.001 * jets["pt"]).all()


def test_many_steps_give_the_same_as_one(tmp_path, monkeypatch):
    written = write(tmp_path)
    monkeypatch.setattr("jetforge.jets.readers.jetnet._ROWS_AT_ONCE", 7)
    with open_reader(written.path) as reader:
        assert_same(reader.read(3, 60), written, 3, 60)


def test_jets_in_mev_become_gev(tmp_path):
    written = write(tmp_path)
    with h5py.File(written.path, "r+") as file:
        file["jet_features"][:, [0, 2]] *= 1000
    with open_reader(written.path, settings={"unit": "MeV"}) as reader:
        assert_same(reader.read(0, 60), written)


def test_other_hdf5_is_not_taken_for_jetnet(tmp_path):
    for features, jets in (((5, 30, 3), (5, 4)), ((5, 30, 4), (5, 5)), ((5, 120), (5, 4))):
        path = tmp_path / "other.h5"
        with h5py.File(path, "w") as file:
            file["particle_features"], file["jet_features"] = np.zeros(features), np.zeros(jets)
        assert not JetNetReader.recognises(look_into(path))


@pytest.mark.parametrize(
    ("dataset", "place", "value", "message"),
    [
        ("particle_features", (4, 0, 3), 0.0, r"row 4: num_particles is \d+, the mask has \d+ of at most 30: damaged"),
        ("particle_features", (4, 29), (0.1, 0.1, 0.1, 1.0), "row 4: num_particles is"),
        ("particle_features", (4, 0, 3), 0.5, "row 4: the mask of a particle is neither 0 nor 1"),
        ("particle_features", (4, 0, 3), np.nan, "row 4: the mask of a particle is neither 0 nor 1"),
        ("particle_features", (4, 0, 0), np.nan, "row 4: particle 0 has etarel nan"),
        ("particle_features", (4, 0, 1), np.inf, "row 4: particle 0 has .*phirel inf"),
        ("particle_features", (4, 0, 2), -0.1, "row 4: particle 0 has .*ptrel -0.1: no particle of a jet"),
        ("particle_features", (4, 0, 2), 0.0, "row 4: particle 0 has .*ptrel 0: no particle of a jet"),
        ("particle_features", (4, 0, 2), 900.0, "row 4: particle 0 has .*ptrel 900"),
        ("jet_features", (4, 0), np.nan, "row 4: the jet has pt nan, eta"),
        ("jet_features", (4, 0), 0.0, "row 4: the jet has pt 0, eta"),
        ("jet_features", (4, 1), 1e4, "row 4: the jet has .*eta 10000"),
        ("jet_features", (4, 2), np.inf, "row 4: the jet has .*mass inf"),
        ("jet_features", (4, 3), 31.0, "row 4: num_particles is 31, the mask has"),
        ("jet_features", (4, 3), 2.5, "row 4: num_particles is 2.5, the mask has"),
    ],
)
def test_strange_numbers_are_refused_with_their_row(tmp_path, dataset, place, value, message):
    written = write(tmp_path)
    with h5py.File(written.path, "r+") as file:
        file[dataset][place] = value
    with open_reader(written.path) as reader:
        assert_same(reader.read(0, 4), written, 0, 4)
        assert_same(reader.read(5, 60), written, 5, 60)
        for start, stop in ((0, 60), (4, 5)):
            with pytest.raises(DataError, match=message) as raised:
                reader.read(start, stop)
            assert str(written.path) in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jet_features": np.zeros((3, 4))}, "'jet_features' is 3 rows of float64; 'particle_features' has 5"),
        ({"jet_features": np.zeros((5, 4), dtype="i4")}, "'jet_features' is 5 rows of int32"),
        ({"jet_features": np.zeros((5, 4), dtype="f2")}, "float16; .* both should be float32 or float64"),
        ({"jet_features": np.zeros((5, 5))}, "rows of 'jet_features' have the shape"),
        ({"particle_features": np.zeros((5, 30, 3))}, "rows of 'particle_features' have the shape"),
        ({"particle_features": np.zeros((5, 30, 4), dtype="S3")}, r"'particle_features' is 5 rows of \|S3"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(tmp_path, change, message):
    path = tmp_path / "wrong.h5"
    with h5py.File(path, "w") as file:
        for name, values in (
            {"particle_features": np.zeros((5, 30, 4)), "jet_features": np.zeros((5, 4))} | change
        ).items():
            file[name] = values
    with pytest.raises(DataError, match=message):
        open_reader(path, "jetnet")


@pytest.mark.parametrize("share", [0.3, 0.97])
@pytest.mark.parametrize("storage", [{}, {"compression": "gzip"}])
def test_a_cut_file_is_refused(tmp_path, share, storage):
    path = write(tmp_path, **storage).path
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"cut|whole"), open_reader(path, "jetnet") as reader:
        reader.read(0, reader.num_rows)
