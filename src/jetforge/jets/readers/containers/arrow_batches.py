"""Rows of a Parquet file, decoded forwards: its row groups may be as large as the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jetforge.errors import DataError, first_line


class Batches:
    """Ranges of rows of an open Parquet file, each going on where the last one with the same columns ended.

    Only to go back, decoding begins anew, at the beginning of a row group.

    Parameters
    ----------
    file
        What `arrow_files.open_file` returned.
    path
        Named in errors.
    batch_rows
        Rows decoded at a time.
    """

    def __init__(self, file: Any, path: Path, batch_rows: int) -> None:
        self._file, self._path, self._batch_rows = file, path, batch_rows
        metadata = file.metadata
        self._edges = np.cumsum([0, *(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))])
        # Of each set of columns what comes, what is left of the last batch, and the row where that begins.
        self._streams: dict[tuple[str, ...], tuple[Iterator[Any], Any, int]] = {}

    def read(self, columns: tuple[str, ...], start: int, stop: int) -> Iterator[Any]:
        """Yield record batches that hold exactly the rows ``start <= row < stop``.

        Raises
        ------
        DataError
            If they cannot be read, or there are fewer.
        """
        import pyarrow as pa

        batches, left, at = self._streams.pop(columns, (iter(()), None, -1))
        group = int(np.searchsorted(self._edges, start, side="right")) - 1
        if not self._edges[group] <= at <= start:
            batches, left, at = self._stream(columns, group), None, int(self._edges[group])
        while at < stop:
            try:
                batch = left if left is not None else next(batches, None)
            except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
                raise DataError(
                    f"{self._path}: rows from {at} cannot be read ({first_line(error)}); copy it again"
                ) from None
            if batch is None:
                raise DataError(f"{self._path}: it ends after {at} rows, its footer says {self._edges[-1]}: damaged")
            first, last = max(start - at, 0), min(stop - at, len(batch))
            if first < last:
                yield batch.slice(first, last - first)
            left = batch.slice(last) if last < len(batch) else None
            at += last
        self._streams[columns] = batches, left, at

    def close(self) -> None:
        """Give back what is decoded."""
        self._streams.clear()

    def _stream(self, columns: tuple[str, ...], group: int) -> Iterator[Any]:
        groups = list(range(group, len(self._edges) - 1))
        stream: Iterator[Any] = self._file.iter_batches(
            batch_size=self._batch_rows, row_groups=groups, columns=list(columns), use_threads=False
        )
        return stream
