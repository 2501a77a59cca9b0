"""The frames in which event shapes look at a jet, and its momenta there."""

from math import sqrt

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import known
from jetforge.physics.flat import FlatJets
from jetforge.physics.shapes.thrust_axis import orthonormal

FRAMES = ("rest", "lab", "transverse")
"""Names of the frames."""
REST, LAB, TRANSVERSE = range(3)
"""Numbers of the frames, for compiled code."""

_LEAST_MASS2 = 1e-14  # of the energy squared: below, rounding has made the mass
_LEAST_MOTION = 1e-10  # of the mass, summed over all momenta in the rest frame

_Floats = npt.NDArray[np.float64]


def frame_code(frame: str, spatial: str = "") -> int:
    """Return the number of a frame.

    Raises
    ------
    JetforgeError
        If the name is not known, or it is ``"transverse"`` and `spatial` names a quantity that a plane does not have.
    """
    known("frame", frame, FRAMES)
    if spatial and frame == "transverse":
        raise JetforgeError(f"frame 'transverse': there is no {spatial} in a plane; choose one of rest, lab")
    return FRAMES.index(frame)


@njit(cache=True, error_model="numpy")
def load_frame(flat: FlatJets, j: int, frame: int, p: _Floats) -> tuple[int, int, float]:
    """Write the momenta of jet j in a frame, of order 1 at most.

    Returns
    -------
    n, start, total
        Their number, 0 if the jet has no shapes; which is the largest; and the sum of their magnitudes.
    """
    o = flat.offsets[j]
    n = flat.offsets[j + 1] - o
    scale = 0.0
    for i in range(n):
        scale = max(scale, abs(flat.px[o + i]), abs(flat.py[o + i]), abs(flat.pz[o + i]))
    if not scale > 0.0:
        return 0, 0, 0.0
    for i in range(n):
        p[0, i] = flat.px[o + i] / scale
        p[1, i] = flat.py[o + i] / scale
        p[2, i] = flat.pz[o + i] / scale if frame != TRANSVERSE else 0.0
    least = 0.0
    if frame == REST:
        least = _LEAST_MOTION * _to_rest_frame(n, p, flat.energy[o : o + n], scale)
        if n < 2 or least == 0.0:
            return 0, 0, 0.0
    start, largest, total = 0, 0.0, 0.0
    for i in range(n):
        size = sqrt(p[0, i] * p[0, i] + p[1, i] * p[1, i] + p[2, i] * p[2, i])
        total += size
        if size > largest:
            start, largest = i, size
    return (n, start, total) if total > least else (0, 0, 0.0)


@njit(cache=True, error_model="numpy")
def _to_rest_frame(n: int, p: _Floats, energy: _Floats, scale: float) -> float:
    """Boost momenta to the rest frame of their sum, and return its mass, in units of `scale`; 0 if it has none.

    Along the direction of the sum, the boost multiplies E + p_L and E - p_L by reciprocal numbers. The small one of the
    two is had from m^2 + k^2 without a difference of large numbers, and likewise is the mass: so it stays
    precise at any speed.
    """
    x, y, z = 0.0, 0.0, 0.0
    for i in range(n):
        x, y, z = x + p[0, i], y + p[1, i], z + p[2, i]
    length = sqrt(x * x + y * y + z * z)
    if length > 0.0:
        x, y, z = x / length, y / length, z / length
    else:
        x, y, z = 0.0, 0.0, 1.0
    ux, uy, uz, vx, vy, vz = orthonormal(x, y, z)
    forward, backward = 0.0, 0.0
    for i in range(n):
        plus, minus = _light_cone(p[0, i], p[1, i], p[2, i], energy[i] / scale, x, y, z, ux, uy, uz, vx, vy, vz)
        forward += plus
        backward += minus
    if not forward * backward > _LEAST_MASS2 * (0.5 * (forward + backward)) ** 2:
        return 0.0
    stretch = sqrt(backward / forward)
    for i in range(n):
        px, py, pz = p[0, i], p[1, i], p[2, i]
        plus, minus = _light_cone(px, py, pz, energy[i] / scale, x, y, z, ux, uy, uz, vx, vy, vz)
        along = 0.5 * (plus * stretch - minus / stretch)
        k, q = px * ux + py * uy + pz * uz, px * vx + py * vy + pz * vz
        p[0, i] = along * x + k * ux + q * vx
        p[1, i] = along * y + k * uy + q * vy
        p[2, i] = along * z + k * uz + q * vz
    return sqrt(forward * backward)


@njit(cache=True, error_model="numpy")
def _light_cone(
    px: float, py: float, pz: float, e: float,
    x: float, y: float, z: float, ux: float, uy: float, uz: float, vx: float, vy: float, vz: float,
) -> tuple[float, float]:  # fmt: skip
    """Return E + p_L and E - p_L along (x, y, z), with u and v across it; an energy below |p| is taken as |p|."""
    along = px * x + py * y + pz * z
    k, q = px * ux + py * uy + pz * uz, px * vx + py * vy + pz * vz
    size = sqrt(along * along + k * k + q * q)
    e = max(e, size)
    large = e + abs(along)
    small = ((e - size) * (e + size) + (k * k + q * q)) / large if large > 0.0 else 0.0
    return (large, small) if along >= 0.0 else (small, large)
