"""Splitting scales: agreement with FastJet, what changes them and what does not, and the edges."""

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import awkward as ak
import fastjet
import numpy as np
import numpy.typing as npt
import pytest
from helpers.jets import (
    Momenta,
    anti_kt_jets,
    awkward_jets,
    boosted,
    cell_jet,
    each_jet,
    flat_jets,
    from_angles,
    permuted,
    pseudojets,
    read_event,
    rotated,
    split_collinearly,
    spread_jet,
    with_soft,
)
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.clustering.splitting_scales import (
    kt_delta_r,
    kt_mass_drop,
    kt_splittings,
    q_w,
    splitting_scales,
    z_cuts,
)
from jetforge.physics.flat import FlatJets

SCALES = {
    "sqrt_d": splitting_scales,
    "z_cut": z_cuts,
    "delta_r": kt_delta_r,
    "mass_drop": kt_mass_drop,
    "q_w": q_w,
}
RADIUS = 100.0
Values = dict[str, npt.NDArray[np.float64]]

jets = st.builds(spread_jet, st.integers(0, 10**6), st.integers(4, 15))


def fastjet_splittings(jet: Momenta, n_scales: int) -> list[float]:
    """Return the same quantities from FastJet, in the order of SCALES."""
    definition = fastjet.JetDefinition(fastjet.kt_algorithm, RADIUS)
    particles = pseudojets(jet)
    sequence = fastjet.ClusterSequence(particles, definition)
    d = [RADIUS**2 * sequence.exclusive_dmerge(n) if n < len(particles) else 0.0 for n in range(1, n_scales + 1)]
    z_cut = []
    for n in range(1, n_scales + 1):
        opened = max(sequence.exclusive_jets(n), key=lambda subjet: subjet.cluster_hist_index()) if d[n - 1] else None
        z_cut.append(d[n - 1] / (d[n - 1] + opened.m2()) if opened is not None else 0.0)
    a, b = sequence.exclusive_jets(2)
    mass_drop = max(a.m(), b.m()) / (a + b).m()
    pairs = [0.0]
    if len(particles) > 2:
        x, y, z = sequence.exclusive_jets(3)
        pairs = [(x + y).m(), (x + z).m(), (y + z).m()]
    return [*(sqrt(x) for x in d), *z_cut, a.delta_R(b), mass_drop, min(pairs)]


def columns(constituents: Any, n_scales: int) -> npt.NDArray[np.float64]:
    return np.column_stack(kt_splittings(constituents, n_scales=n_scales))


def scales_of(jet: Momenta) -> Values:
    return {name: values[0] for name, values in kt_splittings(awkward_jets(jet))._asdict().items()}


