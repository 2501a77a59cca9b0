"""Downloads from a server that stalls, truncates, lies, forgets and recovers: a file comes whole or not at all."""

import fcntl
import hashlib
import json
import os
import shutil
import time
import zlib
from collections import namedtuple
from urllib.error import HTTPError
from urllib.request import Request

import pytest
from helpers.file_server import (
    dripping,
    file_server,
    of_length,
    of_no_length,
    other,
    part_from,
    stalled,
    status,
    truncated,
    well,
    without_parts,
)

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.public import Patience, PublicFile, PublicSet, fetch, fetch_set
from jetforge.jets.public.transfer import _Redirects

CONTENT = bytes(range(256)) * 40
SUM = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(stall=20, tries=3, pause=0.01)
IMPATIENT = Patience(stall=0.5, tries=3, pause=0.01)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with file_server() as running:
        running.files["/a.h5"] = CONTENT
        yield running


@pytest.fixture
def file(server):
    return PublicFile(name="a.h5", url=f"{server.url}/a.h5", size=len(CONTENT), checksum=f"sha256:{SUM}")


def bare(file):
    """Return a file of which nothing is known but its address."""
    return file.model_copy(update={"size": None, "checksum": None})


def fetch_one(file, folder, patience=QUICK, **settings):
    (found,) = fetch([file], folder, patience=patience, **settings)
    return found


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_whole(folder):
    assert (folder / "a.h5").read_bytes() == CONTENT
    assert (folder / "a.h5.sha256").read_text() == f"{SUM}  a.h5\n"
    assert not [name for name in names(folder) if ".part" in name]


def test_a_file_comes_with_its_checksum_and_is_not_fetched_again(server, file, tmp_path):
    folder = tmp_path / "new" / "folder"
    seen = []
    found = fetch_one(file, folder, on_progress=seen.append)
    assert_whole(folder)
    assert (found.sha256, found.size, found.verified, found.was_there) == (SUM, len(CONTENT), True, False)
    assert [(one.done, one.total) for one in seen if not one.checking][-1] == (len(CONTENT), len(CONTENT))
    assert (seen[-1].checking, seen[-1].done, seen[-1].number, seen[-1].files) == (True, len(CONTENT), 1, 1)
    changed = (folder / "a.h5").stat().st_mtime_ns
    (folder / "a.h5.sha256").unlink()
    assert fetch_one(file, folder).was_there
    assert len(server.asked) == 1
    assert (folder / "a.h5").stat().st_mtime_ns == changed
    assert_whole(folder)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512", "adler32"])
def test_every_checksum_is_compared(file, tmp_path, algorithm):
    right = f"{zlib.adler32(CONTENT):08x}" if algorithm == "adler32" else hashlib.new(algorithm, CONTENT).hexdigest()
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    with pytest.raises(DataError, match=f"{algorithm} is {right}, the catalogue says {wrong}"):
        fetch_one(file.model_copy(update={"checksum": f"{algorithm}:{wrong}"}), tmp_path)
    fetch_one(file.model_copy(update={"checksum": f"{algorithm}:{right}"}), tmp_path)
    assert_whole(tmp_path)


@pytest.mark.parametrize("cut", [truncated(1000), stalled(1000)])
@pytest.mark.parametrize("known", [True, False])
def test_what_breaks_off_goes_on_where_it_stopped(server, file, tmp_path, cut, known):
    server.answers["/a.h5"] = [cut, cut]
    fetch_one(file if known else bare(file), tmp_path, IMPATIENT)
    assert_whole(tmp_path)
    assert server.ranges("/a.h5") == ["", "bytes=1000-", "bytes=2000-"]


def test_a_drip_is_a_stall(server, file, tmp_path):
    server.answers["/a.h5"] = [dripping(0.05)]
    began = time.monotonic()
    fetch_one(file, tmp_path, IMPATIENT)
    assert time.monotonic() - began < 10
    assert_whole(tmp_path)
    assert len(server.asked) == 2


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(server, file, tmp_path):
    server.answers["/a.h5"] = [truncated(1000), without_parts]
    fetch_one(file, tmp_path)
    assert_whole(tmp_path)


