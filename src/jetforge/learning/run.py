"""The files of a run directory: which there are, whose they are, and what they say of how far a training is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from jetforge.errors import DataError, RecipeError
from jetforge.files import write_atomically
from jetforge.jets.dataset import Dataset
from jetforge.learning.layout import (
    BACKBONE_FOLDER,
    BEST_FOLDER,
    LAST_CHECKPOINT,
    LOCK_NAME,
    MEASURED_NAMES,
    METRICS_NAME,
    RECIPE_NAME,
    TEACHER_FOLDER,
    refuse_file,
)
from jetforge.learning.recipe import Recipe, make_recipe
from jetforge.learning.unlabelled import WithUnlabelled
from jetforge.taggers import load_tagger
from jetforge.taggers.store import DESCRIPTION_NAME, WEIGHTS_NAME

# What to do where a run directory holds another run; a study says it in other words.
OR_OVERWRITE = "choose another directory, or --overwrite"
NEW_DIRECTORY = "choose a new directory"
_LONGEST_SHOWN = 60
# Checksums that are found when a recipe runs, None in one that has not run yet, and whose they are.
_CHECKSUMS = {"transfer.source_sha256": "transfer.source", "distill.teacher_sha256": "distill.teachers"}
# Fields of a recipe that say where something is, or how it is got, not what it is.
_WHERE_THINGS_ARE = ("transfer.source", "transfer.cached", "transfer.cache", "distill.teachers", "distill.cache")


def remove_run(run: Path) -> None:
    """Remove what a training, or an import, and measuring left in a run directory; other files stay."""
    # The description goes first: what is left without it is no tagger.
    for name in (DESCRIPTION_NAME, WEIGHTS_NAME, RECIPE_NAME, *MEASURED_NAMES, METRICS_NAME, LAST_CHECKPOINT):
        (run / name).unlink(missing_ok=True)
    for name in (BEST_FOLDER, BACKBONE_FOLDER, TEACHER_FOLDER):
        shutil.rmtree(run / name, ignore_errors=True)


def read_metrics(run: Path) -> list[dict[str, float]]:
    """Return the rows of a run's `metrics.jsonl`, one a finished epoch; none where there is no such file.

    Raises
    ------
    DataError
        If a line is something else.
    """
    path = run / METRICS_NAME
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append(dict(json.loads(line)))
            rows[-1]["epoch"]
        except (ValueError, TypeError, KeyError):
            raise DataError(f"{path}:{number}: not a row of measured values; remove the line") from None
    return rows


def other_jets(dataset: Dataset, run: Path) -> DataError:
    """Return the error for a run that was trained on other jets than those that are there now."""
    where = f"{dataset.path} and {dataset.further_path}" if isinstance(dataset, WithUnlabelled) else str(dataset.path)
    return DataError(f"{where}: not the jets that {run} was trained on; {OR_OVERWRITE}")


def is_trained(recipe: Recipe, dataset: Dataset) -> bool:
    """Say whether the recipe's run directory holds this very run, finished.

    Raises
    ------
    RecipeError
        If the directory holds a run of another recipe, or something else.
    DataError
        If the run is of other jets.
    """
    run = Path(recipe.out)
    path = run / RECIPE_NAME
    refuse_file(run)
    refuse_other_recipe(recipe)
    if not (path.is_file() and _has_something_to_lose(run)):
        return False
    if not (run / DESCRIPTION_NAME).is_file():
        return False
    if load_tagger(run).provenance.get("fingerprint") != dataset.fingerprint:
        raise other_jets(dataset, run)
    return True


def refuse_other_recipe(recipe: Recipe) -> None:
    """Refuse a run directory that holds the beginning, or the end, of a run of another recipe.

    Parameters
    ----------
    recipe
        Which run is wanted. Checksums of its source and teachers that it does not say yet may be any.

    Raises
    ------
    RecipeError
        With all fields that differ.
    """
    _refuse(Path(recipe.out), recipe.model_dump(mode="json"), complete=True)


def refuse_other_settings(run: Path, values: Mapping[str, Any]) -> None:
    """Refuse a run directory that holds a run of a recipe with other values, as far as they are given.

    Parameters
    ----------
    run
        The directory.
    values
        Fields of a recipe, of which one that is None may be any.

    Raises
    ------
    RecipeError
        With all fields that differ.
    """
    _refuse(run, values, complete=False)


def _refuse(run: Path, values: Mapping[str, Any], *, complete: bool) -> None:
    path = run / RECIPE_NAME
    if not path.is_file():
        strangers = sorted(entry.name for entry in run.iterdir() if entry.name != LOCK_NAME) if run.is_dir() else []
        if strangers:
            raise RecipeError(f"{run}: not empty and not a run ({strangers[0]}); {NEW_DIRECTORY}")
        return
    changed = _differences(path, values, complete) if _has_something_to_lose(run) else []
    if changed:
        raise RecipeError(f"{run}: holds a run of another recipe ({'; '.join(changed)}); {OR_OVERWRITE}")


def prepare_run(recipe: Recipe, dataset: Dataset, *, overwrite: bool = False) -> bool:
    """Make the recipe's run directory ready; return True if it already holds this very run, finished.

    Raises
    ------
    JetforgeError
        What `is_trained` raises, unless an earlier run is overwritten; or the directory cannot be written.
    """
    run = Path(recipe.out)
    refuse_file(run)
    if overwrite:
        remove_run(run)
    elif is_trained(recipe, dataset):
        return True
    write_atomically(run / RECIPE_NAME, recipe.to_yaml().encode())
    return False


def _has_something_to_lose(run: Path) -> bool:
    """Say whether a training got as far as a checkpoint or the end of an epoch."""
    metrics = run / METRICS_NAME
    kept = any((run / name).is_file() for name in (DESCRIPTION_NAME, LAST_CHECKPOINT))
    return kept or (metrics.is_file() and metrics.stat().st_size > 0)


def _differences(path: Path, wanted: Mapping[str, Any], complete: bool) -> list[str]:
    """Return in words what differs; unless the wanted fields are complete, those that are None may be any."""
    try:
        earlier = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        raise RecipeError(f"{path}: not valid YAML; {OR_OVERWRITE}") from None
    if not isinstance(earlier, dict):
        raise RecipeError(f"{path}: not a recipe; {OR_OVERWRITE}")
    # A field that there was not yet when the run began had its default.
    with suppress(RecipeError):
        earlier = yaml.safe_load(make_recipe(earlier).to_yaml())
    # How the run is measured may change after it; what was trained may not.
    names = ("data", "tagger", "representation", "transfer", "distill", "pretrain", "training")
    there: dict[str, Any] = {}
    asked: dict[str, Any] = {}
    for name in names:
        there |= _flatten(earlier.get(name) or {}, name)
        asked |= _flatten(wanted.get(name) or {}, name)
    keys = sorted({*there, *asked} if complete else {key for key, value in asked.items() if value is not None})
    found = []
    for key in keys:
        old, new = there.get(key), asked.get(key)
        if old == new or key in _WHERE_THINGS_ARE:
            continue
        where = _CHECKSUMS.get(key)
        if where is None:
            found.append(f"{key}: {_shown(old)} there, {_shown(new)} asked for")
        elif new is not None and there.get(where) == asked.get(where):
            found.append(f"{where}: trained anew since")
        elif new is not None and old is not None:
            found.append(f"{where}: {_shown(there[where])} there, {_shown(asked[where])} asked for")
    return found


def _shown(value: Any) -> str:
    text = str(value)
    half = _LONGEST_SHOWN // 2
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:half]}...{text[-half:]}"


def _flatten(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {key: leaf for k, v in value.items() for key, leaf in _flatten(v, f"{name}.{k}").items()}
