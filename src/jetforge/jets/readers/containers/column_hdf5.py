"""The datasets of an HDF5 file as columns, of which lists have a fixed length."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from jetforge.errors import DataError, first_line
from jetforge.jets.readers.column_mapping import nearest
from jetforge.jets.readers.containers import hdf5_files
from jetforge.jets.readers.containers.column_tables import LIST, NUMBER, OTHER, TEXT, Table, plain

_INDEXED = re.compile(r"(.+)\[(\d+)\]")


class Hdf5Table(Table):
    """The datasets of an HDF5 file or of a group in it."""

    def __init__(self, path: Path, name: str | None) -> None:
        super().__init__(path)
        prefix = "" if name is None else f"{name.strip('/')}/"
        found = hdf5_files.names(path)
        self.names = tuple(full.removeprefix(prefix) for full in found if full.startswith(prefix))
        if not self.names:
            groups = sorted({full.rpartition("/")[0] for full in found} - {""})
            raise self.no_table(name, groups) if name is not None else DataError(f"{path}: holds no datasets")
        self._prefix = prefix
        self._file = hdf5_files.open_file(path)
        self._datasets: dict[str, Any] = {}
        self.num_rows = 0

    def kind(self, name: str) -> str | None:
        """Return what a column is; see `Table.kind`."""
        found = self._find(name)
        if found is None:
            return None
        home, field, index = found
        if self._is_odd(home):
            return OTHER
        dataset = self._dataset(home)
        kind = dataset.dtype if field is None else dataset.dtype[field]
        inner = dataset.ndim + len(kind.shape) - (index is not None)
        kind = kind.base
        if kind.kind == "S":
            return TEXT if inner == 1 else OTHER
        return {1: NUMBER, 2: LIST}.get(inner, OTHER) if kind.kind in "iufb" else OTHER

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Return columns for a range of rows; see `Table.read`."""
        blocks: dict[str, npt.NDArray[Any]] = {}
        columns = {}
        for name in names:
            found = self._find(name)
            if found is None:
                raise DataError(f"{self.path}: no dataset '{name}'; {nearest(name, self.names)}")
            home, field, index = found
            if home not in blocks:
                blocks[home] = hdf5_files.rows(self._dataset(home), self.path, start, stop)
            block = blocks[home] if field is None else blocks[home][field]
            columns[name] = plain(block if index is None else block[..., index])
        return columns

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _find(self, name: str) -> tuple[str, str | None, int | None] | None:
        """Return the dataset that a column lies in, and the field or the position there."""
        if name in self.names:
            return name, None, None
        indexed = _INDEXED.fullmatch(name)
        if indexed and indexed[1] in self.names:
            dataset = self._dataset(indexed[1])
            return (indexed[1], None, int(indexed[2])) if int(indexed[2]) < dataset.shape[-1] else None
        home, _, field = name.rpartition(".")
        if home in self.names and field in (self._dataset(home).dtype.names or ()):
            return home, field, None
        return None

    def _is_odd(self, home: str) -> bool:
        """Say whether a dataset is a single value, or holds what are no numbers: notes beside the jets."""
        try:
            found = self._file[f"{self._prefix}{home}"]
            return not found.shape or bool(found.dtype.hasobject)
        except Exception as error:  # h5py raises whatever it likes for damaged files
            raise DataError(
                f"{self.path}: '{home}' cannot be read ({first_line(error)}); copy the file again"
            ) from None

    def _dataset(self, home: str) -> Any:
        if home not in self._datasets:
            found = hdf5_files.dataset(self._file, self.path, f"{self._prefix}{home}")
            first = next(iter(self._datasets.items()), (home, found))
            if len(found) != len(first[1]):
                raise DataError(f"{self.path}: '{home}' has {len(found)} rows, '{first[0]}' {len(first[1])}")
            self._datasets[home] = found
            self.num_rows = len(found)
        return self._datasets[home]
