"""The mapping of metrics.json."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from jetforge.errors import DataError
from jetforge.evaluation.metrics import discriminant, evaluate_classes, evaluate_scores
from jetforge.evaluation.roc import background_rejection


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 4000)
    scores = 1 / (1 + np.exp(-rng.normal(3 * labels - 1.5, 1.5)))
    return labels, scores, rng.exponential(size=4000)


@pytest.fixture(scope="module")
def multi():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 4, 3000)
    logits = rng.normal(size=(3000, 4)) + 1.5 * np.eye(4)[labels]
    scores = np.exp(logits)
    return labels, scores / scores.sum(axis=1, keepdims=True)


def test_the_mapping_has_the_promised_keys_and_is_valid_json(sample):
    metrics = evaluate_scores(*sample[:2], classes=["qcd", "top"])
    assert list(metrics["rejection"]) == ["0.3", "0.5", "0.7", "0.8"]
    for numbers in metrics["rejection"].values():
        assert list(numbers) == ["value", "low", "high"]
        assert 1 <= numbers["low"] < numbers["value"] < numbers["high"]
    assert metrics["num_jets"] == 4000
    assert metrics["num_signal"] + metrics["num_background"] == 4000
    assert metrics["classes"] == ["qcd", "top"]
    assert "exact binomial" in metrics["interval"]
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@pytest.mark.parametrize("weighted", [False, True])
def test_area_and_accuracy_are_those_of_scikit_learn(sample, weighted):
    labels, scores, weights = sample
    metrics = evaluate_scores(labels, scores, weights if weighted else None)
    kwargs = {"sample_weight": weights} if weighted else {}
    assert metrics["auc"] == pytest.approx(roc_auc_score(labels, scores, **kwargs), abs=1e-12)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, scores > 0.5, **kwargs), abs=1e-12)
    assert 0 < metrics["auc_error"] < 0.02
    assert 0 < metrics["accuracy_error"] < 0.02


def test_rejections_are_those_of_the_public_function(sample):
    for interval in ("exact", "bootstrap"):
        options = {"interval": interval, "num_bootstrap": 200, "seed": 3}
        metrics = evaluate_scores(*sample, efficiencies=[0.5], **options)
        labels, scores, weights = sample
        expected = background_rejection(labels, scores, 0.5, weights, **options)
        assert metrics["rejection"]["0.5"] == expected.as_json()


def test_no_surviving_background_is_null_with_a_lower_limit():
    metrics = evaluate_scores([0] * 20 + [1] * 20, np.arange(40))
    assert metrics["rejection"]["0.5"]["value"] is None
    assert metrics["rejection"]["0.5"]["high"] is None
    assert 1 < metrics["rejection"]["0.5"]["low"] < 20
    json.dumps(metrics, allow_nan=False)


def test_accuracy_cuts_probabilities_at_a_half_and_log_odds_at_zero(sample):
    labels, scores, _ = sample
    probability = evaluate_scores(labels, scores)
    log_odds = evaluate_scores(labels, np.log(scores / (1 - scores)))
    assert (probability["accuracy_threshold"], log_odds["accuracy_threshold"]) == (0.5, 0.0)
    assert probability["accuracy"] == log_odds["accuracy"]
    stated = evaluate_scores(labels, scores, threshold=0.9)
    assert stated["accuracy"] == pytest.approx(accuracy_score(labels, scores > 0.9))


def test_one_jet_a_class_is_measured_without_an_error():
    metrics = evaluate_scores([0, 1], [0.2, 0.9])
    assert metrics["auc"] == 1
    assert metrics["auc_error"] is None


def test_two_classes_are_the_binary_case(multi):
    labels, scores = (multi[0] > 1).astype(int), multi[1][:, 2:].sum(axis=1)
    columns = np.stack([1 - scores, scores], axis=1)
    binary = evaluate_scores(labels, scores, classes=["qcd", "top"])
    metrics = evaluate_classes(labels, columns, classes=["qcd", "top"])
    assert metrics.keys() == binary.keys()
    assert metrics["auc"] == pytest.approx(binary["auc"], abs=1e-12)
    assert metrics["accuracy"] == binary["accuracy"]
    assert metrics["rejection"]["0.5"] == pytest.approx(binary["rejection"]["0.5"])
    turned = evaluate_classes(1 - labels, columns[:, ::-1], classes=["top", "qcd"], background=1)
    assert turned["classes"] == ["qcd", "top"]
    assert turned["auc"] == pytest.approx(binary["auc"], abs=1e-12)


def test_more_classes_are_measured_against_the_background(multi):
    labels, scores = multi
    names = ["qcd", "w", "z", "top"]
    metrics = evaluate_classes(labels, scores, classes=names)
    assert metrics["auc"] == pytest.approx(roc_auc_score(labels, scores, multi_class="ovo"), abs=1e-12)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, scores.argmax(axis=1)))
    assert list(metrics["signals"]) == names[1:]
    assert metrics["background"] == "qcd"
    chosen = (labels == 0) | (labels == 2)
    pair = evaluate_scores(labels[chosen] == 2, discriminant(scores[chosen], 2, 0))
    assert metrics["signals"]["z"]["auc"] == pair["auc"]
    assert metrics["signals"]["z"]["rejection"] == pair["rejection"]
    assert metrics["signals"]["z"]["num_signal"] == np.count_nonzero(labels == 2)
    json.dumps(metrics, allow_nan=False)


def test_weights_of_classes_count(multi):
    labels, scores = multi
    weights = np.random.default_rng(3).exponential(size=len(labels))
    metrics = evaluate_classes(labels, scores, weights)
    expected = accuracy_score(labels, scores.argmax(axis=1), sample_weight=weights)
    assert metrics["accuracy"] == pytest.approx(expected)
    assert "effective" in metrics["interval"]


def test_the_discriminant_of_two_vanishing_probabilities_is_a_half():
    assert discriminant(np.array([[0.0, 0.0, 1.0], [0.1, 0.3, 0.6]]), 1, 0) == pytest.approx([0.5, 0.75])


@pytest.mark.parametrize(
    ("labels", "scores", "options", "message"),
    [
        ([0, 1, 2], np.full((3, 3), -0.1), {}, "negative in row 0; give probabilities"),
        ([0, 1, 3], np.eye(3), {}, "labels: 3 in row 2 is not the index of one of 3 classes"),
        ([0, 1, 1], np.eye(3), {}, "no jets of class class2"),
        ([0, 1, 2], np.eye(3), {"classes": ["qcd", "top"]}, "3 different names are expected"),
        ([0, 1, 2], np.eye(3), {"background": 3}, "there is no class 3 among 3"),
        ([0, 1], np.eye(3), {}, "does not go with 3 rows"),
        ([0, 1, 2], np.ones(3), {}, r"where \(n_jets, n_classes\)"),
        ([0, 1, 2], np.full((3, 3), np.nan), {}, "scores: 3 of 3 are NaN, first in row 0"),
        ([0, 1, 2], np.eye(3), {"interval": "normal"}, "no method 'normal'"),
    ],
)
def test_bad_class_scores_are_refused(labels, scores, options, message):
    with pytest.raises(DataError, match=message):
        evaluate_classes(labels, scores, **options)
