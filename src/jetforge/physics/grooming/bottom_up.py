"""Pruning and bottom-up soft drop: soft prongs are dropped while the jet is clustered."""

from math import inf, sqrt
from typing import Any

import awkward as ak
import numpy as np
from numba import njit

from jetforge.physics.arguments import number
from jetforge.physics.clustering.algorithms import power_of
from jetforge.physics.clustering.kernel import (
    History,
    Particles,
    Veto,
    cluster_vetoing,
    delta_squared,
    entry_mass_squared,
    load_particles,
    mass_squared,
    pair_mass_squared,
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
from jetforge.physics.grooming.soft_drops import (
    DROPPED_BRANCH,
    PASSED,
    Condition,
    branch_kt,
    condition_of,
    take_step,
)
from jetforge.physics.kinematics import largest_jet

_LISTS = {"indices": INDICES, "dropped": DROPPED}


@njit(cache=True, error_model="numpy")
def _twice_mass_over_pt(n: int, particles: Particles) -> float:
    """Return 2 m/pT of the whole jet; 0 where that is not defined."""
    px = py = pz = energy = 0.0
    for i in range(n):
        px += particles.px[i]
        py += particles.py[i]
        pz += particles.pz[i]
        energy += particles.energy[i]
    pt2 = px * px + py * py
    m2 = mass_squared(px, py, pz, energy)
    return 2.0 * sqrt(m2 / pt2) if m2 > 0.0 and pt2 > 0.0 else 0.0


@njit(cache=True, error_model="numpy")
def _list_vetoed(steps: int, particles: Particles, history: History, vector_sum: bool, lists: Lists) -> None:
    """List the merges that dropped their softer prong."""
    px, py = particles.px, particles.py
    for t in range(steps):
        if history.second[t] > -2:
            continue
        hard, soft = history.first[t], -2 - history.second[t]
        pt2_hard, pt2_soft = px[hard] ** 2 + py[hard] ** 2, px[soft] ** 2 + py[soft] ** 2
        total = sqrt(pt2_hard) + sqrt(pt2_soft)
        if vector_sum:
            total = sqrt((px[hard] + px[soft]) ** 2 + (py[hard] + py[soft]) ** 2)
        delta2 = delta_squared(particles, hard, soft)
        m2 = pair_mass_squared(particles, hard, soft)
        heavier = max(entry_mass_squared(particles, hard), entry_mass_squared(particles, soft))
        mu = sqrt(heavier / m2) if m2 > 0.0 and heavier > 0.0 else 0.0
        list_dropped(lists, sqrt(pt2_soft) / total, sqrt(delta2), branch_kt(particles, soft, delta2), mu)


@njit(cache=True, error_model="numpy")
def _write_last_merge(
    n: int, particles: Particles, history: History, condition: Condition, j: int, out: GroomedArrays
) -> None:
    """Write the splitting of the groomed jet into its last two prongs."""
    k = 2 * n - 2
    while k >= n and history.second[k - n] < 0:
        k = history.first[k - n]
    step = take_step(n, k, particles, history, condition, 1.0)
    if step.status == PASSED or step.status == DROPPED_BRANCH:
        out.z_g[j] = step.z
        out.r_g[j] = sqrt(step.delta2)
        out.mu[j] = step.mu
        out.passed[j] = True


@njit(cache=True, nogil=True, error_model="numpy")
def _bottom_up_kernel(
    first: int,
    last: int,
    flat: FlatJets,
    veto: Veto,
    condition: Condition,
    power: float,
    out: GroomedArrays,
    lists: Lists,
) -> None:
    """Groom the jets first <= j < last; for pruning, r_cut of the veto is a factor of 2 m/pT."""
    largest = largest_jet(flat.offsets, first, last)
    particles, history, slots = workspace(largest)
    kept = np.empty(2 * largest, dtype=np.bool_)
    for j in range(first, last):
        clear_jet(out, j)
        n = load_particles(flat, j, particles)
        if n > 0:
            r_cut = veto.r_cut * _twice_mass_over_pt(n, particles)
            own = Veto(veto.z_cut, veto.beta, veto.R0, r_cut, veto.vector_sum)
            steps = cluster_vetoing(n, particles, history, slots, power, inf, False, own)
            write_jet(out, j, particles, 2 * n - 2)
            _write_last_merge(n, particles, history, condition, j, out)
            if lists.wanted:
                _list_vetoed(steps, particles, history, veto.vector_sum, lists)
                clear_marks(n, kept)
                kept[2 * n - 2] = True
                list_indices(n, history, kept, lists)
        close_jet(lists, j - first)


def _pruning_parameters(z_cut: float, R_cut_factor: float, algorithm: str | float) -> tuple[Veto, Condition, float]:
    veto = Veto(number("z_cut", z_cut, least=0, most=1), 0.0, 1.0, number("R_cut_factor", R_cut_factor, least=0), True)
    condition = condition_of(0.0, 0.0, 1.0, "vector_z", None, "larger_pt")
    return veto, condition, power_of(algorithm)


def pruning_arrays(
    constituents: Any,
    z_cut: float = 0.1,
    R_cut_factor: float = 0.5,
    *,
    algorithm: str | float = "cambridge_aachen",
    num_threads: int | None = None,
) -> GroomedArrays:
    """Return what `pruning` finds as flat arrays, without lists; arguments and errors are those of `pruning`."""
    parameters = _pruning_parameters(z_cut, R_cut_factor, algorithm)
    return groom_arrays(_bottom_up_kernel, flat_of(constituents), *parameters, num_threads=num_threads)


def pruning(
    constituents: Any,
    z_cut: float = 0.1,
    R_cut_factor: float = 0.5,
    *,
    algorithm: str | float = "cambridge_aachen",
    num_threads: int | None = None,
) -> ak.Array:
    """Groom jets by dropping soft, wide-angle prongs while they are clustered.

    The constituents are clustered into one jet. A merge with

        z < z_cut  and  Delta > R_cut,    z = min(pt_1, pt_2)/pt_12,    R_cut = R_cut_factor 2 m/pt,

    drops the softer prong instead, where pt_12 is the pT of the pair, and m and pt are those of the ungroomed jet:
    Ellis, Vermilion, Walsh, arXiv:0903.5081 and arXiv:0912.0033.

    Parameters
    ----------
    constituents
        As for `soft_drop`.
    z_cut
        Cut on z, from 0 to 1.
    R_cut_factor
        R_cut over 2 m/pt, 0 or above; R_cut is 0 where m^2 or pt is not positive.
    algorithm
        "cambridge_aachen", "kt", "antikt", or the power p of the generalised kt algorithm; infinite radius, E scheme.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    ak.Array
        One record a jet, with the behaviour of `vector`'s Momentum4D:

        - px, py, pz, energy: the groomed jet, GeV;
        - z_g, R_g, mu: z, Delta and mu = max(m_1, m_2)/m of its last merge; 0 where one constituent is left;
        - passed: whether two prongs are left to be merged;
        - indices: var * int64, the constituents kept, in their order;
        - dropped: var * record, the merges that dropped a prong, in their order: z, delta, kt (pT of the dropped prong
          times Delta, GeV) and mu.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If a parameter is out of range or a name is not known.
    """
    parameters = _pruning_parameters(z_cut, R_cut_factor, algorithm)
    return groom(_bottom_up_kernel, flat_of(constituents), *parameters, lists=_LISTS, num_threads=num_threads)


def _bottom_up_parameters(
    z_cut: float, beta: float, R0: float, algorithm: str | float
) -> tuple[Veto, Condition, float]:
    condition = condition_of(z_cut, beta, R0, "scalar_z", None, "larger_pt")
    veto = Veto(condition.z_cut, condition.beta, condition.R0, 0.0, False)
    return veto, condition, power_of(algorithm)


def bottom_up_soft_drop_arrays(
    constituents: Any,
    z_cut: float = 0.05,
    beta: float = 1.0,
    R0: float = 0.8,
    *,
    algorithm: str | float = "cambridge_aachen",
    num_threads: int | None = None,
) -> GroomedArrays:
    """Return what `bottom_up_soft_drop` finds as flat arrays, without lists; arguments and errors are the same."""
    parameters = _bottom_up_parameters(z_cut, beta, R0, algorithm)
    return groom_arrays(_bottom_up_kernel, flat_of(constituents), *parameters, num_threads=num_threads)


def bottom_up_soft_drop(
    constituents: Any,
    z_cut: float = 0.05,
    beta: float = 1.0,
    R0: float = 0.8,
    *,
    algorithm: str | float = "cambridge_aachen",
    num_threads: int | None = None,
) -> ak.Array:
    """Groom jets with bottom-up soft drop.

    The constituents are clustered into one jet. A merge with

        z < z_cut (Delta/R0)^beta,    z = min(pt_1, pt_2)/(pt_1 + pt_2),

    drops the softer prong instead, so that every merge of the groomed jet satisfies the soft-drop condition: Dreyer,
    Necib, Soyez, Thaler, arXiv:1804.03657, section 2.4. Prongs in the same direction always merge.

    Parameters
    ----------
    constituents, z_cut, beta, R0, algorithm, num_threads
        As for `soft_drop`.

    Returns
    -------
    ak.Array
        As for `pruning`.

    Raises
    ------
    DataError, JetforgeError
        As for `pruning`.
    """
    parameters = _bottom_up_parameters(z_cut, beta, R0, algorithm)
    return groom(_bottom_up_kernel, flat_of(constituents), *parameters, lists=_LISTS, num_threads=num_threads)
