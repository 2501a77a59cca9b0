"""The axis that maximises the sum of |p . n|, found exactly by branch and bound.

f(n) = sum_i |p_i . n| is convex and homogeneous, and its maximum over unit vectors is |sum_i s_i p_i| for the signs
s_i of p_i . n there. Where the axis lies in a cone spanned by directions n_c, write n = sum_c w_c n_c with w_c >= 0:
convexity gives f(n) <= sum_c w_c f(n_c) = a . n, with the vector a that has a . n_c = f(n_c). So a triangle of
directions, or an arc of them in two dimensions, is bounded by the values at its corners alone: by |a| where a points
into it, and by the bounds of its edges where not. A cone whose bound does not beat the best axis yet is dropped, any
other is halved. The bound is exact where no p_i changes its side, hence what is left is soon empty.
"""

from math import sqrt

import numpy as np
import numpy.typing as npt
from numba import njit

_TOLERANCE = 1e-13  # relative, in the square of the sum
_LEAST_LENGTH2 = 1e-14  # of an edge, squared: what a kink of the sum could add within is below rounding
_DEPTH = 256  # more cones than can wait: a halving adds one, and after 80 in a row every edge is below the least
_ROUNDS = 50  # ascents end much sooner
_SUMS = {"contract", "reassoc", "nnan", "nsz"}

_Floats = npt.NDArray[np.float64]


