"""Recurrent networks: a jet ends where its own last element is."""

import numpy as np
import pytest
import torch

from jetforge.errors import TaggerError
from jetforge.representations import SequenceBatch
from jetforge.taggers import create_tagger
from jetforge.taggers.recurrent import Recurrence

NAMES = ("gru", "lstm", "lund_lstm")


@pytest.fixture(scope="module")
def jets(make_jets):
    return make_jets(1, 2, 120, 31, 3, 0, 64, 2)


def made(name, jets, **arguments):
    torch.manual_seed(1)
    tagger = create_tagger(name, **arguments).eval()
    tagger.representation.fit([jets])
    return tagger


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(layer, kind, rows):
    """Return the last state of the equations of the cells, one bias a gate, with NumPy."""
    weights = {name: value.detach().double().numpy() for name, value in layer.named_parameters()}
    from_input, from_state = weights["cell.weight_ih_l0"], weights["cell.weight_hh_l0"]
    state = memory = np.zeros(from_state.shape[1])
    for row in rows:
        x, h = from_input[:, :-1] @ row + from_input[:, -1], from_state @ state
        if kind == "lstm":
            enters, forgets, new, leaves = np.split(x + h, 4)
            memory = sigmoid(forgets) * memory + sigmoid(enters) * np.tanh(new)
            state = sigmoid(leaves) * np.tanh(memory)
        else:
            (x_reset, x_update, x_new), (h_reset, h_update, h_new) = np.split(x, 3), np.split(h, 3)
            new = np.tanh(x_new + sigmoid(x_reset + h_reset) * h_new)
            update = sigmoid(x_update + h_update)
            state = (1 - update) * new + update * state
    return state


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_layer_follows_the_equations_with_one_bias_a_gate(kind):
    torch.manual_seed(3)
    layer = Recurrence(kind, 3, 5)
    assert sum(p.numel() for p in layer.parameters()) == {"gru": 3, "lstm": 4}[kind] * 5 * (3 + 5 + 1)
    rows = torch.randn(7, 3)
    states = layer(rows.unsqueeze(0))[0]
    for end in (1, 4, 7):
        np.testing.assert_allclose(
            states[end - 1].detach(), by_hand(layer, kind, rows[:end].double().numpy()), atol=1e-6
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_jet_ends_with_its_own_last_element(name, jets):
    tagger = made(name, jets, widths=[6, 4])
    batch = tagger.representation(jets)
    embedded = tagger.embed(batch)
    for j in range(len(jets)):
        torch.testing.assert_close(tagger.embed(batch[j : j + 1])[0], embedded[j], rtol=1e-5, atol=1e-6)
    assert (embedded[batch.counts == 0] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_element_counts_and_nothing_else(name, jets):
    tagger = made(name, jets)
    batch = tagger.representation(jets)
    batch.features.requires_grad_()
    (slope,) = torch.autograd.grad(tagger.embed(batch)[3].sum(), batch.features)
    own = torch.arange(batch.num_rows).ge(batch.offsets[3]) & torch.arange(batch.num_rows).lt(batch.offsets[4])
    assert (slope[own] != 0).any(1).all()
    assert (slope[~own] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_elements_matters(name, jets):
    tagger = made(name, jets)
    batch = tagger.representation(jets)
    rows = torch.cat([batch.features[a:b].flip(0) for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)])
    turned = tagger(SequenceBatch(rows, batch.offsets))
    assert not torch.allclose(turned, tagger(batch), atol=1e-3)


def test_orders_and_lengths_are_as_published():
    plane = create_tagger("lund_lstm").representation  # https://github.com/fdreyer/ML-Lund-tutorial
    assert (plane.order, plane.features, plane.max_length) == ("lund", ("ln_delta", "ln_kt"), 60)
    assert create_tagger("lstm").representation.order == "tree"
    assert create_tagger("gru").representation.order == "pt"


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"widths": []}, "widths"),
        ({"widths": [0]}, "widths"),
        ({"hidden": 64}, "hidden"),
        ({"dropout": 1}, "dropout"),
        ({"representation": {"name": "cloud"}}, "reads the representation sequence"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_makes_no_sense_is_refused(name, arguments, rule):
    with pytest.raises(TaggerError, match=rule):
        create_tagger(name, **arguments)
