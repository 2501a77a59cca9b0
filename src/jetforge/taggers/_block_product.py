"""Products of small blocks of matrices inside numba kernels.

A BLAS call a tile costs as much as the product itself where the matrices are as narrow as a layer of a small
network. Here a block of the result stays in vector registers while the whole depth is summed, which a loop
written in Python does not make the compiler do; so the block is spelt out for it.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_LANES = 8
_VECTORS = 3
COLUMNS = _LANES * _VECTORS
"""Columns of the block of results that is summed at once."""

ROWS = 8 if llvmlite.binding.get_host_cpu_features().get("avx512vl") else 4
"""Rows of that block: what the vector registers hold, 32 with AVX-512 and 16 without."""

_BYTES = 4  # of a float32


def _block_product(accumulate: bool) -> Callable[..., Any]:
    """Return an intrinsic that writes, or adds, ``left @ right`` to a block of ROWS by COLUMNS float32 numbers.

    Its arguments are addresses, and strides in numbers: of the result the address and the stride of a row; of the
    left factor the address, the stride of a row and that of a column; of the right factor the address and the
    stride of a row; and how many columns of the left factor are summed.
    """

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        out, out_row, left, left_row, left_column, right, right_row, depth = arguments
        number, vector = ir.FloatType(), ir.VectorType(ir.FloatType(), _LANES)
        splat = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
        nothing = ir.Constant(vector, ir.Undefined)

        def constant(value: int) -> Any:
            return ir.Constant(out.type, value)

        def pointer(base: Any, index: Any, kind: Any) -> Any:
            address = builder.add(base, builder.mul(index, constant(_BYTES)))
            return builder.inttoptr(address, kind.as_pointer())

        def place(row: int, part: int) -> Any:
            return pointer(out, builder.add(builder.mul(out_row, constant(row)), constant(_LANES * part)), vector)

        alloca: Any = cgutils.alloca_once
        sums = [[alloca(builder, vector) for _ in range(_VECTORS)] for _ in range(ROWS)]
        places = [(row, part) for row in range(ROWS) for part in range(_VECTORS)]
        for row, part in places:
            zeros = ir.Constant(vector, [0.0] * _LANES)
            builder.store(builder.load(place(row, part), align=_BYTES) if accumulate else zeros, sums[row][part])
        with cgutils.for_range(builder, depth) as loop:
            first = builder.mul(loop.index, right_row)
            rights = [
                builder.load(pointer(right, builder.add(first, constant(_LANES * part)), vector), align=_BYTES)
                for part in range(_VECTORS)
            ]
            column = builder.mul(loop.index, left_column)
            for row in range(ROWS):
                index = builder.add(builder.mul(left_row, constant(row)), column)
                one = builder.load(pointer(left, index, number), align=_BYTES)
                one = builder.insert_element(nothing, one, ir.Constant(ir.IntType(32), 0))
                factor = builder.shuffle_vector(one, nothing, splat)
                for part in range(_VECTORS):
                    product = builder.fmul(factor, rights[part], flags=("contract",))
                    total = builder.fadd(builder.load(sums[row][part]), product, flags=("contract",))
                    builder.store(total, sums[row][part])
        for row, part in places:
            builder.store(builder.load(sums[row][part]), place(row, part), align=_BYTES)
        return context.get_dummy_value()

    def typed(
        typing_context: Any, out: Any, out_row: Any, left: Any, left_row: Any, left_column: Any, right: Any,
        right_row: Any, depth: Any,
    ) -> Any:  # fmt: skip
        return types.void(*[types.intp] * 8), generate

    return intrinsic(typed)  # type: ignore[no-any-return, unused-ignore]


write_block = _block_product(accumulate=False)
add_block = _block_product(accumulate=True)
