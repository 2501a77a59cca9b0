"""Where things are in a run directory, and what is no run directory to go on with."""

from __future__ import annotations

from pathlib import Path

from jetforge.errors import RecipeError, TaggerError
from jetforge.taggers import Tagger
from jetforge.taggers.store import DESCRIPTION_NAME

RECIPE_NAME = "recipe.yaml"
METRICS_NAME = "metrics.jsonl"
LOCK_NAME = ".training.lock"
CHECKPOINT_FOLDER = "checkpoints"
LAST_CHECKPOINT = f"{CHECKPOINT_FOLDER}/last.ckpt"
BEST_FOLDER = f"{CHECKPOINT_FOLDER}/best"
# What a frozen backbone, and what teachers make of the jets, while the training lasts.
BACKBONE_FOLDER, TEACHER_FOLDER = "backbone", "teachers"
# What measuring a run leaves in it.
MEASURED_NAMES = ("metrics.json", "roc.png", "report.html")


def refuse_unfinished(run: Path) -> None:
    """Refuse a run directory whose training has not ended.

    Raises
    ------
    TaggerError
        If the directory holds a recipe and no tagger.
    """
    if (run / DESCRIPTION_NAME).is_file() or not (run / RECIPE_NAME).is_file():
        return
    if (run / LAST_CHECKPOINT).is_file():
        raise TaggerError(f"{run}: the training is unfinished; run the command that made it again to go on")
    raise TaggerError(
        f"{run}: the training is unfinished and has no checkpoint; run the command that made it again, which trains "
        "from the start"
    )


def refuse_without_head(path: str | Path, tagger: Tagger) -> None:
    """Refuse a tagger that has learnt from jets without labels alone: its scores say nothing.

    Raises
    ------
    TaggerError
        If it is one.
    """
    if "pretrain" in tagger.provenance:
        raise TaggerError(
            f"{path}: pre-trained without labels, its head has learnt nothing; train it first: jetforge finetune {path}"
        )


def refuse_file(run: Path) -> None:
    """Refuse a file where the directory of a run is to be.

    Raises
    ------
    RecipeError
        If it is one.
    """
    if run.exists() and not run.is_dir():
        raise RecipeError(f"{run}: a file, where the directory of the run is to be; choose another name")
