import threading

import pytest

from jetforge.errors import DataError, JetforgeError
from jetforge.files import locked, whole_file, write_atomically


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(JetforgeError, match=r"^cannot write .*file/below: ") as caught:
        write_atomically(tmp_path / "file" / "below", b"data")
    assert "\n" not in str(caught.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(JetforgeError, match="cannot write"):
        write_atomically(tmp_path / "folder", b"data")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_reasons_do_not_name_the_temporary_file(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(JetforgeError) as caught, whole_file(path) as temporary:
        raise OSError(f"cannot open {temporary}\nfor writing")
    assert str(caught.value) == f"cannot write {path}: cannot open {path}; choose another place, then run again"


def test_a_file_that_is_to_be_kept_is_kept(tmp_path):
    path = tmp_path / "file"
    with whole_file(path, overwrite=False) as temporary:
        temporary.write_bytes(b"first")
    with pytest.raises(JetforgeError, match="is there already"), whole_file(path, overwrite=False):
        pytest.fail("the block is not to run")
    assert path.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_lock_may_be_waited_for(tmp_path):
    order = []

    def second():
        with locked(tmp_path / "lock", None):
            order.append("second")

    with locked(tmp_path / "lock", "busy"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
        with pytest.raises(DataError, match="busy"), locked(tmp_path / "lock", "busy"):
            pass
    thread.join(30)
    assert order == ["first", "second"]
    assert not (tmp_path / "lock").exists()
