"""Jets as sequences: constituents or declusterings in an order that means something."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from jetforge.errors import JetforgeError
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.images.alignment import hardest_first
from jetforge.physics.lund.leaf_order import leaf_order
from jetforge.physics.lund.tree import lund_arrays
from jetforge.physics.parallel import for_all_jets
from jetforge.representations._constituents import (
    check_columns,
    check_length,
    check_names,
    chosen_constituents,
    columns_of,
)
from jetforge.representations._packed import PackedBatch
from jetforge.representations._standard import Standardisation, StandardisedRepresentation
from jetforge.representations.base import register_representation
from jetforge.representations.cloud import PARTICLENET_FEATURES
from jetforge.representations.lund import LUND_VARIABLES

if TYPE_CHECKING:
    from jetforge.jets import Jets

SEQUENCE_ORDERS = ("pt", "tree", "lund")
"""Orders of a `SequenceRepresentation`."""

_WHAT = "sequence representation"


@dataclass(frozen=True, eq=False)
class SequenceBatch(PackedBatch):
    """The elements of some jets in their order, packed one jet after the other without padding.

    Attributes
    ----------
    features : Tensor, float32, shape (n_elements, n_features)
        Scaled features.
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the rows ``offsets[j]`` to ``offsets[j + 1]``.
    """

    features: torch.Tensor
    offsets: torch.Tensor


@register_representation("sequence")
class SequenceRepresentation(StandardisedRepresentation):
    """Each jet as a sequence of elements with scaled features.

    Parameters
    ----------
    features : sequence of str
        Of constituents: names among `jetforge.representations.CONSTITUENT_FEATURES`, or of further columns. Of
        declusterings: names among `jetforge.representations.LUND_VARIABLES`.
    order : str
        ``"pt"``: constituents, hardest first. ``"tree"``: constituents as they are met in the Cambridge/Aachen tree,
        the harder prong first (see `jetforge.physics.lund.leaf_order`). ``"lund"``: the declusterings of the primary
        Lund plane (arXiv:1807.04758), from the first, at large angle, to the last.
    max_length : int, optional
        How many elements are kept of a jet, all if not given: the hardest constituents, or the first declusterings.
    mean, std : sequence of float, optional
        The normalisation, one value a feature; `fit` finds it. Charges and flags are left as they are.
    clip : float, optional
        Largest absolute value that a scaled feature keeps.

    Raises
    ------
    JetforgeError
        If a value makes no sense.
    """

    def __init__(
        self,
        features: Sequence[str] = PARTICLENET_FEATURES,
        order: str = "pt",
        max_length: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        clip: float | None = None,
    ) -> None:
        self.features = check_names(_WHAT, "features", features, "[deta, dphi, log_pt]")
        if order not in SEQUENCE_ORDERS:
            raise JetforgeError(f"{_WHAT}: order is {order!r}; it must be one of {', '.join(SEQUENCE_ORDERS)}")
        self.order = order
        unknown = [name for name in self.features if order == "lund" and name not in LUND_VARIABLES]
        if unknown:
            raise JetforgeError(
                f"{_WHAT}: a declustering has no {unknown[0]}; choose features among {', '.join(LUND_VARIABLES)}"
            )
        self.max_length = check_length(_WHAT, max_length, "max_length")
        self._standardisation = Standardisation("sequence", self.features, mean, std, clip)

    def __repr__(self) -> str:
        state = "fitted" if self._standardisation.fitted else "not fitted"
        kept = f"max_length {self.max_length}" if self.max_length else "any length"
        return f"SequenceRepresentation({', '.join(self.features)}; order {self.order}; {kept}; {state})"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the constituents that are read beside the momenta, where they are there."""
        return () if self.order == "lund" else columns_of(self.features)

    def _rows(self, jets: "Jets | ak.Array") -> NDArray[np.float32]:
        """Return the features of the elements that are kept, before scaling."""
        return self._elements(jets)[1]

    def represent(self, jets: "Jets | ak.Array") -> SequenceBatch:
        """Represent jets.

        Raises
        ------
        DataError
            If the representation is not fitted, a momentum breaks a rule, or a feature is unknown or needs a column
            that is not there.
        """
        self._standardisation.check()
        offsets, features = self._elements(jets)
        return SequenceBatch(torch.from_numpy(self._standardisation.apply(features)), torch.from_numpy(offsets))

    def _elements(self, jets: "Jets | ak.Array") -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return where each jet's elements begin, and their features before scaling."""
        if self.order == "lund":
            return _primary_declusterings(jets, self.features, self.max_length)
        check_columns(_WHAT, jets, self.features)
        chosen = chosen_constituents(jets, self.features, self.max_length)
        if self.order == "pt":
            return chosen.offsets, chosen.features
        rows = np.empty(len(chosen.features), dtype=np.int64)
        flat = flat_of(jets)
        for_all_jets(_tree_kernel, len(chosen.offsets) - 1, flat, leaf_order(flat), chosen.offsets, rows)
        return chosen.offsets, chosen.features[rows]

    def to_dict(self) -> dict[str, Any]:
        """Return features, order, length and normalisation as plain JSON values."""
        return {
            "features": list(self.features),
            "order": self.order,
            "max_length": self.max_length,
            **self._standardisation.to_dict(),
        }


def _primary_declusterings(
    jets: "Jets | ak.Array", variables: tuple[str, ...], max_length: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return where the primary declusterings of each jet begin, and their variables, the first ones kept."""
    trees = lund_arrays(flat_of(jets))
    primary = np.flatnonzero(trees.is_primary)
    starts = np.searchsorted(primary, trees.offsets)
    counts = np.diff(starts)
    if max_length is not None:
        place = np.arange(len(primary)) - np.repeat(starts[:-1], counts)
        primary = primary[place < max_length]
        counts = np.minimum(counts, max_length)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    features = np.empty((len(primary), len(variables)), dtype=np.float32)
    for column, name in enumerate(variables):
        features[:, column] = getattr(trees, name)[primary]
    return offsets, features


@njit(cache=True, nogil=True, error_model="numpy")
def _tree_kernel(first: int, last: int, flat: FlatJets, leaves: Any, offsets: Any, rows: Any) -> None:
    """Write for the jets first <= j < last which rows, of the hardest in order of pT, follow each other in the tree."""
    for j in range(first, last):
        begin, end = flat.offsets[j], flat.offsets[j + 1]
        if begin == end:
            continue
        px, py = flat.px[begin:end], flat.py[begin:end]
        by_pt = hardest_first(end - begin, np.sqrt(px * px + py * py))
        place = np.empty(end - begin, dtype=np.int64)
        for k in range(end - begin):
            place[by_pt[k]] = k
        to, kept = offsets[j], offsets[j + 1] - offsets[j]
        for leaf in leaves[begin:end]:
            if place[leaf] < kept:
                rows[to] = offsets[j] + place[leaf]
                to += 1
