"""The edges of one convolution on the CPU, a tile at a time: values, sums for the normalisation, and the way back."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from jetforge.taggers import _neighbour_kernels as kernels
from jetforge.taggers._chunks import ChunkedNodes, Tiles
from jetforge.taggers._norm import BatchNorm

# Numbers in a tile: half a megabyte, of which a second-level cache holds two.
_NUMBERS_IN_TILE = 1 << 17

Rows = NDArray[Any]


class Normalisation(NamedTuple):
    """How one layer is normalised, and how many rows its statistics are of (0 for the running statistics)."""

    mean: Rows
    inverse_spread: Rows
    scale: Rows
    shift: Rows
    num_rows: int

    @classmethod
    def of(cls, norm: BatchNorm, sums: NDArray[np.float64] | None = None, num_rows: int = 0) -> "Normalisation":
        """Return that by the sums of the values and their squares of ``num_rows`` rows, or by the running statistics.

        The first moves the running statistics.
        """
        mean, variance = norm.running_mean.double(), norm.running_var.double()
        if sums is not None:
            total, squares = torch.from_numpy(sums).unbind()
            mean = total / num_rows
            variance = (squares / num_rows - mean.square()).clamp_(min=0)
            norm.update(mean, variance, num_rows)
        inverse_spread = torch.rsqrt(variance + norm.eps)
        scale = norm.weight.detach() * inverse_spread
        shift = norm.bias.detach() - mean * scale
        parts = [part.to(norm.weight.dtype).numpy() for part in (mean, inverse_spread, scale, shift)]
        return cls(parts[0], parts[1], parts[2], parts[3], num_rows)

    @property
    def line(self) -> tuple[Rows, Rows]:
        """Scale and shift."""
        return self.scale, self.shift

    def corrections(self, sums: NDArray[np.float64]) -> tuple[Rows, Rows]:
        """Return the offset and the tilt of the gradient, given the sums of slopes, and of slopes times values."""
        if not self.num_rows:
            return np.zeros_like(self.scale), np.zeros_like(self.scale)
        offset = self.scale * sums[0] / self.num_rows
        tilt = self.scale * self.inverse_spread**2 * sums[1] / self.num_rows
        return offset.astype(self.scale.dtype), tilt.astype(self.scale.dtype)


class Edges:
    """The edges of one convolution, of which a tile is worked on at a time.

    Parameters
    ----------
    chunks : ChunkedNodes
        The constituents that they join.
    neighbours : Tensor, int32, shape (n, k)
        Source of each edge.
    widths : sequence of int
        Width of each layer.
    precision : torch.dtype
        In which products are taken.
    """

    def __init__(
        self, chunks: ChunkedNodes, neighbours: torch.Tensor, widths: Sequence[int], precision: torch.dtype
    ) -> None:
        self.chunks, self.widths, self.precision = chunks, widths, precision
        self.table, self.k = neighbours.numpy(), neighbours.shape[1]
        self.count = chunks.num_nodes * self.k
        self.step = max(1, _NUMBERS_IN_TILE // (self.k * max(widths)))

    def room(self, like: torch.Tensor, layer: int) -> torch.Tensor:
        """Return room for a tile of a layer."""
        return like.new_empty(self.step * self.k, self.widths[layer])

    def values(
        self,
        layer: int,
        nodes: torch.Tensor,
        products: Sequence[torch.Tensor],
        begin: int,
        end: int,
        room: torch.Tensor,
    ) -> Rows:
        """Return the values of a layer in a tile: those of the first are gathered into ``room``, others are there."""
        if layer > 0:
            stored: Rows = products[layer - 1][begin * self.k : end * self.k].numpy()
            return stored
        rows: Rows = room[: (end - begin) * self.k].numpy()
        kernels.gather(begin, self.table, nodes.numpy(), rows)
        return rows

    def moments(self, layer: int, work: Callable[[Tiles, Rows], None]) -> NDArray[np.float64]:
        """Call ``work(tiles, sums)`` for every chunk and return the total of its sums, (2, channels)."""
        sums = np.zeros((self.chunks.num_chunks, 2, self.widths[layer]))
        self.chunks.for_tiles(self.step, lambda chunk, tiles: work(tiles, sums[chunk]))
        total: NDArray[np.float64] = sums.sum(axis=0)
        return total

    def evaluated(
        self, nodes: torch.Tensor, weights: Sequence[torch.Tensor], norms: Sequence[BatchNorm]
    ) -> torch.Tensor:
        """Return the averaged edges by the running statistics, all layers a tile at a time."""
        lines = [Normalisation.of(norm).line for norm in norms]
        factors = [weight.t().to(self.precision) for weight in weights]
        out = nodes.new_empty(len(nodes), self.widths[-1])

        def work(_: int, tiles: Tiles) -> None:
            rooms = [self.room(nodes, layer) for layer in range(len(norms))]
            for begin, end in tiles:
                rows = [room[: (end - begin) * self.k] for room in rooms]
                self.values(0, nodes, (), begin, end, rooms[0])
                for layer, factor in enumerate(factors):
                    hidden = rows[layer].numpy()
                    kernels.activate(hidden, *lines[layer], hidden)
                    _multiply(rows[layer], factor, rows[layer + 1])
                kernels.pool(rows[-1].numpy(), self.k, *lines[-1], out[begin:end].numpy())

        self.chunks.for_tiles(self.step, work)
        return out

    def normalised(
        self, nodes: torch.Tensor, weights: Sequence[torch.Tensor], norms: Sequence[BatchNorm]
    ) -> tuple[list[torch.Tensor], list[Normalisation]]:
        """Return the products of all layers but the first, and the normalisations of all."""
        products: list[torch.Tensor] = []
        layers: list[Normalisation] = []
        for layer, norm in enumerate(norms):
            if layer > 0:
                products.append(nodes.new_empty(self.count, self.widths[layer]))

            def work(tiles: Tiles, sums: Rows, layer: int = layer) -> None:
                factor = weights[layer - 1].t().to(self.precision) if layer > 0 else None
                room = self.room(nodes, max(layer - 1, 0))
                for begin, end in tiles:
                    values = self.values(max(layer - 1, 0), nodes, products, begin, end, room)
                    if factor is not None:
                        hidden = room[: len(values)]
                        kernels.activate(values, *layers[layer - 1].line, hidden.numpy())
                        product = products[layer - 1][begin * self.k : end * self.k]
                        _multiply(hidden, factor, product)
                        values = product.numpy()
                    kernels.moments(values, sums)

            of_batch = norm.uses_batch_statistics(self.count)
            if layer > 0 or of_batch:
                sums = self.moments(layer, work)
            layers.append(Normalisation.of(norm, sums, self.count) if of_batch else Normalisation.of(norm))
        return products, layers

    def pooled(
        self, nodes: torch.Tensor, products: Sequence[torch.Tensor], normalisation: Normalisation
    ) -> torch.Tensor:
        """Return the averaged edges of the last layer."""
        last = len(self.widths) - 1
        out = nodes.new_empty(len(nodes), self.widths[last])

        def work(_: int, tiles: Tiles) -> None:
            room = self.room(nodes, 0)
            for begin, end in tiles:
                values = self.values(last, nodes, products, begin, end, room)
                kernels.pool(values, self.k, *normalisation.line, out[begin:end].numpy())

        self.chunks.for_tiles(self.step, work)
        return out


class Gradients:
    """The way back through the edges of one convolution, last layer first."""

    def __init__(
        self,
        edges: Edges,
        layers: Sequence[Normalisation],
        nodes: torch.Tensor,
        products: Sequence[torch.Tensor],
        weights: Sequence[torch.Tensor],
        grad: torch.Tensor,
    ) -> None:
        self.edges, self.layers, self.grad = edges, layers, grad
        self.nodes, self.products, self.weights = nodes, products, weights
        self.last = len(layers) - 1
        self.slopes: torch.Tensor | None = None  # of all edges, of the layer that is being left

    def moments_of_last(self) -> NDArray[np.float64]:
        """Return the sums of the slopes of the last layer."""
        layer = self.layers[self.last]

        def work(tiles: Tiles, sums: Rows) -> None:
            room = self.edges.room(self.nodes, 0)
            for begin, end in tiles:
                values = self.edges.values(self.last, self.nodes, self.products, begin, end, room)
                grad = self.grad[begin:end].numpy()
                kernels.pool_slope_moments(values, self.edges.k, *layer.line, layer.mean, grad, sums)

        return self.edges.moments(self.last, work)

    def by_values(
        self, number: int, values: Rows, corrections: tuple[Rows, Rows], begin: int, end: int, out: Rows
    ) -> None:
        """Write the derivative of the loss by the values of a layer in a tile."""
        layer, k = self.layers[number], self.edges.k
        if number == self.last:
            grad = self.grad[begin:end].numpy()
            kernels.pool_grad(values, k, *layer.line, layer.mean, *corrections, grad, out)
        elif self.slopes is not None:
            slope = self.slopes[begin * k : end * k].numpy()
            kernels.value_grad(values, layer.scale, layer.mean, *corrections, slope, out)

    def through(self, number: int, sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], torch.Tensor]:
        """Go from a layer to the one before: return the sums of its slopes and the derivative by the weight between."""
        edges, before = self.edges, self.layers[number - 1]
        corrections = self.layers[number].corrections(sums)
        weight = self.weights[number - 1].to(edges.precision)
        by_weight = self.nodes.new_zeros(edges.chunks.num_chunks, *weight.shape)
        further = np.zeros((edges.chunks.num_chunks, 2, edges.widths[number - 1]))
        slopes = self.slopes
        if slopes is None or slopes.shape[1] != edges.widths[number - 1]:
            slopes = self.nodes.new_empty(edges.count, edges.widths[number - 1])

        def work(chunk: int, tiles: Tiles) -> None:
            gradient, hidden, gathered = (edges.room(self.nodes, layer) for layer in (number, number - 1, 0))
            for begin, end in tiles:
                stretch = slice(begin * edges.k, end * edges.k)
                values = edges.values(number, self.nodes, self.products, begin, end, gathered)
                by_value, by_hidden = gradient[: len(values)], hidden[: len(values)]
                self.by_values(number, values, corrections, begin, end, by_value.numpy())
                inputs = edges.values(number - 1, self.nodes, self.products, begin, end, gathered)
                kernels.activate(inputs, *before.line, by_hidden.numpy())
                _add_product(by_value.t(), by_hidden, by_weight[chunk], edges.precision)
                _multiply(by_value, weight, by_hidden)
                out = slopes[stretch].numpy()
                kernels.slopes(inputs, *before.line, before.mean, by_hidden.numpy(), out, further[chunk])

        edges.chunks.for_tiles(edges.step, work)
        self.slopes = slopes
        return further.sum(axis=0), by_weight.sum(0)

    def by_nodes(self, sums: NDArray[np.float64]) -> torch.Tensor:
        """Return the derivative by the nodes, given the sums of the slopes of the first layer."""
        edges, corrections = self.edges, self.layers[0].corrections(sums)
        grad_nodes = torch.zeros_like(self.nodes)

        def work(_: int, tiles: Tiles) -> None:
            gathered, gradient = edges.room(self.nodes, 0), edges.room(self.nodes, 0)
            for begin, end in tiles:
                values = edges.values(0, self.nodes, self.products, begin, end, gathered)
                by_value = gradient[: len(values)].numpy()
                self.by_values(0, values, corrections, begin, end, by_value)
                # Both ends of an edge are of one jet, and a jet is of one chunk: no two threads meet.
                kernels.scatter(begin, edges.table, by_value, grad_nodes.numpy())

        edges.chunks.for_tiles(edges.step, work)
        return grad_nodes


def _multiply(rows: torch.Tensor, factor: torch.Tensor, out: torch.Tensor) -> None:
    """Write ``rows @ factor``, in the precision of the factor."""
    if factor.dtype == rows.dtype:
        torch.mm(rows, factor, out=out)
    else:
        out.copy_(torch.mm(rows.to(factor.dtype), factor))


def _add_product(left: torch.Tensor, right: torch.Tensor, total: torch.Tensor, precision: torch.dtype) -> None:
    """Add ``left @ right``, taken in a precision, to a total."""
    if precision == total.dtype:
        total.addmm_(left, right)
    else:
        total += torch.mm(left.to(precision), right.to(precision))
