import errno
import subprocess
import sys
from unittest.mock import Mock

import pytest
from helpers.datasets import write_dataset

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.writers import export, get_writer, list_writers

FORMATS = ("parquet", "root", "toptag")


def test_formats_are_found_by_name():
    assert list_writers() == list(FORMATS)
    assert [get_writer(name).__name__ for name in FORMATS] == ["ParquetWriter", "RootWriter", "TopTagWriter"]
    with pytest.raises(JetforgeError, match="'parqet' is no format that can be written; did you mean 'parquet'"):
        get_writer("parqet")
    with pytest.raises(JetforgeError, match="there are parquet, root, toptag"):
        get_writer("xyz")


@pytest.mark.parametrize("to", FORMATS)
def test_progress_counts_jets_and_the_file_is_alone(tmp_path, to):
    dataset = write_dataset(tmp_path / "data")
    seen = []
    exported = export(dataset, tmp_path / "new" / "out", to, on_progress=lambda p: seen.append((p.done, p.total)))
    assert exported.jets == 175
    assert seen[0] == (0, 175)
    assert seen[-1] == (175, 175)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


@pytest.mark.parametrize("to", FORMATS)
def test_a_file_that_is_there_is_left_alone(tmp_path, to):
    dataset = write_dataset(tmp_path / "data")
    out = tmp_path / "out"
    out.write_text("years of work")
    with pytest.raises(JetforgeError, match="is there already; choose another name"):
        export(dataset, out, to)
    assert out.read_text() == "years of work"
    with pytest.raises(JetforgeError, match="is a directory"):
        export(dataset, tmp_path, to)


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path, monkeypatch, hard_links):
    """Two exports to one file at the same time: the first to finish has it, the other says so."""
    dataset = write_dataset(tmp_path / "data")
    if not hard_links:
        monkeypatch.setattr("os.link", Mock(side_effect=PermissionError(errno.EPERM, "Operation not permitted")))
    first, seconds = tmp_path / "out" / "file", []

    def export_again(progress):
        if progress.done == progress.total:
            first.write_bytes(b"of the other")
            seconds.append(progress)

    with pytest.raises(JetforgeError, match=r"/out/file: is there already; choose another name"):
        export(dataset, first, "parquet", on_progress=export_again)
    assert len(seconds) == 1
    assert first.read_bytes() == b"of the other"
    assert [path.name for path in first.parent.iterdir()] == ["file"]
    assert export(dataset, tmp_path / "out" / "new", "parquet").jets == 175
    assert sorted(path.name for path in first.parent.iterdir()) == ["file", "new"]


@pytest.mark.parametrize("to", FORMATS)
def test_a_place_that_cannot_be_written_is_named_as_it_was_given(tmp_path, to):
    dataset = write_dataset(tmp_path / "data")
    # The longest name that there may be leaves no room for a temporary one.
    out = tmp_path / ("x" * 255)
    with pytest.raises(JetforgeError) as caught:
        export(dataset, out, to)
    assert str(caught.value) == f"cannot write {out}: File name too long; choose another place, then run again"


@pytest.mark.parametrize("to", FORMATS)
def test_what_is_damaged_leaves_no_file(tmp_path, to):
    dataset = write_dataset(tmp_path / "data")
    part = tmp_path / "data/test/part-00000.parquet"
    part.write_bytes(part.read_bytes()[::-1])
    with pytest.raises(DataError, match="checksum differs"):
        export(dataset, tmp_path / "out" / "file", to)
    assert list((tmp_path / "out").iterdir()) == []


def test_splits_without_jets_are_named(tmp_path):
    dataset = write_dataset(tmp_path / "data", {"train": [5]})
    with pytest.raises(DataError, match=r"no jets in split 'test'; take a split with jets \(train\)"):
        export(dataset, tmp_path / "out", "root", split="test")
    with pytest.raises(DataError, match="unknown split 'testing'; there are train, val, test"):
        export(dataset, tmp_path / "out", "root", split="testing")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import jetforge
from jetforge.jets.writers import export

# A file that may not grow is what a full disk looks like to the program.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
dataset = jetforge.open(sys.argv[1])
for to, size in (("parquet", 3000), ("root", 3000), ("toptag", 50), ("toptag", 3000), ("toptag", 20000)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        export(dataset, Path(sys.argv[2]) / "file", to)
    except jetforge.JetforgeError as error:
        print(error)
"""


def test_a_full_disk_is_one_line_and_leaves_no_file(tmp_path):
    write_dataset(tmp_path / "data")
    command = [sys.executable, "-c", FULL_DISK, tmp_path / "data", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 5, done.stdout
    for line in lines:
        assert line.startswith(f"cannot write {tmp_path}/out/file: ")
        assert "free space" in line
    assert list((tmp_path / "out").iterdir()) == []
