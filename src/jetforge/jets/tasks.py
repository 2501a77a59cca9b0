"""Parts as independent tasks, made here or on many workers by Dask."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from jetforge.errors import JetforgeError
from jetforge.jets.clusters import open_client


@dataclass(frozen=True)
class PartTask:
    """One part to be made: which, how many jets, and whatever its maker needs to know (plain values).

    Where the number of jets is known only afterwards, `jets` is that of the rows they are chosen from.
    """

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
    scheduler: str | Callable[[], Any] | None,
) -> Generator[tuple[PartTask, MadePart], None, None]:
    """Yield parts as they are made, in any order; `workers` and `scheduler` as in `build.build_dataset`."""
    if not tasks:
        return
    if workers == 0 and scheduler is None:
        for task in tasks:
            yield task, make_part(task)
        return
    with _client(min(workers or len(os.sched_getaffinity(0)), len(tasks)), scheduler) as client:
        from distributed import as_completed

        waiting = iter(tasks)
        task_of: dict[str, PartTask] = {}
        futures = as_completed(with_results=False)
        _top_up(client, make_part, waiting, task_of, futures)
        for future in futures:
            task = task_of.pop(future.key)
            made = _result(future, task)
            future.release()
            _top_up(client, make_part, waiting, task_of, futures)
            yield task, made


def check_workers(workers: int | None) -> None:
    """Refuse a number of workers that is none.

    Raises
    ------
    JetforgeError
        If it is below zero.
    """
    if workers is not None and workers < 0:
        raise JetforgeError(f"workers is a number of processes from 0, not {workers}")


@contextlib.contextmanager
def _client(workers: int, scheduler: str | Callable[[], Any] | None) -> Iterator[Any]:
    if callable(scheduler):
        yield scheduler()
    else:
        with open_client(workers, scheduler) as client:
            yield client


def _top_up(
    client: Any, make_part: Any, waiting: Iterator[PartTask], task_of: dict[str, PartTask], futures: Any
) -> None:
    """Submit parts until a few are ahead of the workers that there are by now; more would only fill the memory."""
    ahead = 2 * max(1, sum(client.nthreads().values()))
    for task in islice(waiting, max(ahead - len(task_of), 0)):
        # A part whose worker is lost is made by another; one that fails is tried once more, for a disk may hiccup.
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
