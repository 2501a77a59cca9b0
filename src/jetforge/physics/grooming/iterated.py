"""Iterated soft drop: the splittings along the harder branch, their number and their angularities."""

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import number
from jetforge.physics.flat import flat_of
from jetforge.physics.grooming.records import groom_arrays
from jetforge.physics.grooming.recursive import NO_LIMIT, Recursion, recursed, recursive_kernel
from jetforge.physics.grooming.soft_drops import condition_of


def iterated_soft_drop(
    constituents: Any,
    z_cut: float = 0.007,
    beta: float = -1.0,
    R0: float = 0.8,
    angular_cut: float = 0.0,
    *,
    symmetry: str = "scalar_z",
    mu_cut: float | None = None,
    recursion: str = "larger_pt",
    num_threads: int | None = None,
) -> ak.Array:
    """Count the splittings along the harder branch that pass the soft-drop condition.

    As `recursive_soft_drop` without limit, but only the harder branch is declustered any further, and only down to an
    angle: Frye, Larkoski, Thaler, Zhou, arXiv:1704.06266, section 2. The number of splittings, `multiplicity`, is the
    soft-drop multiplicity n_SD; infrared and collinear safe for beta < 0, or with an angular cut. The defaults are the
    choice of the paper for telling quark from gluon jets.

    Parameters
    ----------
    constituents, z_cut, beta, R0, symmetry, mu_cut, recursion, num_threads
        As for `soft_drop`; the clustering is Cambridge/Aachen.
    angular_cut
        The first declustering with Delta below ends the search; 0 for none.

    Returns
    -------
    ak.Array
        As for `recursive_soft_drop`; the softer branches of the splittings stay whole.

    Raises
    ------
    DataError, JetforgeError
        As for `recursive_soft_drop`.
    """
    condition = condition_of(z_cut, beta, R0, symmetry, mu_cut, recursion)
    limits = Recursion(NO_LIMIT, False, True, number("angular_cut", angular_cut, least=0))
    return recursed(flat_of(constituents), condition, limits, num_threads)


def soft_drop_multiplicity(
    constituents: Any,
    z_cut: float = 0.007,
    beta: float = -1.0,
    R0: float = 0.8,
    angular_cut: float = 0.0,
    *,
    num_threads: int | None = None,
) -> npt.NDArray[np.int64]:
    """Return the `multiplicity` of `iterated_soft_drop` alone: int64 of shape (n_jets,), 0 for an empty jet."""
    flat = flat_of(constituents)
    condition = condition_of(z_cut, beta, R0, "scalar_z", None, "larger_pt")
    limits = Recursion(NO_LIMIT, False, True, number("angular_cut", angular_cut, least=0))
    count = np.empty(len(flat.offsets) - 1, dtype=np.int64)
    groom_arrays(recursive_kernel, flat, condition, limits, count, num_threads=num_threads)
    return count


def soft_drop_angularities(groomed: ak.Array, alpha: float = 1.0, kappa: float = 1.0) -> npt.NDArray[np.float64]:
    """Return the sum of z^kappa Delta^alpha over the splittings of each jet.

    Frye, Larkoski, Thaler, Zhou, arXiv:1704.06266, section 2.3, with Delta as it is, not over R0. For alpha = kappa = 0
    this is the multiplicity.

    Parameters
    ----------
    groomed
        What `iterated_soft_drop` or `recursive_soft_drop` returned.
    alpha, kappa
        Exponents, 0 or above.

    Returns
    -------
    NDArray
        float64 of shape (n_jets,); 0 without a splitting.

    Raises
    ------
    JetforgeError
        If an exponent is out of range, or the jets carry no splittings.
    """
    alpha, kappa = number("alpha", alpha, least=0), number("kappa", kappa, least=0)
    if not isinstance(groomed, ak.Array) or "splittings" not in groomed.fields:
        raise JetforgeError(
            "these jets have no splittings; give what iterated_soft_drop or recursive_soft_drop returned"
        )
    terms = groomed.splittings.z**kappa * groomed.splittings.delta**alpha
    return np.asarray(ak.sum(terms, axis=-1), dtype=np.float64)