def assert_scales_close(jet: Momenta, other: Momenta, tolerance: float) -> None:
    ours, others = scales_of(jet), scales_of(other)
    for name, value in ours.items():
        np.testing.assert_allclose(others[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def test_agrees_with_fastjet(generated_jets: Any) -> None:
    expected = [fastjet_splittings(jet, 5) for jet in each_jet(generated_jets)]
    np.testing.assert_allclose(columns(generated_jets, 5), expected, rtol=1e-9, atol=1e-12)


def test_agrees_with_fastjet_on_the_jets_of_an_event(refs: Path) -> None:
    event = read_event(refs / "fjcontrib" / "data" / "single-event.dat")
    some = [jet for jet in anti_kt_jets(event, 1.0, 5.0) if jet.shape[1] > 4]
    expected = [fastjet_splittings(jet, 4) for jet in some]
    assert len(expected) > 5
    np.testing.assert_allclose(columns(awkward_jets(*some), 4), expected, rtol=1e-8, atol=1e-9)


@given(st.integers(0, 10**6), st.integers(3, 30))
def test_agrees_with_fastjet_on_wide_jets(seed: int, n: int) -> None:
    jet = spread_jet(seed, n)
    np.testing.assert_allclose(columns(awkward_jets(jet), 3)[0], fastjet_splittings(jet, 3), rtol=1e-7, atol=1e-8)


def test_three_prongs_show_their_masses() -> None:
    """Two massless prongs of pT 100 and 50, 0.2 apart, and one of pT 80 at 0.5 from the harder."""
    jet = from_angles([100, 50, 80], [0, 0, 0.5], [0, 0.2, 0])
    shapes = scales_of(jet)

    def mass(i: int, j: int) -> float:
        total = jet[:, i] + jet[:, j]
        return sqrt(total[3] ** 2 - (total[:3] ** 2).sum())

    both = jet[:, 0] + jet[:, 1]
    y = np.arctanh(both[2] / both[3])
    delta = np.hypot(0.5 - y, np.arctan2(both[1], both[0]))
    total = jet.sum(1)
    m2 = total[3] ** 2 - (total[:3] ** 2).sum()
    np.testing.assert_allclose(shapes["sqrt_d"], [80 * delta, 50 * 0.2, 0], rtol=1e-12)
    np.testing.assert_allclose(shapes["delta_r"], delta, rtol=1e-12)
    np.testing.assert_allclose(shapes["mass_drop"], mass(0, 1) / sqrt(m2), rtol=1e-10)
    np.testing.assert_allclose(shapes["q_w"], min(mass(0, 1), mass(0, 2), mass(1, 2)), rtol=1e-10)
    expected = [(80 * delta) ** 2 / ((80 * delta) ** 2 + m2), 100 / (100 + mass(0, 1) ** 2), 0]
    np.testing.assert_allclose(shapes["z_cut"], expected, rtol=1e-10)


def test_each_function_is_a_field_of_all(generated_jets: Any) -> None:
    some = generated_jets[:20]
    together = kt_splittings(some)
    for name, function in SCALES.items():
        np.testing.assert_array_equal(function(some), getattr(together, name))
    np.testing.assert_array_equal(splitting_scales(some, n_scales=1), together.sqrt_d[:, :1])
    np.testing.assert_array_equal(z_cuts(some, n_scales=2), together.z_cut[:, :2])


@given(jets, st.floats(-3, 3), st.floats(-2, 2))
def test_order_and_place_play_no_role(jet: Momenta, angle: float, eta: float) -> None:
    assert_scales_close(jet, boosted(rotated(permuted(jet, 3), angle), eta), 1e-6)


@given(jets, st.floats(0.1, 1e3))
def test_scales_are_as_large_as_momenta(jet: Momenta, scale: float) -> None:
    ours, scaled = scales_of(jet), scales_of(scale * jet)
    for name, value in ours.items():
        factor = scale if name in ("sqrt_d", "q_w") else 1.0
        np.testing.assert_allclose(scaled[name], factor * value, rtol=1e-7, atol=1e-8, err_msg=name)


@given(jets, st.integers(0, 3), st.floats(0.1, 0.9), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_soft_and_collinear_emissions_move_nothing(jet: Momenta, which: int, z: float, dy: float, dphi: float) -> None:
    assert_scales_close(jet, split_collinearly(jet, which, z), 1e-6)
    assert_scales_close(jet, with_soft(jet, 1e-9, dy, dphi), 1e-4)


@pytest.mark.parametrize("name", SCALES)
def test_jets_without_steps_give_zero(name: str) -> None:
    function = SCALES[name]
    assert len(function(awkward_jets(spread_jet(0, 3))[:0])) == 0
    still = np.zeros((4, 3))
    few = function(awkward_jets(spread_jet(0, 3)[:, :0], spread_jet(0, 1), still))
    assert not np.any(few)
    two = scales_of(spread_jet(0, 2))
    assert two["q_w"] == 0.0
    assert not np.any(two["sqrt_d"][1:])
    assert not np.any(two["z_cut"][1:])
    assert min(two["sqrt_d"][0], two["z_cut"][0], two["delta_r"]) > 0.0


@pytest.mark.parametrize("n", [2, 3, 7])
def test_collinear_massless_particles_have_neither_z_nor_mass(n: int) -> None:
    rng = np.random.default_rng(n)
    jets = []
    for y, phi in zip(rng.uniform(-4, 4, 300), rng.uniform(-np.pi, np.pi, 300), strict=True):
        jets.append(from_angles([1.0], [y], [phi]) * np.exp(rng.uniform(-2, 5, n)))
    scales = kt_splittings(awkward_jets(*jets))
    assert not np.any(scales.z_cut)
    assert not np.any(scales.mass_drop)
    assert np.all(scales.sqrt_d < 1e-7)


@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-7, 1e-8, 1e-9])
def test_z_of_two_massless_prongs_holds_below_the_rounding_of_their_mass(delta: float) -> None:
    jet = from_angles([75.0, 25.0], [0.0, 0.0], [0.0, delta])
    np.testing.assert_allclose(scales_of(jet)["z_cut"][0], 0.25, rtol=3e-2)


def test_ratios_and_directions_of_one_prong_see_a_collinear_splitting() -> None:
    """One massive particle has neither; what becomes of it and a soft particle is what the soft one says."""
    hard = from_angles([100.0], [0.0], [0.0], m=5.0)
    near, far = (kt_splittings(awkward_jets(with_soft(hard, 1e-9, 0.0, dphi))) for dphi in (0.1, 0.4))
    assert near.sqrt_d[0, 0] < far.sqrt_d[0, 0] < 1e-8
    np.testing.assert_allclose([near.delta_r[0], far.delta_r[0]], [0.1, 0.4])
    np.testing.assert_allclose(near.mass_drop, 1.0)
    assert scales_of(hard)["delta_r"] == scales_of(hard)["mass_drop"] == 0.0


@pytest.mark.parametrize("name", SCALES)
def test_extreme_momenta_stay_finite(name: str) -> None:
    beam = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [5.0, 1e100, -1e100], [5.0, 1e100, 1e100]])
    mixed = np.concatenate([spread_jet(1, 5), beam, beam], axis=1)
    same = np.repeat(from_angles([10.0], [0.3], [2.0]), 6, axis=1)
    wide, soft, cells = 1e97 * spread_jet(1, 20), 1e-160 * spread_jet(2, 20, m=0.0), cell_jet(1, 200)
    values = SCALES[name](awkward_jets(beam, mixed, same, wide, soft, cells))
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    if name in ("z_cut", "mass_drop"):
        assert (values <= 1).all()
    if name in ("sqrt_d", "delta_r"):
        assert not np.any(values[2])
    scale = 1e97 if name in ("sqrt_d", "q_w") else 1.0
    np.testing.assert_allclose(values[3], scale * SCALES[name](awkward_jets(spread_jet(1, 20)))[0], rtol=1e-6)


