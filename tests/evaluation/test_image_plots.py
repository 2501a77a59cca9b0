"""Mean images side by side on one colour scale."""

import io

import numpy as np
import pytest

from jetforge.errors import DataError, JetforgeError
from jetforge.evaluation import plot_average_images


@pytest.fixture
def images():
    rng = np.random.default_rng(1)
    qcd, top = rng.exponential(size=(2, 12, 12)) ** 6
    qcd[:3] = 0
    return {"qcd": qcd / qcd.sum(), "top $": top[np.newaxis] / top.sum()}


def test_images_share_their_colours_and_leave_empty_pixels_white(images):
    figure = plot_average_images(images, decades=3, title="Mean $ images", label="pT $")
    meshes = [axes.collections[0] for axes in figure.axes[:2]]
    brightest = max(image.max() for image in images.values())
    for mesh in meshes:
        assert mesh.get_clim() == pytest.approx((1e-3 * brightest, brightest))
    shown = meshes[0].get_array()
    assert np.array_equal(np.ma.getmaskarray(shown).reshape(12, 12), images["qcd"] == 0)
    assert np.array_equal(meshes[1].get_array().reshape(12, 12), images["top $"][0])
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def test_rows_go_up_and_columns_to_the_right_over_the_width():
    image = np.zeros((3, 4))
    image[0, 3] = 1
    figure = plot_average_images({"one": image}, width=(0.8, 0.6))
    axes = figure.axes[0]
    mesh = axes.collections[0]
    corners = mesh.get_coordinates()
    assert corners.shape == (4, 5, 2)
    assert corners[0, 0].tolist() == pytest.approx([-0.4, -0.3])
    row, column = np.argwhere(~np.ma.getmaskarray(mesh.get_array()).reshape(3, 4))[0]
    assert corners[row, column].tolist() == pytest.approx([0.2, -0.3])
    assert axes.get_aspect() == 1
    assert axes.get_ylim()[0] < axes.get_ylim()[1]


def test_images_without_any_pixel_are_drawn_white():
    figure = plot_average_images({"qcd": np.zeros((4, 4))}, width=1.0)
    assert np.ma.getmaskarray(figure.axes[0].collections[0].get_array()).all()
    figure.savefig(io.BytesIO(), format="png", dpi=40)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ({}, {}, "images is {}; a figure needs at least one image"),
        ({"a": np.ones((2, 2)), "b": np.ones((3, 3))}, {}, "a 2 x 2, b 3 x 3; give all the same number of pixels"),
        ({"a": np.ones((2, 2, 2))}, {}, r"image 'a' has the shape \(2, 2, 2\); it must be one channel"),
        ({"a": np.ones((0, 0))}, {}, "must be one channel"),
        ({"a": np.array([[1.0, np.nan]])}, {}, "negative, not finite or above 1e200"),
        ({"a": np.array([[1.0, -1.0]])}, {}, "negative, not finite or above 1e200"),
        (None, {}, "images is None; a figure needs at least one image"),
        ([np.ones((2, 2))], {}, "a figure needs at least one image, by its name"),
        ({"a": np.array([[1.0, 1e201]])}, {}, "negative, not finite or above 1e200"),
        ({"a": "x"}, {}, "image 'a' is of type <U1; it must be numbers"),
        ({"a": None}, {}, "image 'a' is of type object"),
        ({"a": [[1.0], [1.0, 2.0]]}, {}, "image 'a' is no array of numbers"),
    ],
)
def test_bad_images_are_refused(images, options, message):
    with pytest.raises(DataError, match=message):
        plot_average_images(images, **options)


@pytest.mark.parametrize("width", [0.0, -1.0, (1.0, np.nan), np.inf, "x", "1", True, None, (1.0, "2"), (1, 2, 3)])
def test_bad_widths_are_refused(width):
    with pytest.raises(JetforgeError, match=r"width is .*; it must be"):
        plot_average_images({"a": np.ones((2, 2))}, width=width)


@pytest.mark.parametrize("decades", [0, -1, np.nan, 101, "x", None])
def test_bad_scales_are_refused(decades):
    with pytest.raises(JetforgeError, match=r"decades is .*; it must be a finite number above 0 and at most 100"):
        plot_average_images({"a": np.ones((2, 2))}, decades=decades)


def test_any_sequence_of_lengths_is_a_width():
    corners = []
    for width in ((0.8, 0.6), [0.8, 0.6], np.array([0.8, 0.6])):
        figure = plot_average_images({1: np.ones((3, 4))}, width=width)
        corners.append(figure.axes[0].collections[0].get_coordinates()[0, 0].tolist())
        assert figure.axes[0].get_title("left") == "1"
    assert corners == [pytest.approx([-0.4, -0.3])] * 3


@pytest.mark.parametrize(("pixel", "decades"), [(1e-320, 5), (1e-240, 100), (1e200, 100), (1.0, 1e-20)])
def test_any_brightness_has_a_scale(pixel, decades):
    figure = plot_average_images({"a": np.full((2, 2), pixel)}, decades=decades)
    faint, bright = figure.axes[0].collections[0].get_clim()
    assert 0 < faint < bright < np.inf
    figure.savefig(io.BytesIO(), format="png", dpi=40)
