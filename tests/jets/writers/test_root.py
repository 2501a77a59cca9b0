import json

import numpy as np
import pytest
import uproot
from helpers.datasets import all_jets, write_dataset

from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.jets.writers import export
from jetforge.jets.writers.root import RootWriter

from .test_parquet import assert_same_jets


@pytest.mark.parametrize("block_jets", [10, 20_000])
def test_uproot_reads_every_number_in_order(tmp_path, monkeypatch, block_jets):
    monkeypatch.setattr(RootWriter, "block_jets", block_jets)
    dataset = write_dataset(tmp_path / "data")
    export(dataset, tmp_path / "out.root", "root")
    with uproot.open(tmp_path / "out.root") as file:
        array = file["tree"].arrays()
        assert file["tree"].num_entries == 175
        assert_same_jets(array, all_jets(dataset), set(array.fields) - {"num_constituents"})
        np.testing.assert_array_equal(array["num_constituents"], np.diff(all_jets(dataset).offsets))
        assert array["split"].tolist() == [0] * 130 + [1] * 20 + [2] * 25
        assert file["tree"]["px"].typename == "float[]"
        assert file["tree"]["energy"].typename == "double[]"


def test_classes_splits_and_provenance_are_texts_beside_the_tree(tmp_path):
    dataset = write_dataset(tmp_path / "data", classes=("qcd", "w", "top"))
    export(dataset, tmp_path / "out.root", "root", split="test")
    with uproot.open(tmp_path / "out.root") as file:
        assert json.loads(str(file["classes"])) == ["qcd", "w", "top"]
        assert json.loads(str(file["splits"])) == ["train", "val", "test"]
        assert json.loads(str(file["provenance"]))["plan"] == {"seed": 1}
        assert file["tree"].num_entries == 25


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tau 21": 0.5}, "'jet_tau 21' is no name for a branch"),
        ({"half": np.float16(0.5)}, "'jet_half' holds float16, which no branch"),
    ],
)
def test_what_no_branch_can_hold_is_refused(tmp_path, fields, message):
    def add(jets):
        further = {name: np.full(len(jets), value) for name, value in fields.items()}
        return Jets(jets.offsets, jets.columns, {**jets.fields, **further})

    dataset = write_dataset(tmp_path / "data", {"train": [3]}, change=add)
    with pytest.raises(DataError, match=message):
        export(dataset, tmp_path / "out.root", "root")
    assert not (tmp_path / "out.root").exists()
