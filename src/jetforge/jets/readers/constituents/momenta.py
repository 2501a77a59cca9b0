"""Four-momenta from what formats store of a particle."""

from __future__ import annotations

from collections.abc import Mapping
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
        (n,); a mass that rounding made imaginary is a negative one, as in ROOT. A negative pT would turn the direction
        around: see `no_momenta`.
    """
    pt, eta, phi, mass = (values.astype(np.float64) for values in (pt, eta, phi, mass))
    pz = pt * np.sinh(eta)
    energy = np.sqrt(np.maximum(pt**2 + pz**2 + mass * np.abs(mass), 0))
    return {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pz, "energy": energy, "mass": mass}


def no_momenta(*components: npt.NDArray[Any], pt: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which particles have no momentum (n,): their pT is negative, or any number of them is not finite."""
    wrong: npt.NDArray[np.bool_] = ~(np.isfinite(pt) & (pt >= 0))
    for values in components:
        wrong |= ~np.isfinite(values)
    return wrong


def cartesian(given: Mapping[str, _Floats]) -> tuple[_Floats, _Floats, _Floats, _Floats]:
    """Return ``px, py, pz, energy`` of particles, each (n,), from whichever quantities are there.

    Parameters
    ----------
    given
        ``px, py, pz``, or ``pt, phi`` and one of ``eta`` and ``y`` (rapidity); with them ``energy`` or ``mass``, or
        neither for massless particles.
    """
    mass = given.get("mass", np.zeros(1))
    if "px" in given:
        px, py, pz = given["px"], given["py"], given["pz"]
    else:
        px, py = given["pt"] * np.cos(given["phi"]), given["pt"] * np.sin(given["phi"])
        if "eta" in given:
            pz = given["pt"] * np.sinh(given["eta"])
        elif "energy" in given:
            pz = given["energy"] * np.tanh(given["y"])
        else:
            pz = np.sqrt(given["pt"] ** 2 + mass * np.abs(mass)) * np.sinh(given["y"])
    energy = given["energy"] if "energy" in given else np.sqrt(px**2 + py**2 + pz**2 + mass * np.abs(mass))
    return px, py, pz, energy


def first_contradiction(columns: Mapping[str, npt.NDArray[Any]]) -> tuple[int, str] | None:
    """Return the first constituent whose mass contradicts its energy, and what is wrong: only one of them is stored."""
    px, py, pz, energy, mass = (columns[name].astype(np.float64) for name in ("px", "py", "pz", "energy", "mass"))
    expected = np.sqrt(np.maximum(px**2 + py**2 + pz**2 + mass * np.abs(mass), 0))
    wrong = np.flatnonzero(np.abs(expected - energy) > 0.01 * energy + 1e-6)
    if not len(wrong):
        return None
    i = int(wrong[0])
    shown = f"the energy is {energy[i]:g} GeV, with the mass of {mass[i]:g} GeV it would be {expected[i]:g}"
    return i, f"{shown}: leave one of the two out"
