"""Dense layers on the leading constituents of a jet."""

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from jetforge.representations import SequenceBatch, SequenceRepresentation
from jetforge.taggers._arguments import check_fixed_length, check_flags, check_fractions, check_widths
from jetforge.taggers._layers import DenseLayers, glorot
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger

DENSE_FEATURES = ("aligned_eta", "aligned_phi", "log_pt", "log_energy")
"""Direction, pT and energy of a constituent after the alignment of ATL-PHYS-PUB-2022-039."""


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
        check_fractions(dropout=dropout)
        check_flags(norm=norm)
        self.length = self.representation.max_length
        inputs = self.length * self.representation.num_features
        self.hidden = DenseLayers(inputs, widths, dropout, norm)
        self.output = glorot(nn.Linear(self.hidden.outputs, num_classes))

    def _check_kind(self, representation: Any) -> None:
        super()._check_kind(representation)
        check_fixed_length(self._title, representation, getattr(self._representation, "max_length", None))

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
    num_classes: int = 2,
    representation: SequenceRepresentation | None = None,
    widths: Sequence[int] = (32, 64),
    dropout: float = 0.1,
) -> DenseNetwork:
    """Dense layers of 32 and 64 on 4 x 80 numbers of the hardest constituents: a student of larger networks.

    As in https://github.com/baron-de-montblanc/DL-Final-Project.
    """
    return DenseNetwork(num_classes, representation, widths=widths, dropout=dropout)
