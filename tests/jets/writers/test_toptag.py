import numpy as np
import pytest
from helpers.datasets import all_jets, write_dataset
from helpers.written import stated
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.jets.readers import open_reader, recognise
from jetforge.jets.writers import export, toptag
from jetforge.jets.writers.toptag import LENGTH, _hardest_first

COMPONENTS = {"E": "energy", "PX": "px", "PY": "py", "PZ": "pz"}


def with_truth(jets):
    truth = {f"truth_{name}": (k + 1.0) * jets["pt"] for k, name in enumerate(("energy", "px", "py", "pz"))}
    return Jets(jets.offsets, jets.columns, {**jets.fields, **truth})


def expected(jets, name):
    rows = np.zeros((len(jets), LENGTH), dtype=np.float32)
    for row, (start, stop) in enumerate(zip(jets.offsets[:-1], jets.offsets[1:], strict=True)):
        rows[row, : stop - start] = jets.columns[name][start:stop]
    return rows


@pytest.mark.parametrize("buffer_rows", [7, 4096])
def test_pandas_reads_every_number_in_order(tmp_path, monkeypatch, buffer_rows):
    pytest.importorskip("tables", reason="pandas reads HDF5 with PyTables: pip install 'jetforge[dev]'")
    pd = pytest.importorskip("pandas")
    monkeypatch.setattr(toptag, "_BUFFER_ROWS", buffer_rows)
    dataset = write_dataset(tmp_path / "data", change=with_truth)
    exported = export(dataset, tmp_path / "out.h5", "toptag")
    frame = pd.read_hdf(tmp_path / "out.h5", key="table")
    jets = all_jets(dataset)
    assert frame.shape == (175, 806)
    assert list(frame.columns[:5]) == ["E_0", "PX_0", "PY_0", "PZ_0", "E_1"]
    assert list(frame.columns[-6:]) == ["truthE", "truthPX", "truthPY", "truthPZ", "ttv", "is_signal_new"]
    assert frame.index.tolist() == list(range(175))
    for theirs, ours in COMPONENTS.items():
        columns = [f"{theirs}_{i}" for i in range(LENGTH)]
        np.testing.assert_array_equal(frame[columns].to_numpy(), expected(jets, ours))
        np.testing.assert_array_equal(frame[f"truth{theirs}"], jets[f"truth_{ours}"].astype(np.float32))
    assert frame["is_signal_new"].tolist() == jets.label.tolist()
    assert frame["ttv"].tolist() == [0] * 130 + [2] * 20 + [1] * 25
    assert exported.truncated == 0
    assert exported.left_out == ("mass", "pid", "jet_pt", "jet_eta", "jet_mass", "jet_number")
    assert exported.note.startswith("the format has no place for mass, pid")
    assert len(pd.read_hdf(tmp_path / "out.h5", key="table", start=100, stop=120)) == 20


def test_our_reader_gives_the_same_jets(tmp_path):
    dataset = write_dataset(tmp_path / "data", change=with_truth)
    export(dataset, tmp_path / "out.h5", "toptag", split="train")
    assert recognise(tmp_path / "out.h5") == "toptag"
    jets = dataset.read("train")
    with open_reader(tmp_path / "out.h5") as reader:
        assert reader.num_rows == 130
        there = reader.read(0, 130)
        assert stated(reader, there) == {"train"}
    assert there.offsets.tolist() == jets.offsets.tolist()
    for name in COMPONENTS.values():
        np.testing.assert_array_equal(there.columns[name], jets.columns[name].astype(np.float32))
        np.testing.assert_array_equal(there[f"truth_{name}"], jets[f"truth_{name}"].astype(np.float32))
    assert there.label.tolist() == jets.label.tolist()


def jets_of(*pts, classes=2):
    offsets = np.concatenate([[0], np.cumsum([len(pt) for pt in pts])])
    px = np.concatenate([np.asarray(pt, dtype=float) for pt in pts])
    columns = {"px": px, "py": 0 * px, "pz": 0 * px, "energy": px}
    return Jets(offsets, columns, {"label": np.arange(len(pts)) % classes})


def test_long_jets_keep_the_hardest_and_are_counted(tmp_path):
    random = np.random.default_rng(3)
    long = random.permutation(np.arange(1.0, 251))
    dataset = write_dataset(tmp_path / "data", {"train": [3]}, change=lambda jets: jets_of(long, [5, 4], long[:200]))
    exported = export(dataset, tmp_path / "out.h5", "toptag")
    assert (exported.jets, exported.truncated) == (3, 1)
    assert "1 jets were cut to their hardest constituents" in exported.note
    with open_reader(tmp_path / "out.h5") as reader:
        jets = reader.read(0, 3)
    assert np.diff(jets.offsets).tolist() == [200, 2, 200]
    assert jets.columns["px"][:200].tolist() == list(np.arange(250.0, 50, -1))
    assert jets.columns["px"][202:].tolist() == sorted(long[:200], reverse=True)


@given(st.lists(st.lists(st.floats(0.5, 1000), max_size=6), min_size=1, max_size=5))
def test_the_order_is_hardest_first_within_each_jet(pts):
    order = _hardest_first(jets_of(*pts))
    start = 0
    for pt in pts:
        own = order[start : start + len(pt)]
        assert sorted(own.tolist()) == list(range(start, start + len(pt)))
        there = np.asarray(pt)[own - start]
        assert (there[1:] <= there[:-1] * (1 + 1e-6)).all()
        start += len(pt)


def test_jets_in_order_but_for_rounding_stay_as_they_are():
    assert _hardest_first(jets_of([5.0, 5.0 + 1e-6, 3.0], [1.0, 2.0])).tolist() == [0, 1, 2, 4, 3]


def test_equal_datasets_give_equal_bytes(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    export(dataset, tmp_path / "one", "toptag")
    export(dataset, tmp_path / "two", "toptag")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def without_label(jets):
    return Jets(jets.offsets, jets.columns, {name: f for name, f in jets.fields.items() if name != "label"})


def test_other_than_two_classes_are_refused(tmp_path):
    three = write_dataset(tmp_path / "three", classes=("qcd", "w", "top"))
    with pytest.raises(DataError, match="is for two classes, background and signal, not for qcd, w, top"):
        export(three, tmp_path / "out.h5", "toptag")
    unlabelled = write_dataset(tmp_path / "unlabelled", change=without_label)
    with pytest.raises(DataError, match="not for no labels"):
        export(unlabelled, tmp_path / "out.h5", "toptag")
    assert not (tmp_path / "out.h5").exists()
