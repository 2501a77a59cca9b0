"""Batches of jets that are one tensor with one row a jet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from jetforge.representations._indices import checked_indices


@dataclass(frozen=True, eq=False)
class DenseBatch:
    """Some jets as one tensor, one row a jet.

    Attributes
    ----------
    values : Tensor, shape (n_jets, ...)
        What the network reads of each jet.
    """

    values: torch.Tensor

    @classmethod
    def concatenate(cls, batches: "Sequence[Any]") -> Self:
        """Return the jets of all batches, one batch after the other."""
        values = [batch.values for batch in batches]
        if all(part.device.type == "cpu" for part in values):
            return cls(torch.from_numpy(np.concatenate([part.numpy() for part in values])))
        return cls(torch.cat(values))

    def __len__(self) -> int:
        """Return the number of jets."""
        return len(self.values)

    def __getitem__(self, index: slice) -> Self:
        """Return a contiguous range of jets, as a view."""
        if index.indices(len(self))[2] != 1:
            raise IndexError("a range of jets must be contiguous; use take(indices) for anything else")
        return type(self)(self.values[index])

    def take(self, indices: torch.Tensor | NDArray[np.integer[Any]]) -> Self:
        """Return the jets at ``indices``, shape (n,), in that order; a jet may be taken more than once."""
        chosen = checked_indices(indices, len(self), self.values.device)
        if self.values.device.type == "cpu":
            return type(self)(torch.from_numpy(self.values.numpy()[chosen.numpy()]))
        return type(self)(self.values.index_select(0, chosen))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return the same jets on another device."""
        return type(self)(self.values.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Return the same jets in page-locked memory, from where copies to a device can overlap with work."""
        return type(self)(self.values.pin_memory())
