"""The numbers by which jets are taken from a batch."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def checked_indices(
    indices: torch.Tensor | NDArray[np.integer[Any]], num_jets: int, device: torch.device
) -> torch.Tensor:
    """Return the numbers of jets, int64, on a device.

    Parameters
    ----------
    indices : Tensor or array, shape (n,)
        Whole numbers; a mask is none.
    num_jets : int
        How many jets there are.
    device : torch.device
        Where the jets are.

    Raises
    ------
    IndexError
        If they are no whole numbers, or there is no such jet: they count from the first, 0, never from the last.
    """
    given = torch.as_tensor(indices, device=device)
    if len(given) and (given.dtype == torch.bool or given.is_floating_point()):
        raise IndexError(f"jets are taken by their numbers, not by {given.dtype}")
    chosen = given.to(torch.int64)
    if len(chosen) and not (int(chosen.min()) >= 0 and int(chosen.max()) < num_jets):
        raise IndexError(f"there are jets 0 to {num_jets - 1}")
    return chosen
