"""Which rows of which files make which part of a converted dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np

from jetforge.jets.convert_parts import Segment
from jetforge.jets.manifest import SPLITS
from jetforge.jets.sources import Found, Source
from jetforge.jets.tasks import PartTask

Ranges = Sequence[tuple[int, int]]


def part_tasks(
    sources: Sequence[Source], found: Sequence[Found], labels: Sequence[int | None],
    ranges_of: Sequence[Sequence[Ranges] | None], part_rows: int, mix: bool, settings: Mapping[str, Any],
) -> list[PartTask]:  # fmt: skip
    """Return the parts of a dataset, each with its rows of every file.

    Parameters
    ----------
    sources, found
        The files, and what the first look found in each.
    labels
        Label of all jets of a file; None where the file has labels of its own, or nobody gave it one.
    ranges_of
        Of each file, the ranges of rows for train, val and test, in this order; None where rows that say so follow one
        another too irregularly: then all rows are read for each split, and chosen from.
    part_rows
        Rows of a part, give or take one for each group of files.
    mix
        Whether every part takes its share of each group of files of the same class.
    settings
        Further plain values that a worker needs.
    """
    groups: dict[Any, list[int]] = {}
    for i, one in enumerate(found):
        held = (labels[i],) if labels[i] is not None else one.labels
        groups.setdefault(held if mix else None, []).append(i)
    tasks: list[PartTask] = []
    for number, split in enumerate(SPLITS):
        # Of each group the rows of this split, file after file.
        runs: list[list[Segment]] = []
        for members in groups.values():
            run = []
            for i in members:
                ranges = ranges_of[i]
                path, one = str(sources[i].path.resolve()), found[i]
                for start, stop in [(0, one.num_rows)] if ranges is None else ranges[number]:
                    run.append(Segment(path, one.format, start, stop, labels[i], ranges is None, one.size, one.changed))
            runs.append(run)
        total = sum(s.stop - s.start for run in runs for s in run)
        num_parts = -(-total // part_rows)
        pieces = [_cut(run, num_parts) for run in runs]
        for index in range(num_parts):
            segments = [asdict(segment) for piece in pieces for segment in piece[index]]
            rows = sum(s["stop"] - s["start"] for s in segments)
            tasks.append(PartTask(split, index, rows, {"segments": segments, "settings": settings}))
    return tasks


def rows_of_shares(shares: Sequence[float], num_rows: int) -> list[Ranges]:
    """Return the ranges of rows for train, val and test: one after the other, as many as their shares say."""
    edges = np.rint(np.cumsum([0, *shares]) * num_rows).astype(int).tolist()
    edges[-1] = num_rows
    return [[(start, stop)] for start, stop in pairwise(edges)]


def rows_of_runs(runs: Sequence[tuple[int, int, int]]) -> list[Ranges]:
    """Return the ranges of rows for train, val and test of runs (start, stop, number of the split)."""
    return [[(start, stop) for start, stop, split in runs if split == number] for number in range(len(SPLITS))]


def _cut(run: Sequence[Segment], pieces: int) -> list[list[Segment]]:
    """Cut the rows of files, one after the other, into so many pieces of equal length."""
    total = sum(s.stop - s.start for s in run)
    edges = np.rint(np.linspace(0, total, pieces + 1)).astype(int).tolist()
    cut: list[list[Segment]] = [[] for _ in range(pieces)]
    before = 0
    for s in run:
        length = s.stop - s.start
        for k in range(pieces):
            low, high = max(edges[k] - before, 0), min(edges[k + 1] - before, length)
            if low < high:
                cut[k].append(replace(s, start=s.start + low, stop=s.start + high))
        before += length
    return cut
