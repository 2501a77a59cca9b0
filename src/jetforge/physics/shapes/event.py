"""Event shapes of a jet's constituents: thrust and its kin, sphericity and its kin, Fox-Wolfram moments.

They measure how momenta are spread over all directions, in one of three frames.

``"rest"``
    The rest frame of the sum of all constituents, where the decay products of a heavy particle fly apart; ATLAS uses it
    for jets (arXiv:1808.07858). No boost or rotation of the whole jet changes what is measured.
``"lab"``
    The momenta as they are. A jet is a pencil there.
``"transverse"``
    The plane across the beam, as for events at a hadron collider (Banfi, Salam, Zanderighi, arXiv:1001.4082). No boost
    along the beam changes what is measured.

A jet without momenta in its frame has no shapes, and 0 stands for each of them: a jet of no constituent; in the rest
frame also one of a single constituent, one whose constituents do not move against each other, and one of a mass below
1e-7 of its energy, which is rounding; in the transverse plane one along the beam.
"""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.arguments import flag, number, whole_number
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.kinematics import largest_jet
from jetforge.physics.parallel import for_all_jets
from jetforge.physics.shapes.frames import TRANSVERSE, frame_code, load_frame
from jetforge.physics.shapes.thrust_axis import axis_memory, best_axis, best_direction, orthonormal

_SWEEPS = 30
_SUMS = {"contract", "reassoc", "nnan", "nsz"}

_Floats = npt.NDArray[np.float64]


class ThrustShapes(NamedTuple):
    """Thrust and what is measured against its axis (see `thrust_shapes`): float64 (n_jets,), the axis (n_jets, 3)."""

    thrust: _Floats
    major: _Floats
    minor: _Floats
    broadening: _Floats
    axis: _Floats


def thrust_shapes(constituents: Any, *, frame: str = "rest", num_threads: int | None = None) -> ThrustShapes:
    """Return thrust, thrust major, thrust minor, broadening and thrust axis of every jet, in one pass.

    Thrust is T = max_n sum_i |p_i . n| / sum_i |p_i| over all unit vectors n (Farhi, Phys. Rev. Lett. 39 (1977) 1587),
    the best of which is the thrust axis n_T. Thrust major is the same maximum over the n across n_T, and thrust minor
    the sum along the direction across both (Mark J, Phys. Rev. Lett. 43 (1979) 830). Broadening is
    B = sum_i |p_i x n_T| / (2 sum_i |p_i|) (Catani, Turnock, Webber, Phys. Lett. B 295 (1992) 269). The maximum is
    found exactly, not by iterating from a few directions.

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    frame
        ``"rest"``, ``"lab"`` or ``"transverse"``. In the transverse plane a single direction is across the axis:
        the sum along it is the minor (arXiv:1001.4082), and there is no major, which is 0.
    num_threads
        By default as many as the process may use.

    Returns
    -------
    ThrustShapes
        The axis is a unit vector; in the rest frame, its components are along the axes of the lab. Its sign has
        no meaning. All is 0 for a jet without momenta in the frame.

    Raises
    ------
    DataError
        If the constituents are refused (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If the frame is not known.

    Notes
    -----
    Thrust and broadening are infrared and collinear safe; so are major and minor where the thrust axis is unique. What
    ATLAS calls ThrustMaj is the thrust in the rest frame, and its ThrustMin is twice the broadening there.
    """
    flat, code = flat_of(constituents), frame_code(frame)
    out = np.zeros((len(flat.offsets) - 1, 7))
    for_all_jets(_thrust_kernel, len(out), flat, code, out, num_threads=num_threads)
    best, major, minor, wide = out[:, :4].T.copy()
    return ThrustShapes(best, major, minor, wide, out[:, 4:].copy())


def thrust(constituents: Any, *, frame: str = "rest", num_threads: int | None = None) -> _Floats:
    """Return the thrust of every jet, float64 (n_jets,), from 1/2 (sphere) to 1 (line): see `thrust_shapes`."""
    return thrust_shapes(constituents, frame=frame, num_threads=num_threads).thrust


def thrust_major(constituents: Any, *, frame: str = "rest", num_threads: int | None = None) -> _Floats:
    """Return the thrust major of every jet, float64 (n_jets,): see `thrust_shapes`; not in the transverse frame."""
    frame_code(frame, spatial="thrust major")
    return thrust_shapes(constituents, frame=frame, num_threads=num_threads).major


