"""Figures of an evaluation; each function returns a matplotlib Figure that belongs to the caller."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from jetforge.errors import DataError
from jetforge.evaluation.bins import BinnedRejection
from jetforge.evaluation.intervals import Interval
from jetforge.evaluation.roc import RocCurve
from jetforge.evaluation.scores import FloatArray, check_scores
from jetforge.evaluation.style import BACKGROUND_COLOUR, COLOURS, LINES, SIGNAL_COLOUR, hep_style, new_axes
from jetforge.evaluation.tables import format_error


def plot_roc(curves: Mapping[str, RocCurve], *, title: str = "") -> Figure:
    """Background rejection versus signal efficiency, with the 68 % band of each curve.

    Parameters
    ----------
    curves : mapping of name to RocCurve
        Each drawn where at least one background jet survives; where none does, a thin line is the lower
        limit.
    title : str
        Written above the frame.

    Raises
    ------
    DataError
        No curve is given.
    """
    if not curves:
        raise DataError("curves: a ROC figure needs at least one curve")
    with hep_style():
        figure, axes = new_axes()
        finite = [curve.rejection[np.isfinite(curve.rejection)] for curve in curves.values()]
        lows = [curve.low for curve in curves.values()]
        top = 3 * max(float(np.max(values, initial=10.0)) for values in [*finite, *lows])
        for index, (name, curve) in enumerate(curves.items()):
            colour = COLOURS[index % len(COLOURS)]
            axes.plot(
                curve.signal_efficiency,
                np.where(np.isfinite(curve.rejection), curve.rejection, np.nan),
                color=colour,
                linestyle=LINES[index % len(LINES)],
                label=f"{plain(name)}  (AUC {format_error(*curve.auc)})",
            )
            known = np.isfinite(curve.rejection)
            high = np.minimum(curve.high, top)
            axes.fill_between(
                curve.signal_efficiency, curve.low, high, where=known, color=colour, alpha=0.25, linewidth=0
            )
            limit = np.where(known, np.nan, curve.low)
            axes.plot(curve.signal_efficiency, limit, color=colour, linewidth=0.8, alpha=0.8)
        guess = np.linspace(0.01, 1.0, 200)
        axes.plot(guess, 1 / guess, color="0.55", linewidth=1.2, linestyle=":", label="random guess")
        axes.set_yscale("log")
        axes.set_xlim(0, 1)
        axes.set_ylim(1, top)
        axes.set_xlabel(r"Signal efficiency $\varepsilon_\mathrm{S}$")
        axes.set_ylabel(r"Background rejection $1/\varepsilon_\mathrm{B}$")
        limited = any(np.isinf(curve.rejection).any() for curve in curves.values())
        note = "thin line: 68 % lower limit, no background jet survives" if limited else None
        axes.legend(loc="upper right", title=note, alignment="right", title_fontsize=9)
        set_title(axes, title)
    return figure


def plot_scores(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    classes: Sequence[str] = ("background", "signal"),
    bins: int = 50,
    title: str = "",
) -> Figure:
    """Score distributions of signal and background, each of unit area, with their statistical errors.

    Scores within [0, 1] are binned over that range, others from the smallest to the largest finite score;
    infinite scores are put into the outermost bins. Errors and parameters are those of `evaluate_scores`.
    """
    label, score, weight = check_scores(labels, scores, weights)
    finite = score[np.isfinite(score)]
    if score.min() >= 0 and score.max() <= 1:
        edges = np.linspace(0.0, 1.0, bins + 1)
    else:
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    inside = np.clip(score, edges[0], edges[-1])
    with hep_style():
        figure, axes = new_axes()
        shown = []
        for value, colour, name in zip((0, 1), (BACKGROUND_COLOUR, SIGNAL_COLOUR), classes, strict=True):
            chosen = label == value
            density, error = _density(inside[chosen], weight[chosen], edges)
            shown.append(density[density > 0])
            _draw_distribution(axes, edges, density, error, colour, filled=value == 0)
            axes.plot([], [], color=colour, label=f"{plain(name)} ({chosen.sum():,} jets)")
        axes.set_yscale("log")
        heights = np.concatenate(shown)
        bottom, top = heights.min() / 2, 2 * heights.max()
        # Room for the legend: a fifth of the logarithmic axis.
        axes.set_ylim(bottom, top * (top / bottom) ** 0.2)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel("Tagger score")
        axes.set_ylabel("Fraction of jets per unit score")
        axes.legend(loc="upper center", ncols=2)
        set_title(axes, title)
    return figure


def plot_learning_curve(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> Figure:
    """Losses and validation metrics versus epoch, from the rows of `metrics.jsonl`.

    Parameters
    ----------
    rows : sequence of mappings
        Keys read where present, and skipped where absent, None or not finite: `epoch` (by default the row
        number), `train_loss`, `val_loss`, `val_auc`, `val_accuracy`, `learning_rate`.

    Raises
    ------
    DataError
        None of the rows has any of these numbers.
    """
    panels = [
        ("Loss", (("train_loss", "training"), ("val_loss", "validation")), "linear"),
        ("Validation", (("val_auc", "AUC"), ("val_accuracy", "accuracy")), "linear"),
        ("Learning rate", (("learning_rate", ""),), "log"),
    ]
    filled = [panel for panel in panels if any(len(_column(rows, key)[0]) for key, _ in panel[1])]
    if not filled:
        raise DataError("metrics: no epoch has a loss, an AUC, an accuracy or a learning rate to draw")
    with hep_style():
        ratios = [3 if name == "Loss" else 2 if name == "Validation" else 1.2 for name, _, _ in filled]
        figure = Figure(figsize=(6.0, 1.0 + sum(ratios)), layout="constrained")
        grid = figure.subplots(len(filled), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
        for axes, (name, series, scale) in zip(grid, filled, strict=True):
            _draw_series(axes, rows, series)
            axes.set_ylabel(name)
            axes.set_yscale(scale)
        loss = _column(rows, "val_loss")
        if len(loss[1]):
            best = int(np.argmin(loss[1]))
            grid[0].axvline(loss[0][best], color="0.55", linewidth=1, linestyle=":")
            grid[0].plot(
                loss[0][best],
                loss[1][best],
                "o",
                color="0.3",
                markersize=5,
                label=f"lowest validation loss: {loss[1][best]:.4g} (epoch {loss[0][best]:g})",
            )
            grid[0].legend()
        grid[-1].set_xlabel("Epoch")
        grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        grid[-1].xaxis.set_minor_locator(NullLocator())
        figure.align_ylabels()
        set_title(grid[0], title)
    return figure


def plot_rejection_by_bin(
    bins: Sequence[BinnedRejection],
    *,
    efficiency: float,
    xlabel: str = r"Jet $p_\mathrm{T}$ [GeV]",
    title: str = "",
) -> Figure:
    """Rejection and signal efficiency versus the binned property, of the global and of the local threshold.

    A bin where no background jet survives has an arrow from its lower limit upward; a bin with too few jets
    is shaded.

    Raises
    ------
    DataError
        No bins are given.
    """
    if not bins:
        raise DataError("bins: a figure of the rejection needs at least one bin")
    with hep_style():
        figure = Figure(figsize=(6.0, 5.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.3))
        wanted = f"$\\varepsilon_\\mathrm{{S}}$ = {efficiency:g}"
        kinds = (
            ("global_rejection", f"one threshold, {wanted} over all jets"),
            ("local_rejection", f"threshold of each bin, {wanted} in it"),
        )
        for index, (kind, label) in enumerate(kinds):
            _draw_binned(upper, bins, kind, index, shift=0.12 * (index - 0.5))
            upper.plot([], [], "os"[index], color=COLOURS[index], markersize=5, label=label)
        _draw_binned(lower, bins, "signal_efficiency", 0, shift=-0.06)
        lower.axhline(efficiency, color=COLOURS[1], linestyle="--", linewidth=1.2)
        for axes in (upper, lower):
            _shade_empty(axes, bins)
        numbers = [x for entry in bins for x in _finite(entry.global_rejection, entry.local_rejection)]
        if numbers and max(numbers) > 8 * min(numbers):
            upper.set_yscale("log")
            bottom, top = upper.get_ylim()
            upper.set_ylim(bottom, top * (top / bottom) ** 0.3)
        else:
            upper.set_ylim(0, 1.35 * upper.get_ylim()[1])
        upper.set_xlim(bins[0].low_edge, bins[-1].high_edge)
        upper.set_ylabel(r"Background rejection $1/\varepsilon_\mathrm{B}$")
        lower.set_ylabel(r"$\varepsilon_\mathrm{S}$")
        lower.set_xlabel(xlabel)
        none_left = any(
            number is not None and math.isinf(number.value)
            for entry in bins
            for number in (entry.global_rejection, entry.local_rejection)
        )
        note = "arrow: 68 % lower limit, no background jet survives" if none_left else None
        upper.legend(loc="upper right", title=note, alignment="right", title_fontsize=9)
        set_title(upper, title)
    return figure


def _draw_binned(axes: Axes, bins: Sequence[BinnedRejection], kind: str, series: int, *, shift: float) -> None:
    """Points with asymmetric errors, moved aside by the fraction `shift` of the bin."""
    colour, marker = COLOURS[series], "os"[series]
    for entry in bins:
        number: Interval | None = getattr(entry, kind)
        if number is None:
            continue
        width = entry.high_edge - entry.low_edge
        x = (entry.low_edge + entry.high_edge) / 2 + shift * width
        if not math.isfinite(number.value):
            reach = 0.35 * number.low
            axes.errorbar(x, number.low, xerr=width / 20, yerr=reach, lolims=True, color=colour, capsize=3)
            continue
        above = number.high - number.value if math.isfinite(number.high) else 9 * number.value
        errors = [[number.value - number.low], [above]]
        axes.errorbar(x, number.value, errors, fmt=marker, markersize=5, color=colour, linewidth=1.4)
        axes.hlines(number.value, entry.low_edge, entry.high_edge, color=colour, alpha=0.35, linewidth=1.2)


def _shade_empty(axes: Axes, bins: Sequence[BinnedRejection]) -> None:
    for entry in bins:
        if entry.note:
            axes.axvspan(entry.low_edge, entry.high_edge, color="0.92", linewidth=0, zorder=0)
            axes.text(
                (entry.low_edge + entry.high_edge) / 2,
                0.04,
                "too few jets",
                transform=axes.get_xaxis_transform(),
                rotation=90,
                ha="center",
                va="bottom",
                color="0.4",
                fontsize=9,
            )


def _finite(*numbers: Interval | None) -> list[float]:
    return [x for number in numbers if number is not None for x in number if math.isfinite(x) and x > 0]


def _density(values: FloatArray, weights: FloatArray, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Histogram of unit area and its statistical error."""
    unit = weights.sum() * np.diff(edges)
    counts = np.histogram(values, edges, weights=weights)[0]
    squared = np.histogram(values, edges, weights=weights**2)[0]
    return counts / unit, np.sqrt(squared) / unit


