"""Jet images: agreement with a plain histogram of each jet and with EnergyFlow, symmetries, and edge cases."""

import tracemalloc

import awkward as ak
import numpy as np
import pytest
from helpers.jets import (
    Momenta,
    awkward_jets,
    boosted,
    cell_jet,
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
from jetforge.physics.images import pixels
from jetforge.physics.images.pixels import CHANNELS, PlanePoints, jet_images, pixelate, plane_points

WIDTH = (1.16, 1.4)
seeds = st.integers(0, 2**32 - 1)


def assert_close(found, expected, rel, absolute=0.0):
    np.testing.assert_allclose(found, expected, rtol=rel, atol=absolute)


def aligned(pt, y, phi):
    """Align one jet with plain numpy: another formula for every step."""
    hardest = np.argmax(pt)
    y, phi = y - y[hardest], (phi - phi[hardest] + np.pi) % (2 * np.pi) - np.pi
    y, phi = y - np.average(y, weights=pt), phi - np.average(phi, weights=pt)
    points = np.stack([y, phi])
    axis = np.linalg.eigh(np.einsum("ai,bi,i", points, points, pt))[1][:, 1]
    angle = np.pi / 2 - np.arctan2(axis[1], axis[0])
    y, phi = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ points
    y = -y if pt[y > 0].sum() > pt[y < 0].sum() else y
    return y, -phi if pt[phi < 0].sum() > pt[phi > 0].sum() else phi


def histogram(y, phi, weights, size=40, width=WIDTH):
    limits = [(-width[1] / 2, width[1] / 2), (-width[0] / 2, width[0] / 2)]
    return np.histogram2d(phi, y, bins=size, range=limits, weights=weights)[0]


@pytest.fixture(scope="module")
def plane(generated_jets):
    """Return pT, rapidity and azimuth of each generated jet, by `vector`."""
    columns = (generated_jets.pt, generated_jets.rapidity, generated_jets.phi)
    return [np.array(jet) for jet in zip(*(ak.to_list(column) for column in columns), strict=True)]


def test_images_are_the_histograms_of_jets_aligned_by_numpy(generated_jets, plane):
    found = jet_images(generated_jets, channels=CHANNELS, normalise=False, dtype=np.float64)
    charge = ak.to_list(generated_jets.charge)
    for image, (pt, y, phi), charges in zip(found, plane, charge, strict=True):
        y, phi = aligned(pt, y, phi)
        charged = np.array(charges) != 0
        weights = (pt, pt * charged, pt * ~charged, np.ones_like(pt), charged.astype(float))
        expected = np.stack([histogram(y, phi, weight) for weight in weights])
        assert np.array_equal(image[3:], expected[3:])
        assert_close(image, expected, 1e-11, 1e-9)


@pytest.mark.parametrize("size", [33, 32])
def test_pixels_are_those_of_energyflow_where_the_centroid_is_the_centre(generated_jets, size):
    utils = pytest.importorskip("energyflow.utils", reason="compares with EnergyFlow")
    points = pixels.flip(pixels.rotate(pixels.centre(plane_points(generated_jets))))
    # EnergyFlow puts a centroid on the middle of a pixel, which is half a pixel from the centre of an even grid.
    shift = 0.0 if size % 2 else 0.8 / size / 2
    moved = points._replace(y=points.y + shift, phi=points.phi + shift)
    found = pixels.normalise(pixelate(moved, size, 0.8))
    counts = pixelate(moved, size, 0.8, weights=np.ones_like(points.pt))
    pid = ak.to_numpy(ak.flatten(generated_jets.pid))
    jets = np.split(np.column_stack([points.pt, points.y, points.phi, pid]), points.offsets[1:-1])
    expected = np.stack([utils.pixelate(jet, npix=size, img_width=0.8, nb_chan=2) for jet in jets])
    assert_close(found, expected[..., 0], 1e-12, 1e-15)
    assert np.array_equal(counts, expected[..., 1])


def test_separate_steps_make_the_same_images(generated_jets):
    points = pixels.flip(pixels.rotate(pixels.centre(plane_points(generated_jets))))
    larger = pixelate(points, 60, (1.74, 2.1))
    stepwise = pixels.normalise(pixels.crop(larger, 40))
    assert_close(stepwise, jet_images(generated_jets, dtype=np.float64)[:, 0], 1e-9, 1e-14)
    unaligned = jet_images(generated_jets, origin="hardest", rotate=False, flip=False, dtype=np.float64)[:, 0]
    centred = pixels.normalise(pixelate(pixels.centre(plane_points(generated_jets), "hardest")))
    assert_close(unaligned, centred, 1e-9, 1e-14)


def test_points_and_steps_do_what_they_say(generated_jets):
    points = plane_points(generated_jets)
    assert_close(points.y, ak.to_numpy(ak.flatten(generated_jets.rapidity)), 1e-9, 1e-9)
    sums = np.add.reduceat
    begins = points.offsets[:-1]
    centred = pixels.centre(points)
    for column in (centred.y, centred.phi):
        assert np.abs(sums(points.pt * column, begins) / sums(points.pt, begins)).max() < 1e-14
    turned = pixels.rotate(centred)
    mixed, wide, tall = (
        sums(points.pt * product, begins) for product in (turned.y * turned.phi, turned.y**2, turned.phi**2)
    )
    assert np.abs(mixed / tall).max() < 1e-12
    assert np.all(wide < tall)
    assert_close(np.hypot(turned.y, turned.phi), np.hypot(centred.y, centred.phi), 1e-12)
    # The turn is by at most a right angle.
    assert np.all(sums(centred.y * turned.y + centred.phi * turned.phi, begins) >= 0)
    flipped = pixels.flip(turned)
    assert np.all(sums(points.pt * np.sign(flipped.y), begins) <= 0)
    assert np.all(sums(points.pt * np.sign(flipped.phi), begins) >= 0)
    assert np.array_equal(np.abs(flipped.y), np.abs(turned.y))
    for moved in (centred, turned, flipped):
        assert np.array_equal(moved.pt, points.pt)


def test_aligned_jets_are_left_as_they_are(generated_jets):
    once = pixels.flip(pixels.rotate(pixels.centre(plane_points(generated_jets))))
    again = pixels.flip(pixels.rotate(pixels.centre(once)))
    for first, second in zip(once, again, strict=True):
        assert_close(second, first, 1e-9, 1e-12)


def align_one(jet: Momenta) -> PlanePoints:
    return pixels.flip(pixels.rotate(pixels.centre(plane_points(flat_jets(jet)))))


@given(seeds, st.integers(1, 60), st.floats(-np.pi, np.pi), st.booleans())
def test_images_do_not_see_a_rotation_or_a_reflection_in_the_plane(seed, n, angle, mirror):
    pt, y, phi = np.random.default_rng(seed).uniform(0.05, 1.0, (3, n))
    turned = np.cos(angle) * y - np.sin(angle) * phi, np.sin(angle) * y + np.cos(angle) * phi
    if mirror:
        turned = turned[1], turned[0]
    first, second = align_one(from_angles(pt, y, phi)), align_one(from_angles(pt, *turned))
    assert_close(second.y, first.y, 0, 1e-11)
    assert_close(second.phi, first.phi, 0, 1e-11)


@given(seeds, st.integers(1, 80), st.floats(-3, 3), st.floats(-4, 4), st.floats(1e-3, 1e3))
def test_images_do_not_see_boosts_rotations_scale_or_order(seed, n, eta, angle, scale):
    jet = spread_jet(seed, n)
    moved = scale * permuted(rotated(boosted(jet, eta), angle), seed)
    first, second = jet_images(flat_jets(jet, moved), channels=("pt", "multiplicity"), dtype=np.float64)
    assert_close(second, first, 1e-9, 1e-12)


@given(seeds, st.integers(1, 30), st.floats(-2, 2), st.floats(-4, 4))
def test_symmetric_jets_on_the_borders_of_pixels_have_one_image(seed, n, eta, angle):
    cells = cell_jet(seed, n)
    moved = rotated(boosted(cells, eta), angle)
    first, second = jet_images(flat_jets(cells, moved), 20, 2.0, rotate=False, dtype=np.float64)
    assert_close(second, first, 1e-9, 1e-12)


@given(st.integers(3, 9), st.floats(0, 1), st.floats(-2, 2), st.floats(-4, 4))
def test_regular_polygons_are_not_rotated_by_rounding(n, turn, eta, angle):
    corners = 2 * np.pi * (np.arange(n) + turn) / n
    jet = from_angles(np.full(n, 3.0), 0.3 * np.cos(corners), 0.3 * np.sin(corners))
    centred = pixels.centre(plane_points(flat_jets(jet, rotated(boosted(jet, eta), angle))))
    turned = pixels.rotate(centred)
    assert np.array_equal(turned.y, centred.y)
    assert np.array_equal(turned.phi, centred.phi)


def test_equal_halves_are_not_mirrored_by_rounding():
    pt = np.array([0.1, 0.2, 0.3])  # 0.1 + 0.2 > 0.3 in floating point
    for side in (-1.0, 1.0):
        y = side * np.array([1.0, 1.0, -1.0])
        flipped = pixels.flip(PlanePoints(np.array([0, 3]), y, y, pt))
        assert np.array_equal(flipped.y, y)
        assert np.array_equal(flipped.phi, y)


@given(seeds, st.integers(2, 30), st.floats(0.05, 0.95))
def test_sums_of_pt_are_collinear_and_infrared_safe_and_multiplicity_is_not(seed, n, z):
    jet = spread_jet(seed, n, m=0.0)
    split = split_collinearly(jet, 0, z)
    soft = with_soft(jet, 1e-9, 0.02, 0.01)
    kinds = {"origin": "centroid", "dtype": np.float64, "normalise": False, "width": 8.0}
    pt = jet_images(flat_jets(jet, split, soft), **kinds)
    assert_close(pt[1], pt[0], 1e-9, 1e-9)
    assert pt[2].sum() == pytest.approx(pt[0].sum(), rel=1e-9)
    number = jet_images(flat_jets(jet, split, soft), channels=("multiplicity",), **kinds).sum(axis=(1, 2, 3))
    assert number.tolist() == [n, n + 1, n + 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_sum_to_one_and_charged_and_neutral_add_up(generated_jets, dtype):
    found = jet_images(generated_jets, channels=CHANNELS, dtype=dtype)
    assert found.dtype == dtype
    rounding = 4 * float(np.finfo(dtype).eps)
    total = found.sum(axis=(2, 3), dtype=np.float64)
    assert_close(total[:, [0, 3]], 1, 0, 20 * rounding)
    assert_close(found[:, 1] + found[:, 2], found[:, 0], 0, rounding)
    assert np.all(found[:, 4] <= found[:, 3])
    assert 0.4 < total[:, 1].mean() < 0.8


def test_charges_are_read_from_any_form_of_jets(generated_jets):
    expected = jet_images(generated_jets, channels=("charged_pt",))
    by_pid = generated_jets[[name for name in generated_jets.fields if name != "charge"]]
    wrapped_up = Jets.from_constituents(generated_jets)
    for jets in (by_pid, wrapped_up, wrapped_up[10:].constituents):
        assert np.array_equal(jet_images(jets, channels=("charged_pt",)), expected[-len(jets) :])


def test_what_is_outside_is_left_out_of_the_normalisation():
    jet = from_angles([8.0, 1.0, 1.0, 2.0], [0.0, 0.1, 5.0, -2.5], [0.0] * 4)
    found = jet_images(flat_jets(jet), 10, 1.0, ("pt", "multiplicity"), origin="hardest", dtype=np.float64)[0]
    assert found.sum(axis=(1, 2)) == pytest.approx(1)
    assert sorted(found[0][found[0] > 0]) == pytest.approx([1 / 9, 8 / 9])
    assert sorted(found[1][found[1] > 0]) == pytest.approx([1 / 2, 1 / 2])


def test_rows_are_azimuth_from_below_and_columns_rapidity_from_the_left():
    points = PlanePoints(np.array([0, 2]), np.array([-0.45, 0.15]), np.array([0.35, -0.5]), np.array([3.0, 4.0]))
    image = pixelate(points, 10, 1.0)[0]
    assert np.argwhere(image).tolist() == [[0, 6], [8, 0]]
    assert (image[0, 6], image[8, 0]) == (4, 3)
    oblong = pixelate(points, 10, (1.0, 0.8))[0]
    assert np.argwhere(oblong).tolist() == [[9, 0]]
    assert np.array_equal(pixelate(points, 10, [1.0, 1.0])[0], image)


def test_a_border_belongs_to_the_pixel_above_it_and_the_last_one_to_none():
    for shift, column in ((0.0, 6), (-1e-12, 6), (-1e-6, 5)):
        points = PlanePoints(np.array([0, 1]), np.array([0.1 + shift]), np.zeros(1), np.ones(1))
        assert np.argwhere(pixelate(points, 10, 1.0)[0]).tolist() == [[5, column]]
    end = PlanePoints(np.array([0, 1]), np.array([0.5]), np.zeros(1), np.ones(1))
    assert not pixelate(end, 10, 1.0).any()


def test_jets_of_few_or_symmetric_constituents_are_well_defined():
    empty = np.empty((4, 0))
    one = from_angles([7.0], [1.3], [3.0])
    same = np.repeat(one, 3, axis=1)
    two = from_angles([3.0, 1.0], [0.2, 0.2], [-0.2, 0.2])
    without_pt = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, -2.0], [5.0, 2.0]])
    found = jet_images(flat_jets(empty, one, same, two, without_pt), 20, 1.0, dtype=np.float64)[:, 0]
    assert not found[0].any()
    assert not found[4].any()
    for image in found[1:3]:
        assert np.argwhere(image > 0).tolist() == [[10, 10]]
    assert np.argwhere(found[3]).tolist() == [[4, 10], [12, 10]]
    assert found[3][12, 10] == pytest.approx(0.75)
    square = from_angles([1.0] * 4, [0.11, -0.11, 0.0, 0.0], [0.0, 0.0, 0.11, -0.11])
    for jet in (square, rotated(boosted(square, 1.7), 2.0)):
        image = jet_images(flat_jets(jet), 20, 1.0)[0, 0]
        assert np.argwhere(image > 0).tolist() == [[7, 10], [10, 7], [10, 12], [12, 10]]


