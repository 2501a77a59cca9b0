"""New parts from pieces of the parts of other datasets: what every editing operation is made of."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.build import Progress, build_dataset
from jetforge.jets.dataset import Dataset, open_dataset
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import MANIFEST_NAME
from jetforge.jets.storage import encode_part, sha256
from jetforge.jets.tasks import MadePart, PartTask

# Inputs of so many bytes in all are edited in less time than other processes take to start.
_QUICKLY_DONE = 128 << 20
# Parts that a worker keeps, since its next task may want the rest of them (bytes in memory).
_MOST_HELD = 256 << 20

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Origin:
    """A part of an input, how many of its jets are chosen, and what its pieces must know for that."""

    input: int
    split: str
    index: int
    jets: int
    note: tuple[int, ...] = ()


@dataclass(frozen=True)
class Piece:
    """Of the jets that are chosen from a part of an input, those from number `start` to before number `stop`."""

    input: int
    split: str
    index: int
    start: int
    stop: int
    note: tuple[int, ...] = ()


def as_dataset(dataset: Dataset | str | Path) -> Dataset:
    """Return an open dataset."""
    return dataset if isinstance(dataset, Dataset) else open_dataset(dataset)


def described(dataset: Dataset) -> dict[str, str]:
    """Return what names an input in a plan: its directory's name, and the checksums of its manifest and its jets."""
    return {
        "name": dataset.path.resolve().name,
        "manifest_sha256": sha256((dataset.path / MANIFEST_NAME).read_bytes()),
        "fingerprint": dataset.fingerprint,
    }


def build(
    out: str | Path, tasks: Sequence[PartTask], make_part: Callable[[PartTask], MadePart], like: Dataset, *,
    operation: str, inputs: Sequence[Dataset], settings: Mapping[str, Any], found: Mapping[str, Any],
    classes: Sequence[str], jet_fields: Sequence[str], workers: int | None, scheduler: str | None,
    on_progress: Callable[[Progress], None],
) -> Dataset:  # fmt: skip
    """Build a dataset from tasks of `tasks_of`; see `jetforge.jets.build.build_dataset`.

    Parameters
    ----------
    like
        The input whose constituent fields the dataset has.
    operation, inputs, settings
        What is done: the plan, by which an unfinished dataset is known again. Inputs are known by their checksums.
    found
        What was found out on the way, for the provenance. The provenance of the inputs goes along.
    """
    plan = {
        "operation": operation, "inputs": [described(dataset) for dataset in inputs], **settings,
        "versions": {"jetforge": version("jetforge")},
    }  # fmt: skip
    size = sum(part.bytes for dataset in inputs for parts in dataset.manifest.parts.values() for part in parts)
    if scheduler is None and (len(tasks) <= 1 or (workers is None and size <= _QUICKLY_DONE)):
        workers = 0  # starting other processes would take longer
    histories = [{"name": d.path.resolve().name, "provenance": dict(d.manifest.provenance)} for d in inputs]
    try:
        return build_dataset(
            out, tasks, make_part, plan=plan, classes=classes, constituent_fields=like.manifest.constituent_fields,
            jet_fields=jet_fields, workers=workers, scheduler=scheduler,
            further_provenance=lambda: {**found, "inputs": histories}, on_progress=on_progress,
        )  # fmt: skip
    finally:
        _held.clear()
        _open.clear()


def usual_part(inputs: Sequence[Dataset], part_jets: int | None) -> int:
    """Return how many jets a new part has: what is asked for, or as many as the largest part of the inputs.

    Raises
    ------
    JetforgeError
        If fewer than one are asked for.
    """
    if part_jets is None:
        return max((part.jets for d in inputs for parts in d.manifest.parts.values() for part in parts), default=1) or 1
    if part_jets < 1:
        raise JetforgeError(f"a part has at least one jet, not {part_jets}")
    return part_jets


