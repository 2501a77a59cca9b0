"""bfloat16 in numba kernels, which do not know the type: read as float32, written back to nearest even.

A kernel gets a bfloat16 array as its bits, uint16 (`kernel_array`), reads a number with `wide` and writes one with
`narrow`; for arrays of other types both leave the number as it is. Half the bytes are moved, and no copy is made
between a matrix product in bfloat16 and the kernel after it.
"""

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray


def kernel_array(argument: Any) -> Any:
    """Return a tensor as the array that kernels take, without a copy where it is contiguous; others as they are."""
    if not isinstance(argument, torch.Tensor):
        return argument
    rows = argument.detach().contiguous()
    return rows.view(torch.uint16).numpy() if rows.dtype == torch.bfloat16 else rows.numpy()


def wide(number: Any) -> Any:
    """Return a number as float32 if it is the bits of a bfloat16; in kernels only."""
    raise TypeError("wide is for compiled kernels")


def narrow(like: NDArray[Any], number: Any) -> Any:
    """Return a number as an array holds it: as the bits of a bfloat16 if the array is uint16; in kernels only."""
    raise TypeError("narrow is for compiled kernels")


def _float_of_bits(typing_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


def _bits_of_float(typing_context: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


_float_of: Any = intrinsic(_float_of_bits)
_bits_of: Any = intrinsic(_bits_of_float)


# numba compares the names of arguments with their annotations: these functions have none.
@overload(wide, inline="always")
def _wide(number):  # type: ignore[no-untyped-def]
    if number == types.uint16:
        return lambda number: _float_of(np.uint32(np.uint32(number) << np.uint32(16)))
    return lambda number: number


@overload(narrow, inline="always")
def _narrow(like, number):  # type: ignore[no-untyped-def]
    if like.dtype != types.uint16:
        return lambda like, number: number

    def rounded(like, number):  # type: ignore[no-untyped-def]
        bits = _bits_of(np.float32(number))
        last_kept = (bits >> np.uint32(16)) & np.uint32(1)
        return np.uint16((bits + np.uint32(0x7FFF) + last_kept) >> np.uint32(16))

    return rounded
