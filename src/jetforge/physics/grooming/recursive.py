"""Soft drop that goes on after the first splitting: recursive soft drop and iterated soft drop.

Conventions are those of fjcontrib's RecursiveTools 2.0.
"""

from math import inf, sqrt
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.arguments import flag, whole_number
from jetforge.physics.clustering.kernel import (
    History,
    Particles,
    cluster,
    delta_squared,
    load_particles,
    workspace,
)
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.grooming.records import (
    DROPPED,
    INDICES,
    PRONGS,
    SPLITTINGS,
    GroomedArrays,
    Lists,
    clear_jet,
    clear_marks,
    close_jet,
    groom,
    groom_arrays,
    list_dropped,
    list_indices,
    list_prong,
    list_splitting,
    sort_columns,
)
from jetforge.physics.grooming.soft_drops import (
    BROKEN,
    DROPPED_BRANCH,
    PASSED,
    Condition,
    branch_kt,
    condition_of,
    take_step,
)
from jetforge.physics.kinematics import largest_jet

NO_LIMIT = 2**62
"""Largest number of splittings where there is no limit."""

_MOST_SPLITTINGS = 2**31

_LISTS = {"indices": INDICES, "dropped": DROPPED, "splittings": SPLITTINGS, "prongs": PRONGS}


class Recursion(NamedTuple):
    """How far soft drop goes on."""

    n: int  # splittings to find at most
    dynamic_R0: bool  # whether a splitting sets R0 in its two branches
    hardest_only: bool  # whether softer branches stay as they are
    angular_cut: float  # the recursion ends at the first Delta below; 0 for none


class _Branches(NamedTuple):
    """Branches of one jet in the order in which they were made; each is refined until it splits or ends."""

    entry: npt.NDArray[np.int64]  # of Particles
    hard: npt.NDArray[np.int64]  # branches that it splits into, -1 for none
    soft: npt.NDArray[np.int64]
    active: npt.NDArray[np.int64]  # branches still to be examined
    delta2: npt.NDArray[np.float64]  # Delta^2 of the declustering of each
    r02: npt.NDArray[np.float64]  # R0^2 that holds in each
    momentum: npt.NDArray[np.float64]  # (2 * largest, 4): what is left of each


@njit(cache=True)
def _branches(largest: int) -> _Branches:
    numbers, squares = np.empty((4, 2 * largest), dtype=np.int64), np.empty((2, 2 * largest))
    momentum = np.empty((2 * largest, 4))
    return _Branches(numbers[0], numbers[1], numbers[2], numbers[3], squares[0], squares[1], momentum)


@njit(cache=True, error_model="numpy")
def _delta2(n: int, k: int, particles: Particles, history: History) -> float:
    """Return Delta^2 of the two entries that k was made of, 0 for a constituent."""
    if k < n:
        return 0.0
    return float(delta_squared(particles, history.first[k - n], history.second[k - n]))


@njit(cache=True)
def _put(branches: _Branches, b: int, n: int, k: int, particles: Particles, history: History) -> None:
    branches.entry[b] = k
    branches.hard[b] = -1
    branches.soft[b] = -1
    branches.delta2[b] = _delta2(n, k, particles, history)


@njit(cache=True)
def _take_widest(branches: _Branches, n_active: int) -> int:
    """Take the branch of largest Delta out of the active ones, the others keeping their order."""
    at = 0
    for a in range(1, n_active):
        if branches.delta2[branches.active[a]] > branches.delta2[branches.active[at]]:
            at = a
    widest = branches.active[at]
    for a in range(at, n_active - 1):
        branches.active[a] = branches.active[a + 1]
    return int(widest)


