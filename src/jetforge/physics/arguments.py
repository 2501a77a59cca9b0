"""Arguments checked at the door: a number in its range, a whole number, a name among those known."""

from collections.abc import Iterable, Mapping
from math import inf, isfinite, nan
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError

_Choice = TypeVar("_Choice")
_LONGEST = 60  # characters of a value that an error shows


def _shown(value: Any) -> str:
    """Return a value as an error shows it, on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def number(
    name: str, value: Any, *, above: float = -inf, least: float = -inf, most: float = inf, finite: bool = True
) -> float:
    """Return an argument as a float.

    Raises
    ------
    JetforgeError
        If it is no number, NaN, or not above / at least / at most the limits given, or infinite where `finite`.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    try:
        plain = float(value) if is_number else nan
    except OverflowError:  # an int too large for a float
        plain = inf if value > 0 else -inf
    if plain > above and least <= plain <= most and (isfinite(plain) or not finite):
        return plain
    if least > -inf and most < inf:
        rule = f" from {least:g} to {most:g}"
    elif least > -inf:
        rule = f", {least:g} or more"
    else:
        rule = f" above {above:g}" if above > -inf else ""
        rule += f" and at most {most:g}" if most < inf else ""
    shown = f"{plain:g}" if is_number else _shown(value)
    raise JetforgeError(f"{name} is {shown}; it must be a {'finite ' if finite else ''}number{rule}")


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return an argument as an int.

    Raises
    ------
    JetforgeError
        If it is no whole number, or not from `least` to `most`.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if is_whole and value >= least and (most is None or value <= most):
        return int(value)
    shown = str(value) if isinstance(value, Real) else _shown(value)
    rule = f", {least} or more" if most is None else f" from {least} to {most}"
    raise JetforgeError(f"{name} is {shown}; it must be a whole number{rule}")


def whole_numbers(name: str, values: Any, least: int, most: int | None = None) -> npt.NDArray[np.int64]:
    """Return an argument, a whole number or a sequence of them, as an array.

    Raises
    ------
    JetforgeError
        If there is none, or one of them is no whole number from `least` to `most`.
    """
    try:
        given = np.atleast_1d(np.asarray(values))
    except ValueError:
        given = np.empty(0)
    good = given.ndim == 1 and given.size > 0 and given.dtype.kind in "iu"
    if not good or given.min() < least or (most is not None and given.max() > most):
        rule = f"{least} or more" if most is None else f"from {least} to {most}"
        raise JetforgeError(f"{name} is {_shown(values)}; it must be whole numbers {rule}, such as (1, 2, 3)")
    return given.astype(np.int64)


def flag(name: str, value: Any) -> bool:
    """Return an argument that is True or False.

    Raises
    ------
    JetforgeError
        If it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise JetforgeError(f"{name} is {_shown(value)}; it must be True or False")
    return bool(value)


def choice(name: str, value: Any, choices: Mapping[str, _Choice]) -> _Choice:
    """Return what a name stands for.

    Raises
    ------
    JetforgeError
        If the name is not known.
    """
    known(name, value, choices)
    return choices[value]


def known(name: str, value: Any, names: Iterable[str]) -> str:
    """Return a name that is one of some names.

    Raises
    ------
    JetforgeError
        If it is none of them.
    """
    if not isinstance(value, str) or value not in names:
        raise JetforgeError(f"{name} {_shown(value)} is not known; choose one of {', '.join(names)}")
    return value


def floating(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return the type of numbers of a result, float32 or float64.

    Raises
    ------
    JetforgeError
        If it is another.
    """
    try:
        kind = np.dtype(dtype if isinstance(dtype, type | str | np.dtype) else np.void)
    except TypeError:
        kind = np.dtype(np.void)
    if kind not in (np.float32, np.float64):
        raise JetforgeError(f"dtype is {_shown(dtype)}; choose float32 or float64")
    return kind
