"""The LLoCa-Transformer: attention between learned local frames (Favaro et al., arXiv:2505.20280, 2508.14898)."""

from typing import TypedDict, Unpack

import torch
from torch import nn

from jetforge.representations import FourMomentaBatch, FourMomentaRepresentation
from jetforge.taggers._arguments import check_whole
from jetforge.taggers._lorentz import (
    REFERENCE_SCALE,
    LorentzTagger,
    boost_to_rest,
    in_rest_frames,
    reference_vectors,
    require,
    transform,
    zero_of,
)
from jetforge.taggers._registry import register_tagger

# Mean and inverse spread of the features of a constituent: those of the published configuration, which is in GeV, for
# momenta in units of 20 GeV: ln pT, ln E, ln of the fractions of both, azimuth and pseudorapidity from the jet, and
# distance.
_CENTRES = (-1.3, -1.0, -4.7, -4.7, 0.0, 0.0, 0.2)
_FACTORS = (0.7, 0.7, 0.7, 0.7, 1.0, 1.0, 4.0)
# Mean and spread of ln m^2 of pairs of constituents of 200 generated jets, presets toptag-top and toptag-qcd, seed 11.
_PAIR_MEAN, _PAIR_STD = -5.2, 2.2
_TINY = 1e-10
# How much a frame leans on the jet and on its own constituent: it decides only where the learned vectors do not.
_LEAN = 1e-6
# Where there is nothing to lean on either: two directions like any others, the same for all constituents of a jet.
_ANY_DIRECTIONS, _ANY = ((0.48, 0.6, 0.64), (0.64, -0.48, 0.6)), 1e-10


class Frames(nn.Module):
    """A Lorentz transformation for each token: into the frame that a small network picks for it.

    The network weighs the sums of the token's momentum and every other of its jet into three vectors. The first is
    boosted to rest, the other two are turned, one into the first axis, both into the plane of the first two: a polar
    decomposition, as in the package ``lloca``, whose own draws random numbers where the vectors are degenerate. Here
    they lean a little on the jet and the token, so that jets of one or two constituents have frames too.

    Parameters
    ----------
    scalars : int
        What is known of each token beside its momentum.
    hidden : int
        Width of the network.
    """

    def __init__(self, scalars: int, hidden: int) -> None:
        super().__init__()
        (vectors,) = require("lloca", "lloca.equivectors.mlp")
        self.vectors = vectors.MLPVectors(n_vectors=3, num_scalars=scalars, hidden_channels=hidden, num_layers_mlp=2)
        block = self.vectors.block
        block.edge_mean.fill_(_PAIR_MEAN)
        block.edge_std.fill_(_PAIR_STD)
        block.edge_inited.fill_(True)

    def forward(
        self, momenta: torch.Tensor, scalars: torch.Tensor, jets: torch.Tensor, offsets: torch.Tensor
    ) -> torch.Tensor:
        """Return the transformations, float64, shape (n_tokens, 4, 4).

        Parameters
        ----------
        momenta : Tensor, float64, shape (n_tokens, 4)
            Packed one jet after the other.
        scalars : Tensor, float32, shape (n_tokens, n_scalars)
        jets : Tensor, float64, shape (n_tokens, 4)
            Momentum of the jet of each token.
        offsets : Tensor, int64, shape (n_jets + 1,)
            Tokens of each jet; jets without any are passed over.
        """
        if bool((offsets.diff() > 1).any()):
            vectors = self.vectors(momenta, scalars=scalars, ptr=torch.unique_consecutive(offsets))
        else:  # the package cannot do without pairs
            vectors = momenta.new_zeros(len(momenta), 3, 4) + zero_of(self.vectors)
        boosts = boost_to_rest(vectors[:, 0] + _LEAN * jets)
        first = transform(boosts, vectors[:, 1])[:, 1:] + _LEAN * transform(boosts, momenta)[:, 1:]
        second = transform(boosts, vectors[:, 2])[:, 1:]
        any_first, any_second = _ANY * momenta.new_tensor(_ANY_DIRECTIONS)
        x = nn.functional.normalize(first + _LEAN * any_first, dim=1, eps=1e-30)
        second = second + any_second
        y = nn.functional.normalize(second - (second * x).sum(1, keepdim=True) * x, dim=1, eps=1e-30)
        turned = torch.stack([x, y, torch.linalg.cross(x, y)], dim=1) @ boosts[:, 1:]
        return torch.cat([boosts[:, :1], turned], dim=1)


