"""Jet fields of a part, read without its constituents: a first look costs little."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, first_line
from jetforge.jets.dataset import Dataset
from jetforge.jets.edit.expressions import NUM_CONSTITUENTS
from jetforge.jets.storage import field_column

_COUNTED = "px"


def read_fields(dataset: Dataset, split: str, index: int, names: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    """Return jet fields of one part, each (n_jets,); `num_constituents` is one of them.

    The checksum is not looked at, for that needs the whole file: whoever reads the jets later does it.

    Raises
    ------
    DataError
        If the part cannot be read, or lacks a field or a value.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    part = dataset.parts(split)[index]
    path = dataset.path / part.file
    columns = {name: _column(name) for name in names}
    try:
        table = pq.ParquetFile(path).read(columns=sorted(set(columns.values())), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a whole Parquet file ({first_line(error)}); make it again") from None
    missing = [name for name, column in columns.items() if column not in table.column_names]
    if missing:
        raise DataError(f"{path}: no jet field '{missing[0]}' in it; make the dataset again")
    values = {}
    for name, column in columns.items():
        array = table[column].combine_chunks()
        if name == NUM_CONSTITUENTS:
            array = pc.list_value_length(array)
        if array.null_count:
            raise DataError(f"{path}: '{name}' has {array.null_count} missing values")
        values[name] = np.asarray(array.to_numpy(zero_copy_only=False))
    stored = dataset.manifest.parts[split][index].jets
    if table.num_rows != stored:
        raise DataError(f"{path}: {table.num_rows} jets instead of {stored}")
    return {name: array[: part.jets] for name, array in values.items()}


def each_part(
    dataset: Dataset, split: str, names: Collection[str]
) -> Iterator[tuple[int, int, dict[str, npt.NDArray[Any]]]]:
    """Yield index, number of jets and fields of every part of a split; none where the split has no jets."""
    for index, part in enumerate(dataset.parts(split) if dataset.num_jets(split) else ()):
        if part.jets:
            yield index, part.jets, read_fields(dataset, split, index, names) if names else {}


def _column(name: str) -> str:
    """Return the stored column of a jet field."""
    if name == NUM_CONSTITUENTS:
        return _COUNTED
    return field_column(name)
