"""The fused and the gathered operations on pairs, which promise the same numbers."""

import numpy as np
import pytest
import torch

from jetforge.taggers._block_product import COLUMNS, ROWS, add_block, write_block
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._pairs import GatheredPairs, MessageLayers, normalised
from jetforge.taggers._pairs_cpu import FusedPairs

# Jets of one node and of none, some that fill tiles to the brim, and enough pairs for several chunks.
COUNTS = (3, 1, 0, 2, 9, 40, 17, 65, 0, 8)


def offsets(counts=COUNTS):
    return torch.tensor([0, *np.cumsum(counts)])


def tensors(width=24, moves=True, counts=COUNTS, dtype=torch.float32):
    """Return leaves: left, right, mix, x, and the layers."""
    torch.manual_seed(3)
    n = sum(counts)
    shapes = [(n, width), (n, width), (2, width), (width, width), (width,), (1, width), (1,)]
    shapes += [(width, width), (width,), (1, width)] if moves else []
    rest = [(torch.randn(shape) / shape[-1] ** 0.5).to(dtype).requires_grad_() for shape in shapes]
    x = 5 * torch.randn(n, 4, dtype=torch.float64)
    x[:, 0] = 1 + x[:, 1:].norm(dim=1)
    return [*rest[:3], x.requires_grad_(), *rest[3:]]


def results(pairs, leaves, limit=100.0):
    left, right, mix, x, second, second_bias, gate, gate_bias, *moving = leaves
    layers = MessageLayers(
        (second, second_bias), (gate, gate_bias), tuple(moving[:2]) or None, moving[2] if moving else None, limit
    )
    products = pairs.products(x).to(left.dtype)
    summed, moved = pairs.messages(left, right, mix, products, x, layers)
    return [products, summed] if moved is None else [products, summed, moved]


def gradients(pairs, leaves, limit=100.0):
    torch.manual_seed(4)
    out = results(pairs, leaves, limit)
    loss = sum((part * torch.randn(part.shape, dtype=torch.float64).to(part.dtype)).sum() for part in out[1:])
    return out, torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize(
    ("width", "moves", "limit"), [(24, True, 100.0), (72, True, 0.3), (30, False, 1.0), (5, True, 1e9)]
)
def test_both_ways_agree(width, moves, limit):
    leaves = tensors(width, moves)
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    out, grads = gradients(FusedPairs(offsets()), leaves, limit)
    exact_out, exact_grads = gradients(GatheredPairs(offsets()), exact, limit)
    for ours, theirs in zip([*out, *grads], [*exact_out, *exact_grads], strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5 * float(theirs.detach().abs().max() + 1))


def test_the_gathered_gradients_are_those_of_small_differences():
    counts = (3, 1, 2)
    leaves = tensors(4, True, counts, torch.float64)
    pairs = GatheredPairs(offsets(counts))
    assert torch.autograd.gradcheck(lambda *given: tuple(results(pairs, given)), leaves)


def test_threads_do_not_change_a_bit():
    leaves, before = tensors(), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = gradients(FusedPairs(offsets()), leaves)
        torch.set_num_threads(3)
        many = gradients(FusedPairs(offsets()), leaves)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip([*one[0], *one[1]], [*many[0], *many[1]], strict=True))


@pytest.mark.parametrize("kind", [FusedPairs, GatheredPairs])
def test_normalisation_folds_into_the_rows(kind):
    left, right, mix, x, *_ = tensors(12)
    pairs, gathered = kind(offsets()), GatheredPairs(offsets())

    def rows(left, right, mix):
        return gathered.spread(left, second=False) + gathered.spread(right, second=True) + products @ mix

    ours, theirs = BatchNorm(12), BatchNorm(12)
    for norm in (ours, theirs):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5, generator=torch.Generator().manual_seed(1))
    for _ in range(2):  # by the statistics of the batch, then by those that it left
        products = pairs.products(x).float()
        folded, plain = rows(*normalised(pairs, left, right, mix, products, ours)), theirs(rows(left, right, mix))
        weight = torch.randn(plain.shape, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-5)
        given = (left, right, mix, x)
        found = torch.autograd.grad((folded * weight).sum(), (*given, ours.weight, ours.bias), retain_graph=True)
        wanted = torch.autograd.grad((plain * weight).sum(), (*given, theirs.weight, theirs.bias))
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max() + 1))
        ours.eval()
        theirs.eval()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("kind", [FusedPairs, GatheredPairs])
@pytest.mark.parametrize("counts", [(), (0,), (1,), (1, 0, 1)])
def test_no_pairs_are_no_trouble(kind, counts):
    out, grads = gradients(kind(offsets(counts)), tensors(counts=counts))
    assert all(torch.isfinite(tensor).all() for tensor in (*out, *grads))
    assert not any(part.any() for part in out[1:])


def test_blocks_are_products_of_matrices():
    rng = np.random.default_rng(0)
    left = rng.normal(size=(ROWS, 7)).astype(np.float32)
    right = rng.normal(size=(7, COLUMNS)).astype(np.float32)
    out = np.full((ROWS, COLUMNS), 2, np.float32)
    _blocks(out, left, right)
    np.testing.assert_allclose(out, 2 * left @ right, rtol=1e-5, atol=1e-5)


def _blocks(out, left, right):
    from numba import njit

    @njit
    def both(out, left, right):
        depth, columns = right.shape
        sides = left.ctypes.data, depth, 1, right.ctypes.data, columns, depth
        write_block(out.ctypes.data, columns, sides[0], sides[1], sides[2], sides[3], sides[4], sides[5])
        add_block(out.ctypes.data, columns, sides[0], sides[1], sides[2], sides[3], sides[4], sides[5])

    both(out, left, right)


@pytest.mark.parametrize("kind", [FusedPairs, GatheredPairs])
def test_a_weight_that_is_no_number_shows(kind):
    """Training that has gone astray must not look sound."""
    counts = (5, 3)
    for number in range(2, 10):  # of the weights, the products' included
        leaves = tensors(counts=counts)
        if number == 3:  # the four-vectors, which are no weights
            continue
        leaves[number].data.view(-1)[0] = torch.nan
        summed, moved = (out.isnan().any(1).all() for out in results(kind(offsets(counts)), leaves)[1:])
        assert moved
        assert summed or number > 7
