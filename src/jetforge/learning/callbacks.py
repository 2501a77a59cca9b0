"""What happens beside the training itself: measured epochs, checkpoints, a progress bar, a clean stop."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from jetforge.errors import Interrupted, JetforgeError
from jetforge.files import write_atomically
from jetforge.jets.dataset import Dataset
from jetforge.learning.adapters import without_adapters
from jetforge.learning.layout import BEST_FOLDER, LAST_CHECKPOINT, METRICS_NAME
from jetforge.learning.loader import BatchLoader
from jetforge.learning.module import TrainingModule, batches_before_resume
from jetforge.learning.run import other_jets, read_metrics
from jetforge.learning.sections import TrainingSection
from jetforge.taggers import save_tagger

# Several processes ask one another every so many steps whether to stop or to save: each time costs a message.
_ASK_EVERY = 20


def agreed(trainer: pl.Trainer, step: int, wanted: bool) -> bool:
    """Return what this process wants; of several processes, whether any wants it, asked every few steps.

    Saving and stopping need all processes at the same step.
    """
    if trainer.world_size == 1:
        return wanted
    if step % _ASK_EVERY:
        return False
    return bool(trainer.strategy.reduce_boolean_decision(wanted, all=False))


def within_epoch(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Say whether a batch ended a step of the optimiser, but not the epoch: gradients are in no checkpoint."""
    last = batch_idx + 1 >= trainer.num_training_batches
    return not last and (batch_idx + 1) % trainer.accumulate_grad_batches == 0


class EpochRecorder(pl.Callback):
    """After each epoch: a row of `metrics.jsonl`, the best tagger so far, the last checkpoint, early stopping.

    Checkpoints are also written within an epoch, every `checkpoint_minutes`. All files appear whole or not at all.

    Attributes
    ----------
    best, best_epoch
        The best value of ``training.monitor``, and its epoch.
    preparation
        Seconds that went by before the first epoch, for that epoch's row.
    """

    def __init__(self, run: Path, training: TrainingSection, dataset: Dataset) -> None:
        self.run, self.training, self.dataset = run, training, dataset
        self.best: float | None = None
        self.best_epoch = -1
        self.preparation: float | None = None
        self._epoch_start = self._saved = time.monotonic()
        self._jets, self._jets_before = dataset.num_jets("train"), 0

    @property
    def checkpoint(self) -> Path:
        """Where the last checkpoint is."""
        return self.run / LAST_CHECKPOINT

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must remember."""
        return {"best": self.best, "best_epoch": self.best_epoch, "dataset": self.dataset.fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what a checkpoint remembered.

        Raises
        ------
        DataError
            If the checkpoint is of a training on other jets.
        """
        if state_dict["dataset"] != self.dataset.fingerprint:
            raise other_jets(self.dataset, self.run)
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave out rows of epochs that are trained again; a training that had stopped early stays stopped."""
        if trainer.is_global_zero:
            self._write([row for row in read_metrics(self.run) if row["epoch"] < trainer.current_epoch])
        if self.best_epoch >= 0:
            self._stop_early(trainer, trainer.current_epoch - 1)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._epoch_start = time.monotonic()
        loader = trainer.train_dataloader
        assert isinstance(loader, BatchLoader)
        self._jets = loader.dataset.num_jets(loader.split)
        self._jets_before = batches_before_resume(trainer) * self.training.batch_size

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Write a checkpoint within the epoch if the last one is old; at the end of the epoch another comes anyway."""
        old = time.monotonic() - self._saved > 60 * self.training.checkpoint_minutes
        if within_epoch(trainer, batch_idx) and agreed(trainer, trainer.global_step, old):
            self.save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the epoch that has just been trained and validated."""
        assert isinstance(pl_module, TrainingModule)
        seconds = time.monotonic() - self._epoch_start
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **pl_module.measured,
            "learning_rate": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            "seconds": round(seconds, 3),
            "jets_per_second": round(max(self._jets - self._jets_before, 0) / max(seconds, 1e-9), 1),
            **({} if self.preparation is None else {"preparation_seconds": round(self.preparation, 3)}),
        }
        self.preparation = None
        value = row[self.training.monitor]
        sign = -1.0 if self.training.monitor == "val_loss" else 1.0
        if self.best is None or sign * value > sign * self.best:
            self.best, self.best_epoch = value, trainer.current_epoch
            if trainer.is_global_zero:
                save_tagger(without_adapters(pl_module.tagger), self.run / BEST_FOLDER)
        if trainer.is_global_zero:
            self._write([*read_metrics(self.run), row])
        self._stop_early(trainer, trainer.current_epoch)
        self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write the last checkpoint: to a temporary name, then renamed.

        Raises
        ------
        JetforgeError
            If it cannot be written, or what was trained since is not finite; the one before stays.
        """
        self._saved = time.monotonic()
        assert isinstance(trainer.lightning_module, TrainingModule)
        trainer.lightning_module.check_losses()
        temporary = self.checkpoint.with_suffix(".tmp")
        try:
            self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                temporary.replace(self.checkpoint)
        except (OSError, RuntimeError) as error:
            temporary.unlink(missing_ok=True)
            reason = str(error).split("\n")[0]
            raise JetforgeError(
                f"cannot write {self.checkpoint}: {reason}; the one before is kept: free space, then run again"
            ) from None

    def _stop_early(self, trainer: pl.Trainer, epoch: int) -> None:
        patience = self.training.early_stopping
        if patience is not None and epoch - self.best_epoch >= patience:
            trainer.should_stop = True

    def _write(self, rows: list[dict[str, float]]) -> None:
        write_atomically(self.run / METRICS_NAME, "".join(json.dumps(row) + "\n" for row in rows).encode())


