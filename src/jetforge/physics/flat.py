"""From awkward arrays of jets to the flat arrays that kernels read, with the checks that keep them safe."""

from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import DataError

_LARGEST = 1e100  # GeV; squares and sums of squares stay finite
# Measured and stored energies may be this far below |p|: half precision alone loses 0.1 % of each number.
_SPACELIKE = 0.99
_NEGLIGIBLE = 1e-6  # GeV

# Fields that give a momentum and an energy or mass, the first that are there being taken, and what they mean.
_CARTESIAN = ("px", "py", "pz")
_MOMENTA = {
    ("px", "py", "pz"): _CARTESIAN,
    ("x", "y", "z"): _CARTESIAN,
    ("pt", "phi", "eta"): ("pt", "phi", "eta"),
    ("rho", "phi", "eta"): ("pt", "phi", "eta"),
    ("pt", "phi", "rapidity"): ("pt", "phi", "rapidity"),
    ("pt", "phi", "y"): ("pt", "phi", "rapidity"),
    ("pt", "phi", "pz"): ("pt", "phi", "pz"),
    ("rho", "phi", "z"): ("pt", "phi", "pz"),
}
_ENERGIES = ("energy", "E", "e", "t")
_MASSES = ("mass", "M", "m", "tau")

_Floats = npt.NDArray[np.float64]


class FlatJets(NamedTuple):
    """Constituents of many jets in flat arrays; those of jet j are the entries offsets[j] to offsets[j + 1].

    `offsets` is int64 of shape (n_jets + 1,) and starts at 0; px, py, pz and energy are float64 of shape
    (n_constituents,), in GeV. All are C-contiguous.
    """

    offsets: npt.NDArray[np.int64]
    px: _Floats
    py: _Floats
    pz: _Floats
    energy: _Floats


def flatten(constituents: ak.Array) -> FlatJets:
    """Return the four-momenta of jets as flat arrays, without a copy where they are float64, contiguous and writable.

    Parameters
    ----------
    constituents
        Awkward array of jets, n_jets * var * record, in GeV. The record has px, py, pz, or pt, phi and one
        of eta, rapidity and pz; and energy (also named E, e, t) or mass (M, m, tau). The names that `vector`
        gives to generic coordinates (x, y, z; rho, phi, eta or z) do as well. A negative mass stands for a
        spacelike momentum, as in ROOT. Other fields are ignored. Jets may be empty.

    Returns
    -------
    FlatJets

    Raises
    ------
    DataError
        If the array has another shape, lacks a field, or has a missing value (None); if a momentum is NaN,
        infinite or above 1e100 GeV; if an energy is negative, or below |p| by more than 1 %, which rounding
        cannot explain.
    """
    if not isinstance(constituents, ak.Array):
        raise DataError(
            f"constituents must be an awkward array of jets, not {type(constituents).__name__}; "
            "make one with ak.zip or ak.Array"
        )
    wrong_shape = DataError(
        f"constituents are of type {constituents.type}; "
        "they must be n_jets * var * record, with fields such as px, py, pz, energy"
    )
    jets = _present(constituents.layout, None, "")
    if jets.is_unknown:
        jets = ak.contents.ListOffsetArray(ak.index.Index64(np.zeros(1, dtype=np.int64)), jets)
    if not jets.is_list:
        raise wrong_shape
    jets = jets.to_ListOffsetArray64(True)
    offsets: npt.NDArray[np.int64] = np.require(jets.offsets.data, np.int64, ["C", "W"])
    records = _present(jets.content[: offsets[-1]], offsets, "")
    if records.is_unknown:
        return FlatJets(offsets, *np.empty((4, 0)))
    if not records.is_record or records.is_tuple:
        raise wrong_shape
    names = _chosen(records.fields)
    given = {quantity: _column(records, name, offsets) for quantity, name in names.items()}
    if "pt" in given and np.any(given["pt"] < 0):
        first = int(np.flatnonzero(given["pt"] < 0)[0])
        where = f"{place(first, offsets)} ({names['pt']} = {given['pt'][first]:g})"
        raise DataError(f"{where}: the transverse momentum is negative; drop or repair this constituent")
    flat = FlatJets(offsets, *_cartesian(given))
    broken = _first_broken(flat.px, flat.py, flat.pz, flat.energy)
    if broken >= 0:
        values = ", ".join(f"{names[quantity]} = {column[broken]:g}" for quantity, column in given.items())
        raise _broken_rule(flat, broken, values)
    return flat


def flat_of(jets: Any) -> FlatJets:
    """Return the four-momenta of jets, in whichever form the functions of this package take them.

    Parameters
    ----------
    jets
        An awkward array of constituents (see `flatten`), a `jetforge.Jets`, or a `FlatJets`, whose arrays are taken
        as they are where they have the right type and order of bytes, and can be written.

    Raises
    ------
    DataError
        If it is none of these, or breaks a rule of `flatten`.
    """
    if isinstance(jets, FlatJets):
        return checked(
            FlatJets(_flat_column(jets.offsets, "offsets", "iu"), *map(_flat_column, jets[1:], jets._fields[1:]))
        )
    flat = getattr(jets, "flat", None)
    return flat if isinstance(flat, FlatJets) else flatten(jets)


def _flat_column(given: Any, name: str, kinds: str = "iuf") -> npt.NDArray[Any]:
    """Return an array of numbers as kernels take it."""
    array = np.asanyarray(given)
    if array.ndim != 1 or array.dtype.kind not in kinds:
        what = "whole numbers" if kinds == "iu" else "numbers"
        raise DataError(f"{name} of the flat jets must be one row of {what}, not {array.dtype} of shape {array.shape}")
    return np.require(array, np.int64 if kinds == "iu" else np.float64, ["C", "W"])


