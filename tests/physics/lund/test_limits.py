"""Limits, and values of any shape, are checked where they come in."""

import awkward as ak
import numpy as np
import pytest

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.lund.limits import ln_limit, not_negative, positive, real_numbers


def test_limits_may_be_zero_or_infinite_but_not_negative() -> None:
    assert ln_limit("kt_min", 0.0) == -np.inf
    assert ln_limit("kt_min", np.inf) == np.inf
    assert ln_limit("kt_min", 2) == np.log(2.0)
    for value in (-1.0, np.nan, "1", None, True, [1.0]):
        with pytest.raises(JetforgeError, match=r"kt_min is .*; it must be"):
            ln_limit("kt_min", value)


def test_a_scale_is_above_zero_and_finite() -> None:
    assert positive("pt", np.float32(2.0)) == 2.0
    for value in (0.0, -1.0, np.nan, np.inf, 1e101, "a", None):
        with pytest.raises(JetforgeError, match=r"pt is .*; it must be"):
            positive("pt", value)


def test_numbers_keep_their_shape() -> None:
    for values in (2.0, 3, [1, 2], np.ones((2, 3), dtype=">f4"), ak.Array([1.0, 2.0]), []):
        found = not_negative("kt", values)
        assert found.dtype == np.float64
        assert found.dtype.isnative
        assert np.array_equal(found, np.asarray(values))
        assert found.shape == np.shape(values)


@pytest.mark.parametrize(
    "values",
    ["a", "1.0", ["1", "2"], 1j, True, None, [1.0, None], [[1.0], [1.0, 2.0]], ak.Array([1.0, None]),
     np.ma.masked_array([1.0, 2.0], mask=[False, True]), object()],
)  # fmt: skip
def test_what_is_no_number_is_refused(values: object) -> None:
    assert real_numbers(values) is None
    with pytest.raises(DataError, match="kt: not an array of numbers"):
        not_negative("kt", values)


@pytest.mark.parametrize("value", [-1.0, -1e-300, np.nan, np.inf, 1e101])
def test_numbers_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(DataError, match=r"delta: .* is among the values; they must be finite numbers, 0 or more"):
        not_negative("delta", [0.1, value])
