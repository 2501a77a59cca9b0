"""What is said of a source before a transfer: the formulas against direct evaluation, and order where it is known."""

import numpy as np
import pytest
import torch
from helpers.datasets import write_dataset
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.learning.fit import fit
from jetforge.learning.recipe import make_recipe
from jetforge.learning.transferability import activations, h_score, linear_cka, log_me, transferability
from jetforge.taggers import create_tagger, load_tagger


@pytest.fixture
def random():
    return np.random.default_rng(3)


def separated(random, distance, num=400, width=6):
    labels = random.integers(0, 2, num)
    return random.normal(size=(num, width)) + distance * labels[:, None] * (np.arange(width) == 0), labels


def test_cka_sees_no_rotation_and_no_scale(random):
    features = random.normal(size=(50, 4))
    rotation, _ = np.linalg.qr(random.normal(size=(4, 4)))
    assert linear_cka(features, 3 * features @ rotation + 7) == pytest.approx(1)
    other = random.normal(size=(50, 9))
    assert linear_cka(features, other) == pytest.approx(linear_cka(other, features))
    # By the kernels of all pairs of jets (arXiv:1905.00414, equations 1 to 4).
    centre = np.eye(50) - 1 / 50
    kernels = [centre @ (f @ f.T) @ centre for f in (features, other)]
    direct = np.sum(kernels[0] * kernels[1]) / np.linalg.norm(kernels[0]) / np.linalg.norm(kernels[1])
    assert linear_cka(features, other) == pytest.approx(direct)
    assert linear_cka(np.ones((50, 2)), features) == 0


@pytest.mark.parametrize("width", [3, 80])
def test_log_me_is_the_largest_evidence(random, width):
    features, labels = separated(random, 1.0, num=60, width=width)

    def negative(logs, target):
        prior, noise = np.exp(logs)
        covariance = np.eye(60) / noise + features @ features.T / prior
        return -multivariate_normal(np.zeros(60), covariance).logpdf(target) / 60

    best = [-minimize(negative, [0, 0], args=((labels == c).astype(float),)).fun for c in (0, 1)]
    assert log_me(features, labels) == pytest.approx(np.mean(best), abs=2e-3)


@pytest.mark.parametrize("score", [log_me, h_score])
def test_scores_grow_with_the_distance_of_the_classes(random, score):
    values = [score(*separated(random, distance)) for distance in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values)


def test_h_score_is_the_share_of_the_spread_between_the_classes(random):
    features, labels = separated(random, 2.0, num=40_000)
    share = labels.mean() * (1 - labels.mean()) * 4
    assert h_score(features, labels) == pytest.approx(share / (1 + share), rel=0.03)


def test_a_tagger_that_sees_the_classes_suits_better(tmp_path):
    def brighter(jets):
        """Give the jets of the second class hard constituents."""
        scale = np.repeat(1 + 4 * jets.label, np.diff(jets.offsets))
        columns = {name: c * scale if name in ("px", "py", "pz", "energy") else c for name, c in jets.columns.items()}
        return Jets(jets.offsets, columns, jets.fields)

    dataset = write_dataset(tmp_path / "easy", {"train": [200], "val": [200]}, change=brighter)
    plain = write_dataset(tmp_path / "hopeless", {"train": [200], "val": [200]})
    torch.manual_seed(1)
    tagger = create_tagger("lundnet5", channels=[8, 8], fusion=12, hidden=8)
    tagger.representation.fit([dataset.read("train")])
    easy, hopeless = (transferability(tagger, data, 150) for data in (dataset, plain))
    assert easy.probe_auc > hopeless.probe_auc + 0.2
    assert easy.log_me > hopeless.log_me
    assert easy.h_score > hopeless.h_score
    assert set(easy.alignment) == {"jets", "classifier"}
    assert easy.num_jets == 150
    assert tagger.training  # it is left as it was
    made = activations(tagger, dataset.read("val"))
    assert {name: rows.shape for name, rows in made.items()} == {"jets": (200, 16), "classifier": (200, 12)}


def test_trees_may_be_judged_too(tmp_path):
    dataset = write_dataset(tmp_path / "data", {"train": [60], "val": [60]})
    fit(make_recipe({"data": str(tmp_path / "data"), "out": str(tmp_path / "run"), "tagger": "boosted_trees"}))
    assert 0 <= transferability(load_tagger(tmp_path / "run"), dataset, 50).probe_auc <= 1


def test_jets_of_one_class_say_nothing(tmp_path):
    def of_one(jets):
        return Jets(jets.offsets, jets.columns, {**jets.fields, "label": np.zeros(len(jets), dtype=np.int64)})

    dataset = write_dataset(tmp_path / "one", {"train": [20], "val": [20]}, change=of_one)
    tagger = create_tagger("hldnn")
    with pytest.raises(DataError, match="the first 20 jets of the split 'train' are all of one class"):
        transferability(tagger, dataset, 20)