def thrust_minor(constituents: Any, *, frame: str = "rest", num_threads: int | None = None) -> _Floats:
    """Return the thrust minor of every jet, float64 (n_jets,): see `thrust_shapes`."""
    return thrust_shapes(constituents, frame=frame, num_threads=num_threads).minor


def oblateness(constituents: Any, *, frame: str = "rest", num_threads: int | None = None) -> _Floats:
    """Return thrust major less thrust minor, float64 (n_jets,): see `thrust_shapes`; not in the transverse frame."""
    frame_code(frame, spatial="oblateness")
    shapes = thrust_shapes(constituents, frame=frame, num_threads=num_threads)
    return shapes.major - shapes.minor


def broadening(constituents: Any, *, frame: str = "rest", num_threads: int | None = None) -> _Floats:
    """Return the broadening about the thrust axis, float64 (n_jets,): see `thrust_shapes`."""
    return thrust_shapes(constituents, frame=frame, num_threads=num_threads).broadening


def sphericity_eigenvalues(
    constituents: Any, *, frame: str = "rest", power: float = 2.0, num_threads: int | None = None
) -> _Floats:
    """Return the eigenvalues of the momentum tensor of every jet, the largest first.

    The tensor is S^ab = sum_i p_i^a p_i^b |p_i|^(r - 2) / sum_i |p_i|^r, so that its eigenvalues add up to 1. r = 2 is
    that of Bjorken and Brodsky (Phys. Rev. D 1 (1970) 1416), r = 1 the linearised one of Parisi (Phys. Lett. B 74
    (1978) 65), which alone is collinear safe.

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    frame
        ``"rest"``, ``"lab"`` or ``"transverse"``, where the third eigenvalue is 0.
    power
        r, positive.
    num_threads
        By default as many as the process may use.

    Returns
    -------
    ndarray
        float64 (n_jets, 3); all 0 for a jet without momenta in the frame.

    Raises
    ------
    DataError
        If the constituents are refused (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If the frame is not known or the power not positive.
    """
    power = number("power", power, above=0.0)
    flat, code = flat_of(constituents), frame_code(frame)
    out = np.zeros((len(flat.offsets) - 1, 3))
    for_all_jets(_tensor_kernel, len(out), flat, code, power, out, num_threads=num_threads)
    return out


def sphericity(
    constituents: Any, *, frame: str = "rest", power: float = 2.0, num_threads: int | None = None
) -> _Floats:
    """Return the sphericity S = 3/2 (l2 + l3) of every jet, float64 (n_jets,), from 0 (line) to 1 (sphere).

    l1 >= l2 >= l3 are the `sphericity_eigenvalues`, which see for parameters, errors and sources. In the transverse
    frame S = 2 l2/(l1 + l2), from 0 to 1. Infrared and collinear safe for power 1 only.
    """
    first, second, third = sphericity_eigenvalues(constituents, frame=frame, power=power, num_threads=num_threads).T
    if frame == "transverse":
        total = first + second
        return np.asarray(np.divide(2.0 * second, total, out=np.zeros(len(total)), where=total > 0.0))
    return np.asarray(1.5 * (second + third))


def aplanarity(
    constituents: Any, *, frame: str = "rest", power: float = 2.0, num_threads: int | None = None
) -> _Floats:
    """Return the aplanarity A = 3/2 l3 of every jet, float64 (n_jets,), from 0 (plane) to 1/2 (sphere).

    l3 is the smallest of the `sphericity_eigenvalues`, which see for parameters, errors and sources; not in the
    transverse frame. Infrared and collinear safe for power 1 only.
    """
    frame_code(frame, spatial="aplanarity")
    return 1.5 * sphericity_eigenvalues(constituents, frame=frame, power=power, num_threads=num_threads)[:, 2]


def c_parameter(constituents: Any, *, frame: str = "rest", num_threads: int | None = None) -> _Floats:
    """Return C = 3 (l1 l2 + l1 l3 + l2 l3) of every jet, float64 (n_jets,), from 0 (line) to 1 (sphere).

    l1, l2, l3 are the eigenvalues of the linearised momentum tensor, `sphericity_eigenvalues` of power 1, which see
    for errors (Ellis, Ross, Terrano, Nucl. Phys. B 178 (1981) 421); not in the transverse frame. Infrared and collinear
    safe.
    """
    frame_code(frame, spatial="C parameter")
    first, second, third = sphericity_eigenvalues(constituents, frame=frame, power=1.0, num_threads=num_threads).T
    return np.asarray(3.0 * (first * second + first * third + second * third))


