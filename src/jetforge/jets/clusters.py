"""Where parts are made by several processes: this machine, a running Dask scheduler, or a batch system."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import logging
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from jetforge.errors import JetforgeError, RecipeError

# Classes of dask-jobqueue; `local` runs the jobs on this machine, to try a file out.
_BATCH_SYSTEMS = {
    "slurm": ("dask_jobqueue", "SLURMCluster"),
    "htcondor": ("dask_jobqueue", "HTCondorCluster"),
    "pbs": ("dask_jobqueue", "PBSCluster"),
    "lsf": ("dask_jobqueue", "LSFCluster"),
    "sge": ("dask_jobqueue", "SGECluster"),
    "local": ("dask_jobqueue.local", "LocalCluster"),
}
# In the environment of workers that nobody else uses: these may be limited and ended.
OUR_WORKER = "JETFORGE_WORKER"
# One core a worker; the numerical libraries must not start threads of their own. Dask has its workers give memory back
# after every array, and the system hands it out again page by page: that takes a third of the time of a conversion.
_QUIET = {
    f"distributed.nanny.pre-spawn-environ.{OUR_WORKER}": 1,
    "distributed.nanny.pre-spawn-environ.NUMBA_NUM_THREADS": 1,
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 256 << 20,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 32 << 20,
    "distributed.logging.distributed": "critical",
    "distributed.admin.tick.limit": "1h",
}


@contextlib.contextmanager
def open_client(workers: int, scheduler: str | None) -> Iterator[Any]:
    """Give a Dask client.

    Parameters
    ----------
    workers
        Processes on this machine, where no scheduler is named.
    scheduler
        Address of a running scheduler (``tcp://...``), or a YAML file that describes the jobs of a batch system.

    Raises
    ------
    JetforgeError
        If no scheduler answers, no worker comes, or Dask is not installed.
    RecipeError
        If the YAML file is wrong.
    """
    if scheduler is None:
        with _local(workers) as client:
            yield client
    elif scheduler.endswith((".yaml", ".yml")):
        with _jobs(Path(scheduler)) as client:
            yield client
    else:
        with _running(scheduler) as client:
            yield client


class Opening:
    """A Dask client that is opened on a thread, while its caller does something else; a context that closes it.

    Calling it waits for the client, and raises what `open_client` raises.
    """

    def __init__(self, workers: int, scheduler: str | None = None) -> None:
        self._context = open_client(workers, scheduler)
        self._thread = ThreadPoolExecutor(1, "jetforge-open-client")
        self._client = self._thread.submit(self._context.__enter__)

    def __call__(self) -> Any:
        """Return the client."""
        return self._client.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client.exception() is None:
            # By the thread that opened it: a client is bound to that.
            self._thread.submit(self._context.__exit__, None, None, None).result()
        self._thread.shutdown()


@contextlib.contextmanager
def _running(scheduler: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise JetforgeError(f"no Dask scheduler answers at {scheduler} ({error}); is it running?") from None
    with client:
        if not client.nthreads():
            _wait_for_workers(client, 60, f"the Dask scheduler at {scheduler} has no workers; start some")
        yield client


@contextlib.contextmanager
def _jobs(path: Path) -> Iterator[Any]:
    import dask
    from distributed import Client

    settings = _read_jobs(path)
    system, jobs = settings.pop("type"), settings.pop("jobs")
    patience = settings.pop("patience", 3600)
    module, name = _BATCH_SYSTEMS[system]
    with dask.config.set(_QUIET), _own_environment():
        try:
            kind = getattr(__import__(module, fromlist=[name]), name)
        except ImportError:
            raise JetforgeError(f"{path}: batch systems need dask-jobqueue: pip install 'jetforge[scale]'") from None
        _check_settings(path, system, kind, settings)
        if system != "local":  # its jobs run no script
            settings["job_script_prologue"] = [*settings.get("job_script_prologue", []), f"export {OUR_WORKER}=1"]
        try:
            cluster = kind(**settings)
        except (TypeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise RecipeError(f"{path}: {name} does not take these settings: {reason}") from None
        with cluster, Client(cluster) as client:
            cluster.scale(jobs=jobs)
            _wait_for_workers(
                client, patience, f"{path}: no job of {jobs} started within {patience} s; is the queue full?"
            )
            yield client


def _read_jobs(path: Path) -> dict[str, Any]:
    from jetforge.yaml_files import read_yaml

    settings = read_yaml(path, "a description of jobs").values
    if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
        raise RecipeError(
            f"{path}: describes no jobs; it has a line 'type: slurm', a line 'jobs: 20', and dask-jobqueue's settings"
        )
    if settings.get("type") not in _BATCH_SYSTEMS:
        raise RecipeError(f"{path}: type '{settings.get('type')}' is none of {', '.join(_BATCH_SYSTEMS)}")
    if not isinstance(settings.get("jobs"), int) or settings["jobs"] < 1:
        raise RecipeError(f"{path}: jobs is '{settings.get('jobs')}'; it is how many jobs to submit, a number from 1")
    patience = settings.get("patience", 1)
    if not isinstance(patience, int | float) or not patience > 0:
        raise RecipeError(f"{path}: patience is '{patience}'; it is how many seconds to wait for the first job")
    return dict(settings)


def _check_settings(path: Path, system: str, kind: Any, settings: Mapping[str, Any]) -> None:
    """Refuse settings that dask-jobqueue does not know, before it has started anything."""
    import dask

    takers = (kind.__init__, *(base.__init__ for base in (*kind.__mro__, *kind.job_cls.__mro__)))
    known = {name for taker in takers for name in inspect.signature(taker).parameters} - {"self", "args", "kwargs"}
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise RecipeError(f"{path}: {kind.__name__} has no setting '{name}'{hint}")
    for name in ("cores", "memory"):
        if settings.get(name, dask.config.get(f"jobqueue.{system}.{name}", None)) is None:
            raise RecipeError(f"{path}: has no line '{name}: ...', which a job needs")


def _wait_for_workers(client: Any, seconds: float, message: str) -> None:
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError:
        raise JetforgeError(message) from None


@contextlib.contextmanager
def _local(workers: int) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    # Workers end at once when they are closed; that their connections are closed is then no news.
    logging.getLogger("distributed.batched").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="jetforge-") as scratch, dask.config.set(_QUIET), _own_environment():
        try:
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", local_directory=scratch,
                silence_logs=50,
            )  # fmt: skip
        except RuntimeError as error:
            # Each process runs the user's script again, but for what is under that line.
            raise JetforgeError(
                f"no other processes can be started ({error}): in a script, put what is to be done under "
                "\"if __name__ == '__main__':\"; or give workers=0"
            ) from None
        # Parts come straight from the workers, not through the scheduler.
        with cluster, Client(cluster, direct_to_workers=True) as client:
            client.register_plugin(_manners_of_a_child())
            yield client


def _manners_of_a_child() -> Any:
    """Return a plugin by which workers leave Ctrl-C to their parent, and end at once when they are closed."""
    from distributed import WorkerPlugin

    class Manners(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        def teardown(self, worker: Any) -> None:
            # Taking an interpreter apart takes half a second, for which everybody would wait.
            os._exit(0)

    return Manners()


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
