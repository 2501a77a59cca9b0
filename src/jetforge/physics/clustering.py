"""Sequential recombination of one jet: the Cambridge/Aachen algorithm with infinite radius.

At every step the two pseudojets closest in rapidity and azimuth are merged by adding their four-momenta (E
scheme), until one is left: Dokshitzer, Leder, Moretti, Webber, hep-ph/9707323, and Wobisch, Wengler,
hep-ph/9907280, without the stopping radius. Rapidity, mass and sums are formed in the same order of
operations as in FastJet (Cacciari, Salam, Soyez, arXiv:1111.6097), so that the two agree to rounding.

The search keeps all that it needs in short contiguous arrays. Each remaining pseudojet sits in a slot with
a lower bound on its distance to the others, and every pair is covered by the bound of at least one of the
two. If the neighbour that gave the smallest bound is still there, these two are the closest pair; if not,
that bound is measured anew. A distance carries the number of a slot in its last bits, so that a plain
running minimum, which the compiler vectorises, also tells where it is. Squared distances that agree to
1e-13 (up to 256 constituents) thus count as equal.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.elementary import atan2, bits_float, float_bits, log, smaller

_PI = 3.141592653589793
_TWO_PI = 2 * _PI
_FAR = 2.0**500  # rapidity of an empty slot
_NO_BOUND = 2.0**1000  # last bits 0, which is a slot that exists
_NO_ZERO = 1e-300  # keeps distances away from denormal numbers, which some threads flush to zero
_LANES = 16  # slots in use are rounded up to this, so that loops have no scalar remainder
_BEAM_RAPIDITY = 1e5
_LEAST_SQUARE = 1e-290
_SEARCH_MATH = {"nnan", "nsz", "contract"}


class Particles(NamedTuple):
    """Constituents of one jet, followed by the pseudojets made of them: entry n + t is made by merge t.

    Each array is float64 with room for 2 n - 1 entries; momenta in GeV, rapidity y, phi in (-pi, pi].
    """

    px: npt.NDArray[np.float64]
    py: npt.NDArray[np.float64]
    pz: npt.NDArray[np.float64]
    energy: npt.NDArray[np.float64]
    rapidity: npt.NDArray[np.float64]
    phi: npt.NDArray[np.float64]


class History(NamedTuple):
    """The two entries of `Particles` that merge t put together, t = 0 ... n - 2; int64, room for n - 1."""

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]


class Workspace(NamedTuple):
    """Memory of the search, reused from jet to jet; `workspace` allocates it."""

    rapidity: npt.NDArray[np.float64]  # of the pseudojet in each slot
    phi: npt.NDArray[np.float64]
    bound: npt.NDArray[np.float64]  # squared distance, own slot in the last bits
    neighbour: npt.NDArray[np.int64]  # entry of Particles at that distance
    entry: npt.NDArray[np.int64]  # entry of Particles in each slot
    slot: npt.NDArray[np.int64]  # slot of each entry, -1 once it is merged


@njit(cache=True)
def workspace(largest: int) -> tuple[Particles, History, Workspace]:
    """Return memory for jets of up to `largest` constituents."""
    momenta = np.empty((6, 2 * largest + 1))
    slots = np.empty((3, largest + _LANES))
    numbers = np.empty((5, 2 * largest + _LANES), dtype=np.int64)
    return (
        Particles(momenta[0], momenta[1], momenta[2], momenta[3], momenta[4], momenta[5]),
        History(numbers[0], numbers[1]),
        Workspace(slots[0], slots[1], slots[2], numbers[2], numbers[3], numbers[4]),
    )


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


@njit(cache=True, error_model="numpy", fastmath=_SEARCH_MATH)
def _scan(y: float, phi: float, slots: Workspace, size: int, mask: int) -> tuple[float, float]:
    """Return the smallest squared distance of (y, phi) to a slot, with its number, and the smallest bound."""
    nearest = _NO_BOUND
    least = _NO_BOUND
    for x in range(size):
        dy = slots.rapidity[x] - y
        dphi = abs(slots.phi[x] - phi)
        dphi = smaller(dphi, _TWO_PI - dphi)
        distance = float_bits(dy * dy + (dphi * dphi + _NO_ZERO))
        nearest = smaller(nearest, bits_float((distance & ~mask) | x))
        least = smaller(least, slots.bound[x])
    return nearest, least


@njit(cache=True)
def _padded(size: int) -> int:
    return (size + _LANES - 1) & -_LANES


@njit(cache=True)
def _renumbered(distance: float, slot: int, mask: int) -> float:
    """Return the distance with another slot in its last bits."""
    return bits_float((float_bits(distance) & ~mask) | slot)


@njit(cache=True)
def _clear(slots: Workspace, x: int) -> None:
    slots.rapidity[x] = _FAR
    slots.bound[x] = _NO_BOUND


@njit(cache=True)
def _fill(slots: Workspace, x: int, entry: int, y: float, phi: float, nearest: float, mask: int) -> float:
    """Put an entry into an empty slot and return its bound."""
    bound = _renumbered(nearest, x, mask)
    slots.rapidity[x] = y
    slots.phi[x] = phi
    slots.bound[x] = bound
    slots.neighbour[x] = slots.entry[float_bits(nearest) & mask]
    slots.entry[x] = entry
    slots.slot[entry] = x
    return bound


@njit(cache=True)
def _vacate(slots: Workspace, low: int, high: int, last: int, mask: int) -> None:
    """Empty two slots, and close the gap at the higher one with what is in the last."""
    slots.slot[slots.entry[low]] = -1
    slots.slot[slots.entry[high]] = -1
    if high != last:
        moved = slots.entry[last]
        slots.rapidity[high] = slots.rapidity[last]
        slots.phi[high] = slots.phi[last]
        slots.bound[high] = _renumbered(slots.bound[last], high, mask)
        slots.neighbour[high] = slots.neighbour[last]
        slots.entry[high] = moved
        slots.slot[moved] = high
    _clear(slots, last)
    _clear(slots, low)


@njit(cache=True)
def _start(n: int, particles: Particles, slots: Workspace, mask: int) -> float:
    """Give each constituent a slot, and a bound that covers its pairs with those before; return the least."""
    px, py, pz, energy = particles.px, particles.py, particles.pz, particles.energy
    for i in range(n):
        particles.rapidity[i] = rapidity(px[i], py[i], pz[i], energy[i])
    for i in range(n):
        particles.phi[i] = atan2(py[i], px[i])
    for x in range(_padded(n)):
        _clear(slots, x)
        slots.phi[x] = 0.0
    slots.entry[0] = 0
    lowest = _NO_BOUND
    for i in range(n):
        y, phi = particles.rapidity[i], particles.phi[i]
        nearest, _ = _scan(y, phi, slots, _padded(i), mask)
        lowest = smaller(lowest, _fill(slots, i, i, y, phi, nearest, mask))
    return lowest


@njit(cache=True, error_model="numpy")
def cluster_cambridge_aachen(n: int, particles: Particles, history: History, slots: Workspace) -> None:
    """Cluster one jet down to a single pseudojet.

    Parameters
    ----------
    n
        Number of constituents, at least 1; their px, py, pz and energy (GeV, finite) are the first n entries
        of `particles`.
    particles
        Receives the merged pseudojets behind the constituents, and rapidity and phi of all.
    history
        Receives the n - 1 merges in their order.
    slots
        Memory of the search, of any content.
    """
    mask = 255
    while mask < n:
        mask = 2 * mask + 1
    px, py, pz, energy = particles.px, particles.py, particles.pz, particles.energy
    lowest = _start(n, particles, slots, mask)
    remaining = n
    for t in range(n - 1):
        b = float_bits(lowest) & mask
        a = slots.slot[slots.neighbour[b]]
        while a < 0:
            y, phi, entry = slots.rapidity[b], slots.phi[b], slots.entry[b]
            _clear(slots, b)
            nearest, least = _scan(y, phi, slots, _padded(remaining), mask)
            lowest = smaller(least, _fill(slots, b, entry, y, phi, nearest, mask))
            b = float_bits(lowest) & mask
            a = slots.slot[slots.neighbour[b]]
        i, j, k = slots.entry[a], slots.entry[b], n + t
        history.first[t] = i
        history.second[t] = j
        low, high = (a, b) if a < b else (b, a)
        remaining -= 1
        _vacate(slots, low, high, remaining, mask)
        px[k] = px[i] + px[j]
        py[k] = py[i] + py[j]
        pz[k] = pz[i] + pz[j]
        energy[k] = energy[i] + energy[j]
        y = rapidity(px[k], py[k], pz[k], energy[k])
        phi = atan2(py[k], px[k])
        particles.rapidity[k] = y
        particles.phi[k] = phi
        nearest, least = _scan(y, phi, slots, _padded(remaining), mask)
        lowest = smaller(least, _fill(slots, low, k, y, phi, nearest, mask))
