"""P-CNN: a one-dimensional residual convolutional network on the constituents in order of pT (arXiv:1902.08570)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from jetforge.representations import SequenceBatch, SequenceRepresentation
from jetforge.taggers._arguments import check_fixed_length, check_fractions, check_stages, check_whole
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger

_KERNEL = 3


class ResidualUnit(nn.Module):
    """Twice convolution of three places, batch normalisation, ReLU, added to what was read.

    Parameters
    ----------
    inputs, channels : int
        Width of each place before and after.
    stride : int
        Step of the first convolution. Where it is not 1, or the widths differ, a convolution of one place brings
        what was read into the new shape.
    """

    def __init__(self, inputs: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, channels, _KERNEL, stride, padding=1)
        self.first_norm = BatchNorm(channels)
        self.second = nn.Conv1d(channels, channels, _KERNEL, padding=1)
        self.second_norm = BatchNorm(channels)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != channels or stride != 1:
            self.shortcut = nn.Conv1d(inputs, channels, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n_jets, inputs, length) to (n_jets, channels, length / stride)."""
        y = torch.relu(self.first_norm(self.first(x)))
        added: torch.Tensor = self.shortcut(x) + torch.relu(self.second_norm(self.second(y)))
        return added


class ParticleCNNSettings(TypedDict, total=False):
    """What P-CNN lets one change; defaults are the published values."""

    stem: int
    units: Sequence[Sequence[int]]
    hidden: int
    dropout: float


class ParticleCNN(Tagger):
    """Convolutions along the constituents, averaged over the places, and classified.

    Every jet is filled up to the same length with zeros, which the convolutions and the batch statistics see as they
    do in the network of the authors; a score depends on that length, which belongs to the network, and on nothing
    else of the batch.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : SequenceRepresentation, optional
        A sequence with a `max_length`; by default the 100 hardest constituents with the features of ParticleNet.
    stem : int
        Width of the first convolution.
    units : sequence of sequence of int
        Widths of the residual units of each stage; from the second on, a stage halves the length.
    hidden : int
        Width of the hidden layer of the classifier.
    dropout : float
        Fraction of the hidden layer that is dropped in training.

    Raises
    ------
    TaggerError
        If a value makes no sense.
    """

    reads = SequenceRepresentation

    def __init__(
        self,
        num_classes: int = 2,
        representation: SequenceRepresentation | None = None,
        *,
        stem: int = 32,
        units: Sequence[Sequence[int]] = ((64, 64), (64, 64), (128, 128)),
        hidden: int = 512,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(num_classes, representation or SequenceRepresentation(max_length=100))
        self.length = self.representation.max_length
        features = self.representation.num_features
        widths = check_stages("units", units)
        check_whole(stem=stem, hidden=hidden)
        check_fractions(dropout=dropout)
        self.input_norm = BatchNorm(features)
        self.stem = nn.Conv1d(features, stem, _KERNEL, padding=1)
        self.stem_norm = BatchNorm(stem)
        strides = [2 if stage and not unit else 1 for stage, row in enumerate(widths) for unit in range(len(row))]
        shapes = pairwise([stem, *(width for row in widths for width in row)])
        self.units = nn.Sequential(*(ResidualUnit(*shape, s) for shape, s in zip(shapes, strides, strict=True)))
        self.hidden = nn.Linear(widths[-1][-1], hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, num_classes)

    def _check_kind(self, representation: Any) -> None:
        super()._check_kind(representation)
        check_fixed_length(self._title, representation, getattr(self._representation, "max_length", None))

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the convolutions and the classifier."""
        return {
            "convolutions": (self.input_norm, self.stem, self.stem_norm, self.units),
            "classifier": (self.hidden, self.dropout, self.output),
        }

    def embed(self, batch: SequenceBatch) -> torch.Tensor:
        """Return the mean over all places of the last unit, shape (n_jets, last of units)."""
        x = batch.padded(batch.features, self.length).transpose(1, 2)
        x = torch.relu(self.stem_norm(self.stem(self.input_norm(x))))
        embedded: torch.Tensor = self.units(x).mean(-1)
        return embedded

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(self.dropout(torch.relu(self.hidden(jets))))
        return logits


@register_tagger
def pcnn(
    num_classes: int = 2, representation: SequenceRepresentation | None = None, **settings: Unpack[ParticleCNNSettings]
) -> ParticleCNN:
    """P-CNN: convolutions along the 100 hardest constituents in order of pT (arXiv:1902.08570)."""
    return ParticleCNN(num_classes, representation, **settings)
