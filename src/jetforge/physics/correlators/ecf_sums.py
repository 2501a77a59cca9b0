"""Sums over pairs, triples, quadruples and quintuples of constituents, behind the energy correlators.

The pairwise angles of a jet are a triangular matrix t: t[i, k] = theta_ik^beta for k < i, and 0 elsewhere. Sums
run over i > j > k > ... with the innermost two indices in loops over contiguous rows, several rows at a time; the
zeros of the matrix take the place of the limits of those loops, so that row lengths can be rounded up and the
compiler needs no scalar remainder.

With all angles multiplied, a sum is nested quadratic forms: fixing i turns the weights p_k = z_k into
p_k = z_k t[i, k], and what is left is the sum over the remaining indices with these weights.

The product of the v smallest of some angles obeys E_v(S + T) = min over q of E_q(S) E_(v-q)(T) for any division of
the angles into two sets S and T, with E_0 = 1. So it is found without sorting: the angles from the fixed
constituents to each other (`among`) and to a further constituent (`least`) are kept as E_1, E_2, ... of these sets.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.elementary import smaller

_Floats = npt.NDArray[np.float64]

_LANES = 16  # rows are padded to this, so that loops have no scalar remainder
_BLOCK = 4  # rows that one pass of an innermost loop takes together
_DEEPEST = 3  # constituents fixed outside the two innermost loops, at most
_MOST_ANGLES = 10
_NOT_THERE = 1e300  # product of more angles than a set has
_SUM_MATH = {"contract", "reassoc", "nnan", "nsz"}


class Nest(NamedTuple):
    """Memory of nested sums; the first index is the number of fixed constituents."""

    fixed: npt.NDArray[np.int64]  # (4,): the constituent fixed last
    weight: _Floats  # (4,): product of the weights of the fixed ones
    among: _Floats  # (4, 11): products of the smallest angles among the fixed ones
    least: _Floats  # (4, 4, padded): the same of the angles between the fixed ones and each other constituent
    both: _Floats  # (11, padded): the same of the two sets together
    product: _Floats  # (4, padded): z of each constituent times all its angles to the fixed ones
    pair: _Floats  # (2, padded): these numbers with one of two consecutive constituents fixed too


@njit(cache=True)
def padded(n: int) -> int:
    """Return n rounded up to the length of a row."""
    return (n + _LANES - 1) & -_LANES


@njit(cache=True)
def nest_memory(width: int) -> Nest:
    """Return memory for nested sums over up to `width` constituents, a multiple of the lanes."""
    levels = _DEEPEST + 1
    least = np.full((levels, _DEEPEST + 1, width), _NOT_THERE)
    least[:, 0] = 1.0
    return Nest(
        np.zeros(levels, dtype=np.int64),
        np.ones(levels),
        np.ones((levels, _MOST_ANGLES + 1)),
        least,
        np.ones((_MOST_ANGLES + 1, width)),
        np.zeros((levels, width)),
        np.zeros((2, width)),
    )


@njit(cache=True, error_model="numpy", fastmath=_SUM_MATH)
def _pair_sums(p: _Floats, q: _Floats, t: _Floats, n: int) -> tuple[float, float]:
    """Return the sums over l < k < n of p_k p_l t[k, l] and q_k q_l t[k, l]; p and q are 0 from n on."""
    total_p = 0.0
    total_q = 0.0
    for k in range(0, n, _BLOCK):
        t0, t1, t2, t3 = t[k], t[k + 1], t[k + 2], t[k + 3]
        p0, p1, p2, p3 = p[k], p[k + 1], p[k + 2], p[k + 3]
        q0, q1, q2, q3 = q[k], q[k + 1], q[k + 2], q[k + 3]
        part_p = 0.0
        part_q = 0.0
        for m in range(padded(k + _BLOCK)):
            part_p += p[m] * (p0 * t0[m] + p1 * t1[m] + p2 * t2[m] + p3 * t3[m])
            part_q += q[m] * (q0 * t0[m] + q1 * t1[m] + q2 * t2[m] + q3 * t3[m])
        total_p += part_p
        total_q += part_q
    return total_p, total_q


@njit(cache=True, error_model="numpy")
def _triple_sum(p: _Floats, t: _Floats, n: int, memory: _Floats) -> float:
    """Return the sum over l < k < i < n of p_i p_k p_l t[i, k] t[i, l] t[k, l]; p is 0 from n on."""
    total = 0.0
    even, odd = memory[0], memory[1]
    for i in range(0, n, 2):
        row, next_row = t[i], t[i + 1]
        for k in range(padded(i + 1)):
            even[k] = p[k] * row[k]
            odd[k] = p[k] * next_row[k]
        sum_even, sum_odd = _pair_sums(even, odd, t, i + 1)
        total += p[i] * sum_even + p[i + 1] * sum_odd
    return total


@njit(cache=True, error_model="numpy", fastmath=_SUM_MATH)
def _least_sum(z: _Floats, a: _Floats, f: _Floats, t: _Floats, n: int) -> float:
    """Return the sum over l < k < n of z_k z_l times the smallest angle, which is among a_l, f_k and t[k, l]."""
    total = 0.0
    for k in range(0, n, _BLOCK):
        t0, t1, t2, t3 = t[k], t[k + 1], t[k + 2], t[k + 3]
        z0, z1, z2, z3 = z[k], z[k + 1], z[k + 2], z[k + 3]
        f0, f1, f2, f3 = f[k], f[k + 1], f[k + 2], f[k + 3]
        part = 0.0
        for m in range(padded(k + _BLOCK)):
            e0, e1 = smaller(smaller(a[m], f0), t0[m]), smaller(smaller(a[m], f1), t1[m])
            e2, e3 = smaller(smaller(a[m], f2), t2[m]), smaller(smaller(a[m], f3), t3[m])
            part += z[m] * (z0 * e0 + z1 * e1 + z2 * e2 + z3 * e3)
        total += part
    return total


@njit(cache=True, error_model="numpy", fastmath=_SUM_MATH)
def _two_of_three_sum(z: _Floats, a: _Floats, t: _Floats, n: int) -> float:
    """Return the sum over l < k < n of z_k z_l times the two smaller of the angles a_k, a_l and t[k, l]."""
    total = 0.0
    for k in range(0, n, _BLOCK):
        t0, t1, t2, t3 = t[k], t[k + 1], t[k + 2], t[k + 3]
        z0, z1, z2, z3 = z[k], z[k + 1], z[k + 2], z[k + 3]
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        part = 0.0
        for m in range(padded(k + _BLOCK)):
            e0 = smaller(a0 * a[m], smaller(a0, a[m]) * t0[m])
            e1 = smaller(a1 * a[m], smaller(a1, a[m]) * t1[m])
            e2 = smaller(a2 * a[m], smaller(a2, a[m]) * t2[m])
            e3 = smaller(a3 * a[m], smaller(a3, a[m]) * t3[m])
            part += z[m] * (z0 * e0 + z1 * e1 + z2 * e2 + z3 * e3)
        total += part
    return total


@njit(cache=True, error_model="numpy", fastmath=_SUM_MATH)
def _two_least_sum(z: _Floats, a: _Floats, aa: _Floats, f: _Floats, ff: _Floats, t: _Floats, n: int) -> float:
    """Return the sum over l < k < n of z_k z_l times the two smallest angles.

    They are t[k, l], or among those with the smallest a_l and f_k, and products of two aa_l and ff_k.
    """
    total = 0.0
    for k in range(0, n, 2):
        t0, t1, z0, z1 = t[k], t[k + 1], z[k], z[k + 1]
        f0, f1, ff0, ff1 = f[k], f[k + 1], ff[k], ff[k + 1]
        part = 0.0
        for m in range(padded(k + 2)):
            rest0 = smaller(smaller(ff0, aa[m]), f0 * a[m])
            rest1 = smaller(smaller(ff1, aa[m]), f1 * a[m])
            e0 = smaller(rest0, smaller(f0, a[m]) * t0[m])
            e1 = smaller(rest1, smaller(f1, a[m]) * t1[m])
            part += z[m] * (z0 * e0 + z1 * e1)
        total += part
    return total


@njit(cache=True, error_model="numpy", fastmath=_SUM_MATH)
def _many_least_sum(z: _Floats, angles: int, nest: Nest, level: int, t: _Floats, n: int) -> float:
    """Return the sum over l < k < n of z_k z_l times the product of the `angles` >= 3 smallest angles."""
    a1, a2, a3 = nest.least[level, 1], nest.least[level, 2], nest.least[level, 3]
    both = nest.both
    total = 0.0
    for k in range(n):
        f0, f1, f2, f3 = both[angles, k], both[angles - 1, k], both[angles - 2, k], both[angles - 3, k]
        f4 = both[angles - 4, k] if angles > 3 else _NOT_THERE
        row = t[k]
        part = 0.0
        for m in range(padded(k)):
            without_row = smaller(smaller(f0, f1 * a1[m]), smaller(f2 * a2[m], f3 * a3[m]))
            one_fewer = smaller(smaller(f1, f2 * a1[m]), smaller(f3 * a2[m], f4 * a3[m]))
            part += z[m] * smaller(without_row, one_fewer * row[m])
        total += z[k] * part
    return total


@njit(cache=True, error_model="numpy")
def sum_of_products(n: int, size: int, z: _Floats, t: _Floats, nest: Nest) -> float:
    """Return the sum over n constituents out of `size` of their weights and all the angles between them."""
    if n == 2:
        return _pair_sums(z, z, t, size)[0]
    if n == 3:
        return _triple_sum(z, t, size, nest.pair)
    nest.product[0, : padded(size)] = z[: padded(size)]
    total = 0.0
    level = 0
    nest.fixed[0] = size
    nest.weight[0] = 1.0
    while level >= 0:
        nest.fixed[level] -= 1
        x = nest.fixed[level]
        if x < n - 1 - level:  # too few constituents before it
            level -= 1
            continue
        p, q, row = nest.product[level], nest.product[level + 1], t[x]
        for k in range(padded(x)):
            q[k] = p[k] * row[k]
        nest.weight[level + 1] = nest.weight[level] * p[x]
        level += 1
        nest.fixed[level] = x
        if level == n - 3:
            total += nest.weight[level] * _triple_sum(q, t, x, nest.pair)
            level -= 1
    return total


@njit(cache=True, error_model="numpy")
def _fix(x: int, level: int, angles: int, nest: Nest, t: _Floats) -> None:
    """Add constituent x to the `level` fixed ones."""
    pairs = level * (level - 1) // 2
    for v in range(1, min(angles, pairs + level) + 1):
        product = _NOT_THERE
        for u in range(max(0, v - pairs), min(level, v) + 1):
            product = smaller(product, nest.among[level, v - u] * nest.least[level, u, x])
        nest.among[level + 1, v] = product
    row, length = t[x], padded(x)
    for v in range(1, level + 2):
        old, shorter, new = nest.least[level, min(v, level)], nest.least[level, v - 1], nest.least[level + 1, v]
        if v <= level:
            for k in range(length):
                new[k] = smaller(old[k], shorter[k] * row[k])
        else:
            for k in range(length):
                new[k] = shorter[k] * row[k]


@njit(cache=True, error_model="numpy")
def _join(n: int, level: int, angles: int, nest: Nest) -> None:
    """Put the angles among the fixed constituents together with those to each of the n before them."""
    pairs = level * (level - 1) // 2
    length = padded(n)
    for v in range(1, angles + 1):
        both = nest.both[v]
        for k in range(length):
            both[k] = _NOT_THERE
        for u in range(max(0, v - pairs), min(level, v) + 1):
            among, least = nest.among[level, v - u], nest.least[level, u]
            for k in range(length):
                both[k] = smaller(both[k], among * least[k])


@njit(cache=True, error_model="numpy")
def sum_of_least(n: int, angles: int, size: int, z: _Floats, t: _Floats, nest: Nest) -> float:
    """Return the sum over n constituents of `size` of their weights and the smallest angles between them."""
    total = 0.0
    level = 0
    nest.fixed[0] = size
    nest.weight[0] = 1.0
    while level >= 0:
        nest.fixed[level] -= 1
        x = nest.fixed[level]
        if x < n - 1 - level:  # too few constituents before it
            level -= 1
            continue
        _fix(x, level, angles, nest, t)
        nest.weight[level + 1] = nest.weight[level] * z[x]
        level += 1
        nest.fixed[level] = x
        if level == n - 2:
            a, both = nest.least[level], nest.both
            _join(x, level, angles, nest)
            if angles == 1:
                part = _least_sum(z, a[1], both[1], t, x)
            elif n == 3:
                part = _two_of_three_sum(z, a[1], t, x)
            elif angles == 2:
                part = _two_least_sum(z, a[1], a[2], both[1], both[2], t, x)
            else:
                part = _many_least_sum(z, angles, nest, level, t, x)
            total += nest.weight[level] * part
            level -= 1
    return total
