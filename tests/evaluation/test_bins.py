"""Rejection in bins of transverse momentum."""

import json

import numpy as np
import pytest

from jetforge.errors import DataError
from jetforge.evaluation.bins import rejection_by_bin
from jetforge.evaluation.metrics import evaluate_scores
from jetforge.evaluation.roc import background_rejection

EDGES = [500.0, 600.0, 800.0]


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 8000)
    pt = rng.uniform(450, 800, 8000)
    scores = rng.normal(labels * (1 + (pt - 500) / 200), 1.0)
    return labels, scores, pt, rng.uniform(0.5, 1.5, 8000)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_local_threshold_is_an_evaluation_of_the_bin(sample, weighted):
    labels, scores, pt, weights = sample
    weights = weights if weighted else None
    for entry in rejection_by_bin(labels, scores, pt, EDGES, 0.5, weights):
        rows = (pt >= entry.low_edge) & (pt < entry.high_edge)
        chosen = None if weights is None else weights[rows]
        assert entry.num_signal + entry.num_background == rows.sum()
        assert entry.local_rejection == background_rejection(labels[rows], scores[rows], 0.5, chosen)
        assert entry.auc == evaluate_scores(labels[rows], scores[rows], chosen)["auc"]
        json.dumps(entry.as_json(), allow_nan=False)


def test_the_global_threshold_acts_in_every_bin(sample):
    labels, scores, pt, _ = sample
    entries = rejection_by_bin(labels, scores, pt, EDGES, 0.5)
    signal = np.sort(scores[labels == 1])[::-1]
    threshold = signal[int(np.ceil(0.5 * len(signal))) - 1]
    for entry in entries:
        rows = (pt >= entry.low_edge) & (pt < entry.high_edge)
        passed = scores[rows] >= threshold
        efficiency = passed[labels[rows] == 1].mean()
        assert entry.signal_efficiency.value == pytest.approx(efficiency, abs=1e-3)
        assert entry.global_rejection.value == pytest.approx(1 / passed[labels[rows] == 0].mean(), rel=1e-2)
        assert entry.global_rejection.low < entry.global_rejection.value < entry.global_rejection.high
    assert entries[0].signal_efficiency.value < 0.5 < entries[1].signal_efficiency.value


def test_one_bin_of_everything_is_the_global_evaluation(sample):
    labels, scores, pt, weights = sample
    (entry,) = rejection_by_bin(labels, scores, pt, [450, 800], 0.3, weights)
    assert entry.signal_efficiency.value == pytest.approx(0.3)
    assert entry.global_rejection == pytest.approx(entry.local_rejection)


def test_both_ends_belong_to_the_bins_and_others_do_not():
    pt = [500, 500, 600, 600, 800, 800, 801, 499]
    entries = rejection_by_bin([0, 1] * 4, np.arange(8), pt, EDGES, 0.5, min_jets=1)
    assert [(entry.num_signal, entry.num_background) for entry in entries] == [(1, 1), (2, 2)]


def test_bins_with_too_few_jets_say_so(sample):
    labels, scores, pt, weights = sample
    empty, few, _ = rejection_by_bin(labels, scores, pt, [0, 400, 450.5, 800], 0.5)
    assert empty.note == "fewer than 10 signal jets"
    assert few.note.startswith("fewer than 10")
    assert empty.local_rejection is empty.global_rejection is empty.auc is None
    negative = np.where((pt < 500) & (labels == 0), -0.1 * weights, weights)
    first, _ = rejection_by_bin(labels, scores, pt, [450, 500, 800], 0.5, negative)
    assert "weights of the background jets" in first.note


@pytest.mark.parametrize("bins", [[500.0], [500.0, 500.0], [600.0, 500.0], [500.0, np.nan]])
def test_edges_must_increase(sample, bins):
    with pytest.raises(DataError, match="increasing edges"):
        rejection_by_bin(*sample[:3], bins, 0.5)


def test_values_must_belong_to_the_jets(sample):
    labels, scores, pt, _ = sample
    with pytest.raises(DataError, match="does not go with 8000 jets"):
        rejection_by_bin(labels, scores, pt[:10], EDGES, 0.5)
    with pytest.raises(DataError, match="values: 1 of 8000 are NaN, first in row 3"):
        rejection_by_bin(labels, scores, np.where(np.arange(8000) == 3, np.nan, pt), EDGES, 0.5)
