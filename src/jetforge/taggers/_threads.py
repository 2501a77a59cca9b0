"""Numba kernels over many jets, spread over as many threads as PyTorch uses.

The work is cut into chunks that depend on the jets alone, each chunk writes its own results, and sums over
chunks are taken in order: the outcome is the same for any number of threads. Plain threads are used instead
of numba's own because those must not be entered from two threads at once, nor be used after a fork.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return the threads of this process; a forked child gets its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"jetforge-{process}")


def run_chunks(kernel: Callable[..., None], num_chunks: int, *arguments: Any) -> None:
    """Call ``kernel(first, last, *arguments)`` for ranges that together cover all chunks.

    Parameters
    ----------
    kernel : callable
        A numba kernel that releases the GIL and works on the chunks ``first`` to ``last``.
    num_chunks : int
        Number of chunks.
    *arguments
        Passed on to the kernel.
    """
    threads = min(torch.get_num_threads(), num_chunks)
    if threads <= 1:
        kernel(0, num_chunks, *arguments)
        return
    cuts = [num_chunks * thread // threads for thread in range(threads + 1)]
    pool = _pool(os.getpid(), torch.get_num_threads())
    others = [pool.submit(kernel, first, last, *arguments) for first, last in pairwise(cuts[1:])]
    try:
        kernel(0, cuts[1], *arguments)
    finally:
        wait(others)  # also after an error: they write to the caller's arrays
    for other in others:
        other.result()
