"""ResNeXt-50 on jet images, narrowed for them (arXiv:1611.05431; as in arXiv:1902.08570, section IV)."""

from collections.abc import Sequence
from typing import TypedDict, Unpack

import torch
from torch import nn
from torch.nn import functional

from jetforge.errors import TaggerError
from jetforge.representations import ImageBatch, ImageRepresentation
from jetforge.taggers._arguments import check_fractions, check_whole
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger


class ImageNorm(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` that falls back on its running statistics where a channel has too few pixels.

    In training mode, a batch of fewer than two pixels a channel has no variance: it is normalised by the running
    statistics and leaves them as they are.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalise each channel of images, shape (n, channels, height, width)."""
        if self.training and images.numel() > self.num_features:
            return super().forward(images)
        return functional.batch_norm(
            images, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


class Bottleneck(nn.Module):
    """A residual block: narrow by 1 x 1, look around by grouped 3 x 3, widen by 1 x 1, add the shortcut.

    Parameters
    ----------
    inputs, width, outputs : int
        Channels before, inside and after.
    groups : int
        Into how many groups the channels inside are split.
    stride : int
        Of the 3 x 3 convolution and of the shortcut.
    project : bool
        Whether the shortcut is a 1 x 1 convolution, and not the identity.
    """

    def __init__(self, inputs: int, width: int, outputs: int, groups: int, stride: int, project: bool) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inputs, width, 1, bias=False)
        self.narrow_norm = ImageNorm(width)
        self.look = nn.Conv2d(width, width, 3, stride, padding=1, groups=groups, bias=False)
        self.look_norm = ImageNorm(width)
        self.widen = nn.Conv2d(width, outputs, 1, bias=False)
        self.widen_norm = ImageNorm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if project:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), ImageNorm(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images, shape (n, inputs, h, w), to shape (n, outputs, h / stride, w / stride)."""
        inside = torch.relu(self.narrow_norm(self.narrow(x)))
        inside = torch.relu(self.look_norm(self.look(inside)))
        return torch.relu(self.widen_norm(self.widen(inside)) + self.shortcut(x))


class ResNeXtSettings(TypedDict, total=False):
    """What the network lets one change; defaults are the published values."""

    blocks: Sequence[int]
    stem: int
    width: int
    groups: int
    dropout: float


class ResNeXt(Tagger):
    """A strided convolution and a pooling, four stages of bottleneck blocks, the mean over all pixels, a linear layer.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : ImageRepresentation, optional
        Images of any size.
    blocks : sequence of int
        Number of blocks of each stage; each stage but the first halves the image and doubles the channels.
    stem : int
        Channels of the first convolution.
    width : int
        Channels inside the blocks of the first stage; after a block there are twice as many.
    groups : int
        Into how many groups the channels inside a block are split.
    dropout : float
        Fraction of the jet's channels that is dropped in training.

    Raises
    ------
    TaggerError
        If a value makes no sense.

    Notes
    -----
    All channels but those of the first convolution are a quarter of those of ResNeXt-50 (32 x 4d), and dropout
    follows the pooling. With a projecting shortcut in the first block too, it has 1,457,314 parameters: the 1.46M of
    arXiv:1902.09914, table 1. Weights start as in arXiv:1502.01852, by the fan out, so
    that the sum over the blocks stays small.
    """

    reads = ImageRepresentation

    def __init__(
        self,
        num_classes: int = 2,
        representation: ImageRepresentation | None = None,
        *,
        blocks: Sequence[int] = (3, 4, 6, 3),
        stem: int = 64,
        width: int = 32,
        groups: int = 32,
        dropout: float = 0.5,
    ) -> None:
        check_whole(stem=stem, width=width, groups=groups)
        if not isinstance(blocks, list | tuple) or not blocks:
            raise TaggerError(f"blocks {blocks!r}: give the number of blocks of each stage, in a list")
        for number in blocks:
            check_whole(blocks=number)
        check_fractions(dropout=dropout)
        if width % groups:
            raise TaggerError(f"width {width} must be a multiple of groups {groups}")
        super().__init__(
            num_classes, representation or ImageRepresentation(size=64, width=1.6, rotate=False, flip=False)
        )
        self.stem = nn.Sequential(
            nn.Conv2d(self.representation.num_features, stem, 7, stride=2, padding=3, bias=False),
            ImageNorm(stem),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        stages: list[nn.Module] = []
        inputs = stem
        for stage, number in enumerate(blocks):
            inside = width * 2**stage
            for block in range(number):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(Bottleneck(inputs, inside, 2 * inside, groups, stride, project=block == 0))
                inputs = 2 * inside
        self.blocks = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(inputs, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for parameter in self.blocks.parameters():
            if parameter.ndim == 4:  # as the images that the blocks get: so weights and gradients are laid out alike
                parameter.data = parameter.data.to(memory_format=torch.channels_last)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the first convolution, the blocks and the output layer, in the order of the data."""
        return {"stem": (self.stem,), "blocks": (self.blocks,), "classifier": (self.dropout, self.output)}

    def embed(self, batch: ImageBatch) -> torch.Tensor:
        """Return the mean over the pixels of each channel, shape (n_jets, channels of the last stage)."""
        # Grouped and 1 x 1 convolutions are faster where a pixel's channels lie side by side (1.4 times on a CPU).
        images = self.stem[0](batch.values).contiguous(memory_format=torch.channels_last)
        return torch.mean(self.blocks(self.stem[1:](images)), dim=(2, 3))

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(self.dropout(jets))
        return logits


@register_tagger
def resnext50(
    num_classes: int = 2, representation: ImageRepresentation | None = None, **settings: Unpack[ResNeXtSettings]
) -> ResNeXt:
    """ResNeXt-50 with a quarter of the channels, on jet images (arXiv:1611.05431, arXiv:1902.08570)."""
    return ResNeXt(num_classes, representation, **settings)
