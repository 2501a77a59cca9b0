import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml
from helpers.written import Written, assert_same, stated
from helpers.written.columns import CLASSES, LENGTH, MASS, make, write, write_columns, write_mapped
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError, RecipeError
from jetforge.jets import Jets
from jetforge.jets.build import build_dataset
from jetforge.jets.readers import list_formats, open_reader, recognise
from jetforge.jets.readers.column_mapping import ColumnMapping, read_mapping
from jetforge.jets.storage import encode_part, stored_columns
from jetforge.jets.tasks import MadePart, PartTask
from jetforge.jets.writers import export

CONTAINERS = ("parquet", "root", "hdf5")
MOMENTA = {
    "px py pz energy": {"px": "p_px", "py": "p_py", "pz": "p_pz", "energy": "p_energy"},
    "px py pz mass": {"px": "p_px", "py": "p_py", "pz": "p_pz", "mass": "p_mass"},
    "pt eta phi energy": {"pt": "p_pt", "eta": "p_eta", "phi": "p_phi", "energy": "p_energy"},
    "pt eta phi mass": {"pt": "p_pt", "eta": "p_eta", "phi": "p_phi", "mass": "p_mass"},
    "pt y phi energy": {"pt": "p_pt", "y": "p_y", "phi": "p_phi", "energy": "p_energy"},
    "pt y phi mass": {"pt": "p_pt", "y": "p_y", "phi": "p_phi", "mass": "p_mass"},
}
PLAIN = {"momentum": MOMENTA["pt eta phi mass"]}
FULL = {
    "momentum": MOMENTA["pt eta phi mass"],
    "constituents": {"p_d0": "d0", "p_pid": "pid"},
    "jets": {"j_pt": "pt", "j_tau21": "tau21"},
    "label": {"column": "j_label", "classes": list(CLASSES)},
    "weight": "j_weight",
}


def read_all(written):
    with open_reader(written.path, "columns", written.settings) as reader:
        return reader.read(0, reader.num_rows)


def test_it_is_the_last_format_that_is_tried():
    assert list_formats()[-1] == "columns"


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("energy", ["energy", "mass"])
@pytest.mark.parametrize("labelled", [True, False])
def test_files_with_our_names_need_no_mapping(tmp_path, container, energy, labelled):
    written = write(tmp_path, container=container, energy=energy, labelled=labelled)
    assert recognise(written.path) == "columns"
    with open_reader(written.path) as reader:
        assert reader.num_rows == 60
        assert reader.classes == (("class0", "class1") if labelled else ())
        jets = reader.read(0, 60)
        assert_same(jets, written)
        for start, stop in ((7, 31), (59, 60), (30, 31), (20, 20), (3, 60)):
            assert_same(reader.read(start, stop), written, start, stop)
        assert set(jets.fields) == set(written.fields)
        assert set(jets.columns) == set(written.columns)
        assert (jets.columns["pid"].dtype, jets.columns["d0"].dtype) == (np.int32, np.float32)
        assert stated(reader, jets) is None
    if labelled:
        with open_reader(written.path, settings={"classes": "qcd, top"}) as reader:
            assert reader.classes == CLASSES


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("form", MOMENTA)
@pytest.mark.parametrize("unit", ["GeV", "MeV"])
def test_every_form_of_momenta_gives_the_same_jets(tmp_path, container, form, unit):
    mapping = {**FULL, "momentum": MOMENTA[form], "unit": unit}
    written = write_mapped(tmp_path, mapping, container=container, scale={"GeV": 1, "MeV": 1000}[unit])
    with open_reader(written.path, "columns", written.settings) as reader:
        assert (reader.classes, reader.settings["unit"]) == (CLASSES, unit)
        assert_same(reader.read(0, 60), written)
        assert_same(reader.read(24, 60), written, 24, 60)
        assert_same(reader.read(5, 26), written, 5, 26)
        assert ("mass" in reader.read(0, 1).columns) == ("mass" in form)


