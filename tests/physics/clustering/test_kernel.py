"""Clustering: every step takes the smallest distance, as a plain search over all pairs finds it."""

import numpy as np
import pytest
from helpers.jets import Momenta, cell_jet, flat_jets, from_angles, spread_jet
from hypothesis import given
from hypothesis import strategies as st

from jetforge.physics.clustering.kernel import (
    History,
    Particles,
    Veto,
    Workspace,
    cluster,
    cluster_vetoing,
    delta_squared,
    entry_mass_squared,
    load_particles,
    pair_mass_squared,
    soft_threshold,
    workspace,
)

powers = st.sampled_from([0.0, 1.0, -1.0, 0.5, -0.3, 2.0])
radii = st.sampled_from([np.inf, 1.0, 0.3, 0.05])


def clustered(
    momenta: Momenta,
    memory: tuple[Particles, History, Workspace] | None = None,
    *,
    power: float = 0.0,
    radius: float = np.inf,
    wta: bool = False,
    veto: Veto | None = None,
) -> tuple[Particles, History]:
    n = momenta.shape[1]
    particles, history, slots = workspace(n) if memory is None else memory
    assert load_particles(flat_jets(momenta), 0, particles) == n
    if veto is None:
        steps = cluster(n, particles, history, slots, power, radius, wta)
    else:
        steps = cluster_vetoing(n, particles, history, slots, power, radius, wta, veto)
    assert steps == (n - 1 if radius == np.inf else n)
    return (
        Particles(*(column[: n + steps].copy() for column in particles)),
        History(*(column[:steps].copy() for column in history)),
    )


def distance_table(particles: Particles, entries: list[int], power: float, radius: float) -> tuple[Momenta, Momenta]:
    """Return d_ij, infinite on the diagonal, and d_iB of some entries."""
    y, phi = particles.rapidity[entries], particles.phi[entries]
    dphi = np.abs(phi[:, None] - phi[None, :])
    table = (y[:, None] - y[None, :]) ** 2 + np.minimum(dphi, 2 * np.pi - dphi) ** 2
    weight = (particles.px[entries] ** 2 + particles.py[entries] ** 2) ** power
    table = table * np.minimum(weight[:, None], weight[None, :]) / (1.0 if radius == np.inf else radius**2)
    np.fill_diagonal(table, np.inf)
    return table, np.full(len(entries), np.inf) if radius == np.inf else weight


def assert_smallest_distances(n: int, particles: Particles, history: History, power: float, radius: float) -> None:
    remaining = list(range(n))
    for t, (i, j, distance) in enumerate(zip(*(column.tolist() for column in history), strict=True)):
        pairs, beam = distance_table(particles, remaining, power, radius)
        smallest = min(pairs.min(), beam.min())
        if j == -1:
            taken = beam[remaining.index(i)]
            remaining.remove(i)
        else:
            partner = j if j >= 0 else -2 - j
            taken = pairs[remaining.index(i), remaining.index(partner)]
            remaining = [k for k in remaining if k not in (i, partner)] + [n + t]
        assert taken <= smallest * (1 + 1e-12) + 1e-25
        assert distance == pytest.approx(taken, rel=1e-9, abs=1e-25)
    assert remaining == ([2 * n - 2] if radius == np.inf else [])


@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([spread_jet, cell_jet]), powers, radii, st.booleans())
def test_every_step_takes_the_smallest_distance(
    seed: int, n: int, make: object, power: float, radius: float, wta: bool
) -> None:
    assert callable(make)
    particles, history = clustered(make(seed, n), power=power, radius=radius, wta=wta)
    assert_smallest_distances(n, particles, history, power, radius)


@pytest.mark.parametrize("power", [0.0, 1.0, -1.0])
def test_more_constituents_than_fit_into_eight_bits(power: float) -> None:
    particles, history = clustered(spread_jet(3, 300), power=power)
    assert_smallest_distances(300, particles, history, power, np.inf)


@given(st.integers(0, 10**6), st.integers(1, 60), powers)
def test_the_merged_momentum_is_the_sum(seed: int, n: int, power: float) -> None:
    momenta = spread_jet(seed, n)
    particles, _ = clustered(momenta, power=power)
    np.testing.assert_allclose([column[-1] for column in particles[:4]], momenta.sum(axis=1), rtol=1e-12, atol=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 60), powers)
def test_the_winner_takes_all(seed: int, n: int, power: float) -> None:
    momenta = spread_jet(seed, n)
    particles, history = clustered(momenta, power=power, wta=True)
    pt = np.hypot(particles.px, particles.py)
    mass2 = particles.energy**2 - particles.px**2 - particles.py**2 - particles.pz**2
    for t, (i, j) in enumerate(zip(history.first, history.second, strict=True)):
        winner = i if pt[i] >= pt[j] else j
        assert pt[n + t] == pytest.approx(pt[i] + pt[j], rel=1e-12)
        assert particles.rapidity[n + t] == particles.rapidity[winner]
        assert particles.phi[n + t] == particles.phi[winner]
        assert np.arctan2(particles.py[n + t], particles.px[n + t]) == pytest.approx(particles.phi[winner])
        assert np.arctanh(particles.pz[n + t] / particles.energy[n + t]) == pytest.approx(particles.rapidity[winner])
        assert mass2[n + t] == pytest.approx(mass2[winner], abs=1e-9 * particles.energy[n + t] ** 2)


