"""The steps of the clustering of each jet, and the distances at which subjets merge."""

from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.arguments import whole_numbers
from jetforge.physics.awkward_arrays import momentum_records
from jetforge.physics.clustering.algorithms import is_wta, power_of, radius_of
from jetforge.physics.clustering.kernel import cluster, load_particles, workspace
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.kinematics import largest_jet
from jetforge.physics.parallel import for_all_jets

_MOST_SUBJETS = 2**31

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


class _Steps(NamedTuple):
    """Steps of all jets; those of jet j stand from offsets[j] on."""

    first: _Integers
    second: _Integers
    distance: _Floats
    momenta: _Floats


@njit(cache=True, nogil=True)
def _history_kernel(
    first: int,
    last: int,
    flat: FlatJets,
    power: float,
    radius: float,
    wta: bool,
    offsets: _Integers,
    out: _Steps,
) -> None:
    particles, history, slots = workspace(largest_jet(flat.offsets, first, last))
    for j in range(first, last):
        n = load_particles(flat, j, particles)
        steps = cluster(n, particles, history, slots, power, radius, wta)
        for t in range(steps):
            o = offsets[j] + t
            k = n + t if history.second[t] >= 0 else history.first[t]
            out.first[o] = history.first[t]
            out.second[o] = history.second[t]
            out.distance[o] = history.distance[t]
            out.momenta[0, o] = particles.px[k]
            out.momenta[1, o] = particles.py[k]
            out.momenta[2, o] = particles.pz[k]
            out.momenta[3, o] = particles.energy[k]


def clustering_history(
    constituents: Any,
    algorithm: str | float = "cambridge_aachen",
    *,
    radius: float | None = None,
    recombination: str = "E",
    num_threads: int | None = None,
) -> ak.Array:
    """Return every step of the clustering of each jet.

    Parameters
    ----------
    constituents
        Jets: an awkward array of constituents, a `jetforge.Jets` or a `FlatJets`; momenta in GeV.
    algorithm
        ``"cambridge_aachen"``, ``"kt"``, ``"antikt"``, or the power p of the generalised kt algorithm.
    radius
        R of the distances, from 1e-6 to 1e6; by default no beam, and distances without 1/R^2.
    recombination
        ``"E"`` or ``"wta"`` (winner-take-all, arXiv:1310.7584).
    num_threads
        Number of threads; the result does not depend on it.

    Returns
    -------
    ak.Array
        n_jets * var * Momentum4D, one record a step t, in order: `first` and `second` are the pseudojets that
        merged: of n constituents, numbers below n are constituents, and n + t is what step t made. `second` is
        -1 where `first` became a jet of its own. `distance` is d_ij or d_iB as in `jetforge.physics.clustering.kernel`,
        at most the largest float; px, py, pz and energy are those of what was made.

    Raises
    ------
    DataError
        If the constituents are not four-momenta (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If an argument makes no sense.
    """
    power, reach, wta = power_of(algorithm), radius_of("radius", radius, optional=True), is_wta(recombination)
    flat = flat_of(constituents)
    counts = np.diff(flat.offsets)
    if reach == inf:
        counts = np.maximum(counts - 1, 0)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    size = int(offsets[-1])
    out = _Steps(np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64), np.empty(size), np.empty((4, size)))
    for_all_jets(_history_kernel, len(counts), flat, power, reach, wta, offsets, out, num_threads=num_threads)
    records = momentum_records(*out.momenta, first=out.first, second=out.second, distance=out.distance)
    return ak.unflatten(records, counts)


@njit(cache=True, nogil=True)
def _distance_kernel(
    first: int, last: int, flat: FlatJets, power: float, radius: float, wta: bool, wanted: _Integers, out: _Floats
) -> None:
    particles, history, slots = workspace(largest_jet(flat.offsets, first, last))
    for j in range(first, last):
        n = load_particles(flat, j, particles)
        steps = cluster(n, particles, history, slots, power, radius, wta)
        for i in range(len(wanted)):
            largest = 0.0
            for t in range(min(n - wanted[i], steps)):
                largest = max(largest, history.distance[t])
            out[j, i] = largest


def exclusive_distances(
    constituents: Any,
    n: Sequence[int] = (1, 2),
    *,
    algorithm: str | float = "kt",
    radius: float | None = None,
    recombination: str = "E",
    num_threads: int | None = None,
) -> _Floats:
    """Return the distance at which n + 1 subjets become n: d_12, d_23 ... for n = 1, 2 ...

    It is the largest distance of the clustering up to there, as FastJet's `exclusive_dmerge_max`, in GeV^2p.

    Parameters
    ----------
    constituents, algorithm, radius, recombination, num_threads
        As for `exclusive_subjets`.
    n
        Numbers of subjets, each from 1 to 2^31.

    Returns
    -------
    array, float64, shape (n_jets, len(n))
        0 for a jet of n constituents or fewer; at most the largest float, where kt^2p is beyond.

    Raises
    ------
    DataError
        If the constituents are not four-momenta (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If an argument makes no sense.
    """
    wanted = whole_numbers("n", n, 1, _MOST_SUBJETS)
    power, reach, wta = power_of(algorithm), radius_of("radius", radius, optional=True), is_wta(recombination)
    flat = flat_of(constituents)
    n_jets = len(flat.offsets) - 1
    out = np.zeros((n_jets, len(wanted)))
    for_all_jets(_distance_kernel, n_jets, flat, power, reach, wta, wanted, out, num_threads=num_threads)
    return out
