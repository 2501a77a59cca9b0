"""Both implementations of the operations on trees against plain loops; gradients against differences."""

import numpy as np
import pytest
import torch

from jetforge.representations import LundBatch
from jetforge.taggers import _trees_cpu
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._trees import GatheredTrees
from jetforge.taggers._trees_cpu import FusedTrees

CHANNELS = 3
OPERATIONS = ("edge_norm_relu", "norm_relu_mean", "relu_norm_pool")
BATCHES = {"mixed": (4, 0, 1, 2, 40, 0, 9), "linkless": (1, 0, 1), "empty": (0, 0), "pair": (2,), "none": ()}

both = pytest.mark.parametrize("kind", [GatheredTrees, FusedTrees])


def random_batch(sizes, seed=0):
    rng = np.random.default_rng(seed)
    parents = []
    for size in sizes:
        free = []
        for node in range(size):
            parents.append(free.pop(rng.integers(len(free))) if free else -1)
            free += [node, node]
    offsets = np.cumsum([0, *sizes])
    return LundBatch.from_trees(np.zeros((offsets[-1], 1)), np.array(parents, dtype=np.int64), offsets)


def edges_of(batch):
    """Source and target of every edge: for each link, into the child and then into the parent."""
    parents = batch.neighbours[:, 0].tolist()
    links = [(parent, node) for node, parent in enumerate(parents) if parent >= 0]
    return [edge for parent, node in links for edge in ((parent, node), (node, parent))]


def normalised(rows, norm):
    if norm.training and len(rows) > 1:
        mean, variance = rows.mean(0), rows.var(0, correction=0)
    else:
        mean, variance = norm.running_mean, norm.running_var
    return (rows - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


def reference(operation, rows, batch, norm):
    edges = edges_of(batch)
    if operation == "edge_norm_relu":
        sums = [rows[target, :CHANNELS] + rows[source, CHANNELS:] for source, target in edges]
        return torch.relu(normalised(torch.stack(sums) if sums else rows.new_zeros(0, CHANNELS), norm))
    if operation == "norm_relu_mean":
        messages = torch.relu(normalised(rows, norm))
        means = []
        for node in range(batch.num_nodes):
            own = [messages[k] for k, (_, target) in enumerate(edges) if target == node]
            means.append(torch.stack(own).mean(0) if own else rows.new_zeros(CHANNELS))
        return torch.stack(means) if means else rows.new_zeros(0, CHANNELS)
    nodes = normalised(torch.relu(rows), norm)
    jets = [nodes[start:stop] for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]
    means = [own.mean(0) if len(own) else rows.new_zeros(CHANNELS) for own in jets]
    return torch.stack(means) if means else rows.new_zeros(0, CHANNELS)


def inputs_of(operation, batch, seed=1):
    torch.manual_seed(seed)
    shape = {
        "edge_norm_relu": (batch.num_nodes, 2 * CHANNELS),
        "norm_relu_mean": (2 * batch.num_links, CHANNELS),
        "relu_norm_pool": (batch.num_nodes, CHANNELS),
    }[operation]
    rows = (1 + 2 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    norm = BatchNorm(CHANNELS).double()
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        tensor.uniform_(0.3, 1.5)
    return rows, norm


def gradients(out, rows, norm):
    weights = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(2))
    leaves = [rows, norm.weight, norm.bias]
    return [
        torch.zeros_like(leaf) if grad is None else grad
        for leaf, grad in zip(
            leaves, torch.autograd.grad((out * weights).sum(), leaves, allow_unused=True), strict=True
        )
    ]


@both
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_equals_plain_loops(kind, operation, sizes, training):
    batch = random_batch(sizes)
    rows, norm = inputs_of(operation, batch)
    norm.train(training)
    expected = reference(operation, rows, batch, norm)
    expected_gradients = gradients(expected, rows, norm) if expected.requires_grad else None
    out = getattr(kind(batch), operation)(rows, norm)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)
    if expected_gradients is not None:
        torch.testing.assert_close(gradients(out, rows, norm), expected_gradients, rtol=1e-10, atol=1e-10)


@both
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_equal_differences(kind, operation, training):
    batch = random_batch((3, 0, 1, 6))
    rows, norm = inputs_of(operation, batch)
    norm.train(training)
    trees = kind(batch)

    def call(rows, weight, bias):
        norm.weight, norm.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
        del norm._parameters["weight"], norm._parameters["bias"]
        norm.weight, norm.bias = weight, bias
        return getattr(trees, operation)(rows, norm)

    leaves = [rows, *(leaf.detach().clone().requires_grad_() for leaf in (norm.weight, norm.bias))]
    assert torch.autograd.gradcheck(call, leaves)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_running_statistics_move_alike(operation):
    batch = random_batch(BATCHES["mixed"])
    buffers = []
    for kind in (GatheredTrees, FusedTrees):
        rows, norm = inputs_of(operation, batch)
        getattr(kind(batch), operation)(rows, norm)
        buffers.append(dict(norm.named_buffers()))
    torch.testing.assert_close(*buffers, rtol=1e-12, atol=0)
    assert buffers[0]["num_batches_tracked"] == 1


@pytest.mark.parametrize("operation", OPERATIONS)
def test_number_of_threads_does_not_change_a_bit(operation, monkeypatch):
    monkeypatch.setattr(_trees_cpu, "_NODES_IN_CHUNK", 4)
    batch = random_batch(BATCHES["mixed"] * 5)
    assert FusedTrees(batch).num_chunks > 7
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            rows, norm = inputs_of(operation, batch)
            out = getattr(FusedTrees(batch), operation)(rows, norm)
            results.append([out, *gradients(out, rows, norm)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))


def test_values_far_from_zero_keep_their_spread():
    batch = random_batch((300,))
    _, norm = inputs_of("norm_relu_mean", batch)
    norm = norm.float()
    edges = 1000 + torch.randn(2 * batch.num_links, CHANNELS)
    norm.running_mean.zero_(), norm.running_var.zero_()
    FusedTrees(batch).norm_relu_mean(edges, norm)
    torch.testing.assert_close(norm.running_var, 0.1 * edges.double().var(0).float(), rtol=1e-5, atol=0)