@pytest.mark.parametrize("name", SCALES)
def test_threads_and_forms_of_the_input_play_no_role(name: str) -> None:
    function: Callable[..., npt.NDArray[np.float64]] = SCALES[name]
    momenta = [spread_jet(seed, 1 + seed % 7) for seed in range(1100)]
    constituents, flat = awkward_jets(*momenta), flat_jets(*momenta)
    expected = function(constituents, num_threads=1)
    np.testing.assert_array_equal(function(constituents, num_threads=3), expected)
    np.testing.assert_array_equal(function(flat), expected)
    stored = dict(zip(("px", "py", "pz", "energy"), flat[1:], strict=True))
    np.testing.assert_array_equal(function(Jets(flat.offsets, stored)), expected)
    for changed in ([x.astype(">f8") for x in flat[1:]], [np.repeat(x, 2)[::2] for x in flat[1:]]):
        np.testing.assert_array_equal(function(FlatJets(flat.offsets, *changed)), expected)
    single = ak.values_astype(constituents, np.float32)
    np.testing.assert_array_equal(function(single), function(ak.values_astype(single, np.float64)))


@pytest.mark.parametrize("n_scales", [0, -1, 1001, 1.5, np.nan, "2"])
@pytest.mark.parametrize("function", [kt_splittings, splitting_scales, z_cuts])
def test_numbers_of_scales_that_do_not_exist_are_refused(function: Callable[..., Any], n_scales: Any) -> None:
    with pytest.raises(JetforgeError, match=r"n_scales is .*; it must be"):
        function(awkward_jets(spread_jet(0, 3)), n_scales=n_scales)


@pytest.mark.parametrize("function", [kt_splittings, *SCALES.values()])
def test_wrong_data_are_refused(function: Callable[..., Any]) -> None:
    broken = spread_jet(0, 3)
    broken[1, 1] = np.nan
    with pytest.raises(DataError, match="jet 0, constituent 1"):
        function(awkward_jets(broken))
    with pytest.raises(DataError, match="is missing"):
        function(ak.Array([[{"px": 1.0, "py": None, "pz": 0.0, "energy": 3.0}]]))
    with pytest.raises(JetforgeError, match="num_threads is 0"):
        function(awkward_jets(spread_jet(0, 3)), num_threads=0)
