"""Fields of constituents other than their momenta, such as charge and particle number, as flat arrays."""

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.physics.flat import FlatJets
from jetforge.physics.parallel import for_all_jets
from jetforge.physics.shapes.sums import charges_kernel

_PER_TASK = 1 << 18


def _has(constituents: Any, name: str) -> bool:
    columns = getattr(constituents, "columns", None)
    if isinstance(columns, dict):
        return name in columns
    return isinstance(constituents, ak.Array) and name in constituents.fields


def _place(flat: FlatJets, index: int) -> str:
    jet = int(np.searchsorted(flat.offsets, index, side="right")) - 1
    return f"jet {jet}, constituent {index - flat.offsets[jet]}"


def _flat_numbers(flat: FlatJets, values: Any, name: str) -> npt.NDArray[Any]:
    """Return one number for each constituent, of a type that kernels read."""
    size = int(flat.offsets[-1])
    if isinstance(values, ak.Array) and values.ndim > 1:
        counts = ak.to_numpy(ak.num(values))
        if not np.array_equal(counts, np.diff(flat.offsets)):
            raise DataError(f"{name} has other numbers of entries in its jets than there are constituents")
        values = ak.flatten(values)
    column = ak.to_numpy(values, allow_missing=True) if isinstance(values, ak.Array) else np.asanyarray(values)
    if column.shape != (size,):
        raise DataError(f"{name} has the shape {column.shape}; it must be one number for each of {size} constituents")
    if size == 0:
        return np.empty(0, dtype=np.int64)
    if np.ma.is_masked(column):
        missing = int(np.flatnonzero(np.ma.getmaskarray(column))[0])
        raise DataError(f"{_place(flat, missing)}: {name} is missing (None); fill it")
    column = np.ascontiguousarray(np.ma.getdata(column))
    if column.dtype.kind not in "biuf":
        raise DataError(f"{name} is of type {column.dtype}; it must be numbers")
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        broken = int(np.flatnonzero(~np.isfinite(column))[0])
        raise DataError(f"{_place(flat, broken)}: {name} is {column[broken]}; it must be a finite number")
    kind = {"b": np.int8, "u": np.int64, "i": np.int64, "f": np.float64}[column.dtype.kind]
    known = column.dtype in (np.int8, np.int16, np.int32, np.int64, np.float32, np.float64) and column.dtype.isnative
    return column if known else column.astype(kind)


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
        If there are none, or they are not one finite number for each constituent.
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
        whole = pid.astype(np.int64)
        if not np.array_equal(whole, pid):
            broken = int(np.flatnonzero(whole != pid)[0])
            raise DataError(f"{_place(flat, broken)}: pid is {pid[broken]}; it must be a whole number")
        return whole
    return pid


def charges(pid: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """Return the charges of particles from their PDG numbers, int8 of the same shape (n,).

    Leptons, hadrons by their quark content, nuclei, W and charged Higgs bosons; all other numbers count as
    neutral. So do the quarks' 1 to 8: in data of CMS they stand for calorimeter cells.
    """
    charge = np.zeros(len(pid), dtype=np.int8)
    for_all_jets(charges_kernel, len(pid), pid, charge, jets_per_task=_PER_TASK)
    return charge
