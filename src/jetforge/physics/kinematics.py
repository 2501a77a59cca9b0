"""Transverse momentum, rapidity, pseudorapidity and azimuth of four-momenta, in the conventions of FastJet.

Cacciari, Salam, Soyez, arXiv:1111.6097: numbers are formed in the same order of operations, so that ours agree
to rounding.
"""

from math import asinh, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.elementary import atan2, log
from jetforge.physics.flat import FlatJets

_PI = 3.141592653589793
_TWO_PI = 2 * _PI
_BEAM_RAPIDITY = 1e5
_LEAST_SQUARE = 1e-290

LEAST_PT = 1e-144
"""GeV; with more, a direction is well defined: the square is not lost to underflow."""


class Points(NamedTuple):
    """Constituents of one jet in the plane of rapidity and azimuth; float64, pT in GeV, phi in (-pi, pi]."""

    pt: npt.NDArray[np.float64]
    rapidity: npt.NDArray[np.float64]
    phi: npt.NDArray[np.float64]


@njit(cache=True, error_model="numpy")
def rapidity(px: float, py: float, pz: float, energy: float) -> float:
    """Return y = 1/2 ln((E + pz)/(E - pz)) for a mass not below 0; +-(1e5 + |pz|) along the beam."""
    kt2 = px * px + py * py
    m2 = (energy + pz) * (energy - pz) - kt2
    mt2 = kt2 + (m2 if m2 > 0.0 else 0.0)
    forward = energy + abs(pz)
    plus2 = forward * forward
    transverse = mt2 > _LEAST_SQUARE and plus2 > _LEAST_SQUARE
    ratio = mt2 / plus2 if transverse else 1.0
    y = 0.5 * log(ratio) if transverse else -(_BEAM_RAPIDITY + abs(pz))
    return -y if pz >= 0.0 else y


@njit(cache=True, error_model="numpy")
def pseudorapidity(pt: float, pz: float) -> float:
    """Return eta = arsinh(pz/pT); +-(1e5 + |pz|) along the beam, as the rapidity, and 0 without momentum."""
    if pt * pt > _LEAST_SQUARE:
        return asinh(pz / pt)
    if pz == 0.0:
        return 0.0
    return _BEAM_RAPIDITY + pz if pz > 0.0 else pz - _BEAM_RAPIDITY


@njit(cache=True, error_model="numpy")
def wrapped(dphi: float) -> float:
    """Return the difference of two azimuths, each in (-pi, pi], as an angle in (-pi, pi]."""
    dphi = dphi - _TWO_PI if dphi > _PI else dphi
    return dphi + _TWO_PI if dphi <= -_PI else dphi


@njit(cache=True)
def largest_jet(offsets: npt.NDArray[np.int64], first: int, last: int) -> int:
    """Return the largest number of constituents of the jets first <= j < last."""
    largest = 0
    for j in range(first, last):
        largest = max(largest, offsets[j + 1] - offsets[j])
    return largest


@njit(cache=True)
def points_memory(largest: int) -> Points:
    """Return room for the points of jets of up to `largest` constituents."""
    memory = np.empty((3, largest))
    return Points(memory[0], memory[1], memory[2])


@njit(cache=True, error_model="numpy")
def load_points(flat: FlatJets, j: int, points: Points) -> int:
    """Write pT, rapidity and azimuth of the constituents of jet j, and return their number."""
    o = flat.offsets[j]
    n = flat.offsets[j + 1] - o
    for i in range(n):
        points.pt[i] = sqrt(flat.px[o + i] * flat.px[o + i] + flat.py[o + i] * flat.py[o + i])
    for i in range(n):
        points.rapidity[i] = rapidity(flat.px[o + i], flat.py[o + i], flat.pz[o + i], flat.energy[o + i])
    for i in range(n):
        points.phi[i] = atan2(flat.py[o + i], flat.px[o + i])
    return int(n)
