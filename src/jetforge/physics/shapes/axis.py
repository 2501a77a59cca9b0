"""The momentum of a jet and the axis along it, in the E scheme."""

from math import sqrt

from numba import njit

from jetforge.physics.elementary import atan2
from jetforge.physics.flat import FlatJets
from jetforge.physics.kinematics import LEAST_PT, rapidity

_LARGEST_RAPIDITY = 600.0  # above any that a momentum of more than the least pT has


@njit(cache=True)
def bounded(y: float) -> float:
    """Return a rapidity that no square of makes infinite; only those along the beam are moved."""
    return min(max(y, -_LARGEST_RAPIDITY), _LARGEST_RAPIDITY)


@njit(cache=True, error_model="numpy")
def jet_momentum(flat: FlatJets, j: int) -> tuple[float, float, float, float]:
    """Return px, py, pz and energy of jet j, every sum in the order of the constituents."""
    px = py = pz = energy = 0.0
    for i in range(flat.offsets[j], flat.offsets[j + 1]):
        px += flat.px[i]
        py += flat.py[i]
        pz += flat.pz[i]
        energy += flat.energy[i]
    return px, py, pz, energy


@njit(cache=True, error_model="numpy")
def momentum_axis(flat: FlatJets, j: int) -> tuple[float, float, float]:
    """Return pT, rapidity and azimuth of the momentum of jet j; pT is 0 if it has no transverse direction."""
    px, py, pz, energy = jet_momentum(flat, j)
    pt = sqrt(px * px + py * py)
    return pt if pt > LEAST_PT else 0.0, bounded(rapidity(px, py, pz, energy)), atan2(py, px)
