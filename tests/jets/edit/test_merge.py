import numpy as np
import pytest
from helpers.datasets import all_jets, assert_equal_jets, contents, write_dataset

import jetforge
from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.jets.edit import merge as module
from jetforge.jets.edit.merge import merge


def without_label(jets):
    return Jets(jets.offsets, jets.columns, {name: f for name, f in jets.fields.items() if name != "label"})


@pytest.fixture
def pair(tmp_path):
    one = write_dataset(tmp_path / "one", {"train": [40, 40], "test": [10]}, classes=("qcd", "top"), seed=1)
    two = write_dataset(tmp_path / "two", {"train": [30, 10], "val": [8]}, classes=("w", "qcd"), seed=2)
    return one, two


def names_of(dataset, jets):
    return np.array(dataset.classes)[jets.label].tolist()


def test_every_jet_is_there_once_with_its_class(tmp_path, pair):
    merged = merge(pair, tmp_path / "out", workers=0)
    assert merged.classes == ("qcd", "top", "w")
    assert {split: merged.num_jets(split) for split in merged.splits} == {"train": 120, "val": 8, "test": 10}
    for split in merged.splits:
        inputs = [dataset for dataset in pair if dataset.num_jets(split)]
        jets, wanted = merged.read(split), Jets.concatenate([dataset.read(split) for dataset in inputs])
        names = sum((names_of(dataset, dataset.read(split)) for dataset in inputs), [])
        order, asked = np.argsort(jets["number"]), np.argsort(wanted["number"])
        assert [names_of(merged, jets)[i] for i in order] == [names[i] for i in asked]
        same = Jets(wanted.offsets, wanted.columns, {**wanted.fields, "label": wanted.label * 0})
        assert_equal_jets(
            Jets(jets.offsets, jets.columns, {**jets.fields, "label": jets.label * 0})[order], same[asked]
        )


def test_each_part_has_its_share_of_every_dataset_in_order(tmp_path, pair):
    merged = merge(pair, tmp_path / "out", part_jets=24, workers=0)
    assert [part.jets for part in merged.parts("train")] == [24] * 5
    numbers = [merged.read_part("train", index)["number"] for index in range(5)]
    assert [(n < 200_000).sum() for n in numbers] == [16] * 5
    ours = np.concatenate(numbers)
    assert ours[ours < 200_000].tolist() == pair[0].read("train")["number"].tolist()


def test_provenance_names_the_inputs_and_keeps_theirs(tmp_path, pair):
    provenance = merge(pair, tmp_path / "out", workers=0).manifest.provenance
    assert provenance["plan"]["operation"] == "merge"
    assert [one["name"] for one in provenance["plan"]["inputs"]] == ["one", "two"]
    assert [one["fingerprint"] for one in provenance["plan"]["inputs"]] == [d.fingerprint for d in pair]
    assert [one["provenance"]["plan"] for one in provenance["inputs"]] == [{"seed": 1}, {"seed": 2}]
    assert provenance["statistics"]["train"]["jets"] == 120


def test_datasets_of_one_class_without_labels_get_them(tmp_path):
    parts = [
        write_dataset(tmp_path / name, {"train": [6]}, classes=(name,), seed=seed, change=without_label)
        for seed, name in enumerate(("qcd", "top"))
    ]
    merged = merge(parts, tmp_path / "out", part_jets=12, workers=0)
    assert merged.classes == ("qcd", "top")
    assert merged.manifest.jet_fields[0] == "label"
    assert merged.read("train").label.tolist() == [0] * 6 + [1] * 6
    same = [write_dataset(tmp_path / str(seed), {"val": [3]}, classes=("x",), seed=seed, change=without_label)
            for seed in (5, 6)]  # fmt: skip
    assert "label" not in merge(same, tmp_path / "same", workers=0).read("val").fields


