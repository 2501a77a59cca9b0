"""How much better some taggers reject background than others, measured on the same jets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jetforge.evaluation.intervals import COVERAGE, Interval
from jetforge.evaluation.roc import background_rejection, check_efficiencies
from jetforge.evaluation.scores import FloatArray, IntArray, check_scores


def rejection_gain(
    labels: npt.ArrayLike,
    before: Sequence[npt.ArrayLike],
    after: Sequence[npt.ArrayLike],
    efficiency: float,
    weights: npt.ArrayLike | None = None,
    *,
    num_bootstrap: int = 300,
    seed: int = 0,
) -> Interval:
    """Return the ratio of two mean background rejections, with the interval that the number of jets gives it.

    All scores are of the same jets: a replica of the bootstrap draws the jets once for all of them, so that what they
    have in common cancels. The spread between trainings is not part of the interval.

    Parameters
    ----------
    labels : array (n_jets,)
        1 for signal, 0 for background.
    before, after : sequences of array (n_jets,)
        Scores, of one or more trainings each; larger for jets more alike the signal.
    efficiency : float
        Of the signal, at which rejections are compared.
    weights : array (n_jets,), optional
        Weight of each jet.
    num_bootstrap : int
        Replicas, drawn by Poisson weights of mean 1.
    seed : int
        Of the replicas.

    Returns
    -------
    Interval
        Of 68.27 %. A rejection that leaves no background is infinite; the ratio of two infinite ones is NaN, and so are
        the limits where replicas have such a ratio.

    Raises
    ------
    DataError
        If the arrays do not fit together.
    """
    label, _, weight = check_scores(labels, before[0], weights)
    point = check_efficiencies([efficiency])
    given = [check_scores(labels, scores)[1] for scores in (*before, *after)]
    measured = [background_rejection(label, score, efficiency, weight).value for score in given]
    tops = [_Top(label, score, float(point[0])) for score in given]
    rng = np.random.default_rng(seed)
    replicas = np.empty(num_bootstrap)
    for replica in range(num_bootstrap):
        drawn = rng.poisson(1.0, len(label)) * weight
        sums = np.array([drawn[label == 0].sum(), drawn[label == 1].sum()])
        replicas[replica] = _ratio([top.rejection(drawn, sums, float(point[0])) for top in tops], len(before))
    tail = (1 - COVERAGE) / 2
    known = not np.isnan(replicas).any()
    low, high = np.quantile(replicas, [tail, 1 - tail]) if known else (math.nan, math.nan)
    return Interval(_ratio(measured, len(before)), float(low), float(high))


class _Top:
    """The jets of the highest scores, more than enough of them to reach an efficiency in any replica."""

    def __init__(self, labels: IntArray, scores: FloatArray, efficiency: float) -> None:
        order = np.argsort(scores, kind="stable")[::-1]
        signal = np.cumsum(labels[order])
        # A replica's efficiency strays from that of all jets by a few of its standard deviations.
        stray = 10 / math.sqrt(signal[-1])
        self.order = order[: int(np.searchsorted(signal, (efficiency + stray) * signal[-1])) + 1]
        self.is_signal = labels[self.order] == 1

    def rejection(self, drawn: FloatArray, sums: FloatArray, efficiency: float) -> float:
        """Return the rejection with drawn weights, whose sums over background and signal are given."""
        weights = drawn[self.order]
        signal = np.cumsum(np.where(self.is_signal, weights, 0.0))
        passed = int(np.searchsorted(np.maximum.accumulate(signal), efficiency * sums[1])) + 1
        background = float(weights[:passed][~self.is_signal[:passed]].sum())
        return float(sums[0]) / background if background > 0 else math.inf


def _ratio(values: Sequence[float], num_before: int) -> float:
    before, after = float(np.mean(values[:num_before])), float(np.mean(values[num_before:]))
    return math.nan if math.isinf(before) and math.isinf(after) else after / before
