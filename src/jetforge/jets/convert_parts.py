"""One part of a conversion: rows of some files to the bytes of a stored part; what runs on the workers."""

from __future__ import annotations

import atexit
import faulthandler
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jetforge.errors import DataError
from jetforge.jets.clusters import OUR_WORKER
from jetforge.jets.guard import call_plainly, cannot_be_read, limit_memory
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.readers import open_reader
from jetforge.jets.readers.base import Reader
from jetforge.jets.sources import LEAST_JETS, Found, check_scale, check_stated_pt, look
from jetforge.jets.storage import encode_part
from jetforge.jets.tasks import MadePart, PartTask
from jetforge.physics.flat import checked
from jetforge.physics.shapes.angular import jet_kinematics

# Longest time (s) that a part may take.
PART_SECONDS = 1800.0
LEFT_OUT = "left out: "
OF_CLASS = "label "
_MOST_OPEN = 16


@dataclass(frozen=True)
class Segment:
    """Rows of one file, and the label of their jets where the file has none."""

    path: str
    format: str
    start: int
    stop: int
    label: int | None
    by_row: bool
    """Whether only the rows are taken that say they are for the part's split."""
    size: int
    changed: int


def make_part(task: PartTask) -> MadePart:
    """Read one part's rows of every file and encode them; runs on a worker, that a damaged file may end."""
    made: MadePart = _on_worker(convert_part, task, what=files_of(task), seconds=PART_SECONDS)
    return made


def look_on_worker(path: str, format: str | None, options: Mapping[str, Any], seconds: float) -> Found:  # noqa: A002
    """Find out what a file holds; runs on a worker, that a damaged file may end."""
    found: Found = _on_worker(look, path, format, options, what=path, seconds=seconds)
    return found


def _on_worker(function: Callable[..., Any], *arguments: Any, what: str, seconds: float) -> Any:
    if OUR_WORKER in os.environ:
        limit_memory()
        # The watchdog works even where a library holds the interpreter's lock; the scheduler then tries another worker.
        with open(os.devnull, "w") as nowhere:
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
            try:
                kind, value = call_plainly(function, arguments)
            finally:
                faulthandler.cancel_dump_traceback_later()
    else:
        kind, value = call_plainly(function, arguments)
    if kind == "done":
        return value
    if kind == "refused":
        raise value
    raise cannot_be_read(what, value)


def warm_up() -> None:
    """Load what parts are made with: a process does so once, and it takes a second."""
    one = np.ones(1)
    jets = Jets(np.array([0, 1]), {"px": one, "py": one, "pz": one, "energy": 2 * one})
    jet_kinematics(jets.flat, num_threads=1)
    encode_part(jets)


def convert_part(task: PartTask) -> MadePart:
    """Read one part's rows of every file and encode them.

    Raises
    ------
    DataError
        If a file cannot be read whole, or breaks a rule.
    """
    settings = task.argument["settings"]
    left_out: dict[str, int] = {}
    read = [_read(Segment(**segment), settings, task.split, left_out) for segment in task.argument["segments"]]
    jets = Jets.concatenate(read)
    counts = {"rows": task.jets, "jets": len(jets), "constituents": int(jets.offsets[-1])}
    counts.update({f"{LEFT_OUT}{reason}": number for reason, number in left_out.items() if number})
    if "label" in jets.fields:
        numbers, held = np.unique(jets.label, return_counts=True)
        counts.update({f"{OF_CLASS}{n}": int(number) for n, number in zip(numbers, held, strict=True)})
    return MadePart(encode_part(jets), len(jets), {task.split: counts})


def _read(segment: Segment, settings: Mapping[str, Any], split: str, left_out: dict[str, int]) -> Jets:
    key, reader = _taken(segment, settings["options"])
    with np.errstate(all="ignore"):  # what comes out NaN or infinite is refused below, with its row
        jets = reader.read(segment.start, segment.stop)
    made = _checked(segment, settings, split, left_out, reader, jets)
    _put_back(key, reader)
    return made


