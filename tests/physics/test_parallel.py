"""Ranges of jets cover all jets once, whatever the number of threads."""

import time

import numpy as np
import numpy.typing as npt
import pytest
from numba import njit

from jetforge.errors import JetforgeError
from jetforge.physics.parallel import for_all_jets


@njit(nogil=True)
def count(first: int, last: int, calls: npt.NDArray[np.int64]) -> None:
    for j in range(first, last):
        calls[j] += 1


@pytest.mark.parametrize("num_threads", [1, 2, 5, None])
@pytest.mark.parametrize("n_jets", [0, 1, 7, 8, 9, 100])
def test_every_jet_is_met_once(n_jets: int, num_threads: int | None) -> None:
    calls = np.zeros(n_jets, dtype=np.int64)
    for_all_jets(count, n_jets, calls, num_threads=num_threads, jets_per_task=8)
    assert calls.tolist() == [1] * n_jets


def test_what_a_kernel_raises_reaches_the_caller() -> None:
    @njit(nogil=True)
    def fail(first: int, last: int) -> None:
        if first > 8:
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        for_all_jets(fail, 40, num_threads=2, jets_per_task=8)


def test_after_an_error_nothing_more_is_begun() -> None:
    begun = []

    def fail(first: int, last: int) -> None:
        begun.append(first)
        time.sleep(0.01)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        for_all_jets(fail, 400, num_threads=2, jets_per_task=1)
    assert len(begun) < 100


def test_no_threads_are_refused() -> None:
    with pytest.raises(JetforgeError, match="num_threads is 0; it must be"):
        for_all_jets(count, 3, np.zeros(3, dtype=np.int64), num_threads=0)
