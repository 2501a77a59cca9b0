"""The gain in rejection of some taggers over others, on the same jets."""

import math

import numpy as np
import pytest

from jetforge.errors import DataError
from jetforge.evaluation.gain import rejection_gain
from jetforge.evaluation.roc import background_rejection


def jets(num_jets=20_000, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, num_jets)
    return labels, rng.normal(1.5 * labels), rng


def test_the_gain_is_the_ratio_of_the_mean_rejections():
    labels, scores, rng = jets()
    before = [scores + rng.normal(0, 0.5, len(scores)) for _ in range(3)]
    after = [scores, scores + rng.normal(0, 0.1, len(scores))]
    means = [np.mean([background_rejection(labels, s, 0.3).value for s in some]) for some in (before, after)]
    gain = rejection_gain(labels, before, after, 0.3)
    assert gain.value == pytest.approx(means[1] / means[0])
    assert 1 < gain.low < gain.value < gain.high


def test_what_taggers_have_in_common_cancels():
    labels, scores, rng = jets()
    same = rejection_gain(labels, [scores], [scores], 0.3)
    assert same == (1, 1, 1)
    near = rejection_gain(labels, [scores], [scores + rng.normal(0, 0.02, len(scores))], 0.3)
    other = rejection_gain(labels, [scores], [np.where(labels, scores, rng.permutation(scores - 1.5 * labels))], 0.3)
    assert near.high - near.low < 0.5 * (other.high - other.low)


def test_the_interval_covers_the_true_gain_about_two_times_in_three():
    covered = 0
    for seed in range(60):
        labels, scores, rng = jets(4000, seed)
        gain = rejection_gain(labels, [scores], [rng.normal(1.5 * labels)], 0.5, num_bootstrap=200)
        covered += gain.low <= 1 <= gain.high
    assert 31 <= covered <= 51  # 41 are expected, with a standard deviation of 3.6


def test_weights_count_as_so_many_jets():
    labels, scores, rng = jets(3000)
    other = scores + rng.normal(0, 0.5, len(scores))
    weights = np.where(labels == 0, 1 + (scores > 0), 1)
    repeated = [np.repeat(values, weights) for values in (labels, scores, other)]
    weighted = rejection_gain(labels, [scores], [other], 0.5, weights)
    assert weighted.value == pytest.approx(rejection_gain(repeated[0], [repeated[1]], [repeated[2]], 0.5).value)
    assert weighted.low < weighted.value < weighted.high


def test_where_no_background_is_left_the_gain_is_not_known():
    labels = np.array([0] * 50 + [1] * 50)
    perfect = labels.astype(float)
    gain = rejection_gain(labels, [perfect], [perfect], 0.3)
    assert math.isnan(gain.value)
    assert math.isnan(gain.low)
    mixed = np.where(np.arange(100) % 2 == 0, 0.5, perfect)
    assert rejection_gain(labels, [mixed], [perfect], 0.9).value == math.inf


@pytest.mark.parametrize(
    ("scores", "efficiency", "message"),
    [([0.1, 0.2], 0.3, "3 labels|scores"), ([0.1, 0.2, 0.3], 1.5, "efficienc"), ([0.1, np.nan, 0.3], 0.3, "NaN")],
)
def test_bad_input_is_refused(scores, efficiency, message):
    with pytest.raises(DataError, match=message):
        rejection_gain([0, 1, 1], [[0.1, 0.2, 0.3]], [scores], efficiency)
