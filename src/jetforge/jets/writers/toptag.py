"""The layout of the top-tagging reference set, as pandas writes and reads it, made with h5py."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.dataset import Dataset
from jetforge.jets.jets import FOUR_MOMENTUM, Jets
from jetforge.jets.readers.toptag import COMPONENTS, KEY, LABEL, SPLIT, SPLIT_NAMES, TRUTH
from jetforge.jets.storage import field_column
from jetforge.jets.writers.base import Writer

LENGTH = 200
_OURS = ("energy", "px", "py", "pz")
_WIDTH = LENGTH * len(COMPONENTS)
_COLUMNS = [f"{name}_{i}" for i in range(LENGTH) for name in COMPONENTS]
_ROW = np.dtype([("index", "<i8"), ("values_block_0", "<f4", (_WIDTH + len(TRUTH),)), ("values_block_1", "<i8", (2,))])
_CHUNK_ROWS = 256
_BUFFER_ROWS = 16 * _CHUNK_ROWS
# Two neighbours in the order of pT that differ by less are taken as they come: momenta are float32 in the file.
_SAME_PT = 1e-6


class TopTagWriter(Writer):
    """A pandas table ``table`` with columns ``E_0, PX_0, PY_0, PZ_0, ... PZ_199``, float32 GeV, zeros where absent.

    Then ``truthE, truthPX, truthPY, truthPZ`` (from the jet fields ``truth_energy`` ..., zeros where there are none),
    ``ttv`` (0 train, 1 test, 2 validation) and ``is_signal_new``, the label: the second class is the signal. The
    hardest constituent comes first; of a jet with more than 200, the 200 hardest are kept. Compressed with gzip, which
    every HDF5 library reads. Equal datasets give equal bytes.
    """

    suffixes = ()

    def __init__(self, path: Path, dataset: Dataset, splits: Sequence[str]) -> None:
        super().__init__(path, dataset, splits)
        manifest = dataset.manifest
        if len(dataset.classes) != 2 or "label" not in manifest.jet_fields:
            there = ", ".join(dataset.classes) if "label" in manifest.jet_fields else "no labels"
            raise DataError(
                f"{dataset.path}: the top-tagging layout is for two classes, background and signal, not for {there}"
            )
        self.left_out = (
            *(name for name in manifest.constituent_fields if name not in FOUR_MOMENTUM),
            *(field_column(name) for name in manifest.jet_fields if name not in ("label", SPLIT, *TRUTH.values())),
        )
        self._buffer = np.zeros(_BUFFER_ROWS, dtype=_ROW)
        self._filled = self._written = 0
        self._sink = _Sink(path)
        self._file: Any = None
        self._open(sum(dataset.num_jets(split) for split in splits))

    def write(self, jets: Jets, split: str) -> None:
        """Append jets; see `Writer.write`."""
        start = 0
        while start < len(jets):
            stop = min(start + _BUFFER_ROWS - self._filled, len(jets))
            self._fill(jets[start:stop], split)
            if self._filled == _BUFFER_ROWS:
                self._flush()
            start = stop

    def close(self) -> None:
        """Write what is left in the buffer, and close the file."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                self._flush()
            finally:
                file.close()
                self._sink.close()
        self._sink.check()

    def _fill(self, jets: Jets, split: str) -> None:
        """Put jets into the buffer's next rows."""
        rows = self._buffer[self._filled : self._filled + len(jets)]
        rows["index"] = self._written + self._filled + np.arange(len(jets))
        values, numbers = rows["values_block_0"], rows["values_block_1"]
        values[:] = 0
        counts = np.diff(jets.offsets)
        self.truncated += int((counts > LENGTH).sum())
        order = _hardest_first(jets)
        position = np.arange(jets.offsets[-1]) - np.repeat(jets.offsets[:-1], counts)
        kept = position < LENGTH
        row, position, order = np.repeat(np.arange(len(jets)), counts)[kept], position[kept], order[kept]
        for i, name in enumerate(_OURS):
            values[row, len(COMPONENTS) * position + i] = jets.columns[name][order]
        for i, ours in enumerate(TRUTH.values()):
            if ours in jets.fields:
                values[:, _WIDTH + i] = jets.fields[ours]
        numbers[:, 0] = SPLIT_NAMES.index(split)
        numbers[:, 1] = jets.label
        self._filled += len(jets)

    def _flush(self) -> None:
        self._table[self._written : self._written + self._filled] = self._buffer[: self._filled]
        self._sink.check()
        self._written += self._filled
        self._filled = 0

    def _open(self, num_jets: int) -> None:
        import h5py

        self._file = h5py.File(self._sink, "w", libver=("earliest", "v110"))
        group = self._file.create_group(KEY)
        self._table = group.create_dataset(
            "table", shape=(num_jets,), maxshape=(None,), dtype=_ROW, chunks=(_CHUNK_ROWS,), compression="gzip",
            compression_opts=1, fletcher32=True,
        )  # fmt: skip
        _describe(self._file, group, self._table)


