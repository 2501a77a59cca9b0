"""N-subjettiness: how well the constituents of a jet lie along N axes.

tau_N = sum_i pT_i min_k (Delta_ik)^beta / (sum_i pT_i R0^beta), with Delta_ik the distance in rapidity and azimuth of
constituent i to axis k (Thaler, Van Tilburg, arXiv:1011.2268, arXiv:1108.2701). A jet of M prongs has a small
tau_M/tau_(M-1). Conventions are those of the package Nsubjettiness of fjcontrib.
"""

from collections.abc import Sequence
from math import inf
from typing import Any, TypedDict, Unpack

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import flag, known, number, whole_number, whole_numbers
from jetforge.physics.flat import flat_of
from jetforge.physics.parallel import for_all_jets
from jetforge.physics.prongs.given_axes import given_axes
from jetforge.physics.prongs.kernels import Choice, JetAxes, axes_kernel, tau_kernel
from jetforge.physics.prongs.minimised_axes import Rule
from jetforge.physics.prongs.seeds import Seeds, seeds_of

MEASURES = ("normalised", "unnormalised")
"""Names of the measures."""

_MOST_AXES = 100
_MOST_STEPS = 2**31
_LARGEST_BETA = 10.0
_LEAST_ACCURACY = 1e-10
_LEAST_R0 = 1e-10  # R0^beta stays finite

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


class NsubjettinessOptions(TypedDict, total=False):
    """Arguments by name of `nsubjettiness`, which says what they mean."""

    beta: float
    R0: float
    axes: Any
    axes_power: float | None
    axes_radius: float | None
    one_pass: bool
    accuracy: float
    max_steps: int
    measure: str
    R_cutoff: float | None
    num_threads: int | None


def _choice(
    axes: Any = "onepass_kt",
    beta: float = 1.0,
    R0: float = 0.8,
    axes_power: float | None = None,
    axes_radius: float | None = None,
    one_pass: bool = False,
    accuracy: float = 1e-4,
    max_steps: int = 1000,
    measure: str = "normalised",
    R_cutoff: float | None = None,
    num_threads: int | None = None,
) -> Choice:
    """Return the arguments by name, checked, as compiled code takes them; the number of threads is for the caller."""
    beta = number("beta", beta, above=0.0, most=_LARGEST_BETA)
    R0 = number("R0", R0, above=_LEAST_R0, most=1.0 / _LEAST_R0)
    known("measure", measure, MEASURES)
    cutoff = inf if R_cutoff is None else number("R_cutoff", R_cutoff, above=0.0)
    one_pass = flag("one_pass", one_pass)
    accuracy = number("accuracy", accuracy, least=_LEAST_ACCURACY, most=1.0)
    max_steps = whole_number("max_steps", max_steps, 1, _MOST_STEPS)
    if isinstance(axes, str):
        seeds, named_one_pass = seeds_of(axes, beta, axes_power, axes_radius)
    else:
        if axes_power is not None or axes_radius is not None:
            raise JetforgeError("axes are given: axes_power and axes_radius have no meaning; leave them out")
        seeds, named_one_pass = Seeds(0.0, inf, False, False), False
    normalised = measure == "normalised"
    rule = Rule(beta, cutoff, accuracy, max_steps)
    beam2 = inf if normalised else cutoff * cutoff
    return Choice(seeds, one_pass or named_one_pass, rule, normalised, R0**beta, beam2)


