"""Constituents by transverse momentum, pseudorapidity, azimuth and mass, and back, for whole columns at once."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from jetforge.physics.flat import FlatJets

Floats = NDArray[np.float64]


class Angles(NamedTuple):
    """Momenta by their directions: pt and mass in GeV, phi in (-pi, pi]."""

    pt: Floats
    eta: Floats
    phi: Floats
    mass: Floats

    @classmethod
    def of(cls, flat: FlatJets) -> Self:
        """Return the momenta of constituents; a squared mass below 0 counts as 0."""
        pt = np.hypot(flat.px, flat.py)
        squared = flat.energy**2 - pt**2 - flat.pz**2
        return cls(pt, pseudorapidity(pt, flat.pz), np.arctan2(flat.py, flat.px), np.sqrt(np.maximum(squared, 0.0)))

    def columns(self) -> dict[str, Floats]:
        """Return the columns of jets."""
        pz = self.pt * np.sinh(self.eta)
        return {
            "px": self.pt * np.cos(self.phi),
            "py": self.pt * np.sin(self.phi),
            "pz": pz,
            "energy": np.sqrt(self.pt**2 + pz**2 + self.mass**2),
        }


def pseudorapidity(pt: Floats, pz: Floats) -> Floats:
    """Return arsinh(pz/pT), large and finite along the beam."""
    return np.arcsinh(pz / np.where(pt > 0, pt, 1e-12))


def wrapped(phi: Floats) -> Floats:
    """Return azimuths in (-pi, pi]."""
    return np.pi - (np.pi - phi) % (2 * np.pi)
