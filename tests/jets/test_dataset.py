import json
from collections import Counter

import numpy as np
import pytest

import jetforge
from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.jets.build import build_dataset
from jetforge.jets.edit.fields import each_part
from jetforge.jets.storage import encode_part, sha256
from jetforge.jets.tasks import MadePart, PartTask

from .test_jets import make_jets


def make_part(task):
    """Make jets that carry their number within the whole dataset."""
    jets = make_jets([2 + k % 3 for k in range(task.jets)], seed=task.index)
    fields = {**jets.fields, "number": task.argument["first"] + np.arange(task.jets)}
    return MadePart(encode_part(Jets(jets.offsets, jets.columns, fields)), task.jets, {"all": {"made": task.jets}})


def make_tasks(sizes):
    tasks, first = [], 0
    for split, parts in sizes.items():
        for index, jets in enumerate(parts):
            tasks.append(PartTask(split, index, jets, {"first": first}))
            first += jets
    return tasks


SIZES = {"train": [10, 7, 10, 4, 9], "val": [6], "test": []}


def build(out, make=make_part, **changes):
    settings = {
        "plan": {"seed": 1}, "classes": ("qcd", "top"), "constituent_fields": ("px", "py", "pz", "mass", "pid"),
        "jet_fields": ("label", "number"), "workers": 0,
    } | changes  # fmt: skip
    return build_dataset(out, make_tasks(SIZES), make, **settings)


@pytest.fixture
def dataset(tmp_path):
    return build(tmp_path / "data")


def numbers(blocks):
    return [block["number"].tolist() for block in blocks]


def test_opening_reads_sizes_and_no_jet(dataset, monkeypatch):
    monkeypatch.setattr("jetforge.jets.dataset.decode_part", lambda *a: pytest.fail("a part was read"))
    opened = jetforge.open(dataset.path)
    assert opened.num_jets("train") == 40
    assert opened.splits == ("train", "val")
    assert opened.classes == ("qcd", "top")
    assert "40 train" in repr(opened)


def test_reading_gives_every_jet_once_in_order(dataset):
    assert dataset.read("train")["number"].tolist() == list(range(40))
    assert dataset.read("train", max_jets=13)["number"].tolist() == list(range(13))
    assert dataset.read_part("train", 1)["number"].tolist() == list(range(10, 17))


@pytest.mark.parametrize("block_jets", [1, 12, 1000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_whole_and_give_every_jet_once(dataset, block_jets, shuffle):
    batches = numbers(dataset.batches("train", 6, shuffle=shuffle, seed=3, block_jets=block_jets))
    assert [len(batch) for batch in batches] == [6] * 6 + [4]
    assert sorted(sum(batches, [])) == list(range(40))
    assert (sum(batches, []) == list(range(40))) is not shuffle


def test_shuffling_follows_from_seed_and_epoch_alone(dataset):
    def order(**where):
        return sum(numbers(dataset.batches("train", 8, shuffle=True, block_jets=12, **where)), [])

    assert order(seed=1, epoch=2) == order(seed=1, epoch=2)
    assert order(seed=1, epoch=2) != order(seed=1, epoch=3)
    assert order(seed=1, epoch=2) != order(seed=2, epoch=2)


def test_shuffling_is_fair(dataset):
    """Any jet may come anywhere: over many epochs each is as often in the first half as in the second."""
    early = Counter()
    epochs = 300
    for epoch in range(epochs):
        order = sum(numbers(dataset.batches("train", 40, shuffle=True, seed=5, epoch=epoch, block_jets=12)), [])
        early.update(order[:20])
    shares = np.array([early[number] / epochs for number in range(40)])
    # Parts move as a whole, so that the spread is that of a few parts, not of single jets: 5 sigma is 0.15.
    assert np.abs(shares - 0.5).max() < 0.15


def test_bounded_memory_holds_no_more_than_a_block_and_a_part(dataset):
    sizes = [len(block) for block in dataset.blocks("train", block_jets=12, multiple=4)]
    assert max(sizes) <= 12 + 10
    assert all(size % 4 == 0 for size in sizes[:-1])


def test_what_is_not_there_is_named(dataset, tmp_path):
    rule = r"no jets in split 'test'; take a split with jets \(train, val\), or share .* anew: jetforge split$"
    with pytest.raises(DataError, match=rule):
        dataset.read("test")
    with pytest.raises(DataError, match=r"unknown split 'tset'; there are train, val, test$"):
        dataset.read("tset")
    with pytest.raises(DataError, match="parts 0 to 4, not 5"):
        dataset.read_part("train", 5)
    with pytest.raises(DataError, match="no such directory"):
        jetforge.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"it has no dataset\.json"):
        jetforge.open(tmp_path)


def test_a_missing_part_is_named(dataset):
    path = dataset.path / "train/part-00002.parquet"
    path.unlink()
    with pytest.raises(DataError, match=f"{path}: the part is missing"):
        jetforge.open(dataset.path)


def test_a_truncated_part_is_named(dataset):
    path = dataset.path / "val/part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{path}: .* truncated"):
        jetforge.open(dataset.path)