@pytest.mark.parametrize("answer", [truncated(1000, parts=False), stalled(0), status(503), of_length(len(CONTENT) + 5)])
def test_tries_are_bounded_and_nothing_gets_the_final_name(server, file, tmp_path, answer):
    server.answers["/a.h5"] = [answer] * 10
    wanted = bare(file)
    with pytest.raises(DataError, match=rf"{file.url}: .*\(3 tries\).*run the same command again") as caught:
        fetch_one(wanted, tmp_path, IMPATIENT)
    assert len(server.asked) == 3
    assert "\n" not in str(caught.value)
    assert set(names(tmp_path)) <= {"a.h5.part", "a.h5.part.json"}


def test_progress_forgives_failures(server, file, tmp_path):
    content = os.urandom(6 << 20)
    server.files["/a.h5"] = content
    server.answers["/a.h5"] = [truncated(1 << 20)] * 5
    wanted = file.model_copy(update={"size": len(content), "checksum": f"sha256:{hashlib.sha256(content).hexdigest()}"})
    fetch_one(wanted, tmp_path)
    assert (tmp_path / "a.h5").read_bytes() == content


def test_a_later_call_goes_on(server, file, tmp_path):
    server.answers["/a.h5"] = [truncated(1000)] + [status(500)] * 2
    with pytest.raises(DataError, match="500"):
        fetch_one(file, tmp_path)
    assert (tmp_path / "a.h5.part").read_bytes() == CONTENT[:1000]
    server.asked.clear()
    fetch_one(file, tmp_path)
    assert server.ranges("/a.h5") == ["bytes=1000-"]
    assert_whole(tmp_path)


def left_behind(file, folder, content, version='"old"', url=None):
    (folder / "a.h5.part").write_bytes(content)
    note = {"url": url or file.url, "version": version}
    (folder / "a.h5.part.json").write_text(json.dumps(note))


def test_a_file_that_has_changed_since_is_read_from_the_beginning(server, file, tmp_path):
    left_behind(file, tmp_path, b"x" * 500)
    fetch_one(bare(file), tmp_path)
    assert_whole(tmp_path)
    assert server.ranges("/a.h5") == ["bytes=500-"]


def test_a_part_of_unknown_origin_is_not_continued(server, file, tmp_path):
    server.tagged = False
    left_behind(file, tmp_path, b"x" * 500, version="")
    fetch_one(bare(file), tmp_path)
    assert_whole(tmp_path)
    (tmp_path / "a.h5").unlink()
    left_behind(file, tmp_path, b"x" * 500, url=f"{server.url}/else")
    fetch_one(file, tmp_path)
    (tmp_path / "a.h5").unlink()
    (tmp_path / "a.h5.part").write_bytes(b"x" * 500)
    (tmp_path / "a.h5.part.json").write_text("nonsense")
    fetch_one(file, tmp_path)
    assert_whole(tmp_path)
    assert server.ranges("/a.h5") == [""] * 3


def test_a_part_that_is_complete_is_checked_and_taken(server, file, tmp_path):
    left_behind(file, tmp_path, CONTENT)
    fetch_one(file, tmp_path)
    assert server.asked == []
    assert_whole(tmp_path)
    (tmp_path / "a.h5").rename(tmp_path / "a.h5.part")
    left_behind(file, tmp_path, CONTENT)
    fetch_one(bare(file), tmp_path)
    assert server.ranges("/a.h5") == [f"bytes={len(CONTENT)}-"]
    assert_whole(tmp_path)


def test_a_part_that_is_too_long_is_read_from_the_beginning(server, file, tmp_path):
    for wanted in (file, bare(file)):
        left_behind(file, tmp_path, CONTENT + b"more")
        fetch_one(wanted, tmp_path)
        assert_whole(tmp_path)
        (tmp_path / "a.h5").unlink()


def test_another_part_than_asked_for_is_not_taken(server, file, tmp_path):
    server.answers["/a.h5"] = [truncated(1000), part_from(900), well]
    fetch_one(file, tmp_path)
    assert_whole(tmp_path)
    assert server.ranges("/a.h5") == ["", "bytes=1000-", ""]


def test_other_bytes_are_set_aside(server, file, tmp_path):
    wrong = bytes(len(CONTENT))
    server.answers["/a.h5"] = [other(wrong)]
    with pytest.raises(DataError, match=r"sha256 is .*set aside as .*a.h5.damaged"):
        fetch_one(file, tmp_path)
    assert names(tmp_path) == ["a.h5.damaged"]
    assert (tmp_path / "a.h5.damaged").read_bytes() == wrong
    fetch_one(file, tmp_path)
    assert_whole(tmp_path)


