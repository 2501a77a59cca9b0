"""The training step and the validation of a tagger, for Lightning's trainer."""

from __future__ import annotations

import itertools
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from jetforge.errors import JetforgeError
from jetforge.learning.loader import BatchLoader, TrainingBatch
from jetforge.learning.optimisation import learning_rate_factor, make_optimizer
from jetforge.learning.recipe import TrainingSection
from jetforge.taggers import Tagger


class TrainingModule(pl.LightningModule):
    """A tagger that learns by weighted cross entropy.

    Parameters
    ----------
    tagger
        The network; its representation is fitted.
    training
        The recipe's section.
    steps_per_epoch
        Optimiser steps in an epoch.

    Attributes
    ----------
    measured : dict
        The last epoch's ``train_loss, val_loss, val_auc, val_accuracy``. ``val_auc`` is the area under the ROC curve;
        with more than two classes, the mean over all pairs (Hand and Till 2001).
    """

    def __init__(self, tagger: Tagger, training: TrainingSection, steps_per_epoch: int) -> None:
        super().__init__()
        self.tagger = tagger
        self.training_section = training
        self.steps_per_epoch = steps_per_epoch
        self.measured: dict[str, float] = {}
        # Sum of weighted losses and of weights since the epoch began, of this process. No buffer: those are made
        # equal on all processes before each batch.
        self._train_sums = torch.zeros(2, dtype=torch.float64)
        self._validated: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimiser, and its schedule stepped after every batch."""
        optimizer = make_optimizer(self.tagger.parameters(), self.training_section)
        factor = learning_rate_factor(self.training_section, self.steps_per_epoch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> torch.Tensor:
        """Return the loss of a batch; dropout follows from seed and step alone, so that a resume repeats it."""
        torch.manual_seed(hash((self.training_section.seed, self.global_step, self.global_rank)) & 0x7FFFFFFF)
        losses = functional.cross_entropy(self.tagger(batch.jets).float(), batch.labels, reduction="none")
        loss = (losses * batch.weights).sum() / batch.weights.sum()
        weight = batch.weights.sum().double()
        self._train_sums = self._train_sums.to(self.device) + torch.stack([loss.detach().double() * weight, weight])
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget what an earlier validation saw."""
        self._validated = []

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Keep the logits of a batch."""
        logits = self.tagger(batch.jets).float()
        self._validated.append((logits.cpu(), batch.labels.cpu(), batch.weights.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Measure loss, accuracy and AUC on the whole validation split."""
        logits, labels, weights = (torch.cat(part) for part in zip(*self._gathered(), strict=True))
        self._validated = []
        if not torch.isfinite(logits).all():
            raise JetforgeError(
                f"the tagger's output is not finite after epoch {self.current_epoch}: lower training.learning_rate, "
                "or use precision 32-true"
            )
        losses = functional.cross_entropy(logits, labels, reduction="none")
        scores = torch.softmax(logits.double(), dim=1).numpy()
        correct = (logits.argmax(1) == labels).double()
        totals = self._summed()
        self.measured = {
            "train_loss": float(totals[0] / totals[1]) if totals[1] else float("nan"),
            "val_loss": float((losses * weights).sum() / weights.sum()),
            "val_auc": _auc(labels.numpy(), scores, weights.numpy()),
            "val_accuracy": float((correct * weights).sum() / weights.sum()),
        }

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums, unless the epoch is gone on with."""
        if not batches_before_resume(self.trainer):
            self._train_sums = torch.zeros(2, dtype=torch.float64)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the sums of all processes, so that a resumed epoch adds up."""
        checkpoint["train_sums"] = self._summed().cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the sums, on one process."""
        if self.global_rank == 0:
            self._train_sums = checkpoint["train_sums"]

    def _summed(self) -> torch.Tensor:
        sums = self.trainer.strategy.reduce(self._train_sums.to(self.device).clone(), reduce_op="sum")
        assert isinstance(sums, torch.Tensor)
        return sums

    def _gathered(self) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        if self.trainer.world_size == 1:
            return self._validated
        parts: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(parts, self._validated)
        return [batch for part in parts for batch in part]


def batches_before_resume(trainer: pl.Trainer) -> int:
    """Return how many batches of the epoch that starts were trained before a resume."""
    loader = trainer.train_dataloader
    assert isinstance(loader, BatchLoader)
    return loader.skip


def _auc(labels: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]) -> float:
    if scores.shape[1] == 2:
        return float(roc_auc_score(labels, scores[:, 1], sample_weight=weights))
    areas = []
    for first, second in itertools.permutations(range(scores.shape[1]), 2):
        chosen = (labels == first) | (labels == second)
        areas.append(roc_auc_score(labels[chosen] == first, scores[chosen, first], sample_weight=weights[chosen]))
    return float(np.mean(areas))
