"""N-subjettiness: its formula, its minima, what leaves it as it is, and what is refused."""

from collections.abc import Callable
from functools import partial
from math import inf, nan

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
from helpers.jets import (
    Momenta,
    awkward_jets,
    boosted,
    cell_jet,
    each_jet,
    flat_jets,
    from_angles,
    permuted,
    rotated,
    split_collinearly,
    spread_jet,
    with_soft,
)
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.flat import flatten
from jetforge.physics.prongs.tau import nsubjettiness, nsubjettiness_axes, nsubjettiness_ratio

Floats = npt.NDArray[np.float64]

SEEDS = ("kt", "half_kt", "ca", "antikt", "genkt", "wta_kt", "wta_half_kt", "wta_ca", "wta_genkt")
AXES = (*SEEDS, *(f"onepass_{name}" for name in SEEDS))
EMPTY = np.empty((4, 0))
AXIS = {"rapidity": 0.1, "phi": 0.2}

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 40)
names = st.sampled_from(AXES)


def radius_of(axes: str) -> dict[str, float]:
    return {"axes_radius": 0.2} if "antikt" in axes else {}


def tau(*jets: Momenta, **options: object) -> Floats:
    axes = str(options.get("axes", ""))
    return nsubjettiness(flat_jets(*jets), **(radius_of(axes) | {"n": (1, 2, 3, 4)} | options))


def angles(jet: Momenta) -> tuple[Floats, Floats, Floats]:
    px, py, pz, energy = jet
    return np.hypot(px, py), np.arctanh(pz / energy), np.arctan2(py, px)


def apart(dphi: Floats) -> Floats:
    return np.angle(np.exp(1j * dphi))


def distances2(jet: Momenta, axes: Floats) -> Floats:
    _, y, phi = angles(jet)
    return (y[:, np.newaxis] - axes[:, 0]) ** 2 + apart(phi[:, np.newaxis] - axes[:, 1]) ** 2


def moved(jet: Momenta, axes: Floats, beta: float, cutoff: float, accuracy: float, steps: int) -> Floats:
    """Return axes after the steps of the minimisation."""
    pt, y, phi = angles(jet)
    axes = axes.copy()
    for _ in range(steps):
        d2 = distances2(jet, axes)
        nearest = d2.argmin(axis=1)
        weight = pt * (d2.min(axis=1) + accuracy**2) ** (beta / 2 - 1) * (d2.min(axis=1) <= cutoff**2)
        new = axes.copy()
        for k in range(len(axes)):
            w = weight * (nearest == k)
            if w.sum() > 0:
                new[k] = [w @ y / w.sum(), axes[k, 1] + w @ apart(phi - axes[k, 1]) / w.sum()]
        change = np.hypot(new[:, 0] - axes[:, 0], new[:, 1] - axes[:, 1]).mean()
        axes = new
        if change <= accuracy:
            break
    return axes


def random_axes(seed: int, jet: Momenta, n: int) -> Floats:
    """Return axes near a jet; azimuths may be beyond pi."""
    _, y, phi = angles(jet)
    return np.array([[y[0], phi[0]]]) + np.random.default_rng(seed).normal(0, 0.5, (n, 2))


@given(seeds, sizes, st.integers(1, 6), st.sampled_from([0.3, 1.0, 1.5, 2.0, 4.0]), st.sampled_from([None, 0.4]))
def test_tau_about_given_axes_is_its_formula(seed: int, size: int, n: int, beta: float, R_cutoff: float | None) -> None:
    jet = spread_jet(seed, size)
    axes = random_axes(seed, jet, n)
    d2 = np.minimum(distances2(jet, axes).min(axis=1), inf if R_cutoff is None else R_cutoff**2)
    expected = angles(jet)[0] @ d2 ** (beta / 2)
    options = {"n": n, "beta": beta, "axes": axes[np.newaxis], "measure": "unnormalised", "R_cutoff": R_cutoff}
    np.testing.assert_allclose(tau(jet, **options), [expected], rtol=1e-9)
    if R_cutoff is None:
        normalised = tau(jet, R0=1.3, **(options | {"measure": "normalised"}))
        np.testing.assert_allclose(normalised, expected / (angles(jet)[0].sum() * 1.3**beta), rtol=1e-9)


