"""Rapidity follows FastJet, and coordinates are those of the momenta."""

import fastjet
import numpy as np
import pytest
from helpers.jets import flat_jets, spread_jet
from hypothesis import given
from hypothesis import strategies as st

from jetforge.physics.kinematics import (
    LEAST_PT,
    largest_jet,
    load_points,
    points_memory,
    pseudorapidity,
    rapidity,
    wrapped,
)


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


@given(st.floats(1, 1e3), st.floats(-1e3, 1e3))
def test_pseudorapidity_is_that_of_fastjet(pt: float, pz: float) -> None:
    momentum = fastjet.PseudoJet(pt, 0.0, pz, float(np.hypot(pt, pz)))
    assert pseudorapidity(pt, pz) == pytest.approx(momentum.eta(), rel=1e-9, abs=1e-9)
    assert pseudorapidity(pt, -pz) == -pseudorapidity(pt, pz)


def test_pseudorapidity_is_precise_across_the_beam() -> None:
    assert pseudorapidity(1.0, 1e-20) == pytest.approx(1e-20, rel=1e-15)


def test_pseudorapidity_along_the_beam_is_the_rapidity() -> None:
    for pz in (7.0, -7.0, 1e100, -1e-200):
        for pt in (0.0, 1e-200):
            assert pseudorapidity(pt, pz) == rapidity(pt, 0.0, pz, abs(pz))
    assert pseudorapidity(0.0, 0.0) == 0.0


@given(
    st.sampled_from([0.0, 5e-324, 1e-160, 1e-145, LEAST_PT, 1e-100, 1.0, 1e100]), st.sampled_from([0.0, 1e-300, 1e100])
)
def test_pseudorapidity_is_finite(pt: float, pz: float) -> None:
    assert np.isfinite(pseudorapidity(pt, pz))
    if pt > LEAST_PT and pz == 1e100:
        assert pseudorapidity(pt, pz) == pytest.approx(np.log(2) + np.log(pz) - np.log(pt)) or pt >= 0.1 * pz


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
