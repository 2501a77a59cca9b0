"""PELICAN: permutation-equivariant maps of all pairs of constituents (Bogatskiy et al., arXiv:2211.00454, 2307.16506).

Pairs are packed: a jet of n tokens owns n x n rows, the pairs of its first token first. Sums over a token's pairs are
then sums over runs of rows, and a batch takes no more memory than its jets need.
"""

from typing import NamedTuple, TypedDict, Unpack

import torch
from torch import nn
from torch.nn import functional

from jetforge.errors import TaggerError
from jetforge.representations import FourMomentaBatch, FourMomentaRepresentation
from jetforge.taggers._arguments import check_whole
from jetforge.taggers._lorentz import LorentzTagger
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._registry import register_tagger

# The directions of time and of the beam: the published top tagger keeps rotations about the beam alone.
_REFERENCES = ((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
# Mean number of tokens of a jet of the top-tagging reference set.
_MEAN_TOKENS = 49.0
# Exponents of the encoding stay above zero.
_LEAST_EXPONENT = 1e-6
_SLOPE = 0.01


class Pairs(NamedTuple):
    """Where the pairs of tokens of some jets are.

    Attributes
    ----------
    first, second : Tensor, int64, shape (n_pairs,)
        Token of each pair.
    swapped : Tensor, int64, shape (n_pairs,)
        The pair with the two tokens the other way round.
    diagonal : Tensor, int64, shape (n_tokens,)
        The pair of each token with itself.
    jet : Tensor, int64, shape (n_tokens,)
        Jet of each token.
    of_token : Tensor, int64, shape (n_tokens + 1,)
        Pairs ``of_token[i]`` to ``of_token[i + 1]`` have token ``i`` first.
    tokens : Tensor, int64, shape (n_jets + 1,)
        Tokens of each jet, likewise.
    counts : Tensor, float32, shape (n_jets, 1)
        Number of tokens of each jet, but at least one.
    """

    first: torch.Tensor
    second: torch.Tensor
    swapped: torch.Tensor
    diagonal: torch.Tensor
    jet: torch.Tensor
    of_token: torch.Tensor
    tokens: torch.Tensor
    counts: torch.Tensor

    @classmethod
    def of(cls, counts: torch.Tensor) -> "Pairs":
        """Return the pairs of jets with so many tokens each, int64, shape (n_jets,)."""
        zero = counts.new_zeros(1)
        tokens = torch.cat([zero, counts.cumsum(0)])
        starts = torch.cat([zero, counts.square().cumsum(0)])
        sizes = torch.stack([tokens[-1], starts[-1]]).tolist()
        jets = torch.arange(len(counts), device=counts.device)
        jet = torch.repeat_interleave(jets, counts, output_size=sizes[0])
        size = counts[jet]
        of_token = torch.cat([zero, size.cumsum(0)])
        every = torch.arange(sizes[0], device=counts.device)
        first = torch.repeat_interleave(every, size, output_size=sizes[1])
        local = torch.arange(sizes[1], device=counts.device) - of_token[first]
        begin = tokens[jet]
        second = begin[first] + local
        swapped = of_token[second] + first - begin[first]
        floats = counts.clamp(min=1).unsqueeze(1).float()
        return cls(first, second, swapped, of_token[:-1] + every - begin, jet, of_token, tokens, floats)

    def over_pairs(self, pairs: torch.Tensor) -> torch.Tensor:
        """Return each token's sum over the pairs that it is first of, shape (n_tokens, channels)."""
        return torch.segment_reduce(_wide(pairs), "sum", offsets=self.of_token, initial=0)

    def over_tokens(self, rows: torch.Tensor) -> torch.Tensor:
        """Return each jet's sum over its tokens, shape (n_jets, channels)."""
        return torch.segment_reduce(_wide(rows), "sum", offsets=self.tokens, initial=0)

    def multipliers(self, exponents: torch.Tensor) -> torch.Tensor:
        """Return (number of tokens / 49) ** exponent, shape (n_jets, *exponents.shape)."""
        ratios = (self.counts / _MEAN_TOKENS).reshape(-1, *([1] * exponents.ndim))
        powers: torch.Tensor = ratios.to(exponents.dtype) ** exponents
        return powers


class Encoding(nn.Module):
    """Channels of each number: a linear map, then ``sign(x) ((1 + |x|)^a - 1) / a`` with a learned ``a`` a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(1, channels)
        nn.init.ones_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.roots = nn.Parameter(torch.linspace(0.05, 0.5, channels))

    def forward(self, products: torch.Tensor) -> torch.Tensor:
        """Map shape (n_pairs, 1) to (n_pairs, channels)."""
        x = _wide(self.linear(products.to(self.linear.weight.dtype)))
        exponents = _LEAST_EXPONENT + self.roots.square()
        # expm1 and log1p: a difference of numbers close to 1 would lose the small products.
        return torch.expm1(exponents * x.abs().log1p()) / exponents * x.sign()


class Message(nn.Module):
    """Linear, leaky ReLU, batch normalisation over all pairs, then dropout."""

    def __init__(self, inputs: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, channels)
        nn.init.kaiming_normal_(self.linear.weight, a=_SLOPE, nonlinearity="leaky_relu")
        self.norm = BatchNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Map shape (n_pairs, inputs) to (n_pairs, channels)."""
        messages: torch.Tensor = self.dropout(self.norm(functional.leaky_relu(self.linear(pairs), _SLOPE)))
        return messages


class TokensToPairs(nn.Module):
    """The equivariant maps from tokens to pairs, mixed, then leaky ReLU (Eq 1->2).

    In the order of the second axis of the weights: on the diagonal, along rows, along columns, the mean over the jet on
    the diagonal, and everywhere. Every map of every channel is multiplied by a learned power of the number of tokens.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.exponents = nn.Parameter(torch.zeros(inputs, 5))
        self.weights = nn.Parameter(torch.randn(inputs, channels, 5) * (2 / (5 * inputs)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, tokens: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        """Map shape (n_tokens, inputs) to (n_pairs, channels)."""
        factors = pairs.multipliers(self.exponents)
        of_token = tokens.unsqueeze(2) * factors.index_select(0, pairs.jet)
        mean = (pairs.over_tokens(tokens) / pairs.counts).unsqueeze(2) * factors
        weights = self.weights
        everywhere = mean[:, :, 4] @ weights[:, :, 4] + self.bias
        second = of_token[:, :, 1] @ weights[:, :, 1]
        first = of_token[:, :, 2] @ weights[:, :, 2] + everywhere.index_select(0, pairs.jet)
        diagonal = of_token[:, :, 0] @ weights[:, :, 0] + (mean[:, :, 3] @ weights[:, :, 3]).index_select(0, pairs.jet)
        mixed = first.index_select(0, pairs.first) + second.index_select(0, pairs.second)
        return functional.leaky_relu(mixed.index_add(0, pairs.diagonal, diagonal.to(mixed.dtype)), _SLOPE)


class PairsToPairs(nn.Module):
    """The fifteen equivariant maps from pairs to pairs, mixed, then leaky ReLU (Eq 2->2).

    With ``x_ij`` a channel, ``r_i`` its mean over j, ``c_j`` its mean over i, ``d`` the mean of ``x_ii`` and ``m`` of
    all, the maps are, in the order of the last axis of the weights: ``x_ij``, ``x_ji``, ``x_ii`` on the diagonal,
    ``x_jj``, ``x_ii``; ``c_i`` on the diagonal, ``c_j``, ``c_i``; ``r_i`` on the diagonal, ``r_j``, ``r_i``; ``d``,
    ``d`` on the diagonal; ``m``, ``m`` on the diagonal. The last ten are multiplied by learned powers of the number of
    tokens. No map but the first two is ever formed for all pairs: their sums are, once they are mixed.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.exponents = nn.Parameter(torch.rand(inputs, 10))
        # The weight of a map is a product of two factors, twice: a tenth of the numbers.
        self.map_of_input = nn.Parameter(torch.randn(inputs, 15) * 15**-0.5)
        self.map_of_output = nn.Parameter(torch.randn(channels, 15) * 15**-0.5)
        self.mix_of_input = nn.Parameter(torch.randn(inputs, channels) * inputs**-0.5)
        self.mix_of_output = nn.Parameter(torch.randn(inputs, channels) * inputs**-0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.diagonal_bias = nn.Parameter(torch.zeros(channels))

    def weights(self) -> torch.Tensor:
        """Return the weight of every map, shape (15, inputs, channels)."""
        of_input = self.map_of_input.t().unsqueeze(2) * self.mix_of_input
        return of_input + self.map_of_output.t().unsqueeze(1) * self.mix_of_output

    def forward(self, x: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        """Map shape (n_pairs, inputs) to (n_pairs, channels)."""
        weights = self.weights()
        swapped = x.index_select(0, pairs.swapped)
        diagonal = x.index_select(0, pairs.diagonal)
        counts = pairs.counts.index_select(0, pairs.jet)
        rows, columns = pairs.over_pairs(x) / counts, pairs.over_pairs(swapped) / counts
        trace = pairs.over_tokens(diagonal) / pairs.counts
        mean = pairs.over_tokens(rows) / pairs.counts
        # A multiplier differs from jet to jet, so it is applied to the sums, not to the weights.
        factors = pairs.multipliers(self.exponents)
        of_jet = torch.cat([trace * factors[:, :, 6], mean * factors[:, :, 8]], dim=1)
        of_jet_diagonal = torch.cat([trace * factors[:, :, 7], mean * factors[:, :, 9]], dim=1)
        everywhere = of_jet @ torch.cat([weights[11], weights[13]]) + self.bias
        on_diagonal = of_jet_diagonal @ torch.cat([weights[12], weights[14]]) + self.diagonal_bias
        factors = factors.index_select(0, pairs.jet)

        def mixed(from_diagonal: int, from_columns: int, from_rows: int) -> torch.Tensor:
            parts = [diagonal, columns * factors[:, :, from_columns - 5], rows * factors[:, :, from_rows - 5]]
            stacked = torch.cat([weights[from_diagonal], weights[from_columns], weights[from_rows]])
            return torch.cat([part.to(rows.dtype) for part in parts], dim=1) @ stacked

        first = mixed(4, 7, 10) + everywhere.index_select(0, pairs.jet)
        second = mixed(3, 6, 9)
        self_pairs = mixed(2, 5, 8) + on_diagonal.index_select(0, pairs.jet)
        out = x @ weights[0] + swapped @ weights[1]
        out = out + first.to(out.dtype).index_select(0, pairs.first)
        out = out + second.to(out.dtype).index_select(0, pairs.second)
        return functional.leaky_relu(out.index_add(0, pairs.diagonal, self_pairs.to(out.dtype)), _SLOPE)


class PairsToJet(nn.Module):
    """Mean over all pairs and mean over the diagonal, leaky ReLU, then mixed (Eq 2->0)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.exponents = nn.Parameter(torch.rand(inputs, 2))
        self.weights = nn.Parameter(torch.randn(inputs, channels, 2) * (2 / inputs) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        """Map shape (n_pairs, inputs) to (n_jets, channels)."""
        mean = pairs.over_tokens(pairs.over_pairs(x)) / pairs.counts.square()
        trace = pairs.over_tokens(x.index_select(0, pairs.diagonal)) / pairs.counts
        maps = functional.leaky_relu(torch.stack([mean, trace], dim=2) * pairs.multipliers(self.exponents), _SLOPE)
        return maps.flatten(1) @ self.weights.transpose(1, 2).flatten(0, 1) + self.bias


class PelicanSettings(TypedDict, total=False):
    """What a PELICAN lets one change; defaults are the published values."""

    symmetry: str
    blocks: int
    channels: int
    messages: int
    token_channels: int
    dropout: float


class Pelican(LorentzTagger):
    """All products of two momenta, encoded, and maps of pairs to pairs that respect every order of the constituents.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : FourMomentaRepresentation, optional
        Four-momenta, and scalars beside them.
    symmetry : str
        ``beam``, as published: the directions of time and of the beam are tokens too, so that the score is invariant
        under rotations about the beam. ``lorentz``: no such tokens, the score is invariant under all boosts and
        rotations.
    blocks : int
        Number of equivariant maps from pairs to pairs.
    channels, messages : int
        Channels of a pair after and before each of these maps: 132 and 78 for the largest published network, 60 and
        35, 42 and 25, 25 and 15, 16 and 10, 11 and 7 for smaller ones.
    token_channels : int
        How many of the channels come from what is known of single tokens rather than of pairs.
    dropout : float
        Fraction of the channels that is dropped before each equivariant map and before the output in training.

    Raises
    ------
    TaggerError
        If a value makes no sense.
    """

    def __init__(
        self,
        num_classes: int = 2,
        representation: FourMomentaRepresentation | None = None,
        *,
        symmetry: str = "beam",
        blocks: int = 5,
        channels: int = 132,
        messages: int = 78,
        token_channels: int = 10,
        dropout: float = 0.025,
    ) -> None:
        check_whole(blocks=blocks, channels=channels, messages=messages, token_channels=token_channels)
        if channels <= token_channels:
            raise TaggerError(f"channels {channels} must be more than the {token_channels} token_channels")
        super().__init__(num_classes, representation, symmetry=symmetry, dropout=dropout)
        known = self.representation.num_features + (1 + len(_REFERENCES) if symmetry == "beam" else 0)
        self.token_maps = TokensToPairs(known, token_channels) if known else None
        self.encoding = Encoding(channels - token_channels if known else channels)
        self.messages = nn.ModuleList(Message(channels, messages, dropout) for _ in range(blocks + 1))
        self.maps = nn.ModuleList(PairsToPairs(messages, channels) for _ in range(blocks))
        self.pooling = PairsToJet(messages, channels)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(channels, num_classes)
        nn.init.kaiming_normal_(self.output.weight, a=_SLOPE, nonlinearity="leaky_relu")

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules that encode the pairs, map them, pool them, and classify the jet."""
        encoding = (self.encoding,) if self.token_maps is None else (self.encoding, self.token_maps)
        return {
            "encoding": encoding,
            "pairs": (self.messages, self.maps),
            "jets": (self.pooling,),
            "classifier": (self.dropout, self.output),
        }

    def embed(self, batch: FourMomentaBatch) -> torch.Tensor:
        """Return the embedded jets, shape (n_jets, channels)."""
        momenta, known, counts = self._tokens(batch)
        pairs = Pairs.of(counts)
        x = self.encoding(products(momenta, pairs).unsqueeze(1))
        if self.token_maps is not None:
            x = torch.cat([x, self.token_maps(known, pairs).to(x.dtype)], dim=1)
        *messages, last = self.messages
        for message, equivariant in zip(messages, self.maps, strict=True):
            x = equivariant(message(x), pairs)
        jets: torch.Tensor = self.pooling(last(x), pairs)
        return jets

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        return functional.leaky_relu(self.output(self.dropout(jets)), _SLOPE)

    def _tokens(self, batch: FourMomentaBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return momenta, float64, and scalars of all tokens, each jet's references first; and how many a jet has."""
        momenta = batch.momenta.double()
        if self.symmetry == "lorentz":
            return momenta, batch.scalars, batch.counts
        references = momenta.new_tensor(_REFERENCES)
        extra = len(references)
        total = batch.num_rows + extra * len(batch)
        starts = batch.offsets[:-1] + extra * torch.arange(len(batch), device=momenta.device)
        places = (starts.unsqueeze(1) + torch.arange(extra, device=momenta.device)).reshape(-1)
        rows = torch.arange(batch.num_rows, device=momenta.device) + extra * (1 + batch.jet_of_row())
        vectors = momenta.new_zeros(total, 4)
        vectors[places], vectors[rows] = references.repeat(len(batch), 1), momenta
        # Which token it is, one of three, after what is known of it.
        kinds = torch.eye(1 + extra, dtype=batch.scalars.dtype, device=momenta.device)
        known = batch.scalars.new_zeros(total, batch.scalars.shape[1] + 1 + extra)
        known[places, -1 - extra :] = kinds[1:].repeat(len(batch), 1)
        known[rows] = torch.cat([batch.scalars, kinds[:1].expand(batch.num_rows, -1)], dim=1)
        return vectors, known, batch.counts + extra


def products(momenta: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Return the Minkowski product of each pair, shape (n_pairs,), of momenta in float64.

    The product of two nearly parallel momenta is a small difference of large numbers.
    """
    terms = momenta.index_select(0, pairs.first) * momenta.index_select(0, pairs.second)
    return terms[:, 0] - terms[:, 1:].sum(1)


def _wide(rows: torch.Tensor) -> torch.Tensor:
    """Return numbers that many can be added of: half precision becomes float32."""
    return rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows


@register_tagger
def pelican(
    num_classes: int = 2, representation: FourMomentaRepresentation | None = None, **settings: Unpack[PelicanSettings]
) -> Pelican:
    """PELICAN with 208,000 parameters (arXiv:2211.00454, 2307.16506)."""
    return Pelican(num_classes, representation, **settings)