def test_another_length_than_the_catalogues_is_refused_at_once(server, file, tmp_path):
    left_behind(file, tmp_path, CONTENT[:100])
    for count in (5, len(CONTENT) + 5):
        server.answers["/a.h5"] = [of_length(count)]
        with pytest.raises(DataError, match=rf"the server has [\d,]+ bytes, the catalogue says {len(CONTENT):,}"):
            fetch_one(file, tmp_path)
    assert len(server.asked) == 2
    assert (tmp_path / "a.h5.part").read_bytes() == CONTENT[:100], "what had come is kept"


def test_a_server_that_states_no_length_is_believed_as_far_as_the_catalogue_goes(server, file, tmp_path):
    server.answers["/a.h5"] = [of_no_length]
    fetch_one(file, tmp_path)
    assert_whole(tmp_path)
    (tmp_path / "a.h5").unlink()
    server.answers["/a.h5"] = [of_no_length]
    with pytest.raises(DataError, match="more than 100 bytes come"):
        fetch_one(file.model_copy(update={"size": 100}), tmp_path)
    server.answers["/a.h5"] = [of_no_length] * 10
    with pytest.raises(DataError, match="ended after"):
        fetch_one(file.model_copy(update={"size": len(CONTENT) + 1}), tmp_path)


def test_a_web_page_is_not_the_file(server, file, tmp_path):
    server.answers["/a.h5"] = [status(200, b"<html>please log in", Content_Type="text/html; charset=utf-8")]
    with pytest.raises(DataError, match="a web page comes instead"):
        fetch_one(bare(file), tmp_path)
    assert names(tmp_path) == []


def test_what_is_not_there_is_said_at_once(server, file, tmp_path):
    with pytest.raises(DataError, match=r"b.h5: the server answers 404 Not Found; see the page"):
        fetch_one(file.model_copy(update={"url": f"{server.url}/b.h5"}), tmp_path)
    assert len(server.asked) == 1
    assert names(tmp_path) == []


def test_a_server_in_trouble_is_asked_again(server, file, tmp_path):
    server.answers["/a.h5"] = [status(500), status(429, Retry_After="0")]
    fetch_one(file, tmp_path)
    assert_whole(tmp_path)


def test_nobody_there_is_one_clear_error(file, tmp_path):
    with file_server() as gone:
        url = f"{gone.url}/a.h5"
    with pytest.raises(DataError, match=r"connection refused \(3 tries\)"):
        fetch_one(file.model_copy(update={"url": url}), tmp_path)
    assert names(tmp_path) == []


def test_redirects_are_followed_over_the_web_only(server, file, tmp_path):
    server.files["/old"] = server.files["/loop"] = b""
    server.answers["/old"] = [status(302, Location="/a.h5"), status(302, Location="file:///etc/hostname")]
    server.answers["/loop"] = [status(302, Location="/loop")] * 50
    moved = file.model_copy(update={"url": f"{server.url}/old"})
    server.answers["/a.h5"] = [truncated(1000)]
    server.answers["/old"].insert(1, status(301, Location=f"{server.url}/a.h5"))
    fetch_one(moved, tmp_path)
    assert_whole(tmp_path)
    assert server.ranges("/a.h5") == ["", "bytes=1000-"]
    (tmp_path / "a.h5").unlink()
    for path in ("/old", "/loop"):
        with pytest.raises(DataError, match=r"30[12]"):
            fetch_one(file.model_copy(update={"url": server.url + path}), tmp_path)
    with pytest.raises(DataError, match="unknown url type"):
        fetch_one(file.model_copy(update={"url": "ftp://127.0.0.1/a.h5"}), tmp_path)
    assert not (tmp_path / "a.h5").exists()


def test_a_redirect_does_not_leave_encryption():
    with pytest.raises(HTTPError, match="not https"):
        _Redirects().redirect_request(Request("https://a.org/x"), None, 302, "Found", {}, "http://a.org/x")


