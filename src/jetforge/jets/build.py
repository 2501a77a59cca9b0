"""Building a dataset from independent parts: on many workers, resumable after a kill, the same bytes every time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jetforge.errors import DataError, JetforgeError
from jetforge.files import write_atomically
from jetforge.jets.dataset import UNFINISHED_NAME, Dataset, open_dataset
from jetforge.jets.manifest import MANIFEST_NAME, SPLITS, Manifest, Part
from jetforge.jets.storage import sha256

_JOURNAL_NAME = "build.jsonl"
_LOCK_NAME = ".build.lock"


@dataclass(frozen=True)
class PartTask:
    """One part to be made: which, how many jets, and whatever its maker needs to know (plain values)."""

    split: str
    index: int
    jets: int
    argument: Mapping[str, Any]

    @property
    def file(self) -> str:
        """The part's path within the dataset."""
        return f"{self.split}/part-{self.index:05d}.parquet"


@dataclass(frozen=True)
class MadePart:
    """A part as its maker returns it: the file's bytes, and counts that add up over parts.

    `statistics` goes into the dataset and must follow from the task alone; `timing` (seconds) is only reported.
    """

    data: bytes
    jets: int
    statistics: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    timing: Mapping[str, float] = field(default_factory=dict)


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
    scheduler: str | None = None,
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
        Address of a running Dask scheduler (``tcp://...``) to use instead.
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
    if (folder / MANIFEST_NAME).is_file():
        dataset = open_dataset(folder)
        _refuse_other_plan(folder, dict(dataset.manifest.provenance).get("plan"), plan)
        return dataset
    with _locked(folder):
        _start(folder, plan)
        journal = _Journal(folder / _JOURNAL_NAME)
        by_file = {task.file: task for task in tasks}
        done = {file: record for file, record in journal.read().items() if file in by_file and _intact(folder, record)}
        total, resumed = sum(task.jets for task in tasks), sum(r["jets"] for r in done.values())
        timing: dict[str, float] = {}
        on_progress(Progress(resumed, total, resumed))
        todo = [task for task in tasks if task.file not in done]
        with contextlib.closing(_make_all(todo, make_part, workers, scheduler)) as made_parts:
            for task, made in made_parts:
                write_atomically(folder / task.file, made.data)
                part = Part(task.file, made.jets, len(made.data), sha256(made.data))
                done[task.file] = {**asdict(part), "statistics": made.statistics}
                journal.append(done[task.file])
                for name, seconds in made.timing.items():
                    timing[name] = timing.get(name, 0.0) + seconds
                on_progress(Progress(sum(r["jets"] for r in done.values()), total, resumed, timing))
        provenance = {"plan": plan, "statistics": _add_up([done[task.file]["statistics"] for task in tasks])}
        parts: dict[str, list[Part]] = {split: [] for split in SPLITS}
        for task in tasks:
            record = done[task.file]
            parts[task.split].append(Part(*(record[name] for name in ("file", "jets", "bytes", "sha256"))))
        Manifest(tuple(classes), tuple(constituent_fields), tuple(jet_fields), provenance, parts).write(folder)
        # What is left over of an interrupted build goes, half-written files too.
        for leftover in (folder / UNFINISHED_NAME, folder / _JOURNAL_NAME, *folder.rglob(".*.tmp")):
            leftover.unlink(missing_ok=True)
    return open_dataset(folder)


class _Journal:
    """The parts made so far, one JSON line each; only the process that holds the lock writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, dict[str, Any]]:
        if not self._path.is_file():
            return {}
        records = {}
        for line in self._path.read_text().split("\n"):
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


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK_NAME).open("w")
    except OSError as error:
        raise JetforgeError(f"cannot write {folder}: {error.strerror}; choose another place") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"{folder}: another process is writing this dataset; wait for it or stop it") from None
        yield
        (folder / _LOCK_NAME).unlink(missing_ok=True)


def _start(folder: Path, plan: Mapping[str, Any]) -> None:
    path = folder / UNFINISHED_NAME
    if path.is_file():
        try:
            earlier = json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise DataError(f"{path}: not valid JSON; remove the directory and start again") from None
        _refuse_other_plan(folder, earlier, plan)
        return
    strangers = sorted(p.name for p in folder.iterdir() if p.name != _LOCK_NAME and not p.name.startswith("."))
    if strangers:
        raise DataError(f"{folder}: not empty and not a dataset ({strangers[0]}); choose a new directory")
    write_atomically(path, json.dumps(plan).encode())


def _refuse_other_plan(folder: Path, there: Any, wanted: Mapping[str, Any]) -> None:
    if there == wanted:
        return
    there = there if isinstance(there, dict) else {}
    changed = sorted(k for k in {*there, *wanted} if there.get(k) != wanted.get(k))
    shown = "; ".join(f"{k}: {_short(there.get(k))} there, {_short(wanted.get(k))} asked for" for k in changed[:3])
    raise DataError(f"{folder}: holds a dataset of other settings ({shown}); choose another directory or remove it")


def _short(value: Any) -> str:
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


def _make_all(
    tasks: Sequence[PartTask],
    make_part: Callable[[PartTask], MadePart],
    workers: int | None,
    scheduler: str | None,
) -> Generator[tuple[PartTask, MadePart], None, None]:
    """Yield parts as they are made, in any order."""
    if not tasks:
        return
    if workers == 0 and scheduler is None:
        for task in tasks:
            yield task, make_part(task)
        return
    try:
        from distributed import as_completed
    except ImportError:
        raise JetforgeError("several workers need Dask: pip install 'jetforge[generate]', or use --workers 0") from None
    with _client(min(workers or os.cpu_count() or 1, len(tasks)), scheduler) as client:
        waiting = iter(tasks)
        # A few parts ahead of the workers keep them busy; more would only fill the memory.
        ahead = 2 * max(1, sum(client.nthreads().values()))
        task_of: dict[str, PartTask] = {}
        futures = as_completed(with_results=False)
        for task in waiting:
            _submit(client, make_part, task, task_of, futures)
            if len(task_of) >= ahead:
                break
        for future in futures:
            task = task_of.pop(future.key)
            made = _result(future, task)
            future.release()
            following = next(waiting, None)
            if following is not None:
                _submit(client, make_part, following, task_of, futures)
            yield task, made


def _submit(client: Any, make_part: Any, task: PartTask, task_of: dict[str, PartTask], futures: Any) -> None:
    future = client.submit(make_part, task, pure=False, retries=1)
    task_of[future.key] = task
    futures.add(future)


def _result(future: Any, task: PartTask) -> MadePart:
    from distributed import CancelledError, KilledWorker

    try:
        made: MadePart = future.result()
    except KilledWorker:
        raise JetforgeError(f"{task.file}: its workers were killed again and again (out of memory?)") from None
    except CancelledError:
        raise JetforgeError("the Dask scheduler is gone; finished parts are kept, run again to go on") from None
    return made


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise JetforgeError(f"no Dask scheduler answers at {scheduler} ({error}); is it running?") from None
        with client:
            if not client.nthreads():
                try:
                    client.wait_for_workers(1, timeout=60)
                except TimeoutError:
                    raise JetforgeError(f"the Dask scheduler at {scheduler} has no workers; start some") from None
            yield client
        return
    with (
        tempfile.TemporaryDirectory(prefix="jetforge-") as scratch,
        dask.config.set(_QUIET),
        _own_environment(),
    ):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            silence_logs=50,
        )
        with cluster, Client(cluster) as client:
            client.register_plugin(_leave_interrupts_to_the_client())
            yield client


def _leave_interrupts_to_the_client() -> Any:
    """Return a plugin by which workers ignore Ctrl-C: the process that started them answers it, and ends them."""
    from distributed import WorkerPlugin

    class LeaveInterrupts(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return LeaveInterrupts()


@contextlib.contextmanager
def _own_environment() -> Iterator[None]:
    """Undo what Dask writes into this process's environment for its workers, such as one thread for OpenMP."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


# One core a worker; the numerical libraries must not start threads of their own.
_QUIET = {
    "distributed.nanny.pre-spawn-environ.NUMBA_NUM_THREADS": 1,
    "distributed.logging.distributed": "critical",
    "distributed.admin.tick.limit": "1h",
}