@pytest.mark.parametrize("direction", ["eta", "y"])
def test_massless_constituents(tmp_path, direction):
    mapping = {"momentum": {"pt": "p_pt", direction: "p_eta", "phi": "p_phi", "massless": True}}
    jets = read_all(write_mapped(tmp_path, mapping))
    four = make(60, 1)[1]
    np.testing.assert_allclose(jets.columns["energy"], four["pt"] * np.cosh(four["eta"]), rtol=1e-12)
    np.testing.assert_allclose(jets.columns["pz"], four["pt"] * np.sinh(four["eta"]), rtol=1e-12)


def test_the_option_says_the_unit_over_the_mapping(tmp_path):
    written = write_mapped(tmp_path, FULL, scale=1000)
    with open_reader(written.path, "columns", {**written.settings, "unit": "MeV"}) as reader:
        assert_same(reader.read(0, 60), written)


@pytest.mark.parametrize(
    "label",
    [
        {"column": "j_label", "classes": {"qcd": 0, "top": 1}},
        {"one_hot": {"qcd": "j_is_qcd", "top": "j_is_top"}},
        {"column": "pdg", "classes": {"qcd": 21, "top": -6}},
        {"column": "name", "classes": ["qcd", "top"]},
        {"column": "name", "classes": {"gluon": "qcd", "t": "top"}},
    ],
)
@pytest.mark.parametrize("container", ["parquet", "hdf5"])
def test_labels_come_in_many_forms(tmp_path, label, container):
    labels = make(60, 1)[2]["label"]
    further = {"pdg": np.where(labels == 0, 21, -6), "name": np.array(["qcd", "top"])[labels]}
    if container == "hdf5":
        further["name"] = further["name"].astype("S3")
    written = write_mapped(tmp_path, {**PLAIN, "label": label}, container=container, **further)
    with open_reader(written.path, "columns", written.settings) as reader:
        assert len(reader.classes) == 2
        assert reader.read(0, 60).label.tolist() == labels.tolist()
        assert reader.read(0, 60).label.dtype == np.int64


def test_a_split_column_says_where_jets_belong(tmp_path):
    names = np.repeat(["train", "val", "test"], 20)
    written = write_mapped(tmp_path, {**PLAIN, "split": {"column": "set"}}, set=names)
    with open_reader(written.path, "columns", written.settings) as reader:
        for start, split in ((0, "train"), (20, "val"), (40, "test")):
            assert stated(reader, reader.read(start, start + 20)) == {split}
        assert stated(reader, reader.read(10, 30)) == {"train", "val"}
    mapping = {**PLAIN, "split": {"column": "fold", "train": 7, "val": 8, "test": 3}}
    written = write_mapped(tmp_path, mapping, container="root", fold=np.repeat([3, 8, 7], 20))
    with open_reader(written.path, "columns", written.settings) as reader:
        assert stated(reader, reader.read(0, 20)) == {"test"}
        assert stated(reader, reader.read(45, 60)) == {"train"}


@pytest.mark.parametrize("what", ["mask", "number"])
def test_padding_that_is_not_zero_is_told_by_a_mask_or_a_number(tmp_path, what):
    inside = np.arange(LENGTH) < make(60, 1)[0][:, None]
    written = write_mapped(tmp_path, {**FULL, what: {"mask": "real", "number": "j_n"}[what]}, container="hdf5")
    with h5py.File(written.path, "a") as file:
        for name in ("p_pt", "p_eta", "p_phi", "p_mass"):
            file[name][...] = np.where(inside, file[name][...], np.nan)
        file["real"] = inside
    assert_same(read_all(written), written)