def test_a_file_in_the_way_is_kept(server, file, tmp_path):
    (tmp_path / "a.h5").write_bytes(b"my own")
    with pytest.raises(DataError, match=r"a.h5: is there already, but it has 6 bytes.*remove it"):
        fetch_one(file, tmp_path)
    with pytest.raises(DataError, match="nothing says whether it is whole"):
        fetch_one(bare(file), tmp_path)
    (tmp_path / "a.h5.sha256").write_text("0" * 64 + "  a.h5\n")
    with pytest.raises(DataError, match="SHA-256 is not the one"):
        fetch_one(bare(file), tmp_path)
    (tmp_path / "a.h5.sha256").write_text(hashlib.sha256(b"my own").hexdigest())
    assert not fetch_one(bare(file), tmp_path).verified
    assert (tmp_path / "a.h5").read_bytes() == b"my own"
    assert server.asked == []
    (tmp_path / "a.h5").unlink()
    (tmp_path / "a.h5").mkdir()
    with pytest.raises(DataError, match="is in the way"):
        fetch_one(file, tmp_path)


def test_a_full_disk_is_noticed_before_and_meanwhile(server, file, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(len(CONTENT) - 1))
    with pytest.raises(JetforgeError, match=r"what is to be fetched needs .* free space"):
        fetch_one(file, tmp_path)
    assert server.asked == []
    with pytest.raises(JetforgeError, match=r"a.h5 needs .* free space"):
        fetch_one(bare(file), tmp_path)
    left_behind(file, tmp_path, CONTENT[:100])
    fetch_one(file, tmp_path)
    assert_whole(tmp_path)


def test_a_place_that_cannot_be_written_is_named(server, file, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JetforgeError, match=f"cannot write {tmp_path}/file"):
        fetch_one(file, tmp_path / "file")
    (tmp_path / "a.h5.part").mkdir()
    with pytest.raises(JetforgeError, match=r"cannot write .*a.h5.part"):
        fetch_one(file, tmp_path)


def test_two_processes_do_not_write_one_file(server, file, tmp_path):
    with (tmp_path / "a.h5.part").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is fetching this file"):
            fetch_one(file, tmp_path)
    fetch_one(file, tmp_path)
    assert_whole(tmp_path)


def test_an_interruption_keeps_what_has_come(server, file, tmp_path):
    server.answers["/a.h5"] = [stalled(1000)]

    def interrupt(progress):
        if progress.done == 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_one(file, tmp_path, on_progress=interrupt)
    assert (tmp_path / "a.h5.part").read_bytes() == CONTENT[:1000]
    fetch_one(file, tmp_path)
    assert_whole(tmp_path)


def test_a_failure_leaves_the_files_before_it(server, file, tmp_path):
    missing = file.model_copy(update={"name": "b.h5", "url": f"{server.url}/b.h5"})
    with pytest.raises(DataError, match="404"):
        fetch([file, missing], tmp_path, patience=QUICK)
    assert_whole(tmp_path)
    with pytest.raises(DataError, match=r"two files to be fetched are called a.h5"):
        fetch([file, file], tmp_path, patience=QUICK)


def test_lists_are_fetched_and_followed(server, file, tmp_path):
    server.files["/index.json"] = json.dumps(
        [{"uri": file.url, "size": file.size, "checksum": f"adler32:{zlib.adler32(CONTENT):08x}"},
         {"uri": f"{server.url}/b.h5", "size": 3, "checksum": "adler32:00000001"}]
    ).encode()  # fmt: skip
    described = PublicSet(
        name="listed", title="listed", format="columns", citation="none", page=server.url,
        lists=[{"name": "index.json", "url": f"{server.url}/index.json", "form": "cern", "group": "train"}],
    )  # fmt: skip
    (found,) = fetch_set(described, tmp_path, ["a.*"], patience=QUICK)
    assert (found.path, found.verified) == (tmp_path / "a.h5", True)
    assert_whole(tmp_path)
    with pytest.raises(DataError, match="404"):
        fetch_set(described, tmp_path, ["train"], patience=QUICK)
    nothing = described.model_copy(update={"lists": ()})
    with pytest.raises(JetforgeError, match=f"listed: its files have no direct addresses; get them from {server.url}"):
        fetch_set(nothing, tmp_path)


def test_patience_is_sensible():
    for wrong in ({"stall": 0}, {"tries": 0}, {"pause": -1}):
        with pytest.raises(JetforgeError, match="a stall is longer than 0 s"):
            Patience(**wrong)
