"""Pre-training: a tagger learns from jets without looking at their labels, for a later task to start from.

``masked``: part of the elements of each jet (constituents, declusterings) is hidden, and the network is to find their
features from the others, as in masked particle modelling (arXiv:2401.13537). The loss of a jet is the mean squared
error over its hidden elements, of the features as the representation scales them, one at least of each jet.
``contrastive``: each jet is changed twice in ways that leave it what it is (`jetforge.representations.augment`), and
the network is to tell the two apart from all others of the batch: the loss of arXiv:2002.05709, equation 1, for jets
arXiv:2108.04253. A small network between what is embedded and what is compared is forgotten afterwards.

Either leaves a run whose backbone has learnt; its head has not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from jetforge.errors import JetforgeError, TaggerError
from jetforge.jets.jets import Jets
from jetforge.learning.loader import NUMBER, TrainingBatch
from jetforge.learning.module import TrainingModule
from jetforge.learning.sections import PretrainSection, TrainingSection
from jetforge.learning.transfer import WeightPlan
from jetforge.representations import Representation, SeveralBatch
from jetforge.representations.augment import Augmentation
from jetforge.taggers import Tagger

_FIRST, _SECOND = "first", "second"


class Masked(nn.Module):
    """The network that is to find the features of hidden elements.

    Parameters
    ----------
    tagger
        Which embeds elements.
    share
        Of the elements that are hidden.
    width
        Of what the tagger embeds an element in.
    """

    def __init__(self, tagger: Tagger, share: float, width: int) -> None:
        super().__init__()
        features = tagger.representation.num_features
        self.share = share
        self.hidden = nn.Parameter(torch.zeros(features))
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, features))

    def forward(self, tagger: Tagger, batch: Any) -> torch.Tensor:
        """Return the loss of each jet, shape (n_jets,); 0 for one without elements.

        Of every jet one element at least is hidden.
        """
        rows, sizes = batch.features, batch.offsets.diff()
        hidden = torch.rand(len(rows), device=rows.device) < self.share
        one = batch.offsets[:-1] + (torch.rand(len(batch), device=rows.device) * sizes).long()
        # A jet without elements points to the spare last place.
        place = torch.where(sizes > 0, one, len(rows))
        hidden = nn.functional.pad(hidden, (0, 1)).index_fill(0, place, True)[:-1]
        shown = torch.where(hidden[:, None], self.hidden.to(rows.dtype), rows)
        changes = {"features": shown}
        for name in ("points", "momenta"):  # they would give the features away
            if hasattr(batch, name):
                values = getattr(batch, name)
                changes[name] = torch.where(hidden[:, None], torch.zeros_like(values), values)
        found = self.head(tagger.embed_elements(replace(batch, **changes)).float())
        errors = (found - rows.float()).square().mean(1) * hidden
        jets = torch.arange(len(batch), device=rows.device)
        of = torch.repeat_interleave(jets, sizes, output_size=len(rows))
        sums = errors.new_zeros(len(batch)).index_add(0, of, errors)
        counts = errors.new_zeros(len(batch)).index_add(0, of, hidden.to(errors.dtype))
        losses: torch.Tensor = sums / counts.clamp(min=1)
        return losses


class Contrastive(nn.Module):
    """The network between what is embedded and what is compared.

    Parameters
    ----------
    temperature
        By which similarities are divided.
    width
        Of what the tagger embeds.
    projection
        Of what is compared.
    """

    def __init__(self, temperature: float, width: int, projection: int) -> None:
        super().__init__()
        self.temperature = temperature
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, projection))

    def forward(self, tagger: Tagger, batch: SeveralBatch) -> torch.Tensor:
        """Return the loss of each jet, shape (n_jets,): the mean of that of its two views."""
        views = [self.head(tagger.embed(batch.parts[name]).float()) for name in (_FIRST, _SECOND)]
        rows = functional.normalize(torch.cat(views), dim=1)
        with torch.autocast(rows.device.type, enabled=False):
            similar = rows @ rows.T / self.temperature
        similar.fill_diagonal_(-torch.inf)
        number = len(batch)
        other = torch.arange(2 * number, device=rows.device).roll(number)
        return functional.cross_entropy(similar, other, reduction="none").view(2, number).mean(0)


class TwoViews:
    """Represents each jet twice, each time changed at random; what is drawn follows from seed, epoch and jets alone.

    Parameters
    ----------
    representation
        Fitted.
    augmentation
        How jets are changed.
    seed
        Of what is drawn.

    Attributes
    ----------
    epoch : Callable[[], int]
        Gives the epoch.
    """

    def __init__(self, representation: Representation, augmentation: Augmentation, seed: int) -> None:
        self.name, self.columns = representation.name, representation.columns
        self._representation, self._augmentation, self._seed = representation, augmentation, seed
        self.epoch: Callable[[], int] = lambda: 0

    def __call__(self, jets: Jets) -> SeveralBatch:
        """Return both views of jets, which come from one part of a dataset."""
        first = int(jets[NUMBER][0]) if len(jets) else 0
        random = np.random.default_rng([self._seed, self.epoch(), first])
        return SeveralBatch(
            {name: self._representation(self._augmentation(jets, random)) for name in (_FIRST, _SECOND)}
        )


class PretrainingModule(TrainingModule):
    """A tagger that learns from jets alone.

    Parameters
    ----------
    tagger, training, batches_per_epoch
        See `TrainingModule`.
    objective
        What is learnt: its call gives the loss of each jet.
    plan
        See `TrainingModule`.

    Attributes
    ----------
    measured : dict
        The last epoch's ``train_loss`` and ``val_loss``.
    """

    def __init__(
        self, tagger: Tagger, training: TrainingSection, batches_per_epoch: int, objective: Masked | Contrastive,
        plan: WeightPlan | None = None,
    ) -> None:  # fmt: skip
        super().__init__(tagger, training, batches_per_epoch, plan=plan)
        self.objective = objective
        self._sums = [0.0, 0.0]

    def _losses(self, batch: TrainingBatch) -> tuple[torch.Tensor, torch.Tensor]:
        losses = self.objective(self.tagger, batch.jets)
        return losses, losses

    def _counts(self, batch: TrainingBatch) -> torch.Tensor:
        return batch.weights

    def on_validation_epoch_start(self) -> None:
        """Start anew; what was trained until here must be finite."""
        self.check_losses()
        self._sums = [0.0, 0.0]

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Add up the losses, what is hidden being the same in each epoch."""
        self.running = batch
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(batch_idx)
            losses, _ = self._losses(batch)
        self._sums[0] += float((losses * batch.weights).sum())
        self._sums[1] += float(batch.weights.sum())
        self.running = None

    def on_validation_epoch_end(self) -> None:
        """Measure the loss of both splits."""
        sums = self.trainer.strategy.reduce(torch.tensor(self._sums, device=self.device), reduce_op="sum")
        assert isinstance(sums, torch.Tensor)
        loss = float(sums[0] / sums[1])
        if not np.isfinite(loss):
            raise JetforgeError(
                f"the loss of the validation jets is not finite after epoch {self.current_epoch}: lower "
                "training.learning_rate, or use precision 32-true"
            )
        self.measured = {"train_loss": self.train_loss(), "val_loss": loss}


