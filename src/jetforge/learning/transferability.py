"""Whether what a tagger learnt suits another task, said before anything is trained.

The tagger represents a few thousand jets of the new task as it is; how well simple statistics tell their classes apart
in what it makes of them says how well a transfer can do. Four numbers, each larger for a better source:

``probe_auc``: area under the ROC curve of a linear classifier on what the tagger embeds (arXiv:1610.01644).
``log_me``: logarithm of the maximum evidence, a jet, of a linear model from what it embeds to the classes
(arXiv:2102.11005).
``h_score``: how much of the spread of what it embeds lies between the classes, with a shrunk covariance
(arXiv:2110.06893).
``alignment``: linear CKA (arXiv:1905.00414) between what each boundary of the tagger reads and the classes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from jetforge.errors import DataError
from jetforge.jets.dataset import Dataset
from jetforge.jets.jets import Jets
from jetforge.representations import RowsBatch
from jetforge.taggers import Tagger
from jetforge.taggers.base import evaluating

Floats = npt.NDArray[np.float64]

_BATCH_JETS = 1000
_MOST_STEPS = 200


@dataclass(frozen=True)
class Transferability:
    """How well a tagger suits a task; larger numbers are better.

    Attributes
    ----------
    probe_auc, log_me, h_score
        See `jetforge.learning.transferability`.
    alignment
        By boundary.
    num_jets
        Training jets of the task that were looked at.
    """

    probe_auc: float
    log_me: float
    h_score: float
    alignment: dict[str, float]
    num_jets: int


def transferability(tagger: Tagger, dataset: Dataset, num_jets: int = 2000) -> Transferability:
    """Say how well a tagger, as it is, suits a dataset's task.

    Parameters
    ----------
    tagger
        The source.
    dataset
        The jets of the new task, of two classes or more; the first of its training and validation splits are read.
    num_jets
        How many of each split, at most.

    Raises
    ------
    DataError
        If ``num_jets`` is not positive, these jets are all of one class, or the tagger cannot represent them.
    """
    if num_jets < 1:
        raise DataError(f"num_jets: {num_jets} jets tell nothing; give 1 or more")
    columns = dataset.present(tagger.representation.columns)
    train, val = (dataset.read(split, columns=columns, max_jets=num_jets) for split in ("train", "val"))
    for split, jets in (("train", train), ("val", val)):
        if len(np.unique(jets.label)) < 2:
            raise DataError(f"{dataset.path}: the first {len(jets)} jets of the split '{split}' are all of one class")
    by_boundary = activations(tagger, train)
    embedded = by_boundary[tagger.boundaries()[-1]]
    return Transferability(
        probe_auc=_probe_auc(embedded, train.label, activations(tagger, val)[tagger.boundaries()[-1]], val.label),
        log_me=log_me(embedded, train.label),
        h_score=h_score(embedded, train.label),
        alignment={name: linear_cka(made, _one_hot(train.label)) for name, made in by_boundary.items()},
        num_jets=len(train),
    )


@torch.no_grad()
def activations(tagger: Tagger, jets: Jets) -> dict[str, Floats]:
    """Return what each boundary of a tagger reads of jets, shape (n_jets, width); means where it reads several rows."""
    device = next(itertools.chain(tagger.parameters(), tagger.buffers())).device
    parts: dict[str, list[Floats]] = {name: [] for name in tagger.boundaries()}
    with evaluating(tagger):
        for start in range(0, len(jets), _BATCH_JETS):
            batch = tagger.representation(jets[start : start + _BATCH_JETS]).to(device)
            for name in parts:
                made: Any = tagger.before(name, batch)
                rows = made.means(made.features) if isinstance(made, RowsBatch) else made.values
                parts[name].append(rows.double().cpu().numpy())
    return {name: np.concatenate(rows) for name, rows in parts.items()}


def linear_cka(one: Floats, other: Floats) -> float:
    """Return the linear centred kernel alignment of two representations of the same jets (arXiv:1905.00414, eq. 5).

    Parameters
    ----------
    one, other
        Shapes (n_jets, width), of any two widths.

    Returns
    -------
    float
        From 0 to 1: 1 where one is the other turned and scaled.
    """
    one, other = one - one.mean(0), other - other.mean(0)
    scale = np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other)
    return float(np.linalg.norm(other.T @ one) ** 2 / scale) if scale > 0 else 0.0


def h_score(features: Floats, labels: npt.NDArray[np.int64]) -> float:
    """Return the H-score with a shrunk covariance (arXiv:2110.06893): from 0 to the number of classes less one.

    Parameters
    ----------
    features
        Shape (n_jets, width).
    labels
        Classes, shape (n_jets,).
    """
    centred = features - features.mean(0)
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    means = np.zeros_like(centred)
    for label in np.unique(labels):
        means[labels == label] = centred[labels == label].mean(0)
    between = means.T @ means / len(means)
    return float((1 - shrinkage) * np.trace(np.linalg.pinv(covariance, hermitian=True) @ between))


def log_me(features: Floats, labels: npt.NDArray[np.int64]) -> float:
    """Return LogME (arXiv:2102.11005, algorithm 2): the mean over the classes of the log evidence a jet.

    Parameters
    ----------
    features
        Shape (n_jets, width).
    labels
        Classes, shape (n_jets,).
    """
    num_jets, width = features.shape
    left, spread, _ = np.linalg.svd(features, full_matrices=False)
    squares = spread**2
    evidence = []
    for target in _one_hot(labels).T:
        along = left.T @ target
        outside = float(target @ target - along @ along)
        prior, noise = 1.0, 1.0
        for _ in range(_MOST_STEPS):
            # The mean of the weights, in the basis of the singular vectors, and how many of them the jets determine.
            shrunk = noise * squares / (prior + noise * squares)
            weights = np.where(spread > 0, shrunk * along / np.maximum(spread, 1e-300), 0.0)
            determined = shrunk.sum()
            size, residue = float(weights @ weights), float(((1 - shrunk) * along) @ ((1 - shrunk) * along)) + outside
            before = prior / noise
            prior, noise = determined / max(size, 1e-12), (num_jets - determined) / max(residue, 1e-12)
            if abs(prior / noise - before) < 1e-3 * before:
                break
        log_det = np.log(prior + noise * squares).sum() + (width - len(squares)) * np.log(prior)
        total = (
            width * np.log(prior) + num_jets * np.log(noise / (2 * np.pi)) - noise * residue - prior * size - log_det
        )
        evidence.append(total / (2 * num_jets))
    return float(np.mean(evidence))


def _probe_auc(train: Floats, labels: npt.NDArray[np.int64], val: Floats, val_labels: npt.NDArray[np.int64]) -> float:
    scaler = StandardScaler().fit(train)
    probe = LogisticRegression(C=0.1, max_iter=2000).fit(scaler.transform(train), labels)
    scores = probe.predict_proba(scaler.transform(val))
    if scores.shape[1] == 2:
        return float(roc_auc_score(val_labels, scores[:, 1]))
    return float(roc_auc_score(val_labels, scores, multi_class="ovo", labels=probe.classes_))


def _one_hot(labels: npt.NDArray[np.int64]) -> Floats:
    columns: Floats = (labels[:, None] == np.unique(labels)).astype(np.float64)
    return columns
