"""Dense layers as several networks have them, and how their weights start."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from jetforge.taggers._norm import BatchNorm


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
