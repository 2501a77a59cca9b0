"""L-GATr-slim: a transformer on Lorentz vectors and scalars (Petitjean et al., arXiv:2512.17011)."""

from typing import TypedDict, Unpack

import torch
from torch import nn

from jetforge.representations import FourMomentaBatch, FourMomentaRepresentation
from jetforge.taggers._arguments import check_whole
from jetforge.taggers._lorentz import LorentzTagger, freeze_into_buffers, require
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.lgatr import tokens


class LGATrSlimSettings(TypedDict, total=False):
    """What an L-GATr-slim lets one change; defaults are the published values."""

    symmetry: str
    blocks: int
    vectors: int
    scalars: int
    heads: int
    mlp_ratio: int
    dropout: float


class LGATrSlim(LorentzTagger):
    """Attention among the constituents, the beams and a token of the jet, all of them vectors and scalars.

    The jet is what the scalars of its token have become. The network is that of the package ``lgatr``; the published
    one gates vectors by GELU and scales no channel after normalisation.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : FourMomentaRepresentation, optional
        Four-momenta, and scalars beside them.
    symmetry : str
        ``beam``, as published: two beams and the direction of time are tokens too, so that the score is invariant
        under rotations about the beam, and under half turns that swap the beams. ``lorentz``: no such tokens, the
        score is invariant under all boosts and rotations.
    blocks : int
        Number of blocks of attention and of a network of each token.
    vectors, scalars : int
        Channels of a token.
    heads : int
        Heads of attention.
    mlp_ratio : int
        How many times as many channels there are within the network of each token.
    dropout : float
        Fraction of the channels that is dropped after attention and network in training.

    Raises
    ------
    TaggerError
        If a value makes no sense, or the package ``lgatr`` is not installed.
    """

    def __init__(
        self,
        num_classes: int = 2,
        representation: FourMomentaRepresentation | None = None,
        *,
        symmetry: str = "beam",
        blocks: int = 12,
        vectors: int = 32,
        scalars: int = 96,
        heads: int = 8,
        mlp_ratio: int = 4,
        dropout: float = 0.0,
    ) -> None:
        check_whole(blocks=blocks, vectors=vectors, scalars=scalars, heads=heads, mlp_ratio=mlp_ratio)
        super().__init__(num_classes, representation, symmetry=symmetry, dropout=dropout)
        (package,) = require("lgatr_slim", "lgatr")
        self.network = package.LGATrSlim(
            num_blocks=blocks,
            in_v_channels=1,
            out_v_channels=0,
            hidden_v_channels=vectors,
            in_s_channels=1 + self.representation.num_features,
            out_s_channels=num_classes,
            hidden_s_channels=scalars,
            num_heads=heads,
            nonlinearity_v=None,
            mlp_ratio=mlp_ratio,
            dropout_prob=dropout or None,
            norm_elementwise_affine=False,
        )
        # No vector leaves the network, so the package freezes the last map of vectors.
        freeze_into_buffers(self.network)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules that embed the tokens, let them attend to each other, and classify the jet."""
        network = self.network
        return {
            "embedding": (network.linear_in,),
            "blocks": (network.blocks,),
            "classifier": (network.linear_out,),
        }

    def embed(self, batch: FourMomentaBatch) -> torch.Tensor:
        """Return the scalars of each jet's token, shape (n_jets, scalars)."""
        vectors, scalars, mask = tokens(batch, self.symmetry)
        hidden, others = self.network.linear_in(vectors.unsqueeze(-1), scalars)
        for block in self.network.blocks:
            hidden, others = block(hidden, others, attn_mask=mask)
        jets: torch.Tensor = others[:, 0]
        return jets

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.network.linear_out.linear_s(jets)
        return logits


@register_tagger
def lgatr_slim(
    num_classes: int = 2, representation: FourMomentaRepresentation | None = None, **settings: Unpack[LGATrSlimSettings]
) -> LGATrSlim:
    """L-GATr-slim, the equivariant transformer with vectors and scalars alone (arXiv:2512.17011)."""
    return LGATrSlim(num_classes, representation, **settings)
