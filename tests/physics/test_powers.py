"""Powers that the compiler vectorises are those of numpy."""

import math

import numpy as np
import pytest

from jetforge.physics.powers import exp, raise_to


def raised(x: list[float], power: float) -> list[float]:
    out = np.empty(len(x))
    raise_to(np.array(x, dtype=float), power, len(x), out)
    return out.tolist()


def test_the_exponential_is_that_of_the_library() -> None:
    for x in [*np.linspace(-700, 700, 2001), *np.linspace(-1, 1, 2001), 0.0, 1e-300, -1e-17, 0.5 * math.log(2)]:
        assert exp(x) == pytest.approx(math.exp(x), rel=5e-16, abs=0)


@pytest.mark.parametrize("power", [0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.3, 2.0, 5.0])
def test_powers_are_those_of_numpy(power: float) -> None:
    x = np.exp(np.random.default_rng(1).uniform(-60, 20, 1001))
    np.testing.assert_allclose(raised(x.tolist(), power), x**power, rtol=1e-13)


@pytest.mark.parametrize("power", [-0.95, -0.5, -0.25, -2.0])
def test_negative_powers_are_those_of_numpy_but_of_zero(power: float) -> None:
    x = np.exp(np.random.default_rng(2).uniform(-60, 20, 1001))
    np.testing.assert_allclose(raised(x.tolist(), power), x**power, rtol=1e-13)
    assert raised([0.0, 1e-310, 1.0], power) == [0.0, 0.0, 1.0]
    assert raised([1e-290], -5.0)[0] == pytest.approx(1e304, rel=0.1)


def test_the_edges_of_the_range() -> None:
    for power in (0.1, 0.25, 0.5, 1.0, 1.3, 2.0):
        assert raised([0.0, 1.0], power) == [0.0, 1.0]
    assert raised([0.0, 1e-320, 3.0], 0.0) == [1.0, 1.0, 1.0]
    tiny, huge, zero = raised([1e-200, 1e200, 1e-320], 7.5)
    assert 0 < tiny < 1e-303
    assert 1e303 < huge < math.inf
    assert zero == 0.0


def test_a_power_can_be_taken_in_place_and_of_the_first_numbers_only() -> None:
    x = np.array([4.0, 9.0, 16.0])
    raise_to(x, 0.75, 2, x)
    np.testing.assert_allclose(x, [4**0.75, 9**0.75, 16.0], rtol=1e-14)
