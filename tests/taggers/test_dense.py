"""Dense networks: what is beyond their length, or in other batches, does not count."""

import numpy as np
import pytest
import torch

from jetforge.errors import TaggerError
from jetforge.representations import SequenceRepresentation
from jetforge.taggers import create_tagger

NAMES = ("dense", "dense_student", "topodnn")


@pytest.fixture(scope="module")
def jets(make_jets):
    return make_jets(1, 2, 120, 31, 3, 90, 0, 2)


@pytest.mark.parametrize(("name", "length"), [("dense", 80), ("dense_student", 80), ("topodnn", 30)])
def test_only_the_leading_constituents_count(name, length, jets):
    torch.manual_seed(1)
    tagger = create_tagger(name)
    scale = {"mean": [0.0] * tagger.representation.num_features, "std": [1.0] * tagger.representation.num_features}
    everything = SequenceRepresentation(tagger.representation.features, **scale)(jets)
    leading = SequenceRepresentation(tagger.representation.features, max_length=length, **scale)(jets)
    tagger.eval()
    assert tagger.representation.max_length == length
    assert torch.equal(tagger(everything), tagger(leading))


@pytest.mark.parametrize("name", NAMES)
def test_every_leading_constituent_counts(name, jets):
    torch.manual_seed(1)
    tagger = create_tagger(name).eval()
    tagger.representation.fit([jets])
    batch = tagger.representation(jets)
    batch.features.requires_grad_()
    tagger(batch).square().sum().backward()
    assert (batch.features.grad != 0).any(1).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_jet_without_constituents_has_a_score(name, jets):
    tagger = create_tagger(name)
    tagger.representation.fit([jets])
    assert np.isfinite(tagger.predict(jets[6:7])).all()


def test_widths_and_dropout_can_be_chosen():
    tagger = create_tagger("dense", widths=[10, 5], dropout=0.0, representation={"max_length": 7})
    assert tagger.num_parameters() == (4 * 7 * 10 + 10) + 2 * 10 + (10 * 5 + 5) + 2 * 5 + (5 * 2 + 2)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"widths": []}, "widths"),
        ({"widths": [3, 0]}, "widths"),
        ({"widths": 300}, "widths"),
        ({"widths": "300"}, "widths"),
        ({"dropout": 1.0}, "dropout 1.0 must be a number"),
        ({"dropout": True}, "dropout"),
        ({"representation": {"max_length": None}}, "give max_length"),
        ({"representation": {"name": "lund"}}, "reads the representation sequence"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_makes_no_sense_is_refused(name, arguments, rule):
    with pytest.raises(TaggerError, match=rule):
        create_tagger(name, **arguments)
