"""One ROOT file with one TTree, written by uproot and read by ROOT itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from jetforge.errors import DataError
from jetforge.jets.dataset import Dataset
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.writers.base import SPLIT_COLUMN, Writer, outer_columns

TREE = "tree"
COUNTER = "num_constituents"
_CONSTITUENTS = "constituents"
_BRANCH_TYPES = tuple(np.dtype(c) for c in "?bBhHiIqQfd")


class RootWriter(Writer):
    """A TTree ``tree`` with an entry a jet.

    Constituents are arrays ``px, py, pz, mass`` (float GeV), ``energy`` (double GeV) and what else they have, of the
    length ``num_constituents``; jets have ``label``, ``weight``, ``jet_pt`` ... and ``split`` (0 train, 1 val, 2 test).
    Beside the tree there are the texts ``classes`` (a label is an index into them), ``splits`` and ``provenance``, in
    JSON. ROOT puts the time and a random number into every file: two exports differ in these bytes.
    """

    suffixes = (".root",)

    def __init__(self, path: Path, dataset: Dataset, splits: Sequence[str]) -> None:
        super().__init__(path, dataset, splits)
        import uproot

        # A plain file: its errors are the system's, and its name is taken as it is.
        self._file: Any = path.open("wb+")
        try:
            self._root: Any = uproot.recreate(self._file, compression=uproot.ZSTD(1))
        except BaseException:
            self._file.close()
            raise
        self._tree: Any = None

    def write(self, jets: Jets, split: str) -> None:
        """Append jets as one basket a branch; see `Writer.write`."""
        columns, fields = outer_columns(jets, str(self.dataset.path))
        for name, values in {**columns, **fields}.items():
            if not name.isidentifier() or name == COUNTER:
                raise DataError(f"{self.dataset.path}: '{name}' is no name for a branch of ROOT; rename it")
            if values.dtype not in _BRANCH_TYPES:
                raise DataError(f"{self.dataset.path}: '{name}' holds {values.dtype}, which no branch of ROOT does")
        content = ak.contents.RecordArray([ak.contents.NumpyArray(c) for c in columns.values()], list(columns))
        ragged = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(jets.offsets), content))
        number = np.full(len(jets), SPLITS.index(split), dtype=np.int8)
        if self._tree is None:
            self._open(ragged, {name: field.dtype for name, field in fields.items()})
        if len(jets):
            self._tree.extend({_CONSTITUENTS: ragged, **fields, SPLIT_COLUMN: number})

    def close(self) -> None:
        """Finish the file."""
        try:
            self._root.close()
        finally:
            self._file.close()

    def _open(self, ragged: ak.Array, fields: dict[str, Any]) -> None:
        for name, value in (
            ("classes", list(self.dataset.classes)),
            ("splits", list(SPLITS)),
            ("provenance", dict(self.dataset.manifest.provenance)),
        ):
            self._root[name] = json.dumps(value)
        self._tree = self._root.mktree(
            TREE,
            {_CONSTITUENTS: ragged.type.content, **fields, SPLIT_COLUMN: np.dtype(np.int8)},
            title="jets; momenta in GeV",
            counter_name=lambda counted: COUNTER,
            field_name=lambda outer, inner: inner,
        )
