"""The checks of arguments name the argument and the rule."""

import pytest

from jetforge.errors import TaggerError
from jetforge.taggers._arguments import (
    check_flags,
    check_fractions,
    check_heads,
    check_numbers,
    check_stages,
    check_whole,
    check_widths,
)


def test_what_makes_sense_passes():
    check_whole(layers=1, width=64)
    check_fractions(dropout=0, other=0.999)
    check_numbers(step=0, limit=1e300)
    check_numbers(1, divisor=1)
    check_flags(trim=True, beams=False)
    check_heads(12, 4)
    assert check_widths("hidden", [3, 4]) == (3, 4)
    assert check_widths("hidden", [], least=0) == ()
    assert check_stages("units", [[3], (4, 5)]) == ((3,), (4, 5))


@pytest.mark.parametrize(
    ("check", "rule"),
    [
        *((lambda v=v: check_whole(n=v), "n .* must be a whole number above 0") for v in (0, True, 1.0, "1", None)),
        (lambda: check_whole(2, n=1), "n 1 must be a whole number of 2 or more"),
        *(
            (lambda v=v: check_fractions(f=v), "f .* at least 0 and below 1")
            for v in (-0.1, 1, False, "0", float("nan"))
        ),
        *((lambda v=v: check_numbers(x=v), "x .* at least 0") for v in (-1, True, float("nan"), float("inf"), None)),
        (lambda: check_numbers(1, x=0.5), "x 0.5 must be a number of at least 1"),
        *((lambda v=v: check_flags(on=v), "on .* true or false") for v in (1, 0, "true", None)),
        (lambda: check_heads(12, 5), "num_heads 5 must divide the width 12"),
        *((lambda v=v: check_widths("w", v), "w .*above 0") for v in ([], 3, "64", None, [0], [1.5], [True], [[3]])),
        (lambda: check_widths("w", [0], least=0), "w .*above 0"),
        *((lambda v=v: check_stages("s", v), "s .*") for v in ([], [3], [[]], "64", [[3], [0]])),
    ],
)
def test_what_makes_no_sense_is_named(check, rule):
    with pytest.raises(TaggerError, match=rule):
        check()
