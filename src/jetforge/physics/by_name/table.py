"""What each name of an observable stands for, and what observables of the same jets share."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError
from jetforge.physics import grooming
from jetforge.physics.clustering import splitting_scales
from jetforge.physics.correlators.ecf import energy_correlator, energy_correlators
from jetforge.physics.correlators.ratios import SERIES
from jetforge.physics.flat import FlatJets
from jetforge.physics.prongs.tau import nsubjettiness
from jetforge.physics.shapes import angular, contents, event, jet

Groomer = Callable[[ak.Array], ak.Array]
"""From constituents to groomed jets with a field `indices`, as the functions of `jetforge.physics.grooming`."""

_Values = npt.NDArray[Any]


class Settings(NamedTuple):
    """What all observables of one call share."""

    R0: float
    z_cut: float
    beta: float
    groomers: Mapping[str, Groomer]
    num_threads: int | None


class Request(NamedTuple):
    """A name, taken apart."""

    quantity: str
    numbers: tuple[int, ...]
    axes: str
    beta: float
    groomer: str


class Observable(NamedTuple):
    """What a name stands for.

    Attributes
    ----------
    name : str
        Without endings; N and M stand for numbers from 1 to 8.
    formula : str
        What it is, in one line.
    source : str
        Paper or definition.
    safe : str
        Whether it is infrared and collinear safe: ``"yes"``, ``"no"``, or ``"ratio"``, a ratio of safe quantities,
        which is safe where a cut keeps its denominator from 0 (else Sudakov safe; arXiv:1307.1699).
    endings : tuple of str
        Which of ``axes`` and ``beta`` it takes; a groomer every one takes.
    compute : callable
        From the jets and the request to one number a jet.
    """

    name: str
    formula: str
    source: str
    safe: str
    endings: tuple[str, ...]
    compute: Callable[["ObservedJets", Request], _Values]


class ObservedJets:
    """The jets of one call after one groomer, with what several observables share, each made once."""

    def __init__(
        self, constituents: Any, flat: FlatJets, groomed: ak.Array | None, settings: Settings, requests: list[Request]
    ) -> None:
        self.constituents = constituents
        self.flat = flat
        self.groomed = groomed
        self.settings = settings
        self.requests = requests
        self._tau: dict[tuple[str, float], dict[int, _Values]] = {}

    def tau(self, number: int, request: Request) -> _Values:
        """Return tau_N; all N that are asked for with the same axes come from one clustering."""
        key = (request.axes, request.beta)
        if key not in self._tau:
            alike = [r for r in self.requests if (r.axes, r.beta) == key and r.quantity.startswith("tau")]
            numbers = sorted({n for r in alike for n in r.numbers})
            values = nsubjettiness(
                self.flat,
                numbers,
                beta=request.beta,
                R0=self.settings.R0,
                axes=request.axes,
                num_threads=self.settings.num_threads,
            )
            self._tau[key] = dict(zip(numbers, values.T, strict=True))
        found: _Values = self._tau[key][number]
        return found

    def ratio(self, request: Request) -> _Values:
        """Return a ratio of energy correlators; all correlators that are asked for come from one pass."""
        terms, combine = SERIES[request.quantity](request.numbers[0], request.beta)
        values: _Values = combine(np.stack([self._correlators[term] for term in terms], axis=1))
        return values

    @cached_property
    def _correlators(self) -> dict[Any, _Values]:
        wanted = [r for r in self.requests if r.quantity in SERIES]
        terms = sorted(
            {term for r in wanted for term in SERIES[r.quantity](r.numbers[0], r.beta)[0]},
            key=lambda term: (len(term), term),
        )
        values = energy_correlators(self.flat, terms, num_threads=self.settings.num_threads)
        return dict(zip(terms, values.T, strict=True))

    @cached_property
    def kinematics(self) -> angular.JetKinematics:
        """Momenta of the jets."""
        return angular.jet_kinematics(self.flat, num_threads=self.settings.num_threads)

    @cached_property
    def splittings(self) -> splitting_scales.KtSplittings:
        """What the last steps of the kt clustering show."""
        return splitting_scales.kt_splittings(self.flat, num_threads=self.settings.num_threads)

    @cached_property
    def thrust(self) -> event.ThrustShapes:
        """Thrust and what is measured against its axis, in the rest frame."""
        return event.thrust_shapes(self.flat, num_threads=self.settings.num_threads)

    def record(self, field: str) -> _Values:
        """Return a field of the groomed jets, those of soft drop where no groomer is named."""
        if self.groomed is None:
            return np.asarray(getattr(self._soft_dropped, field.lower()))
        if field not in self.groomed.fields:
            raise JetforgeError(f"observable '{field}': this groomer finds no splitting; use softdrop, mmdt or pruned")
        values: _Values = ak.to_numpy(self.groomed[field])
        return values

    @cached_property
    def _soft_dropped(self) -> grooming.GroomedArrays:
        s = self.settings
        return grooming.soft_drop_arrays(self.flat, s.z_cut, s.beta, s.R0, num_threads=s.num_threads)


def groomed_jets(name: str, constituents: Any, settings: Settings) -> ak.Array:
    """Return jets after the groomer of a name."""
    z_cut, beta, R0, num_threads = settings.z_cut, settings.beta, settings.R0, settings.num_threads
    if name in settings.groomers:
        return settings.groomers[name](constituents)
    if name == "softdrop":
        return grooming.soft_drop(constituents, z_cut, beta, R0, num_threads=num_threads)
    if name == "mmdt":
        return grooming.modified_mass_drop(constituents, z_cut, num_threads=num_threads)
    if name == "trimmed":
        return grooming.trimming(constituents, num_threads=num_threads)
    if name == "pruned":
        return grooming.pruning(constituents, num_threads=num_threads)
    return grooming.filtering(constituents, num_threads=num_threads)


def _tau(jets: ObservedJets, request: Request) -> _Values:
    return jets.tau(request.numbers[0], request)


def _ratio_of_tau(jets: ObservedJets, request: Request) -> _Values:
    above, below = (jets.tau(n, request) for n in request.numbers)
    ratio = np.zeros(len(above))
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio


def _ecf(n: int) -> Callable[[ObservedJets, Request], _Values]:
    return lambda jets, request: energy_correlator(
        jets.flat, n, request.beta, normalised=False, num_threads=jets.settings.num_threads
    )


def _plain(function: Callable[..., _Values]) -> Callable[[ObservedJets, Request], _Values]:
    """Return the observable that a function of the momenta alone gives."""
    return lambda jets, request: function(jets.flat, num_threads=jets.settings.num_threads)


def _fields(function: Callable[..., _Values]) -> Callable[[ObservedJets, Request], _Values]:
    """Return the observable that a function of the constituents' charges or particle numbers gives."""
    return lambda jets, request: function(jets.constituents, num_threads=jets.settings.num_threads)


