"""Training a tagger: from a recipe to a run directory."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import yaml

from jetforge.errors import DataError, RecipeError
from jetforge.files import write_atomically
from jetforge.jets.dataset import Dataset, open_dataset
from jetforge.learning.callbacks import (
    BEST_FOLDER,
    CHECKPOINT_FOLDER,
    EpochRecorder,
    StopOnSignal,
    TrainingProgress,
)
from jetforge.learning.loader import BatchLoader
from jetforge.learning.module import TrainingModule
from jetforge.learning.recipe import Recipe
from jetforge.taggers import Tagger, create_tagger, keep_freed_memory, load_tagger, save_tagger

RECIPE_NAME = "recipe.yaml"
TAGGER_NAME = "tagger.json"


@dataclass(frozen=True)
class Hardware:
    """Lightning's own flags for where a training runs; they do not change what it is."""

    accelerator: str = "auto"
    devices: str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"


def fit(recipe: Recipe, *, hardware: Hardware | None = None, overwrite: bool = False) -> Tagger:
    """Train a tagger as a recipe says, into the recipe's run directory.

    The directory gets `recipe.yaml` (complete), `metrics.jsonl` (a row an epoch), `checkpoints/`, and at the end the
    best epoch's `tagger.safetensors` and `tagger.json`. A training that was stopped goes on from its last checkpoint,
    and on the CPU gives the very weights that it would have given without the stop.

    Parameters
    ----------
    recipe
        What to train; the dataset must exist.
    hardware
        Accelerator, devices, nodes and strategy for Lightning's trainer.
    overwrite
        Train anew where the directory holds an earlier run.

    Returns
    -------
    Tagger
        The epoch that was best by ``training.monitor``, in evaluation mode.

    Raises
    ------
    RecipeError
        If the directory holds a run of another recipe.
    DataError
        If the dataset cannot be trained on: one class only, no validation split, broken files.
    TaggerError
        If there is no such tagger.
    """
    run = Path(recipe.out)
    dataset = open_dataset(recipe.data)
    _check_trainable(dataset)
    # The seed comes first: creating the tagger draws its initial weights.
    pl.seed_everything(recipe.training.seed, verbose=False)
    tagger = create_tagger(recipe.tagger.name, num_classes=len(dataset.classes), **recipe.tagger.arguments)
    if _prepare(run, recipe, overwrite):
        return load_tagger(run)
    with _quiet_lightning():
        _train(run, recipe, dataset, tagger, hardware or Hardware())
    best = load_tagger(run / CHECKPOINT_FOLDER / BEST_FOLDER)
    save_tagger(best, run)
    return best


def _train(run: Path, recipe: Recipe, dataset: Dataset, tagger: Tagger, hardware: Hardware) -> None:
    training = recipe.training
    keep_freed_memory()
    _initialise(tagger, dataset)
    recorder = EpochRecorder(run, training, dataset.num_jets("train"))
    trainer = pl.Trainer(
        accelerator=hardware.accelerator,
        devices=int(hardware.devices) if hardware.devices.lstrip("-").isdigit() else hardware.devices,
        num_nodes=hardware.num_nodes,
        strategy=hardware.strategy,
        precision=training.precision,
        max_epochs=training.epochs,
        gradient_clip_val=training.gradient_clip,
        callbacks=[TrainingProgress(), recorder, StopOnSignal(recorder)],
        default_root_dir=run,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        deterministic="warn",
    )
    loader = partial(
        BatchLoader,
        dataset,
        representation=tagger.representation,
        cache_jets=training.cache_jets,
        rank=trainer.global_rank,
        world_size=trainer.world_size,
    )
    train = loader(split="train", batch_size=training.batch_size, shuffle=True, seed=training.seed)
    val = loader(split="val", batch_size=4 * training.batch_size)
    if not len(train):
        raise DataError(f"{dataset.path}: fewer batches of {training.batch_size} jets than processes")
    train.epoch = lambda: trainer.current_epoch
    module = TrainingModule(tagger, training, len(train))
    resume = recorder.checkpoint if recorder.checkpoint.is_file() else None
    try:
        trainer.fit(module, train, val, ckpt_path=resume, weights_only=True)
    except (EOFError, RuntimeError) as error:
        if resume is not None and "PytorchStreamReader" in str(error):
            raise DataError(f"{resume}: the checkpoint is damaged; remove it and train again from the start") from None
        raise


def _initialise(tagger: Tagger, dataset: Dataset) -> None:
    """Fit the representation, and write down where the data came from."""
    tagger.representation.fit(dataset.blocks("train", block_jets=20_000, columns=()))
    tagger.classes = dataset.classes
    tagger.provenance = {
        "dataset": str(dataset.path),
        "jets": {split: dataset.num_jets(split) for split in dataset.splits},
        **dataset.manifest.provenance,
    }


def _prepare(run: Path, recipe: Recipe, overwrite: bool) -> bool:
    """Make the run directory ready; return True if it already holds this very run, finished."""
    path = run / RECIPE_NAME
    if overwrite:
        for name in (TAGGER_NAME, "metrics.jsonl", f"{CHECKPOINT_FOLDER}/last.ckpt"):
            (run / name).unlink(missing_ok=True)
    elif path.is_file():
        changed = _differences(path, recipe)
        if changed:
            raise RecipeError(
                f"{run}: holds a run of another recipe (other {', '.join(changed)}); "
                "choose another directory, or --overwrite"
            )
        if (run / TAGGER_NAME).is_file():
            return True
    write_atomically(path, recipe.to_yaml().encode())
    return False


def _differences(path: Path, recipe: Recipe) -> list[str]:
    try:
        earlier = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        raise RecipeError(f"{path}: not valid YAML; choose another directory, or --overwrite") from None
    wanted = yaml.safe_load(recipe.to_yaml())
    # How the run is measured may change after it; what was trained may not.
    names = ("data", "tagger", "training")
    flat = [(_flatten(earlier.get(name), name), _flatten(wanted[name], name)) for name in names]
    return [key for old, new in flat for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


def _flatten(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {name: value}
    return {key: leaf for k, v in value.items() for key, leaf in _flatten(v, f"{name}.{k}").items()}


def _check_trainable(dataset: Dataset) -> None:
    if len(dataset.classes) < 2:
        raise DataError(f"{dataset.path}: one class only ({dataset.classes[0]}); a tagger needs two or more")
    for split in ("train", "val"):
        if not dataset.num_jets(split):
            raise DataError(f"{dataset.path}: no jets in the split '{split}'; training needs train and val")
        seen: set[int] = set()
        for index in range(len(dataset.parts(split))):
            seen.update(np.unique(dataset.read_part(split, index, columns=()).label).tolist())
            if len(seen) == len(dataset.classes):
                break
        else:
            there = ", ".join(dataset.classes[label] for label in sorted(seen))
            raise DataError(
                f"{dataset.path}: the split '{split}' holds {there} only, of {len(dataset.classes)} classes"
            )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Our loaders hand out whole batches: workers and shuffling in Lightning's sense do not apply.
        warnings.filterwarnings("ignore", module=r"lightning")
        try:
            yield
        finally:
            logger.setLevel(level)
    torch.use_deterministic_algorithms(False)
