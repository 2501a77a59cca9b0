"""Powers of many numbers at once, in a form that the compiler turns into SIMD instructions."""

from math import sqrt

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.elementary import bits_float, float_bits, log

_LOG2_E = 1.4426950408889634
_LN_2_HIGH = 0.6931471803691238  # the last 21 bits are 0: its product with an exponent is exact
_LN_2_LOW = 1.9082149292705877e-10
_SHIFTER = 6755399441055744.0  # 1.5 * 2^52: the sum with a small number has its nearest integer in the last bits
_LEAST_EXPONENT = -700.0
_LEAST = 1e-300


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def exp(x: float) -> float:
    """Return e^x for -700 <= x <= 700, to about two units in the last place.

    With k the integer nearest to x / ln 2 and r = x - k ln 2: e^x = 2^k e^r, the latter by its power series.
    """
    shifted = x * _LOG2_E + _SHIFTER
    k = shifted - _SHIFTER
    r = (x - k * _LN_2_HIGH) - k * _LN_2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = (1 / 2 + r * (1 / 6)) + r2 * (1 / 24 + r * (1 / 120))
    middle = (1 / 720 + r * (1 / 5040)) + r2 * (1 / 40320 + r * (1 / 362880))
    high = (1 / 3628800 + r * (1 / 39916800)) + r2 * (1 / 479001600 + r * (1 / 6227020800))
    series = r + r2 * (low + r4 * (middle + r4 * high))
    return bits_float(float_bits(1.0 + series) + (float_bits(shifted) << 52))


@njit(cache=True, error_model="numpy")
def raise_to(x: npt.NDArray[np.float64], power: float, n: int, out: npt.NDArray[np.float64]) -> None:
    """Write x^power of the first n numbers, each finite and not negative; `out` may be `x`.

    x^0 is 1 for any x. Otherwise x below 1e-300 counts as 0, whose power is 0 also if `power` is negative; a result
    below 1e-304 may be 1e-304, and one above 1e304 is 1e304. Powers of 1/4, 1/2, 1 and 2 are exact to rounding, the
    others to about 1e-15 (1 + |power ln x|).
    """
    if power == 0.0:
        for i in range(n):
            out[i] = 1.0
    elif power == 0.25:
        for i in range(n):
            out[i] = sqrt(sqrt(x[i]))
    elif power == 0.5:
        for i in range(n):
            out[i] = sqrt(x[i])
    elif power == 1.0:
        for i in range(n):
            out[i] = x[i]
    elif power == 2.0:
        for i in range(n):
            out[i] = x[i] * x[i]
    else:
        for i in range(n):
            positive = x[i] > _LEAST
            exponent = power * log(x[i] if positive else 1.0)
            exponent = exponent if exponent > _LEAST_EXPONENT else _LEAST_EXPONENT
            exponent = exponent if exponent < -_LEAST_EXPONENT else -_LEAST_EXPONENT
            raised = exp(exponent)
            out[i] = raised if positive else 0.0