def d_parameter(constituents: Any, *, frame: str = "rest", num_threads: int | None = None) -> _Floats:
    """Return D = 27 l1 l2 l3 of every jet, float64 (n_jets,), from 0 (plane) to 1 (sphere).

    See `c_parameter`. Infrared and collinear safe.
    """
    frame_code(frame, spatial="D parameter")
    first, second, third = sphericity_eigenvalues(constituents, frame=frame, power=1.0, num_threads=num_threads).T
    return np.asarray(27.0 * first * second * third)


def fox_wolfram(
    constituents: Any,
    *,
    l_max: int = 4,
    frame: str = "rest",
    distinct: bool = False,
    num_threads: int | None = None,
) -> _Floats:
    """Return the Fox-Wolfram moments of every jet, relative to the zeroth.

    H_l = sum_ij |p_i| |p_j| P_l(cos theta_ij), with the Legendre polynomials P_l (Fox, Wolfram, Phys. Rev. Lett. 41
    (1978) 1581); what is returned is H_l/H_0.

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    l_max
        The last moment, from 0 to 100.
    frame
        ``"rest"``, ``"lab"`` or ``"transverse"``.
    distinct
        Whether to leave out the terms i = j, as ATLAS does for its R2^FW. Without them, the moments are not
        collinear safe.
    num_threads
        By default as many as the process may use.

    Returns
    -------
    ndarray
        float64 (n_jets, l_max + 1), column l the moment l. All 0 for a jet without momenta in the frame; with
        `distinct` also where fewer than two constituents have one.

    Raises
    ------
    DataError
        If the constituents are refused (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If the frame is not known, l_max is not from 0 to 100, or `distinct` is neither True nor False.
    """
    l_max, distinct = whole_number("l_max", l_max, 0, 100), flag("distinct", distinct)
    flat, code = flat_of(constituents), frame_code(frame)
    out = np.zeros((len(flat.offsets) - 1, l_max + 1))
    for_all_jets(_fox_wolfram_kernel, len(out), flat, code, distinct, out, num_threads=num_threads)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _thrust_kernel(first: int, last: int, flat: FlatJets, frame: int, out: _Floats) -> None:
    """Write thrust, major, minor, broadening and axis of the jets first <= j < last."""
    largest = largest_jet(flat.offsets, first, last)
    p, q, cones, axis = np.empty((3, largest)), np.empty((2, largest)), axis_memory(), np.zeros(3)
    for j in range(first, last):
        n, start, total = load_frame(flat, j, frame, p)
        if n == 0:
            continue
        row = out[j]
        if frame == TRANSVERSE:
            row[0] = best_direction(p, n, start, axis, cones) / total
            axis[2] = 0.0
            ux, uy, uz, vx, vy, vz = 0.0, 0.0, 0.0, -axis[1], axis[0], 0.0
        else:
            row[0] = best_axis(p, n, start, axis, cones) / total
            ux, uy, uz, vx, vy, vz = orthonormal(axis[0], axis[1], axis[2])
        row[4:7] = axis
        across, widest, along_v = 0.0, 0.0, 0.0
        for i in range(n):
            q[0, i] = p[0, i] * ux + p[1, i] * uy + p[2, i] * uz
            q[1, i] = p[0, i] * vx + p[1, i] * vy + p[2, i] * vz
            size = sqrt(q[0, i] * q[0, i] + q[1, i] * q[1, i])
            across += size
            along_v += abs(q[1, i])
            if size > widest:
                start, widest = i, size
        row[3] = 0.5 * across / total
        if frame == TRANSVERSE:
            row[2] = along_v / total
        elif widest > 0.0:
            row[1] = best_direction(q, n, start, axis, cones) / total
            minor = 0.0
            for i in range(n):
                minor += abs(q[1, i] * axis[0] - q[0, i] * axis[1])
            row[2] = minor / total


@njit(cache=True, error_model="numpy")
def _eigenvalues(a: _Floats, out: _Floats) -> None:
    """Write the eigenvalues of a symmetric 3 x 3 matrix, the largest first, by Jacobi's rotations.

    Those that should be 0 come out as rounding noise and are written as 0 where negative.
    """
    for _ in range(_SWEEPS):
        if a[0, 1] ** 2 + a[0, 2] ** 2 + a[1, 2] ** 2 <= 1e-40:
            break
        for r in range(3):
            i, j, k = r, (r + 1) % 3, (r + 2) % 3
            if a[i, j] == 0.0:
                continue
            theta = 0.5 * (a[j, j] - a[i, i]) / a[i, j]
            t = 1.0 / (abs(theta) + sqrt(theta * theta + 1.0))
            t = t if theta >= 0.0 else -t
            c = 1.0 / sqrt(t * t + 1.0)
            s = t * c
            a[i, i] -= t * a[i, j]
            a[j, j] += t * a[i, j]
            a[i, j] = a[j, i] = 0.0
            aik, ajk = a[i, k], a[j, k]
            a[i, k] = a[k, i] = c * aik - s * ajk
            a[j, k] = a[k, j] = s * aik + c * ajk
    x, y, z = max(a[0, 0], 0.0), max(a[1, 1], 0.0), max(a[2, 2], 0.0)
    out[0], out[2] = max(x, y, z), min(x, y, z)
    out[1] = max(min(x, y), min(max(x, y), z))


