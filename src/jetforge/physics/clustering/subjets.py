"""Subjets: the constituents of each jet clustered again, with any algorithm of the generalised kt family.

Inclusive subjets have a radius; exclusive ones are what is left when the clustering is stopped at a number
of subjets or at a distance (Catani, Dokshitzer, Seymour, Webber, Nucl. Phys. B 406 (1993) 187). The meaning of
both is that of FastJet (Cacciari, Salam, Soyez, arXiv:1111.6097).
"""

from math import inf
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import number, whole_number
from jetforge.physics.awkward_arrays import momentum_records
from jetforge.physics.clustering.algorithms import is_wta, power_of, radius_of
from jetforge.physics.clustering.kernel import History, Particles, cluster, load_particles, workspace
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.kinematics import largest_jet
from jetforge.physics.parallel import for_all_jets

_JETS_PER_BLOCK = 8_192
_MOST_SUBJETS = 2**31

_COMPONENTS = ("px", "py", "pz", "energy")

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


class _Stop(NamedTuple):
    """How a clustering is read: all jets of their own above pt_min, or what is left at a stop."""

    inclusive: bool
    pt_min: float
    n_subjets: int  # 0: by dcut
    dcut: float


class _Subjets(NamedTuple):
    """Subjets of a range of jets. Those of jet j stand at offsets[j], offsets[j] + 1 ..., hardest first."""

    counts: _Integers  # per jet
    momenta: _Floats  # (4, n_constituents)
    sizes: _Integers  # number of constituents of each subjet
    members: _Integers  # constituents, subjet after subjet


@njit(cache=True)
def exclusive_steps(steps: int, history: History, dcut: float) -> int:
    """Return how many steps an exclusive clustering has made when it stops at dcut.

    It stops before the first step from which on the largest distance met is above dcut.
    """
    for t in range(steps):
        if history.distance[t] > dcut:
            return t
    return steps


@njit(cache=True)
def label_inclusive(n: int, steps: int, history: History, labels: _Integers) -> int:
    """Write for every entry the number of its jet of its own, latest first, and return how many there are.

    An entry that belongs to none has the label -1. A clustering without beam has one jet, its last entry.
    """
    found = 0
    labels[: n + steps] = -1
    if steps == n - 1 and n > 0:
        labels[n + steps - 1] = 0
        found = 1
    for t in range(steps - 1, -1, -1):
        if history.second[t] == -1:
            labels[history.first[t]] = found
            found += 1
        else:
            labels[history.first[t]] = labels[n + t]
            if history.second[t] >= 0:
                labels[history.second[t]] = labels[n + t]
    return found


@njit(cache=True)
def label_exclusive(n: int, steps: int, history: History, labels: _Integers) -> int:
    """Write for every entry the number of the subjet that it is in after some steps, and return how many there are.

    An entry that belongs to none, being with the beam or dropped, has the label -1.
    """
    labels[: n + steps] = 0
    for t in range(steps):
        labels[history.first[t]] = -1
        if history.second[t] >= 0:
            labels[history.second[t]] = -1
        elif history.second[t] == -1:
            labels[n + t] = -1
        else:
            labels[-2 - history.second[t]] = -1
    found = 0
    for k in range(n + steps - 1, -1, -1):
        if labels[k] == 0:
            labels[k] = found
            found += 1
    for t in range(steps - 1, -1, -1):
        if history.second[t] != -1:
            labels[history.first[t]] = labels[n + t]
            if history.second[t] >= 0:
                labels[history.second[t]] = labels[n + t]
    return found


@njit(cache=True)
def _hardest_first(
    n: int, entries: int, found: int, particles: Particles, labels: _Integers, pt_min: float
) -> tuple[_Integers, _Integers]:
    """Return the top entry of each subjet above pt_min in order of pT, and the rank of each label (-1: below)."""
    top = np.full(found, -1, dtype=np.int64)
    for k in range(entries):  # the latest entry of a label holds all of it
        if labels[k] >= 0:
            top[labels[k]] = k
    pt2 = np.empty(found)
    for s in range(found):
        pt2[s] = particles.px[top[s]] ** 2 + particles.py[top[s]] ** 2
    order = np.argsort(-pt2, kind="mergesort")
    kept = 0
    rank = np.full(found, -1, dtype=np.int64)
    for s in order:
        if pt2[s] >= pt_min * pt_min:
            rank[s] = kept
            kept += 1
    return top[order[:kept]], rank


