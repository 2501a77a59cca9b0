"""Fitting boosted trees: the tagger gives what scikit-learn gives."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from jetforge.errors import DataError
from jetforge.learning.boosting import LabelledRows, fit_boosted_trees, write_trees
from jetforge.representations import ObservablesBatch, ObservablesRepresentation
from jetforge.taggers import create_tagger, load_tagger, save_tagger

NAMES = ("pt", "mass", "tau1", "multiplicity")


def rows(n, num_classes, seed=0, integers=False):
    """Return rows of which the class is hard to tell, with weights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, n)
    values = rng.normal(size=(n, len(NAMES))).astype(np.float32)
    values[:, 0] += labels
    values[:, 1] *= 1 + labels
    if integers:
        values = np.round(3 * values)
    return LabelledRows(values, labels, rng.exponential(size=n))


def tagger_for(num_classes, **settings):
    settings = {"max_iter": 12, "min_samples_leaf": 5, **settings}
    representation = ObservablesRepresentation(NAMES, mean=[0.0] * len(NAMES), std=[1.0] * len(NAMES))
    return create_tagger("boosted_trees", num_classes, representation, **settings)


def model_for(tagger):
    settings = ("max_iter", "learning_rate", "max_leaf_nodes", "max_depth", "min_samples_leaf", "l2_regularization")
    given = {name: getattr(tagger, name) for name in settings}
    return HistGradientBoostingClassifier(**given, early_stopping=False, random_state=0)


def probabilities(tagger, values):
    return torch.softmax(tagger(ObservablesBatch(torch.from_numpy(values))).double(), 1).numpy()


@pytest.mark.parametrize(
    ("num_classes", "integers", "settings"),
    [
        (2, False, {}),
        (4, False, {}),
        (2, True, {"max_depth": 2}),
        (3, True, {"max_leaf_nodes": 4, "l2_regularization": 1.0}),
    ],
)
def test_the_tagger_gives_the_probabilities_of_scikit_learn(num_classes, integers, settings):
    train, tagger = rows(400, num_classes, integers=integers), tagger_for(num_classes, **settings)
    fit_boosted_trees(tagger, train)
    model = model_for(tagger).fit(train.values, train.labels, sample_weight=train.weights)
    for given in (train, rows(500, num_classes, seed=1)):
        expected = model.predict_proba(given.values)
        np.testing.assert_allclose(probabilities(tagger, given.values), expected, rtol=0, atol=1e-6)


def test_values_on_a_threshold_go_the_same_way():
    train, tagger = rows(400, 2), tagger_for(2, max_iter=20)
    model = model_for(tagger).fit(train.values, train.labels, sample_weight=train.weights)
    write_trees(tagger, model, 20)
    nodes = np.concatenate([predictor.nodes for (predictor,) in model._predictors])
    nodes = nodes[nodes["is_leaf"] == 0]
    near = nodes["num_threshold"].astype(np.float32)
    values = np.resize(train.values, (len(nodes), len(NAMES)))
    for towards in (-np.inf, 0.0, np.inf):
        at = values.copy()
        chosen = near if towards == 0.0 else np.nextafter(near, np.float32(towards))
        at[np.arange(len(nodes)), nodes["feature_idx"]] = chosen
        np.testing.assert_allclose(probabilities(tagger, at), model.predict_proba(at), rtol=0, atol=1e-6)


def test_the_trees_after_the_best_iteration_are_left_out():
    train, val = rows(80, 2), rows(300, 2, seed=3)
    tagger = tagger_for(2, max_iter=30, learning_rate=0.5)
    history = fit_boosted_trees(tagger, train, val)
    assert history.kept == 1 + int(np.argmin(history.val_loss)) < 30
    assert len(history.train_loss) == len(history.val_loss) == 30
    assert (tagger.trees.value[history.kept :] == 0).all()
    scores = probabilities(tagger, val.values)[np.arange(300), val.labels]
    assert np.average(-np.log(scores), weights=val.weights) == pytest.approx(min(history.val_loss), abs=1e-5)


def test_without_validation_all_trees_are_kept():
    history = fit_boosted_trees(tagger_for(3), rows(200, 3))
    assert history.kept == len(history.train_loss) == 12
    assert history.val_loss == []
    assert history.train_loss[-1] < history.train_loss[0]


def test_weights_matter_and_a_fit_repeats():
    train = rows(300, 2)
    first, second, other = tagger_for(2), tagger_for(2), tagger_for(2)
    fit_boosted_trees(first, train)
    fit_boosted_trees(second, train)
    fit_boosted_trees(other, train._replace(weights=np.where(train.labels == 1, 5.0, 1.0)))
    assert all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())
    assert probabilities(other, train.values)[:, 1].mean() > probabilities(first, train.values)[:, 1].mean() + 0.1


def test_a_fitted_tagger_is_saved_and_loaded(tmp_path):
    train, tagger = rows(300, 3), tagger_for(3)
    fit_boosted_trees(tagger, train)
    again = load_tagger(save_tagger(tagger, tmp_path))
    assert np.array_equal(probabilities(again, train.values), probabilities(tagger, train.values))


def test_jets_that_cannot_be_learnt_from_are_refused():
    tagger, train = tagger_for(3), rows(60, 3)
    for broken, rule in (
        (train._replace(labels=train.labels % 2), "none of 2"),
        (train._replace(labels=train.labels + 1), "from 0 to 2"),
        (train._replace(labels=train.labels[:-1]), "labels of shape"),
        (train._replace(values=train.values[:, :2]), r"must be \(n, 4\)"),
        (train._replace(values=np.full_like(train.values, np.nan)), "not finite"),
        (train._replace(weights=-train.weights), "not negative"),
        (train._replace(weights=0 * train.weights), "not all 0"),
    ):
        with pytest.raises(DataError, match=rule):
            fit_boosted_trees(tagger, broken)
    with pytest.raises(DataError, match="validation"):
        fit_boosted_trees(tagger, train, train._replace(weights=train.weights[:3]))
