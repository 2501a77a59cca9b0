"""Scores of a binary tagger, checked and sorted once: every metric is read from the result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RankedScores:
    """Jets in descending order of score, jets of the same score taken together.

    Attributes
    ----------
    scores : array (n_distinct,)
        The distinct scores, descending.
    starts : array (n_distinct,)
        Where the jets of each distinct score begin in `weights` and `is_signal`.
    weights, is_signal : array (n_jets,)
        Of every jet, in descending order of score; only the weights within a class matter.
    signal, background : array (n_distinct,)
        Sum of the weights of the jets that have this score or a higher one.
    background_squared : array (n_distinct,)
        The same for the squared weights of background jets.
    weighted : bool
        False where all weights of a class are equal: they are then set to one, and counts are exact.
    """

    scores: FloatArray
    starts: IntArray
    weights: FloatArray
    is_signal: npt.NDArray[np.bool_]
    signal: FloatArray
    background: FloatArray
    background_squared: FloatArray
    weighted: bool

    @property
    def num_signal(self) -> int:
        """Number of signal jets, not weighted."""
        return int(np.count_nonzero(self.is_signal))

    @property
    def num_background(self) -> int:
        """Number of background jets, not weighted."""
        return len(self.is_signal) - self.num_signal


def rank_scores(labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> RankedScores:
    """Check labels, scores and weights, and sort the jets by score.

    Parameters
    ----------
    labels : array (n_jets,)
        1 for signal, 0 for background.
    scores : array (n_jets,)
        Any number that is larger for jets more alike the signal; infinities are ranked, NaN is refused.
    weights : array (n_jets,), optional
        Finite, of any sign, with a positive sum in each class.

    Raises
    ------
    DataError
        Where one of the above does not hold, with the first row at fault.
    """
    label, score, weight = check_scores(labels, scores, weights)
    members = [label == 0, label == 1]
    weighted = any(np.ptp(weight[chosen]) != 0 for chosen in members)
    if not weighted:
        weight = np.ones_like(weight)
    order = np.argsort(score)[::-1]
    score, weight, is_signal = score[order], weight[order], label[order] == 1
    starts = np.flatnonzero(np.concatenate(([True], score[1:] != score[:-1])))
    ends = np.append(starts[1:], len(score)) - 1
    background = np.where(is_signal, 0.0, weight)
    return RankedScores(
        scores=score[starts],
        starts=starts,
        weights=weight,
        is_signal=is_signal,
        signal=np.cumsum(np.where(is_signal, weight, 0.0))[ends],
        background=np.cumsum(background)[ends],
        background_squared=np.cumsum(background**2)[ends],
        weighted=weighted,
    )


def background_above(
    signal: FloatArray, background: FloatArray, wanted: FloatArray
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Find where the cumulated signal reaches `wanted`, and how much background lies above that.

    Where several jets share the score of the threshold, the fraction of them that is needed for exactly
    the wanted signal is kept, of the signal and of the background alike.

    Parameters
    ----------
    signal, background : array (n_distinct,)
        Weights cumulated from the highest score down.
    wanted : array (n_points,)
        Signal weight to keep.

    Returns
    -------
    background, index, fraction : array (n_points,)
        Background weight kept, index of the threshold, and the fraction kept of the jets right at it.
    """
    # Negative weights let the sum fall again: the first crossing counts. The tolerance is for rounding.
    reached = np.maximum.accumulate(signal)
    index = np.minimum(np.searchsorted(reached, wanted * (1 - 1e-12)), len(signal) - 1)
    before = np.maximum(index - 1, 0)
    signal_before = np.where(index > 0, signal[before], 0.0)
    background_before = np.where(index > 0, background[before], 0.0)
    tied = signal[index] - signal_before
    fraction = np.clip((wanted - signal_before) / np.where(tied > 0, tied, 1.0), 0.0, 1.0)
    return background_before + fraction * (background[index] - background_before), index, fraction


def check_scores(
    labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return labels, scores and weights (ones where absent) as arrays, or say what is wrong with them.

    Raises
    ------
    DataError
        Unequal lengths, no jets, labels other than 0 and 1, a class without jets, NaN scores, weights that
        are not finite or do not add up to a positive number.
    """
    score = as_floats("scores", scores)
    if score.ndim != 1:
        raise DataError(
            f"scores: shape {score.shape} where one score a jet is expected; "
            "give the column of the signal class, or use evaluate_classes"
        )
    label = _check_labels(labels, len(score))
    weight = check_weights(weights, len(score))
    refuse_nan("scores", score)
    for value, name in ((1, "signal"), (0, "background")):
        chosen = label == value
        if not chosen.any():
            raise DataError(f"labels: no {name} jets (label {value}) among {len(label)}; both classes are needed")
        total = weight[chosen].sum()
        if total <= 0:
            raise DataError(f"weights: those of the {name} jets add up to {total:g}; a positive sum is needed")
    return label, score, weight


def check_weights(weights: npt.ArrayLike | None, num_jets: int) -> FloatArray:
    """Return one finite weight a jet, ones where `weights` is None; raise DataError otherwise."""
    if weights is None:
        return np.ones(num_jets)
    weight = as_floats("weights", weights)
    _check_length("weights", weight, num_jets)
    bad = ~np.isfinite(weight)
    if bad.any():
        raise DataError(f"weights: {bad.sum()} of {num_jets} are not finite, first in row {int(np.argmax(bad))}")
    return weight


def refuse_nan(name: str, values: FloatArray) -> None:
    """Raise a DataError that counts the jets with a NaN among `values` (n_jets, ...) and names the first."""
    bad = np.asarray(np.isnan(values).reshape(len(values), -1).any(axis=1))
    if bad.any():
        raise DataError(
            f"{name}: {bad.sum()} of {len(bad)} are NaN, first in row {int(np.argmax(bad))}; "
            "did the training diverge, or does that jet lack constituents?"
        )


def as_floats(name: str, values: npt.ArrayLike) -> FloatArray:
    """Return `values` as a float64 array, or raise a DataError that says they are not numbers."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: not an array of numbers ({error})") from None
    if array.ndim == 0:
        raise DataError(f"{name}: a single number where one value a jet is expected")
    return array


def _check_labels(labels: npt.ArrayLike, num_jets: int) -> IntArray:
    label = as_floats("labels", labels)
    _check_length("labels", label, num_jets)
    if num_jets == 0:
        raise DataError("labels and scores are empty: there are no jets to evaluate")
    bad = (label != 0) & (label != 1)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"labels: {bad.sum()} of {num_jets} are neither 0 nor 1, first in row {row} ({label[row]:g}); "
            "for more than two classes use evaluate_classes"
        )
    return label.astype(np.int64)


def _check_length(name: str, values: FloatArray, num_jets: int) -> None:
    if values.shape != (num_jets,):
        raise DataError(f"{name}: shape {values.shape} does not go with {num_jets} scores")
