"""Images: scaled by what training jets showed, in any number of blocks."""

import json

import numpy as np
import pytest
import torch
from helpers.written import momenta

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.images.pixels import jet_images
from jetforge.physics.images.preprocessing import fit_pixel_scaling, standardise
from jetforge.representations import (
    ImageBatch,
    ImageRepresentation,
    make_representation,
    representation_from_dict,
    representation_to_dict,
)
from jetforge.representations import image as image_module

COUNTS = np.array([3, 0, 1, 40, 7, 2, 25])
SMALL = {"size": 12, "width": (1.2, 1.5)}


@pytest.fixture(scope="module")
def jets():
    four = momenta(COUNTS[COUNTS > 0], seed=3, mass=0.14)
    columns = {name: four[name] for name in ("px", "py", "pz", "energy")}
    charge = np.random.default_rng(4).integers(-1, 2, len(four["px"]))
    return Jets(np.concatenate([[0], np.cumsum(COUNTS)]), {**columns, "charge": charge})


def test_unscaled_images_are_those_of_the_physics_library(jets):
    channels = ("charged_pt", "neutral_pt", "multiplicity")
    settings = {"origin": "hardest", "rotate": False, "flip": False, "normalise": False}
    batch = ImageRepresentation(channels, **SMALL, **settings, scaling="none")(jets)
    assert isinstance(batch, ImageBatch)
    assert batch.values.dtype == torch.float32
    expected = jet_images(jets, channels=channels, **SMALL, **settings)
    np.testing.assert_array_equal(batch.values.numpy(), expected)


@pytest.mark.parametrize("scaling", ["channel", "pixel"])
def test_the_scaling_does_not_depend_on_the_blocks(jets, scaling, monkeypatch):
    whole = ImageRepresentation(("pt", "multiplicity"), **SMALL, scaling=scaling).fit([jets])
    monkeypatch.setattr(image_module, "_PIXELS_PER_BLOCK", 600)
    pieces = ImageRepresentation(("pt", "multiplicity"), **SMALL, scaling=scaling).fit([jets[:3], jets[3:3], jets[3:]])
    np.testing.assert_allclose(pieces.mean, whole.mean, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(pieces.std, whole.std, rtol=1e-12)


def test_each_channel_gets_a_root_mean_square_of_one_and_keeps_its_zeros(jets):
    representation = ImageRepresentation(("pt", "charged_multiplicity"), **SMALL).fit([jets])
    values = representation(jets).values.numpy()
    np.testing.assert_allclose(np.square(values).mean(axis=(0, 2, 3)), 1, rtol=1e-5)
    raw = jet_images(jets, channels=("pt", "charged_multiplicity"), **SMALL)
    np.testing.assert_array_equal(values == 0, raw == 0)


def test_pixels_are_standardised_as_the_physics_library_does_it(jets):
    images = jet_images(jets, **SMALL)
    expected = standardise(images, fit_pixel_scaling(images))
    scaled = ImageRepresentation(**SMALL, scaling="pixel").fit([jets])(jets).values.numpy()
    np.testing.assert_allclose(scaled, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scaling", ["channel", "pixel"])
def test_given_means_are_subtracted(jets, scaling):
    shape = (1, 20, 20) if scaling == "pixel" else (1,)
    mean, std = np.linspace(0.1, 0.2, int(np.prod(shape))).reshape(shape), np.full(shape, 2.0)
    plain = ImageRepresentation(size=20, scaling="none")(jets).values
    scaled = ImageRepresentation(size=20, scaling=scaling, mean=mean.tolist(), std=std.tolist())(jets).values
    wanted = (plain - torch.from_numpy(mean.reshape(1, shape[0], *shape[1:] or (1, 1)))) / 2
    torch.testing.assert_close(scaled.double(), wanted.double())


def test_a_channel_without_anything_stays_empty(jets):
    neutral = Jets(jets.offsets, {**jets.columns, "charge": np.zeros(len(jets.columns["px"]), dtype=int)})
    values = ImageRepresentation(("pt", "charged_pt"), **SMALL).fit([neutral])(neutral).values
    assert torch.isfinite(values).all()
    assert (values[:, 1] == 0).all()


def test_jets_without_constituents_are_empty_images(jets):
    representation = ImageRepresentation(**SMALL).fit([jets])
    assert (representation(jets).values[1] == 0).all()
    assert representation(jets[:0]).values.shape == (0, 1, 12, 12)


@pytest.mark.parametrize("scaling", ["none", "channel", "pixel"])
def test_a_representation_survives_json(jets, scaling):
    first = ImageRepresentation(("pt", "neutral_pt"), **SMALL, flip=False, scaling=scaling).fit([jets])
    again = representation_from_dict(json.loads(json.dumps(representation_to_dict(first))))
    assert torch.equal(again(jets).values, first(jets).values)
    assert again.to_dict() == first.to_dict()


def test_other_settings_need_another_fit(jets):
    fitted = ImageRepresentation(**SMALL).fit([jets])
    changed = make_representation({"channels": ["pt", "multiplicity"]}, fitted)
    assert (changed.num_features, changed.size) == (2, 12)
    with pytest.raises(DataError, match="call fit"):
        changed(jets)


def test_charges_are_read_where_a_channel_needs_them(jets):
    assert ImageRepresentation().columns == ()
    representation = ImageRepresentation(["neutral_pt"], **SMALL)
    assert "charge" in representation.columns
    columns = {name: column for name, column in jets.columns.items() if name != "charge"}
    with pytest.raises(DataError, match=r"^image representation: a channel of .* needs the column charge or pid"):
        representation.fit([Jets(jets.offsets, columns)])


def test_it_says_its_settings_but_not_the_pixels_of_its_normalisation(jets):
    fitted = ImageRepresentation(("pt", "multiplicity"), **SMALL, flip=False, scaling="pixel").fit([jets])
    assert repr(fitted) == (
        "ImageRepresentation(channels pt, multiplicity; size 12; width 1.2, 1.5; origin centroid; rotate True; "
        "flip False; normalise True; scaling pixel; fitted)"
    )
    assert repr(ImageRepresentation()).endswith("scaling channel; not fitted)")


def test_what_makes_no_sense_is_refused():
    with pytest.raises(DataError, match="no training jets"):
        ImageRepresentation().fit([])
    for settings, rule in (
        ({"channels": ["pt", "pt"]}, "named twice"),
        ({"channels": ["colour"]}, "colour"),
        ({"scaling": "log"}, "scaling"),
        ({"size": 0}, "size"),
        ({"width": [1, 2, 3]}, "width"),
        ({"origin": "beam"}, "origin"),
        ({"rotate": 1}, "rotate"),
        ({"mean": [0.0]}, "both"),
        ({"mean": [0.0, 1.0], "std": [1.0]}, "of shape"),
        ({"mean": [0.0], "std": [0.0]}, "positive"),
        ({"scaling": "pixel", "mean": [0.0], "std": [1.0]}, "of shape"),
        ({"scaling": "none", "mean": [0.0], "std": [1.0]}, "neither"),
    ):
        with pytest.raises(JetforgeError, match=rule):
            ImageRepresentation(**settings)
