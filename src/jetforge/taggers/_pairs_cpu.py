"""The operations on pairs as fused numba kernels for the CPU.

A chain of PyTorch operations writes and reads an array of all pairs for every layer; on a CPU that takes longer than
the matrix products in between, and training keeps ten such arrays a block. Here the pairs pass through all layers in
tiles that stay in the cache, and nothing but sums over pairs is written. The backward pass computes the first layers
again.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.autograd.function import once_differentiable
from torch.nn import functional

from jetforge.taggers import _pair_kernels as kernels
from jetforge.taggers._block_product import COLUMNS
from jetforge.taggers._pair_kernels import Gradients, Inputs, Kept, Layout, Weights
from jetforge.taggers._pairs import MessageLayers, PairSums
from jetforge.taggers._threads import run_chunks

# Fewer pairs than this in a chunk are not worth waking a thread for; more chunks than this help no machine.
_PAIRS_IN_CHUNK = 2048
_MOST_CHUNKS = 64


class FusedPairs(PairSums):
    """Pairs on the CPU, for layers in float32 and four-vectors in float64.

    Parameters
    ----------
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the nodes ``offsets[j]`` to ``offsets[j + 1]``.
    """

    def __init__(self, offsets: torch.Tensor) -> None:
        nodes = offsets.contiguous().numpy()
        counts = np.diff(nodes)
        first_pair = np.concatenate([[0], np.cumsum(counts * (counts - 1))])
        super().__init__(offsets, torch.from_numpy(np.repeat(counts - 1, counts)))
        self.num_nodes, self.num_pairs = int(nodes[-1]), int(first_pair[-1])
        self.num_chunks = max(1, min(len(counts), self.num_pairs // _PAIRS_IN_CHUNK, _MOST_CHUNKS))
        cuts = self.num_pairs * np.arange(1, self.num_chunks) // self.num_chunks
        bounds = np.concatenate([[0], np.searchsorted(first_pair, cuts), [len(counts)]])
        self.layout = Layout(bounds, nodes, first_pair)

    def run(self, kernel: Any, *arguments: Any) -> None:
        """Run a kernel over all jets."""
        run_chunks(kernel, self.num_chunks, self.layout, *arguments)

    def products(self, x: torch.Tensor) -> torch.Tensor:
        """See `Pairs.products`; the result is float32."""
        rows: torch.Tensor = _Products.apply(x, self)  # type: ignore[no-untyped-call, unused-ignore]
        return rows

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
        width = left.shape[1]
        fill = -width % COLUMNS
        given = (_filled(left, fill), _filled(right, fill), _filled(mix, fill), products, x)
        (second, second_bias), (gate, gate_bias) = layers.second, layers.gate
        weights: list[torch.Tensor | None] = [
            _filled(second, fill, fill), _filled(second_bias, fill), _filled(gate, fill), gate_bias.float(),
            None, None, None,
        ]  # fmt: skip
        if layers.moving is not None and layers.step is not None:
            moving, moving_bias = layers.moving
            weights[4:] = _filled(moving, fill, fill), _filled(moving_bias, fill), _filled(layers.step, fill)
        keep = torch.is_grad_enabled() and any(
            tensor is not None and tensor.requires_grad for tensor in (*given, *weights)
        )
        summed, moved = _Messages.apply(  # type: ignore[no-untyped-call, unused-ignore]
            self, layers.largest_move, keep, *given, *weights
        )
        return summed[:, :width], None if layers.moving is None else moved


def _filled(tensor: torch.Tensor, columns: int, rows: int = 0) -> torch.Tensor:
    """Return a tensor in float32, with columns and rows of zeros added."""
    tensor = tensor.float()
    return functional.pad(tensor, (0, columns, 0, rows) if rows else (0, columns)) if columns or rows else tensor


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


class _Products(torch.autograd.Function):
    """Compressed Minkowski products of all pairs."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, pairs: FusedPairs) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.pairs = pairs
        out = torch.empty(pairs.num_pairs, 2, dtype=torch.float32)
        pairs.run(kernels.products, _array(x), out.numpy())
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        grad_x = torch.zeros(x.shape, dtype=x.dtype)
        ctx.pairs.run(kernels.products_grad, _array(x), _array(grad), grad_x.numpy())
        return grad_x, None


