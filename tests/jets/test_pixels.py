import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.jets.pixels import pixel_images
from jetforge.jets.readers.constituents.sparse_pixels import pixel_centres, pixel_directions, sparse_pixels
from jetforge.jets.storage import decode_part, encode_part


def sparse(images):
    rows, columns = images.shape[2:]
    directions = pixel_directions(pixel_centres(rows, 0.1)[:, np.newaxis], pixel_centres(columns, 0.1))
    return Jets(*sparse_pixels(images, directions))


def random_images(seed, num, channels, rows, columns):
    random = np.random.default_rng(seed)
    images = random.normal(size=(num, channels, rows, columns)).astype(np.float32)
    return np.where(random.random(images.shape) < 0.2, images, 0).astype(np.float32)


@given(st.integers(0, 1000), st.integers(0, 5), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
def test_images_survive_sparse_form_and_storage(seed, num, channels, rows, columns):
    images = random_images(seed, num, channels, rows, columns)
    jets = sparse(images)
    np.testing.assert_array_equal(pixel_images(jets, (rows, columns), channels), images)
    stored = decode_part(encode_part(jets), "part")
    np.testing.assert_array_equal(pixel_images(stored, (rows, columns), channels), images)


def test_images_of_any_strides_are_read_alike():
    images = random_images(1, 4, 3, 6, 5)
    channels_last = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for name, column in sparse(images).columns.items():
        np.testing.assert_array_equal(sparse(channels_last).columns[name], column)


def test_a_pixel_is_a_massless_particle_at_its_place():
    images = np.zeros((1, 1, 3, 5), dtype=np.float32)
    images[0, 0, 2, 0] = 2
    jet = sparse(images).constituents[0, 0]
    assert (jet.pt, jet.eta, jet.phi) == pytest.approx((2, 0.1, -0.2))
    assert jet.mass == pytest.approx(0, abs=1e-6)


def test_what_is_no_image_is_refused():
    jets = sparse(random_images(2, 3, 2, 4, 4))
    with pytest.raises(DataError, match=r"jet \d: a pixel has the row 3; the images have 3 of them"):
        pixel_images(jets, (3, 4), 2)
    with pytest.raises(DataError, match="the channel 1; the images have 1"):
        pixel_images(jets, (4, 4))
    with pytest.raises(DataError, match="at least one row"):
        pixel_images(jets, (0, 4), 2)
    with pytest.raises(DataError, match="no constituent column row, column, channel, value"):
        pixel_images(Jets([0, 1], {name: np.ones(1) for name in ("px", "py", "pz", "energy")}), (4, 4))
    twice = {name: np.repeat(column, 2) for name, column in jets.columns.items()}
    with pytest.raises(DataError, match="more than once"):
        pixel_images(Jets(2 * jets.offsets, twice), (4, 4), 2)
