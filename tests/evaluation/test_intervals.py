"""Do the intervals cover what they say they cover?"""

import numpy as np
import pytest
from scipy.stats import beta, binom

from jetforge.errors import DataError
from jetforge.evaluation.intervals import (
    COVERAGE,
    Interval,
    bootstrap_efficiencies,
    check_method,
    clopper_pearson,
    describe_method,
    efficiency_limits,
)
from jetforge.evaluation.scores import rank_scores

EFFICIENCIES = np.array([0.3, 0.8])


def test_the_coverage_is_that_of_one_standard_deviation():
    assert pytest.approx(0.6826894921370859, abs=1e-15) == COVERAGE


@pytest.mark.parametrize("total", [1, 7, 400])
def test_clopper_pearson_never_covers_less_than_it_says_and_is_not_absurd(total):
    passed = np.arange(total + 1)
    low, high = clopper_pearson(passed, total)
    probabilities = np.linspace(0.002, 0.998, 499)
    covered = [binom.pmf(passed, total, p)[(low <= p) & (p <= high)].sum() for p in probabilities]
    assert min(covered) >= COVERAGE - 1e-12
    if total == 400:
        assert np.mean(covered) < 0.75


def test_clopper_pearson_is_the_beta_quantile_and_closed_at_the_ends():
    tail = (1 - COVERAGE) / 2
    low, high = clopper_pearson([0, 3, 2.5, 10], 10)
    assert low[0] == 0
    assert high[3] == 1
    assert high[0] == pytest.approx(1 - tail ** (1 / 10), rel=1e-12)
    assert low[1:3] == pytest.approx(beta.ppf(tail, [3, 2.5], [8, 8.5]), rel=1e-9)
    assert high[1:3] == pytest.approx(beta.ppf(1 - tail, [4, 3.5], [7, 7.5]), rel=1e-9)


def test_limits_of_equal_weights_are_those_of_counts():
    passed = np.array([0, 12, 100])
    counts = np.array(clopper_pearson(passed, 100))
    for weight in (1.0, 0.01):
        limits = efficiency_limits(passed / 100, passed * weight**2, 100 * weight, 100 * weight**2)
        assert np.array(limits) == pytest.approx(counts, rel=1e-9)


def test_weights_widen_the_limits_as_their_variance_says():
    rng = np.random.default_rng(1)
    weights = rng.exponential(size=20_000)
    passed = rng.random(20_000) < 0.2
    p = weights[passed].sum() / weights.sum()
    low, high = efficiency_limits(p, (weights[passed] ** 2).sum(), weights.sum(), (weights**2).sum())
    sigma = np.sqrt(np.sum(weights**2 * (passed - p) ** 2)) / weights.sum()
    assert (high - low) / 2 == pytest.approx(sigma, rel=0.02)


def test_weighted_limits_cover_when_few_jets_survive():
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(1500):
        weights = rng.uniform(0.5, 1.5, 400)
        passed = rng.random(400) < 0.01
        p = weights[passed].sum() / weights.sum()
        low, high = efficiency_limits(p, (weights[passed] ** 2).sum(), weights.sum(), (weights**2).sum())
        covered.append(low <= 0.01 <= high)
    assert 0.66 < np.mean(covered) < 0.88


def test_jets_drawn_and_the_closed_form_give_the_same_bootstrap():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], [900, 300])
    scores = np.round(rng.normal(labels * 1.5, 1.0), 1)
    # Weights that differ by next to nothing have the jets drawn; rounded scores have many ties.
    drawn = rank_scores(labels, scores, 1 + 1e-9 * rng.random(1200))
    closed = rank_scores(labels, scores)
    assert drawn.weighted
    assert not closed.weighted
    replicas = [bootstrap_efficiencies(ranked, EFFICIENCIES, 3000, 4) for ranked in (drawn, closed)]
    assert replicas[0].mean(axis=0) == pytest.approx(replicas[1].mean(axis=0), rel=0.03)
    assert replicas[0].std(axis=0) == pytest.approx(replicas[1].std(axis=0), rel=0.08)


def test_bootstrap_depends_on_the_seed_and_on_nothing_else():
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1], 500)
    ranked = rank_scores(labels, rng.normal(labels, 1.0))
    first = bootstrap_efficiencies(ranked, EFFICIENCIES, 200, 7)
    assert np.array_equal(first, bootstrap_efficiencies(ranked, EFFICIENCIES, 200, 7))
    assert np.array_equal(first[:, 1:], bootstrap_efficiencies(ranked, EFFICIENCIES[1:], 200, 7))
    assert not np.array_equal(first, bootstrap_efficiencies(ranked, EFFICIENCIES, 200, 8))


def test_bootstrap_refuses_what_has_no_meaning():
    ranked = rank_scores([0, 1], [0.0, 1.0])
    with pytest.raises(DataError, match="num_bootstrap: 10 replicas"):
        bootstrap_efficiencies(ranked, EFFICIENCIES, 10, 0)
    negative = rank_scores([0, 1, 1], [0.0, 1.0, 2.0], [1.0, 2.0, -1.0])
    with pytest.raises(DataError, match="no positive weight"):
        bootstrap_efficiencies(negative, EFFICIENCIES, 100, 0)


def test_the_rejection_of_an_efficiency_turns_its_limits_round():
    assert Interval(0.5, 0.25, 1.0).inverse() == (2.0, 1.0, 4.0)
    rejection = Interval(0.0, 0.0, 0.1).inverse()
    assert rejection == (np.inf, 10.0, np.inf)
    assert rejection.as_json() == {"value": None, "low": 10.0, "high": None}


def test_methods_are_named_and_described():
    with pytest.raises(DataError, match="no method 'exat'; choose from exact, bootstrap"):
        check_method("exat")
    assert "exact binomial" in describe_method("exact", False, 500, 0)
    assert "effective" in describe_method("exact", True, 500, 0)
    assert "300 replicas, seed 4" in describe_method("bootstrap", False, 300, 4)
