"""The ROC curve of a binary tagger: area, working points, and rejections with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.evaluation.intervals import (
    COVERAGE,
    Interval,
    bootstrap_efficiencies,
    check_method,
    clopper_pearson,
    describe_method,
    efficiency_limits,
)
from jetforge.evaluation.scores import FloatArray, RankedScores, background_above, rank_scores


class Auc(NamedTuple):
    """Area under the ROC curve and its standard error, NaN where a class has a single jet."""

    value: float
    error: float


class WorkingPoint(NamedTuple):
    """A cut on the score: jets above `threshold` pass, and `tied_fraction` of those exactly at it."""

    threshold: float
    tied_fraction: float

    def pass_fraction(self, scores: FloatArray) -> FloatArray:
        """Return 1 for scores (n_jets,) that pass, 0 for those that do not, the tied fraction in between."""
        return np.where(scores == self.threshold, self.tied_fraction, (scores > self.threshold).astype(float))


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Background rejection 1/eps_B as a function of the signal efficiency eps_S.

    Attributes
    ----------
    signal_efficiency : array (n_points,)
    rejection, low, high : array (n_points,)
        Infinite where no background jet survives (`high`, `rejection`); `low` is always finite.
    auc : Auc
        Of the whole curve, independent of the points.
    interval : str
        How `low` and `high` were made.
    """

    signal_efficiency: FloatArray
    rejection: FloatArray
    low: FloatArray
    high: FloatArray
    auc: Auc
    interval: str


def roc_curve(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    signal_efficiency: npt.ArrayLike | None = None,
    interval: str = "exact",
    num_bootstrap: int = 500,
    seed: int = 0,
) -> RocCurve:
    """Rejection with its 68.27 % band at many signal efficiencies, as it is drawn.

    Parameters
    ----------
    labels, scores, weights : array (n_jets,)
        As in `evaluate_scores`.
    signal_efficiency : array (n_points,), optional
        Each within (0, 1]; by default 397 equidistant ones from 0.01 to 1.
    interval, num_bootstrap, seed
        As in `evaluate_scores`.

    Raises
    ------
    DataError
        Labels, scores, weights or efficiencies break a rule.
    """
    method = check_method(interval)
    ranked = rank_scores(labels, scores, weights)
    points = np.linspace(0.01, 1.0, 397) if signal_efficiency is None else signal_efficiency
    efficiencies = check_efficiencies(points)
    value, low, high = rejections(ranked, efficiencies, interval=method, num_bootstrap=num_bootstrap, seed=seed)
    return RocCurve(
        signal_efficiency=efficiencies,
        rejection=value,
        low=low,
        high=high,
        auc=area(ranked),
        interval=describe_method(method, ranked.weighted, num_bootstrap, seed),
    )


def background_rejection(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    efficiency: float,
    weights: npt.ArrayLike | None = None,
    *,
    interval: str = "exact",
    num_bootstrap: int = 500,
    seed: int = 0,
) -> Interval:
    """Background rejection 1/eps_B at the signal efficiency `efficiency`, with its 68.27 % interval.

    Parameters and errors are those of `evaluate_scores`. Where no background jet survives, `value` and
    `high` are infinite, and `low` is the limit that the number of background jets sets.

    Examples
    --------
    >>> background_rejection([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.8, 0.7, 0.9], 1.0).value
    4.0
    """
    method = check_method(interval)
    points = check_efficiencies([efficiency])
    ranked = rank_scores(labels, scores, weights)
    value, low, high = rejections(ranked, points, interval=method, num_bootstrap=num_bootstrap, seed=seed)
    return Interval(float(value[0]), float(low[0]), float(high[0]))


def area(ranked: RankedScores) -> Auc:
    """Area under the ROC curve, equal scores counted one half, and its standard error.

    The area is the probability that a signal jet scores above a background jet. The error is that of
    E. R. DeLong et al., Biometrics 44 (1988) 837, which assumes no shape of the distributions; for weighted
    jets its sums carry the squared weights, and n - 1 uses the effective number (sum w)^2 / sum w^2. It is
    zero for perfectly separated classes, which does not mean that more jets would be separated as well.
    """
    total_signal, total_background = ranked.signal[-1], ranked.background[-1]
    signal = np.diff(ranked.signal, prepend=0.0)
    background = np.diff(ranked.background, prepend=0.0)
    beaten = (total_background - ranked.background + background / 2) / total_background
    value = float(np.sum(signal * beaten) / total_signal)
    beaten_by = (ranked.signal - signal / 2) / total_signal
    squared = ranked.weights**2
    variance = 0.0
    for chosen, total, placement in (
        (ranked.is_signal, total_signal, beaten),
        (~ranked.is_signal, total_background, beaten_by),
    ):
        in_group = np.add.reduceat(np.where(chosen, squared, 0.0), ranked.starts)
        effective = total**2 / in_group.sum()
        # The effective number of two jets or more exceeds 1, but for rounding.
        if effective < 1 + 1e-9:
            return Auc(value, math.nan)
        spread = float(np.sum(in_group * (placement - value) ** 2)) / total**2
        variance += spread * effective / (effective - 1)
    return Auc(value, math.sqrt(variance))


def working_point(ranked: RankedScores, efficiency: float) -> WorkingPoint:
    """Return the cut that keeps the fraction `efficiency` of the signal weight, exactly, ties included."""
    wanted = np.array([efficiency * ranked.signal[-1]])
    _, index, fraction = background_above(ranked.signal, ranked.background, wanted)
    return WorkingPoint(float(ranked.scores[index[0]]), float(fraction[0]))


def rejections(
    ranked: RankedScores, efficiencies: FloatArray, *, interval: str, num_bootstrap: int, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Rejections and their lower and upper limits at signal efficiencies (n_points,).

    The bootstrap limits are never taken narrower than the exact ones: few surviving background jets
    resample into too little spread, and none into no spread at all.
    """
    wanted = efficiencies * ranked.signal[-1]
    total = ranked.background[-1]
    kept, index, fraction = background_above(ranked.signal, ranked.background, wanted)
    squared = ranked.background_squared
    squared_before = np.where(index > 0, squared[np.maximum(index - 1, 0)], 0.0)
    kept_squared = squared_before + fraction * (squared[index] - squared_before)
    efficiency = np.clip(kept / total, 0.0, 1.0)
    if ranked.weighted:
        low, high = efficiency_limits(efficiency, kept_squared, total, squared[-1])
    else:
        low, high = clopper_pearson(kept, total)
    if check_method(interval) == "bootstrap":
        replicas = bootstrap_efficiencies(ranked, efficiencies, num_bootstrap, seed)
        tails = np.quantile(replicas, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], axis=0)
        low, high = np.minimum(low, tails[0]), np.maximum(high, tails[1])
    with np.errstate(divide="ignore"):
        return 1 / efficiency, 1 / high, 1 / low


def check_efficiencies(efficiencies: npt.ArrayLike) -> FloatArray:
    """Return signal efficiencies as an array, or raise a DataError if one is outside (0, 1]."""
    points = np.asarray(efficiencies, dtype=np.float64)
    bad = ~((points > 0) & (points <= 1))
    if points.ndim != 1 or bad.any():
        shown = points[bad][0] if points.ndim == 1 else points.tolist()
        raise DataError(f"efficiency: {shown} is not a signal efficiency; give numbers above 0 and up to 1")
    return points
