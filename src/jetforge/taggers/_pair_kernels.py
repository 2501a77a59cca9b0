"""Numba kernels over all ordered pairs of nodes of each jet, forward and backward.

Conventions. Jet ``j`` owns the nodes ``offsets[j]`` to ``offsets[j + 1]`` and, from row ``first_pair[j]`` on, its
pairs: those of its first node with all others in their order, then those of the second, and so on. A kernel works on
the chunks ``first`` to ``last``, where chunk ``t`` owns the jets ``bounds[t]`` to ``bounds[t + 1]``; what is summed
over all pairs is summed within each chunk apart. Rows of a layer's width are worked on in tiles that stay in the
cache. Widths are multiples of `COLUMNS`. Four-vectors are float64, everything else is float32.
"""

from math import exp
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from jetforge.physics.elementary import log
from jetforge.taggers._block_product import COLUMNS, ROWS, add_block, write_block

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Vectors = NDArray[np.float64]

TILE = 64
"""Pairs that are worked on at once, a multiple of ROWS."""

_kernel = njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
_exact = njit(cache=True, nogil=True, error_model="numpy")


class Layout(NamedTuple):
    """Which jets a chunk owns, and which nodes and pairs a jet owns."""

    bounds: Ints
    offsets: Ints
    first_pair: Ints


class Weights(NamedTuple):
    """The layers that every pair passes through; matrices in the order (inputs, outputs).

    ``second`` and its bias, ``gate`` and its bias, ``moving`` and its bias, and ``step``, which makes a number of it;
    ``moves`` tells whether the last three are there.
    """

    second: Floats
    second_bias: Floats
    gate: Floats
    gate_bias: float
    moves: bool
    moving: Floats
    moving_bias: Floats
    step: Floats


class Inputs(NamedTuple):
    """What the pairs are made of: ``left[i] + right[j] + products[pair] @ mix``, and the four-vectors."""

    left: Floats
    right: Floats
    mix: Floats
    products: Floats
    x: Vectors


class Kept(NamedTuple):
    """What the backward pass reads of the forward pass: steps, and which channels of the moving layer were open."""

    steps: Floats
    open: NDArray[np.bool_]


class Gradients(NamedTuple):
    """Gradients by the inputs, and, one row a chunk, by the weights.

    ``moving`` and ``moving_bias`` lack the factor ``step`` of each output.
    """

    left: Floats
    right: Floats
    products: Floats
    x: Vectors
    mix: Floats
    second: Floats
    second_bias: Floats
    gate: Floats
    gate_bias: Floats
    moving: Floats
    moving_bias: Floats


@_exact
def _dot(a: Vectors, b: Vectors) -> Any:
    return a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]


@_exact
def _square_of_difference(a: Vectors, b: Vectors) -> Any:
    t, x, y, z = a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]
    return t * t - x * x - y * y - z * z


@_exact
def _compressed(value: float) -> float:
    size = log(1.0 + abs(value))
    return size if value >= 0.0 else -size


@_exact
def products(first: int, last: int, layout: Layout, x: Vectors, out: Floats) -> None:
    """Write the compressed Minkowski square of the difference, and the compressed product, of each pair."""
    for jet in range(layout.bounds[first], layout.bounds[last]):
        begin, start = layout.offsets[jet], layout.first_pair[jet]
        count = layout.offsets[jet + 1] - begin
        for i in range(count):
            for j in range(i):
                square = _compressed(_square_of_difference(x[begin + i], x[begin + j]))
                product = _compressed(_dot(x[begin + i], x[begin + j]))
                here, there = start + i * (count - 1) + j, start + j * (count - 1) + i - 1
                out[here, 0] = out[there, 0] = square
                out[here, 1] = out[there, 1] = product


@_exact
def products_grad(first: int, last: int, layout: Layout, x: Vectors, grad: Floats, grad_x: Vectors) -> None:
    """Carry the gradients of `products` back to the four-vectors; ``grad_x`` comes in as zeros."""
    for jet in range(layout.bounds[first], layout.bounds[last]):
        begin, start = layout.offsets[jet], layout.first_pair[jet]
        count = layout.offsets[jet + 1] - begin
        for i in range(count):
            for j in range(i):
                a, b = x[begin + i], x[begin + j]
                here, there = start + i * (count - 1) + j, start + j * (count - 1) + i - 1
                square = np.float64(grad[here, 0] + grad[there, 0]) / (1.0 + abs(_square_of_difference(a, b)))
                product = np.float64(grad[here, 1] + grad[there, 1]) / (1.0 + abs(_dot(a, b)))
                sign = 1.0
                for k in range(4):
                    apart = 2.0 * square * (a[k] - b[k])
                    grad_x[begin + i, k] += sign * (apart + product * b[k])
                    grad_x[begin + j, k] += sign * (product * a[k] - apart)
                    sign = -1.0