def test_extreme_momenta_give_finite_pixels():
    jet = spread_jet(1, 12)
    beam = np.array([[0.0, 1e-150], [0.0, 0.0], [1e100, -3.0], [1e100, 3.0]])
    rest = np.array([[0.0], [0.0], [0.0], [0.0]])
    huge = 1e97 * jet
    found = jet_images(flat_jets(np.concatenate([jet, beam, rest], axis=1), huge, beam, rest), channels=("pt",))
    assert np.isfinite(found).all()
    assert_close(found[0], jet_images(flat_jets(jet))[0], 1e-6)
    assert_close(found[1], found[0], 1e-5, 1e-7)
    far = PlanePoints(np.array([0, 3]), np.array([1e100, -1e100, 1.0]), np.array([1e100, 0.0, 2.0]), np.full(3, 1e100))
    far = pixels.flip(pixels.rotate(pixels.centre(far)))
    assert all(np.isfinite(column).all() for column in far)
    assert np.isfinite(pixelate(far._replace(y=far.y / 10, phi=far.phi / 10))).all()
    raw = jet_images(flat_jets(huge), normalise=False)
    assert raw.max() == np.finfo(np.float32).max
    moved = pixels.flip(pixels.rotate(pixels.centre(plane_points(flat_jets(beam, rest, np.empty((4, 0)))))))
    assert all(np.isfinite(column).all() for column in moved)