@njit(cache=True, nogil=True)
def _subjet_kernel(
    first: int,
    last: int,
    start: int,
    flat: FlatJets,
    power: float,
    radius: float,
    wta: bool,
    stop: _Stop,
    out: _Subjets,
) -> None:
    largest = largest_jet(flat.offsets, start + first, start + last)
    particles, history, slots = workspace(largest)
    labels = np.empty(2 * largest + 1, dtype=np.int64)
    begin = flat.offsets[start]
    for j in range(first, last):
        n = load_particles(flat, start + j, particles)
        o = flat.offsets[start + j] - begin
        steps = cluster(n, particles, history, slots, power, radius, wta)
        if stop.inclusive:
            found = label_inclusive(n, steps, history, labels)
        else:
            if stop.n_subjets > 0:
                steps = max(min(n - stop.n_subjets, steps), 0)
            else:
                steps = exclusive_steps(steps, history, stop.dcut)
            found = label_exclusive(n, steps, history, labels)
        top, rank = _hardest_first(n, n + steps, found, particles, labels, stop.pt_min)
        out.counts[j] = len(top)
        for s in range(len(top)):
            out.momenta[0, o + s] = particles.px[top[s]]
            out.momenta[1, o + s] = particles.py[top[s]]
            out.momenta[2, o + s] = particles.pz[top[s]]
            out.momenta[3, o + s] = particles.energy[top[s]]
            out.sizes[o + s] = 0
        for i in range(n):
            if labels[i] >= 0 and rank[labels[i]] >= 0:
                out.sizes[o + rank[labels[i]]] += 1
        ends = np.cumsum(out.sizes[o : o + len(top)])
        for i in range(n - 1, -1, -1):
            if labels[i] >= 0 and rank[labels[i]] >= 0:
                s = rank[labels[i]]
                ends[s] -= 1
                out.members[o + ends[s]] = i


def _kept(values: npt.NDArray[Any], offsets: _Integers, counts: _Integers) -> npt.NDArray[Any]:
    """Return the first counts[j] values of each jet j."""
    places = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets))
    chosen: npt.NDArray[Any] = values[places < np.repeat(counts, np.diff(offsets))]
    return chosen