def nsubjettiness(
    constituents: Any,
    n: int | Sequence[int] = (1, 2, 3),
    *,
    beta: float = 1.0,
    R0: float = 0.8,
    axes: Any = "onepass_kt",
    axes_power: float | None = None,
    axes_radius: float | None = None,
    one_pass: bool = False,
    accuracy: float = 1e-4,
    max_steps: int = 1000,
    measure: str = "normalised",
    R_cutoff: float | None = None,
    num_threads: int | None = None,
) -> _Floats:
    """Return tau_N of every jet, for one or more numbers N of axes.

    tau_N = sum_i pT_i min_k (Delta_ik)^beta / (sum_i pT_i R0^beta) (arXiv:1108.2701, section 2).

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`; momenta in GeV.
    n
        Numbers of axes, each from 1 to 100. All are served by one clustering of the jet.
    beta
        Exponent of the distance, above 0 and at most 10.
    R0
        Distance in whose units the normalised measure counts: the radius of the jets.
    axes
        What the constituents of a jet are clustered with, until N pseudojets are left, whose directions are the axes:

        - ``"kt"``, ``"ca"`` (Cambridge/Aachen), ``"half_kt"`` (generalised kt with p = 1/2), ``"genkt"`` (`axes_power`,
          `axes_radius`), in the E scheme;
        - ``"wta_kt"``, ``"wta_ca"``, ``"wta_half_kt"``, ``"wta_genkt"``, the same in the winner-take-all scheme
          (arXiv:1310.7584, arXiv:1401.2158);
        - ``"antikt"``: the N hardest subjets of the anti-kt algorithm with `axes_radius`;
        - each of these with ``"onepass_"`` before it: moved to a minimum of tau_N near by (see Notes).

        Or the axes themselves: numbers of shape (n_jets, at least N, 2), rapidity and azimuth, or an awkward array of
        records with rapidity and phi, such as `nsubjettiness_axes` returns; tau_N takes the first N of them.
    axes_power
        p of genkt axes; by default 1/beta.
    axes_radius
        Radius of antikt axes, or of genkt axes, which by default have none; from 1e-6 to 1e6.
    one_pass
        Whether to move the axes to a minimum; this is for given axes, as names say it themselves.
    accuracy
        The minimisation ends when the axes move by this or less in the mean.
    max_steps
        The minimisation ends after as many steps at the latest, from 1 to 2^31.
    measure
        ``"normalised"``, or ``"unnormalised"``: without the denominator, in GeV.
    R_cutoff
        With the unnormalised measure, Delta_ik is at most this: what is farther from all axes counts for the beam. With
        either measure, constituents that are farther take no part in the minimisation.
    num_threads
        By default as many as the process may use; the result does not depend on it.

    Returns
    -------
    ndarray
        float64 (n_jets, len(n)), or (n_jets,) if n is one number. It is 0 for a jet of N or fewer constituents, or
        without transverse momentum. With given axes, it is 0 for a jet without axes, but not for one of few
        constituents. Infrared and collinear safe about kt, half-kt and winner-take-all kt axes and their minima; a soft
        constituent can take one of several ca or antikt axes.

    Raises
    ------
    DataError
        If the constituents are refused (see `jetforge.physics.flat.flatten`), or given axes are not such.
    JetforgeError
        If a name is not known, or a number makes no sense.

    Notes
    -----
    The minimisation is that of fjcontrib: each step moves every axis to the mean of the constituents that are nearest
    to it, with the weights pT (Delta^2 + accuracy^2)^(beta/2 - 1). It leads down to a minimum for 1 <= beta < 3
    (arXiv:1108.2701, section 3.1), which need not be the deepest.
    """
    numbers = whole_numbers("n", n, 1, _MOST_AXES)
    choice = _choice(axes, beta, R0, axes_power, axes_radius, one_pass, accuracy, max_steps, measure, R_cutoff)
    flat = flat_of(constituents)
    n_jets = len(flat.offsets) - 1
    given = None if isinstance(axes, str) else given_axes(axes, n_jets, int(numbers.max()))
    out = np.empty((n_jets, len(numbers)))
    for_all_jets(tau_kernel, n_jets, flat, numbers, choice, given, out, num_threads=num_threads)
    return out if np.ndim(n) else out[:, 0]


def nsubjettiness_ratio(
    constituents: Any, numerator: int = 2, denominator: int = 1, **options: Unpack[NsubjettinessOptions]
) -> _Floats:
    """Return tau_N/tau_M of every jet, such as tau_21 or tau_32.

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    numerator, denominator
        N and M, each from 1 to 100.
    **options
        As in `nsubjettiness`.

    Returns
    -------
    ndarray
        float64 (n_jets,); 0 where tau_M is 0. Sudakov safe, not infrared and collinear safe (arXiv:1307.1699).

    Raises
    ------
    DataError, JetforgeError
        As in `nsubjettiness`.
    """
    n, m = whole_number("numerator", numerator, 1, _MOST_AXES), whole_number("denominator", denominator, 1, _MOST_AXES)
    tau = nsubjettiness(constituents, (n, m), **options)
    ratio = np.zeros(len(tau))
    np.divide(tau[:, 0], tau[:, 1], out=ratio, where=tau[:, 1] > 0.0)
    return ratio


def nsubjettiness_axes(constituents: Any, n: int = 2, **options: Unpack[NsubjettinessOptions]) -> ak.Array:
    """Return the axes that tau_N is measured from, and the subjet of every constituent.

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    n
        Number of axes, from 1 to 100.
    **options
        As in `nsubjettiness`.

    Returns
    -------
    ak.Array
        One record a jet, with

        - axes: var * record with rapidity, phi in (-pi, pi], and tau, the share of the subjet in tau_N;
        - subjet: var * int, the number of the nearest axis of each constituent, or -1 if it counts for the beam.

        A jet of N or fewer constituents has an axis along each. Antikt axes may be fewer than N.

    Raises
    ------
    DataError, JetforgeError
        As in `nsubjettiness`.
    """
    number = whole_number("n", n, 1, _MOST_AXES)
    choice = _choice(**options)
    flat = flat_of(constituents)
    n_jets = len(flat.offsets) - 1
    axes = options.get("axes", "")
    given = None if isinstance(axes, str) else given_axes(axes, n_jets, number)
    found = JetAxes(np.zeros(n_jets, dtype=np.int64), np.empty((n_jets, number, 3)), np.empty(len(flat.px), np.int64))
    for_all_jets(axes_kernel, n_jets, flat, number, choice, given, found, num_threads=options.get("num_threads"))
    table = found.axes[np.arange(number) < found.counts[:, np.newaxis]]
    records = ak.zip({name: table[:, i] for i, name in enumerate(("rapidity", "phi", "tau"))})
    subjet = ak.unflatten(found.subjet, np.diff(flat.offsets))
    return ak.zip({"axes": ak.unflatten(records, found.counts), "subjet": subjet}, depth_limit=1)