@given(seeds, sizes, st.integers(1, 4), st.sampled_from([0.7, 1.0, 1.5, 2.0, 2.5]), st.sampled_from([None, 0.3]))
def test_axes_move_to_weighted_means(seed: int, size: int, n: int, beta: float, R_cutoff: float | None) -> None:
    jet = spread_jet(seed, size)
    start = random_axes(seed, jet, n)
    for steps in (1, 2, 1000):
        options = {"axes": start[np.newaxis], "one_pass": True, "beta": beta, "R_cutoff": R_cutoff}
        found = nsubjettiness_axes(flat_jets(jet), n, max_steps=steps, accuracy=1e-3, **options)[0].axes
        expected = moved(jet, start, beta, inf if R_cutoff is None else R_cutoff, 1e-3, steps)
        np.testing.assert_allclose(found.rapidity, expected[:, 0], rtol=0, atol=1e-7)
        np.testing.assert_allclose(apart(ak.to_numpy(found.phi) - expected[:, 1]), 0, atol=1e-7)
        assert np.all(np.abs(found.phi) <= np.pi)


@given(seeds, sizes, st.sampled_from(SEEDS), st.sampled_from([1.0, 1.5, 2.0]))
def test_minimisation_leads_down(seed: int, size: int, axes: str, beta: float) -> None:
    jet = spread_jet(seed, size)
    before, after = (tau(jet, axes=prefix + axes, beta=beta) for prefix in ("", "onepass_"))
    # Where an axis starts on a constituent, the floor under its distance moves it off by up to the accuracy.
    assert np.all(after <= before + 2e-4)
    finer = tau(jet, axes=f"onepass_{axes}", beta=beta, accuracy=1e-6, max_steps=100_000)
    assert np.all(np.abs(finer - after) <= 0.05 * after + 1e-4)


@given(seeds, sizes, names)
def test_tau_and_its_axes_belong_together(seed: int, size: int, axes: str) -> None:
    jets = flat_jets(spread_jet(seed, size), cell_jet(seed, 7), EMPTY)
    for n in (1, 3):
        expected = nsubjettiness(jets, n, axes=axes, **radius_of(axes))
        found = nsubjettiness_axes(jets, n, axes=axes, **radius_of(axes))
        np.testing.assert_allclose(ak.sum(found.axes.tau, axis=1), expected, rtol=1e-12, atol=1e-15)
        assert np.all(ak.num(found.axes) <= n)
        assert ak.num(found.subjet).to_list() == [size, 7, 0]
        again = nsubjettiness(jets, n, axes=found.axes)
        np.testing.assert_allclose(again, expected, rtol=1e-9, atol=1e-12)
        for jet, record in zip((spread_jet(seed, size), cell_jet(seed, 7)), found, strict=False):
            d2 = distances2(jet, np.stack([ak.to_numpy(record.axes[x]) for x in ("rapidity", "phi")], axis=1))
            own = d2[np.arange(len(d2)), ak.to_numpy(record.subjet)]
            np.testing.assert_allclose(own, d2.min(axis=1), rtol=0, atol=1e-9)


def test_constituents_beyond_the_cutoff_count_for_the_beam() -> None:
    jet = from_angles([100.0, 10.0, 1.0], [0.0, 0.1, 2.0], [0.0, 0.0, 0.0])
    options = {"axes": np.array([[[0.0, 0.0]]]), "R_cutoff": 0.5, "measure": "unnormalised"}
    found = nsubjettiness_axes(flat_jets(jet), 1, **options)[0]
    assert found.subjet.to_list() == [0, 0, -1]
    np.testing.assert_allclose(found.axes.tau, [1.0], rtol=1e-12)
    np.testing.assert_allclose(tau(jet, n=1, **options), [1.5], rtol=1e-12)


