"""What every writer of a public format offers, and how the columns of a jet are called outside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.dataset import Dataset
from jetforge.jets.jets import Jets
from jetforge.jets.storage import field_column

SPLIT_COLUMN = "split"
# Stored in float32: nothing is lost, while four float32 components would lose the mass (so the energy is float64).
_SINGLE = ("px", "py", "pz", "mass")


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes
    ----------
    jets : int
        Jets in the file: all that were asked for.
    truncated : int
        Of these, the jets that have more constituents than the format holds, and lost the softest.
    left_out : tuple of str
        Columns and fields that the format has no place for.
    """

    jets: int
    truncated: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What the file lacks, in words; empty where it lacks nothing."""
        notes = [f"{self.truncated:,} jets were cut to their hardest constituents"] if self.truncated else []
        if self.left_out:
            notes.append(f"the format has no place for {', '.join(self.left_out)}")
        return "; ".join(notes)


class Writer(ABC):
    """Writes jets to one file of one format, block after block.

    Parameters
    ----------
    path
        The file; it is not there yet.
    dataset
        Where the jets come from: its classes and provenance go into the file.
    splits
        Splits that will be written, in this order.
    """

    suffixes: ClassVar[tuple[str, ...]]
    """Ends of a file's name by which the format is meant; empty where other formats share them."""
    block_jets: ClassVar[int] = 20_000
    """Jets held in memory at a time; at least one part of the dataset is."""

    def __init__(self, path: Path, dataset: Dataset, splits: Sequence[str]) -> None:
        self.path = path
        self.dataset = dataset
        self.splits = splits
        self.truncated = 0
        self.left_out: tuple[str, ...] = ()

    @abstractmethod
    def write(self, jets: Jets, split: str) -> None:
        """Append jets of a split.

        Raises
        ------
        DataError
            If the format cannot hold them.
        OSError
            If the file cannot be written.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""


def outer_columns(jets: Jets, origin: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """Return the constituent columns and the jet fields of jets under the names that they have in a file.

    Raises
    ------
    DataError
        If two of them would have the same name.
    """
    columns = {n: c.astype(np.float32) if n in _SINGLE else c for n, c in jets.columns.items()}
    fields = {field_column(n): f for n, f in jets.fields.items()}
    twice = sorted(columns.keys() & {*fields, SPLIT_COLUMN})
    if twice:
        raise DataError(f"{origin}: '{twice[0]}' is the name of a constituent column and of a jet field; rename one")
    return columns, fields
