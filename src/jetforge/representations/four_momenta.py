"""The four-momenta of the constituents, packed: what Lorentz-equivariant networks and plain sums read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import awkward as ak
import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.jets import take_runs
from jetforge.physics.flat import flat_of
from jetforge.representations.base import Representation, register_representation

if TYPE_CHECKING:
    from jetforge.jets import Jets


@njit(cache=True, nogil=True)
def _pack(px: Any, py: Any, pz: Any, energy: Any, factor: float, packed: Any) -> None:
    for i in range(len(px)):
        packed[i, 0] = energy[i] * factor
        packed[i, 1] = px[i] * factor
        packed[i, 2] = py[i] * factor
        packed[i, 3] = pz[i] * factor


@dataclass(frozen=True, eq=False)
class FourMomentaBatch:
    """The constituents of some jets, packed one jet after the other without padding.

    Attributes
    ----------
    momenta : Tensor, float32, shape (n_constituents, 4)
        Energy, px, py, pz of every constituent, in units of the representation's scale.
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the rows ``offsets[j]`` to ``offsets[j + 1]``.
    """

    momenta: torch.Tensor
    offsets: torch.Tensor

    @classmethod
    def concatenate(cls, batches: Sequence[Self]) -> Self:
        """Return the jets of all batches, one batch after the other."""
        starts = np.cumsum([0] + [len(batch.momenta) for batch in batches]).tolist()
        offsets = [batch.offsets[1:] + start for batch, start in zip(batches, starts, strict=False)]
        momenta = [batch.momenta for batch in batches]
        # NumPy asks the system for large pages, PyTorch does not: a block of jets is there several times as fast.
        on_cpu = all(tensor.device.type == "cpu" for tensor in momenta)
        joined = torch.from_numpy(np.concatenate([m.numpy() for m in momenta])) if on_cpu else torch.cat(momenta)
        return cls(joined, torch.cat([batches[0].offsets[:1], *offsets]))

    def __len__(self) -> int:
        """Return the number of jets."""
        return len(self.offsets) - 1

    def __getitem__(self, index: slice) -> "FourMomentaBatch":
        """Return a contiguous range of jets; momenta are a view, not a copy."""
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise IndexError("a range of jets must be contiguous; use take(indices) for anything else")
        offsets = self.offsets[start : max(start, stop) + 1]
        first = int(offsets[0])
        return FourMomentaBatch(self.momenta[first : int(offsets[-1])], offsets - first)

    def take(self, indices: torch.Tensor | NDArray[np.integer[Any]]) -> "FourMomentaBatch":
        """Return the jets at ``indices``, shape (n,), in that order; a jet may be taken more than once."""
        given = torch.as_tensor(indices, device=self.offsets.device)
        if given.dtype in (torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64) and len(given):
            raise IndexError(f"jets are taken by their numbers, not by {given.dtype}")
        chosen = given.to(torch.int64)
        if len(chosen) and not (int(chosen.min()) >= 0 and int(chosen.max()) < len(self)):
            raise IndexError(f"there are jets 0 to {len(self) - 1}")
        starts, sizes = self.offsets[chosen], self.offsets.diff()[chosen]
        offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        num_rows = int(offsets[-1])
        if self.momenta.device.type == "cpu":
            momenta = np.empty((num_rows, 4), dtype=np.float32)
            numbers = self.momenta.contiguous().numpy().reshape(-1)
            take_runs(numbers, 4 * self.offsets.numpy(), chosen.numpy(), 4 * offsets.numpy(), momenta.reshape(-1))
            return FourMomentaBatch(torch.from_numpy(momenta), offsets)
        shifts = torch.repeat_interleave(starts - offsets[:-1], sizes, output_size=num_rows)
        rows = torch.arange(num_rows, device=shifts.device) + shifts
        return FourMomentaBatch(self.momenta.index_select(0, rows), offsets)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "FourMomentaBatch":
        """Return the same jets on another device."""
        return FourMomentaBatch(
            self.momenta.to(device, non_blocking=non_blocking), self.offsets.to(device, non_blocking=non_blocking)
        )

    def pin_memory(self) -> "FourMomentaBatch":
        """Return the same jets in page-locked memory, from where copies to a device can overlap with work."""
        return FourMomentaBatch(self.momenta.pin_memory(), self.offsets.pin_memory())


@register_representation("four_momenta")
class FourMomentaRepresentation(Representation):
    """Each jet as the four-momenta of its constituents, divided by one scale, so that Lorentz symmetry stays.

    Parameters
    ----------
    scale : float, optional
        In GeV; `fit` takes the mean energy of the constituents of the training jets.

    Raises
    ------
    JetforgeError
        If the scale is not a positive number.
    """

    def __init__(self, scale: float | None = None) -> None:
        if scale is not None and not (isinstance(scale, (int, float)) and 0 < scale < float("inf")):
            raise JetforgeError(f"four_momenta representation: the scale is a positive number of GeV, not {scale!r}")
        self.scale = None if scale is None else float(scale)

    def __repr__(self) -> str:
        return f"FourMomentaRepresentation({'not fitted' if self.scale is None else f'scale {self.scale:g} GeV'})"

    def fit(self, blocks: "Iterable[Jets | ak.Array]") -> Self:
        """Find the mean energy of all constituents of all jets, unweighted.

        Raises
        ------
        DataError
            If there is no constituent with energy.
        """
        total, count = 0.0, 0
        for jets in blocks:
            energy = flat_of(jets).energy
            total, count = total + float(energy.sum()), count + len(energy)
        if not total:
            raise DataError("cannot fit the four_momenta representation: no constituent has energy")
        self.scale = total / count
        return self

    def __call__(self, jets: "Jets | ak.Array") -> FourMomentaBatch:
        """Pack the four-momenta of jets.

        Raises
        ------
        DataError
            If the representation is not fitted, or a momentum breaks a rule.
        """
        if self.scale is None:
            raise DataError("the four_momenta representation has no scale yet: call fit on training jets")
        flat = flat_of(jets)
        packed = np.empty((len(flat.px), 4), dtype=np.float32)
        _pack(flat.px, flat.py, flat.pz, flat.energy, 1 / self.scale, packed)
        return FourMomentaBatch(torch.from_numpy(packed), torch.tensor(flat.offsets, dtype=torch.int64))

    def to_dict(self) -> dict[str, Any]:
        """Return the scale as a plain JSON value."""
        return {"scale": self.scale}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the representation that `to_dict` described.

        Raises
        ------
        JetforgeError
            If a value is missing, unknown or makes no sense.
        """
        if set(values) != {"scale"}:
            raise JetforgeError(f"four_momenta representation: needs the scale alone, got {', '.join(sorted(values))}")
        return cls(**values)
