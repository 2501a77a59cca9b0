"""How long a tagger takes for a jet."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Annotated

import torch
from pydantic import Field

from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.taggers import Tagger
from jetforge.taggers.base import evaluating

_REPEATS = 7
_LEAST_SECONDS = 0.05


@dataclass(frozen=True)
class Latency:
    """Microseconds a jet, on one thread of this machine's CPU; medians of several measurements.

    Attributes
    ----------
    network
        From the tensors that it reads to the logits.
    representation
        From the constituents to these tensors.
    batch_size
        Jets at a time.
    """

    network: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    representation: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    batch_size: Annotated[int, Field(gt=0)]

    @property
    def total(self) -> float:
        """From the constituents to the logits."""
        return self.network + self.representation


def measure_latency(tagger: Tagger, jets: Jets, batch_size: int = 256) -> Latency:
    """Measure how long a tagger takes for a jet, on one thread of the CPU.

    Parameters
    ----------
    tagger
        On the CPU; its representation is fitted.
    jets
        As many as a batch, or more; the first are taken.
    batch_size
        Jets at a time: with 1 much of the time is Python's own.

    Raises
    ------
    DataError
        If there are fewer jets than a batch.
    """
    if len(jets) < batch_size:
        raise DataError(f"latency: a batch of {batch_size} jets is asked for, there are {len(jets)}")
    some = jets[:batch_size]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), evaluating(tagger):
            batch = tagger.representation(some)
            network = _seconds(lambda: tagger(batch))
            representation = _seconds(lambda: tagger.representation(some))
    finally:
        torch.set_num_threads(threads)
    return Latency(1e6 * network / batch_size, 1e6 * representation / batch_size, batch_size)


def _seconds(work: object) -> float:
    """Return the median seconds of a call, each measurement being of as many as take some time."""
    assert callable(work)
    work()
    start = time.perf_counter()
    work()
    once = max(time.perf_counter() - start, 1e-9)
    times = max(1, int(_LEAST_SECONDS / once))
    measured = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        for _ in range(times):
            work()
        measured.append((time.perf_counter() - start) / times)
    return median(measured)
