"""Both implementations of the edge convolution on nearest neighbours against plain loops, and against each other."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from jetforge.representations import CloudBatch
from jetforge.taggers import _chunks, _edges_cpu
from jetforge.taggers._chunks import ChunkedNodes
from jetforge.taggers._neighbours import GatheredClouds
from jetforge.taggers._neighbours_cpu import FusedClouds
from jetforge.taggers._norm import BatchNorm

K = 4
WIDTHS = {"one layer": (5,), "two layers": (3, 5), "three layers": (6, 4, 5)}
BATCHES = {"mixed": (4, 0, 1, 2, 30, 0, 9, 5), "single": (1,), "lonely": (1, 0, 1), "empty": (0, 0), "none": ()}

both = pytest.mark.parametrize("kind", [GatheredClouds, FusedClouds])


def random_batch(sizes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.from_numpy(np.cumsum([0, *sizes]))
    n = int(offsets[-1])
    return CloudBatch(*(torch.randn(n, width, generator=generator, dtype=dtype) for width in (3, 2, 4)), offsets)


def nearest_by_loops(batch, points, k):
    table = -np.ones((len(points), k), dtype=np.int64)
    for begin, end in pairwise(batch.offsets.tolist()):
        for i in range(begin, end):
            others = [j for j in range(begin, end) if j != i]
            others.sort(key=lambda j: float((points[i] - points[j]).square().sum()))
            table[i, : len(others)] = others[:k]
    return torch.from_numpy(table)


def convolve_by_loops(nodes, neighbours, weights, norms):
    channels = nodes.shape[1] // 2
    rows = [
        nodes[i, :channels] + (nodes[j, channels:] if j >= 0 else 0)
        for i, sources in enumerate(neighbours.tolist())
        for j in sources
    ]
    edges = torch.stack(rows) if rows else nodes.new_zeros(0, channels)
    for layer, norm in enumerate(norms):
        if layer:
            edges = edges @ weights[layer - 1].T
        mean, variance = norm.running_mean, norm.running_var
        if norm.training and len(edges) > 1:
            mean, variance = edges.mean(0), edges.var(0, correction=0)
        edges = torch.relu((edges - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias)
    return edges.unflatten(0, neighbours.shape).mean(1)


def inputs_of(batch, widths, training, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    nodes = (0.5 + torch.randn(batch.num_rows, 2 * widths[0], generator=generator, dtype=dtype)).requires_grad_()
    weights = [
        torch.randn(after, before, generator=generator, dtype=dtype).requires_grad_()
        for before, after in pairwise(widths)
    ]
    norms = [BatchNorm(width).to(dtype).train(training) for width in widths]
    for norm in norms:
        for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
            tensor.uniform_(0.3, 1.5, generator=generator)
    return nodes, weights, norms


def outcome(out, nodes, weights, norms):
    """Return the result, its gradients, and the running statistics."""
    slopes = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(2))
    leaves = [nodes, *weights, *(norm.weight for norm in norms), *(norm.bias for norm in norms)]
    grads = torch.autograd.grad((out * slopes).sum(), leaves) if len(nodes) else []
    return [out.detach(), *grads, *(buffer for norm in norms for buffer in norm.buffers())]


@both
@pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_nearest_equals_plain_loops(kind, sizes, dimensions):
    batch = random_batch(sizes)
    points = batch.points if dimensions == 2 else batch.features
    table = kind(batch).nearest(points, K)
    torch.testing.assert_close(table.long(), nearest_by_loops(batch, points, K))


def test_of_equally_near_ones_the_earlier_is_nearer():
    batch = random_batch((6,))
    table = FusedClouds(batch).nearest(torch.zeros(6, 2), 3)
    assert table.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2], [0, 1, 2]]


@both
def test_neighbours_do_not_hang_on_where_the_jet_is(kind):
    batch = random_batch((40, 12), dtype=torch.float32)
    clouds = kind(batch)
    near = clouds.nearest(batch.points, K)
    assert torch.equal(clouds.nearest(batch.points + 8, K), near)


@both
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
def test_convolution_equals_plain_loops(kind, sizes, widths, training):
    batch = random_batch(sizes)
    clouds = kind(batch)
    neighbours = clouds.nearest(batch.points, K)
    results = []
    for convolve in (clouds.convolve, convolve_by_loops):
        nodes, weights, norms = inputs_of(batch, widths, training)
        results.append(outcome(convolve(nodes, neighbours, weights, norms), nodes, weights, norms))
    count = 1 + len(widths) * 3 if len(results[0][0]) else 1
    torch.testing.assert_close(results[0][:count], results[1][:count], rtol=1e-9, atol=1e-9)
    assert all(torch.isfinite(value).all() for value in results[0])


@both
@pytest.mark.parametrize("training", [True, False])
def test_gradients_equal_differences(kind, training):
    batch = random_batch((3, 0, 7))
    clouds = kind(batch)
    neighbours = clouds.nearest(batch.points, K)
    nodes, weights, norms = inputs_of(batch, (3, 2), training)

    def call(nodes, weight, scale, shift):
        norm = norms[1]
        norm._parameters.clear()
        norm.weight, norm.bias = scale, shift
        return clouds.convolve(nodes, neighbours, [weight], norms)

    scale, shift = norms[1].weight.detach().requires_grad_(), norms[1].bias.detach().requires_grad_()
    assert torch.autograd.gradcheck(call, (nodes, weights[0], scale, shift))


@pytest.mark.parametrize("training", [True, False])
def test_both_agree_in_single_precision_on_many_tiles(training, monkeypatch):
    monkeypatch.setattr(_edges_cpu, "_NUMBERS_IN_TILE", 7 * K * 6)
    monkeypatch.setattr(_chunks, "_NODES_IN_CHUNK", 16)
    batch = random_batch((60, 3, 0, 41, 100, 1, 20), dtype=torch.float32)
    neighbours = FusedClouds(batch).nearest(batch.points, K)
    assert torch.equal(neighbours.long(), GatheredClouds(batch).nearest(batch.points, K))
    results = []
    for kind in (FusedClouds, GatheredClouds):
        nodes, weights, norms = inputs_of(batch, (6, 4, 5), training, torch.float32)
        results.append(outcome(kind(batch).convolve(nodes, neighbours, weights, norms), nodes, weights, norms))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


def test_what_is_evaluated_without_gradients_is_the_same(monkeypatch):
    monkeypatch.setattr(_edges_cpu, "_NUMBERS_IN_TILE", 7 * K * 6)
    batch = random_batch((60, 3, 41), dtype=torch.float32)
    clouds = FusedClouds(batch)
    neighbours = clouds.nearest(batch.points, K)
    nodes, weights, norms = inputs_of(batch, (6, 4, 5), False, torch.float32)
    with_gradients = clouds.convolve(nodes, neighbours, weights, norms)
    with torch.no_grad():
        torch.testing.assert_close(clouds.convolve(nodes, neighbours, weights, norms), with_gradients.detach())


def test_the_number_of_threads_changes_no_bit_and_is_restored():
    batch = random_batch((150, 3, 0, 141, 200, 1, 120), dtype=torch.float32)
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            clouds = FusedClouds(batch)
            nodes, weights, norms = inputs_of(batch, (6, 4, 5), True, torch.float32)
            neighbours = clouds.nearest(batch.points, K)
            results.append(outcome(clouds.convolve(nodes, neighbours, weights, norms), nodes, weights, norms))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(*pair) for pair in zip(results[0], other, strict=True))


def test_an_error_in_a_thread_is_raised_and_the_number_of_threads_restored():
    chunks, threads = ChunkedNodes(np.array([0, 200, 400])), torch.get_num_threads()

    def fail(chunk):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        chunks.run(fail)
    assert torch.get_num_threads() == threads


def test_products_in_half_precision_stay_close():
    batch = random_batch((60, 3, 41), dtype=torch.float32)
    clouds = FusedClouds(batch)
    neighbours = clouds.nearest(batch.points, K)
    results = []
    for half in (True, False):
        nodes, weights, norms = inputs_of(batch, (6, 4, 5), True, torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            out = clouds.convolve(nodes, neighbours, weights, norms)
        results.append(outcome(out, nodes, weights, norms))
    assert functional.cosine_similarity(results[0][1].flatten(), results[1][1].flatten(), dim=0) > 0.99
    torch.testing.assert_close(results[0][0], results[1][0], rtol=0.1, atol=0.1)


@both
@pytest.mark.parametrize("training", [True, False])
def test_inference_mode_changes_nothing(kind, training):
    batch = random_batch((150, 3, 141, 200), dtype=torch.float32)
    results = []
    for mode in (torch.no_grad, torch.inference_mode):
        nodes, weights, norms = inputs_of(batch, (6, 4, 5), training, torch.float32)
        with mode():
            clouds = kind(batch)
            results.append(clouds.convolve(2 * nodes, clouds.nearest(batch.points, K), weights, norms))
    assert torch.equal(*results)


@both
@pytest.mark.parametrize("gradients", [True, False])
def test_a_weight_that_is_no_number_shows(kind, gradients):
    """Training that has gone astray must not look sound."""
    batch = random_batch((12, 5), dtype=torch.float32)
    clouds = kind(batch)
    neighbours = clouds.nearest(batch.points, K)
    for layer in range(2):
        nodes, weights, norms = inputs_of(batch, (6, 4, 5), False, torch.float32)
        weights[layer].data[0, 0] = torch.nan
        with torch.set_grad_enabled(gradients):
            assert clouds.convolve(nodes, neighbours, weights, norms).isnan().any(1).all()
