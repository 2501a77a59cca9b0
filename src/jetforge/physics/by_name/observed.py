"""Observables by name: a table of numbers for many jets, in one call.

A name is a quantity, then what it is made with: ``tau21_wta_beta2_softdrop`` is the ratio of tau_2 and tau_1 with
winner-take-all kt axes and beta = 2, of the jets after soft drop.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import number
from jetforge.physics.awkward_arrays import momentum_records
from jetforge.physics.by_name.table import TABLE, Groomer, Observable, ObservedJets, Request, Settings, groomed_jets
from jetforge.physics.flat import FlatJets, flat_of

AXES = {
    "onepass_kt": "onepass_kt",
    "wta_kt": "wta_kt",
    "wta_ca": "wta_ca",
    "onepass": "onepass_kt",
    "kt": "kt",
    "wta": "wta_kt",
    "ca": "ca",
}
"""Axes of N-subjettiness by their ending of a name; without one, one-pass minimisation from kt axes."""

GROOMERS = ("softdrop", "mmdt", "trimmed", "pruned", "filtered")
"""Endings of a name that groom the jets first."""

ALIASES = {"m": "mass", "zg": "z_g", "rg": "R_g", "split12": "sqrt_d12", "split23": "sqrt_d23", "split34": "sqrt_d34"}
"""Other names of some quantities."""

_BLOCK = 65_536  # groomed constituents are held for so many jets at once
_NUMBERED = {  # quantities with numbers in their names, and which numbers
    "tau": r"tau([1-8])",
    "tau_ratio": r"tau([1-8])([1-8])",
    "c": r"c([1-3])",
    "n": r"n([1-3])",
    "m": r"m([1-3])",
    "u": r"u([1-3])",
    "d": r"d(2)",
    "l": r"l([23])",
}
_ENTRIES = {"tau": "tauN", "tau_ratio": "tauNM", "c": "cN", "n": "nN", "m": "mN", "u": "uN", "d": "d2", "l": "l{}"}
_EXAMPLES = (
    *("tau1", "tau2", "tau3", "tau21", "tau32", "tau21_wta", "tau32_wta"),
    *("c2", "n2", "n3", "m2", "u1", "c2_beta2", "d2_beta2", "n2_beta2"),
)
_GROOMED = ("mass_softdrop", "m_softdrop", "pt_softdrop", "multiplicity_softdrop", "tau21_softdrop", "n2_softdrop")
_OBSERVABLES = {observable.name: observable for observable in TABLE}


def list_observables() -> tuple[Observable, ...]:
    """Return all quantities that `observables` knows, with formula, source and safety."""
    return TABLE


def _quantity(name: str, asked: str) -> tuple[str, tuple[int, ...], Observable]:
    """Return kind, numbers and table entry of a name without endings."""
    plain = ALIASES.get(name, name)
    for kind, pattern in _NUMBERED.items():
        match = re.fullmatch(pattern, plain)
        if match:
            numbers = tuple(int(number) for number in match.groups())
            return kind, numbers, _OBSERVABLES[_ENTRIES[kind].format(*numbers)]
    if plain in _OBSERVABLES and plain not in _ENTRIES.values():
        return plain, (), _OBSERVABLES[plain]
    known = [*(key for key in _OBSERVABLES if not key.endswith(("N", "NM"))), *ALIASES, *_EXAMPLES]
    spelt = {_letters(name): name for name in (*known, *_GROOMED)}
    near = get_close_matches(_letters(asked), spelt, n=1)
    hint = f"did you mean {spelt[near[0]]}? " if near else ""
    raise JetforgeError(f"observable '{asked}' is not known; {hint}jetforge.physics.list_observables() gives all")


def _letters(name: str) -> str:
    """Return a name as it is compared with those that may have been meant."""
    return name.lower().replace("_", "")


def parse(name: str, groomers: Sequence[str] = GROOMERS) -> tuple[Request, Observable]:
    """Take the name of an observable apart: quantity, axes, beta and groomer, in this order.

    Raises
    ------
    JetforgeError
        If the quantity is not known, or does not take one of the endings.
    """
    if not isinstance(name, str):
        raise JetforgeError(f"observables are given by name, not {name!r}")
    rest = name
    groomer = next((g for g in groomers if rest.endswith(f"_{g}")), "")
    rest = rest.removesuffix(f"_{groomer}") if groomer else rest
    exponent = re.search(r"_beta(\d+(?:\.\d+)?)$", rest)
    rest = rest[: exponent.start()] if exponent else rest
    axes = next((a for a in AXES if rest.endswith(f"_{a}")), "")
    rest = rest.removesuffix(f"_{axes}") if axes else rest
    kind, numbers, observable = _quantity(rest, name)
    for ending, given in (("axes", axes), ("beta", exponent)):
        if given and ending not in observable.endings:
            raise JetforgeError(f"observable '{name}': {observable.name} has no {ending}")
    beta = float(exponent.group(1)) if exponent else 1.0
    return Request(kind, numbers, AXES[axes or "onepass"], beta, groomer), observable


def observables(
    constituents: Any,
    names: Sequence[str],
    *,
    R0: float = 0.8,
    z_cut: float = 0.1,
    beta: float = 0.0,
    groomers: Mapping[str, Groomer] | None = None,
    num_threads: int | None = None,
) -> Any:
    """Return observables of every jet by their names.

    Parameters
    ----------
    constituents
        Jets: an awkward array of constituents, a `jetforge.Jets` or a `FlatJets`; momenta in GeV. Observables of charge
        need a field ``charge``, which the last has not.
    names
        Quantities of `list_observables`, with numbers for N and M, and with endings in this order: axes of
        N-subjettiness (``_onepass_kt``, the default, ``_kt``, ``_wta_kt`` or ``_wta``, ``_ca``, ``_wta_ca``), an
        exponent (``_beta2``; 1 by default), and a groomer (``_softdrop``, ``_mmdt``, ``_trimmed``, ``_pruned``,
        ``_filtered`` or one of `groomers`). Examples: ``mass_softdrop``, ``tau21_wta``, ``d2_beta2``, ``z_g``.
    R0
        Radius of the jets, in whose units angularities, N-subjettiness and soft drop count distances.
    z_cut, beta
        Of soft drop; z_cut also of mMDT, which leaves nothing of a jet in which no splitting passes, where soft drop
        leaves its hardest constituent.
    groomers
        Further groomers by their ending: functions of the constituents, such as
        ``{"tight": lambda jets: jetforge.physics.soft_drop(jets, z_cut=0.2)}``.
    num_threads
        By default as many as the process may use; the result does not depend on it.

    Returns
    -------
    numpy.recarray
        Shape (n_jets,), one field a name, float64, or int64 for counts. An observable that is not defined for a jet (of
        too few constituents, or with a denominator of 0) is 0 there.

    Raises
    ------
    DataError
        If the constituents are not four-momenta (see `jetforge.physics.flat.flatten`), or lack a field.
    JetforgeError
        If a name is not known or given twice, or a number makes no sense.

    Notes
    -----
    What several observables need is made once: all tau_N with the same axes come from one clustering of the jet, all
    energy correlators from one pass over its pairs and triples.
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        example = names if isinstance(names, str) else "mass"
        raise JetforgeError(f"names is {names!r}; it must be a list of names, such as ['{example}']")
    custom = {} if groomers is None else groomers
    if not isinstance(custom, Mapping) or not all(isinstance(g, str) and callable(f) for g, f in custom.items()):
        raise JetforgeError("groomers must be a mapping of endings to functions, such as {'tight': my_groomer}")
    R0 = number("R0", R0, above=0)
    known = (*custom, *GROOMERS)
    parsed = [parse(name, known) for name in names]
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise JetforgeError(f"observable '{twice[0]}' is given twice")
    z_cut, beta = number("z_cut", z_cut, least=0, most=1), number("beta", beta)
    settings = Settings(R0, z_cut, beta, custom, num_threads)
    flat = flat_of(constituents)
    columns: dict[str, npt.NDArray[Any]] = {}
    for groomer in dict.fromkeys(request.groomer for request, _ in parsed):
        chosen = [(name, *both) for name, both in zip(names, parsed, strict=True) if both[0].groomer == groomer]
        columns |= (
            _ungroomed(constituents, flat, chosen, settings)
            if not groomer
            else _after(groomer, constituents, flat, chosen, settings)
        )
    n_jets = len(flat.offsets) - 1
    table = np.empty(n_jets, dtype=[(name, columns[name].dtype) for name in names])
    for name in names:
        table[name] = columns.pop(name)
    return table.view(np.recarray)