def cut(origins: Sequence[Origin], num_parts: int) -> list[list[Piece]]:
    """Cut the chosen jets, origin after origin, into so many new parts of equal size (to within one jet)."""
    ends = np.cumsum([origin.jets for origin in origins], dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    edges = np.rint(np.linspace(0, total, num_parts + 1)).astype(np.int64).tolist()
    parts: list[list[Piece]] = []
    for low, high in pairwise(edges):
        pieces = []
        number = int(np.searchsorted(ends, low, side="right"))
        while low < high:
            origin = origins[number]
            before = int(ends[number]) - origin.jets
            stop = min(high - before, origin.jets)
            if stop > low - before:
                pieces.append(Piece(origin.input, origin.split, origin.index, low - before, stop, origin.note))
            low = before + stop
            number += 1
        parts.append(pieces)
    return parts


def tasks_of(
    split: str, inputs: Sequence[Dataset], parts: Sequence[Sequence[Piece]], settings: Mapping[str, Any]
) -> list[PartTask]:
    """Return the tasks that make the parts of a split, each from its pieces."""
    sources = [
        {"path": str(d.path.resolve()), "manifest": sha256((d.path / MANIFEST_NAME).read_bytes())} for d in inputs
    ]
    tasks = []
    for index, pieces in enumerate(parts):
        argument = {"inputs": sources, "pieces": [asdict(piece) for piece in pieces], "settings": settings}
        tasks.append(PartTask(split, index, sum(piece.stop - piece.start for piece in pieces), argument))
    return tasks


def make_from_pieces(
    task: PartTask,
    choose: Callable[[Jets, Piece], Rows | None],
    change: Callable[[Jets, Piece], Jets] = lambda jets, piece: jets,
) -> MadePart:
    """Make a part from its pieces, one after the other; runs on a worker.

    Parameters
    ----------
    task
        From `tasks_of`.
    choose
        The chosen rows of a whole part of an input, in order; None for all of them.
    change
        What becomes of the chosen jets of a piece.

    Raises
    ------
    DataError
        If an input was changed meanwhile, or is damaged.
    """
    taken = []
    for plain in task.argument["pieces"]:
        piece = Piece(**plain)
        jets = _read(task.argument["inputs"][piece.input], piece)
        rows = choose(jets, piece)
        if rows is None:
            # Indexing with an array copies: a view of a few jets would keep the whole part in memory.
            whole = piece.start == 0 and piece.stop == len(jets)
            chosen = jets if whole else jets[np.arange(piece.start, piece.stop)]
        else:
            chosen = jets[rows[piece.start : piece.stop]]
        taken.append(change(chosen, piece))
    made = Jets.concatenate(taken)
    if len(made) != task.jets:
        raise DataError(f"{task.file}: {len(made)} jets instead of {task.jets}: an input was changed; start again")
    counts = {"jets": len(made), "constituents": int(made.offsets[-1])}
    return MadePart(encode_part(made), len(made), {task.split: counts})


def origins_of(dataset: Dataset, number: int, split: str) -> list[Origin]:
    """Return all parts of a split, with all their jets."""
    parts = dataset.manifest.parts.get(split, ())
    return [Origin(number, split, index, part.jets) for index, part in enumerate(parts)]


def file_of(task: PartTask, piece: Piece) -> Path:
    """Return the file that a piece is from, to name it in an error."""
    return Path(task.argument["inputs"][piece.input]["path"]) / PartTask(piece.split, piece.index, 0, {}).file


_lock = threading.Lock()
_open: dict[tuple[str, str], Dataset] = {}
_held: OrderedDict[tuple[str, str, str, int], Jets] = OrderedDict()


def _read(source: Mapping[str, str], piece: Piece) -> Jets:
    """Read a part of an input, or take it from those that were read last."""
    where = (source["path"], source["manifest"])
    if where not in _open:
        manifest = Path(source["path"]) / MANIFEST_NAME
        try:
            same = sha256(manifest.read_bytes()) == source["manifest"]
        except OSError as error:
            raise DataError(f"{manifest}: cannot be read: {error.strerror}") from None
        if not same:
            raise DataError(f"{manifest}: was changed meanwhile; start again")
        _open[where] = open_dataset(source["path"])
    key = (*where, piece.split, piece.index)
    with _lock:
        jets = _held.pop(key, None)
    if jets is None:
        jets = _open[where].read_part(piece.split, piece.index)
    with _lock:
        _held[key] = jets
        while len(_held) > 1 and sum(map(_size, _held.values())) > _MOST_HELD:
            _held.popitem(last=False)
    return jets


def _size(jets: Jets) -> int:
    return sum(column.nbytes for column in jets.columns.values())