@_kernel
def _multiply(rows: int, tile: Floats, weights: Floats, out: Floats) -> None:
    """Write ``tile @ weights`` to the first ``rows`` rows, and to those that fill up the last block."""
    depth, width = weights.shape
    for column in range(0, width, COLUMNS):
        for row in range(0, rows, ROWS):
            write_block(
                out.ctypes.data + 4 * (row * width + column), width,
                tile.ctypes.data + 4 * row * depth, depth, 1,
                weights.ctypes.data + 4 * column, width, depth,
            )  # fmt: skip


@_kernel
def _add_outer(rows: int, left: Floats, right: Floats, out: Floats) -> None:
    """Add ``left.T @ right`` over the first ``rows`` rows to ``out``."""
    height, width = out.shape
    for column in range(0, width, COLUMNS):
        for row in range(0, height, ROWS):
            add_block(
                out.ctypes.data + 4 * (row * width + column), width,
                left.ctypes.data + 4 * row, 1, height,
                right.ctypes.data + 4 * column, width, rows,
            )  # fmt: skip


@_kernel
def _first_layer(
    start: int, rows: int, begin: int, count: int, first_pair: int, given: Inputs, i_of: Ints, j_of: Ints, tile: Floats
) -> None:
    """Write the rectified rows of the pairs ``start`` to ``start + rows`` of a jet, and which nodes they join."""
    zero = np.float32(0)
    square_mix, product_mix = given.mix[0], given.mix[1]
    for t in range(rows):
        i = (start + t) // (count - 1)
        j = start + t - i * (count - 1)
        if j >= i:
            j += 1
        i, j = i + begin, j + begin
        i_of[t], j_of[t] = i, j
        pair = first_pair + start + t
        square, product = given.products[pair, 0], given.products[pair, 1]
        left, right, row = given.left[i], given.right[j], tile[t]
        for c in range(len(row)):
            value = left[c] + right[c] + square * square_mix[c] + product * product_mix[c]
            row[c] = max(value, zero)


@_kernel
def _gate(rows: int, weights: Weights, tile: Floats, gates: Floats) -> None:
    """Add the bias of the second layer, rectify, and find each row's gate."""
    zero, one = np.float32(0), np.float32(1)
    bias, gate = weights.second_bias, weights.gate
    for t in range(rows):
        row = tile[t]
        total = np.float32(weights.gate_bias)
        for c in range(len(row)):
            value = max(row[c] + bias[c], zero)
            row[c] = value
            total += value * gate[c]
        gates[t] = one / (one + np.float32(exp(-total)))


@_kernel
def messages(
    first: int, last: int, layout: Layout, given: Inputs, weights: Weights, keep: bool, kept: Kept, limit: float,
    summed: Floats, moved: Vectors,
) -> None:  # fmt: skip
    """Sum the messages over the pairs of each node, and average its steps; both results come in as zeros."""
    width = given.left.shape[1]
    tile, hidden = np.zeros((TILE, width), np.float32), np.zeros((TILE, width), np.float32)
    gates, i_of, j_of = np.empty(TILE, np.float32), np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    zero = np.float32(0)
    for jet in range(layout.bounds[first], layout.bounds[last]):
        begin, count = layout.offsets[jet], layout.offsets[jet + 1] - layout.offsets[jet]
        for start in range(0, count * (count - 1), TILE):
            rows = min(TILE, count * (count - 1) - start)
            pair = layout.first_pair[jet] + start
            _first_layer(start, rows, begin, count, layout.first_pair[jet], given, i_of, j_of, tile)
            _multiply(rows, tile, weights.second, hidden)
            _gate(rows, weights, hidden, gates)
            for t in range(rows):
                row, total, gate = hidden[t], summed[i_of[t]], gates[t]
                for c in range(width):
                    value = row[c] * gate
                    row[c] = value
                    total[c] += value
            if not weights.moves:
                continue
            _multiply(rows, hidden, weights.moving, tile)
            for t in range(rows):
                row, bias, weight = tile[t], weights.moving_bias, weights.step
                step = zero
                for c in range(width):
                    step += max(row[c] + bias[c], zero) * weight[c]
                if keep:
                    kept.steps[pair + t] = step
                    is_open = kept.open[pair + t]
                    for c in range(width):
                        is_open[c] = row[c] + bias[c] > zero
                i, j = i_of[t], j_of[t]
                for k in range(4):
                    move = (given.x[i, k] - given.x[j, k]) * np.float64(step)
                    cut = limit if move > limit else -limit if move < -limit else move  # not a number stays none
                    moved[i, k] += cut / (count - 1)


