"""Jet images: constituents in the plane of rapidity and azimuth, aligned, and counted in pixels.

Cogan, Kagan, Strauss, Schwartzman, arXiv:1407.5675 (jets as images), and Macaluso, Shih, arXiv:1803.00107
(alignment of the constituents before they are put into pixels). The order of the steps, the directions of the flips
and the size of the pixels are those of the images of the top-tagging reference set, as in Heimel, Kasieczka, Plehn,
Thompson, arXiv:1808.08979.
"""

from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.arguments import flag, floating, known
from jetforge.physics.constituent_fields import charges_of
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.images.channels import CHANNELS, channel_flags
from jetforge.physics.images.grid import Width, checked_size, pixel_densities
from jetforge.physics.images.kernels import PlanePoints, Recipe, image_kernel, pixel_kernel, plane_kernel, step_kernel
from jetforge.physics.number_arrays import float_array, number_array
from jetforge.physics.parallel import for_all_jets

__all__ = [
    "CHANNELS",
    "ORIGINS",
    "PlanePoints",
    "average_image",
    "centre",
    "crop",
    "flip",
    "jet_images",
    "normalise",
    "pixelate",
    "plane_points",
    "rotate",
]

ORIGINS = ("centroid", "hardest")
"""What is put at the centre of an image: the mean direction weighted with pT, or the hardest constituent."""

# The images of the top-tagging reference set: 40 x 40 pixels of 0.029 in rapidity and 0.035 in azimuth.
_SIZE = 40
_WIDTH = (1.16, 1.4)

_LARGEST = 1e101  # sums of pT y^2 stay finite
_PIXELS_PER_BLOCK = 1 << 23

_Floats = npt.NDArray[np.float64]
_Images = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def plane_points(constituents: Any, *, num_threads: int | None = None) -> PlanePoints:
    """Return rapidity, azimuth in (-pi, pi] and pT of all constituents.

    Parameters
    ----------
    constituents
        Awkward array of jets, `jetforge.Jets` or `FlatJets`, momenta in GeV.
    num_threads
        Number of threads; by default as many as the process may use.

    Raises
    ------
    DataError
        If the constituents are not four-momenta (see `jetforge.physics.flat.flatten`).
    """
    flat = flat_of(constituents)
    out = PlanePoints(flat.offsets, *np.empty((3, len(flat.px))))
    for_all_jets(plane_kernel, len(flat.offsets) - 1, flat, out, num_threads=num_threads)
    return out


def centre(points: PlanePoints, origin: str = "centroid", *, num_threads: int | None = None) -> PlanePoints:
    """Move each jet so that its pT-weighted mean, or its hardest constituent, is at (0, 0).

    Differences of azimuth are first taken to the hardest constituent, the short way round, so that a jet across
    phi = pi stays together. The first of several hardest constituents counts. Jets without pT are moved as if their
    first constituent were the origin.

    The centroid is infrared and collinear safe. The hardest constituent is not collinear safe: where it splits, its
    parts may not be the hardest any more, and the whole jet is moved.

    Parameters
    ----------
    points
        As from `plane_points`.
    origin
        "centroid" or "hardest".
    num_threads
        Number of threads; by default as many as the process may use.

    Raises
    ------
    DataError
        If these are no `PlanePoints`, a number is not finite or above 1e101, a pT is negative, or the lengths do not
        fit.
    JetforgeError
        If the origin is not known.
    """
    return _stepped(points, int(_on_hardest(origin)), num_threads)


def rotate(points: PlanePoints, *, num_threads: int | None = None) -> PlanePoints:
    """Turn each jet about (0, 0) so that its principal axis is vertical, along phi.

    The principal axis is the eigenvector of the larger eigenvalue of sum_i pT_i (y_i, phi_i)^T (y_i, phi_i). Of the
    two angles that bring it there, the one in (-pi/2, pi/2] is taken. A jet with equal eigenvalues (to 1e-9), such
    as one of a single constituent, is not turned. For a jet near that case the angle is discontinuous: a soft emission
    can turn it by a lot. Centre the jets first; arguments and errors as in `centre`.
    """
    return _stepped(points, 2, num_threads)


