"""The auxiliary head: a number of each jet that is learnt beside its class, from what the tagger embeds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from jetforge.errors import DataError, RecipeError
from jetforge.jets.dataset import Dataset
from jetforge.jets.jets import Jets
from jetforge.taggers import Tagger
from jetforge.taggers.base import evaluating

_SMALLEST_MASS = 1e-3  # GeV; the logarithm of a massless jet stays finite
_SMALLEST_STD = 1e-6


class AuxiliaryTarget:
    """What an auxiliary head is to find of each jet, in units of its spread over the training jets.

    Parameters
    ----------
    name : str
        ``mass``: the logarithm of the mass of the jet's constituents; else a field of the jets.
    dataset : Dataset
        The jets that are trained on.

    Raises
    ------
    RecipeError
        If the jets have no such field, or it is what they are classified by.
    """

    def __init__(self, name: str, dataset: Dataset) -> None:
        fields = [field for field in dataset.manifest.jet_fields if field not in ("label", "weight")]
        if name != "mass" and name not in fields:
            raise RecipeError(
                f"training.auxiliary.target: the jets of {dataset.path} have no field {name!r} to learn; "
                f"there are: {', '.join(dict.fromkeys(['mass', *fields]))}"
            )
        self.name, self.path = name, dataset.path
        self.mean, self.std = 0.0, 1.0

    def fit(self, blocks: Iterable[Jets]) -> Self:
        """Find mean and standard deviation over all jets of all blocks, unweighted; return this target."""
        values = np.concatenate([self._raw(jets) for jets in blocks])
        self.mean, self.std = float(values.mean()), max(float(values.std()), _SMALLEST_STD)
        return self

    def __call__(self, jets: Jets) -> npt.NDArray[np.float32]:
        """Return the targets of jets, float32, shape (n_jets,)."""
        return ((self._raw(jets) - self.mean) / self.std).astype(np.float32)

    def _raw(self, jets: Jets) -> npt.NDArray[np.float64]:
        if self.name == "mass":
            return np.log(np.maximum(_masses(jets), _SMALLEST_MASS))
        values = jets[self.name]
        if values.dtype.kind not in "biuf":
            raise DataError(
                f"{self.path}: the field '{self.name}' holds {values.dtype}, no numbers: it cannot be "
                "training.auxiliary.target"
            )
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise DataError(
                f"{self.path}: the field '{self.name}' of {np.count_nonzero(~np.isfinite(values))} jets is not finite: "
                "it cannot be training.auxiliary.target"
            )
        return values


class AuxiliaryHead(nn.Module):
    """One linear layer from embedded jets to the target; it belongs to the training, not to the tagger.

    At first it finds the mean of all jets, whatever the size of what is embedded: classes are not drowned out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the value found for each embedded jet, shape (n_jets,)."""
        values: torch.Tensor = self.output(jets).squeeze(1)
        return values


@torch.no_grad()
def embedding_width(tagger: Tagger, jets: Jets) -> int:
    """Return the width of what a tagger embeds, found with a few jets; the tagger stays as it was."""
    with evaluating(tagger):
        return int(tagger.embed(tagger.representation(jets)).shape[1])


def _masses(jets: Jets) -> npt.NDArray[np.float64]:
    """Return the mass of the sum of each jet's constituents, GeV; 0 where rounding makes it imaginary."""
    columns = np.stack([jets.columns[name] for name in ("energy", "px", "py", "pz")], axis=1)
    offsets = torch.from_numpy(jets.offsets)
    energy, px, py, pz = torch.segment_reduce(torch.from_numpy(columns), "sum", offsets=offsets, initial=0).numpy().T
    masses: npt.NDArray[np.float64] = np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0.0))
    return masses
