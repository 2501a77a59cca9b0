"""Soft drop and the modified mass-drop tagger: the harder branch is followed until a splitting is symmetric enough.

Conventions are those of fjcontrib's RecursiveTools 2.0, which its authors describe in arXiv:1402.2657, section 2.
"""

from math import inf, sqrt
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
from numba import njit

from jetforge.physics.arguments import choice, number
from jetforge.physics.clustering.algorithms import power_of, radius_of
from jetforge.physics.clustering.kernel import (
    History,
    Particles,
    cluster,
    delta_squared,
    entry_mass_squared,
    load_particles,
    soft_threshold,
    workspace,
)
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.grooming.records import (
    DROPPED,
    INDICES,
    GroomedArrays,
    Lists,
    clear_jet,
    clear_marks,
    close_jet,
    groom,
    groom_arrays,
    list_dropped,
    list_indices,
    write_jet,
)
from jetforge.physics.kinematics import largest_jet

MODES = {"groom": True, "tag": False}
SYMMETRIES = {"scalar_z": 0, "vector_z": 1, "y": 2}
RECURSIONS = {"larger_pt": 0, "larger_mt": 1, "larger_m": 2}

# What one step of the recursion finds.
PASSED = 0
DROPPED_BRANCH = 1
SINGLE = 2  # a constituent, or a subjet whose symmetry cannot be measured: there is no splitting to judge
BROKEN = 3  # nothing sensible is left


class Condition(NamedTuple):
    """z > z_cut (Delta/R0)^beta and mu < mu_cut, and which branch is followed where that fails."""

    z_cut: float
    beta: float
    R0: float
    mu_cut: float  # inf for none
    symmetry: int
    recursion: int
    groom: bool


class Step(NamedTuple):
    """One declustering: what it is, the entries of the branch to follow and the other, and its variables."""

    status: int
    hard: int
    soft: int
    z: float
    delta2: float
    mu: float


def condition_of(
    z_cut: float,
    beta: float,
    R0: float,
    symmetry: str,
    mu_cut: float | None,
    recursion: str,
    mode: str = "groom",
) -> Condition:
    """Return the checked condition.

    Raises
    ------
    JetforgeError
        If a number is out of range or a name is not known.
    """
    return Condition(
        number("z_cut", z_cut, least=0, most=1),
        number("beta", beta),
        radius_of("R0", R0),
        inf if mu_cut is None else number("mu_cut", mu_cut, above=0, finite=False),
        choice("symmetry", symmetry, SYMMETRIES),
        choice("recursion", recursion, RECURSIONS),
        choice("mode", mode, MODES),
    )


@njit(cache=True, error_model="numpy")
def take_step(n: int, k: int, particles: Particles, history: History, condition: Condition, r02: float) -> Step:
    """Undo the merge that made entry k of a jet of n constituents, and judge it; `r02` is R0^2."""
    if k < n:
        return Step(SINGLE, k, -1, 0.0, 0.0, 0.0)
    px, py = particles.px, particles.py
    i, j = history.first[k - n], history.second[k - n]
    pt2 = px[k] * px[k] + py[k] * py[k]
    pt2_i, pt2_j = px[i] * px[i] + py[i] * py[i], px[j] * px[j] + py[j] * py[j]
    m2 = entry_mass_squared(particles, k)
    m2_i, m2_j = entry_mass_squared(particles, i), entry_mass_squared(particles, j)
    delta2 = delta_squared(particles, i, j)
    if pt2 <= 0.0:
        return Step(BROKEN, k, -1, 0.0, 0.0, 0.0)
    if condition.symmetry == 2:
        if m2 <= 0.0:
            return Step(SINGLE, k, -1, 0.0, delta2, 0.0)
        z = min(pt2_i, pt2_j) * delta2 / m2
    else:
        total = sqrt(pt2) if condition.symmetry == 1 else sqrt(pt2_i) + sqrt(pt2_j)
        z = sqrt(min(pt2_i, pt2_j)) / total
    passed = z > soft_threshold(condition.z_cut, condition.beta, delta2, r02)
    heavier = max(m2_i, m2_j)
    mu = sqrt(heavier / m2) if m2 > 0.0 and heavier > 0.0 else 0.0
    if passed and condition.mu_cut < inf:
        if m2 <= 0.0:
            return Step(BROKEN, k, -1, 0.0, 0.0, 0.0)
        passed = mu <= condition.mu_cut
    scale_i, scale_j = pt2_i, pt2_j
    if condition.recursion == 1:
        scale_i, scale_j = pt2_i + m2_i, pt2_j + m2_j
    elif condition.recursion == 2:
        scale_i, scale_j = m2_i, m2_j
    if scale_i < scale_j:
        i, j = j, i
    return Step(PASSED if passed else DROPPED_BRANCH, i, j, z, delta2, mu)


