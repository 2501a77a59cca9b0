import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jetforge.errors import DataError
from jetforge.jets import convert, dataset
from jetforge.jets.readers import open_reader, recognise

uproot = pytest.importorskip("uproot")

from helpers.written import assert_same
from helpers.written.jetclass import LABELS, write
from helpers.written.root_vectors import write_tree


def columns_of(path):
    with uproot.open(path) as file:
        return {branch.name: branch.array() for branch in file["tree"].branches}


def rewritten(tmp_path, change):
    arrays = columns_of(write(tmp_path).path)
    change(arrays)
    plain = {name: array if array.ndim == 2 else ak.to_numpy(array) for name, array in arrays.items()}
    return write_tree(tmp_path / "changed.root", "tree", plain, compression=uproot.LZ4(4))


@pytest.mark.parametrize(
    ("layout", "compression"),
    [("root", "lz4"), ("root", "zlib"), ("root", "zstd"), ("root", "none"), ("leaves", "lz4"), ("parquet", "zstd"),
     ("parquet", "snappy")],
)  # fmt: skip
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, layout, compression):
    written = write(tmp_path, layout=layout, compression=compression)
    assert recognise(written.path) == "jetclass"
    with open_reader(written.path) as reader:
        assert (reader.num_rows, reader.classes) == (60, LABELS)
        assert_same(reader.read(0, 60), written)
        for start, stop in ((7, 31), (31, 55), (59, 60), (30, 30), (0, 1)):
            assert_same(reader.read(start, stop), written, start, stop)
        jets = reader.read(0, 60)
    assert jets.columns["px"].dtype == np.float64
    assert jets.columns["charge"].dtype == np.float32
    assert jets.columns["is_photon"].dtype == np.int8
    assert jets.fields["nparticles"].dtype == jets.fields["genpart_pid"].dtype == np.int32
    assert jets.fields["pt"].dtype == np.float32


def test_deta_is_as_stored_turned_round_for_jets_of_negative_eta(tmp_path):
    with open_reader(write(tmp_path).path) as reader:
        jets = reader.read(0, 60)
    jet = np.repeat(np.arange(60), np.diff(jets.offsets))
    px, py, pz = (jets.columns[name] for name in ("px", "py", "pz"))
    away = np.arcsinh(pz / np.hypot(px, py)) - jets["eta"][jet]
    np.testing.assert_allclose(jets.columns["deta"], np.sign(jets["eta"][jet]) * away, atol=1e-5)


def test_momenta_in_mev_become_gev(tmp_path):
    written = write(tmp_path)
    with open_reader(written.path, settings={"unit": "MeV"}) as reader:
        jets = reader.read(0, 60)
    for name in ("px", "py", "pz", "energy"):
        np.testing.assert_allclose(jets.columns[name], written.columns[name] * 1e-3, rtol=1e-6)
    for name in ("pt", "energy", "sdmass", "genpart_pt"):
        np.testing.assert_allclose(jets[name], written.fields[name] * 1e-3, rtol=1e-6)
    for name in ("eta", "tau1", "genpart_phi"):
        np.testing.assert_array_equal(jets[name], written.fields[name])
    np.testing.assert_array_equal(jets.columns["d0"], written.columns["d0"])


def test_momenta_that_a_skim_repeats_are_not_read_and_other_columns_are(tmp_path):
    def more(arrays):
        arrays["part_pt"] = np.hypot(arrays["part_px"], arrays["part_py"])
        arrays["part_pid"] = ak.values_astype(arrays["part_charge"] * 211, np.float32)
        arrays["jet_tau42"] = arrays["jet_tau4"] / arrays["jet_tau2"]

    with open_reader(rewritten(tmp_path, more)) as reader:
        jets = reader.read(0, 60)
    assert "pt" not in jets.columns
    assert jets.columns["pid"].dtype == np.int32
    np.testing.assert_allclose(jets["tau42"], jets["tau4"] / jets["tau2"], rtol=1e-5)


def set_value(name, row, value):
    def change(arrays):
        array = arrays[name]
        flat = np.array(ak.flatten(array) if array.ndim == 2 else array)
        flat = flat.astype(np.float32) if isinstance(value, float) else flat
        place = int(ak.sum(ak.num(array)[:row])) if array.ndim == 2 else row
        flat[place] = value
        arrays[name] = ak.unflatten(flat, ak.num(array)) if array.ndim == 2 else flat

    return change


def both(*changes):
    def change(arrays):
        for one in changes:
            one(arrays)

    return change


