"""Aligned constituents of the ATLAS taggers, scaled pixels, and charges from PDG numbers."""

import awkward as ak
import numpy as np
import pytest
from helpers.jets import (
    awkward_jets,
    boosted,
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
from jetforge.physics.images.pixels import jet_images
from jetforge.physics.images.preprocessing import (
    ATLAS_COLUMNS,
    ATLAS_FEATURES,
    atlas_columns,
    atlas_constituents,
    fit_pixel_scaling,
    standardise,
)

seeds = st.integers(0, 2**32 - 1)


def assert_close(found, expected, rel, absolute=0.0):
    np.testing.assert_allclose(found, expected, rtol=rel, atol=absolute)


def atlas_features(pt, eta, phi, energy):
    """Evaluate the definition for one jet, its constituents in descending pT, in the complex plane."""
    z = (eta - eta[0]) + 1j * (np.mod(phi - phi[0] + np.pi, 2 * np.pi) - np.pi)
    if len(z) > 1:
        z = z * np.exp(-1j * (np.angle(z[1]) + np.pi / 2))
    if len(z) > 2 and z[2].real < 0:
        z = -z.conjugate()
    logs = np.log([pt, energy, pt / pt.sum(), energy / energy.sum()])
    return np.stack([z.real, z.imag, *logs, np.abs(z)], axis=-1)


@pytest.mark.parametrize("num", [1, 2, 3, 20, 80, 300])
def test_features_are_those_of_the_definition(generated_jets, num):
    features, mask = atlas_constituents(generated_jets, num, dtype=np.float64)
    assert features.shape == (500, num, len(ATLAS_FEATURES))
    assert mask.sum(axis=1).tolist() == np.minimum(ak.num(generated_jets), num).tolist()
    names = ("pt", "eta", "phi", "energy")
    columns = [ak.to_list(getattr(generated_jets, name)) for name in names]
    for found, there, jet in zip(features, mask, zip(*columns, strict=True), strict=True):
        jet = np.array(jet)
        leading = jet[:, np.argsort(-jet[0], kind="stable")[:num]]
        assert there[: leading.shape[1]].all()
        assert_close(found[there], atlas_features(*leading), 1e-9, 1e-11)
        assert not found[~there].any()


def test_columns_are_four_rows_of_the_leading_constituents(generated_jets):
    features, mask = atlas_constituents(generated_jets, dtype=np.float64)
    columns = atlas_columns(generated_jets, dtype=np.float64)
    assert columns.shape == (500, len(ATLAS_COLUMNS), 80)
    pt, eta, phi, energy = np.moveaxis(columns, 1, 0)
    assert np.array_equal(eta, features[..., 0])
    assert np.array_equal(phi, features[..., 1])
    assert_close(np.log(pt[mask]), features[..., 2][mask], 1e-12, 1e-12)
    assert_close(np.log(energy[mask]), features[..., 3][mask], 1e-12, 1e-12)
    raw = atlas_columns(generated_jets, 300, aligned=False, dtype=np.float64)
    hardest_first = generated_jets[ak.argsort(generated_jets.pt, ascending=False, stable=True)]
    for row, name in zip(np.moveaxis(raw, 1, 0), ATLAS_COLUMNS, strict=True):
        column = getattr(hardest_first, name)
        expected = ak.to_numpy(ak.fill_none(ak.pad_none(column, 300, clip=True), 0.0))
        assert_close(row, expected, 1e-9, 1e-11)


def test_the_first_three_constituents_fix_the_axes():
    jet = from_angles([1.0, 5.0, 2.0, 3.0], [0.5, 0.1, 0.4, 0.1], [3.1, -3.1, 3.0, 3.08])
    features, _ = atlas_constituents(flat_jets(jet), 4, dtype=np.float64)
    eta, phi = features[0, :, 0], features[0, :, 1]
    assert np.exp(features[0, :, 2]) == pytest.approx([5, 3, 2, 1])
    assert (eta[0], phi[0]) == (0, 0)
    assert (eta[1], phi[1]) == pytest.approx((0, -(2 * np.pi - 6.18)))
    assert (eta[2], phi[2]) == pytest.approx((0.3, -(2 * np.pi - 6.1)))
    assert (eta[3], phi[3]) == pytest.approx((0.4, -(2 * np.pi - 6.2)))
    assert features[0, :, 6] == pytest.approx(np.hypot(eta, phi))


@given(seeds, st.integers(1, 60), st.floats(-2, 2), st.floats(-4, 4))
def test_massless_features_do_not_see_rotations_order_or_the_angles_seen_under_a_boost(seed, n, eta, angle):
    jet = spread_jet(seed, n, m=0.0)
    turned = permuted(rotated(jet, angle), seed)
    (first, second), _ = atlas_constituents(flat_jets(jet, turned), 30, dtype=np.float64)
    assert_close(second, first, 1e-9, 1e-11)
    (third,), _ = atlas_constituents(flat_jets(boosted(turned, eta)), 30, dtype=np.float64)
    along_beam = [ATLAS_FEATURES.index(name) for name in ("eta", "phi", "log_pt", "log_pt_fraction", "delta_r")]
    assert_close(third[:, along_beam], first[:, along_beam], 1e-8, 1e-9)


@given(seeds, st.integers(3, 40), st.floats(-np.pi, np.pi), st.floats(1e-3, 1e3))
def test_the_plane_may_be_rotated_or_reflected_and_scale_only_shifts_logarithms(seed, n, angle, scale):
    pt, eta, phi = np.random.default_rng(seed).uniform(0.05, 1.0, (3, n))
    turned = np.cos(angle) * eta - np.sin(angle) * phi, np.sin(angle) * eta + np.cos(angle) * phi
    jets = flat_jets(from_angles(pt, eta, phi), from_angles(pt, *turned), scale * from_angles(pt, -eta, phi))
    features, _ = atlas_constituents(jets, n, dtype=np.float64)
    angles = [ATLAS_FEATURES.index(name) for name in ("eta", "phi", "delta_r")]
    for other in features[1:, :, angles]:
        assert_close(other, features[0][:, angles], 0, 1e-10)
    assert_close(features[2, :, 2], features[0, :, 2] + np.log(scale), 0, 1e-11)
    assert_close(features[2, :, 4:6], features[0, :, 4:6], 0, 1e-11)
    aligned = from_angles(np.exp(features[0, :, 2]), features[0, :, 0], features[0, :, 1])
    again, _ = atlas_constituents(flat_jets(aligned), n, dtype=np.float64)
    assert_close(again[0][:, angles], features[0][:, angles], 0, 1e-9)


def test_constituents_are_not_collinear_safe_but_soft_ones_only_append():
    jet = spread_jet(5, 10, m=0.0)
    harder = int(np.argmax(np.hypot(jet[0], jet[1])))
    jets = flat_jets(jet, with_soft(jet, 1e-9, 0.2, 0.1), split_collinearly(jet, harder, 0.5))
    (plain, soft, split), _ = atlas_constituents(jets, 11, dtype=np.float64)
    assert_close(soft[:10], plain[:10], 1e-8, 1e-9)
    assert np.abs(split[:10] - plain[:10]).max() > 0.05


def test_jets_of_few_constituents_are_aligned_as_far_as_they_go():
    none, one = np.empty((4, 0)), from_angles([4.0], [1.5], [2.0])
    two = from_angles([1.0, 4.0], [1.8, 1.5], [2.4, 2.0])
    collinear = from_angles([3.0, 2.0, 1.0], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    features, mask = atlas_constituents(flat_jets(none, one, two, collinear), 4, dtype=np.float64)
    assert mask.sum(axis=1).tolist() == [0, 1, 2, 3]
    assert not features[0].any()
    assert features[1, 0] == pytest.approx([0, 0, np.log(4), np.log(4 * np.cosh(1.5)), 0, 0, 0])
    assert features[2, 1, [0, 1, 6]] == pytest.approx([0, -0.5, 0.5])
    assert features[3, :3, 1] == pytest.approx(-np.sqrt(2) * np.array([0, 0.1, 0.2]))
    assert features[3, :3, 0] == pytest.approx(0, abs=1e-12)


def test_equal_constituents_keep_their_order_and_equal_directions_a_convention():
    pair = from_angles([2.0, 2.0, 1.0], [0.3, 0.3, 0.5], [0.1, 0.1, 0.1])
    features, _ = atlas_constituents(flat_jets(pair), 3, dtype=np.float64)
    assert features[0, 2, :2] == pytest.approx([0, -0.2], abs=1e-12)
    pt, eta = np.tile([1.0, 3.0, 2.0], 60), np.linspace(0, 1, 180)
    columns = atlas_columns(flat_jets(from_angles(pt, eta, np.zeros(180))), 150, aligned=False)[0]
    order = np.argsort(-pt, kind="stable")[:150]
    assert_close(columns[1], eta[order], 0, 1e-6)


def test_extreme_momenta_give_finite_features():
    jet = spread_jet(1, 6)
    beam = np.array([[0.0, 1e-160, 1e-140], [0.0, 0.0, 0.0], [1e100, -3.0, 1e100], [1e100, 3.0, 1e100]])
    tiny = np.array([[1e-8], [0.0], [0.0], [-1e-7]])
    for jets in (flat_jets(np.concatenate([jet, beam], axis=1), 1e97 * jet, beam, tiny), flat_jets(tiny, beam)):
        for num in (2, 20):
            for dtype in (np.float32, np.float64):
                assert np.isfinite(atlas_constituents(jets, num, dtype=dtype)[0]).all()
                assert np.isfinite(atlas_columns(jets, num, dtype=dtype)).all()
                assert np.isfinite(atlas_columns(jets, num, dtype=dtype, aligned=False)).all()
    assert atlas_constituents(flat_jets(beam), 5)[1].sum() == 1
    with_beam = np.concatenate([jet, beam[:, :2]], axis=1)
    features, mask = atlas_constituents(flat_jets(jet, with_beam), 10)
    assert np.array_equal(features[0], features[1])
    assert np.array_equal(mask[0], mask[1])


def test_form_of_the_input_and_number_of_threads_do_not_matter(generated_jets):
    jets = ak.concatenate([generated_jets] * 3)
    features, mask = atlas_constituents(jets, num_threads=1)
    assert features.dtype == np.float32
    for form in (jets, Jets.from_constituents(jets)):
        others = atlas_constituents(form, num_threads=3)
        assert others[0].tobytes() == features.tobytes()
        assert others[1].tobytes() == mask.tobytes()
    assert atlas_columns(jets, num_threads=1).tobytes() == atlas_columns(jets, num_threads=2).tobytes()
    assert np.array_equal(atlas_constituents(jets[::-7])[0], features[::-7])
    assert atlas_constituents(ak.Array([]))[0].shape == (0, 80, 7)
    double = atlas_constituents(jets, dtype=np.float64)[0]
    assert_close(features, double, 1e-6, 1e-6)


@pytest.mark.parametrize("function", [atlas_constituents, atlas_columns])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num": 0}, "num is 0; it must be"),
        ({"num": 2.5}, "num is 2.5"),
        ({"num": 10**28}, "it must be a whole number from 1 to 10000"),
        ({"dtype": np.int32}, "choose float32 or float64"),
        ({"num_threads": 0}, "num_threads is 0"),
    ],
)
def test_mistakes_are_refused(function, options, message):
    with pytest.raises(JetforgeError, match=message):
        function(flat_jets(spread_jet(3, 5)), **options)


