"""The columns of a Parquet file, decoded forwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.readers.constituents.ragged import row_of
from jetforge.jets.readers.containers import arrow_files
from jetforge.jets.readers.containers.arrow_batches import Batches
from jetforge.jets.readers.containers.column_tables import LIST, NUMBER, OTHER, TEXT, Lists, Table, class_names, plain

_BATCH_ROWS = 8192


class ParquetTable(Table):
    """The columns of a Parquet file; a column of lists of records is one column a field, ``NAME.FIELD``.

    Rows are decoded batch by batch from where the last range ended, for a row group may be the whole file.
    """

    def __init__(self, path: Path, name: str | None) -> None:
        super().__init__(path)
        if name is not None:
            raise DataError(f"{path}: a Parquet file is one table; leave table ('{name}') out of the mapping")
        self._file = arrow_files.open_file(path)
        self._open = Batches(self._file, path, _BATCH_ROWS)
        self.num_rows = self._file.metadata.num_rows
        self._kinds: dict[str, str] = {}
        for field in self._file.schema_arrow:
            self._add(field.name, field.type)
        self.names = tuple(self._kinds)
        metadata = self._file.schema_arrow.metadata or {}
        self.written_by_us = b"jetforge.units" in metadata
        self.classes = class_names(metadata.get(b"jetforge.classes", b"[]"))

    def kind(self, name: str) -> str | None:
        """Return what a column is; see `Table.kind`."""
        return self._kinds.get(name)

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Return columns for a range of rows; see `Table.read`."""
        homes = {name: self._home(name) for name in names}
        batches = list(self._open.read(tuple(dict.fromkeys(home for home, _ in homes.values())), start, stop))
        return {name: self._column(batches, name, *homes[name], start) for name in names}

    def close(self) -> None:
        """Close the file."""
        self._open.close()
        self._file.close()

    def _add(self, name: str, kind: Any) -> None:
        import pyarrow as pa

        if name in self._kinds:
            raise DataError(f"{self.path}: the column '{name}' is there twice")
        inner = kind.value_type if _is_list(kind) else None
        if inner is not None and pa.types.is_struct(inner):
            for i in range(inner.num_fields):
                self._kinds[f"{name}.{inner.field(i).name}"] = LIST if _is_number(inner.field(i).type) else OTHER
        elif inner is not None:
            self._kinds[name] = LIST if _is_number(inner) else OTHER
        elif _is_text(kind):
            self._kinds[name] = TEXT
        else:
            self._kinds[name] = NUMBER if _is_number(kind) else OTHER

    def _home(self, name: str) -> tuple[str, str | None]:
        """Return the column that a column lies in, and its field there."""
        if name in self._file.schema_arrow.names:
            return name, None
        home, _, field = name.rpartition(".")
        return home, field

    def _column(self, batches: Sequence[Any], name: str, home: str, field: str | None, start: int) -> Any:
        import pyarrow as pa

        chunks = [batch.column(home) for batch in batches]
        row = start
        for chunk in chunks:
            if chunk.null_count:
                first = row + int(np.flatnonzero(chunk.is_null().to_numpy(zero_copy_only=False))[0])
                raise DataError(f"{self.path}: row {first}: '{name}' is missing (null); fill it or leave the row out")
            row += len(chunk)
        if self._kinds[name] != LIST:
            empty: npt.NDArray[Any] = np.zeros(0)
            return np.concatenate([_flat(chunk) for chunk in chunks]) if chunks else empty
        offsets, values = [np.zeros(1, dtype=np.int64)], []
        row = start
        for chunk in chunks:
            inner = chunk.flatten()
            if pa.types.is_fixed_size_list(chunk.type):
                own = np.arange(len(chunk) + 1, dtype=np.int64) * chunk.type.list_size
            else:
                own = np.asarray(chunk.offsets, dtype=np.int64)
                own = own - own[0]
            numbers = inner if field is None else inner.field(field)
            if inner.null_count or numbers.null_count or len(numbers) != own[-1]:
                missing = np.flatnonzero(
                    inner.is_null().to_numpy(zero_copy_only=False) | numbers.is_null().to_numpy(zero_copy_only=False)
                )
                inside = row_of(int(missing[0]), own) if len(missing) else 0
                raise DataError(f"{self.path}: row {row + inside}: a value of '{name}' is missing (null); fill it")
            offsets.append(own[1:] + offsets[-1][-1])
            values.append(_flat(numbers))
            row += len(chunk)
        return Lists(np.concatenate(offsets), np.concatenate(values) if values else np.zeros(0))


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _flat(array: Any) -> npt.NDArray[Any]:
    """Return the numbers or texts of an Arrow array."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _is_text(array.type):
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.str_)
    return plain(array.to_numpy(zero_copy_only=False))
