"""Evaluation of the instructions of `jetforge.physics.correlators.efp_program` for one jet after the other."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from jetforge.physics.correlators.efp_expressions import (
    APPLY,
    APPLY_BOTH,
    DOT,
    HADAMARD,
    HALF_ROW,
    MULTIPLY,
    PRODUCT,
    ROW,
    SUM,
    TIMES,
    TRANSPOSE,
)
from jetforge.physics.correlators.efp_program import (
    CLEAR,
    END,
    FIRST_TRANSPOSED,
    HALF_SHIFT,
    LOOP,
    SECOND_TRANSPOSED,
    STORE,
    SYMMETRIC,
)

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

LANES = 4
"""Sizes of vectors and matrices are rounded up to a multiple of this; what is beyond the constituents is zero."""
_MOST_DEPTH = 4


class Memory(NamedTuple):
    """Registers of a program for jets of up to so many constituents, with two more matrices to work in.

    A vector of n constituents is the first `padded(n)` entries of a row of `vectors`, a matrix the first
    `padded(n)`^2 of a row of `matrices`, row by row.
    """

    matrices: _Floats
    vectors: _Floats
    numbers: _Floats
    fixed: _Integers


@njit(cache=True)
def padded(n: int) -> int:
    """Return a number of constituents rounded up to whole lanes."""
    return (n + LANES - 1) // LANES * LANES


@njit(cache=True)
def program_memory(largest: int, matrices: int, vectors: int, numbers: int) -> Memory:
    """Return room for the registers of a program and jets of up to `largest` constituents."""
    size = padded(largest)
    return Memory(
        np.zeros((matrices + 2, size * size)),
        np.zeros((vectors, size)),
        np.zeros(numbers),
        np.zeros(_MOST_DEPTH, dtype=np.int64),
    )


_local = cast(Callable[..., Any], cgutils.alloca_once)


def _tile_of(columns: int) -> Callable[..., Any]:
    """Return the intrinsic that multiplies four rows with so many groups of four columns.

    From the places a_at, b_at, c_at of flat arrays on, c[i, j] = sum over k < n of a[i, k] b[k, j]; rows are `size`
    numbers apart. All sums stay in registers, which the compiler does not manage from loops.
    """

    def typed(_typing: Any, a: Any, a_at: Any, b: Any, b_at: Any, c: Any, c_at: Any, size: Any, n: Any) -> Any:
        return types.void(a, a_at, b, b_at, c, c_at, size, n), emit

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        starts = []
        for array, at in ((0, 1), (2, 3), (4, 5)):
            data = context.make_array(signature.args[array])(context, builder, value=args[array]).data
            starts.append(builder.gep(data, [args[at]]))
        _emit_tile(builder, columns, *starts, *args[6:])
        return context.get_dummy_value()

    return cast(Callable[..., Any], intrinsic(typed))


def _emit_tile(builder: Any, columns: int, a: Any, b: Any, c: Any, size: Any, n: Any) -> None:
    """Write the instructions of a tile; a, b and c point to its first numbers."""
    lanes, integer = ir.VectorType(ir.DoubleType(), LANES), ir.IntType(64)
    nothing, every = ir.Constant(lanes, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)

    def lanes_at(start: Any, offset: Any) -> Any:
        return builder.bitcast(builder.gep(start, [offset]), lanes.as_pointer())

    sums = [[_local(builder, lanes) for _ in range(columns)] for _ in range(LANES)]
    for place in (place for row in sums for place in row):
        builder.store(ir.Constant(lanes, [0.0] * LANES), place)
    with cgutils.for_range(builder, n) as loop:
        b_k = builder.mul(loop.index, size)
        at = [lanes_at(b, builder.add(b_k, integer(LANES * j))) for j in range(columns)]
        right = [builder.load(place, align=8) for place in at]
        for i, row in enumerate(sums):
            number = builder.load(builder.gep(a, [builder.add(builder.mul(size, integer(i)), loop.index)]))
            left = builder.shuffle_vector(builder.insert_element(nothing, number, ir.IntType(32)(0)), nothing, every)
            for place, factor in zip(row, right, strict=True):
                term = builder.fmul(left, factor, flags=("contract",))
                builder.store(builder.fadd(builder.load(place), term, flags=("contract",)), place)
    for i, row in enumerate(sums):
        for j, place in enumerate(row):
            offset = builder.add(builder.mul(size, integer(i)), integer(LANES * j))
            builder.store(builder.load(place), lanes_at(c, offset), align=8)


_tile_4, _tile_8, _tile_12 = _tile_of(1), _tile_of(2), _tile_of(3)


@njit(cache=True, error_model="numpy")
def _turn(a: _Floats, c: _Floats, size: int) -> None:
    """Write the transpose of a to c."""
    for i in range(size):
        for j in range(size):
            c[i * size + j] = a[j * size + i]


@njit(cache=True, error_model="numpy")
def _scale(b: _Floats, w: _Floats, c: _Floats, begin: int, size: int, is_transposed: bool) -> None:
    """Write the rows from `begin` on of diag(w) b to c, or of its form with b transposed."""
    for k in range(begin, size):
        row, w_k = c[k * size : (k + 1) * size], w[k]
        if is_transposed:
            for j in range(size):
                row[j] = w_k * b[j * size + k]
        else:
            given = b[k * size : (k + 1) * size]
            for j in range(size):
                row[j] = w_k * given[j]


@njit(cache=True, error_model="numpy")
def _multiply(a: _Floats, b: _Floats, c: _Floats, begin: int, n: int, size: int, is_symmetric: bool) -> None:
    """Write the sum over begin <= k < n of a[i, k] b[k, j] to c; half of a symmetric product is a copy.

    Twelve columns of b stay in the nearest cache while the rows of a pass by.
    """
    for j in range(0, size, 3 * LANES):
        columns = min(3 * LANES, size - j)
        first = begin * size + j
        for i in range(0, j + columns if is_symmetric else size, LANES):
            if columns == 3 * LANES:
                _tile_12(a, i * size + begin, b, first, c, i * size + j, size, n - begin)
            elif columns == 2 * LANES:
                _tile_8(a, i * size + begin, b, first, c, i * size + j, size, n - begin)
            else:
                _tile_4(a, i * size + begin, b, first, c, i * size + j, size, n - begin)
    if is_symmetric:
        for i in range(size):
            for j in range(i):
                c[i * size + j] = c[j * size + i]


@njit(cache=True, error_model="numpy")
def _product(step: _Integers, memory: Memory, n: int, size: int) -> None:
    """Multiply two matrices with a diagonal one between them."""
    matrices = memory.matrices
    turned, scaled = matrices[-1], matrices[-2]
    half = step[5] >> HALF_SHIFT
    begin = memory.fixed[half] if half > 0 else 0
    a = matrices[step[2]]
    if step[5] & FIRST_TRANSPOSED:
        _turn(a, turned, size)
        a = turned
    _scale(matrices[step[3]], memory.vectors[step[4]], scaled, begin, size, (step[5] & SECOND_TRANSPOSED) != 0)
    _multiply(a, scaled, matrices[step[1]], begin, n, size, (step[5] & SYMMETRIC) != 0)


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nnan", "nsz"})
def _apply(a: _Floats, v: _Floats, out: _Floats, size: int, is_transposed: bool) -> None:
    """Multiply a matrix, or its transpose, and a vector."""
    if is_transposed:
        out[:size] = 0.0
        for i in range(size):
            row, v_i = a[i * size : (i + 1) * size], v[i]
            for j in range(size):
                out[j] += v_i * row[j]
    else:
        for i in range(size):
            row = a[i * size : (i + 1) * size]
            total = 0.0
            for j in range(size):
                total += row[j] * v[j]
            out[i] = total


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nnan", "nsz"})
def _apply_both(a: _Floats, b: _Floats, v: _Floats, out: _Floats, size: int, is_transposed: bool) -> None:
    """Multiply the elementwise product of two matrices, or its transpose, and a vector."""
    if is_transposed:
        out[:size] = 0.0
        for i in range(size):
            row_a, row_b, v_i = a[i * size : (i + 1) * size], b[i * size : (i + 1) * size], v[i]
            for j in range(size):
                out[j] += v_i * (row_a[j] * row_b[j])
    else:
        for i in range(size):
            row_a, row_b = a[i * size : (i + 1) * size], b[i * size : (i + 1) * size]
            total = 0.0
            for j in range(size):
                total += row_a[j] * row_b[j] * v[j]
            out[i] = total


@njit(cache=True, error_model="numpy")
def _elementwise(a: _Floats, b: _Floats, out: _Floats, length: int) -> None:
    for i in range(length):
        out[i] = a[i] * b[i]


@njit(cache=True, error_model="numpy")
def _row(a: _Floats, out: _Floats, i: int, size: int, is_transposed: bool) -> None:
    """Copy row i of a matrix, or of its transpose."""
    first, step = (i, size) if is_transposed else (i * size, 1)
    for k in range(size):
        out[k] = a[first + k * step]


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nnan", "nsz"})
def _dot(a: _Floats, b: _Floats, size: int) -> float:
    total = 0.0
    for i in range(size):
        total += a[i] * b[i]
    return total


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nnan", "nsz"})
def _sum(a: _Floats, size: int) -> float:
    total = 0.0
    for i in range(size):
        total += a[i]
    return total


@njit(cache=True, error_model="numpy")
def run(code: _Integers, memory: Memory, n: int) -> None:
    """Carry out the instructions for a jet of n > 0 constituents, theta and z being in place."""
    size = padded(n)
    matrices, vectors, numbers = memory.matrices, memory.vectors, memory.numbers
    at = 0
    while at < len(code):
        step = code[at]
        operation, out, a, b = step[0], step[1], step[2], step[3]
        if operation == DOT:
            numbers[out] = _dot(vectors[a], vectors[b], size)
        elif operation == APPLY:
            _apply(matrices[a], vectors[b], vectors[out], size, step[5] != 0)
        elif operation == APPLY_BOTH:
            _apply_both(matrices[a], matrices[step[4]], vectors[b], vectors[out], size, step[5] != 0)
        elif operation == TIMES:
            _elementwise(vectors[a], vectors[b], vectors[out], size)
        elif operation == HADAMARD:
            _elementwise(matrices[a], matrices[b], matrices[out], size * size)
        elif operation == PRODUCT:
            _product(step, memory, n, size)
        elif operation == MULTIPLY:
            numbers[out] = numbers[a] * numbers[b]
        elif operation == SUM:
            numbers[out] = _sum(vectors[a], size)
        elif operation == TRANSPOSE:
            _turn(matrices[a], matrices[out], size)
        elif operation == ROW:
            _row(matrices[a], vectors[out], memory.fixed[step[4]], size, step[5] != 0)
        elif operation == HALF_ROW:
            i = memory.fixed[step[4]]
            _row(matrices[a], vectors[out], i, size, step[5] != 0)
            vectors[out, :i] = 0.0
            vectors[out, i + 1 : size] *= 2.0
        elif operation == CLEAR:
            vectors[out, :size] = 0.0
        elif operation == STORE:
            vectors[out, memory.fixed[step[4]]] = numbers[a]
        elif operation == LOOP:
            memory.fixed[out] = 0
        elif operation == END:
            memory.fixed[out] += 1
            if memory.fixed[out] < n:
                at = a
        at += 1