def test_a_jet_of_two_prongs_has_a_small_tau_21() -> None:
    rng = np.random.default_rng(3)
    y = np.concatenate([rng.normal(0.0, 0.02, 20), rng.normal(0.5, 0.02, 20)])
    two = from_angles(np.full(40, 5.0), y, rng.normal(3.1, 0.02, 40))
    one = from_angles(np.full(40, 5.0), rng.normal(0.0, 0.2, 40), rng.normal(3.1, 0.2, 40))
    ratio = nsubjettiness_ratio(flat_jets(two, one))
    assert ratio[0] < 0.15 < 0.5 < ratio[1] < 1.0
    found = nsubjettiness_axes(flat_jets(two), 2)[0]
    np.testing.assert_allclose(sorted(found.axes.rapidity), [0.0, 0.5], atol=0.02)
    assert len(set(found.subjet[:20].to_list())) == len(set(found.subjet[20:].to_list())) == 1


TRANSFORMATIONS: dict[str, Callable[[Momenta, int], Momenta]] = {
    "permuted": permuted,
    "rotated": lambda jet, seed: rotated(jet, seed % 1000 * 0.01),
    "boosted": lambda jet, seed: boosted(jet, (seed % 1000 - 500) * 0.004),
    "scaled": lambda jet, seed: jet * 10.0 ** (seed % 13 - 6),
}


@pytest.mark.parametrize("change", list(TRANSFORMATIONS))
@given(seed=seeds, size=sizes, axes=names)
def test_tau_does_not_see(change: str, seed: int, size: int, axes: str) -> None:
    jet = spread_jet(seed, size)
    other = TRANSFORMATIONS[change](jet, seed)
    # A step more or less in a minimisation moves its end by about the accuracy.
    rtol = 2e-3 if "onepass" in axes else 1e-6
    np.testing.assert_allclose(tau(other, axes=axes), tau(jet, axes=axes), rtol=rtol, atol=1e-9)
    unnormalised = partial(tau, axes=axes, measure="unnormalised")
    factor = other[0] @ other[0] + other[1] @ other[1]
    factor = np.sqrt(factor / (jet[0] @ jet[0] + jet[1] @ jet[1]))
    np.testing.assert_allclose(unnormalised(other), factor * unnormalised(jet), rtol=rtol, atol=1e-9 * factor)


@given(seeds, st.integers(5, 40), names, st.floats(0.05, 0.95), st.sampled_from([1.0, 2.0]))
def test_tau_is_collinear_safe(seed: int, size: int, axes: str, z: float, beta: float) -> None:
    jet = spread_jet(seed, size)
    split = split_collinearly(jet, seed % size, z)
    np.testing.assert_allclose(tau(split, axes=axes, beta=beta), tau(jet, axes=axes, beta=beta), rtol=2e-3, atol=1e-5)


