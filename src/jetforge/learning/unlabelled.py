"""Jets without labels beside those with: a student learns from its teacher's scores of both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from jetforge.jets.dataset import Dataset
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import Part

_SPLIT = "train"


class WithUnlabelled(Dataset):
    """A dataset whose training split is followed by that of another, whose labels are not looked at.

    Parameters
    ----------
    labelled
        The dataset that everything else is of.
    unlabelled
        Where further training jets come from, which then have no labels; each counts as much as one with a label does
        on average.
    """

    def __init__(self, labelled: Dataset, unlabelled: Dataset) -> None:
        super().__init__(labelled.path, labelled.manifest, labelled.limits)
        self._labelled, self._unlabelled = labelled, unlabelled

    @property
    def further_path(self) -> Path:
        """The directory of the jets without labels."""
        return self._unlabelled.path

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the fingerprints of both, and how many jets of each there are: further ones come in between."""
        both = [(dataset.fingerprint, dataset.num_jets(_SPLIT)) for dataset in (self._labelled, self._unlabelled)]
        return hashlib.sha256(str(both).encode()).hexdigest()

    def num_jets(self, split: str) -> int:
        """Return the number of jets in a split."""
        further = self._unlabelled.num_jets(_SPLIT) if split == _SPLIT else 0
        return self._labelled.num_jets(split) + further

    def parts(self, split: str) -> Sequence[Part]:
        """Return the parts of a split."""
        own = list(self._labelled.parts(split))
        if split != _SPLIT:
            return own
        others = self._unlabelled.parts(_SPLIT)
        return [*own, *(replace(part, file=str(self._unlabelled.path / part.file)) for part in others)]

    def read_part(self, split: str, index: int, columns: Sequence[str] | None = None) -> Jets:
        """Read one part; see `Dataset.read_part`."""
        own = len(self._labelled.parts(split))
        if index < own:
            return self._labelled.read_part(split, index, columns)
        jets = self._unlabelled.read_part(_SPLIT, index - own, columns)
        fields = {name: values for name, values in jets.fields.items() if name not in ("label", "weight")}
        if self._mean_weight != 1:
            fields["weight"] = np.full(len(jets), self._mean_weight, dtype=np.float32)
        return Jets(jets.offsets, jets.columns, fields)

    @cached_property
    def _mean_weight(self) -> float:
        blocks = self._labelled.blocks(_SPLIT, block_jets=20_000, columns=())
        sums = [(float(jets.weight.sum(dtype=float)), len(jets)) for jets in blocks]
        return sum(weight for weight, _ in sums) / sum(number for _, number in sums)
