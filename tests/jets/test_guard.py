"""Work in a process of its own: it may crash, hang or be called by many threads; the caller goes on."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.guard import Guard


@pytest.fixture
def guard():
    with Guard() as guard:
        yield guard


def pid(guard):
    return guard.call(os.getpid, what="it", seconds=60)


def test_results_and_refusals_come_back(guard):
    assert guard.call(np.arange, 5, what="it", seconds=60).tolist() == [0, 1, 2, 3, 4]
    assert pid(guard) == pid(guard) != os.getpid()
    with pytest.raises(
        DataError, match=r"^it: cannot be read \(ZeroDivisionError: .*\): damaged, or not what it seems$"
    ):
        guard.call(divmod, 1, 0, what="it", seconds=60)


@pytest.mark.parametrize(
    ("function", "argument", "message"),
    [
        (os._exit, 3, r"reading it ends the program \(exit 3\)"),
        (os.abort, None, r"reading it ends the program \(SIGABRT\)"),
        (signal.raise_signal, signal.SIGKILL, "was killed: out of memory, or damaged"),
        (time.sleep, 60, r"does not end \(given up after 0.2 s\)"),
    ],
)
def test_a_process_that_ends_or_hangs_is_one_clear_error_and_another_is_started(guard, function, argument, message):
    before = pid(guard)
    with pytest.raises(DataError, match=f"^file.h5: .*{message}"):
        guard.call(function, *([] if argument is None else [argument]), what="file.h5", seconds=0.2)
    assert pid(guard) not in (before, os.getpid())


def test_more_memory_than_there_should_be_is_refused(guard):
    with pytest.raises(DataError, match="takes too much memory: fewer rows at a time"):
        guard.call(np.zeros, 2**40, what="it", seconds=60)


def test_many_threads_get_each_their_own_answer(guard):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: guard.call(np.arange, n, what="it", seconds=60).tolist(), range(60)))
    assert answers == [list(range(n)) for n in range(60)]


def test_files_of_the_user_are_not_taken_for_libraries(tmp_path, monkeypatch):
    (tmp_path / "select.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "numpy.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    with Guard() as guard:
        assert guard.call(np.arange, 2, what="it", seconds=60).tolist() == [0, 1]


def test_a_process_that_cannot_start_is_said_so(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with Guard() as guard, pytest.raises(JetforgeError, match="a process to read files in cannot be started"):
        pid(guard)


def test_what_is_printed_does_not_get_between_the_answers(guard):
    guard.call(print, "noise", what="it", seconds=60)
    assert guard.call(len, "abc", what="it", seconds=60) == 3
