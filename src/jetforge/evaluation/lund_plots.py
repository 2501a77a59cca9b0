"""Figures of the primary Lund plane: density of declusterings, and the ratio of two densities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jetforge.errors import DataError
from jetforge.evaluation.scores import FloatArray, as_floats, check_weights
from jetforge.evaluation.style import hep_style

Range = tuple[float, float]

_X_LABEL, _Y_LABEL = r"$\ln(1/\Delta)$", r"$\ln(k_\mathrm{t}/\mathrm{GeV})$"


class LundDensity(NamedTuple):
    """Mean number of primary declusterings a jet and unit area of the Lund plane.

    Attributes
    ----------
    density : array (n_x, n_y)
        (1/N_jets) d^2 N / (d ln(1/Delta) d ln(kt/GeV)), F. A. Dreyer, G. P. Salam and G. Soyez,
        JHEP 12 (2018) 064, arXiv:1807.04758.
    counts : array (n_x, n_y)
        Number of declusterings, not weighted.
    x_edges, y_edges : array (n_x + 1,), (n_y + 1,)
        In ln(1/Delta) and ln(kt/GeV).
    outside : float
        Fraction of the primary declusterings that is outside the edges.
    """

    density: FloatArray
    counts: FloatArray
    x_edges: FloatArray
    y_edges: FloatArray
    outside: float


def lund_density(
    ln_delta: npt.ArrayLike,
    ln_kt: npt.ArrayLike,
    num_jets: float,
    *,
    is_primary: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    bins: int | tuple[int, int] = 50,
    x_range: Range = (0.0, 7.0),
    y_range: Range = (-3.0, 7.0),
) -> LundDensity:
    """Average Lund plane of a sample.

    Parameters
    ----------
    ln_delta, ln_kt : array (n_declusterings,)
        Logarithms of Delta and of kt in GeV, of all jets one after the other.
    num_jets : float
        Number of jets they come from, jets without declusterings included; the sum of the jets' weights if
        `weights` are given.
    is_primary : array (n_declusterings,) of bool, optional
        Those to be counted; all of them by default.
    weights : array (n_declusterings,), optional
        Weight of the jet that each declustering belongs to.
    bins : int or (int, int)
        Number of bins in ln(1/Delta) and ln kt.
    x_range, y_range : (float, float)
        Of ln(1/Delta) and of ln(kt/GeV).

    Raises
    ------
    DataError
        Lengths differ, a logarithm is not finite, or `num_jets` is not positive.
    """
    x, y = -as_floats("ln_delta", ln_delta), as_floats("ln_kt", ln_kt)
    if x.shape != y.shape or x.ndim != 1:
        raise DataError(f"ln_delta, ln_kt: shapes {x.shape} and {y.shape} are not two equal lengths")
    if not num_jets > 0:
        raise DataError(f"num_jets: {num_jets:g}; a density per jet needs a positive number of jets")
    weight = check_weights(weights, len(x))
    primary = np.ones(len(x), bool) if is_primary is None else np.asarray(is_primary, dtype=bool)
    if primary.shape != x.shape:
        raise DataError(f"is_primary: shape {primary.shape} does not go with {len(x)} declusterings")
    x, y, weight = x[primary], y[primary], weight[primary]
    bad = ~(np.isfinite(x) & np.isfinite(y))
    if bad.any():
        raise DataError(f"ln_delta, ln_kt: {bad.sum()} of {len(x)} primary declusterings are not finite")
    nbins = (bins, bins) if isinstance(bins, int) else bins
    limits = [x_range, y_range]
    total, x_edges, y_edges = np.histogram2d(x, y, bins=nbins, range=limits, weights=weight)
    counts = np.histogram2d(x, y, bins=nbins, range=limits)[0]
    area = np.outer(np.diff(x_edges), np.diff(y_edges))
    outside = 1 - counts.sum() / len(x) if len(x) else 0.0
    return LundDensity(total / area / num_jets, counts, x_edges, y_edges, float(outside))


def plot_lund_planes(planes: Mapping[str, LundDensity], *, title: str = "") -> Figure:
    """Lund planes side by side on one colour scale, so that they can be compared; empty bins are white.

    Raises
    ------
    DataError
        No plane is given.
    """
    if not planes:
        raise DataError("planes: a figure of the Lund plane needs at least one")
    highest = max(float(plane.density.max()) for plane in planes.values()) or 1.0
    with hep_style():
        figure, grid = _panels(len(planes))
        for axes, (name, plane) in zip(grid, planes.items(), strict=True):
            shown = np.where(plane.counts > 0, plane.density, np.nan)
            note = f"{plane.outside:.1%} outside" if plane.outside >= 0.0005 else ""
            mesh = _draw(axes, plane, shown, name, note, cmap="viridis", vmin=0.0, vmax=highest)
        bar = figure.colorbar(mesh, ax=grid, pad=0.02, aspect=25)
        bar.set_label("Primary declusterings per jet and unit area")
        bar.ax.minorticks_off()
        if title:
            figure.suptitle(title.replace("$", r"\$"), x=0.02, ha="left", fontsize=12)
    return figure


def plot_lund_ratio(
    signal: LundDensity, background: LundDensity, *, min_counts: int = 10, title: str = "signal / background"
) -> Figure:
    """Ratio of two Lund densities on a logarithmic colour scale centred on one.

    Bins with fewer than `min_counts` declusterings in either sample are hatched: their ratio says nothing.

    Raises
    ------
    DataError
        The two planes have different bins.
    """
    if not (np.array_equal(signal.x_edges, background.x_edges) and np.array_equal(signal.y_edges, background.y_edges)):
        raise DataError("lund planes: the bins of signal and background differ; give both the same ranges")
    known = (signal.counts >= min_counts) & (background.counts >= min_counts)
    known &= (signal.density > 0) & (background.density > 0)
    ratio = np.full(known.shape, np.nan)
    ratio[known] = signal.density[known] / background.density[known]
    seen = np.abs(np.log2(ratio[known]))
    octaves = min(max(math.ceil(float(np.max(seen, initial=1.0))), 1), 5)
    with hep_style():
        figure, (axes,) = _panels(1)
        axes.patch.set(hatch="////", edgecolor="0.85")
        scale = LogNorm(2.0**-octaves, 2.0**octaves)
        note = f"hatched: fewer than {min_counts} declusterings"
        mesh = _draw(axes, signal, ratio, title, note, cmap="RdBu_r", norm=scale)
        bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=25, extend="both")
        bar.set_label("Ratio of densities")
        steps = [2.0**octave for octave in range(-octaves, octaves + 1)]
        bar.ax.yaxis.set_major_locator(FixedLocator(steps))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x >= 1 else f"1/{round(1 / x)}"))
    return figure


def _panels(number: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(1.6 + 4.2 * number, 4.4), layout="constrained")
    grid = figure.subplots(1, number, sharex=True, sharey=True, squeeze=False)[0]
    grid[0].set_ylabel(_Y_LABEL)
    return figure, list(grid)


def _draw(axes: Axes, plane: LundDensity, values: FloatArray, name: str, note: str, **colours: Any) -> QuadMesh:
    mesh = axes.pcolormesh(plane.x_edges, plane.y_edges, values.T, rasterized=True, **colours)
    axes.set_xlabel(_X_LABEL)
    axes.set_title(name.replace("$", r"\$"), loc="left")
    axes.set_title(note, loc="right", fontsize=9, color="0.4")
    return mesh
