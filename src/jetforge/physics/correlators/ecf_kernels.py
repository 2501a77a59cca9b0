"""Directions, angles and the loop over jets of the energy correlators."""

from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.correlators.ecf_sums import nest_memory, padded, sum_of_least, sum_of_products
from jetforge.physics.elementary import atan2
from jetforge.physics.flat import FlatJets
from jetforge.physics.kinematics import LEAST_PT, Points, largest_jet, load_points, points_memory, wrapped
from jetforge.physics.powers import raise_to

PT_R, E_THETA, E_INV = 0, 1, 2

_Floats = npt.NDArray[np.float64]

_LEAST_ENERGY = 1e-7  # GeV; what has less may have any velocity, as it is not checked
_LARGEST_RAPIDITY = 600.0  # above any that a momentum of more than the least pT has
_LARGEST = 1.7976931348623157e308


class Terms(NamedTuple):
    """What to evaluate for each jet: for each column of the result, int64 each.

    n is the number of constituents in a product, angles that of the smallest angles multiplied (0 for all), and
    beta the place of the exponent in a list.
    """

    n: npt.NDArray[np.int64]
    angles: npt.NDArray[np.int64]
    beta: npt.NDArray[np.int64]


class _Directions(NamedTuple):
    """Weights and directions of the constituents of one jet that have a weight: the weights sum to 1."""

    z: _Floats
    a: _Floats  # rapidity, or x component of the direction or velocity
    b: _Floats  # azimuth, or y component
    c: _Floats  # z component
    d: _Floats  # (m/E)^2


@njit(cache=True, error_model="numpy")
def _load(flat: FlatJets, j: int, measure: int, points: Points, to: _Directions) -> tuple[int, float]:
    """Write weights and directions of a jet's constituents; return their number and the sum of the weights.

    Constituents without transverse momentum (for energies as weights, without energy) are left out. What is
    behind the last one up to the next multiple of the lanes is finite and has no weight.
    """
    o, n = flat.offsets[j], 0
    total = 0.0
    if measure == PT_R:
        for i in range(load_points(flat, j, points)):
            if points.pt[i] > LEAST_PT:
                y = min(max(points.rapidity[i], -_LARGEST_RAPIDITY), _LARGEST_RAPIDITY)
                to.z[n], to.a[n], to.b[n] = points.pt[i], y, points.phi[i]
                total += to.z[n]
                n += 1
    else:
        for i in range(o, flat.offsets[j + 1]):
            energy = flat.energy[i]
            if energy > _LEAST_ENERGY:
                p2 = flat.px[i] ** 2 + flat.py[i] ** 2 + flat.pz[i] ** 2
                m2 = (energy + flat.pz[i]) * (energy - flat.pz[i]) - (flat.px[i] ** 2 + flat.py[i] ** 2)
                length = energy if measure == E_INV else (sqrt(p2) if p2 > 0.0 else 1.0)
                to.z[n], to.d[n] = energy, m2 / energy / energy
                to.a[n], to.b[n], to.c[n] = flat.px[i] / length, flat.py[i] / length, flat.pz[i] / length
                total += energy
                n += 1
    for i in range(n):
        to.z[i] /= total
    for i in range(n, padded(n)):
        to.z[i] = to.a[i] = to.b[i] = to.c[i] = to.d[i] = 0.0
    return n, total


@njit(cache=True, error_model="numpy")
def _squared_angles(i: int, measure: int, of: _Directions, length: int, row: _Floats) -> None:
    """Write the squared angles between constituent i and the first ones."""
    a, b, c, d = of.a[i], of.b[i], of.c[i], of.d[i]
    if measure == PT_R:
        for k in range(length):
            dy = of.a[k] - a
            dphi = wrapped(of.b[k] - b)
            row[k] = dy * dy + dphi * dphi
    elif measure == E_THETA:
        for k in range(length):
            x = b * of.c[k] - c * of.b[k]
            y = c * of.a[k] - a * of.c[k]
            z = a * of.b[k] - b * of.a[k]
            theta = atan2(sqrt(x * x + y * y + z * z), a * of.a[k] + b * of.b[k] + c * of.c[k])
            row[k] = theta * theta
    else:
        for k in range(length):
            # 2 p_i.p_k/(E_i E_k) in terms of velocities: nothing cancels for nearly parallel momenta.
            x, y, z = of.a[k] - a, of.b[k] - b, of.c[k] - c
            product = x * x + y * y + z * z + (d + of.d[k])
            row[k] = product if product > 0.0 else 0.0


@njit(cache=True, error_model="numpy")
def _fill(n: int, measure: int, beta: float, of: _Directions, t: _Floats, squared: _Floats) -> None:
    """Fill the triangular matrix, with rows of zeros behind those of the n constituents."""
    for i in range(n):
        length = padded(i + 1)
        _squared_angles(i, measure, of, length, squared)
        raise_to(squared, 0.5 * beta, length, t[i])
        for k in range(i, length):
            t[i, k] = 0.0
    for i in range(n, padded(n)):
        for k in range(padded(n)):
            t[i, k] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def correlator_kernel(
    first: int,
    last: int,
    flat: FlatJets,
    measure: int,
    betas: _Floats,
    terms: Terms,
    normalised: bool,
    out: _Floats,
) -> None:
    """Write the correlators of the jets first <= j < last, one column a term.

    Each beta is in the list once. A correlator of more constituents than a jet has is 0.
    """
    largest = largest_jet(flat.offsets, first, last)
    width = padded(largest)
    points = points_memory(largest)
    memory = np.zeros((5, width))
    directions = _Directions(memory[0], memory[1], memory[2], memory[3], memory[4])
    squared = np.empty(width)
    t = np.empty((width, width))
    nest = nest_memory(width)
    for j in range(first, last):
        n, total = _load(flat, j, measure, points, directions)
        for b in range(len(betas)):
            _fill(n, measure, betas[b], directions, t, squared)
            for term in range(len(terms.n)):
                if terms.beta[term] != b:
                    continue
                size, angles = terms.n[term], terms.angles[term]
                if n < size:
                    value = 0.0
                elif size == 1:
                    value = 1.0
                elif angles == 0:
                    value = sum_of_products(size, n, directions.z, t, nest)
                else:
                    value = sum_of_least(size, angles, n, directions.z, t, nest)
                if not normalised:
                    for _ in range(size):
                        value *= total
                out[j, term] = value if value < _LARGEST else _LARGEST
