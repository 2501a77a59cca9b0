"""Rapidity follows FastJet, and coordinates are those of the momenta."""

import fastjet
import numpy as np
import pytest
from helpers.jets import flat_jets, spread_jet
from hypothesis import given
from hypothesis import strategies as st

from jetforge.physics.kinematics import largest_jet, load_points, points_memory, rapidity, wrapped


@pytest.mark.parametrize(
    "momentum",
    [
        (3.0, 4.0, 12.0, 13.0),
        (3.0, 4.0, -12.0, 13.0),
        (3.0, 4.0, 12.0, 12.9999),
        (1e-8, 0.0, 500.0, 500.0),
        (0.0, 0.0, 7.0, 7.0),
        (0.0, 0.0, -7.0, 7.0),
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 0.0, 2.0, 5.0),
        (1.0, 2.0, 0.0, 9.0),
    ],
)
def test_rapidity_is_that_of_fastjet(momentum: tuple[float, float, float, float]) -> None:
    assert rapidity(*momentum) == pytest.approx(fastjet.PseudoJet(*momentum).rap(), rel=1e-14, abs=1e-15)


def test_rapidity_is_finite_along_the_beam_with_energy_below_momentum() -> None:
    assert rapidity(0.0, 0.0, 7.0, 6.9999) == 1e5 + 7.0
    assert rapidity(0.0, 0.0, -7.0, 6.9999) == -1e5 - 7.0


@given(st.floats(-np.pi, np.pi), st.floats(-np.pi, np.pi))
def test_differences_of_azimuths_are_wrapped(a: float, b: float) -> None:
    assert -np.pi <= wrapped(a - b) <= np.pi
    assert np.exp(1j * wrapped(a - b)) == pytest.approx(np.exp(1j * (a - b)))


def test_points_are_those_of_the_jet_asked_for() -> None:
    jets = [spread_jet(1, 5), spread_jet(2, 0), spread_jet(3, 9)]
    flat = flat_jets(*jets)
    assert largest_jet(flat.offsets, 0, 3) == 9
    assert largest_jet(flat.offsets, 0, 2) == 5
    points = points_memory(9)
    for j, (px, py, pz, energy) in enumerate(jets):
        n = load_points(flat, j, points)
        assert n == len(px)
        np.testing.assert_allclose(points.pt[:n], np.hypot(px, py), rtol=1e-14)
        np.testing.assert_allclose(points.rapidity[:n], np.arctanh(pz / energy), rtol=1e-9)
        np.testing.assert_allclose(points.phi[:n], np.arctan2(py, px), rtol=1e-14)