def _checked(
    segment: Segment, settings: Mapping[str, Any], split: str, left_out: dict[str, int], reader: Reader, jets: Jets
) -> Jets:
    if not segment.by_row or split == SPLITS[0]:  # rows that say what they are for are read for each split
        for reason, number in reader.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + number
    if reader.rows_are == "jets" and len(jets) + sum(reader.left_out.values()) != segment.stop - segment.start:
        raise DataError(f"{segment.path}: gave {len(jets)} jets for {segment.stop - segment.start} rows: damaged")
    of_rows = reader.rows_are == "jets" and not sum(reader.left_out.values())
    try:
        flat = checked(jets.unchecked_flat, segment.start if of_rows else 0)
    except DataError as error:
        where = "" if of_rows else f"in rows {segment.start} to {segment.stop}: "
        raise DataError(f"{segment.path}: {where}{error}") from None
    check_scale(jets, reader, LEAST_JETS)
    for what, wanted, there in (
        ("column", settings["columns"], jets.columns),
        ("field", settings["fields"], [name for name in jets.fields if name not in reader.passing_fields]),
    ):
        if sorted(wanted) != sorted(there):
            name = sorted(set(wanted) ^ set(there))[0]
            raise DataError(f"{segment.path}: the {what} '{name}' is in some rows only: damaged")
    stated = reader.stated_splits(jets) if segment.by_row or settings["stated"] else None
    others = np.zeros(0) if stated is None else np.flatnonzero(stated != SPLITS.index(split))
    if len(others) and not segment.by_row:
        assert stated is not None
        other = SPLITS[stated[others[0]]]
        raise DataError(
            f"{segment.path}: some of its rows say that they are for {other}, others for {split}: give --split stated "
            "to follow them, or another --split"
        )
    fields: dict[str, Any] = {name: jets.fields[name] for name in settings["fields"]}
    if segment.label is not None:
        fields["label"] = np.full(len(jets), segment.label, dtype=np.int64)
    if "label" in fields and len(jets) and fields["label"].max() >= settings["classes"]:
        raise DataError(f"{segment.path}: label {fields['label'].max()} is none of its {settings['classes']} classes")
    kinematics = jet_kinematics(flat, num_threads=1)
    check_stated_pt(jets, kinematics.pt, reader)
    for name, ours in _KINEMATICS.items():
        if name not in fields:
            fields[name] = np.asarray(getattr(kinematics, ours), dtype=np.float64)
    ordered = {name: fields[name] for name in (*label_field(list(fields), []), *all_fields(settings["fields"]))}
    read = Jets(jets.offsets, {name: jets.columns[name] for name in settings["columns"]}, ordered)
    return read[stated == SPLITS.index(split)] if segment.by_row and stated is not None else read


_KINEMATICS = {"pt": "pt", "y": "rapidity", "eta": "eta", "phi": "phi", "mass": "mass"}

_readers: dict[tuple[Any, ...], Reader] = {}
_lock = threading.Lock()


def _taken(segment: Segment, options: Mapping[str, Any]) -> tuple[tuple[Any, ...], Reader]:
    """Return the file's reader, which nobody else has meanwhile, and under which key it is put back.

    Readers stay open for the next part: some formats can be read from the beginning only.
    """
    status = os.stat(segment.path)
    if (status.st_size, status.st_mtime_ns) != (segment.size, segment.changed):
        raise DataError(f"{segment.path}: was changed while it was being converted; start again")
    key = (segment.path, segment.size, segment.changed, segment.format, tuple(sorted(options.items())))
    with _lock:
        reader = _readers.pop(key, None)
    if reader is None:
        # HDF5 gives what it holds of a file that is still open, even where the file was written anew.
        close_readers(segment.path)
        reader = open_reader(segment.path, segment.format, options)
    return key, reader


def _put_back(key: tuple[Any, ...], reader: Reader) -> None:
    with _lock:
        older = _readers.pop(key, None)
        _readers[key] = reader
        left = [] if older is None else [older]
        while len(_readers) > _MOST_OPEN:
            left.append(_readers.pop(next(iter(_readers))))
    for one in left:
        one.close()


@atexit.register
def close_readers(path: str | None = None) -> None:
    """Close the readers of one file, or all of them."""
    with _lock:
        closed = [_readers.pop(key) for key in list(_readers) if path in (None, key[0])]
    for reader in closed:
        reader.close()


def files_of(task: PartTask) -> str:
    """Return the first files that a part is made of, to be named in an error."""
    return ", ".join(segment["path"] for segment in task.argument["segments"][:2])


def label_field(fields: Sequence[str], labels: Sequence[int | None]) -> list[str]:
    """Return the name of the label, where the file has labels or the user gave one; else nothing."""
    return ["label"] if "label" in fields or any(label is not None for label in labels) else []


def all_fields(fields: Sequence[str]) -> list[str]:
    """Return the jet fields of a dataset but the label: kinematics first, then what else the source has."""
    return [*_KINEMATICS, *(name for name in fields if name not in (*_KINEMATICS, "label"))]
