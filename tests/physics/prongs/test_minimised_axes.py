"""The arithmetic under N-subjettiness: inverse roots, nearest axes, and axes that nothing belongs to."""

from math import inf

import numpy as np
from numba import njit

from jetforge.physics.prongs.minimised_axes import Rule, _inverse_sqrt, cloud_memory, find_nearest, minimise, pad


@njit
def inverse_sqrts(x, out):
    for i in range(len(x)):
        out[i] = _inverse_sqrt(x[i])


def test_inverse_sqrt_is_accurate_over_its_range() -> None:
    x = np.concatenate([10.0 ** np.random.default_rng(0).uniform(-300, 300, 20_000), [1e-20, 1.0, 2.0, 4.0, 1e16]])
    out = np.empty(len(x))
    inverse_sqrts(x, out)
    np.testing.assert_allclose(out * np.sqrt(x), 1.0, rtol=5e-16)


def loaded(pt, rapidity, phi):
    cloud = cloud_memory(len(pt))
    cloud.pt[: len(pt)], cloud.rapidity[: len(pt)], cloud.phi[: len(pt)] = pt, rapidity, phi
    return cloud, pad(len(pt), cloud)


def test_the_first_of_equally_near_axes_counts_and_azimuth_is_periodic() -> None:
    cloud, size = loaded([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 3.1, -3.1])
    assert size == 8
    axes = np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 3.1]])
    find_nearest(size, cloud, axes, 3)
    assert cloud.nearest[:3].tolist() == [0, 2, 2]
    np.testing.assert_allclose(cloud.distance2[:3], [1.0, 0.0, (2 * np.pi - 6.2) ** 2], atol=1e-15)


def test_an_axis_without_constituents_stays_and_others_cross_pi() -> None:
    cloud, size = loaded([1.0, 3.0], [0.0, 0.4], [3.1, -3.1])
    axes = np.array([[0.0, 9.0], [-3.0, 1.0]])
    steps = minimise(size, cloud, axes, 2, 2, Rule(2.0, inf, 1e-4, 1000))
    assert steps == 2  # the first reaches the mean, the second finds that nothing moves
    np.testing.assert_allclose(axes[:, 1], [9.0, 1.0])
    np.testing.assert_allclose(axes[:, 0], [0.3, -np.pi + (3 * (np.pi - 3.1) - (np.pi - 3.1)) / 4], rtol=1e-12)


def test_the_minimisation_stops_after_max_steps() -> None:
    rng = np.random.default_rng(1)
    cloud, size = loaded(rng.uniform(1, 2, 30), *rng.normal(0, 0.3, (2, 30)))
    axes = np.array([[1.0], [1.0]])
    assert minimise(size, cloud, axes, 1, 1, Rule(1.0, inf, 1e-8, 3)) == 3
    assert minimise(size, cloud, axes, 1, 1, Rule(1.0, inf, 1e-8, 10_000)) < 10_000
