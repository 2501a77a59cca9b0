"""The operations of a graph network on the trees of a batch: along the links, and over the nodes of each jet.

Two implementations promise the same numbers up to rounding: `GatheredTrees`, PyTorch operations for any
device, and `FusedTrees`, numba kernels for the CPU. Neither scatters: on a binary tree every sum over
neighbours is a sum of at most three gathered rows, so both are deterministic.
"""

from typing import Any, Protocol

import torch
from torch.autograd.function import once_differentiable

from jetforge.representations import LundBatch
from jetforge.taggers._norm import BatchNorm


class Pooling(Protocol):
    """The nodes of the jets of one batch, ready to be averaged."""

    def relu_norm_pool(self, nodes: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
        """Rectify, normalise over all nodes, average over the nodes of each jet.

        Parameters
        ----------
        nodes : Tensor, shape (n_nodes, channels)
            One row a node.
        norm : BatchNorm
            Normalisation of the rectified rows.

        Returns
        -------
        Tensor, shape (n_jets, channels)
            Zero for a jet without nodes.
        """
        ...


class Trees(Pooling, Protocol):
    """The trees of one batch, ready for the operations of a network.

    Every link between a parent and a child carries two edges, one into the child and one into the parent.
    """

    def edge_norm_relu(self, nodes: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
        """Add both ends of every edge, normalise over all edges, rectify.

        Parameters
        ----------
        nodes : Tensor, shape (n_nodes, 2 * channels)
            What each node contributes as the target of an edge, and as its source.
        norm : BatchNorm
            Normalisation of the sums.

        Returns
        -------
        Tensor, shape (n_edges, channels)
        """
        ...

    def norm_relu_mean(self, edges: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
        """Normalise over all edges, rectify, average over the edges that lead into each node.

        Parameters
        ----------
        edges : Tensor, shape (n_edges, channels)
            One row an edge, ordered as `edge_norm_relu` returns them.
        norm : BatchNorm
            Normalisation of the rows.

        Returns
        -------
        Tensor, shape (n_nodes, channels)
            Zero for a node without neighbours.
        """
        ...


class _EdgeSum(torch.autograd.Function):
    """Sum of what both ends contribute to each edge."""

    @staticmethod
    def forward(ctx: Any, nodes: torch.Tensor, trees: "GatheredTrees") -> torch.Tensor:
        ctx.trees = trees
        return trees.edge_sum(nodes)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        trees: GatheredTrees = ctx.trees
        return torch.cat([trees.sum_of(grad, trees.incoming), trees.sum_of(grad, trees.outgoing)], 1), None


class _EdgeMean(torch.autograd.Function):
    """Mean of the edges that lead into each node."""

    @staticmethod
    def forward(ctx: Any, edges: torch.Tensor, trees: "GatheredTrees") -> torch.Tensor:
        ctx.trees = trees
        return trees.edge_mean(edges)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        trees: GatheredTrees = ctx.trees
        return (grad / trees.degrees).index_select(0, trees.target), None


class GatheredJets:
    """Jets whose nodes are averaged by PyTorch, on any device.

    Parameters
    ----------
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the nodes ``offsets[j]`` to ``offsets[j + 1]``.
    """

    def __init__(self, offsets: torch.Tensor) -> None:
        self.offsets = offsets

    def relu_norm_pool(self, nodes: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
        """See `Pooling.relu_norm_pool`."""
        rows = norm(torch.relu(nodes))
        if rows.dtype in (torch.float16, torch.bfloat16):
            rows = rows.float()
        sums: torch.Tensor = torch.segment_reduce(rows, "sum", offsets=self.offsets, initial=0)
        return sums / self.offsets.diff().clamp(min=1).unsqueeze(1)


class GatheredTrees(GatheredJets):
    """Trees whose sums over neighbours are gathers of rows, on any device.

    Row ``2 k`` of the edges leads into the ``k``-th node that is not a root, row ``2 k + 1`` from it into its
    parent.

    Parameters
    ----------
    batch : LundBatch
        The trees.
    """

    def __init__(self, batch: LundBatch) -> None:
        super().__init__(batch.offsets)
        neighbours = batch.neighbours.long()
        num_nodes, num_links = batch.num_nodes, batch.num_links
        present = neighbours >= 0
        link = present[:, 0].cumsum(0) - 1
        # Roots, which have no link, all write to the spare last place: to select would wait for the device.
        child = link.new_empty(num_links + 1)
        child[torch.where(present[:, 0], link, num_links)] = torch.arange(num_nodes, device=child.device)
        child = child[:num_links]
        parent = neighbours[:, 0].index_select(0, child)
        self.target = torch.stack([child, parent], 1).view(-1)
        # Rows of the nodes seen as (2 n_nodes, channels): as target on even rows, as source on odd ones.
        self._as_target = 2 * self.target
        self._as_source = torch.stack([2 * parent + 1, 2 * child + 1], 1).view(-1)
        into = 2 * link[neighbours.clamp(min=0)] + 1
        into[:, 0] = 2 * link
        absent = 2 * num_links
        self.incoming = torch.where(present, into, absent)
        self.outgoing = torch.where(present, into ^ 1, absent)
        self.degrees = present.sum(1, keepdim=True).clamp(min=1)

    def edge_sum(self, nodes: torch.Tensor) -> torch.Tensor:
        """Add what the target and the source of each edge contribute: (n_nodes, 2 c) to (n_edges, c)."""
        rows = nodes.reshape(2 * len(nodes), nodes.shape[1] // 2)
        return rows.index_select(0, self._as_target) + rows.index_select(0, self._as_source)

    def edge_mean(self, edges: torch.Tensor) -> torch.Tensor:
        """Average the edges that lead into each node: (n_edges, c) to (n_nodes, c)."""
        return self.sum_of(edges, self.incoming) / self.degrees

    def sum_of(self, edges: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """Add, for each node, the edges named in its row of ``table``, shape (n_nodes, 3)."""
        padded = torch.cat([edges, edges.new_zeros(1, edges.shape[1])])
        return sum(padded.index_select(0, column) for column in table.unbind(1))  # type: ignore[return-value]

    def edge_norm_relu(self, nodes: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
        """See `Trees.edge_norm_relu`."""
        edges: torch.Tensor = (
            _EdgeSum.apply(nodes, self)  # type: ignore[no-untyped-call, unused-ignore]
            if nodes.requires_grad
            else self.edge_sum(nodes)
        )
        return torch.relu(norm(edges))

    def norm_relu_mean(self, edges: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
        """See `Trees.norm_relu_mean`."""
        messages = torch.relu(norm(edges))
        mean: torch.Tensor = (
            _EdgeMean.apply(messages, self)  # type: ignore[no-untyped-call, unused-ignore]
            if messages.requires_grad
            else self.edge_mean(messages)
        )
        return mean
