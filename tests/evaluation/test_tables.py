"""Numbers with their uncertainties, as text."""

import math

import numpy as np
import pytest

from jetforge.evaluation.bins import BinnedRejection
from jetforge.evaluation.intervals import Interval
from jetforge.evaluation.metrics import evaluate_classes, evaluate_scores
from jetforge.evaluation.tables import (
    bin_table,
    format_error,
    format_interval,
    format_rejection,
    rejection_table,
)


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (1298.3, 1258.1, 1344.4, "1298 -40 +46"),
        (5043.0, 4631.0, 5525.0, "5040 -410 +480"),
        (28.348, 27.268, 29.56, "28.3 -1.1 +1.2"),
        (1.2504, 1.2321, 1.2701, "1.250 -0.018 +0.020"),
        (4.0, 3.004, 5.0, "4.0 -1.0 +1.0"),
        (200.0, 60.0, math.inf, "200 -140 +∞"),
        (1.0, 1.0, 1.021, "1.000 -0.000 +0.021"),
        (2.0, 2.0, 2.0, "2.00"),
        (math.inf, 543.2, math.inf, "> 543"),
    ],
)
def test_two_digits_of_the_smaller_uncertainty(value, low, high, text):
    assert format_interval(value, low, high) == text


def test_a_rejection_without_surviving_background_says_so():
    text = "> 10900 (no background jet survives)"
    assert format_rejection({"value": None, "low": 10884.0, "high": None}) == text
    assert format_rejection(Interval(math.inf, 10884.0, math.inf)) == text
    assert format_rejection({"value": 200.0, "low": 60.0, "high": None}) == "200 -140 +∞"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.969142, 0.00072, "0.96914 ± 0.00072"),
        (0.9, 0.0996, "0.90 ± 0.10"),
        (0.75, None, "0.7500"),
        (1.0, 0.0, "1.0000"),
        (None, None, "-"),
    ],
)
def test_value_and_symmetric_error(value, error, text):
    assert format_error(value, error) == text


def test_the_headline_table_has_a_row_a_quantity():
    metrics = evaluate_scores([0] * 20 + [1] * 20, np.arange(40) - 19.5, efficiencies=[0.5])
    assert rejection_table(metrics) == [
        {"quantity": "AUC", "value": "1.0000"},
        {"quantity": "accuracy", "value": "1.0000"},
        {"quantity": "1/εB at εS = 0.5", "value": "> 11.4 (no background jet survives)"},
    ]


def test_more_classes_have_a_column_of_the_signal():
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 3, 600), rng.dirichlet([1, 1, 1], 600)
    rows = rejection_table(evaluate_classes(labels, scores, classes=["qcd", "w", "top"]))
    assert [row["signal"] for row in rows] == ["", "", *["w"] * 5, *["top"] * 5]
    assert rows[2]["quantity"] == "AUC against qcd"


def test_the_table_of_bins_tells_limits_and_empty_bins():
    full = BinnedRejection(
        500,
        600,
        50,
        60,
        Interval(math.inf, 25.2, math.inf),
        Interval(0.4, 0.3, 0.5),
        Interval(9, 7, 12),
        0.912,
        0.011,
    )
    empty = BinnedRejection(600, 700, 3, 2, note="fewer than 10 signal jets")
    first, second = bin_table([full, empty])
    assert first == {
        "pT [GeV]": "500 to 600",
        "signal jets": "50",
        "background jets": "60",
        "AUC": "0.912 ± 0.011",
        "εS, one threshold": "0.40 -0.10 +0.10",
        "1/εB, one threshold": "> 25.2",
        "1/εB, own threshold": "9.0 -2.0 +3.0",
    }
    assert second["AUC"] == "fewer than 10 signal jets"
    assert second["1/εB, own threshold"] == ""
