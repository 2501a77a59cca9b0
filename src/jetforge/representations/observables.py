"""Observables: each jet as a row of substructure quantities, made of its constituents or stored with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import torch
from numpy.typing import NDArray

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.arguments import number
from jetforge.physics.by_name.observed import observables, parse
from jetforge.representations._constituents import check_names, columns_of, need_one_of
from jetforge.representations._dense import DenseBatch
from jetforge.representations._standard import Standardisation, StandardisedRepresentation
from jetforge.representations.base import register_representation

if TYPE_CHECKING:
    from jetforge.jets import Jets

HLDNN_OBSERVABLES = (
    "tau1_wta", "tau2_wta", "tau3_wta", "tau4_wta", "sqrt_d12", "sqrt_d23", "pt", "ecf2", "ecf3", "c2", "d2", "qw",
    "l2", "l3", "thrust_major",
)  # fmt: skip
"""The 15 high-level variables of ATLAS's hlDNN (ATL-PHYS-PUB-2022-039), made of the constituents.

They have ECF1, the sum of the constituents' pT, where here is ``pt``, that of their summed momentum.
"""

STORED = "field:"
"""What the name of a value that is stored with each jet begins with."""

_SMALLEST = 1e-8  # logarithms stay finite where an observable is 0, which also says that it is not defined
_LARGEST = float(np.finfo(np.float32).max)
_COLUMNS = {
    "jet_charge": ("charge", "pid"), "charged_multiplicity": ("charge", "pid"), "charged_fraction": ("charge", "pid"),
    "photon_fraction": ("pid",),
}  # fmt: skip
"""The observables of more than the momenta, and the columns of which each needs one."""


@dataclass(frozen=True, eq=False)
class ObservablesBatch(DenseBatch):
    """The observables of some jets.

    Attributes
    ----------
    values : Tensor, float32, shape (n_jets, n_observables)
        Scaled.
    """


@register_representation("observables")
class ObservablesRepresentation(StandardisedRepresentation):
    """Each jet as a row of observables, centred and scaled.

    Parameters
    ----------
    names : sequence of str
        Names of `jetforge.observables`, with their endings; or ``field:NAME`` for a value stored with each jet. By
        default the 15 variables of ATLAS's hlDNN.
    log : sequence of str
        Those of the names whose logarithm is taken before scaling, of what is at least 1e-8: steeply falling ones.
    R0 : float
        Radius of the jets.
    z_cut, beta : float
        Of soft drop; z_cut also of mMDT.
    mean, std : sequence of float, optional
        The normalisation, one value an observable; `fit` finds it.
    clip : float, optional
        Largest absolute value that a scaled observable keeps.

    Raises
    ------
    JetforgeError
        If a name is not known, or a value makes no sense.

    Notes
    -----
    An observable that is not defined for a jet, of too few constituents, is 0 before scaling.
    """

    def __init__(
        self,
        names: Sequence[str] = HLDNN_OBSERVABLES,
        log: Sequence[str] = (),
        R0: float = 0.8,
        z_cut: float = 0.1,
        beta: float = 0.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        clip: float | None = None,
    ) -> None:
        what = "observables representation"
        self.names = check_names(what, "names", names, "[pt, mass, d2]")
        self.log = check_names(what, "log", log, "[pt, mass]", least=0)
        self._observed = [name for name in self.names if not name.startswith(STORED)]
        self._quantities = {parse(name)[1].name for name in self._observed}
        if STORED in self.names:
            raise JetforgeError(f"{what}: '{STORED}' needs the name of a value, such as {STORED}pt")
        if f"{STORED}label" in self.names:
            raise JetforgeError(f"{what}: '{STORED}label' is what the jets are classified by")
        absent = [name for name in self.log if name not in self.names]
        if absent:
            raise JetforgeError(f"{what}: log has {absent[0]}, which is none of the names")
        self.R0 = number("R0", R0, above=0)
        self.z_cut, self.beta = number("z_cut", z_cut, least=0, most=1), number("beta", beta)
        self._standardisation = Standardisation("observables", self.names, mean, std, clip)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the constituents that are read beside the momenta, where they are there."""
        return columns_of(("charge",)) if self._quantities.intersection(_COLUMNS) else ()

    def _rows(self, jets: "Jets | ak.Array") -> NDArray[np.float32]:
        """Return the observables, or their logarithms, shape (n_jets, n_observables)."""
        for name, columns in _COLUMNS.items():
            if name in self._quantities:
                need_one_of(f"observables representation: '{name}'", jets, columns)
        table = observables(jets, self._observed, R0=self.R0, z_cut=self.z_cut, beta=self.beta)
        rows = np.empty((len(table), len(self.names)), dtype=np.float32)
        for column, name in enumerate(self.names):
            values = _stored(jets, name.removeprefix(STORED)) if name.startswith(STORED) else table[name]
            if name in self.log:
                values = np.log(np.maximum(values, _SMALLEST))
            rows[:, column] = np.clip(values, -_LARGEST, _LARGEST)
        return rows

    def represent(self, jets: "Jets | ak.Array") -> ObservablesBatch:
        """Represent jets.

        Raises
        ------
        DataError
            If the representation is not fitted, a momentum breaks a rule, or a column or a stored value is missing.
        """
        self._standardisation.check()
        return ObservablesBatch(torch.from_numpy(self._standardisation.apply(self._rows(jets))))

    def to_dict(self) -> dict[str, Any]:
        """Return names, settings and normalisation as plain JSON values."""
        return {
            "names": list(self.names),
            "log": list(self.log),
            "R0": self.R0,
            "z_cut": self.z_cut,
            "beta": self.beta,
            **self._standardisation.to_dict(),
        }


def _stored(jets: "Jets | ak.Array", name: str) -> NDArray[Any]:
    """Return a value that is stored with each jet, as numbers."""
    fields = getattr(jets, "fields", None)
    if not isinstance(fields, dict):
        raise DataError(f"observable {STORED}{name}: an array of constituents has no values of jets; give Jets")
    values: NDArray[Any] = np.asarray(jets[name])
    if values.dtype.kind not in "biuf":
        raise DataError(f"jet field '{name}' holds {values.dtype}, no numbers")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        jet = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"jet {jet}: the field '{name}' is {values[jet]}; it must be a finite number")
    return values
