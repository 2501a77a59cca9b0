"""Rows of jets in flat arrays: taken a few at a time, joined, looked up, added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

_Ints = npt.NDArray[np.int64]


def pieces(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    """Return ranges of at most `step` rows that end at multiples of it: at least one, empty if ``start == stop``."""
    return list(pairwise([start, *range(start // step * step + step, stop, step), stop]))


def offsets_of(counts: npt.NDArray[Any]) -> _Ints:
    """Return where each row begins, and where the last one ends, int64 (n_rows + 1,), from the lengths of the rows."""
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def joined_offsets(parts: Sequence[_Ints]) -> _Ints:
    """Return the offsets of rows that follow each other, from those of one or more parts."""
    return offsets_of(np.concatenate([np.diff(offsets) for offsets in parts]))


def joined(
    blocks: Sequence[tuple[_Ints, Mapping[str, npt.NDArray[Any]]]],
) -> tuple[_Ints, dict[str, npt.NDArray[Any]]]:
    """Return the offsets and columns of rows that follow each other, from those of one or more blocks."""
    columns = {name: np.concatenate([block[name] for _, block in blocks]) for name in blocks[0][1]}
    return joined_offsets([offsets for offsets, _ in blocks]), columns


def row_of(place: int, offsets: _Ints) -> int:
    """Return in which row a value is."""
    return int(np.searchsorted(offsets, place, side="right")) - 1


def sums_far_from(
    stated: npt.NDArray[Any], offsets: _Ints, px: npt.NDArray[Any], py: npt.NDArray[Any], factor: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Compare the pT of the sum of each jet's constituents with what is stated.

    Returns
    -------
    far : bool (n_jets,)
        Where the sum is not within the factor of what is stated, which may be NaN.
    sums : float64 (n_jets,)
    """
    sums = np.empty(len(stated), dtype=np.float64)
    _pt_of_sums(offsets, px, py, sums)
    return ~((sums > stated / factor) & (sums < stated * factor)), sums


@njit(cache=True, nogil=True)
def _pt_of_sums(offsets: _Ints, px: npt.NDArray[Any], py: npt.NDArray[Any], sums: npt.NDArray[np.float64]) -> None:
    for jet in range(len(sums)):
        x = y = 0.0
        for k in range(offsets[jet], offsets[jet + 1]):
            x += px[k]
            y += py[k]
        sums[jet] = np.hypot(x, y)