def no_label(arrays):
    for name in LABELS:
        set_value(f"label_{name}", 31, 0)(arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_label, "row 31: exactly one label_.* must be 1, the others 0, but they are all 0"),
        (both(no_label, set_value("label_Hbb", 31, 1), set_value("label_Tbl", 31, 1)),
         "row 31: exactly one .* they are Hbb 1, Tbl 1"),
        (set_value("label_QCD", 40, 0.5), "row 40: exactly one .*QCD 0.5"),
        (set_value("label_QCD", 40, np.nan), "row 40: exactly one .*QCD nan"),
        (set_value("label_Tbl", 40, 2), "row 40: exactly one .*Tbl 2"),
        (set_value("jet_nparticles", 33, 300.0), "row 33: .* constituents, jet_nparticles says 300: damaged"),
        (set_value("jet_nparticles", 33, 7.5), "row 33: jet_nparticles is 7.5, no whole number"),
        (set_value("jet_nparticles", 33, np.nan), "row 33: jet_nparticles is nan, no whole number"),
        (set_value("aux_genpart_pid", 33, np.inf), "row 33: aux_genpart_pid is inf"),
        (set_value("jet_pt", 33, 5000.0), "row 33: the constituents of a jet of pT 5000 GeV .jet_pt. add up to 5"),
        (set_value("jet_pt", 33, np.nan), "row 33: the constituents of a jet of pT nan"),
        (set_value("part_px", 33, np.nan), "row 33: the constituents .* add up to nan GeV"),
        (set_value("part_isMuon", 33, 2), "row 33: part_isMuon is 2, neither 0 nor 1"),
        (set_value("part_isMuon", 33, -1), "row 33: part_isMuon is -1, neither 0 nor 1"),
        (lambda arrays: arrays.update(part_charge=arrays["part_charge"][:, :-1]),
         "row 0: 'part_charge' has 149 values, 'part_px' 150: damaged"),
        (lambda arrays: arrays.update(part_deta=ak.to_numpy(arrays["jet_eta"])), "'part_deta' is not a list"),
        (lambda arrays: arrays.update(jet_tau1=arrays["part_px"]), "'jet_tau1' is not one number a jet"),
        (lambda arrays: arrays.update(label_Hcc=arrays["part_px"]), "'label_Hcc' is not one number a jet"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_with_its_row(tmp_path, change, message):
    path = rewritten(tmp_path, change)
    assert recognise(path) == "jetclass"
    with open_reader(path) as reader:
        for start in (0, 30 if "row 0" not in message else 0):
            with pytest.raises(DataError, match=message) as raised:
                reader.read(start, 60)
            assert str(path) in str(raised.value)
            assert "\n" not in str(raised.value)


def test_a_file_without_all_labels_is_not_of_this_format(tmp_path):
    path = rewritten(tmp_path, lambda arrays: arrays.pop("label_Hgg"))
    with pytest.raises(DataError, match="of none of the known formats"):
        recognise(path)
    with pytest.raises(DataError, match="no column label_Hgg"):
        open_reader(path, "jetclass")


@pytest.mark.parametrize("layout", ["root", "parquet"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_file_is_refused(tmp_path, layout, share):
    data = write(tmp_path, layout=layout).path.read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=str(path)), open_reader(path, "jetclass") as reader:
        reader.read(0, reader.num_rows)


@pytest.mark.parametrize("place", [0, 4, 6, 9])
def test_vectors_that_contradict_their_headers_are_refused(tmp_path, place):
    written = write(tmp_path, compression="none")
    data = bytearray(written.path.read_bytes())
    header = (0x40000000 + 150 * 4 + 6).to_bytes(4, "big") + bytes([0, 9]) + (150).to_bytes(4, "big")
    data[data.index(header) + place] ^= 1
    written.path.write_bytes(data)
    with open_reader(written.path) as reader:
        if place == 4:  # the version of the class, of which there is only one
            assert_same(reader.read(0, 60), written)
        else:
            with pytest.raises(DataError, match="entry 0 of a basket is not as long as it says"):
                reader.read(0, 60)


def test_parquet_is_read_on_over_row_groups_or_anew(tmp_path):
    written = write(tmp_path, layout="parquet")
    table = pq.read_table(written.path)
    pq.write_table(table, written.path, row_group_size=25)
    with open_reader(written.path) as reader:
        for start, stop in ((0, 3), (3, 3), (3, 30), (30, 31), (40, 60), (0, 60), (55, 60), (0, 26), (51, 52)):
            assert_same(reader.read(start, stop), written, start, stop)


def in_parquet(tmp_path, change):
    table = pq.read_table(write(tmp_path, layout="parquet").path)
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    change(columns)
    path = tmp_path / "changed.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("name", ["jet_eta", "part_deta"])
def test_missing_values_are_refused(tmp_path, name):
    def lose(columns):
        columns[name] = pa.array([None, *columns[name].to_pylist()[1:]], columns[name].type)

    with (
        open_reader(in_parquet(tmp_path, lose)) as reader,
        pytest.raises(DataError, match=f"row 0: .*'{name}' is missing"),
    ):
        reader.read(0, 60)


def test_lists_of_other_widths_are_read(tmp_path):
    def widen(columns):
        for name in ("part_px", "part_isMuon"):
            columns[name] = columns[name].cast(pa.large_list(pa.float64() if name == "part_px" else pa.int8()))

    written = write(tmp_path)
    with open_reader(in_parquet(tmp_path, widen)) as reader:
        assert_same(reader.read(0, 60), written)


def test_text_is_refused(tmp_path):
    path = in_parquet(tmp_path, lambda columns: columns.update(jet_tau1=pa.array(["a"] * 60)))
    with open_reader(path) as reader, pytest.raises(DataError, match="'jet_tau1' is not one number a jet"):
        reader.read(0, 60)


def test_a_dataset_is_made_of_it(tmp_path):
    written = write(tmp_path)
    convert.convert([written.path], tmp_path / "out", split="train", workers=0)
    made = dataset.open_dataset(tmp_path / "out")
    jets = made.read("train")
    assert tuple(made.classes) == LABELS
    assert jets.label.tolist() == written.fields["label"].tolist()
    for name in ("px", "d0_error", "is_photon", "charge"):
        np.testing.assert_allclose(jets.columns[name], written.columns[name], rtol=1e-6, err_msg=name)
    for name in ("pt", "sdmass", "truth_match"):
        np.testing.assert_allclose(jets[name], written.fields[name], rtol=1e-6, err_msg=name)
