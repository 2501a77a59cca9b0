"""Sequential recombination of one jet: generalised kt algorithms, Cambridge/Aachen among them.

The distance of two pseudojets is d_ij = min(kt_i^2p, kt_j^2p) Delta_ij^2/R^2, that of one to the beam d_iB = kt_i^2p.
At every step the smallest distance is taken: two pseudojets merge, or one becomes a jet of its own. p = 0 is the
Cambridge/Aachen algorithm (Dokshitzer, Leder, Moretti, Webber, hep-ph/9707323; Wobisch, Wengler,
hep-ph/9907280), p = 1 the kt algorithm (Catani, Dokshitzer, Seymour, Webber, Nucl. Phys. B 406 (1993) 187; Ellis,
Soper, hep-ph/9305266), p = -1 anti-kt (Cacciari, Salam, Soyez, arXiv:0802.1189). Rapidity, mass and sums
are formed in the same order of operations as in FastJet (arXiv:1111.6097), so that the two agree to rounding.
"""

from math import inf, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.clustering.neighbours import (
    BEAM,
    LANES,
    LARGEST_WEIGHT,
    NO_BOUND,
    Metric,
    Workspace,
    clear,
    fill,
    least_bound,
    padded,
    scan,
    vacate,
)
from jetforge.physics.elementary import atan2, float_bits, smaller
from jetforge.physics.flat import FlatJets
from jetforge.physics.kinematics import rapidity, wrapped

_LEAST_WEIGHT = 1e-90
_LARGEST = 1.7976931348623157e308


class Particles(NamedTuple):
    """Constituents of one jet, followed by the pseudojets made of them: entry n + t is made by step t.

    Each array is float64 with room for 2 n entries; momenta in GeV, rapidity y, phi in (-pi, pi]. The entry of
    a step that made no pseudojet has no content.
    """

    px: npt.NDArray[np.float64]
    py: npt.NDArray[np.float64]
    pz: npt.NDArray[np.float64]
    energy: npt.NDArray[np.float64]
    rapidity: npt.NDArray[np.float64]
    phi: npt.NDArray[np.float64]