def test_lists_may_be_padded_with_zeros(tmp_path):
    counts, four, _ = make(60, 1)
    lists = {
        name: pa.FixedSizeListArray.from_arrays(np.where(inside, values, -9 * (name in ("eta", "phi"))).ravel(), LENGTH)
        for inside in [np.arange(LENGTH) < counts[:, None]]
        for name, values in ((n, _rows(counts, four[n])) for n in ("pt", "eta", "phi", "mass"))
    }
    pq.write_table(pa.table(lists), tmp_path / "padded.parquet")
    mapping = tmp_path / "columns.yaml"
    mapping.write_text("momentum: {pt: pt, eta: eta, phi: phi, mass: mass}\n")
    expected = {name: four[name] for name in ("px", "py", "pz", "energy", "mass")}
    assert_same(read_all(Written(tmp_path / "padded.parquet", counts, expected, {}, {"mapping": mapping})),
                Written(tmp_path, counts, expected, {}))  # fmt: skip
    mapping.write_text("momentum: {pt: pt, eta: eta, phi: phi, mass: mass}\npadding: false\n")
    with open_reader(tmp_path / "padded.parquet", "columns", {"mapping": mapping}) as reader:
        assert reader.read(0, 60).offsets[-1] == 60 * LENGTH


def _rows(counts, values):
    rows = np.zeros((len(counts), LENGTH), dtype=values.dtype)
    rows[np.arange(LENGTH) < counts[:, None]] = values
    return rows


def test_lists_of_records_and_arrays_of_features(tmp_path):
    counts, four, fields = make(60, 1)
    names = ("pt", "eta", "phi", "mass")
    expected = {name: four[name] for name in ("px", "py", "pz", "energy")}
    records = ak.unflatten(ak.zip({name: four[name] for name in names}), counts)
    ak.to_parquet(ak.zip({"parts": records, "y": fields["label"]}, depth_limit=1), tmp_path / "records.parquet")
    with h5py.File(tmp_path / "block.h5", "w") as file:
        group = file.create_group("data")
        group["x"] = np.stack([_rows(counts, four[name]) for name in names], axis=2)
        group["jets"] = np.stack([fields["pt"], fields["weight"]], axis=1)
        group["info"] = np.array(list(zip(fields["label"], fields["weight"], strict=True)), "i8,f8")
        file["names"] = np.array(names, dtype="S4")
    for file_name, momentum, label, further in (
        ("records.parquet", {name: f"parts.{name}" for name in names}, "y", {}),
        ("block.h5", {name: f"x[{i}]" for i, name in enumerate(names)}, "info.f0",
         {"table": "data", "jets": {"jets[0]": "pt"}, "weight": "info.f1"}),
    ):  # fmt: skip
        mapping = tmp_path / "columns.yaml"
        mapping.write_text(
            yaml.safe_dump({"momentum": momentum, "label": {"column": label, "classes": CLASSES}, **further}).replace(
                "!!python/tuple", ""
            )
        )
        stated = {"label": fields["label"]} | ({"pt": fields["pt"], "weight": fields["weight"]} if further else {})
        written = Written(tmp_path / file_name, counts, expected, stated, {"mapping": mapping})
        assert_same(read_all(written), written)


@pytest.fixture
def dataset(tmp_path):
    """Return a dataset that holds a constituent without momentum, as images have, and a jet without constituents."""
    counts, four, fields = make(60, 3)
    counts[-1] = 0
    kept = counts.sum()
    columns = {name: four[name][:kept] for name in ("px", "py", "pz", "energy", "pid")}
    for name in ("px", "py", "pz", "energy"):
        columns[name][5] = 0
    whole = Jets(np.concatenate([[0], np.cumsum(counts)]), columns, {**fields, "split": np.zeros(60, np.int8)})

    def part(task: PartTask) -> MadePart:
        jets = whole[task.argument["start"] : task.argument["start"] + 20]
        return MadePart(encode_part(jets), len(jets))

    tasks = [PartTask(split, 0, 20, {"start": 20 * i}) for i, split in enumerate(("train", "val", "test"))]
    return build_dataset(
        tmp_path / "dataset", tasks, part, plan={}, classes=CLASSES, constituent_fields=stored_columns(list(columns)),
        jet_fields=list(whole.fields), workers=0,
    )  # fmt: skip