@pytest.mark.parametrize(
    ("jets", "n_jets"), [(ak.Array([]), 0), (ak.Array([[], []]), 2), (flat_jets(np.empty((4, 0))), 1)]
)
def test_no_constituents_are_no_images(jets, n_jets):
    found = jet_images(jets, 8, 1.0, CHANNELS)
    assert found.shape == (n_jets, 5, 8, 8)
    assert not found.any()
    assert not pixels.average_image(jets, 8, 1.0).any()


def test_the_input_may_be_of_any_layout(generated_jets):
    expected = jet_images(generated_jets)
    strided = generated_jets[::-3]
    optional = ak.mask(generated_jets, np.ones(500, dtype=bool))
    for jets, numbers in (
        (strided, slice(None, None, -3)),
        (optional, slice(None)),
        (generated_jets[::2], slice(0, 500, 2)),
    ):
        channels = ("pt", "neutral_pt")
        found = jet_images(jets, channels=channels)
        assert np.array_equal(found[:, 0], expected[numbers, 0])
        assert np.array_equal(found[:, 1], jet_images(generated_jets, channels=channels)[numbers, 1])
    single = ak.zip({name: ak.values_astype(generated_jets[name], np.float32) for name in ("px", "py", "pz", "energy")})
    assert np.abs(jet_images(single) - expected).sum(axis=(1, 2, 3)).mean() < 0.02


