"""Branches of `std::vector` in ROOT trees, read without a look at single entries, whose headers are all checked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import DataError, first_line
from jetforge.jets.readers.constituents.ragged import offsets_of
from jetforge.jets.readers.containers.column_root import RootTable
from jetforge.jets.readers.containers.column_tables import Lists

# Before the numbers of an entry: its length in bytes with a flag, a version, how many numbers (big-endian).
_HEADER = 10
_FLAG = 0x40000000

_Bytes = npt.NDArray[np.uint8]
_Ints = npt.NDArray[np.int64]


class VectorTable(RootTable):
    """The branches of a tree, those of vectors read faster than by uproot."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name, ())

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Return columns for a range of rows, lists in the byte order of the file; see `Table.read`."""
        try:
            vectors = [name for name in names if _has_vectors(self._tree[name], self.num_rows)]
        except Exception as error:  # uproot decodes bytes in Python: a damaged file raises anything
            raise DataError(
                f"{self.path}: branches cannot be read ({first_line(error)}); copy the file again"
            ) from None
        found: dict[str, Any] = {name: read_vectors(self._tree[name], self.path, start, stop) for name in vectors}
        found |= super().read([name for name in names if name not in found], start, stop)
        return {name: found[name] for name in names}


def _has_vectors(branch: Any, entries: int) -> bool:
    """Say whether a branch holds a `std::vector` of numbers in each entry, and as many entries as its tree."""
    interpretation = branch.interpretation
    if getattr(interpretation, "header_bytes", 0) != _HEADER or int(branch.num_entries) != entries:
        return False
    dtype = getattr(interpretation.content, "from_dtype", None)
    return dtype is not None and dtype.fields is None and dtype.shape == ()


def read_vectors(branch: Any, path: Path, start: int, stop: int) -> Lists:
    """Return the vectors of a range of entries, in the byte order of the file.

    Raises
    ------
    DataError
        If they cannot be read, or contradict their own headers.
    """
    counts, pieces = [np.zeros(0, dtype=np.int64)], []
    try:
        edges = [int(edge) for edge in branch.entry_offsets]
        for number, (first, last) in enumerate(pairwise(edges)):
            if first < stop and last > start:
                basket = branch.basket(number)
                bounds = np.asarray(basket.byte_offsets, dtype=np.int64)
                if len(bounds) != last - first + 1:
                    raise ValueError(f"a basket of {last - first} entries has {len(bounds) - 1}")
                bounds = bounds[max(start - first, 0) : min(stop, last) - first + 1]
                found = _vectors(np.asarray(basket.data), bounds, branch.interpretation.content.from_dtype)
                counts.append(found[0])
                pieces.append(found[1])
    except Exception as error:  # as above
        raise DataError(
            f"{path}: entries {start} to {stop} of branch '{branch.name}' cannot be read ({first_line(error)}); "
            "copy the file again"
        ) from None
    joined = np.concatenate(counts)
    if len(joined) != stop - start:
        raise DataError(
            f"{path}: branch '{branch.name}' has {len(joined)} of the entries {start} to {stop}: cut or damaged"
        )
    dtype = branch.interpretation.content.from_dtype
    return Lists(offsets_of(joined), np.concatenate(pieces) if pieces else np.zeros(0, dtype=dtype))


def _vectors(data: _Bytes, bounds: _Ints, dtype: np.dtype[Any]) -> tuple[_Ints, npt.NDArray[Any]]:
    counts = np.empty(len(bounds) - 1, dtype=np.int64)
    wrong = _counts(data, bounds, dtype.itemsize, counts)
    if wrong >= 0:
        raise ValueError(f"entry {wrong} of a basket is not as long as it says")
    values = np.empty(int(counts.sum()) * dtype.itemsize, dtype=np.uint8)
    _copy(data, bounds, values)
    return counts, values.view(dtype)


@njit(cache=True, nogil=True)
def _counts(data: _Bytes, bounds: _Ints, itemsize: int, counts: _Ints) -> int:
    """Fill in how many values each entry has; return the first entry that contradicts itself, or -1."""
    for entry in range(len(counts)):
        at, end = bounds[entry], bounds[entry + 1]
        if at < 0 or end > len(data) or end - at < _HEADER:
            return entry
        length = number = np.int64(0)
        for k in range(4):
            length = 256 * length + data[at + k]
            number = 256 * number + data[at + 6 + k]
        if length != _FLAG + end - at - 4 or number * itemsize != end - at - _HEADER:
            return entry
        counts[entry] = number
    return -1


@njit(cache=True, nogil=True)
def _copy(data: _Bytes, bounds: _Ints, values: _Bytes) -> None:
    to = 0
    for entry in range(len(bounds) - 1):
        # Loops over slices become copies of many bytes at a time.
        source = data[bounds[entry] + _HEADER : bounds[entry + 1]]
        target = values[to : to + len(source)]
        for k in range(len(source)):
            target[k] = source[k]
        to += len(source)
