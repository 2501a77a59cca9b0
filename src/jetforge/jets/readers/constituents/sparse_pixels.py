"""From dense jet images to one constituent a pixel that is not zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

PIXEL_COLUMNS = ("row", "column", "channel", "value")


def pixel_directions(eta: npt.NDArray[np.float64], phi: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return px, py, pz and energy of massless particles of unit pT at the centres of pixels.

    Parameters
    ----------
    eta, phi
        Centres of the pixels relative to that of the image; they broadcast to (rows, columns).

    Returns
    -------
    ndarray, float64 (rows, columns, 4)
    """
    eta, phi = np.broadcast_arrays(eta, phi)
    return np.stack([np.cos(phi), np.sin(phi), np.sinh(eta), np.cosh(eta)], axis=-1)


def pixel_centres(number: int, size: float) -> npt.NDArray[np.float64]:
    """Return the centres of so many pixels in a row, the middle of the row being 0."""
    return (np.arange(number, dtype=np.float64) - (number - 1) / 2) * size


def sparse_pixels(
    images: npt.NDArray[np.float32], directions: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    """Return the pixels of images that are not zero, as constituents.

    Parameters
    ----------
    images
        float32 (n_images, channels, rows, columns), of any strides.
    directions
        What `pixel_directions` returns.

    Returns
    -------
    offsets : int64 (n_images + 1,)
    columns : dict
        ``px, py, pz, energy`` (float64): massless, with the pixel's value as pT, or zeros where that is negative;
        ``row``, ``column`` (int16), ``channel`` (int8) and ``value`` (float32). Pixels of an image are in the order of
        channel, row, column.
    """
    offsets = np.zeros(len(images) + 1, dtype=np.int64)
    _count(images, offsets)
    size = int(offsets[-1])
    momenta = np.empty((4, size), dtype=np.float64)
    row, column = np.empty(size, dtype=np.int16), np.empty(size, dtype=np.int16)
    channel, value = np.empty(size, dtype=np.int8), np.empty(size, dtype=np.float32)
    _fill(images, directions, momenta, row, column, channel, value)
    columns = dict(zip(("px", "py", "pz", "energy"), momenta, strict=True))
    return offsets, {**columns, "row": row, "column": column, "channel": channel, "value": value}


def first_strange(images: npt.NDArray[np.float32]) -> int:
    """Return the first image with a pixel that is NaN or infinite, -1 for none."""
    return int(_first_strange(images))


@njit(cache=True, nogil=True)
def _first_strange(images: npt.NDArray[np.float32]) -> int:
    for image in range(images.shape[0]):
        for c in range(images.shape[1]):
            for i in range(images.shape[2]):
                for j in range(images.shape[3]):
                    if not np.isfinite(images[image, c, i, j]):
                        return image
    return -1


@njit(cache=True, nogil=True)
def _count(images: npt.NDArray[np.float32], offsets: npt.NDArray[np.int64]) -> None:
    total = 0
    for image in range(images.shape[0]):
        for c in range(images.shape[1]):
            for i in range(images.shape[2]):
                for j in range(images.shape[3]):
                    total += images[image, c, i, j] != 0
        offsets[image + 1] = total


@njit(cache=True, nogil=True)
def _fill(
    images: npt.NDArray[np.float32], directions: npt.NDArray[np.float64], momenta: npt.NDArray[np.float64],
    row: npt.NDArray[np.int16], column: npt.NDArray[np.int16], channel: npt.NDArray[np.int8],
    value: npt.NDArray[np.float32],
) -> None:  # fmt: skip
    at = 0
    for image in range(images.shape[0]):
        for c in range(images.shape[1]):
            for i in range(images.shape[2]):
                for j in range(images.shape[3]):
                    intensity = images[image, c, i, j]
                    if intensity != 0:
                        pt = max(float(intensity), 0.0)
                        for component in range(4):
                            momenta[component, at] = pt * directions[i, j, component]
                        row[at], column[at], channel[at], value[at] = i, j, c, intensity
                        at += 1