def test_points_may_be_of_any_layout_and_are_not_changed(generated_jets):
    points = plane_points(generated_jets[:40])
    expected = pixels.flip(pixels.rotate(pixels.centre(points)))
    interleaved = [np.repeat(column, 2).astype(">f8")[::2] for column in points[1:]]
    given = PlanePoints(points.offsets.astype(np.int32), *interleaved)
    for column in given:
        column.flags.writeable = False
    found = pixels.flip(pixels.rotate(pixels.centre(given)))
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
    assert np.array_equal(given.y, points.y)


def test_the_number_of_threads_changes_nothing(generated_jets):
    jets = ak.concatenate([generated_jets] * 3)
    one, three = (jet_images(jets, channels=CHANNELS, num_threads=threads) for threads in (1, 3))
    assert one.tobytes() == three.tobytes()
    points = plane_points(jets, num_threads=1)
    for step in (pixels.centre, pixels.rotate, pixels.flip):
        moved = step(points, num_threads=3)
        assert moved.y.tobytes() == step(points, num_threads=1).y.tobytes()
    assert pixelate(points, num_threads=1).tobytes() == pixelate(points, num_threads=2).tobytes()


def test_the_average_is_the_mean_of_the_images(generated_jets, monkeypatch):
    found = jet_images(generated_jets, channels=CHANNELS, dtype=np.float64)
    assert_close(pixels.average_image(generated_jets, channels=CHANNELS), found.mean(axis=0), 1e-9, 1e-15)
    weights = np.random.default_rng(1).uniform(0, 2, 500)
    expected = np.average(found, axis=0, weights=weights)
    assert_close(pixels.average_image(generated_jets, channels=CHANNELS, weights=weights), expected, 1e-9, 1e-15)
    monkeypatch.setattr(pixels, "_PIXELS_PER_BLOCK", 70 * 1600)
    assert_close(pixels.average_image(generated_jets, weights=weights)[0], expected[0], 1e-9, 1e-15)


