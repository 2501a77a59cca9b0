"""The training step and the validation of a tagger, for Lightning's trainer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Self

import lightning.pytorch as pl
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from jetforge.errors import JetforgeError
from jetforge.learning.auxiliary import AuxiliaryHead
from jetforge.learning.distill import Distillation
from jetforge.learning.failures import LossWatch, NotFinite
from jetforge.learning.loader import NO_LABEL, BatchLoader, TrainingBatch
from jetforge.learning.optimisation import learning_rate_factor, make_optimizer
from jetforge.learning.sections import TrainingSection
from jetforge.learning.transfer import WeightPlan
from jetforge.taggers import Tagger

# Losses are looked at once in so many batches where that makes a device or other processes wait.
_LOOK_EVERY = 20

# Of the signal, at which the rejection of the background is measured.
_EFFICIENCY = 0.7

# Of a batch: logits (n_jets, n_classes), what the auxiliary head found (n_jets,), what was embedded (n_jets, width).
_Outputs = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]


class TrainingModule(pl.LightningModule):
    """A tagger that learns by weighted cross entropy, and perhaps a number of each jet beside.

    Parameters
    ----------
    tagger
        The network; its representation is fitted.
    training
        The recipe's section.
    batches_per_epoch
        Batches that a process gets in an epoch.
    head
        The auxiliary head; without one, classes alone are learnt.
    plan
        Which weights learn, and how fast; by default all do.
    cached
        Whether the batches hold what the plan's boundary reads instead of represented jets.
    distillation
        What the teachers say; without it, labels alone teach.

    Attributes
    ----------
    measured : dict
        The last epoch's ``train_loss`` and what `measure` returns of the validation split; with an auxiliary head also
        ``val_auxiliary``, the weighted mean squared error of its target in units of the variance. ``train_loss`` is the
        cross entropy that is trained with: with smoothed labels, where the recipe smooths them.
    running : TrainingBatch or None
        The batch that is worked on.
    """

    def __init__(
        self, tagger: Tagger, training: TrainingSection, batches_per_epoch: int, head: AuxiliaryHead | None = None, *,
        plan: WeightPlan | None = None, cached: bool = False, distillation: Distillation | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._plan = WeightPlan(tagger) if plan is None else plan
        self.tagger = tagger
        self.training_section = training
        self.head, self.distillation = head, distillation
        self.steps_per_epoch = -(-batches_per_epoch // training.accumulate)
        self.measured: dict[str, float] = {}
        self.running: TrainingBatch | None = None
        self._watch = LossWatch()
        # Sum of weighted losses and of weights since the epoch began, of this process. No buffer: those are made
        # equal on all processes before each batch.
        self._train_sums = torch.zeros(2, dtype=torch.float64)
        self._validated: list[tuple[torch.Tensor, ...]] = []
        self._network = _network(tagger, head, self._plan.boundary, cached, _embeds(distillation))
        if training.compile:
            # What is compiled is this function; the modules, and the names of their weights, stay as they are.
            self._network = torch.compile(self._network, dynamic=True)

    def configure_optimizers(self) -> Any:
        """Return the recipe's optimiser, and its schedule stepped after every step of the optimiser."""
        optimizer = make_optimizer(self.parameters(), self.training_section, self._plan.factors())
        factor = learning_rate_factor(self.training_section, self.steps_per_epoch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> torch.Tensor:
        """Return the loss of a batch; dropout follows from seed and batch alone, so that a resume repeats it."""
        self.running = batch
        seed = (self.training_section.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(hash(seed) & 0x7FFFFFFF)
        entropies, losses = self._losses(batch)
        weight = batch.weights.sum()
        self._watch.add(self.current_epoch, batch_idx, self.global_step, losses, batch.numbers)
        if self.looks_at_once or (batch_idx + 1) % _LOOK_EVERY == 0:
            self.check_losses()
        entropy = (entropies.detach() * batch.weights).sum().double()
        counted = self._counts(batch).sum().double()
        self._train_sums = self._train_sums.to(self.device) + torch.stack([entropy, counted])
        # Lightning divides by the number of batches a step, also in an epoch's last step, which may have fewer.
        accumulate = self.training_section.accumulate
        in_step = min(accumulate, int(self.trainer.num_training_batches) - batch_idx // accumulate * accumulate)
        # A batch of weights that are all 0 teaches nothing.
        divisor = torch.where(weight == 0, torch.ones_like(weight), weight)
        loss: torch.Tensor = (losses * batch.weights).sum() / divisor * (accumulate / in_step)
        return loss

    def _counts(self, batch: TrainingBatch) -> torch.Tensor:
        """Return with which weight each jet counts in ``train_loss``, shape (n_jets,)."""
        return batch.weights * (batch.labels != NO_LABEL)

    @property
    def looks_at_once(self) -> bool:
        """Whether each loss is looked at before it is learnt from: where that makes nobody wait."""
        return self.device.type == "cpu" and self.trainer.world_size == 1

    def _losses(self, batch: TrainingBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cross entropy of each jet, and the loss of each jet, both of shape (n_jets,)."""
        logits, found, embedded = self._network(batch.jets)
        entropies = functional.cross_entropy(
            logits.float(), batch.labels, reduction="none", ignore_index=NO_LABEL,
            label_smoothing=self.training_section.label_smoothing,
        )  # fmt: skip
        if self.distillation is not None and batch.beside is not None:
            return entropies, self._distilled(entropies, logits, embedded, batch)
        auxiliary = self.training_section.auxiliary
        if auxiliary is None or found is None or batch.targets is None:
            return entropies, entropies
        return entropies, entropies + auxiliary.weight * (found.float() - batch.targets) ** 2

    def _distilled(
        self, entropies: torch.Tensor, logits: torch.Tensor, embedded: torch.Tensor | None, batch: TrainingBatch
    ) -> torch.Tensor:
        """Return the loss of each jet of a student, shape (n_jets,)."""
        assert self.distillation is not None
        assert batch.beside is not None
        known = batch.labels != NO_LABEL
        # The labels count as much as where all jets have one.
        share = (batch.weights * known).sum() / batch.weights.sum().clamp(min=1e-12)
        from_labels: torch.Tensor = entropies / share.clamp(min=1e-12) * (1 - self.distillation.settings.weight)
        from_labels += self.distillation(logits, embedded, batch.beside)
        return from_labels

    def try_batch(self, batch: TrainingBatch) -> None:
        """Do what a batch does to memory: forward, and in training also backward; no weight changes."""
        self.zero_grad(set_to_none=True)
        training = bool(self.trainer.training)
        with self.trainer.precision_plugin.forward_context(), torch.set_grad_enabled(training):
            loss = self._losses(batch)[1].sum()
        if training:
            # Not backward(): that would have DistributedDataParallel wait for processes that do not try.
            torch.autograd.grad(loss, [p for p in self.parameters() if p.requires_grad], allow_unused=True)

    def on_train_batch_end(self, outputs: Any, batch: TrainingBatch, batch_idx: int) -> None:
        """Let go of the batch."""
        self.running = None

    def check_losses(self) -> None:
        """Stop if a loss since the last look was not finite; all processes must look after the same batch.

        Raises
        ------
        JetforgeError
            Naming the batch and the jets.
        """
        first = self._watch.first()
        found: list[NotFinite] = [] if first is None else [first]
        if self.trainer.world_size > 1:
            if not self.trainer.strategy.reduce_boolean_decision(first is not None, all=False):
                return
            parts: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(parts, found)
            found = [one for part in parts for one in part]
        if found:
            loader = self.trainer.train_dataloader
            assert isinstance(loader, BatchLoader)
            raise min(found, key=lambda one: one.batch).error(loader.split, loader.where)

    def on_validation_epoch_start(self) -> None:
        """Forget what an earlier validation saw; what was trained until here must be finite."""
        self.check_losses()
        self._validated = []

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Keep the outputs for a batch."""
        self.running = batch
        logits, found, _ = self._network(batch.jets)
        targets = batch.weights if found is None or batch.targets is None else batch.targets
        squares = torch.zeros_like(targets) if found is None else (found.float() - targets) ** 2
        kept = (logits.float(), batch.labels, batch.weights, squares)
        self._validated.append(tuple(part.cpu() for part in kept))
        self.running = None

    def on_validation_epoch_end(self) -> None:
        """Measure loss, accuracy and AUC on the whole validation split."""
        logits, labels, weights, squares = (torch.cat(part) for part in zip(*self._gathered(), strict=True))
        self._validated = []
        if not torch.isfinite(logits).all():
            raise JetforgeError(
                f"the tagger's output is not finite after epoch {self.current_epoch}: lower training.learning_rate, "
                "or use precision 32-true"
            )
        self.measured = {"train_loss": self.train_loss(), **measure(logits, labels, weights)}
        if self.head is not None:
            self.measured["val_auxiliary"] = float((squares * weights).sum() / weights.sum())

    def train(self, mode: bool = True) -> Self:
        """Set the network to training; what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._plan.frozen(self.current_epoch):
            module.eval()
        return self

    def train_loss(self) -> float:
        """Return the mean loss of the epoch's training jets so far."""
        totals = self._summed()
        return float(totals[0] / totals[1]) if totals[1] else float("nan")

    def on_train_start(self) -> None:
        """Freeze what does not learn: an epoch that is gone on with is not started again."""
        self._freeze()

    def _freeze(self) -> None:
        self._plan.begin_epoch(self.current_epoch)
        self.train()

    def on_train_epoch_start(self) -> None:
        """Freeze what does not learn; start the epoch's sums, unless the epoch is gone on with."""
        self._freeze()
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

    def _gathered(self) -> list[tuple[torch.Tensor, ...]]:
        if self.trainer.world_size == 1:
            return self._validated
        parts: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(parts, self._validated)
        return [batch for part in parts for batch in part]


def _embeds(distillation: Distillation | None) -> bool:
    return distillation is not None and distillation.settings.learns_features


def _network(
    tagger: Tagger, head: AuxiliaryHead | None, boundary: str | None, cached: bool, embeds: bool
) -> Callable[[Any], _Outputs]:
    """Return the function that gives the outputs for a batch of represented jets, or of what the boundary reads."""

    def outputs(batch: Any) -> _Outputs:
        if boundary is not None:
            return tagger.after(boundary, batch if cached else frozen(batch)), None, None
        if head is None and not embeds:
            return tagger(batch), None, None
        jets = tagger.embed(batch)
        return tagger.classify(jets), None if head is None else head(jets), jets

    @torch.no_grad()
    def frozen(batch: Any) -> Any:
        return tagger.before(str(boundary), batch)

    return outputs


def batches_before_resume(trainer: pl.Trainer) -> int:
    """Return how many batches of the epoch that starts were trained before a resume."""
    loader = trainer.train_dataloader
    assert isinstance(loader, BatchLoader)
    return loader.skip


def measure(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> dict[str, float]:
    """Return ``val_loss, val_auc, val_accuracy`` of the logits, shape (n_jets, n_classes), of validation jets.

    ``val_loss`` is the cross entropy, weighted as the other two. ``val_auc`` is the area under the ROC curve; with more
    than two classes, the mean over all pairs (Hand and Till 2001). With two classes there is also ``val_rejection``,
    one over the efficiency of the background at a signal efficiency of 0.7, where some of it is left to be counted.
    """
    losses = functional.cross_entropy(logits, labels, reduction="none")
    scores = torch.softmax(logits.double(), dim=1).numpy()
    correct = (logits.argmax(1) == labels).double()
    measured = {
        "val_loss": float((losses * weights).sum() / weights.sum()),
        "val_auc": _auc(labels.numpy(), scores, weights.numpy()),
        "val_accuracy": float((correct * weights).sum() / weights.sum()),
    }
    if scores.shape[1] == 2:
        measured |= _rejection(labels.numpy() == 1, scores[:, 1], weights.numpy())
    return measured


def _rejection(
    signal: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]
) -> dict[str, float]:
    """Return ``val_rejection``; nothing where no background is left at that efficiency."""
    order = np.argsort(-scores, kind="stable")
    passed = np.cumsum(np.where(signal, weights, 0.0)[order])
    threshold = scores[order[np.searchsorted(passed, _EFFICIENCY * passed[-1])]]
    background = float(weights[~signal & (scores >= threshold)].sum())
    return {"val_rejection": float(weights[~signal].sum()) / background} if background > 0 else {}


def _auc(labels: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]) -> float:
    if scores.shape[1] == 2:
        return float(roc_auc_score(labels, scores[:, 1], sample_weight=weights))
    areas = []
    for first, second in itertools.permutations(range(scores.shape[1]), 2):
        chosen = (labels == first) | (labels == second)
        areas.append(roc_auc_score(labels[chosen] == first, scores[chosen, first], sample_weight=weights[chosen]))
    return float(np.mean(areas))
