"""Lund trees as packed nodes with a table of neighbours: what the LundNet taggers read (arXiv:2012.08526)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import awkward as ak
import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.flat import flatten
from jetforge.physics.lund import LundArrays, lund_arrays
from jetforge.representations._indices import checked_indices
from jetforge.representations._moments import Moments
from jetforge.representations.base import Representation, register_representation

if TYPE_CHECKING:
    from jetforge.jets import Jets

LUND_VARIABLES = ("ln_kt", "ln_delta", "ln_z", "ln_m", "psi")

# A variable that does not vary is only centred, not blown up.
_SMALLEST_STD = 1e-6


@njit(cache=True)  # type: ignore[misc, unused-ignore]
def _fill_neighbours(offsets: NDArray[np.int64], parent: NDArray[np.int64], neighbours: NDArray[np.int32]) -> int:
    """Fill the table (n, 3) of parent and children; return -1, or the first jet that is not such a tree."""
    for jet in range(len(offsets) - 1):
        first = offsets[jet]
        for node in range(first, offsets[jet + 1]):
            local = parent[node]
            if node == first:
                if local != -1:
                    return jet
                continue
            if local < 0 or local >= node - first:
                return jet
            above = first + local
            neighbours[node, 0] = above
            if neighbours[above, 1] < 0:
                neighbours[above, 1] = node
            elif neighbours[above, 2] < 0:
                neighbours[above, 2] = node
            else:
                return jet
    return -1


@dataclass(frozen=True, eq=False)
class LundBatch:
    """The Lund trees of some jets, packed one after the other without padding.

    Attributes
    ----------
    features : Tensor, float32, shape (n_nodes, n_variables)
        The variables of every declustering, jet after jet; the first node of a jet is its root.
    neighbours : Tensor, int32, shape (n_nodes, 3)
        Parent and the two children of every node, as rows of ``features``; -1 where there is none.
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the nodes ``offsets[j]`` to ``offsets[j + 1]``; a jet may own none.
    num_links : int
        Number of parent-child links, known without asking the device.
    """

    features: torch.Tensor
    neighbours: torch.Tensor
    offsets: torch.Tensor
    num_links: int

    @classmethod
    def from_trees(cls, features: NDArray[Any], parent: NDArray[np.int64], offsets: NDArray[np.int64]) -> Self:
        """Pack trees given by the parent of each node.

        Parameters
        ----------
        features : array, shape (n_nodes, n_variables)
            Variables of each node; stored as float32.
        parent : array, int64, shape (n_nodes,)
            Index, within the jet, of each node's parent: -1 for the first node, an earlier node for the
            others.
        offsets : array, int64, shape (n_jets + 1,)
            Where each jet's nodes begin.

        Raises
        ------
        DataError
            If a jet's nodes are no binary tree in that order.
        """
        neighbours = np.full((len(parent), 3), -1, dtype=np.int32)
        broken = _fill_neighbours(
            np.ascontiguousarray(offsets, np.int64), np.ascontiguousarray(parent, np.int64), neighbours
        )
        if broken >= 0:
            raise DataError(
                f"jet {broken}: its declusterings are no binary tree in which the root comes first, "
                "with parent -1, and every parent precedes its at most two children"
            )
        return cls(
            torch.from_numpy(np.ascontiguousarray(features, np.float32)),
            torch.from_numpy(neighbours),
            torch.from_numpy(np.array(offsets, np.int64)),
            len(parent) - int(np.count_nonzero(np.diff(offsets))),
        )

    @classmethod
    def concatenate(cls, batches: Sequence[Self]) -> Self:
        """Return the jets of all batches, one batch after the other."""
        starts = np.cumsum([0] + [batch.num_nodes for batch in batches]).tolist()
        return cls(
            torch.cat([batch.features for batch in batches]),
            torch.cat([_shifted(b.neighbours, start) for b, start in zip(batches, starts, strict=False)]),
            torch.cat(
                [
                    batches[0].offsets[:1],
                    *(b.offsets[1:] + start for b, start in zip(batches, starts, strict=False)),
                ]
            ),
            sum(batch.num_links for batch in batches),
        )

    def __len__(self) -> int:
        """Return the number of jets."""
        return len(self.offsets) - 1

    @property
    def num_nodes(self) -> int:
        """Number of declusterings of all jets."""
        return len(self.features)

    def __getitem__(self, index: slice) -> "LundBatch":
        """Return a contiguous range of jets; features are a view, not a copy."""
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise IndexError("a range of jets must be contiguous; use take(indices) for anything else")
        stop = max(start, stop)
        offsets = self.offsets[start : stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        return LundBatch(
            self.features[first:last],
            _shifted(self.neighbours[first:last], -first),
            offsets - first,
            last - first - int(torch.count_nonzero(offsets.diff())),
        )

    def take(self, indices: torch.Tensor | NDArray[np.integer[Any]]) -> "LundBatch":
        """Return the jets at ``indices``, shape (n,), in that order; a jet may be taken more than once."""
        chosen = checked_indices(indices, len(self), self.offsets.device)
        starts, sizes = self.offsets[chosen], self.offsets.diff()[chosen]
        offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        num_nodes = int(offsets[-1])
        shifts = torch.repeat_interleave(starts - offsets[:-1], sizes, output_size=num_nodes)
        rows = torch.arange(num_nodes, device=shifts.device) + shifts
        return LundBatch(
            self.features.index_select(0, rows),
            _shifted(self.neighbours.index_select(0, rows), -shifts.to(torch.int32).unsqueeze(1)),
            offsets,
            num_nodes - int(torch.count_nonzero(sizes)),
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "LundBatch":
        """Return the same jets on another device."""
        return LundBatch(
            self.features.to(device, non_blocking=non_blocking),
            self.neighbours.to(device, non_blocking=non_blocking),
            self.offsets.to(device, non_blocking=non_blocking),
            self.num_links,
        )

    def pin_memory(self) -> "LundBatch":
        """Return the same jets in page-locked memory, from where copies to a device can overlap with work."""
        return LundBatch(
            self.features.pin_memory(),
            self.neighbours.pin_memory(),
            self.offsets.pin_memory(),
            self.num_links,
        )


def _shifted(neighbours: torch.Tensor, shift: torch.Tensor | int) -> torch.Tensor:
    """Move every present index of a neighbour table by ``shift``."""
    return torch.where(neighbours < 0, neighbours, neighbours + shift)


@register_representation("lund")
class LundRepresentation(Representation):
    """Each jet as its Lund tree, every variable centred and scaled by its spread over the training jets.

    Parameters
    ----------
    variables : sequence of str
        Variables of each node, in that order, among ``ln_kt, ln_delta, ln_z, ln_m, psi``. The published
        choices (arXiv:2012.08526) are those of LundNet5, 4, 3 and 2.
    mean, std : sequence of float, optional
        The normalisation, one value a variable; `fit` finds it.

    Raises
    ------
    JetforgeError
        If a variable is unknown or named twice, or the normalisation does not fit the variables.
    """

    def __init__(
        self,
        variables: Sequence[str] = LUND_VARIABLES,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        if isinstance(variables, str) or not isinstance(variables, Iterable):
            raise JetforgeError(f"lund variables {variables!r}: give a list such as [ln_kt, ln_delta]")
        self.variables = tuple(variables)
        unknown = [name for name in self.variables if name not in LUND_VARIABLES]
        if unknown or not self.variables or len(set(self.variables)) < len(self.variables):
            raise JetforgeError(
                f"lund variables {list(self.variables)}: choose one or more of {', '.join(LUND_VARIABLES)}, each once"
            )
        if (mean is None) != (std is None):
            raise JetforgeError("lund representation: give both mean and std, or neither")
        self.mean = None if mean is None else self._checked("mean", mean)
        self.std = None if std is None else self._checked("std", std)
        if self.std is not None and not (self.std > 0).all():
            raise JetforgeError(f"lund representation: std {self.std.tolist()} must be positive")

    def _checked(self, what: str, values: Sequence[float]) -> NDArray[np.float64]:
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.shape != (len(self.variables),) or not np.isfinite(array).all():
            raise JetforgeError(
                f"lund representation: {what} must be {len(self.variables)} finite numbers, one a variable"
            )
        return array

    def __repr__(self) -> str:
        state = "not fitted" if self.mean is None else "fitted"
        return f"LundRepresentation({', '.join(self.variables)}; {state})"

    @property
    def fitted(self) -> bool:
        """Whether jets can be represented."""
        return self.mean is not None

    def fit_normalisation(self, blocks: "Iterable[Jets | ak.Array]") -> None:
        """Find mean and standard deviation of each variable over all nodes of all jets, unweighted.

        Parameters
        ----------
        blocks : iterable of Jets or of awkward arrays of constituents
            Training jets, in blocks of any size; each block is read once and not kept.

        Raises
        ------
        DataError
            If there is no declustering at all.
        """
        moments = Moments.of(np.zeros((0, len(self.variables))))
        for jets in blocks:
            moments = moments.merge(Moments.of(self._variables_of(_trees(jets))))
        if moments.count == 0:
            raise DataError("cannot fit the lund representation: no jet has two constituents or more")
        self.mean = moments.mean
        self.std = np.where(moments.std > _SMALLEST_STD, moments.std, 1.0)

    def represent(self, jets: "Jets | ak.Array") -> LundBatch:
        """Decluster jets and pack their trees.

        Parameters
        ----------
        jets : Jets or awkward array of constituents
            The jets; one constituent gives a tree without nodes.

        Raises
        ------
        DataError
            If the representation is not fitted.
        """
        if self.mean is None or self.std is None:
            raise DataError("the lund representation has no normalisation yet: call fit on training jets")
        trees = _trees(jets)
        return LundBatch.from_trees((self._variables_of(trees) - self.mean) / self.std, trees.parent, trees.offsets)

    def _variables_of(self, trees: LundArrays) -> NDArray[np.float64]:
        return np.stack([getattr(trees, name) for name in self.variables], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return variables, mean and std as plain JSON values."""
        return {
            "variables": list(self.variables),
            "mean": None if self.mean is None else self.mean.tolist(),
            "std": None if self.std is None else self.std.tolist(),
        }

    @property
    def num_features(self) -> int:
        """Number of variables of a node."""
        return len(self.variables)


def _trees(jets: "Jets | ak.Array") -> LundArrays:
    if isinstance(jets, ak.Array):
        return lund_arrays(flatten(jets))
    if not hasattr(jets, "flat") or isinstance(jets, np.ndarray):
        raise DataError(f"jets are Jets or an awkward array of constituents, not {type(jets).__name__}")
    return lund_arrays(jets.flat)
