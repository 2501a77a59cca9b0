import hashlib

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import convert, dataset
from jetforge.jets.readers import open_reader, recognise
from jetforge.jets.readers.jetclass2_classes import CLASSES

uproot = pytest.importorskip("uproot")

from helpers.written import assert_same
from helpers.written.jetclass2 import write
from helpers.written.root_vectors import write_tree

EXAMPLE = "JetClassII_example.root"


@pytest.mark.parametrize("particles", ["reconstructed", "generated", "truth"])
@pytest.mark.parametrize(
    ("layout", "compression", "rows"),
    [("parquet", "zstd", 1 << 20), ("parquet", "snappy", 25), ("root", "zlib", 0), ("root", "lz4", 0)],
)
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, layout, compression, rows, particles):
    written = write(tmp_path, layout=layout, compression=compression, rows=rows, particles=particles)
    assert recognise(written.path) == "jetclass2"
    with open_reader(written.path, settings=written.settings) as reader:
        assert (reader.num_rows, reader.classes) == (60, CLASSES)
        jets = reader.read(0, 60)
        assert_same(jets, written)
        assert sum(reader.left_out.values()) == 60 - len(written.counts)
        assert list(reader.left_out) == {
            "reconstructed": [], "generated": ["no generated jet"], "truth": ["no particle of the hard process"],
        }[particles]  # fmt: skip
        row = written.fields.get("row", np.arange(60))
        for start, stop in ((7, 31), (31, 55), (59, 60), (20, 20), (0, 2)):
            assert_same(reader.read(start, stop), written, *np.searchsorted(row, (start, stop)))
    assert jets.columns["pz"].dtype == np.float64
    assert not any(name.startswith("jet_") for name in jets.columns)


def test_there_are_188_classes_with_the_published_numbers():
    assert len(CLASSES) == len(set(CLASSES)) == 188
    assert [CLASSES.index(name) for name in ("X_bb", "X_gg", "X_tauhtauh", "X_YY_bbbb", "X_YY_qqqq", "X_YY_gggg")] == [
        0, 9, 14, 15, 63, 77,
    ]  # fmt: skip
    assert [name.startswith("QCD_") for name in CLASSES] == [False] * 161 + [True] * 27
    # Of all the names, in order, joined with spaces.
    assert hashlib.sha256(" ".join(CLASSES).encode()).hexdigest() == (
        "c5dea3fd23b5ddb6c6d25499268e3d77f4e132660375700f35e888edaf88b6a1"
    )


def test_constituents_of_real_jets_add_up_to_their_pt(refs):
    path = refs / "formats" / EXAMPLE
    assert recognise(path) == "jetclass2"
    with open_reader(path) as reader:
        assert reader.num_rows == 100
        jets = reader.read(0, 100)
    jet = np.repeat(np.arange(100), np.diff(jets.offsets))
    px, py = (np.bincount(jet, jets.columns[name]) for name in ("px", "py"))
    # Each jet, not only in total; energy and eta do not: see the format's traps.
    np.testing.assert_allclose(np.hypot(px, py), jets["pt"], rtol=1e-6)
    np.testing.assert_allclose(np.arctan2(py, px), jets["phi"], atol=1e-5)
    assert np.diff(jets.offsets).tolist() == jets["nparticles"].tolist()
    flags = [jets.columns[f"is_{name}"] for name in ("electron", "muon", "photon", "charged_hadron", "neutral_hadron")]
    assert np.all(sum(flags) == 1)
    assert np.all((jets.columns["charge"] != 0) == (flags[0] + flags[1] + flags[3] == 1))
    eta = np.arcsinh(jets.columns["pz"] / np.hypot(jets.columns["px"], jets.columns["py"]))
    turned = np.sign(jets["eta"])[jet] * (eta - jets["eta"][jet])
    np.testing.assert_allclose(jets.columns["deta"], turned, atol=1e-5)
    resonant = jets.label < 161
    assert np.array_equal(jets["res_x_mass"] > 0, resonant)
    assert CLASSES[jets.label[0]] == "X_YY_see"
    assert np.all(jets["res_y1_mass"][resonant] < jets["res_x_mass"][resonant])


