"""Batches for training: whole blocks of jets to tensors, shuffled from a seed, the same again after a resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from jetforge.errors import RecipeError
from jetforge.jets.dataset import BlocksOf, Dataset
from jetforge.jets.jets import Jets
from jetforge.representations import Batch, Representation

_BLOCK_JETS = 50_000


class TrainingBatch(NamedTuple):
    """What a training step gets: represented jets, class labels (n_jets,), weights (n_jets,)."""

    jets: Batch
    labels: torch.Tensor
    weights: torch.Tensor


class BatchLoader:
    """Batches of one split of a dataset.

    A split of at most `cache_jets` jets is represented once and kept in memory; a larger one is streamed and
    represented again in each epoch, block by block, in bounded memory.

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
        shard: Callable[[], tuple[int, int]] = lambda: (0, 1),
    ) -> None:  # fmt: skip
        self.dataset, self.split, self.representation = dataset, split, representation
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self._columns = dataset.present(representation.columns)
        self.shard = shard
        self.epoch: Callable[[], int] = lambda: 0
        self.skip = 0
        self._given = 0
        self._keep = dataset.num_jets(split) <= cache_jets
        self._kept: TrainingBatch | None = None

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
            yield batch

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

    def _from_memory(self, mine: range) -> Iterator[TrainingBatch]:
        if self._kept is None:
            self._kept = _join(list(self.dataset.blocks(self.split, columns=self._columns, blocks_of=self._blocks)))
        num_jets = len(self._kept.labels)
        order = None
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch()]).permutation(num_jets)
        for number in mine:
            start, stop = number * self.batch_size, min((number + 1) * self.batch_size, num_jets)
            yield _rows(self._kept, slice(start, stop) if order is None else order[start:stop])

    def _from_disk(self, mine: range) -> Iterator[TrainingBatch]:
        blocks = self.dataset.blocks(
            self.split, multiple=self.batch_size, block_jets=_BLOCK_JETS, shuffle=self.shuffle, seed=self.seed,
            epoch=self.epoch(), columns=self._columns, blocks_of=self._blocks,
        )  # fmt: skip
        number = 0
        with closing(blocks), ThreadPoolExecutor(1, "jetforge-next-block") as thread:
            # The next block is made ready while the batches of this one are used.
            ahead = thread.submit(next, blocks, None)
            while (block := ahead.result()) is not None:
                ahead = thread.submit(next, blocks, None)
                num_batches = -(-len(block.labels) // self.batch_size)
                for k in range(num_batches):
                    if number + k in mine:
                        yield _rows(block, slice(k * self.batch_size, (k + 1) * self.batch_size))
                number += num_batches

    @property
    def _blocks(self) -> BlocksOf[TrainingBatch]:
        # Jets are represented before they are mixed: what is represented is smaller than what it was made of.
        return BlocksOf(self._represent, lambda block: len(block.labels), _join, _rows)

    def _represent(self, jets: Jets) -> TrainingBatch:
        return TrainingBatch(
            self.representation(jets),
            torch.tensor(jets.label, dtype=torch.int64),
            torch.tensor(jets.weight, dtype=torch.float32),
        )


def _rows(all_jets: TrainingBatch, rows: slice | npt.NDArray[np.int64]) -> TrainingBatch:
    if isinstance(rows, slice):
        return TrainingBatch(all_jets.jets[rows], all_jets.labels[rows], all_jets.weights[rows])
    chosen = torch.from_numpy(rows)
    return TrainingBatch(all_jets.jets.take(chosen), all_jets.labels[chosen], all_jets.weights[chosen])


def _join(parts: Sequence[TrainingBatch]) -> TrainingBatch:
    if len(parts) == 1:
        return parts[0]
    joined = parts[0].jets.concatenate([part.jets for part in parts])
    return TrainingBatch(joined, torch.cat([p.labels for p in parts]), torch.cat([p.weights for p in parts]))
