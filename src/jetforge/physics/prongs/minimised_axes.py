"""Sums over the constituents of a jet about several axes, and axes moved to where these sums are smallest."""

from math import inf, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.elementary import bits_float, float_bits, smaller
from jetforge.physics.kinematics import wrapped
from jetforge.physics.powers import raise_to

_LANES = 8  # constituents are padded to whole lanes, so that loops have no scalar remainder
_TWO_PI = 2 * 3.141592653589793
# Beyond any distance but those of constituents without transverse momentum; keeps powers of distances finite.
_FAR2 = 1e16
_HALVED_EXPONENT = 0x5FE6EB50C7B537A9  # minus half the bits of x: those of 1/sqrt(x) to 4 %
_SUMS = {"contract", "reassoc", "nnan", "nsz"}

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


class Cloud(NamedTuple):
    """Constituents of one jet, padded with some without transverse momentum, and where they are about the axes."""

    pt: _Floats
    rapidity: _Floats
    phi: _Floats
    distance2: _Floats  # to the nearest axis
    weight: _Floats
    nearest: _Integers  # number of that axis


class Rule(NamedTuple):
    """How axes are moved: the exponent of distances, the largest distance that counts, and when to stop."""

    beta: float
    r_cutoff: float  # inf: all count
    accuracy: float
    max_steps: int


@njit(cache=True)
def cloud_memory(largest: int) -> Cloud:
    """Return room for jets of up to `largest` constituents."""
    memory = np.empty((5, largest + _LANES))
    return Cloud(memory[0], memory[1], memory[2], memory[3], memory[4], np.empty(largest + _LANES, dtype=np.int64))


@njit(cache=True)
def pad(n: int, cloud: Cloud) -> int:
    """Fill up to whole lanes behind the n constituents of a jet, at least one, and return how many there are now."""
    size = (n + _LANES - 1) & -_LANES
    for i in range(n, size):
        cloud.pt[i] = 0.0
        cloud.rapidity[i] = cloud.rapidity[0]
        cloud.phi[i] = cloud.phi[0]
    return size


@njit(cache=True, error_model="numpy", fastmath={"contract", "nnan", "nsz"})
def find_nearest(size: int, cloud: Cloud, axes: _Floats, n_axes: int) -> None:
    """Write the squared distance of every constituent to the nearest axis, the first of equals, and its number.

    `axes` holds rapidities and azimuths, shape (2, at least n_axes).
    """
    rapidity, phi, distance2, nearest = cloud.rapidity, cloud.phi, cloud.distance2, cloud.nearest
    for i in range(size):
        distance2[i] = _FAR2
        nearest[i] = 0
    for k in range(n_axes):
        y_axis, phi_axis = axes[0, k], axes[1, k]
        for i in range(size):
            dy = rapidity[i] - y_axis
            dphi = abs(phi[i] - phi_axis)
            dphi = smaller(dphi, _TWO_PI - dphi)
            d2 = dy * dy + dphi * dphi
            closer = d2 < distance2[i]
            nearest[i] = k if closer else nearest[i]
            distance2[i] = d2 if closer else distance2[i]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _inverse_sqrt(x: float) -> float:
    """Return 1/sqrt(x) of a positive, normal float, to about two units in the last place.

    In a vectorised loop this is twice as fast as root and quotient. An estimate y from the bits of x is refined with
    h = x y^2: twice to third order in h - 1, then once to second.
    """
    y = bits_float(_HALVED_EXPONENT - (float_bits(x) >> 1))
    h = x * y * y
    y *= 1.875 + h * (0.375 * h - 1.25)
    h = x * y * y
    y *= 1.875 + h * (0.375 * h - 1.25)
    return y + 0.5 * y * (1.0 - x * y * y)


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def _weigh(size: int, cloud: Cloud, rule: Rule) -> None:
    """Write the weights pT (Delta^2 + accuracy^2)^(beta/2 - 1) that constituents have in the mean of their axis."""
    pt, distance2, weight = cloud.pt, cloud.distance2, cloud.weight
    floor = rule.accuracy * rule.accuracy
    cutoff2 = rule.r_cutoff * rule.r_cutoff
    if rule.beta == 1.0:
        for i in range(size):
            weight[i] = pt[i] * _inverse_sqrt(distance2[i] + floor)
    elif rule.beta == 2.0:
        for i in range(size):
            weight[i] = pt[i]
    else:
        for i in range(size):
            weight[i] = distance2[i] + floor
        raise_to(weight, 0.5 * rule.beta - 1.0, size, weight)
        for i in range(size):
            weight[i] *= pt[i]
    if cutoff2 < inf:
        for i in range(size):
            weight[i] = 0.0 if distance2[i] > cutoff2 else weight[i]


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def _weighted_mean(size: int, cloud: Cloud, k: int, phi_axis: float) -> tuple[float, float, float]:
    """Return the sums of the weights of axis k, of weighted rapidities, and of weighted azimuths about the axis."""
    rapidity, phi, weight, nearest = cloud.rapidity, cloud.phi, cloud.weight, cloud.nearest
    total, sum_y, sum_phi = 0.0, 0.0, 0.0
    for i in range(size):
        w = weight[i] if nearest[i] == k else 0.0
        total += w
        sum_y += w * rapidity[i]
        sum_phi += w * wrapped(phi[i] - phi_axis)
    return total, sum_y, sum_phi


@njit(cache=True, error_model="numpy")
def minimise(size: int, cloud: Cloud, axes: _Floats, found: int, n_axes: int, rule: Rule) -> int:
    """Move axes until they stand still, and return the number of steps.

    Each step assigns the constituents to the nearest axis and moves every axis to their weighted mean, where the sum of
    pT Delta^beta is stationary when the weights are; an axis to which none belongs stays. The last step is the one
    by which the n_axes axes, of which `found` exist, move by the accuracy or less in the mean (Thaler, Van Tilburg,
    arXiv:1108.2701, section 3.1).
    """
    for step in range(rule.max_steps):
        find_nearest(size, cloud, axes, found)
        _weigh(size, cloud, rule)
        moved = 0.0
        for k in range(found):
            total, sum_y, sum_phi = _weighted_mean(size, cloud, k, axes[1, k])
            if total > 0.0:
                y, dphi = sum_y / total, sum_phi / total
                moved += sqrt((y - axes[0, k]) ** 2 + dphi * dphi)
                axes[0, k] = y
                axes[1, k] = wrapped(axes[1, k] + dphi)
        if moved <= rule.accuracy * n_axes:
            return step + 1
    return rule.max_steps


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def sum_of_pt(size: int, cloud: Cloud) -> float:
    """Return the scalar sum of transverse momenta."""
    total = 0.0
    for i in range(size):
        total += cloud.pt[i]
    return total


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def sum_about_axes(size: int, cloud: Cloud, axes: _Floats, found: int, beta: float, beam2: float) -> float:
    """Return the sum of pT min(Delta^2, beam2)^(beta/2), with Delta the distance to the nearest axis.

    Writes the terms into `cloud.weight`.
    """
    find_nearest(size, cloud, axes, found)
    pt, distance2, weight = cloud.pt, cloud.distance2, cloud.weight
    for i in range(size):
        weight[i] = smaller(distance2[i], beam2)
    raise_to(weight, 0.5 * beta, size, weight)
    total = 0.0
    for i in range(size):
        weight[i] *= pt[i]
        total += weight[i]
    return total
