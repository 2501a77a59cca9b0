import numpy as np
import pytest
import torch
from torch.nn import functional

from jetforge.errors import TaggerError
from jetforge.taggers import create_tagger
from jetforge.taggers.pelican import Pairs, PairsToJet, PairsToPairs, TokensToPairs, products

COUNTS = (4, 1, 0, 3)


@pytest.fixture
def pairs():
    return Pairs.of(torch.tensor(COUNTS))


def blocks(rows, counts=COUNTS):
    """Return the square of pairs of each jet."""
    squares = rows.split([count**2 for count in counts])
    return [square.reshape(count, count, rows.shape[1]) for square, count in zip(squares, counts, strict=True)]


def test_pairs_are_every_two_tokens_of_a_jet(pairs):
    starts = np.cumsum([0, *COUNTS])
    expected = [
        (start + i, start + j)
        for start, count in zip(starts[:-1], COUNTS, strict=True)
        for i in range(count)
        for j in range(count)
    ]
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == expected
    assert torch.equal(pairs.first[pairs.swapped], pairs.second)
    assert torch.equal(pairs.second[pairs.swapped], pairs.first)
    assert torch.equal(pairs.first[pairs.diagonal], torch.arange(sum(COUNTS)))
    assert torch.equal(pairs.second[pairs.diagonal], torch.arange(sum(COUNTS)))


def test_maps_of_pairs_are_the_fifteen_of_the_paper(pairs):
    """The fifteen maps are written out here for every pair, as in arXiv:2211.00454, and mixed by the same weights."""
    torch.manual_seed(0)
    layer = PairsToPairs(3, 5)
    torch.nn.init.normal_(layer.bias)
    torch.nn.init.normal_(layer.diagonal_bias)
    x = torch.randn(len(pairs.first), 3)
    weights = layer.weights()
    for jet, (square, found) in enumerate(zip(blocks(x), blocks(layer(x, pairs)), strict=True)):
        n = COUNTS[jet]
        if n == 0:
            continue
        one, eye = torch.ones(n, n, 1), torch.eye(n).unsqueeze(2)
        diagonal = square.diagonal().t()
        rows, columns, trace, mean = square.mean(1), square.mean(0), diagonal.mean(0), square.mean((0, 1))
        maps = [square, square.transpose(0, 1), eye * diagonal[None], diagonal[None] * one, diagonal[:, None] * one]
        for v in (columns, rows):
            maps += [eye * v[None], v[None] * one, v[:, None] * one]
        maps += [trace * one, trace * eye, mean * one, mean * eye]
        powers = (n / 49) ** layer.exponents
        scaled = maps[:5] + [maps[5 + k] * powers[:, k] for k in range(10)]
        mixed = sum(m @ w for m, w in zip(scaled, weights, strict=True)) + layer.bias + eye * layer.diagonal_bias
        torch.testing.assert_close(found, functional.leaky_relu(mixed, 0.01), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [PairsToPairs(3, 4), PairsToJet(3, 4)])
def test_maps_follow_the_order_of_the_tokens(layer):
    pairs = Pairs.of(torch.tensor([6]))
    square = torch.randn(6, 6, 3)
    order = torch.randperm(6)
    turned = square[order][:, order]
    before, after = (layer(x.reshape(36, 3), pairs) for x in (square, turned))
    if isinstance(layer, PairsToPairs):
        before = before.reshape(6, 6, 4)[order][:, order].reshape(36, 4)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


def test_tokens_go_to_rows_columns_and_the_diagonal(pairs):
    layer = TokensToPairs(1, 5)
    with torch.no_grad():
        layer.weights.copy_(torch.eye(5).reshape(1, 5, 5))
    tokens = torch.rand(sum(COUNTS), 1)
    square = blocks(layer(tokens, pairs))[0]
    first = tokens[: COUNTS[0], 0]
    diagonal, along_rows, along_columns, mean_on_diagonal, mean = square.unbind(2)
    torch.testing.assert_close(diagonal, torch.diag(first))
    torch.testing.assert_close(along_rows, first.expand(4, 4))
    torch.testing.assert_close(along_columns, first.expand(4, 4).t())
    torch.testing.assert_close(mean, first.mean().expand(4, 4))
    torch.testing.assert_close(mean_on_diagonal, torch.diag(first.mean().expand(4)))


def test_products_keep_small_masses(pairs):
    direction = torch.tensor([1.0, 0.6, 0.0, 0.8], dtype=torch.float64)
    momenta = 1e4 * direction.repeat(sum(COUNTS), 1)
    momenta[:, 0] += 1e-6
    assert torch.allclose(products(momenta, pairs), torch.tensor(0.02, dtype=torch.float64), rtol=1e-2)


@pytest.mark.parametrize(("channels", "messages", "thousands"), [(132, 78, 208.797), (60, 35, 48), (25, 15, 11.3)])
def test_published_sizes(channels, messages, thousands):
    """The configurations 208k, 48k and 11k of the authors' repository; the first counted there with its own code."""
    tagger = create_tagger("pelican", channels=channels, messages=messages)
    assert tagger.num_parameters() / 1000 == pytest.approx(thousands, rel=1e-6 if thousands > 100 else 0.03)


def test_channels_must_leave_room_for_tokens():
    with pytest.raises(TaggerError, match="channels"):
        create_tagger("pelican", channels=10)


def test_gradients_of_a_large_batch_repeat_bit_for_bit(make_jets):
    torch.manual_seed(1)
    tagger = create_tagger("pelican", blocks=1, channels=25, messages=15)
    jets = make_jets(60, 50, 40, 30, 20, 20)
    loss = tagger(tagger.representation.fit([jets])(jets)).square().sum()
    parameters = list(tagger.parameters())
    first, second = (torch.autograd.grad(loss, parameters, retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
