"""Performance in bins of a jet property, such as its transverse momentum."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.evaluation.intervals import Interval, check_method, efficiency_limits
from jetforge.evaluation.roc import area, check_efficiencies, rejections, working_point
from jetforge.evaluation.scores import FloatArray, as_floats, check_scores, rank_scores, refuse_nan


@dataclass(frozen=True)
class BinnedRejection:
    """What a tagger does in one bin.

    Attributes
    ----------
    low_edge, high_edge : float
        The bin, in the unit of the binned values; the last bin includes its upper edge.
    num_signal, num_background : int
        Jets in the bin, not weighted.
    global_rejection, signal_efficiency : Interval or None
        At the one threshold that has the wanted signal efficiency over all jets: how a cut that does not
        know the bin acts in it. The intervals are Clopper-Pearson ones, the threshold taken as given.
    local_rejection : Interval or None
        At the threshold that has the wanted signal efficiency in this very bin.
    auc, auc_error : float or None
        Area under the ROC curve of the bin's jets, and its DeLong error.
    note : str
        Why the numbers are None: too few jets.
    """

    low_edge: float
    high_edge: float
    num_signal: int
    num_background: int
    global_rejection: Interval | None = None
    signal_efficiency: Interval | None = None
    local_rejection: Interval | None = None
    auc: float | None = None
    auc_error: float | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return a mapping that JSON can hold; None stands for infinite, or for too few jets."""
        return {key: value.as_json() if isinstance(value, Interval) else value for key, value in vars(self).items()}


def rejection_by_bin(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    values: npt.ArrayLike,
    bins: npt.ArrayLike,
    efficiency: float,
    weights: npt.ArrayLike | None = None,
    *,
    interval: str = "exact",
    num_bootstrap: int = 500,
    seed: int = 0,
    min_jets: int = 10,
) -> list[BinnedRejection]:
    """Rejection at the signal efficiency `efficiency` in bins of `values`.

    Parameters
    ----------
    labels, scores, weights : array (n_jets,)
        As in `evaluate_scores`. All jets count for the global threshold, also those outside every bin.
    values : array (n_jets,)
        What is binned, for example the transverse momentum of the jets in GeV.
    bins : array (n_bins + 1,)
        Increasing edges.
    efficiency : float
        Signal efficiency within (0, 1].
    interval, num_bootstrap, seed
        Of `local_rejection`, as in `evaluate_scores`.
    min_jets : int
        A bin with fewer signal or background jets gets a note instead of numbers.

    Raises
    ------
    DataError
        As in `evaluate_scores`; also for edges that do not increase and values that are NaN.
    """
    method = check_method(interval)
    point = check_efficiencies([efficiency])
    label, score, weight = check_scores(labels, scores, weights)
    value, edges = _check_bins(values, bins, len(label))
    passed = working_point(rank_scores(label, score, weight), efficiency).pass_fraction(score)
    bin_of_jet = np.searchsorted(edges, value, side="right") - 1
    bin_of_jet[value == edges[-1]] = len(edges) - 2
    results = []
    for index, (low, high) in enumerate(itertools.pairwise(edges)):
        rows = np.flatnonzero(bin_of_jet == index)
        signal, background = rows[label[rows] == 1], rows[label[rows] == 0]
        counts = BinnedRejection(float(low), float(high), len(signal), len(background))
        note = _shortage(weight, signal, background, max(min_jets, 1))
        if note:
            results.append(_with(counts, note=note))
            continue
        ranked = rank_scores(label[rows], score[rows], weight[rows])
        auc = area(ranked)
        local = rejections(ranked, point, interval=method, num_bootstrap=num_bootstrap, seed=seed)
        results.append(
            _with(
                counts,
                global_rejection=_efficiency(passed[background], weight[background]).inverse(),
                signal_efficiency=_efficiency(passed[signal], weight[signal]),
                local_rejection=Interval(*(float(number[0]) for number in local)),
                auc=auc.value,
                auc_error=None if math.isnan(auc.error) else auc.error,
            )
        )
    return results


def _with(counts: BinnedRejection, **numbers: Any) -> BinnedRejection:
    return BinnedRejection(**{**vars(counts), **numbers})


def _shortage(weight: FloatArray, signal: npt.NDArray[np.intp], background: npt.NDArray[np.intp], least: int) -> str:
    """Say which class has too few jets in a bin, or nothing."""
    for rows, name in ((signal, "signal"), (background, "background")):
        if len(rows) < least:
            return f"fewer than {least} {name} jets"
        if weight[rows].sum() <= 0:
            return f"the weights of the {name} jets add up to no positive number"
    return ""


def _efficiency(passed: FloatArray, weight: FloatArray) -> Interval:
    """Weighted fraction of jets that pass, with its Clopper-Pearson limits."""
    total = float(weight.sum())
    efficiency = float(np.clip(passed @ weight / total, 0.0, 1.0))
    low, high = efficiency_limits(efficiency, passed @ weight**2, total, float(weight @ weight))
    return Interval(efficiency, float(low), float(high))


def _check_bins(values: npt.ArrayLike, bins: npt.ArrayLike, num_jets: int) -> tuple[FloatArray, FloatArray]:
    value, edges = as_floats("values", values), as_floats("bins", bins)
    if value.shape != (num_jets,):
        raise DataError(f"values: shape {value.shape} does not go with {num_jets} jets")
    refuse_nan("values", value)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise DataError(f"bins: {edges.tolist()} are not two or more increasing edges")
    return value, edges