@pytest.mark.parametrize("value", [1, 0, None, "no"])
def test_aligned_is_true_or_false(value):
    with pytest.raises(JetforgeError, match=r"aligned is .*; it must be True or False"):
        atlas_columns(flat_jets(spread_jet(3, 5)), aligned=value)


def test_bad_momenta_are_refused():
    with pytest.raises(DataError, match="not a finite momentum"):
        atlas_constituents(awkward_jets(np.full((4, 2), np.nan)))
    with pytest.raises(DataError, match="must be an awkward array"):
        atlas_columns([[1.0]])


def test_pixels_are_centred_and_scaled_as_by_energyflow(generated_jets):
    utils = pytest.importorskip("energyflow.utils", reason="compares with EnergyFlow")
    images = jet_images(generated_jets, channels=("pt", "multiplicity"), dtype=np.float64)
    train, other = images[:400], images[400:]
    scaling = fit_pixel_scaling(train, regulator=1e-4)
    last = [np.moveaxis(part, 1, -1) for part in (train, other)]
    expected = utils.standardize(*utils.zero_center(*last, copy=True), reg=1e-4, channels=None)
    for part, theirs in zip((train, other), expected, strict=True):
        assert_close(standardise(part, scaling), np.moveaxis(theirs, -1, 1), 1e-9, 1e-12)


