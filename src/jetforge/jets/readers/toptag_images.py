"""The top-tagging challenge as images of 40 x 40 pixels: HDF5 files that pandas wrote."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.jets.jets import Jets
from jetforge.jets.readers.base import FormatCard, Reader
from jetforge.jets.readers.constituents.ragged import joined, pieces
from jetforge.jets.readers.constituents.sparse_pixels import (
    first_strange,
    pixel_centres,
    pixel_directions,
    sparse_pixels,
)
from jetforge.jets.readers.containers.pandas_frames import Frame, frame_columns
from jetforge.jets.readers.contents import Contents
from jetforge.jets.readers.toptag import SPLIT, splits_of_ttv

KEY = "table"
PIXEL = "img_"
LABEL, MASS = "is_signal_new", "mass"
CLASSES = ("qcd", "top")
# Assumed: the files do not state steps, nor which axis is which.
PHI_STEP, ETA_STEP = 0.035, 0.029
# Images are made sparse so many at a time, which bounds the memory.
_SLAB = 4096


class TopTagImagesReader(Reader):
    """Pixels ``img_0`` to ``img_1599`` of each jet in one row; those that are not zero become constituents."""

    card = FormatCard(
        name="toptag-images",
        title="Top-tagging challenge, images",
        layout=(
            "HDF5 written by pandas (key `table`), a row a jet: the pixels `img_0` to `img_1599` of an image of 40 x "
            "40, row after row, and, where there, `is_signal_new` (1 top, 0 QCD), `ttv` (0 train, and, as is assumed, "
            "1 test, 2 validation) and the jet's `mass`. Each pixel that is not zero is one constituent with `row`, "
            "`column`, `channel` (0) and `value`; `jetforge.jets.pixels.pixel_images` gives the dense images back."
        ),
        origin=(
            "Copies in a private share, known as images of the Top Quark Tagging Reference Dataset of Kasieczka, "
            "Plehn, Thompson, Russell, doi:10.5281/zenodo.2603256."
        ),
        made=(
            "Nothing that we know comes with the files. Images of this kind (arXiv:1808.08979) are made of jets whose "
            "constituents are centred, rotated and flipped, summed to pixels, cropped and divided by their sum."
        ),
        units="None: a pixel is taken for a share of the jet's pT; the mass, where there, for GeV.",
        licence="Not found by us for the images; for the jets see toptag.",
        citation=(
            "Kasieczka, Plehn et al., The Machine Learning landscape of top taggers, arXiv:1902.09914; Heimel, "
            "Kasieczka, Plehn, Thompson, QCD or What?, arXiv:1808.08979."
        ),
        traps=(
            "Four-momenta are made up: massless, the value as pT, at the pixel's centre relative to that of the "
            "image. Masses and angles are those of the preprocessed picture, and there is no scale.",
            "Steps of 0.029 in pseudorapidity and 0.035 in azimuth, with rows for azimuth, are assumptions, not "
            "confirmed; angles and masses scale with them. After a rotation neither axis is a direction in the "
            "detector.",
            "That `ttv` is 1 for test and 2 for validation is not confirmed either; --split says it over `ttv`.",
            "Pixels stored as float64 are rounded to float32.",
        ),
    )
    relative = True

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there is a frame with pixels."""
        return f"{PIXEL}0" in frame_columns(contents, KEY)

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        self._frame = Frame(path, KEY)
        columns = set(self._frame.columns)
        number = next(i for i in range(len(columns) + 1) if f"{PIXEL}{i}" not in columns)
        side = isqrt(number)
        if not number or side**2 != number:
            self._frame.close()
            there = f"the pixels img_0 to img_{number - 1}" if number else "no pixels (img_0, ...)"
            raise self.error(f"it has {there}: no square image")
        self.num_rows = self._frame.num_rows
        self._side = side
        self._pixels = [f"{PIXEL}{i}" for i in range(number)]
        self._given = [name for name in (LABEL, SPLIT, MASS) if name in columns]
        self.classes = CLASSES if LABEL in columns else ()
        self._directions = pixel_directions(pixel_centres(side, ETA_STEP), pixel_centres(side, PHI_STEP)[:, np.newaxis])

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of rows; see `Reader.read`."""
        offsets, columns = joined([self._slab(*piece) for piece in pieces(start, stop, _SLAB)])
        given = self._frame.read(self._given, start, stop) if self._given else {}
        fields: dict[str, npt.NDArray[Any]] = {}
        if LABEL in given:
            fields["label"] = self._numbers(LABEL, given[LABEL], (0, 1), start).astype(np.int64)
        if SPLIT in given:
            fields[SPLIT] = self._numbers(SPLIT, given[SPLIT], (0, 1, 2), start).astype(np.int8)
        if MASS in given:
            fields[MASS] = given[MASS].astype(np.float64)
        return Jets(offsets, columns, fields)

    def stated_splits(self, jets: Jets) -> npt.NDArray[np.int8] | None:
        """Return the splits that `ttv` says."""
        return splits_of_ttv(jets)

    def close(self) -> None:
        """Close the file."""
        self._frame.close()

    def _slab(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
        pixels = self._frame.read_block(self._pixels, start, stop)
        if pixels.dtype.kind not in "fiu":
            raise self.error(f"its pixels are of type {pixels.dtype}, not numbers")
        with np.errstate(over="ignore"):  # infinite pixels are refused
            images = pixels.astype(np.float32, copy=False).reshape(stop - start, 1, self._side, self._side)
        strange = first_strange(images)
        if strange >= 0:
            raise self.error("a pixel is not a finite number", start + strange)
        return sparse_pixels(images, self._directions)

    def _numbers(self, name: str, values: npt.NDArray[Any], allowed: tuple[int, ...], start: int) -> npt.NDArray[Any]:
        self.refuse(~np.isin(values, allowed), name, values, f"none of {', '.join(map(str, allowed))}", start)
        return values
