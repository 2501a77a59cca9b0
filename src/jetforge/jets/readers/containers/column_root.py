"""The branches of a TTree as columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, first_line
from jetforge.jets.readers.containers import root_files
from jetforge.jets.readers.containers.column_tables import LIST, NUMBER, OTHER, Lists, Table, class_names, plain


class RootTable(Table):
    """The branches of a TTree."""

    def __init__(self, path: Path, name: str | None, wanted: Sequence[str]) -> None:
        super().__init__(path)
        self._file = root_files.open_file(path)
        try:
            self._tree = root_files.tree(self._file, path, self._chosen(name, wanted))
            self._find_branches()
            self.num_rows = int(self._tree.num_entries)
            self.classes, self.written_by_us = self._notes()
        except BaseException:
            self._file.close()
            raise

    def kind(self, name: str) -> str | None:
        """Return what a column is; see `Table.kind`."""
        return self._kinds.get(name)

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Return columns for a range of rows; see `Table.read`."""
        # The counters of jagged branches are read along: they say once more how long the lists are.
        counters = list(dict.fromkeys(self._counters[name] for name in names if name in self._counters))
        read = root_files.read_branches(
            self._tree, self.path, [*names, *(c for c in counters if c not in names)], start, stop
        )
        lengths = {name: np.asarray(ak.to_numpy(read[name])) for name in counters}
        return {name: self._column(name, read[name], lengths, start) for name in names}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _chosen(self, name: str | None, wanted: Sequence[str]) -> str:
        branches = root_files.names(self.path)
        trees = list(dict.fromkeys(full.partition("/")[0] for full in branches))
        if name is not None:
            if name not in trees and "/" not in name:
                raise self.no_table(name, trees)
            return name
        fitting = [tree for tree in trees if all(f"{tree}/{column}" in branches for column in wanted)]
        if len(trees) == 1 or len(fitting) == 1:
            return fitting[0] if len(fitting) == 1 else trees[0]
        if not trees:
            raise DataError(f"{self.path}: holds no trees")
        raise DataError(f"{self.path}: has the trees {', '.join(trees)}; say which one in the mapping (table: ...)")

    def _find_branches(self) -> None:
        self._kinds: dict[str, str] = {}
        self._counters: dict[str, str] = {}
        try:
            names = self._tree.keys(recursive=True, full_paths=False)
            for name in names:
                branch = self._tree[name]
                self._kinds[name] = _branch_kind(branch)
                counter = branch.member("fLeaves")[0].member("fLeafCount") if len(branch.member("fLeaves")) else None
                if counter is not None and counter.member("fName") in names:
                    self._counters[name] = counter.member("fName")
        except Exception as error:  # a damaged file makes uproot raise anything
            raise DataError(f"{self.path}: its branches cannot be read ({first_line(error)}); copy it again") from None
        self.names = tuple(name for name in self._kinds if name not in self._counters.values())

    def _notes(self) -> tuple[tuple[str, ...], bool]:
        """Return what our own writer notes beside a tree."""
        try:
            keys = self._file.classnames(cycle=False)
            if keys.get("classes") != "TObjString" or keys.get("provenance") != "TObjString":
                return (), False
            return class_names(str(self._file["classes"]).encode()), True
        except Exception as error:  # as above
            raise DataError(f"{self.path}: 'classes' cannot be read ({first_line(error)}); copy it again") from None

    def _column(self, name: str, array: ak.Array, lengths: dict[str, npt.NDArray[Any]], start: int) -> Any:
        if array.ndim == 1:
            return plain(ak.to_numpy(array))
        try:
            layout = ak.to_layout(array)
            if layout.is_regular:
                return plain(ak.to_numpy(array))
            lists = layout.to_ListOffsetArray64(True)
            offsets = np.asarray(lists.offsets.data, dtype=np.int64)
            values = plain(ak.to_numpy(lists.content[: offsets[-1]]))
        except Exception as error:  # as above
            raise DataError(f"{self.path}: branch '{name}' is no list of numbers ({type(error).__name__})") from None
        if values.ndim != 1:
            raise DataError(f"{self.path}: branch '{name}' is of type {array.type}, not a list of numbers an entry")
        if name in self._counters:
            said = lengths[self._counters[name]]
            wrong = np.flatnonzero(said != np.diff(offsets))
            if len(wrong):
                raise DataError(
                    f"{self.path}: row {start + wrong[0]}: '{name}' has {np.diff(offsets)[wrong[0]]} values, "
                    f"'{self._counters[name]}' says {said[wrong[0]]}: damaged"
                )
        return Lists(offsets, values)


def _branch_kind(branch: Any) -> str:
    kind = str(branch.typename).replace("std::", "").strip()
    numbers = r"(u?int\d*(_t)?|unsigned \w+|char|short|long|bool|float|double|Bool_t|(U?(Char|Short|Int|Long64))_t)"
    if re.fullmatch(numbers, kind):
        return NUMBER
    return LIST if re.fullmatch(rf"({numbers}\[\d*\]|vector<{numbers}>)", kind) else OTHER
