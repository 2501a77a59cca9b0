"""P-CNN: convolutions along the constituents, and a length of its own."""

import pytest
import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import SequenceRepresentation
from jetforge.taggers import create_tagger


@pytest.fixture(scope="module")
def jets(make_jets):
    return make_jets(1, 2, 120, 31, 3, 100, 0, 2)


def test_it_has_the_layers_of_the_authors_network():
    tagger = create_tagger("pcnn")
    wide = [layer for layer in tagger.modules() if isinstance(layer, nn.Conv1d) and layer.kernel_size == (3,)]
    # networks/example_PCNN.py of https://github.com/jet-universe/particle_transformer
    assert [layer.out_channels for layer in wide] == [32, *[64] * 8, *[128] * 4]
    assert [layer.stride for layer in wide].count((2,)) == 2
    assert tagger.representation.max_length == 100


def test_the_order_of_the_sequence_matters_and_the_batch_does_not(jets):
    torch.manual_seed(1)
    tagger = create_tagger("pcnn")
    tagger.representation.fit([jets])
    tagger.train()
    tagger(tagger.representation(jets))  # running statistics that are not the initial ones
    tagger.eval()
    batch = tagger.representation(jets)
    together = tagger(batch)
    for j in range(len(jets)):
        torch.testing.assert_close(tagger(batch[j : j + 1]), together[j : j + 1], rtol=1e-5, atol=1e-6)
    scale = representation_scale(tagger.representation)
    tree = SequenceRepresentation(tagger.representation.features, order="tree", max_length=100, **scale)
    assert not torch.allclose(tagger(tree(jets)), together, atol=1e-3)


def representation_scale(representation):
    return {key: representation.to_dict()[key] for key in ("mean", "std")}


def test_constituents_beyond_the_length_do_not_count(jets):
    torch.manual_seed(1)
    tagger = create_tagger("pcnn").eval()
    tagger.representation.fit([jets])
    longer = SequenceRepresentation(tagger.representation.features, **representation_scale(tagger.representation))
    assert torch.equal(tagger(longer(jets)), tagger(tagger.representation(jets)))


def test_its_layers_can_be_chosen(jets):
    tagger = create_tagger("pcnn", stem=4, units=[[6], [8, 8]], hidden=5, representation={"max_length": 9})
    tagger.representation.fit([jets])
    tagger(tagger.representation(jets)).sum().backward()
    assert len(tagger.units) == 3


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"units": []}, "units"),
        ({"units": [64, 64]}, "units"),
        ({"units": [[64], []]}, "units"),
        ({"stem": 0}, "stem 0"),
        ({"hidden": 1.5}, "hidden 1.5"),
        ({"dropout": -0.1}, "dropout"),
        ({"representation": {"max_length": None}}, "pcnn has weights for each element"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, rule):
    with pytest.raises(TaggerError, match=rule):
        create_tagger("pcnn", **arguments)
