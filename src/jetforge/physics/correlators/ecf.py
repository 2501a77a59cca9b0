"""Energy correlation functions of a jet.

An n-point correlator is the sum over all sets of n constituents of the product of their energy fractions and of
angles between them; it is small where a jet has fewer than n prongs. Larkoski, Salam, Thaler, arXiv:1305.0007 (all
angles multiplied), and Moult, Necib, Thaler, arXiv:1609.07483 (the v smallest angles multiplied). Definitions are
those of EnergyCorrelator 1.3 of fjcontrib.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import choice, flag, number, whole_number
from jetforge.physics.correlators.ecf_kernels import E_INV, E_THETA, PT_R, Terms, correlator_kernel
from jetforge.physics.flat import flat_of
from jetforge.physics.parallel import for_all_jets

MEASURES = {"pt_R": PT_R, "E_theta": E_THETA, "E_inv": E_INV}
"""Names of what energies and angles mean: see `energy_correlator`."""

LARGEST_BETA = 10.0
"""Largest exponent of angles; keeps products of ten angles finite."""

_MOST_POINTS = 5

_Floats = npt.NDArray[np.float64]
Term = tuple[int, float] | tuple[int, float, int | None]
"""A correlator: (n, beta), or (n, beta, angles)."""


def _checked_term(term: Term) -> tuple[int, float, int]:
    """Return n, beta and the number of angles, 0 for all."""
    if not isinstance(term, Sequence) or isinstance(term, str) or len(term) not in (2, 3):
        raise JetforgeError(f"a correlator is given as (n, beta) or (n, beta, angles), not {term!r}")
    n = whole_number("n", term[0], 1, _MOST_POINTS)
    # N_1 and L_2 have twice the exponent of the others, but in a sum over pairs, with one angle each.
    beta = number("beta", term[1], above=0, most=LARGEST_BETA * (2 if n == 2 else 1))
    pairs = n * (n - 1) // 2
    if len(term) == 2 or term[2] is None:
        return n, beta, 0
    if pairs == 0:
        raise JetforgeError(f"angles is {term[2]}; one constituent has no angles: leave angles out for n = 1")
    angles = whole_number("angles", term[2], 1, pairs)
    return n, beta, 0 if angles == pairs else angles


def energy_correlators(
    constituents: Any,
    terms: Iterable[Any],
    *,
    normalised: bool = True,
    measure: str = "pt_R",
    num_threads: int | None = None,
) -> _Floats:
    """Return several energy correlation functions of each jet; the angles of a jet are found once a beta.

    Parameters
    ----------
    constituents
        Jets: an awkward array n_jets * var * momentum in GeV (see `jetforge.physics.flat.flatten`), a
        `jetforge.Jets` or a `FlatJets`.
    terms
        For each correlator (n, beta) or (n, beta, angles), as in `energy_correlator`.
    normalised, measure, num_threads
        As in `energy_correlator`, for all of them.

    Returns
    -------
    ndarray
        float64 (n_jets, len(terms)).

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If a term, the measure or the number of threads is not one of those allowed.
    """
    flat = flat_of(constituents)
    if not isinstance(terms, Iterable) or isinstance(terms, str):
        raise JetforgeError(f"terms is {terms!r}; it must be a list of (n, beta) or (n, beta, angles)")
    wanted = [_checked_term(term) for term in terms]
    betas = sorted({beta for _, beta, _ in wanted})
    columns = Terms(
        np.array([n for n, _, _ in wanted], dtype=np.int64),
        np.array([angles for _, _, angles in wanted], dtype=np.int64),
        np.array([betas.index(beta) for _, beta, _ in wanted], dtype=np.int64),
    )
    n_jets = len(flat.offsets) - 1
    out = np.zeros((n_jets, len(wanted)))
    for_all_jets(
        correlator_kernel,
        n_jets,
        flat,
        choice("measure", measure, MEASURES),
        np.array(betas, dtype=np.float64),
        columns,
        flag("normalised", normalised),
        out,
        num_threads=num_threads,
    )
    return out


def energy_correlator(
    constituents: Any,
    n: int,
    beta: float = 1.0,
    *,
    angles: int | None = None,
    normalised: bool = True,
    measure: str = "pt_R",
    num_threads: int | None = None,
) -> _Floats:
    """Return an energy correlation function of each jet.

    e_n = sum over all sets of n constituents of their n energy fractions z times the product of the v smallest of
    their n(n - 1)/2 angles, each to the power beta: ve_n^(beta) of arXiv:1609.07483; with all angles, ECF(n, beta) of
    arXiv:1305.0007, and e_n^(beta) of arXiv:1409.6298 where it is normalised.

    Parameters
    ----------
    constituents
        Jets: an awkward array n_jets * var * momentum in GeV (see `jetforge.physics.flat.flatten`), a
        `jetforge.Jets` or a `FlatJets`.
    n
        Number of constituents in a product, 1 to 5. Time grows as the n-th power of the constituents.
    beta
        Exponent of the angles, above 0 and at most 10.
    angles
        Number v of angles multiplied, the smallest ones of a set; all by default.
    normalised
        Whether energies are fractions of their sum over the jet. Otherwise they are in GeV, and the result, called
        ECF(n, beta), in GeV^n.
    measure
        What energies and angles are, as in the contrib:

        - ``"pt_R"``: transverse momentum, and Delta = sqrt(dy^2 + dphi^2) in rapidity and azimuth;
        - ``"E_theta"``: energy, and the angle between the three-momenta;
        - ``"E_inv"``: energy, and sqrt(2 p_i.p_k/(E_i E_k)), which is 2 sin(theta/2) without masses.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    ndarray
        float64 (n_jets,). A jet of fewer than n constituents gives 0. Constituents without transverse momentum
        (below 1e-7 GeV of energy, where that is the weight) do not count. Always finite: what is above the largest
        float64 is given as that.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If n, beta, angles, the measure or the number of threads is not one of those allowed.
    """
    term = (n, beta, angles)
    given = energy_correlators(constituents, [term], normalised=normalised, measure=measure, num_threads=num_threads)
    return np.ascontiguousarray(given[:, 0])
