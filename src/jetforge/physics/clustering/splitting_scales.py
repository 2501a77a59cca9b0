"""Splitting scales: what undoing the last steps of a kt clustering shows of the prongs of a jet.

The constituents are clustered anew with the kt algorithm (Catani, Dokshitzer, Seymour, Webber, Nucl. Phys. B 406
(1993) 187; Ellis, Soper, hep-ph/9305266), E scheme and infinite radius, so that all merge. What is hard and far apart
merges last: the last step joins two prongs, the step before it one of these from two others, and so on. Step n is the
one that leaves n subjets.

Where a step does not exist, because the jet has not enough constituents, what is measured of it is 0.
"""

from math import inf, sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.arguments import whole_number
from jetforge.physics.clustering.kernel import (
    History,
    Particles,
    cluster,
    delta_squared,
    entry_mass_squared,
    load_particles,
    pair_mass_squared,
    workspace,
)
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.kinematics import largest_jet
from jetforge.physics.parallel import for_all_jets

_MOST_SCALES = 1000
_SAME_DIRECTION = 1e-13  # times E^2/pT^2: what rounding makes of the distance of collinear prongs
_MASSLESS = 1e-14  # times E^2: what rounding makes of the square of a mass

_Floats = npt.NDArray[np.float64]


class KtSplittings(NamedTuple):
    """What the last steps of the kt clustering of every jet show; see `kt_splittings`."""

    sqrt_d: _Floats
    z_cut: _Floats
    delta_r: _Floats
    mass_drop: _Floats
    q_w: _Floats


def kt_splittings(constituents: Any, *, n_scales: int = 3, num_threads: int | None = None) -> KtSplittings:
    """Return all that the last steps of the kt clustering show, from one clustering of every jet.

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    n_scales
        Number of steps, from 1 to 1000.
    num_threads
        By default as many as the process may use.

    Returns
    -------
    KtSplittings
        All of float64, GeV where they have a unit, 0 where the jet has not enough constituents.

        sqrt_d (n_jets, n_scales)
            Column n - 1 is the root of d_(n, n+1) = min(pT_a, pT_b)^2 Delta_ab^2 of step n, in GeV: sqrt(d12),
            sqrt(d23), sqrt(d34) ... (Butterworth, Cox, Forshaw, hep-ph/0201098; ATLAS, arXiv:1306.4945).
        z_cut (n_jets, n_scales)
            Column n - 1 is d_(n, n+1)/(d_(n, n+1) + m^2), with the mass m of what step n splits (Thaler, Wang,
            arXiv:0806.0023); ATLAS calls the first z12 (arXiv:1808.07858). From 0 to 1. It is 0 for two prongs in the
            same direction; a mass below the rounding of the energies is taken as that of two massless prongs.
        delta_r (n_jets,)
            Distance in rapidity and azimuth of the last two subjets.
        mass_drop (n_jets,)
            The larger of the masses of the last two subjets, over the mass of the jet; 0 for a jet without mass, to
            the rounding of its energy.
        q_w (n_jets,)
            The smallest mass in GeV of a pair of the last three subjets, for a W boson among the three prongs of
            a top quark (Thaler, Wang, arXiv:0806.0023).

    Raises
    ------
    DataError
        If the constituents are refused (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If n_scales is not from 1 to 1000.

    Notes
    -----
    sqrt_d and q_w are infrared and collinear safe. Ratios and directions are safe only where the prongs are hard and
    apart: z_cut and mass_drop for a jet of a mass above some cut, delta_r for a sqrt_d above some cut. A jet of one
    prong has none: a collinear splitting or a soft particle sets its delta_r and its mass_drop.

    None is changed by boosts along the beam. ATLAS clusters with R = 1.5, and takes the distance of pseudorapidities
    for delta_r (KtDR); as long as no step joins what is farther apart than R, the clusterings are the same.
    """
    n_scales = whole_number("n_scales", n_scales, 1, _MOST_SCALES)
    flat = flat_of(constituents)
    n_jets = len(flat.offsets) - 1
    shapes = (n_jets, n_scales), (n_jets, n_scales), n_jets, n_jets, n_jets
    out = KtSplittings(*(np.zeros(shape) for shape in shapes))
    for_all_jets(_splittings_kernel, n_jets, flat, out, num_threads=num_threads)
    return out


def splitting_scales(constituents: Any, *, n_scales: int = 3, num_threads: int | None = None) -> _Floats:
    """Return sqrt(d12), sqrt(d23), ... of every jet in GeV, float64 (n_jets, n_scales): see `kt_splittings`."""
    return kt_splittings(constituents, n_scales=n_scales, num_threads=num_threads).sqrt_d