@njit(cache=True, error_model="numpy")
def _recurse(
    n: int,
    particles: Particles,
    history: History,
    condition: Condition,
    recursion: Recursion,
    branches: _Branches,
    j: int,
    out: GroomedArrays,
    lists: Lists,
) -> tuple[int, int]:
    """Split branches, widest first, and return the number of branches and of splittings; no branches if broken."""
    cut2 = recursion.angular_cut * recursion.angular_cut
    _put(branches, 0, n, 2 * n - 2, particles, history)
    branches.r02[0] = condition.R0 * condition.R0
    branches.active[0] = 0
    n_branches, n_active, found = 1, 1, 0
    while n_active > 0 and found < recursion.n:
        b = _take_widest(branches, n_active)
        n_active -= 1
        step = take_step(n, branches.entry[b], particles, history, condition, branches.r02[b])
        if step.status == BROKEN:
            return 0, 0
        if step.delta2 < cut2:  # also for a single constituent, as the others are narrower still
            break
        if step.status == DROPPED_BRANCH:
            kt = branch_kt(particles, step.soft, step.delta2)
            list_dropped(lists, step.z, sqrt(step.delta2), kt, step.mu)
            _put(branches, b, n, step.hard, particles, history)
            branches.active[n_active] = b
            n_active += 1
        elif step.status == PASSED:
            kt = branch_kt(particles, step.soft, step.delta2)
            list_splitting(lists, step.z, sqrt(step.delta2), kt, step.mu)
            if found == 0:
                out.z_g[j], out.r_g[j], out.mu[j], out.passed[j] = step.z, sqrt(step.delta2), step.mu, True
            found += 1
            branches.hard[b], branches.soft[b] = n_branches, n_branches + 1
            r02 = step.delta2 if recursion.dynamic_R0 else branches.r02[b]
            branches.r02[n_branches], branches.r02[n_branches + 1] = r02, r02
            _put(branches, n_branches, n, step.hard, particles, history)
            _put(branches, n_branches + 1, n, step.soft, particles, history)
            branches.active[n_active] = n_branches
            n_active += 1
            if not recursion.hardest_only:
                branches.active[n_active] = n_branches + 1
                n_active += 1
            n_branches += 2
    return n_branches, found


@njit(cache=True)
def _sum(branches: _Branches, n_branches: int, particles: Particles, j: int, out: GroomedArrays) -> None:
    """Add up what is left, pair by pair from the last splitting to the first."""
    momentum = branches.momentum
    for b in range(n_branches - 1, -1, -1):
        if branches.hard[b] < 0:
            k = branches.entry[b]
            momentum[b, 0], momentum[b, 1] = particles.px[k], particles.py[k]
            momentum[b, 2], momentum[b, 3] = particles.pz[k], particles.energy[k]
        else:
            for x in range(4):
                momentum[b, x] = momentum[branches.hard[b], x] + momentum[branches.soft[b], x]
    out.px[j], out.py[j], out.pz[j], out.energy[j] = momentum[0, 0], momentum[0, 1], momentum[0, 2], momentum[0, 3]


@njit(cache=True)
def _list_prongs(
    n: int,
    branches: _Branches,
    n_branches: int,
    particles: Particles,
    history: History,
    kept: npt.NDArray[np.bool_],
    lists: Lists,
) -> None:
    clear_marks(n, kept)
    begin = lists.ends[PRONGS]
    for b in range(n_branches):
        if branches.hard[b] < 0:
            kept[branches.entry[b]] = True
            list_prong(lists, particles, branches.entry[b])
    list_indices(n, history, kept, lists)
    sort_columns(lists.prongs, begin, lists.ends[PRONGS], 4)


@njit(cache=True, nogil=True, error_model="numpy")
def recursive_kernel(
    first: int,
    last: int,
    flat: FlatJets,
    condition: Condition,
    recursion: Recursion,
    multiplicity: npt.NDArray[np.int64],
    out: GroomedArrays,
    lists: Lists,
) -> None:
    """Groom the jets first <= j < last."""
    largest = largest_jet(flat.offsets, first, last)
    particles, history, slots = workspace(largest)
    branches = _branches(largest)
    kept = np.empty(2 * largest, dtype=np.bool_)
    for j in range(first, last):
        clear_jet(out, j)
        multiplicity[j] = 0
        n = load_particles(flat, j, particles)
        if n > 0:
            cluster(n, particles, history, slots, 0.0, inf, False)
            begin = lists.ends[SPLITTINGS]
            n_branches, found = _recurse(n, particles, history, condition, recursion, branches, j, out, lists)
            if n_branches > 0:
                multiplicity[j] = found
                _sum(branches, n_branches, particles, j, out)
                if lists.wanted:
                    _list_prongs(n, branches, n_branches, particles, history, kept, lists)
                    sort_columns(lists.splittings, begin, lists.ends[SPLITTINGS], 1)
            else:
                clear_jet(out, j)
                lists.ends[SPLITTINGS] = begin
        close_jet(lists, j - first)