@given(st.integers(0, 10**6), st.integers(2, 40), st.booleans(), st.floats(0.0, 2.0), st.floats(0.0, 0.5))
def test_a_veto_drops_soft_and_wide_prongs_alone(
    seed: int, n: int, vector_sum: bool, beta: float, r_cut: float
) -> None:
    veto = Veto(0.1, beta, 0.8, r_cut, vector_sum)
    particles, history = clustered(spread_jet(seed, n), veto=veto)
    assert_smallest_distances(n, particles, history, 0.0, np.inf)
    pt = np.hypot(particles.px, particles.py)
    for t, (i, j, delta2) in enumerate(zip(*history, strict=True)):
        partner = j if j >= 0 else -2 - j
        total = pt[i] + pt[partner]
        if vector_sum:
            total = np.hypot(particles.px[i] + particles.px[partner], particles.py[i] + particles.py[partner])
        soft = min(pt[i], pt[partner]) < 0.1 * (delta2 / 0.8**2) ** (beta / 2) * total
        assert (j < 0) == (soft and delta2 > r_cut**2)
        if j < 0:
            assert pt[i] >= pt[partner]
            assert all(column[n + t] == column[i] for column in particles)
        else:
            assert particles.energy[n + t] == particles.energy[i] + particles.energy[j]


def test_with_a_beam_everything_left_at_the_end_goes_softest_first_without_weights() -> None:
    particles, history = clustered(from_angles([5.0, 9.0, 1.0, 7.0], [0, 1, 2, 3], [0, 1, 2, 3]), radius=0.4)
    assert history.second.tolist() == [-1] * 4
    assert history.first.tolist() == [2, 0, 3, 1]
    assert history.distance.tolist() == [1.0] * 4
    assert particles.px[1] == pytest.approx(9 * np.cos(1))


def test_constituents_along_the_beam_do_not_stop_the_search() -> None:
    jet = np.concatenate([spread_jet(1, 5), [[0, 0], [0, 0], [7.0, -1e100], [7.0, 1e100]], np.zeros((4, 1))], axis=1)
    for power in (0.0, 1.0, -1.0, 0.5, -2.0):
        for radius in (np.inf, 0.4):
            for wta in (False, True):
                _, history = clustered(jet, power=power, radius=radius, wta=wta)
                used = np.concatenate([history.first, history.second[history.second >= 0]])
                assert sorted(used)[:8] == list(range(8))
                assert np.isfinite(history.distance).all()


def test_a_veto_without_a_cut_drops_nothing() -> None:
    same = np.repeat(spread_jet(1, 1), 4, axis=1)
    particles, history = clustered(same, veto=Veto(0.0, -1.0, 0.8, 0.0, False))
    assert (history.second >= 0).all()
    assert particles.energy[-1] == pytest.approx(same[3].sum())


@pytest.mark.parametrize("beta", [-2.0, 0.0, 1.0])
def test_the_threshold_of_a_splitting_is_a_number(beta: float) -> None:
    assert soft_threshold(0.0, beta, 0.0, 0.64) == 0.0
    assert soft_threshold(0.1, beta, 0.25, 0.25) == pytest.approx(0.1)
    assert soft_threshold(0.1, beta, 0.0, 0.0) == pytest.approx(0.1)
    assert soft_threshold(0.1, beta, 0.16, 0.64) == pytest.approx(0.1 * 0.5**beta)


def test_masses_and_distances_of_entries() -> None:
    jet = from_angles([10.0, 20.0], [0.1, 0.4], [3.1, -3.1], m=2.0)
    particles, _ = clustered(jet)
    assert entry_mass_squared(particles, 1) == pytest.approx(4.0, rel=1e-10)
    total = jet.sum(axis=1)
    assert pair_mass_squared(particles, 0, 1) == pytest.approx(total[3] ** 2 - (total[:3] ** 2).sum(), rel=1e-10)
    assert pair_mass_squared(particles, 0, 1) == entry_mass_squared(particles, 2)
    assert delta_squared(particles, 0, 1) == pytest.approx(0.3**2 + (2 * np.pi - 6.2) ** 2, rel=1e-10)


@pytest.mark.parametrize("power", [10.0, -10.0, 7.3])
@pytest.mark.parametrize("scale", [1e90, 1e-90])
def test_distances_of_steep_powers_stay_finite(power: float, scale: float) -> None:
    jet = scale * np.concatenate([spread_jet(1, 6), np.repeat(spread_jet(2, 1), 2, axis=1)], axis=1)
    for radius in (np.inf, 0.4):
        _, history = clustered(jet, power=power, radius=radius)
        assert np.isfinite(history.distance).all()
        assert (history.distance >= 0).all()


def test_no_constituent_makes_no_step() -> None:
    particles, history, slots = workspace(0)
    assert cluster(0, particles, history, slots, 1.0, 0.4, False) == 0


def test_what_is_left_in_the_workspace_does_not_matter() -> None:
    memory = workspace(90)
    for power, radius in [(0.0, np.inf), (1.0, 0.4), (-1.0, 0.2)]:
        clustered(spread_jet(4, 90), memory, power=power, radius=radius)
        momenta = spread_jet(5, 37)
        again = clustered(momenta, memory, power=1.0)
        for given_back, expected in zip(again, clustered(momenta, power=1.0), strict=True):
            for column, values in zip(given_back, expected, strict=True):
                np.testing.assert_array_equal(column, values)
