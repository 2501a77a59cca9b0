"""Figures show the numbers that they were given."""

import io
import math

import numpy as np
import pytest

from jetforge.errors import DataError
from jetforge.evaluation.bins import BinnedRejection, rejection_by_bin
from jetforge.evaluation.intervals import Interval
from jetforge.evaluation.plots import plot_learning_curve, plot_rejection_by_bin, plot_roc, plot_scores
from jetforge.evaluation.roc import roc_curve


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 2000)
    return labels, 1 / (1 + np.exp(-rng.normal(4 * labels - 2, 1.5)))


def drawn(figure):
    """Return the PNG; drawing finds what is wrong only then (warnings are errors)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    return buffer.getvalue()


def texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_roc_draws_the_measured_rejections_where_background_survives(sample):
    curve = roc_curve(*sample)
    figure = plot_roc({"lundnet5": curve, "image $cnn": curve}, title="test $ split")
    axes = figure.axes[0]
    x, y = axes.lines[0].get_data()
    known = np.isfinite(curve.rejection)
    assert not known.all()
    assert np.array_equal(x, curve.signal_efficiency)
    assert np.array_equal(y[known], curve.rejection[known])
    assert np.isnan(y[~known]).all()
    limit = axes.lines[1].get_ydata()
    assert np.array_equal(limit[~known], curve.low[~known])
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[1] > curve.low.max()
    assert texts(axes)[0].startswith("lundnet5  (AUC 0.9")
    assert "no background jet survives" in axes.get_legend().get_title().get_text()
    assert drawn(figure).startswith(b"\x89PNG")


def test_score_distributions_have_unit_area(sample):
    figure = plot_scores(*sample, classes=["qcd", "top"], bins=20)
    axes = figure.axes[0]
    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    for outline in outlines:
        values, edges, _ = outline.get_data()
        assert np.nansum(values * np.diff(edges)) == pytest.approx(1)
        assert (edges[0], edges[-1]) == (0, 1)
    assert len(outlines) == 2
    assert texts(axes)[1] == f"top ({sample[0].sum():,} jets)"
    assert max(np.nanmax(outline.get_data()[0]) for outline in outlines) < axes.get_ylim()[1]
    drawn(figure)


@pytest.mark.parametrize("scores", [[-np.inf, 3.0, 5.0, np.inf], [2.0] * 4, [-np.inf, np.inf] * 2])
def test_scores_of_any_range_are_drawn(scores):
    axes = plot_scores([0, 0, 1, 1], scores, [1.0, 2.0, 3.0, 4.0]).axes[0]
    for outline in [patch for patch in axes.patches if not patch.get_fill()]:
        values, edges, _ = outline.get_data()
        assert np.nansum(values * np.diff(edges)) == pytest.approx(1)


def test_learning_curve_marks_the_lowest_validation_loss_and_skips_what_is_missing():
    rows = [
        {"epoch": 1, "train_loss": 0.7, "val_loss": 0.6, "val_auc": 0.8, "learning_rate": 1e-3},
        {"epoch": 2, "train_loss": 0.5, "val_loss": 0.4, "val_auc": None, "learning_rate": 5e-4},
        {"epoch": 3, "train_loss": 0.4, "val_loss": math.nan, "val_auc": 0.9, "seconds": 3.0},
    ]
    figure = plot_learning_curve(rows)
    loss, validation, rate = figure.axes
    assert loss.lines[0].get_data()[1].tolist() == [0.7, 0.5, 0.4]
    assert loss.lines[1].get_data()[0].tolist() == [1, 2]
    assert texts(loss)[-1] == "lowest validation loss: 0.4 (epoch 2)"
    assert validation.lines[0].get_data()[0].tolist() == [1, 3]
    assert rate.get_yscale() == "log"
    drawn(figure)


def test_learning_curve_draws_only_the_panels_it_has_numbers_for():
    figure = plot_learning_curve([{"train_loss": 0.7}, {"train_loss": 0.6}])
    assert [axes.get_ylabel() for axes in figure.axes] == ["Loss"]
    drawn(figure)


def test_rejection_in_bins_shows_values_errors_limits_and_empty_bins():
    limit, open_above = Interval(math.inf, 25, math.inf), Interval(9, 7, math.inf)
    bins = [
        BinnedRejection(400, 500, 3, 5, note="fewer than 10 signal jets"),
        BinnedRejection(500, 600, 50, 50, Interval(20, 15, 30), Interval(0.2, 0.1, 0.3), Interval(10, 8, 13)),
        BinnedRejection(600, 800, 50, 50, limit, Interval(0.4, 0.3, 0.5), open_above),
    ]
    figure = plot_rejection_by_bin(bins, efficiency=0.3)
    upper, lower = figure.axes
    points = {(container[0].get_xdata()[0], container[0].get_ydata()[0]) for container in upper.containers}
    assert {(544.0, 20.0), (556.0, 10.0), (712.0, 9.0)} <= points
    errors = upper.containers[0][2][0].get_segments()[0]
    assert errors[:, 1].tolist() == [15.0, 30.0]
    assert upper.get_xlim() == (400, 800)
    assert [text.get_text() for text in upper.texts] == ["too few jets"]
    assert "no background jet survives" in upper.get_legend().get_title().get_text()
    assert lower.lines[-1].get_ydata()[0] == 0.3
    drawn(figure)


def test_bins_without_any_jets_are_drawn_as_such(sample):
    labels, scores = sample
    bins = rejection_by_bin(labels, scores, np.full(2000, 900.0), [400, 500, 600], 0.5)
    figure = plot_rejection_by_bin(bins, efficiency=0.5)
    assert len(figure.axes[0].texts) == 2
    drawn(figure)


def test_nothing_to_draw_is_refused():
    for draw, nothing in ((plot_roc, {}), (plot_learning_curve, [{"epoch": 1, "seconds": 2.0}])):
        with pytest.raises(DataError):
            draw(nothing)
    with pytest.raises(DataError):
        plot_rejection_by_bin([], efficiency=0.5)
