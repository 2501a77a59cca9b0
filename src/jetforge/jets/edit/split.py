"""New shares of train, val and test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.build import Progress
from jetforge.jets.dataset import Dataset
from jetforge.jets.edit.pieces import (
    Origin,
    Piece,
    Rows,
    as_dataset,
    build,
    cut,
    make_from_pieces,
    origins_of,
    tasks_of,
    usual_part,
)
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS, check_shares
from jetforge.jets.tasks import MadePart, PartTask, check_workers

_MAX_SEED = 2**63 - 1


def split(
    dataset: Dataset | str | Path,
    out: str | Path,
    shares: Sequence[float],
    *,
    seed: int = 1,
    part_jets: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Dataset:
    """Share out all jets of a dataset anew among train, val and test, whatever split they were in.

    Which jet goes where follows from the seed and the jet's place (split, part, row) alone: any number of workers
    gives the same bytes. The shares are exact, to within a jet, for the whole dataset and nearly so for each of its
    parts. Jets stay in order.

    Parameters
    ----------
    dataset
        The dataset, or its directory.
    out
        Directory of the new dataset. If an earlier run of the same was stopped, it goes on there.
    shares
        Of train, val and test; they add up to 1.
    seed
        Any integer from 0.
    part_jets
        Jets in a part; by default as many as in the largest part of the input.
    workers, scheduler, on_progress
        See `jetforge.jets.build.build_dataset`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the dataset is damaged or holds no jets.
    JetforgeError
        If an argument is wrong.
    """
    source = as_dataset(dataset)
    check_workers(workers)
    check_shares(shares)
    if not 0 <= seed <= _MAX_SEED:
        raise JetforgeError(f"the seed is an integer from 0 to {_MAX_SEED}, not {seed}")
    parts = [origin for name in SPLITS for origin in origins_of(source, 0, name)]
    if not sum(part.jets for part in parts):
        raise DataError(f"{source.path}: holds no jets to split")
    # Of each part, where in its order of draws train, val and test begin and end.
    edges = [np.concatenate([[0], np.cumsum(quota)]).tolist() for quota in _quotas([p.jets for p in parts], shares)]
    size = usual_part([source], part_jets)
    tasks = []
    for number, name in enumerate(SPLITS):
        drawn = [(p, e[number], e[number + 1]) for p, e in zip(parts, edges, strict=True)]
        chosen = [Origin(0, part.split, part.index, stop - start, (start, stop)) for part, start, stop in drawn]
        num_parts = -(-sum(origin.jets for origin in chosen) // size)
        tasks += tasks_of(name, [source], cut(chosen, num_parts), {"seed": seed})
    return build(
        out, tasks, make_part, source, operation="split", inputs=[source],
        settings={"shares": list(shares), "seed": seed, "part_jets": size}, found={}, classes=source.classes,
        jet_fields=source.manifest.jet_fields, workers=workers, scheduler=scheduler, on_progress=on_progress,
    )  # fmt: skip


def make_part(task: PartTask) -> MadePart:
    """Make one part of a dataset that is split anew; runs on a worker."""

    def choose(jets: Jets, piece: Piece) -> Rows:
        order = np.argsort(_draws(task.argument["settings"]["seed"], piece, len(jets)), kind="stable")
        return np.sort(order[slice(*piece.note)])

    return make_from_pieces(task, choose)


def _draws(seed: int, piece: Piece, num_jets: int) -> npt.NDArray[np.uint64]:
    """Return a random number for each row of a part, which depends on nothing else than seed, part and row."""
    key = np.array([seed], dtype=np.uint64)
    for number in (SPLITS.index(piece.split), piece.index):
        key = _mixed(key ^ np.uint64(number))
    return _mixed(key ^ np.arange(num_jets, dtype=np.uint64))


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return the numbers of SplitMix64 (Steele, Lea, Flood, doi:10.1145/2714064.2660195) that follow states x."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _quotas(sizes: Sequence[int], shares: Sequence[float]) -> list[npt.NDArray[np.int64]]:
    """Return how many jets of each part go to each split, so that the sums so far are the shares to within a jet."""
    given = np.zeros(len(shares), dtype=np.int64)
    total = 0
    quotas = []
    for size in sizes:
        total += size
        wanted = np.asarray(shares) * total - given
        quota = np.floor(np.maximum(wanted, 0)).astype(np.int64)
        while quota.sum() < size:
            quota[np.argmax(wanted - quota)] += 1
        while quota.sum() > size:
            quota[np.argmin(np.where(quota > 0, wanted - quota, np.inf))] -= 1
        given += quota
        quotas.append(quota)
    return quotas
