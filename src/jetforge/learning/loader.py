"""Batches for training: whole blocks of jets to tensors, shuffled from a seed, the same again after a resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from jetforge.errors import RecipeError
from jetforge.jets.dataset import BlocksOf, Dataset
from jetforge.jets.edit.fields import each_part
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import Part
from jetforge.representations import Batch, Representation

_BLOCK_JETS = 50_000
# No split is kept in memory that takes more bytes, as so many of its jets say: the same on every machine, since the
# order of the jets depends on whether it is kept.
_KEPT_BYTES, _WEIGHED_JETS = 4 << 30, 1000
# Nothing is kept of a batch for a backward pass when it is validated: it may be so many times as large.
LARGER_TO_VALIDATE = 4
# Jets are sorted by length within so many batches at a time: enough for batches of like jets, few enough for chance.
_WINDOW_BATCHES = 64
NO_LABEL = -1
"""What stands for the class of a jet that has no label."""

NUMBER = " number in the split"
"""The jet field in which each jet's number travels; no stored field has such a name."""


class TrainingBatch(NamedTuple):
    """What a training step gets.

    Attributes
    ----------
    jets : Batch
        Represented jets.
    labels : Tensor, int64, shape (n_jets,)
        Class of each jet; `NO_LABEL` where it has none.
    weights : Tensor, float32, shape (n_jets,)
        Weight of each jet.
    numbers : array, int64, shape (n_jets,)
        Place of each jet within its split, from 0. Always on the CPU: it says which jets these are, no more.
    targets : Tensor, float32, shape (n_jets,), optional
        What an auxiliary head is to find.
    beside : Tensor, shape (n_jets, width), optional
        What else is known of each jet, such as a teacher's outputs.
    """

    jets: Batch
    labels: torch.Tensor
    weights: torch.Tensor
    numbers: npt.NDArray[np.int64]
    targets: torch.Tensor | None = None
    beside: torch.Tensor | None = None

    def rows(self, rows: slice | npt.NDArray[np.int64]) -> TrainingBatch:
        """Return some of the jets: a contiguous range, or those at an array of indices, in that order."""
        jets = self.jets[rows] if isinstance(rows, slice) else self.jets.take(torch.from_numpy(rows))
        targets, beside = (None if part is None else part[rows] for part in (self.targets, self.beside))
        return TrainingBatch(jets, self.labels[rows], self.weights[rows], self.numbers[rows], targets, beside)