def test_a_scaling_needs_no_memory_for_all_images_and_keeps_their_precision(monkeypatch):
    images = np.random.default_rng(1).exponential(size=(50, 2, 4, 4)).astype(np.float32)
    images[:, 0, 0, 0] = 0
    whole = fit_pixel_scaling(images)
    monkeypatch.setattr("jetforge.physics.images.preprocessing._PIXELS_PER_BLOCK", 7 * 32)
    parts = fit_pixel_scaling(images)
    for one, other in zip(whole, parts, strict=True):
        assert_close(one, other, 1e-12)
    scaled = standardise(images, whole)
    assert scaled.dtype == np.float32
    assert not scaled[:, 0, 0, 0].any()
    assert_close(scaled.mean(axis=0), 0, 0, 1e-6)
    assert_close(scaled.std(axis=0)[1], 1, 1e-3)
    assert standardise(np.ones((3, 2, 4, 4), dtype=int), whole).dtype == np.float64


def test_scalings_take_lists():
    images = [[[0.0, 1.0]], [[2.0, 5.0]]]
    scaling = fit_pixel_scaling(images, 1.0)
    assert scaling.mean.tolist() == [[1.0, 3.0]]
    assert standardise(images, scaling).tolist() == standardise(np.array(images), scaling).tolist()


def test_scalings_refuse_what_they_cannot_use():
    images = np.ones((3, 1, 2, 2))
    with pytest.raises(JetforgeError, match="regulator is 0; it must be"):
        fit_pixel_scaling(images, 0.0)
    with pytest.raises(DataError, match="nothing to learn a scaling from"):
        fit_pixel_scaling(images[:0])
    with pytest.raises(DataError, match="not finite"):
        fit_pixel_scaling(np.full((3, 1, 2, 2), np.nan))
    for images_or_not in ("x", None, [[1.0], [1.0, 2.0]]):
        for call in (fit_pixel_scaling, lambda x: standardise(x, fit_pixel_scaling(images))):
            with pytest.raises(DataError, match="images is "):
                call(images_or_not)
    for scaling in (None, 3.0, (0.0, 1.0)):
        with pytest.raises(DataError, match=r"scaling must be a PixelScaling, not .*; make one with fit_pixel_scaling"):
            standardise(images, scaling)
    with pytest.raises(DataError, match=r"shape \(1, 3, 3\) do not go with a scaling of shape \(1, 2, 2\)"):
        standardise(np.ones((3, 1, 3, 3)), fit_pixel_scaling(images))
