import json

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.datasets import all_jets, write_dataset

from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.jets.writers import export
from jetforge.jets.writers.parquet import ParquetWriter


def assert_same_jets(array, jets, names):
    """Check an awkward array, or a mapping of them, against jets; `names` are the columns that it must have."""
    assert ak.num(array["px"]).tolist() == np.diff(jets.offsets).tolist()
    for name, column in jets.columns.items():
        np.testing.assert_array_equal(ak.to_numpy(ak.flatten(array[name])), column, err_msg=name)
    for name, field in jets.fields.items():
        outside = name if name in ("label", "weight") else f"jet_{name}"
        np.testing.assert_array_equal(ak.to_numpy(array[outside]), field, err_msg=name)
        assert ak.to_numpy(array[outside]).dtype == field.dtype
    assert set(names) == {"px", "py", "pz", "energy", "mass", "pid", "label", "jet_pt", "jet_eta", "jet_mass",
                          "jet_number", "split"}  # fmt: skip


def test_awkward_reads_every_number_in_order(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    export(dataset, tmp_path / "out.parquet", "parquet")
    array = ak.from_parquet(tmp_path / "out.parquet")
    assert_same_jets(array, all_jets(dataset), array.fields)
    assert array["split"].tolist() == ["train"] * 130 + ["val"] * 20 + ["test"] * 25
    assert "?" not in str(array.type), "nothing is optional"


def test_one_split_and_a_weight(tmp_path):
    weigh = lambda jets: Jets(jets.offsets, jets.columns, {**jets.fields, "weight": jets["pt"] / 500})  # noqa: E731
    dataset = write_dataset(tmp_path / "data", change=weigh)
    exported = export(dataset, tmp_path / "out.parquet", "parquet", split="val")
    array = ak.from_parquet(tmp_path / "out.parquet")
    assert len(array) == exported.jets == 20
    np.testing.assert_array_equal(array["weight"], dataset.read("val").weight)


def test_classes_and_provenance_are_in_the_metadata(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    export(dataset, tmp_path / "out.parquet", "parquet")
    metadata = pq.read_schema(tmp_path / "out.parquet").metadata
    assert json.loads(metadata[b"jetforge.classes"]) == ["qcd", "top"]
    assert json.loads(metadata[b"jetforge.provenance"])["plan"] == {"seed": 1}
    assert json.loads(metadata[b"jetforge.fingerprint"]) == dataset.fingerprint
    assert json.loads(metadata[b"jetforge.units"])["jets"]["pt"] == "GeV"


def test_equal_datasets_give_equal_bytes_whatever_their_blocks(tmp_path, monkeypatch):
    dataset = write_dataset(tmp_path / "data")
    export(dataset, tmp_path / "one", "parquet")
    export(dataset, tmp_path / "two", "parquet")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    monkeypatch.setattr(ParquetWriter, "block_jets", 10)
    export(dataset, tmp_path / "parts", "parquet")
    assert pq.ParquetFile(tmp_path / "parts").num_row_groups == 5
    assert pq.read_table(tmp_path / "parts").equals(pq.read_table(tmp_path / "one"))


def test_names_that_clash_are_refused(tmp_path):
    def clash(jets):
        return Jets(jets.offsets, {**jets.columns, "split": jets.columns["pid"]}, jets.fields)

    dataset = write_dataset(tmp_path / "data", change=clash)
    with pytest.raises(DataError, match="'split' is the name of a constituent column and of a jet field"):
        export(dataset, tmp_path / "out", "parquet")
    assert not (tmp_path / "out").exists()
