"""Nearest neighbours among the pseudojets that are left, in short contiguous arrays.

Each remaining pseudojet sits in a slot with a lower bound on its distance to the others and the beam, and every
pair is covered by the bound of at least one of the two. If the neighbour that gave the smallest bound is
still there, these two are the closest pair; if not, that bound is measured anew. A distance carries the number of a
slot in its last bits, so that a plain running minimum, which the compiler vectorises, also tells where it
is. Of jets of up to 255 constituents, distances that agree to 6e-14 thus count as equal; of twice
as many, to twice that.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.elementary import bits_float, float_bits, smaller

NO_BOUND = 2.0**1000
"""Above every distance; its last bits are 0, which is a slot that exists."""
BEAM = -1
"""The neighbour of a pseudojet that is closest to the beam."""
LARGEST_WEIGHT = 1e90
"""Largest kt^2p, relative to that of the hardest constituent, for which distances stay finite."""
LANES = 16
"""Slots in use are rounded up to this, so that loops have no scalar remainder."""

_TWO_PI = 2 * 3.141592653589793
_FAR = 2.0**340  # rapidity of an empty slot, beyond that of any constituent
_NO_ZERO = 1e-300  # keeps distances away from denormal numbers, which some threads flush to zero
_SEARCH_MATH = {"nnan", "nsz", "contract"}


class Workspace(NamedTuple):
    """Memory of the search, reused from jet to jet; `workspace` allocates it."""

    rapidity: npt.NDArray[np.float64]  # of the pseudojet in each slot
    phi: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float64]  # kt^2p
    bound: npt.NDArray[np.float64]  # distance, own slot in the last bits
    neighbour: npt.NDArray[np.int64]  # entry of Particles at that distance, or the beam
    entry: npt.NDArray[np.int64]  # entry of Particles in each slot
    slot: npt.NDArray[np.int64]  # slot of each entry, -1 once it is merged


class Metric(NamedTuple):
    """What a distance is, and how many last bits of it are the number of a slot."""

    power: float
    scale: float  # kt^2 of the hardest constituent
    unit: float  # scale^power, at most the largest float
    radius2: float  # inf for no beam
    mask: int


@njit(cache=True, error_model="numpy", fastmath=_SEARCH_MATH, forceinline=True)
def scan(
    y: float, phi: float, weight: float, slots: Workspace, weights: npt.NDArray[np.float64] | None, size: int, mask: int
) -> tuple[float, float]:
    """Return the smallest distance of a pseudojet to a slot, with its number, and the smallest bound.

    Compiled twice: `weights` is None where all weights are 1.
    """
    nearest = NO_BOUND
    least = NO_BOUND
    for x in range(size):
        dy = slots.rapidity[x] - y
        dphi = abs(slots.phi[x] - phi)
        dphi = smaller(dphi, _TWO_PI - dphi)
        squared = dy * dy + (dphi * dphi + _NO_ZERO)
        if weights is not None:
            squared = squared * smaller(weights[x], weight) + _NO_ZERO
        nearest = smaller(nearest, bits_float((float_bits(squared) & ~mask) | x))
        least = smaller(least, slots.bound[x])
    return nearest, least


@njit(cache=True, error_model="numpy", fastmath=_SEARCH_MATH, forceinline=True)
def least_bound(slots: Workspace, size: int) -> float:
    """Return the smallest bound of all slots."""
    least = NO_BOUND
    for x in range(size):
        least = smaller(least, slots.bound[x])
    return least


@njit(cache=True, forceinline=True)
def padded(size: int) -> int:
    """Return a number of slots rounded up to whole lanes."""
    return (size + LANES - 1) & -LANES


@njit(cache=True, forceinline=True)
def _renumbered(distance: float, slot: int, mask: int) -> float:
    """Return the distance with another slot in its last bits."""
    return bits_float((float_bits(distance) & ~mask) | slot)


@njit(cache=True, forceinline=True)
def clear(slots: Workspace, x: int) -> None:
    """Empty a slot: far from all, and without a bound."""
    slots.rapidity[x] = _FAR
    slots.weight[x] = LARGEST_WEIGHT
    slots.bound[x] = NO_BOUND


@njit(cache=True, forceinline=True)
def fill(
    slots: Workspace, x: int, entry: int, y: float, phi: float, weight: float, nearest: float, metric: Metric
) -> float:
    """Put an entry into an empty slot and return its bound."""
    beam = weight * metric.radius2
    if nearest < beam:
        bound = _renumbered(nearest, x, metric.mask)
        slots.neighbour[x] = slots.entry[float_bits(nearest) & metric.mask]
    else:
        bound = _renumbered(beam, x, metric.mask)
        slots.neighbour[x] = BEAM
    slots.rapidity[x] = y
    slots.phi[x] = phi
    slots.weight[x] = weight
    slots.bound[x] = bound
    slots.entry[x] = entry
    slots.slot[entry] = x
    return bound


@njit(cache=True, forceinline=True)
def vacate(slots: Workspace, x: int, last: int, mask: int) -> None:
    """Empty a slot, and close the gap with what is in the last."""
    slots.slot[slots.entry[x]] = -1
    if x != last:
        moved = slots.entry[last]
        slots.rapidity[x] = slots.rapidity[last]
        slots.phi[x] = slots.phi[last]
        slots.weight[x] = slots.weight[last]
        slots.bound[x] = _renumbered(slots.bound[last], x, mask)
        slots.neighbour[x] = slots.neighbour[last]
        slots.entry[x] = moved
        slots.slot[moved] = x
    clear(slots, last)
