"""Particle Transformer: attention among constituents that knows their pairs (Qu, Li, Qian, arXiv:2202.03772)."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypedDict, Unpack

import torch
from torch import nn
from torch.nn import functional

from jetforge.representations import PARTICLENET_FEATURES, CloudBatch, CloudRepresentation
from jetforge.taggers._arguments import check_flags, check_fractions, check_heads, check_whole, check_widths
from jetforge.taggers._attention import Dropout, PaddedJets, attend
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._pair_embedding import PairEmbedding
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger

_TRIM_QUANTILES = (0.9, 1.02)


class ConstituentEmbedding(nn.Module):
    """Features of constituents to the width of the attention: batch normalisation, then layers on constituents alone.

    The statistics of the batch normalisation in training are those of the constituents, without padding.

    Parameters
    ----------
    inputs : int
        Number of features.
    widths : sequence of int
        Width of each layer, of normalisation, Linear and GELU.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.input_norm = BatchNorm(inputs)
        layers: list[nn.Module] = []
        for before, after in pairwise([inputs, *widths]):
            linear = nn.Linear(before, after)
            _initialise(linear)
            layers += [nn.LayerNorm(before), linear, nn.GELU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features, shape (n_constituents, inputs), to shape (n_constituents, widths[-1])."""
        embedded: torch.Tensor = self.layers(self.input_norm(features))
        return embedded


class Block(nn.Module):
    """What follows attention, and the layers of attention: normalised before and after, with learned scales.

    It is the block of NormFormer (arXiv:2110.09456), of which the particle and the class attention blocks are made.

    Parameters
    ----------
    width, num_heads : int
        Width of the constituents, and number of heads that share it.
    expansion : int
        The hidden layer is that many times as wide.
    dropout : float
        Fraction of what attention and hidden layer add, and of the hidden layer, that is dropped in training.
    """

    def __init__(self, width: int, num_heads: int, expansion: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.input_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.head_scales = nn.Parameter(torch.ones(num_heads))
        self.out_norm = nn.LayerNorm(width)
        self.hidden_input_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.hidden_norm = nn.LayerNorm(expansion * width)
        self.contract = nn.Linear(expansion * width, width)
        self.shortcut_scales = nn.Parameter(torch.ones(width))
        self.dropout = Dropout(dropout)
        for layer in (self.qkv, self.out, self.expand, self.contract):
            _initialise(layer)
        nn.init.uniform_(self.qkv.weight, -math.sqrt(3 / width), math.sqrt(3 / width))  # of each of the three

    def add(self, x: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """Add to ``x``, shape (n, width), what was attended to, and what the hidden layer makes of both."""
        # The scales act on groups of outputs of the layer, so they may as well act on its weights.
        scales = self.head_scales.repeat_interleave(len(self.out.bias) // self.num_heads)
        out = functional.linear(attended, self.out.weight * scales.unsqueeze(1), self.out.bias * scales)
        x = x + self.dropout(self.out_norm(out))
        hidden = self.dropout(functional.gelu(self.expand(self.hidden_input_norm(x))))
        return torch.addcmul(self.dropout(self.contract(self.hidden_norm(hidden))), self.shortcut_scales, x)


class ParticleBlock(Block):
    """The block where the constituents of each jet attend to each other.

    Parameters
    ----------
    width, num_heads, expansion, dropout
        See `Block`.
    attention_dropout : float
        Fraction of the attention that is dropped in training.
    depth : int
        Its number, counted from 1: what deep blocks add starts small.
    """

    def __init__(
        self, width: int, num_heads: int, expansion: int, dropout: float, attention_dropout: float, depth: int
    ) -> None:
        super().__init__(width, num_heads, expansion, dropout)
        self.attention_dropout = attention_dropout
        with torch.no_grad():
            self.out.weight /= math.sqrt(2 * depth)
            self.contract.weight /= math.sqrt(2 * depth)

    def forward(self, x: torch.Tensor, jets: PaddedJets, biases: list[torch.Tensor]) -> torch.Tensor:
        """Map constituents, shape (n_constituents, width), to the same shape."""
        dropout = self.attention_dropout if self.training else 0.0
        return self.add(x, attend(jets, self.qkv(self.input_norm(x)), self.num_heads, biases, dropout))


class ClassBlock(Block):
    """The block where one class token a jet attends to itself and to the jet's constituents (arXiv:2103.17239)."""

    def forward(
        self, tokens: torch.Tensor, x: torch.Tensor, jets: PaddedJets, masks: list[torch.Tensor]
    ) -> torch.Tensor:
        """Map tokens, shape (n_jets, width) in the order of groups, to the same shape."""
        width = tokens.shape[1]
        to_query, to_key_value = torch.split(self.qkv.weight, [width, 2 * width])
        query_bias, key_value_bias = torch.split(self.qkv.bias, [width, 2 * width])
        padded = jets.pad(functional.linear(self.input_norm(x), to_key_value, key_value_bias))
        sizes = [len(group) for group in padded]
        queries = torch.split(functional.linear(tokens, to_query, query_bias), sizes)
        own = torch.split(functional.linear(self.input_norm(tokens), to_key_value, key_value_bias), sizes)
        attended = []
        for query, own_part, part, mask in zip(queries, own, padded, masks, strict=True):
            num_jets, length, _ = part.shape
            both = torch.cat([own_part.unsqueeze(1), part], dim=1)
            k, v = both.view(num_jets, length + 1, 2, self.num_heads, width // self.num_heads).permute(2, 0, 3, 1, 4)
            q = query.view(num_jets, self.num_heads, 1, width // self.num_heads)
            seen = functional.pad(mask, (1, 0)).to(q.dtype)
            attended.append(functional.scaled_dot_product_attention(q, k, v, seen).reshape(num_jets, width))
        return self.add(tokens, torch.cat(attended))


class ClassAttention(nn.Module):
    """Sums up the constituents of each jet by a learned class token, which attends to them.

    Parameters
    ----------
    width, num_heads, expansion : int
        See `Block`.
    num_blocks : int
        Number of blocks.
    """

    def __init__(self, width: int, num_heads: int, expansion: int, num_blocks: int) -> None:
        super().__init__()
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, width), std=0.02))
        self.blocks = nn.ModuleList(ClassBlock(width, num_heads, expansion) for _ in range(num_blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, jets: PaddedJets) -> torch.Tensor:
        """Return one row a jet, shape (n_jets, width), of constituents, shape (n_constituents, width)."""
        tokens = self.token.expand(len(jets.order), -1)
        masks = jets.masks(x.dtype)
        for block in self.blocks:
            tokens = block(tokens, x, jets, masks)
        summed_up: torch.Tensor = self.norm(jets.by_jet(tokens))
        return summed_up


class ParticleTransformer(Tagger):
    """Attention among the constituents, biased by what is known of each pair, summed up by class tokens.

    It is the network of the published training program, jet-universe/particle_transformer, in weaver's version 1:
    blocks with biases, GELU, and an activation after the last layer of the pairs.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : CloudRepresentation, optional
        Constituents with these features; by default the seven kinematic ones of the 128 hardest.
    embed_dims : sequence of int
        Width of each layer of the constituents' embedding, the last one that of the attention and of the jet.
    pair_embed_dims : sequence of int
        Width of each hidden layer of the pairs' embedding.
    num_heads : int
        Number of heads of attention; divides the width.
    num_layers, num_cls_layers : int
        Number of blocks of attention among constituents, and of class tokens.
    expansion : int
        The hidden layer of a block is that many times as wide.
    dropout, attention_dropout : float
        What the blocks of constituents drop in training, see `Block`; those of class tokens drop nothing.
    trim : bool
        Whether the longest jets of a training batch lose constituents by chance: a quantile between 0.9 and 1.02, drawn
        anew, of the batch's multiplicities is the largest number that is kept.

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
        embed_dims: Sequence[int] = (128, 512, 128),
        pair_embed_dims: Sequence[int] = (64, 64, 64),
        num_heads: int = 8,
        num_layers: int = 8,
        num_cls_layers: int = 2,
        expansion: int = 4,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        trim: bool = True,
    ) -> None:
        width = check_widths("embed_dims", embed_dims)[-1]
        pair_widths = check_widths("pair_embed_dims", pair_embed_dims)
        check_heads(width, num_heads)
        check_whole(num_layers=num_layers, num_cls_layers=num_cls_layers, expansion=expansion)
        check_fractions(dropout=dropout, attention_dropout=attention_dropout)
        check_flags(trim=trim)
        super().__init__(num_classes, representation or CloudRepresentation(PARTICLENET_FEATURES, max_constituents=128))
        self.trim = trim
        self.embedding = ConstituentEmbedding(self.representation.num_features, embed_dims)
        self.pair_embedding = PairEmbedding([*pair_widths, num_heads])
        self.blocks = nn.ModuleList(
            ParticleBlock(width, num_heads, expansion, dropout, attention_dropout, depth)
            for depth in range(1, num_layers + 1)
        )
        self.class_attention = ClassAttention(width, num_heads, expansion, num_cls_layers)
        self.output = nn.Linear(width, num_classes)
        _initialise(self.output)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules of the constituents and pairs, of both kinds of attention, and of `classify`."""
        return {
            "constituents": (self.embedding, self.pair_embedding),
            "attention": (self.blocks,),
            "class_attention": (self.class_attention,),
            "classifier": (self.output,),
        }

    def embed(self, batch: CloudBatch) -> torch.Tensor:
        """Return the embedded jets, shape (n_jets, embed_dims[-1])."""
        if self.training and self.trim:
            batch = trimmed(batch)
        jets = PaddedJets(batch)
        first, second = jets.pairs()
        biases = jets.biases(self.pair_embedding(batch.momenta, first, second), first, second)
        x = self.embedding(batch.features)
        for block in self.blocks:
            x = block(x, jets, biases)
        embedded: torch.Tensor = self.class_attention(x, jets)
        return embedded

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(jets)
        return logits


def trimmed(batch: CloudBatch) -> CloudBatch:
    """Return a batch whose longest jets have lost constituents by chance, for training.

    No jet keeps more than a quantile of the batch's multiplicities; which one is drawn evenly between 0.9 and 1.02,
    1 and above standing for the longest jet.
    """
    if not batch.num_rows:
        return batch
    device = batch.offsets.device
    quantile = torch.empty(1, device=device).uniform_(*_TRIM_QUANTILES).clamp_(max=1)
    counts = batch.counts
    most = torch.quantile(counts.float(), quantile).long().clamp_(min=1)
    keys = batch.jet_of_row() + torch.rand(batch.num_rows, dtype=torch.float64, device=device)
    shuffled = keys.argsort()
    rank = torch.arange(batch.num_rows, device=device) - batch.offsets.index_select(0, batch.jet_of_row())
    kept = shuffled[rank < most].sort().values
    offsets = torch.cat([batch.offsets[:1], counts.clamp(max=most).cumsum(0)])
    return replace(batch, **{name: rows.index_select(0, kept) for name, rows in batch.rows().items()}, offsets=offsets)


def _initialise(layer: nn.Linear) -> None:
    """Draw a layer's weights as weaver does, all but those of pairs: Xavier's uniform ones, no biases."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)


class ParticleTransformerSettings(TypedDict, total=False):
    """What a Particle Transformer lets one change; defaults are the published values."""

    embed_dims: Sequence[int]
    pair_embed_dims: Sequence[int]
    num_heads: int
    num_layers: int
    num_cls_layers: int
    expansion: int
    dropout: float
    attention_dropout: float
    trim: bool


@register_tagger
def part(
    num_classes: int = 2,
    representation: CloudRepresentation | None = None,
    **settings: Unpack[ParticleTransformerSettings],
) -> ParticleTransformer:
    """Particle Transformer, ParT (arXiv:2202.03772)."""
    return ParticleTransformer(num_classes, representation, **settings)
