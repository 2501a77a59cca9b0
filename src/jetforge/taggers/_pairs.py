"""The operations of a message-passing network on all ordered pairs of nodes of each jet.

Two implementations promise the same numbers up to rounding: `GatheredPairs`, PyTorch operations for any device, and
`jetforge.taggers._pairs_cpu.FusedPairs`, numba kernels for float32 on the CPU. In both, the pairs of a node are
neighbouring rows and pair (j, i) is found from pair (i, j), so that every sum runs over neighbouring rows: nothing is
scattered, and training repeats bit for bit.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from jetforge.taggers._norm import BatchNorm


class MessageLayers(NamedTuple):
    """The layers that the rectified pairs pass through; `moving` and `step` are not there where nothing moves.

    Attributes
    ----------
    second : tuple of Tensor
        Weight, shape (width, width), and bias of the message.
    gate : tuple of Tensor
        Weight, shape (1, width), and bias of the message's gate.
    moving : tuple of Tensor, optional
        Weight, shape (width, width), and bias of the hidden layer behind the steps.
    step : Tensor, shape (1, width), optional
        Weight that makes a step of the rectified hidden layer.
    largest_move : float
        At what absolute value each component of a pair's move is cut, infinity for never.
    """

    second: tuple[torch.Tensor, torch.Tensor]
    gate: tuple[torch.Tensor, torch.Tensor]
    moving: tuple[torch.Tensor, torch.Tensor] | None
    step: torch.Tensor | None
    largest_move: float


class Pairs(Protocol):
    """All ordered pairs (i, j) of different nodes of the same jet, ready for the operations of a network.

    Attributes
    ----------
    num_pairs : int
        Number of pairs of all jets.
    """

    num_pairs: int

    def products(self, x: torch.Tensor) -> torch.Tensor:
        """Return two invariants of each pair of four-vectors, each compressed as sign(p) ln(1 + abs(p)).

        Parameters
        ----------
        x : Tensor, shape (n_nodes, 4)
            Energy first.

        Returns
        -------
        Tensor, shape (n_pairs, 2)
            The Minkowski square of ``x_i - x_j``, and the product of ``x_i`` and ``x_j``.
        """
        ...

    def sums(self, rows: torch.Tensor) -> torch.Tensor:
        """Sum rows, shape (n_pairs, ...), over the pairs (i, j) of each node i."""
        ...

    def jet_sums(self, nodes: torch.Tensor) -> torch.Tensor:
        """Sum rows, shape (n_nodes, ...), over the nodes of each jet."""
        ...

    def partners(self) -> torch.Tensor:
        """Return the number of pairs (i, j) of each node i, shape (n_nodes, 1)."""
        ...

    def messages(
        self,
        left: torch.Tensor,
        right: torch.Tensor,
        mix: torch.Tensor,
        products: torch.Tensor,
        x: torch.Tensor,
        layers: MessageLayers,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Pass every pair through the layers, sum the messages of each node and average its steps.

        A pair's row is ``u = ReLU(left_i + right_j + products_ij @ mix)``, its message ``m = gate * v`` with ``v =
        ReLU(second(u))`` and ``gate = sigmoid(gate(v))``, and its step ``s = step @ ReLU(moving(m))``.

        Parameters
        ----------
        left, right : Tensor, shape (n_nodes, width)
            What a node contributes to the pairs that it comes first in, and second.
        mix : Tensor, shape (2, width)
            Weights of the two products.
        products : Tensor, shape (n_pairs, 2)
            As `products` gives them.
        x : Tensor, shape (n_nodes, 4)
            The four-vectors.
        layers : MessageLayers
            The layers.

        Returns
        -------
        summed : Tensor, shape (n_nodes, width)
            ``sum_j m_ij``.
        moved : Tensor, shape (n_nodes, 4), or None
            ``mean_j s_ij (x_i - x_j)``, every component of a pair's move cut first; None if nothing moves.
        """
        ...


