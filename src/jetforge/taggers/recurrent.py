"""Recurrent networks that read a jet element by element."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypedDict, Unpack

import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import SequenceBatch, SequenceRepresentation
from jetforge.taggers._arguments import check_fractions, check_widths
from jetforge.taggers._layers import DenseLayers, glorot
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger

Cell = Literal["gru", "lstm"]

RECURRENT_FEATURES = ("log_pt_rel", "aligned_eta", "aligned_phi")
"""Of each constituent: its share of the jet's pT, and the direction after moving, turning and reflecting the jet."""

_CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
_GATES = {"gru": 3, "lstm": 4}


class Recurrence(nn.Module):
    """One layer of gated recurrent units (arXiv:1406.1078) or of long short-term memory (Neural Comp. 9 (1997) 1735).

    The reset gate of the former acts after the product with the state, as in PyTorch and cuDNN, not before as in the
    paper. A gate has one bias, as in the papers: PyTorch's layers have two of which one adds nothing to almost all
    gates. The bias is the weight of a further input that is always 1. Weights start as Keras sets them: Glorot uniform
    from the inputs, orthogonal from the state, and a bias of 1 for the forget gate.

    Parameters
    ----------
    cell : str
        ``"gru"`` or ``"lstm"``.
    inputs, width : int
        Number of features of an element, and of the state.
    """

    def __init__(self, cell: Cell, inputs: int, width: int) -> None:
        super().__init__()
        self.cell = _CELLS[cell](inputs + 1, width, bias=False, batch_first=True)
        weights: dict[str, nn.Parameter] = dict(self.cell.named_parameters())
        nn.init.orthogonal_(weights["weight_hh_l0"])
        with torch.no_grad():
            weight = weights["weight_ih_l0"]
            weight[:, :inputs] = nn.init.xavier_uniform_(weight.new_empty(_GATES[cell] * width, inputs))
            weight[:, inputs] = 0.0
            if cell == "lstm":
                weight[width : 2 * width, inputs] = 1.0

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        """Return the state after each element, shape (n_jets, length, width), of (n_jets, length, inputs).

        The state is zero before the first element; what follows an element never changes the state after it.
        """
        ones = sequences.new_ones(*sequences.shape[:2], 1)
        states: torch.Tensor = self.cell(torch.cat([sequences, ones], dim=2))[0]
        return states


class RecurrentLayers(nn.Module):
    """Recurrent layers one upon the other, with dropout after each.

    Parameters
    ----------
    cell : str
        ``"gru"`` or ``"lstm"``.
    inputs : int
        Number of features of an element.
    widths : sequence of int
        Number of features of the state of each layer.
    dropout : float
        Fraction of the states that is dropped in training.
    """

    def __init__(self, cell: Cell, inputs: int, widths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Recurrence(cell, *shape) for shape in pairwise([inputs, *widths]))
        self.dropout = nn.Dropout(dropout)
        self.outputs = widths[-1]

    def forward(self, batch: SequenceBatch, max_length: int | None = None) -> torch.Tensor:
        """Return the states of the last layer, shape (n_jets, length, outputs).

        The length is that of the longest jet, but 1 or more, and ``max_length`` or less. Beyond a jet's own elements
        the states mean nothing.
        """
        length = max(batch.longest, 1)
        states = batch.padded(batch.features, length if max_length is None else min(length, max_length))
        for layer in self.layers:
            states = self.dropout(layer(states))
        return states


class RecurrentSettings(TypedDict, total=False):
    """What a recurrent network lets one change."""

    widths: Sequence[int]
    hidden: Sequence[int]
    dropout: float


class RecurrentNetwork(Tagger):
    """Recurrent layers along a sequence; the state after the last element is classified.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : SequenceRepresentation, optional
        By default the 128 hardest constituents with `RECURRENT_FEATURES`, in order of pT.
    cell : str
        ``"gru"`` or ``"lstm"``.
    widths : sequence of int
        Width of the state of each recurrent layer.
    hidden : sequence of int
        Widths of the hidden layers of the classifier; it may have none.
    dropout : float
        Fraction that is dropped in training after each recurrent and each hidden layer.

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
        cell: Cell,
        widths: Sequence[int] = (128,),
        hidden: Sequence[int] = (64,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_classes, representation or SequenceRepresentation(RECURRENT_FEATURES, max_length=128))
        if not isinstance(cell, str) or cell not in _CELLS:
            raise TaggerError(f"cell {cell!r} must be gru or lstm")
        widths, hidden = check_widths("widths", widths), check_widths("hidden", hidden, least=0)
        check_fractions(dropout=dropout)
        self.recurrence = RecurrentLayers(cell, self.representation.num_features, widths, dropout)
        self.hidden = DenseLayers(widths[-1], hidden, dropout)
        self.output = glorot(nn.Linear(self.hidden.outputs, num_classes))

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the recurrent layers and the classifier."""
        return {"recurrence": (self.recurrence,), "classifier": (self.hidden, self.output)}

    def embed(self, batch: SequenceBatch) -> torch.Tensor:
        """Return the state after each jet's last element, shape (n_jets, last of widths); zero without elements."""
        states = self.recurrence(batch)
        length = states.shape[1]
        last = torch.arange(len(batch), device=states.device) * length + (batch.counts - 1).clamp(min=0)
        embedded: torch.Tensor = states.flatten(0, 1).index_select(0, last) * (batch.counts > 0).unsqueeze(1)
        return embedded

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(self.hidden(jets))
        return logits


@register_tagger
def gru(
    num_classes: int = 2, representation: SequenceRepresentation | None = None, **settings: Unpack[RecurrentSettings]
) -> RecurrentNetwork:
    """Gated recurrent units along the constituents, hardest first."""
    return RecurrentNetwork(num_classes, representation, cell="gru", **settings)


@register_tagger
def lstm(
    num_classes: int = 2, representation: SequenceRepresentation | None = None, **settings: Unpack[RecurrentSettings]
) -> RecurrentNetwork:
    """Long short-term memory along the constituents in the order of the Cambridge/Aachen tree.

    Layers as in Egan, Fedorko, Lister, Pearkes, Gay, arXiv:1711.09059, who order by an anti-kt tree.
    """
    reads = representation or SequenceRepresentation(RECURRENT_FEATURES, order="tree", max_length=128)
    return RecurrentNetwork(num_classes, reads, cell="lstm", **settings)


@register_tagger
def lund_lstm(
    num_classes: int = 2,
    representation: SequenceRepresentation | None = None,
    widths: Sequence[int] = (128,),
    hidden: Sequence[int] = (),
    dropout: float = 0.2,
) -> RecurrentNetwork:
    """Long short-term memory along the primary Lund plane, ln Delta and ln kt of 60 declusterings (arXiv:1807.04758).

    Layers as in the network that F. Dreyer published in https://github.com/fdreyer/ML-Lund-tutorial.
    """
    reads = representation or SequenceRepresentation(("ln_delta", "ln_kt"), order="lund", max_length=60)
    return RecurrentNetwork(num_classes, reads, cell="lstm", widths=widths, hidden=hidden, dropout=dropout)