def _least_number(fraction: float) -> Callable[[ObservedJets, Request], _Values]:
    return lambda jets, _: contents.count_for_fraction(jets.flat, fraction, num_threads=jets.settings.num_threads)


def _leading_fraction(jets: ObservedJets, request: Request) -> _Values:
    values: _Values = contents.leading_fractions(jets.flat, 1, num_threads=jets.settings.num_threads)[:, 0]
    return values


def _angularity(beta: float) -> Callable[[ObservedJets, Request], _Values]:
    return lambda jets, _: angular.angularity(
        jets.flat, 1.0, beta, R0=jets.settings.R0, num_threads=jets.settings.num_threads
    )


def _kinematic(field: str) -> Callable[[ObservedJets, Request], _Values]:
    return lambda jets, _: np.asarray(getattr(jets.kinematics, field))


def _split(i: int) -> Callable[[ObservedJets, Request], _Values]:
    return lambda jets, _: jets.splittings.sqrt_d[:, i]


def _thrust(field: str) -> Callable[[ObservedJets, Request], _Values]:
    return lambda jets, _: np.asarray(getattr(jets.thrust, field))


def _groomed_field(field: str) -> Callable[[ObservedJets, Request], _Values]:
    return lambda jets, _: jets.record(field)


def _soft_drop_multiplicity(jets: ObservedJets, request: Request) -> _Values:
    return grooming.soft_drop_multiplicity(jets.flat, R0=jets.settings.R0, num_threads=jets.settings.num_threads)


