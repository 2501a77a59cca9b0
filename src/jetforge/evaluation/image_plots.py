"""Figures of jet images: mean images of several samples on one logarithmic colour scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from jetforge.errors import DataError
from jetforge.evaluation.scores import FloatArray
from jetforge.evaluation.style import hep_style
from jetforge.physics.arguments import number
from jetforge.physics.images.grid import side_lengths
from jetforge.physics.number_arrays import float_array

# Colours, and the ticks and arrows beyond them, stay within what a float can hold.
_MOST_DECADES = 100.0
_LEAST_BRIGHTNESS = 1e-250
_LARGEST_PIXEL = 1e200

_X_LABEL, _Y_LABEL = "Rapidity after alignment", "Azimuth after alignment"


def plot_average_images(
    images: Mapping[str, npt.ArrayLike],
    *,
    width: float | Sequence[float] = (1.16, 1.4),
    decades: float = 5.0,
    label: str = "Mean fraction of pT per pixel",
    title: str = "",
) -> Figure:
    """Draw images side by side on one logarithmic colour scale, so that they can be compared.

    Parameters
    ----------
    images : mapping of str to array (size, size) or (1, size, size)
        By name, such as from `jetforge.physics.images.pixels.average_image`: rows are azimuth, from below, and columns
        rapidity, from the left.
    width : float or sequence of one or two floats
        Length of the side in rapidity and azimuth, or both lengths, as given to `average_image`.
    decades : float
        How far the colours go below the brightest pixel, at most 100. Fainter pixels have the darkest colour, empty
        ones are white.
    label : str
        Of the colour scale.
    title : str
        Of the figure.

    Raises
    ------
    DataError
        No image is given, images differ in size, or a pixel is no number, negative, or above 1e200.
    JetforgeError
        `width` or `decades` is not positive and finite.
    """
    if not isinstance(images, Mapping) or not images:
        raise DataError(f"images is {images!r}; a figure needs at least one image, by its name")
    shown = {name: _checked(name, image) for name, image in images.items()}
    if len({image.shape for image in shown.values()}) > 1:
        sizes = ", ".join(f"{name} {image.shape[0]} x {image.shape[1]}" for name, image in shown.items())
        raise DataError(f"images: {sizes}; give all the same number of pixels")
    sides = side_lengths(width)
    decades = number("decades", decades, above=0, most=_MOST_DECADES)
    brightest = max(float(image.max()) for image in shown.values()) or 1.0
    faintest = max(brightest * 10.0**-decades, _LEAST_BRIGHTNESS)
    scale = LogNorm(faintest, brightest if brightest > faintest else 10 * faintest)
    with hep_style():
        figure = Figure(figsize=(1.6 + 3.9 * len(shown), 4.9), layout="constrained")
        grid = list(figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0])
        for axes, (name, image) in zip(grid, shown.items(), strict=True):
            mesh = _draw(axes, image, sides, name, scale)
        grid[0].set_ylabel(_Y_LABEL)
        bar = figure.colorbar(mesh, ax=grid, pad=0.02, aspect=25, extend="min")
        bar.set_label(label.replace("$", r"\$"))
        bar.ax.minorticks_off()
        if title:
            figure.suptitle(title.replace("$", r"\$"), x=0.02, ha="left", fontsize=12)
    return figure


def _checked(name: str, image: npt.ArrayLike) -> FloatArray:
    pixels = float_array(f"image '{name}'", image)
    if pixels.ndim == 3 and len(pixels) == 1:
        pixels = pixels[0]
    if pixels.ndim != 2 or pixels.size == 0:
        raise DataError(f"image '{name}' has the shape {pixels.shape}; it must be one channel, rows x columns")
    if not ((pixels >= 0) & (pixels <= _LARGEST_PIXEL)).all():
        raise DataError(
            f"image '{name}' has pixels that are negative, not finite or above 1e200; a logarithmic scale has no colour"
        )
    return pixels


def _draw(axes: Axes, image: FloatArray, sides: tuple[float, float], name: str, scale: Normalize) -> QuadMesh:
    rows, columns = image.shape
    x, y = (np.linspace(-side / 2, side / 2, n + 1) for side, n in zip(sides, (columns, rows), strict=True))
    mesh = axes.pcolormesh(x, y, np.where(image > 0, image, np.nan), rasterized=True, cmap="viridis", norm=scale)
    axes.set_aspect("equal")
    axes.set_xlabel(_X_LABEL)
    axes.set_title(str(name).replace("$", r"\$"), loc="left")
    return mesh
