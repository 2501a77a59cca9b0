"""Many jets at once: compiled kernels that release the GIL, on as many threads as the process may use."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numba import config

from jetforge.physics.arguments import whole_number

_JETS_PER_TASK = 512


def for_all_jets(
    kernel: Callable[..., Any],
    n_jets: int,
    *arguments: Any,
    num_threads: int | None = None,
    jets_per_task: int = _JETS_PER_TASK,
) -> None:
    """Call kernel(first, last, *arguments) for ranges first <= j < last that together cover all jets.

    Parameters
    ----------
    kernel
        Compiled with ``nogil=True``; writes what it finds for its jets, and nothing else, into arrays among
        the arguments.
    n_jets
        Number of jets; with none the kernel is not called.
    *arguments
        Given to every call.
    num_threads
        Number of threads; by default as many as the process may use (NUMBA_NUM_THREADS if that is set).
    jets_per_task
        Length of a range. Work memory of a kernel lives for one range.

    Raises
    ------
    JetforgeError
        If the number of threads is below 1.
    """
    # Threads of our own: the pools behind numba's prange abort the process when it is forked (as data loaders
    # do) or when two threads call at once.
    threads = (
        int(vars(config)["NUMBA_NUM_THREADS"]) if num_threads is None else whole_number("num_threads", num_threads, 1)
    )
    starts = range(0, n_jets, jets_per_task)
    if threads == 1 or len(starts) == 1:
        for j in starts:
            kernel(j, min(j + jets_per_task, n_jets), *arguments)
    elif len(starts) > 1:
        with ThreadPoolExecutor(threads) as pool:
            tasks = [pool.submit(kernel, j, min(j + jets_per_task, n_jets), *arguments) for j in starts]
            try:
                for task in tasks:
                    task.result()
            except BaseException:  # also Ctrl-C: what has not begun is not begun
                pool.shutdown(wait=False, cancel_futures=True)
                raise
