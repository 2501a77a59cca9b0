"""L-GATr: a transformer on multivectors of the spacetime algebra (Spinner et al., arXiv:2405.14806, 2411.00446)."""

from typing import TypedDict, Unpack

import torch
from torch import nn

from jetforge.representations import FourMomentaBatch, FourMomentaRepresentation
from jetforge.taggers._arguments import check_whole
from jetforge.taggers._lorentz import (
    LorentzTagger,
    freeze_into_buffers,
    in_rest_frames,
    reference_vectors,
    require,
)
from jetforge.taggers._registry import register_tagger


class LGATrSettings(TypedDict, total=False):
    """What an L-GATr lets one change; defaults are the published values."""

    symmetry: str
    blocks: int
    multivectors: int
    scalars: int
    heads: int
    attention_ratio: int
    mlp_ratio: int
    dropout: float


class LGATr(LorentzTagger):
    """Attention among the constituents, the beams and a token of the jet, all of them multivectors and scalars.

    The jet is what its token has become: the components of its multivectors that Lorentz transformations do not
    change, and its scalars. Blocks and linear maps are those of the package ``lgatr``.

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
    multivectors, scalars : int
        Channels of a token.
    heads : int
        Heads of attention.
    attention_ratio, mlp_ratio : int
        How many times as many channels there are within the attention, and within the network of each token.
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
        multivectors: int = 16,
        scalars: int = 32,
        heads: int = 8,
        attention_ratio: int = 2,
        mlp_ratio: int = 2,
        dropout: float = 0.0,
    ) -> None:
        check_whole(
            blocks=blocks, multivectors=multivectors, scalars=scalars, heads=heads,
            attention_ratio=attention_ratio, mlp_ratio=mlp_ratio,
        )  # fmt: skip
        super().__init__(num_classes, representation, symmetry=symmetry, dropout=dropout)
        layers, primitives = require("lgatr", "lgatr.layers", "lgatr.primitives.config")
        config = primitives.PrimitivesConfig()
        self.embedding = layers.EquiLinear(
            1, multivectors, config, in_s_channels=1 + self.representation.num_features, out_s_channels=scalars
        )
        # What enters has no scalar or pseudoscalar components that this could weigh.
        self.embedding.mvs2s.weight.requires_grad_(False)
        freeze_into_buffers(self.embedding)
        self.blocks = nn.ModuleList(
            layers.LGATrBlock(
                mv_channels=multivectors,
                s_channels=scalars,
                attention={"num_heads": heads, "attn_ratio": attention_ratio, "head_scale": True},
                mlp={"nonlinearity": "gelu", "mlp_ratio": mlp_ratio},
                primitives=config,
                dropout_prob=dropout or None,
                norm_elementwise_affine=False,
            )
            for _ in range(blocks)
        )
        self.output = nn.Linear(2 * multivectors + scalars, num_classes)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules that embed the tokens, let them attend to each other, and classify the jet."""
        return {"embedding": (self.embedding,), "blocks": (self.blocks,), "classifier": (self.output,)}

    def embed(self, batch: FourMomentaBatch) -> torch.Tensor:
        """Return the invariants of each jet's token, shape (n_jets, 2 x multivectors + scalars)."""
        vectors, scalars, mask = tokens(batch, self.symmetry)
        # Components of a multivector: scalar, vector (4), bivector (6), axial vector (4), pseudoscalar.
        hidden, others = self.embedding(nn.functional.pad(vectors, (1, 11)).unsqueeze(-2), scalars=scalars)
        for block in self.blocks:
            hidden, others = block(hidden, scalars=others, attn_mask=mask)
        return torch.cat([hidden[:, 0, :, 0], hidden[:, 0, :, 15], others[:, 0]], dim=1)

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(jets)
        return logits


def tokens(batch: FourMomentaBatch, symmetry: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the tokens of each jet: one for the jet itself, the references, the constituents, and padding.

    Returns
    -------
    vectors : Tensor, float32, shape (n_jets, n_tokens, 4)
        In the rest frame of the jet; zero for the jet's own token.
    scalars : Tensor, float32, shape (n_jets, n_tokens, 1 + n_scalars)
        Whether it is the jet's own token, then the scalars of the constituents.
    mask : Tensor, bool, shape (n_jets, 1, 1, n_tokens)
        Which tokens can be attended to: all but the padding.
    """
    momenta, references = in_rest_frames(batch, reference_vectors(symmetry, batch.momenta.device))
    longest, first = batch.longest, 1 + references.shape[1]
    vectors = batch.momenta.new_zeros(len(batch), first + longest, 4, dtype=torch.float32)
    vectors[:, 1:first] = references.float()
    vectors[:, first:] = batch.padded(momenta.float(), longest)
    scalars = batch.scalars.new_zeros(len(batch), first + longest, 1 + batch.scalars.shape[1], dtype=torch.float32)
    scalars[:, 0, 0] = 1
    scalars[:, first:, 1:] = batch.padded(batch.scalars.float(), longest)
    mask = torch.cat([batch.mask(longest).new_ones(len(batch), first), batch.mask(longest)], dim=1)
    return vectors, scalars, mask[:, None, None]


@register_tagger
def lgatr(
    num_classes: int = 2, representation: FourMomentaRepresentation | None = None, **settings: Unpack[LGATrSettings]
) -> LGATr:
    """L-GATr, the Lorentz-equivariant geometric algebra transformer (arXiv:2405.14806)."""
    return LGATr(num_classes, representation, **settings)
