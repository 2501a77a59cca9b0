"""Features centred and scaled by what training jets showed, or by published numbers."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jetforge.errors import DataError, JetforgeError
from jetforge.representations._moments import Moments
from jetforge.representations.base import Representation

if TYPE_CHECKING:
    import awkward as ak

    from jetforge.jets import Jets

# A feature that does not vary is only centred, not blown up.
_SMALLEST_STD = 1e-6
# Flags and charges stay what they are.
_AS_THEY_ARE = ("charge",)
_FLAGS = "is_"


class Standardisation:
    """Mean and spread of named features.

    Parameters
    ----------
    what : str
        Name of the representation, for errors.
    names : sequence of str
        The features.
    mean, std : sequence of float, optional
        One value a feature; `fit` finds them.
    clip : float or sequence of pairs, optional
        Largest absolute value that a scaled feature keeps; or the smallest and the largest, one pair a feature.

    Raises
    ------
    JetforgeError
        If the numbers do not fit the features.
    """

    def __init__(
        self,
        what: str,
        names: Sequence[str],
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        clip: float | Sequence[Sequence[float]] | None = None,
    ) -> None:
        self.what, self.names = what, tuple(names)
        if (mean is None) != (std is None):
            raise JetforgeError(f"{what} representation: give both mean and std, or neither")
        self.mean = None if mean is None else self._checked("mean", mean)
        self.std = None if std is None else self._checked("std", std)
        if self.std is not None and not (self.std > 0).all():
            raise JetforgeError(f"{what} representation: std {self.std.tolist()} must be positive")
        self.clip = None if clip is None else self._checked_clip(clip)

    def _checked_clip(self, clip: float | Sequence[Sequence[float]]) -> float | NDArray[np.float64]:
        if isinstance(clip, int | float) and not isinstance(clip, bool) and clip > 0:
            return float(clip)
        try:
            pairs = np.asarray(clip, dtype=np.float64)
        except (TypeError, ValueError):
            pairs = np.empty(0)
        if pairs.shape != (len(self.names), 2) or not (pairs[:, 0] < pairs[:, 1]).all():
            raise JetforgeError(
                f"{self.what} representation: clip is {clip!r}; it must be a number above 0, or a smallest and a "
                "largest number for each feature"
            )
        return pairs

    def _checked(self, what: str, values: Sequence[float]) -> NDArray[np.float64]:
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.shape != (len(self.names),) or not np.isfinite(array).all():
            raise JetforgeError(
                f"{self.what} representation: {what} must be {len(self.names)} finite numbers, one a feature"
            )
        return array

    @property
    def fitted(self) -> bool:
        """Whether mean and spread are known."""
        return self.mean is not None or not self.names

    def fit(self, blocks: Iterable[NDArray[Any]]) -> None:
        """Find mean and standard deviation of each feature over all rows of all blocks, unweighted.

        Raises
        ------
        DataError
            If there is no row.
        """
        moments = Moments.of(np.zeros((0, len(self.names))))
        for rows in blocks:
            moments = moments.merge(Moments.of(rows.astype(np.float64)))
        if moments.count == 0:
            raise DataError(f"cannot fit the {self.what} representation: the training jets have nothing to learn from")
        raw = np.array([name in _AS_THEY_ARE or name.startswith(_FLAGS) for name in self.names], dtype=bool)
        self.mean = np.where(raw, 0.0, moments.mean)
        self.std = np.where(raw | (moments.std <= _SMALLEST_STD), 1.0, moments.std)

    def apply(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Centre and scale rows, shape (n, n_features), in place.

        Raises
        ------
        DataError
            If mean and spread are not known.
        """
        self.check()
        if self.mean is not None and self.std is not None:
            rows -= self.mean.astype(np.float32)
            rows *= (1 / self.std).astype(np.float32)
        if isinstance(self.clip, float):
            np.clip(rows, -self.clip, self.clip, out=rows)
        elif self.clip is not None:
            np.clip(rows, *self.clip.T.astype(np.float32), out=rows)
        return rows

    def check(self) -> None:
        """Refuse to go on without mean and spread.

        Raises
        ------
        DataError
            If they are not known.
        """
        if not self.fitted:
            raise DataError(f"the {self.what} representation has no normalisation yet: call fit on training jets")

    def to_dict(self) -> dict[str, Any]:
        """Return mean, std and clip as plain JSON values."""
        return {
            "mean": None if self.mean is None else self.mean.tolist(),
            "std": None if self.std is None else self.std.tolist(),
            "clip": self.clip.tolist() if isinstance(self.clip, np.ndarray) else self.clip,
        }


class StandardisedRepresentation(Representation):
    """A representation whose elements, constituents or whole jets, are rows of features, each centred and scaled."""

    _standardisation: Standardisation

    @abstractmethod
    def _rows(self, jets: "Jets | ak.Array") -> NDArray[np.float32]:
        """Return the features of all elements of some jets before scaling, shape (n_elements, n_features)."""

    @property
    def num_features(self) -> int:
        """Number of features of an element."""
        return len(self._standardisation.names)

    @property
    def fitted(self) -> bool:
        """Whether jets can be represented."""
        return self._standardisation.fitted

    def fit_normalisation(self, blocks: "Iterable[Jets | ak.Array]") -> None:
        """Find mean and standard deviation of each feature over the elements kept of all jets, unweighted.

        Raises
        ------
        DataError
            If there is no element, or a feature is unknown or needs what the jets do not have.
        """
        self._standardisation.fit(self._rows(jets) for jets in blocks)
