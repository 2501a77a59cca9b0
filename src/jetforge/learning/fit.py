"""Training a tagger: from a recipe to a run directory."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
import torch.utils.deterministic
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import StrategyRegistry
from rich.console import Console

from jetforge.errors import DataError, Interrupted, JetforgeError, RecipeError, first_line
from jetforge.files import locked, write_atomically
from jetforge.jets.dataset import Dataset
from jetforge.learning.adapters import DEFAULT_RANK, add_adapters
from jetforge.learning.auxiliary import AuxiliaryHead, AuxiliaryTarget, embedding_width
from jetforge.learning.backbone import frozen_outputs
from jetforge.learning.boosting import LabelledRows, fit_boosted_trees
from jetforge.learning.callbacks import EpochRecorder, StopOnSignal, TrainingProgress
from jetforge.learning.distill import Distillation, check_teachers, teacher_outputs, with_teachers
from jetforge.learning.failures import MemoryAdvice, is_out_of_memory
from jetforge.learning.layout import (
    BACKBONE_FOLDER,
    BEST_FOLDER,
    LOCK_NAME,
    METRICS_NAME,
    TEACHER_FOLDER,
    refuse_file,
)
from jetforge.learning.loader import LARGER_TO_VALIDATE, BatchLoader
from jetforge.learning.module import TrainingModule, measure
from jetforge.learning.recipe import Recipe, TrainingSection, tagger_of
from jetforge.learning.run import is_trained, prepare_run
from jetforge.learning.training_jets import check_trainable, dataset_of, with_unlabelled
from jetforge.learning.transfer import WeightPlan, take_over, with_source
from jetforge.representations import Batch, DenseBatch
from jetforge.taggers import Tagger, keep_freed_memory, load_tagger, save_tagger
from jetforge.taggers.boosted_trees import BoostedTrees

# Where several processes train together, each but the first has a number other than 0 in one of these.
_RANKS = ("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "SLURM_PROCID")
# Strategies of Lightning's that would have to pickle a training.
_COPYING = ("spawn", "fork", "notebook")
# What cannot be compiled is told in one line, not in thousands.
_TALKATIVE = {
    "lightning.pytorch": logging.WARNING,
    "lightning.fabric": logging.WARNING,
    "torch._functorch._aot_autograd": logging.ERROR,
}


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
        The epoch that was best by ``training.monitor``, in evaluation mode. With several processes only the first
        returns; the others end.

    Raises
    ------
    RecipeError
        If the directory holds a run of another recipe, there is no such hardware, or a setting of the training has no
        meaning for the tagger.
    DataError
        If the dataset cannot be trained on (one class only, no validation split, weights that add up to nothing
        positive, broken files), or is not the one that the run in the directory was trained on.
    TaggerError
        If there is no such tagger, or it does not read such a representation.
    JetforgeError
        If the training fails: a loss that is not finite, too little memory; the message says what to do.
    """
    run = Path(recipe.out)
    recipe, source = with_source(recipe)
    recipe, teachers = with_teachers(recipe)
    dataset = dataset_of(recipe)
    check_trainable(dataset)
    if recipe.distill is not None:
        check_teachers(teachers, recipe.distill, dataset)
    # The seed comes first: creating the tagger draws its initial weights.
    pl.seed_everything(recipe.training.seed, verbose=False)
    tagger = tagger_of(recipe, len(dataset.classes))
    if source is not None:
        _begin_from(source, tagger, recipe, dataset)
    if recipe.distill is not None:
        tagger.provenance["distill"] = {
            **recipe.distill.model_dump(mode="json"), "taggers": [teacher.name for teacher in teachers]
        }  # fmt: skip
    refuse_file(run)
    if not overwrite and is_trained(recipe, dataset):
        return load_tagger(run)
    if not tagger.trained_by_gradient:
        with _alone(run):
            if not prepare_run(recipe, dataset, overwrite=overwrite):
                _boost(recipe, dataset, tagger)
        return load_tagger(run)
    target = _auxiliary_target(recipe.training, dataset)
    with _quiet_lightning():
        recorder = EpochRecorder(run, recipe.training, dataset)
        trainer = _trainer(recipe.training, hardware or Hardware(), recorder)
        with _alone(run):
            if prepare_run(recipe, dataset, overwrite=overwrite):
                return load_tagger(run)
            _train(recipe, dataset, tagger, trainer, recorder, target, teachers)
            if trainer.is_global_zero:
                save_tagger(load_tagger(run / BEST_FOLDER), run)
                for folder in (BACKBONE_FOLDER, TEACHER_FOLDER):
                    shutil.rmtree(run / folder, ignore_errors=True)
    if not trainer.is_global_zero:
        # Lightning started this process for its share of the training, which is done: the first one goes on alone.
        sys.exit(0)
    return load_tagger(run)


