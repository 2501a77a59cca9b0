"""HDF5 files, opened so that what they claim is checked against what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, first_line
from jetforge.jets.readers.containers.limits import refuse_bomb, refuse_long_rows

# What h5py raises for damaged files has no end.
_BROKEN = (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, OverflowError, MemoryError)
_MOST_NAMES = 10_000
# A chunk is read into memory whole, whatever is asked of it.
_LARGEST_CHUNK = 1 << 30


def open_file(path: Path) -> Any:
    """Open an HDF5 file for reading; compression filters of hdf5plugin (Blosc, Zstandard, LZ4, ...) are known.

    Raises
    ------
    DataError
        If it is no whole HDF5 file.
    """
    import h5py
    import hdf5plugin  # noqa: F401  (registers its filters)

    try:
        return h5py.File(path, "r")
    except _BROKEN as error:
        raise DataError(f"{path}: not a whole HDF5 file ({first_line(error)}); copy it again") from None


def names(path: Path) -> dict[str, str]:
    """Return the datasets of a file by their full names, without a slash before, each with its dtype and shape.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    import h5py

    found: dict[str, str] = {}

    def note(name: str, thing: Any) -> bool | None:
        if isinstance(thing, h5py.Dataset):
            found[name] = f"{thing.dtype} {thing.shape}"
        return True if len(found) >= _MOST_NAMES else None

    with open_file(path) as file:
        try:
            file.visititems(note)
        except _BROKEN as error:
            raise DataError(f"{path}: damaged: {first_line(error)}; copy it again") from None
    return found


def dataset(file: Any, path: Path, name: str, row_shape: Sequence[int | None] | None = None) -> Any:
    """Return a dataset whose claims hold: it fits the file, and its rows have the shape wanted.

    Parameters
    ----------
    file
        What `open_file` returned.
    path
        Named in errors.
    name
        Full name of the dataset.
    row_shape
        Shape of one row, None for any length; None as a whole for any shape.

    Raises
    ------
    DataError
        If there is no such dataset, its type holds Python objects, or it claims more than the file can hold or
        does hold.
    """
    import h5py

    try:
        found = file[name]
        if not isinstance(found, h5py.Dataset) or found.shape is None or found.ndim < 1:
            raise DataError(f"{path}: '{name}' is not a table of rows")
        shape, dtype, chunks = found.shape, found.dtype, found.chunks
        stored = found.id.get_storage_size()
        stored_chunks = None if chunks is None else found.id.get_num_chunks()
    except _BROKEN as error:
        raise DataError(f"{path}: '{name}' cannot be read ({first_line(error)}); copy the file again") from None
    if dtype.hasobject:
        raise DataError(f"{path}: '{name}' is of type {dtype}, not numbers")
    if row_shape is not None and not _fits(shape[1:], row_shape):
        wanted = " x ".join("any" if n is None else str(n) for n in row_shape) or "one number"
        raise DataError(f"{path}: the rows of '{name}' have the shape {shape[1:]}, not {wanted}")
    row_bytes = dtype.itemsize
    for length in shape[1:]:
        row_bytes *= int(length)
    refuse_long_rows(path, f"'{name}'", row_bytes)
    refuse_bomb(path, f"'{name}' of shape {shape}", row_bytes * int(shape[0]), min(stored, path.stat().st_size))
    if chunks is None and stored < row_bytes * int(shape[0]):
        raise DataError(
            f"{path}: '{name}' claims {row_bytes * int(shape[0]):,} bytes and has {stored:,}: cut or damaged"
        )
    if chunks is not None and dtype.itemsize * int(np.prod(chunks, dtype=np.float64)) > _LARGEST_CHUNK:
        raise DataError(f"{path}: '{name}' claims chunks of shape {chunks}: damaged")
    if stored_chunks is not None:
        # HDF5 would give zeros for the others.
        expected = prod(-(-int(n) // int(length)) for n, length in zip(shape, chunks, strict=True))
        if stored_chunks < expected:
            raise DataError(f"{path}: '{name}' has {stored_chunks:,} of its {expected:,} chunks: cut or damaged")
    return found


def rows(found: Any, path: Path, start: int, stop: int) -> npt.NDArray[Any]:
    """Return a range of rows of a dataset, in this machine's byte order.

    Raises
    ------
    DataError
        If they cannot be read, or there are fewer.
    """
    try:
        values = found[start:stop]
    except _BROKEN as error:
        raise DataError(
            f"{path}: rows {start} to {stop} of '{found.name.strip('/')}' cannot be read ({first_line(error)}); "
            "copy the file again"
        ) from None
    if len(values) != stop - start:
        raise DataError(f"{path}: '{found.name.strip('/')}' has {len(found)} rows, not {stop}")
    if values.dtype.names is None and not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return np.asarray(values)


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(w in (None, n) for n, w in zip(shape, wanted, strict=True))
