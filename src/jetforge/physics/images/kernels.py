"""Compiled steps of jet images: one jet at a time in its plane of rapidity and azimuth."""

from math import hypot, sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.flat import FlatJets
from jetforge.physics.images.channels import ChannelFlags
from jetforge.physics.kinematics import Points, largest_jet, load_points, points_memory, wrapped

# Closer than this to a line, a point is on it: rounding must not move it to another pixel, or flip a jet.
_ON_LINE = 1e-9
# Relative differences of sums that are taken for rounding.
_EQUAL = 1e-9

_Floats = npt.NDArray[np.float64]


class PlanePoints(NamedTuple):
    """Constituents of many jets in a plane; those of jet j are the entries offsets[j] to offsets[j + 1].

    `offsets` is int64 of shape (n_jets + 1,) and starts at 0; y (rapidity, the horizontal axis), phi (azimuth, the
    vertical axis) and pt (GeV) are float64 of shape (n_constituents,).
    """

    offsets: npt.NDArray[np.int64]
    y: _Floats
    phi: _Floats
    pt: _Floats


class Recipe(NamedTuple):
    """What compiled code has to know about an image."""

    on_hardest: bool
    rotate: bool
    flip: bool
    normalise: bool
    size: int
    per_y: float  # pixels per unit of rapidity
    per_phi: float
    channels: ChannelFlags


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nnan", "nsz"})
def _shift(points: Points, on_hardest: bool) -> None:
    """Move the origin; differences of azimuth are taken to the hardest constituent, the short way round."""
    pt, y, phi = points.pt, points.rapidity, points.phi
    n = len(pt)
    hardest = 0
    for i in range(n):
        hardest = i if pt[i] > pt[hardest] else hardest
    y0, phi0 = y[hardest], phi[hardest]
    total, sum_y, sum_phi = 0.0, 0.0, 0.0
    for i in range(n):
        y[i] -= y0
        phi[i] = wrapped(phi[i] - phi0)
        total += pt[i]
        sum_y += pt[i] * y[i]
        sum_phi += pt[i] * phi[i]
    if on_hardest or total == 0.0:
        return
    mean_y, mean_phi = sum_y / total, sum_phi / total
    for i in range(n):
        y[i] -= mean_y
        phi[i] -= mean_phi


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nnan", "nsz"})
def _axis(points: Points) -> tuple[float, float]:
    """Return sine and cosine of the angle from the y axis to the principal axis, which lies in [0, pi)."""
    pt, y, phi = points.pt, points.rapidity, points.phi
    yy, yphi, phiphi = 0.0, 0.0, 0.0
    for i in range(len(pt)):
        yy += pt[i] * y[i] * y[i]
        yphi += pt[i] * y[i] * phi[i]
        phiphi += pt[i] * phi[i] * phi[i]
    cos2, sin2 = yy - phiphi, 2.0 * yphi
    length = hypot(cos2, sin2)
    if length <= _EQUAL * (yy + phiphi):
        return 1.0, 0.0  # all directions are alike: nothing to rotate
    if cos2 <= 0.0:
        sine = sqrt(0.5 * (1.0 - cos2 / length))
        return sine, 0.5 * sin2 / (length * sine)
    cosine = sqrt(0.5 * (1.0 + cos2 / length))
    return 0.5 * abs(sin2) / (length * cosine), cosine if sin2 >= 0.0 else -cosine


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _turn(points: Points) -> None:
    """Turn the plane until the principal axis is vertical."""
    sine, cosine = _axis(points)
    y, phi = points.rapidity, points.phi
    for i in range(len(y)):
        horizontal = y[i] * sine - phi[i] * cosine
        phi[i] = y[i] * cosine + phi[i] * sine
        y[i] = horizontal


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nnan", "nsz"})
def _mirror(points: Points) -> None:
    """Flip the plane until the left half has no less pT than the right one, and the upper than the lower one."""
    pt, y, phi = points.pt, points.rapidity, points.phi
    n = len(pt)
    left, right, below, above = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        left += pt[i] if y[i] < -_ON_LINE else 0.0
        right += pt[i] if y[i] > _ON_LINE else 0.0
        below += pt[i] if phi[i] < -_ON_LINE else 0.0
        above += pt[i] if phi[i] > _ON_LINE else 0.0
    sign_y = -1.0 if right - left > _EQUAL * (right + left) else 1.0
    sign_phi = -1.0 if below - above > _EQUAL * (below + above) else 1.0
    for i in range(n):
        y[i] *= sign_y
        phi[i] *= sign_phi


