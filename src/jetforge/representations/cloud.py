"""Particle clouds: the constituents of a jet with their features, where they are, and their momenta."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import torch
from numpy.typing import NDArray

from jetforge.representations._constituents import (
    ChosenConstituents,
    check_columns,
    check_length,
    check_names,
    chosen_constituents,
    columns_of,
)
from jetforge.representations._packed import PackedBatch
from jetforge.representations._standard import Standardisation, StandardisedRepresentation
from jetforge.representations.base import register_representation

if TYPE_CHECKING:
    from jetforge.jets import Jets

PARTICLENET_FEATURES = ("deta", "dphi", "log_pt", "log_energy", "log_pt_rel", "log_energy_rel", "delta_r")
"""Features of arXiv:1902.08570, table 1, without particle identification; ParT's kinematic ones are the same."""

_WHAT = "cloud representation"


@dataclass(frozen=True, eq=False)
class CloudBatch(PackedBatch):
    """The constituents of some jets, packed one jet after the other without padding, hardest first.

    Attributes
    ----------
    features : Tensor, float32, shape (n_constituents, n_features)
        Scaled features.
    points : Tensor, float32, shape (n_constituents, 2)
        Pseudorapidity and azimuth relative to the jet's axis, not scaled.
    momenta : Tensor, float32, shape (n_constituents, 4)
        Energy, px, py, pz in GeV.
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the rows ``offsets[j]`` to ``offsets[j + 1]``.
    """

    features: torch.Tensor
    points: torch.Tensor
    momenta: torch.Tensor
    offsets: torch.Tensor


@register_representation("cloud")
class CloudRepresentation(StandardisedRepresentation):
    """Each jet as its constituents: features, directions relative to the jet, four-momenta.

    Parameters
    ----------
    features : sequence of str
        Names among `jetforge.representations.CONSTITUENT_FEATURES`, or of further columns of the constituents.
    max_constituents : int, optional
        How many constituents, the hardest, are kept of a jet; all if not given.
    mean, std : sequence of float, optional
        The normalisation, one value a feature; `fit` finds it. Charges and flags are left as they are.
    clip : float or sequence of pairs, optional
        Largest absolute value that a scaled feature keeps; or the smallest and the largest, one pair a feature.

    Raises
    ------
    JetforgeError
        If a value makes no sense.
    """

    def __init__(
        self,
        features: Sequence[str] = PARTICLENET_FEATURES,
        max_constituents: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        clip: float | Sequence[Sequence[float]] | None = None,
    ) -> None:
        self.features = check_names(_WHAT, "features", features, "[deta, dphi, log_pt]")
        self.max_constituents = check_length(_WHAT, max_constituents)
        self._standardisation = Standardisation("cloud", self.features, mean, std, clip)

    def __repr__(self) -> str:
        state = "fitted" if self._standardisation.fitted else "not fitted"
        kept = f"{self.max_constituents} constituents" if self.max_constituents else "all constituents"
        return f"CloudRepresentation({', '.join(self.features)}; {kept}; {state})"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the constituents that are read beside the momenta, where they are there."""
        return columns_of(self.features)

    def _rows(self, jets: "Jets | ak.Array") -> NDArray[np.float32]:
        """Return the features of the constituents that are kept, before scaling."""
        return self._chosen(jets).features

    def _chosen(self, jets: "Jets | ak.Array", *further: str) -> ChosenConstituents:
        """Return the constituents that are kept, with the features and further ones that follow from the momenta."""
        check_columns(_WHAT, jets, self.features)
        return chosen_constituents(jets, (*self.features, *further), self.max_constituents)

    def represent(self, jets: "Jets | ak.Array") -> CloudBatch:
        """Represent jets.

        Raises
        ------
        DataError
            If the representation is not fitted, a momentum breaks a rule, or a feature is unknown or needs a column
            that is not there.
        """
        self._standardisation.check()
        chosen = self._chosen(jets, "deta", "dphi")
        features = self._standardisation.apply(chosen.features[:, :-2].copy())
        return CloudBatch(
            torch.from_numpy(features),
            torch.from_numpy(chosen.features[:, -2:].copy()),
            torch.from_numpy(chosen.momenta),
            torch.from_numpy(chosen.offsets),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return features, number of constituents and normalisation as plain JSON values."""
        return {
            "features": list(self.features),
            "max_constituents": self.max_constituents,
            **self._standardisation.to_dict(),
        }
