"""Parts as independent tasks, made here or on many workers by Dask."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jetforge.errors import JetforgeError


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


def make_all(
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
    with _client(min(workers or len(os.sched_getaffinity(0)), len(tasks)), scheduler) as client:
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
