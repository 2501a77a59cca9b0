"""JetNet: jets of some 1 TeV, each with its hardest 30 or 150 particles relative to the jet, in HDF5."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.jets.jets import Jets
from jetforge.jets.readers.base import FormatCard, Option, Reader, unit_option
from jetforge.jets.readers.constituents.padded import without_padding
from jetforge.jets.readers.constituents.ragged import joined, pieces, row_of
from jetforge.jets.readers.containers import hdf5_files
from jetforge.jets.readers.contents import Contents

PARTICLES, JETS = "particle_features", "jet_features"
RELATIVE = ("etarel", "phirel", "ptrel")
JET_FIELDS = ("pt", "eta", "mass", "num_particles")
# No distance of a particle from its jet, and no particle's share of the jet's momentum, is larger.
_FARTHEST, _LARGEST_SHARE = 10.0, 2.0
_ROWS_AT_ONCE = 4000


class JetNetReader(Reader):
    """Particles ``etarel, phirel, ptrel, mask`` of each jet, filled up with padding."""

    card = FormatCard(
        name="jetnet",
        title="JetNet, jets of 30 or 150 particles",
        layout=(
            "HDF5 with `particle_features` (n, 30, 4) or (n, 150, 4): pseudorapidity and azimuth relative to the jet, "
            "pT over the jet's pT (`etarel, phirel, ptrel`), and a mask, 1 for a particle and 0 for padding; and "
            "`jet_features` (n, 4): `pt, eta, mass, num_particles`. A file has jets of one class: `g` gluon, `q` light "
            "quark, `t` top, `w` W boson, `z` Z boson. `etarel, phirel, ptrel` are kept as columns."
        ),
        origin=(
            "Kansal et al.: JetNet, doi:10.5281/zenodo.6975118 (30 particles) and doi:10.5281/zenodo.6975117 "
            "(150 particles)."
        ),
        made=(
            "Simulated jets with transverse momenta of some 1 TeV, made of a sample of the kind of the hls4ml data set "
            "(doi:10.5281/zenodo.3602260; not confirmed that it is the same); in the record of 30 particles 170,000 to "
            "178,000 jets a class."
        ),
        units="GeV for the jets; particles are relative to their jet.",
        licence="CC BY 4.0 for the record of 30 particles, as a third party states; not found by us for that of 150.",
        citation=(
            "Kansal et al., Particle Cloud Generation with Message Passing Generative Adversarial Networks, "
            "arXiv:2106.11535."
        ),
        traps=(
            "The jet's azimuth is not stored: momenta are formed as if it were 0 for every jet.",
            "Particles are taken as massless, since neither energy nor mass is stored.",
            "The features of a jet are those of all its particles: in the files of 30 particles the sum of the stored "
            "ones is less, and `num_particles` may be more than are there.",
            "No class is stored: name it with the file, as in g=g.hdf5.",
            "The package JetNet shuffles after joining the classes, so that splits depend on which classes are read.",
        ),
    )
    options: Mapping[str, Option] = {  # type: ignore[misc]
        "unit": unit_option("what the jets' pt and mass are in"),
    }

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there are particles and jets of four features each."""
        shapes = [re.search(r"\(.*\)", contents.names.get(name, "")) for name in (PARTICLES, JETS)]
        particles, jets = (re.findall(r"\d+", shape[0]) if shape else [] for shape in shapes)
        return contents.container == "hdf5" and (len(particles), len(jets)) == (3, 2) and particles[2] == jets[1] == "4"

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        self._file = hdf5_files.open_file(path)
        try:
            self._particles = hdf5_files.dataset(self._file, path, PARTICLES, (None, 4))
            self._jets = hdf5_files.dataset(self._file, path, JETS, (4,))
            self.num_rows = len(self._particles)
            for name, found in ((PARTICLES, self._particles), (JETS, self._jets)):
                if found.dtype.newbyteorder("=") not in (np.float32, np.float64) or len(found) != self.num_rows:
                    raise self.error(
                        f"'{name}' is {len(found)} rows of {found.dtype}; '{PARTICLES}' has {self.num_rows}, "
                        "and both should be float32 or float64"
                    )
        except BaseException:
            self._file.close()
            raise

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of rows; see `Reader.read`."""
        # A few rows at a time: what is decompressed stays in the processor's cache.
        offsets, relative = joined([self._read_rows(*piece) for piece in pieces(start, stop, _ROWS_AT_ONCE)])
        counts = np.diff(offsets)
        fields = self._jet_fields(start, stop, counts)
        jet = np.repeat(np.arange(stop - start), counts)
        pt = relative["ptrel"] * fields["pt"][jet].astype(np.float64)
        eta = relative["etarel"] + fields["eta"][jet].astype(np.float64)
        phi = relative["phirel"].astype(np.float64)
        momenta = {
            "px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "energy": pt * np.cosh(eta),
        }  # fmt: skip
        return Jets(offsets, momenta | relative, fields)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_rows(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
        """Return offsets and features of the particles of some rows."""
        block = hdf5_files.rows(self._particles, self.path, start, stop)
        mask = block[:, :, 3]
        wrong = np.flatnonzero(((mask != 0) & (mask != 1)).any(axis=1))
        if len(wrong):
            raise self.error("the mask of a particle is neither 0 nor 1", start + int(wrong[0]))
        offsets, columns = without_padding(mask == 1, {name: block[:, :, i] for i, name in enumerate(RELATIVE)})
        eta, phi, pt = columns.values()
        # What is not a number is not within these limits either.
        right = (np.abs(eta) <= _FARTHEST) & (np.abs(phi) <= _FARTHEST) & (pt > 0) & (pt <= _LARGEST_SHARE)
        if not right.all():
            place = int(np.argmin(right))
            row = row_of(place, offsets)
            shown = ", ".join(f"{name} {values[place]:g}" for name, values in columns.items())
            raise self.error(
                f"particle {place - offsets[row]} has {shown}: no particle of a jet; is the file damaged, or are the "
                "features scaled or in another order?", start + row,
            )  # fmt: skip
        return offsets, columns

    def _jet_fields(self, start: int, stop: int, counts: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        values = hdf5_files.rows(self._jets, self.path, start, stop)
        fields = {name: values[:, i].copy() for i, name in enumerate(JET_FIELDS)}
        right = np.isfinite(values).all(axis=1) & (values[:, 0] > 0) & (np.abs(values[:, 1]) <= _FARTHEST)
        if not right.all():
            row = int(np.argmin(right))
            shown = ", ".join(f"{name} {value:g}" for name, value in zip(JET_FIELDS, values[row], strict=True))
            raise self.error(
                f"the jet has {shown}: is the file damaged, or are the features in another order?", start + row
            )
        # Particles beyond the length of the rows are not stored.
        stored = np.minimum(fields["num_particles"], self._particles.shape[1])
        wrong = np.flatnonzero(stored != counts)
        if len(wrong):
            row = int(wrong[0])
            raise self.error(
                f"num_particles is {fields['num_particles'][row]:g}, the mask has {counts[row]} of at most "
                f"{self._particles.shape[1]}: damaged", start + row,
            )  # fmt: skip
        fields["num_particles"] = fields["num_particles"].astype(np.int64)
        for name in ("pt", "mass"):
            fields[name] *= self.to_gev
        return fields