@njit(cache=True)
def axis_memory() -> _Floats:
    """Return the memory that `best_axis` and `best_direction` work in."""
    return np.empty((_DEPTH, 12))


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def _total(p: _Floats, n: int, x: float, y: float, z: float) -> float:
    """Return sum_i |p_i . (x, y, z)|."""
    px, py, pz = p[0], p[1], p[2]
    total = 0.0
    for i in range(n):
        total += abs(px[i] * x + py[i] * y + pz[i] * z)
    return total


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def _signed_sum(p: _Floats, n: int, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return the sum of the momenta, those behind the plane across (x, y, z) turned round."""
    px, py, pz = p[0], p[1], p[2]
    sx, sy, sz = 0.0, 0.0, 0.0
    for i in range(n):
        sign = 1.0 if px[i] * x + py[i] * y + pz[i] * z >= 0.0 else -1.0
        sx += sign * px[i]
        sy += sign * py[i]
        sz += sign * pz[i]
    return sx, sy, sz


@njit(cache=True, error_model="numpy")
def _ascend(p: _Floats, n: int, axis: _Floats, x: float, y: float, z: float, best: float) -> float:
    """Follow the signed sum from (x, y, z) while it grows; note the axis if it beats `best`, and return the best."""
    previous = 0.0
    for _ in range(_ROUNDS):
        x, y, z = _signed_sum(p, n, x, y, z)
        total = sqrt(x * x + y * y + z * z)
        if not total > previous:
            break
        x, y, z = x / total, y / total, z / total
        previous = total
        if total > best:
            best = total
            axis[0], axis[1], axis[2] = x, y, z
    return best


@njit(cache=True, error_model="numpy")
def _edge_bound2(d2: float, f1: float, f2: float) -> float:
    """Return the square of the bound on an arc whose ends are apart by a vector of square d2."""
    half = 0.5 * d2
    if f1 - f2 + half * f2 < 0.0 or f2 - f1 + half * f1 < 0.0:
        return max(f1, f2) ** 2
    return float(((f1 - f2) ** 2 + d2 * f1 * f2) / (d2 * (1.0 - 0.25 * d2)))


@njit(cache=True, error_model="numpy")
def _bound2(t: _Floats, a2: float, b2: float, c2: float) -> float:
    """Return the square of the bound on a triangle, of which the edges 12, 13 and 23 have the squares a2, b2, c2."""
    x, y, z = t[0], t[1], t[2]
    ux, uy, uz = t[3] - x, t[4] - y, t[5] - z
    vx, vy, vz = t[6] - x, t[7] - y, t[8] - z
    f, g, h = t[9], t[10] - t[9], t[11] - t[9]
    cx, cy, cz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx  # u x v
    ex, ey, ez = vy * z - vz * y, vz * x - vx * z, vx * y - vy * x  # v x n_1
    dx, dy, dz = y * uz - z * uy, z * ux - x * uz, x * uy - y * ux  # n_1 x u
    volume = x * cx + y * cy + z * cz
    ax = (f * cx + g * ex + h * dx) / volume
    ay = (f * cy + g * ey + h * dy) / volume
    az = (f * cz + g * ez + h * dz) / volume
    second = (ax * ex + ay * ey + az * ez) / volume
    third = (ax * dx + ay * dy + az * dz) / volume
    first = (ax * (cx - ex - dx) + ay * (cy - ey - dy) + az * (cz - ez - dz)) / volume
    if first >= 0.0 and second >= 0.0 and third >= 0.0:
        return float(ax * ax + ay * ay + az * az)
    return float(max(_edge_bound2(a2, t[9], t[10]), _edge_bound2(b2, t[9], t[11]), _edge_bound2(c2, t[10], t[11])))


@njit(cache=True, error_model="numpy")
def _distance2(t: _Floats, i: int, j: int) -> float:
    return float((t[i] - t[j]) ** 2 + (t[i + 1] - t[j + 1]) ** 2 + (t[i + 2] - t[j + 2]) ** 2)


@njit(cache=True, error_model="numpy")
def orthonormal(x: float, y: float, z: float) -> tuple[float, float, float, float, float, float]:
    """Return two unit vectors across the unit vector (x, y, z) and each other.

    Duff et al., J. Computer Graphics Techniques 6 (2017) 1: free of square roots and of bad directions.
    """
    sign = 1.0 if z >= 0.0 else -1.0
    a = -1.0 / (sign + z)
    b = x * y * a
    return 1.0 + sign * x * x * a, sign * b, -sign * x, b, sign + y * y * a, -y


@njit(cache=True, error_model="numpy")
def best_axis(p: _Floats, n: int, start: int, axis: _Floats, cones: _Floats) -> float:
    """Return the largest sum_i |p_i . axis|, and write that axis.

    Parameters
    ----------
    p
        Momenta of shape (3, at least n), of order 1 and not all of them zero.
    n
        Their number.
    start
        Index of a momentum that is not zero; that of the largest makes the search short.
    axis
        Receives the unit vector.
    cones
        Memory from `axis_memory`.
    """
    best = _ascend(p, n, axis, p[0, start], p[1, start], p[2, start], 0.0)
    x, y, z = axis[0], axis[1], axis[2]
    ux, uy, uz, vx, vy, vz = orthonormal(x, y, z)
    fu, fv = _total(p, n, ux, uy, uz), _total(p, n, vx, vy, vz)
    waiting = 4
    for k in range(waiting):
        t = cones[k]
        u, v = (1.0 if k < 2 else -1.0), (1.0 if k % 2 == 0 else -1.0)
        t[0], t[1], t[2], t[9] = x, y, z, best
        t[3], t[4], t[5], t[10] = u * ux, u * uy, u * uz, fu
        t[6], t[7], t[8], t[11] = v * vx, v * vy, v * vz, fv
    while waiting > 0:
        waiting -= 1
        t = cones[waiting]
        a2, b2, c2 = _distance2(t, 0, 3), _distance2(t, 0, 6), _distance2(t, 3, 6)
        longest = max(a2, b2, c2)
        if longest < _LEAST_LENGTH2 or _bound2(t, a2, b2, c2) <= best * best * (1.0 + _TOLERANCE):
            continue
        i, j = (0, 1) if longest == a2 else ((0, 2) if longest == b2 else (1, 2))
        x, y, z = t[3 * i] + t[3 * j], t[3 * i + 1] + t[3 * j + 1], t[3 * i + 2] + t[3 * j + 2]
        length = sqrt(x * x + y * y + z * z)
        x, y, z = x / length, y / length, z / length
        total = _total(p, n, x, y, z)
        if total > best:
            best = _ascend(p, n, axis, x, y, z, best)
        other = cones[waiting + 1]
        other[:] = t
        t[3 * i], t[3 * i + 1], t[3 * i + 2], t[9 + i] = x, y, z, total
        other[3 * j], other[3 * j + 1], other[3 * j + 2], other[9 + j] = x, y, z, total
        waiting += 2
    return best


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def _total2(qx: _Floats, qy: _Floats, n: int, x: float, y: float) -> float:
    total = 0.0
    for i in range(n):
        total += abs(qx[i] * x + qy[i] * y)
    return total


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def _signed_sum2(qx: _Floats, qy: _Floats, n: int, x: float, y: float) -> tuple[float, float]:
    sx, sy = 0.0, 0.0
    for i in range(n):
        sign = 1.0 if qx[i] * x + qy[i] * y >= 0.0 else -1.0
        sx += sign * qx[i]
        sy += sign * qy[i]
    return sx, sy


@njit(cache=True, error_model="numpy")
def _ascend2(qx: _Floats, qy: _Floats, n: int, axis: _Floats, x: float, y: float, best: float) -> float:
    """Do as `_ascend` in two dimensions."""
    previous = 0.0
    for _ in range(_ROUNDS):
        x, y = _signed_sum2(qx, qy, n, x, y)
        total = sqrt(x * x + y * y)
        if not total > previous:
            break
        x, y = x / total, y / total
        previous = total
        if total > best:
            best = total
            axis[0], axis[1] = x, y
    return best


@njit(cache=True, error_model="numpy")
def best_direction(q: _Floats, n: int, start: int, axis: _Floats, cones: _Floats) -> float:
    """Return the largest sum_i |q_i . axis| in two dimensions, and write that axis; otherwise as `best_axis`."""
    qx, qy = q[0], q[1]
    best = _ascend2(qx, qy, n, axis, qx[start], qy[start], 0.0)
    x, y = axis[0], axis[1]
    across = _total2(qx, qy, n, -y, x)
    waiting = 2
    for k in range(waiting):
        t = cones[k]
        side = 1.0 if k == 0 else -1.0
        t[0], t[1], t[4] = x, y, best
        t[2], t[3], t[5] = -side * y, side * x, across
    while waiting > 0:
        waiting -= 1
        t = cones[waiting]
        length2 = (t[0] - t[2]) ** 2 + (t[1] - t[3]) ** 2
        if length2 < _LEAST_LENGTH2 or _edge_bound2(length2, t[4], t[5]) <= best * best * (1.0 + _TOLERANCE):
            continue
        x, y = t[0] + t[2], t[1] + t[3]
        length = sqrt(x * x + y * y)
        x, y = x / length, y / length
        total = _total2(qx, qy, n, x, y)
        if total > best:
            best = _ascend2(qx, qy, n, axis, x, y, best)
        other = cones[waiting + 1]
        other[:6] = t[:6]
        t[2], t[3], t[5] = x, y, total
        other[0], other[1], other[4] = x, y, total
        waiting += 2
    return best
