import pytest
from helpers.datasets import contents, write_dataset
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError
from jetforge.jets.clusters import open_client
from jetforge.jets.edit import pieces
from jetforge.jets.edit.merge import merge
from jetforge.jets.edit.pieces import Origin, cut
from jetforge.jets.edit.reweight import reweight
from jetforge.jets.edit.skim import skim
from jetforge.jets.edit.split import split


def test_workers_make_the_same_bytes_as_one_process(tmp_path):
    data = write_dataset(tmp_path / "data")
    other = write_dataset(tmp_path / "other", {"train": [30, 30]}, classes=("top", "w"), seed=2)

    def edit(folder, **how):
        merge([data.path, other.path], folder / "merge", part_jets=40, **how)
        split(data.path, folder / "split", (0.5, 0.25, 0.25), part_jets=40, **how)
        skim(data.path, folder / "skim", "pt > 500", part_jets=40, **how)
        reweight(data.path, folder / "reweight", **how)
        return contents(folder)

    here = edit(tmp_path / "here", workers=0)
    with open_client(2, None) as client:
        assert edit(tmp_path / "there", scheduler=client.scheduler.address) == here


def test_nothing_is_kept_in_memory_afterwards(tmp_path):
    data = write_dataset(tmp_path / "data")
    split(data, tmp_path / "out", (0.5, 0.25, 0.25), workers=0)
    assert len(pieces._held) == len(pieces._open) == 0


def test_parts_that_are_kept_are_bounded(tmp_path, monkeypatch):
    data = write_dataset(tmp_path / "data")
    held = []
    original = pieces._read

    def read(source, piece):
        jets = original(source, piece)
        held.append(len(pieces._held))
        return jets

    monkeypatch.setattr(pieces, "_read", read)
    monkeypatch.setattr(pieces, "_MOST_HELD", 0)
    split(data, tmp_path / "out", (0.5, 0.25, 0.25), part_jets=40, workers=0)
    assert set(held) == {1}


def test_an_input_that_is_made_anew_meanwhile_is_refused(tmp_path):
    data = write_dataset(tmp_path / "data")
    (task,) = pieces.tasks_of("train", [data], [cut([Origin(0, "train", 0, 50)], 1)[0]], {})
    text = (data.path / "dataset.json").read_text()
    (data.path / "dataset.json").write_text(text + " ")
    with pytest.raises(DataError, match=r"dataset\.json: was changed meanwhile; start again"):
        pieces.make_from_pieces(task, lambda jets, piece: None)
    (data.path / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"dataset\.json: cannot be read"):
        pieces.make_from_pieces(task, lambda jets, piece: None)


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 6))
def test_pieces_cover_every_chosen_jet_once_in_order(counts, num_parts):
    parts = cut([Origin(0, "train", index, jets) for index, jets in enumerate(counts)], num_parts)
    there = [(p.index, row) for part in parts for p in part for row in range(p.start, p.stop)]
    assert there == [(index, row) for index, jets in enumerate(counts) for row in range(jets)]
    sizes = [sum(p.stop - p.start for p in part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
