"""Whatever is given as numbers becomes an array, or is refused in one line."""

from typing import Any

import awkward as ak
import numpy as np
import pytest

from jetforge.errors import DataError
from jetforge.physics.number_arrays import float_array, number_array


@pytest.mark.parametrize(
    "values", [[1, 2], (1.0, 2.0), np.array([1, 2], dtype=">i2"), ak.Array([1, 2]), np.arange(1, 5, 2) / 1]
)
def test_numbers_become_floats(values: Any) -> None:
    found = float_array("weights", values)
    assert found.dtype == np.float64
    assert found.flags.c_contiguous
    assert found.tolist() == [float(value) for value in values]


def test_a_single_number_keeps_its_shape() -> None:
    assert float_array("weights", 3).shape == ()


@pytest.mark.parametrize(
    "values", ["x", None, [1, None], [[1], [1, 2]], b"x", [1j], {}, 10**400, ak.Array([[1], [1, 2]])]
)
def test_what_is_no_array_of_numbers_is_refused_in_one_line(values: Any) -> None:
    for function in (number_array, float_array):
        with pytest.raises(DataError, match=r"^weights is [^\n]*$"):
            function("weights", values)


def test_masked_values_are_refused() -> None:
    with pytest.raises(DataError, match="weights has values that are masked"):
        float_array("weights", np.ma.masked_equal([1.0, 2.0], 2.0))
    with pytest.raises(DataError, match="weights is no array of numbers"):
        float_array("weights", ak.Array([1.0, None]))


def test_longer_floats_that_do_not_fit_become_infinite_without_a_warning() -> None:
    assert float_array("weights", np.array([np.longdouble("1e4000")])).tolist() == [np.inf]
