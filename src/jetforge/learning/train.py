"""One training by gradients: what it starts from, its batches, what is learnt, and what is said if it fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from rich.console import Console

from jetforge.errors import DataError, JetforgeError, RecipeError, first_line
from jetforge.jets.dataset import Dataset
from jetforge.learning.auxiliary import AuxiliaryHead, AuxiliaryTarget, embedding_width
from jetforge.learning.backbone import frozen_outputs
from jetforge.learning.callbacks import EpochRecorder
from jetforge.learning.distill import Distillation, teacher_outputs
from jetforge.learning.failures import MemoryAdvice, is_out_of_memory
from jetforge.learning.layout import BACKBONE_FOLDER, TEACHER_FOLDER
from jetforge.learning.loader import LARGER_TO_VALIDATE, BatchLoader
from jetforge.learning.module import TrainingModule
from jetforge.learning.pretrain import PretrainingModule, objective_of, two_views
from jetforge.learning.recipe import Recipe
from jetforge.learning.sections import TrainingSection
from jetforge.learning.training_jets import initialise
from jetforge.learning.transfer import WeightPlan
from jetforge.representations import Batch, DenseBatch
from jetforge.taggers import Tagger, keep_freed_memory


def train(
    recipe: Recipe, dataset: Dataset, learnt_from: Dataset, tagger: Tagger, trainer: pl.Trainer,
    recorder: EpochRecorder, teachers: Sequence[Tagger], target: AuxiliaryTarget | None,
) -> None:  # fmt: skip
    """Train a tagger by gradients, or go on from the last checkpoint.

    Parameters
    ----------
    recipe
        Nothing of it is left open.
    dataset
        Its jets.
    learnt_from
        The same, or `with_unlabelled`.
    tagger
        New, or with what it takes over from another.
    trainer
        Lightning's.
    recorder
        Writes the run directory.
    teachers
        From which it learns; may be none.
    target
        Of an auxiliary head.

    Raises
    ------
    JetforgeError
        See `jetforge.fit`.
    """
    training = recipe.training
    start = time.monotonic()
    resume = recorder.checkpoint if recorder.checkpoint.is_file() else None
    if resume is not None:
        _check_readable(resume)
    keep_freed_memory()
    head = None
    with Console(stderr=True).status("reading the training jets"):
        initialise(tagger, dataset, learnt_from)
        if target is not None:
            target.fit(dataset.blocks("train", block_jets=20_000, columns=()))
            head = AuxiliaryHead(embedding_width(tagger, dataset.read("train", max_jets=2)))
    plan = WeightPlan(tagger, recipe.transfer)
    if plan.changes and trainer.world_size > 1:
        raise RecipeError("transfer.mode: gradual trains in one process; give --devices 1, or take another mode")
    if recipe.pretrain is not None and trainer.world_size > 1:
        raise RecipeError("pretrain: it trains in one process; give --devices 1")
    frozen = _frozen_outputs(recipe, dataset, tagger, trainer)
    taught = _taught(recipe, learnt_from, teachers, trainer)
    batches, val = _loaders(recipe, dataset, learnt_from, tagger, trainer, target, frozen, taught)
    module = _module(recipe, dataset, tagger, len(batches), plan, head, cached=bool(frozen), taught=taught)
    recorder.preparation = time.monotonic() - start
    try:
        trainer.fit(module, batches, val, ckpt_path=resume, weights_only=True)
    except (RuntimeError, MemoryError) as error:
        raise _explained(error, trainer, training) from None


def _loaders(
    recipe: Recipe, dataset: Dataset, learnt_from: Dataset, tagger: Tagger, trainer: pl.Trainer,
    target: AuxiliaryTarget | None, frozen: dict[str, Batch], taught: torch.Tensor | None,
) -> tuple[BatchLoader, BatchLoader]:  # fmt: skip
    """Return the batches that are learnt from, and those that are validated with."""
    training = recipe.training
    views = two_views(recipe.pretrain, tagger, training.seed)
    loader = partial(
        BatchLoader,
        representation=tagger.representation if views is None else cast(Any, views),
        cache_jets=training.cache_jets if views is None else 0,
        shard=lambda: (trainer.global_rank, trainer.world_size),
        target=target,
    )
    batches = loader(
        learnt_from, split="train", batch_size=training.batch_size, shuffle=True, seed=training.seed,
        bucket=training.bucket, made=frozen.get("train"), beside=taught,
    )  # fmt: skip
    # Every process needs something to validate.
    num_val = dataset.num_jets("val")
    largest = max(num_val // trainer.world_size, 1)
    # Of a contrastive loss the number of jets is part.
    size = training.batch_size if views is not None else LARGER_TO_VALIDATE * training.batch_size
    val = loader(dataset, split="val", batch_size=min(size, largest), made=frozen.get("val"))
    if not len(batches) or num_val < trainer.world_size:
        raise DataError(
            f"{dataset.path}: too few jets for {trainer.world_size} processes with batches of {training.batch_size}; "
            "use fewer devices or a smaller batch_size"
        )
    if training.accumulate > len(batches):
        raise RecipeError(
            f"training.accumulate: {training.accumulate} is more than the {len(batches)} batches of an epoch; give "
            "less, or a smaller batch_size"
        )
    batches.epoch = lambda: trainer.current_epoch
    if views is not None:
        # Those of the validation jets stay the same.
        views.epoch = lambda: trainer.current_epoch + 1 if trainer.training else 0
    return batches, val


def _module(
    recipe: Recipe, dataset: Dataset, tagger: Tagger, num_batches: int, plan: WeightPlan, head: AuxiliaryHead | None,
    *, cached: bool, taught: torch.Tensor | None,
) -> TrainingModule:  # fmt: skip
    """Return what Lightning trains: the tagger with what it learns, and from whom."""
    some = dataset.read("train", max_jets=2)
    if recipe.pretrain is not None:
        objective = objective_of(recipe.pretrain, tagger, some)
        return PretrainingModule(tagger, recipe.training, num_batches, objective, plan)
    distillation = None
    if recipe.distill is not None and taught is not None:
        width = embedding_width(tagger, some) if recipe.distill.learns_features else 0
        distillation = Distillation(recipe.distill, taught, len(dataset.classes), width)
    return TrainingModule(
        tagger, recipe.training, num_batches, head, plan=plan, cached=cached, distillation=distillation
    )


def _frozen_outputs(recipe: Recipe, dataset: Dataset, tagger: Tagger, trainer: pl.Trainer) -> dict[str, Batch]:
    """Return what a frozen backbone makes of each split's jets; nothing where nothing is frozen for good, or cached."""
    transfer = recipe.transfer
    if transfer is None or transfer.boundary is None or transfer.cached is False:
        return {}
    folder = Path(recipe.out) / BACKBONE_FOLDER if transfer.cache is None else Path(transfer.cache)
    kept = frozen_outputs(
        tagger,
        transfer.boundary,
        dataset,
        folder,
        forward_context=trainer.precision_plugin.forward_context,
        device=trainer.strategy.root_device,
    )
    with Console(stderr=True).status("running the frozen layers once over all jets"):
        return {split: kept.read(split, compute=trainer.is_global_zero) for split in ("train", "val")}


