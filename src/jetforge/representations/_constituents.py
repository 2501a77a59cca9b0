"""What networks read of each constituent, by name; constituents are put in order of pT, hardest first."""

from collections.abc import Iterable
from difflib import get_close_matches
from math import log as _log
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit
from numpy.typing import NDArray

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.constituent_fields import charges_of, numbers_of, particle_numbers_of
from jetforge.physics.elementary import atan2, log
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.images.alignment import align, hardest_first
from jetforge.physics.kinematics import pseudorapidity, wrapped
from jetforge.physics.parallel import for_all_jets

if TYPE_CHECKING:
    from jetforge.jets import Jets

KINEMATIC_FEATURES = (
    "deta", "dphi", "log_pt", "log_energy", "log_pt_rel", "log_energy_rel", "delta_r", "pt_rel", "energy_rel",
    "aligned_eta", "aligned_phi", "log_pt_1", "eta", "phi", "pt", "energy",
)  # fmt: skip
"""Features that follow from the momenta alone.

``deta``, ``dphi``: from the axis of the jet, deta being counted positive away from the beam's middle as in the
published data sets of ParticleNet and ParT (arXiv:1902.08570, arXiv:2202.03772); ``delta_r`` their length;
``log_pt``, ``log_energy``: ln(pT/GeV), ln(E/GeV); ``log_pt_rel``, ``log_energy_rel``: of the fraction of the jet's
pT or energy; ``pt_rel``, ``energy_rel``: these fractions; ``aligned_eta``, ``aligned_phi``: after moving, turning and
reflecting the jet as in ATL-PHYS-PUB-2022-039; ``log_pt_1``: ln(1 + pT/GeV); ``eta``, ``phi``, ``pt``, ``energy``.
The jet is the sum of all its constituents, also of those that are not kept.
"""

FLAVOUR_FEATURES = (
    "charge", "is_electron", "is_muon", "is_photon", "is_charged_hadron", "is_neutral_hadron",
)  # fmt: skip
"""Features that need the charge or the particle number of the constituents (arXiv:2202.03772, table 2)."""

SPECIES = {
    "is_electron": 11, "is_muon": 13, "is_photon": 22, "is_kaon_long": 130, "is_pion": 211, "is_kaon": 321,
    "is_neutron": 2112, "is_proton": 2212,
}  # fmt: skip
"""Features that say which particle a constituent is: the number without its sign, as in arXiv:2201.08187."""

TRACK_FEATURES = ("tanh_d0", "d0_error", "tanh_dz", "dz_error")
"""Features that need the impact parameters ``d0``, ``d0_error``, ``dz``, ``dz_error`` (arXiv:2202.03772, table 2)."""

CONSTITUENT_FEATURES = tuple(dict.fromkeys((*KINEMATIC_FEATURES, *FLAVOUR_FEATURES, *SPECIES, *TRACK_FEATURES)))
"""All names of features; any further column of the constituents goes by its own name."""

_FIXED_COLUMNS = ("pid", *dict.fromkeys(name.removeprefix("tanh_") for name in TRACK_FEATURES))
"""Columns that have these names wherever they are there."""

_CODES = {name: code for code, name in enumerate(KINEMATIC_FEATURES)}
_SMALLEST = 1e-12  # GeV, and fractions: logarithms stay finite
_LOG_SMALLEST = _log(_SMALLEST)


class ChosenConstituents(NamedTuple):
    """The constituents that are kept of many jets, packed, each jet's hardest first.

    `offsets` is int64 (n_jets + 1,), `momenta` (n_kept, 4): energy, px, py, pz in GeV; `features` float32
    (n_kept, n_features).
    """

    offsets: NDArray[np.int64]
    momenta: NDArray[Any]
    features: NDArray[np.float32]