def test_the_average_needs_the_memory_of_one_block(monkeypatch):
    jets = flat_jets(*(spread_jet(seed, 3) for seed in range(1000)))
    block = 70 * 1600
    pixels.average_image(jets)  # compiled
    monkeypatch.setattr(pixels, "_PIXELS_PER_BLOCK", block)
    tracemalloc.start()
    pixels.average_image(jets)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.4 * 8 * block


def test_extreme_weights_give_a_finite_average():
    jets = flat_jets(1e90 * spread_jet(1, 5), spread_jet(2, 5))
    found = pixels.average_image(jets, weights=[1e300, 1e300], normalise=False)
    assert_close(found, pixels.average_image(jets, normalise=False), 1e-12)


def test_images_of_pt_are_collinear_safe_with_the_centroid_as_origin_only():
    jet = from_angles([5.0, 3.0, 2.0], [0.0, 0.3, -0.2], [0.0, 0.1, 0.25])
    jets = flat_jets(jet, split_collinearly(jet, 0, 0.5))
    whole, split = jet_images(jets, dtype=np.float64)
    assert_close(split, whole, 1e-9, 1e-12)
    whole, split = jet_images(jets, origin="hardest", dtype=np.float64)
    assert np.abs(split - whole).max() > 0.1


def test_a_jet_of_nearly_equal_eigenvalues_is_rotated_discontinuously():
    square = from_angles([1.0] * 4, [0.3, -0.3, 0.0, 0.0], [0.0, 0.0, 0.3, -0.3])
    wide, tall = (align_one(with_soft(square, 1e-6, *place)) for place in ((0.0, 0.0), (-0.3, 0.3)))
    unlike = align_one(with_soft(square, 1e-6, -0.1, 0.2))
    assert_close(np.abs(wide.y[:4]), np.abs(tall.phi[:4]), 0, 1e-4)
    assert np.abs(np.abs(unlike.y[:4]) - np.abs(tall.y[:4])).min() > 0.05


