"""One Parquet file as awkward-array reads it: a list column for each constituent column, a flat one for each field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.dataset import Dataset
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import UNITS
from jetforge.jets.writers.base import SPLIT_COLUMN, Writer, outer_columns


class ParquetWriter(Writer):
    """Columns ``px, py, pz, mass`` (float32 GeV), ``energy`` (float64 GeV) and what else constituents have, as lists.

    Jets have ``label``, ``weight``, ``jet_pt`` ... and ``split``, the name of the split. The file's metadata hold, as
    JSON, ``jetforge.classes`` (a label is an index into them), ``jetforge.units``, ``jetforge.provenance`` and
    ``jetforge.fingerprint`` of the dataset. Equal datasets give equal bytes.
    """

    suffixes = (".parquet",)

    def __init__(self, path: Path, dataset: Dataset, splits: Sequence[str]) -> None:
        super().__init__(path, dataset, splits)
        self._schema: Any = None
        self._writer: Any = None

    def write(self, jets: Jets, split: str) -> None:
        """Append jets as one row group; see `Writer.write`."""
        import pyarrow as pa

        columns, fields = outer_columns(jets, str(self.dataset.path))
        if self._writer is None:
            self._open(columns, fields)
        if list(self._schema.names) != [*columns, *fields, SPLIT_COLUMN]:
            raise DataError(f"{self.dataset.path}: its parts have different columns; make it again")
        arrays = [self._list(name, column, jets.offsets) for name, column in columns.items()]
        arrays += [pa.array(field, self._schema.field(name).type) for name, field in fields.items()]
        arrays.append(pa.array(np.full(len(jets), split), pa.string()))
        self._writer.write_table(pa.table(arrays, schema=self._schema), row_group_size=max(len(jets), 1))

    def close(self) -> None:
        """Write the footer."""
        if self._writer is not None:
            self._writer.close()

    def _list(self, name: str, column: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> Any:
        import pyarrow as pa

        kind = self._schema.field(name).type
        # Lists have 32-bit offsets, which every reader knows: a block holds far fewer constituents.
        return pa.ListArray.from_arrays(
            pa.array(offsets.astype(np.int32)), pa.array(column, kind.value_type), type=kind
        )

    def _open(self, columns: Mapping[str, npt.NDArray[Any]], fields: Mapping[str, npt.NDArray[Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        def required(name: str, kind: Any) -> Any:
            # Not nullable, so that awkward-array does not see options everywhere.
            return pa.field(name, kind, nullable=False)

        ragged = [required(n, pa.list_(required("element", pa.array(c[:0]).type))) for n, c in columns.items()]
        flat = [required(n, pa.array(f[:1]).type) for n, f in fields.items()]
        manifest = self.dataset.manifest
        metadata = {
            "jetforge.classes": list(self.dataset.classes), "jetforge.units": UNITS,
            "jetforge.provenance": manifest.provenance, "jetforge.fingerprint": self.dataset.fingerprint,
        }  # fmt: skip
        self._schema = pa.schema(
            [*ragged, *flat, required(SPLIT_COLUMN, pa.string())],
            metadata={name: json.dumps(value) for name, value in metadata.items()},
        )
        leaves = {n: f"{n}.list.element" for n in columns} | {n: n for n in fields}
        floats = [leaves[n] for n, a in {**columns, **fields}.items() if a.dtype in (np.float32, np.float64)]
        others = [leaf for leaf in (*leaves.values(), SPLIT_COLUMN) if leaf not in floats]
        self._writer = pq.ParquetWriter(
            self.path,
            self._schema,
            compression="zstd",
            use_dictionary=others,
            use_byte_stream_split=floats,
            write_page_checksum=True,
        )