class LLoCaSettings(TypedDict, total=False):
    """What a LLoCa-Transformer lets one change; defaults are the published values."""

    symmetry: str
    blocks: int
    heads: int
    scalars: int
    vectors: int
    mlp_ratio: int
    frames: int
    dropout: float


class LLoCa(LorentzTagger):
    """A transformer that sees every constituent in a frame of its own, and sends vectors from frame to frame.

    Frames are predicted equivariantly, so that what is read in them is invariant. Transformer and network of the
    frames are those of the package ``lloca``.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : FourMomentaRepresentation, optional
        Four-momenta, by default in float64, and scalars beside them.
    symmetry : str
        ``beam``, as published: the frames also know the beams, the direction of time, and each constituent's momentum
        about the beam where the jet rests, so that the score is invariant under rotations about the beam. ``lorentz``:
        the score is invariant under all boosts and rotations.
    blocks, heads : int
        Number of blocks of attention and of a network of each constituent; heads of attention.
    scalars, vectors : int
        How many scalars and four-vectors a head sends; a constituent has heads x (scalars + 4 x vectors) channels.
    mlp_ratio : int
        How many times as many channels there are within the network of each constituent.
    frames : int
        Width of the network that predicts the frames.
    dropout : float
        Fraction of the channels that is dropped after attention and network in training.

    Raises
    ------
    TaggerError
        If a value makes no sense, or the package ``lloca`` is not installed.
    """

    def __init__(
        self,
        num_classes: int = 2,
        representation: FourMomentaRepresentation | None = None,
        *,
        symmetry: str = "beam",
        blocks: int = 12,
        heads: int = 8,
        scalars: int = 12,
        vectors: int = 1,
        mlp_ratio: int = 2,
        frames: int = 128,
        dropout: float = 0.0,
    ) -> None:
        check_whole(blocks=blocks, heads=heads, scalars=scalars, vectors=vectors, mlp_ratio=mlp_ratio, frames=frames)
        # Frames follow from the angles of nearly parallel momenta, which float32 rounds too coarsely.
        super().__init__(num_classes, representation, symmetry=symmetry, dropout=dropout, dtype="float64")
        transformer, frames_of = require("lloca", "lloca.backbone.transformer", "lloca.framesnet.frames")
        self._frames_type = frames_of.Frames  # a module of Python's could not be copied with the network
        known = self.representation.num_features
        self.frames = Frames(known + (len(_CENTRES) if symmetry == "beam" else 0), frames)
        self.network = transformer.Transformer(
            in_channels=len(_CENTRES) + known,
            attn_reps=f"{scalars}x0n+{vectors}x1n",
            out_channels=num_classes,
            num_blocks=blocks,
            num_heads=heads,
            mlp_factor=mlp_ratio,
            dropout_prob=dropout or None,
            preserve_variance=False,
        )
        # A constant that all blocks share: kept once, and not among the weights, where it would be found twelve times.
        shared = self.network.attention.transform
        shared.register_buffer("parity_odd", shared.parity_odd, persistent=False)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules that pick the frames, embed the constituents, let them attend, and classify the jet."""
        network = self.network
        return {
            "frames": (self.frames,),
            "embedding": (network.linear_in,),
            "blocks": (network.blocks,),
            "classifier": (network.linear_out,),
        }

    def embed(self, batch: FourMomentaBatch) -> torch.Tensor:
        """Return the mean of the constituents of each jet, shape (n_jets, heads x (scalars + 4 x vectors))."""
        if not batch.num_rows:
            # The package cannot do without constituents; every weight still has its gradient, zero.
            return zero_of(self).expand(len(batch), self.network.hidden_channels)
        momenta, references = in_rest_frames(batch, reference_vectors(self.symmetry, batch.momenta.device))
        jets = batch.sums(momenta).index_select(0, batch.jet_of_row())
        matrices = self._frames(batch, momenta, references, jets)
        features = torch.cat([batch.scalars, features_of(transform(matrices, momenta), transform(matrices, jets))], 1)
        # A token of zeros in the frame of the jet stands where a jet has no constituent, lest no token is attended to.
        longest = max(batch.longest, 1)
        mask = batch.mask(longest) | (torch.arange(longest, device=batch.offsets.device) == 0)
        identity = torch.eye(4, device=matrices.device).expand(len(batch), longest, 4, 4)
        present = batch.mask(longest)[..., None, None]
        padded = torch.where(present, batch.padded(matrices.float(), longest), identity)
        attention = self.network.attention
        attention.prepare_frames(self._frames_type(padded))
        hidden = self.network.linear_in(batch.padded(features, longest))
        for block in self.network.blocks:
            hidden = block(hidden, attn_mask=mask[:, None, None])
        # The package keeps the frames of the last batch, with all that made them.
        attention.frames = attention.frames_qkv = attention.frames_out = None
        summed: torch.Tensor = (hidden * batch.mask(longest).unsqueeze(2)).float().sum(1)
        return summed / batch.counts.clamp(min=1).unsqueeze(1)

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.network.linear_out(jets)
        return logits

    def _frames(
        self, batch: FourMomentaBatch, momenta: torch.Tensor, references: torch.Tensor, jets: torch.Tensor
    ) -> torch.Tensor:
        """Return the frames of all constituents, float64, shape (n_constituents, 4, 4)."""
        if self.symmetry == "lorentz":
            alone: torch.Tensor = self.frames(momenta, batch.scalars, jets, batch.offsets)
            return alone
        known = torch.cat([batch.scalars, features_of(momenta, jets)], dim=1)
        extra, references = references.shape[1], REFERENCE_SCALE * references
        numbers = torch.arange(len(batch) + 1, device=momenta.device)
        rows = torch.arange(batch.num_rows, device=momenta.device) + extra * (1 + batch.jet_of_row())
        places = ((batch.offsets + extra * numbers)[:-1, None] + numbers.new_tensor(range(extra))).reshape(-1)
        # Each jet's references first, of which nothing is known but their direction.
        order = torch.cat([places, rows])
        vectors = momenta.new_empty(len(order), 4)
        vectors = vectors.index_copy(0, order, torch.cat([references.reshape(-1, 4), momenta]))
        nothing = known.new_zeros(len(places), known.shape[1])
        scalars = known.new_empty(len(order), known.shape[1]).index_copy(0, order, torch.cat([nothing, known]))
        leaning = torch.zeros_like(vectors).index_copy(0, rows, jets)
        frames: torch.Tensor = self.frames(vectors, scalars, leaning, batch.offsets + extra * numbers)
        return frames.index_select(0, rows)


def features_of(momenta: torch.Tensor, jets: torch.Tensor) -> torch.Tensor:
    """Return what a tagger usually reads of a constituent, of momenta in any frame.

    Parameters
    ----------
    momenta, jets : Tensor, float64, shape (n_constituents, 4)
        Each constituent, and its jet.

    Returns
    -------
    Tensor, float32, shape (n_constituents, 7)
        ln pT, ln E, ln of their fractions of the jet's, azimuth and pseudorapidity from the jet, and distance;
        centred and scaled as published.
    """
    log_pt, log_jet_pt = _log_pt(momenta), _log_pt(jets)
    log_energy, log_jet_energy = momenta[:, 0].clamp(min=_TINY).log(), jets[:, 0].clamp(min=_TINY).log()
    turn = _azimuth(momenta) - _azimuth(jets)
    dphi = torch.remainder(turn + torch.pi, 2 * torch.pi) - torch.pi
    deta = _pseudorapidity(jets) - _pseudorapidity(momenta)
    distance = (dphi.square() + deta.square()).clamp(min=_TINY).sqrt()
    columns = [log_pt, log_energy, log_pt - log_jet_pt, log_energy - log_jet_energy, dphi, deta, distance]
    features = torch.stack(columns, dim=1)
    return ((features - features.new_tensor(_CENTRES)) * features.new_tensor(_FACTORS)).float()


def _log_pt(momenta: torch.Tensor) -> torch.Tensor:
    return 0.5 * momenta[:, 1:3].square().sum(1).clamp(min=_TINY).log()


def _azimuth(momenta: torch.Tensor) -> torch.Tensor:
    """Return azimuths, of momenta along the axis or at rest those of (1, 1), as published: not those of rounding."""
    across = torch.where(momenta[:, 1:3].abs() < _TINY, _TINY, momenta[:, 1:3])
    return torch.atan2(across[:, 1], across[:, 0])


def _pseudorapidity(momenta: torch.Tensor) -> torch.Tensor:
    size = momenta[:, 1:].square().sum(1).clamp(min=_TINY).sqrt()
    cosine = momenta[:, 3] / size
    return 0.5 * ((1 + cosine).clamp(min=_TINY).log() - (1 - cosine).clamp(min=_TINY).log())


@register_tagger
def lloca(
    num_classes: int = 2, representation: FourMomentaRepresentation | None = None, **settings: Unpack[LLoCaSettings]
) -> LLoCa:
    """LLoCa-Transformer, with learned Lorentz frames of each constituent (arXiv:2505.20280)."""
    return LLoCa(num_classes, representation, **settings)
