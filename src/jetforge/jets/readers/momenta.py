"""Four-momenta from what formats store of a particle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]


def four_momenta(
    pt: npt.NDArray[Any], eta: npt.NDArray[Any], phi: npt.NDArray[Any], mass: npt.NDArray[Any]
) -> dict[str, _Floats]:
    """Return ``px, py, pz, energy, mass`` of particles, each float64 (n,), in the unit of `pt` and `mass`.

    Parameters
    ----------
    pt, eta, phi, mass
        (n,); a mass that rounding made imaginary is a negative one, as in ROOT.
    """
    pt, eta, phi, mass = (values.astype(np.float64) for values in (pt, eta, phi, mass))
    pz = pt * np.sinh(eta)
    energy = np.sqrt(np.maximum(pt**2 + pz**2 + mass * np.abs(mass), 0))
    return {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pz, "energy": energy, "mass": mass}