class _Sink(io.FileIO):
    """A file that hides from HDF5 that it cannot be written, for the library does not survive it; `check` tells."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while len(left) and self._error is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self._error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self._error = self._error or error
            return self.tell() if size is None else size

    def check(self) -> None:
        if self._error is not None:
            raise self._error


def _hardest_first(jets: Jets) -> npt.NDArray[np.intp]:
    """Return the order of the constituents that has the hardest of each jet first; jets in order stay as they are."""
    pt = np.hypot(jets.columns["px"], jets.columns["py"])
    jet = np.repeat(np.arange(len(jets)), np.diff(jets.offsets))
    harder = (pt[1:] > pt[:-1] * (1 + _SAME_PT)) & (jet[1:] == jet[:-1])
    if not harder.any():
        return np.arange(len(pt))
    disordered = np.zeros(len(jets), dtype=bool)
    disordered[jet[1:][harder]] = True
    return np.lexsort((np.where(disordered[jet], -pt, np.arange(len(pt))), jet))


def _describe(file: Any, group: Any, table: Any) -> None:
    """Write the attributes by which pandas and PyTables know a table, and the names of its columns."""
    names = [*_COLUMNS, *TRUTH], [SPLIT, LABEL]
    _set_texts(file, CLASS="GROUP", PYTABLES_FORMAT_VERSION="2.1", TITLE="", VERSION="1.0")
    _set_texts(
        group, CLASS="GROUP", TITLE="", VERSION="1.0", pandas_type="frame_table", pandas_version="0.15.2",
        table_type="appendable_frame", encoding="UTF-8", errors="strict", nan_rep="nan",
    )  # fmt: skip
    _set_pickled(
        group, index_cols=[(0, "index")], values_cols=["values_block_0", "values_block_1"], data_columns=[],
        non_index_axes=[(1, [*names[0], *names[1]])],
        info={1: {"names": [None], "type": "Index"}, "index": {}},
    )  # fmt: skip
    group.attrs["levels"] = np.int64(1)
    _set_texts(table, CLASS="TABLE", TITLE="", VERSION="2.7", index_kind="integer")
    _set_texts(table, values_block_0_dtype="float32", values_block_1_dtype="int64")
    _set_pickled(
        table, values_block_0_kind=names[0], values_block_1_kind=names[1], values_block_0_meta=None,
        values_block_1_meta=None,
    )  # fmt: skip


def _set_texts(where: Any, **texts: str) -> None:
    import h5py

    for name, text in texts.items():
        data = text.encode()
        kind = h5py.string_dtype("utf-8", max(len(data), 1))
        where.attrs.create(name, np.array(data, dtype=kind), dtype=kind)


def _set_pickled(where: Any, **values: object) -> None:
    # Protocol 0 is ASCII text, which is what PyTables expects of what it did not write as text.
    for name, value in values.items():
        where.attrs[name] = np.bytes_(pickle.dumps(value, protocol=0))