@given(seeds, st.integers(5, 40), names, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_tau_is_infrared_safe(seed: int, size: int, axes: str, dy: float, dphi: float) -> None:
    if axes.endswith(("ca", "antikt")):  # a soft constituent far from the others may take an axis
        return
    jet = spread_jet(seed, size)
    soft = with_soft(jet, 1e-9, dy, dphi)
    np.testing.assert_allclose(tau(soft, axes=axes), tau(jet, axes=axes), rtol=2e-3, atol=1e-5)


def test_a_soft_constituent_can_take_an_axis() -> None:
    jet = from_angles([100.0, 50.0, 20.0], [0.0, 0.2, 0.25], [0.0, 0.0, 0.05])
    soft = with_soft(jet, 1e-9, 0.0, 0.7)
    assert tau(soft, n=2, axes="ca")[0] > 5 * tau(jet, n=2, axes="ca")[0]
    one_subjet = from_angles([100.0, 100.0, 20.0], [0.0, 0.0, 0.35], [0.0, 0.02, 0.0])
    beside = with_soft(one_subjet, 1e-9, 0.5, 0.0)
    antikt = partial(tau, n=2, axes="antikt", axes_radius=0.4)
    assert antikt(beside)[0] < 0.9 * antikt(one_subjet)[0]
    np.testing.assert_allclose(tau(soft, n=2, axes="kt"), tau(jet, n=2, axes="kt"), rtol=1e-6)


@pytest.mark.parametrize("axes", AXES)
def test_edge_cases_are_finite(axes: str) -> None:
    one, two = spread_jet(1, 1), spread_jet(2, 2)
    along_beam = np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [5.0, -7.0, 1.0], [5.0, 7.0, 3.5]])
    same = np.repeat(spread_jet(4, 1), 6, axis=1)
    huge = spread_jet(5, 12) * 1e98
    tiny = spread_jet(6, 12) * 1e-140
    nothing = np.zeros((4, 5))
    mixed = np.concatenate([spread_jet(7, 9), along_beam[:, :2] * 1e90, nothing], axis=1)
    jets = flat_jets(EMPTY, one, two, along_beam, same, huge, tiny, nothing, mixed)
    for beta in (0.1, 1.0, 2.0, 10.0):
        for measure in ("normalised", "unnormalised"):
            options = {"axes": axes, "beta": beta, "measure": measure, **radius_of(axes)}
            if "genkt" in axes:
                options["axes_power"] = 0.8
            found = nsubjettiness(jets, (1, 2, 8), **options)
            assert np.all(np.isfinite(found))
            assert np.all(found[[0, 1, 7]] == 0.0)
            assert beta < 1.0 or np.all(found[4] < 1e-12)
            assert np.all(found[2, 1:] == 0.0)
            records = nsubjettiness_axes(jets, 3, **options)
            assert all(np.all(np.isfinite(ak.flatten(records.axes[x]))) for x in ("rapidity", "phi", "tau"))
            assert np.all(np.isfinite(nsubjettiness_ratio(jets, 3, 2, **options)))


def test_no_jets_and_one_number() -> None:
    none = flat_jets(spread_jet(0, 3))._replace(offsets=np.zeros(1, dtype=np.int64))
    none = none._replace(**{x: np.empty(0) for x in ("px", "py", "pz", "energy")})
    assert nsubjettiness(none).shape == (0, 3)
    assert nsubjettiness(none, 2).shape == (0,)
    assert nsubjettiness(none, 2, axes=np.empty((0, 2, 2))).shape == (0,)
    assert len(nsubjettiness_axes(none, 2)) == 0
    jets = flat_jets(*(spread_jet(i, 20) for i in range(4)))
    all_of_them = nsubjettiness(jets, (5, 1, 3))
    for column, n in enumerate((5, 1, 3)):
        np.testing.assert_array_equal(nsubjettiness(jets, n), all_of_them[:, column])
    np.testing.assert_array_equal(nsubjettiness_ratio(jets, 3, 1), all_of_them[:, 2] / all_of_them[:, 1])
    assert nsubjettiness_ratio(flat_jets(EMPTY, spread_jet(0, 1)), 2, 1).tolist() == [0.0, 0.0]


def test_any_layout_and_any_number_of_threads(generated_jets: ak.Array) -> None:
    jets = generated_jets[:60]
    expected = nsubjettiness(jets)
    as_float32 = ak.values_astype(jets[["px", "py", "pz", "energy"]], np.float32)
    as_float64 = ak.values_astype(as_float32, np.float64)
    np.testing.assert_array_equal(nsubjettiness(as_float32), nsubjettiness(as_float64))
    flat = flatten(jets)
    columns = {name: np.repeat(getattr(flat, name).astype(">f8"), 2)[::2] for name in ("px", "py", "pz", "energy")}
    big_endian = Jets(flat.offsets, columns, {})
    np.testing.assert_array_equal(nsubjettiness(big_endian), expected)
    np.testing.assert_array_equal(nsubjettiness(jets[::-1]), expected[::-1])
    many = ak.concatenate([jets] * 20)
    for axes in ("onepass_kt", "antikt"):
        one, three = (nsubjettiness(many, axes=axes, num_threads=t, **radius_of(axes)) for t in (1, 3))
        np.testing.assert_array_equal(one, three)
    one, three = (nsubjettiness_axes(many, 3, num_threads=t) for t in (1, 3))
    assert ak.array_equal(one, three)


