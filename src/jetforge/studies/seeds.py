"""Means over the seeds of a training, with what their spread says."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean over seeds and their standard deviation, NaN for a single one or where one is infinite."""
    known = len(values) > 1 and np.isfinite(values).all()
    return float(np.mean(values)), float(np.std(values, ddof=1)) if known else math.nan


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean over seeds and its error: the standard deviation over the root of their number."""
    mean, spread = mean_and_spread(values)
    return mean, spread / math.sqrt(len(values))
