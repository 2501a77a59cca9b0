"""The grid of pixels of an image: how many along a side, and how long the sides are."""

from typing import Any

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import number, whole_number

Width = float | tuple[float, float]
"""Length of the side in rapidity and azimuth, or one length for each."""

_MOST_PIXELS = 4096  # along a side
_SMALLEST_PIXEL = 1e-6


def side_lengths(width: Any) -> tuple[float, float]:
    """Return the lengths of an image in rapidity and azimuth from one length, or from a sequence of one or two.

    Raises
    ------
    JetforgeError
        If these are no finite numbers above 0.
    """
    try:
        sides = [width] if isinstance(width, str | bytes) else list(width)
    except TypeError:
        sides = [width]
    if len(sides) not in (1, 2):
        raise JetforgeError(f"width is {width!r}; it must be one length, or two: in rapidity and azimuth")
    return number("width", sides[0], above=0), number("width", sides[-1], above=0)


def checked_size(size: Any) -> int:
    """Return the number of pixels along a side.

    Raises
    ------
    JetforgeError
        If it is not a whole number from 1 to 4096.
    """
    return whole_number("size", size, 1, _MOST_PIXELS)


def pixel_densities(size: int, width: Any) -> tuple[float, float]:
    """Return the numbers of pixels per unit of rapidity and azimuth.

    Raises
    ------
    JetforgeError
        As `side_lengths`, or if a pixel is not larger than 1e-6.
    """
    sides = side_lengths(width)
    if not min(sides) > _SMALLEST_PIXEL * size:
        raise JetforgeError(f"width is {width}; each of {size} pixels must be larger than {_SMALLEST_PIXEL:g}")
    return size / sides[0], size / sides[1]