def flip(points: PlanePoints, *, num_threads: int | None = None) -> PlanePoints:
    """Mirror each jet left to right, then upside down, so that most pT is at y < 0 and at phi > 0.

    Points on an axis (to 1e-9) count for neither side; where the two sides are equal (to 1e-9 of their sum) nothing
    is mirrored. For a jet near that case the flip is discontinuous: a small change of it can mirror it. Arguments and
    errors as in `centre`.
    """
    return _stepped(points, 3, num_threads)


def pixelate(
    points: PlanePoints,
    size: int = _SIZE,
    width: Width = _WIDTH,
    *,
    weights: npt.ArrayLike | None = None,
    num_threads: int | None = None,
) -> _Floats:
    """Sum up pT, or other weights, in the pixels of a square grid around (0, 0).

    Parameters
    ----------
    points
        As from `plane_points`, and aligned.
    size
        Number of pixels along each side, from 1 to 4096.
    width
        Length of the side in rapidity and azimuth, or a pair of lengths.
    weights
        One number for each point, not above 1e101; by default pT.
    num_threads
        Number of threads; by default as many as the process may use.

    Returns
    -------
    array (n_jets, size, size)
        Row r holds -width/2 + r width/size <= phi < -width/2 + (r + 1) width/size, and so do columns for y: the
        first row is the lowest. A point less than 1e-9 below a border counts as on it. Points outside are left out.

    Raises
    ------
    DataError
        If these are no `PlanePoints`, a number is not finite or above 1e101, a pT is negative, or the lengths do not
        fit.
    JetforgeError
        If the size is not from 1 to 4096, or a pixel is not larger than 1e-6.
    """
    points = _checked(points)
    size = checked_size(size)
    per_y, per_phi = pixel_densities(size, width)
    values = points.pt if weights is None else float_array("weights", weights)
    if values.shape != points.pt.shape or not np.all(np.abs(values) <= _LARGEST):
        raise DataError(f"weights must be one finite number, at most 1e101, for each of the {len(points.pt)} points")
    images = np.zeros((len(points.offsets) - 1, size, size))
    for_all_jets(pixel_kernel, len(images), points, values, per_y, per_phi, images, num_threads=num_threads)
    return images


