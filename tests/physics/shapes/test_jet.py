"""Shapes about the axis of a jet: agreement with FastJet and plain numpy, invariance and safety, and the edges."""

from collections.abc import Callable
from functools import partial
from typing import Any

import awkward as ak
import fastjet
import numpy as np
import numpy.typing as npt
import pytest
from helpers.jets import (
    Momenta,
    awkward_jets,
    boosted,
    each_jet,
    flat_jets,
    from_angles,
    permuted,
    pseudojets,
    rotated,
    split_collinearly,
    spread_jet,
    with_soft,
)
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.flat import FlatJets
from jetforge.physics.shapes.jet import (
    axis_moments,
    differential_shape,
    eccentricity,
    integrated_shape,
    jet_pull,
    planar_flow,
    pull_angle,
    pull_magnitude,
)

Shape = Callable[..., npt.NDArray[np.float64]]
SHAPES: dict[str, Shape] = {
    "planar flow": planar_flow,
    "planar flow, rapidity": partial(planar_flow, coordinates="rapidity"),
    "axes, kappa 1": partial(axis_moments, kappa=1.0),
    "axes": axis_moments,
    "axes, kappa 0.5": partial(axis_moments, kappa=0.5),
    "eccentricity": eccentricity,
    "pull": jet_pull,
    "pull magnitude": pull_magnitude,
    "pull angle": pull_angle,
    "rho": partial(differential_shape, R0=3.0, n_bins=6),
    "psi": partial(integrated_shape, R0=3.0, n_bins=6),
}
UNSAFE = ("axes", "axes, kappa 0.5")
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)

jets = st.builds(spread_jet, st.integers(0, 10**6), st.integers(3, 12))


