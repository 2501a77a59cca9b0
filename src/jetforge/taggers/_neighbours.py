"""The operations of an edge convolution on the nearest neighbours of each constituent, in PyTorch.

There are two implementations that agree to rounding: `GatheredClouds`, PyTorch operations for any device, and
`FusedClouds`, numba kernels and tiled products for the CPU.

Every constituent has exactly ``k`` neighbours. Where its jet has too few others, the missing ones are stand-ins
whose features are zero; in a table of neighbours they bear the number -1.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch.nn import functional

from jetforge.representations import CloudBatch
from jetforge.taggers._norm import BatchNorm


class Clouds(Protocol):
    """The clouds of one batch, ready for the operations of a network."""

    def nearest(self, points: torch.Tensor, k: int) -> torch.Tensor:
        """Find the nearest other constituents of the same jet.

        Parameters
        ----------
        points : Tensor, shape (n, dimensions)
            Where each constituent is; distances are Euclidean.
        k : int
            Number of neighbours.

        Returns
        -------
        Tensor, integers, shape (n, k)
            Rows of the neighbours; -1 beyond those there are.
        """
        ...

    def convolve(
        self,
        nodes: torch.Tensor,
        neighbours: torch.Tensor,
        weights: Sequence[torch.Tensor],
        norms: Sequence[BatchNorm],
    ) -> torch.Tensor:
        """Carry every edge through an MLP and average over the edges of each constituent.

        Parameters
        ----------
        nodes : Tensor, shape (n, 2 * channels)
            Output of the first linear layer: what each constituent contributes as the target of an edge, and as its
            source. An edge is the sum of both; a stand-in contributes zero.
        neighbours : Tensor, integers, shape (n, k)
            Source of each edge, as `nearest` returns them.
        weights : sequence of Tensor, shapes (outputs, inputs)
            Of each further linear layer.
        norms : sequence of BatchNorm
            Of every layer, the first included. Each is followed by a ReLU.

        Returns
        -------
        Tensor, shape (n, outputs of the last layer)
        """
        ...


class GatheredClouds:
    """Clouds whose neighbours are gathered, on any device.

    Parameters
    ----------
    batch : CloudBatch
        The clouds.
    """

    def __init__(self, batch: CloudBatch) -> None:
        self._batch = batch
        self._length = max(batch.longest, 1)
        mask = batch.mask(self._length)
        itself = torch.eye(self._length, dtype=torch.bool, device=mask.device)
        self._never = ~(mask.unsqueeze(1) & mask.unsqueeze(2)) | itself

    @torch.no_grad()
    def nearest(self, points: torch.Tensor, k: int) -> torch.Tensor:
        """See `Clouds.nearest`."""
        batch, found = self._batch, min(k, self._length)
        with torch.autocast(points.device.type, enabled=False):  # neighbours must not hang on half precision
            points = points if points.dtype == torch.float64 else points.float()
            # Around the middle of the jet, |a|^2 - 2ab + |b|^2 loses the fewest digits.
            centred = points - batch.means(points).index_select(0, batch.jet_of_row())
            padded = batch.padded(centred, self._length)
            squares = padded.square().sum(2)
            distances = torch.baddbmm(squares.unsqueeze(1), padded, padded.transpose(1, 2), alpha=-2)
            distances += squares.unsqueeze(2)
        chosen, local = distances.masked_fill_(self._never, torch.inf).topk(found, largest=False)
        rows = local + batch.offsets[:-1].reshape(-1, 1, 1)
        rows = batch.unpadded(torch.where(torch.isfinite(chosen), rows, -1))
        return functional.pad(rows, (0, k - found), value=-1)

    def convolve(
        self,
        nodes: torch.Tensor,
        neighbours: torch.Tensor,
        weights: Sequence[torch.Tensor],
        norms: Sequence[BatchNorm],
    ) -> torch.Tensor:
        """See `Clouds.convolve`."""
        n, k = neighbours.shape
        target, source = nodes.chunk(2, dim=1)
        source = torch.cat([source, source.new_zeros(1, source.shape[1])])  # the last row is the stand-ins'
        sources = torch.where(neighbours < 0, n, neighbours).reshape(-1)
        edges = source.index_select(0, sources).view(n, k, target.shape[1]) + target.unsqueeze(1)
        edges = torch.relu(norms[0](edges.flatten(0, 1)))
        for weight, norm in zip(weights, norms[1:], strict=True):
            edges = torch.relu(norm(functional.linear(edges, weight)))
        return edges.view(n, k, edges.shape[1]).mean(1)
