"""The cells of a study: trainings that are measured, each once, here or on a cluster.

A cell is a recipe that may start from the runs of other cells. Its run directory holds, beside the run, ``cell.json``,
the measured numbers, and ``scores.npy``, the score of each measured jet.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError, RecipeError
from jetforge.evaluation.metrics import evaluate_scores
from jetforge.evaluation.scoring import load_for_scoring, score_dataset
from jetforge.files import write_atomically
from jetforge.jets.clusters import open_client
from jetforge.jets.dataset import Dataset, open_dataset
from jetforge.learning.fit import Hardware, fit
from jetforge.learning.recipe import make_recipe, tagger_of
from jetforge.learning.run import read_metrics
from jetforge.taggers import weights_sha256

CELL_NAME = "cell.json"
SCORES_NAME = "scores.npy"


# Trainings draw from random generators that a process has once: a worker of several threads takes turns.
_one_at_a_time = Lock()


@dataclass(frozen=True)
class Cell:
    """One training of a study.

    Attributes
    ----------
    name
        Also its run directory, within that of the study.
    recipe
        Fields of its recipe but ``out``; a ``{name}`` of another cell in ``transfer.source`` and the like is its run.
    needs
        Names of the cells whose runs it starts from; those that are not run with it are done already.
    split
        Which jets it is measured on.
    """

    name: str
    recipe: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    split: str = "test"


@dataclass(frozen=True)
class MeasuredCell:
    """What a cell gave.

    Attributes
    ----------
    name
        Of the cell.
    run
        Its run directory.
    metrics
        Of `evaluate_scores`.
    epochs
        The rows of `metrics.jsonl`.
    num_parameters
        Of the tagger.
    """

    name: str
    run: Path
    metrics: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]] = field(repr=False)
    num_parameters: int

    @property
    def auc(self) -> float:
        """Area under the ROC curve."""
        return float(self.metrics["auc"])

    def rejection(self, efficiency: str) -> float:
        """Rejection at a signal efficiency such as ``"0.5"``; infinite where no background jet survives."""
        value = self.metrics["rejection"][efficiency]["value"]
        return float("inf") if value is None else float(value)

    @property
    def seconds(self) -> float:
        """Seconds that the whole training took: reading and representing the jets, all epochs, validation."""
        return float(sum(row["seconds"] + row.get("preparation_seconds", 0.0) for row in self.epochs))

    @property
    def seconds_an_epoch(self) -> float:
        """Median seconds of an epoch, the first one apart, in which the jets are represented."""
        rows = self.epochs[1:] or self.epochs
        return float(np.median([row["seconds"] for row in rows]))

    def scores(self) -> npt.NDArray[np.float64]:
        """Return the score of each measured jet, in the order of the split."""
        try:
            return _read_scores(self.run)
        except (OSError, ValueError):
            raise DataError(f"{self.run / SCORES_NAME}: no scores; run the study again") from None


def run_cells(
    cells: Sequence[Cell],
    out: Path,
    *,
    scheduler: str | None = None,
    hardware: Hardware | None = None,
    on_cell: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> dict[str, MeasuredCell]:
    """Train and measure cells; what an earlier call finished is not done again.

    Parameters
    ----------
    cells
        Each after those that it needs.
    out
        Directory of the study.
    scheduler
        Address of a Dask scheduler, or YAML of batch jobs, whose workers see the same files; without it the cells run
        here, one after the other.
    hardware
        For the trainings.
    on_cell
        Called with the name of a cell that begins (with a scheduler: that is done), and whether it is kept from an
        earlier call, how many are done, and how many there are.

    Returns
    -------
    dict of MeasuredCell by name

    Raises
    ------
    JetforgeError
        If a cell fails; the message names it. What was finished is kept.
    """
    work = partial(run_cell, out=out, hardware=_of_one_process(hardware or Hardware()))
    measured: dict[str, MeasuredCell] = {}
    if scheduler is None:
        for cell in cells:
            kept = ", kept" if is_measured(cell, out) else ""
            on_cell(f"{cell.name}{kept}", len(measured), len(cells))
            measured[cell.name] = work(cell)
        return measured
    with open_client(0, scheduler) as client:
        for done in _on_cluster(client, cells, work):
            measured[done.name] = done
            on_cell(done.name, len(measured), len(cells))
    return {cell.name: measured[cell.name] for cell in cells}


def is_measured(cell: Cell, out: Path) -> bool:
    """Say whether an earlier call trained and measured a cell; whether it is still whole shows when it is run."""
    return (out / cell.name / CELL_NAME).is_file()


def _of_one_process(hardware: Hardware) -> Hardware:
    """Return hardware of one process: the processes of one training do not live on to the next."""
    if hardware.num_nodes != 1 or hardware.devices not in ("auto", "1"):
        raise RecipeError(
            "a study trains in one process at a time: give --devices 1, and --scheduler for several trainings at once"
        )
    return replace(hardware, devices="1")


def _on_cluster(client: Any, cells: Sequence[Cell], work: Callable[[Cell], MeasuredCell]) -> Iterator[MeasuredCell]:
    """Yield cells as they are done; each is submitted once what it needs is done."""
    from distributed import CancelledError, KilledWorker, as_completed

    waiting = {cell.name: cell for cell in cells}
    done = {needed for cell in cells for needed in cell.needs} - set(waiting)
    futures = as_completed(with_results=False)
    name_of: dict[str, str] = {}

    def submit() -> None:
        for cell in [cell for cell in waiting.values() if done.issuperset(cell.needs)]:
            future = client.submit(work, waiting.pop(cell.name), pure=False, retries=0)
            name_of[future.key] = cell.name
            futures.add(future)

    submit()
    for future in futures:
        try:
            cell: MeasuredCell = future.result()
        except KilledWorker:
            name = name_of[future.key]
            raise JetforgeError(f"{name}: its workers were killed again and again (out of memory?)") from None
        except CancelledError:
            raise JetforgeError("the Dask scheduler is gone; finished cells are kept, run again to go on") from None
        future.release()
        done.add(cell.name)
        submit()
        yield cell


def run_cell(cell: Cell, out: Path, hardware: Hardware) -> MeasuredCell:
    """Train and measure one cell, unless that is done already.

    Raises
    ------
    JetforgeError
        What training and measuring raise, with the name of the cell.
    """
    run = out / cell.name
    try:
        recipe = make_recipe({**_with_runs(cell.recipe, out), "out": str(run)})
        with _one_at_a_time:
            fit(recipe, hardware=hardware)
            record = _record(run, open_dataset(recipe.data), cell, "cpu" if hardware.accelerator == "cpu" else "auto")
    except JetforgeError as error:
        raise type(error)(f"{cell.name}: {error}") from None
    return MeasuredCell(cell.name, run, record["metrics"], read_metrics(run), record["num_parameters"])


def _with_runs(value: Any, out: Path) -> Any:
    """Return values in which ``{name}`` is the run directory of a cell."""
    if isinstance(value, Mapping):
        return {key: _with_runs(inner, out) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_runs(inner, out) for inner in value]
    if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
        return str(out / value[1:-1])
    return value


def check_cells(cells: Sequence[Cell], out: Path) -> None:
    """Refuse recipes that cannot be, before hours of trainings; whether their sources and teachers fit shows later.

    Raises
    ------
    JetforgeError
        With the name of the cell.
    """
    for cell in cells:
        values = {key: value for key, value in cell.recipe.items() if "tagger" in cell.recipe or key != "transfer"}
        if "tagger" not in values:
            continue
        try:
            tagger_of(make_recipe({**_with_runs(values, out), "out": str(out / cell.name)}))
        except JetforgeError as error:
            raise type(error)(f"{cell.name}: {error}") from None


def _record(run: Path, dataset: Dataset, cell: Cell, device: str) -> dict[str, Any]:
    """Return what is measured of a run, from its file if that is of this run and these jets."""
    path = run / CELL_NAME
    what = {"weights_sha256": weights_sha256(run), "jets": dataset.fingerprint, "split": cell.split}
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        if record["measured"] == what and len(_read_scores(run)) == record["metrics"]["num_jets"]:
            return record
    except (OSError, ValueError, KeyError, TypeError):
        pass  # it is measured again
    tagger = load_for_scoring(run, device)
    labels, weights, scores = [], [], []
    for jets, probabilities in score_dataset(tagger, dataset, cell.split):
        labels.append(jets.label)
        weights.append(jets.weight)
        scores.append(probabilities[:, 1])
    every = np.concatenate(weights)
    score = np.concatenate(scores)
    metrics = evaluate_scores(np.concatenate(labels), score, None if np.all(every == 1) else every)
    file = io.BytesIO()
    np.save(file, score)
    write_atomically(run / SCORES_NAME, file.getvalue())
    record = {"measured": what, "metrics": metrics, "num_parameters": tagger.num_parameters()}
    write_atomically(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    return record


def _read_scores(run: Path) -> npt.NDArray[np.float64]:
    scores: npt.NDArray[np.float64] = np.load(run / SCORES_NAME, allow_pickle=False)
    return scores


def read_record(path: Path) -> dict[str, Any]:
    """Return what an earlier call wrote down; nothing where it cannot be read: then it is found again."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
