"""Images and densities of the Lund plane count what numpy counts, and errors are those of a bootstrap over jets."""

import math

import awkward as ak
import numpy as np
import pytest
from helpers.jets import awkward_jets, boosted, from_angles, permuted, rotated, spread_jet
from hypothesis import given
from hypothesis import strategies as st

import jetforge
from jetforge.errors import DataError, JetforgeError
from jetforge.physics.lund.cuts import cut_tree, groomed_tree
from jetforge.physics.lund.leaves import secondary_lund_plane
from jetforge.physics.lund.plane import LundDensity, lund_density, lund_image

PLAIN = {
    "ln_inv_delta": lambda tree, R0: np.log(R0 / np.exp(tree.ln_delta)),
    "ln_delta": lambda tree, R0: np.log(np.exp(tree.ln_delta) / R0),
    "ln_kt": lambda tree, R0: tree.ln_kt,
    "ln_inv_z": lambda tree, R0: np.log(1 / np.exp(tree.ln_z)),
    "ln_z": lambda tree, R0: tree.ln_z,
    "ln_kappa": lambda tree, R0: np.log(np.exp(tree.ln_z) * np.exp(tree.ln_delta) / R0),
    "ln_m": lambda tree, R0: tree.ln_m,
    "psi": lambda tree, R0: tree.psi,
}


@pytest.fixture(scope="module")
def jets():
    return awkward_jets(*(spread_jet(seed, seed % 50) for seed in range(300)))


@pytest.fixture(scope="module")
def tree(jets):
    return jetforge.lund_tree(jets)


def numpy_images(tree, x, y, edges, R0=1.0):
    """Return np.histogram2d of each jet; nudged from edges that rounding may put either side."""
    return np.array([
        np.histogram2d(np.asarray(PLAIN[x](one, R0)), np.asarray(PLAIN[y](one, R0)), bins=edges)[0] for one in tree
    ])  # fmt: skip


def integral(plane):
    return (plane.density * np.outer(np.diff(plane.x_edges), np.diff(plane.y_edges))).sum()


def test_images_of_generated_jets_are_those_of_numpy(generated_jets):
    tree = jetforge.lund_tree(generated_jets)
    edges = (np.linspace(0, 7, 51), np.linspace(-3, 7, 51))
    primary = np.array([
        np.histogram2d(-one.ln_delta[one.is_primary], one.ln_kt[one.is_primary], bins=edges)[0]
        for one in tree
    ])  # fmt: skip
    images = lund_image(generated_jets)
    assert images.dtype == np.float32
    assert images.shape == (len(generated_jets), 50, 50)
    assert np.array_equal(images, primary)


@pytest.mark.parametrize(("x", "y"), [("ln_inv_delta", "ln_inv_z"), ("ln_delta", "ln_z"), ("psi", "ln_m"),
                                      ("ln_kappa", "ln_kt")])  # fmt: skip
def test_every_coordinate_is_what_its_name_says(jets, tree, x, y):
    R0 = 0.4
    images = lund_image(jets, x=x, y=y, bins=(7, 11), R0=R0, plane="all")
    plane = lund_density(jets, x=x, y=y, bins=(7, 11), R0=R0, plane="all")
    expected = numpy_images(tree, x, y, (plane.x_edges, plane.y_edges), R0)
    assert expected.sum() > 1000
    assert np.array_equal(images, expected)
    assert np.array_equal(plane.counts, expected.sum(axis=0))
    assert (plane.x, plane.y, plane.R0) == (x, y, R0)


def test_bins_of_any_width_hold_their_lower_edge_and_the_last_one_both():
    tree = jetforge.lund_tree(awkward_jets(*(spread_jet(seed, 40) for seed in range(50))))
    rounded = ak.with_field(ak.with_field(tree, np.round(tree.ln_kt), "ln_kt"), np.round(tree.ln_delta), "ln_delta")
    edges = ([-1.0, 0.0, 2.0, 3.0], [-2.0, -1.0, 3.0])
    expected = np.array([np.histogram2d(-one.ln_delta, one.ln_kt, bins=edges)[0] for one in rounded])
    assert expected.sum() > 200
    assert np.array_equal(lund_image(rounded, edges=edges, plane="all"), expected)


