"""Figures of the Lund plane: densities, their ratio, slices with errors, and the plane of one jet.

The planes are drawn as in F. A. Dreyer, G. P. Salam and G. Soyez, arXiv:1807.04758.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from jetforge.errors import DataError
from jetforge.evaluation.style import COLOURS, LINES, hep_style
from jetforge.physics.arguments import flag, known, number, whole_number
from jetforge.physics.lund.plane import LundDensity
from jetforge.physics.lund.regions import kt_at_z
from jetforge.physics.lund.trees import lund_source, prong_blocks
from jetforge.physics.number_arrays import float_array

FloatArray = npt.NDArray[np.float64]

_LABELS = {
    "ln_inv_delta": r"$\ln(1/\Delta)$",
    "ln_delta": r"$\ln\,\Delta$",
    "ln_kt": r"$\ln(k_\mathrm{t}/\mathrm{GeV})$",
    "ln_inv_z": r"$\ln(1/z)$",
    "ln_z": r"$\ln\,z$",
    "ln_kappa": r"$\ln(z\Delta)$",
    "ln_m": r"$\ln(m/\mathrm{GeV})$",
    "psi": r"$\psi$",
}
# What a logarithm is the logarithm of: its label, and the sign in the exponent.
_PLAIN = {
    "ln_inv_delta": (r"$\Delta$", -1),
    "ln_kt": (r"$k_\mathrm{t}$ [GeV]", 1),
    "ln_inv_z": (r"$z$", -1),
    "ln_m": (r"$m$ [GeV]", 1),
}
_LIMIT_COLOUR = "#e76300"


def plot_lund_planes(
    planes: Mapping[str, LundDensity], *, title: str = "", log: bool = False, pt: float | None = None
) -> Figure:
    """Lund planes side by side on one colour scale, so that they can be compared; empty bins are white.

    Parameters
    ----------
    planes
        Densities in the same bins, by the name of the sample.
    title
        Of the figure.
    log
        Whether the colour scale is logarithmic.
    pt
        Transverse momentum of the jets (GeV): draws the kinematic limit z = 1/2 of a plane in ln(1/Delta) and ln kt.

    Raises
    ------
    DataError
        No plane is given, their coordinates, R0 or bins differ, or they have not the coordinates of the limit.
    JetforgeError
        `log` is neither True nor False, or pt not positive.
    """
    first, log = _same_bins(planes), flag("log", log)
    if pt is not None:
        pt = number("pt", pt, above=0)
    highest = max(float(plane.density.max()) for plane in planes.values())
    filled = [plane.density[plane.density > 0] for plane in planes.values()]
    lowest = min((float(part.min()) for part in filled if len(part)), default=1.0)
    colours: dict[str, Any] = {"vmin": 0.0, "vmax": highest if highest > 0 else 1.0}
    if log:
        colours = {"norm": LogNorm(lowest, highest if highest > lowest else 2 * lowest)}
    with hep_style():
        figure, grid = _panels(len(planes), first)
        for axes, (name, plane) in zip(grid, planes.items(), strict=True):
            shown = np.where((plane.counts > 0) & (plane.density > 0 if log else True), plane.density, np.nan)
            note = f"{plane.outside:.1%} outside" if plane.outside >= 0.0005 else ""
            mesh = _draw(axes, plane, shown, name, note, cmap="viridis", **colours)
            if pt is not None:
                _draw_limit(axes, plane, pt)
        bar = figure.colorbar(mesh, ax=grid, pad=0.02, aspect=25)
        bar.set_label("Declusterings per jet and unit area")
        bar.ax.minorticks_off()
        if title:
            figure.suptitle(_plain(title), x=0.02, ha="left", fontsize=12)
    return figure


def plot_lund_ratio(
    signal: LundDensity,
    background: LundDensity,
    *,
    min_counts: int = 10,
    min_significance: float = 0.0,
    title: str = "signal / background",
) -> Figure:
    """Ratio of two Lund densities on a logarithmic colour scale centred on one; what says nothing is hatched.

    Parameters
    ----------
    signal, background
        Densities in the same bins.
    min_counts
        Least number of declusterings of a bin, in both samples.
    min_significance
        Least number of standard deviations, abs(ln r) over the error of ln r, that the ratio r is away from one; the
        samples are taken as independent.
    title
        Of the figure.

    Raises
    ------
    DataError
        The two planes differ in their coordinates, R0 or bins.
    JetforgeError
        `min_counts` is not a whole number, or one of the two limits is negative.
    """
    _same_bins({"signal": signal, "background": background})
    min_counts = whole_number("min_counts", min_counts, 0)
    min_significance = number("min_significance", min_significance, least=0)
    filled = (signal.counts >= min_counts) & (background.counts >= min_counts)
    filled &= (signal.density > 0) & (background.density > 0)
    ratio = np.full(filled.shape, np.nan)
    ratio[filled] = signal.density[filled] / background.density[filled]
    relative = [plane.error[filled] / plane.density[filled] for plane in (signal, background)]
    away = np.abs(np.log(ratio[filled])) < min_significance * np.hypot(*relative)
    ratio[tuple(axis[away] for axis in np.nonzero(filled))] = np.nan
    seen = np.abs(np.log2(ratio[np.isfinite(ratio)]))
    octaves = min(max(math.ceil(float(np.max(seen, initial=1.0))), 1), 5)
    with hep_style():
        figure, (axes,) = _panels(1, signal)
        axes.patch.set(hatch="////", edgecolor="0.85")
        scale = LogNorm(2.0**-octaves, 2.0**octaves)
        note = f"hatched: fewer than {min_counts} declusterings"
        if min_significance > 0:
            note += rf", or below {min_significance:g}$\sigma$"
        mesh = _draw(axes, signal, ratio, title, note, cmap="RdBu_r", norm=scale)
        bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=25, extend="both")
        bar.set_label("Ratio of densities")
        steps = [2.0**octave for octave in range(-octaves, octaves + 1)]
        bar.ax.yaxis.set_major_locator(FixedLocator(steps))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x >= 1 else f"1/{round(1 / x)}"))
    return figure


def plot_lund_slices(
    planes: Mapping[str, LundDensity],
    *,
    along: str = "y",
    expected: Mapping[str, npt.ArrayLike] | None = None,
    title: str = "",
) -> Figure:
    """Slices of Lund planes with their errors, one panel a slice.

    Parameters
    ----------
    planes
        Densities in the same bins, by the name of the sample. Their bins across the slices are the slices: give
        `lund_density` one wide bin for each.
    along
        `y` for a panel each bin of x, against y; `x` for the other way round.
    expected
        Densities (n_x, n_y) that are drawn as lines, by their labels, such as the leading order of
        `jetforge.physics.lund.theory.leading_order_density`.
    title
        Of the figure.

    Raises
    ------
    DataError
        No plane is given, or their coordinates, R0 or bins differ, or what is expected has another shape.
    JetforgeError
        `along` is neither x nor y.
    """
    known("along", along, ("x", "y"))
    first = _same_bins(planes)
    if not isinstance(expected, Mapping | None):
        raise DataError(f"expected is {expected!r}; it must be densities by their labels")
    lines = {name: float_array(f"expected: {name}", values) for name, values in (expected or {}).items()}
    for name, values in lines.items():
        if values.shape != first.density.shape:
            raise DataError(f"expected: {name} has shape {values.shape}, the planes have {first.density.shape}")
    edges, cuts = (first.y_edges, first.x_edges) if along == "y" else (first.x_edges, first.y_edges)
    names = (first.y, first.x) if along == "y" else (first.x, first.y)
    centres = (edges[1:] + edges[:-1]) / 2
    with hep_style():
        number = len(cuts) - 1
        figure = Figure(figsize=(1.2 + 3.6 * number, 3.8), layout="constrained")
        panels = figure.subplots(1, number, sharex=True, sharey=True, squeeze=False)[0]
        for k, axes in enumerate(panels):
            pick = (k, slice(None)) if along == "y" else (slice(None), k)
            for n, (name, plane) in enumerate(planes.items()):
                shown = {"color": COLOURS[n % len(COLOURS)], "label": _plain(name), "linewidth": 1.4}
                axes.stairs(plane.density[pick], edges, **shown)
                axes.errorbar(centres, plane.density[pick], plane.error[pick], fmt="none", color=shown["color"])
            for n, (name, values) in enumerate(lines.items()):
                style = LINES[(n + 1) % len(LINES)]
                axes.plot(centres, values[pick], color="0.3", linestyle=style, label=_plain(name))
            axes.set_xlabel(_label(names[0], first.R0))
            slice_name = f"{cuts[k]:.3g} to {cuts[k + 1]:.3g} in {_label(names[1], first.R0)}"
            axes.set_title(slice_name, loc="left", fontsize=10)
        panels[0].set_ylabel("Declusterings per jet and unit area")
        panels[0].set_ylim(bottom=0)
        panels[-1].legend()
        if title:
            figure.suptitle(_plain(title), x=0.02, ha="left", fontsize=12)
    return figure


def plot_lund_jet(constituents: ak.Array, *, title: str = "") -> Figure:
    """Lund diagram of one jet: its primary plane, and the leaf of each emission in a colour of its own.

    A line links each declustering with the one before it. The dashed lines are the kinematic limits kt = pT Delta/2
    of the jet and of those emissions that split.

    Parameters
    ----------
    constituents
        One jet, or its Lund tree: an array of length 1.
    title
        Of the figure.

    Raises
    ------
    DataError
        If it is not one jet, or it has no declusterings.
    """
    source = lund_source(constituents, links=True)
    number = len(source.offsets) - 1
    if number != 1:
        raise DataError(f"constituents: {number} jets; a Lund diagram shows one, such as jets[:1]")
    (tree,) = prong_blocks(source, num_threads=1)
    if not len(tree.parent):
        raise DataError("constituents: this jet has no declustering; it needs two constituents or more")
    x, y = -tree.ln_delta, tree.ln_kt
    leaf = np.full(len(x), -1)
    for i in np.flatnonzero(~tree.is_primary):
        above = tree.parent[i]
        leaf[i] = above if tree.is_primary[above] else leaf[above]
    ranks = {emission: rank for rank, emission in enumerate(np.unique(leaf[leaf >= 0]))}
    shades = ["0.15" if k < 0 else COLOURS[ranks[k] % len(COLOURS)] for k in leaf]
    with hep_style():
        figure = Figure(figsize=(6.4, 4.8), layout="constrained")
        axes = figure.add_subplot()
        children = np.flatnonzero(tree.parent >= 0)
        links = [[(x[i], y[i]), (x[tree.parent[i]], y[tree.parent[i]])] for i in children]
        axes.add_collection(LineCollection(links, colors=[shades[i] for i in children], linewidths=0.8, alpha=0.6))
        sizes = np.where(tree.is_primary, 34, 14)
        axes.scatter(x, y, s=sizes, c=shades, zorder=3)
        reach = np.array([x.min() - 0.3, x.max() + 0.3])
        pair_pt = np.exp(tree.ln_kt[0] - tree.ln_delta[0] - tree.ln_z[0])
        axes.plot(reach, np.log(kt_at_z(np.exp(-reach), pt=pair_pt)), color="0.15", linestyle="--", linewidth=1)
        for emission, rank in ranks.items():
            below = np.array([x[emission], reach[1]])
            limit = kt_at_z(np.exp(-below), pt=np.exp(tree.ln_kt[emission] - tree.ln_delta[emission]))
            axes.plot(below, np.log(limit), color=COLOURS[rank % len(COLOURS)], linestyle="--", linewidth=0.7)
        axes.set(xlim=reach, ylim=(y.min() - 0.3, max(y.max() + 0.6, np.log(kt_at_z(np.exp(-reach[0]), pt=pair_pt)))))
        axes.set_xlabel(_LABELS["ln_inv_delta"])
        axes.set_ylabel(_LABELS["ln_kt"])
        _mirror(axes, "ln_inv_delta", "ln_kt", 1.0)
        counts = f"{np.count_nonzero(tree.is_primary)} primary declusterings, {len(x)} in all"
        axes.text(0.98, 0.97, counts, transform=axes.transAxes, ha="right", va="top", fontsize=10)
        if title:
            figure.suptitle(_plain(title), x=0.02, ha="left", fontsize=12)
    return figure


def _same_bins(planes: Mapping[str, LundDensity]) -> LundDensity:
    """Return the first of some planes, which all have the same coordinates, R0 and bins.

    Raises
    ------
    DataError
        If these are no densities by name, there is none, or they differ.
    """
    if not isinstance(planes, Mapping) or not planes:
        raise DataError(f"planes is {planes!r}; a figure needs at least one density, by the name of its sample")
    for name, plane in planes.items():
        if not isinstance(plane, LundDensity):
            raise DataError(f"planes: {name} is a {type(plane).__name__}, no LundDensity; make it with lund_density")
    (reference, first), *others = planes.items()
    for name, plane in others:
        if (plane.x, plane.y, plane.R0) != (first.x, first.y, first.R0):
            raise DataError(
                f"planes: {name} is in {plane.x} and {plane.y} with R0 = {plane.R0:g}, {reference} in {first.x} and "
                f"{first.y} with R0 = {first.R0:g}; give all the same"
            )
        if not (np.array_equal(plane.x_edges, first.x_edges) and np.array_equal(plane.y_edges, first.y_edges)):
            raise DataError(f"planes: the bins of {name} differ from those of {reference}; give all the same ranges")
    return first


def _plain(text: object) -> str:
    return str(text).replace("$", r"\$")


def _label(name: str, R0: float) -> str:
    label = _LABELS[name]
    if R0 == 1.0:
        return label
    return label.replace(r"1/\Delta", r"R/\Delta").replace(r"z\Delta", r"z\Delta/R").replace(r"\,\Delta", r"(\Delta/R)")


def _panels(number: int, plane: LundDensity) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(2.2 + 4.2 * number, 4.8), layout="constrained")
    grid = figure.subplots(1, number, sharex=True, sharey=True, squeeze=False)[0]
    grid[0].set_ylabel(_label(plane.y, plane.R0))
    for axes in grid:
        _mirror(axes, plane.x, plane.y if axes is grid[-1] else "", plane.R0)
    return figure, list(grid)


def _mirror(axes: Axes, x: str, y: str, R0: float) -> None:
    """Give the plain numbers, such as Delta and kt, on the opposite sides of axes in logarithms."""
    if x in _PLAIN:
        axes.tick_params(axis="x", which="both", top=False)
        top = axes.secondary_xaxis("top", functions=_exponential(x, R0))
        top.set_xlabel(_PLAIN[x][0])
        _decades(top.xaxis)
    if y in _PLAIN:
        axes.tick_params(axis="y", which="both", right=False)
        right = axes.secondary_yaxis("right", functions=_exponential(y, R0))
        right.set_ylabel(_PLAIN[y][0])
        _decades(right.yaxis)


def _decades(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(10, numticks=20))
    axis.set_minor_locator(LogLocator(10, subs=np.arange(2, 10).tolist(), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _exponential(name: str, R0: float) -> tuple[Any, Any]:
    """Return the function from a coordinate to the plain number, and back."""
    sign = _PLAIN[name][1]
    factor = R0 if name == "ln_inv_delta" else 1.0

    # Matplotlib also tries numbers far off the axis.
    def forward(value: npt.ArrayLike) -> FloatArray:
        return np.asarray(factor * np.exp(np.clip(sign * np.asarray(value, dtype=float), -200, 200)))

    def inverse(value: npt.ArrayLike) -> FloatArray:
        return np.asarray(sign * np.log(np.clip(np.asarray(value, dtype=float) / factor, 1e-80, 1e80)))

    return forward, inverse


def _draw_limit(axes: Axes, plane: LundDensity, pt: float) -> None:
    if (plane.x, plane.y) != ("ln_inv_delta", "ln_kt"):
        raise DataError(f"planes: the kinematic limit is drawn in ln_inv_delta and ln_kt, not {plane.x} and {plane.y}")
    reach = plane.x_edges[[0, -1]]
    limit = np.log(kt_at_z(plane.R0 * np.exp(-reach), pt=pt))
    axes.plot(reach, limit, color=_LIMIT_COLOUR, linestyle="--", linewidth=1.2)
    axes.set(xlim=plane.x_edges[[0, -1]], ylim=plane.y_edges[[0, -1]])


def _draw(axes: Axes, plane: LundDensity, values: FloatArray, name: str, note: str, **colours: Any) -> QuadMesh:
    mesh = axes.pcolormesh(plane.x_edges, plane.y_edges, values.T, rasterized=True, **colours)
    axes.set_xlabel(_label(plane.x, plane.R0))
    axes.set_title(_plain(name), loc="left")
    axes.set_title(note, loc="right", fontsize=9, color="0.4")
    return mesh