@pytest.mark.parametrize("to", ["parquet", "root"])
def test_what_we_write_comes_back_exactly(tmp_path, dataset, to):
    path = tmp_path / f"written.{to}"
    export(dataset, path, to)
    assert recognise(path) == "columns"
    with open_reader(path) as reader:
        assert (reader.num_rows, reader.classes) == (60, CLASSES)
        for i, split in enumerate(("train", "val", "test")):
            jets, ours = reader.read(20 * i, 20 * i + 20), dataset.read(split)
            assert stated(reader, jets) == {split}
            assert jets.offsets.tolist() == ours.offsets.tolist()
            for name in ours.columns:
                np.testing.assert_array_equal(jets.columns[name], ours.columns[name], err_msg=name)
            for name in ours.fields:
                where = "jet_split" if name == "split" else name
                np.testing.assert_array_equal(jets.fields[where], ours.fields[name], err_msg=name)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6), st.sampled_from([1, 7, 100]))
def test_ranges_of_rows_in_any_order_are_the_same_rows(tmp_path_factory, ranges, batch):
    from jetforge.jets.readers.containers import column_parquet

    written = _shared(tmp_path_factory)
    column_parquet._BATCH_ROWS = batch
    try:
        with open_reader(written.path) as reader:
            for low, high in ranges:
                assert_same(reader.read(min(low, high), max(low, high)), written, min(low, high), max(low, high))
    finally:
        column_parquet._BATCH_ROWS = 8192


_written = []


def _shared(tmp_path_factory):
    if not _written:
        _written.append(write(tmp_path_factory.mktemp("columns")))
    return _written[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("momentum: {px: a, py: b, pz: c}", "1: momentum: give one of energy, mass and massless: true"),
        ("momentum: {px: a, py: b, energy: c}", r":1: momentum: give px, py, pz, or pt, eta \(or y\), phi; "),
        ("unit: GeV\nmomentun: {}", ":1: momentum: this key is missing; .*:2: momentun: no such key; .* 'momentum'"),
        ("momentum: {px: a, py: b, pz: c, enegry: d}", "1: momentum.enegry: no such key; did you mean 'energy'"),
        ("{m}\nunit: TeV", "2: unit: input should be 'GeV' or 'MeV', not 'TeV'"),
        ("{m}\njets: {a: x, b: x}", "2: jets: two columns are called 'x'"),
        ("{m}\njets: {a: b c}", "2: jets: 'b c' is no name"),
        ("{m}\njets: {a: label}", "jets: 'label' has a key of its own, label: ..."),
        ("{m}\nconstituents: {a: px}", "constituents: 'px' is made from momentum"),
        ("{m}\nconstituents: {a: jet_x}", "constituents: 'jet_x' begins with jet_"),
        ("{m}\nlabel: {classes: [a]}", "2: label: give column or one_hot"),
        ("{m}\nlabel: {column: x, classes: [a, a]}", "2: label: classes have names, each its own"),
        ("{m}\nlabel: {column: x, classes: {a: 1, b: 1}}", "2: label: classes have values, each its own"),
        ("{m}\nlabel:\n  column: x\n  classes: 5", "4: label.classes: input should be a valid"),
        ("{m}\nlabel:\n  colum: x", "3: label.colum: no such key; did you mean 'column'"),
        ("{m}\nweight: 5", "2: weight: input should be a valid string, not 5"),
        ("{m}\nmask: a\nnumber: b", "give mask or number, not both"),
        ("{m}\njets: {a: sdmass}\nin_unit: [sdmas]", "in_unit: 'sdmas' is no name in .*did you mean 'sdmass'"),
        ("{m}\nin_unit: sdmass", "2: in_unit: input should be a valid tuple"),
        ("{m}\nunit: GeV\nunit: MeV", "3: unit: given twice"),
        ("[1, 2]", "1: a mapping of columns has keys such as momentum"),
        ("", "1: a mapping of columns has keys"),
        ("momentum: {px: [", "not valid YAML"),
    ],
)  # fmt: skip
def test_mistakes_in_a_mapping_are_named_with_line_and_key(tmp_path, text, message):
    path = tmp_path / "columns.yaml"
    path.write_text(text.replace("{m}", "momentum: {px: a, py: b, pz: c, energy: d}"))
    with pytest.raises(RecipeError, match=message) as raised:
        read_mapping(path)
    assert str(raised.value).startswith(f"{path}:")
    assert "\n" not in str(raised.value)


