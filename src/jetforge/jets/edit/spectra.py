"""Histograms of a jet field, by class, in one pass over the train split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.dataset import Dataset
from jetforge.jets.edit.fields import each_part

_SPLIT = "train"
_MOST_BINS = 10_000


@dataclass(frozen=True)
class Bins:
    """So many bins of equal width between two ends; the last bin holds its upper end too."""

    count: int
    low: float
    high: float

    @classmethod
    def of(cls, count: int, low: float, high: float) -> Self:
        """Return bins after a check.

        Raises
        ------
        JetforgeError
            If there are none, too many, or the ends are not in order.
        """
        if not 1 <= count <= _MOST_BINS:
            raise JetforgeError(f"a histogram has 1 to {_MOST_BINS} bins, not {count}")
        if not (np.isfinite([low, high]).all() and low < high):
            raise JetforgeError(f"a histogram goes from a number to a larger one, not from {low:g} to {high:g}")
        return cls(count, float(low), float(high))

    def numbers(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return the bin of each value: 1 to `count`, 0 below them, ``count + 1`` above."""
        # Rounding may carry a value across an edge, but never across the ends.
        inside = np.floor((values - self.low) * (self.count / (self.high - self.low)))
        bins = np.clip(inside, 0, self.count - 1).astype(np.int64) + 1
        return np.where(values < self.low, 0, np.where(values > self.high, self.count + 1, bins))


@dataclass(frozen=True)
class Spectrum:
    """Sums of weights, (classes, bins + 2) with those below and above the bins, and jets, (classes,)."""

    sums: npt.NDArray[np.float64]
    jets: npt.NDArray[np.int64]
    outside: npt.NDArray[np.int64]

    @property
    def inside(self) -> npt.NDArray[np.float64]:
        """Sums of weights in the bins, (classes, bins)."""
        return self.sums[:, 1:-1]

    def described(self) -> dict[str, Any]:
        """Return the jets by class, and how many of them are outside of the bins."""
        return {"jets": self.jets.tolist(), "outside": self.outside.tolist()}


def field_range(dataset: Dataset, field: str) -> tuple[float, float]:
    """Return the smallest and the largest value of a jet field in the train split.

    Raises
    ------
    DataError
        If a value is not finite.
    """
    low, high = np.inf, -np.inf
    for index, _, fields in each_part(dataset, _SPLIT, [field]):
        values = _finite(dataset, index, field, fields[field])
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def read_spectrum(dataset: Dataset, field: str, bins: Bins) -> Spectrum:
    """Return the spectrum of a jet field in the train split.

    Raises
    ------
    DataError
        If a value is not finite, or a label is none of the classes.
    """
    classes = len(dataset.classes)
    there = [name for name in ("label", "weight") if name in dataset.manifest.jet_fields]
    sums = np.zeros((classes, bins.count + 2))
    jets, outside = np.zeros((2, classes), dtype=np.int64)
    for index, num_jets, fields in each_part(dataset, _SPLIT, [field, *there]):
        numbers = bins.numbers(_finite(dataset, index, field, fields[field]))
        labels = fields.get("label", np.zeros(num_jets, dtype=np.int64)).astype(np.int64)
        if labels.min() < 0 or labels.max() >= classes:
            raise DataError(f"{dataset.path / dataset.parts(_SPLIT)[index].file}: a label is none of its classes")
        weights = _finite(dataset, index, "weight", fields["weight"]) if "weight" in fields else np.ones(num_jets)
        flat = np.bincount(labels * (bins.count + 2) + numbers, weights, sums.size)
        sums += flat.reshape(sums.shape)
        jets += np.bincount(labels, minlength=classes)
        outside += np.bincount(labels[(numbers < 1) | (numbers > bins.count)], minlength=classes)
    return Spectrum(sums, jets, outside)


def _finite(dataset: Dataset, index: int, field: str, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    path = dataset.path / dataset.parts(_SPLIT)[index].file
    if values.dtype.kind not in "biuf":
        raise DataError(f"{path}: the jet field '{field}' holds no numbers")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(f"{path}: row {bad[0]}: {field} is {values[bad[0]]}, not a finite number; skim such jets away")
    return values.astype(np.float64)
