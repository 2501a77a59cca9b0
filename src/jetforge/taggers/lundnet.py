"""LundNet: graph networks on the Lund tree of a jet (Dreyer and Qu, arXiv:2012.08526)."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import LundBatch, LundRepresentation, RowsBatch
from jetforge.taggers._arguments import check_fractions, check_whole, check_widths
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._registry import register_tagger
from jetforge.taggers._trees import GatheredJets, GatheredTrees, Pooling, Trees
from jetforge.taggers._trees_cpu import FusedJets, FusedTrees
from jetforge.taggers.base import Tagger


class EdgeConvolution(nn.Module):
    """One edge convolution (arXiv:1801.07829) on given trees, with a shortcut.

    ``x_i' = ReLU(mean_j MLP([x_i, x_j - x_i]) + shortcut(x_i))`` over the neighbours ``j`` of node ``i``,
    where the MLP is twice Linear, batch normalisation over all edges, ReLU.

    Parameters
    ----------
    inputs, channels : int
        Width of the nodes before and after.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * inputs, channels, bias=False)
        self.first_norm = BatchNorm(channels)
        self.second = nn.Linear(channels, channels, bias=False)
        self.second_norm = BatchNorm(channels)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != channels:
            self.shortcut = nn.Sequential(nn.Linear(inputs, channels, bias=False), BatchNorm(channels))

    def forward(self, x: torch.Tensor, trees: Trees) -> torch.Tensor:
        """Map nodes, shape (n_nodes, inputs), to shape (n_nodes, channels)."""
        # W [x_i, x_j - x_i] = (W_centre - W_step) x_i + W_step x_j: one product a node, not one an edge.
        centre, step = self.first.weight.chunk(2, dim=1)
        nodes = nn.functional.linear(x, torch.cat([centre - step, step]))
        edges = self.second(trees.edge_norm_relu(nodes, self.first_norm))
        return torch.relu_(trees.norm_relu_mean(edges, self.second_norm) + self.shortcut(x))


class LundNetSettings(TypedDict, total=False):
    """What a LundNet lets one change; defaults are the published values."""

    channels: Sequence[int]
    fusion: int
    hidden: int
    dropout: float