def test_a_changed_part_is_named_when_it_is_read(dataset):
    path = dataset.path / "train/part-00001.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    opened = jetforge.open(dataset.path)
    with pytest.raises(DataError, match=f"{path}: checksum differs"):
        opened.verify()
    with pytest.raises(DataError, match=f"{path}: checksum differs"):
        list(opened.batches("train", 5))


def rewrite_part(dataset, jets):
    """Replace the first part of the training split by other jets, with a fitting manifest."""
    data = encode_part(jets)
    (dataset.path / "train/part-00000.parquet").write_bytes(data)
    manifest = json.loads((dataset.path / "dataset.json").read_text())
    manifest["parts"]["train"][0] |= {"bytes": len(data), "sha256": sha256(data)}
    (dataset.path / "dataset.json").write_text(json.dumps(manifest))
    return jetforge.open(dataset.path)


def test_fewer_jets_than_noted_are_refused(dataset):
    opened = rewrite_part(dataset, dataset.read_part("train", 0)[:9])
    with pytest.raises(DataError, match="9 jets instead of 10"):
        opened.read("train")


def test_nan_constituents_are_refused_with_file_and_row(dataset):
    jets = dataset.read_part("train", 0)
    jets.columns["px"][jets.offsets[3]] = np.nan
    opened = rewrite_part(dataset, jets)
    with pytest.raises(DataError, match=r"part-00000\.parquet: row 3, constituent 0: px is nan"):
        opened.read("train")


def test_labels_outside_the_classes_are_refused(dataset):
    jets = dataset.read_part("train", 0)
    jets.fields["label"] = np.full(len(jets), 2)
    opened = rewrite_part(dataset, jets)
    with pytest.raises(DataError, match="row 0: label 2 is none of the 2 classes"):
        opened.read("train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a description of a dataset"),
        ('{"format": "other", "version": 1}', "format 'other'"),
        ('{"format": "jetforge-dataset", "version": 99}', "this jetforge reads version 1"),
        ('{"format": "jetforge-dataset", "version": 1}', "not a description of a dataset"),
    ],
)
def test_a_broken_manifest_is_named(dataset, text, message):
    (dataset.path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=f"dataset.json: .*{message}"):
        jetforge.open(dataset.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(classes=["top", "top"]), "not different names"),
        (lambda m: m.update(jet_fields="x"), "not a description of a dataset"),
        (lambda m: m["parts"]["train"].pop(), "do not add up to the jets"),
        (lambda m: m["parts"]["train"].append(m["parts"]["train"][0]), "listed twice"),
        (lambda m: m["parts"]["train"][0].update(jets="x"), "not a description of a dataset"),
        (lambda m: m.pop("jets"), "not a description of a dataset"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(dataset, change, message):
    path = dataset.path / "dataset.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=f"dataset.json: .*{message}"):
        jetforge.open(dataset.path)


def test_the_first_jets_of_a_split_are_a_dataset_like_any_other(dataset):
    first = dataset.first("train", 22)
    assert first.num_jets("train") == 22
    assert [part.jets for part in first.parts("train")] == [10, 7, 5]
    assert first.read("train")["number"].tolist() == list(range(22))
    assert sorted(n for block in numbers(first.batches("train", 4, shuffle=True)) for n in block) == list(range(22))
    assert first.num_jets("val") == dataset.num_jets("val") == 6
    assert [fields["number"].tolist() for _, _, fields in each_part(first, "train", ["number"])] == [
        list(range(10)), list(range(10, 17)), list(range(17, 22)),
    ]  # fmt: skip
    assert dataset.num_jets("train") == 40
    assert first.first("train", 3).read("train")["number"].tolist() == [0, 1, 2]
    for wrong in (0, 41):
        with pytest.raises(DataError, match=f"{wrong} jets of the split 'train' are asked for, it holds 40"):
            dataset.first("train", wrong)
