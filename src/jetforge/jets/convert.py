"""Files of any public format to a dataset: each part from its own ranges of rows, on any number of workers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.build import Progress, build_dataset
from jetforge.jets.clusters import Opening
from jetforge.jets.convert_parts import (
    LEFT_OUT,
    OF_CLASS,
    PART_SECONDS,
    all_fields,
    close_readers,
    convert_part,
    files_of,
    label_field,
    look_on_worker,
    make_part,
    warm_up,
)
from jetforge.jets.convert_plan import Ranges, part_tasks, rows_of_runs, rows_of_shares
from jetforge.jets.dataset import Dataset
from jetforge.jets.guard import Guard, shared_guard
from jetforge.jets.manifest import MANIFEST_NAME, SPLITS, check_shares
from jetforge.jets.readers import get_reader
from jetforge.jets.sources import (
    BY_ROW,
    Checksums,
    Found,
    Source,
    check_split,
    common_classes,
    common_columns,
    look,
    sample,
    stated_runs,
)
from jetforge.jets.storage import stored_columns
from jetforge.jets.tasks import MadePart, PartTask, check_workers

DEFAULT_SHARES = (0.8, 0.1, 0.1)
# Longest time (s) that a first look may take, and what a second reads of the largest files.
_LOOK_SECONDS, _BYTES_A_SECOND = 120.0, 20e6
# The same where the whole file is read.
_BYTES_READ_A_SECOND = 100e3
# Files of more bytes in all are worth other processes, which take seconds to start.
_LARGE = 64 << 20


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
        ``train``, ``val`` or ``test`` for all jets; ``stated`` for what each row of the files says; three shares, of
        which each file gives its first rows to train, the next to val, the last to test; or None: what the file
        states, shares of 0.8, 0.1 and 0.1 where it states nothing.
    part_jets
        Rows that a part is made from, which are held in memory at a time; by default what suits the format.
    mix
        Whether a part takes its share of every class where files hold one class each, so that blocks of a few parts
        are mixed; otherwise parts follow the files.
    workers, scheduler, on_progress
        See `jetforge.jets.build.build_dataset`; by default files below 64 MiB are read in one process. Workers on
        other machines read the files under the same paths.

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
    if format is None and "mapping" in (options or {}):
        format = "columns"  # noqa: A001
    with ExitStack() as stack:
        guard = shared_guard()
        stack.callback(guard.call_if_started, close_readers)
        large = sum(source.path.stat().st_size for source in sources if source.path.is_file()) > _LARGE
        opening: Opening | None = None
        if large and workers != 0 and scheduler is None and not (Path(out) / MANIFEST_NAME).is_file():
            opening = stack.enter_context(Opening(workers or len(os.sched_getaffinity(0))))
        found = _look(guard, opening, sources, format, options or {})
        options = _with_whole_paths(found[0].format, options or {})
        _refuse_same(sources)
        classes = common_classes(sources, found)
        columns, fields = common_columns(sources, found)
        labels = [classes.index(s.class_name) if s.class_name is not None else None for s in sources]
        rows = [_rows(guard, split, one, source, options) for source, one in zip(sources, found, strict=True)]
        part_rows = part_jets or min(one.part_rows for one in found)
        settings = {
            "options": dict(options), "columns": columns, "fields": fields, "classes": len(classes),
            "stated": split is None,
        }  # fmt: skip
        tasks = part_tasks(sources, found, labels, rows, part_rows, mix, settings)
        sums = Checksums([source.path for source in sources])
        stack.callback(sums.stop)
        alone = scheduler is None and (len(tasks) <= 1 or workers == 0 or (workers is None and not large))
        return build_dataset(
            out,
            tasks,
            partial(_make_guarded, guard) if alone else make_part,
            plan=_plan(sources, found, classes, split, part_rows, mix, options),
            classes=classes,
            constituent_fields=stored_columns(columns),
            jet_fields=[*label_field(fields, labels), *all_fields(fields)],
            workers=0 if alone else workers,
            scheduler=None if alone else opening or scheduler,
            further_provenance=partial(_provenance, sums, sources, found),
            on_progress=on_progress,
        )


def _make_guarded(guard: Guard, task: PartTask) -> MadePart:
    made: MadePart = guard.call(convert_part, task, what=files_of(task), seconds=PART_SECONDS)
    return made


def _look(
    guard: Guard,
    opening: Opening | None,
    sources: Sequence[Source],
    format: str | None,  # noqa: A002
    options: Mapping[str, Any],
) -> list[Found]:
    """Look into every file, in processes that may be ended by it."""
    calls = []
    for source in sources:
        try:
            size = source.path.stat().st_size
        except OSError as error:
            raise DataError(f"{source.path}: cannot be read: {error.strerror}") from None
        calls.append((str(source.path.resolve()), format, options, _LOOK_SECONDS + size / _BYTES_A_SECOND))
    if opening is None:
        found = [guard.call(look, *call[:-1], what=call[0], seconds=call[-1]) for call in calls]
    else:
        found = _look_on_workers(opening(), calls)
    for source, one in zip(sources, found, strict=True):
        if not one.num_rows:
            raise DataError(f"{source.path}: holds no {one.rows_are}")
    return found


def _look_on_workers(client: Any, calls: Sequence[tuple[Any, ...]]) -> list[Found]:
    from distributed import KilledWorker

    futures = [client.submit(look_on_worker, *call, pure=False) for call in calls]
    # Workers without a file to look into get ready meanwhile.
    warming = [client.submit(warm_up, pure=False, workers=[worker]) for worker in client.nthreads()]
    found = []
    for call, future in zip(calls, futures, strict=True):
        try:
            found.append(future.result())
        except KilledWorker:
            raise DataError(
                f"{call[0]}: the programs that read it were killed again and again: damaged, or out of memory"
            ) from None
    del warming
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
    check_workers(workers)
    if isinstance(split, str):
        check_split(split)
    elif split is not None:
        check_shares(split)


def _refuse_same(sources: Sequence[Source]) -> None:
    seen: dict[str, Path] = {}
    for source in sources:
        contents = sample(source.path)
        if contents in seen:
            raise JetforgeError(f"{source.path}: holds the same as {seen[contents]}; jets would count twice")
        seen[contents] = source.path


def _rows(
    guard: Guard, split: str | Sequence[float] | None, found: Found, source: Source, options: Mapping[str, Any]
) -> list[Ranges] | None:
    """Return which ranges of a file's rows go to train, val and test; None where each row must be asked."""
    if split == BY_ROW and found.stated is None:
        raise JetforgeError(f"{source.path}: states no split; choose with --split, or leave it away")
    named = found.stated if split is None else split if isinstance(split, str) else None
    if named == BY_ROW:
        seconds = _LOOK_SECONDS + found.size / _BYTES_READ_A_SECOND
        path = str(source.path.resolve())
        runs = guard.call(stated_runs, path, found.format, options, what=path, seconds=seconds)
        return None if runs is None else rows_of_runs(runs)
    if named is not None:
        return rows_of_shares([float(name == named) for name in SPLITS], found.num_rows)
    shares = DEFAULT_SHARES if split is None or isinstance(split, str) else split
    return rows_of_shares(shares, found.num_rows)