def _begin_from(source: Tagger, tagger: Tagger, recipe: Recipe, dataset: Dataset) -> None:
    """Give a tagger what its source learnt, and what the mode of the transfer adds."""
    transfer = recipe.transfer
    assert transfer is not None
    take_over(source, tagger, dataset.classes, new_head=transfer.new_head)
    if transfer.mode == "adapters":
        add_adapters(tagger, transfer.rank or DEFAULT_RANK)
    tagger.provenance["transfer"] = {
        "source": transfer.source, "mode": transfer.mode, "tagger": source.name, "classes": list(source.classes),
        "weights_sha256": transfer.source_sha256, "trained on": source.provenance,
    }  # fmt: skip


def _alone(run: Path) -> AbstractContextManager[None]:
    """Refuse a run directory in which another process trains; of one training's own processes, the first looks."""
    if any(os.environ.get(name, "0") not in ("", "0") for name in _RANKS):
        return nullcontext()
    return locked(run / LOCK_NAME, f"{run}: another process is training here; wait for it or stop it")


def _trainer(training: TrainingSection, hardware: Hardware, recorder: EpochRecorder) -> pl.Trainer:
    """Return Lightning's trainer for the hardware asked for."""
    accelerator = hardware.accelerator
    if accelerator == "auto":
        # Of Lightning's choices those that a training has been tried on.
        accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    if hardware.strategy not in ("auto", *StrategyRegistry.available_strategies()):
        raise RecipeError(f"--strategy {hardware.strategy}: unknown; give auto, ddp, or another that Lightning has")
    if any(sign in hardware.strategy for sign in _COPYING):
        raise RecipeError(f"--strategy {hardware.strategy}: it copies a training into processes; give auto or ddp")
    try:
        trainer = pl.Trainer(
            accelerator=accelerator,
            devices=int(hardware.devices) if hardware.devices.lstrip("-").isdigit() else hardware.devices,
            num_nodes=hardware.num_nodes,
            strategy=hardware.strategy,
            precision=training.precision,
            max_epochs=training.epochs,
            gradient_clip_val=training.gradient_clip,
            accumulate_grad_batches=training.accumulate,
            callbacks=[TrainingProgress(), recorder, StopOnSignal(recorder), MemoryAdvice()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            deterministic="warn",
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).strip().split("\n")[0]
        raise RecipeError(
            f"--accelerator {hardware.accelerator} --devices {hardware.devices} --num-nodes {hardware.num_nodes} "
            f"--strategy {hardware.strategy}: {reason}; try --accelerator cpu --devices 1"
        ) from None
    if trainer.precision != training.precision:
        # Lightning goes on with another.
        raise RecipeError(f"training.precision: {training.precision} needs a GPU; give bf16-mixed or 32-true")
    return trainer


def _auxiliary_target(training: TrainingSection, dataset: Dataset) -> AuxiliaryTarget | None:
    return None if training.auxiliary is None else AuxiliaryTarget(training.auxiliary.target, dataset)


def _train(
    recipe: Recipe, dataset: Dataset, tagger: Tagger, trainer: pl.Trainer, recorder: EpochRecorder,
    target: AuxiliaryTarget | None, teachers: Sequence[Tagger],
) -> None:  # fmt: skip
    training = recipe.training
    start = time.monotonic()
    resume = recorder.checkpoint if recorder.checkpoint.is_file() else None
    if resume is not None:
        _check_readable(resume)
    keep_freed_memory()
    head = None
    with Console(stderr=True).status("reading the training jets"):
        _initialise(tagger, dataset)
        if target is not None:
            target.fit(dataset.blocks("train", block_jets=20_000, columns=()))
            head = AuxiliaryHead(embedding_width(tagger, dataset.read("train", max_jets=2)))
    plan = WeightPlan(tagger, recipe.transfer)
    if plan.changes and trainer.world_size > 1:
        raise RecipeError("transfer.mode: gradual trains in one process; give --devices 1, or take another mode")
    frozen = _frozen_outputs(recipe, dataset, tagger, trainer)
    further = with_unlabelled(recipe, dataset)
    taught = _taught(recipe, further, teachers, trainer)
    loader = partial(
        BatchLoader,
        further,
        representation=tagger.representation,
        cache_jets=training.cache_jets,
        shard=lambda: (trainer.global_rank, trainer.world_size),
        target=target,
    )
    train = loader(
        split="train", batch_size=training.batch_size, shuffle=True, seed=training.seed, bucket=training.bucket,
        made=frozen.get("train"), beside=taught,
    )  # fmt: skip
    # Every process needs something to validate.
    num_val = dataset.num_jets("val")
    largest = max(num_val // trainer.world_size, 1)
    val = loader(split="val", batch_size=min(LARGER_TO_VALIDATE * training.batch_size, largest), made=frozen.get("val"))
    if not len(train) or num_val < trainer.world_size:
        raise DataError(
            f"{dataset.path}: too few jets for {trainer.world_size} processes with batches of {training.batch_size}; "
            "use fewer devices or a smaller batch_size"
        )
    train.epoch = lambda: trainer.current_epoch
    if training.accumulate > len(train):
        raise RecipeError(
            f"training.accumulate: {training.accumulate} is more than the {len(train)} batches of an epoch; give less, "
            "or a smaller batch_size"
        )
    distillation = None
    if recipe.distill is not None and taught is not None:
        width = embedding_width(tagger, dataset.read("train", max_jets=2)) if recipe.distill.learns_features else 0
        distillation = Distillation(recipe.distill, taught, len(dataset.classes), width)
    module = TrainingModule(
        tagger, training, len(train), head, plan=plan, cached=bool(frozen), distillation=distillation
    )
    recorder.preparation = time.monotonic() - start
    try:
        trainer.fit(module, train, val, ckpt_path=resume, weights_only=True)
    except (RuntimeError, MemoryError) as error:
        raise _explained(error, trainer, training) from None


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


def _boost(recipe: Recipe, dataset: Dataset, tagger: Tagger) -> None:
    """Fit a tagger that does not learn by gradients, measure it, and write it into the run directory.

    Raises
    ------
    Interrupted
        By Ctrl-C: such a fit has no checkpoints to go on from.
    """
    try:
        _fit_at_once(recipe, dataset, tagger)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; {tagger.name} is fitted in one go, nothing of which is kept: run the same command again to "
            "fit it from the start"
        ) from None


def _fit_at_once(recipe: Recipe, dataset: Dataset, tagger: Tagger) -> None:
    run, start = Path(recipe.out), time.monotonic()
    with Console(stderr=True).status("fitting"):
        _initialise(tagger, dataset)
        rows = {}
        for split in ("train", "val"):
            parts = list(BatchLoader(dataset, split, tagger.representation, 20_000, cache_jets=0))
            rows[split] = LabelledRows(
                np.concatenate([cast(DenseBatch, part.jets).values.numpy() for part in parts]),
                torch.cat([part.labels for part in parts]).numpy(),
                torch.cat([part.weights for part in parts]).double().numpy(),
            )
        history = fit_boosted_trees(cast(BoostedTrees, tagger), rows["train"], rows["val"], seed=recipe.training.seed)
        tagger.eval()
        with torch.no_grad():
            values = torch.from_numpy(rows["val"].values)
            chunks = [values[first : first + 10_000] for first in range(0, len(values), 10_000)]
            logits = torch.cat([tagger(DenseBatch(chunk)) for chunk in chunks]).float()
    row = {
        "epoch": 0,
        "step": history.kept,
        "train_loss": history.train_loss[history.kept - 1],
        **measure(logits, torch.from_numpy(rows["val"].labels), torch.from_numpy(rows["val"].weights)),
        "seconds": round(time.monotonic() - start, 3),
    }
    write_atomically(run / METRICS_NAME, (json.dumps(row) + "\n").encode())
    save_tagger(tagger, run)


def _check_readable(checkpoint: Path) -> None:
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception:  # what a damaged file raises has no end: EOFError, IndexError, KeyError, UnpicklingError ...
        raise DataError(f"{checkpoint}: the checkpoint is damaged; remove it and train again from the start") from None


def _initialise(tagger: Tagger, dataset: Dataset) -> None:
    """Fit the representation unless the recipe gives its normalisation; write down where the data came from."""
    if not tagger.representation.fitted:
        columns = dataset.present(tagger.representation.columns)
        tagger.representation.fit(dataset.blocks("train", block_jets=20_000, columns=columns))
    tagger.classes = dataset.classes
    tagger.provenance = {
        **tagger.provenance,
        "dataset": str(dataset.path),
        "jets": {split: dataset.num_jets(split) for split in dataset.splits},
        "fingerprint": dataset.fingerprint,
        **dataset.manifest.provenance,
    }


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep notes of Lightning and the compiler from the terminal; give back the switches that the trainer turns."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    for logger, level in zip(loggers, _TALKATIVE.values(), strict=True):
        logger.setLevel(level)
    # Deterministic mode would fill all new memory first, which costs time and changes nothing here.
    memory.fill_uninitialized_memory = False
    with warnings.catch_warnings():
        # Our loaders hand out whole batches: workers and shuffling in Lightning's sense do not apply.
        warnings.filterwarnings("ignore", module=r"lightning")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            memory.fill_uninitialized_memory = fill
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