def test_an_image_adds_up_to_the_declusterings_of_its_jet(jets, tree):
    wide = {"x_range": (-20.0, 20.0), "y_range": (-20.0, 20.0)}
    assert lund_image(jets, **wide).sum(axis=(1, 2)).tolist() == ak.sum(tree.is_primary, axis=1).tolist()
    assert lund_image(jets, plane="all", **wide).sum(axis=(1, 2)).tolist() == ak.num(tree).tolist()
    secondary = secondary_lund_plane(jets)
    assert ak.sum(ak.num(secondary)) > 100
    images = lund_image(jets, plane="secondary", **wide)
    assert images.sum(axis=(1, 2)).tolist() == ak.num(secondary).tolist()
    assert np.array_equal(lund_image(secondary), lund_image(tree, plane="secondary"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.float32, np.float64])
def test_images_of_every_type_are_the_same(jets, dtype):
    images = lund_image(jets, bins=10, dtype=dtype)
    assert images.dtype == dtype
    assert np.array_equal(images, lund_image(jets, bins=10))


def test_a_type_that_cannot_count_is_refused():
    jets = awkward_jets(spread_jet(1, 300))
    assert lund_image(jets, dtype=np.uint16).sum() > 0
    with pytest.raises(DataError, match="more than 255 declusterings, which uint8 cannot count"):
        lund_image(jets, dtype=np.uint8)
    for dtype in (bool, np.float16, ">f4", "U3", "x", "(", math.nan, -1, None, [], {}, list):
        with pytest.raises(JetforgeError, match=r"dtype .* cannot be used; take float32, float64 or an integer type"):
            lund_image(jets, dtype=dtype)


def test_cuts_leave_out_declusterings(jets, tree):
    limits = {"kt_min": 0.5, "delta_min": 0.01, "delta_max": 0.5, "z_min": 0.02}
    kt, delta, z = (np.exp(tree[name]) for name in ("ln_kt", "ln_delta", "ln_z"))
    passing = tree[(kt >= 0.5) & (delta >= 0.01) & (delta <= 0.5) & (z >= 0.02)]
    plane, expected = lund_density(jets, **limits), lund_density(passing)
    assert 100 < expected.counts.sum() < lund_density(jets).counts.sum()
    assert np.array_equal(plane.counts, expected.counts)
    assert np.array_equal(lund_image(jets, **limits), lund_image(passing))
    assert lund_density(cut_tree(jets, kt_min=0.5)).counts.sum() == lund_density(jets, kt_min=0.5).counts.sum()
    groomed = groomed_tree(jets)
    assert lund_density(groomed).counts.sum() < lund_density(jets).counts.sum()


def test_the_density_integrates_to_the_mean_number_of_primary_declusterings(jets, tree):
    plane = lund_density(jets, bins=(20, 30))
    assert plane.density.shape == plane.error.shape == plane.counts.shape == (20, 30)
    mean = ak.sum(tree.is_primary) / len(jets)
    assert integral(plane) == pytest.approx(mean * (1 - plane.outside))
    assert plane.counts.sum() == lund_image(jets).sum()
    assert plane.num_jets == len(jets)
    inside = lund_density(jets, x_range=(-20.0, 20.0), y_range=(-20.0, 20.0))
    assert inside.outside == 0.0
    assert integral(inside) == pytest.approx(mean)


def test_a_uniform_emission_is_a_flat_density():
    rng = np.random.default_rng(2)
    n = 50_000
    one = jetforge.lund_tree(awkward_jets(spread_jet(1, 3)))
    two = one[np.zeros(n, dtype=int)]
    two = ak.with_field(two, ak.unflatten(-rng.uniform(0, 7, 2 * n), 2), "ln_delta")
    two = ak.with_field(two, ak.unflatten(rng.uniform(-3, 7, 2 * n), 2), "ln_kt")
    plane = lund_density(two, bins=10, plane="all")
    pull = (plane.density - 2 / 70) / plane.error
    assert abs(pull.mean()) < 0.3
    assert 0.85 < pull.std() < 1.15