def _at_most(n: float) -> int:
    if n == inf:
        return NO_LIMIT
    return whole_number("n", n, 1, _MOST_SPLITTINGS)


def recursive_soft_drop(
    constituents: Any,
    z_cut: float = 0.05,
    beta: float = 1.0,
    n: float = inf,
    R0: float = 0.8,
    *,
    dynamic_R0: bool = False,
    symmetry: str = "scalar_z",
    mu_cut: float | None = None,
    recursion: str = "larger_pt",
    num_threads: int | None = None,
) -> ak.Array:
    """Groom jets with recursive soft drop.

    Soft drop goes on behind a splitting that passed, in both of its branches: of all branches the one whose next
    declustering has the largest Delta is examined, until n splittings have passed or nothing is left to decluster.
    What is left of the n + 1 branches makes the groomed jet: Dreyer, Necib, Soyez, Thaler, arXiv:1804.03657,
    section 2. With n = 1, z_g and R_g are those of `soft_drop`, and so is the jet.

    Parameters
    ----------
    constituents, z_cut, beta, R0, symmetry, mu_cut, recursion, num_threads
        As for `soft_drop`; the clustering is Cambridge/Aachen.
    n
        Largest number of splittings, an integer from 1 to 2^31; inf for no limit.
    dynamic_R0
        Whether a splitting that passed sets R0 to its Delta in its two branches.

    Returns
    -------
    ak.Array
        One record a jet, with the behaviour of `vector`'s Momentum4D:

        - px, py, pz, energy: the groomed jet, GeV;
        - z_g, R_g, mu: of the first splitting that passed; 0 without one;
        - passed: whether a splitting passed; multiplicity: how many did;
        - indices: var * int64, the constituents kept, in their order;
        - splittings: var * record, those that passed, largest Delta first: z, delta, kt (pT of the softer branch times
          Delta, GeV) and mu;
        - dropped: var * record of the same fields, those that failed, in the order met;
        - prongs: var * Momentum4D, the branches left, largest pT first; one more than there are splittings.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If a parameter is out of range or a name is not known.

    Notes
    -----
    Without a limit, nearly every declustering of a jet passes or fails and is listed, and nearly every constituent is
    a prong: some 6 kB a jet of 50 constituents. For a million jets at once, take a finite n, or
    `recursive_soft_drop_arrays`, which returns 57 bytes a jet.
    """
    condition = condition_of(z_cut, beta, R0, symmetry, mu_cut, recursion)
    limits = Recursion(_at_most(n), flag("dynamic_R0", dynamic_R0), False, 0.0)
    return recursed(flat_of(constituents), condition, limits, num_threads)


def recursive_soft_drop_arrays(
    constituents: Any,
    z_cut: float = 0.05,
    beta: float = 1.0,
    n: float = inf,
    R0: float = 0.8,
    *,
    dynamic_R0: bool = False,
    num_threads: int | None = None,
) -> GroomedArrays:
    """Return what `recursive_soft_drop` finds as flat arrays, without lists; arguments and errors are the same."""
    flat = flat_of(constituents)
    condition = condition_of(z_cut, beta, R0, "scalar_z", None, "larger_pt")
    limits = Recursion(_at_most(n), flag("dynamic_R0", dynamic_R0), False, 0.0)
    count = np.empty(len(flat.offsets) - 1, dtype=np.int64)
    return groom_arrays(recursive_kernel, flat, condition, limits, count, num_threads=num_threads)


def recursed(flat: FlatJets, condition: Condition, recursion: Recursion, num_threads: int | None) -> ak.Array:
    """Return the records of `recursive_soft_drop` for checked parameters."""
    count = np.empty(len(flat.offsets) - 1, dtype=np.int64)
    return groom(
        recursive_kernel,
        flat,
        condition,
        recursion,
        count,
        lists=_LISTS,
        extra={"multiplicity": count},
        num_threads=num_threads,
    )