class History(NamedTuple):
    """What each step did: the two entries of `Particles` that it merged and their distance; room for n steps.

    `second` is -1 where `first` became a jet of its own, and -2 - k where entry k was dropped by a `Veto`.
    `distance` is d_ij or d_iB, in GeV^2p, at most the largest float.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float64]


class Veto(NamedTuple):
    """Which merges drop the softer prong: those with Delta > r_cut and z < z_cut (Delta/R0)^beta.

    z is the softer pT over the sum of the two, or over the pT of the sum where `vector_sum` is set.
    """

    z_cut: float
    beta: float
    R0: float
    r_cut: float
    vector_sum: bool


@njit(cache=True)
def workspace(largest: int) -> tuple[Particles, History, Workspace]:
    """Return memory for jets of up to `largest` constituents."""
    momenta = np.empty((6, 2 * largest + 1))
    slots = np.empty((5, largest + LANES))
    numbers = np.empty((5, 2 * largest + LANES), dtype=np.int64)
    return (
        Particles(momenta[0], momenta[1], momenta[2], momenta[3], momenta[4], momenta[5]),
        History(numbers[0], numbers[1], slots[4]),
        Workspace(slots[0], slots[1], slots[2], slots[3], numbers[2], numbers[3], numbers[4]),
    )


@njit(cache=True)
def load_particles(flat: FlatJets, j: int, particles: Particles) -> int:
    """Write the momenta of the constituents of jet j, and return their number."""
    o = flat.offsets[j]
    n = flat.offsets[j + 1] - o
    for i in range(n):
        particles.px[i] = flat.px[o + i]
        particles.py[i] = flat.py[o + i]
        particles.pz[i] = flat.pz[o + i]
        particles.energy[i] = flat.energy[o + i]
    return int(n)


@njit(cache=True, error_model="numpy", forceinline=True)
def mass_squared(px: float, py: float, pz: float, energy: float) -> float:
    """Return m^2 in the order of operations of FastJet; rounding may make it negative."""
    return (energy + pz) * (energy - pz) - (px * px + py * py)


@njit(cache=True, error_model="numpy", forceinline=True)
def entry_mass_squared(particles: Particles, k: int) -> float:
    """Return m^2 of an entry."""
    return float(mass_squared(particles.px[k], particles.py[k], particles.pz[k], particles.energy[k]))


@njit(cache=True, error_model="numpy", forceinline=True)
def pair_mass_squared(particles: Particles, i: int, j: int) -> float:
    """Return m^2 of the sum of two entries."""
    px, py, pz, energy = particles.px, particles.py, particles.pz, particles.energy
    return float(mass_squared(px[i] + px[j], py[i] + py[j], pz[i] + pz[j], energy[i] + energy[j]))


@njit(cache=True, error_model="numpy", forceinline=True)
def delta_squared(particles: Particles, i: int, j: int) -> float:
    """Return the squared distance of two entries in rapidity and azimuth."""
    dy = particles.rapidity[i] - particles.rapidity[j]
    dphi = wrapped(particles.phi[i] - particles.phi[j])
    return float(dy * dy + dphi * dphi)


@njit(cache=True, error_model="numpy", forceinline=True)
def soft_threshold(z_cut: float, beta: float, delta2: float, r02: float) -> float:
    """Return z_cut (Delta/R0)^beta, infinite for Delta = 0 and beta < 0; 0 for z_cut = 0.

    Where Delta sets R0 and is 0, the two are equal.
    """
    if beta == 0.0 or z_cut == 0.0:
        return z_cut
    ratio2 = delta2 / r02 if r02 > 0.0 else 1.0
    return z_cut * float(ratio2 ** (0.5 * beta))


@njit(cache=True, error_model="numpy", forceinline=True)
def _weight(px: float, py: float, metric: Metric) -> float:
    """Return kt^2p relative to that of the hardest constituent, within limits that keep distances finite."""
    ratio = (px * px + py * py) / metric.scale
    if metric.power == 1.0:
        weight = ratio
    elif metric.power == -1.0:
        weight = 1.0 / ratio if ratio > 0.0 else LARGEST_WEIGHT
    else:
        weight = ratio**metric.power if ratio > 0.0 else (0.0 if metric.power > 0.0 else LARGEST_WEIGHT)
    return min(max(weight, _LEAST_WEIGHT), LARGEST_WEIGHT)


@njit(cache=True)
def _softest(slots: Workspace, particles: Particles, size: int) -> int:
    """Return the slot of least pT: of equal distances to the beam, all that are left for p = 0, it goes first."""
    softest = 0
    least = inf
    for x in range(size):
        k = slots.entry[x]
        pt2 = particles.px[k] * particles.px[k] + particles.py[k] * particles.py[k]
        if pt2 < least:
            softest, least = x, pt2
    return softest


@njit(cache=True, forceinline=True)
def _start(
    n: int, particles: Particles, slots: Workspace, weights: npt.NDArray[np.float64] | None, metric: Metric
) -> float:
    """Give each constituent a slot, and a bound that covers its pairs with those before; return the least."""
    px, py, pz, energy = particles.px, particles.py, particles.pz, particles.energy
    for i in range(n):
        particles.rapidity[i] = rapidity(px[i], py[i], pz[i], energy[i])
    for i in range(n):
        particles.phi[i] = atan2(py[i], px[i])
    for x in range(padded(n)):
        clear(slots, x)
        slots.phi[x] = 0.0
    lowest = NO_BOUND
    for i in range(n):
        y, phi = particles.rapidity[i], particles.phi[i]
        weight = 1.0 if weights is None else _weight(px[i], py[i], metric)
        nearest, _ = scan(y, phi, weight, slots, weights, padded(i), metric.mask)
        lowest = smaller(lowest, fill(slots, i, i, y, phi, weight, nearest, metric))
    return lowest


@njit(cache=True, error_model="numpy", forceinline=True)
def _is_vetoed(particles: Particles, hard: int, soft: int, delta2: float, veto: Veto) -> bool:
    px, py = particles.px, particles.py
    pt_hard = sqrt(px[hard] * px[hard] + py[hard] * py[hard])
    pt_soft = sqrt(px[soft] * px[soft] + py[soft] * py[soft])
    total = pt_hard + pt_soft
    if veto.vector_sum:
        total = sqrt((px[hard] + px[soft]) ** 2 + (py[hard] + py[soft]) ** 2)
    threshold = soft_threshold(veto.z_cut, veto.beta, delta2, veto.R0 * veto.R0)
    return delta2 > veto.r_cut * veto.r_cut and pt_soft < threshold * total


@njit(cache=True, forceinline=True)
def _copy(particles: Particles, of: int, k: int) -> None:
    particles.px[k] = particles.px[of]
    particles.py[k] = particles.py[of]
    particles.pz[k] = particles.pz[of]
    particles.energy[k] = particles.energy[of]
    particles.rapidity[k] = particles.rapidity[of]
    particles.phi[k] = particles.phi[of]


@njit(cache=True, error_model="numpy", forceinline=True)
def _add(particles: Particles, i: int, j: int, k: int) -> None:
    """E scheme: momenta add up."""
    px, py, pz, energy = particles.px, particles.py, particles.pz, particles.energy
    px[k] = px[i] + px[j]
    py[k] = py[i] + py[j]
    pz[k] = pz[i] + pz[j]
    energy[k] = energy[i] + energy[j]
    particles.rapidity[k] = rapidity(px[k], py[k], pz[k], energy[k])
    particles.phi[k] = atan2(py[k], px[k])


@njit(cache=True, error_model="numpy", forceinline=True)
def _add_to_winner(particles: Particles, hard: int, soft: int, k: int) -> None:
    """Winner-take-all scheme: rapidity, azimuth and mass of the harder, and the sum of both pT."""
    px, py, pz, energy = particles.px, particles.py, particles.pz, particles.energy
    pt2 = px[hard] * px[hard] + py[hard] * py[hard]
    _copy(particles, hard, k)
    if pt2 > 0.0:
        pt_hard = sqrt(pt2)
        pt = pt_hard + sqrt(px[soft] * px[soft] + py[soft] * py[soft])
        m2 = max(entry_mass_squared(particles, hard), 0.0)
        stretch = sqrt((pt * pt + m2) / (pt2 + m2))
        px[k] *= pt / pt_hard
        py[k] *= pt / pt_hard
        pz[k] *= stretch
        energy[k] *= stretch


@njit(cache=True, error_model="numpy", forceinline=True)
def _merge(
    particles: Particles,
    history: History,
    t: int,
    i: int,
    j: int,
    k: int,
    metric: Metric,
    wta: bool,
    veto: Veto | None,
) -> None:
    """Make entry k of entries i and j, and note step t."""
    px, py = particles.px, particles.py
    delta2 = delta_squared(particles, i, j)
    distance = delta2 if metric.radius2 == inf else delta2 / metric.radius2
    if metric.power != 0.0:
        weight = min(_weight(px[i], py[i], metric), _weight(px[j], py[j], metric))
        distance = min(distance * weight * metric.unit, _LARGEST)
    history.first[t] = i
    history.second[t] = j
    history.distance[t] = distance
    if not wta and veto is None:
        _add(particles, i, j, k)
        return
    hard, soft = (i, j) if px[i] ** 2 + py[i] ** 2 >= px[j] ** 2 + py[j] ** 2 else (j, i)
    if veto is not None and _is_vetoed(particles, hard, soft, delta2, veto):
        history.first[t] = hard
        history.second[t] = -2 - soft
        _copy(particles, hard, k)
    elif wta:
        _add_to_winner(particles, hard, soft, k)
    else:
        _add(particles, i, j, k)


@njit(cache=True, error_model="numpy")
def _recombine(
    n: int,
    particles: Particles,
    history: History,
    slots: Workspace,
    weights: npt.NDArray[np.float64] | None,
    metric: Metric,
    wta: bool,
    veto: Veto | None,
) -> int:
    mask = metric.mask
    lowest = _start(n, particles, slots, weights, metric)
    remaining = n
    steps = n - 1 if metric.radius2 == inf else n
    t = 0
    while t < steps:
        b = float_bits(lowest) & mask
        neighbour = slots.neighbour[b]
        entry = slots.entry[b]
        if neighbour == BEAM:
            if weights is None:
                b = _softest(slots, particles, remaining)
                entry = slots.entry[b]
            remaining -= 1
            history.first[t] = entry
            history.second[t] = -1
            weight = 1.0 if weights is None else _weight(particles.px[entry], particles.py[entry], metric)
            history.distance[t] = min(weight * metric.unit, _LARGEST)
            vacate(slots, b, remaining, mask)
            lowest = least_bound(slots, padded(remaining))
            t += 1
            continue
        a = slots.slot[neighbour]
        if a < 0:
            y, phi, weight = slots.rapidity[b], slots.phi[b], slots.weight[b]
            clear(slots, b)
            nearest, least = scan(y, phi, weight, slots, weights, padded(remaining), mask)
            lowest = smaller(least, fill(slots, b, entry, y, phi, weight, nearest, metric))
            continue
        k = n + t
        _merge(particles, history, t, neighbour, entry, k, metric, wta, veto)
        remaining -= 1
        low, high = (a, b) if a < b else (b, a)
        vacate(slots, high, remaining, mask)
        slots.slot[slots.entry[low]] = -1
        clear(slots, low)
        y, phi = particles.rapidity[k], particles.phi[k]
        weight = 1.0 if weights is None else _weight(particles.px[k], particles.py[k], metric)
        nearest, least = scan(y, phi, weight, slots, weights, padded(remaining), mask)
        lowest = smaller(least, fill(slots, low, k, y, phi, weight, nearest, metric))
        t += 1
    return steps


@njit(cache=True, error_model="numpy")
def cluster_vetoing(
    n: int,
    particles: Particles,
    history: History,
    slots: Workspace,
    power: float,
    radius: float,
    wta: bool,
    veto: Veto | None,
) -> int:
    """Cluster one jet as `cluster` does, dropping the softer prong of the merges that `veto` names.

    Such a step makes an entry with the momentum of the harder prong, and is noted in `history` with the
    number of the dropped entry.
    """
    if n < 1:
        return 0
    mask = 255
    while mask < n:
        mask = 2 * mask + 1
    scale = 0.0
    for i in range(n):
        scale = max(scale, particles.px[i] ** 2 + particles.py[i] ** 2)
    scale = scale if scale > 0.0 else 1.0
    unit = 1.0 if power == 0.0 else min(scale**power, _LARGEST)
    metric = Metric(power, scale, unit, radius * radius, mask)
    if power == 0.0:  # all weights are 1, and all distances to the beam the same
        return _recombine(n, particles, history, slots, None, metric, wta, veto)
    return _recombine(n, particles, history, slots, slots.weight, metric, wta, veto)


@njit(cache=True, error_model="numpy")
def cluster(
    n: int, particles: Particles, history: History, slots: Workspace, power: float, radius: float, wta: bool
) -> int:
    """Cluster one jet.

    Parameters
    ----------
    n
        Number of constituents; their px, py, pz and energy (GeV, finite) are the first n entries of `particles`.
    particles
        Receives the pseudojets behind the constituents, and rapidity and phi of all.
    history
        Receives the steps in their order.
    slots
        Memory of the search, of any content.
    power
        p of the distance min(kt_i^2p, kt_j^2p) Delta_ij^2/R^2: 0 Cambridge/Aachen, 1 kt, -1 anti-kt.
    radius
        R; with inf, there is no beam distance and Delta^2 is not divided, so that all merge into one.
    wta
        Whether a merge gives the sum of both pT the direction and mass of the harder (winner-take-all; Bertolini,
        Chan, Thaler, arXiv:1310.7584), rather than adding momenta (E scheme).

    Returns
    -------
    int
        Number of steps: n, or n - 1 without beam.
    """
    return int(cluster_vetoing(n, particles, history, slots, power, radius, wta, None))