def about_axis(jet: Momenta) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return pT, and rapidity and azimuth relative to the axis, as FastJet has them."""
    particles = pseudojets(jet)
    axis = fastjet.PseudoJet(*map(float, jet.sum(1)))
    dphi = [axis.delta_phi_to(p) for p in particles]
    return np.hypot(*jet[:2]), np.array([p.rap() - axis.rap() for p in particles]), np.array(dphi)


def covariance(jet: Momenta, kappa: float) -> npt.NDArray[np.float64]:
    pt, y, phi = about_axis(jet)
    return np.cov(np.array([y, phi]), aweights=pt**kappa, bias=True)


def flow(tensor: npt.NDArray[np.float64]) -> float:
    return float(4 * np.linalg.det(tensor) / np.trace(tensor) ** 2)


def test_planar_flow_is_that_of_the_momenta_across_the_axis(generated_jets: Any) -> None:
    expected, in_plane = [], []
    for jet in each_jet(generated_jets):
        axis = jet[:3].sum(1)
        across = np.linalg.svd(axis[None])[2][1:] @ jet[:3]
        expected.append(flow((across / jet[3]) @ across.T))
        pt, y, phi = about_axis(jet)
        in_plane.append(flow((np.array([y, phi]) * pt) @ np.array([y, phi]).T))
    np.testing.assert_allclose(planar_flow(generated_jets), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(planar_flow(generated_jets, coordinates="rapidity"), in_plane, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kappa", [0.5, 1.0, 2.0, 3.0])
def test_axes_are_those_of_the_covariance(generated_jets: Any, kappa: float) -> None:
    values = np.array([np.linalg.eigvalsh(covariance(jet, kappa))[::-1] for jet in each_jet(generated_jets)])
    np.testing.assert_allclose(axis_moments(generated_jets, kappa=kappa) ** 2, values, rtol=1e-8, atol=1e-15)
    if kappa == 1.0:
        np.testing.assert_allclose(eccentricity(generated_jets), 1 - values[:, 1] / values[:, 0], rtol=1e-9)


def test_axes_of_kappa_2_are_those_of_cms(generated_jets: Any) -> None:
    """sigma^2 = (a + b +- sqrt((a - b)^2 + 4 c^2))/2 with the elements a, b, c of the covariance of weight pT^2."""
    ours = axis_moments(generated_jets[:50])
    for jet, (longer, shorter) in zip(each_jet(generated_jets[:50]), ours, strict=True):
        (a, c), (_, b) = covariance(jet, 2.0)
        delta = np.sqrt((a - b) ** 2 + 4 * c**2)
        np.testing.assert_allclose([longer, shorter], np.sqrt([(a + b + delta) / 2, (a + b - delta) / 2]), rtol=1e-8)


def test_pull_is_the_weighted_sum_of_distances(generated_jets: Any) -> None:
    expected = []
    for jet in each_jet(generated_jets):
        pt, y, phi = about_axis(jet)
        weights = pt * np.hypot(y, phi) / np.hypot(*jet[:2].sum(1))
        expected.append([weights @ y, weights @ phi])
    pull = jet_pull(generated_jets)
    np.testing.assert_allclose(pull, expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(pull_magnitude(generated_jets), np.hypot(*pull.T), rtol=1e-15)
    np.testing.assert_allclose(pull_angle(generated_jets), np.arctan2(pull[:, 1], pull[:, 0]), rtol=1e-15)


def test_pull_points_to_what_pulls() -> None:
    """A hard core, and soft particles towards growing rapidity and azimuth, on the other side of phi = pi."""
    pulled = from_angles([100, 1, 1], [0, 0.3, 0.4], [3.1, 3.4, 3.5])
    jet = awkward_jets(pulled)
    angle = pull_angle(jet)[0]
    assert 0.7 < angle < 0.9
    axis = fastjet.PseudoJet(*map(float, pulled.sum(1)))
    for direction in (0.0, 1.0, 3.0, -2.0):
        other = [[axis.rap() + 0.5 * np.cos(direction), axis.phi_std() + 0.5 * np.sin(direction)]]
        expected = np.angle(np.exp(1j * (angle - direction)))
        np.testing.assert_allclose(pull_angle(jet, towards=other)[0], expected, rtol=1e-9)
        turned = [[other[0][0], other[0][1] - 4 * np.pi]]
        np.testing.assert_allclose(pull_angle(jet, towards=turned)[0], expected, rtol=1e-9)


def test_pull_angle_without_a_direction_is_zero() -> None:
    assert pull_angle(awkward_jets(spread_jet(1, 1)), towards=[[1.0, 2.0]])[0] == 0.0
    symmetric = from_angles([50, 1, 1], [0, 0.3, -0.3], [0, 0, 0])
    np.testing.assert_allclose(jet_pull(awkward_jets(symmetric)), 0, atol=1e-15)
    uneven = np.array([[20.0, 5.0], [4.0, -4.0], [0.0, 0.0], [416**0.5, 41**0.5]])
    assert pull_angle(awkward_jets(uneven))[0] == pytest.approx(-np.pi / 2, abs=1e-6)
    assert pull_angle(awkward_jets(uneven), towards=[[0.0, 0.0]])[0] == 0.0


@pytest.mark.parametrize(("R0", "n_bins"), [(0.8, 8), (0.4, 5), (1.5, 1)])
def test_profiles_are_histograms_of_pt(generated_jets: Any, R0: float, n_bins: int) -> None:
    rho = differential_shape(generated_jets, R0=R0, n_bins=n_bins)
    psi = integrated_shape(generated_jets, R0=R0, n_bins=n_bins)
    assert rho.shape == psi.shape == (len(generated_jets), n_bins)
    for j, jet in enumerate(each_jet(generated_jets)):
        pt, y, phi = about_axis(jet)
        r = np.hypot(y, phi)
        sums, edges = np.histogram(r, bins=n_bins, range=(0, R0), weights=pt)
        np.testing.assert_allclose(rho[j], sums / sums.sum() / np.diff(edges), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(psi[j], [pt[r < edge].sum() / pt[r < R0].sum() for edge in edges[1:]], rtol=1e-9)
    assert (psi[:, -1] == 1).all()
    assert (np.diff(psi, axis=1) >= 0).all()
    np.testing.assert_allclose(rho.sum(1) * R0 / n_bins, 1, rtol=1e-12)


def test_what_is_beyond_the_last_ring_does_not_count() -> None:
    jet = awkward_jets(from_angles([100, 50, 0.001], [0, 0.1, 2.0], [0, 0, 0]))
    np.testing.assert_allclose(integrated_shape(jet, R0=0.2, n_bins=4), [[2 / 3, 1, 1, 1]], rtol=1e-2)
    assert not np.any(integrated_shape(jet, R0=1e-3))
    assert not np.any(differential_shape(jet, R0=1e-3))


def test_figures_with_known_shapes() -> None:
    angles = 2 * np.pi * np.arange(12) / 12
    ring = from_angles(np.ones(12), 1e-3 * np.cos(angles), 1e-3 * np.sin(angles))
    line = from_angles(np.ones(12), 1e-3 * np.linspace(-1, 1, 12), 2e-3 * np.linspace(-1, 1, 12))
    figures = awkward_jets(ring, line)
    for coordinates in ("momentum", "rapidity"):
        np.testing.assert_allclose(planar_flow(figures, coordinates=coordinates), [1, 0], atol=1e-5)
    np.testing.assert_allclose(eccentricity(figures), [0, 1], atol=1e-9)
    np.testing.assert_allclose(axis_moments(figures)[0], [1e-3 / 2**0.5] * 2, rtol=1e-6)
    np.testing.assert_allclose(axis_moments(figures)[1, 1], 0, atol=1e-10)
    two = awkward_jets(spread_jet(3, 2))
    assert planar_flow(two)[0] == 0.0
    np.testing.assert_allclose(eccentricity(two), 1, rtol=1e-12)


@given(jets, st.floats(0.1, 1e3), st.floats(-3, 3), st.floats(-2, 2))
def test_order_scale_and_place_play_no_role(jet: Momenta, scale: float, angle: float, eta: float) -> None:
    moved = scale * rotated(permuted(jet, 1), angle)
    for name, shape in SHAPES.items():
        value = shape(awkward_jets(jet))
        other = moved if name == "planar flow" else boosted(moved, eta)
        close = partial(np.testing.assert_allclose, shape(awkward_jets(other)), value, err_msg=name)
        if name not in ("rho", "psi") or not near_an_edge(jet):
            close(rtol=1e-5, atol=1e-7)


def near_an_edge(jet: Momenta) -> bool:
    _, y, phi = about_axis(jet)
    return bool(np.any(np.abs(np.remainder(np.hypot(y, phi) / 0.5 + 0.5, 1) - 0.5) < 1e-3))


@given(jets, st.integers(0, 2), st.floats(0.2, 0.8))
def test_collinear_splittings_are_seen_by_unsafe_shapes_only(jet: Momenta, which: int, z: float) -> None:
    split = split_collinearly(jet, int(np.argsort(jet[3])[-1 - which]), z)
    for name, shape in SHAPES.items():
        before, after = shape(awkward_jets(jet)), shape(awkward_jets(split))
        if name in UNSAFE:
            assert np.abs(after - before).max() > 1e-9, name
        elif name not in ("rho", "psi") or not near_an_edge(jet):
            np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-8, err_msg=name)


@given(jets, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_soft_emissions_move_nothing(jet: Momenta, dy: float, dphi: float) -> None:
    soft = with_soft(jet, 1e-10, dy, dphi)
    for name, shape in SHAPES.items():
        if name in ("rho", "psi") and near_an_edge(jet):
            continue
        tolerance = 1e-3 if name == "axes, kappa 0.5" else 1e-6  # the weight is the root of pT
        np.testing.assert_allclose(
            shape(awkward_jets(soft)), shape(awkward_jets(jet)), tolerance, tolerance, err_msg=name
        )


@each_shape
def test_jets_without_shapes_give_zero(shape: Shape) -> None:
    assert len(shape(awkward_jets(spread_jet(0, 3))[:0])) == 0
    beam = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [5.0, 9.0, -3.0], [5.0, 9.0, 3.0]])
    assert not np.any(shape(awkward_jets(spread_jet(0, 3)[:, :0], np.zeros((4, 3)), beam)))
    one, same = spread_jet(3, 1), np.repeat(from_angles([10.1], [0.3], [2.0]), 7, axis=1)
    values = shape(awkward_jets(one, same))
    if values.ndim == 2 and values.shape[1] == 6:
        np.testing.assert_allclose(values[:, 0], values[0, 0])
    else:
        assert not np.any(values)


@each_shape
def test_extreme_momenta_stay_finite(shape: Shape) -> None:
    beam = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1e100, -1e100], [0.0, 1e100, 1e100]])
    thin = np.array([[1e-200, 2e-200, 1.0], [0.0, 1e-200, 0.0], [1e100, -1e100, 3.0], [1e100, 1e100, 4.0]])
    mixed = np.concatenate([spread_jet(1, 5), beam], axis=1)
    opposed = np.array([[1e100, -1e100, 1e-200], [0.0, 0.0, 0.0], [3.0, 4.0, 5.0], [1e100, 1e100, 6.0]])
    wide, soft = 1e97 * spread_jet(1, 20), 1e-150 * spread_jet(2, 20, m=0.0)
    values = shape(awkward_jets(mixed, thin, thin[:, :2], opposed, wide, soft))
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[4], shape(awkward_jets(spread_jet(1, 20)))[0], rtol=1e-7, atol=1e-12)


@each_shape
def test_threads_and_forms_of_the_input_play_no_role(shape: Shape) -> None:
    momenta = [spread_jet(seed, 1 + seed % 7) for seed in range(1100)]
    constituents, flat = awkward_jets(*momenta), flat_jets(*momenta)
    expected = shape(constituents, num_threads=1)
    np.testing.assert_array_equal(shape(constituents, num_threads=3), expected)
    np.testing.assert_array_equal(shape(flat), expected)
    stored = dict(zip(("px", "py", "pz", "energy"), flat[1:], strict=True))
    np.testing.assert_array_equal(shape(Jets(flat.offsets, stored)), expected)
    for changed in ([x.astype(">f8") for x in flat[1:]], [np.repeat(x, 2)[::2] for x in flat[1:]]):
        np.testing.assert_array_equal(shape(FlatJets(flat.offsets, *changed)), expected)
    single = ak.values_astype(constituents, np.float32)
    np.testing.assert_array_equal(shape(single), shape(ak.values_astype(single, np.float64)))


@each_shape
def test_wrong_data_are_refused(shape: Shape) -> None:
    broken = spread_jet(0, 3)
    broken[1, 1] = np.nan
    with pytest.raises(DataError, match="jet 0, constituent 1"):
        shape(awkward_jets(broken))
    with pytest.raises(DataError, match="is missing"):
        shape(ak.Array([[{"px": 1.0, "py": None, "pz": 0.0, "energy": 3.0}]]))
    with pytest.raises(JetforgeError, match="num_threads is 0"):
        shape(awkward_jets(spread_jet(0, 3)), num_threads=0)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, "0.8", True, 10**400])
def test_silly_parameters_are_refused(value: float) -> None:
    jet = awkward_jets(spread_jet(0, 3))
    with pytest.raises(JetforgeError, match=r"kappa is .*; it must be"):
        axis_moments(jet, kappa=value)
    for shape in (differential_shape, integrated_shape):
        with pytest.raises(JetforgeError, match=r"R0 is .*; it must be"):
            shape(jet, R0=value)


@pytest.mark.parametrize("R0", [1e-310, 1e-101])
def test_radii_in_which_a_density_has_no_number_are_refused(R0: float) -> None:
    for shape in (differential_shape, integrated_shape):
        with pytest.raises(JetforgeError, match=r"R0 is .*; it must be a finite number, 1e-100 or more"):
            shape(awkward_jets(spread_jet(0, 3)), R0=R0)


@pytest.mark.parametrize("R0", [1e-100, 1e-50, 1e50, 1.7e308])
@pytest.mark.parametrize("n_bins", [1, 10_000])
def test_any_radius_gives_finite_rings(R0: float, n_bins: int) -> None:
    same = np.repeat(from_angles([10.1], [0.3], [2.0]), 7, axis=1)
    for shape in (differential_shape, integrated_shape):
        assert np.isfinite(shape(awkward_jets(spread_jet(0, 3), same, same[:, :0]), R0=R0, n_bins=n_bins)).all()


def test_the_angle_of_the_pull_has_no_limit_where_the_pull_vanishes() -> None:
    pair = from_angles([1.0, 1.0], [0.3, -0.3], [0.0, 0.0])
    angles = [pull_angle(awkward_jets(with_soft(pair, 1e-6, -0.3, side * 0.6)))[0] for side in (1, -1)]
    assert angles == pytest.approx([np.pi / 2, -np.pi / 2], abs=1e-3)


@pytest.mark.parametrize("n_bins", [0, -1, 10_001, 2.5, np.nan, "8"])
def test_numbers_of_rings_that_do_not_exist_are_refused(n_bins: Any) -> None:
    for shape in (differential_shape, integrated_shape):
        with pytest.raises(JetforgeError, match=r"n_bins is .*; it must be"):
            shape(awkward_jets(spread_jet(0, 3)), n_bins=n_bins)


@pytest.mark.parametrize("coordinates", ["Momentum", "eta", "", None])
def test_wrong_coordinates_are_refused(coordinates: Any) -> None:
    with pytest.raises(JetforgeError, match="is not known; choose one of momentum, rapidity"):
        planar_flow(awkward_jets(spread_jet(0, 3)), coordinates=coordinates)


def test_points_that_are_none_are_refused() -> None:
    jet = awkward_jets(spread_jet(0, 3), spread_jet(1, 3))
    with pytest.raises(DataError, match=r"towards has the shape \(2,\); it must be \(2, 2\)"):
        pull_angle(jet, towards=[0.0, 1.0])
    for towards in ("x", [[0.0, 1.0], [0.0]], [[0.0, None], [0.0, 1.0]], {}):
        with pytest.raises(DataError, match=r"^towards is [^\n]*$"):
            pull_angle(jet, towards=towards)
    with pytest.raises(DataError, match="the point of jet 1 is"):
        pull_angle(jet, towards=[[0.0, 1.0], [np.nan, 0.0]])
