"""What JetClass and JetClass-II share: lists `part_*` and numbers `jet_*` of each jet, in ROOT or Parquet."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.jets.jets import FOUR_MOMENTUM, Jets
from jetforge.jets.readers.base import Reader
from jetforge.jets.readers.constituents.ragged import sums_far_from
from jetforge.jets.readers.containers.arrow_files import is_parquet
from jetforge.jets.readers.containers.column_parquet import ParquetTable
from jetforge.jets.readers.containers.column_tables import Lists, Table
from jetforge.jets.readers.containers.root_vectors import VectorTable
from jetforge.jets.readers.contents import Contents

TREE = "tree"
PART, JET = "part_", "jet_"
OUR_NAMES = {
    "d0val": "d0", "d0err": "d0_error", "dzval": "dz", "dzerr": "dz_error", "jet_deta": "deta", "jet_dphi": "dphi",
    "x": "vertex_x", "y": "vertex_y", "z": "vertex_z", "t": "vertex_t",
}  # fmt: skip
# They follow from the momentum, where a skim has them.
_REPEATED = ("pt", "eta", "phi")
_IN_GEV = ("px", "py", "pz", "pt", "energy", "mass", "sdmass")
# The writing programs leave out constituents of |pz| > 10 TeV, |eta| > 5 and those that they cannot find.
_LARGEST_DISAGREEMENT = 2.0

Ints = npt.NDArray[np.int64]
Values = npt.NDArray[Any]


def column_names(contents: Contents) -> set[str]:
    """Return the columns of a Parquet file, the branches of the tree `tree` of a ROOT file, or none."""
    if contents.container == "parquet":
        return set(contents.names)
    if contents.container == "root":
        return {name.removeprefix(f"{TREE}/") for name in contents.names if name.startswith(f"{TREE}/")}
    return set()


def has_particles(names: Iterable[str]) -> bool:
    """Say whether there are the constituents and jets of these formats."""
    return {*(PART + name for name in (*FOUR_MOMENTUM, "deta", "d0val")), f"{JET}pt"} <= set(names)


class ParticleJetsReader(Reader):
    """Jets of which each has lists of numbers of its constituents."""

    needed: tuple[str, ...]
    """Columns without which the file is not of the format, beside constituents and `jet_pt`."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        self._table: Table = ParquetTable(path, None) if is_parquet(path) else VectorTable(path, TREE)
        self.num_rows = self._table.num_rows
        try:
            missing = [name for name in (*(PART + c for c in FOUR_MOMENTUM), f"{JET}pt", *self.needed)
                       if name not in self._table.names]  # fmt: skip
            if missing:
                raise self.error(f"no column {', '.join(missing[:4])}; it has {', '.join(self._table.names[:6])}, ...")
            self._wanted = self._chosen_columns(self._table.names)
        except BaseException:
            self._table.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._table.close()

    @abstractmethod
    def _chosen_columns(self, names: tuple[str, ...]) -> list[str]:
        """Return which columns of the file are to be read."""

    def _read_columns(self, start: int, stop: int) -> dict[str, Any]:
        return self._table.read(self._wanted, start, stop)

    def _lists(self, found: Mapping[str, Any], prefix: str, start: int) -> tuple[Ints, dict[str, Values]]:
        """Return the lists with a prefix, which must be of equal lengths, without their prefix and in their types."""
        offsets: Ints | None = None
        columns: dict[str, Values] = {}
        for name, column in found.items():
            short = name.removeprefix(prefix)
            if short == name:
                continue
            if not isinstance(column, Lists):
                raise self.error(f"'{name}' is not a list of numbers a jet")
            if offsets is None:
                offsets, first = column.offsets, name
            elif not np.array_equal(offsets, column.offsets):
                row = int(np.flatnonzero(np.diff(offsets) != np.diff(column.offsets))[0])
                lengths = [int(np.diff(edges)[row]) for edges in (column.offsets, offsets)]
                raise self.error(f"'{name}' has {lengths[0]} values, '{first}' {lengths[1]}: damaged", start + row)
            columns[short] = self._typed(name, short, column.values, start, offsets)
        if offsets is None:
            raise self.error(f"no columns {prefix}* in it")
        return offsets, {OUR_NAMES.get(name, snake(name)): values for name, values in columns.items()}

    def _numbers(self, found: Mapping[str, Any], prefix: str, start: int) -> dict[str, Values]:
        """Return the numbers with a prefix, without it."""
        shorter = {name: name.removeprefix(prefix) for name in found if name.startswith(prefix)}
        return {snake(short): self._typed(name, short, self._number(name, found[name]), start)
                for name, short in shorter.items()}  # fmt: skip

    def _number(self, name: str, column: Any) -> Values:
        if isinstance(column, Lists) or column.ndim != 1 or column.dtype.kind not in "iufb":
            raise self.error(f"'{name}' is not one number a jet")
        numbers: Values = column
        return numbers

    def _typed(self, name: str, short: str, values: Values, start: int, offsets: Ints | None = None) -> Values:
        """Return values in this machine's byte order, in GeV, flags and whole numbers as integers."""
        if short in FOUR_MOMENTUM and offsets is not None:
            values = values.astype(np.float64)
        elif short.startswith("is"):
            return self._flags(name, values, start, offsets)
        elif short in ("pid", "nparticles", "truth_match", "genpart_pid"):
            return self._whole(name, values, start, offsets)
        elif short == "charge":
            values = values.astype(np.float32)
        else:
            values = values.astype(values.dtype.newbyteorder("="), copy=False)
        return values * self.to_gev if self.to_gev != 1 and short.rpartition("_")[2] in _IN_GEV else values

    def _flags(self, name: str, values: Values, start: int, offsets: Ints | None) -> npt.NDArray[np.int8]:
        values = values.view(np.uint8) if values.dtype == np.bool_ else values
        if len(values) and not (values.min() >= 0 and values.max() <= 1 and values.dtype.kind in "iu"):
            self.refuse((values != 0) & (values != 1), name, values, "neither 0 nor 1", start, offsets)
        return values.astype(np.int8)

    def _whole(self, name: str, values: Values, start: int, offsets: Ints | None) -> npt.NDArray[np.int32]:
        if values.dtype.kind == "f":
            # NaN fails the comparison.
            wrong = ~((np.abs(values) < 2**31) & (values == np.trunc(values)))
            self.refuse(wrong, name, values, "no whole number", start, offsets)
        return values.astype(np.int32)

    def _check_jets(
        self, offsets: Ints, columns: Mapping[str, Values], fields: Mapping[str, Values], prefix: str, start: int
    ) -> None:
        """Compare constituents with the number and the pT that are stored of each jet."""
        counts = np.diff(offsets)
        stated = fields.get("nparticles")
        if stated is not None and not np.array_equal(stated, counts):
            row = int(np.flatnonzero(stated != counts)[0])
            raise self.error(f"{counts[row]} constituents, {prefix}nparticles says {stated[row]}: damaged", start + row)
        pt = fields["pt"].astype(np.float64)
        far, sums = sums_far_from(pt, offsets, columns["px"], columns["py"], _LARGEST_DISAGREEMENT)
        wrong = np.flatnonzero(far & ~((counts == 0) & (pt == 0)))
        if len(wrong):
            row = int(wrong[0])
            raise self.error(
                f"the constituents of a jet of pT {pt[row]:.4g} GeV ({prefix}pt) add up to {sums[row]:.4g} GeV: "
                "damaged",
                start + row,
            )


def particle_columns(names: Iterable[str], prefix: str) -> list[str]:
    """Return the lists with a prefix, without those that repeat the momentum where it is there as px, py, pz."""
    found = [name for name in names if name.startswith(prefix)]
    repeated = {prefix + name for name in _REPEATED} if f"{prefix}px" in found else set()
    return [name for name in found if name not in repeated]


def snake(name: str) -> str:
    """Return a name such as `isChargedHadron` as `is_charged_hadron`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def made(offsets: Ints, columns: Mapping[str, Values], fields: Mapping[str, Values]) -> Jets:
    """Return jets whose constituents begin with the four-momentum, in its usual order."""
    ordered = {name: columns[name] for name in FOUR_MOMENTUM}
    return Jets(offsets, {**ordered, **columns}, fields)
