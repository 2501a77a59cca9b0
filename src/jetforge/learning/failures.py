"""What stops a training that goes wrong, in one line: a loss that is no number, too little memory."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch

from jetforge.errors import JetforgeError, first_line
from jetforge.learning.loader import LARGER_TO_VALIDATE

# Of the jets that are to blame, so many are named.
_NAMED_JETS = 3
_OUT_OF_MEMORY = ("defaultcpuallocator", "can't allocate memory", "out of memory")


class NotFinite(NamedTuple):
    """The first batch whose loss was not finite: where in the epoch, and which of its jets, numbered in the split."""

    epoch: int
    batch: int
    step: int
    bad: npt.NDArray[np.int64]
    num_jets: int

    def error(self, split: str, where: Callable[[int], str]) -> JetforgeError:
        """Return the one-line error; `where` gives file and row of a jet."""
        named = ", ".join(f"{number} ({where(int(number))})" for number in self.bad[:_NAMED_JETS].tolist())
        more = f" and {len(self.bad) - _NAMED_JETS} more" if len(self.bad) > _NAMED_JETS else ""
        which = f"all {self.num_jets} jets of the batch" if len(self.bad) == self.num_jets else f"{len(self.bad)} jets"
        return JetforgeError(
            f"the loss is not finite in epoch {self.epoch}, batch {self.batch} (step {self.step}), for {which}, in the "
            f"split '{split}' the numbers {named}{more}: lower training.learning_rate, use precision 32-true, or look "
            "at these jets"
        )


class LossWatch:
    """Remembers the losses of the last batches and finds the first that is not finite.

    A device is not asked after each batch, which would make it wait: its losses are kept until they are looked at.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[int, int, int, torch.Tensor, npt.NDArray[np.int64]]] = []

    def __len__(self) -> int:
        """Return the number of batches that have not been looked at."""
        return len(self._kept)

    def add(self, epoch: int, batch: int, step: int, losses: torch.Tensor, numbers: npt.NDArray[np.int64]) -> None:
        """Keep the losses, shape (n_jets,), of a batch and the numbers of its jets."""
        self._kept.append((epoch, batch, step, losses.detach(), numbers))

    def first(self) -> NotFinite | None:
        """Return the first batch with a loss that is not finite, and forget all batches."""
        kept, self._kept = self._kept, []
        if not kept or torch.stack([losses.sum() for *_, losses, _ in kept]).isfinite().all():
            return None
        for epoch, batch, step, losses, numbers in kept:
            bad = ~losses.isfinite().cpu().numpy()
            if bad.any():
                return NotFinite(epoch, batch, step, numbers[bad], len(numbers))
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a device or the machine has no memory left."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _OUT_OF_MEMORY)


def largest_that_fits(step: Callable[[int], None], size: int) -> int | None:
    """Return the first of half, a quarter, ... of a size with which a step has enough memory; None if none has."""
    while size > 1:
        size //= 2
        try:
            step(size)
        except Exception as error:
            if not is_out_of_memory(error):
                return None
            _let_go(error)
        else:
            return size
    return None


class MemoryAdvice(pl.Callback):
    """Finds out, when memory has run out, with how many jets a batch it would not.

    Attributes
    ----------
    advice : str or None
        One line, if memory ran out.
    """

    def __init__(self) -> None:
        self.advice: str | None = None

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Try smaller batches of the same jets while the tagger is still on its device."""
        if not is_out_of_memory(exception):
            return
        running = pl_module.running
        if running is None:
            self.advice = (
                f"out of memory outside of the training steps ({first_line(exception)}): lower training.cache_jets, "
                "or use fewer processes"
            )
            return
        _let_go(exception)
        section, size = pl_module.training_section, len(running.labels)
        fits = largest_that_fits(lambda jets: pl_module.try_batch(running.rows(slice(0, jets))), size)
        start = f"out of memory with batch_size {section.batch_size} on {pl_module.device}"
        if not pl_module.trainer.training:
            start = f"out of memory on {pl_module.device} when {size} jets were validated at once"
            # A batch to train with is smaller than one to validate.
            fits = None if fits is None else max(fits // LARGER_TO_VALIDATE, 1)
        if fits is None:
            self.advice = f"{start}: not even one jet fits; use a smaller tagger or representation.max_constituents"
            return
        steps = section.accumulate * -(-section.batch_size // fits)
        size = -(-section.accumulate * section.batch_size // steps)
        self.advice = (
            f"{start}; {fits} fits (use training.batch_size: {size} with training.accumulate: {steps} for steps of as "
            "many jets)"
        )


def _let_go(error: BaseException) -> None:
    """Free the memory that an error's frames hold on to."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
