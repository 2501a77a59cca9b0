"""The numbers of an evaluation, as `metrics.json` holds them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.evaluation.intervals import Interval, IntervalMethod, check_method, describe_method
from jetforge.evaluation.roc import area, check_efficiencies, rejections
from jetforge.evaluation.scores import (
    FloatArray,
    IntArray,
    RankedScores,
    as_floats,
    check_scores,
    check_weights,
    rank_scores,
    refuse_nan,
)

EFFICIENCIES = (0.3, 0.5, 0.7, 0.8)


def evaluate_scores(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    efficiencies: Sequence[float] = EFFICIENCIES,
    interval: str = "exact",
    num_bootstrap: int = 500,
    seed: int = 0,
    threshold: float | None = None,
    classes: Sequence[str] = ("background", "signal"),
) -> dict[str, Any]:
    """Measure a binary tagger from its scores.

    Parameters
    ----------
    labels : array (n_jets,)
        1 for signal, 0 for background.
    scores : array (n_jets,)
        Larger for jets more alike the signal: a probability, or any other number.
    weights : array (n_jets,), optional
        Weight of each jet; counted everywhere.
    efficiencies : sequence of float
        Signal efficiencies at which the background rejection is stated, each within (0, 1]. The threshold
        is the signal's own quantile; of jets that share its score, the fraction is kept with which the
        signal efficiency is met exactly.
    interval : "exact" or "bootstrap"
        "exact" is the Clopper-Pearson interval on the number of surviving background jets, given the
        threshold (effective counts where jets are weighted). "bootstrap" resamples signal and background
        jets, so that the fluctuation of the threshold is counted too, and is never narrower than "exact".
        With much more background than signal, or at high efficiencies, the threshold dominates.
    num_bootstrap, seed : int
        Replicas of the bootstrap, and where they start.
    threshold : float, optional
        Score above which a jet counts as signal in the accuracy: by default 0.5 where every score is
        within [0, 1], as a probability is, and 0 otherwise, as for log odds.
    classes : sequence of str
        Names of background and signal, in this order.

    Returns
    -------
    dict
        The mapping of `metrics.json`, valid as JSON: `auc`, `auc_error` (DeLong), `accuracy`,
        `accuracy_error`, `accuracy_threshold`, `rejection` keyed by the efficiency ("0.3") with `value`,
        `low` and `high` of 68.27 %, `interval` (how that was made), `num_jets`, `num_signal`,
        `num_background`, `classes`. None stands for infinite: where no background jet survives, `value` and
        `high` are None and `low` is the lower limit of the rejection. An `auc_error` of None means that a
        single jet in a class allows none.

    Raises
    ------
    DataError
        Unequal lengths, no jets, a class without jets, labels other than 0 and 1, NaN scores, weights that
        do not add up to a positive number, an efficiency outside (0, 1], or an unknown `interval`.

    Examples
    --------
    >>> metrics = evaluate_scores([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], efficiencies=[0.5])
    >>> metrics["auc"], metrics["accuracy"], metrics["rejection"]["0.5"]["value"]
    (0.75, 0.5, None)
    """
    method = check_method(interval)
    points = check_efficiencies(efficiencies)
    names = _check_classes(classes, 2)
    label, score, weight = check_scores(labels, scores, weights)
    if threshold is None:
        threshold = 0.5 if score.min() >= 0 and score.max() <= 1 else 0.0
    accuracy, accuracy_error = _accuracy((score > threshold) == label, weight)
    ranked = rank_scores(label, score, weight)
    numbers = _ranked_metrics(ranked, points, method, num_bootstrap, seed)
    return {
        "auc": numbers["auc"],
        "auc_error": numbers["auc_error"],
        "accuracy": accuracy,
        "accuracy_error": accuracy_error,
        "accuracy_threshold": threshold,
        "rejection": numbers["rejection"],
        "interval": describe_method(method, ranked.weighted, num_bootstrap, seed),
        "num_jets": len(label),
        "num_signal": numbers["num_signal"],
        "num_background": numbers["num_background"],
        "classes": names,
    }


def evaluate_classes(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    background: int = 0,
    efficiencies: Sequence[float] = EFFICIENCIES,
    interval: str = "exact",
    num_bootstrap: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a tagger of any number of classes, each signal class against the background class.

    Parameters
    ----------
    labels : array (n_jets,)
        Index of the class of each jet.
    scores : array (n_jets, n_classes)
        Probabilities (after the softmax), not negative.
    weights : array (n_jets,), optional
    classes : sequence of str, optional
        Names, in the order of the columns; by default class0, class1, ...
    background : int
        Index of the background class.
    efficiencies, interval, num_bootstrap, seed
        As in `evaluate_scores`.

    Returns
    -------
    dict
        For two classes the mapping of `evaluate_scores`. For more: `auc`, the mean over all ordered pairs of
        classes of the area between the two by the score of the first (one versus one, macro average);
        `accuracy` of the largest score, `accuracy_error`; `signals`, keyed by the name of each signal class
        with `auc`, `auc_error`, `rejection`, `num_signal`, `num_background` of the discriminant
        p_signal / (p_signal + p_background) among the jets of these two classes; `background` (its name),
        `interval`, `num_jets`, `classes`.

    Raises
    ------
    DataError
        As in `evaluate_scores`; also for labels that are no column, negative or NaN scores, and a class
        without jets.
    """
    method = check_method(interval)
    points = check_efficiencies(efficiencies)
    label, score, weight, names = _check_class_scores(labels, scores, weights, classes, background)
    if len(names) == 2:
        signal = 1 - background
        return evaluate_scores(
            label == signal,
            discriminant(score, signal, background),
            weight,
            efficiencies=efficiencies,
            interval=interval,
            num_bootstrap=num_bootstrap,
            seed=seed,
            threshold=0.5,
            classes=[names[background], names[signal]],
        )
    accuracy, accuracy_error = _accuracy(score.argmax(axis=1) == label, weight)
    signals: dict[str, Any] = {}
    weighted = False
    for signal in [index for index in range(len(names)) if index != background]:
        chosen = (label == signal) | (label == background)
        ranked = rank_scores(label[chosen] == signal, discriminant(score[chosen], signal, background), weight[chosen])
        weighted |= ranked.weighted
        signals[names[signal]] = _ranked_metrics(ranked, points, method, num_bootstrap, seed)
    return {
        "auc": _one_versus_one(label, score, weight),
        "accuracy": accuracy,
        "accuracy_error": accuracy_error,
        "signals": signals,
        "background": names[background],
        "interval": describe_method(method, weighted, num_bootstrap, seed),
        "num_jets": len(label),
        "classes": names,
    }


