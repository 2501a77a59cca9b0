"""The ROC curve against scikit-learn, against brute force, and against the truth of simulated taggers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from jetforge.errors import DataError
from jetforge.evaluation.intervals import clopper_pearson
from jetforge.evaluation.roc import area, background_rejection, roc_curve, working_point
from jetforge.evaluation.scores import rank_scores


def toy(rng, num_signal, num_background):
    """Return jets of a tagger whose ROC curve is known: see `true_background_efficiency`."""
    labels = np.repeat([1, 0], [num_signal, num_background])
    scores = np.concatenate([rng.random(num_signal), rng.random(num_background) ** 4])
    return labels, scores


def true_background_efficiency(signal_efficiency):
    """Signal is uniform, background is the fourth power of a uniform number."""
    return 1 - (1 - signal_efficiency) ** 0.25


@st.composite
def jets(draw):
    number = draw(st.integers(2, 60))
    scores = draw(hnp.arrays(float, number, elements=st.integers(-4, 4).map(float)))
    weights = draw(hnp.arrays(float, number, elements=st.floats(0.01, 10)))
    labels = draw(hnp.arrays(int, number, elements=st.integers(0, 1)))
    labels[:2] = 0, 1
    return labels, scores, weights


@given(jets())
def test_the_area_is_that_of_scikit_learn_with_ties_and_weights(sample):
    labels, scores, weights = sample
    assert area(rank_scores(labels, scores)).value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    expected = roc_auc_score(labels, scores, sample_weight=weights)
    assert area(rank_scores(labels, scores, weights)).value == pytest.approx(expected, abs=1e-12)


def test_the_area_of_many_weighted_jets_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 100_000)
    scores, weights = rng.normal(labels, 1.0), rng.exponential(size=100_000)
    expected = roc_auc_score(labels, scores, sample_weight=weights)
    assert area(rank_scores(labels, scores, weights)).value == pytest.approx(expected, abs=1e-12)


@given(jets())
def test_a_monotonous_transformation_of_the_scores_changes_nothing(sample):
    labels, scores, weights = sample
    before, after = (background_rejection(labels, values, 0.6, weights) for values in (scores, np.exp(scores / 3)))
    assert before == after


@given(jets(), st.floats(0.05, 1.0))
def test_rejection_follows_the_straight_lines_of_the_roc_curve_between_ties(sample, efficiency):
    labels, scores, weights = sample
    labels = np.concatenate([labels, np.ones(9, int)])
    scores = np.concatenate([scores, np.arange(-4.0, 5.0)])
    weights = np.concatenate([weights, np.full(9, 0.5)])
    fpr, tpr, _ = sklearn_roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    expected = np.interp(efficiency, tpr, fpr)
    rejection = background_rejection(labels, scores, efficiency, weights)
    assert 1 / rejection.value == pytest.approx(expected, abs=1e-9)


def test_the_error_of_the_area_is_that_of_delong_by_brute_force():
    rng = np.random.default_rng(2)
    signal, background = np.round(rng.normal(1, 1, 40), 1), np.round(rng.normal(0, 1, 70), 1)
    wins = (signal[:, None] > background) + 0.5 * (signal[:, None] == background)
    variance = wins.mean(axis=1).var(ddof=1) / 40 + wins.mean(axis=0).var(ddof=1) / 70
    labels = np.repeat([1, 0], [40, 70])
    result = area(rank_scores(labels, np.concatenate([signal, background])))
    assert result.value == pytest.approx(wins.mean())
    assert result.error == pytest.approx(math.sqrt(variance))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_error_of_the_area_is_the_spread_of_repeated_experiments(weighted):
    rng = np.random.default_rng(3)
    results = []
    for _ in range(400):
        labels, scores = toy(rng, 150, 300)
        weights = rng.exponential(size=450) if weighted else None
        results.append(area(rank_scores(labels, scores, weights)))
    values, errors = np.array(results).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.1)


def test_a_single_jet_in_a_class_gives_no_error_of_the_area():
    assert math.isnan(area(rank_scores([0, 0, 1], [0.1, 0.2, 0.3])).error)


def test_limits_are_clopper_pearson_on_the_surviving_background_jets():
    rng = np.random.default_rng(4)
    labels, scores = toy(rng, 1000, 5000)
    threshold = np.sort(scores[labels == 1])[::-1][299]
    survivors = np.count_nonzero(scores[labels == 0] >= threshold)
    low, high = clopper_pearson(survivors, 5000)
    expected = (5000 / survivors, 1 / high, 1 / low)
    assert background_rejection(labels, scores, 0.3) == pytest.approx(expected, rel=1e-12)


def test_constant_scores_reject_as_a_coin_does():
    rejection = background_rejection([0] * 50 + [1] * 50, [0.7] * 100, 0.4)
    assert rejection.value == pytest.approx(2.5)
    assert rejection.low < 2.5 < rejection.high


@pytest.mark.parametrize("interval", ["exact", "bootstrap"])
def test_perfect_separation_has_a_finite_lower_limit(interval):
    labels, scores = np.repeat([0, 1], 100), np.arange(200.0)
    value, low, high = background_rejection(labels, scores, 0.5, interval=interval)
    assert value == high == math.inf
    assert low == pytest.approx(1 / clopper_pearson(0, 100)[1])


def test_weights_count_as_jets_do():
    rng = np.random.default_rng(5)
    labels, scores = toy(rng, 300, 500)
    times = rng.integers(1, 4, 800)
    repeated = background_rejection(np.repeat(labels, times), np.repeat(scores, times), 0.5)
    weighted = background_rejection(labels, scores, 0.5, times)
    assert weighted.value == pytest.approx(repeated.value)
    assert weighted.high - weighted.low > 1.2 * (repeated.high - repeated.low)


def test_exact_interval_covers_when_few_background_jets_survive():
    rng = np.random.default_rng(6)
    truth = 1 / true_background_efficiency(0.05)
    covered, survivors = [], []
    for _ in range(800):
        labels, scores = toy(rng, 5000, 200)
        value, low, high = background_rejection(labels, scores, 0.05)
        covered.append(low <= truth <= high)
        survivors.append(200 / value)
    assert np.mean(survivors) < 3
    assert 0.6827 <= np.mean(covered) < 0.9


@pytest.mark.parametrize(("num_signal", "num_background", "efficiency"), [(300, 20_000, 0.8), (2000, 200, 0.05)])
def test_bootstrap_covers_where_the_threshold_and_where_the_background_fluctuates(
    num_signal, num_background, efficiency
):
    rng = np.random.default_rng(7)
    truth = 1 / true_background_efficiency(efficiency)
    covered = {"exact": [], "bootstrap": []}
    for _ in range(300):
        labels, scores = toy(rng, num_signal, num_background)
        for interval, results in covered.items():
            _, low, high = background_rejection(labels, scores, efficiency, interval=interval, num_bootstrap=200)
            results.append(low <= truth <= high)
    assert 0.63 < np.mean(covered["bootstrap"]) < 0.9
    if num_signal < num_background:
        assert np.mean(covered["exact"]) < 0.5


def test_weighted_bootstrap_covers():
    rng = np.random.default_rng(8)
    truth = 1 / true_background_efficiency(0.7)
    covered = []
    for _ in range(200):
        labels, scores = toy(rng, 200, 400)
        weights = rng.uniform(0.2, 1.8, 600)
        _, low, high = background_rejection(labels, scores, 0.7, weights, interval="bootstrap", num_bootstrap=150)
        covered.append(low <= truth <= high)
    assert 0.6 < np.mean(covered) < 0.8


@given(jets(), st.floats(0.05, 1.0))
def test_a_working_point_keeps_the_wanted_signal(sample, efficiency):
    labels, scores, weights = sample
    passed = working_point(rank_scores(labels, scores, weights), efficiency).pass_fraction(scores)
    signal = labels == 1
    kept = (passed * weights)[signal].sum() / weights[signal].sum()
    assert kept == pytest.approx(efficiency, abs=1e-9)


def test_the_curve_passes_through_the_working_points():
    rng = np.random.default_rng(9)
    labels, scores = toy(rng, 1000, 1000)
    curve = roc_curve(labels, scores, signal_efficiency=[0.3, 0.5])
    for index, efficiency in enumerate((0.3, 0.5)):
        point = (curve.rejection[index], curve.low[index], curve.high[index])
        assert point == background_rejection(labels, scores, efficiency)
    whole = roc_curve(labels, scores)
    lowest = scores[labels == 1].min()
    assert whole.rejection[-1] == 1000 / np.count_nonzero(scores[labels == 0] >= lowest)
    assert np.all(np.diff(whole.rejection) <= 0)
    assert np.all(whole.low <= whole.rejection)
    assert np.all(whole.rejection <= whole.high)
    assert curve.auc == whole.auc


@pytest.mark.parametrize("efficiency", [0.0, 1.2, -0.3, math.nan])
def test_an_impossible_efficiency_is_refused(efficiency):
    with pytest.raises(DataError, match="not a signal efficiency"):
        background_rejection([0, 1], [0.0, 1.0], efficiency)