def test_points_are_made_by_plane_points():
    for step in (pixels.centre, pixels.rotate, pixels.flip, pixelate):
        for wrong in (None, 3, [[0.1, 0.2]], tuple(POINTS), JET):
            with pytest.raises(DataError, match=r"points must be PlanePoints, not .*; make them with plane_points"):
                step(wrong)


@pytest.mark.parametrize("name", ["rotate", "flip", "normalise"])
@pytest.mark.parametrize("value", [1, 0, None, "no"])
def test_flags_are_true_or_false(name, value):
    for function in (jet_images, pixels.average_image):
        with pytest.raises(JetforgeError, match=f"{name} is .*; it must be True or False"):
            function(JET, **{name: value})


def test_images_may_be_lists():
    assert pixels.crop([[1, 2, 3], [4, 5, 6], [7, 8, 9]], 1).tolist() == [[5]]
    assert pixels.normalise([[[1, 1], [2, 0]]]).tolist() == [[[0.25, 0.25], [0.5, 0.0]]]
    assert np.array_equal(pixelate(POINTS, weights=[2, 3]), pixelate(POINTS, weights=np.array([2.0, 3.0])))


JET = flat_jets(spread_jet(3, 5))
WRONG_WIDTHS = ("x", "1", b"1", True, None, (1.0, "2"), [], [[1.0]], np.array("x"), {})
POINTS = PlanePoints(np.array([0, 2]), np.zeros(2), np.zeros(2), np.ones(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: jet_images(JET, 0), JetforgeError, "size is 0; it must be"),
        (lambda: jet_images(JET, 4.5), JetforgeError, "size is 4.5"),
        (lambda: jet_images(JET, 10**28), JetforgeError, "size is 10000000000000000000000000000; it must be"),
        (lambda: pixels.average_image(JET, 5000), JetforgeError, "size is 5000; it must be .* from 1 to 4096"),
        (lambda: pixelate(POINTS, 10**28), JetforgeError, "it must be a whole number from 1 to 4096"),
        (lambda: jet_images(JET, width=-1.0), JetforgeError, "width is -1; it must be a finite number above 0"),
        (lambda: jet_images(JET, width=float("nan")), JetforgeError, "width is nan"),
        (lambda: jet_images(JET, width=(1.0, np.inf)), JetforgeError, "width is"),
        (lambda: jet_images(JET, width=(1.0, 1.0, 1.0)), JetforgeError, "it must be one length, or two"),
        (lambda: jet_images(JET, width=1e-5), JetforgeError, "each of 40 pixels must be larger than 1e-06"),
        *((lambda width=width: jet_images(JET, width=width), JetforgeError, "width is") for width in WRONG_WIDTHS),
        (lambda: jet_images(JET, channels=("pT",)), JetforgeError, "channel 'pT' is not known; choose one of pt, "),
        (lambda: jet_images(JET, channels=()), JetforgeError, r"channels is \(\); it must be one or more of pt, "),
        (lambda: jet_images(JET, channels=None), JetforgeError, "channels is None; it must be one or more of pt, "),
        (lambda: jet_images(JET, channels=[np.ones(2)]), JetforgeError, "channel array.* is not known"),
        (lambda: jet_images(JET, channels=b"pt"), JetforgeError, "channel 112 is not known"),
        (lambda: jet_images(JET, origin="center"), JetforgeError, "origin 'center' is not known; choose one of"),
        (lambda: jet_images(JET, dtype=np.float16), JetforgeError, "choose float32 or float64"),
        (lambda: jet_images(JET, num_threads=0), JetforgeError, "num_threads is 0"),
        (lambda: jet_images(JET, channels=("charged_pt",)), DataError, "neither a field .charge. nor .pid."),
        (lambda: jet_images([1.0]), DataError, "must be an awkward array"),
        (lambda: jet_images(awkward_jets(np.full((4, 2), np.nan))), DataError, "not a finite momentum"),
        (lambda: pixels.average_image(JET, weights=[-1.0]), DataError, "weights must be 1 finite numbers"),
        (lambda: pixels.average_image(JET, weights=[1.0, 1.0]), DataError, "weights must be 1 finite numbers"),
        (lambda: pixels.centre(POINTS, "axis"), JetforgeError, "origin 'axis' is not known"),
        (lambda: pixels.centre(POINTS._replace(pt=np.array([1.0, -1.0]))), DataError, "pt not negative"),
        (lambda: pixels.rotate(POINTS._replace(y=np.array([1.0, np.nan]))), DataError, "must be finite, at most 1e101"),
        (lambda: pixels.flip(POINTS._replace(offsets=np.array([0, 3]))), DataError, "offsets must start at 0"),
        (lambda: pixelate(POINTS, weights=[1.0]), DataError, "weights must be one finite number"),
        (lambda: pixels.crop(np.zeros((2, 9, 9)), 4), JetforgeError, "cannot be cropped to 4 x 4"),
        (lambda: pixels.crop(np.zeros((2, 4, 4)), 6), JetforgeError, "cannot be cropped to 6 x 6"),
        (lambda: pixels.crop(np.zeros((2, 4, 6)), 2), JetforgeError, "cannot be cropped to 2 x 2"),
        (lambda: pixels.crop([[1.0]], 10**28), JetforgeError, "it must be a whole number from 1 to 4096"),
        (lambda: pixels.crop("x", 1), DataError, "images is of type <U1; it must be numbers"),
        (lambda: pixels.crop([[1.0, 2.0], [3.0]], 1), DataError, "images is no array of numbers"),
        (lambda: pixels.normalise(3.0), DataError, r"images have the shape \(\); it must be"),
        (lambda: pixels.normalise([[None]]), DataError, "images is of type object"),
        (lambda: pixels.average_image(JET, weights="x"), DataError, "weights is of type <U1; it must be numbers"),
        (lambda: pixelate(POINTS, weights="x"), DataError, "weights is of type <U1; it must be numbers"),
        (lambda: pixelate(POINTS, weights=[1e308, 1e308]), DataError, "at most 1e101, for each of the 2 points"),
        (lambda: pixels.average_image(JET, weights=[np.inf]), DataError, "a positive and finite sum"),
        (lambda: pixels.centre(POINTS._replace(pt=["a", "b"])), DataError, "points: pt is of type"),
        (lambda: pixels.flip(POINTS._replace(offsets=np.array([0, 2.0]))), DataError, "offsets are of type float64"),
    ],
)
def test_mistakes_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("charge", [[1.0, np.nan], [1, None], ["+", "-"]])
def test_bad_charges_are_refused(charge):
    jets = awkward_jets(spread_jet(1, 2))
    with pytest.raises(DataError, match="charge is "):
        jet_images(ak.with_field(jets, ak.Array([charge]), "charge"), channels=("neutral_pt",))
