"""Intervals on efficiencies and rejections: exact binomial, effective counts, bootstrap."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

from jetforge.errors import DataError
from jetforge.evaluation.scores import FloatArray, IntArray, RankedScores, background_above

COVERAGE = math.erf(1 / math.sqrt(2))
"""Probability content of an interval of one standard deviation: 68.27 %."""

IntervalMethod = Literal["exact", "bootstrap"]


class Interval(NamedTuple):
    """A measured number and its 68.27 % interval; `value` and `high` may be infinite."""

    value: float
    low: float
    high: float

    def inverse(self) -> Interval:
        """Return 1/x: the rejection of an efficiency; 1/0 is infinite."""
        value, low, high = (math.inf if x <= 0 else 1 / x for x in (self.value, self.high, self.low))
        return Interval(value, low, high)

    def as_json(self) -> dict[str, float | None]:
        """Return {"value", "low", "high"} with None where infinite: JSON knows no infinity."""
        return {key: x if math.isfinite(x) else None for key, x in self._asdict().items()}


def check_method(interval: str) -> IntervalMethod:
    """Return `interval` if it names a method, or raise a DataError that lists them."""
    for method in get_args(IntervalMethod):
        if interval == method:
            return method  # type: ignore[no-any-return]
    raise DataError(f"interval: no method {interval!r}; choose from {', '.join(get_args(IntervalMethod))}")


def describe_method(interval: IntervalMethod, weighted: bool, num_bootstrap: int, seed: int) -> str:
    """Say in one line how the intervals were made, as `metrics.json` and the report print it."""
    if interval == "bootstrap":
        return (
            f"bootstrap over signal and background jets, threshold included, 68.27 % "
            f"({num_bootstrap} replicas, seed {seed})"
        )
    counts = "effective number" if weighted else "number"
    return f"exact binomial (Clopper-Pearson) on the {counts} of surviving background jets, threshold fixed, 68.27 %"


def clopper_pearson(
    passed: npt.ArrayLike, total: npt.ArrayLike, coverage: float = COVERAGE
) -> tuple[FloatArray, FloatArray]:
    """Central exact limits on the probability of a binomial process.

    Parameters
    ----------
    passed, total : array
        Jets that passed and jets tried. Real numbers are accepted: the limits are those of the beta
        distribution, which continue the binomial ones.
    coverage : float
        Probability content; the rest is shared equally between both sides, also where none or all passed.

    Returns
    -------
    low, high : array
        Never covers less than `coverage`, C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404.
    """
    total = np.asarray(total, dtype=np.float64)
    passed = np.clip(np.asarray(passed, dtype=np.float64), 0.0, total)
    tail = (1 - coverage) / 2
    failed = total - passed
    # Counts below 1e-9 are rounding errors of tied or weighted sums, and mean that none passed.
    none, every = passed < 1e-9, failed < 1e-9
    low = betaincinv(np.where(none, 1.0, passed), failed + 1, tail)
    high = betaincinv(passed + 1, np.where(every, 1.0, failed), 1 - tail)
    return np.where(none, 0.0, low), np.where(every, 1.0, high)


def efficiency_limits(
    efficiency: npt.ArrayLike, passed_squared: npt.ArrayLike, total: float, total_squared: float
) -> tuple[FloatArray, FloatArray]:
    """Clopper-Pearson limits on an efficiency, from effective counts where jets are weighted.

    The effective number of tried jets n is the one with which the binomial variance p(1-p)/n equals that
    of the weighted efficiency, sum w^2 (pass - p)^2 / (sum w)^2. For equal weights these are the counts
    themselves. Where none or all passed that variance is zero, and n = (sum w)^2 / sum w^2.

    Parameters
    ----------
    efficiency : array
        p = sum of the weights that passed over `total`.
    passed_squared : array
        Sum of the squared weights that passed.
    total, total_squared : float
        Sums of the weights, and of the squared weights, of all jets.
    """
    p = np.clip(np.asarray(efficiency, dtype=np.float64), 0.0, 1.0)
    variance = ((1 - 2 * p) * np.asarray(passed_squared) + p**2 * total_squared) / total**2
    binomial = p * (1 - p)
    usable = (variance > 0) & (binomial > 0)
    everything = total**2 / total_squared
    tried = np.where(usable, binomial / np.where(usable, variance, 1.0), everything)
    return clopper_pearson(p * tried, tried)


def bootstrap_efficiencies(ranked: RankedScores, efficiencies: FloatArray, num_bootstrap: int, seed: int) -> FloatArray:
    """Background efficiencies of bootstrap replicas at fixed signal efficiencies, (num_bootstrap, n_points).

    Signal and background jets are resampled apart, and the threshold is found anew in each replica. All
    weights being equal, this is done in closed form, whatever the number of jets: the rank of the
    threshold among N signal jets follows N times a beta distribution (that of the k-th of N uniform
    numbers), and the number of background jets above it is binomial. Otherwise jets are drawn.
    """
    if num_bootstrap < 100:
        raise DataError(f"num_bootstrap: {num_bootstrap} replicas give no 68 % interval; take 100 or more")
    if ranked.weighted:
        return _drawn_replicas(ranked, efficiencies, num_bootstrap, np.random.default_rng(seed))
    num_signal, num_background = ranked.num_signal, ranked.num_background
    # A stream for each efficiency: its interval does not depend on which others are asked for.
    streams = [np.random.default_rng((seed, round(efficiency * 1e9))) for efficiency in efficiencies]
    wanted = np.maximum(np.ceil(efficiencies * num_signal * (1 - 1e-12)), 1)
    quantiles = [rng.beta(k, num_signal - k + 1, num_bootstrap) for rng, k in zip(streams, wanted, strict=True)]
    ranks = np.ceil(num_signal * np.concatenate(quantiles))
    above = background_above(ranked.signal, ranked.background, ranks)[0].reshape(-1, num_bootstrap)
    chances = np.clip(above / num_background, 0.0, 1.0)
    survivors = [rng.binomial(num_background, p) for rng, p in zip(streams, chances, strict=True)]
    return np.stack(survivors, axis=1) / num_background


def _drawn_replicas(
    ranked: RankedScores, efficiencies: FloatArray, num_bootstrap: int, rng: np.random.Generator
) -> FloatArray:
    """Replicas from jets drawn with replacement; their weights follow them."""
    after = np.append(ranked.starts[1:], len(ranked.weights))
    classes = []
    for chosen in (ranked.is_signal, ~ranked.is_signal):
        # How many jets of the class have a distinct score or a higher one, and those jets' weights.
        classes.append((np.concatenate(([0], np.cumsum(chosen)))[after], ranked.weights[chosen]))
    replicas = np.empty((num_bootstrap, len(efficiencies)))
    for replica in range(num_bootstrap):
        signal, background = (_resampled(counts, weights, rng) for counts, weights in classes)
        if min(signal[-1], background[-1]) <= 0:
            raise DataError(
                "weights: jets drawn anew add up to no positive weight; the bootstrap has no meaning here, "
                "take interval='exact'"
            )
        kept = background_above(signal, background, efficiencies * signal[-1])[0]
        replicas[replica] = np.clip(kept / background[-1], 0.0, 1.0)
    return replicas


def _resampled(counts: IntArray, weights: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Weights drawn with replacement and cumulated, at every distinct score."""
    times = np.bincount(rng.integers(len(weights), size=len(weights)), minlength=len(weights))
    return np.concatenate(([0.0], np.cumsum(times * weights)))[counts]
