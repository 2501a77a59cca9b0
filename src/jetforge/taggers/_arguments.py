"""Checks of the arguments of taggers: each names the argument and the rule that it breaks."""

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np

from jetforge.errors import TaggerError
from jetforge.representations import SequenceRepresentation


def check_whole(least: int = 1, /, **values: Any) -> None:
    """Refuse what is no whole number of ``least`` or more.

    Raises
    ------
    TaggerError
        It names the argument.
    """
    for name, value in values.items():
        if not is_whole(value, least):
            rule = "above 0" if least == 1 else f"of {least} or more"
            raise TaggerError(f"{name} {value!r} must be a whole number {rule}")


def check_widths(name: str, widths: Any, least: int = 1) -> tuple[int, ...]:
    """Return the widths of ``least`` layers or more as a tuple.

    Raises
    ------
    TaggerError
        If they are fewer, or one is no whole number above 0.
    """
    given = tuple(widths) if isinstance(widths, Sequence) and not isinstance(widths, str) else (None,)
    if len(given) < least or not all(is_whole(width, 1) for width in given):
        number = f" of {least} or more" if least else ""
        raise TaggerError(f"{name} {widths!r}: give the widths{number} layers, whole numbers above 0, in a list")
    return given


def check_stages(name: str, stages: Any) -> tuple[tuple[int, ...], ...]:
    """Return the widths of the layers of one stage or more as tuples.

    Raises
    ------
    TaggerError
        If there is no stage, or one has no layer or a width that is no whole number above 0.
    """
    if not isinstance(stages, Sequence) or isinstance(stages, str) or not stages:
        raise TaggerError(f"{name} {stages!r}: give one list of widths a stage, such as [[64, 64], [128, 128]]")
    return tuple(check_widths(name, stage) for stage in stages)


def check_fractions(**values: Any) -> None:
    """Refuse what is no number of at least 0 and below 1.

    Raises
    ------
    TaggerError
        It names the argument.
    """
    for name, value in values.items():
        if not (_is_number(value) and 0 <= value < 1):
            raise TaggerError(f"{name} {value!r} must be a number of at least 0 and below 1")


def check_numbers(least: float = 0.0, /, **values: Any) -> None:
    """Refuse what is no finite number of ``least`` or more.

    Raises
    ------
    TaggerError
        It names the argument.
    """
    for name, value in values.items():
        if not (_is_number(value) and least <= value < inf):
            raise TaggerError(f"{name} {value!r} must be a number of at least {least:g}")


def check_flags(**values: Any) -> None:
    """Refuse what is neither true nor false.

    Raises
    ------
    TaggerError
        It names the argument.
    """
    for name, value in values.items():
        if not isinstance(value, bool):
            raise TaggerError(f"{name} {value!r} must be true or false")


def check_heads(width: Any, num_heads: Any) -> None:
    """Refuse a width that cannot be shared out among the heads of attention.

    Raises
    ------
    TaggerError
        It names both.
    """
    check_whole(width=width, num_heads=num_heads)
    if width % num_heads:
        raise TaggerError(f"num_heads {num_heads!r} must divide the width {width}")


def check_fixed_length(title: str, representation: SequenceRepresentation, made_for: int | None) -> None:
    """Refuse what a network cannot read that has weights for each element of a sequence.

    Parameters
    ----------
    title : str
        What the network is called.
    representation : SequenceRepresentation
        What it is to read.
    made_for : int, optional
        The number of elements that it was made for; none while it is being made.

    Raises
    ------
    TaggerError
        If the representation has no `max_length`, or another.
    """
    if representation.max_length is None:
        raise TaggerError(f"{title} has weights for each element of the sequence: give max_length")
    if made_for not in (None, representation.max_length):
        raise TaggerError(
            f"{title} was made for a max_length of {made_for}, the representation has {representation.max_length}"
        )


def is_whole(value: Any, least: int) -> bool:
    """Return whether a value is a whole number, of Python or of NumPy, of ``least`` or more."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
