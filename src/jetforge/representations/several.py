"""Several representations of the same jets side by side, for networks that read more than one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue
from threading import Event
from typing import TYPE_CHECKING, Any, Self

import awkward as ak
import numpy as np
import torch
from numpy.typing import NDArray

from jetforge.errors import JetforgeError
from jetforge.representations.base import (
    Batch,
    Representation,
    make_representation,
    register_representation,
    representation_from_dict,
    representation_to_dict,
)

if TYPE_CHECKING:
    from jetforge.jets import Jets


@dataclass(frozen=True, eq=False)
class SeveralBatch:
    """The same jets in several representations.

    Attributes
    ----------
    parts : mapping of str to Batch
        One batch a representation, of the same jets in the same order.
    """

    parts: Mapping[str, Any]

    @classmethod
    def concatenate(cls, batches: "Sequence[Any]") -> Self:
        """Return the jets of all batches, one batch after the other."""
        first = batches[0].parts
        return cls({name: type(first[name]).concatenate([batch.parts[name] for batch in batches]) for name in first})

    def __len__(self) -> int:
        """Return the number of jets."""
        return len(next(iter(self.parts.values())))

    def __getitem__(self, index: slice) -> Self:
        """Return a contiguous range of jets."""
        return type(self)({name: part[index] for name, part in self.parts.items()})

    def take(self, indices: torch.Tensor | NDArray[np.integer[Any]]) -> Self:
        """Return the jets at ``indices``, shape (n,), in that order; a jet may be taken more than once."""
        return type(self)({name: part.take(indices) for name, part in self.parts.items()})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return the same jets on another device."""
        return type(self)({name: part.to(device, non_blocking=non_blocking) for name, part in self.parts.items()})

    def pin_memory(self) -> Self:
        """Return the same jets in page-locked memory, from where copies to a device can overlap with work."""
        return type(self)({name: part.pin_memory() for name, part in self.parts.items()})


@register_representation("several")
class SeveralRepresentation(Representation):
    """Each jet in several representations, by name.

    Parameters
    ----------
    parts : mapping of str to Representation
        The representations. A mapping in the place of one holds its ``name`` and settings; what is not given has the
        value that the representation has by default.

    Raises
    ------
    JetforgeError
        If there is none, or a value makes no sense.
    """

    def __init__(self, parts: Mapping[str, Representation | Mapping[str, Any]]) -> None:
        if not isinstance(parts, Mapping) or not parts or not all(isinstance(name, str) and name for name in parts):
            raise JetforgeError(
                "several representation: parts are representations by name, such as {image: ..., sequence: ...}"
            )
        self.parts = {name: self._part(name, part) for name, part in parts.items()}

    def _part(self, name: str, part: Representation | Mapping[str, Any]) -> Representation:
        if isinstance(part, Representation):
            return part
        if not isinstance(part, Mapping) or "name" not in part:
            raise JetforgeError(
                f"several representation: the part {name} needs the name of a representation, such as "
                "{name: image, size: 40}"
            )
        if part["name"] == self.name:
            raise JetforgeError(f"several representation: the part {name} is several itself; give its parts here")
        return make_representation(part, self)

    def __repr__(self) -> str:
        return f"SeveralRepresentation({', '.join(f'{name}: {part!r}' for name, part in self.parts.items())})"

    @property
    def num_features(self) -> int:
        """Number of features of an element, summed over the parts."""
        return sum(part.num_features for part in self.parts.values())

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the constituents that any part reads beside the momenta, where they are there."""
        return tuple(dict.fromkeys(column for part in self.parts.values() for column in part.columns))

    @property
    def fitted(self) -> bool:
        """Whether jets can be represented."""
        return all(part.fitted for part in self.parts.values())

    def fit_normalisation(self, blocks: "Iterable[Jets | ak.Array]") -> None:
        """Fit all parts; each block is read once, goes to every part, and is not kept.

        Raises
        ------
        DataError
            If a part cannot be fitted.
        """
        lanes: list[Queue[Any]] = [Queue(maxsize=1) for _ in self.parts]
        failed = Event()
        with ThreadPoolExecutor(len(lanes)) as pool:
            fits = [pool.submit(_fit, *pair, failed) for pair in zip(self.parts.values(), lanes, strict=True)]
            last: BaseException | None = None  # what ends the blocks: nothing more, or an error in reading them
            try:
                for jets in blocks:
                    for lane in lanes:
                        lane.put(jets)
                    if failed.is_set():
                        break
            except BaseException as error:
                last = error
                raise
            finally:
                for lane in lanes:
                    lane.put(last)
            for fit in fits:
                fit.result()

    def represent(self, jets: "Jets | ak.Array") -> SeveralBatch:
        """Represent jets.

        Raises
        ------
        DataError
            If a part is not fitted, or cannot represent these jets.
        """
        parts: dict[str, Batch] = {name: part(jets) for name, part in self.parts.items()}
        return SeveralBatch(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the parts, by name, as plain JSON values."""
        return {"parts": {name: representation_to_dict(part) for name, part in self.parts.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the representation that `to_dict` described.

        Raises
        ------
        JetforgeError
            If a value is missing, unknown or makes no sense.
        """
        parts = values.get("parts")
        if set(values) != {"parts"} or not isinstance(parts, Mapping):
            raise JetforgeError(f"several representation: needs parts alone, got {', '.join(sorted(values)) or 'none'}")
        if not all(isinstance(part, Mapping) for part in parts.values()):
            raise JetforgeError("several representation: each part needs the name of a representation and settings")
        return cls({name: representation_from_dict(dict(part)) for name, part in parts.items()})


def _arriving(lane: "Queue[Any]") -> Iterator[Any]:
    """Give the blocks that arrive until None; an error that arrives is raised."""
    while (block := lane.get()) is not None:
        if isinstance(block, BaseException):
            raise block
        yield block


def _fit(part: Representation, lane: "Queue[Any]", failed: Event) -> None:
    blocks = _arriving(lane)
    try:
        part.fit(blocks)
    except BaseException:
        failed.set()
        raise
    finally:
        for _ in blocks:  # a part that reads no blocks, or stops, must not hold up the others
            pass
