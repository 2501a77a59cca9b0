"""What there is to see of a jet: its leading constituents, as coarsely and as blurred as a trigger has them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from math import inf
from typing import Any, Self

import awkward as ak
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from jetforge.errors import JetforgeError
from jetforge.jets.jets import Jets
from jetforge.representations._angles import Angles, Floats, wrapped

# Of splitmix64, whose outputs pass every test of randomness for consecutive inputs.
_GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class JetView:
    """Reduced constituents of jets: what a student network sees where its teacher sees everything.

    The steps are taken in the order of the settings; what is None is left out. Directions are pseudorapidity and
    azimuth. What is blurred is blurred the same way each time, by numbers drawn from the constituent's own momentum, so
    that a jet looks the same in every epoch and in every batch.

    Parameters
    ----------
    pt_resolution : float, optional
        Relative width of a Gaussian by which each transverse momentum is blurred; it stays above zero.
    angle_resolution : float, optional
        Width of the Gaussians by which pseudorapidity and azimuth are blurred.
    cell_size : float, optional
        Width of the cells in pseudorapidity and azimuth whose constituents become one: it has their total energy, no
        mass, and the direction of the cell's centre. Columns beside the momentum are left out.
    pt_step : float, optional
        GeV; transverse momenta are rounded to multiples of it, and constituents at zero are left out.
    angle_step : float, optional
        Pseudorapidity and azimuth are rounded to multiples of it.
    min_pt : float, optional
        GeV; constituents below it are left out.
    leading : int, optional
        So many constituents of the largest transverse momenta are kept.
    seed : int
        Of what is blurred.

    Raises
    ------
    JetforgeError
        If a value makes no sense.
    """

    pt_resolution: float | None = None
    angle_resolution: float | None = None
    cell_size: float | None = None
    pt_step: float | None = None
    angle_step: float | None = None
    min_pt: float | None = None
    leading: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("pt_resolution", "angle_resolution", "cell_size", "pt_step", "angle_step", "min_pt"):
            value = getattr(self, name)
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (numeric and 0 < value < inf):
                raise JetforgeError(f"view: {name} {value!r} must be a number above 0")
        for name, least in (("leading", 1), ("seed", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**32
            if not (whole or (value is None and name == "leading")):
                raise JetforgeError(f"view: {name} {value!r} must be a whole number of {least} or more")

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Return the view that some settings describe.

        Raises
        ------
        JetforgeError
            If a setting is unknown or makes no sense.
        """
        if isinstance(values, cls):
            return values
        if not isinstance(values, Mapping):
            raise JetforgeError(f"view: {values!r} must be a section with settings such as leading: 20")
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                near = get_close_matches(str(name), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"its settings are {', '.join(known)}"
                raise JetforgeError(f"view has no setting {name!r}; {hint}")
        return cls(**{name: _number(value) for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that are not left out as plain JSON values."""
        usual = type(self)()
        return {name: value for name, value in asdict(self).items() if value != getattr(usual, name)}

    def __call__(self, jets: "Jets | ak.Array") -> Jets:
        """Return what is to be seen of jets; their fields stay as they are.

        Parameters
        ----------
        jets : Jets or awkward array of constituents
            Any number of jets.

        Raises
        ------
        DataError
            If they are no jets, or a momentum breaks a rule.
        """
        if isinstance(jets, ak.Array):
            jets = Jets.from_constituents(jets)
        seen = _Seen.of(jets)
        if self.pt_resolution is not None or self.angle_resolution is not None:
            seen = self._blurred(seen)
        if self.cell_size is not None:
            seen = seen.in_cells(self.cell_size)
        if self.pt_step is not None:
            seen = seen.changed(pt=np.rint(seen.pt / self.pt_step) * self.pt_step)
            seen = seen.chosen(seen.pt > 0)
        if self.angle_step is not None:
            step = self.angle_step
            seen = seen.changed(eta=np.rint(seen.eta / step) * step, phi=np.rint(seen.phi / step) * step)
        if self.min_pt is not None:
            seen = seen.chosen(seen.pt >= self.min_pt)
        if self.leading is not None:
            seen = seen.chosen(seen.ranks() < self.leading)
        return seen.jets(jets)

    def _blurred(self, seen: "_Seen") -> "_Seen":
        drawn = [_normal(seen, self.seed, number) for number in range(3)]
        width, angle = self.pt_resolution or 0.0, self.angle_resolution or 0.0
        # A momentum that would be negative is cut at a hundredth: it may be lost afterwards, not turned round.
        factor = np.maximum(1 + width * drawn[0], 0.01)
        return seen.changed(pt=seen.pt * factor, eta=seen.eta + angle * drawn[1], phi=seen.phi + angle * drawn[2])


@dataclass(frozen=True)
class _Seen:
    """Constituents by transverse momentum, direction and mass over transverse momentum, and which jet each is of."""

    jet: NDArray[np.int64]
    num_jets: int
    pt: Floats
    eta: Floats
    phi: Floats
    mass: Floats
    columns: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, jets: Jets) -> "_Seen":
        others = {name: c for name, c in jets.columns.items() if name not in ("px", "py", "pz", "energy", "mass")}
        jet = np.repeat(np.arange(len(jets)), np.diff(jets.offsets))
        return cls(jet, len(jets), *Angles.of(jets.flat), others)

    def changed(self, pt: Floats | None = None, eta: Floats | None = None, phi: Floats | None = None) -> "_Seen":
        """Return the same with other momenta; a mass shrinks and grows with the transverse momentum."""
        pt = self.pt if pt is None else pt
        scale = pt / np.where(self.pt > 0, self.pt, 1.0)
        phi = self.phi if phi is None else wrapped(phi)
        return _Seen(
            self.jet, self.num_jets, pt, self.eta if eta is None else eta, phi, self.mass * scale, self.columns
        )

    def chosen(self, rows: NDArray[Any]) -> "_Seen":
        """Return some of the constituents."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return _Seen(
            self.jet[rows], self.num_jets, self.pt[rows], self.eta[rows], self.phi[rows], self.mass[rows], columns
        )

    def in_cells(self, size: float) -> "_Seen":
        """Return one massless constituent a cell that holds any."""
        across = max(int(np.ceil(2 * np.pi / size - 1e-9)), 1)
        row = np.floor(self.eta / size).astype(np.int64)
        column = np.minimum(np.floor((self.phi + np.pi) / size).astype(np.int64), across - 1)
        row -= row.min(initial=0)
        cell = (self.jet * (row.max(initial=0) + 1) + row) * across + column
        cells, first, where = np.unique(cell, return_index=True, return_inverse=True)
        energy = np.bincount(where, np.hypot(self.pt * np.cosh(self.eta), self.mass), minlength=len(cells))
        eta = (np.floor(self.eta[first] / size) + 0.5) * size
        phi = wrapped((column[first] + 0.5) * size - np.pi)
        return _Seen(self.jet[first], self.num_jets, energy / np.cosh(eta), eta, phi, np.zeros(len(cells)), {})

    def ranks(self) -> NDArray[np.int64]:
        """Return the place of each constituent in its jet, by decreasing transverse momentum."""
        order = np.lexsort((-self.pt, self.jet))
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.jet, minlength=self.num_jets))])
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.arange(len(order)) - starts[self.jet[order]]
        return ranks

    def jets(self, like: Jets) -> Jets:
        """Return the constituents as jets with the fields of others."""
        offsets = np.concatenate([[0], np.cumsum(np.bincount(self.jet, minlength=self.num_jets))])
        columns = {**Angles(self.pt, self.eta, self.phi, self.mass).columns(), **self.columns}
        return Jets(offsets, columns, like.fields)


def _number(value: Any) -> Any:
    """Return the number that a text stands for: YAML takes 1e9 for a text."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _normal(seen: _Seen, seed: int, number: int) -> Floats:
    """Return a number a constituent, normally distributed, that follows from its momentum and the seed."""
    bits = np.full(len(seen.pt), np.uint64(seed * 3 + number))
    with np.errstate(over="ignore"):
        for values in (seen.pt, seen.eta, seen.phi):
            # In single precision: the last bits of doubles differ between machines.
            bits = _mixed(bits ^ values.astype(np.float32).view(np.uint32).astype(np.uint64))
    drawn: Floats = ndtri((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54)
    return drawn


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the next output of splitmix64 for each state."""
    bits = bits + _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))
