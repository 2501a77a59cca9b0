"""Batches of jets whose tensors hold one row a constituent, packed one jet after the other without padding."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from jetforge.jets.jets import take_runs
from jetforge.representations._indices import checked_indices

# To a copy the type of a number is all the same, and NumPy has no bfloat16.
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class PackedBatch:
    """Some jets as tensors of one row a constituent.

    A subclass is a frozen dataclass; all its fields but the last, ``offsets``, are such tensors.

    Attributes
    ----------
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the rows ``offsets[j]`` to ``offsets[j + 1]``.
    """

    offsets: torch.Tensor

    def __init__(self, *, offsets: torch.Tensor, **rows: torch.Tensor) -> None:
        raise TypeError("subclasses are dataclasses")

    @classmethod
    def row_names(cls) -> tuple[str, ...]:
        """Return the names of the tensors with one row a constituent."""
        return tuple(field.name for field in fields(cast(Any, cls)) if field.name != "offsets")

    def rows(self) -> dict[str, torch.Tensor]:
        """Return the tensors with one row a constituent, by name."""
        return {name: getattr(self, name) for name in self.row_names()}

    @classmethod
    def concatenate(cls, batches: "Sequence[Any]") -> Self:
        """Return the jets of all batches, one batch after the other."""
        first = batches[0]
        starts = np.cumsum([0] + [batch.num_rows for batch in batches]).tolist()
        offsets = [batch.offsets[1:] + start for batch, start in zip(batches, starts, strict=False)]
        joined = {name: _joined([getattr(batch, name) for batch in batches]) for name in cls.row_names()}
        return cls(**joined, offsets=torch.cat([first.offsets[:1], *offsets]))

    def __len__(self) -> int:
        """Return the number of jets."""
        return len(self.offsets) - 1

    @property
    def num_rows(self) -> int:
        """Number of constituents of all jets."""
        return len(getattr(self, self.row_names()[0]))

    @property
    def counts(self) -> torch.Tensor:
        """Number of constituents of each jet, int64, shape (n_jets,)."""
        return self.offsets.diff()

    @property
    def longest(self) -> int:
        """Largest number of constituents of a jet; on a GPU this waits for the device."""
        return int(self.counts.max()) if len(self) else 0

    def __getitem__(self, index: slice) -> Self:
        """Return a contiguous range of jets; its rows are a view, not a copy."""
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise IndexError("a range of jets must be contiguous; use take(indices) for anything else")
        offsets = self.offsets[start : max(start, stop) + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        return self._with({name: rows[first:last] for name, rows in self.rows().items()}, offsets - first)

    def take(self, indices: torch.Tensor | NDArray[np.integer[Any]]) -> Self:
        """Return the jets at ``indices``, shape (n,), in that order; a jet may be taken more than once."""
        chosen = checked_indices(indices, len(self), self.offsets.device)
        sizes = self.counts[chosen]
        offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        return self._with({name: self._taken(rows, chosen, offsets) for name, rows in self.rows().items()}, offsets)

    def _with(self, rows: dict[str, torch.Tensor], offsets: torch.Tensor) -> Self:
        return type(self)(**rows, offsets=offsets)

    def _taken(self, rows: torch.Tensor, chosen: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        num_rows = int(offsets[-1])
        if rows.device.type == "cpu":
            width = rows[:1].numel() if len(rows) else int(np.prod(rows.shape[1:]))
            bits = rows.contiguous().view(_BITS[rows.element_size()]).numpy()
            # NumPy asks the system for large pages, PyTorch does not: a block of jets is there several times as fast.
            out = np.empty((num_rows, *rows.shape[1:]), dtype=bits.dtype)
            numbers = bits.reshape(-1)
            take_runs(numbers, width * self.offsets.numpy(), chosen.numpy(), width * offsets.numpy(), out.reshape(-1))
            return torch.from_numpy(out).view(rows.dtype)
        shifts = torch.repeat_interleave(self.offsets[chosen] - offsets[:-1], offsets.diff(), output_size=num_rows)
        return rows.index_select(0, torch.arange(num_rows, device=rows.device) + shifts)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return the same jets on another device."""
        moved = {name: rows.to(device, non_blocking=non_blocking) for name, rows in self.rows().items()}
        return self._with(moved, self.offsets.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Return the same jets in page-locked memory, from where copies to a device can overlap with work."""
        pinned = {name: rows.pin_memory() for name, rows in self.rows().items()}
        return self._with(pinned, self.offsets.pin_memory())

    def jet_of_row(self) -> torch.Tensor:
        """Return the jet that each constituent belongs to, int64, shape (n_constituents,)."""
        jets = torch.arange(len(self), device=self.offsets.device)
        return torch.repeat_interleave(jets, self.counts, output_size=self.num_rows)

    def mask(self, length: int) -> torch.Tensor:
        """Return where a padded jet has a constituent, bool, shape (n_jets, length)."""
        return torch.arange(length, device=self.offsets.device) < self.counts.unsqueeze(1)

    def padded(self, rows: torch.Tensor, length: int, value: float = 0.0) -> torch.Tensor:
        """Return one row a jet: its first ``length`` constituents, then ``value``.

        Parameters
        ----------
        rows : Tensor, shape (n_constituents, ...)
            One row a constituent, in this batch's order.
        length : int
            Constituents a jet; those beyond are left out.
        value : float
            What stands where a jet has fewer.

        Returns
        -------
        Tensor, shape (n_jets, length, ...)
        """
        # The spare last row is what all absent constituents read: no place is written twice, no device waited for.
        with_spare = torch.cat([rows, rows.new_full((1, *rows.shape[1:]), value)])
        places = self.offsets[:-1].unsqueeze(1) + torch.arange(length, device=rows.device)
        places = torch.where(places < self.offsets[1:].unsqueeze(1), places, len(rows))
        return with_spare.index_select(0, places.reshape(-1)).reshape(len(self), length, *rows.shape[1:])

    def unpadded(self, padded: torch.Tensor) -> torch.Tensor:
        """Return the rows that are constituents of a tensor (n_jets, length, ...), length being `longest` or more."""
        jets = self.jet_of_row()
        local = torch.arange(self.num_rows, device=jets.device) - self.offsets.index_select(0, jets)
        return padded.reshape(-1, *padded.shape[2:]).index_select(0, jets * padded.shape[1] + local)

    def sums(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the sum over the constituents of each jet, shape (n_jets, ...); zero for a jet without any."""
        if rows.dtype in (torch.float16, torch.bfloat16):
            rows = rows.float()
        summed: torch.Tensor = torch.segment_reduce(rows, "sum", offsets=self.offsets, initial=0)
        return summed

    def means(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the mean over the constituents of each jet, shape (n_jets, ...); zero for a jet without any."""
        counts = self.counts.clamp(min=1)
        return self.sums(rows) / counts.reshape(-1, *([1] * (rows.ndim - 1)))


@dataclass(frozen=True, eq=False)
class RowsBatch(PackedBatch):
    """What a part of a network made of some jets, where that is several rows a jet.

    Attributes
    ----------
    features : Tensor, shape (n_rows, width)
        The rows, jet after jet.
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the rows ``offsets[j]`` to ``offsets[j + 1]``; a jet may own none.
    """

    features: torch.Tensor
    offsets: torch.Tensor


def _joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    if all(part.device.type == "cpu" for part in parts):
        return torch.from_numpy(np.concatenate([part.numpy() for part in parts]))
    return torch.cat(list(parts))