@njit(cache=True, error_model="numpy")
def _locate(points: Points, size: int, per_y: float, per_phi: float, cells: npt.NDArray[np.int64]) -> None:
    """Write the pixel, row after row, that each point is in, and -1 for a point outside of the image."""
    middle = 0.5 * size
    for i in range(len(points.pt)):
        column = middle + (points.rapidity[i] + _ON_LINE) * per_y
        row = middle + (points.phi[i] + _ON_LINE) * per_phi
        inside = column >= 0.0 and column < size and row >= 0.0 and row < size
        # A float above 2^63 has no integer.
        cells[i] = int(row if inside else 0.0) * size + int(column if inside else 0.0) if inside else -1


@njit(cache=True, error_model="numpy")
def _draw(
    pt: _Floats, cells: npt.NDArray[np.int64], charged: npt.NDArray[np.bool_], recipe: Recipe, image: Any, most: float
) -> None:
    """Fill the channels of one image, which are zero; `most` is the largest number that they can hold.

    Whether constituents are charged is read only for channels that do not take both kinds.
    """
    total, count = 0.0, 0.0
    for i in range(len(pt)):
        inside = cells[i] >= 0
        total += pt[i] if inside else 0.0
        count += 1.0 if inside else 0.0
    by_pt = 1.0 / total if recipe.normalise and total > 0.0 else 1.0
    by_count = 1.0 / count if recipe.normalise and count > 0.0 else 1.0
    channels = recipe.channels
    for c in range(len(channels.counts)):
        of_charged, of_neutral, counts = channels.of_charged[c], channels.of_neutral[c], channels.counts[c]
        pixels = image[c].ravel()
        for i in range(len(pt)):
            if cells[i] < 0:
                continue
            if (of_charged and of_neutral) or (of_charged if charged[i] else of_neutral):
                pixels[cells[i]] = min(pixels[cells[i]] + (by_count if counts else pt[i] * by_pt), most)


@njit(cache=True, nogil=True, error_model="numpy")
def image_kernel(
    first: int, last: int, flat: FlatJets, charged: npt.NDArray[np.bool_], recipe: Recipe, images: Any, most: float
) -> None:
    """Write the images of the jets first <= j < last."""
    largest = largest_jet(flat.offsets, first, last)
    memory = points_memory(largest)
    cells = np.empty(largest, dtype=np.int64)
    for j in range(first, last):
        n = load_points(flat, j, memory)
        points = Points(memory.pt[:n], memory.rapidity[:n], memory.phi[:n])
        if n == 0 or points.pt.max() == 0.0:
            continue
        _shift(points, recipe.on_hardest)
        if recipe.rotate:
            _turn(points)
        if recipe.flip:
            _mirror(points)
        _locate(points, recipe.size, recipe.per_y, recipe.per_phi, cells)
        begin = flat.offsets[j] if len(charged) else 0
        _draw(points.pt, cells, charged[begin:], recipe, images[j], most)


@njit(cache=True, nogil=True)
def plane_kernel(first: int, last: int, flat: FlatJets, out: PlanePoints) -> None:
    """Write rapidity, azimuth and pT of the constituents of the jets first <= j < last."""
    memory = points_memory(largest_jet(flat.offsets, first, last))
    for j in range(first, last):
        n = load_points(flat, j, memory)
        begin = flat.offsets[j]
        out.y[begin : begin + n] = memory.rapidity[:n]
        out.phi[begin : begin + n] = memory.phi[:n]
        out.pt[begin : begin + n] = memory.pt[:n]


@njit(cache=True, nogil=True)
def step_kernel(first: int, last: int, points: PlanePoints, step: int) -> None:
    """Do one step to the points of each jet, in place: 0 and 1 shift, 2 turn, 3 mirror."""
    for j in range(first, last):
        begin, end = points.offsets[j], points.offsets[j + 1]
        if begin == end:
            continue
        jet = Points(points.pt[begin:end], points.y[begin:end], points.phi[begin:end])
        if step < 2:
            _shift(jet, step == 1)
        elif step == 2:
            _turn(jet)
        else:
            _mirror(jet)


@njit(cache=True, nogil=True)
def pixel_kernel(
    first: int, last: int, points: PlanePoints, weights: _Floats, per_y: float, per_phi: float, images: _Floats
) -> None:
    """Add the weights of the points of the jets first <= j < last to their pixels."""
    cells = np.empty(largest_jet(points.offsets, first, last), dtype=np.int64)
    for j in range(first, last):
        begin, end = points.offsets[j], points.offsets[j + 1]
        jet = Points(points.pt[begin:end], points.y[begin:end], points.phi[begin:end])
        _locate(jet, images.shape[1], per_y, per_phi, cells)
        pixels = images[j].ravel()
        for i in range(end - begin):
            if cells[i] >= 0:
                pixels[cells[i]] += weights[begin + i]
