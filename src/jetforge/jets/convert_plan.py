"""Which rows of which files make which part of a converted dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from jetforge.jets.convert_parts import Segment
from jetforge.jets.manifest import SPLITS
from jetforge.jets.sources import Found, Source
from jetforge.jets.tasks import PartTask


def part_tasks(
    sources: Sequence[Source], found: Sequence[Found], labels: Sequence[int | None],
    shares: Sequence[tuple[float, ...] | None], part_rows: int, mix: bool, settings: Mapping[str, Any],
) -> list[PartTask]:  # fmt: skip
    """Return the parts of a dataset, each with its rows of every file.

    Parameters
    ----------
    sources, found
        The files, and what the first look found in each.
    labels
        Label of all jets of a file; None where the file has labels of its own, or nobody gave it one.
    shares
        Of each file, the shares of its rows for train, val and test, in this order; None where each row says it.
    part_rows
        Rows of a part, at most.
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
                start, stop = _rows_of(shares[i], number, found[i].num_rows)
                path, by_row = str(sources[i].path.resolve()), shares[i] is None
                run.append(
                    Segment(path, found[i].format, start, stop, labels[i], by_row, found[i].size, found[i].changed)
                )
            runs.append(run)
        total = sum(s.stop - s.start for run in runs for s in run)
        num_parts = -(-total // part_rows)
        pieces = [_cut(run, num_parts) for run in runs]
        for index in range(num_parts):
            segments = [asdict(segment) for piece in pieces for segment in piece[index]]
            rows = sum(s["stop"] - s["start"] for s in segments)
            tasks.append(PartTask(split, index, rows, {"segments": segments, "settings": settings}))
    return tasks


def _rows_of(shares: tuple[float, ...] | None, number: int, num_rows: int) -> tuple[int, int]:
    if shares is None:
        return 0, num_rows
    edges = np.rint(np.cumsum([0, *shares]) * num_rows).astype(int).tolist()
    return edges[number], edges[number + 1]


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
