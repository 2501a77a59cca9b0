"""How much better some taggers reject background than others, measured on the same jets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

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
    check_efficiencies([efficiency])
    label, _, weight = check_scores(labels, before[0], weights)
    given = [check_scores(labels, scores)[1] for scores in (*before, *after)]
    measured = [background_rejection(label, score, efficiency, weight).value for score in given]
    replicas = Replicas(label, weight, num=num_bootstrap, seed=seed)
    drawn = [replicas.rejections(score, [efficiency])[0] for score in given]
    low, high = ratio_limits(drawn[: len(before)], drawn[len(before) :])
    with np.errstate(invalid="ignore"):
        ratio = np.mean(measured[len(before) :]) / np.mean(measured[: len(before)])
    return Interval(float(ratio), low, high)


class Replicas:
    """Replicas of jets, each by Poisson weights of mean 1, in which the rejections of many taggers are measured.

    Parameters
    ----------
    labels : array (n_jets,)
        1 for signal, 0 for background.
    weights : array (n_jets,), optional
        Weight of each jet.
    num : int
        How many; each takes a byte a jet.
    seed : int
        Of the draws.
    """

    def __init__(
        self, labels: npt.ArrayLike, weights: npt.ArrayLike | None = None, *, num: int = 300, seed: int = 0
    ) -> None:
        self._is_signal = np.asarray(labels) == 1
        self._weights = np.ones(len(self._is_signal)) if weights is None else np.asarray(weights, dtype=float)
        rng = np.random.default_rng(seed)
        self._drawn = np.stack([rng.poisson(1.0, len(self._is_signal)).astype(np.uint8) for _ in range(num)])

    def rejections(self, scores: npt.ArrayLike, efficiencies: Sequence[float]) -> FloatArray:
        """Return the background rejections of a tagger, infinite where no background is left.

        Parameters
        ----------
        scores : array (n_jets,)
            Larger for jets more alike the signal.
        efficiencies : sequence of float
            Of the signal.

        Returns
        -------
        array (n_efficiencies, n_replicas)
        """
        order = np.argsort(np.asarray(scores, dtype=float), kind="stable")[::-1]
        ascending = np.argsort(efficiencies)
        found = np.empty((len(efficiencies), len(self._drawn)))
        wanted = np.asarray(efficiencies, dtype=float)[ascending]
        found[ascending] = _rejections(order, self._is_signal, self._weights, self._drawn, wanted)
        return found


def ratio_limits(before: Sequence[FloatArray], after: Sequence[FloatArray]) -> tuple[float, float]:
    """Return the interval of 68.27 % of the ratio of two mean rejections, from those in the same replicas.

    NaN where a replica leaves no background to either.
    """
    with np.errstate(invalid="ignore"):
        ratios = np.mean(after, axis=0) / np.mean(before, axis=0)
    if np.isnan(ratios).any():
        return math.nan, math.nan
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail], method="nearest" if np.isinf(ratios).any() else "linear")
    return float(low), float(high)


@njit(cache=True, nogil=True)
def _rejections(
    order: IntArray, is_signal: npt.NDArray[np.bool_], weights: FloatArray, drawn: npt.NDArray[np.uint8],
    efficiencies: FloatArray,
) -> FloatArray:  # fmt: skip
    """Go down the jets in each replica until each of the ascending efficiencies is reached."""
    num_replicas = len(drawn)
    found = np.full((len(efficiencies), num_replicas), np.inf)
    for replica in range(num_replicas):
        of_signal, of_background = 0.0, 0.0
        for jet in range(len(is_signal)):
            if is_signal[jet]:
                of_signal += drawn[replica, jet] * weights[jet]
            else:
                of_background += drawn[replica, jet] * weights[jet]
        signal, background, level = 0.0, 0.0, 0
        for jet in order:
            if is_signal[jet]:
                signal += drawn[replica, jet] * weights[jet]
            else:
                background += drawn[replica, jet] * weights[jet]
            while level < len(efficiencies) and signal >= efficiencies[level] * of_signal:
                if background > 0:
                    found[level, replica] = of_background / background
                level += 1
            if level == len(efficiencies):
                break
    return found
