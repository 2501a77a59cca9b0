"""Images and sequences together: convolutions and recurrent units, fused by dense layers.

The network that won the machine-learning challenge of the Terascale school at DESY in 2018, called there "a bit tricky
Beast": https://github.com/altairjericho/DESY_Terascale. Its recurrent branch read the features of the constituents in
a scrambled order; here it reads all features of one constituent at each step.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import (
    ImageBatch,
    ImageRepresentation,
    Representation,
    SequenceBatch,
    SequenceRepresentation,
    SeveralBatch,
    SeveralRepresentation,
)
from jetforge.taggers._arguments import check_fixed_length, check_fractions, check_whole, check_widths
from jetforge.taggers._layers import DenseLayers, glorot
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger
from jetforge.taggers.image_cnn import check_size
from jetforge.taggers.recurrent import RecurrentLayers

_PARTS: Mapping[str, type[Representation]] = {"image": ImageRepresentation, "sequence": SequenceRepresentation}
_KERNEL = 3


def _convolution(inputs: int, outputs: int) -> Any:
    return glorot(nn.Conv2d(inputs, outputs, _KERNEL, padding=1))


def _pooled(dropout: float) -> tuple[nn.Module, nn.Module]:
    """Return what halves the sides of an image, rounded up, and drops some of it."""
    return nn.MaxPool2d(2, ceil_mode=True), nn.Dropout(dropout)


class Bottleneck(nn.Module):
    """Three convolutions, narrow in between, added to what was read.

    Parameters
    ----------
    channels, narrow : int
        Number of channels outside and between.
    """

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.first = _convolution(channels, narrow)
        self.second = _convolution(narrow, narrow)
        self.third = _convolution(narrow, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images to images of the same shape."""
        narrow = torch.relu(self.second(torch.relu(self.first(x))))
        return torch.relu(x + self.third(narrow))