def normalised(
    pairs: Pairs,
    left: torch.Tensor,
    right: torch.Tensor,
    mix: torch.Tensor,
    products: torch.Tensor,
    norm: BatchNorm,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Fold a batch normalisation over all pairs into what their rows are made of.

    The sum over all pairs of ``left_i + right_j + products_ij @ mix``, and of its square, follow from sums over
    nodes: no row of a pair is ever made for them. They are taken in float64, since the square of the mean is
    subtracted from the mean of the squares.

    Returns
    -------
    tuple of Tensor
        ``left``, ``right`` and ``mix`` of the normalised rows.
    """
    if norm.uses_batch_statistics(pairs.num_pairs):
        mean, variance = _moments(pairs, left.double(), right.double(), mix.double(), products.double())
        norm.update(mean.detach(), variance.detach(), pairs.num_pairs)
    else:
        mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = (norm.weight.double() * torch.rsqrt(variance + norm.eps)).to(norm.weight.dtype)
    shift = norm.bias - (mean * scale).to(scale.dtype)
    return left * scale + shift, right * scale, mix * scale


def _moments(
    pairs: Pairs, left: torch.Tensor, right: torch.Tensor, mix: torch.Tensor, products: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and biased variance of the rows of all pairs, each of shape (width,)."""
    partners = pairs.partners().double()
    # Both products are the same for (i, j) and (j, i): summed over i they are what they are summed over j.
    of_node = pairs.sums(products) @ mix
    total = (partners * (left + right)).sum(0) + of_node.sum(0)
    crossed = (pairs.jet_sums(left) * pairs.jet_sums(right)).sum(0) - (left * right).sum(0)
    squares = (partners * (left.square() + right.square())).sum(0) + 2 * crossed
    squares = squares + 2 * (of_node * (left + right)).sum(0) + (mix * (products.T @ products @ mix)).sum(0)
    mean = total / pairs.num_pairs
    return mean, (squares / pairs.num_pairs - mean.square()).clamp(min=0)


class _Spread(torch.autograd.Function):
    """Give each pair the row of its first node, or of its second."""

    @staticmethod
    def forward(ctx: Any, nodes: torch.Tensor, pairs: "GatheredPairs", second: bool) -> torch.Tensor:
        ctx.pairs, ctx.second = pairs, second
        return nodes.index_select(0, pairs.second if second else pairs.first)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        pairs: GatheredPairs = ctx.pairs
        return pairs.sums(grad.index_select(0, pairs.turned) if ctx.second else grad), None, None


class PairSums:
    """Sums over the pairs of each node, whose rows are neighbours, and over the nodes of each jet.

    Parameters
    ----------
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the nodes ``offsets[j]`` to ``offsets[j + 1]``.
    partners : Tensor, int64, shape (n_nodes,)
        Number of pairs (i, j) of each node i.
    """

    def __init__(self, offsets: torch.Tensor, partners: torch.Tensor) -> None:
        self.offsets = offsets
        self._partners = partners.unsqueeze(1)
        self._bounds = torch.cat([partners.new_zeros(1), partners.cumsum(0)])

    def sums(self, rows: torch.Tensor) -> torch.Tensor:
        """See `Pairs.sums`."""
        return _segment_sums(rows, self._bounds)

    def jet_sums(self, nodes: torch.Tensor) -> torch.Tensor:
        """See `Pairs.jet_sums`."""
        return _segment_sums(nodes, self.offsets)

    def partners(self) -> torch.Tensor:
        """See `Pairs.partners`."""
        return self._partners


class GatheredPairs(PairSums):
    """Pairs as gathers of rows and sums over neighbouring rows, on any device.

    Parameters
    ----------
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the nodes ``offsets[j]`` to ``offsets[j + 1]``.
    """

    def __init__(self, offsets: torch.Tensor) -> None:
        counts = offsets.diff()
        self.num_pairs = int((counts * (counts - 1)).sum())
        jets = torch.repeat_interleave(counts)
        partners = counts.index_select(0, jets) - 1
        super().__init__(offsets, partners)
        self.first = torch.repeat_interleave(partners, output_size=self.num_pairs)
        begin = offsets.index_select(0, jets)
        begin_of_pair = begin.index_select(0, self.first)
        i = self.first - begin_of_pair
        j = torch.arange(self.num_pairs, device=offsets.device) - self._bounds.index_select(0, self.first)
        j = j + (j >= i)
        self.second = j + begin_of_pair
        self.turned = self._bounds.index_select(0, self.second) + i - (i > j).to(i.dtype)

    def spread(self, nodes: torch.Tensor, second: bool) -> torch.Tensor:
        """Return, for each pair, the row of its first or of its second node."""
        rows: torch.Tensor = _Spread.apply(nodes, self, second)  # type: ignore[no-untyped-call, unused-ignore]
        return rows

    def products(self, x: torch.Tensor) -> torch.Tensor:
        """See `Pairs.products`."""
        first, second = self.spread(x, second=False), self.spread(x, second=True)
        metric = x.new_tensor([1, -1, -1, -1])
        both = torch.stack([((first - second).square() * metric).sum(1), (first * second * metric).sum(1)], 1)
        return both.sign() * torch.log1p(both.abs())

    def messages(
        self,
        left: torch.Tensor,
        right: torch.Tensor,
        mix: torch.Tensor,
        products: torch.Tensor,
        x: torch.Tensor,
        layers: MessageLayers,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `Pairs.messages`."""
        rows = self.spread(left, second=False) + self.spread(right, second=True)
        rows = torch.relu(rows + products[:, :1] * mix[0] + products[:, 1:] * mix[1])
        rows = torch.relu(functional.linear(rows, *layers.second))
        rows = rows * torch.sigmoid(functional.linear(rows, *layers.gate))
        summed = self.sums(rows)
        if layers.moving is None or layers.step is None:
            return summed, None
        steps = functional.linear(torch.relu(functional.linear(rows, *layers.moving)), layers.step)
        apart = self.spread(x, second=False) - self.spread(x, second=True)
        moves = (apart * steps.to(x.dtype)).clamp(-layers.largest_move, layers.largest_move)
        return summed, self.sums(moves) / self._partners.clamp(min=1)


def _segment_sums(rows: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    if rows.dtype in (torch.float16, torch.bfloat16):
        rows = rows.float()
    sums: torch.Tensor = torch.segment_reduce(rows, "sum", offsets=bounds, initial=0)
    return sums
