"""Parquet and Arrow files: what their footers claim is checked, and rows are read by row group."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jetforge.errors import DataError, first_line
from jetforge.jets.readers.containers.limits import refuse_bomb

# Run lengths make long runs of one value as short as one likes: so many values are believed anyway, or so many a byte.
_BELIEVED_VALUES = 8 << 20
_VALUES_A_BYTE = 4096


def is_parquet(path: Path) -> bool:
    """Say whether a file begins as Parquet does.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def open_file(path: Path) -> Any:
    """Open a Parquet file whose footer does not contradict itself or the file's size.

    Raises
    ------
    DataError
        If it is no whole Parquet file, or claims more than it can hold.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, page_checksum_verification=True, thrift_string_size_limit=100_000_000)
        metadata = file.metadata
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        sizes = [group.num_rows for group in groups]
        columns = [[group.column(j) for j in range(group.num_columns)] for group in groups]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a whole Parquet file ({first_line(error)}); copy it again") from None
    if min(sizes, default=0) < 0 or sum(sizes) != metadata.num_rows:
        raise DataError(f"{path}: its row groups have {sum(sizes)} rows, its footer says {metadata.num_rows}: damaged")
    size = path.stat().st_size
    for number, (rows, chunks) in enumerate(zip(sizes, columns, strict=True)):
        for chunk in chunks:
            stored, declared = chunk.total_compressed_size, chunk.total_uncompressed_size
            what = f"column '{chunk.path_in_schema}' of row group {number}"
            if not 0 <= stored <= size:
                raise DataError(f"{path}: {what} claims {stored:,} bytes of a file of {size:,}: damaged")
            refuse_bomb(path, what, declared, stored)
            if not rows <= chunk.num_values <= max(_BELIEVED_VALUES, _VALUES_A_BYTE * stored):
                raise DataError(
                    f"{path}: {what} claims {chunk.num_values:,} values in {stored:,} bytes for {rows:,} rows: damaged"
                )
    return file


def names(path: Path) -> dict[str, str]:
    """Return the columns of a file, each with its type.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    with open_file(path) as file:
        return {field.name: str(field.type) for field in file.schema_arrow}


def read_rows(file: Any, path: Path, columns: Sequence[str], start: int, stop: int) -> Any:
    """Return columns of a range of rows as a pyarrow table of ``stop - start`` rows.

    Raises
    ------
    DataError
        If they cannot be read whole.
    """
    import pyarrow as pa

    metadata = file.metadata
    edges = np.cumsum([0, *(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))])
    wanted = [i for i in range(len(edges) - 1) if edges[i] < stop and edges[i + 1] > start]
    missing = [name for name in columns if name not in file.schema_arrow.names]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; there are: {', '.join(file.schema_arrow.names)}")
    try:
        table = file.read_row_groups(wanted, columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"{path}: rows {start} to {stop} cannot be read ({first_line(error)}); copy it again") from None
    if wanted and len(table) != edges[wanted[-1] + 1] - edges[wanted[0]]:
        raise DataError(f"{path}: its row groups hold {len(table)} rows, not what the footer says: damaged")
    return table.slice(start - int(edges[wanted[0]]), stop - start) if wanted else table