class ImageBranch(nn.Sequential):
    """Convolutions and pooling, one residual bottleneck, and a dense layer.

    Parameters
    ----------
    channels, size : int
        Of the images.
    widths : sequence of three int
        Number of channels before each pooling.
    narrow : int
        Number of channels within the bottleneck.
    outputs : int
        Width of the dense layer.
    dropout : float
        Fraction that is dropped in training after each pooling.
    """

    def __init__(
        self, channels: int, size: int, widths: Sequence[int], narrow: int, outputs: int, dropout: float
    ) -> None:
        first, second, third = widths
        pooled = -(-size // 8)
        super().__init__(
            *(_convolution(channels, first), nn.ReLU(), _convolution(first, first), nn.ReLU(), *_pooled(dropout)),
            *(_convolution(first, second), nn.ReLU(), *_pooled(dropout)),
            *(Bottleneck(second, narrow), _convolution(second, third), nn.ReLU(), *_pooled(dropout)),
            *(nn.Flatten(), DenseLayers(third * pooled * pooled, (outputs,))),
        )


class SequenceBranch(nn.Module):
    """Recurrent units, whose states after all elements go side by side into dense layers.

    Parameters
    ----------
    inputs, length : int
        Number of features of an element, and of elements.
    widths : sequence of int
        Width of the state of each recurrent layer.
    hidden : sequence of int
        Widths of the dense layers.
    dropout : float
        Fraction that is dropped in training after each recurrent layer.
    """

    def __init__(self, inputs: int, length: int, widths: Sequence[int], hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.length = length
        self.recurrence = RecurrentLayers("gru", inputs, widths, dropout)
        self.dense = DenseLayers(length * widths[-1], hidden)

    def forward(self, batch: SequenceBatch) -> torch.Tensor:
        """Return the last dense layer, shape (n_jets, last of hidden); where a jet has no element there is zero."""
        states = self.recurrence(batch, self.length)
        states = states * batch.mask(states.shape[1]).unsqueeze(2)
        states = nn.functional.pad(states, (0, 0, 0, self.length - states.shape[1]))
        embedded: torch.Tensor = self.dense(states.flatten(1))
        return embedded


class CNNRNNSettings(TypedDict, total=False):
    """What the fused network lets one change; defaults are those of its authors."""

    channels: Sequence[int]
    narrow: int
    image_hidden: int
    recurrent: Sequence[int]
    sequence_hidden: Sequence[int]
    fusion: Sequence[int]
    dropout: float


class CNNRNN(Tagger):
    """Convolutions on the image of a jet and recurrent units on its constituents, fused by dense layers.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : SeveralRepresentation, optional
        The parts ``image`` and ``sequence``, the second with a `max_length`; by default images of 40 x 40 pixels, and
        the 200 hardest constituents with the features of ParticleNet.
    channels : sequence of three int
        Number of channels of the convolutions before each pooling.
    narrow : int
        Number of channels within the residual bottleneck.
    image_hidden : int
        Width of the dense layer of the image.
    recurrent : sequence of int
        Width of the state of each layer of gated recurrent units.
    sequence_hidden : sequence of int
        Widths of the dense layers of the sequence.
    fusion : sequence of two int
        Widths of the dense layers that read both.
    dropout : float
        Fraction that is dropped in training after each pooling, each recurrent layer, and the first dense layer of
        the fusion.

    Raises
    ------
    TaggerError
        If a value makes no sense.
    """

    reads = SeveralRepresentation

    def __init__(
        self,
        num_classes: int = 2,
        representation: SeveralRepresentation | None = None,
        *,
        channels: Sequence[int] = (32, 64, 128),
        narrow: int = 16,
        image_hidden: int = 512,
        recurrent: Sequence[int] = (16, 32),
        sequence_hidden: Sequence[int] = (64, 128),
        fusion: Sequence[int] = (512, 256),
        dropout: float = 0.7,
    ) -> None:
        super().__init__(num_classes, representation or _default_representation())
        channels, fusion = check_widths("channels", channels), check_widths("fusion", fusion)
        if len(channels) != 3:
            raise TaggerError(f"channels {list(channels)}: there are three poolings, give three widths")
        recurrent = check_widths("recurrent", recurrent)
        sequence_hidden = check_widths("sequence_hidden", sequence_hidden)
        check_whole(narrow=narrow, image_hidden=image_hidden)
        check_fractions(dropout=dropout)
        image, sequence = (self.representation.parts[name] for name in _PARTS)
        self.size = image.size
        self.image = ImageBranch(image.num_features, image.size, channels, narrow, image_hidden, dropout)
        self.sequence = SequenceBranch(sequence.num_features, sequence.max_length, recurrent, sequence_hidden, dropout)
        layers = [glorot(nn.Linear(*shape)) for shape in pairwise([image_hidden + sequence_hidden[-1], *fusion])]
        first, *others = layers
        self.fusion = nn.Sequential(first, nn.ReLU(), nn.Dropout(dropout))
        for layer in others:
            self.fusion.extend([layer, nn.ReLU()])
        self.output = glorot(nn.Linear(fusion[-1], num_classes))

    def _check_kind(self, representation: Any) -> None:
        super()._check_kind(representation)
        parts = representation.parts
        if set(parts) != set(_PARTS) or not all(isinstance(parts[name], kind) for name, kind in _PARTS.items()):
            has = ", ".join(f"{name}: {part.name}" for name, part in parts.items())
            raise TaggerError(f"{self._title} reads the parts image: image, sequence: sequence; it was given {has}")
        before = None if self._representation is None else self._representation.parts
        check_fixed_length(self._title, parts["sequence"], None if before is None else before["sequence"].max_length)
        if before is None:
            return
        check_size(parts["image"].size, self.size)
        for name in _PARTS:
            have, want = parts[name].num_features, before[name].num_features
            if have != want:
                raise TaggerError(f"{self._title} was made for {want} features of the part {name}, it has {have}")

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the two branches, the layers that fuse them, and the output layer."""
        return {
            "image": (self.image,),
            "sequence": (self.sequence,),
            "fusion": (self.fusion,),
            "classifier": (self.output,),
        }

    def embed(self, batch: SeveralBatch) -> torch.Tensor:
        """Return the fused jets, shape (n_jets, last of fusion).

        Raises
        ------
        TaggerError
            If the images have another size than those that the network was made for.
        """
        image: ImageBatch = batch.parts["image"]
        check_size(image.values.shape[-1], self.size)
        branches = [self.image(image.values), self.sequence(batch.parts["sequence"])]
        embedded: torch.Tensor = self.fusion(torch.cat(branches, dim=1))
        return embedded

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(jets)
        return logits


def _default_representation() -> SeveralRepresentation:
    return SeveralRepresentation({"image": ImageRepresentation(), "sequence": SequenceRepresentation(max_length=200)})


@register_tagger
def cnn_rnn(
    num_classes: int = 2, representation: SeveralRepresentation | None = None, **settings: Unpack[CNNRNNSettings]
) -> CNNRNN:
    """Convolutions on images and GRUs on constituents, fused: the winner of the Terascale school's challenge of 2018.

    As in https://github.com/altairjericho/DESY_Terascale.
    """
    return CNNRNN(num_classes, representation, **settings)