def crop(images: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Return the middle size x size pixels of images, an array (..., n, n), without a copy.

    Raises
    ------
    DataError
        If the images are no array of numbers.
    JetforgeError
        If the images are smaller, or their size differs by an odd number: the centre would move by half a pixel.
    """
    images, size = number_array("images", images), checked_size(size)
    n = images.shape[-1] if images.ndim > 1 and images.shape[-1] == images.shape[-2] else -1
    if n < size or (n - size) % 2:
        raise JetforgeError(
            f"images of shape {images.shape} cannot be cropped to {size} x {size} pixels about their centre; "
            "both sides must be larger by the same even number"
        )
    border = (n - size) // 2
    return images[..., border : border + size, border : border + size]


def normalise(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Divide each image of an array (..., n, n) by the sum of its pixels; an image without any stays zero.

    Raises
    ------
    DataError
        If the images are no array of numbers of two dimensions or more.
    """
    images = number_array("images", images)
    if images.ndim < 2:
        raise DataError(f"images have the shape {images.shape}; it must be (..., n, n)")
    totals = images.sum(axis=(-2, -1), keepdims=True)
    normalised: npt.NDArray[Any] = images / np.where(totals == 0, 1, totals)
    return normalised


def jet_images(
    constituents: Any,
    size: int = _SIZE,
    width: Width = _WIDTH,
    channels: Sequence[str] = ("pt",),
    *,
    origin: str = "centroid",
    rotate: bool = True,
    flip: bool = True,
    normalise: bool = True,
    dtype: npt.DTypeLike = np.float32,
    num_threads: int | None = None,
) -> _Images:
    """Turn jets into images: centre, rotate, flip twice, pixelate, normalise, in this order.

    Images are made at their final size: nothing is cropped. Sums of pT are infrared and collinear safe, up to
    constituents that change pixel, with the centroid as origin only; near the symmetric jets that `rotate` and `flip`
    name they are discontinuous. Numbers of constituents are not safe.

    Parameters
    ----------
    constituents
        Awkward array of jets, `jetforge.Jets` or `FlatJets`, momenta in GeV. The channels of charged and neutral
        constituents need a field `charge` (units of e) or `pid` (PDG numbers), from which charges follow as in
        `jetforge.physics.charged_fraction`.
    size
        Number of pixels along each side, from 1 to 4096.
    width
        Length of the side in rapidity and azimuth, or a pair of lengths. By default a pixel is 0.029 in rapidity and
        0.035 in azimuth if there are 40 along a side.
    channels
        Of `CHANNELS`: "pt", "charged_pt", "neutral_pt" (sums of pT in GeV), "multiplicity" and
        "charged_multiplicity" (numbers of constituents).
    origin
        "centroid" or "hardest", see `centre`.
    rotate, flip
        Whether to do these steps, see the functions of that name.
    normalise
        Divide sums of pT by the pT of all constituents in the image, and numbers by the number of all constituents
        in the image: pixels of "pt" and of "multiplicity" sum to one, and "charged_pt" and "neutral_pt" add up to
        "pt". What is outside of the image does not count.
    dtype
        float32 or float64. A million jets of 40 x 40 pixels are 6.4 GB a channel in float32: make them a slice of
        the jets at a time.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    array (n_jets, n_channels, size, size)
        Rows are azimuth, from below, and columns rapidity, from the left: draw with ``origin="lower"``. Images of
        jets without constituents, or without pT, are zero. Sums above the range of `dtype` are its largest number.

    Raises
    ------
    DataError
        If the constituents are not four-momenta, or have no charges where a channel needs them.
    JetforgeError
        If a name or `dtype` is not known, a flag is neither True nor False, the size is not from 1 to 4096, or a pixel
        is not larger than 1e-6.
    """
    recipe = _recipe(size, width, channels, origin, rotate, flip, normalise)
    kind = floating(dtype)
    flat = flat_of(constituents)
    shape = (len(flat.offsets) - 1, len(recipe.channels.counts), recipe.size, recipe.size)
    images: _Images = np.zeros(shape, dtype=kind)
    _draw(flat, _charged(constituents, flat, recipe), recipe, images, num_threads)
    return images


def average_image(
    constituents: Any,
    size: int = _SIZE,
    width: Width = _WIDTH,
    channels: Sequence[str] = ("pt",),
    *,
    weights: npt.ArrayLike | None = None,
    origin: str = "centroid",
    rotate: bool = True,
    flip: bool = True,
    normalise: bool = True,
    num_threads: int | None = None,
) -> _Floats:
    """Return the mean of the images of jets, an array (n_channels, size, size), in little memory.

    Parameters
    ----------
    weights
        Weight of each jet, of shape (n_jets,); by default all count the same.
    constituents, size, width, channels, origin, rotate, flip, normalise, num_threads
        As for `jet_images`. The mean of no jets is zero.

    Raises
    ------
    DataError
        As for `jet_images`, or if the weights are not finite or do not have a positive sum.
    JetforgeError
        As for `jet_images`.
    """
    recipe = _recipe(size, width, channels, origin, rotate, flip, normalise)
    flat = flat_of(constituents)
    charged = _charged(constituents, flat, recipe)
    n_jets = len(flat.offsets) - 1
    weight = np.ones(n_jets) if weights is None else float_array("weights", weights)
    with np.errstate(over="ignore", invalid="ignore"):
        sum_of_weights = weight.sum()
    if weight.shape != (n_jets,) or (n_jets and not 0 < sum_of_weights < inf):
        raise DataError(f"weights must be {n_jets} finite numbers, one a jet, with a positive and finite sum")
    mean = np.zeros((len(recipe.channels.counts), recipe.size, recipe.size))
    block = max(1, _PIXELS_PER_BLOCK // mean.size)
    images = np.empty((min(block, n_jets), *mean.shape))
    for start in range(0, n_jets, block):
        part = flat._replace(offsets=flat.offsets[start : start + block + 1])
        share = weight[start : start + block] / sum_of_weights
        drawn = images[: len(share)]
        drawn[:] = 0.0
        _draw(part, charged, recipe, drawn, num_threads)
        mean += np.tensordot(share, drawn, axes=1)
    return mean


def _draw(
    flat: FlatJets, charged: npt.NDArray[np.bool_], recipe: Recipe, images: npt.NDArray[Any], num_threads: int | None
) -> None:
    """Draw the jets into images (n_jets, n_channels, size, size), which are zero."""
    most = float(np.finfo(images.dtype).max)
    for_all_jets(image_kernel, len(images), flat, charged, recipe, images, most, num_threads=num_threads)


def _stepped(points: PlanePoints, step: int, num_threads: int | None) -> PlanePoints:
    given = _checked(points)
    moved = given._replace(y=given.y.copy(), phi=given.phi.copy())
    for_all_jets(step_kernel, len(moved.offsets) - 1, moved, step, num_threads=num_threads)
    return moved


def _checked(points: PlanePoints) -> PlanePoints:
    """Return the points as contiguous arrays that no kernel can stumble over."""
    if not isinstance(points, PlanePoints):
        raise DataError(f"points must be PlanePoints, not {type(points).__name__}; make them with plane_points")
    given = number_array("points: offsets", points.offsets)
    if given.dtype.kind not in "iu":
        raise DataError(f"points: offsets are of type {given.dtype}; they must be whole numbers")
    offsets = np.require(given, np.int64, ["C"])
    y, phi, pt = (float_array(f"points: {name}", x) for name, x in zip(points._fields[1:], points[1:], strict=True))
    whole = offsets.ndim == 1 and len(offsets) > 0 and offsets[0] == 0 and not np.any(np.diff(offsets) < 0)
    if not whole or not y.shape == phi.shape == pt.shape == (offsets[-1],):
        raise DataError("points: offsets must start at 0, never decrease, and end at the length of y, phi and pt")
    if not all(np.all(np.abs(x) <= _LARGEST) for x in (y, phi, pt)) or np.any(pt < 0):
        raise DataError("points: y, phi and pt must be finite, at most 1e101, and pt not negative; drop the others")
    return PlanePoints(offsets, y, phi, pt)


def _on_hardest(origin: str) -> bool:
    return known("origin", origin, ORIGINS) == "hardest"


def _recipe(
    size: int, width: Width, channels: Sequence[str], origin: str, rotate: bool, flip: bool, normalise: bool
) -> Recipe:
    size = checked_size(size)
    per_y, per_phi = pixel_densities(size, width)
    steps = (flag("rotate", rotate), flag("flip", flip), flag("normalise", normalise))
    return Recipe(_on_hardest(origin), *steps, size, per_y, per_phi, channel_flags(channels))


def _charged(constituents: Any, flat: FlatJets, recipe: Recipe) -> npt.NDArray[np.bool_]:
    """Return which constituents are charged, or nothing if no channel asks."""
    if np.all(recipe.channels.of_charged & recipe.channels.of_neutral) or len(flat.px) == 0:
        return np.empty(0, dtype=np.bool_)
    return np.asarray(charges_of(constituents, flat, None) != 0)
