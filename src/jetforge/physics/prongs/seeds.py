"""Where the axes of N-subjettiness start: the names they go by, and how they are read off a clustering."""

from math import inf
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import known, number
from jetforge.physics.clustering.algorithms import radius_of
from jetforge.physics.clustering.kernel import History, Particles

_POWERS = {"kt": 1.0, "half_kt": 0.5, "ca": 0.0, "antikt": -1.0, "genkt": None}
_WTA = ("kt", "half_kt", "ca", "genkt")
_SEEDS = (*_POWERS, *(f"wta_{name}" for name in _WTA))
AXES = (*_SEEDS, *(f"onepass_{name}" for name in _SEEDS))
"""Names of the axes."""

_STEEPEST = 10.0

_Floats = npt.NDArray[np.float64]


class Seeds(NamedTuple):
    """The clustering whose pseudojets give the axes."""

    power: float
    radius: float  # inf: no beam
    wta: bool
    hardest: bool  # the hardest jets of their own, rather than what is left at a number of subjets


def seeds_of(axes: str, beta: float, power: float | None, radius: float | None) -> tuple[Seeds, bool]:
    """Return the clustering that a name stands for, and whether its axes are moved to a minimum.

    Parameters
    ----------
    axes
        One of `AXES`.
    beta
        Exponent of the measure; 1/beta is the power of genkt axes by default.
    power
        Power of genkt axes.
    radius
        Radius of antikt and genkt axes, from 1e-6 to 1e6.

    Raises
    ------
    JetforgeError
        If the name is not known, or power or radius are missing, out of place, or out of range.
    """
    known("axes", axes, AXES)
    seed = axes.removeprefix("onepass_")
    family = seed.removeprefix("wta_")
    if power is not None and family != "genkt":
        raise JetforgeError(f"axes_power is for genkt axes, not {axes!r}; leave it out")
    if radius is not None and family not in ("antikt", "genkt"):
        raise JetforgeError(f"axes_radius is for antikt and genkt axes, not {axes!r}; leave it out")
    if radius is None and family == "antikt":
        raise JetforgeError(f"axes {axes!r} needs axes_radius, the radius of the subjets")
    reach = radius_of("axes_radius", radius, optional=True)
    default = _POWERS[family]
    chosen = default if default is not None else (1.0 / beta if power is None else power)
    if family == "genkt":
        chosen = number("axes_power, by default 1/beta,", chosen, least=0.0, most=_STEEPEST)
    hardest = family == "antikt"
    return Seeds(chosen, reach, seed != family, hardest), axes != seed


@njit(cache=True)
def exclusive_axes(n: int, steps: int, n_axes: int, particles: Particles, history: History, axes: _Floats) -> int:
    """Write the directions of the n_axes < n pseudojets that are left at that number; return how many there are.

    They stand in the order in which the clustering would have gone on with them.
    """
    limit = 2 * n - n_axes
    if limit == n + steps:
        axes[0, 0] = particles.rapidity[limit - 1]
        axes[1, 0] = particles.phi[limit - 1]
        return 1
    found = 0
    for t in range(n - n_axes, steps):
        one, other = history.first[t], history.second[t]
        if other >= 0:
            one, other = min(one, other), max(one, other)
        if one < limit:
            axes[0, found] = particles.rapidity[one]
            axes[1, found] = particles.phi[one]
            found += 1
        if 0 <= other < limit:
            axes[0, found] = particles.rapidity[other]
            axes[1, found] = particles.phi[other]
            found += 1
    return found


@njit(cache=True)
def hardest_axes(n: int, steps: int, n_axes: int, particles: Particles, history: History, axes: _Floats) -> int:
    """Write the directions of the hardest jets of their own, at most n_axes, and return how many there are."""
    px, py = particles.px, particles.py
    found = 0
    last, last_at = inf, -1
    while found < n_axes:  # the next is the hardest of those that come after the last, in falling pT
        hardest, at = -1.0, -1
        for t in range(steps):
            if history.second[t] < 0:
                k = history.first[t]
                pt2 = px[k] * px[k] + py[k] * py[k]
                if (pt2 < last or (pt2 == last and t > last_at)) and pt2 > hardest:
                    hardest, at = pt2, t
        if at < 0:
            break
        k = history.first[at]
        axes[0, found] = particles.rapidity[k]
        axes[1, found] = particles.phi[k]
        last, last_at = hardest, at
        found += 1
    return found
