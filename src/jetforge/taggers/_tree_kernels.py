"""Numba kernels of the edge convolution on trees and of the pooling over jets, forward and backward.

Conventions. Jet ``j`` owns the nodes ``offsets[j]`` to ``offsets[j + 1]``, its root first and every parent
before its children; ``neighbours[i]`` holds the parent and the two children of node ``i``. Link ``k`` is the
``k``-th node that is not a root, with its parent; it carries two edges: row ``2 k`` leads into the child and
row ``2 k + 1`` into the parent. ``first_link[j]`` is the link of the second node of jet ``j``, and
``weights[i]`` one over the number of neighbours of node ``i``. A kernel works on the chunks ``first`` to
``last``, where chunk ``t`` owns the jets ``bounds[t]`` to ``bounds[t + 1]``. Sums run over the chunk in
float64 and end in ``sums[t]``.

``nodes`` has shape (n_nodes, 2 c): what a node contributes as the target of an edge and as its source. A
normalised value is ``scale * value + shift``; in gradients, ``slope`` is the derivative of the loss by the
normalised value, and ``scale * slope - offset - tilt * (value - mean)`` that by the value, which includes the
way through the statistics of the batch (both corrections are zero where fixed statistics are used).

Values of nodes and edges, and their gradients, may be bfloat16 (see `jetforge.taggers._bfloat16`).
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from jetforge.taggers._bfloat16 import narrow, wide

Ints = NDArray[np.int64]
Table = NDArray[np.int32]
Floats = NDArray[Any]
Sums = NDArray[np.float64]

_kernel = njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def edge_moments(
    first: int,
    last: int,
    bounds: Ints,
    offsets: Ints,
    neighbours: Table,
    nodes: Floats,
    sums: Sums,
) -> None:
    """Sum the values (``sums[t, 0]``) and their squares (``sums[t, 1]``) over all edges."""
    channels = nodes.shape[1] // 2
    for chunk in range(first, last):
        total, squares = sums[chunk, 0], sums[chunk, 1]
        for node in range(offsets[bounds[chunk]], offsets[bounds[chunk + 1]]):
            parent = neighbours[node, 0]
            if parent < 0:
                continue
            for c in range(channels):
                down = np.float64(wide(nodes[node, c]) + wide(nodes[parent, channels + c]))
                up = np.float64(wide(nodes[parent, c]) + wide(nodes[node, channels + c]))
                total[c] += down + up
                squares[c] += down * down + up * up


@_kernel
def edge_apply(
    first: int,
    last: int,
    bounds: Ints,
    offsets: Ints,
    neighbours: Table,
    first_link: Ints,
    nodes: Floats,
    scale: Floats,
    shift: Floats,
    edges: Floats,
) -> None:
    """Write the normalised and rectified value of every edge."""
    channels = nodes.shape[1] // 2
    zero = scale.dtype.type(0)
    for jet in range(bounds[first], bounds[last]):
        row = 2 * first_link[jet]
        for node in range(offsets[jet] + 1, offsets[jet + 1]):
            parent = neighbours[node, 0]
            for c in range(channels):
                down = wide(nodes[node, c]) + wide(nodes[parent, channels + c])
                up = wide(nodes[parent, c]) + wide(nodes[node, channels + c])
                edges[row, c] = narrow(edges, max(scale[c] * down + shift[c], zero))
                edges[row + 1, c] = narrow(edges, max(scale[c] * up + shift[c], zero))
            row += 2


@_kernel
def edge_slope_moments(
    first: int,
    last: int,
    bounds: Ints,
    offsets: Ints,
    neighbours: Table,
    first_link: Ints,
    nodes: Floats,
    scale: Floats,
    shift: Floats,
    mean: Floats,
    grad: Floats,
    sums: Sums,
) -> None:
    """Sum the slopes, and the slopes times the centred values, over all edges."""
    channels = nodes.shape[1] // 2
    zero = scale.dtype.type(0)
    for chunk in range(first, last):
        total, tilted = sums[chunk, 0], sums[chunk, 1]
        for jet in range(bounds[chunk], bounds[chunk + 1]):
            row = 2 * first_link[jet]
            for node in range(offsets[jet] + 1, offsets[jet + 1]):
                parent = neighbours[node, 0]
                for c in range(channels):
                    down = wide(nodes[node, c]) + wide(nodes[parent, channels + c])
                    up = wide(nodes[parent, c]) + wide(nodes[node, channels + c])
                    slope_down = wide(grad[row, c]) if scale[c] * down + shift[c] > zero else zero
                    slope_up = wide(grad[row + 1, c]) if scale[c] * up + shift[c] > zero else zero
                    total[c] += np.float64(slope_down + slope_up)
                    tilted[c] += np.float64(slope_down * (down - mean[c]) + slope_up * (up - mean[c]))
                row += 2


@_kernel
def edge_grad(
    first: int,
    last: int,
    bounds: Ints,
    offsets: Ints,
    neighbours: Table,
    first_link: Ints,
    nodes: Floats,
    scale: Floats,
    shift: Floats,
    mean: Floats,
    offset: Floats,
    tilt: Floats,
    grad: Floats,
    grad_nodes: Floats,
) -> None:
    """Carry the gradients of all edges back to the nodes that they join."""
    channels = nodes.shape[1] // 2
    zero = scale.dtype.type(0)
    for jet in range(bounds[first], bounds[last]):
        if offsets[jet] < offsets[jet + 1]:
            for c in range(2 * channels):
                grad_nodes[offsets[jet], c] = narrow(grad_nodes, zero)
        row = 2 * first_link[jet]
        for node in range(offsets[jet] + 1, offsets[jet + 1]):
            parent = neighbours[node, 0]
            for c in range(channels):
                down = wide(nodes[node, c]) + wide(nodes[parent, channels + c])
                up = wide(nodes[parent, c]) + wide(nodes[node, channels + c])
                slope_down = wide(grad[row, c]) if scale[c] * down + shift[c] > zero else zero
                slope_up = wide(grad[row + 1, c]) if scale[c] * up + shift[c] > zero else zero
                into_node = scale[c] * slope_down - offset[c] - tilt[c] * (down - mean[c])
                into_parent = scale[c] * slope_up - offset[c] - tilt[c] * (up - mean[c])
                # A node is met as a child before its own children are, so this is the first word on its row.
                grad_nodes[node, c] = narrow(grad_nodes, into_node)
                grad_nodes[node, channels + c] = narrow(grad_nodes, into_parent)
                grad_nodes[parent, c] = narrow(grad_nodes, wide(grad_nodes[parent, c]) + into_parent)
                source = channels + c
                grad_nodes[parent, source] = narrow(grad_nodes, wide(grad_nodes[parent, source]) + into_node)
            row += 2


@_kernel
def row_moments(first: int, last: int, row_bounds: Ints, rows: Floats, sums: Sums) -> None:
    """Sum the values and their squares over the rows of each chunk."""
    for chunk in range(first, last):
        total, squares = sums[chunk, 0], sums[chunk, 1]
        for row in range(row_bounds[chunk], row_bounds[chunk + 1]):
            for c in range(rows.shape[1]):
                value = np.float64(wide(rows[row, c]))
                total[c] += value
                squares[c] += value * value


@_kernel
def mean_apply(
    first: int,
    last: int,
    bounds: Ints,
    offsets: Ints,
    neighbours: Table,
    first_link: Ints,
    weights: Floats,
    edges: Floats,
    scale: Floats,
    shift: Floats,
    out: Floats,
) -> None:
    """Write, for every node, the mean of the normalised and rectified edges that lead into it."""
    channels = edges.shape[1]
    zero = scale.dtype.type(0)
    for jet in range(bounds[first], bounds[last]):
        if offsets[jet] < offsets[jet + 1]:
            for c in range(channels):
                out[offsets[jet], c] = narrow(out, zero)
        row = 2 * first_link[jet]
        for node in range(offsets[jet] + 1, offsets[jet + 1]):
            parent = neighbours[node, 0]
            for c in range(channels):
                out[node, c] = narrow(out, max(scale[c] * wide(edges[row, c]) + shift[c], zero))
                into_parent = max(scale[c] * wide(edges[row + 1, c]) + shift[c], zero)
                out[parent, c] = narrow(out, wide(out[parent, c]) + into_parent)
            row += 2
        for node in range(offsets[jet], offsets[jet + 1]):
            for c in range(channels):
                out[node, c] = narrow(out, wide(out[node, c]) * weights[node])


@_kernel
def mean_slope_moments(
    first: int,
    last: int,
    bounds: Ints,
    offsets: Ints,
    neighbours: Table,
    first_link: Ints,
    weights: Floats,
    edges: Floats,
    scale: Floats,
    shift: Floats,
    mean: Floats,
    grad: Floats,
    sums: Sums,
) -> None:
    """Sum the slopes, and the slopes times the centred values, over all edges."""
    channels = edges.shape[1]
    zero = scale.dtype.type(0)
    for chunk in range(first, last):
        total, tilted = sums[chunk, 0], sums[chunk, 1]
        for jet in range(bounds[chunk], bounds[chunk + 1]):
            row = 2 * first_link[jet]
            for node in range(offsets[jet] + 1, offsets[jet + 1]):
                parent = neighbours[node, 0]
                of_node, of_parent = weights[node], weights[parent]
                for c in range(channels):
                    down, up = wide(edges[row, c]), wide(edges[row + 1, c])
                    slope_down = of_node * wide(grad[node, c]) if scale[c] * down + shift[c] > zero else zero
                    slope_up = of_parent * wide(grad[parent, c]) if scale[c] * up + shift[c] > zero else zero
                    total[c] += np.float64(slope_down + slope_up)
                    tilted[c] += np.float64(slope_down * (down - mean[c]) + slope_up * (up - mean[c]))
                row += 2


@_kernel
def mean_grad(
    first: int,
    last: int,
    bounds: Ints,
    offsets: Ints,
    neighbours: Table,
    first_link: Ints,
    weights: Floats,
    edges: Floats,
    scale: Floats,
    shift: Floats,
    mean: Floats,
    offset: Floats,
    tilt: Floats,
    grad: Floats,
    grad_edges: Floats,
) -> None:
    """Carry the gradients of all nodes back to the edges that lead into them."""
    channels = edges.shape[1]
    zero = scale.dtype.type(0)
    for jet in range(bounds[first], bounds[last]):
        row = 2 * first_link[jet]
        for node in range(offsets[jet] + 1, offsets[jet + 1]):
            parent = neighbours[node, 0]
            of_node, of_parent = weights[node], weights[parent]
            for c in range(channels):
                down, up = wide(edges[row, c]), wide(edges[row + 1, c])
                slope_down = of_node * wide(grad[node, c]) if scale[c] * down + shift[c] > zero else zero
                slope_up = of_parent * wide(grad[parent, c]) if scale[c] * up + shift[c] > zero else zero
                into_node = scale[c] * slope_down - offset[c] - tilt[c] * (down - mean[c])
                into_parent = scale[c] * slope_up - offset[c] - tilt[c] * (up - mean[c])
                grad_edges[row, c] = narrow(grad_edges, into_node)
                grad_edges[row + 1, c] = narrow(grad_edges, into_parent)
            row += 2


@_kernel
def pool_moments(
    first: int, last: int, bounds: Ints, offsets: Ints, values: Floats, pooled: Floats, sums: Sums
) -> None:
    """Rectify; sum over the nodes of each jet into ``pooled``, and sum values and squares over all nodes."""
    channels = values.shape[1]
    zero = pooled.dtype.type(0)
    for chunk in range(first, last):
        total, squares = sums[chunk, 0], sums[chunk, 1]
        for jet in range(bounds[chunk], bounds[chunk + 1]):
            for c in range(channels):
                pooled[jet, c] = zero
            for node in range(offsets[jet], offsets[jet + 1]):
                for c in range(channels):
                    value = max(wide(values[node, c]), zero)
                    pooled[jet, c] += value
                    squares[c] += np.float64(value) * np.float64(value)
            for c in range(channels):
                total[c] += np.float64(pooled[jet, c])


@_kernel
def pool_grad(
    first: int,
    last: int,
    bounds: Ints,
    offsets: Ints,
    values: Floats,
    mean: Floats,
    offset: Floats,
    tilt: Floats,
    grad: Floats,
    grad_values: Floats,
) -> None:
    """Carry ``grad``, what every node of a jet receives, back through normalisation and rectifier."""
    channels = values.shape[1]
    zero = mean.dtype.type(0)
    for jet in range(bounds[first], bounds[last]):
        for node in range(offsets[jet], offsets[jet + 1]):
            for c in range(channels):
                value = wide(values[node, c])
                back = grad[jet, c] - offset[c] - tilt[c] * (value - mean[c])
                grad_values[node, c] = narrow(grad_values, back if value > zero else zero)
