"""A grid has one or two lengths, and pixels that are neither too many nor too small."""

from typing import Any

import numpy as np
import pytest

from jetforge.errors import JetforgeError
from jetforge.physics.images.grid import checked_size, pixel_densities, side_lengths


@pytest.mark.parametrize("width", [2, 2.0, (2.0,), [2, 2.0], np.float32(2), np.array([2.0, 2.0])])
def test_one_length_is_for_both_sides(width: Any) -> None:
    assert side_lengths(width) == (2.0, 2.0)


def test_densities_are_pixels_per_length() -> None:
    assert pixel_densities(40, (1.16, 1.4)) == (40 / 1.16, 40 / 1.4)


@pytest.mark.parametrize("width", ["1", b"11", True, None, 0, -1.0, np.nan, np.inf, (1.0, "1"), (1, 2, 3), [], {}])
def test_what_is_no_length_is_refused(width: Any) -> None:
    with pytest.raises(JetforgeError, match=r"width is .*; it must be"):
        side_lengths(width)


@pytest.mark.parametrize("size", [0, -1, 4097, 10**28, 4.0, "4", True, None])
def test_sizes_are_whole_numbers_up_to_a_limit(size: Any) -> None:
    with pytest.raises(JetforgeError, match=r"size is .*; it must be a whole number from 1 to 4096"):
        checked_size(size)


def test_pixels_have_a_least_size() -> None:
    with pytest.raises(JetforgeError, match="each of 10 pixels must be larger than 1e-06"):
        pixel_densities(10, (1.0, 1e-6))
