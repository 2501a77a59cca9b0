"""The vectorised logarithm, arctangent and minimum agree with the library's."""

import math

import numpy as np
import pytest
from numba import njit

from jetforge.physics.elementary import atan2, bits_float, float_bits, log, smaller


@njit
def _through_bits(x: float) -> float:
    return bits_float(float_bits(x))


@njit
def _smaller(x: float, y: float) -> float:
    return smaller(x, y)


def test_log_is_accurate_to_rounding() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [np.exp(rng.uniform(-700, 700, 3000)), rng.uniform(0.5, 2, 3000), 1 + rng.normal(size=99) * 1e-9]
    )
    ours = np.array([log(value) for value in x])
    np.testing.assert_allclose(ours, np.log(x), rtol=1e-15, atol=0)
    assert log(1.0) == 0.0


def test_atan2_is_accurate_to_rounding_in_all_directions() -> None:
    rng = np.random.default_rng(2)
    angle = rng.uniform(-math.pi, math.pi, 5000)
    y, x = np.exp(rng.uniform(-200, 200, 5000)) * np.array([np.sin(angle), np.cos(angle)])
    ours = np.array([atan2(*point) for point in zip(y, x, strict=True)])
    np.testing.assert_allclose(ours, np.arctan2(y, x), rtol=1e-15, atol=0)


@pytest.mark.parametrize(
    ("y", "x", "angle"),
    [
        (0.0, 0.0, 0.0),
        (0.0, 3.0, 0.0),
        (0.0, -3.0, math.pi),
        (-0.0, -3.0, math.pi),
        (2.0, 0.0, math.pi / 2),
        (-2.0, 0.0, -math.pi / 2),
        (1e-300, 1e300, 0.0),
        (-5.0, -5.0, -3 * math.pi / 4),
    ],
)
def test_atan2_on_the_axes_and_diagonals(y: float, x: float, angle: float) -> None:
    assert atan2(y, x) == pytest.approx(angle, rel=1e-15, abs=1e-299)


def test_bits_survive_and_minimum_is_the_smaller() -> None:
    assert _through_bits(-1.25e-7) == -1.25e-7
    assert _smaller(2.0, -3.0) == -3.0
    assert _smaller(-3.0, 2.0) == -3.0
