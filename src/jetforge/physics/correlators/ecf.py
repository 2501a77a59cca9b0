"""Energy correlation functions of a jet, and the ratios of them that count its prongs.

An n-point correlator is the sum over all sets of n constituents of the product of their energy fractions and of
angles between them; it is small where a jet has fewer than n prongs. Larkoski, Salam, Thaler, arXiv:1305.0007 (all
angles multiplied; C series), Larkoski, Moult, Neill, arXiv:1409.6298 (D2), Moult, Necib, Thaler, arXiv:1609.07483
(the v smallest angles multiplied; M, N and U series). Definitions are those of EnergyCorrelator 1.3 of fjcontrib.
"""

from collections.abc import Callable, Iterable, Sequence
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

_MOST_POINTS = 5
_LARGEST_BETA = 10.0
_LARGEST_LOGARITHM = 709.0

_Floats = npt.NDArray[np.float64]
_Term = tuple[int, float] | tuple[int, float, int | None]


def _checked_term(term: _Term) -> tuple[int, float, int]:
    """Return n, beta and the number of angles, 0 for all."""
    if not isinstance(term, Sequence) or isinstance(term, str) or len(term) not in (2, 3):
        raise JetforgeError(f"a correlator is given as (n, beta) or (n, beta, angles), not {term!r}")
    n = whole_number("n", term[0], 1, _MOST_POINTS)
    # N_1 and L_2 have twice the exponent of the others, but in a sum over pairs, with one angle each.
    beta = number("beta", term[1], above=0, most=_LARGEST_BETA * (2 if n == 2 else 1))
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


Combine = Callable[[_Floats], _Floats]
"""From the correlators that a ratio is made of, one a column, to the ratio."""


def _quotient(numerator: _Floats, denominator: _Floats, power: float = 1.0) -> _Floats:
    """Return numerator/denominator^power: 0 where one of them is 0, and at most the largest float."""
    present = (numerator > 0.0) & (denominator > 0.0)
    with np.errstate(all="ignore"):
        logarithm = np.log(numerator) - power * np.log(denominator)
        ratio = numerator / denominator**power
        ratio = np.where(np.isfinite(ratio) & (ratio > 0.0), ratio, np.exp(np.minimum(logarithm, _LARGEST_LOGARITHM)))
    return np.where(present, ratio, 0.0)


def _c(i: int, beta: float) -> tuple[list[_Term], Combine]:
    if i == 1:
        return [(2, beta)], lambda e: e[:, 0]
    terms: list[_Term] = [(i - 1, beta), (i, beta), (i + 1, beta)]
    return terms, lambda e: _quotient(_quotient(e[:, 2], e[:, 1]) * e[:, 0], e[:, 1])


def _d(i: int, beta: float, alpha: float) -> tuple[list[_Term], Combine]:
    return [(2, beta), (3, alpha)], lambda e: _quotient(e[:, 1], e[:, 0], 3 * alpha / beta)


def _n(i: int, beta: float) -> tuple[list[_Term], Combine]:
    if i == 1:
        return [(2, 2 * beta)], lambda e: e[:, 0]
    return [(i, beta, 1), (i + 1, beta, 2)], lambda e: _quotient(_quotient(e[:, 1], e[:, 0]), e[:, 0])


def _m(i: int, beta: float) -> tuple[list[_Term], Combine]:
    if i == 1:
        return [(2, beta)], lambda e: e[:, 0]
    return [(i, beta, 1), (i + 1, beta, 1)], lambda e: _quotient(e[:, 1], e[:, 0])


def _u(i: int, beta: float) -> tuple[list[_Term], Combine]:
    return [(i + 1, beta, 1)], lambda e: e[:, 0]


def _l(i: int, beta: float) -> tuple[list[_Term], Combine]:
    if i == 2:
        return [(3, beta), (2, 2 * beta)], lambda e: _quotient(e[:, 0], e[:, 1], 1.5)
    return [(3, beta, 1), (3, beta)], lambda e: _quotient(e[:, 0], np.cbrt(e[:, 1]))


SERIES: dict[str, Callable[[int, float], tuple[list[_Term], Combine]]] = {
    "c": _c,
    "d": lambda i, beta: _d(i, beta, beta),
    "n": _n,
    "m": _m,
    "u": _u,
    "l": _l,
}
"""Terms of `energy_correlators`, and how they combine, of each ratio by its letter: called with i and beta."""


def _ratio(
    constituents: Any, letter: str, i: int, beta: float, measure: str, num_threads: int | None, most: int = 4
) -> _Floats:
    """Return a ratio of each jet, its arguments checked."""
    index = whole_number("i", i, 2 if letter == "l" else 1, most)
    terms, combine = SERIES[letter](index, number("beta", beta, above=0, most=_LARGEST_BETA))
    values = combine(energy_correlators(constituents, terms, measure=measure, num_threads=num_threads))
    return np.ascontiguousarray(values)