def discriminant(scores: FloatArray, signal: int, background: int) -> FloatArray:
    """Return p_signal / (p_signal + p_background) of probabilities (n_jets, n_classes), one half for 0/0."""
    total = scores[:, signal] + scores[:, background]
    return np.where(total > 0, scores[:, signal] / np.where(total > 0, total, 1.0), 0.5)


def _accuracy(correct: npt.NDArray[np.bool_], weight: FloatArray) -> tuple[float, float]:
    """Weighted fraction of correct jets, and its standard error."""
    total = weight.sum()
    accuracy = float(weight @ correct / total)
    return accuracy, float(np.sqrt(np.sum((weight * (correct - accuracy)) ** 2)) / total)


def _ranked_metrics(
    ranked: RankedScores, points: FloatArray, method: IntervalMethod, num_bootstrap: int, seed: int
) -> dict[str, Any]:
    """Return what is told of every pair of a signal and a background."""
    auc = area(ranked)
    limits = rejections(ranked, points, interval=method, num_bootstrap=num_bootstrap, seed=seed)
    return {
        "auc": auc.value,
        "auc_error": None if math.isnan(auc.error) else auc.error,
        "rejection": {
            f"{point:g}": Interval(float(value), float(low), float(high)).as_json()
            for point, value, low, high in zip(points, *limits, strict=True)
        },
        "num_signal": ranked.num_signal,
        "num_background": ranked.num_background,
    }


def _one_versus_one(label: IntArray, score: FloatArray, weight: FloatArray) -> float:
    areas = []
    for first, second in itertools.permutations(range(score.shape[1]), 2):
        chosen = (label == first) | (label == second)
        areas.append(area(rank_scores(label[chosen] == first, score[chosen, first], weight[chosen])).value)
    return float(np.mean(areas))


def _check_classes(classes: Sequence[str], number: int) -> list[str]:
    names = [str(name) for name in classes]
    if len(names) != number or len(set(names)) != number:
        raise DataError(f"classes: {names} where {number} different names are expected")
    return names


def _check_class_scores(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None,
    classes: Sequence[str] | None,
    background: int,
) -> tuple[IntArray, FloatArray, FloatArray, list[str]]:
    score = as_floats("scores", scores)
    if score.ndim != 2 or score.shape[1] < 2:
        raise DataError(f"scores: shape {score.shape} where (n_jets, n_classes) is expected")
    num_jets, number = score.shape
    names = _check_classes(classes or [f"class{index}" for index in range(number)], number)
    if not 0 <= background < number:
        raise DataError(f"background: there is no class {background} among {number}")
    label = as_floats("labels", labels)
    if label.shape != (num_jets,):
        raise DataError(f"labels: shape {label.shape} does not go with {num_jets} rows of scores")
    bad = ~np.isin(label, np.arange(number))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f"labels: {label[row]:g} in row {row} is not the index of one of {number} classes")
    refuse_nan("scores", score)
    negative = (score < 0).any(axis=1)
    if negative.any():
        row = int(np.argmax(negative))
        raise DataError(f"scores: negative in row {row}; give probabilities (the softmax), not logits")
    missing = [name for index, name in enumerate(names) if not (label == index).any()]
    if missing:
        raise DataError(f"labels: no jets of class {', '.join(missing)}; every class is needed")
    return label.astype(np.int64), score, check_weights(weights, num_jets), names
