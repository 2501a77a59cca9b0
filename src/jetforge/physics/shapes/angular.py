"""Momenta of jets and generalised angularities: sums over constituents of powers of pT and distance from the axis.

Larkoski, Thaler, Waalewijn, arXiv:1408.3122, and for single angularities arXiv:1106.3076 (girth), arXiv:1605.04692
(Les Houches) and CMS-PAS-JME-13-002 (pTD).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import flag, number
from jetforge.physics.awkward_arrays import momentum_records
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.parallel import for_all_jets
from jetforge.physics.shapes import sums as kernels

_LARGEST_BETA = 10.0

_Floats = npt.NDArray[np.float64]


class JetKinematics(NamedTuple):
    """Momenta of jets in the coordinates of a collider; each float64 (n_jets,), in GeV."""

    pt: _Floats
    rapidity: _Floats
    phi: _Floats
    eta: _Floats
    mass: _Floats
    energy: _Floats


def summed_momenta(flat: FlatJets, num_threads: int | None) -> _Floats:
    """Return px, py, pz and energy of each jet, a row each."""
    n_jets = len(flat.offsets) - 1
    out = np.empty((4, n_jets))
    for_all_jets(kernels.momentum_kernel, n_jets, flat, out, num_threads=num_threads)
    return out


def four_momentum(constituents: Any, *, num_threads: int | None = None) -> ak.Array:
    """Return the momentum of each jet, the sum of those of its constituents (E scheme).

    Parameters
    ----------
    constituents
        Jets: an awkward array n_jets * var * momentum in GeV (see `jetforge.physics.flat.flatten`), a
        `jetforge.Jets` or a `FlatJets`.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    ak.Array
        n_jets * Momentum4D with px, py, pz, energy in GeV and the behaviour of `vector`; zero for an empty jet.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If num_threads is below 1.
    """
    return momentum_records(*summed_momenta(flat_of(constituents), num_threads))


def jet_kinematics(constituents: Any, *, num_threads: int | None = None) -> JetKinematics:
    """Return pT, rapidity, azimuth, pseudorapidity, mass and energy of each jet, those of its `four_momentum`.

    Parameters
    ----------
    constituents, num_threads
        As in `four_momentum`.

    Returns
    -------
    JetKinematics
        Always finite. The azimuth is in (-pi, pi]. A mass that rounding makes imaginary is 0. Along the beam
        rapidity and pseudorapidity are +-(1e5 + |pz/GeV|), as FastJet's rapidity. An empty jet has zeros.

    Raises
    ------
    DataError, JetforgeError
        As in `four_momentum`.
    """
    momenta = summed_momenta(flat_of(constituents), num_threads)
    out = np.empty((len(JetKinematics._fields), momenta.shape[1]))
    for_all_jets(kernels.kinematics_kernel, momenta.shape[1], momenta, out, num_threads=num_threads)
    return JetKinematics(*out)


def _checked_exponents(exponents: Iterable[Any]) -> tuple[_Floats, _Floats]:
    try:
        pairs = list(exponents)
    except TypeError:
        raise JetforgeError(f"exponents is {exponents!r}; it must be pairs (kappa, beta), such as [(1, 2)]") from None
    kappas, betas = np.empty(len(pairs)), np.empty(len(pairs))
    for i, pair in enumerate(pairs):
        try:
            kappa, beta = [] if isinstance(pair, str | bytes) else list(pair)
        except (TypeError, ValueError):
            raise JetforgeError(f"an angularity is given as (kappa, beta), not {pair!r}") from None
        kappas[i] = number("kappa", kappa, least=0)
        betas[i] = number("beta", beta, least=0, most=_LARGEST_BETA)
    return kappas, betas


def angularities(
    constituents: Any,
    exponents: Iterable[Any],
    *,
    R0: float = 0.8,
    wta: bool = False,
    num_threads: int | None = None,
) -> _Floats:
    """Return several generalised angularities of each jet about the same axis, in one pass.

    Parameters
    ----------
    constituents
        Jets: an awkward array n_jets * var * momentum in GeV (see `jetforge.physics.flat.flatten`), a
        `jetforge.Jets` or a `FlatJets`.
    exponents
        (kappa, beta) of each.
    R0, wta, num_threads
        As in `angularity`.

    Returns
    -------
    ndarray
        float64 (n_jets, number of exponents).

    Raises
    ------
    DataError, JetforgeError
        As in `angularity`.
    """
    flat = flat_of(constituents)
    kappas, betas = _checked_exponents(exponents)
    R0, wta = number("R0", R0, above=0), flag("wta", wta)
    with np.errstate(over="ignore", under="ignore"):
        scale = np.minimum(np.float64(R0) ** -betas, kernels.LARGEST)
    n_jets = len(flat.offsets) - 1
    winners = np.empty(n_jets if wta else 0, dtype=np.int64)
    out = np.empty((n_jets, len(kappas)))
    if wta:
        for_all_jets(kernels.winner_kernel, n_jets, flat, winners, num_threads=num_threads)
    for_all_jets(kernels.angularity_kernel, n_jets, flat, winners, kappas, betas, scale, out, num_threads=num_threads)
    return out


def angularity(
    constituents: Any,
    kappa: float = 1.0,
    beta: float = 1.0,
    *,
    R0: float = 0.8,
    wta: bool = False,
    num_threads: int | None = None,
) -> _Floats:
    """Return the generalised angularity of each jet: sum of z_i^kappa (Delta_i/R0)^beta over its constituents.

    z_i = pT_i/sum_j pT_j, and Delta_i = sqrt(dy^2 + dphi^2) is the distance from the jet axis: lambda^kappa_beta of
    arXiv:1408.3122, infrared and collinear safe for kappa = 1 and beta > 0.

    Parameters
    ----------
    constituents
        Jets: an awkward array n_jets * var * momentum in GeV (see `jetforge.physics.flat.flatten`), a
        `jetforge.Jets` or a `FlatJets`.
    kappa
        Exponent of the fractions of pT, 0 or more.
    beta
        Exponent of the distances, 0 to 10. With 0, distances do not count, not even that of a constituent on the
        axis.
    R0
        Radius in units of which distances are measured, such as that of the jets; with 1 they are in radians.
    wta
        The axis: that of the jet's momentum, or if true the winner-take-all axis, along the constituent that wins
        all steps of a clustering with Cambridge/Aachen, infinite radius and the winner-take-all scheme by pT. It
        does not recoil from soft radiation, as suits beta <= 1.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    ndarray
        float64 (n_jets,). Constituents without transverse momentum do not count, and distances below 1e-14 are 0,
        as is that of the winner. The angularity is 0 for an empty jet, and where
        beta > 0 for a jet without transverse momentum. What is above the largest float64 is given as that.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If kappa, beta, R0 or the number of threads is out of its range, or `wta` is neither True nor False.
    """
    both = angularities(constituents, [(kappa, beta)], R0=R0, wta=wta, num_threads=num_threads)
    return np.ascontiguousarray(both[:, 0])


def lha(constituents: Any, *, R0: float = 0.8, wta: bool = False, num_threads: int | None = None) -> _Floats:
    """Return the Les Houches angularity of each jet: `angularity` with kappa 1, beta 1/2 (arXiv:1605.04692)."""
    return angularity(constituents, 1.0, 0.5, R0=R0, wta=wta, num_threads=num_threads)


def width(constituents: Any, *, R0: float = 0.8, wta: bool = False, num_threads: int | None = None) -> _Floats:
    """Return the width of each jet, also broadening or girth: `angularity` with kappa 1, beta 1.

    The girth of arXiv:1106.3076 divides by the pT of the jet in place of the sum of the pT of its constituents.
    """
    return angularity(constituents, 1.0, 1.0, R0=R0, wta=wta, num_threads=num_threads)


def thrust_angularity(
    constituents: Any, *, R0: float = 0.8, wta: bool = False, num_threads: int | None = None
) -> _Floats:
    """Return the mass-like angularity of each jet: `angularity` with kappa 1, beta 2.

    For a narrow jet it is about m^2/pT^2. Papers call it thrust (arXiv:1408.3122); it is not the thrust of the momenta
    over all directions, which is `jetforge.physics.thrust`.
    """
    return angularity(constituents, 1.0, 2.0, R0=R0, wta=wta, num_threads=num_threads)


def ptd(constituents: Any, *, num_threads: int | None = None) -> _Floats:
    """Return pTD = sqrt(sum pT_i^2)/sum pT_i of each jet: 1 for one constituent, 1/sqrt(n) for n equal ones.

    The square root of `angularity` with kappa 2, beta 0, as CMS has it (CMS-PAS-JME-13-002). Not collinear safe.
    Parameters, shape and errors as there.
    """
    return np.sqrt(angularity(constituents, 2.0, 0.0, num_threads=num_threads))
