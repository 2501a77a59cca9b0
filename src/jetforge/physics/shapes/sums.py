"""Sums over the constituents of each jet: momenta, angularities, charges, fractions and counts."""

from math import inf, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.clustering.kernel import cluster, load_particles, workspace
from jetforge.physics.elementary import atan2
from jetforge.physics.flat import FlatJets
from jetforge.physics.kinematics import (
    LEAST_PT,
    Points,
    largest_jet,
    load_points,
    points_memory,
    pseudorapidity,
    rapidity,
    wrapped,
)
from jetforge.physics.powers import raise_to
from jetforge.physics.shapes.axis import bounded, jet_momentum, momentum_axis

_Floats = npt.NDArray[np.float64]

LARGEST = 1.7976931348623157e308
_LARGEST_TERM = 1e295  # a sum of very many is finite
_NO_DISTANCE2 = 1e-28  # from the axis: below, rounding has made it
_SUM_MATH = {"contract", "reassoc", "nnan", "nsz"}


@njit(cache=True, nogil=True)
def momentum_kernel(first: int, last: int, flat: FlatJets, out: _Floats) -> None:
    """Write px, py, pz and energy of the jets, a row each, every sum in the order of the constituents."""
    for j in range(first, last):
        out[0, j], out[1, j], out[2, j], out[3, j] = jet_momentum(flat, j)


@njit(cache=True, nogil=True, error_model="numpy")
def kinematics_kernel(first: int, last: int, momenta: _Floats, out: _Floats) -> None:
    """Write pT, rapidity, azimuth, pseudorapidity, mass and energy, a row each, of momenta px, py, pz, energy."""
    for j in range(first, last):
        px, py, pz, energy = momenta[0, j], momenta[1, j], momenta[2, j], momenta[3, j]
        pt = sqrt(px * px + py * py)
        m2 = (energy + pz) * (energy - pz) - pt * pt
        moves = pt > 0.0 or pz != 0.0 or energy > 0.0
        out[0, j] = pt
        out[1, j] = rapidity(px, py, pz, energy) if moves else 0.0
        out[2, j] = atan2(py, px)
        out[3, j] = pseudorapidity(pt, pz)
        out[4, j] = sqrt(m2) if m2 > 0.0 else 0.0
        out[5, j] = energy


@njit(cache=True, nogil=True)
def winner_kernel(first: int, last: int, flat: FlatJets, winners: npt.NDArray[np.int64]) -> None:
    """Write the constituent that the winner-take-all axis is along, after a Cambridge/Aachen clustering.

    It is found by number: the direction of the clustered jet has been rounded at every step.
    """
    particles, history, slots = workspace(largest_jet(flat.offsets, first, last))
    px, py = particles.px, particles.py
    for j in range(first, last):
        n = load_particles(flat, j, particles)
        winners[j] = 0
        if n > 0:
            cluster(n, particles, history, slots, 0.0, inf, True)
            entry = 2 * n - 2
            while entry >= n:
                a, b = history.first[entry - n], history.second[entry - n]
                entry = a if px[a] ** 2 + py[a] ** 2 >= px[b] ** 2 + py[b] ** 2 else b
            winners[j] = entry


@njit(cache=True, error_model="numpy")
def _only_transverse(n: int, points: Points) -> tuple[int, float]:
    """Keep the constituents that have a pT; return their number and the sum of pT."""
    kept = 0
    total = 0.0
    for i in range(n):
        if points.pt[i] > LEAST_PT:
            points.pt[kept] = points.pt[i]
            points.rapidity[kept] = bounded(points.rapidity[i])
            points.phi[kept] = points.phi[i]
            total += points.pt[i]
            kept += 1
    return kept, total