def test_the_example_in_the_documentation_is_a_mapping(tmp_path):
    example = ColumnMapping.__doc__.partition("in MeV::")[2]
    path = tmp_path / "columns.yaml"
    path.write_text("\n".join(line.strip() for line in example.splitlines()))
    mapping = read_mapping(path)
    assert (mapping.unit, mapping.momentum.energy, mapping.label.names) == ("MeV", "clus_E", CLASSES)


def test_a_mapping_that_is_no_text_or_not_there_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        read_mapping(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not a text file"):
        read_mapping(tmp_path / "binary.yaml")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"momentum": {**MOMENTA["pt eta phi mass"], "pt": "P_PT"}}, r"no column 'P_PT' \(momentum.pt .*mean 'p_pt'"),
        ({"jets": {"j_tau12": "x"}}, r"no column 'j_tau12' \(jets.j_tau12 of the mapping\); did you mean 'j_tau21'"),
        ({"jets": {"p_pt": "x"}}, r"column 'p_pt' \(jets.p_pt .* is a list of numbers in each row, not a number"),
        ({"constituents": {"j_pt": "x"}}, r"column 'j_pt' .* is a number in each row, not a list of numbers"),
        ({"label": {"column": "p_pt"}}, "is a list of numbers in each row, not a number or a text"),
        ({"table": "nonsense"}, "table"),
    ],
)
def test_a_mapping_that_does_not_fit_the_file_is_refused(tmp_path, container, change, message):
    written = write_mapped(tmp_path, PLAIN | change, container=container)
    with pytest.raises(DataError, match=message) as raised:
        read_all(written)
    assert str(raised.value).startswith(f"{written.path}: ")