def test_given_axes_may_have_any_azimuth() -> None:
    jet = spread_jet(8, 20)
    axes = random_axes(8, jet, 3)[np.newaxis]
    turned = axes + np.array([0.0, 2 * np.pi]) * np.array([[[1], [-2], [5]]])
    np.testing.assert_allclose(tau(jet, n=(1, 3), axes=turned), tau(jet, n=(1, 3), axes=axes), rtol=1e-10)
    shown = ak.Array([[{"rapidity": y, "phi": phi} for y, phi in axes[0]]])
    np.testing.assert_allclose(tau(jet, n=(1, 3), axes=shown), tau(jet, n=(1, 3), axes=axes), rtol=1e-12)


def test_given_axes_may_be_optional_if_none_is_missing() -> None:
    jets = flat_jets(spread_jet(0, 5), spread_jet(1, 5), EMPTY)
    axes = ak.Array([[AXIS, AXIS], [AXIS], []])
    expected = nsubjettiness(jets, 1, axes=axes)
    np.testing.assert_array_equal(nsubjettiness(jets, 1, axes=ak.mask(axes, [True] * 3)), expected)
    assert (expected[:2] > 0).all()
    np.testing.assert_array_equal(expected[2:], 0.0)


@pytest.mark.parametrize("n", [(1, 2), 0, 2.0, 101, True])
def test_axes_are_of_one_number(n: object) -> None:
    with pytest.raises(JetforgeError, match=r"^n is .*; it must be a whole number from 1 to 100"):
        nsubjettiness_axes(flat_jets(spread_jet(0, 5)), n)
    with pytest.raises(JetforgeError, match=r"^numerator is .*; it must be a whole number from 1 to 100"):
        nsubjettiness_ratio(flat_jets(spread_jet(0, 5)), n, 1)


