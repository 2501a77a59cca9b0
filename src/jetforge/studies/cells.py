"""The cells of a study: trainings that are measured, each once, here or on a cluster.

A cell is a recipe that may start from the runs of other cells. Its run directory holds, beside the run, ``cell.json``,
the measured numbers, and ``scores.npy``, the score of each measured jet.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError, RecipeError, TaggerError
from jetforge.evaluation.metrics import evaluate_scores
from jetforge.evaluation.scoring import load_for_scoring, score_dataset
from jetforge.files import write_atomically
from jetforge.jets.clusters import open_client
from jetforge.jets.dataset import Dataset, open_dataset
from jetforge.jets.manifest import MANIFEST_NAME
from jetforge.learning.distill import with_teachers
from jetforge.learning.fit import Hardware, fit
from jetforge.learning.layout import METRICS_NAME, RECIPE_NAME
from jetforge.learning.recipe import Recipe, make_recipe, tagger_of
from jetforge.learning.run import (
    NEW_DIRECTORY,
    OR_OVERWRITE,
    is_trained,
    read_metrics,
    refuse_other_recipe,
    refuse_other_settings,
)
from jetforge.learning.training_jets import dataset_of, with_unlabelled
from jetforge.learning.transfer import with_source
from jetforge.studies.records import CellRecord, Epoch, kept, read_record
from jetforge.taggers import weights_sha256
from jetforge.taggers.store import DESCRIPTION_NAME, WEIGHTS_NAME

CELL_NAME = "cell.json"
SCORES_NAME = "scores.npy"
_MOST_NAMED = 5

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
    work = partial(run_cell, out=out, hardware=of_one_process(hardware or Hardware()))
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
    """Say whether the files of an earlier call are there; whether they are still whole shows when the cell is run."""
    run = out / cell.name
    return _is_whole(run) and all((run / name).is_file() for name in (CELL_NAME, SCORES_NAME))


def of_one_process(hardware: Hardware) -> Hardware:
    """Return hardware of one process: the processes of one training do not live on to the next.

    Raises
    ------
    RecipeError
        If several are asked for.
    """
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
        recipe = _recipe_of(cell, out)
        with _one_at_a_time:
            by_steps = fit(recipe, hardware=hardware).trained_by_gradient
            record = _record(run, open_dataset(recipe.data), cell, "cpu" if hardware.accelerator == "cpu" else "auto")
        epochs = read_metrics(run)
        if any(kept(Epoch, row) is None for row in epochs) or (by_steps and not epochs):
            raise DataError(f"{run / METRICS_NAME}: rows of the training are missing or damaged; {OR_OVERWRITE}")
        return MeasuredCell(cell.name, run, record.metrics.model_dump(), epochs, record.num_parameters)
    except JetforgeError as error:
        raise _of_cell(error, cell, out) from None


def _of_cell(error: JetforgeError, cell: Cell, out: Path) -> JetforgeError:
    """Return an error with the name of its cell, and with what to do about it in a study."""
    run = out / cell.name
    cure = f"remove {run}, and it is trained anew"
    message = str(error).replace(OR_OVERWRITE, cure).replace(NEW_DIRECTORY, cure)
    if isinstance(error, TaggerError) and message.startswith(str(run)):
        message += f"; {cure}"
    return type(error)(f"{cell.name}: {message}")


def _recipe_of(cell: Cell, out: Path) -> Recipe:
    return make_recipe({**_with_runs(cell.recipe, out), "out": str(out / cell.name)})


def _with_runs(value: Any, out: Path) -> Any:
    """Return values in which ``{name}`` is the run directory of a cell.

    ``{folder//name}`` is a directory for what is made of the weights of a cell: other weights have another.
    """
    if isinstance(value, Mapping):
        return {key: _with_runs(inner, out) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_runs(inner, out) for inner in value]
    if not (isinstance(value, str) and value.startswith("{") and value.endswith("}")):
        return value
    folder, _, of = value[1:-1].partition("//")
    if not of:
        return str(out / folder)
    return str(out / folder / (weights_sha256(out / of)[:12] if _is_whole(out / of) else "none"))


def _is_whole(run: Path) -> bool:
    return all((run / name).is_file() for name in (RECIPE_NAME, DESCRIPTION_NAME, WEIGHTS_NAME))


def check_cells(cells: Sequence[Cell], out: Path) -> None:
    """Refuse what cannot be trained, or was trained otherwise, before hours of trainings.

    Whether sources and teachers that are not trained yet fit shows later.

    Parameters
    ----------
    cells
        Each after those that it needs.
    out
        Directory of the study.

    Raises
    ------
    JetforgeError
        With the name of the cell; where several were trained otherwise, or have learnt from such a one, with theirs.
    """
    refused: dict[str, JetforgeError] = {}
    for cell in cells:
        try:
            if refused.keys() & set(cell.needs):
                if _is_whole(out / cell.name):
                    refused[cell.name] = RecipeError(f"{cell.name}: has learnt from what is trained anew")
                continue
            recipe = _complete(cell, out)
        except JetforgeError as error:
            raise _of_cell(error, cell, out) from None
        try:
            if recipe is None:
                refuse_other_settings(out / cell.name, _with_runs(cell.recipe, out))
            elif Path(recipe.data, MANIFEST_NAME).is_file() and _has_its_jets(recipe):
                is_trained(recipe, with_unlabelled(recipe, dataset_of(recipe)))
            else:
                refuse_other_recipe(recipe)
        except JetforgeError as error:
            refused[cell.name] = _of_cell(error, cell, out)
    if refused:
        first, *others = refused
        shown = ", ".join(str(out / name) for name in others[:_MOST_NAMED])
        more = f", and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        also = f"; likewise {shown}{more}" if others else ""
        raise type(refused[first])(f"{refused[first]}{also}")


def _complete(cell: Cell, out: Path) -> Recipe | None:
    """Return the recipe of a cell as it is trained; None where the source that says what it is is not there yet."""
    ready = all(_is_whole(out / name) for name in cell.needs)
    if not ready and "tagger" not in cell.recipe:
        return None
    recipe = _recipe_of(cell, out)
    if "tagger" in cell.recipe:
        tagger_of(recipe)
    return with_teachers(with_source(recipe)[0])[0] if ready else recipe


def _has_its_jets(recipe: Recipe) -> bool:
    unlabelled = None if recipe.distill is None else recipe.distill.unlabelled
    return unlabelled is None or Path(unlabelled, MANIFEST_NAME).is_file()


def _record(run: Path, dataset: Dataset, cell: Cell, device: str) -> CellRecord:
    """Return what is measured of a run, from its file if that is of these weights, jets and scores."""
    path = run / CELL_NAME
    what: dict[str, str | None] = {"weights_sha256": weights_sha256(run), "jets": dataset.fingerprint}
    what["split"] = cell.split
    known = kept(CellRecord, read_record(path))
    if known is not None and known.measured == {**what, "scores_sha256": _digest(run / SCORES_NAME)}:
        return known
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
    what["scores_sha256"] = _digest(run / SCORES_NAME)
    record = CellRecord.model_validate(
        {"measured": what, "metrics": metrics, "num_parameters": tagger.num_parameters()}
    )
    write_atomically(path, (record.model_dump_json(indent=1) + "\n").encode())
    return record


def _digest(path: Path) -> str | None:
    """Return the SHA-256 of a file, None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _read_scores(run: Path) -> npt.NDArray[np.float64]:
    scores: npt.NDArray[np.float64] = np.load(run / SCORES_NAME, allow_pickle=False)
    return scores