def set_row(name, value, row=30):
    def change(columns, flat):
        where = columns if name in columns else flat
        values = np.array(where[name], dtype=np.float64)
        values[row] = value
        where[name] = values

    return change


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_row("p_pt", np.nan, 61), "row 2: constituent 0: p_pt = nan, .*: no momentum"),
        (set_row("p_eta", np.inf, 61), "row 2: constituent 0: .*p_eta = inf"),
        (set_row("p_pt", -1.0, 62), "row 2: constituent 1: p_pt = -1"),
        (set_row("p_d0", np.nan, 61), "row 2: p_d0 is nan, no finite number"),
        (set_row("p_d0", -np.inf, 62), "row 2: p_d0 is -inf, no finite number"),
        (set_row("p_pid", np.nan, 61), "row 2: p_pid is nan, no finite number"),
        (set_row("p_pid", 211.5, 61), "row 2: p_pid is 211.5, no number of a particle"),
        (set_row("p_pid", 1e12, 61), r"row 2: p_pid is 1000000000000.0, no number of a particle"),
        (set_row("p_pid", -(2.0**31), 61), "row 2: p_pid is -2147483648.0, no number of a particle"),
        (set_row("j_label", 2), "row 30: j_label is 2.0, none of 0, 1"),
        (set_row("j_label", 0.5), "row 30: j_label is 0.5"),
        (set_row("j_label", np.nan), "row 30: j_label is nan"),
        (set_row("j_weight", np.inf), "row 30: j_weight is inf, no finite number"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_row(tmp_path, container, change, message):
    written = write_mapped(tmp_path, FULL, container=container)
    counts, four, fields = make(60, 1)
    columns, flat = {f"p_{n}": v for n, v in four.items()}, {f"j_{n}": v for n, v in fields.items()}
    change(columns, flat)
    write_columns(written.path, counts, columns, flat)
    with pytest.raises(DataError, match=message) as raised:
        read_all(written)
    assert str(raised.value).startswith(f"{written.path}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", [np.int64, np.uint32])
def test_particle_numbers_that_are_too_large_are_refused(tmp_path, kind):
    counts, four, fields = make(60, 1)
    four["pid"] = np.full(len(four["pid"]), 211, dtype=kind)
    four["pid"][61] = 2**31
    names = ("px", "py", "pz", "energy", "pid")
    write_columns(tmp_path / "own.root", counts, {name: four[name] for name in names}, {"label": fields["label"]})
    with open_reader(tmp_path / "own.root") as reader:
        assert reader.read(0, 2).columns["pid"].dtype == np.int32
        with pytest.raises(DataError, match="row 2: pid is 2147483648, no number of a particle"):
            reader.read(0, 60)


def test_fields_of_jets_may_be_nan(tmp_path):
    mapping = {**PLAIN, "jets": {"tau": "tau21"}}
    tau = np.where(np.arange(60) == 4, np.nan, 0.3)
    np.testing.assert_array_equal(read_all(write_mapped(tmp_path, mapping, tau=tau))["tau21"], tau)


@pytest.mark.parametrize("form", MOMENTA)
def test_padding_may_have_a_mass(tmp_path, form):
    """Places beyond the last constituent have no momentum, but a mass, and angles of any value."""
    written = write_mapped(tmp_path, {**FULL, "momentum": MOMENTA[form]}, container="hdf5")
    with h5py.File(written.path, "a") as file:
        padding = file["p_pt"][...] == 0
        for name, value in (("p_mass", MASS), ("p_eta", -9.0), ("p_phi", -9.0), ("p_y", -9.0), ("p_pid", -1)):
            file[name][...] = np.where(padding, value, file[name][...])
    assert_same(read_all(written), written)


def test_columns_in_the_unit_of_the_momenta_become_gev(tmp_path):
    names = {"sdmass": "sdmass", "ms": "msoftdrop", "raw": "raw_pt", "g": "gen_mass", "split": "split12",
             "l": "log_pt", "r": "rel_pt", "t": "tau21", "e": "energy"}  # fmt: skip
    mapping = {**PLAIN, "unit": "MeV", "jets": names, "constituents": {"p_energy": "raw_energy", "p_d0": "hit"}}
    values = dict.fromkeys(names, np.full(60, 5000.0))
    expected = {"sdmass", "msoftdrop", "raw_pt", "gen_mass", "energy"}
    for more in ([], ["split12", "hit"]):
        written = write_mapped(tmp_path, {**mapping, "in_unit": more}, scale=1000, **values)
        jets = read_all(written)
        scaled = {name for name in names.values() if np.all(jets[name] == 5)}
        assert scaled == expected | {name for name in more if name != "hit"}
        four = make(60, 1)[1]
        np.testing.assert_allclose(jets.columns["raw_energy"], four["energy"])
        np.testing.assert_allclose(jets.columns["hit"], four["d0"] / (1000 if more else 1), rtol=1e-6)


def test_lists_of_different_lengths_are_refused_with_their_row(tmp_path):
    written = write(tmp_path)
    table = pq.read_table(written.path)
    d0 = table["d0"].to_pylist()
    d0[37] = d0[37][:-1]
    pq.write_table(table.set_column(table.schema.get_field_index("d0"), "d0", pa.array(d0)), tmp_path / "x.parquet")
    with open_reader(tmp_path / "x.parquet") as reader:
        assert len(reader.read(0, 37)) == 37
        with pytest.raises(DataError, match=r"row 37: 'd0' has \d+ values and 'px' \d+: a jet has one of each"):
            reader.read(20, 60)


@pytest.mark.parametrize(("name", "row"), [("px", 41), ("label", 41), ("d0", 41)])
@pytest.mark.parametrize("inside", [True, False])
def test_missing_values_are_refused_with_their_row(tmp_path, name, row, inside):
    written = write(tmp_path)
    table = pq.read_table(written.path)
    values = table[name].to_pylist()
    values[row] = [*values[row][:-1], None] if inside and name != "label" else None
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, pa.array(values)), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=f"row {row}: .*'{name}' is missing"), open_reader(tmp_path / "x.parquet") as r:
        r.read(20, 60)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (0, 0), (2, 0)])