@njit(cache=True, error_model="numpy")
def branch_kt(particles: Particles, k: int, delta2: float) -> float:
    """Return pT Delta of a branch."""
    return sqrt(particles.px[k] * particles.px[k] + particles.py[k] * particles.py[k]) * sqrt(delta2)


@njit(cache=True, error_model="numpy")
def _descend(
    n: int, particles: Particles, history: History, condition: Condition, j: int, out: GroomedArrays, lists: Lists
) -> int:
    """Follow the harder branch from the root, and return the entry that is left, or -1; writes the splitting."""
    r02 = condition.R0 * condition.R0
    k = 2 * n - 2
    step = take_step(n, k, particles, history, condition, r02)
    while step.status == DROPPED_BRANCH:
        list_dropped(lists, step.z, sqrt(step.delta2), branch_kt(particles, step.soft, step.delta2), step.mu)
        k = step.hard
        step = take_step(n, k, particles, history, condition, r02)
    if step.status == PASSED:
        out.z_g[j] = step.z
        out.r_g[j] = sqrt(step.delta2)
        out.mu[j] = step.mu
        out.passed[j] = True
        return k
    return k if step.status == SINGLE and condition.groom else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _soft_drop_kernel(
    first: int, last: int, flat: FlatJets, condition: Condition, power: float, out: GroomedArrays, lists: Lists
) -> None:
    """Groom the jets first <= j < last."""
    largest = largest_jet(flat.offsets, first, last)
    particles, history, slots = workspace(largest)
    kept = np.empty(2 * largest, dtype=np.bool_)
    for j in range(first, last):
        clear_jet(out, j)
        n = load_particles(flat, j, particles)
        if n > 0:
            cluster(n, particles, history, slots, power, inf, False)
            k = _descend(n, particles, history, condition, j, out, lists)
            if k >= 0:
                write_jet(out, j, particles, k)
                if lists.wanted:
                    clear_marks(n, kept)
                    kept[k] = True
                    list_indices(n, history, kept, lists)
        close_jet(lists, j - first)


def soft_drop_arrays(
    constituents: Any,
    z_cut: float = 0.1,
    beta: float = 0.0,
    R0: float = 0.8,
    *,
    mode: str = "groom",
    symmetry: str = "scalar_z",
    mu_cut: float | None = None,
    recursion: str = "larger_pt",
    algorithm: str | float = "cambridge_aachen",
    num_threads: int | None = None,
) -> GroomedArrays:
    """Return what `soft_drop` finds as flat arrays, without lists; arguments and errors are those of `soft_drop`."""
    condition = condition_of(z_cut, beta, R0, symmetry, mu_cut, recursion, mode)
    power = power_of(algorithm)
    return groom_arrays(_soft_drop_kernel, flat_of(constituents), condition, power, num_threads=num_threads)