def check_names(what: str, setting: str, given: Any, example: str, least: int = 1) -> tuple[str, ...]:
    """Return the names that a setting of a representation holds as a tuple.

    Parameters
    ----------
    what, setting : str
        The representation and its setting, for errors.
    given : sequence of str
        The names.
    example : str
        What the setting could be, for errors.
    least : int
        How many there must be.

    Raises
    ------
    JetforgeError
        If they are no names, or too few, or one is there twice.
    """
    names = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (None,)
    if len(names) < least or not all(isinstance(name, str) and name for name in names):
        raise JetforgeError(f"{what}: {setting} is {given!r}; give a list of names, such as {example}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise JetforgeError(f"{what}: {setting}: '{twice[0]}' is named twice")
    return names


def check_columns(
    what: str, jets: "Jets | ak.Array", features: tuple[str, ...], known: tuple[str, ...] = CONSTITUENT_FEATURES
) -> None:
    """Refuse features that are not known and no column, and those of columns that are not there.

    Parameters
    ----------
    what : str
        The representation, for errors.
    jets : Jets or awkward array of constituents
        What the features are made of.
    features : tuple of str
        Their names.
    known : tuple of str
        The features that may have been meant, beside the columns.

    Raises
    ------
    DataError
        It names the feature, and what may have been meant or which column it needs.
    """
    present = _columns_at_hand(jets)
    for name in features:
        if name in _CODES or name in present:
            continue
        if name in CONSTITUENT_FEATURES or name in _FIXED_COLUMNS:
            need_one_of(f"{what}: feature '{name}'", jets, _alternatives(name))
            continue
        spelt = {each.lower(): each for each in (*known, *_FIXED_COLUMNS, *present)}
        near = [spelt[each] for each in get_close_matches(name.lower(), spelt, n=3)]
        listed = "CONSTITUENT_FEATURES in jetforge.representations lists the features, jetforge info the columns"
        hint = f"did you mean {' or '.join(near)}?" if near else listed
        raise DataError(
            f"{what}: the feature '{name}' is none of jetforge's, and no column of that name was read or is there; "
            f"{hint}"
        )


def need_one_of(title: str, jets: "Jets | ak.Array", columns: tuple[str, ...]) -> None:
    """Refuse jets of which the constituents have none of some columns; the error begins with ``title``.

    Raises
    ------
    DataError
        It names the columns.
    """
    present = _columns_at_hand(jets)
    if not any(column in present for column in columns):
        raise DataError(f"{title} needs the column {' or '.join(columns)}, which was not read or is not there")


def _columns_at_hand(jets: "Jets | ak.Array") -> tuple[str, ...]:
    """Return the columns that the constituents came with; of a dataset only those are read that are asked for."""
    return tuple(jets.fields if isinstance(jets, ak.Array) else getattr(jets, "columns", ()))


def _alternatives(name: str) -> tuple[str, ...]:
    """Return the columns of which a feature that does not follow from the momenta needs one."""
    if name in FLAVOUR_FEATURES or name in SPECIES:
        return name, "pid"
    return (name.removeprefix("tanh_") if name in TRACK_FEATURES else name,)


def check_length(what: str, given: Any, setting: str = "max_constituents") -> int | None:
    """Return the largest number of constituents that is kept, or None for all.

    Raises
    ------
    JetforgeError
        If it is no whole number above 0.
    """
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise JetforgeError(f"{what}: {setting} is {given!r}; it must be a whole number above 0")
    return given


def columns_of(features: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns of the constituents, beside the momenta, that features are made of."""
    needed: list[str] = []
    for name in features:
        if name in _CODES:
            continue
        if name in FLAVOUR_FEATURES or name in SPECIES:
            needed += ["charge", "pid", name]
        elif name in TRACK_FEATURES:
            needed.append(name.removeprefix("tanh_"))
        else:
            needed.append(name)
    return tuple(dict.fromkeys(needed))


def chosen_constituents(
    jets: "Jets | ak.Array",
    features: tuple[str, ...],
    max_constituents: int | None,
    dtype: npt.DTypeLike = np.float32,
) -> ChosenConstituents:
    """Return the hardest constituents of jets with their features.

    Parameters
    ----------
    jets : Jets or awkward array of constituents
        Momenta in GeV; other fields as the features need them.
    features : tuple of str
        Names in `CONSTITUENT_FEATURES`, or of columns, as `check_columns` has found them.
    max_constituents : int, optional
        How many of a jet are kept; all if not given.
    dtype : numpy type
        Of the momenta.

    Raises
    ------
    DataError
        If a momentum breaks a rule, or a column is missing.
    """
    flat = flat_of(jets)
    kept = np.minimum(np.diff(flat.offsets), max_constituents or np.iinfo(np.int64).max)
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    n = int(offsets[-1])
    momenta, values = np.empty((n, 4), dtype=dtype), np.empty((n, len(features)), dtype=np.float32)
    source = np.empty(n, dtype=np.int64)
    codes = np.array([_CODES.get(name, -1) for name in features], dtype=np.int64)
    aligned = any(name.startswith("aligned_") for name in features)
    for_all_jets(_choose_kernel, len(kept), flat, offsets, codes, aligned, momenta, values, source)
    for column, name in enumerate(features):
        if name not in _CODES:
            values[:, column] = _further(jets, flat, name)[source]
    return ChosenConstituents(offsets, momenta, values)


def _further(jets: "Jets | ak.Array", flat: FlatJets, name: str) -> NDArray[Any]:
    """Return a feature that does not follow from the momenta, of all constituents in the order given."""
    if name == "charge":
        charge: NDArray[Any] = charges_of(jets, flat, None)
        return charge
    if name in FLAVOUR_FEATURES or name in SPECIES:
        return _flavour(jets, flat, name)
    if name.startswith("tanh_") and name in TRACK_FEATURES:
        return np.tanh(numbers_of(jets, flat, name.removeprefix("tanh_"), None).astype(np.float64))
    column: NDArray[Any] = numbers_of(jets, flat, name, None)
    return column


def _flavour(jets: "Jets | ak.Array", flat: FlatJets, name: str) -> NDArray[Any]:
    """Return a flag of flavour: the column of that name, or what the particle number says."""
    if name in _columns_at_hand(jets):
        column: NDArray[Any] = numbers_of(jets, flat, name, None)
        return column
    try:
        number = np.abs(particle_numbers_of(jets, flat, None))
    except DataError as error:
        raise DataError(f"feature '{name}': {error}") from None
    if name in SPECIES:
        species: NDArray[Any] = number == SPECIES[name]
        return species
    hadron = (number != 11) & (number != 13) & (number != 22)
    charged = charges_of(jets, flat, None) != 0
    flags: NDArray[Any] = hadron & (charged if name == "is_charged_hadron" else ~charged)
    return flags


@njit(cache=True, error_model="numpy")
def _safe_log(value: float) -> float:
    return log(value) if value > _SMALLEST else _LOG_SMALLEST


@njit(cache=True, nogil=True, error_model="numpy")
def _choose_kernel(
    first: int, last: int, flat: FlatJets, offsets: Any, codes: Any, aligned: bool, momenta: Any, values: Any,
    source: Any,
) -> None:  # fmt: skip
    """Write the hardest constituents of the jets first <= j < last, and those of their features that have a code."""
    for j in range(first, last):
        begin, end = flat.offsets[j], flat.offsets[j + 1]
        if begin == end:
            continue
        to, kept = offsets[j], offsets[j + 1] - offsets[j]
        px, py, pz, energy = flat.px[begin:end], flat.py[begin:end], flat.pz[begin:end], flat.energy[begin:end]
        all_pt = np.sqrt(px * px + py * py)
        order = hardest_first(len(all_pt), all_pt)
        sum_x, sum_y, sum_z, sum_e = px.sum(), py.sum(), pz.sum(), energy.sum()
        jet_pt = sqrt(sum_x * sum_x + sum_y * sum_y)
        jet_eta, jet_phi = pseudorapidity(jet_pt, sum_z), atan2(sum_y, sum_x)
        away = 1.0 if jet_eta >= 0.0 else -1.0
        aligned_eta, aligned_phi = np.empty(kept), np.empty(kept)
        if aligned:
            for k in range(kept):
                i = order[k]
                aligned_eta[k], aligned_phi[k] = pseudorapidity(all_pt[i], pz[i]), atan2(py[i], px[i])
            align(kept, aligned_eta, aligned_phi)
        for k in range(kept):
            i = order[k]
            row = to + k
            source[row] = begin + i
            momenta[row, 0], momenta[row, 1], momenta[row, 2], momenta[row, 3] = energy[i], px[i], py[i], pz[i]
            pt, eta, phi = all_pt[i], pseudorapidity(all_pt[i], pz[i]), atan2(py[i], px[i])
            deta, dphi = away * (eta - jet_eta), wrapped(phi - jet_phi)
            for c in range(len(codes)):
                code = codes[c]
                if code == 0:
                    values[row, c] = deta
                elif code == 1:
                    values[row, c] = dphi
                elif code == 2:
                    values[row, c] = _safe_log(pt)
                elif code == 3:
                    values[row, c] = _safe_log(energy[i])
                elif code == 4:
                    values[row, c] = _safe_log(pt) - _safe_log(jet_pt)
                elif code == 5:
                    values[row, c] = _safe_log(energy[i]) - _safe_log(sum_e)
                elif code == 6:
                    values[row, c] = sqrt(deta * deta + dphi * dphi)
                elif code == 7:
                    values[row, c] = pt / jet_pt if jet_pt > 0.0 else 0.0
                elif code == 8:
                    values[row, c] = energy[i] / sum_e if sum_e > 0.0 else 0.0
                elif code == 9:
                    values[row, c] = aligned_eta[k]
                elif code == 10:
                    values[row, c] = aligned_phi[k]
                elif code == 11:
                    values[row, c] = log(1.0 + pt)
                elif code == 12:
                    values[row, c] = eta
                elif code == 13:
                    values[row, c] = phi
                elif code == 14:
                    values[row, c] = pt
                elif code == 15:
                    values[row, c] = energy[i]
