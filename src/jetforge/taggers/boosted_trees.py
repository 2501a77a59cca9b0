"""Gradient-boosted decision trees on high-level observables, as tensors."""

from typing import ClassVar, TypedDict, Unpack

import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import ObservablesBatch, ObservablesRepresentation
from jetforge.taggers._arguments import check_numbers, check_whole
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger


class Trees(nn.Module):
    """Decision trees with the same room for nodes each.

    A jet starts at node 0 of each tree; from a node it goes to that node's child if its feature is at most the
    threshold, else to the node after the child. A leaf is its own child, and no number is above its threshold.

    Parameters
    ----------
    num_trees, num_nodes : int
        Number of trees, and of nodes that a tree has room for.
    depth : int
        Number of steps after which every jet is at a leaf.

    Attributes
    ----------
    feature, child : Tensor, int64, shape (num_trees, num_nodes)
        Number of the feature of each node, and the first of the two nodes that follow it.
    threshold, value : Tensor, float32, shape (num_trees, num_nodes)
        Threshold of each node, and what a leaf adds to the score.
    """

    feature: torch.Tensor
    child: torch.Tensor
    threshold: torch.Tensor
    value: torch.Tensor

    def __init__(self, num_trees: int, num_nodes: int, depth: int) -> None:
        super().__init__()
        self.num_nodes, self.depth = num_nodes, depth
        shape = (num_trees, num_nodes)
        self.register_buffer("feature", torch.zeros(shape, dtype=torch.int64))
        self.register_buffer("child", torch.arange(num_nodes).repeat(num_trees, 1))
        self.register_buffer("threshold", torch.full(shape, torch.finfo(torch.float32).max))
        self.register_buffer("value", torch.zeros(shape))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what each tree gives, shape (n, num_trees), for rows of finite numbers, shape (n, n_features)."""
        shape = (len(rows), len(self.feature))
        roots = self.num_nodes * torch.arange(shape[1], device=rows.device)
        child, feature = (self.child + roots.unsqueeze(1)).flatten(), self.feature.flatten()
        threshold = self.threshold.flatten()
        nodes = roots.repeat(shape[0])
        for _ in range(self.depth):
            # Choosing rows of flat tensors is several times as fast as indexing by two dimensions.
            given = rows.gather(1, feature.index_select(0, nodes).view(shape)).flatten()
            nodes = child.index_select(0, nodes) + (given > threshold.index_select(0, nodes))
        return self.value.flatten().index_select(0, nodes).view(shape)


class Logits(nn.Module):
    """From raw scores to logits: with two classes there is one score, the logit of the second."""

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (n, n_classes), of scores, shape (n, n_classes), or (n, 1) of two classes."""
        return torch.cat([torch.zeros_like(scores), scores], dim=1) if scores.shape[1] == 1 else scores


class BoostedTreesSettings(TypedDict, total=False):
    """What the trees let one change; defaults are scikit-learn's, but for max_iter and max_depth."""

    max_iter: int
    learning_rate: float
    max_leaf_nodes: int
    max_depth: int
    min_samples_leaf: int
    l2_regularization: float


class BoostedTrees(Tagger):
    """The sum of many small decision trees, each fitted to what the ones before it leave.

    The trees are those of scikit-learn's HistGradientBoostingClassifier; `jetforge.learning.boosting.fit_boosted_trees`
    fits them. Before, all scores are the same.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : ObservablesRepresentation, optional
        By default the 15 observables of ATLAS's hlDNN.
    max_iter : int
        Number of iterations; each makes one tree of two classes, else one tree a class.
    learning_rate : float
        How much of each tree is added.
    max_leaf_nodes : int
        Largest number of leaves of a tree.
    max_depth : int
        Largest number of decisions from the root to a leaf.
    min_samples_leaf : int
        Least number of training jets of a leaf.
    l2_regularization : float
        Strength of the penalty on what the leaves give.

    Attributes
    ----------
    trained_by_gradient : bool
        False: its tensors are no parameters, a fit writes them.
    trees : Trees
        Iteration by iteration; those after the last that was fitted give 0.
    baseline : Tensor, float32, shape (n_scores,)
        Score without trees, one a class, of two classes one.

    Raises
    ------
    TaggerError
        If a value makes no sense.
    """

    reads = ObservablesRepresentation
    trained_by_gradient: ClassVar[bool] = False
    baseline: torch.Tensor

    def __init__(
        self,
        num_classes: int = 2,
        representation: ObservablesRepresentation | None = None,
        *,
        max_iter: int = 300,
        learning_rate: float = 0.1,
        max_leaf_nodes: int = 31,
        max_depth: int = 8,
        min_samples_leaf: int = 20,
        l2_regularization: float = 0.0,
    ) -> None:
        check_whole(max_iter=max_iter, max_depth=max_depth, min_samples_leaf=min_samples_leaf)
        check_whole(2, max_leaf_nodes=max_leaf_nodes)
        check_numbers(learning_rate=learning_rate, l2_regularization=l2_regularization)
        if not learning_rate:
            raise TaggerError(f"learning_rate {learning_rate!r} must be above 0")
        super().__init__(num_classes, representation or ObservablesRepresentation())
        self.max_iter, self.learning_rate = max_iter, float(learning_rate)
        self.max_leaf_nodes, self.max_depth = max_leaf_nodes, max_depth
        self.min_samples_leaf, self.l2_regularization = min_samples_leaf, float(l2_regularization)
        self.num_scores = 1 if num_classes == 2 else num_classes
        self.trees = Trees(max_iter * self.num_scores, 2 * max_leaf_nodes - 1, depth=min(max_depth, max_leaf_nodes - 1))
        self.register_buffer("baseline", torch.zeros(self.num_scores))
        self.logits = Logits()

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the trees and what makes logits of their sums; neither has parameters."""
        return {"trees": (self.trees,), "classifier": (self.logits,)}

    def embed(self, batch: ObservablesBatch) -> torch.Tensor:
        """Return the raw scores, shape (n_jets, n_scores)."""
        given: torch.Tensor = self.trees(batch.values)
        return given.view(-1, self.max_iter, self.num_scores).sum(1) + self.baseline

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits, shape (n_jets, num_classes), of raw scores."""
        logits: torch.Tensor = self.logits(jets)
        return logits


@register_tagger
def boosted_trees(
    num_classes: int = 2,
    representation: ObservablesRepresentation | None = None,
    **settings: Unpack[BoostedTreesSettings],
) -> BoostedTrees:
    """Gradient-boosted decision trees on high-level observables (histograms as in LightGBM, NeurIPS 2017)."""
    return BoostedTrees(num_classes, representation, **settings)
