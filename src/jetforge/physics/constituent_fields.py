"""Fields of constituents other than their momenta, such as charge and particle number, as flat arrays.

Charges also follow from particle numbers, in the scheme of the Particle Data Group.
"""

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import DataError
from jetforge.physics.flat import FlatJets, place
from jetforge.physics.number_arrays import number_array
from jetforge.physics.parallel import for_all_jets

_PER_TASK = 1 << 18
_LARGEST_INTEGER = np.iinfo(np.int64).max
_TOO_LARGE = 2.0**63  # exact also in float32


def _has(constituents: Any, name: str) -> bool:
    columns = getattr(constituents, "columns", None)
    if isinstance(columns, dict):
        return name in columns
    return isinstance(constituents, ak.Array) and name in constituents.fields


def _flat_numbers(flat: FlatJets, values: Any, name: str) -> npt.NDArray[Any]:
    """Return one number for each constituent, of a type that kernels read."""
    size = int(flat.offsets[-1])
    column = number_array(name, _flattened(flat, values, name) if isinstance(values, ak.Array) else values)
    if column.shape != (size,):
        raise DataError(f"{name} has the shape {column.shape}; it must be one number for each of {size} constituents")
    if size == 0:
        return np.empty(0, dtype=np.int64)
    if np.ma.is_masked(column):
        missing = int(np.flatnonzero(np.ma.getmaskarray(column))[0])
        raise DataError(f"{place(missing, flat.offsets)}: {name} is missing (None); fill it")
    given = np.ascontiguousarray(np.ma.getdata(column))
    kind = {"b": np.int8, "u": np.int64, "i": np.int64, "f": np.float64}[given.dtype.kind]
    known = given.dtype in (np.int8, np.int16, np.int32, np.int64, np.float32, np.float64) and given.dtype.isnative
    with np.errstate(over="ignore"):
        column = given if known else given.astype(kind)
    wrong = ~np.isfinite(column) if given.dtype.kind == "f" else given > _LARGEST_INTEGER
    if wrong.any():
        broken = int(np.flatnonzero(wrong)[0])
        rule = "a finite number" if given.dtype.kind == "f" else "below 2^63"
        raise DataError(f"{place(broken, flat.offsets)}: {name} is {given[broken]}; it must be {rule}")
    return column


def _flattened(flat: FlatJets, values: ak.Array, name: str) -> Any:
    """Return the values of an awkward array in one row; those of jets must be as many as there are constituents."""
    try:
        if values.ndim > 1:
            if not np.array_equal(ak.to_numpy(ak.num(values)), np.diff(flat.offsets)):
                raise DataError(f"{name} has other numbers of entries in its jets than there are constituents")
            values = ak.flatten(values)
        return ak.to_numpy(values, allow_missing=True)
    except (TypeError, ValueError):
        raise DataError(f"{name} is of type {values.type}; it must be one number for each constituent") from None


def numbers_of(constituents: Any, flat: FlatJets, name: str, given: Any) -> npt.NDArray[Any]:
    """Return a field of the constituents as a flat array of numbers.

    Parameters
    ----------
    constituents
        What `flat` was made of.
    flat
        The same as flat jets.
    name
        The field.
    given
        Its values, or None for those that the constituents carry.

    Raises
    ------
    DataError
        If there are none, or they are not one finite number for each constituent, integers from -2^63 to 2^63 - 1.
    """
    if given is not None:
        return _flat_numbers(flat, given, name)
    if not _has(constituents, name):
        raise DataError(f"constituents have no field '{name}'; add it to them, or give it as {name}=...")
    columns = getattr(constituents, "columns", None)
    return _flat_numbers(flat, columns[name] if isinstance(columns, dict) else constituents[name], name)


def charges_of(constituents: Any, flat: FlatJets, given: Any) -> npt.NDArray[Any]:
    """Return the charges of the constituents: those given, else their field charge, else those of their field pid.

    Raises
    ------
    DataError
        As `numbers_of`, if there are neither charges nor particle numbers.
    """
    if given is not None or _has(constituents, "charge"):
        return numbers_of(constituents, flat, "charge", given)
    if not _has(constituents, "pid"):
        raise DataError("constituents have neither a field 'charge' nor 'pid'; add one of them, or give charge=...")
    return charges(particle_numbers_of(constituents, flat, None))


def particle_numbers_of(constituents: Any, flat: FlatJets, given: Any) -> npt.NDArray[Any]:
    """Return the particle numbers of the constituents, the field pid or those given.

    Raises
    ------
    DataError
        As `numbers_of`, or if a number is not whole.
    """
    pid = numbers_of(constituents, flat, "pid", given)
    if pid.dtype.kind == "f":
        wrong = (np.abs(pid) >= _TOO_LARGE) | (np.floor(pid) != pid)
        if wrong.any():
            broken = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{place(broken, flat.offsets)}: pid is {pid[broken]}; it must be a whole number below 2^63"
            )
        return pid.astype(np.int64)
    return pid


def charges(pid: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """Return the charges of particles from their PDG numbers, int8 of the same shape (n,).

    Leptons, hadrons by their quark content, nuclei, W and charged Higgs bosons; all other numbers count as
    neutral. So do the quarks' 1 to 8: in data of CMS they stand for calorimeter cells.
    """
    charge = np.zeros(len(pid), dtype=np.int8)
    for_all_jets(_charges_kernel, len(pid), pid, charge, jets_per_task=_PER_TASK)
    return charge


@njit(cache=True)
def _quark_charge(flavour: int) -> int:
    """Return three times the charge of a quark, 0 for no quark."""
    return 0 if flavour == 0 else (2 if flavour % 2 == 0 else -1)


@njit(cache=True, nogil=True)
def _charges_kernel(first: int, last: int, pid: Any, charge: Any) -> None:
    """Write the charges of particles from their numbers in the scheme of the Particle Data Group.

    The digits of a hadron name its quarks: of a meson the heavier one first, which is the antiquark if down-like.
    """
    for i in range(first, last):
        code = abs(pid[i])
        thrice = 0
        if code in (11, 13, 15, 17):
            thrice = -3
        elif code in (24, 34, 37):
            thrice = 3
        elif code >= 1000000000:
            thrice = 3 * (code // 10000 % 1000)
        elif 100 < code < 1000000 or 9000000 <= code < 10000000:
            first_quark = _quark_charge(code // 1000 % 10)
            q2, q3 = _quark_charge(code // 100 % 10), _quark_charge(code // 10 % 10)
            meson = q2 - q3 if code // 100 % 2 == 0 else q3 - q2
            thrice = meson if first_quark == 0 else first_quark + q2 + q3
        whole = thrice // 3 if thrice % 3 == 0 else 0
        charge[i] = whole if pid[i] > 0 else -whole
