"""The networks on images: as published, and of other sizes."""

import pytest
import torch

from jetforge.errors import TaggerError
from jetforge.representations import ImageRepresentation
from jetforge.taggers import create_tagger
from jetforge.taggers.image_cnn import _smallest_size
from jetforge.taggers.resnext import ImageNorm


def images(size, channels=("pt",)):
    return ImageRepresentation(channels, size=size, width=1.6)


def random_images(tagger, n, seed=0):
    shape = (n, tagger.representation.num_features, tagger.representation.size, tagger.representation.size)
    values = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return type("Batch", (), {"values": values})()


# arXiv:1902.09914, table 1, in thousands and in millions.
@pytest.mark.parametrize(("name", "published", "unit"), [("image_cnn", 610, 1e3), ("resnext50", 1.46, 1e6)])
def test_the_numbers_of_parameters_are_the_published_ones(name, published, unit):
    digits = 0 if unit == 1e3 else 2
    assert round(create_tagger(name).num_parameters() / unit, digits) == published


@pytest.mark.parametrize("name", ["image_cnn", "resnext50"])
@pytest.mark.parametrize("size", [9, 16, 33])
def test_images_of_any_size_and_number_of_channels_are_read(name, size):
    tagger = create_tagger(name, 3, images(size, ("pt", "multiplicity")))
    for n in (0, 1, 2):
        logits = tagger(random_images(tagger, n))
        logits.sum().backward()
        assert logits.shape == (n, 3)
        assert torch.isfinite(logits).all()
    assert all(torch.isfinite(buffer).all() for buffer in tagger.buffers())


def test_the_convolutions_leave_the_pixels_that_the_published_number_counts():
    tagger = create_tagger("image_cnn")
    assert tagger.convolutions(torch.zeros(1, 1, 40, 40)).shape == (1, 64, 8, 8)


def test_images_too_small_or_of_another_size_are_refused():
    with pytest.raises(TaggerError, match=r"^representation\.size is 8: .* too small .*; give at least 9$"):
        create_tagger("image_cnn", representation=images(8))
    tagger = create_tagger("image_cnn")
    with pytest.raises(TaggerError, match="images of 40 pixels a side, not 33"):
        tagger.representation = images(33)
    with pytest.raises(TaggerError, match="images of 40 pixels a side, not 33"):
        tagger(random_images(create_tagger("image_cnn", representation=images(33)), 2))


@pytest.mark.parametrize("maps", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
def test_the_smallest_size_that_is_named_is_read_and_no_smaller_one(maps, kernel):
    def made(size):
        settings = {"maps": [2] * maps, "kernel": kernel, "dense": [2]}
        return create_tagger("image_cnn", representation=images(size), **settings)

    smallest = _smallest_size(maps, kernel)
    tagger = made(smallest)
    assert tagger(random_images(tagger, 1)).shape == (1, 2)
    if smallest > 1:
        with pytest.raises(RuntimeError):
            tagger.convolutions(torch.zeros(1, 1, smallest - 1, smallest - 1))
        with pytest.raises(TaggerError, match=f"give at least {smallest}$"):
            made(smallest - 1)


@pytest.mark.parametrize(
    ("name", "settings", "rule"),
    [
        ("image_cnn", {"maps": []}, "maps .* above 0"),
        ("image_cnn", {"dense": [64, 0]}, "dense .* above 0"),
        ("image_cnn", {"kernel": 2.5}, "kernel .* above 0"),
        ("resnext50", {"blocks": []}, "blocks .*: give the number of blocks"),
        ("resnext50", {"blocks": [3, 0]}, "blocks 0 .* above 0"),
        ("resnext50", {"width": 48}, "multiple of groups"),
        ("resnext50", {"dropout": 1.0}, "dropout"),
        ("resnext50", {"stem": True}, "stem"),
    ],
)
def test_values_that_make_no_sense_are_refused(name, settings, rule):
    with pytest.raises(TaggerError, match=rule):
        create_tagger(name, **settings)


def test_other_widths_work():
    for name, settings in (("image_cnn", {"maps": [8, 4], "kernel": 3, "dense": [16]}), ("resnext50", {"blocks": [1]})):
        tagger = create_tagger(name, representation=images(16), **settings)
        assert tagger(random_images(tagger, 2)).shape == (2, 2)


@pytest.mark.parametrize("n", [0, 1])
def test_a_channel_of_too_few_pixels_is_normalised_by_what_was_seen_before(n):
    norm = ImageNorm(3)
    norm(torch.rand(20, 3, 4, 4))
    mean = norm.running_mean.clone()
    pixels = torch.rand(n, 3, 1, 1)
    given = norm(pixels)
    assert torch.equal(norm.running_mean, mean)
    torch.testing.assert_close(given, norm.eval()(pixels))
    assert given.shape == (n, 3, 1, 1)


def test_gradients_of_the_blocks_are_laid_out_as_their_weights():
    tagger = create_tagger("resnext50", representation=images(16))
    tagger(random_images(tagger, 2)).sum().backward()
    assert all(parameter.grad.stride() == parameter.stride() for parameter in tagger.parameters())