def objective_of(pretrain: PretrainSection, tagger: Tagger, jets: Jets) -> Masked | Contrastive:
    """Return the objective that a recipe asks for.

    Parameters
    ----------
    pretrain
        The recipe's section.
    tagger
        The network, its representation fitted.
    jets
        A few jets, by which widths are found.

    Raises
    ------
    TaggerError
        If the tagger does not embed elements, and these are to be hidden.
    """
    was = tagger.training
    tagger.eval()
    with torch.no_grad():
        batch = tagger.representation(jets)
        if pretrain.objective == "masked":
            if type(tagger).embed_elements is Tagger.embed_elements:
                raise TaggerError(
                    f"{tagger.name} embeds jets, not elements in the light of each other, and cannot find hidden ones; "
                    "take --objective contrastive, or a tagger such as lundnet5, particlenet or transformer"
                )
            objective: Masked | Contrastive = Masked(tagger, pretrain.mask, tagger.embed_elements(batch).shape[1])
        else:
            objective = Contrastive(pretrain.temperature, tagger.embed(batch).shape[1], pretrain.projection)
    tagger.train(was)
    return objective


def two_views(pretrain: PretrainSection | None, tagger: Tagger, seed: int) -> TwoViews | None:
    """Return what represents jets for a contrastive training; nothing for any other."""
    if pretrain is None or pretrain.objective != "contrastive":
        return None
    augmentation = Augmentation(pretrain.rotate, pretrain.shift, pretrain.smear, pretrain.split)
    return TwoViews(tagger.representation, augmentation, seed)
