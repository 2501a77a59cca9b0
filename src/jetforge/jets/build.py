"""Building a dataset from independent parts: on many workers, resumable after a kill, the same bytes every time."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jetforge.errors import DataError, JetforgeError
from jetforge.files import locked, write_atomically
from jetforge.jets.dataset import UNFINISHED_NAME, Dataset, open_dataset
from jetforge.jets.manifest import MANIFEST_NAME, SPLITS, Manifest, Part
from jetforge.jets.storage import sha256
from jetforge.jets.tasks import MadePart, PartTask, make_all

_JOURNAL_NAME = "build.jsonl"
_LOCK_NAME = ".build.lock"
_MOST_SHOWN = 3
# Newer programs do not make a finished dataset another one.
_OF_NO_MATTER = ("versions", "changed")


@dataclass(frozen=True)
class Progress:
    """Where a build stands: jets done and in all, and how many of those an earlier run had made."""

    done: int
    total: int
    resumed: int
    timing: Mapping[str, float] = field(default_factory=dict)


def build_dataset(
    out: str | Path,
    tasks: Sequence[PartTask],
    make_part: Callable[[PartTask], MadePart],
    *,
    plan: Mapping[str, Any],
    classes: Sequence[str],
    constituent_fields: Sequence[str],
    jet_fields: Sequence[str],
    workers: int | None = None,
    scheduler: str | Callable[[], Any] | None = None,
    further_provenance: Callable[[], Mapping[str, Any]] = dict,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Dataset:
    """Make every part of a dataset and then its `dataset.json`.

    A part is written whole, then noted in a journal with its checksum; a build that was stopped goes on with the
    parts that are not in the journal, or whose files no longer fit it.

    Parameters
    ----------
    out
        The directory.
    tasks
        The parts. Each must depend on its own argument only, so that any number of workers makes the same bytes.
    make_part
        A module-level function, run on the workers.
    plan
        What the dataset is to be, as plain values; stored as its provenance, and compared when a build is resumed.
    classes, constituent_fields, jet_fields
        For `dataset.json`.
    workers
        Processes on this machine: None for one a core, 0 to work in this process.
    scheduler
        Address of a running Dask scheduler (``tcp://...``), or a YAML file of batch jobs, to use instead; see
        `jetforge.jets.clusters.open_client`. Or what returns a Dask client, which the caller closes.
    further_provenance
        Called when all parts are there: what else to store of where the jets come from. Where it raises, the dataset
        stays unfinished.
    on_progress
        Called after each part.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the directory holds something else, or another build is writing to it.
    JetforgeError
        If a part cannot be made or written. Finished parts are kept.
    """
    folder = Path(out)
    plan = json.loads(json.dumps(plan))
    make = partial(make_all, make_part=make_part, workers=workers, scheduler=scheduler)
    if (folder / MANIFEST_NAME).is_file():
        return _finished(folder, plan, tasks, make, on_progress)
    with _locked(folder):
        if (folder / MANIFEST_NAME).is_file():
            return _finished(folder, plan, tasks, make, on_progress)
        _start(folder, plan)
        journal = _Journal(folder / _JOURNAL_NAME)
        by_file = {task.file: task for task in tasks}
        done = {file: record for file, record in journal.read().items() if file in by_file and _intact(folder, record)}
        total, resumed = sum(task.jets for task in tasks), sum(by_file[file].jets for file in done)
        timing: dict[str, float] = {}
        on_progress(Progress(resumed, total, resumed))
        with contextlib.closing(make([task for task in tasks if task.file not in done])) as made_parts:
            for task, made in made_parts:
                write_atomically(folder / task.file, made.data)
                part = Part(task.file, made.jets, len(made.data), sha256(made.data))
                done[task.file] = {**asdict(part), "statistics": made.statistics}
                journal.append(done[task.file])
                for name, seconds in made.timing.items():
                    timing[name] = timing.get(name, 0.0) + seconds
                on_progress(Progress(sum(by_file[file].jets for file in done), total, resumed, timing))
        if not any(record["jets"] for record in done.values()):
            raise DataError(f"{folder}: no jet is left to be stored; widen the selection, then remove the directory")
        statistics = _add_up([done[task.file]["statistics"] for task in tasks])
        provenance = {"plan": plan, "statistics": statistics, **further_provenance()}
        parts: dict[str, list[Part]] = {split: [] for split in SPLITS}
        for task in tasks:
            record = done[task.file]
            parts[task.split].append(Part(*(record[name] for name in ("file", "jets", "bytes", "sha256"))))
        Manifest(tuple(classes), tuple(constituent_fields), tuple(jet_fields), provenance, parts).write(folder)
        _tidy(folder)
    return open_dataset(folder)


def check_build(out: str | Path, plan: Mapping[str, Any]) -> None:
    """Refuse a directory that `build_dataset` would refuse, without making anything.

    Parameters
    ----------
    out
        The directory.
    plan
        What the dataset is to be, see `build_dataset`.

    Raises
    ------
    DataError
        If the directory holds something else, or is a file.
    """
    folder = Path(out)
    plan = json.loads(json.dumps(plan))
    if (folder / MANIFEST_NAME).is_file():
        _refuse_other_plan(folder, _plan_of(Manifest.read(folder)), plan, ignoring=_OF_NO_MATTER)
    elif folder.is_dir():
        _is_begun(folder, plan)
    elif folder.exists():
        raise DataError(f"{folder}: a file, where the directory of a dataset is to be; choose another name")


def _plan_of(manifest: Manifest) -> Any:
    return dict(manifest.provenance).get("plan")


def _finished(
    folder: Path,
    plan: Mapping[str, Any],
    tasks: Sequence[PartTask],
    make: Callable[[Sequence[PartTask]], Any],
    on_progress: Callable[[Progress], None],
) -> Dataset:
    """Return a dataset that is there already; parts that were lost since are made again, with the same bytes."""
    manifest = Manifest.read(folder)
    _refuse_other_plan(folder, _plan_of(manifest), plan, ignoring=_OF_NO_MATTER)
    noted = {part.file: part for parts in manifest.parts.values() for part in parts}
    if sorted(noted) != sorted(task.file for task in tasks):
        raise DataError(f"{folder}: holds a dataset of other parts; choose another directory or remove it")
    lost = [task for task in tasks if not _has_size(folder, noted[task.file])]
    if lost:
        total, left = sum(task.jets for task in tasks), sum(task.jets for task in lost)
        with _locked(folder), contextlib.closing(make(lost)) as made_parts:
            resumed = total - left
            for task, made in made_parts:
                if sha256(made.data) != noted[task.file].sha256:
                    raise DataError(
                        f"{folder / task.file}: is lost, and cannot be made again as it was (other versions of "
                        "programs, or other source files); remove the directory and make it anew"
                    )
                write_atomically(folder / task.file, made.data)
                left -= task.jets
                on_progress(Progress(total - left, total, resumed))
    if (folder / UNFINISHED_NAME).is_file():
        _tidy(folder)
    return open_dataset(folder)


def _has_size(folder: Path, part: Part) -> bool:
    path = folder / part.file
    return path.is_file() and path.stat().st_size == part.bytes


def _tidy(folder: Path) -> None:
    """Remove what is left over of building, half-written files of earlier attempts too."""
    for leftover in (folder / UNFINISHED_NAME, folder / _JOURNAL_NAME, *folder.rglob(".*.tmp")):
        leftover.unlink(missing_ok=True)


class _Journal:
    """The parts made so far, one JSON line each; only the process that holds the lock writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, dict[str, Any]]:
        if not self._path.is_file():
            return {}
        records = {}
        for line in self._path.read_text(errors="replace").split("\n"):
            # The last line of a killed build may be torn: its part is made again, with the same bytes.
            with contextlib.suppress(json.JSONDecodeError, KeyError, TypeError):
                record = json.loads(line)
                records[record["file"]] = record
        return records

    def append(self, record: Mapping[str, Any]) -> None:
        try:
            with self._path.open("a") as file:
                # A line break first: whatever a torn line left must not swallow this one.
                file.write("\n" + json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise JetforgeError(f"cannot write {self._path}: {error.strerror}; free space, then run again") from None


def _locked(folder: Path) -> contextlib.AbstractContextManager[None]:
    busy = f"{folder}: another process is writing this dataset; wait for it or stop it"
    return locked(folder / _LOCK_NAME, busy)


def _start(folder: Path, plan: Mapping[str, Any]) -> None:
    if not _is_begun(folder, plan):
        write_atomically(folder / UNFINISHED_NAME, json.dumps(plan).encode())


def _is_begun(folder: Path, plan: Mapping[str, Any]) -> bool:
    """Say whether a directory holds a part of this very dataset; it may be empty, but nothing else."""
    path = folder / UNFINISHED_NAME
    if path.is_file():
        try:
            earlier = json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise DataError(f"{path}: not valid JSON; remove the directory and start again") from None
        _refuse_other_plan(folder, earlier, plan)
        return True
    strangers = sorted(p.name for p in folder.iterdir() if p.name != _LOCK_NAME and not p.name.startswith("."))
    if strangers:
        raise DataError(f"{folder}: not empty and not a dataset ({strangers[0]}); choose a new directory")
    return False


def _refuse_other_plan(folder: Path, there: Any, wanted: Mapping[str, Any], ignoring: Sequence[str] = ()) -> None:
    there = there if isinstance(there, dict) else {}
    changed = sorted(k for k in {*there, *wanted} if k not in ignoring and there.get(k) != wanted.get(k))
    if not changed:
        return
    differences = [shown for key in changed for shown in _differences(key, there.get(key), wanted.get(key))]
    shown = "; ".join(differences[:_MOST_SHOWN]) + ("; ..." if len(differences) > _MOST_SHOWN else "")
    raise DataError(f"{folder}: holds a dataset of other settings ({shown}); choose another directory or remove it")


def _differences(name: str, there: Any, wanted: Any) -> list[str]:
    """Return in words what differs between two values that differ, each setting by itself; items count from 1."""
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(there, dict) and isinstance(wanted, dict):
        pairs = [(f"{name} {key}", there.get(key), wanted.get(key)) for key in {**there, **wanted}]
    elif _is_list_of_settings(there) and _is_list_of_settings(wanted):
        if len(there) != len(wanted):
            return [f"number of {name}: {len(there)} there, {len(wanted)} asked for"]
        pairs = [(f"{name} {i}", *pair) for i, pair in enumerate(zip(there, wanted, strict=True), 1)]
    found = [shown for inner, *pair in pairs if pair[0] != pair[1] for shown in _differences(inner, *pair)]
    return found or [f"{name}: {_short(there)} there, {_short(wanted)} asked for"]


def _is_list_of_settings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _intact(folder: Path, record: Mapping[str, Any]) -> bool:
    try:
        return sha256((folder / record["file"]).read_bytes()) == str(record["sha256"])
    except OSError:
        return False


def _add_up(parts: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = {}
    for part in parts:
        for group, counts in part.items():
            into = total.setdefault(group, {})
            for name, count in counts.items():
                into[name] = into.get(name, 0) + count
    return total
