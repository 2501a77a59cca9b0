"""What files with columns have in common: columns of lists, numbers and texts, by ranges of rows."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.readers.column_mapping import nearest

# What a column is: a list of numbers a row, a number, a text, or something else.
LIST, NUMBER, TEXT, OTHER = "list", "number", "text", "other"


class Lists(NamedTuple):
    """A list of numbers a row; that of row i is ``values[offsets[i]:offsets[i + 1]]``."""

    offsets: npt.NDArray[np.int64]
    values: npt.NDArray[Any]


class Table(ABC):
    """The columns of one file.

    Attributes
    ----------
    num_rows : int
    names : tuple of str
        The columns that lie open; `kind` knows further ones, within arrays and records.
    classes : tuple of str
        Names of classes that the file holds; empty if none.
    written_by_us : bool
        Whether a writer of this package wrote the file.
    """

    num_rows: int
    names: tuple[str, ...]
    classes: tuple[str, ...] = ()
    written_by_us: bool = False

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def kind(self, name: str) -> str | None:
        """Return what a column is: list, number, text or other; None if it is not there."""

    @abstractmethod
    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Return columns for a range of rows.

        Returns
        -------
        dict
            `Lists`, an array (n, length) for lists of a fixed length, or an array (n,) of numbers or texts.

        Raises
        ------
        DataError
            If they cannot be read, or have missing values.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def no_table(self, name: str, known: Sequence[str]) -> DataError:
        """Return the error for a table that is not there."""
        return DataError(f"{self.path}: no table '{name}' (table of the mapping); {nearest(name, known)}")


def class_names(text: bytes) -> tuple[str, ...]:
    """Return the names of classes in a text of JSON, none if it is something else."""
    try:
        names = json.loads(text)
    except ValueError:
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def plain(values: Any) -> npt.NDArray[Any]:
    """Return values with truths as 0 and 1, half precision as float32, and bytes as texts."""
    array = np.asarray(values)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "b":
        return array.astype(np.int8)
    return array.astype(np.float32) if array.dtype == np.float16 else array
