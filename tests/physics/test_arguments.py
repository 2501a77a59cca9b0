"""Every wrong argument is one line that names it, its value and the rule."""

from math import inf, nan
from typing import Any

import numpy as np
import pytest

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import choice, flag, floating, known, number, whole_number, whole_numbers


def test_good_arguments_are_given_back_as_plain_numbers() -> None:
    assert number("beta", np.float32(0.5), above=0, most=1) == 0.5
    assert isinstance(number("beta", 2), float)
    assert number("limit", inf, least=0, finite=False) == inf
    assert whole_number("n", np.int64(3), 1, 8) == 3
    assert type(whole_number("n", np.uint8(3), 1)) is int
    assert whole_numbers("n", 2, 1).tolist() == [2]
    assert whole_numbers("n", (1, 8), 1, 8).tolist() == [1, 8]
    assert choice("measure", "ee", {"hadr": 0, "ee": 1}) == 1
    assert known("measure", "ee", ("hadr", "ee")) == "ee"
    assert floating("float32") == np.float32
    assert floating(float) == np.float64


@pytest.mark.parametrize("value", ["two", None, nan, inf, True, [1.0], 1j, np.ones(2), 0.0, 2.5, 10**400, -(10**400)])
def test_what_is_no_number_in_its_range_is_refused(value: Any) -> None:
    with pytest.raises(JetforgeError, match=r"^beta is .*; it must be a finite number above 0 and at most 2$"):
        number("beta", value, above=0, most=2)


def test_a_long_value_is_shown_on_one_short_line() -> None:
    with pytest.raises(JetforgeError) as caught:
        number("z_cut", np.full(500, 0.1), least=0)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 150


def test_a_rule_is_said_in_words() -> None:
    with pytest.raises(JetforgeError, match=r"^z_cut is -0\.1; it must be a finite number from 0 to 1$"):
        number("z_cut", -0.1, least=0, most=1)
    with pytest.raises(JetforgeError, match=r"^kt_min is nan; it must be a number, 0 or more$"):
        number("kt_min", nan, least=0, finite=False)
    with pytest.raises(JetforgeError, match=r"^beta is 'two'; it must be a finite number$"):
        number("beta", "two")


@pytest.mark.parametrize("value", ["3", None, 1.5, 2.0, True, 0, 9, [1], nan])
def test_what_is_no_whole_number_in_its_range_is_refused(value: Any) -> None:
    with pytest.raises(JetforgeError, match=r"^n is .*; it must be a whole number from 1 to 8$"):
        whole_number("n", value, 1, 8)
    with pytest.raises(JetforgeError, match=r"^n is .*; it must be a whole number, 10 or more$"):
        whole_number("n", value, 10)


@pytest.mark.parametrize("values", ["12", None, (), (1, 9), (0, 1), 1.5, [[1, 2]], (1, "2"), [True], ([1], [1, 2])])
def test_what_are_no_whole_numbers_is_refused(values: Any) -> None:
    with pytest.raises(JetforgeError, match=r"^n is .*; it must be whole numbers from 1 to 8, such as \(1, 2, 3\)$"):
        whole_numbers("n", values, 1, 8)


def test_a_flag_is_true_or_false() -> None:
    assert flag("wta", True) is True
    assert flag("wta", np.bool_(False)) is False
    for value in ("no", None, 1, 0.0, np.array([True])):
        with pytest.raises(JetforgeError, match=r"^wta is .*; it must be True or False$"):
            flag("wta", value)


@pytest.mark.parametrize("name", ["eee", "", None, 3, ["ee"]])
def test_an_unknown_name_is_refused_with_those_known(name: Any) -> None:
    with pytest.raises(JetforgeError, match=r"^measure .* is not known; choose one of hadr, ee$"):
        choice("measure", name, {"hadr": 0, "ee": 1})


@pytest.mark.parametrize("dtype", [int, "float16", "no type", object, None, 0.5])
def test_other_types_of_numbers_are_refused(dtype: Any) -> None:
    with pytest.raises(JetforgeError, match=r"^dtype is .*; choose float32 or float64$"):
        floating(dtype)
