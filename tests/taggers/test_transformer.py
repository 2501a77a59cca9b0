"""The plain transformer."""

import math

import pytest
import torch
from torch.nn import functional

from jetforge.errors import TaggerError
from jetforge.taggers import create_tagger

SMALL = {"width": 16, "num_blocks": 2, "num_heads": 4, "expansion": 2}


def made(jets, **arguments):
    torch.manual_seed(3)
    tagger = create_tagger("transformer", **SMALL | arguments)
    tagger.representation.fit([jets])
    return tagger


def one_jet(tagger, features):
    """Return the logits of one jet, layer by layer as published: each constituent is classified, then averaged."""
    state = {key: value.double() for key, value in tagger.state_dict().items()}

    def linear(name, x):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    x = linear("input", features.double())
    for block in ("blocks.0", "blocks.1"):
        normed = functional.layer_norm(x, [16])
        q, k, v = (part.reshape(-1, 4, 4).transpose(0, 1) for part in linear(f"{block}.qkv", normed).chunk(3, 1))
        attended = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(4), -1) @ v
        x = x + linear(f"{block}.out", attended.transpose(0, 1).reshape(-1, 16))
        x = x + linear(f"{block}.contract", functional.gelu(linear(f"{block}.expand", functional.layer_norm(x, [16]))))
    return linear("output", x).mean(0)


def test_the_number_of_parameters_is_the_published_one():
    # 2.0 million: ten blocks of width 128 in lloca-experiments' config/model/tag_transformer.yaml.
    assert create_tagger("transformer").num_parameters() == 1_978_882


def test_scores_are_those_of_each_jet_worked_out_alone(make_jets):
    jets = make_jets(1, 40, 2, 17, 3, 9, 25, 4, 1, 12, 30, 6, 7, 5, 2, 8, 60)
    tagger = made(jets, num_classes=3).eval()
    batch = tagger.representation(jets)
    logits = tagger(batch).detach()
    for index in range(len(jets)):
        expected = one_jet(tagger, batch[index : index + 1].features)
        torch.testing.assert_close(logits[index].double(), expected, rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_alone(make_jets):
    jets = make_jets(5, 9)
    tagger = made(jets, dropout=0.5)
    batch = tagger.representation(jets)
    assert not torch.equal(tagger(batch), tagger(batch))
    tagger.eval()
    assert torch.equal(tagger(batch), tagger(batch))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"width": 0}, "width 0"),
        ({"num_heads": 3}, "num_heads 3 must divide the width 16"),
        ({"num_blocks": 0}, "num_blocks 0"),
        ({"expansion": 1.5}, "expansion 1.5"),
        ({"dropout": 1.0}, "dropout 1.0"),
    ],
)
def test_settings_must_make_sense(arguments, complaint):
    with pytest.raises(TaggerError, match=complaint):
        create_tagger("transformer", **SMALL | arguments)