def _draw_distribution(
    axes: Axes, edges: FloatArray, density: FloatArray, error: FloatArray, colour: str, *, filled: bool
) -> None:
    # Empty bins stay gaps: a logarithmic axis has no zero.
    shown = np.where(density > 0, density, np.nan)
    if filled:
        axes.stairs(shown, edges, color=colour, fill=True, alpha=0.25, baseline=1e-300)
    axes.stairs(shown, edges, color=colour, linewidth=1.8)
    centres = (edges[1:] + edges[:-1]) / 2
    low = np.minimum(error, 0.999 * density)
    axes.errorbar(centres, shown, yerr=[low, error], fmt="none", ecolor=colour, elinewidth=1, alpha=0.8)


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[FloatArray, FloatArray]:
    """Epochs at which `key` is a finite number, and those numbers."""
    points = []
    for index, row in enumerate(rows):
        epoch, value = row.get("epoch", index), row.get(key)
        if isinstance(value, int | float) and isinstance(epoch, int | float) and math.isfinite(value):
            points.append((epoch, value))
    table = np.array(points, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _draw_series(axes: Axes, rows: Sequence[Mapping[str, Any]], series: Sequence[tuple[str, str]]) -> None:
    for index, (key, label) in enumerate(series):
        epochs, values = _column(rows, key)
        if not len(epochs):
            continue
        marker = "o" if len(epochs) < 40 else ""
        axes.plot(
            epochs,
            values,
            color=COLOURS[index],
            linestyle=LINES[index],
            marker=marker,
            markersize=3.5,
            label=label,
        )
    if len(series) > 1:
        axes.legend(loc="best")


def plain(text: str) -> str:
    """Keep a name from being read as mathematics."""
    return str(text).replace("$", r"\$")


def set_title(axes: Axes, title: str) -> None:
    """Write a title above a frame, if there is one."""
    if title:
        axes.set_title(plain(title), loc="left")
