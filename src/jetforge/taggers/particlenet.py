"""ParticleNet: edge convolutions on clouds of particles whose neighbours are found anew (Qu and Gouskos)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypedDict, Unpack, cast

import torch
from torch import nn

from jetforge.representations import (
    PARTICLENET_FEATURES,
    CloudBatch,
    CloudRepresentation,
    PackedBatch,
    RowsBatch,
)
from jetforge.taggers._arguments import check_flags, check_fractions, check_stages, check_whole, check_widths
from jetforge.taggers._neighbours import Clouds, GatheredClouds
from jetforge.taggers._neighbours_cpu import FusedClouds
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger


class DynamicEdgeConvolution(nn.Module):
    """One edge convolution (arXiv:1801.07829) on the nearest neighbours, with a shortcut.

    ``x_i' = ReLU(mean_j MLP([x_i, x_j - x_i]) + shortcut(x_i))`` over the ``k`` nearest neighbours ``j`` of
    constituent ``i`` in its jet, where each layer of the MLP is Linear, batch normalisation over all edges, ReLU.

    Parameters
    ----------
    inputs : int
        Width of the constituents before.
    channels : sequence of int
        Width of each layer of the MLP; the last is that of the constituents after.
    k : int
        Number of neighbours.
    """

    def __init__(self, inputs: int, channels: Sequence[int], k: int) -> None:
        super().__init__()
        self.k = k
        widths = [2 * inputs, *channels]
        self.layers = nn.ModuleList(nn.Linear(*pair, bias=False) for pair in pairwise(widths))
        self.norms = nn.ModuleList(BatchNorm(width) for width in channels)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != channels[-1]:
            self.shortcut = nn.Sequential(nn.Linear(inputs, channels[-1], bias=False), BatchNorm(channels[-1]))

    def weights(self) -> list[torch.Tensor]:
        """Return the weights of all layers of the MLP, shapes (outputs, inputs)."""
        return [cast(nn.Linear, layer).weight for layer in self.layers]

    def forward(self, x: torch.Tensor, points: torch.Tensor, clouds: Clouds) -> torch.Tensor:
        """Map constituents, shape (n, inputs), that are at ``points``, shape (n, dimensions), to (n, channels[-1])."""
        neighbours = clouds.nearest(points, self.k)
        first, *others = self.weights()
        # W [x_i, x_j - x_i] = (W_centre - W_step) x_i + W_step x_j: one product a constituent, not one an edge.
        centre, step = first.chunk(2, dim=1)
        nodes = nn.functional.linear(x, torch.cat([centre - step, step]))
        return torch.relu(
            clouds.convolve(nodes, neighbours, others, cast(Sequence[BatchNorm], self.norms)) + self.shortcut(x)
        )


class ParticleNetSettings(TypedDict, total=False):
    """What a ParticleNet lets one change; defaults are the published values."""

    k: int
    channels: Sequence[Sequence[int]]
    hidden: Sequence[int]
    dropout: float
    use_fusion: bool


class ParticleNet(Tagger):
    """Edge convolutions on the nearest neighbours, averaged over the constituents of the jet, and classified.

    Neighbours are near in (deta, dphi) for the first edge convolution, and in the output of the one before for each
    further. The network is that of weaver-core's ``ParticleNet`` with the settings of the ParT authors
    (arXiv:2202.03772), which has the published 366 k parameters. Three things need a word.

    A jet of no more than ``k`` constituents: weaver fills it up with constituents far away whose features are zero,
    as many as a neighbourhood needs, and they count as neighbours. So they do here, for every batch alike.
    A constituent is never its own neighbour; weaver drops the nearest, which of two in one place may be the other.

    Batch normalisation: weaver's statistics in training include the padding; here those of edge layers are over the
    ``k`` edges of every constituent, all others over the constituents. In evaluation the two agree.

    The mean over the jet is over its constituents, as in weaver, and not over all places, as in the authors' Keras
    code.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : CloudRepresentation, optional
        Constituents with their features; by default those of arXiv:1902.08570, table 1, of the 100 hardest.
    k : int
        Number of neighbours of each constituent.
    channels : sequence of sequences of int
        Width of each layer of each edge convolution.
    hidden : sequence of int
        Width of each hidden layer of the classifier.
    dropout : float
        Fraction of each hidden layer that is dropped in training.
    use_fusion : bool
        Whether the outputs of all edge convolutions, not the last one's alone, make up the constituents: one layer
        of their joint width, rounded down to a multiple of 128 and kept between 128 and 1024.

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
        k: int = 16,
        channels: Sequence[Sequence[int]] = ((64, 64, 64), (128, 128, 128), (256, 256, 256)),
        hidden: Sequence[int] = (256,),
        dropout: float = 0.1,
        use_fusion: bool = False,
    ) -> None:
        blocks = check_stages("channels", channels)
        hidden = check_widths("hidden", hidden, least=0)
        check_whole(k=k)
        check_fractions(dropout=dropout)
        check_flags(use_fusion=use_fusion)
        default = CloudRepresentation(PARTICLENET_FEATURES, max_constituents=100)
        super().__init__(num_classes, representation or default)
        inputs = self.representation.num_features
        self.input_norm = BatchNorm(inputs)
        widths = [inputs, *(block[-1] for block in blocks)]
        self.convolutions = nn.ModuleList(
            DynamicEdgeConvolution(width, block, k) for width, block in zip(widths, blocks, strict=False)
        )
        self.fusion: nn.Sequential | None = None
        width = widths[-1]
        if use_fusion:
            joint = sum(widths[1:])
            width = min(max(joint // 128 * 128, 128), 1024)
            self.fusion = nn.Sequential(nn.Linear(joint, width, bias=False), BatchNorm(width), nn.ReLU())
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise([width, *hidden]))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear([width, *hidden][-1], num_classes)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules of the edge convolutions, of the fusion if there is one, and of the classifier."""
        fusion = {} if self.fusion is None else {"fusion": (self.fusion,)}
        return {
            "convolutions": (self.input_norm, self.convolutions),
            **fusion,
            "classifier": (self.hidden, self.dropout, self.output),
        }

    def boundaries(self) -> tuple[str, ...]:
        """Return the stages that may be trained alone: all that follow the edge convolutions, or the classifier."""
        return ("classifier",) if self.fusion is None else ("fusion", "classifier")

    def before(self, boundary: str, batch: CloudBatch) -> Any:
        """Return what a stage reads of a batch; see `Tagger.before`."""
        if boundary == "fusion":
            return RowsBatch(self._constituents(batch), batch.offsets)
        return super().before(boundary, batch)

    def after(self, boundary: str, given: Any) -> torch.Tensor:
        """Return the logits from what a stage reads; see `Tagger.after`."""
        if boundary == "fusion":
            return self.classify(self._pooled(given.features.to(self.output.weight.dtype), given))
        return super().after(boundary, given)

    def embed(self, batch: CloudBatch) -> torch.Tensor:
        """Return the embedded jets, shape (n_jets, width of the last edge convolution or of the fusion)."""
        return self._pooled(self._constituents(batch), batch)

    def embed_elements(self, batch: CloudBatch) -> torch.Tensor:
        """Return the embedded constituents, shape (n_constituents, width)."""
        return self._constituents(batch)

    def _constituents(self, batch: CloudBatch) -> torch.Tensor:
        """Return each constituent after the last edge convolution, or where they are fused, after all side by side."""
        clouds = self._clouds(batch)
        x, points = self.input_norm(batch.features), batch.points
        outputs = []
        for convolution in self.convolutions:
            x = points = convolution(x, points, clouds)
            outputs.append(x)
        return x if self.fusion is None else torch.cat(outputs, dim=1)

    def _pooled(self, x: torch.Tensor, batch: PackedBatch) -> torch.Tensor:
        if self.fusion is not None:
            x = self.fusion(x)
        # Means over the constituents of a network that is cast to half precision are in single precision.
        return batch.means(x).to(self.output.weight.dtype)

    def _clouds(self, batch: CloudBatch) -> Clouds:
        """Return the fastest operations for the device; those that a compiler can trace, while one is tracing."""
        precise = self.output.weight.dtype in (torch.float32, torch.float64)
        if batch.features.device.type == "cpu" and precise and not torch.compiler.is_compiling():
            return FusedClouds(batch)
        return GatheredClouds(batch)

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        for layer in self.hidden:
            jets = self.dropout(torch.relu(layer(jets)))
        logits: torch.Tensor = self.output(jets)
        return logits


@register_tagger
def particlenet(
    num_classes: int = 2, representation: CloudRepresentation | None = None, **settings: Unpack[ParticleNetSettings]
) -> ParticleNet:
    """ParticleNet (arXiv:1902.08570)."""
    return ParticleNet(num_classes, representation, **settings)


@register_tagger
def particlenet_lite(
    num_classes: int = 2,
    representation: CloudRepresentation | None = None,
    k: int = 7,
    channels: Sequence[Sequence[int]] = ((32, 32, 32), (64, 64, 64)),
    hidden: Sequence[int] = (128,),
    dropout: float = 0.1,
    use_fusion: bool = False,
) -> ParticleNet:
    """ParticleNet-Lite (arXiv:1902.08570): fewer neighbours, layers and channels, for a fast answer."""
    return ParticleNet(
        num_classes, representation, k=k, channels=channels, hidden=hidden, dropout=dropout, use_fusion=use_fusion
    )
