"""Axes that the caller gives, in the form that kernels read."""

from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError

_TWO_PI = 2 * np.pi
_FARTHEST = 1e6  # rapidity


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
        If the shape is another, or a number is NaN, infinite or beyond 1e6.
    """
    if isinstance(axes, ak.Array) and {"rapidity", "phi"} <= set(axes.fields) and axes.ndim == 2:
        counts = ak.to_numpy(ak.num(axes)).astype(np.int64)
        width = max(int(counts.max(initial=0)), 1)
        columns = [ak.fill_none(ak.pad_none(axes[name], width), 0.0) for name in ("rapidity", "phi")]
        table = np.stack([ak.to_numpy(ak.to_regular(column)) for column in columns], axis=-1).astype(np.float64)
        table = table.reshape(len(counts), width, 2)
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


def _table(axes: Any) -> npt.NDArray[np.float64]:
    """Return numbers of shape (n_jets, n, 2) as a new array."""
    wrong = "they must be of shape (n_jets, n, 2), rapidity and azimuth, or records with the fields rapidity and phi"
    try:
        table = np.array(axes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"axes cannot be read: {wrong}") from error
    if table.ndim != 3 or table.shape[2] != 2:
        raise DataError(f"axes are of shape {table.shape}; {wrong}")
    return table