@njit(cache=True, error_model="numpy", fastmath=_SUM_MATH)
def _product_sum(x: _Floats, y: _Floats, n: int) -> float:
    total = 0.0
    for i in range(n):
        total += x[i] * y[i]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def angularity_kernel(
    first: int,
    last: int,
    flat: FlatJets,
    winners: npt.NDArray[np.int64],
    kappa: _Floats,
    beta: _Floats,
    scale: _Floats,
    out: _Floats,
) -> None:
    """Write sum z^kappa Delta^beta, times a scale, one column for each kappa and beta.

    The axis is along the winner of each jet, or along its momentum if there are no winners.
    """
    largest = largest_jet(flat.offsets, first, last)
    points = points_memory(largest)
    memory = np.empty((4, largest))
    z, distance2, raised_z, raised_distance = memory[0], memory[1], memory[2], memory[3]
    for j in range(first, last):
        n = load_points(flat, j, points)
        if len(winners) > 0 and n > 0:
            axis_pt, y, phi = points.pt[winners[j]], bounded(points.rapidity[winners[j]]), points.phi[winners[j]]
        else:
            axis_pt, y, phi = momentum_axis(flat, j)
        n, total = _only_transverse(n, points)
        for i in range(n):
            z[i] = points.pt[i] / total
            dy = points.rapidity[i] - y
            dphi = wrapped(points.phi[i] - phi)
            d2 = dy * dy + dphi * dphi
            distance2[i] = d2 if d2 > _NO_DISTANCE2 else 0.0
        for c in range(len(kappa)):
            value = 0.0
            if beta[c] == 0.0 or axis_pt > LEAST_PT:
                raise_to(z, kappa[c], n, raised_z)
                raise_to(distance2, 0.5 * beta[c], n, raised_distance)
                value = _product_sum(raised_z, raised_distance, n)
            if value > 0.0:
                value *= scale[c]
            out[j, c] = value if value < LARGEST else LARGEST


@njit(cache=True, nogil=True, error_model="numpy")
def charge_kernel(
    first: int, last: int, flat: FlatJets, charge: Any, kappa: float, momenta: _Floats, out: _Floats
) -> None:
    """Write sum charge (pT/jet pT)^kappa."""
    for j in range(first, last):
        jet_pt = sqrt(momenta[0, j] ** 2 + momenta[1, j] ** 2)
        total = 0.0
        for i in range(flat.offsets[j], flat.offsets[j + 1]):
            pt = sqrt(flat.px[i] * flat.px[i] + flat.py[i] * flat.py[i])
            if charge[i] != 0 and pt > LEAST_PT and jet_pt > LEAST_PT:
                term = charge[i] * min((pt / jet_pt) ** kappa, _LARGEST_TERM)
                total += min(max(term, -_LARGEST_TERM), _LARGEST_TERM)
        out[j] = total


@njit(cache=True, nogil=True, error_model="numpy")
def selected_kernel(
    first: int, last: int, flat: FlatJets, values: Any, wanted: Any, pt_min: float, count: Any, fraction: _Floats
) -> None:
    """Write number and pT fraction of the constituents whose value is among the wanted, up to the sign.

    Without any wanted, constituents whose value is not 0 are taken. The number is of those of at least pt_min.
    """
    for j in range(first, last):
        total = selected = 0.0
        number = 0
        for i in range(flat.offsets[j], flat.offsets[j + 1]):
            pt = sqrt(flat.px[i] * flat.px[i] + flat.py[i] * flat.py[i])
            total += pt
            chosen = values[i] != 0 and len(wanted) == 0
            for one in wanted:
                chosen = chosen or abs(values[i]) == one
            if chosen:
                selected += pt
                number += pt >= pt_min
        count[j] = number
        fraction[j] = selected / total if total > LEAST_PT else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def multiplicity_kernel(first: int, last: int, flat: FlatJets, pt_min: float, out: Any) -> None:
    """Write the number of constituents of at least pt_min."""
    for j in range(first, last):
        number = 0
        for i in range(flat.offsets[j], flat.offsets[j + 1]):
            number += sqrt(flat.px[i] * flat.px[i] + flat.py[i] * flat.py[i]) >= pt_min
        out[j] = number


@njit(cache=True, nogil=True, error_model="numpy")
def ordered_kernel(first: int, last: int, flat: FlatJets, fraction: float, leading: _Floats, out: Any) -> None:
    """Write the fractions of pT that the hardest constituents have, and how many have `fraction` together."""
    memory = np.empty(largest_jet(flat.offsets, first, last))
    for j in range(first, last):
        o = flat.offsets[j]
        n = flat.offsets[j + 1] - o
        total = 0.0
        for i in range(n):
            memory[i] = -sqrt(flat.px[o + i] * flat.px[o + i] + flat.py[o + i] * flat.py[o + i])
        negative = memory[:n]
        negative.sort()
        for i in range(n):
            total -= negative[i]
        for i in range(leading.shape[1]):
            leading[j, i] = -negative[i] / total if i < n and total > LEAST_PT else 0.0
        number = 0
        reached = 0.0
        while total > LEAST_PT and number < n and reached < fraction * total:
            reached -= negative[number]
            number += 1
        out[j] = number
