"""The operations on trees as fused numba kernels for the CPU.

A chain of PyTorch operations writes and reads one array as large as all edges for every step; on a CPU that
costs more than the matrix products in between. Here the sums over edges, their normalisation and the averages
are taken in two passes, and nothing but their result is stored.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd.function import once_differentiable

from jetforge.representations import LundBatch
from jetforge.taggers import _tree_kernels as kernels
from jetforge.taggers._bfloat16 import kernel_array
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._threads import run_chunks

# Fewer nodes than this in a chunk are not worth waking a thread for; more chunks than this help no machine.
_NODES_IN_CHUNK = 256
_MOST_CHUNKS = 64


class FusedJets:
    """Jets on the CPU whose nodes are averaged.

    Parameters
    ----------
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the nodes ``offsets[j]`` to ``offsets[j + 1]``.
    """

    def __init__(self, offsets: torch.Tensor) -> None:
        self.offsets: NDArray[np.int64] = offsets.contiguous().numpy()
        self.num_nodes, self.num_jets = int(self.offsets[-1]), len(self.offsets) - 1
        self.sizes = np.diff(self.offsets)
        self.num_chunks = max(1, min(self.num_jets, self.num_nodes // _NODES_IN_CHUNK, _MOST_CHUNKS))
        cuts = self.num_nodes * np.arange(1, self.num_chunks) // self.num_chunks
        self.bounds = np.concatenate([[0], np.searchsorted(self.offsets, cuts), [self.num_jets]])

    def run(self, kernel: Callable[..., None], *arguments: Any) -> None:
        """Run a kernel over all jets; tensors among the arguments are handed over without a copy."""
        run_chunks(kernel, self.num_chunks, self.bounds, *(kernel_array(argument) for argument in arguments))

    def sums(self, kernel: Callable[..., None], channels: int, *arguments: Any) -> torch.Tensor:
        """Run a kernel that leaves two sums a channel for each chunk; return their totals, (2, channels)."""
        sums = np.zeros((self.num_chunks, 2, channels))
        self.run(kernel, *arguments, sums)
        return torch.from_numpy(sums.sum(axis=0))

    def relu_norm_pool(self, nodes: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
        """See `Pooling.relu_norm_pool`.

        Mean and normalisation commute: the nodes are averaged first and only the averages are normalised.
        """
        nodes = _readable(nodes)
        pooled = nodes.new_empty(self.num_jets, nodes.shape[1], dtype=_summed_type(nodes))
        sums = self.sums(kernels.pool_moments, nodes.shape[1], self.offsets, nodes.detach(), pooled)
        pooled /= torch.from_numpy(np.maximum(self.sizes, 1)).unsqueeze(1)
        result: torch.Tensor = _ReLUNormPool.apply(  # type: ignore[no-untyped-call, unused-ignore]
            nodes, norm.weight, norm.bias, *_statistics(norm, self.num_nodes, lambda: sums), pooled, self
        )
        return result


class FusedTrees(FusedJets):
    """Trees on the CPU.

    Parameters
    ----------
    batch : LundBatch
        The trees, on the CPU.
    """

    def __init__(self, batch: LundBatch) -> None:
        super().__init__(batch.offsets)
        self.num_edges = 2 * batch.num_links
        self.neighbours: NDArray[np.int32] = batch.neighbours.contiguous().numpy()
        self.first_link = self.offsets[:-1] - np.cumsum(self.sizes > 0) + (self.sizes > 0)
        degrees = np.count_nonzero(self.neighbours >= 0, axis=1)
        self._weights = 1 / np.maximum(degrees, 1)

    @property
    def links(self) -> tuple[NDArray[Any], ...]:
        """Trees as kernels over links read them."""
        return self.offsets, self.neighbours, self.first_link

    def weighted_links(self, dtype: torch.dtype) -> tuple[Any, ...]:
        """Return what kernels that average over neighbours need."""
        return *self.links, torch.from_numpy(self._weights).to(dtype)

    def edge_norm_relu(self, nodes: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
        """See `Trees.edge_norm_relu`."""
        nodes = _readable(nodes)

        def moments() -> torch.Tensor:
            return self.sums(kernels.edge_moments, nodes.shape[1] // 2, self.offsets, self.neighbours, nodes.detach())

        result: torch.Tensor = _EdgeNormReLU.apply(  # type: ignore[no-untyped-call, unused-ignore]
            nodes, norm.weight, norm.bias, *_statistics(norm, self.num_edges, moments), self
        )
        return result

    def norm_relu_mean(self, edges: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
        """See `Trees.norm_relu_mean`."""
        edges = _readable(edges)

        def moments() -> torch.Tensor:
            row_bounds = self.num_edges * np.arange(self.num_chunks + 1) // self.num_chunks
            sums = np.zeros((self.num_chunks, 2, edges.shape[1]))
            run_chunks(kernels.row_moments, self.num_chunks, row_bounds, kernel_array(edges), sums)
            return torch.from_numpy(sums.sum(axis=0))

        result: torch.Tensor = _NormReLUMean.apply(  # type: ignore[no-untyped-call, unused-ignore]
            edges, norm.weight, norm.bias, *_statistics(norm, self.num_edges, moments), self
        )
        return result


def _readable(rows: torch.Tensor) -> torch.Tensor:
    """Return rows in a type that the kernels know."""
    return rows if rows.dtype in (torch.float32, torch.float64, torch.bfloat16) else rows.float()


def _summed_type(rows: torch.Tensor) -> torch.dtype:
    """Return the type in which rows are averaged: that of the rows, or float32 for bfloat16."""
    return torch.float32 if rows.dtype == torch.bfloat16 else rows.dtype


def _statistics(
    norm: BatchNorm, num_rows: int, moments: Callable[[], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return mean, inverse spread, and the number of rows behind them (0 for the running statistics)."""
    if not norm.uses_batch_statistics(num_rows):
        return norm.running_mean, torch.rsqrt(norm.running_var + norm.eps), 0
    total, squares = moments().unbind()
    mean = total / num_rows
    variance = (squares / num_rows - mean.square()).clamp_(min=0)
    norm.update(mean, variance, num_rows)
    dtype = norm.running_mean.dtype
    return mean.to(dtype), torch.rsqrt(variance + norm.eps).to(dtype), num_rows