def _plan(
    sources: Sequence[Source], found: Sequence[Found], classes: Sequence[str], split: Any, part_rows: int,
    mix: bool, options: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    files = [
        {
            "file": source.path.name,
            "class": source.class_name,
            "format": one.format,
            "bytes": one.size,
            "rows": one.num_rows,
            "sample": sample(source.path),
        }
        for source, one in zip(sources, found, strict=True)
    ]
    return {
        "sources": files,
        "classes": list(classes),
        "options": {name: _recorded(found[0].format, name, value) for name, value in options.items()},
        "split": split if isinstance(split, str) or split is None else list(split),
        "part_jets": part_rows,
        "mix": mix,
        "changed": [one.changed for one in found],
        "versions": {"jetforge": version("jetforge")},
    }


def _with_whole_paths(format: str, options: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002
    """Return the options with full paths of files, for workers run in other directories."""
    known = get_reader(format).options
    return {name: str(Path(value).resolve()) if known[name].is_file else value for name, value in options.items()}


def _recorded(format: str, name: str, value: Any) -> str:  # noqa: A002
    """Return what the plan says of an option: of a file its name and checksum."""
    if not get_reader(format).options[name].is_file:
        return str(value)
    return f"{Path(value).name} {hashlib.sha256(Path(value).read_bytes()).hexdigest()}"


def _provenance(sums: Checksums, sources: Sequence[Source], found: Sequence[Found]) -> dict[str, Any]:
    checksums = sums.wait()
    for source, one in zip(sources, found, strict=True):
        status = source.path.stat()
        if (status.st_size, status.st_mtime_ns) != (one.size, one.changed):
            raise DataError(f"{source.path}: was changed while it was being converted; start again")
    return {"checksums": [{"file": s.path.name, "sha256": checksums[s.path]} for s in sources]}


def classes_not_in(dataset: Dataset) -> dict[str, list[str]]:
    """Return the classes that a converted split lacks and another has, by split."""
    counts = dataset.manifest.provenance.get("statistics", {})
    held = {split: {name for name in counts.get(split, {}) if name.startswith(OF_CLASS)} for split in dataset.splits}
    everywhere = set().union(*held.values())
    numbers = {
        split: sorted(int(name.removeprefix(OF_CLASS)) for name in everywhere - own) for split, own in held.items()
    }
    return {split: [dataset.classes[number] for number in own] for split, own in numbers.items() if own}


def left_out(dataset: Dataset) -> dict[str, int]:
    """Return how many jets of the source files a conversion left out, by reason."""
    found: dict[str, int] = {}
    for counts in dataset.manifest.provenance.get("statistics", {}).values():
        for name, number in counts.items():
            if name.startswith(LEFT_OUT):
                reason = name.removeprefix(LEFT_OUT)
                found[reason] = found.get(reason, 0) + number
    return found