class LundNet(Tagger):
    """Edge convolutions on the Lund tree, fused at each node, averaged over the jet, and classified.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : LundRepresentation, optional
        Lund trees with these variables.
    variables : sequence of str
        Variables of each declustering that the network reads.
    channels : sequence of int
        Width of each edge convolution.
    fusion : int
        Width of the fused nodes, and of the jet.
    hidden : int
        Width of the hidden layer of the classifier.
    dropout : float
        Fraction of the hidden layer that is dropped in training.

    Raises
    ------
    TaggerError
        If a value makes no sense.
    """

    reads = LundRepresentation

    def __init__(
        self,
        num_classes: int = 2,
        representation: LundRepresentation | None = None,
        *,
        variables: Sequence[str],
        channels: Sequence[int] = (32, 32, 64, 64, 128, 128),
        fusion: int = 384,
        hidden: int = 256,
        dropout: float = 0.1,
    ) -> None:
        channels = check_widths("channels", channels)
        check_whole(fusion=fusion, hidden=hidden)
        check_fractions(dropout=dropout)
        self.variables = tuple(variables)
        super().__init__(num_classes, representation or LundRepresentation(self.variables))
        self.input_norm = BatchNorm(len(self.variables))
        self.convolutions = nn.ModuleList(
            EdgeConvolution(*widths) for widths in pairwise([len(self.variables), *channels])
        )
        self.fusion = nn.Linear(sum(channels), fusion)
        self.fusion_norm = BatchNorm(fusion)
        self.hidden = nn.Linear(fusion, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, num_classes)

    def _check_kind(self, representation: Any) -> None:
        super()._check_kind(representation)
        if representation.variables != self.variables:
            raise TaggerError(
                f"this LundNet reads the variables {', '.join(self.variables)}, "
                f"the representation has {', '.join(representation.variables)}"
            )

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules of `embed_nodes`, `embed_jets` and `classify`, in that order."""
        return {
            "nodes": (self.input_norm, self.convolutions),
            "jets": (self.fusion, self.fusion_norm),
            "classifier": (self.hidden, self.dropout, self.output),
        }

    def boundaries(self) -> tuple[str, ...]:
        """Return the stages that may be trained alone: as published, the fusion and what follows, or the classifier."""
        return ("jets", "classifier")

    def before(self, boundary: str, batch: LundBatch) -> Any:
        """Return what a stage reads of a batch; see `Tagger.before`."""
        if boundary == "jets":
            return RowsBatch(self.embed_nodes(batch), batch.offsets)
        return super().before(boundary, batch)

    def after(self, boundary: str, given: Any) -> torch.Tensor:
        """Return the logits from what a stage reads; see `Tagger.after`."""
        if boundary == "jets":
            return self.classify(self.embed_jets(given.features.to(self.fusion.weight.dtype), self._jets(given)))
        return super().after(boundary, given)

    def embed(self, batch: LundBatch) -> torch.Tensor:
        """Return the embedded jets, shape (n_jets, fusion)."""
        trees = self._trees(batch)
        return self.embed_jets(self.embed_nodes(batch, trees), trees)

    def embed_elements(self, batch: LundBatch) -> torch.Tensor:
        """Return the embedded nodes, shape (n_nodes, sum of channels)."""
        return self.embed_nodes(batch)

    def embed_nodes(self, batch: LundBatch, trees: Trees | None = None) -> torch.Tensor:
        """Return the outputs of all edge convolutions side by side, shape (n_nodes, sum of channels)."""
        trees = self._trees(batch) if trees is None else trees
        return torch.cat(list(self._convolve(self.input_norm(batch.features), trees)), dim=1)

    def _convolve(self, x: torch.Tensor, trees: Trees) -> Iterator[torch.Tensor]:
        for convolution in self.convolutions:
            x = convolution(x, trees)
            yield x

    def embed_jets(self, nodes: torch.Tensor, jets: Pooling) -> torch.Tensor:
        """Fuse each node's row and average over the nodes of each jet, shape (n_jets, fusion)."""
        # Sums over the nodes of a network that is cast to half precision are in single precision.
        return jets.relu_norm_pool(self.fusion(nodes), self.fusion_norm).to(self.fusion.weight.dtype)

    def _trees(self, batch: LundBatch) -> Trees:
        """Return the fastest operations on trees."""
        return FusedTrees(batch) if self._fuses(batch) else GatheredTrees(batch)

    def _jets(self, rows: RowsBatch) -> Pooling:
        """Return the fastest operations on the nodes of jets."""
        return FusedJets(rows.offsets) if self._fuses(rows) else GatheredJets(rows.offsets)

    def _fuses(self, batch: LundBatch | RowsBatch) -> bool:
        """Whether there are kernels for the device: not where a compiler is tracing, which cannot see into them."""
        precise = self.fusion.weight.dtype in (torch.float32, torch.float64)
        return batch.features.device.type == "cpu" and precise and not torch.compiler.is_compiling()

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(self.dropout(torch.relu(self.hidden(jets))))
        return logits


@register_tagger
def lundnet5(
    num_classes: int = 2, representation: LundRepresentation | None = None, **settings: Unpack[LundNetSettings]
) -> LundNet:
    """LundNet with all variables: ln z, ln Delta, psi, ln m, ln kt."""
    return LundNet(num_classes, representation, variables=("ln_z", "ln_delta", "psi", "ln_m", "ln_kt"), **settings)


@register_tagger
def lundnet4(
    num_classes: int = 2, representation: LundRepresentation | None = None, **settings: Unpack[LundNetSettings]
) -> LundNet:
    """LundNet without the mass: ln z, ln Delta, ln kt, psi."""
    return LundNet(num_classes, representation, variables=("ln_z", "ln_delta", "ln_kt", "psi"), **settings)


@register_tagger
def lundnet3(
    num_classes: int = 2, representation: LundRepresentation | None = None, **settings: Unpack[LundNetSettings]
) -> LundNet:
    """LundNet with the kinematics of each declustering: ln z, ln Delta, ln kt."""
    return LundNet(num_classes, representation, variables=("ln_z", "ln_delta", "ln_kt"), **settings)


@register_tagger
def lundnet2(
    num_classes: int = 2, representation: LundRepresentation | None = None, **settings: Unpack[LundNetSettings]
) -> LundNet:
    """LundNet with the coordinates of the Lund plane alone: ln Delta, ln kt."""
    return LundNet(num_classes, representation, variables=("ln_delta", "ln_kt"), **settings)