class StopOnSignal(pl.Callback):
    """Ctrl-C and SIGTERM: finish the step, write a checkpoint, end with one line."""

    def __init__(self, recorder: EpochRecorder) -> None:
        self._recorder = recorder
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals, which Python gives to the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop after a step, if asked to; after the last one the epoch is finished first."""
        wanted = self._received is not None
        if within_epoch(trainer, batch_idx) and agreed(trainer, trainer.global_step, wanted):
            self._recorder.save(trainer)
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop after an epoch, whose checkpoint has just been written."""
        if agreed(trainer, 0, self._received is not None):
            self._stop(trainer)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number

    def _stop(self, trainer: pl.Trainer) -> None:
        name = signal.Signals(self._received or signal.SIGINT).name
        raise Interrupted(
            f"stopped by {name} in epoch {trainer.current_epoch}, step {trainer.global_step}; "
            f"everything is in {self._recorder.checkpoint}: run the same command again to go on"
        )


class TrainingProgress(pl.Callback):
    """A line a finished epoch and a bar for the running one, on a terminal only."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._start = 0.0
        self._first = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        if not (self._console.is_terminal and trainer.is_global_zero):
            return
        self._first = batches_before_resume(trainer)
        self._start = time.monotonic()
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"), TextColumn("{task.fields[rate]:.0f} jets/s"),
            TimeRemainingColumn(), console=self._console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(
            "", total=trainer.num_training_batches, completed=self._first, epoch=trainer.current_epoch,
            loss=float("nan"), rate=0.0,
        )  # fmt: skip
        self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Move the bar."""
        if self._bar is None or batch_idx % 5:
            return
        rate = (batch_idx + 1 - self._first) * len(batch.labels) / max(time.monotonic() - self._start, 1e-9)
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        self._bar.update(self._task, completed=batch_idx + 1, loss=loss, rate=rate)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar and print the epoch's line."""
        self._close()
        if self._console.is_terminal and trainer.is_global_zero and isinstance(pl_module, TrainingModule):
            shown = "  ".join(f"{name} {value:.5f}" for name, value in pl_module.measured.items())
            self._console.print(f"epoch {trainer.current_epoch:3d}  {shown}")

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
