"""Fitting boosted decision trees: with scikit-learn, into the tensors of a tagger."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from jetforge.errors import DataError
from jetforge.taggers.boosted_trees import BoostedTrees, Trees

_Floats = NDArray[np.float64]


class LabelledRows(NamedTuple):
    """Represented jets: values (n_jets, n_observables), labels (n_jets,), weights (n_jets,)."""

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: _Floats


class BoostingHistory(NamedTuple):
    """What a fit saw after each iteration: the weighted mean cross entropy; `val_loss` is empty without such jets.

    `kept` is the number of iterations whose trees the tagger got.
    """

    train_loss: list[float]
    val_loss: list[float]
    kept: int


def fit_boosted_trees(
    tagger: BoostedTrees, train: LabelledRows, val: LabelledRows | None = None, *, seed: int = 0
) -> BoostingHistory:
    """Fit decision trees to training jets and write them into a tagger.

    Parameters
    ----------
    tagger : BoostedTrees
        Gets the trees; its settings say how they are grown.
    train : LabelledRows
        Training jets, represented by the tagger's representation; there must be jets of every class.
    val : LabelledRows, optional
        Jets to stop by: the trees after the iteration with the smallest cross entropy on them are left out.
    seed : int
        For the jets that the bins of the observables are taken from, where there are more than 200,000.

    Returns
    -------
    BoostingHistory

    Raises
    ------
    DataError
        If there are no jets, a class is missing, the lengths do not fit, a value is not finite, or a weight is negative
        or all of them are 0.
    """
    train = _checked("training", tagger, train)
    missing = [tagger.classes[k] for k in range(len(tagger.classes)) if not (train.labels == k).any()]
    if missing:
        raise DataError(f"boosted trees need training jets of every class; there are none of {missing[0]}")
    model = HistGradientBoostingClassifier(
        learning_rate=tagger.learning_rate,
        max_iter=tagger.max_iter,
        max_leaf_nodes=tagger.max_leaf_nodes,
        max_depth=tagger.max_depth,
        min_samples_leaf=tagger.min_samples_leaf,
        l2_regularization=tagger.l2_regularization,
        early_stopping=False,
        random_state=seed,
    )
    model.fit(train.values, train.labels, sample_weight=train.weights)
    train_loss = _losses(model, train)
    val_loss = [] if val is None else _losses(model, _checked("validation", tagger, val))
    kept = int(np.argmin(val_loss)) + 1 if val_loss else len(train_loss)
    write_trees(tagger, model, kept)
    return BoostingHistory(train_loss, val_loss, kept)


def _checked(what: str, tagger: BoostedTrees, rows: LabelledRows) -> LabelledRows:
    values = np.ascontiguousarray(rows.values, dtype=np.float32)
    labels, weights = np.asarray(rows.labels), np.asarray(rows.weights, dtype=np.float64)
    width = tagger.representation.num_features
    if values.ndim != 2 or values.shape[1] != width or not labels.shape == weights.shape == (len(values),):
        raise DataError(
            f"the {what} jets have values of shape {values.shape}, labels of shape {labels.shape} and weights of shape "
            f"{weights.shape}; they must be (n, {width}), (n,) and (n,)"
        )
    if not np.isfinite(values).all():
        raise DataError(f"the {what} jets have values that are not finite")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise DataError(f"the weights of the {what} jets must be finite, not negative, and not all 0")
    if not ((labels >= 0) & (labels < len(tagger.classes))).all():
        raise DataError(f"the labels of the {what} jets must be from 0 to {len(tagger.classes) - 1}")
    return LabelledRows(values, labels.astype(np.int64), weights)


def _losses(model: HistGradientBoostingClassifier, rows: LabelledRows) -> list[float]:
    """Return the weighted mean cross entropy after each iteration."""
    staged: Iterable[_Floats] = model.staged_predict_proba(rows.values)
    jets = np.arange(len(rows.labels))
    smallest = np.finfo(np.float64).tiny
    return [
        float(np.average(-np.log(np.maximum(scores[jets, rows.labels], smallest)), weights=rows.weights))
        for scores in staged
    ]


@torch.no_grad()
def write_trees(tagger: BoostedTrees, model: HistGradientBoostingClassifier, iterations: int) -> None:
    """Write the trees of the first iterations of a fitted model into a tagger with room for them.

    Parameters
    ----------
    tagger : BoostedTrees
        Made with the model's settings.
    model : HistGradientBoostingClassifier
        Fitted to numbers without missing values.
    iterations : int
        How many of its iterations are taken.
    """
    trees = tagger.trees
    empty = Trees(len(trees.feature), trees.num_nodes, trees.depth)
    arrays = {name: buffer.numpy() for name, buffer in empty.named_buffers()}
    predictors = [predictor for iteration in model._predictors[:iterations] for predictor in iteration]
    for tree, predictor in enumerate(predictors):
        _write_tree(predictor.nodes, {name: array[tree] for name, array in arrays.items()})
    trees.load_state_dict(empty.state_dict())
    tagger.baseline.copy_(torch.from_numpy(np.asarray(model._baseline_prediction).reshape(-1)))


def _write_tree(nodes: NDArray[Any], tree: dict[str, NDArray[Any]]) -> None:
    """Write scikit-learn's nodes of one tree, in another order: the two that follow a node side by side."""
    thresholds = _rounded_down(nodes["num_threshold"])
    order = [0]
    for place, number in enumerate(order):  # which grows while it is read
        node = nodes[number]
        if node["is_leaf"]:
            tree["value"][place] = node["value"]
            continue
        tree["feature"][place], tree["threshold"][place] = node["feature_idx"], thresholds[number]
        tree["child"][place] = len(order)
        order += [int(node["left"]), int(node["right"])]


def _rounded_down(thresholds: _Floats) -> NDArray[np.float32]:
    """Return the largest float32 that is not above each threshold.

    A float32 is at most the threshold if and only if it is at most that number.
    """
    near = thresholds.astype(np.float32)
    below = np.nextafter(near, np.float32(-np.inf))
    return np.where(near > thresholds, below, near)