def test_number_types_are_made_equal_in_all_parts(tmp_path, pair):
    def narrow(jets):
        return Jets(jets.offsets, {**jets.columns, "pid": jets.columns["pid"].astype(np.int8)},
                    {**jets.fields, "pt": jets["pt"].astype(np.float32)})  # fmt: skip

    three = write_dataset(tmp_path / "three", {"train": [50]}, seed=3, change=narrow)
    merged = merge([three, pair[0]], tmp_path / "out", part_jets=10, workers=0)
    for index in range(len(merged.parts("train"))):
        jets = merged.read_part("train", index)
        assert (jets.columns["pid"].dtype, jets["pt"].dtype) == (np.int32, np.float64)


def test_what_does_not_go_together_is_named(tmp_path, pair):
    def lacking(jets):
        return Jets(jets.offsets, {name: c for name, c in jets.columns.items() if name != "pid"}, jets.fields)

    three = write_dataset(tmp_path / "three", {"train": [5]}, seed=3, change=lacking)
    with pytest.raises(DataError, match=r"three: lacks the constituent columns pid that .*one has"):
        merge([pair[0], three], tmp_path / "out")
    with pytest.raises(DataError, match=r"three: lacks the constituent columns pid that .*one has"):
        merge([three, pair[0]], tmp_path / "out")
    four = write_dataset(tmp_path / "four", {"train": [5]}, seed=4, change=without_label)
    with pytest.raises(DataError, match=r"four: has classes \(qcd, top\) but no labels"):
        merge([pair[0], four], tmp_path / "out")
    with pytest.raises(DataError, match="holds the same jets as"):
        merge([pair[0], pair[1], pair[0].path], tmp_path / "out")
    with pytest.raises(JetforgeError, match="two datasets or more"):
        merge(pair[:1], tmp_path / "out")
    with pytest.raises(JetforgeError, match="at least one jet, not 0"):
        merge(pair, tmp_path / "out", part_jets=0)
    five = write_dataset(tmp_path / "five", {"train": [5]}, classes=("unlabelled",), seed=5, change=without_label)
    with pytest.raises(DataError, match="five: its jets have no labels, others have"):
        merge([pair[0], five], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_whole_numbers_that_no_type_holds_are_refused(tmp_path):
    def numbered(dtype):
        def change(jets):
            return Jets(jets.offsets, jets.columns, {**jets.fields, "event": np.arange(len(jets)).astype(dtype)})

        return change

    parts = [
        write_dataset(tmp_path / kind, {"train": [5]}, seed=seed, change=numbered(kind))
        for seed, kind in enumerate(("uint64", "int64"))
    ]
    with pytest.raises(DataError, match="'event' is uint64 and int64 in the datasets: no type holds both"):
        merge(parts, tmp_path / "out")


def test_a_stopped_merging_goes_on_to_the_same_bytes(tmp_path, pair, monkeypatch):
    merge(pair, tmp_path / "whole", part_jets=20, workers=0)
    original, made = module.make_part, []

    def stop(task):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(task.file)
        return original(task)

    monkeypatch.setattr(module, "make_part", stop)
    with pytest.raises(KeyboardInterrupt):
        merge(pair, tmp_path / "out", part_jets=20, workers=0)
    with pytest.raises(DataError, match="unfinished"):
        jetforge.open(tmp_path / "out")
    monkeypatch.undo()
    merge(pair, tmp_path / "out", part_jets=20, workers=0)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_an_input_that_changes_meanwhile_is_refused(tmp_path, pair):
    merge(pair, tmp_path / "out", workers=0)
    one = all_jets(pair[0])
    with pytest.raises(DataError, match="other settings"):
        merge([pair[0], write_dataset(tmp_path / "three", {"train": [5]}, seed=3)], tmp_path / "out", workers=0)
    part = pair[0].path / "train/part-00001.parquet"
    part.write_bytes(part.read_bytes()[::-1])
    with pytest.raises(DataError, match=r"one/train/part-00001\.parquet: checksum differs"):
        merge(pair, tmp_path / "other", workers=0)
    assert len(one) == 90