def test_generated_jets_of_the_example_add_up_too(refs):
    with open_reader(refs / "formats" / EXAMPLE, settings={"particles": "generated"}) as reader:
        jets = reader.read(0, 100)
        assert reader.left_out == {}
    jet = np.repeat(np.arange(100), np.diff(jets.offsets))
    px, py = (np.bincount(jet, jets.columns[name]) for name in ("px", "py"))
    np.testing.assert_allclose(np.hypot(px, py), jets["pt"], rtol=1e-6)
    assert abs(np.median(jets["reco_pt"] / jets["pt"]) - 1) < 0.1


def test_chosen_particles_of_the_example_add_up_to_their_resonance(refs):
    with open_reader(refs / "formats" / EXAMPLE, settings={"particles": "truth"}) as reader:
        jets = reader.read(0, 100)
    jet = np.repeat(np.arange(len(jets)), np.diff(jets.offsets))
    px, py, pz, energy = (np.bincount(jet, jets.columns[name]) for name in ("px", "py", "pz", "energy"))
    mass = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
    resonant = jets.label < 161
    assert resonant.sum() > 40
    ratio = mass[resonant] / jets["res_x_mass"][resonant]
    assert abs(np.median(ratio) - 1) < 1e-3
    # The list may lack a particle, as in one jet with a tau.
    assert np.all(np.abs(ratio - 1) < 0.05)
    np.testing.assert_allclose(np.hypot(px, py)[resonant], jets["res_x_pt"][resonant], rtol=0.1)
    taus = [i for i, label in enumerate(jets.label) if "tau" in CLASSES[label]]
    assert len(taus) > 3
    assert not np.any(np.abs(jets.columns["pid"][np.isin(jet, taus)]) == 15)


def test_the_example_is_converted(refs, tmp_path):
    convert.convert([refs / "formats" / EXAMPLE], tmp_path / "out", split="test", workers=0)
    made = dataset.open_dataset(tmp_path / "out")
    jets = made.read("test")
    assert (tuple(made.classes), len(jets)) == (CLASSES, 100)
    jet = np.repeat(np.arange(100), np.diff(jets.offsets))
    px, py = (np.bincount(jet, jets.columns[name]) for name in ("px", "py"))
    np.testing.assert_allclose(np.hypot(px, py), jets["pt"], rtol=5e-3)


def test_momenta_in_mev_become_gev(tmp_path):
    for particles in ("reconstructed", "generated", "truth"):
        written = write(tmp_path, particles=particles)
        with open_reader(written.path, settings={**written.settings, "unit": "MeV"}) as reader:
            jets = reader.read(0, 60)
        for name in ("px", "py", "pz", "energy"):
            np.testing.assert_allclose(jets.columns[name], written.columns[name] * 1e-3, rtol=1e-5)
        for name in ("pt", "sdmass", "res_x_mass", "res_y2_pt"):
            np.testing.assert_allclose(jets[name], written.fields[name] * 1e-3, rtol=1e-6)
        np.testing.assert_array_equal(jets["res_x_eta"], written.fields["res_x_eta"])


def changed(tmp_path, change, **variant):
    table = pq.read_table(write(tmp_path, **variant).path)
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    change(columns)
    path = tmp_path / "changed.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_a_file_without_generator_level_is_read(tmp_path):
    def slim(columns):
        for name in list(columns):
            if "gen" in name:
                del columns[name]

    written = write(tmp_path)
    path = changed(tmp_path, slim)
    assert recognise(path) == "jetclass2"
    with open_reader(path) as reader:
        jets = reader.read(0, 60)
    assert not any("gen" in name or "res_" in name for name in jets.fields)
    np.testing.assert_array_equal(jets.columns["px"], written.columns["px"])
    for particles in ("generated", "truth"):
        with pytest.raises(DataError, match=f"it has no .*genpart_.*: no particles={particles}"):
            open_reader(path, settings={"particles": particles})
    with pytest.raises(JetforgeError, match="it must be one of reconstructed, generated, truth"):
        open_reader(path, settings={"particles": "all"})


def set_value(name, row, value):
    def change(columns):
        values = columns[name].to_pylist()
        if isinstance(values[row], list):
            values[row][0] = value
        else:
            values[row] = value
        columns[name] = pa.array(values, columns[name].type if not isinstance(value, float) else None)

    return change


