"""Names of algorithms are known or refused."""

from math import inf, nan

import pytest

from jetforge.errors import JetforgeError
from jetforge.physics.clustering.algorithms import is_wta, power_of, radius_of


def test_names_and_powers() -> None:
    assert [power_of(name) for name in ("cambridge_aachen", "kt", "antikt", 0.5)] == [0.0, 1.0, -1.0, 0.5]
    assert radius_of("radius", None, optional=True) == inf
    assert radius_of("R_sub", 0.4) == 0.4
    assert is_wta("wta")
    assert not is_wta("E")


@pytest.mark.parametrize("algorithm", ["KT", "anti-kt", "", nan, inf, 11])
def test_an_unknown_algorithm_is_refused(algorithm: str | float) -> None:
    with pytest.raises(JetforgeError, match="algorithm"):
        power_of(algorithm)


@pytest.mark.parametrize("radius", [0.0, -1.0, nan, inf, 9e-7, 1e-170, 1.1e6, 7e102, 2e154, None, "0.4"])
def test_an_impossible_radius_is_refused(radius: float) -> None:
    with pytest.raises(JetforgeError, match=r"R_sub is .*; it must be a finite number from 1e-06 to 1e\+06"):
        radius_of("R_sub", radius)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(JetforgeError, match="recombination 'WTA' is not known; choose one of E, wta"):
        is_wta("WTA")
