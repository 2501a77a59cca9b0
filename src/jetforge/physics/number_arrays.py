"""Arrays of numbers checked at the door, whatever they are given as."""

from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError


def number_array(name: str, values: Any) -> npt.NDArray[Any]:
    """Return an array-like of numbers as an array, a masked one as it is.

    Raises
    ------
    DataError
        If it cannot be read as an array (rows of different lengths, missing values), or holds no real numbers.
    """
    try:
        array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"{name} is no array of numbers; its rows must be of one length, and none of its values missing"
        ) from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} is of type {array.dtype}; it must be numbers")
    return array


def float_array(name: str, values: Any) -> npt.NDArray[np.float64]:
    """Return an array-like of numbers as float64, C-contiguous; NaN and infinity stay.

    Raises
    ------
    DataError
        As `number_array`, or if a value is masked.
    """
    array = number_array(name, values)
    if np.ma.is_masked(array):
        raise DataError(f"{name} has values that are masked; fill them")
    with np.errstate(over="ignore"):  # a longer float becomes infinite, which callers look for
        return np.require(np.ma.getdata(array), np.float64, ["C"])