@_kernel
def _moves_grad(
    rows: int, pair: int, count: int, given: Inputs, weights: Weights, kept: Kept, limit: float, grad_moved: Vectors,
    i_of: Ints, j_of: Ints, gates: Floats, opened: Floats, grad_x: Vectors, bias: Floats,
) -> None:  # fmt: skip
    """Carry the gradients of the moves back to the four-vectors, and to the open channels of the moving layer."""
    zero = np.float32(0)
    for t in range(rows):
        i, j, step = i_of[t], j_of[t], np.float64(kept.steps[pair + t])
        total = 0.0
        for k in range(4):
            apart = given.x[i, k] - given.x[j, k]
            if abs(apart * step) <= limit:
                slope = grad_moved[i, k] / (count - 1)
                total += slope * apart
                grad_x[i, k] += slope * step
                grad_x[j, k] -= slope * step
        grad_step = np.float32(total)
        gated = grad_step * gates[t]
        row, is_open = opened[t], kept.open[pair + t]
        for c in range(len(row)):
            row[c] = gated if is_open[c] else zero
            bias[c] += grad_step if is_open[c] else zero


@_kernel
def _gate_grad(
    rows: int, weights: Weights, grad_summed: Floats, i_of: Ints, gates: Floats, hidden: Floats, slopes: Floats,
    grad_bias: Floats, grad_gate: Floats, grad_gate_bias: Floats,
) -> None:  # fmt: skip
    """Turn the gradients of the gated rows that the moves left in ``slopes`` into those of the second layer."""
    zero, one = np.float32(0), np.float32(1)
    weight = weights.gate
    for t in range(rows):
        row, slope, summed, gate = hidden[t], slopes[t], grad_summed[i_of[t]], gates[t]
        of_gate = zero
        for c in range(len(row)):
            slope[c] += gate * summed[c]
            of_gate += slope[c] * row[c]
        of_gate *= one - gate
        grad_gate_bias[0] += of_gate
        for c in range(len(row)):
            value = slope[c] + of_gate * weight[c] if row[c] > zero else zero
            slope[c] = value
            grad_bias[c] += value
            grad_gate[c] += of_gate * row[c]


@_kernel
def _first_layer_grad(
    rows: int, pair: int, given: Inputs, i_of: Ints, j_of: Ints, tile: Floats, slopes: Floats, grads: Gradients,
    grad_mix: Floats,
) -> None:  # fmt: skip
    """Carry the gradients of the rectified rows back to the nodes, the products and their weights."""
    zero = np.float32(0)
    square_mix, product_mix = given.mix[0], given.mix[1]
    grad_square, grad_product = grad_mix[0], grad_mix[1]
    for t in range(rows):
        row, slope = tile[t], slopes[t]
        left, right = grads.left[i_of[t]], grads.right[j_of[t]]
        square, product = given.products[pair + t, 0], given.products[pair + t, 1]
        of_square, of_product = zero, zero
        for c in range(len(row)):
            value = slope[c] if row[c] > zero else zero
            left[c] += value
            right[c] += value
            grad_square[c] += value * square
            grad_product[c] += value * product
            of_square += value * square_mix[c]
            of_product += value * product_mix[c]
        grads.products[pair + t, 0], grads.products[pair + t, 1] = of_square, of_product


@_kernel
def messages_grad(
    first: int, last: int, layout: Layout, given: Inputs, weights: Weights, second: Floats, moving: Floats,
    kept: Kept, limit: float, grad_summed: Floats, grad_moved: Vectors, grads: Gradients,
) -> None:  # fmt: skip
    """Carry the gradients of `messages` back; what does not fit the cache twice is computed again.

    ``second`` and ``moving`` are the matrices in the order (outputs, inputs), ``moving`` times ``step``. All
    gradients come in as zeros.
    """
    width = given.left.shape[1]
    tile, hidden = np.zeros((TILE, width), np.float32), np.zeros((TILE, width), np.float32)
    opened, slopes = np.zeros((TILE, width), np.float32), np.zeros((TILE, width), np.float32)
    gates, i_of, j_of = np.empty(TILE, np.float32), np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    for chunk in range(first, last):
        for jet in range(layout.bounds[chunk], layout.bounds[chunk + 1]):
            begin, count = layout.offsets[jet], layout.offsets[jet + 1] - layout.offsets[jet]
            for start in range(0, count * (count - 1), TILE):
                rows = min(TILE, count * (count - 1) - start)
                pair = layout.first_pair[jet] + start
                _first_layer(start, rows, begin, count, layout.first_pair[jet], given, i_of, j_of, tile)
                _multiply(rows, tile, weights.second, hidden)
                _gate(rows, weights, hidden, gates)
                if weights.moves:
                    _moves_grad(
                        rows, pair, count, given, weights, kept, limit, grad_moved, i_of, j_of, gates, opened,
                        grads.x, grads.moving_bias[chunk],
                    )  # fmt: skip
                    _multiply(rows, opened, moving, slopes)
                    _add_outer(rows, opened, hidden, grads.moving[chunk])
                else:
                    slopes[:rows] = 0
                _gate_grad(
                    rows, weights, grad_summed, i_of, gates, hidden, slopes, grads.second_bias[chunk],
                    grads.gate[chunk], grads.gate_bias[chunk],
                )  # fmt: skip
                _add_outer(rows, slopes, tile, grads.second[chunk])
                _multiply(rows, slopes, second, hidden)
                _first_layer_grad(rows, pair, given, i_of, j_of, tile, hidden, grads, grads.mix[chunk])
