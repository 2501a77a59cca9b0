"""The convolutional network on jet images of Macaluso and Shih (arXiv:1803.00107)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypedDict, Unpack

import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import ImageBatch, ImageRepresentation
from jetforge.taggers._arguments import check_whole, check_widths
from jetforge.taggers._layers import glorot
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger


class ImageCNNSettings(TypedDict, total=False):
    """What the network lets one change; defaults are the published values."""

    maps: Sequence[int]
    kernel: int
    dense: Sequence[int]


class ImageCNN(Tagger):
    """Convolutions, a pooling after every second of them, and dense layers.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : ImageRepresentation, optional
        Images of any size that the poolings leave a pixel of.
    maps : sequence of int
        Number of feature maps of each convolution; after every second one, the larger of 2 x 2 pixels is kept.
    kernel : int
        Pixels along each side of a convolution's window.
    dense : sequence of int
        Widths of the dense layers.

    Raises
    ------
    TaggerError
        If a value makes no sense, or the images are too small.

    Notes
    -----
    The first convolution is padded so that the image keeps its size, the others by one pixel on each side, so that
    with a window of 4 it shrinks by one. Of 40 x 40 pixels 8 x 8 are left, which gives 609,666 parameters: the 610k
    of arXiv:1902.09914, table 1. Weights start as in Keras, which the paper used: Glorot uniform, without biases.
    """

    reads = ImageRepresentation

    def __init__(
        self,
        num_classes: int = 2,
        representation: ImageRepresentation | None = None,
        *,
        maps: Sequence[int] = (128, 64, 64, 64),
        kernel: int = 4,
        dense: Sequence[int] = (64, 256, 256),
    ) -> None:
        maps, dense = check_widths("maps", maps), check_widths("dense", dense)
        check_whole(kernel=kernel)
        super().__init__(num_classes, representation or ImageRepresentation())
        self.size = left = self.representation.size
        smallest = _smallest_size(len(maps), kernel)
        if self.size < smallest:
            raise TaggerError(
                f"representation.size is {self.size}: images of {self.size} x {self.size} pixels are too small for "
                f"{len(maps)} maps and a kernel of {kernel}; give at least {smallest}"
            )
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise([self.representation.num_features, *maps])):
            if number == 0:
                # As in Keras, the odd row and column of zeros are below and to the right.
                layers.append(nn.ZeroPad2d(((kernel - 1) // 2, kernel // 2) * 2))
            convolution = nn.Conv2d(inputs, outputs, kernel, padding=min(number, 1))
            left += 0 if number == 0 else 3 - kernel
            layers += [convolution, nn.ReLU()]
            if number % 2:
                layers.append(nn.MaxPool2d(2))
                left //= 2
        self.convolutions = nn.Sequential(*layers)
        widths = [maps[-1] * left**2, *dense]
        self.dense = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.output = nn.Linear(widths[-1], num_classes)
        self.apply(_initialise)

    def _check_kind(self, representation: Any) -> None:
        super()._check_kind(representation)
        if self._representation is not None:
            check_size(representation.size, self.size)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the convolutions, the dense layers and the output layer, in the order of the data."""
        return {"convolutions": (self.convolutions,), "dense": (self.dense,), "classifier": (self.output,)}

    def embed(self, batch: ImageBatch) -> torch.Tensor:
        """Return the embedded jets, shape (n_jets, width of the last dense layer)."""
        check_size(batch.values.shape[-1], self.size)
        x: torch.Tensor = self.convolutions(batch.values).flatten(1)
        for layer in self.dense:
            x = torch.relu(layer(x))
        return x

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(jets)
        return logits


def check_size(size: int, made_for: int) -> None:
    """Refuse images of another size than a network was made for.

    Raises
    ------
    TaggerError
        If the images have another size.
    """
    if size != made_for:
        raise TaggerError(f"this network was made for images of {made_for} pixels a side, not {size}")


def _smallest_size(convolutions: int, kernel: int) -> int:
    """Return of how many pixels along a side the poolings leave one."""
    pixels = 1
    for number in reversed(range(convolutions)):
        pixels *= 2 if number % 2 else 1
        pixels = max(1, pixels - (3 - kernel if number else 0))
    return pixels


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        glorot(module)


@register_tagger
def image_cnn(
    num_classes: int = 2, representation: ImageRepresentation | None = None, **settings: Unpack[ImageCNNSettings]
) -> ImageCNN:
    """Convolutional network on jet images (Macaluso, Shih, arXiv:1803.00107)."""
    return ImageCNN(num_classes, representation, **settings)