def test_one_hot_labels_have_one_one(tmp_path, a, b):
    mapping = {**PLAIN, "label": {"one_hot": {"qcd": "a", "top": "b"}}}
    row = np.arange(60) == 9
    written = write_mapped(tmp_path, mapping, a=np.where(row, a, 1), b=np.where(row, b, 0))
    with pytest.raises(DataError, match=f"row 9: the columns a, b are {a}, {b}: one must be 1, the others 0"):
        read_all(written)


def test_a_number_of_constituents_that_is_not_theirs_is_refused(tmp_path):
    for container in CONTAINERS:
        written = write_mapped(tmp_path, {**PLAIN, "number": "n"}, container=container, n=np.full(60, 70))
        with pytest.raises(DataError, match="row 0: 'n' says 70 constituents, the columns have 60"):
            read_all(written)


def test_counters_of_a_tree_that_contradict_its_lists_are_refused(tmp_path):
    counts, four, _ = make(60, 1)
    columns = ak.unflatten(ak.zip({name: four[name] for name in ("px", "py", "pz", "energy")}), counts)
    path = tmp_path / "counted.root"
    with uproot.recreate(path, compression=None) as file:
        kind = {"c": columns.type.content}
        file.mktree("t", kind, counter_name=lambda _: "n", field_name=lambda _, inner: inner).extend({"c": columns})
    with open_reader(path) as reader:
        assert not reader.read(0, 60).fields
    data = path.read_bytes()
    stored = counts.astype(">i4").tobytes()
    assert data.count(stored) == 1
    wrong = np.where(np.arange(60) == 33, 7, counts).astype(">i4").tobytes()
    path.write_bytes(data.replace(stored, wrong))
    with (
        open_reader(path) as reader,
        pytest.raises(DataError, match=r"row 33: 'px' has \d+ values, 'n' says 7: damaged"),
    ):
        reader.read(20, 60)


def test_files_that_are_none_of_ours_are_not_recognised(tmp_path):
    counts, four, _ = make(60, 1)
    flat = {name: four[name][:60] for name in ("px", "py", "pz", "energy")}
    write_columns(tmp_path / "flat.root", counts, {"p_x": four["px"]}, flat)
    pq.write_table(pa.table(flat), tmp_path / "flat.parquet")
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        for name, values in flat.items():
            file[name] = values
    for name in ("flat.root", "flat.parquet", "flat.h5"):
        with pytest.raises(DataError, match="of none of the known formats"):
            recognise(tmp_path / name)
        with pytest.raises(DataError, match="no lists of numbers called px, py, pz and energy or mass"):
            open_reader(tmp_path / name, "columns")
    (tmp_path / "text.csv").write_text("px,py\n1,2\n")
    with pytest.raises(DataError, match="Parquet, ROOT and HDF5 files, and it is none"):
        open_reader(tmp_path / "text.csv", "columns")


