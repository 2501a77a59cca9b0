"""A dense network on high-level observables: the hlDNN of ATLAS (ATL-PHYS-PUB-2022-039)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypedDict, Unpack

import torch
from torch import nn

from jetforge.representations import ObservablesBatch, ObservablesRepresentation
from jetforge.taggers._arguments import check_flags, check_fractions, check_widths
from jetforge.taggers._layers import glorot
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger


class HighLevelDNNSettings(TypedDict, total=False):
    """What the network lets one change; defaults are the published values."""

    hidden: Sequence[int]
    dropout: float
    batch_norm: bool


class HighLevelDNN(Tagger):
    """Dense layers with ReLU on the observables of each jet.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : ObservablesRepresentation, optional
        By default the 15 observables of hlDNN.
    hidden : sequence of int
        Widths of the hidden layers.
    dropout : float
        Fraction of each hidden layer that is dropped in training.
    batch_norm : bool
        Whether the observables, and each hidden layer before its ReLU, are normalised over the batch.

    Raises
    ------
    TaggerError
        If a value makes no sense.

    Notes
    -----
    Five layers of 180, Glorot uniform weights, neither dropout nor batch normalisation: the example that ATLAS
    publishes with its open data set. It trains with Adam at a learning rate of 4e-5.
    """

    reads = ObservablesRepresentation

    def __init__(
        self,
        num_classes: int = 2,
        representation: ObservablesRepresentation | None = None,
        *,
        hidden: Sequence[int] = (180, 180, 180, 180, 180),
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        hidden = check_widths("hidden", hidden)
        check_fractions(dropout=dropout)
        check_flags(batch_norm=batch_norm)
        super().__init__(num_classes, representation or ObservablesRepresentation())
        widths = [self.representation.num_features, *hidden]
        layers: list[nn.Module] = [BatchNorm(widths[0])] if batch_norm else []
        for inputs, outputs in pairwise(widths):
            layers.append(nn.Linear(inputs, outputs))
            if batch_norm:
                layers.append(BatchNorm(outputs))
            layers.append(nn.ReLU())
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(widths[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                glorot(module)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the hidden layers and the output layer, in the order of the data."""
        return {"hidden": (self.hidden,), "classifier": (self.output,)}

    def embed(self, batch: ObservablesBatch) -> torch.Tensor:
        """Return the last hidden layer, shape (n_jets, its width)."""
        embedded: torch.Tensor = self.hidden(batch.values)
        return embedded

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(jets)
        return logits


@register_tagger
def hldnn(
    num_classes: int = 2,
    representation: ObservablesRepresentation | None = None,
    **settings: Unpack[HighLevelDNNSettings],
) -> HighLevelDNN:
    """Dense network on high-level observables, as ATLAS's hlDNN (ATL-PHYS-PUB-2022-039)."""
    return HighLevelDNN(num_classes, representation, **settings)
