import fcntl
import json

import pytest

import jetforge
from jetforge.errors import DataError, JetforgeError
from jetforge.jets.storage import encode_part
from jetforge.jets.tasks import MadePart

from .test_dataset import SIZES, build, make_part
from .test_jets import make_jets


class Stopped(Exception):
    pass


def stop_after(number):
    """Return a maker that stops after so many parts, and the list of the files that it made."""
    made = []

    def make(task):
        if len(made) == number:
            raise Stopped
        made.append(task.file)
        return make_part(task)

    return make, made


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_stopped_build_goes_on_where_it_stopped(tmp_path):
    build(tmp_path / "whole")
    make, _ = stop_after(3)
    with pytest.raises(Stopped):
        build(tmp_path / "data", make)
    with pytest.raises(DataError, match="unfinished; run the command that made it again"):
        jetforge.open(tmp_path / "data")
    make, made = stop_after(99)
    build(tmp_path / "data", make)
    assert made == ["train/part-00003.parquet", "train/part-00004.parquet", "val/part-00000.parquet"]
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


def test_a_finished_build_is_not_done_again(tmp_path):
    build(tmp_path / "data")
    make, made = stop_after(99)
    build(tmp_path / "data", make)
    assert made == []


@pytest.mark.parametrize("damage", ["truncate", "remove", "tear the journal"])
def test_what_a_kill_may_leave_is_made_again(tmp_path, damage):
    build(tmp_path / "whole")
    with pytest.raises(Stopped):
        build(tmp_path / "data", stop_after(3)[0])
    last = tmp_path / "data/train/part-00002.parquet"
    journal = tmp_path / "data/build.jsonl"
    if damage == "truncate":
        last.write_bytes(last.read_bytes()[:50])
    elif damage == "remove":
        last.unlink()
    else:
        journal.write_text(journal.read_text()[:-20])
    (tmp_path / "data/train/.part-00003.parquet.1.tmp").write_bytes(b"half")
    make, made = stop_after(99)
    build(tmp_path / "data", make)
    assert made[0] == "train/part-00002.parquet"
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


def test_other_settings_are_refused_and_named(tmp_path):
    build(tmp_path / "data")
    with pytest.raises(DataError, match=r"other settings.*seed: 1 there, 2 asked for"):
        build(tmp_path / "data", plan={"seed": 2})
    with pytest.raises(Stopped):
        build(tmp_path / "half", stop_after(1)[0])
    with pytest.raises(DataError, match="other settings"):
        build(tmp_path / "half", plan={"seed": 2})


def test_only_the_settings_that_differ_are_named(tmp_path):
    source = {"file": "tt.h5", "class": None, "format": "toptag", "bytes": 10}
    plan = {"sources": [source], "options": {"unit": "GeV"}, "split": [0.8, 0.1, 0.1]}
    build(tmp_path / "data", plan=plan)
    for changed, shown in (
        ({"sources": [{**source, "bytes": 12}]}, "sources 1 bytes: 10 there, 12 asked for"),
        ({"sources": [{**source, "class": "qcd"}]}, 'sources 1 class: none there, "qcd" asked for'),
        ({"sources": [source, source]}, "number of sources: 1 there, 2 asked for"),
        ({"options": {}}, 'options unit: "GeV" there, none asked for'),
        ({"options": None}, 'options: {"unit": "GeV"} there, none asked for'),
        ({"split": [0.7, 0.2, 0.1]}, "split: [0.8, 0.1, 0.1] there, [0.7, 0.2, 0.1] asked for"),
        (
            {"sources": [{"file": "b.h5", "class": "b", "format": "b", "bytes": 1}]},
            'sources 1 file: "tt.h5" there, "b.h5" asked for; sources 1 class: none there, "b" asked for; '
            'sources 1 format: "toptag" there, "b" asked for; ...',
        ),
    ):
        with pytest.raises(DataError) as caught:
            build(tmp_path / "data", plan={**plan, **changed})
        assert f"other settings ({shown}); choose another directory" in str(caught.value)


def test_a_directory_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"not empty and not a dataset \(thesis.tex\)"):
        build(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_two_builds_do_not_write_to_one_place(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / ".build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is writing"):
            build(folder)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JetforgeError, match="cannot write"):
        build(tmp_path / "file" / "data")


def test_progress_counts_jets_and_statistics_add_up(tmp_path):
    seen = []
    dataset = build(tmp_path / "data", on_progress=lambda p: seen.append((p.done, p.total)))
    total = sum(sum(parts) for parts in SIZES.values())
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)
    assert dataset.manifest.provenance["statistics"] == {"all": {"made": total}}
    assert json.loads((tmp_path / "data/dataset.json").read_text())["jets"] == {
        "train": 40,
        "val": 6,
        "test": 0,
    }


def test_a_scheduler_that_does_not_answer_is_named(tmp_path):
    with pytest.raises(JetforgeError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        build(tmp_path / "data", scheduler="tcp://127.0.0.1:9")


@pytest.mark.parametrize("loss", ["remove", "truncate"])
def test_lost_parts_of_a_finished_dataset_are_made_again(tmp_path, loss):
    build(tmp_path / "data")
    before = contents(tmp_path / "data")
    part = tmp_path / "data/train/part-00001.parquet"
    part.unlink() if loss == "remove" else part.write_bytes(b"short")
    make, made = stop_after(99)
    build(tmp_path / "data", make)
    assert made == ["train/part-00001.parquet"]
    assert contents(tmp_path / "data") == before


def test_a_lost_part_that_comes_out_otherwise_is_refused(tmp_path):
    build(tmp_path / "data")
    (tmp_path / "data/train/part-00001.parquet").unlink()

    def make(task):
        made = make_part(task)
        return MadePart(made.data + b" ", made.jets)

    with pytest.raises(DataError, match="is lost, and cannot be made again as it was"):
        build(tmp_path / "data", make)


def test_newer_programs_do_not_make_a_finished_dataset_another_one(tmp_path):
    build(tmp_path / "data", plan={"seed": 1, "versions": {"pythia8mc": "8.316"}})
    build(tmp_path / "data", plan={"seed": 1, "versions": {"pythia8mc": "8.317"}})
    with pytest.raises(DataError, match="other settings"):
        build(tmp_path / "data", plan={"seed": 2, "versions": {"pythia8mc": "8.316"}})


def test_leftovers_of_a_kill_just_before_the_end_are_removed(tmp_path):
    build(tmp_path / "data")
    before = contents(tmp_path / "data")
    (tmp_path / "data/build.json").write_text("{}")
    (tmp_path / "data/build.jsonl").write_text("")
    build(tmp_path / "data")
    assert contents(tmp_path / "data") == before


def test_a_dataset_without_any_jet_is_refused(tmp_path):
    def make_nothing(task):
        return MadePart(encode_part(make_jets([])), 0)

    with pytest.raises(DataError, match="no jet is left to be stored"):
        build(tmp_path / "data", make_nothing)
    assert not (tmp_path / "data" / "dataset.json").exists()
