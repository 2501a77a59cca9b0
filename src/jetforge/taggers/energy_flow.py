"""Energy flow and particle flow networks: sums over constituents (Komiske, Metodiev and Thaler, arXiv:1810.05165)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import CloudBatch, CloudRepresentation
from jetforge.taggers._arguments import check_fractions, check_widths
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger

PFN_FEATURES = ("pt_rel", "deta", "dphi")
"""Fraction of the jet's pT, and angles from its axis: what the paper's PFN without particle identification reads."""

ANGLES = ("deta", "dphi", "delta_r", "eta", "phi")
"""Features that an EFN may read."""


class FlowSettings(TypedDict, total=False):
    """What an EFN or a PFN lets one change; defaults are the published values."""

    phi: Sequence[int]
    f: Sequence[int]
    latent_dropout: float
    dropout: float


class FlowNetwork(Tagger):
    """``F(sum_i w_i Phi(p_i))``: a network on each constituent, summed over the jet, and a network on the sum.

    All layers are dense with ReLU, but for the last. Weights are drawn as He et al. (arXiv:1502.01852) do, those of the
    last layer as Glorot and Bengio do; offsets are 0.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : CloudRepresentation, optional
        Features of the constituents.
    phi : sequence of int
        Widths of the layers of Phi; the last is the number of sums.
    f : sequence of int
        Widths of the hidden layers of F.
    latent_dropout : float
        Fraction of the sums that is dropped in training.
    dropout : float
        Fraction of each hidden layer of F that is dropped in training.

    Raises
    ------
    TaggerError
        If a value makes no sense.
    """

    reads = CloudRepresentation

    def __init__(
        self,
        num_classes: int,
        representation: CloudRepresentation,
        *,
        phi: Sequence[int] = (100, 100, 256),
        f: Sequence[int] = (100, 100, 100),
        latent_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        phi, f = check_widths("phi", phi), check_widths("f", f)
        check_fractions(latent_dropout=latent_dropout, dropout=dropout)
        super().__init__(num_classes, representation)
        self.phi = _dense((self.representation.num_features, *phi), 0.0)
        self.latent_dropout = nn.Dropout(latent_dropout)
        self.f = _dense((phi[-1], *f), dropout)
        self.output = nn.Linear(f[-1], num_classes)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return Phi and F."""
        return {"constituents": (self.phi,), "classifier": (self.latent_dropout, self.f, self.output)}

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits, shape (n_jets, num_classes), of the sums."""
        logits: torch.Tensor = self.output(self.f(self.latent_dropout(jets)))
        return logits


class ParticleFlowNetwork(FlowNetwork):
    """PFN: every constituent counts as it is, with any features."""

    def embed(self, batch: CloudBatch) -> torch.Tensor:
        """Return the sums over the constituents, shape (n_jets, last of phi)."""
        return batch.sums(self.phi(batch.features))


class EnergyFlowNetwork(FlowNetwork):
    """EFN: Phi sees angles alone and each constituent counts by its share of the pT, so that sums are safe.

    A soft constituent, or one split in two along its direction, changes nothing (infrared and collinear safety), where
    all constituents are read: `max_constituents` of the representation cuts what is soft or split first.

    Raises
    ------
    TaggerError
        If a feature is no angle.
    """

    def _check_kind(self, representation: Any) -> None:
        super()._check_kind(representation)
        other = [name for name in representation.features if name not in ANGLES]
        if other:
            raise TaggerError(
                f"an EFN reads angles alone ({', '.join(ANGLES)}), not {other[0]}: it would not be infrared and "
                "collinear safe; the PFN reads anything"
            )

    def embed(self, batch: CloudBatch) -> torch.Tensor:
        """Return the sums over the constituents, weighted by their pT, shape (n_jets, last of phi)."""
        pt = batch.momenta[:, 1:3].norm(dim=1)
        total = batch.sums(pt).clamp(min=torch.finfo(pt.dtype).tiny)
        shares = pt / total.index_select(0, batch.jet_of_row())
        return batch.sums(shares.unsqueeze(1) * self.phi(batch.features))


def _dense(widths: Sequence[int], dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        linear = nn.Linear(inputs, outputs)
        nn.init.kaiming_uniform_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers)


@register_tagger
def pfn(
    num_classes: int = 2, representation: CloudRepresentation | None = None, **settings: Unpack[FlowSettings]
) -> ParticleFlowNetwork:
    """Particle flow network (arXiv:1810.05165)."""
    return ParticleFlowNetwork(num_classes, representation or CloudRepresentation(PFN_FEATURES), **settings)


@register_tagger
def efn(
    num_classes: int = 2, representation: CloudRepresentation | None = None, **settings: Unpack[FlowSettings]
) -> EnergyFlowNetwork:
    """Energy flow network, infrared and collinear safe (arXiv:1810.05165)."""
    return EnergyFlowNetwork(num_classes, representation or CloudRepresentation(ANGLES[:2]), **settings)
