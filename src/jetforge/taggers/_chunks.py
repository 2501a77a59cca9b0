"""Work on tiles of packed rows, spread over as many threads as PyTorch uses, each with matrix products of its own."""

import os
from collections.abc import Callable, Iterator
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from jetforge.taggers._threads import run_chunks

# Fewer rows than this in a chunk are not worth waking a thread for; more chunks than this help no machine.
_NODES_IN_CHUNK = 128
_MOST_CHUNKS = 32

Tiles = Iterator[tuple[int, int]]


class _NumberOfThreads:
    """PyTorch's number of threads, which one batch at a time may change; a forked child starts with a free lock."""

    def __init__(self) -> None:
        self.lock = Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = Lock()


_number_of_threads = _NumberOfThreads()


class ChunkedNodes:
    """The rows of some jets in chunks of whole jets, which depend on the jets alone.

    Parameters
    ----------
    offsets : array, int64, shape (n_jets + 1,)
        Jet ``j`` owns the rows ``offsets[j]`` to ``offsets[j + 1]``.

    Attributes
    ----------
    jets : array, int64, shape (num_chunks + 1,)
        Chunk ``t`` owns the jets ``jets[t]`` to ``jets[t + 1]``.
    """

    def __init__(self, offsets: NDArray[np.int64]) -> None:
        self.offsets = offsets
        self.num_nodes, num_jets = int(offsets[-1]), len(offsets) - 1
        self.num_chunks = max(1, min(num_jets, self.num_nodes // _NODES_IN_CHUNK, _MOST_CHUNKS))
        cuts = self.num_nodes * np.arange(1, self.num_chunks) // self.num_chunks
        self.jets = np.concatenate([[0], np.searchsorted(offsets, cuts), [num_jets]])

    def run(self, work: Callable[[int], None]) -> None:
        """Call ``work(chunk)`` for every chunk, on as many threads as PyTorch uses, each with products of its own.

        Two threads that each take their own products wait for each other once, those that share every small product
        wait at each.
        """
        inference = torch.is_inference_mode_enabled()

        def share(first: int, last: int) -> None:
            torch.set_num_threads(1)
            # Modes belong to a thread: the caller's tensors can be written in its own mode alone.
            with torch.inference_mode(inference), torch.no_grad(), torch.autocast("cpu", enabled=False):
                for chunk in range(first, last):
                    work(chunk)

        with _number_of_threads.lock:
            threads = torch.get_num_threads()
            try:
                run_chunks(share, self.num_chunks)
            finally:
                torch.set_num_threads(threads)

    def for_tiles(self, step: int, work: Callable[[int, Tiles], None]) -> None:
        """Call ``work(chunk, tiles)`` for every chunk; tiles are its ranges of up to ``step`` rows."""

        def on_chunk(chunk: int) -> None:
            begin, end = (int(self.offsets[jet]) for jet in self.jets[chunk : chunk + 2])
            work(chunk, ((start, min(start + step, end)) for start in range(begin, end, step)))

        self.run(on_chunk)