def test_one_declustering_is_in_the_bin_of_its_coordinates():
    plane = lund_density(awkward_jets(from_angles([100.0, 40.0], [0.0, math.exp(-2.25)], [0.0, 0.0])), bins=(7, 10))
    assert np.argwhere(plane.counts).tolist() == [[2, 4]]
    assert plane.density[2, 4] == pytest.approx(1)
    assert plane.error[2, 4] == 0.0


def test_errors_are_the_scatter_of_the_jets(jets):
    plane = lund_density(jets, bins=12)
    images = lund_image(jets, bins=12, dtype=np.float64)
    area = np.outer(np.diff(plane.x_edges), np.diff(plane.y_edges))
    np.testing.assert_allclose(plane.density, images.mean(axis=0) / area, rtol=1e-12)
    expected = images.std(axis=0, ddof=1) / np.sqrt(len(jets)) / area
    np.testing.assert_allclose(plane.error, expected, rtol=1e-9, atol=1e-12)


def test_errors_of_weighted_jets_are_those_of_the_formula(jets):
    weights = np.random.default_rng(3).exponential(size=len(jets))
    plane = lund_density(jets, bins=12, weights=weights)
    images = lund_image(jets, bins=12, dtype=np.float64)
    area = np.outer(np.diff(plane.x_edges), np.diff(plane.y_edges))
    w, n = weights[:, None, None], len(jets)
    mean = (w * images).sum(axis=0) / w.sum()
    sigma = np.sqrt(n / (n - 1) * (w**2 * (images - mean) ** 2).sum(axis=0)) / w.sum()
    np.testing.assert_allclose(plane.density, mean / area, rtol=1e-12)
    np.testing.assert_allclose(plane.error, sigma / area, rtol=1e-9, atol=1e-12)
    assert plane.num_jets == pytest.approx(weights.sum())
    doubled = lund_density(jets, bins=12, weights=2 * weights)
    np.testing.assert_allclose(doubled.density, plane.density, rtol=1e-12)
    np.testing.assert_allclose(doubled.error, plane.error, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_errors_are_those_of_a_bootstrap_over_jets(generated_jets, weighted):
    """In wide bins, where a jet has several declusterings, the square root of their number is far off."""
    rng = np.random.default_rng(4)
    n = len(generated_jets)
    weights = rng.exponential(size=n) if weighted else np.ones(n)
    edges = ([0.0, 2.0, 4.0], [-3.0, 0.0, 7.0])
    plane = lund_density(generated_jets, edges=edges, plane="all", weights=weights if weighted else None)
    images = lund_image(generated_jets, edges=edges, plane="all", dtype=np.float64).reshape(n, -1)
    draws = rng.multinomial(n, np.full(n, 1 / n), size=4000) * weights
    means = draws @ images / draws.sum(axis=1, keepdims=True)
    area = np.outer(np.diff(plane.x_edges), np.diff(plane.y_edges)).ravel()
    bootstrap = means.std(axis=0, ddof=1) / area
    np.testing.assert_allclose(plane.error.ravel(), bootstrap, rtol=0.06)
    poisson = np.sqrt((weights[:, None] ** 2 * images).sum(axis=0)) / weights.sum() / area
    assert np.all(np.abs(poisson / bootstrap - 1) > 0.05)
    assert np.max(np.abs(poisson / bootstrap - 1)) > 0.4


def test_the_error_of_a_slice_is_not_that_of_its_bins_added_up(generated_jets):
    y_edges = np.linspace(-3, 0, 7)
    fine = lund_density(generated_jets, edges=(np.linspace(0, 4, 9), y_edges), plane="all")
    coarse = lund_density(generated_jets, edges=([0.0, 4.0], y_edges), plane="all")
    np.testing.assert_allclose(coarse.density[0], fine.density.mean(axis=0), rtol=1e-12)
    assert np.all(coarse.error[0] > 1.1 * np.sqrt((fine.error**2).sum(axis=0)) / 8)


def test_jets_that_are_all_alike_have_no_error():
    plane = lund_density(awkward_jets(*[spread_jet(5, 30)] * 20))
    assert plane.counts.sum() > 0
    np.testing.assert_allclose(plane.error, 0.0, atol=1e-7)


def test_jets_without_declusterings_count_as_jets(jets):
    with_empty = ak.concatenate([jets, awkward_jets(*[spread_jet(1, 1)] * len(jets))])
    np.testing.assert_allclose(lund_density(with_empty).density, lund_density(jets).density / 2, rtol=1e-12)
    nothing = lund_density(awkward_jets(spread_jet(1, 1), spread_jet(1, 0)))
    assert isinstance(nothing, LundDensity)
    assert not nothing.density.any()
    assert nothing.outside == 0.0
    assert not lund_image(awkward_jets(spread_jet(1, 1))).any()
    assert lund_image(jets[:0]).shape == (0, 50, 50)


@given(st.integers(0, 10**6), st.integers(1, 50))
def test_the_order_of_constituents_does_not_matter(seed, n):
    jet = spread_jet(seed, n)
    assert np.array_equal(lund_image(awkward_jets(jet)), lund_image(awkward_jets(permuted(jet, seed))))


@given(st.integers(0, 10**6), st.integers(2, 40), st.floats(-4, 4), st.floats(-1.5, 1.5), st.floats(0.1, 10))
def test_rotations_boosts_and_scales(seed, n, angle, eta, factor):
    """Nothing depends on rotations about and boosts along the beam; a scale of all momenta shifts ln kt alone."""
    jet = spread_jet(seed, n)
    moved = factor * boosted(rotated(jet, angle), eta)
    x_edges, y_edges = np.linspace(-3, 7, 6), np.linspace(-9, 9, 7)
    shifted = (x_edges, y_edges + math.log(factor))
    still = jetforge.lund_tree(awkward_jets(jet))[0]
    places = ((-still.ln_delta.to_numpy(), x_edges), (still.ln_kt.to_numpy(), y_edges))
    near = any(np.abs(np.subtract.outer(values, edges)).min() < 1e-5 for values, edges in places)
    one = lund_image(awkward_jets(jet), edges=(x_edges, y_edges))
    other = lund_image(awkward_jets(moved), edges=shifted)
    assert near or np.array_equal(one, other)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], r"weights: shape \(2,\) does not go with 3 jets"),
        ([1.0, np.nan, 1.0], "weights: 1 of 3 are not finite, first of jet 1"),
        ([1.0, -2.0, 1.0], "weights add up to 0; a positive sum is needed"),
        (["a", "b", "c"], "weights: not an array of real numbers"),
        (["1", "2", "3"], "weights: not an array of real numbers"),
        ([1.0, 1j, 1.0], "weights: not an array of real numbers"),
        ([1.0, None, 1.0], "weights: not an array of real numbers"),
        ([[1.0], [1.0, 2.0], [1.0]], "weights: not an array of real numbers"),
        (1.0, r"weights: shape \(\) does not go with 3 jets"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(jets, weights, message):
    with pytest.raises(DataError, match=message):
        lund_density(jets[:3], weights=weights)


def test_one_number_is_no_array_of_weights_of_one_jet(jets):
    with pytest.raises(DataError, match=r"weights: shape \(\) does not go with 1 jets"):
        lund_density(jets[3:4], weights=2.0)
    assert lund_density(jets[3:4], weights=[2.0]).num_jets == 2.0


@pytest.mark.parametrize("scale", [1e-200, 1e90])
def test_the_unit_of_weights_does_not_matter(jets, scale):
    """Nor is the square of a weight lost where it is beyond the range of numbers."""
    weights = np.random.default_rng(3).exponential(size=len(jets))
    plane, scaled = (lund_density(jets, bins=5, weights=w) for w in (weights, scale * weights))
    np.testing.assert_allclose(scaled.density, plane.density, rtol=1e-12)
    np.testing.assert_allclose(scaled.error, plane.error, rtol=1e-9)
    assert scaled.num_jets == pytest.approx(scale * plane.num_jets)


def test_a_density_of_no_jets_is_refused(jets):
    with pytest.raises(DataError, match="there are no jets"):
        lund_density(jets[:0])
