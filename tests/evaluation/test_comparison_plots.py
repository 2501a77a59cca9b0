"""Figures that compare taggers show the numbers they are given."""

import numpy as np
import pytest

from jetforge.errors import DataError
from jetforge.evaluation.comparison_plots import plot_against, plot_roc_ratio
from jetforge.evaluation.roc import roc_curve


def test_points_are_drawn_in_order_with_their_errors():
    figure = plot_against({"a": [(10, 2, 0.5), (1, 3, 0)], "b": [(5, float("inf"), 0)]}, xlabel="jets", ylabel="AUC",
                          log_x=True, level=("all", 2.5))  # fmt: skip
    (axes,) = figure.axes
    line = axes.containers[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [1, 10])
    np.testing.assert_array_equal(line.get_ydata(), [3, 2])
    bars = axes.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], [[3, 3], [1.5, 2.5]])
    assert len(axes.containers) == 1  # the second has nothing to show
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    with pytest.raises(DataError, match="no finite point"):
        plot_against({"a": [(1, float("nan"), 0)]}, xlabel="", ylabel="")


def test_what_is_no_number_is_named():
    figure = plot_against(
        {"a": [(0, 1, 0), (2, 5, 0)]}, xlabel="seen", ylabel="1", names=("all", "some", "few"), log_y=True
    )
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["all", "some", "few"]
    np.testing.assert_array_equal(axes.get_xticks(), [0, 1, 2])


def test_ratios_are_to_the_first_curve():
    random = np.random.default_rng(1)
    labels = np.repeat([0, 1], 500)
    levels = np.linspace(0.1, 0.9, 9)
    curves = {
        name: roc_curve(labels, labels + random.normal(0, width, 1000), signal_efficiency=levels)
        for name, width in (("good", 0.5), ("poor", 1.0))
    }
    upper, lower = plot_roc_ratio(curves).axes
    good, poor = (line.get_ydata() for line in upper.lines)
    np.testing.assert_allclose(lower.lines[0].get_ydata()[np.isfinite(good)], 1)
    np.testing.assert_allclose(lower.lines[1].get_ydata(), poor / good)
    np.testing.assert_array_equal(poor, curves["poor"].rejection)
    with pytest.raises(DataError, match="two curves or more"):
        plot_roc_ratio({"good": curves["good"]})