def _block(
    flat: FlatJets, start: int, end: int, arguments: tuple[Any, ...], num_threads: int | None
) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of the subjets of the jets start <= j < end: counts, momenta, sizes and members."""
    offsets = flat.offsets[start : end + 1] - flat.offsets[start]
    size = int(offsets[-1])
    out = _Subjets(
        np.zeros(end - start, dtype=np.int64),
        np.empty((4, size)),
        np.zeros(size, dtype=np.int64),
        np.empty(size, dtype=np.int64),
    )
    for_all_jets(_subjet_kernel, end - start, start, flat, *arguments, out, num_threads=num_threads)
    momenta = [_kept(component, offsets, out.counts) for component in out.momenta]
    sizes = _kept(out.sizes, offsets, out.counts)
    ends = np.concatenate([[0], np.cumsum(sizes)])[np.concatenate([[0], np.cumsum(out.counts)])]
    members = _kept(out.members, offsets, np.diff(ends))
    return {"counts": out.counts, **dict(zip(_COMPONENTS, momenta, strict=True)), "sizes": sizes, "members": members}


def _subjets(
    constituents: Any, algorithm: str | float, radius: float, recombination: str, stop: _Stop, num_threads: int | None
) -> ak.Array:
    arguments = (power_of(algorithm), radius, is_wta(recombination), stop)
    flat = flat_of(constituents)
    n_jets, room = len(flat.offsets) - 1, len(flat.px)
    # Room for the most subjets that there can be: memory that is not written to is not taken, and given back below.
    columns: dict[str, npt.NDArray[Any]] = {name: np.empty(room) for name in _COMPONENTS}
    columns |= {name: np.empty(room, dtype=np.int64) for name in ("sizes", "members")}
    columns["counts"] = np.empty(n_jets, dtype=np.int64)
    filled = dict.fromkeys(columns, 0)
    for start in range(0, n_jets, _JETS_PER_BLOCK):
        block = _block(flat, start, min(start + _JETS_PER_BLOCK, n_jets), arguments, num_threads)
        for name, part in block.items():
            columns[name][filled[name] : filled[name] + len(part)] = part
            filled[name] += len(part)
    for name, column in columns.items():
        column.resize(filled[name], refcheck=False)
    lists = _lists(columns["sizes"], ak.contents.NumpyArray(columns["members"]))
    records = momentum_records(*(columns[name] for name in _COMPONENTS), constituents=lists)
    return ak.Array(_lists(columns["counts"], records.layout), behavior=records.behavior)


def _lists(counts: _Integers, content: Any) -> Any:
    """Return the layout of lists of so many entries each."""
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return ak.contents.ListOffsetArray(ak.index.Index64(offsets), content)


def inclusive_subjets(
    constituents: Any,
    radius: float,
    *,
    algorithm: str | float = "antikt",
    pt_min: float = 0.0,
    recombination: str = "E",
    num_threads: int | None = None,
) -> ak.Array:
    """Return the subjets of a radius.

    Parameters
    ----------
    constituents
        Jets: an awkward array of constituents, a `jetforge.Jets` or a `FlatJets`; momenta in GeV.
    radius
        R of the distances in rapidity and azimuth, from 1e-6 to 1e6.
    algorithm
        ``"antikt"``, ``"kt"``, ``"cambridge_aachen"``, or the power p of the generalised kt algorithm.
    pt_min
        Least pT of a subjet, in GeV.
    recombination
        ``"E"`` or ``"wta"`` (winner-take-all, arXiv:1310.7584).
    num_threads
        Number of threads; the result does not depend on it.

    Returns
    -------
    ak.Array
        n_jets * var * Momentum4D with px, py, pz, energy, and `constituents`: the indices within the jet of those
        that belong to the subjet. Subjets in order of falling pT. A jet without constituents has none.

    Raises
    ------
    DataError
        If the constituents are not four-momenta (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If an argument makes no sense.
    """
    stop = _Stop(True, number("pt_min", pt_min, least=0), 0, 0.0)
    return _subjets(constituents, algorithm, radius_of("radius", radius), recombination, stop, num_threads)


def exclusive_subjets(
    constituents: Any,
    n_subjets: int | None = None,
    *,
    dcut: float | None = None,
    algorithm: str | float = "kt",
    radius: float | None = None,
    recombination: str = "E",
    num_threads: int | None = None,
) -> ak.Array:
    """Return the subjets that are left when a clustering stops at a number of subjets or at a distance.

    Parameters
    ----------
    constituents
        Jets: an awkward array of constituents, a `jetforge.Jets` or a `FlatJets`; momenta in GeV.
    n_subjets
        Stop at so many subjets, from 1 to 2^31; a jet with fewer constituents has one subjet each. Give this or `dcut`.
    dcut
        Stop before the first step whose distance is above: GeV^2p, thus GeV^2 for the kt algorithm.
    algorithm
        ``"kt"``, ``"cambridge_aachen"``, ``"antikt"``, or the power p of the generalised kt algorithm.
    radius
        R of the distances min(kt_i^2p, kt_j^2p) Delta_ij^2/R^2, from 1e-6 to 1e6; what comes closest to the
        beam belongs to no subjet. By default no beam, and distances without 1/R^2.
    recombination
        ``"E"`` or ``"wta"`` (winner-take-all, arXiv:1310.7584).
    num_threads
        Number of threads; the result does not depend on it.

    Returns
    -------
    ak.Array
        n_jets * var * Momentum4D with px, py, pz, energy, and `constituents`: the indices within the jet of those
        that belong to the subjet. Subjets in order of falling pT.

    Raises
    ------
    DataError
        If the constituents are not four-momenta (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If an argument makes no sense.
    """
    if (n_subjets is None) == (dcut is None):
        raise JetforgeError("exclusive subjets: give either n_subjets or dcut")
    number_left = 0 if n_subjets is None else whole_number("n_subjets", n_subjets, 1, _MOST_SUBJETS)
    limit = inf if dcut is None else number("dcut", dcut, least=0, finite=False)
    stop = _Stop(False, 0.0, number_left, limit)
    reach = radius_of("radius", radius, optional=True)
    return _subjets(constituents, algorithm, reach, recombination, stop, num_threads)
