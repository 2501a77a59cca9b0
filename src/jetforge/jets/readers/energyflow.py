"""EnergyFlow's quark and gluon jets: npz archives of particles as pT, rapidity, azimuth and PDG number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.jets import Jets
from jetforge.jets.readers.base import FormatCard, Option, Reader, unit_option
from jetforge.jets.readers.constituents.padded import unwoven
from jetforge.jets.readers.constituents.ragged import joined_offsets, pieces, row_of
from jetforge.jets.readers.containers.streams import ZippedArray
from jetforge.jets.readers.contents import Contents
from jetforge.physics.constituent_fields import charges

PARTICLES, LABEL = "X", "y"
NUM_FEATURES = 4  # pT, rapidity, azimuth, PDG number
CLASSES = ("gluon", "quark")
# GeV, by the Particle Data Group (2024); these live long enough to be particles of a jet.
MASSES = {
    11: 0.00051099895, 12: 0.0, 13: 0.1056583755, 14: 0.0, 15: 1.77693, 16: 0.0, 22: 0.0, 111: 0.1349768, 130: 0.497611,
    211: 0.13957039, 310: 0.497611, 311: 0.497611, 321: 0.493677, 2112: 0.93956542, 2212: 0.93827209, 3112: 1.197449,
    3122: 1.115683, 3212: 1.192642, 3222: 1.18937, 3312: 1.32171, 3322: 1.31486, 3334: 1.67245,
}  # fmt: skip
# Beyond any beam's rapidity.
_LARGEST_RAPIDITY = 20.0
_LARGEST_PID = 2**31
# Rows are taken so many bytes at a time, which bounds the memory that padding takes.
_SLAB_BYTES = 4 << 20


class EnergyFlowReader(Reader):
    """Particles ``(pt, y, phi, pid)`` of each jet, filled up with zeros."""

    card = FormatCard(
        name="energyflow",
        title="EnergyFlow quark and gluon jets",
        layout=(
            "npz with `X` (n, length, 4) and `y` (n,): the particles of a jet as pT, rapidity, azimuth and PDG number, "
            "filled up with zeros to a length that differs from file to file, and 1 for quark, 0 for gluon jets."
        ),
        origin=(
            "Komiske, Metodiev, Thaler: Pythia8 Quark and Gluon Jets for Energy Flow, doi:10.5281/zenodo.3164691; "
            "Pathak, Komiske, Metodiev, Schwartz: Herwig7.1 Quark and Gluon Jets, doi:10.5281/zenodo.3066475."
        ),
        made=(
            "Z (to neutrinos) and a quark or gluon at 14 TeV, with hadronisation and multiparton interactions, by "
            "Pythia 8.226 (u, d, s quarks), 8.235 (with c and b) or Herwig 7.1.4 (both); particles but neutrinos, no "
            "detector, anti-kt R = 0.4, 500 < pT < 550 GeV, |y| < 1.7. Each of the four sets is 20 files of 100 k "
            "jets; 1.6 M to train and 200 k each to validate and test are usual."
        ),
        units="GeV.",
        licence="Not found by us.",
        citation=(
            "Komiske, Metodiev, Thaler, Energy Flow Networks: Deep Sets for Particle Jets, JHEP 01 (2019) 121, "
            "arXiv:1810.05165."
        ),
        traps=(
            "The second number is the rapidity, not the pseudorapidity. Published studies mostly set masses to zero, "
            "for which the two are the same, as mass=zero does; mass=pid gives the generated four-momenta, with the "
            "masses of the particles.",
            "A file does not say whether its quarks include charm and bottom, or which generator made it: sets of "
            "different kinds should not be mixed.",
            "Particles are not in the order of pT.",
            "Lists of the files on the web name QG_jets_withbc_3.npz twice, and leave out QG_jets_withbc_11.npz.",
            "A known converter drops the last jet of every file; here every jet is kept.",
        ),
    )
    options: Mapping[str, Option] = {  # type: ignore[misc]
        "unit": unit_option("what the transverse momenta are in"),
        "mass": Option("zero", "masses of the particles: zero, or what their PDG numbers say", ("zero", "pid")),
    }

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there are particles of four numbers, and a label."""
        if contents.container != "zip" or not contents.has(f"{PARTICLES}.npy", f"{LABEL}.npy"):
            return False
        try:
            return ZippedArray(contents.path, PARTICLES).shape[2:] == (NUM_FEATURES,)
        except DataError:
            return True  # opening it says what is wrong

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        self._particles, self._labels = ZippedArray(path, PARTICLES), ZippedArray(path, LABEL)
        shape = self._particles.shape
        if len(shape) != 3 or shape[2] != NUM_FEATURES:
            raise self.error(f"'{PARTICLES}' has the shape {shape}, not (jets, particles, {NUM_FEATURES})")
        if self._labels.shape != shape[:1]:
            raise self.error(
                f"'{LABEL}' has the shape {self._labels.shape}, not one number for each of the {shape[0]} jets of "
                f"'{PARTICLES}'"
            )
        for array in (self._particles, self._labels):
            if array.dtype.kind not in "iufb":
                raise self.error(f"'{array.name}' is of type {array.dtype}, not numbers")
        self.num_rows = shape[0]
        self.classes = CLASSES
        self._rows_at_once = max(_SLAB_BYTES // max(self._particles.dtype.itemsize * NUM_FEATURES * shape[1], 1), 1)

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of rows; see `Reader.read`."""
        # The last rows end the stream, whose checksum is verified then: for these jets, and all before them.
        length = self._particles.shape[1] * NUM_FEATURES
        blocks = [
            unwoven(self._rows(self._particles, first, last).reshape(last - first, length))
            for first, last in pieces(start, stop, self._rows_at_once)
        ]
        labels = self._rows(self._labels, start, stop)
        offsets = joined_offsets([block[0] for block in blocks])
        pt, y, phi, pid = np.concatenate([columns for _, columns in blocks], axis=1).astype(np.float64, copy=False)
        self._check(start, offsets, pt, y, phi, pid)
        pid = pid.astype(np.int32)
        mass = self._masses(pid, start, offsets)
        pt = pt * self.to_gev
        transverse = np.sqrt(pt**2 + mass**2)
        columns = {
            "px": pt * np.cos(phi),
            "py": pt * np.sin(phi),
            "pz": transverse * np.sinh(y),
            "energy": transverse * np.cosh(y),
            "mass": mass,
            "pid": pid,
            "charge": charges(pid).astype(np.float32),
        }
        self.refuse(~np.isin(labels, (0, 1)), LABEL, labels, "neither 0 nor 1", start)
        return Jets(offsets, columns, {"label": labels.astype(np.int64)})

    def close(self) -> None:
        """Close the archive."""
        self._particles.close()
        self._labels.close()

    @staticmethod
    def _rows(array: ZippedArray, start: int, stop: int) -> npt.NDArray[Any]:
        values = array.read(start, stop)
        return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))

    def _check(
        self, start: int, offsets: npt.NDArray[np.int64], pt: npt.NDArray[np.float64], y: npt.NDArray[np.float64],
        phi: npt.NDArray[np.float64], pid: npt.NDArray[np.float64],
    ) -> None:  # fmt: skip
        for what, values, fine, rule in (
            ("pT", pt, (pt > 0) & (pt < np.inf), "a positive number"),
            ("the rapidity", y, np.abs(y) <= _LARGEST_RAPIDITY, f"within {_LARGEST_RAPIDITY:.0f}"),
            ("the azimuth", phi, np.isfinite(phi), "a finite number"),
            ("the PDG number", pid, (np.abs(pid) < _LARGEST_PID) & (np.rint(pid) == pid), "a whole number"),
        ):
            wrong = np.flatnonzero(~fine)
            if len(wrong):
                raise self.error(
                    f"{what} of a particle is {values[wrong[0]]:g}, not {rule}; the four numbers of a particle must be "
                    "pT, rapidity, azimuth and PDG number",
                    start + row_of(int(wrong[0]), offsets),
                )
        empty = np.flatnonzero(np.diff(offsets) == 0)
        if len(empty):
            raise self.error("no particles: all numbers of the jet are zero", start + int(empty[0]))

    def _masses(
        self, pid: npt.NDArray[np.int32], start: int, offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        if self.settings["mass"] == "zero":
            return np.zeros(len(pid))
        known = np.array(sorted(MASSES))
        kind = np.abs(pid.astype(np.int64))
        place = np.minimum(np.searchsorted(known, kind), len(known) - 1)
        wrong = np.flatnonzero(known[place] != kind)
        if len(wrong):
            raise self.error(
                f"the mass of a particle with the PDG number {pid[wrong[0]]} is not known; read with mass=zero",
                start + row_of(int(wrong[0]), offsets),
            )
        return np.array([MASSES[number] for number in known.tolist()])[place]