def c_series(
    constituents: Any, i: int, beta: float = 1.0, *, measure: str = "pt_R", num_threads: int | None = None
) -> _Floats:
    """Return C_i = e_(i+1) e_(i-1) / e_i^2 of each jet, with all angles: small for jets of i prongs.

    Parameters
    ----------
    constituents, beta, measure, num_threads
        As in `energy_correlator`.
    i
        1 to 4.

    Returns
    -------
    ndarray
        float64 (n_jets,); 0 for a jet of at most i constituents, or whose e_i is 0.

    Raises
    ------
    DataError, JetforgeError
        As in `energy_correlator`.

    Notes
    -----
    The double ratio C_N^(beta) of arXiv:1305.0007, which has N for our i.
    """
    return _ratio(constituents, "c", i, beta, measure, num_threads)


def d2(
    constituents: Any,
    beta: float = 1.0,
    *,
    alpha: float | None = None,
    measure: str = "pt_R",
    num_threads: int | None = None,
) -> _Floats:
    """Return D2 = e_3^(alpha) / (e_2^(beta))^(3 alpha/beta) of each jet: small for jets of two prongs.

    Parameters
    ----------
    constituents, beta, measure, num_threads
        As in `energy_correlator`; beta is the exponent of the angles in e_2.
    alpha
        Exponent of the angles in e_3; beta by default, which makes it e_3/e_2^3.

    Returns
    -------
    ndarray
        float64 (n_jets,); 0 for a jet of fewer than three constituents, or whose e_2 is 0.

    Raises
    ------
    DataError, JetforgeError
        As in `energy_correlator`.

    Notes
    -----
    D_2^(beta) of arXiv:1409.6298; with two exponents D_2^(alpha, beta), arXiv:1507.03018.
    """
    beta = number("beta", beta, above=0, most=_LARGEST_BETA)
    alpha = beta if alpha is None else number("alpha", alpha, above=0, most=_LARGEST_BETA)
    terms, combine = _d(2, beta, alpha)
    return combine(energy_correlators(constituents, terms, measure=measure, num_threads=num_threads))


def n_series(
    constituents: Any, i: int, beta: float = 1.0, *, measure: str = "pt_R", num_threads: int | None = None
) -> _Floats:
    """Return N_i = 2e_(i+1) / (1e_i)^2 of each jet, where ve is with the v smallest angles: small for i prongs.

    Parameters
    ----------
    constituents, beta, measure, num_threads
        As in `energy_correlator`.
    i
        1 to 4. N_1, for which there is one angle only, is e_2 with twice the exponent, as in the contrib.

    Returns
    -------
    ndarray
        float64 (n_jets,); 0 for a jet of at most i constituents, or whose 1e_i is 0.

    Raises
    ------
    DataError, JetforgeError
        As in `energy_correlator`.

    Notes
    -----
    N_i^(beta) of arXiv:1609.07483.
    """
    return _ratio(constituents, "n", i, beta, measure, num_threads)


def m_series(
    constituents: Any, i: int, beta: float = 1.0, *, measure: str = "pt_R", num_threads: int | None = None
) -> _Floats:
    """Return M_i = 1e_(i+1) / 1e_i of each jet, where 1e is with the smallest angle: small for groomed i prongs.

    Parameters
    ----------
    constituents, beta, measure, num_threads
        As in `energy_correlator`.
    i
        1 to 4. M_1 is e_2.

    Returns
    -------
    ndarray
        float64 (n_jets,); 0 for a jet of at most i constituents, or whose 1e_i is 0.

    Raises
    ------
    DataError, JetforgeError
        As in `energy_correlator`.

    Notes
    -----
    M_i^(beta) of arXiv:1609.07483.
    """
    return _ratio(constituents, "m", i, beta, measure, num_threads)


def u_series(
    constituents: Any, i: int, beta: float = 1.0, *, measure: str = "pt_R", num_threads: int | None = None
) -> _Floats:
    """Return U_i = 1e_(i+1) of each jet, with the smallest angle: for quarks against gluons.

    Parameters
    ----------
    constituents, beta, measure, num_threads
        As in `energy_correlator`.
    i
        1 to 4.

    Returns
    -------
    ndarray
        float64 (n_jets,); 0 for a jet of at most i constituents.

    Raises
    ------
    DataError, JetforgeError
        As in `energy_correlator`.

    Notes
    -----
    U_i^(beta) of arXiv:1609.07483.
    """
    return _ratio(constituents, "u", i, beta, measure, num_threads)


def l_series(
    constituents: Any, i: int, beta: float = 1.0, *, measure: str = "pt_R", num_threads: int | None = None
) -> _Floats:
    """Return L_2 or L_3 of each jet, as ATLAS defines them for its top taggers.

    L_2 = 3e_3^(beta) / (1e_2^(2 beta))^(3/2) and L_3 = 1e_3^(beta) / (3e_3^(beta))^(1/3), where ve is with the v
    smallest angles.

    Parameters
    ----------
    constituents, beta, measure, num_threads
        As in `energy_correlator`.
    i
        2 or 3.

    Returns
    -------
    ndarray
        float64 (n_jets,); 0 for a jet of fewer than three constituents, or whose denominator is 0.

    Raises
    ------
    DataError, JetforgeError
        As in `energy_correlator`.

    Notes
    -----
    The quantities L2 and L3 of the ATLAS top-tagging open data (ATL-PHYS-PUB-2022-039), made of the correlators of
    arXiv:1609.07483.
    """
    return _ratio(constituents, "l", i, beta, measure, num_threads, most=3)
