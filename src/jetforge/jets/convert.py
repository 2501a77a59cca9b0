"""Files of any public format to a dataset: each part from its own ranges of rows, on any number of workers."""

from __future__ import annotations

import atexit
import faulthandler
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.build import Progress, build_dataset
from jetforge.jets.clusters import Opening
from jetforge.jets.dataset import Dataset
from jetforge.jets.guard import Guard, call_plainly, limit_memory, shared_guard
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import MANIFEST_NAME, SPLITS
from jetforge.jets.readers import open_reader
from jetforge.jets.readers.base import Reader
from jetforge.jets.sources import (
    Checksums,
    Found,
    Source,
    check_scale,
    check_split,
    common_classes,
    common_columns,
    look,
)
from jetforge.jets.storage import encode_part, stored_columns
from jetforge.jets.tasks import MadePart, PartTask
from jetforge.physics.flat import checked
from jetforge.physics.shapes.angular import jet_kinematics

DEFAULT_SHARES = (0.8, 0.1, 0.1)
# Longest time (s) that a first look may take, with what a second reads of the largest files; and one part.
_LOOK_SECONDS, _BYTES_A_SECOND = 120.0, 20e6
_PART_SECONDS = 1800.0
_MOST_OPEN = 16
_LEFT_OUT = "left out: "
# Files of so many bytes in all make more than a few parts.
_LARGE = 128 << 20