_Chosen = Sequence[tuple[str, Request, Observable]]


def _computed(jets: ObservedJets, chosen: _Chosen) -> dict[str, npt.NDArray[Any]]:
    return {name: np.asarray(observable.compute(jets, request)) for name, request, observable in chosen}


def _ungroomed(constituents: Any, flat: FlatJets, chosen: _Chosen, settings: Settings) -> dict[str, npt.NDArray[Any]]:
    return _computed(ObservedJets(constituents, flat, None, settings, [request for _, request, _ in chosen]), chosen)


def _after(
    groomer: str, constituents: Any, flat: FlatJets, chosen: _Chosen, settings: Settings
) -> dict[str, npt.NDArray[Any]]:
    """Compute observables of groomed jets, some jets at a time."""
    jets = _as_awkward(constituents, flat)
    blocks = []
    for start in range(0, max(len(jets), 1), _BLOCK):
        block = jets[start : start + _BLOCK]
        groomed = groomed_jets(groomer, block, settings)
        if not isinstance(groomed, ak.Array) or "indices" not in groomed.fields or len(groomed) != len(block):
            raise JetforgeError(f"groomer '{groomer}' must give one record a jet with a field indices")
        try:
            kept = block[groomed.indices]
        except (IndexError, TypeError, ValueError) as error:
            raise JetforgeError(f"groomer '{groomer}': its indices do not choose constituents of the jets") from error
        requests = [request for _, request, _ in chosen]
        blocks.append(_computed(ObservedJets(kept, flat_of(kept), groomed, settings, requests), chosen))
    return {name: np.concatenate([block[name] for block in blocks]) for name, _, _ in chosen}


def _as_awkward(constituents: Any, flat: FlatJets) -> ak.Array:
    """Return constituents as an awkward array, with all the fields that they have."""
    if isinstance(constituents, ak.Array) and constituents.fields:
        return constituents
    if isinstance(constituents, FlatJets | ak.Array):  # an array of unknown type has no jets
        offsets = ak.index.Index64(flat.offsets)
        return ak.Array(ak.contents.ListOffsetArray(offsets, momentum_records(*flat[1:]).layout))
    array: ak.Array = constituents.constituents
    return array
