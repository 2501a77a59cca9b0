"""The plain transformer that the LLoCa papers compare with (arXiv:2505.20280, arXiv:2508.14898)."""

from typing import TypedDict, Unpack

import torch
from torch import nn
from torch.nn import functional

from jetforge.representations import CloudBatch, CloudRepresentation
from jetforge.taggers._arguments import check_fractions, check_heads, check_whole
from jetforge.taggers._attention import Dropout, PaddedJets, attend
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger


class TransformerBlock(nn.Module):
    """Self-attention and a network of one hidden layer, each after a normalisation and with a shortcut.

    The normalisations have no parameters.

    Parameters
    ----------
    width, num_heads : int
        Width of the constituents, and number of heads that share it.
    expansion : int
        The hidden layer is that many times as wide.
    dropout : float
        Fraction of the outputs of both parts, and of the hidden layer, that is dropped in training.
    """

    def __init__(self, width: int, num_heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.expand = nn.Linear(width, expansion * width)
        self.contract = nn.Linear(expansion * width, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: torch.Tensor, jets: PaddedJets, masks: list[torch.Tensor]) -> torch.Tensor:
        """Map constituents, shape (n_constituents, width), to the same shape."""
        qkv = self.qkv(functional.layer_norm(x, x.shape[-1:]))
        x = x + self.dropout(self.out(attend(jets, qkv, self.num_heads, masks, 0.0)))
        hidden = functional.gelu(self.dropout(self.expand(functional.layer_norm(x, x.shape[-1:]))))
        added: torch.Tensor = self.dropout(self.contract(hidden))
        return x + added


class Transformer(Tagger):
    """Blocks of self-attention among the constituents, averaged over the jet, and classified by one linear layer.

    It sees the constituents as a set: only the features tell them apart.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : CloudRepresentation, optional
        Constituents with these features; by default the seven kinematic ones of all of them.
    width : int
        Width of the constituents, and of the jet.
    num_blocks : int
        Number of blocks.
    num_heads : int
        Number of heads of attention; divides the width.
    expansion : int
        The hidden layer of a block is that many times as wide.
    dropout : float
        Fraction that is dropped in training, see `TransformerBlock`.

    Raises
    ------
    TaggerError
        If a value makes no sense.
    """

    reads = CloudRepresentation

    def __init__(
        self,
        num_classes: int = 2,
        representation: CloudRepresentation | None = None,
        *,
        width: int = 128,
        num_blocks: int = 10,
        num_heads: int = 8,
        expansion: int = 4,
        dropout: float = 0.0,
    ) -> None:
        check_heads(width, num_heads)
        check_whole(num_blocks=num_blocks, expansion=expansion)
        check_fractions(dropout=dropout)
        super().__init__(num_classes, representation or CloudRepresentation())
        self.input = nn.Linear(self.representation.num_features, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, num_heads, expansion, dropout) for _ in range(num_blocks))
        self.output = nn.Linear(width, num_classes)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules of the constituents, of attention, and of `classify`, in that order."""
        return {"constituents": (self.input,), "attention": (self.blocks,), "classifier": (self.output,)}

    def embed(self, batch: CloudBatch) -> torch.Tensor:
        """Return the embedded jets, shape (n_jets, width): means over their constituents, zero where there is none."""
        return batch.means(self.embed_elements(batch))

    def embed_elements(self, batch: CloudBatch) -> torch.Tensor:
        """Return the embedded constituents, shape (n_constituents, width)."""
        jets = PaddedJets(batch)
        masks = jets.masks(batch.features.dtype)
        x = self.input(batch.features)
        for block in self.blocks:
            x = block(x, jets, masks)
        rows: torch.Tensor = x
        return rows

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        # The published order is the layer first, then the mean: the same, but for one product a constituent.
        logits: torch.Tensor = self.output(jets)
        return logits


class TransformerSettings(TypedDict, total=False):
    """What a plain transformer lets one change; defaults are the published values."""

    width: int
    num_blocks: int
    num_heads: int
    expansion: int
    dropout: float


@register_tagger
def transformer(
    num_classes: int = 2,
    representation: CloudRepresentation | None = None,
    **settings: Unpack[TransformerSettings],
) -> Transformer:
    """Plain transformer without pair features, the baseline of the LLoCa papers (arXiv:2508.14898)."""
    return Transformer(num_classes, representation, **settings)
