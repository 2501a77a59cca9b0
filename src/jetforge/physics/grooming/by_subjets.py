"""Trimming and filtering: the constituents are clustered into small subjets, and only some of these are kept."""

from math import sqrt
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.arguments import number, whole_number
from jetforge.physics.clustering.algorithms import power_of, radius_of
from jetforge.physics.clustering.kernel import History, Particles, cluster, load_particles, workspace
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.grooming.records import (
    INDICES,
    PRONGS,
    GroomedArrays,
    Lists,
    clear_jet,
    clear_marks,
    close_jet,
    groom,
    groom_arrays,
    list_indices,
    list_prong,
    sort_columns,
)
from jetforge.physics.kinematics import largest_jet

_NO_LIMIT = 2**62
_MOST_SUBJETS = 2**31
# A cut at a subjet's own share must not lose it to the rounding of two sums.
_ROUNDING = 1e-12
_LISTS = {"indices": INDICES, "subjets": PRONGS}


@njit(cache=True, error_model="numpy")
def _jet_pt(n: int, particles: Particles) -> float:
    px = py = 0.0
    for i in range(n):
        px += particles.px[i]
        py += particles.py[i]
    return sqrt(px * px + py * py)


@njit(cache=True)
def _choose(
    steps: int,
    particles: Particles,
    history: History,
    pt_min: float,
    most: int,
    subjets: npt.NDArray[np.float64],
) -> int:
    """Write entry and pT^2 of the subjets of pT >= pt_min, hardest first, `most` at most; return their number."""
    found = 0
    for t in range(steps):
        k = history.first[t]
        pt2 = particles.px[k] * particles.px[k] + particles.py[k] * particles.py[k]
        if history.second[t] == -1 and pt2 >= pt_min * pt_min:
            subjets[0, found] = k
            subjets[1, found] = pt2
            found += 1
    sort_columns(subjets, 0, found, 1)
    return min(found, most)


@njit(cache=True, nogil=True, error_model="numpy")
def _subjet_kernel(
    first: int,
    last: int,
    flat: FlatJets,
    power: float,
    radius: float,
    pt_fraction: float,
    most: int,
    out: GroomedArrays,
    lists: Lists,
) -> None:
    """Groom the jets first <= j < last."""
    largest = largest_jet(flat.offsets, first, last)
    particles, history, slots = workspace(largest)
    kept = np.empty(2 * largest, dtype=np.bool_)
    subjets = np.empty((2, largest))
    for j in range(first, last):
        clear_jet(out, j)
        n = load_particles(flat, j, particles)
        steps = cluster(n, particles, history, slots, power, radius, False)
        pt_min = (1.0 - _ROUNDING) * pt_fraction * _jet_pt(n, particles)
        clear_marks(n, kept)
        chosen = _choose(steps, particles, history, pt_min, most, subjets)
        for s in range(chosen):
            k = int(subjets[0, s])
            kept[k] = True
            out.px[j] += particles.px[k]
            out.py[j] += particles.py[k]
            out.pz[j] += particles.pz[k]
            out.energy[j] += particles.energy[k]
            list_prong(lists, particles, k)
        out.passed[j] = chosen > 0
        list_indices(n, history, kept, lists)
        close_jet(lists, j - first)


def _trimming_parameters(R_sub: float, pt_fraction: float, algorithm: str | float) -> tuple[float, float, float, int]:
    fraction = number("pt_fraction", pt_fraction, least=0, most=1)
    return power_of(algorithm), radius_of("R_sub", R_sub), fraction, _NO_LIMIT


def _filtering_parameters(R_sub: float, n_hardest: int, algorithm: str | float) -> tuple[float, float, float, int]:
    return power_of(algorithm), radius_of("R_sub", R_sub), 0.0, whole_number("n_hardest", n_hardest, 1, _MOST_SUBJETS)


def trimming_arrays(
    constituents: Any,
    R_sub: float = 0.3,
    pt_fraction: float = 0.05,
    *,
    algorithm: str | float = "kt",
    num_threads: int | None = None,
) -> GroomedArrays:
    """Return what `trimming` finds as flat arrays, without lists; arguments and errors are those of `trimming`."""
    parameters = _trimming_parameters(R_sub, pt_fraction, algorithm)
    return groom_arrays(_subjet_kernel, flat_of(constituents), *parameters, num_threads=num_threads)


def trimming(
    constituents: Any,
    R_sub: float = 0.3,
    pt_fraction: float = 0.05,
    *,
    algorithm: str | float = "kt",
    num_threads: int | None = None,
) -> ak.Array:
    """Groom jets by dropping soft subjets.

    The constituents are clustered into subjets of radius R_sub, and those with at least pt_fraction of the jet's pT
    make the groomed jet: Krohn, Thaler, Wang, arXiv:0912.1342, section 3, with the pT of the jet as the hard scale.

    Parameters
    ----------
    constituents
        As for `soft_drop`.
    R_sub
        Radius of the subjets, from 1e-6 to 1e6.
    pt_fraction
        Smallest pT of a subjet over that of the jet (of the vector sum of its constituents), from 0 to 1,
        to a rounding of 1e-12.
    algorithm
        "kt" as in the paper, "cambridge_aachen", "antikt", or the power p of the generalised kt algorithm; E scheme.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    ak.Array
        One record a jet, with the behaviour of `vector`'s Momentum4D:

        - px, py, pz, energy: the groomed jet, GeV; zeros where nothing is left;
        - passed: whether a subjet is left;
        - indices: var * int64, the constituents kept, in their order;
        - subjets: var * Momentum4D, those kept, largest pT first.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If a parameter is out of range or a name is not known.
    """
    parameters = _trimming_parameters(R_sub, pt_fraction, algorithm)
    return groom(_subjet_kernel, flat_of(constituents), *parameters, lists=_LISTS, num_threads=num_threads)


def filtering_arrays(
    constituents: Any,
    R_sub: float = 0.3,
    n_hardest: int = 3,
    *,
    algorithm: str | float = "cambridge_aachen",
    num_threads: int | None = None,
) -> GroomedArrays:
    """Return what `filtering` finds as flat arrays, without lists; arguments and errors are those of `filtering`."""
    parameters = _filtering_parameters(R_sub, n_hardest, algorithm)
    return groom_arrays(_subjet_kernel, flat_of(constituents), *parameters, num_threads=num_threads)


def filtering(
    constituents: Any,
    R_sub: float = 0.3,
    n_hardest: int = 3,
    *,
    algorithm: str | float = "cambridge_aachen",
    num_threads: int | None = None,
) -> ak.Array:
    """Groom jets by keeping their hardest subjets.

    The constituents are clustered into subjets of radius R_sub, and the n_hardest of largest pT make the groomed jet:
    Butterworth, Davison, Rubin, Salam, arXiv:0802.2470, where it follows a mass drop and R_sub is
    min(0.3, Delta/2) of the two prongs.

    Parameters
    ----------
    constituents, R_sub, num_threads
        As for `trimming`.
    n_hardest
        Number of subjets kept, from 1 to 2^31; all where there are fewer.
    algorithm
        "cambridge_aachen" as in the paper, "kt", "antikt", or the power p of the generalised kt algorithm; E scheme.

    Returns
    -------
    ak.Array
        As for `trimming`; passed is False for an empty jet only.

    Raises
    ------
    DataError, JetforgeError
        As for `trimming`.
    """
    parameters = _filtering_parameters(R_sub, n_hardest, algorithm)
    return groom(_subjet_kernel, flat_of(constituents), *parameters, lists=_LISTS, num_threads=num_threads)