@njit(cache=True, nogil=True, error_model="numpy")
def _tensor_kernel(first: int, last: int, flat: FlatJets, frame: int, power: float, out: _Floats) -> None:
    """Write the eigenvalues of the momentum tensors of the jets first <= j < last."""
    p, tensor = np.empty((3, largest_jet(flat.offsets, first, last))), np.empty((3, 3))
    for j in range(first, last):
        n, _, _ = load_frame(flat, j, frame, p)
        if n == 0:
            continue
        xx, xy, xz, yy, yz, zz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            x, y, z = p[0, i], p[1, i], p[2, i]
            p2 = x * x + y * y + z * z
            w = 1.0
            if power == 1.0:
                w = 1.0 / sqrt(p2) if p2 > 0.0 else 0.0
            elif power != 2.0:
                w = p2 ** (0.5 * power - 1.0) if p2 > 0.0 else 0.0
            xx, xy, xz = xx + w * x * x, xy + w * x * y, xz + w * x * z
            yy, yz, zz = yy + w * y * y, yz + w * y * z, zz + w * z * z
        trace = xx + yy + zz
        if trace > 0.0:
            tensor[0, 0], tensor[1, 1], tensor[2, 2] = xx / trace, yy / trace, zz / trace
            tensor[0, 1] = tensor[1, 0] = xy / trace
            tensor[0, 2] = tensor[2, 0] = xz / trace
            tensor[1, 2] = tensor[2, 1] = yz / trace
            _eigenvalues(tensor, out[j])


@njit(cache=True, error_model="numpy", fastmath=_SUMS)
def _legendre_sums(p: _Floats, size: _Floats, i: int, memory: _Floats, sums: _Floats) -> None:
    """Add sum_(k < i) |p_i| |p_k| P_l(cos theta_ik) to sums[l], for unit vectors p.

    (l + 1) P_(l+1)(x) = (2 l + 1) x P_l(x) - l P_(l-1)(x), for all k at once.
    """
    x, current, previous = memory[0], memory[1], memory[2]
    total = 0.0
    for k in range(i):
        x[k] = p[0, i] * p[0, k] + p[1, i] * p[1, k] + p[2, i] * p[2, k]
        current[k] = 1.0
        previous[k] = 0.0
        total += size[k]
    sums[0] += size[i] * total
    for order in range(1, len(sums)):
        a, b = (2.0 * order - 1.0) / order, (order - 1.0) / order
        total = 0.0
        for k in range(i):
            following = a * x[k] * current[k] - b * previous[k]
            previous[k] = current[k]
            current[k] = following
            total += size[k] * following
        sums[order] += size[i] * total


@njit(cache=True, nogil=True, error_model="numpy")
def _fox_wolfram_kernel(first: int, last: int, flat: FlatJets, frame: int, distinct: bool, out: _Floats) -> None:
    """Write the moments H_l/H_0 of the jets first <= j < last."""
    largest = largest_jet(flat.offsets, first, last)
    p, size, memory = np.empty((3, largest)), np.empty(largest), np.empty((3, largest))
    for j in range(first, last):
        n, _, _ = load_frame(flat, j, frame, p)
        if n == 0:
            continue
        squares = 0.0
        for i in range(n):
            size[i] = sqrt(p[0, i] * p[0, i] + p[1, i] * p[1, i] + p[2, i] * p[2, i])
            inverse = 1.0 / size[i] if size[i] > 0.0 else 0.0
            p[0, i], p[1, i], p[2, i] = p[0, i] * inverse, p[1, i] * inverse, p[2, i] * inverse
            squares += size[i] * size[i]
        sums = out[j]
        for i in range(1, n):
            _legendre_sums(p, size, i, memory, sums)
        extra = 0.0 if distinct else 0.5 * squares
        zeroth = sums[0] + extra
        for order in range(len(sums)):
            sums[order] = (sums[order] + extra) / zeroth if zeroth > 0.0 else 0.0
