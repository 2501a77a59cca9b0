"""Training a tagger: from a recipe to a run directory."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.utils.deterministic
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import StrategyRegistry

from jetforge.errors import RecipeError
from jetforge.files import locked
from jetforge.jets.dataset import Dataset
from jetforge.learning.adapters import DEFAULT_RANK, add_adapters
from jetforge.learning.auxiliary import AuxiliaryTarget
from jetforge.learning.boosted_run import boost
from jetforge.learning.callbacks import EpochRecorder, StopOnSignal, TrainingProgress
from jetforge.learning.distill import check_teachers, with_teachers
from jetforge.learning.failures import MemoryAdvice
from jetforge.learning.layout import (
    BACKBONE_FOLDER,
    BEST_FOLDER,
    LOCK_NAME,
    TEACHER_FOLDER,
    refuse_file,
)
from jetforge.learning.recipe import Recipe, tagger_of
from jetforge.learning.run import is_trained, prepare_run
from jetforge.learning.sections import TrainingSection
from jetforge.learning.train import train
from jetforge.learning.training_jets import check_pretrainable, check_trainable, dataset_of, with_unlabelled
from jetforge.learning.transfer import take_over, with_source
from jetforge.taggers import Tagger, load_tagger, save_tagger

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
    # A training's further processes are given the same command: what the first one has begun is not to be removed.
    overwrite = overwrite and not _is_further_process()
    recipe, source = with_source(recipe)
    recipe, teachers = with_teachers(recipe)
    dataset = dataset_of(recipe)
    if recipe.pretrain is None:
        check_trainable(dataset)
    else:
        check_pretrainable(dataset)
    if recipe.distill is not None:
        check_teachers(teachers, recipe.distill, dataset)
    learnt_from = with_unlabelled(recipe, dataset)
    # The seed comes first: creating the tagger draws its initial weights.
    pl.seed_everything(recipe.training.seed, verbose=False)
    # Jets without labels have no classes: a head for two awaits those of a later task.
    tagger = tagger_of(recipe, max(len(dataset.classes), 2))
    if source is not None:
        _begin_from(source, tagger, recipe, dataset)
    if recipe.pretrain is not None:
        tagger.provenance["pretrain"] = recipe.pretrain.model_dump()
    if recipe.distill is not None:
        tagger.provenance["distill"] = {
            **recipe.distill.model_dump(mode="json"), "taggers": [teacher.name for teacher in teachers]
        }  # fmt: skip
    refuse_file(run)
    if not overwrite and is_trained(recipe, learnt_from):
        return load_tagger(run)
    if not tagger.trained_by_gradient:
        with _alone(run):
            if not prepare_run(recipe, dataset, overwrite=overwrite):
                boost(recipe, dataset, tagger)
        return load_tagger(run)
    auxiliary = recipe.training.auxiliary
    target = None if auxiliary is None else AuxiliaryTarget(auxiliary.target, dataset)
    with _signals_given_back(), _quiet_lightning():
        recorder = EpochRecorder(run, recipe.training, learnt_from)
        trainer = _trainer(recipe.training, hardware or Hardware(), recorder)
        with _alone(run):
            if prepare_run(recipe, learnt_from, overwrite=overwrite):
                return load_tagger(run)
            train(recipe, dataset, learnt_from, tagger, trainer, recorder, teachers, target)
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
    if _is_further_process():
        return nullcontext()
    return locked(run / LOCK_NAME, f"{run}: another process is training here; wait for it or stop it")


def _is_further_process() -> bool:
    """Say whether this process trains together with another that was first."""
    return any(os.environ.get(name, "0") not in ("", "0") for name in _RANKS)


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


@contextmanager
def _signals_given_back() -> Iterator[None]:
    """Leave SIGINT and SIGTERM as they were: Lightning's handler would outlive the training, and ignore them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # it was not set from Python, and cannot be
                signal.signal(number, handler)


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