def _corrections(
    scale: torch.Tensor, inverse_spread: torch.Tensor, sums: torch.Tensor, num_rows: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the offset and the tilt of the gradient that come from the statistics of ``num_rows`` rows."""
    if num_rows == 0:
        return torch.zeros_like(scale), torch.zeros_like(scale)
    offset = scale * (sums[0] / num_rows)
    tilt = scale * inverse_spread.square() * (sums[1] / num_rows)
    return offset.to(scale.dtype), tilt.to(scale.dtype)


class _EdgeNormReLU(torch.autograd.Function):
    """Sum of both ends of each edge, normalised and rectified."""

    @staticmethod
    def forward(
        ctx: Any,
        nodes: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        mean: torch.Tensor,
        inverse_spread: torch.Tensor,
        num_rows: int,
        trees: FusedTrees,
    ) -> torch.Tensor:
        scale = weight * inverse_spread
        shift = bias - mean * scale
        edges = nodes.new_empty(trees.num_edges, nodes.shape[1] // 2)
        trees.run(kernels.edge_apply, *trees.links, nodes, scale, shift, edges)
        ctx.save_for_backward(nodes, scale, shift, mean, inverse_spread)
        ctx.num_rows, ctx.trees = num_rows, trees
        return edges

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        nodes, scale, shift, mean, inverse_spread = ctx.saved_tensors
        trees: FusedTrees = ctx.trees
        given = (*trees.links, nodes, scale, shift, mean)
        sums = trees.sums(kernels.edge_slope_moments, len(scale), *given, grad)
        grad_nodes = torch.empty_like(nodes)
        trees.run(
            kernels.edge_grad,
            *given,
            *_corrections(scale, inverse_spread, sums, ctx.num_rows),
            grad,
            grad_nodes,
        )
        return grad_nodes, (sums[1] * inverse_spread).to(scale.dtype), sums[0].to(scale.dtype), *[None] * 4


class _NormReLUMean(torch.autograd.Function):
    """Mean, over the edges that lead into each node, of the normalised and rectified edges."""

    @staticmethod
    def forward(
        ctx: Any,
        edges: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        mean: torch.Tensor,
        inverse_spread: torch.Tensor,
        num_rows: int,
        trees: FusedTrees,
    ) -> torch.Tensor:
        scale = weight * inverse_spread
        shift = bias - mean * scale
        out = edges.new_empty(trees.num_nodes, edges.shape[1])
        trees.run(kernels.mean_apply, *trees.weighted_links(_summed_type(edges)), edges, scale, shift, out)
        ctx.save_for_backward(edges, scale, shift, mean, inverse_spread)
        ctx.num_rows, ctx.trees = num_rows, trees
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        edges, scale, shift, mean, inverse_spread = ctx.saved_tensors
        trees: FusedTrees = ctx.trees
        given = (*trees.weighted_links(_summed_type(edges)), edges, scale, shift, mean)
        sums = trees.sums(kernels.mean_slope_moments, len(scale), *given, grad)
        grad_edges = torch.empty_like(edges)
        trees.run(
            kernels.mean_grad,
            *given,
            *_corrections(scale, inverse_spread, sums, ctx.num_rows),
            grad,
            grad_edges,
        )
        return grad_edges, (sums[1] * inverse_spread).to(scale.dtype), sums[0].to(scale.dtype), *[None] * 4


class _ReLUNormPool(torch.autograd.Function):
    """Normalised mean of the rectified nodes of each jet; ``pooled`` holds the bare means."""

    @staticmethod
    def forward(
        ctx: Any,
        nodes: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        mean: torch.Tensor,
        inverse_spread: torch.Tensor,
        num_rows: int,
        pooled: torch.Tensor,
        jets: FusedJets,
    ) -> torch.Tensor:
        scale = weight * inverse_spread
        present = torch.from_numpy(jets.sizes > 0).unsqueeze(1)
        ctx.save_for_backward(nodes, scale, mean, inverse_spread, pooled, present)
        ctx.num_rows, ctx.jets = num_rows, jets
        return torch.where(present, scale * (pooled - mean) + bias, 0.0)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        nodes, scale, mean, inverse_spread, pooled, present = ctx.saved_tensors
        jets: FusedJets = ctx.jets
        slope = torch.where(present, grad, 0.0)
        sums = torch.stack([slope.sum(0), (slope * (pooled - mean)).sum(0)]).double()
        each = scale * slope / torch.from_numpy(np.maximum(jets.sizes, 1)).unsqueeze(1)
        grad_nodes = torch.empty_like(nodes)
        corrections = _corrections(scale, inverse_spread, sums, ctx.num_rows)
        jets.run(kernels.pool_grad, jets.offsets, nodes, mean, *corrections, each.to(pooled.dtype), grad_nodes)
        return grad_nodes, (sums[1] * inverse_spread).to(scale.dtype), sums[0].to(scale.dtype), *[None] * 5
