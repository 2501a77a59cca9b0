"""Limits and values of the Lund plane, checked at the door."""

from math import inf, log
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.physics.arguments import number

LARGEST = 1e100
"""Largest transverse momentum, mass (GeV) or angle; squares and products of two stay finite."""


def ln_limit(name: str, limit: Any) -> float:
    """Return the logarithm of a limit that may be 0 or infinite.

    Raises
    ------
    JetforgeError
        If it is no number, negative or NaN.
    """
    plain = number(name, limit, least=0, finite=False)
    return log(plain) if plain > 0.0 else -inf


def positive(name: str, value: Any) -> float:
    """Return a transverse momentum, a mass or a scale in GeV.

    Raises
    ------
    JetforgeError
        If it is no number, not above 0, or above 1e100.
    """
    return number(name, value, above=0, most=LARGEST)


def real_numbers(values: Any) -> npt.NDArray[np.float64] | None:
    """Return numbers of any shape, or None if they are no numbers: text, complex, missing, or of unequal lengths."""
    try:
        given = np.asarray(values)
    except (TypeError, ValueError):
        return None
    if given.dtype.kind not in "iuf" or np.ma.is_masked(values):
        return None
    return np.ascontiguousarray(given, dtype=np.float64).reshape(given.shape)


def not_negative(name: str, values: Any) -> npt.NDArray[np.float64]:
    """Return angles or transverse momenta of any shape.

    Raises
    ------
    DataError
        If one is no number, negative, NaN, infinite or above 1e100.
    """
    plain = real_numbers(values)
    if plain is None:
        raise DataError(f"{name}: not an array of numbers; give one number or an array of them")
    bad = ~((plain >= 0.0) & (plain <= LARGEST))
    if bad.any():
        raise DataError(f"{name}: {plain[bad][0]:g} is among the values; they must be finite numbers, 0 or more")
    return plain
