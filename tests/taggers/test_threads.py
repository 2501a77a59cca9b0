"""Chunks are worked on once each, from any number of threads, also after a fork."""

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numba import njit

from jetforge.taggers._threads import run_chunks


@njit(nogil=True)
def _count(first, last, counts):
    for chunk in range(first, last):
        counts[chunk] += 1


def _counts(num_chunks):
    counts = np.zeros(num_chunks, dtype=np.int64)
    run_chunks(_count, num_chunks, counts)
    return counts


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("num_chunks", [1, 2, 3, 7, 64])
def test_every_chunk_once(num_chunks):
    assert (_counts(num_chunks) == 1).all()


@pytest.mark.usefixtures("threads")
def test_from_several_threads_at_once():
    with ThreadPoolExecutor(4) as pool:
        assert all((counts == 1).all() for counts in pool.map(_counts, [16] * 50))


@pytest.mark.usefixtures("threads")
def test_after_a_fork():
    _counts(8)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert (pool.apply_async(_counts, (8,)).get(timeout=60) == 1).all()


@pytest.mark.usefixtures("threads")
def test_after_an_error_no_thread_works_on():
    done = []

    def fail(first, last):
        if first == 0:
            raise ValueError("broken")
        time.sleep(0.05)
        done.append(last)

    with pytest.raises(ValueError, match="broken"):
        run_chunks(fail, 3)
    assert len(done) == min(torch.get_num_threads(), 3) - 1
