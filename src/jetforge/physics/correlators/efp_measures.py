"""Weights and angles of constituents, from which energy flow polynomials are made."""

from math import exp, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.elementary import atan2
from jetforge.physics.flat import FlatJets
from jetforge.physics.kinematics import LEAST_PT, rapidity, wrapped

HADR, HADRDOT, EE = range(3)

# Constituents of less transverse momentum have no direction that a float can tell from the beam's.
# (m/E)^2 below which a mass cannot be told from the rounding of an energy.
_MASSLESS = 2e-15
# Bounds that keep products of angles finite; no direction or mass that can be measured comes near.
_MOST_RAPIDITY = 150.0
_MOST_EXCESS = 1e60

_Floats = npt.NDArray[np.float64]


class Directions(NamedTuple):
    """Constituents that count, those with energy (or transverse momentum).

    `size` is E for the measure ee, otherwise pT, in GeV. Directions are (y, phi, -) for hadr; (e^y, px/pT, py/pT)
    for hadrdot; p/|p| for ee. `excess` is mT/pT - 1 for hadrdot, 1 - |p|/E for ee.
    """

    size: _Floats
    first: _Floats
    second: _Floats
    third: _Floats
    excess: _Floats


@njit(cache=True)
def directions_memory(largest: int) -> Directions:
    """Return room for jets of up to `largest` constituents."""
    memory = np.empty((5, largest))
    return Directions(memory[0], memory[1], memory[2], memory[3], memory[4])


@njit(cache=True, error_model="numpy")
def load_directions(flat: FlatJets, j: int, measure: int, out: Directions) -> int:
    """Write the constituents of jet j that count, and return their number."""
    n = 0
    for i in range(flat.offsets[j], flat.offsets[j + 1]):
        px, py, pz, energy = flat.px[i], flat.py[i], flat.pz[i], flat.energy[i]
        pt = sqrt(px * px + py * py)
        if measure == EE:
            if energy <= 0.0:
                continue
            p = sqrt(px * px + py * py + pz * pz)
            unit = 1.0 / p if p > 0.0 else 0.0
            deficit = (energy - p) / energy
            out.size[n] = energy
            out.first[n], out.second[n], out.third[n] = px * unit, py * unit, pz * unit
            out.excess[n] = deficit if deficit > 0.5 * _MASSLESS else 0.0
        else:
            if pt <= LEAST_PT:
                continue
            y = rapidity(px, py, pz, energy)
            out.size[n] = pt
            if measure == HADR:
                out.first[n], out.second[n] = y, atan2(py, px)
            else:
                m2 = (energy + pz) * (energy - pz) - pt * pt
                m2 = m2 if m2 > _MASSLESS * energy * energy else 0.0
                out.first[n] = exp(min(max(y, -_MOST_RAPIDITY), _MOST_RAPIDITY))
                out.second[n], out.third[n] = px / pt, py / pt
                out.excess[n] = min(m2 / pt / (sqrt(m2 + pt * pt) + pt), _MOST_EXCESS)
        n += 1
    return n


@njit(cache=True, error_model="numpy")
def load_weights(n: int, given: Directions, kappa: float, z: _Floats) -> float:
    """Write z_i = (size_i / total)^kappa, and return the total size."""
    total = 0.0
    for i in range(n):
        total += given.size[i]
    for i in range(n):
        fraction = given.size[i] / total
        z[i] = fraction if kappa == 1.0 else fraction**kappa
    return total


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _row_of_squares(i: int, n: int, given: Directions, measure: int, row: _Floats) -> None:
    """Write theta^2 for beta = 1 of constituent i and all.

    Sums of squares and of positive numbers, in place of differences of nearly equal ones: small angles are exact.
    """
    first, second, third, excess = given.first, given.second, given.third, given.excess
    if measure == HADR:
        for k in range(n):
            dy, dphi = first[i] - first[k], wrapped(second[i] - second[k])
            row[k] = dy * dy + dphi * dphi
    elif measure == HADRDOT:
        for k in range(n):
            da, dx, dy = first[i] - first[k], second[i] - second[k], third[i] - third[k]
            mass = excess[i] + excess[k] + excess[i] * excess[k]  # mT mT / (pT pT) - 1
            row[k] = 2.0 * mass + (1.0 + mass) * (da * da / (first[i] * first[k])) + dx * dx + dy * dy
    else:
        for k in range(n):
            dx, dy, dz = first[i] - first[k], second[i] - second[k], third[i] - third[k]
            mass = excess[i] + excess[k] - excess[i] * excess[k]  # 1 - |p| |p| / (E E)
            row[k] = 2.0 * mass + (1.0 - mass) * (dx * dx + dy * dy + dz * dz)


@njit(cache=True, error_model="numpy")
def load_angles(n: int, width: int, given: Directions, measure: int, beta: float, most: float, theta: _Floats) -> None:
    """Write theta_ik to the first n rows and columns of a matrix of rows of `width` numbers.

    The square for beta = 1 is taken as at most `most`.
    """
    for i in range(n):
        row = theta[i * width : i * width + n]
        _row_of_squares(i, n, given, measure, row)
        for k in range(n):
            row[k] = row[k] if row[k] < most else most
        if beta == 1.0:
            for k in range(n):
                row[k] = sqrt(row[k])
        elif beta == 0.5:
            for k in range(n):
                row[k] = sqrt(sqrt(row[k]))
        elif beta != 2.0:
            for k in range(n):
                row[k] = row[k] ** (0.5 * beta)
