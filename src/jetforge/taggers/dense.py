"""Dense layers on the leading constituents of a jet, and what other networks need of them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import SequenceBatch, SequenceRepresentation
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger

DENSE_FEATURES = ("aligned_eta", "aligned_phi", "log_pt", "log_energy")
"""Direction, pT and energy of a constituent after the alignment of ATL-PHYS-PUB-2022-039."""


def check_widths(name: str, widths: Any, least: int = 1) -> tuple[int, ...]:
    """Return the widths of layers as a tuple.

    Raises
    ------
    TaggerError
        If they are no whole numbers above 0, or fewer than ``least``.
    """
    values = tuple(widths) if isinstance(widths, Sequence) and not isinstance(widths, str) else (None,)
    whole = all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values)
    if not whole or len(values) < least:
        raise TaggerError(f"{name} {widths!r}: give the widths of layers, whole numbers above 0, in a list")
    return values


def check_width(name: str, width: Any) -> int:
    """Return the width of one layer.

    Raises
    ------
    TaggerError
        If it is no whole number above 0.
    """
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise TaggerError(f"{name} {width!r}: a layer's width must be a whole number above 0")
    return width


def check_dropout(dropout: Any) -> float:
    """Return the fraction that is dropped in training.

    Raises
    ------
    TaggerError
        If it is no number of at least 0 and below 1.
    """
    if isinstance(dropout, bool) or not isinstance(dropout, float | int) or not 0 <= dropout < 1:
        raise TaggerError(f"dropout {dropout!r} must be a number of at least 0 and below 1")
    return float(dropout)


def fixed_length(title: str, representation: SequenceRepresentation) -> int:
    """Return how many elements a network reads that has weights for each of them.

    Raises
    ------
    TaggerError
        If the representation does not say.
    """
    if representation.max_length is None:
        raise TaggerError(f"{title} has weights for each element of the sequence: give max_length")
    return representation.max_length


def glorot(layer: nn.Linear | nn.Conv2d) -> Any:
    """Set the weights of a layer as Keras does by default (Glorot uniform, no bias), and return it."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class DenseLayers(nn.Sequential):
    """Linear layers, each followed by batch normalisation if asked for, ReLU and dropout.

    Parameters
    ----------
    inputs : int
        Width of what is read.
    widths : sequence of int
        Width of each layer; none hands on what is read.
    dropout : float
        Fraction that is dropped in training after each layer.
    norm : bool
        Whether each layer is normalised over the batch.
    """

    def __init__(self, inputs: int, widths: Sequence[int], dropout: float = 0.0, norm: bool = False) -> None:
        modules: list[nn.Module] = []
        for before, after in pairwise([inputs, *widths]):
            modules.append(glorot(nn.Linear(before, after)))
            if norm:
                modules.append(BatchNorm(after))
            modules.append(nn.ReLU())
            if dropout:
                modules.append(nn.Dropout(dropout))
        super().__init__(*modules)
        self.outputs = widths[-1] if widths else inputs


class DenseSettings(TypedDict, total=False):
    """What a network of dense layers lets one change."""

    widths: Sequence[int]
    dropout: float


class DenseNetwork(Tagger):
    """The leading elements of a sequence, side by side, through dense layers.

    A jet of fewer elements has zeros in the place of the others, as if these had average features.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : SequenceRepresentation, optional
        A sequence with a `max_length`; by default the 80 hardest constituents with `DENSE_FEATURES`.
    widths : sequence of int
        Width of each hidden layer.
    dropout : float
        Fraction that is dropped in training after each hidden layer.
    norm : bool
        Whether the hidden layers are normalised over the batch.

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
        widths: Sequence[int] = (400, 400, 400),
        dropout: float = 0.1,
        norm: bool = True,
    ) -> None:
        super().__init__(num_classes, representation or SequenceRepresentation(DENSE_FEATURES, max_length=80))
        widths = check_widths("widths", widths)
        if not isinstance(norm, bool):
            raise TaggerError(f"norm {norm!r} must be true or false")
        self.length = fixed_length("a dense network", self.representation)
        inputs = self.length * self.representation.num_features
        self.hidden = DenseLayers(inputs, widths, check_dropout(dropout), norm)
        self.output = glorot(nn.Linear(self.hidden.outputs, num_classes))

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the hidden layers and the output layer."""
        return {"hidden": (self.hidden,), "classifier": (self.output,)}

    def embed(self, batch: SequenceBatch) -> torch.Tensor:
        """Return the last hidden layer, shape (n_jets, last of widths)."""
        embedded: torch.Tensor = self.hidden(batch.padded(batch.features, self.length).flatten(1))
        return embedded

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(jets)
        return logits


@register_tagger
def dense(
    num_classes: int = 2, representation: SequenceRepresentation | None = None, **settings: Unpack[DenseSettings]
) -> DenseNetwork:
    """Three dense layers of 400 on 4 x 80 numbers of the hardest constituents: a teacher of small networks.

    As in https://github.com/baron-de-montblanc/DL-Final-Project, but that its last two layers share one matrix.
    """
    return DenseNetwork(num_classes, representation, **settings)


@register_tagger
def dense_student(
    num_classes: int = 2, representation: SequenceRepresentation | None = None, **settings: Unpack[DenseSettings]
) -> DenseNetwork:
    """Dense layers of 32 and 64 on 4 x 80 numbers of the hardest constituents: a student of larger networks.

    As in https://github.com/baron-de-montblanc/DL-Final-Project.
    """
    chosen: DenseSettings = {"widths": (32, 64), **settings}
    return DenseNetwork(num_classes, representation, **chosen)
