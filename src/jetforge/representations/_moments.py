"""Mean and variance of columns, streamed and mergeable."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of each column of the rows seen so far, in float64."""

    count: int
    mean: NDArray[np.float64]
    squared_deviations: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.float64]) -> Self:
        """Return the moments of ``rows``, shape (n, columns)."""
        if len(rows) == 0:
            return cls(0, np.zeros(rows.shape[1]), np.zeros(rows.shape[1]))
        mean = rows.mean(axis=0)
        return cls(len(rows), mean, np.square(rows - mean).sum(axis=0))

    def merge(self, other: Self) -> Self:
        """Return the moments of the rows of both (Chan, Golub and LeVeque, Am. Stat. 37 (1983) 242)."""
        count = self.count + other.count
        if count == 0:
            return self
        step = other.mean - self.mean
        return type(self)(
            count,
            self.mean + step * (other.count / count),
            self.squared_deviations + other.squared_deviations + np.square(step) * (self.count * other.count / count),
        )

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of each column over all rows (divided by the count)."""
        return np.sqrt(self.squared_deviations / max(self.count, 1))
