"""A user's own files: Parquet, ROOT and HDF5 with a row a jet, and columns under any names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.readers.base import FormatCard, Option, Reader, unit_option
from jetforge.jets.readers.column_mapping import (
    ColumnMapping,
    LabelColumns,
    MomentumColumns,
    SplitColumn,
    Value,
    nearest,
    read_mapping,
)
from jetforge.jets.readers.constituents.momenta import cartesian, first_contradiction
from jetforge.jets.readers.constituents.padded import not_all_zero
from jetforge.jets.readers.constituents.ragged import row_of
from jetforge.jets.readers.containers.column_hdf5 import Hdf5Table
from jetforge.jets.readers.containers.column_parquet import ParquetTable
from jetforge.jets.readers.containers.column_root import RootTable
from jetforge.jets.readers.containers.column_tables import LIST, NUMBER, OTHER, TEXT, Lists, Table
from jetforge.jets.readers.contents import Contents

_MOMENTUM = ("px", "py", "pz")
_ENERGIES = ("energy", "mass")
_PID, _CHARGE = "pid", "charge"
_LARGEST_PID = 2**31 - 1
# A column of so many different labels numbers something else.
_MOST_CLASSES = 1000
_SCAN_ROWS = 1 << 20
_TWO_AXES = re.compile(r"\(\d+, \d+\)$")


class ColumnsReader(Reader):
    """Columns of lists, or of rows of fixed length, that a mapping gives their meaning."""

    card = FormatCard(
        name="columns",
        title="Your own columns: Parquet, ROOT or HDF5",
        layout=(
            "A row a jet. Constituents are lists (Parquet of awkward-array, jagged or vector branches of a TTree)"
            " or rows of a fixed length that are filled up with zeros (two-dimensional HDF5 datasets), a column a"
            " quantity. Files with the columns px, py, pz and energy or mass are read as they are: other lists "
            "are further columns of the constituents, single numbers are fields of the jets (`jet_pt` becomes "
            "pt), `label`, `weight` and `split` mean what they say; so do files that `jetforge convert --to "
            "parquet` or `--to root` wrote. For other names write a mapping, a YAML file, and give --format "
            "columns --option mapping=FILE. Its keys: `momentum` with the columns of px, py, pz, or of pt, phi "
            "and eta (or y, the rapidity), and one of energy, mass and `massless: true`; `unit` GeV or MeV, and "
            "`in_unit` with further names of columns that are in it; `table`, the tree or group; `constituents` and "
            "`jets`, our name for each further column; `label` with `column` and `classes` in the order of their "
            "numbers (or CLASS: VALUE), or `one_hot` with CLASS: COLUMN; `weight`; `split` with `column` and what it "
            "says for train, val and test; `mask` or `number`, for padding that is not zero. Example: `{momentum: "
            "{pt: part_pt, eta: part_eta, phi: part_phi, mass: part_m}, jets: {jet_sdmass: sdmass}, label: {column: "
            "y, classes: [qcd, top]}}`."
        ),
        origin="Your own.",
        made="As you made it.",
        units=(
            "GeV, or MeV if the mapping or the option unit says so: momenta, further columns whose name is or ends in "
            "pt, px, py, pz, energy, mass, sdmass or msoftdrop (`raw_pt`, but not `log_pt` or `rel_pt`), and those in "
            "the mapping's `in_unit`."
        ),
        licence="Yours.",
        citation="Yours.",
        traps=(
            "With a mapping only the columns that it names are read.",
            "Constituents with px, py, pz (or pT) of zero, and the energy if it is stored, are padding and dropped, "
            "whatever their mass and angles, also at the end of lists; the mapping's `padding: false` keeps them.",
            "Numbers of constituents have to be finite, and `pid` whole: a file with NaN in one of its lists is "
            "refused with the row, and read with a mapping that leaves the column out. Fields of jets may be NaN.",
            "Without names of classes a column of labels has the classes class0, class1 and so on up to the largest "
            "number in it.",
        ),
    )
    options: Mapping[str, Option] = {  # type: ignore[misc]
        "mapping": Option("", "YAML file that says what the columns mean", is_file=True),
        "unit": unit_option("what the momenta are in; by default what the mapping says, GeV without one", default=""),
        "classes": Option("", "names of the classes in the order of their labels, such as qcd,top"),
    }

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there are lists px, py, pz and energy or mass."""
        if contents.container == "parquet":
            lists = {name for name, kind in contents.names.items() if kind.split("<")[0].endswith("list")}
            return _has_momenta(lists)
        if contents.container == "hdf5":
            return _has_momenta({name for name, kind in contents.names.items() if _TWO_AXES.search(kind)})
        if contents.container == "root":
            return _has_jagged_momenta(contents)
        return False

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        mapping = read_mapping(settings["mapping"]) if settings["mapping"] else None
        unit = settings["unit"] or (mapping.unit if mapping else "GeV")
        super().__init__(path, {**settings, "unit": unit})
        wanted = [name for _, name, _ in mapping.columns()] if mapping else [*_MOMENTUM]
        self._table = _open_table(path, mapping.table if mapping else None, wanted)
        try:
            self.mapping = mapping or self._plain_mapping()
            self._check_columns()
            self.num_rows = self._table.num_rows
            self.classes = self._find_classes()
            # The column `split` of our own files says where a jet goes, and is added again when it is written.
            self.passing_fields = ("split",) if self._table.written_by_us and mapping is None else ()
        except BaseException:
            self._table.close()
            raise
        self._names = list(dict.fromkeys(name for _, name, _ in self.mapping.columns()))

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of rows; see `Reader.read`."""
        columns = self._table.read(self._names, start, stop)
        offsets, constituents = self._constituents(columns, start)
        if "mass" in constituents and self.mapping.momentum.energy is not None:
            wrong = first_contradiction(constituents)
            if wrong is not None:
                row = row_of(wrong[0], offsets)
                raise self.error(f"constituent {wrong[0] - offsets[row]}: {wrong[1]}, by a mapping", start + row)
        fields: dict[str, npt.NDArray[Any]] = {}
        for name, ours in self.mapping.jets.items():
            fields[ours] = self._in_gev(ours, columns[name])
        if self.mapping.weight is not None:
            fields["weight"] = self._finite(self.mapping.weight, columns[self.mapping.weight], start)
        if self.mapping.label is not None:
            fields["label"] = self._labels(self.mapping.label, columns, start)
        if self.mapping.split is not None:
            split = self.mapping.split
            stated = (split.train, split.val, split.test)
            fields["split"] = self._positions(split.column, columns[split.column], stated, start).astype(np.int8)
        return Jets(offsets, constituents, fields)

    def stated_splits(self, jets: Jets) -> npt.NDArray[np.int8] | None:
        """Return the splits that the split column says."""
        return jets.fields["split"].astype(np.int8) if self.mapping.split is not None else None

    def close(self) -> None:
        """Close the file."""
        self._table.close()

    def _plain_mapping(self) -> ColumnMapping:
        """Return the mapping of a file whose names are ours already."""
        table = self._table
        kinds = {name: table.kind(name) for name in table.names}
        if not _has_momenta({name for name, kind in kinds.items() if kind == LIST}):
            raise self.error(
                "no lists of numbers called px, py, pz and energy or mass in it; say what its columns mean: --format "
                f"columns --option mapping=FILE; it has {', '.join(table.names[:8])}"
            )
        energy = next(name for name in _ENERGIES if kinds.get(name) == LIST)
        label, split = (kinds.get(name) in (NUMBER, TEXT) for name in ("label", "split"))
        further = [name for name, kind in kinds.items() if kind == LIST and name not in (*_MOMENTUM, energy)]
        fields = [name for name, kind in kinds.items() if kind == NUMBER and name not in ("label", "weight", "split")]
        numbered = {name: i for i, name in enumerate(SPLITS)} if kinds.get("split") == NUMBER else {}
        try:
            return ColumnMapping(
                momentum=MomentumColumns.model_validate({name: name for name in (*_MOMENTUM, energy)}),
                constituents={name: name for name in further},
                jets={name: _inner_name(name) for name in fields if not name.startswith("__index_level")},
                label=LabelColumns(column="label") if label else None,
                weight="weight" if kinds.get("weight") == NUMBER else None,
                split=SplitColumn.model_validate({"column": "split", **numbered}) if split else None,
                padding=False if table.written_by_us else None,
            )
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise self.error(f"{message}; say what its columns mean: --option mapping=FILE") from None

    def _check_columns(self) -> None:
        for key, name, wanted in self.mapping.columns():
            kind = self._table.kind(name)
            if kind is None:
                raise self.error(f"no column '{name}' ({key} of the mapping); {nearest(name, self._table.names)}")
            if kind != wanted and not (wanted == "class" and kind in (NUMBER, TEXT)):
                is_a = {LIST: "a list of numbers", NUMBER: "a number", TEXT: "a text", OTHER: "something else"}
                raise self.error(
                    f"column '{name}' ({key} of the mapping) is {is_a[kind]} in each row, not "
                    f"{is_a.get(wanted, 'a number or a text')}"
                )

    def _find_classes(self) -> tuple[str, ...]:
        given = tuple(name.strip() for name in self.settings["classes"].split(",") if name.strip())
        label = self.mapping.label
        if label is None:
            if given:
                raise JetforgeError(f"option classes: {self.path} has no labels; write CLASS=FILE instead")
            return ()
        if given and label.names is not None:
            raise JetforgeError("option classes: the mapping names the classes already; leave one of both out")
        known = label.names or given or self._table.classes
        if known:
            return known
        assert label.column is not None
        largest = 1
        if self._table.kind(label.column) == TEXT:
            raise self.error(f"'{label.column}' holds texts; name the classes: --option classes=NAME,NAME")
        for start in range(0, self.num_rows, _SCAN_ROWS):
            stop = min(start + _SCAN_ROWS, self.num_rows)
            values = self._table.read([label.column], start, stop)[label.column]
            wrong = np.flatnonzero(~((values >= 0) & (values < _MOST_CLASSES) & (values == np.floor(values))))
            if len(wrong):
                raise self.error(
                    f"{label.column} is {values[wrong[0]]}: labels are numbers of classes from 0, of at most "
                    f"{_MOST_CLASSES}",
                    start + int(wrong[0]),
                )
            largest = max(largest, int(values.max(initial=0)))
        return tuple(f"class{i}" for i in range(largest + 1))

    def _constituents(
        self, columns: Mapping[str, Any], start: int
    ) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
        """Return offsets and the columns of the constituents, without padding."""
        mapping = self.mapping
        wanted = [name for _, name, kind in mapping.columns() if kind == LIST]
        offsets, flat = self._aligned({name: columns[name] for name in dict.fromkeys(wanted)}, start)
        momentum = {quantity: flat[name] for quantity, name in mapping.momentum.columns.items()}
        keep = self._kept(offsets, momentum, flat, columns, start)
        if not keep.all():
            offsets = np.concatenate([[0], np.cumsum(keep)])[offsets]
            momentum = {quantity: values[keep] for quantity, values in momentum.items()}
            flat = {name: values[keep] for name, values in flat.items()}
        made: dict[str, npt.NDArray[Any]] = self._four_momenta(momentum, offsets, start)
        for name, ours in mapping.constituents.items():
            self._refuse_strange(name, ours, flat[name], offsets, start)
            values = self._in_gev(ours, flat[name])
            made[ours] = values.astype({_PID: np.int32, _CHARGE: np.float32}.get(ours, values.dtype), copy=False)
        return offsets, made

    def _refuse_strange(
        self, name: str, ours: str, values: npt.NDArray[Any], offsets: npt.NDArray[np.int64], start: int
    ) -> None:
        """Refuse numbers of constituents that are not finite, and particle numbers that are none."""
        if values.dtype.kind == "f":
            self.refuse(~np.isfinite(values), name, values, "no finite number", start, offsets)
        if ours == _PID and values.dtype != np.int32:
            whole = (values == np.trunc(values)) & (values >= -_LARGEST_PID) & (values <= _LARGEST_PID)
            self.refuse(~whole, name, values, "no number of a particle (pid)", start, offsets)

    def _aligned(
        self, columns: Mapping[str, Any], start: int
    ) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
        """Return lists that are all of the same lengths, or rows of the same fixed length as such lists."""
        first_name, first = next(iter(columns.items()))
        flat = {}
        for name, column in columns.items():
            offsets = _offsets(column)
            expected = _offsets(first)
            if not np.array_equal(offsets, expected):
                row = int(np.flatnonzero(np.diff(offsets) != np.diff(expected))[0])
                lengths = np.diff(offsets)[row], np.diff(expected)[row]
                raise self.error(
                    f"'{name}' has {lengths[0]} values and '{first_name}' {lengths[1]}: a jet has one of each per "
                    "constituent",
                    start + row,
                )
            flat[name] = column.values if isinstance(column, Lists) else column.ravel()
        return _offsets(first), flat

    def _kept(
        self, offsets: npt.NDArray[np.int64], momentum: Mapping[str, npt.NDArray[Any]],
        flat: Mapping[str, npt.NDArray[Any]], columns: Mapping[str, Any], start: int,
    ) -> npt.NDArray[np.bool_]:  # fmt: skip
        """Return which places are constituents, and not padding."""
        mapping = self.mapping
        size = int(offsets[-1])
        keep = np.ones(size, dtype=np.bool_)
        if mapping.mask is not None:
            keep = flat[mapping.mask] != 0
        if mapping.number is not None:
            number, counts = columns[mapping.number], np.diff(offsets)
            padded = not all(isinstance(columns[name], Lists) for name in mapping.momentum.columns.values())
            wrong = np.flatnonzero(~((number >= 0) & (number <= counts)) if padded else number != counts)
            if len(wrong):
                row = int(wrong[0])
                raise self.error(
                    f"'{mapping.number}' says {number[row]} constituents, the columns have {counts[row]} of them",
                    start + row,
                )
            keep = np.arange(size) - np.repeat(offsets[:-1], counts) < np.repeat(number, counts)
        zeros_are_padding = mapping.padding
        if zeros_are_padding is None:
            zeros_are_padding = mapping.mask is None and mapping.number is None
        if zeros_are_padding:
            # Without momentum there is no direction, whatever the padding of the angles and of the mass is.
            looked_at = [name for name in ("px", "py", "pz", "pt", "energy") if name in momentum]
            keep &= not_all_zero(*(momentum[name].reshape(1, -1) for name in looked_at))[0]
        return np.asarray(keep)

    def _four_momenta(
        self, given: Mapping[str, npt.NDArray[Any]], offsets: npt.NDArray[np.int64], start: int
    ) -> dict[str, npt.NDArray[Any]]:
        values = {name: self._in_gev(name, column).astype(np.float64, copy=False) for name, column in given.items()}
        with np.errstate(all="ignore"):
            px, py, pz, energy = cartesian(values)
            strange = ~np.isfinite(px + py + pz + energy)
        if "pt" in values:
            strange |= values["pt"] < 0
        wrong = np.flatnonzero(strange)
        if len(wrong):
            row = row_of(int(wrong[0]), offsets)
            names = self.mapping.momentum.columns
            shown = ", ".join(f"{names[name]} = {column[wrong[0]]:g}" for name, column in given.items())
            raise self.error(f"constituent {wrong[0] - offsets[row]}: {shown}: no momentum", start + row)
        made = {"px": px, "py": py, "pz": pz, "energy": energy}
        return made if "mass" not in values else {**made, "mass": values["mass"]}

    def _labels(self, label: LabelColumns, columns: Mapping[str, Any], start: int) -> npt.NDArray[np.int64]:
        if label.one_hot is None:
            assert label.column is not None
            values = columns[label.column]
            stated = label.values or (self.classes if values.dtype.kind == "U" else range(len(self.classes)))
            return self._positions(label.column, values, tuple(stated), start)
        hot = np.stack([columns[name] for name in label.one_hot.values()], axis=1)
        wrong = np.flatnonzero(~np.isin(hot, (0, 1)).all(axis=1) | (hot.sum(axis=1) != 1))
        if len(wrong):
            shown = ", ".join(f"{value:g}" for value in hot[wrong[0], :8])
            raise self.error(
                f"the columns {', '.join(list(label.one_hot.values())[:8])} are {shown}: one must be 1, the others 0",
                start + int(wrong[0]),
            )
        return np.asarray(hot.argmax(axis=1), dtype=np.int64)

    def _positions(
        self, name: str, values: npt.NDArray[Any], stated: tuple[Value, ...], start: int
    ) -> npt.NDArray[np.int64]:
        """Return for each value which of the stated ones it is."""
        if any(isinstance(value, str) for value in stated) != (values.dtype.kind == "U"):
            there = "texts" if values.dtype.kind == "U" else "numbers"
            raise self.error(f"'{name}' holds {there}, the mapping says {', '.join(map(str, stated[:4]))}")
        order = np.argsort(np.array(stated))
        ordered = np.array(stated)[order]
        place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
        known = ", ".join(map(str, stated[:8])) + (", ..." if len(stated) > 8 else "")
        self.refuse(ordered[place] != values, name, values, f"none of {known}", start)
        return np.asarray(order[place], dtype=np.int64)

    def _finite(self, name: str, values: npt.NDArray[Any], start: int) -> npt.NDArray[Any]:
        self.refuse(~np.isfinite(values), name, values, "no finite number", start)
        return values

    def _in_gev(self, name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return values * self.to_gev if self.to_gev != 1 and self.mapping.is_in_unit(name) else values


def _open_table(path: Path, name: str | None, wanted: Sequence[str]) -> Table:
    """Open a file, and in it the table of this name, or the only one that has all columns wanted."""
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"PAR1"):
        return ParquetTable(path, name)
    if head.startswith(b"root"):
        return RootTable(path, name, wanted)
    if head == b"\x89HDF\r\n\x1a\n":
        return Hdf5Table(path, name)
    raise DataError(f"{path}: columns are read from Parquet, ROOT and HDF5 files, and it is none")


def _offsets(column: Any) -> npt.NDArray[np.int64]:
    if isinstance(column, Lists):
        return column.offsets
    return np.asarray(np.arange(len(column) + 1, dtype=np.int64) * column.shape[1])


def _inner_name(column: str) -> str:
    """Return our name of a field of jets: without jet_, unless it would be taken for the column without it."""
    name = column.removeprefix("jet_")
    return column if name in ("label", "weight", "split") else name


def _has_momenta(names: set[str]) -> bool:
    return {*_MOMENTUM} <= names and bool(names & {*_ENERGIES})


def _has_jagged_momenta(contents: Contents) -> bool:
    trees = dict.fromkeys(name.partition("/")[0] for name in contents.names)
    fitting = [t for t in trees if _has_momenta({n.partition("/")[2] for n in contents.names if n.startswith(f"{t}/")})]
    if len(fitting) != 1:
        return False
    table = RootTable(contents.path, fitting[0], ())
    table.close()
    return _has_momenta({name for name in table.names if table.kind(name) == LIST})