class _Messages(torch.autograd.Function):
    """Sums of the messages and means of the moves of all pairs of each node."""

    @staticmethod
    def forward(
        ctx: Any, pairs: FusedPairs, limit: float, keep: bool, *tensors: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        given = Inputs(*(_array(tensor) for tensor in tensors[:5] if tensor is not None))
        weights = _weights(tensors[5:])
        width = given.left.shape[1]
        kept_pairs = pairs.num_pairs if keep and weights.moves else 0
        kept = Kept(np.empty(kept_pairs, np.float32), np.empty((kept_pairs, width), np.bool_))
        summed = torch.zeros(pairs.num_nodes, width, dtype=torch.float32)
        moved = torch.zeros(pairs.num_nodes if weights.moves else 0, 4, dtype=torch.float64)
        pairs.run(kernels.messages, given, weights, keep, kept, limit, summed.numpy(), moved.numpy())
        if keep:
            # Saved like the inputs, for they are as large: the backward pass frees them.
            ctx.save_for_backward(*map(torch.from_numpy, kept), *tensors)
            ctx.pairs, ctx.limit = pairs, limit
        return summed, moved

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad_summed: torch.Tensor, grad_moved: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        pairs: FusedPairs = ctx.pairs
        steps, is_open, *tensors = ctx.saved_tensors
        left, right, mix, products, x, second, second_bias, gate, gate_bias, moving, moving_bias, step = tensors
        given = Inputs(_array(left), _array(right), _array(mix), _array(products), _array(x))
        weights = _weights((second, second_bias, gate, gate_bias, moving, moving_bias, step))
        scaled = moving * step.reshape(-1, 1) if weights.moves else second
        grads = _zeros(given, pairs.num_chunks)
        pairs.run(
            kernels.messages_grad, given, weights, _array(second), _array(scaled),
            Kept(steps.numpy(), is_open.numpy()), ctx.limit, _array(grad_summed), _array(grad_moved), grads,
        )  # fmt: skip
        moves: tuple[torch.Tensor | None, ...] = (None, None, None)
        if weights.moves:
            opened, opened_bias = _total(grads.moving), _total(grads.moving_bias)
            factor = step.reshape(-1)
            # A channel's output is linear where it is open: its sums over the open pairs are those of its inputs.
            of_step = (moving * opened).sum(1) + moving_bias * opened_bias
            moves = (factor.unsqueeze(1) * opened, factor * opened_bias, of_step.reshape(step.shape))
        return (
            None, None, None, torch.from_numpy(grads.left), torch.from_numpy(grads.right), _total(grads.mix),
            torch.from_numpy(grads.products), torch.from_numpy(grads.x), _total(grads.second),
            _total(grads.second_bias), _total(grads.gate).reshape(gate.shape),
            _total(grads.gate_bias).reshape(gate_bias.shape), *moves,
        )  # fmt: skip


def _total(chunks: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(chunks.sum(axis=0))


def _zeros(given: Inputs, chunks: int) -> Gradients:
    width = given.left.shape[1]

    def zeros(*shape: int) -> NDArray[np.float32]:
        return np.zeros((chunks, *shape), np.float32)

    return Gradients(
        left=np.zeros_like(given.left),
        right=np.zeros_like(given.right),
        products=np.empty_like(given.products),
        x=np.zeros_like(given.x),
        mix=zeros(2, width),
        second=zeros(width, width),
        second_bias=zeros(width),
        gate=zeros(width),
        gate_bias=zeros(1),
        moving=zeros(width, width),
        moving_bias=zeros(width),
    )


def _weights(tensors: Any) -> Weights:
    """Return the layers as the kernels read them; those that are not there are empty."""
    second, second_bias, gate, gate_bias, moving, moving_bias, step = tensors
    empty = np.empty(0, np.float32)
    moves = moving is not None
    return Weights(
        _array(second.T),
        _array(second_bias),
        _array(gate).reshape(-1),
        float(gate_bias),
        moves,
        _array(moving.T) if moves else np.empty((0, 0), np.float32),
        _array(moving_bias) if moves else empty,
        _array(step).reshape(-1) if moves else empty,
    )
