"""The four-momenta of the constituents, packed: what Lorentz-equivariant networks and plain sums read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import torch

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.flat import flat_of
from jetforge.representations._constituents import (
    CONSTITUENT_FEATURES,
    KINEMATIC_FEATURES,
    check_columns,
    check_length,
    check_names,
    chosen_constituents,
    columns_of,
)
from jetforge.representations._packed import PackedBatch
from jetforge.representations.base import Representation, register_representation

if TYPE_CHECKING:
    from jetforge.jets import Jets

_WHAT = "four_momenta representation"
_SCALARS = tuple(name for name in CONSTITUENT_FEATURES if name not in KINEMATIC_FEATURES)


@dataclass(frozen=True, eq=False)
class FourMomentaBatch(PackedBatch):
    """The constituents of some jets, packed one jet after the other without padding, hardest first.

    Attributes
    ----------
    momenta : Tensor, float32 or float64, shape (n_constituents, 4)
        Energy, px, py, pz of every constituent, in units of the representation's scale.
    scalars : Tensor, float32, shape (n_constituents, n_scalars)
        What else is known of every constituent: Lorentz scalars such as its charge.
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the rows ``offsets[j]`` to ``offsets[j + 1]``.
    """

    momenta: torch.Tensor
    scalars: torch.Tensor
    offsets: torch.Tensor


@register_representation("four_momenta")
class FourMomentaRepresentation(Representation):
    """Each jet as the four-momenta of its constituents, divided by one scale, so that Lorentz symmetry stays.

    Parameters
    ----------
    scale : float, optional
        In GeV; `fit` takes the mean energy of all constituents of the training jets.
    max_constituents : int, optional
        How many constituents, the hardest, are kept of a jet; all if not given.
    scalars : sequence of str
        What else is read of each constituent, among the features that do not follow from the momenta (``charge``,
        ``is_electron``, ...), or further columns.
    dtype : str
        ``float32`` or ``float64``, of the momenta. Networks that divide by the angles of nearly parallel momenta need
        the latter.
    massless : bool
        Whether energies are replaced by the size of the momenta, as in the top-tagging reference set, whose
        constituents have no masses.

    Raises
    ------
    JetforgeError
        If the scale is not a positive number, or another value makes no sense.
    """

    def __init__(
        self,
        scale: float | None = None,
        max_constituents: int | None = None,
        scalars: Sequence[str] = (),
        dtype: str = "float32",
        massless: bool = False,
    ) -> None:
        is_number = isinstance(scale, int | float | np.number) and not isinstance(scale, bool)
        if scale is not None and not (is_number and 0 < scale < float("inf")):
            raise JetforgeError(f"{_WHAT}: the scale is a positive number of GeV, not {scale!r}")
        self.scale = None if scale is None else float(scale)
        self.max_constituents = check_length(_WHAT, max_constituents)
        self.scalars = check_names(_WHAT, "scalars", scalars, "[charge, is_electron]", least=0)
        frame_dependent = [name for name in self.scalars if name in KINEMATIC_FEATURES]
        if frame_dependent:
            raise JetforgeError(f"{_WHAT}: {frame_dependent[0]} depends on the frame; it is no scalar")
        if dtype not in ("float32", "float64"):
            raise JetforgeError(f"{_WHAT}: dtype is {dtype!r}; it must be float32 or float64")
        self.dtype = dtype
        if not isinstance(massless, bool):
            raise JetforgeError(f"{_WHAT}: massless is {massless!r}; it must be true or false")
        self.massless = massless

    def __repr__(self) -> str:
        shown = [
            f"scalars {', '.join(self.scalars)}" if self.scalars else "",
            f"{self.max_constituents} constituents" if self.max_constituents else "",
            "" if self.dtype == "float32" else self.dtype,
            "massless" if self.massless else "",
            "not fitted" if self.scale is None else f"scale {self.scale:g} GeV",
        ]
        return f"FourMomentaRepresentation({'; '.join(filter(None, shown))})"

    @property
    def num_features(self) -> int:
        """Number of scalars of a constituent."""
        return len(self.scalars)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the constituents that are read beside the momenta, where they are there."""
        return columns_of(self.scalars)

    @property
    def fitted(self) -> bool:
        """Whether jets can be represented."""
        return self.scale is not None

    def fit_normalisation(self, blocks: "Iterable[Jets | ak.Array]") -> None:
        """Find the mean energy of all constituents of all jets, unweighted.

        Raises
        ------
        DataError
            If there is no constituent with energy, or a scalar is unknown or needs a column that is not there.
        """
        total, count = 0.0, 0
        for jets in blocks:
            check_columns(_WHAT, jets, self.scalars, _SCALARS)
            energy = flat_of(jets).energy
            total, count = total + float(energy.sum()), count + len(energy)
        if not total:
            raise DataError("cannot fit the four_momenta representation: no constituent has energy")
        self.scale = total / count

    def represent(self, jets: "Jets | ak.Array") -> FourMomentaBatch:
        """Pack the four-momenta of jets.

        Raises
        ------
        DataError
            If the representation is not fitted, a momentum breaks a rule, or a scalar is unknown or needs a column
            that is not there.
        """
        if self.scale is None:
            raise DataError("the four_momenta representation has no scale yet: call fit on training jets")
        check_columns(_WHAT, jets, self.scalars, _SCALARS)
        chosen = chosen_constituents(jets, self.scalars, self.max_constituents, self.dtype)
        momenta = torch.from_numpy(chosen.momenta).div_(self.scale)
        if self.massless:
            momenta[:, 0] = momenta[:, 1:].double().square().sum(1).sqrt()
        return FourMomentaBatch(momenta, torch.from_numpy(chosen.features), torch.from_numpy(chosen.offsets))

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as plain JSON values."""
        return {
            "scale": self.scale, "max_constituents": self.max_constituents, "scalars": list(self.scalars),
            "dtype": self.dtype, "massless": self.massless,
        }  # fmt: skip
