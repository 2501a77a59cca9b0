"""Data frames that pandas wrote to HDF5 with PyTables, in its `table` and its `fixed` layout, read with h5py.

Names of columns are pickled by PyTables: they are read off the pickle's text opcodes, which are never executed.
"""

from __future__ import annotations

import pickletools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, first_line
from jetforge.jets.readers.containers import hdf5_files
from jetforge.jets.readers.contents import Contents

_MOST_COLUMNS = 100_000


class Frame:
    """A data frame in an HDF5 file.

    Parameters
    ----------
    path
        The file.
    key
        The frame's name in it.

    Attributes
    ----------
    columns : tuple of str
        Names of all columns.
    num_rows : int

    Raises
    ------
    DataError
        If there is no such frame, or its description does not fit what is stored.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._file = hdf5_files.open_file(path)
        # What was read last: several columns of the same rows are read one after the other.
        self._last: tuple[tuple[str, int, int], Any] | None = None
        try:
            # Where each column is: its dataset, the field within a row (or none), and the position there.
            self._places: dict[str, tuple[Any, str | None, int]] = {}
            if _has(self._file, f"{key}/table"):
                self._open_table(f"{key}/table")
            elif _has(self._file, f"{key}/block0_values"):
                self._open_fixed(key)
            else:
                raise DataError(f"{path}: no data frame '{key}' in it")
        except BaseException:
            self._file.close()
            raise
        self.columns = tuple(self._places)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, columns: Sequence[str], start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """Return columns for a range of rows, each an array (stop - start,); mostly views into one block.

        Raises
        ------
        DataError
            If a column is not there, or the rows cannot be read.
        """
        missing = [name for name in columns if name not in self._places]
        if missing:
            first = ", ".join(self.columns[:5])
            raise DataError(f"{self.path}: no column {', '.join(missing[:5])}; its first are {first}")
        blocks: dict[str, npt.NDArray[Any]] = {}
        found = {}
        for name in columns:
            dataset, field, position = self._places[name]
            if dataset.name not in blocks:
                blocks[dataset.name] = self._rows(dataset, start, stop)
            block = blocks[dataset.name] if field is None else blocks[dataset.name][field]
            found[name] = block if block.ndim == 1 else block[:, position]
        return found

    def read_block(self, columns: Sequence[str], start: int, stop: int) -> npt.NDArray[Any]:
        """Return columns that lie side by side in one block as an array (stop - start, len(columns)), a view.

        Raises
        ------
        DataError
            If they do not lie side by side, or as in `read`.
        """
        first = self._places.get(columns[0])
        if first is None or any(
            self._places.get(name) != (first[0], first[1], first[2] + i) for i, name in enumerate(columns)
        ):
            stacked = self.read(columns, start, stop)
            return np.stack([stacked[name] for name in columns], axis=1)
        rows = self._rows(first[0], start, stop)
        block = rows if first[1] is None else rows[first[1]]
        return np.asarray(block[:, first[2] : first[2] + len(columns)])

    def _rows(self, dataset: Any, start: int, stop: int) -> Any:
        key = (dataset.name, start, stop)
        if self._last is None or self._last[0] != key:
            self._last = None
            self._last = key, hdf5_files.rows(dataset, self.path, start, stop)
        return self._last[1]

    def _open_table(self, name: str) -> None:
        table = hdf5_files.dataset(self._file, self.path, name, ())
        self.num_rows = len(table)
        if table.dtype.names is None:
            raise DataError(f"{self.path}: '{name}' is not a table of pandas")
        for field in table.dtype.names:
            if field == "index":
                continue
            shape = table.dtype[field].shape
            width = shape[0] if shape else 1
            # A data column carries its own name.
            described = self._attribute(table, f"{field}_kind") if field.startswith("values_block") else None
            columns = [field] if described is None else _pickled_texts(described)
            if len(columns) != width or len(shape) > 1:
                raise DataError(f"{self.path}: '{field}' has {width} columns and {len(columns)} names: damaged")
            self._add(columns, table, field)
        described = self._attribute(self._group(name.rpartition("/")[0]), "non_index_axes")
        self._check_names(_pickled_texts(described) if described is not None else [])

    def _open_fixed(self, key: str) -> None:
        self.num_rows = -1
        for number in range(_MOST_COLUMNS):
            if not _has(self._file, f"{key}/block{number}_values"):
                break
            values = hdf5_files.dataset(self._file, self.path, f"{key}/block{number}_values", (None,))
            items = hdf5_files.dataset(self._file, self.path, f"{key}/block{number}_items", ())
            if self.num_rows not in (-1, len(values)) or len(items) != values.shape[1] or items.dtype.kind != "S":
                raise DataError(f"{self.path}: block {number} of '{key}' does not fit its description: damaged")
            self.num_rows = len(values)
            texts = hdf5_files.rows(items, self.path, 0, len(items)).tolist()
            self._add([text.decode(errors="replace") for text in texts], values, None)
        if _has(self._file, f"{key}/axis0"):
            axis = hdf5_files.dataset(self._file, self.path, f"{key}/axis0", ())
            texts = hdf5_files.rows(axis, self.path, 0, len(axis)).tolist() if axis.dtype.kind == "S" else []
            self._check_names([text.decode(errors="replace") for text in texts])

    def _add(self, columns: Sequence[str], dataset: Any, field: str | None) -> None:
        for position, column in enumerate(columns):
            if column in self._places:
                raise DataError(f"{self.path}: the column '{column}' is there twice: damaged")
            self._places[column] = (dataset, field, position)

    def _check_names(self, names: Sequence[str]) -> None:
        """Refuse names of columns that differ from those of the blocks: pandas writes both."""
        different = sorted(self._places.keys() ^ set(names)) if names else []
        if different:
            raise DataError(
                f"{self.path}: '{different[0]}' is the name of a column in one of its two lists only: damaged"
            )

    def _group(self, name: str) -> Any:
        try:
            return self._file[name]
        except Exception as error:  # as below
            raise DataError(f"{self.path}: '{name}' cannot be read ({first_line(error)})") from None

    def _attribute(self, table: Any, name: str) -> bytes | None:
        try:
            return bytes(table.attrs[name]) if name in table.attrs else None
        except Exception as error:  # h5py raises whatever it likes for damaged attributes
            raise DataError(f"{self.path}: '{name}' cannot be read ({first_line(error)})") from None


def frame_columns(contents: Contents, key: str) -> tuple[str, ...]:
    """Return the names of a frame's columns; none where the file holds no such frame."""
    if contents.container != "hdf5" or not contents.names.keys() & {f"{key}/table", f"{key}/block0_values"}:
        return ()
    frame = Frame(contents.path, key)
    frame.close()
    return frame.columns


def _has(file: Any, name: str) -> bool:
    try:
        return name in file
    except Exception:  # as above
        return False


def _pickled_texts(pickled: bytes) -> list[str]:
    texts = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if "UNICODE" in opcode.name or "STRING" in opcode.name:
                texts.append(argument.decode() if isinstance(argument, bytes) else str(argument))
    except (ValueError, UnicodeDecodeError, AttributeError):
        return []
    return texts
