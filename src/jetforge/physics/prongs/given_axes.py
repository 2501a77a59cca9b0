"""Axes that the caller gives, in the form that kernels read."""

from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.physics.number_arrays import number_array

_TWO_PI = 2 * np.pi
_FARTHEST = 1e6  # rapidity
_WRONG = "they must be of shape (n_jets, n, 2), rapidity and azimuth, or records with the fields rapidity and phi"


class GivenAxes(NamedTuple):
    """Axes of many jets: jet j has those of axes[j, : counts[j]], each with rapidity and azimuth in (-pi, pi]."""

    counts: npt.NDArray[np.int64]
    axes: npt.NDArray[np.float64]  # (n_jets, largest number, 2)


def given_axes(axes: Any, n_jets: int, needed: int) -> GivenAxes:
    """Return given axes, checked.

    Parameters
    ----------
    axes
        Numbers of shape (n_jets, n, 2), rapidity and azimuth, or an awkward array n_jets * var * record with the fields
        rapidity and phi.
    n_jets
        Number of jets.
    needed
        Number of axes asked for; an array of fixed shape must have as many.

    Raises
    ------
    DataError
        If the shape is another, a value is missing or no number, or a number is NaN, infinite or beyond 1e6.
    """
    if isinstance(axes, ak.Array) and axes.fields:
        counts, table = _records(axes)
    else:
        table = _table(axes)
        counts = np.full(len(table), table.shape[1], dtype=np.int64)
        if table.shape[1] < needed:
            raise DataError(f"axes: {table.shape[1]} a jet are given, and n asks for {needed}; give as many or more")
    if len(table) != n_jets:
        raise DataError(f"axes of {len(table)} jets are given for {n_jets} jets; give one row a jet, in their order")
    if not np.all(np.abs(table) <= _FARTHEST):
        jet, axis = np.argwhere(~(np.abs(table) <= _FARTHEST))[0][:2]
        raise DataError(f"jet {jet}, axis {axis}: rapidity and azimuth must be finite, and at most {_FARTHEST:g}")
    table[:, :, 1] = np.pi - np.remainder(np.pi - table[:, :, 1], _TWO_PI)
    return GivenAxes(counts, np.ascontiguousarray(table))


def _records(axes: ak.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the number of axes of each jet, and a table of them with room for the largest number."""
    if not {"rapidity", "phi"} <= set(axes.fields) or axes.ndim != 2:
        raise DataError(f"axes are of type {axes.type}; {_WRONG}")
    _refuse_missing(axes)
    jets = ak.drop_none(axes, axis=0)
    counts = ak.to_numpy(ak.num(jets)).astype(np.int64)
    table = np.zeros((len(counts), max(int(counts.max(initial=0)), 1), 2))
    there = np.arange(table.shape[1]) < counts[:, np.newaxis]
    for column, name in enumerate(("rapidity", "phi")):
        wrong = DataError(f"axes: {name} is of type {axes[name].type}; it must be one number an axis")
        try:
            numbers = ak.to_numpy(ak.flatten(jets[name]), allow_missing=False)
        except (TypeError, ValueError):
            raise wrong from None
        if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
            raise wrong
        table[there, column] = numbers
    return counts, table


def _refuse_missing(axes: ak.Array) -> None:
    """Refuse axes of which one, its rapidity or azimuth, or those of a whole jet are missing."""
    whole = ak.to_numpy(ak.is_none(axes))
    if whole.any():
        raise DataError(f"jet {int(np.argmax(whole))}: its axes are missing (None); give an empty list for no axes")
    for name in ("rapidity", "phi"):
        missing = ak.is_none(axes[name], axis=1)
        if ak.any(missing):
            jet = int(np.argmax(ak.to_numpy(ak.any(missing, axis=1))))
            axis = int(ak.argmax(missing[jet]))
            raise DataError(f"jet {jet}, axis {axis}: rapidity or azimuth is missing (None); leave the axis out")


def _table(axes: Any) -> npt.NDArray[np.float64]:
    """Return numbers of shape (n_jets, n, 2) as a new array."""
    try:
        given = number_array("axes", ak.to_numpy(axes, allow_missing=True) if isinstance(axes, ak.Array) else axes)
    except (DataError, TypeError, ValueError) as error:
        raise DataError(f"axes cannot be read: {_WRONG}") from error
    if given.ndim != 3 or given.shape[2] != 2:
        raise DataError(f"axes are of shape {given.shape}; {_WRONG}")
    if np.ma.is_masked(given):
        jet, axis = np.argwhere(np.ma.getmaskarray(given))[0][:2]
        raise DataError(f"jet {jet}, axis {axis}: rapidity or azimuth is missing; give a number")
    with np.errstate(over="ignore"):  # a longer float becomes infinite, and is refused with those
        return np.array(np.ma.getdata(given), dtype=np.float64)
