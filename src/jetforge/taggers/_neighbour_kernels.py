"""Numba kernels of the edge convolution on nearest neighbours, forward and backward.

Conventions. A table ``neighbours``, shape (n, k), holds the source of each edge, -1 for a stand-in that contributes
zero; edge ``e`` of constituent ``i`` is row ``k i + e`` of a matrix of edges. A tile is a stretch of such rows, those
of the constituents from ``begin`` on. ``nodes`` has shape (n, 2 c): what a constituent contributes as the target of
an edge and as its source; the value of an edge is their sum.

A normalised value is ``scale * value + shift``; in gradients, ``slope`` is the derivative of the loss by the
normalised value, and ``scale * slope - offset - tilt * (value - mean)`` that by the value, which includes the way
through the statistics of the batch (both corrections are zero where fixed statistics are used). ``sums``, float64 of
shape (2, c), is added to; short stretches are summed in the precision of the values first.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Table = NDArray[np.int32]
Floats = NDArray[Any]
Sums = NDArray[np.float64]

_kernel = njit(cache=True, nogil=True, error_model="numpy")
_STRETCH = 32


@_kernel
def nearest(first: int, last: int, offsets: Ints, points: Floats, neighbours: Table) -> None:
    """Fill the table of the jets first <= j < last, nearest first; of two that are as near, the earlier comes first."""
    k, dimensions = neighbours.shape[1], points.shape[1]
    best = np.empty(k, dtype=points.dtype)
    for jet in range(first, last):
        begin, size = offsets[jet], offsets[jet + 1] - offsets[jet]
        columns = np.empty((dimensions, size), dtype=points.dtype)
        for i in range(size):
            for d in range(dimensions):
                columns[d, i] = points[begin + i, d]
        distances = np.empty(size, dtype=points.dtype)
        for i in range(size):
            distances[:] = 0
            for d in range(dimensions):
                own = columns[d, i]
                for j in range(size):
                    step = columns[d, j] - own
                    distances[j] += step * step
            table = neighbours[begin + i]
            table[:] = -1
            found = 0
            for j in range(size):
                distance = distances[j]
                if j == i or (found == k and not distance < best[k - 1]):
                    continue
                place = found if found < k else k - 1
                while place > 0 and distance < best[place - 1]:
                    best[place] = best[place - 1]
                    table[place] = table[place - 1]
                    place -= 1
                best[place] = distance
                table[place] = begin + j
                found = min(found + 1, k)


@_kernel
def gather(begin: int, neighbours: Table, nodes: Floats, rows: Floats) -> None:
    """Write the value of every edge of a tile."""
    k, channels = neighbours.shape[1], nodes.shape[1] // 2
    for i in range(len(rows) // k):
        for e in range(k):
            source = neighbours[begin + i, e]
            if source < 0:
                for c in range(channels):
                    rows[i * k + e, c] = nodes[begin + i, c]
            else:
                for c in range(channels):
                    rows[i * k + e, c] = nodes[begin + i, c] + nodes[source, channels + c]


@_kernel
def moments(rows: Floats, sums: Sums) -> None:
    """Sum values and their squares."""
    channels = rows.shape[1]
    total, squares = np.empty(channels, dtype=rows.dtype), np.empty(channels, dtype=rows.dtype)
    for start in range(0, len(rows), _STRETCH):
        total[:] = 0
        squares[:] = 0
        for row in range(start, min(start + _STRETCH, len(rows))):
            for c in range(channels):
                value = rows[row, c]
                total[c] += value
                squares[c] += value * value
        for c in range(channels):
            sums[0, c] += total[c]
            sums[1, c] += squares[c]


@_kernel
def activate(rows: Floats, scale: Floats, shift: Floats, out: Floats) -> None:
    """Normalise and rectify; ``out`` may be ``rows``."""
    zero = rows.dtype.type(0)
    for row in range(len(rows)):
        for c in range(rows.shape[1]):
            out[row, c] = max(scale[c] * rows[row, c] + shift[c], zero)


@_kernel
def pool(rows: Floats, k: int, scale: Floats, shift: Floats, out: Floats) -> None:
    """Write the mean of the normalised and rectified edges of each constituent."""
    zero, share = rows.dtype.type(0), rows.dtype.type(1 / k)
    channels = rows.shape[1]
    for i in range(len(out)):
        total = out[i]
        total[:] = zero
        for row in range(i * k, (i + 1) * k):
            for c in range(channels):
                value = scale[c] * rows[row, c] + shift[c]
                total[c] += zero if value < zero else value  # not a number stays none
        for c in range(channels):
            total[c] *= share


@_kernel
def pool_slope_moments(
    rows: Floats, k: int, scale: Floats, shift: Floats, mean: Floats, grad: Floats, sums: Sums
) -> None:
    """Sum the slopes of the edges that `pool` averaged, and the slopes times the centred values."""
    zero, share = rows.dtype.type(0), rows.dtype.type(1 / k)
    channels = rows.shape[1]
    count, centred = np.empty(channels, dtype=rows.dtype), np.empty(channels, dtype=rows.dtype)
    for i in range(len(grad)):
        count[:] = zero
        centred[:] = zero
        for row in range(i * k, (i + 1) * k):
            for c in range(channels):
                value = rows[row, c]
                on = share if scale[c] * value + shift[c] > zero else zero
                count[c] += on
                centred[c] += on * (value - mean[c])
        for c in range(channels):
            sums[0, c] += grad[i, c] * count[c]
            sums[1, c] += grad[i, c] * centred[c]


@_kernel
def pool_grad(
    rows: Floats, k: int, scale: Floats, shift: Floats, mean: Floats, offset: Floats, tilt: Floats, grad: Floats,
    out: Floats,
) -> None:  # fmt: skip
    """Write the derivative of the loss by the values of the edges that `pool` averaged."""
    zero, share = rows.dtype.type(0), rows.dtype.type(1 / k)
    for i in range(len(grad)):
        for row in range(i * k, (i + 1) * k):
            for c in range(rows.shape[1]):
                value = rows[row, c]
                slope = share * grad[i, c] if scale[c] * value + shift[c] > zero else zero
                out[row, c] = scale[c] * slope - offset[c] - tilt[c] * (value - mean[c])


@_kernel
def slopes(rows: Floats, scale: Floats, shift: Floats, mean: Floats, grad: Floats, out: Floats, sums: Sums) -> None:
    """Write the slopes, given the derivative by the rectified values; sum them, and times the centred values."""
    zero = rows.dtype.type(0)
    channels = rows.shape[1]
    total, tilted = np.empty(channels, dtype=rows.dtype), np.empty(channels, dtype=rows.dtype)
    for start in range(0, len(rows), _STRETCH):
        total[:] = zero
        tilted[:] = zero
        for row in range(start, min(start + _STRETCH, len(rows))):
            for c in range(channels):
                value = rows[row, c]
                slope = grad[row, c] if scale[c] * value + shift[c] > zero else zero
                out[row, c] = slope
                total[c] += slope
                tilted[c] += slope * (value - mean[c])
        for c in range(channels):
            sums[0, c] += total[c]
            sums[1, c] += tilted[c]


@_kernel
def value_grad(
    rows: Floats, scale: Floats, mean: Floats, offset: Floats, tilt: Floats, slope: Floats, out: Floats
) -> None:
    """Write the derivative of the loss by the values, given the slopes; ``out`` may be ``slope``."""
    for row in range(len(rows)):
        for c in range(rows.shape[1]):
            out[row, c] = scale[c] * slope[row, c] - offset[c] - tilt[c] * (rows[row, c] - mean[c])


@_kernel
def scatter(begin: int, neighbours: Table, rows: Floats, grad_nodes: Floats) -> None:
    """Add the derivatives by the edges of a tile to those by the constituents at both ends."""
    k, channels = neighbours.shape[1], rows.shape[1]
    for i in range(len(rows) // k):
        target = begin + i
        for e in range(k):
            source, row = neighbours[target, e], i * k + e
            for c in range(channels):
                grad_nodes[target, c] += rows[row, c]
            if source >= 0:
                for c in range(channels):
                    grad_nodes[source, channels + c] += rows[row, c]
