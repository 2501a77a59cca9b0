"""Ratios of energy correlation functions, which count the prongs of a jet.

The C series of Larkoski, Salam, Thaler, arXiv:1305.0007, D2 of Larkoski, Moult, Neill, arXiv:1409.6298, the N, M and U
series of Moult, Necib, Thaler, arXiv:1609.07483, and L2 and L3 of ATLAS. Definitions of the former are those of
EnergyCorrelator 1.3 of fjcontrib.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.physics.arguments import number, whole_number
from jetforge.physics.correlators.ecf import LARGEST_BETA, Term, energy_correlators

_LARGEST_LOGARITHM = 709.0

_Floats = npt.NDArray[np.float64]

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


def _c(i: int, beta: float) -> tuple[list[Term], Combine]:
    if i == 1:
        return [(2, beta)], lambda e: e[:, 0]
    terms: list[Term] = [(i - 1, beta), (i, beta), (i + 1, beta)]
    return terms, lambda e: _quotient(_quotient(e[:, 2], e[:, 1]) * e[:, 0], e[:, 1])


def _d(i: int, beta: float, alpha: float) -> tuple[list[Term], Combine]:
    return [(2, beta), (3, alpha)], lambda e: _quotient(e[:, 1], e[:, 0], 3 * alpha / beta)


def _n(i: int, beta: float) -> tuple[list[Term], Combine]:
    if i == 1:
        return [(2, 2 * beta)], lambda e: e[:, 0]
    return [(i, beta, 1), (i + 1, beta, 2)], lambda e: _quotient(_quotient(e[:, 1], e[:, 0]), e[:, 0])


def _m(i: int, beta: float) -> tuple[list[Term], Combine]:
    if i == 1:
        return [(2, beta)], lambda e: e[:, 0]
    return [(i, beta, 1), (i + 1, beta, 1)], lambda e: _quotient(e[:, 1], e[:, 0])


def _u(i: int, beta: float) -> tuple[list[Term], Combine]:
    return [(i + 1, beta, 1)], lambda e: e[:, 0]


def _l(i: int, beta: float) -> tuple[list[Term], Combine]:
    if i == 2:
        return [(3, beta), (2, 2 * beta)], lambda e: _quotient(e[:, 0], e[:, 1], 1.5)
    return [(3, beta, 1), (3, beta)], lambda e: _quotient(e[:, 0], np.cbrt(e[:, 1]))


SERIES: dict[str, Callable[[int, float], tuple[list[Term], Combine]]] = {
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
    terms, combine = SERIES[letter](index, number("beta", beta, above=0, most=LARGEST_BETA))
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
    beta = number("beta", beta, above=0, most=LARGEST_BETA)
    alpha = beta if alpha is None else number("alpha", alpha, above=0, most=LARGEST_BETA)
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