class _NumberedDataset(Dataset):
    """A dataset whose jets know their number within the split."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset.path, dataset.manifest, dataset.limits)
        self._inner = dataset

    def num_jets(self, split: str) -> int:
        """Return the number of jets in a split."""
        return self._inner.num_jets(split)

    def parts(self, split: str) -> Sequence[Part]:
        """Return the parts of a split."""
        return self._inner.parts(split)

    def read_part(self, split: str, index: int, columns: Sequence[str] | None = None) -> Jets:
        """Read one part; see `Dataset.read_part`."""
        jets = self._inner.read_part(split, index, columns)
        first = sum(part.jets for part in self.parts(split)[:index])
        numbers = np.arange(first, first + len(jets), dtype=np.int64)
        return Jets(jets.offsets, jets.columns, {**jets.fields, NUMBER: numbers})


class BatchLoader:
    """Batches of one split of a dataset.

    A split of at most `cache_jets` jets that takes no more than 4 GiB is represented once and kept in memory; a larger
    one is streamed and represented again in each epoch, block by block, in bounded memory.

    Parameters
    ----------
    dataset, split
        Where the jets come from.
    representation
        Fitted.
    batch_size
        Jets a batch, in each process.
    shuffle, seed
        Whether and from which seed each epoch's order is drawn.
    cache_jets
        Largest split that is kept in memory.
    shard
        Gives which of how many processes this is: process r of n takes every n-th batch.
    bucket
        Whether each batch holds jets of similar length: within windows of 64 batches they are sorted by length, and
        then the batches are shuffled. The order follows from the seed alone, here too.
    target
        Makes the target of an auxiliary head of jets, shape (n_jets,).
    made
        What is read of the jets of the split, in their order, where it is not the representation that makes it.
    beside
        Rows to go with the jets of the split, in their order.

    Attributes
    ----------
    epoch : Callable[[], int]
        Gives the epoch whose order the next iteration follows.
    skip : int
        How many batches the next iteration leaves out: those of the epoch that came before a resume.
    """

    def __init__(
        self, dataset: Dataset, split: str, representation: Representation, batch_size: int, *,
        shuffle: bool = False, seed: int = 0, cache_jets: int = 500_000,
        shard: Callable[[], tuple[int, int]] = lambda: (0, 1), bucket: bool = False,
        target: Callable[[Jets], npt.NDArray[np.float32]] | None = None, made: Batch | None = None,
        beside: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        self._numbered = _NumberedDataset(dataset)
        self._bucket, self._target, self._beside = bucket, target, beside
        self.dataset, self.split, self.representation = dataset, split, representation
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self._columns = dataset.present(representation.columns)
        self.shard = shard
        self.epoch: Callable[[], int] = lambda: 0
        self.skip = 0
        self._given = 0
        self._cache_jets = cache_jets
        self._kept: TrainingBatch | None = None if made is None else self._labelled(made)

    def __len__(self) -> int:
        """Return the number of batches that this process gets in an epoch."""
        num_batches = -(-self.dataset.num_jets(self.split) // self.batch_size)
        rank, processes = self.shard()
        if self.shuffle and processes > 1:
            # Every process must take the same number of steps.
            return num_batches // processes
        return len(range(rank, num_batches, processes))

    def __iter__(self) -> Iterator[TrainingBatch]:
        self._given, self.skip = self.skip, 0
        rank, processes = self.shard()
        mine = range(rank, rank + len(self) * processes, processes)[self._given :]
        for batch in self._from_memory(mine) if self._keep else self._from_disk(mine):
            self._given += 1
            yield batch if self._beside is None else batch._replace(beside=self._beside[batch.numbers])

    def state_dict(self) -> dict[str, int]:
        """Return how many batches of the epoch were handed out, for a checkpoint."""
        return {"given": self._given, "of": len(self), "processes": self.shard()[1]}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on after the batches that a checkpoint says were handed out.

        Raises
        ------
        RecipeError
            If the checkpoint lies within an epoch and was written by another number of processes.
        """
        if state_dict["given"] == state_dict["of"]:
            self.skip = 0
            return
        processes = self.shard()[1]
        if state_dict["processes"] != processes:
            raise RecipeError(
                f"the checkpoint lies within an epoch of {state_dict['processes']} processes, not {processes}: "
                "go on with the same --devices and --num-nodes, or --overwrite"
            )
        self.skip = state_dict["given"]

    def where(self, number: int) -> str:
        """Return in which file and row a jet of the split is, given its number."""
        for part in self.dataset.parts(self.split):
            if number < part.jets:
                return f"{part.file} row {number}"
            number -= part.jets
        raise IndexError(f"the split '{self.split}' has no such jet")

    @cached_property
    def _keep(self) -> bool:
        """Whether the split is kept in memory."""
        if self._kept is not None:
            return True
        num_jets = self.dataset.num_jets(self.split)
        if num_jets > self._cache_jets:
            return False
        parts = self.dataset.parts(self.split)
        first = next((index for index, part in enumerate(parts) if part.jets), None)
        if first is None:
            return True
        some = self._represent(self._numbered.read_part(self.split, first, self._columns)[:_WEIGHED_JETS])
        return num_bytes(some.jets) / len(some.labels) * num_jets <= _KEPT_BYTES

    def _from_memory(self, mine: range) -> Iterator[TrainingBatch]:
        if self._kept is None:
            self._kept = _join(list(self._numbered.blocks(self.split, columns=self._columns, blocks_of=self._blocks)))
        num_jets = len(self._kept.labels)
        order = None
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch()]).permutation(num_jets)
        batches = self._batches_of(self._kept, order, 0)
        for number in mine:
            yield self._kept.rows(batches(number))

    def _from_disk(self, mine: range) -> Iterator[TrainingBatch]:
        blocks = self._numbered.blocks(
            self.split, multiple=self.batch_size, block_jets=_BLOCK_JETS, shuffle=self.shuffle, seed=self.seed,
            epoch=self.epoch(), columns=self._columns, blocks_of=self._blocks,
        )  # fmt: skip
        first = 0
        with closing(blocks), ThreadPoolExecutor(1, "jetforge-next-block") as thread:
            # The next block is made ready while the batches of this one are used.
            ahead = thread.submit(next, blocks, None)
            while (block := ahead.result()) is not None:
                ahead = thread.submit(next, blocks, None)
                num_batches = -(-len(block.labels) // self.batch_size)
                batches = self._batches_of(block, None, first)
                for k in range(num_batches):
                    if first + k in mine:
                        yield block.rows(batches(k))
                first += num_batches

    def _batches_of(
        self, block: TrainingBatch, order: npt.NDArray[np.int64] | None, first: int
    ) -> Callable[[int], slice | npt.NDArray[np.int64]]:
        """Return what gives the rows of each batch of a block whose first batch is the epoch's number `first`."""
        size, num_jets = self.batch_size, len(block.labels)
        if not (self.shuffle and self._bucket):
            if order is None:
                return lambda number: slice(number * size, min((number + 1) * size, num_jets))
            return lambda number: order[number * size : (number + 1) * size]
        lengths = lengths_of(block.jets)
        if lengths is None:
            raise RecipeError(
                f"training.bucket: the jets of the representation {self.representation.name} are all of one length; "
                "leave it out"
            )
        random = np.random.default_rng([self.seed, self.epoch(), first, 1])
        bucketed = bucketed_batches(np.arange(num_jets) if order is None else order, lengths, size, random)
        return bucketed.__getitem__

    def _labelled(self, made: Batch) -> TrainingBatch:
        """Return what was made of all jets of the split, with their labels and weights."""
        names = [name for name in ("label", "weight") if name in self.dataset.manifest.jet_fields]
        parts = [fields for _, _, fields in each_part(self.dataset, self.split, names)]
        labels = torch.from_numpy(np.concatenate([part["label"] for part in parts]).astype(np.int64))
        weights = torch.ones(len(labels))
        if "weight" in names:
            weights = torch.from_numpy(np.concatenate([part["weight"] for part in parts]).astype(np.float32))
        return TrainingBatch(made, labels, weights, np.arange(len(labels)))

    @property
    def _blocks(self) -> BlocksOf[TrainingBatch]:
        # Jets are represented before they are mixed: what is represented is smaller than what it was made of.
        return BlocksOf(self._represent, lambda block: len(block.labels), _join, TrainingBatch.rows)

    def _represent(self, jets: Jets) -> TrainingBatch:
        return TrainingBatch(
            self.representation(jets),
            _labels(jets),
            torch.tensor(jets.weight, dtype=torch.float32),
            jets[NUMBER],
            None if self._target is None else torch.from_numpy(self._target(jets)),
        )


def _labels(jets: Jets) -> torch.Tensor:
    if "label" not in jets.fields:
        return torch.full((len(jets),), NO_LABEL)
    return torch.tensor(jets.label, dtype=torch.int64)


def num_bytes(jets: Batch) -> int:
    """Return how many bytes the tensors of a batch take."""
    parts: Any = getattr(jets, "parts", {})
    own = sum(value.nbytes for value in getattr(jets, "__dict__", {}).values() if isinstance(value, torch.Tensor))
    return own + sum(map(num_bytes, parts.values()))


def lengths_of(jets: Batch) -> npt.NDArray[np.int64] | None:
    """Return the number of rows (constituents, nodes) of each jet of a batch, or None where all have as many.

    Of several representations side by side those of the first that has such rows.
    """
    parts: Any = getattr(jets, "parts", {"": jets})
    offsets: Any = next((part.offsets for part in parts.values() if hasattr(part, "offsets")), None)
    if offsets is None:
        return None
    lengths: npt.NDArray[np.int64] = np.diff(offsets.cpu().numpy())
    return lengths


def bucketed_batches(
    order: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    batch_size: int,
    random: np.random.Generator,
    window: int = _WINDOW_BATCHES,
) -> list[npt.NDArray[np.int64]]:
    """Return batches of jets of similar length in random order, every jet in one of them.

    Parameters
    ----------
    order
        The jets in random order.
    lengths
        Of each jet, by its number.
    batch_size
        Jets a batch; one may have fewer.
    random
        Shuffles the batches.
    window
        Batches within which jets are sorted.
    """
    batches: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(order), window * batch_size):
        jets = order[start : start + window * batch_size]
        jets = jets[np.argsort(lengths[jets], kind="stable")]
        batches += [jets[first : first + batch_size] for first in range(0, len(jets), batch_size)]
    return [batches[number] for number in random.permutation(len(batches))]


def _join(parts: Sequence[TrainingBatch]) -> TrainingBatch:
    if len(parts) == 1:
        return parts[0]
    joined = parts[0].jets.concatenate([part.jets for part in parts])
    targets = [part.targets for part in parts if part.targets is not None]
    return TrainingBatch(
        joined,
        torch.cat([part.labels for part in parts]),
        torch.cat([part.weights for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        torch.cat(targets) if targets else None,
    )