_TAU, _BETA, _NONE = ("axes", "beta"), ("beta",), ()
_LAMBDA = "sum z_i^{} (Delta_i/R0)^{} about the jet's axis"


def _row(
    name: str,
    formula: str,
    source: str,
    compute: Callable[[ObservedJets, Request], _Values],
    *,
    safe: str = "yes",
    endings: tuple[str, ...] = _NONE,
) -> Observable:
    return Observable(name, formula, source, safe, endings, compute)


TABLE = (
    _row("pt", "pT of the jet, GeV", "sum of constituents", _kinematic("pt")),
    _row("mass", "mass of the jet, GeV", "sum of constituents", _kinematic("mass")),
    _row("energy", "energy of the jet, GeV", "sum of constituents", _kinematic("energy")),
    _row("rapidity", "rapidity of the jet", "sum of constituents", _kinematic("rapidity")),
    _row("eta", "pseudorapidity of the jet", "sum of constituents", _kinematic("eta")),
    _row("phi", "azimuth of the jet, in (-pi, pi]", "sum of constituents", _kinematic("phi")),
    _row("multiplicity", "number of constituents", "arXiv:1106.3076", _plain(contents.multiplicity), safe="no"),
    _row("ptd", "sqrt(sum pT_i^2) / sum pT_i", "CMS-PAS-JME-13-002", _plain(angular.ptd), safe="no"),
    _row("n90", "least number with 90 % of the pT", "Phys. Rev. D 44 (1991) 2025", _least_number(0.90), safe="no"),
    _row("n95", "least number with 95 % of the pT", "Phys. Rev. D 44 (1991) 2025", _least_number(0.95), safe="no"),
    _row("leading_fraction", "largest pT_i / sum pT_i", "–", _leading_fraction, safe="no"),
    _row(
        "jet_charge",
        "sum q_i (pT_i/pT)^0.5; needs charges",
        "arXiv:1209.2421",
        _fields(contents.jet_charge),
        safe="no",
    ),
    _row(
        "charged_multiplicity",
        "number of charged constituents",
        "arXiv:1106.3076",
        _fields(contents.charged_multiplicity),
        safe="no",
    ),
    _row("charged_fraction", "sum of the charged pT_i / sum pT_i", "–", _fields(contents.charged_fraction), safe="no"),
    _row(
        "photon_fraction",
        "sum of the photons' pT_i / sum pT_i; needs pid",
        "–",
        _fields(contents.photon_fraction),
        safe="no",
    ),
    _row("lha", _LAMBDA.format(1, 0.5), "arXiv:1605.04692", _angularity(0.5)),
    _row("width", _LAMBDA.format(1, 1), "arXiv:1106.3076", _angularity(1.0)),
    _row("thrust_angularity", _LAMBDA.format(1, 2), "arXiv:1408.3122", _angularity(2.0)),
    _row(
        "tauN",
        "sum pT_i min_k Delta_ik^beta / (sum pT_i R0^beta), k = 1 ... N; safe with kt axes",
        "arXiv:1108.2701",
        _tau,
        endings=_TAU,
    ),
    _row("tauNM", "tauN / tauM", "arXiv:1011.2268", _ratio_of_tau, safe="ratio", endings=_TAU),
    _row("ecf2", "sum_(i<j) pT_i pT_j Delta_ij^beta, GeV^2", "arXiv:1305.0007", _ecf(2), endings=_BETA),
    _row(
        "ecf3",
        "sum_(i<j<k) pT_i pT_j pT_k (Delta_ij Delta_ik Delta_jk)^beta, GeV^3",
        "arXiv:1305.0007",
        _ecf(3),
        endings=_BETA,
    ),
    _row("cN", "e_(N+1) e_(N-1) / e_N^2", "arXiv:1305.0007", ObservedJets.ratio, endings=_BETA, safe="ratio"),
    _row("d2", "e_3 / e_2^3", "arXiv:1409.6298", ObservedJets.ratio, endings=_BETA, safe="ratio"),
    _row("nN", "₂e_(N+1) / (₁e_N)^2", "arXiv:1609.07483", ObservedJets.ratio, endings=_BETA, safe="ratio"),
    _row("mN", "₁e_(N+1) / ₁e_N", "arXiv:1609.07483", ObservedJets.ratio, endings=_BETA, safe="ratio"),
    _row("uN", "₁e_(N+1)", "arXiv:1609.07483", ObservedJets.ratio, endings=_BETA),
    _row(
        "l2",
        "₃e_3 / (₁e_2 with 2 beta)^(3/2)",
        "ATL-PHYS-PUB-2022-039",
        ObservedJets.ratio,
        endings=_BETA,
        safe="ratio",
    ),
    _row("l3", "₁e_3 / (₃e_3)^(1/3)", "ATL-PHYS-PUB-2022-039", ObservedJets.ratio, endings=_BETA, safe="ratio"),
    _row("sqrt_d12", "min(pT_1, pT_2) Delta_12 of the last kt merge, GeV", "hep-ph/0201098", _split(0)),
    _row("sqrt_d23", "the same of the last but one, GeV", "hep-ph/0201098", _split(1)),
    _row("sqrt_d34", "the same of the last but two, GeV", "hep-ph/0201098", _split(2)),
    _row("z12", "d_12 / (d_12 + m^2)", "arXiv:0806.0023", lambda jets, _: jets.splittings.z_cut[:, 0], safe="ratio"),
    _row(
        "kt_delta_r",
        "Delta of two kt subjets",
        "arXiv:1808.07858",
        lambda jets, _: jets.splittings.delta_r,
        safe="ratio",
    ),
    _row(
        "kt_mass_drop",
        "larger mass of two kt subjets / mass",
        "arXiv:0802.2470",
        lambda jets, _: jets.splittings.mass_drop,
        safe="ratio",
    ),
    _row("qw", "least mass of two of three kt subjets, GeV", "arXiv:0806.0023", lambda jets, _: jets.splittings.q_w),
    _row(
        "thrust",
        "max_n sum |p_i n| / sum |p_i|, rest frame",
        "Phys. Rev. Lett. 39 (1977) 1587",
        _thrust("thrust"),
        safe="ratio",
    ),
    _row(
        "thrust_major",
        "the same across the thrust axis",
        "Phys. Rev. Lett. 43 (1979) 830",
        _thrust("major"),
        safe="ratio",
    ),
    _row(
        "thrust_minor",
        "the same along the third axis",
        "Phys. Rev. Lett. 43 (1979) 830",
        _thrust("minor"),
        safe="ratio",
    ),
    _row(
        "broadening",
        "sum |p_i x n_T| / (2 sum |p_i|), rest frame",
        "Phys. Lett. B 295 (1992) 269",
        _thrust("broadening"),
        safe="ratio",
    ),
    _row(
        "sphericity",
        "3/2 (l_2 + l_3) of the momentum tensor, rest frame",
        "Phys. Rev. D 1 (1970) 1416",
        _plain(event.sphericity),
        safe="no",
    ),
    _row(
        "aplanarity",
        "3/2 l_3 of the momentum tensor, rest frame",
        "Phys. Rev. D 1 (1970) 1416",
        _plain(event.aplanarity),
        safe="no",
    ),
    _row(
        "planar_flow",
        "4 det I / (tr I)^2 of the transverse momenta",
        "arXiv:0807.0234",
        _plain(jet.planar_flow),
        safe="ratio",
    ),
    _row(
        "eccentricity",
        "1 - v_min/v_max of the pT-weighted spread",
        "arXiv:1206.5369",
        _plain(jet.eccentricity),
        safe="ratio",
    ),
    _row("pull", "length of the pull vector", "arXiv:1001.5027", _plain(jet.pull_magnitude)),
    _row("pull_angle", "direction of the pull vector", "arXiv:1001.5027", _plain(jet.pull_angle), safe="no"),
    _row(
        "z_g",
        "min(pT_1, pT_2)/(pT_1 + pT_2) of the groomed jet's prongs",
        "arXiv:1402.2657",
        _groomed_field("z_g"),
        safe="no",
    ),
    _row("R_g", "Delta_12 of the groomed jet's prongs", "arXiv:1402.2657", _groomed_field("R_g")),
    _row(
        "soft_drop_multiplicity",
        "number of splittings with z > 0.007 R0/Delta",
        "arXiv:1704.06266",
        _soft_drop_multiplicity,
    ),
)
