"""From rows of fixed length, filled up with padding, to ragged constituents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit


@njit(cache=True, nogil=True)
def _nonzero(keep: npt.NDArray[np.bool_], values: npt.NDArray[Any]) -> None:
    for row in range(values.shape[0]):
        for place in range(values.shape[1]):
            if values[row, place] != 0:
                keep[row, place] = True


@njit(cache=True, nogil=True)
def _offsets(keep: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int64]) -> bool:
    """Fill in the offsets; say whether what is kept is the beginning of every row."""
    total, beginnings = 0, True
    for row in range(keep.shape[0]):
        places = keep[row]
        count = there = 0
        for place in range(len(places)):
            count += places[place]
        beginning = places[:count]
        for place in range(len(beginning)):
            there += beginning[place]
        beginnings = beginnings and there == count
        total += count
        offsets[row + 1] = total
    return beginnings


@njit(cache=True, nogil=True)
def _fill_from_beginnings(offsets: npt.NDArray[np.int64], values: npt.NDArray[Any], filled: npt.NDArray[Any]) -> None:
    for row in range(len(offsets) - 1):
        # Loops over slices become copies of many bytes at a time.
        target = filled[offsets[row] : offsets[row + 1]]
        source = values[row, : len(target)]
        for place in range(len(target)):
            target[place] = source[place]


@njit(cache=True, nogil=True)
def _fill(keep: npt.NDArray[np.bool_], values: npt.NDArray[Any], filled: npt.NDArray[Any]) -> None:
    at = 0
    for row in range(keep.shape[0]):
        for place in range(keep.shape[1]):
            filled[at] = values[row, place]
            at += keep[row, place]


@njit(cache=True, nogil=True)
def _unwoven(block: Any, offsets: npt.NDArray[np.int64], filled: Any) -> None:
    at = 0
    for row in range(block.shape[0]):
        for place in range(0, block.shape[1], 4):
            a, b, c, d = block[row, place], block[row, place + 1], block[row, place + 2], block[row, place + 3]
            filled[0, at], filled[1, at], filled[2, at], filled[3, at] = a, b, c, d
            at += (a != 0) | (b != 0) | (c != 0) | (d != 0)
        offsets[row + 1] = at


def unwoven(block: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Take apart rows in which the four numbers of one constituent lie side by side, and leave out padding.

    Parameters
    ----------
    block
        (n_rows, 4 * length), of any strides; a place whose numbers are all zero is padding (NaN is not zero).

    Returns
    -------
    offsets : int64 (n_rows + 1,)
    columns : array (4, n_constituents)
    """
    offsets = np.zeros(len(block) + 1, dtype=np.int64)
    # One place more: a padding place is written, and overwritten by what comes next.
    filled = np.empty((4, block.size // 4 + 1), dtype=block.dtype)
    _unwoven(block, offsets, filled)
    return offsets, filled[:, : offsets[-1]]


def not_all_zero(*columns: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return, for arrays of shape (n_rows, length), where any of them is not zero (NaN is not zero)."""
    keep = np.zeros(columns[0].shape, dtype=np.bool_)
    for column in columns:
        _nonzero(keep, column)
    return keep


def without_padding(
    keep: npt.NDArray[np.bool_], columns: Mapping[str, npt.NDArray[Any]]
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    """Keep some places of every row.

    Parameters
    ----------
    keep
        bool (n_rows, length).
    columns
        Arrays of the same shape, of any type and strides.

    Returns
    -------
    offsets : int64 (n_rows + 1,)
    columns : dict
        The kept values, row after row, each of its column's type.
    """
    offsets = np.zeros(len(keep) + 1, dtype=np.int64)
    beginnings = _offsets(keep, offsets)
    size = int(offsets[-1])
    filled = {}
    for name, values in columns.items():
        # One place more, as above.
        out = np.empty(size + 1, dtype=values.dtype)
        if beginnings:
            _fill_from_beginnings(offsets, values, out)
        else:
            _fill(keep, values, out)
        filled[name] = out[:size]
    return offsets, filled
