"""Cambridge/Aachen clustering: every merge takes the closest pair, and rapidity follows FastJet."""

import fastjet
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetforge.physics.clustering import (
    History,
    Particles,
    Workspace,
    cluster_cambridge_aachen,
    rapidity,
    workspace,
)

Momenta = npt.NDArray[np.float64]


def spread_jet(rng: np.random.Generator, n: int) -> Momenta:
    """Return n pions (px, py, pz, E) scattered around an axis at several angular scales."""
    pt = np.exp(rng.uniform(-1, 4, n))
    width = 10 ** rng.uniform(-2.5, 0, (2, n))
    y, phi = rng.uniform(-2, 2), rng.uniform(-np.pi, np.pi)
    y, phi = np.array([[y], [phi]]) + width * rng.normal(size=(2, n))
    mt = np.sqrt(pt**2 + 0.13957**2)
    return np.array([pt * np.cos(phi), pt * np.sin(phi), mt * np.sinh(y), mt * np.cosh(y)])


def cell_jet(rng: np.random.Generator, n: int) -> Momenta:
    """Return n massless cells on a grid, where equal distances and cells hit twice are common."""
    pt = rng.integers(1, 5, n).astype(float)
    y, phi = rng.integers(-3, 4, (2, n)) * 0.1 + np.array([[0.0], [np.pi]])
    return np.array([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)])


def clustered(
    momenta: Momenta, memory: tuple[Particles, History, Workspace] | None = None
) -> tuple[Particles, History]:
    n = momenta.shape[1]
    particles, history, slots = workspace(n) if memory is None else memory
    for column, values in zip(particles, momenta, strict=False):
        column[:n] = values
    cluster_cambridge_aachen(n, particles, history, slots)
    return (
        Particles(*(column[: 2 * n - 1].copy() for column in particles)),
        History(*(column[: n - 1].copy() for column in history)),
    )


def squared_distances(particles: Particles, entries: npt.NDArray[np.int64]) -> Momenta:
    y, phi = particles.rapidity[entries], particles.phi[entries]
    dphi = np.abs(phi[:, None] - phi[None, :])
    distances = (y[:, None] - y[None, :]) ** 2 + np.minimum(dphi, 2 * np.pi - dphi) ** 2
    np.fill_diagonal(distances, np.inf)
    return np.asarray(distances)


def assert_closest_pairs_merge(n: int, particles: Particles, history: History) -> None:
    remaining = list(range(n))
    for t, (i, j) in enumerate(zip(history.first.tolist(), history.second.tolist(), strict=True)):
        distances = squared_distances(particles, np.array(remaining))
        taken = distances[remaining.index(i), remaining.index(j)]
        assert taken <= distances.min() * (1 + 1e-12) + 1e-30
        remaining = [k for k in remaining if k not in (i, j)] + [n + t]
    assert remaining == [2 * n - 2]


@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([spread_jet, cell_jet]))
def test_every_merge_takes_the_closest_pair(seed: int, n: int, make: object) -> None:
    assert callable(make)
    particles, history = clustered(make(np.random.default_rng(seed), n))
    assert_closest_pairs_merge(n, particles, history)


def test_more_constituents_than_fit_into_eight_bits() -> None:
    particles, history = clustered(spread_jet(np.random.default_rng(3), 300))
    assert_closest_pairs_merge(300, particles, history)


@given(st.integers(0, 10**6), st.integers(1, 60))
def test_the_merged_momentum_is_the_sum(seed: int, n: int) -> None:
    momenta = spread_jet(np.random.default_rng(seed), n)
    particles, _ = clustered(momenta)
    np.testing.assert_allclose([column[-1] for column in particles[:4]], momenta.sum(axis=1), rtol=1e-12, atol=1e-9)


def test_what_is_left_in_the_workspace_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    memory = workspace(90)
    clustered(spread_jet(rng, 90), memory)
    momenta = spread_jet(rng, 37)
    for again, fresh in zip(clustered(momenta, memory), clustered(momenta), strict=True):
        for column, expected in zip(again, fresh, strict=True):
            np.testing.assert_array_equal(column, expected)


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