def _taught(recipe: Recipe, dataset: Dataset, teachers: Sequence[Tagger], trainer: pl.Trainer) -> torch.Tensor | None:
    """Return what the teachers give for the training jets, side by side; nothing without teachers."""
    distill = recipe.distill
    if distill is None:
        return None
    folder = Path(recipe.out) / TEACHER_FOLDER if distill.cache is None else Path(distill.cache)
    kept = teacher_outputs(teachers, distill, dataset, folder, trainer.strategy.root_device)
    with Console(stderr=True).status("running the teachers once over the training jets"):
        given = [cast(DenseBatch, one.read("train", compute=trainer.is_global_zero)).values for one in kept]
    # The logits of all teachers come first, what the first one embeds last.
    num_classes = len(dataset.classes)
    return torch.cat([*(rows[:, :num_classes] for rows in given), given[0][:, num_classes:]], dim=1)


def _explained(error: Exception, trainer: Any, training: TrainingSection) -> Exception:
    """Return what the user is told of an error of PyTorch: one line where we know what to do, else itself."""
    if is_out_of_memory(error):
        advice = next(callback.advice for callback in trainer.callbacks if isinstance(callback, MemoryAdvice))
        return JetforgeError(advice or f"out of memory: {first_line(error)}")
    if training.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return RecipeError(f"training.compile: the network cannot be compiled here ({first_line(error)}); leave it out")
    return error


def _check_readable(checkpoint: Path) -> None:
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception:  # what a damaged file raises has no end: EOFError, IndexError, KeyError, UnpicklingError ...
        raise DataError(f"{checkpoint}: the checkpoint is damaged; remove it and train again from the start") from None
