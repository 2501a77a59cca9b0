"""ML4SCI's quark and gluon jets as images of the CMS detector, in HDF5 and in Parquet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.jets import Jets
from jetforge.jets.readers.base import FormatCard, Reader
from jetforge.jets.readers.constituents.ragged import joined, pieces
from jetforge.jets.readers.constituents.sparse_pixels import (
    first_strange,
    pixel_centres,
    pixel_directions,
    sparse_pixels,
)
from jetforge.jets.readers.containers import arrow_files, hdf5_files
from jetforge.jets.readers.containers.arrow_batches import Batches
from jetforge.jets.readers.containers.limits import refuse_long_rows
from jetforge.jets.readers.contents import Contents

IMAGES, LABEL = "X_jets", "y"
FIELDS = {"pt": "pt", "m0": "mass"}
CLASSES = ("gluon", "quark")
CHANNELS = 3
# A pixel is a crystal of the electromagnetic calorimeter's barrel (arXiv:1902.08276).
PIXEL_SIZE = 0.0174
# Of any image of a jet, by far.
_LONGEST_SIDE = 4096
# Images are made sparse so many bytes at a time, which bounds the memory.
_SLAB_BYTES = 64 << 20
_BATCH_IMAGES = 64


class Ml4SciReader(Reader):
    """Images of 3 x 125 x 125 pixels; those that are not zero become constituents."""

    card = FormatCard(
        name="ml4sci",
        title="ML4SCI quark and gluon jet images",
        layout=(
            "HDF5 with `X_jets` (n, 125, 125, 3), `m0`, `pt`, `y`, or Parquet with the same columns, `X_jets` as "
            "nested lists of 3 x 125 x 125. Channels are taken for 0 tracks (sum of pT), 1 ECAL (energy), 2 HCAL "
            "(energy), rows for steps in pseudorapidity, columns for steps in azimuth, `y` for 1 of quark and 0 of "
            "gluon jets, as in the authors' program. Each pixel that is not zero is one constituent with `row`, "
            "`column`, `channel` and `value`; `jetforge.jets.pixels.pixel_images` gives the dense images back."
        ),
        origin="ML4SCI, quark-gluon_data-set_n139306.hdf5 and QCDToGGQQ_IMGjet_RH1all_jet0_run*.snappy.parquet.",
        made=(
            "Simulated CMS Open Data, QCD dijets; images of the calorimeters and of tracks extrapolated to them, "
            "around the jet's hardest HCAL tower, with pixels of 0.0174 x 0.0174. HCAL towers are 5 x 5 pixels, of "
            "which each has 1/25 of the energy."
        ),
        units="GeV.",
        licence="Not found by us.",
        citation=(
            "Andrews et al., End-to-End Jet Classification of Quarks and Gluons with the CMS Open Data, "
            "arXiv:1902.08276."
        ),
        traps=(
            "Some notes on the web say that y = 0 is quark; the authors' program for such files (MLAnalyzer) sets 1 "
            "for quarks. The files themselves do not say.",
            "Some notes list the channels as ECAL, HCAL, tracks; the authors' program stacks tracks, ECAL, HCAL. For "
            "the HDF5 file of 139,306 jets neither is confirmed.",
            "Four-momenta are made up: massless, the value as pT although ECAL and HCAL have energies, at the "
            "pixel's centre relative to that of the image; channels overlap, and the sum is not the jet. Pixels "
            "below zero have no momentum.",
            "The HDF5 file and the three Parquet files have as many jets, 139,306, and probably the same: do not join "
            "them.",
            "Low-resolution images (`X_jets_LR`), where there, are not read.",
        ),
    )
    relative = True
    part_rows = 5_000

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there are images, with pT, mass and label."""
        return contents.container in ("hdf5", "parquet") and contents.has(IMAGES, LABEL, *FIELDS)

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        self._images: _Images = _ParquetImages(path) if arrow_files.is_parquet(path) else _Hdf5Images(path)
        self.num_rows = self._images.num_rows
        self.classes = CLASSES
        rows, columns = self._images.shape
        if max(rows, columns) > _LONGEST_SIDE:
            self._images.close()
            raise self.error(f"its images have {rows} x {columns} pixels: damaged, or no jets")
        self._directions = pixel_directions(
            pixel_centres(rows, PIXEL_SIZE)[:, np.newaxis], pixel_centres(columns, PIXEL_SIZE)
        )

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of rows; see `Reader.read`."""
        # Pieces are whole chunks of the file.
        offsets, columns = joined([self._slab(*piece) for piece in pieces(start, stop, self._images.rows_at_a_time)])
        given = self._images.numbers(start, stop)
        fields: dict[str, npt.NDArray[Any]] = {}
        for name, values in given.items():
            if name == LABEL:
                self.refuse(~np.isin(values, (0, 1)), name, values, "neither 0 nor 1", start)
                fields["label"] = values.astype(np.int64)
            else:
                self.refuse(~np.isfinite(values), name, values, "no finite number", start)
                fields[FIELDS[name]] = values
        return Jets(offsets, columns, fields)

    def _slab(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
        images = self._images.read(start, stop)
        strange = first_strange(images)
        if strange >= 0:
            raise self.error("a pixel is not a finite number", start + strange)
        return sparse_pixels(images, self._directions)

    def close(self) -> None:
        """Close the file."""
        self._images.close()


class _Images(ABC):
    """Where images come from."""

    num_rows: int
    shape: tuple[int, int]
    rows_at_a_time: int

    @abstractmethod
    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Return images (n, channels, rows, columns)."""

    @abstractmethod
    def numbers(self, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """Return pT, mass and label by their names in the file."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


class _Hdf5Images(_Images):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = hdf5_files.open_file(path)
        try:
            self._images = hdf5_files.dataset(self._file, path, IMAGES, (None, None, CHANNELS))
            self._numbers = {name: hdf5_files.dataset(self._file, path, name, ()) for name in (LABEL, *FIELDS)}
            self.num_rows = len(self._images)
            for name, found in {IMAGES: self._images, **self._numbers}.items():
                if found.dtype.kind not in "iuf" or len(found) != self.num_rows:
                    raise DataError(
                        f"{path}: '{name}' is {len(found)} rows of {found.dtype}; '{IMAGES}' has {self.num_rows}"
                    )
        except BaseException:
            self._file.close()
            raise
        self.shape = self._images.shape[1:3]
        row_bytes = self._images.dtype.itemsize * int(np.prod(self._images.shape[1:]))
        chunk = self._images.chunks[0] if self._images.chunks else 1
        # Whole chunks, unless these are too large.
        rows = max(_SLAB_BYTES // max(row_bytes, 1), 1)
        self.rows_at_a_time = max(rows // chunk, 1) * chunk if chunk <= 4 * rows else rows

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        return _as_float32(hdf5_files.rows(self._images, self._path, start, stop)).transpose(0, 3, 1, 2)

    def numbers(self, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        return {name: hdf5_files.rows(found, self._path, start, stop) for name, found in self._numbers.items()}

    def close(self) -> None:
        self._file.close()


class _ParquetImages(_Images):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = arrow_files.open_file(path)
        self.num_rows = self._file.metadata.num_rows
        if not self.num_rows:
            self._file.close()
            raise DataError(f"{path}: it has no rows")
        # A row group may be one image, or all of them.
        self._batches = Batches(self._file, path, _BATCH_IMAGES)
        try:
            lengths, _ = self._nested(0, 1)
        except BaseException:
            self._file.close()
            raise
        self.shape = (lengths[1], lengths[2])
        self.rows_at_a_time = _BATCH_IMAGES

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        if start == stop:
            return np.empty((0, CHANNELS, *self.shape), dtype=np.float32)
        lengths, values = self._nested(start, stop)
        if lengths != (CHANNELS, *self.shape):
            raise DataError(
                f"{self._path}: row {start}: the image has the shape {lengths}, not {(CHANNELS, *self.shape)}"
            )
        return _as_float32(values).reshape(stop - start, *lengths)

    def numbers(self, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        table = arrow_files.read_rows(self._file, self._path, (LABEL, *FIELDS), start, stop)
        numbers = {}
        for name in (LABEL, *FIELDS):
            column = table[name]
            if column.null_count:
                raise DataError(f"{self._path}: rows {start} to {stop}: {column.null_count} of '{name}' are missing")
            numbers[name] = np.asarray(column.to_numpy())
            if numbers[name].dtype.kind not in "iuf":
                raise DataError(f"{self._path}: '{name}' is of type {column.type}, not numbers")
        return numbers

    def close(self) -> None:
        self._batches.close()
        self._file.close()

    def _nested(self, start: int, stop: int) -> tuple[tuple[int, int, int], npt.NDArray[Any]]:
        """Return the lengths of the lists of each level, which must be the same for all, and all values."""
        import pyarrow as pa

        batches = [batch.column(0) for batch in self._batches.read((IMAGES,), start, stop)]
        array = batches[0] if len(batches) == 1 else pa.concat_arrays(batches)
        kind = array.type
        lengths: list[int] = []
        for _ in range(3):
            if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
                raise DataError(f"{self._path}: '{IMAGES}' is of type {kind}, not lists of lists of lists")
            sizes = np.diff(np.asarray(array.offsets))
            other = np.flatnonzero(sizes != sizes[:1])
            if array.null_count or len(other) or not sizes[0]:
                row = start + (int(other[0]) if len(other) else 0) // int(np.prod(lengths))
                raise DataError(
                    f"{self._path}: row {row}: the image has lists of different lengths, or missing or empty ones"
                )
            lengths.append(int(sizes[0]))
            array = array.flatten()
        if array.null_count or not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
            raise DataError(f"{self._path}: rows {start} to {stop}: '{IMAGES}' has missing values, or no numbers")
        refuse_long_rows(self._path, f"'{IMAGES}'", 8 * int(np.prod(lengths, dtype=np.int64)))
        return (lengths[0], lengths[1], lengths[2]), array.to_numpy()


def _as_float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # infinite pixels are refused
        return values.astype(np.float32, copy=False)