def z_cuts(constituents: Any, *, n_scales: int = 3, num_threads: int | None = None) -> _Floats:
    """Return d/(d + m^2) of the last steps of every jet, float64 (n_jets, n_scales): see `kt_splittings`."""
    return kt_splittings(constituents, n_scales=n_scales, num_threads=num_threads).z_cut


def kt_delta_r(constituents: Any, *, num_threads: int | None = None) -> _Floats:
    """Return the distance of the two subjets of every jet, float64 (n_jets,): see `kt_splittings`."""
    return kt_splittings(constituents, n_scales=1, num_threads=num_threads).delta_r


def kt_mass_drop(constituents: Any, *, num_threads: int | None = None) -> _Floats:
    """Return the larger mass of two subjets over that of the jet, float64 (n_jets,): see `kt_splittings`."""
    return kt_splittings(constituents, n_scales=1, num_threads=num_threads).mass_drop


def q_w(constituents: Any, *, num_threads: int | None = None) -> _Floats:
    """Return the smallest mass in GeV of two of three subjets of every jet, float64 (n_jets,): see `kt_splittings`."""
    return kt_splittings(constituents, n_scales=1, num_threads=num_threads).q_w


@njit(cache=True, error_model="numpy")
def _pt2(particles: Particles, k: int) -> float:
    return float(particles.px[k] * particles.px[k] + particles.py[k] * particles.py[k])


@njit(cache=True, error_model="numpy")
def _z_cut(particles: Particles, a: int, b: int, made: int) -> float:
    """Return d/(d + m^2) of the step that made an entry of prongs a and b; 0 where they have the same direction."""
    pt2_a, pt2_b = _pt2(particles, a), _pt2(particles, b)
    delta2 = delta_squared(particles, a, b)
    d = min(pt2_a, pt2_b) * delta2
    if d <= 0.0:
        return 0.0
    steepness = max(particles.energy[a] / sqrt(pt2_a), particles.energy[b] / sqrt(pt2_b))
    if sqrt(delta2) <= _SAME_DIRECTION * steepness * steepness:
        return 0.0
    m2, energy = max(entry_mass_squared(particles, made), 0.0), particles.energy[made]
    if m2 <= _MASSLESS * energy * energy:
        m2 = sqrt(pt2_a) * sqrt(pt2_b) * delta2
    return 1.0 / (1.0 + m2 / d)


@njit(cache=True, error_model="numpy")
def _mass_drop(particles: Particles, a: int, b: int, made: int) -> float:
    m2, energy = entry_mass_squared(particles, made), particles.energy[made]
    if m2 <= _MASSLESS * energy * energy:
        return 0.0
    heavier = max(entry_mass_squared(particles, a), entry_mass_squared(particles, b), 0.0)
    return sqrt(min(heavier / m2, 1.0))


@njit(cache=True, error_model="numpy")
def _least_pair_mass(n: int, particles: Particles, history: History) -> float:
    """Return the smallest mass of two of the last three subjets: the two of the last step, one of them opened."""
    i, j = history.first[n - 2], history.second[n - 2]
    opened = 2 * n - 3
    third = j if i == opened else i
    k, m = history.first[n - 3], history.second[n - 3]
    least2 = pair_mass_squared(particles, k, m)
    least2 = min(least2, pair_mass_squared(particles, k, third), pair_mass_squared(particles, m, third))
    return sqrt(max(least2, 0.0))


@njit(cache=True, nogil=True, error_model="numpy")
def _splittings_kernel(first: int, last: int, flat: FlatJets, out: KtSplittings) -> None:
    """Cluster the jets first <= j < last and write what the last steps show."""
    particles, history, slots = workspace(largest_jet(flat.offsets, first, last))
    n_scales = out.sqrt_d.shape[1]
    for j in range(first, last):
        n = load_particles(flat, j, particles)
        if n < 2:
            continue
        cluster(n, particles, history, slots, 1.0, inf, False)
        for t in range(n - 2, max(n - 2 - n_scales, -1), -1):
            a, b = history.first[t], history.second[t]
            least_pt = sqrt(min(_pt2(particles, a), _pt2(particles, b)))
            out.sqrt_d[j, n - 2 - t] = least_pt * sqrt(delta_squared(particles, a, b))
            out.z_cut[j, n - 2 - t] = _z_cut(particles, a, b, n + t)
        a, b = history.first[n - 2], history.second[n - 2]
        out.delta_r[j] = sqrt(delta_squared(particles, a, b))
        out.mass_drop[j] = _mass_drop(particles, a, b, 2 * n - 2)
        if n > 2:
            out.q_w[j] = _least_pair_mass(n, particles, history)