@pytest.mark.parametrize(
    ("change", "particles", "message"),
    [
        (set_value("jet_label", 33, 188), "reconstructed", "row 33: jet_label is 188, none of the 188 classes"),
        (set_value("jet_label", 33, -1), "truth", "row 33: jet_label is -1, none"),
        (set_value("jet_label", 33, float("nan")), "generated", "row 33: jet_label is nan, none"),
        (set_value("jet_label", 33, 7.5), "generated", "row 33: jet_label is 7.5, none"),
        (set_value("jet_nparticles", 33, 500), "reconstructed", "row 33: .* jet_nparticles says 500: damaged"),
        (set_value("genjet_nparticles", 33, 500), "generated", "row 33: .* genjet_nparticles says 500: damaged"),
        (set_value("genjet_nparticles", 35, 1), "generated", "row 35: 0 constituents, genjet_nparticles says 1"),
        (set_value("jet_pt", 33, 5000.0), "reconstructed", "row 33: .* of pT 5000 GeV .jet_pt. add up to 5"),
        (set_value("genjet_pt", 33, 5000.0), "generated", "row 33: .* of pT 5000 GeV .genjet_pt. add up to 5"),
        (set_value("genjet_pt", 35, 500.0), "generated", "row 35: .* of pT 500 GeV .genjet_pt. add up to 0"),
        (set_value("genpart_px", 33, float("inf")), "generated", "row 33: .* add up to inf GeV"),
        (lambda columns: columns.pop("genjet_pt"), "generated", "it has genpart_.*, and no genjet_pt"),
        (lambda columns: columns.pop("aux_genpart_mass"), "truth", "no column aux_genpart_mass"),
        (lambda columns: columns.pop("aux_genpart_isResY"), "truth", "no column aux_genpart_isResY"),
        (set_value("aux_genpart_pt", 30, -5.0), "truth", "row 3.: aux_genpart_pt is -5.0, and with its eta"),
        (set_value("aux_genpart_eta", 30, float("nan")), "truth", "row 3.: aux_genpart_pt is .*no momentum"),
        (lambda columns: columns.update(part_px=columns["genpart_px"]), "reconstructed",
         "row 0: 'part_py' has 150 values, 'part_px' 0: damaged"),
        (lambda columns: columns.update(aux_genpart_isResX=columns["part_isMuon"]), "reconstructed",
         "row 0: 'aux_genpart_isResX' has 150 values, 'aux_genpart_pt' .*: damaged"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_with_its_row(tmp_path, change, particles, message):
    path = changed(tmp_path, change)
    with open_reader(path, "jetclass2", {"particles": particles}) as reader:
        with pytest.raises(DataError, match=message) as raised:
            reader.read(0, 60)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)
        if "row 3" in message:
            with pytest.raises(DataError, match=message):
                reader.read(30, 40)


def test_a_file_without_labels_is_not_of_this_format(tmp_path):
    path = changed(tmp_path, lambda columns: columns.pop("jet_label"))
    with pytest.raises(DataError, match="of none of the known formats"):
        recognise(path)
    with pytest.raises(DataError, match="no column jet_label"):
        open_reader(path, "jetclass2")


def test_flags_of_root_that_are_neither_true_nor_false_are_refused(tmp_path):
    written = write(tmp_path, layout="root")
    with uproot.open(written.path) as file:
        arrays = {branch.name: branch.array() for branch in file["tree"].branches}
    flat = ak.to_numpy(ak.flatten(arrays["part_isMuon"])).copy()
    flat.view(np.uint8)[200] = 2
    arrays["part_isMuon"] = ak.unflatten(flat, ak.num(arrays["part_isMuon"]))
    plain = {name: array if array.ndim == 2 else ak.to_numpy(array) for name, array in arrays.items()}
    path = write_tree(tmp_path / "changed.root", "tree", plain, compression=uproot.ZLIB(1))
    row = int(np.searchsorted(np.cumsum(written.counts), 200, side="right"))
    with open_reader(path) as reader, pytest.raises(DataError, match=f"row {row}: part_isMuon is 2, neither 0 nor 1"):
        reader.read(0, 60)


@pytest.mark.parametrize("layout", ["root", "parquet"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_file_is_refused(tmp_path, layout, share):
    data = write(tmp_path, layout=layout, compression="zstd").path.read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=str(path)), open_reader(path, "jetclass2") as reader:
        reader.read(0, reader.num_rows)