def convert(
    files: Sequence[str | Path | Source],
    out: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    options: Mapping[str, Any] | None = None,
    split: str | Sequence[float] | None = None,
    part_jets: int | None = None,
    mix: bool = True,
    workers: int | None = None,
    scheduler: str | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Dataset:
    """Convert files of a public format to a dataset, every jet or none.

    Parameters
    ----------
    files
        ``FILE``, or ``CLASS=FILE`` where the file does not say which class its jets are of.
    out
        Directory of the dataset. If an earlier conversion of the same files was stopped, it goes on there.
    format
        Name of the format (see `jetforge.jets.readers.list_formats`); None to find it by each file's contents.
    options
        Settings of the format's reader, such as ``{"unit": "MeV"}``.
    split
        ``train``, ``val`` or ``test`` for all jets; three shares, of which each file gives its first rows to train, the
        next to val, the last to test; or None: the split that the file states, shares of 0.8, 0.1 and 0.1 where it
        states none.
    part_jets
        Rows that a part is made from, which are held in memory at a time; by default what suits the format.
    mix
        Whether a part takes its share of every class where files hold one class each, so that blocks of a few parts
        are mixed; otherwise parts follow the files.
    workers, scheduler, on_progress
        See `jetforge.jets.build.build_dataset`. Workers on other machines read the files under the same paths.

    Returns
    -------
    Dataset
        Jets of a file in its order. Fields ``pt``, ``mass`` (GeV), ``y``, ``eta``, ``phi`` that the source does not
        have are those of the sum of the constituents.

    Raises
    ------
    DataError
        If a file is damaged, of no known format, breaks a rule, or has other units than stated. No dataset is left.
    JetforgeError
        If an argument is wrong, or files do not go together.
    """
    sources = [file if isinstance(file, Source) else Source.parse(file) for file in files]
    _check_arguments(sources, split, part_jets, workers)
    with ExitStack() as stack:
        guard = shared_guard()
        stack.callback(guard.call_if_started, _close_readers)
        large = sum(source.path.stat().st_size for source in sources if source.path.is_file()) > _LARGE
        opening: Opening | None = None
        if large and workers != 0 and scheduler is None and not (Path(out) / MANIFEST_NAME).is_file():
            # Processes take seconds to start: they do so during the first look.
            opening = stack.enter_context(Opening(workers or len(os.sched_getaffinity(0))))
        found = [_look(guard, source, format, options or {}) for source in sources]
        classes = common_classes(sources, found)
        columns, fields = common_columns(sources, found)
        labels = [classes.index(s.class_name) if s.class_name is not None else None for s in sources]
        shares = [_shares(split, one, source) for source, one in zip(sources, found, strict=True)]
        settings = {
            "options": dict(options or {}), "columns": columns, "fields": fields, "classes": len(classes),
            "stated": split is None,
        }  # fmt: skip
        tasks = _tasks(sources, found, labels, shares, part_jets or min(one.part_rows for one in found), mix, settings)
        sums = Checksums([source.path for source in sources])
        stack.callback(sums.stop)
        alone = (len(tasks) <= 1 or workers == 0) and scheduler is None
        return build_dataset(
            out,
            tasks,
            partial(_make_guarded, guard) if alone else make_part,
            plan=_plan(sources, found, classes, split, part_jets, mix, options or {}),
            classes=classes,
            constituent_fields=stored_columns(columns),
            jet_fields=[*_label_field(fields, labels), *_all_fields(fields)],
            workers=0 if alone else workers,
            scheduler=None if alone else opening or scheduler,
            further_provenance=partial(_provenance, sums, sources, found),
            on_progress=on_progress,
        )


@dataclass(frozen=True)
class _Segment:
    """Rows of one file, and the label of their jets where the file has none."""

    path: str
    format: str
    start: int
    stop: int
    label: int | None
    size: int
    changed: int


def make_part(task: PartTask) -> MadePart:
    """Read one part's rows of every file and encode them; runs on a worker, that a damaged file may end."""
    limit_memory()
    # The watchdog works even where a library holds the interpreter's lock; the scheduler then tries another worker.
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(_PART_SECONDS, exit=True, file=nowhere)
        try:
            kind, value = call_plainly(_converted, (task,))
        finally:
            faulthandler.cancel_dump_traceback_later()
    if kind == "done":
        made: MadePart = value
        return made
    if kind == "refused":
        raise value
    raise DataError(f"{_files_of(task)}: cannot be read ({value}): damaged, or not what it seems")


def _converted(task: PartTask) -> MadePart:
    settings = task.argument["settings"]
    left_out: dict[str, int] = {}
    read = [_read(_Segment(**segment), settings, task.split, left_out) for segment in task.argument["segments"]]
    jets = Jets.concatenate(read)
    counts = {"rows": task.jets, "jets": len(jets), "constituents": int(jets.offsets[-1])}
    counts.update({f"{_LEFT_OUT}{reason}": number for reason, number in left_out.items() if number})
    return MadePart(encode_part(jets), len(jets), {task.split: counts})


def _read(segment: _Segment, settings: Mapping[str, Any], split: str, left_out: dict[str, int]) -> Jets:
    reader = _open(segment, settings["options"])
    with np.errstate(all="ignore"):  # what comes out NaN or infinite is refused below, with its row
        jets = reader.read(segment.start, segment.stop)
    for reason, number in reader.left_out.items():
        left_out[reason] = left_out.get(reason, 0) + number
    if reader.rows_are == "jets" and len(jets) + sum(reader.left_out.values()) != segment.stop - segment.start:
        raise DataError(f"{segment.path}: gave {len(jets)} jets for {segment.stop - segment.start} rows: damaged")
    try:
        flat = checked(jets.unchecked_flat)
    except DataError as error:
        rows = f"rows {segment.start} to {segment.stop}" if segment.start else "the first rows"
        raise DataError(f"{segment.path}: in {rows}: {error}") from None
    check_scale(jets, reader)
    for what, wanted, there in (
        ("column", settings["columns"], jets.columns),
        ("field", settings["fields"], jets.fields),
    ):
        if sorted(wanted) != sorted(there):
            name = sorted(set(wanted) ^ set(there))[0]
            raise DataError(f"{segment.path}: the {what} '{name}' is in some rows only: damaged")
    stated = reader.stored_split(jets)
    if stated is not None and settings["stated"] and stated != split:
        raise DataError(
            f"{segment.path}: rows {segment.start} to {segment.stop} say that they are for {stated}, others for "
            f"{split}; give --split"
        )
    fields: dict[str, Any] = {name: jets.fields[name] for name in settings["fields"]}
    if segment.label is not None:
        fields["label"] = np.full(len(jets), segment.label, dtype=np.int64)
    if "label" in fields and len(jets) and fields["label"].max() >= settings["classes"]:
        raise DataError(f"{segment.path}: label {fields['label'].max()} is none of its {settings['classes']} classes")
    kinematics = jet_kinematics(flat, num_threads=1)
    for name, ours in _KINEMATICS.items():
        if name not in fields:
            fields[name] = np.asarray(getattr(kinematics, ours), dtype=np.float64)
    ordered = {name: fields[name] for name in (*_label_field(list(fields), []), *_all_fields(settings["fields"]))}
    return Jets(jets.offsets, {name: jets.columns[name] for name in settings["columns"]}, ordered)


_KINEMATICS = {"pt": "pt", "y": "rapidity", "eta": "eta", "phi": "phi", "mass": "mass"}

_readers: dict[tuple[Any, ...], Reader] = {}


def _open(segment: _Segment, options: Mapping[str, Any]) -> Reader:
    """Return the file's reader, which stays open for the next part: some formats are read from the beginning only."""
    status = os.stat(segment.path)
    if (status.st_size, status.st_mtime_ns) != (segment.size, segment.changed):
        raise DataError(f"{segment.path}: was changed while it was being converted; start again")
    key = (segment.path, segment.size, segment.changed, segment.format, tuple(sorted(options.items())))
    reader = _readers.pop(key, None)
    if reader is None:
        # HDF5 gives what it holds of a file that is still open, even where the file was written anew.
        _close_readers(segment.path)
        reader = open_reader(segment.path, segment.format, options)
    _readers[key] = reader
    while len(_readers) > _MOST_OPEN:
        _readers.pop(next(iter(_readers))).close()
    return reader


@atexit.register
def _close_readers(path: str | None = None) -> None:
    """Close the readers of one file, or all of them."""
    for key in [key for key in _readers if path in (None, key[0])]:
        _readers.pop(key).close()


def _make_guarded(guard: Guard, task: PartTask) -> MadePart:
    made: MadePart = guard.call(_converted, task, what=_files_of(task), seconds=_PART_SECONDS)
    return made


def _files_of(task: PartTask) -> str:
    return ", ".join(segment["path"] for segment in task.argument["segments"][:2])


def _look(guard: Guard, source: Source, format: str | None, options: Mapping[str, Any]) -> Found:  # noqa: A002
    try:
        size = source.path.stat().st_size
    except OSError as error:
        raise DataError(f"{source.path}: cannot be read: {error.strerror}") from None
    seconds = _LOOK_SECONDS + size / _BYTES_A_SECOND
    found: Found = guard.call(look, str(source.path), format, options, what=str(source.path), seconds=seconds)
    if not found.num_rows:
        raise DataError(f"{source.path}: holds no {found.rows_are}")
    return found


def _check_arguments(
    sources: Sequence[Source], split: str | Sequence[float] | None, part_jets: int | None, workers: int | None
) -> None:
    if not sources:
        raise JetforgeError("name at least one file to convert")
    paths = [source.path.resolve() for source in sources]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise JetforgeError(f"{twice}: is named twice")
    if part_jets is not None and part_jets < 1:
        raise JetforgeError(f"a part is made from at least one row, not {part_jets}")
    if workers is not None and workers < 0:
        raise JetforgeError(f"workers is a number of processes from 0, not {workers}")
    if isinstance(split, str):
        check_split(split)
    elif split is not None and (len(split) != len(SPLITS) or not (min(split) >= 0 and abs(sum(split) - 1) <= 1e-9)):
        raise JetforgeError(f"the split is three shares for {', '.join(SPLITS)} that add up to 1, not {list(split)}")


def _shares(split: str | Sequence[float] | None, found: Found, source: Source) -> tuple[float, ...]:
    """Return which shares of a file's rows go to train, val and test."""
    named = split if isinstance(split, str) else found.stored_split if split is None else None
    if named is not None:
        return tuple(float(name == named) for name in SPLITS)
    if split is None and {"ttv", "split"} & set(found.fields):
        raise JetforgeError(f"{source.path}: states several splits in one file; choose with --split")
    return DEFAULT_SHARES if split is None or isinstance(split, str) else tuple(split)


def _tasks(
    sources: Sequence[Source], found: Sequence[Found], labels: Sequence[int | None],
    shares: Sequence[tuple[float, ...]], part_rows: int, mix: bool, settings: Mapping[str, Any],
) -> list[PartTask]:  # fmt: skip
    groups: dict[Any, list[int]] = {}
    for i, one in enumerate(found):
        held = (labels[i],) if labels[i] is not None else one.labels
        groups.setdefault(held if mix else None, []).append(i)
    tasks: list[PartTask] = []
    for number, split in enumerate(SPLITS):
        # Of each group the rows of this split, file after file.
        runs: list[list[_Segment]] = []
        for members in groups.values():
            run = []
            for i in members:
                edges = np.rint(np.cumsum([0, *shares[i]]) * found[i].num_rows).astype(int).tolist()
                start, stop = edges[number], edges[number + 1]
                path = str(sources[i].path.resolve())
                run.append(_Segment(path, found[i].format, start, stop, labels[i], found[i].size, found[i].changed))
            runs.append(run)
        total = sum(s.stop - s.start for run in runs for s in run)
        num_parts = -(-total // part_rows)
        pieces = [_cut(run, num_parts) for run in runs]
        for index in range(num_parts):
            segments = [segment.__dict__ for piece in pieces for segment in piece[index]]
            rows = sum(s["stop"] - s["start"] for s in segments)
            tasks.append(PartTask(split, index, rows, {"segments": segments, "settings": settings}))
    return tasks


def _cut(run: Sequence[_Segment], pieces: int) -> list[list[_Segment]]:
    """Cut the rows of files, one after the other, into so many pieces of equal length."""
    total = sum(s.stop - s.start for s in run)
    edges = np.rint(np.linspace(0, total, pieces + 1)).astype(int).tolist()
    cut: list[list[_Segment]] = [[] for _ in range(pieces)]
    before = 0
    for s in run:
        length = s.stop - s.start
        for k in range(pieces):
            low, high = max(edges[k] - before, 0), min(edges[k + 1] - before, length)
            if low < high:
                cut[k].append(_Segment(s.path, s.format, s.start + low, s.start + high, s.label, s.size, s.changed))
        before += length
    return cut


def _plan(
    sources: Sequence[Source], found: Sequence[Found], classes: Sequence[str], split: Any, part_jets: int | None,
    mix: bool, options: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    files = [
        {
            "file": source.path.name,
            "class": source.class_name,
            "format": one.format,
            "bytes": one.size,
            "rows": one.num_rows,
        }
        for source, one in zip(sources, found, strict=True)
    ]
    return {
        "sources": files,
        "classes": list(classes),
        "options": {name: str(value) for name, value in options.items()},
        "split": split if isinstance(split, str) or split is None else list(split),
        "part_jets": part_jets,
        "mix": mix,
        "versions": {"jetforge": version("jetforge")},
    }


def _provenance(sums: Checksums, sources: Sequence[Source], found: Sequence[Found]) -> dict[str, Any]:
    checksums = sums.wait()
    for source, one in zip(sources, found, strict=True):
        status = source.path.stat()
        if (status.st_size, status.st_mtime_ns) != (one.size, one.changed):
            raise DataError(f"{source.path}: was changed while it was being converted; start again")
    return {"sha256": {source.path.name: checksums[source.path] for source in sources}}


def _label_field(fields: Sequence[str], labels: Sequence[int | None]) -> list[str]:
    return ["label"] if "label" in fields or any(label is not None for label in labels) else []


def left_out(dataset: Dataset) -> dict[str, int]:
    """Return how many jets of the source files a conversion left out, by reason."""
    found: dict[str, int] = {}
    for counts in dataset.manifest.provenance.get("statistics", {}).values():
        for name, number in counts.items():
            if name.startswith(_LEFT_OUT):
                reason = name.removeprefix(_LEFT_OUT)
                found[reason] = found.get(reason, 0) + number
    return found


def _all_fields(fields: Sequence[str]) -> list[str]:
    """Return the jet fields of a dataset but the label: kinematics first, then what else the source has."""
    return [*_KINEMATICS, *(name for name in fields if name not in (*_KINEMATICS, "label"))]
