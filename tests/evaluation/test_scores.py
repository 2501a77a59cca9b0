"""Scores are checked at the door and sorted once."""

import numpy as np
import pytest

from jetforge.errors import DataError
from jetforge.evaluation.scores import background_above, check_scores, rank_scores

LABELS = [0, 1, 0, 1]
SCORES = [0.1, 0.9, 0.4, 0.6]


@pytest.mark.parametrize(
    ("labels", "scores", "weights", "message"),
    [
        (LABELS, [0.1, np.nan, np.nan, 0.6], None, "scores: 2 of 4 are NaN, first in row 1"),
        ([0, 1, 2, 1], SCORES, None, r"labels: 1 of 4 are neither 0 nor 1, first in row 2 \(2\)"),
        ([0, 1, np.nan, 1], SCORES, None, "neither 0 nor 1, first in row 2"),
        ([1, 1, 1, 1], SCORES, None, r"labels: no background jets \(label 0\) among 4"),
        ([0, 0, 0, 0], SCORES, None, r"labels: no signal jets \(label 1\) among 4"),
        ([], [], None, "empty"),
        ([0, 1, 1], SCORES, None, r"labels: shape \(3,\) does not go with 4 scores"),
        (LABELS, SCORES, [1.0, 1.0], r"weights: shape \(2,\) does not go with 4 scores"),
        (LABELS, SCORES, [1, -1, 1, 0.5], "signal jets add up to -0.5"),
        (LABELS, SCORES, [0, 1, 0, 1], "background jets add up to 0"),
        (LABELS, SCORES, [1, 1, np.inf, 1], "weights: 1 of 4 are not finite, first in row 2"),
        (LABELS, [[0.9, 0.1]] * 4, None, r"scores: shape \(4, 2\)"),
        (LABELS, ["a", "b", "c", "d"], None, "scores: not an array of numbers"),
        (LABELS, 0.5, None, "scores: a single number"),
    ],
)
def test_bad_input_is_refused_in_one_line(labels, scores, weights, message):
    with pytest.raises(DataError, match=message) as error:
        check_scores(labels, scores, weights)
    assert "\n" not in str(error.value)


def test_jets_are_ranked_from_the_highest_score_down_with_equal_scores_together():
    ranked = rank_scores([0, 1, 1, 0, 1, 0], [0.5, 0.5, 0.9, 0.1, 0.5, 0.1])
    assert ranked.scores.tolist() == [0.9, 0.5, 0.1]
    assert ranked.signal.tolist() == [1, 3, 3]
    assert ranked.background.tolist() == [0, 1, 3]
    assert (ranked.num_signal, ranked.num_background) == (3, 3)
    assert not ranked.weighted


def test_infinite_scores_are_ranked():
    ranked = rank_scores(LABELS, [-np.inf, np.inf, 0.0, np.inf])
    assert ranked.scores.tolist() == [np.inf, 0.0, -np.inf]
    assert ranked.signal.tolist() == [2, 2, 2]


def test_weights_that_are_equal_within_each_class_are_no_weights():
    ranked = rank_scores(LABELS, SCORES, [0.25, 3.0, 0.25, 3.0])
    assert not ranked.weighted
    assert ranked.background[-1] == 2
    assert rank_scores(LABELS, SCORES, [0.25, 3.0, 0.5, 3.0]).weighted


def test_the_wanted_signal_is_met_exactly_also_within_ties():
    signal, background = np.array([2.0, 6.0, 8.0]), np.array([1.0, 11.0, 31.0])
    kept, index, fraction = background_above(signal, background, np.array([1.0, 2.0, 5.0, 8.0]))
    assert index.tolist() == [0, 0, 1, 2]
    assert fraction.tolist() == [0.5, 1.0, 0.75, 1.0]
    assert kept.tolist() == [0.5, 1.0, 8.5, 31.0]


def test_a_cumulated_signal_that_falls_is_crossed_where_it_first_reaches_the_wanted():
    kept, index, _ = background_above(np.array([3.0, 1.0, 4.0]), np.array([1.0, 2.0, 3.0]), np.array([2.0]))
    assert index.tolist() == [0]
    assert kept.tolist() == [pytest.approx(2 / 3)]
