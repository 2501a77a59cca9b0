"""Figures that compare several taggers; each function returns a matplotlib Figure that belongs to the caller."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray

from jetforge.errors import DataError
from jetforge.evaluation.plots import plain, set_title
from jetforge.evaluation.roc import RocCurve
from jetforge.evaluation.style import COLOURS, LINES, hep_style, new_axes

# With more lines than this the legend stands beside the frame, for which a figure is so many inches wider.
_MOST_INSIDE, _BESIDE = 4, 2.8
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_BESIDE_A_POINT: dict[str, Any] = {"xytext": (5, 4), "textcoords": "offset points", "fontsize": 7, "color": "0.35"}


def plot_roc_ratio(curves: Mapping[str, RocCurve], *, title: str = "") -> Figure:
    """Background rejection versus signal efficiency, and below it the ratio to the first curve.

    Parameters
    ----------
    curves : mapping of name to RocCurve
        On the same signal efficiencies; drawn where at least one background jet survives.
    title : str
        Written above the frame.

    Raises
    ------
    DataError
        If there are fewer than two curves, or their efficiencies differ.
    """
    first, *others = curves.values()
    if not others or any(not np.array_equal(o.signal_efficiency, first.signal_efficiency) for o in others):
        raise DataError("curves: a ratio needs two curves or more with the same signal efficiencies")
    with hep_style():
        reference = np.where(np.isfinite(first.rejection), first.rejection, np.nan)
        figure = Figure(figsize=(6.0, 5.8), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.4))
        for index, (name, curve) in enumerate(curves.items()):
            look: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index % len(LINES)]}
            shown = np.where(np.isfinite(curve.rejection), curve.rejection, np.nan)
            upper.plot(curve.signal_efficiency, shown, label=f"{plain(name)}  (AUC {curve.auc.value:.4f})", **look)
            lower.plot(curve.signal_efficiency, shown / reference, **look)
        upper.set_yscale("log")
        upper.set_xlim(0, 1)
        upper.set_ylabel(r"Background rejection $1/\varepsilon_\mathrm{B}$")
        _legend(upper, len(curves), "upper right")
        lower.set_ylim(0, 2)
        lower.set_ylabel("ratio")
        lower.set_xlabel(r"Signal efficiency $\varepsilon_\mathrm{S}$")
        figure.align_ylabels()
        set_title(upper, title)
    return figure


def plot_against(
    series: Mapping[str, Sequence[tuple[float, float, float]]], *, xlabel: str, ylabel: str, log_x: bool = False,
    log_y: bool = False, level: tuple[str, float] | None = None, names: Sequence[str] = (),
    labels: Mapping[str, Sequence[str]] | None = None, title: str = "",
) -> Figure:  # fmt: skip
    """Draw numbers with errors against what was varied.

    Parameters
    ----------
    series : mapping of name to points
        Each point is x, y and the error of y, which may be 0; points that are not finite are left out.
    xlabel, ylabel, log_x, log_y
        Of the axes.
    level : name and y, optional
        A horizontal line.
    names : sequence of str, optional
        What x = 0, 1, ... stand for, where they are no numbers.
    labels : mapping of name to texts, optional
        One a point, written beside it; points of such series are things of their own, and no line joins them.
    title : str
        Written above the frame.

    Raises
    ------
    DataError
        If no point is finite.
    """
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    if not any(finite.values()):
        raise DataError("series: there is no finite point to draw")
    with hep_style():
        figure, axes = new_axes()
        for index, (name, points) in enumerate(finite.items()):
            if not points:
                continue
            x, y, error = np.array(sorted(points)).T
            look: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index % len(LINES)]}
            look |= {"marker": "o", "markersize": 4}
            if labels is not None and name in labels:
                look |= {"linestyle": "none", "marker": _MARKERS[index % len(_MARKERS)], "markersize": 6}
            axes.errorbar(x, y, error, capsize=2, label=plain(name), **look)
        for text, x, y in _highest(series, labels or {}):
            axes.annotate(plain(text), (x, y), **_BESIDE_A_POINT)
        if level is not None:
            axes.axhline(level[1], color="0.55", linewidth=1.2, linestyle=":", label=plain(level[0]))
        axes.set_xscale("log" if log_x else "linear")
        axes.set_yscale("log" if log_y else "linear")
        xs, ys = np.array([p[:2] for points in finite.values() for p in points]).T
        _readable(axes.xaxis, xs, log_x)
        _readable(axes.yaxis, ys, log_y)
        if names:
            axes.set_xticks(range(len(names)), [plain(name) for name in names], minor=False)
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        _legend(axes, sum(map(bool, finite.values())), "best")
        set_title(axes, title)
    return figure


def _highest(
    series: Mapping[str, Sequence[tuple[float, float, float]]], labels: Mapping[str, Sequence[str]]
) -> list[tuple[str, float, float]]:
    """Return each label once an x: beside the highest of its points there."""
    found: dict[tuple[str, float], float] = {}
    for name, texts in labels.items():
        for (x, y, _), text in zip(series[name], texts, strict=True):
            if math.isfinite(x) and math.isfinite(y):
                found[text, x] = max(y, found.get((text, x), -math.inf))
    return [(text, x, y) for (text, x), y in found.items()]


def _readable(axis: Axis, values: NDArray[np.float64], log: bool) -> None:
    """Give few plain ticks to a logarithmic axis of less than a decade, and whole ones to whole numbers."""
    if log and values.max() < 10 * values.min():
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_locator(NullLocator())
    elif not log and np.all(values == np.rint(values)):
        axis.set_major_locator(MaxNLocator(integer=True))


def _legend(axes: Axes, lines: int, inside: Literal["best", "upper right"]) -> None:
    if lines <= _MOST_INSIDE:
        axes.legend(loc=inside, fontsize=9)
        return
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.set_figwidth(figure.get_figwidth() + _BESIDE)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9)
