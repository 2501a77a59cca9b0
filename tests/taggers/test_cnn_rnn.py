"""The fused network: two branches that see one jet each, and nothing of its neighbours."""

import pytest
import torch

from jetforge.errors import TaggerError
from jetforge.representations import (
    ImageRepresentation,
    SequenceRepresentation,
    SeveralBatch,
    SeveralRepresentation,
)
from jetforge.taggers import create_tagger

SMALL = {
    "channels": [3, 4, 5],
    "narrow": 2,
    "image_hidden": 6,
    "recurrent": [3, 4],
    "sequence_hidden": [5, 7],
    "fusion": [8, 6],
}


def small_parts(size=11):
    return SeveralRepresentation(
        {"image": ImageRepresentation(size=size), "sequence": SequenceRepresentation(max_length=50)}
    )


@pytest.fixture(scope="module")
def jets(make_jets):
    return make_jets(1, 2, 120, 31, 3, 0, 64, 2)


@pytest.fixture(scope="module")
def tagger(jets):
    torch.manual_seed(1)
    tagger = create_tagger("cnn_rnn", representation=small_parts(), **SMALL).eval()
    tagger.representation.fit([jets])
    return tagger


def test_it_has_as_many_parameters_as_the_winning_entry():
    # "Total params" that the notebook of https://github.com/altairjericho/DESY_Terascale prints.
    assert create_tagger("cnn_rnn").num_parameters() == 2_645_538


def test_a_jet_does_not_see_how_long_the_others_are(tagger, jets):
    batch = tagger.representation(jets)
    together = tagger(batch)
    for j in range(len(jets)):
        torch.testing.assert_close(tagger(batch[j : j + 1]), together[j : j + 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changed", ["image", "sequence"])
def test_both_branches_count(tagger, jets, changed):
    batch = tagger.representation(jets)
    other = {**batch.parts, changed: batch.parts[changed].take(torch.arange(len(jets)).flip(0))}
    assert not torch.allclose(tagger(SeveralBatch(other)), tagger(batch), atol=1e-4)


def test_the_sequence_is_read_constituent_by_constituent(tagger, jets):
    batch = tagger.representation(jets)
    rows = batch.parts["sequence"].features.requires_grad_()
    first = tagger.sequence.recurrence(batch.parts["sequence"])[2, 0].sum()
    (slope,) = torch.autograd.grad(first, rows)
    start = int(batch.parts["sequence"].offsets[2])
    assert (slope[start] != 0).all()
    assert (torch.cat([slope[:start], slope[start + 1 :]]) == 0).all()


def test_stages_can_be_frozen_one_by_one(tagger):
    assert list(tagger.stages()) == ["image", "sequence", "fusion", "classifier"]


@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        ({"image": ImageRepresentation()}, "image: image, sequence: sequence; it was given image: image"),
        ({"image": SequenceRepresentation(), "sequence": ImageRepresentation()}, "it was given image: sequence"),
        ({"image": ImageRepresentation(), "sequence": SequenceRepresentation()}, "give max_length"),
    ],
)
def test_other_parts_are_refused(parts, rule):
    with pytest.raises(TaggerError, match=rule):
        create_tagger("cnn_rnn", representation=SeveralRepresentation(parts))


def test_images_of_another_size_are_refused(tagger, jets):
    other = small_parts(size=12).fit([jets])
    with pytest.raises(TaggerError, match="made for images of 11 pixels"):
        tagger(other(jets))


@pytest.mark.parametrize("name", SMALL)
def test_widths_must_make_sense(name):
    for value in ([0], [], 0, "x", [4, 4, 4, 0]):
        with pytest.raises(TaggerError, match=name):
            create_tagger("cnn_rnn", **{name: value})