def checked(flat: FlatJets, first_jet: int = 0) -> FlatJets:
    """Return flat jets that no kernel can stumble over; errors count jets from `first_jet`.

    Raises
    ------
    DataError
        If the offsets do not divide the constituents into jets, or a momentum breaks a rule of `flatten`.
    """
    offsets = flat.offsets
    lengths = {len(column) for column in flat[1:]}
    if len(offsets) == 0 or offsets[0] != 0 or np.any(np.diff(offsets) < 0) or lengths != {int(offsets[-1])}:
        raise DataError("offsets must start at 0, never decrease, and end at the number of constituents")
    broken = _first_broken(flat.px, flat.py, flat.pz, flat.energy)
    if broken >= 0:
        values = ", ".join(f"{name} = {getattr(flat, name)[broken]:g}" for name in flat._fields[1:])
        raise _broken_rule(flat, broken, values, first_jet)
    return flat


def _present(layout: Any, offsets: npt.NDArray[np.int64] | None, field: str) -> Any:
    """Return the layout without option and index types, none of its values being missing."""
    while layout.is_option or layout.is_indexed:
        if layout.is_option:
            missing = np.flatnonzero(layout.mask_as_bool(valid_when=False))
            if len(missing):
                what = f"{place(missing[0], offsets)}{field and ': '}{field}"
                raise DataError(f"{what} is missing (None); drop it with ak.drop_none")
        layout = layout.project()
    return layout


def place(index: int, offsets: npt.NDArray[np.int64] | None, first_jet: int = 0) -> str:
    """Return the words that name a jet, or a constituent by its flat index."""
    if offsets is None:
        return f"jet {index}"
    jet = int(np.searchsorted(offsets, index, side="right")) - 1
    return f"jet {first_jet + jet}, constituent {index - offsets[jet]}"


def _chosen(fields: list[str]) -> dict[str, str]:
    """Return which fields give the momentum and the energy or mass, by quantity."""
    momentum = next((names for names in _MOMENTA if all(name in fields for name in names)), None)
    last = next((name for name in (*_ENERGIES, *_MASSES) if name in fields), None)
    if momentum is None or last is None:
        raise DataError(
            f"constituents have the fields {', '.join(fields) or 'none'}; they need px, py, pz "
            "(or pt, phi and eta, rapidity or pz), and energy or mass; rename them with ak.zip"
        )
    quantities = (*_MOMENTA[momentum], "energy" if last in _ENERGIES else "mass")
    return dict(zip(quantities, (*momentum, last), strict=True))


def _column(records: Any, name: str, offsets: npt.NDArray[np.int64]) -> _Floats:
    column = _present(records.content(name), offsets, name)
    if column.is_unknown:
        return np.empty(0)
    if not column.is_numpy or column.data.ndim != 1 or column.data.dtype.kind not in "iuf":
        raise DataError(f"field {name} of the constituents is of type {column.form.type}; it must be one number each")
    # Kernels are compiled for arrays that may be written, though they write to none of these.
    return np.require(column.data, np.float64, ["C", "W"])


def _cartesian(given: dict[str, _Floats]) -> tuple[_Floats, _Floats, _Floats, _Floats]:
    """Return px, py, pz and energy."""
    with np.errstate(over="ignore", invalid="ignore"):  # what comes out infinite or NaN is refused afterwards
        signed_m2 = given["mass"] * np.abs(given["mass"]) if "mass" in given else np.empty(0)
        px = given["px"] if "px" in given else given["pt"] * np.cos(given["phi"])
        py = given["py"] if "py" in given else given["pt"] * np.sin(given["phi"])
        if "pz" in given:
            pz = given["pz"]
        elif "eta" in given:
            pz = given["pt"] * np.sinh(given["eta"])
        elif "energy" in given:
            pz = given["energy"] * np.tanh(given["rapidity"])
        else:
            pz = np.sqrt(given["pt"] ** 2 + signed_m2) * np.sinh(given["rapidity"])
        if "energy" in given:
            return px, py, pz, given["energy"]
        return px, py, pz, np.sqrt(np.maximum(px**2 + py**2 + pz**2 + signed_m2, 0.0))


@njit(cache=True, nogil=True)
def _first_broken(px: _Floats, py: _Floats, pz: _Floats, energy: _Floats) -> int:
    """Return the index of the first constituent that is no four-momentum, or -1; NaN fails a comparison."""
    for i in range(len(px)):
        transverse = abs(px[i]) <= _LARGEST and abs(py[i]) <= _LARGEST
        longitudinal = abs(pz[i]) <= _LARGEST and abs(energy[i]) <= _LARGEST
        reach = energy[i] + _NEGLIGIBLE
        p2 = px[i] * px[i] + py[i] * py[i] + pz[i] * pz[i]
        timelike = reach >= 0.0 and reach * reach >= _SPACELIKE * _SPACELIKE * p2
        if not (transverse and longitudinal and timelike):
            return i
    return -1


def _broken_rule(flat: FlatJets, i: int, values: str, first_jet: int = 0) -> DataError:
    """Return the error that says what is wrong with a constituent."""
    where = f"{place(i, flat.offsets, first_jet)} ({values})"
    px, py, pz, energy = (float(x[i]) for x in flat[1:])
    if not all(abs(x) <= _LARGEST for x in (px, py, pz, energy)):
        return DataError(f"{where}: not a finite momentum; drop or repair this constituent")
    if energy < -_NEGLIGIBLE:
        return DataError(f"{where}: the energy {energy:g} GeV is negative; drop or repair this constituent")
    p = float(np.sqrt(px**2 + py**2 + pz**2))
    return DataError(
        f"{where}: the energy {energy:g} GeV is below |p| = {p:g} GeV by more than rounding; "
        "are the columns in the right order, and all in GeV?"
    )