def test_two_constituents_about_given_axes_do_not_give_zero() -> None:
    jet = from_angles([10.0, 10.0], [0.0, 1.0], [0.0, 0.0])
    axes = np.array([[[0.0, 0.0], [0.5, 0.0]]])
    np.testing.assert_allclose(tau(jet, n=(1, 2), axes=axes, R0=1.0), [[0.5, 0.25]], rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": "wta_k"}, "axes 'wta_k' is not known; choose one of kt, half_kt, "),
        ({"axes": "KT_Axes"}, "axes 'KT_Axes' is not known"),
        ({"axes": "wta_antikt"}, "axes 'wta_antikt' is not known"),
        ({"axes": "antikt"}, "axes 'antikt' needs axes_radius"),
        ({"axes": "antikt", "axes_radius": 0.0}, "axes_radius is 0; it must be"),
        ({"axes": "genkt", "axes_radius": nan}, "axes_radius is nan; it must be"),
        ({"axes": "kt", "axes_radius": 0.2}, "axes_radius is for antikt and genkt axes, not 'kt'"),
        ({"axes": "antikt", "axes_radius": 0.2, "axes_power": 1.0}, "axes_power is for genkt axes, not 'antikt'"),
        ({"axes": "genkt", "axes_power": -1.0}, "axes_power, by default 1/beta, is -1; it must be"),
        ({"axes": "genkt", "beta": 0.01}, "axes_power, by default 1/beta, is 100; it must be"),
        ({"measure": "normalized"}, "measure 'normalized' is not known; choose one of normalised, unnormalised"),
        ({"beta": 0.0}, "beta is 0; it must be"),
        ({"beta": nan}, "beta is nan; it must be"),
        ({"beta": inf}, "beta is inf; it must be"),
        ({"R0": 0.0}, "R0 is 0; it must be"),
        ({"R0": -1.0}, "R0 is -1; it must be"),
        ({"R0": nan}, "R0 is nan; it must be"),
        ({"R_cutoff": -0.1}, "R_cutoff is -0.1; it must be"),
        ({"accuracy": 0.0}, "accuracy is 0; it must be"),
        ({"max_steps": 0}, "max_steps is 0; it must be"),
        ({"max_steps": 2**63}, "max_steps is 9223372036854775808; it must be"),
        ({"one_pass": "no"}, "one_pass is 'no'; it must be True or False"),
        ({"axes": "antikt", "axes_radius": 1e103}, r"axes_radius is 1e\+103; it must be"),
        ({"axes": "genkt", "axes_radius": 1e-170}, "axes_radius is 1e-170; it must be"),
        ({"n": 0}, "n is 0; it must be"),
        ({"n": ()}, r"n is \(\); it must be"),
        ({"n": 1.5}, "n is 1.5; it must be"),
        ({"n": (1, 101)}, r"n is \(1, 101\); it must be"),
        ({"num_threads": 0}, "num_threads is 0"),
        ({"axes": np.zeros((1, 3, 2)), "axes_radius": 0.2}, "axes are given: axes_power and axes_radius"),
    ],
)
def test_arguments_without_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(JetforgeError, match=f"^{message}"):
        nsubjettiness(flat_jets(spread_jet(0, 5)), **options)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (np.zeros((2, 3, 2)), "axes of 2 jets are given for 1 jets"),
        (np.zeros((1, 2, 2)), "axes: 2 a jet are given, and n asks for 3"),
        (np.zeros((1, 3, 3)), r"axes are of shape \(1, 3, 3\); they must be of shape \(n_jets, n, 2\)"),
        (np.full((1, 3, 2), nan), "jet 0, axis 0: rapidity and azimuth must be finite"),
        (None, "axes cannot be read"),
        ([[["a", "b"]]], "axes cannot be read"),
        (ak.Array([[AXIS, AXIS, None]]), "jet 0, axis 2: rapidity or azimuth is missing"),
        (ak.Array([[AXIS, AXIS | {"phi": None}, AXIS]]), "jet 0, axis 1: rapidity or azimuth is missing"),
        (ak.Array([None, [AXIS]])[:1], "jet 0: its axes are missing"),
        (
            ak.Array([[{"rapidity": "0.1", "phi": 0.2}]]),
            "axes: rapidity is of type 1 \\* var \\* string; it must be one",
        ),
        (ak.Array([[{"rapidity": 0.1, "phi": True}]]), "axes: phi is of type 1 \\* var \\* bool; it must be one"),
        (ak.Array([[{"rapidity": [0.1, 0.3], "phi": [0.2, 0.3]}]]), "axes: rapidity is of type"),
        (ak.Array([[{"rapidity": 0.1, "eta": 0.2}]]), "axes are of type 1 \\* var"),
        (ak.Array([[[0.0, 1.0], [0.0, None], [0.0, 1.0]]]), "jet 0, axis 1: rapidity or azimuth is missing"),
        (np.ma.masked_array(np.zeros((1, 3, 2)), mask=True), "jet 0, axis 0: rapidity or azimuth is missing"),
    ],
)
def test_axes_that_are_none_are_refused(axes: object, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        nsubjettiness(flat_jets(spread_jet(0, 5)), axes=axes)


def test_bad_constituents_are_refused() -> None:
    jet = spread_jet(0, 5)
    jet[0, 2] = nan
    with pytest.raises(DataError, match="jet 0, constituent 2"):
        nsubjettiness(awkward_jets(jet))
    missing = ak.Array([[{"px": 1.0, "py": 0.0, "pz": 0.0, "energy": None}]])
    with pytest.raises(DataError, match="missing"):
        nsubjettiness(missing)
    with pytest.raises(DataError, match="must be an awkward array"):
        nsubjettiness(each_jet(awkward_jets(spread_jet(0, 5))))
