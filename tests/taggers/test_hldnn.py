"""The dense network on observables."""

import pytest
import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import ObservablesBatch, ObservablesRepresentation
from jetforge.taggers import create_tagger


def test_it_is_five_layers_of_180_on_15_observables():
    tagger = create_tagger("hldnn")
    widths = [tuple(layer.weight.shape) for layer in tagger.hidden if isinstance(layer, nn.Linear)]
    assert widths == [(180, 15), (180, 180), (180, 180), (180, 180), (180, 180)]
    assert not any(isinstance(module, nn.BatchNorm1d | nn.Dropout) for module in tagger.modules())


@pytest.mark.parametrize("n", [0, 1, 5])
def test_batch_normalisation_takes_any_number_of_jets(n):
    representation = ObservablesRepresentation(["pt", "mass"])
    tagger = create_tagger("hldnn", 3, representation, hidden=[8], dropout=0.2, batch_norm=True)
    logits = tagger(ObservablesBatch(torch.randn(n, 2, generator=torch.Generator().manual_seed(1))))
    assert logits.shape == (n, 3)
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(buffer).all() for buffer in tagger.buffers())


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"hidden": []}, "hidden"),
        ({"hidden": [0]}, "hidden"),
        ({"dropout": -0.1}, "dropout"),
        ({"batch_norm": 1}, "batch_norm"),
    ],
)
def test_values_that_make_no_sense_are_refused(settings, rule):
    with pytest.raises(TaggerError, match=rule):
        create_tagger("hldnn", **settings)
