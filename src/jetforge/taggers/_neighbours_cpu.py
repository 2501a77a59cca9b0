"""The operations on nearest neighbours for the CPU: fused numba kernels around tiled matrix products.

A chain of PyTorch operations writes and reads a matrix as large as all edges for every step; on a CPU that costs as
much as the products in between. Here the edges of a few constituents at a time, a tile that stays in the cache, go
through gathering, normalisation, product and the sums of the next normalisation. Only the products are stored for
the way back, which works on the same tiles.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd.function import once_differentiable

from jetforge.representations import CloudBatch
from jetforge.taggers import _neighbour_kernels as kernels
from jetforge.taggers._chunks import ChunkedNodes
from jetforge.taggers._edges_cpu import Edges, Gradients, Normalisation
from jetforge.taggers._norm import BatchNorm


class FusedClouds:
    """Clouds on the CPU.

    Parameters
    ----------
    batch : CloudBatch
        The clouds, on the CPU.
    """

    def __init__(self, batch: CloudBatch) -> None:
        self._chunks = ChunkedNodes(batch.offsets.contiguous().numpy())

    def nearest(self, points: torch.Tensor, k: int) -> torch.Tensor:
        """See `Clouds.nearest`."""
        chunks = self._chunks
        table = np.empty((chunks.num_nodes, k), dtype=np.int32)
        places = _full_precision(points.detach()).contiguous().numpy()

        def work(chunk: int) -> None:
            kernels.nearest(chunks.jets[chunk], chunks.jets[chunk + 1], chunks.offsets, places, table)

        chunks.run(work)
        return torch.from_numpy(table)

    def convolve(
        self,
        nodes: torch.Tensor,
        neighbours: torch.Tensor,
        weights: Sequence[torch.Tensor],
        norms: Sequence[BatchNorm],
    ) -> torch.Tensor:
        """See `Clouds.convolve`."""
        nodes = _full_precision(nodes)
        parameters = [*weights, *(norm.weight for norm in norms), *(norm.bias for norm in norms)]
        precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else nodes.dtype
        edges = Edges(self._chunks, neighbours.contiguous(), [len(norm.weight) for norm in norms], precision)
        needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (nodes, *parameters))
        if not needs_grad and not any(norm.uses_batch_statistics(edges.count) for norm in norms):
            return edges.evaluated(nodes.detach().contiguous(), [weight.detach() for weight in weights], norms)
        result: torch.Tensor = _Convolution.apply(  # type: ignore[no-untyped-call, unused-ignore]
            edges, norms, nodes, *parameters
        )
        return result


class _Convolution(torch.autograd.Function):
    """Every edge through an MLP, then the mean over the edges of each constituent."""

    @staticmethod
    def forward(
        ctx: Any, edges: Edges, norms: Sequence[BatchNorm], nodes: torch.Tensor, *parameters: torch.Tensor
    ) -> torch.Tensor:
        nodes = nodes.detach().contiguous()
        weights = [weight.detach() for weight in parameters[: len(norms) - 1]]
        products, layers = edges.normalised(nodes, weights, norms)
        ctx.save_for_backward(nodes, *products, *weights)
        ctx.edges, ctx.layers = edges, layers
        return edges.pooled(nodes, products, layers[-1])

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        layers: list[Normalisation] = ctx.layers
        nodes, *stored = ctx.saved_tensors
        products, weights = stored[: len(layers) - 1], stored[len(layers) - 1 :]
        back = Gradients(ctx.edges, layers, nodes, products, weights, grad.contiguous())
        sums = [back.moments_of_last()]
        by_weights: list[torch.Tensor | None] = []
        for number in range(len(layers) - 1, 0, -1):
            further, by_weight = back.through(number, sums[-1])
            sums.append(further)
            by_weights.append(by_weight)
        by_nodes = back.by_nodes(sums[-1])
        sums.reverse()
        scales = [_tensor(total[1] * layer.inverse_spread, nodes) for total, layer in zip(sums, layers, strict=True)]
        shifts = [_tensor(total[0], nodes) for total in sums]
        return None, None, by_nodes, *reversed(by_weights), *scales, *shifts


def _tensor(numbers: NDArray[np.float64], like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(numbers).to(like.dtype)


def _full_precision(rows: torch.Tensor) -> torch.Tensor:
    """Return rows in a type that numba knows."""
    return rows if rows.dtype in (torch.float32, torch.float64) else rows.float()
