import numpy as np
import pytest
from helpers.datasets import all_jets, assert_equal_jets, write_dataset

import jetforge
from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.jets.edit.skim import skim


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "data")


def test_the_jets_that_fulfil_it_are_kept_in_order(tmp_path, dataset):
    new = skim(dataset, tmp_path / "out", "500 < pt and abs(eta) < 1.5 and class == 'top'", workers=0)
    for split in dataset.splits:
        jets = dataset.read(split)
        kept = (jets["pt"] > 500) & (np.abs(jets["eta"]) < 1.5) & (jets.label == 1)
        assert_equal_jets(new.read(split), jets[kept])
    assert new.classes == ("qcd", "top")


def test_parts_are_filled_up(tmp_path, dataset):
    new = skim(dataset, tmp_path / "out", "pt < 550", workers=0)
    kept = int((dataset.read("train")["pt"] < 550).sum())
    assert [part.jets for part in new.parts("train")] == pytest.approx([kept / 2] * 2, abs=0.5)
    small = skim(dataset, tmp_path / "small", "pt < 550", part_jets=10, workers=0)
    assert max(part.jets for part in small.parts("train")) <= 10
    assert_equal_jets(all_jets(small), all_jets(new))


def test_constituents_are_counted(tmp_path, dataset):
    new = skim(dataset, tmp_path / "out", "num_constituents > 0 and num_constituents % 2 == 0", workers=0)
    counts = np.diff(all_jets(dataset).offsets)
    wanted = counts[(counts > 0) & (counts % 2 == 0)]
    assert np.diff(all_jets(new).offsets).tolist() == wanted.tolist()


def test_the_counts_of_each_class_are_recorded(tmp_path, dataset):
    new = skim(dataset, tmp_path / "out", " label == 1\n", workers=0)
    jets = dataset.read("train")
    assert new.manifest.provenance["selected"]["train"] == {
        "qcd": {"before": int((jets.label == 0).sum()), "after": 0},
        "top": {"before": int(jets.label.sum()), "after": int(jets.label.sum())},
    }
    assert new.manifest.provenance["plan"]["selection"] == "label == 1"
    assert new.manifest.provenance["plan"]["inputs"][0]["name"] == "data"


def test_a_split_may_become_empty_but_not_all(tmp_path, dataset):
    first = dataset.read("val")["number"][0]
    new = skim(dataset, tmp_path / "one", f"number == {first}", workers=0)
    assert new.splits == ("val",)
    assert len(jetforge.open(new.path).read("val")) == 1
    with pytest.raises(DataError, match=r"data: none of its 175 jets fulfils pt > 1e9; nothing is written"):
        skim(dataset, tmp_path / "out", "pt > 1e9")
    assert not (tmp_path / "out").exists()


def test_a_jet_without_an_answer_is_named(tmp_path):
    def spoil(jets):
        eta = np.where(np.arange(len(jets)) == 7, np.nan, jets["eta"])
        return Jets(jets.offsets, jets.columns, {**jets.fields, "eta": eta})

    dataset = write_dataset(tmp_path / "data", {"train": [5, 9]}, change=spoil)
    with pytest.raises(DataError, match=r"part-00001\.parquet: row 7: 'eta < 0' has no answer \(eta = nan\); put"):
        skim(dataset, tmp_path / "out", "eta < 0")
    assert not (tmp_path / "out").exists()
    new = skim(dataset, tmp_path / "out", "isfinite(eta) and eta < 0 or not isfinite(eta)", workers=0)
    eta = all_jets(dataset)["eta"]
    np.testing.assert_array_equal(all_jets(new)["eta"], eta[~(eta >= 0)])


def test_wrong_selections_are_refused_before_anything_is_written(tmp_path, dataset):
    with pytest.raises(JetforgeError, match="no field 'ptt'; did you mean 'pt'"):
        skim(dataset, tmp_path / "out", "ptt > 500")
    with pytest.raises(JetforgeError, match="is no condition"):
        skim(dataset, tmp_path / "out", "pt")
    assert not (tmp_path / "out").exists()


def test_another_selection_is_another_dataset(tmp_path, dataset):
    skim(dataset, tmp_path / "out", "pt > 500", workers=0)
    with pytest.raises(DataError, match=r"other settings .*selection"):
        skim(dataset, tmp_path / "out", "pt > 501", workers=0)


def test_damage_is_named_at_the_first_look(tmp_path, dataset):
    part = dataset.path / "train/part-00001.parquet"
    part.write_bytes(part.read_bytes()[::-1])
    with pytest.raises(DataError, match=r"part-00001\.parquet: not a whole Parquet file"):
        skim(dataset, tmp_path / "out", "pt > 500")


def test_classes_without_labels_of_one_kind_are_counted(tmp_path):
    def unlabelled(jets):
        return Jets(jets.offsets, jets.columns, {"pt": jets["pt"]})

    dataset = write_dataset(tmp_path / "data", {"train": [9]}, classes=("qcd",), change=unlabelled)
    new = skim(dataset, tmp_path / "out", "pt > 0", workers=0)
    assert new.manifest.provenance["selected"]["train"] == {"qcd": {"before": 9, "after": 9}}