def soft_drop(
    constituents: Any,
    z_cut: float = 0.1,
    beta: float = 0.0,
    R0: float = 0.8,
    *,
    mode: str = "groom",
    symmetry: str = "scalar_z",
    mu_cut: float | None = None,
    recursion: str = "larger_pt",
    algorithm: str | float = "cambridge_aachen",
    num_threads: int | None = None,
) -> ak.Array:
    """Groom jets with soft drop.

    The constituents are clustered into one jet, and the clustering is undone from the last merge on. Where the
    two branches satisfy

        z > z_cut (Delta/R0)^beta,    z = min(pt_1, pt_2)/(pt_1 + pt_2),

    the pair is the groomed jet; otherwise the softer branch is dropped and the harder one examined in turn:
    Larkoski, Marzani, Soyez, Thaler, arXiv:1402.2657, equation 1.1.

    Parameters
    ----------
    constituents
        Awkward array of jets, n_jets * var * momentum, in GeV (see `jetforge.physics.flat.flatten`), a
        `jetforge.Jets` or a `FlatJets`.
    z_cut
        Cut on the symmetry, from 0 to 1.
    beta
        Angular exponent; 0 is the modified mass-drop condition. With beta < 0, soft and collinear splittings
        are both cut away, and `mode` "tag" is what is meant.
    R0
        Angle at which the cut is z_cut, from 1e-6 to 1e6, usually the radius of the jets; plays no role for beta = 0.
    mode
        "groom" keeps what is left when a branch cannot be split further, usually one constituent; "tag" returns an
        empty jet then.
    symmetry
        What z is: "scalar_z" as above; "vector_z", min(pt_1, pt_2) over the pT of the pair; "y",
        min(pt_1, pt_2)^2 Delta^2/m^2 with the mass m of the pair. With "y", a pair of m^2 <= 0 cannot be split.
    mu_cut
        If given, mu = max(m_1, m_2)/m must not be larger. A pair of m^2 <= 0 that satisfies the cut on z then ends
        the search with an empty jet, in both modes.
    recursion
        Which branch is followed: "larger_pt", "larger_mt" (m^2 + pT^2) or "larger_m".
    algorithm
        "cambridge_aachen", "kt", "antikt", or the power p of the generalised kt algorithm; infinite radius, E scheme.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    ak.Array
        One record a jet, with the behaviour of `vector`'s Momentum4D, so that ``.mass`` and ``.pt`` work:

        - px, py, pz, energy: the groomed jet, GeV; zeros where nothing is left;
        - z_g, R_g, mu: symmetry, Delta and mu = max(m_1, m_2)/m of the splitting that passed; 0 without one. mu is
          also 0 where neither branch, or not the pair, has m^2 > 0;
        - passed: whether a splitting passed;
        - indices: var * int64, the constituents kept, in their order: ``constituents[groomed.indices]``;
        - dropped: var * record, the splittings that failed, in the order met: z, delta, kt (pT of the dropped branch
          times Delta, GeV) and mu. All are listed also where no splitting passed.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If a parameter is out of range or a name is not known.
    """
    flat = flat_of(constituents)
    condition = condition_of(z_cut, beta, R0, symmetry, mu_cut, recursion, mode)
    power = power_of(algorithm)
    lists = {"indices": INDICES, "dropped": DROPPED}
    return groom(_soft_drop_kernel, flat, condition, power, lists=lists, num_threads=num_threads)


def modified_mass_drop(
    constituents: Any,
    z_cut: float = 0.1,
    mu_cut: float | None = None,
    *,
    mode: str = "tag",
    symmetry: str = "scalar_z",
    recursion: str = "larger_pt",
    num_threads: int | None = None,
) -> ak.Array:
    """Groom jets with the modified mass-drop tagger.

    Soft drop with beta = 0: the clustering (Cambridge/Aachen) is undone until z > z_cut, and mu < mu_cut where that is
    asked for; Dasgupta, Fregoso, Marzani, Salam, arXiv:1307.0007, section 7. The paper cuts on y > y_cut
    (`symmetry` "y") and follows the branch of larger mT (`recursion` "larger_mt"); the defaults are those of
    fjcontrib, as is that a jet without such a splitting is empty (`mode` "tag").

    Parameters and result are those of `soft_drop`.
    """
    return soft_drop(
        constituents,
        z_cut,
        mode=mode,
        symmetry=symmetry,
        mu_cut=mu_cut,
        recursion=recursion,
        num_threads=num_threads,
    )