def test_options_that_contradict_the_mapping_are_refused(tmp_path):
    written = write_mapped(tmp_path, FULL)
    with pytest.raises(JetforgeError, match="the mapping names the classes already"):
        open_reader(written.path, "columns", {**written.settings, "classes": "a,b"})
    written = write_mapped(tmp_path, PLAIN)
    with pytest.raises(JetforgeError, match="has no labels; write CLASS=FILE"):
        open_reader(written.path, "columns", {**written.settings, "classes": "a,b"})
    with pytest.raises(JetforgeError, match="unit=TeV: it must be one of GeV, MeV"):
        open_reader(written.path, "columns", {**written.settings, "unit": "TeV"})


def test_columns_of_other_numbers_are_no_labels(tmp_path):
    mapping = {**PLAIN, "label": {"column": "number"}}
    with pytest.raises(DataError, match=r"row 11: number is 123456: labels are numbers of classes"):
        read_all(write_mapped(tmp_path, mapping, number=np.where(np.arange(60) == 11, 123456, 1)))
    with pytest.raises(DataError, match="'name' holds texts; name the classes"):
        read_all(write_mapped(tmp_path, {**PLAIN, "label": {"column": "name"}}, name=np.full(60, "top")))


def test_a_tree_is_chosen_by_its_columns_or_by_name(tmp_path):
    counts, four, _ = make(60, 1)
    lists = {name: ak.unflatten(four[name], counts) for name in ("px", "py", "pz", "energy")}
    path = tmp_path / "trees.root"
    with uproot.recreate(path) as file:
        for name, there in (("few", lists), ("other", {"x": np.ones(3)}), ("again", lists)):
            file.mktree(name, {n: ak.Array(a).type.content if n != "x" else np.float64 for n, a in there.items()})
            file[name].extend(there)
    mapping = tmp_path / "columns.yaml"
    momentum = "momentum: {px: px, py: py, pz: pz, energy: energy}\n"
    mapping.write_text(momentum)
    with pytest.raises(DataError, match="has the trees few, other, again; say which one"):
        open_reader(path, "columns", {"mapping": mapping})
    mapping.write_text(momentum + "table: fwe\n")
    with pytest.raises(DataError, match=r"no table 'fwe' .*did you mean 'few'"):
        open_reader(path, "columns", {"mapping": mapping})
    mapping.write_text(momentum + "table: few\n")
    with open_reader(path, "columns", {"mapping": mapping}) as reader:
        assert reader.read(0, 60).offsets[-1] == counts.sum()


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_a_cut_file_is_refused(tmp_path, container, share):
    written = write(tmp_path, container=container)
    data = written.path.read_bytes()
    path = tmp_path / f"cut.{container}"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"cut\."), open_reader(path, "columns") as reader:
        reader.read(0, reader.num_rows)


def test_masses_are_taken_as_stored(tmp_path):
    written = write(tmp_path, energy="mass")
    jets = read_all(written)
    np.testing.assert_array_equal(jets.columns["mass"], np.full(len(jets.columns["px"]), MASS))


def test_the_usual_background_is_the_first_class_whatever_the_order_of_the_mapping(tmp_path):
    label = {"column": "j_label", "classes": {"top": 1, "qcd": 0}}
    written = write_mapped(tmp_path, {**PLAIN, "label": label})
    with open_reader(written.path, "columns", written.settings) as reader:
        assert reader.classes == ("qcd", "top")
        assert reader.read(0, 60).label.tolist() == written.fields["label"].tolist()


def test_an_energy_and_a_mass_that_contradict_each_other_are_refused(tmp_path):
    counts, four, fields = make(30, 1)
    columns = {name: four[name] for name in ("px", "py", "pz", "energy")}
    path = tmp_path / "both.parquet"
    write_columns(path, counts, {**columns, "mass": four["mass"]}, fields)
    with open_reader(path) as reader:
        reader.read(0, 30)
    write_columns(path, counts, {**columns, "mass": 50 + four["mass"]}, fields)
    with (
        open_reader(path) as reader,
        pytest.raises(DataError, match=r"row \d+: constituent \d+: the energy is"),
    ):
        reader.read(0, 30)
