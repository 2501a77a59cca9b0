"""Jet images: sums of pT, or numbers of constituents, in the pixels of a square grid around the jet."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import torch
from numpy.typing import NDArray

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.arguments import flag, known
from jetforge.physics.images.channels import channel_flags
from jetforge.physics.images.grid import checked_size, pixel_densities, side_lengths
from jetforge.physics.images.pixels import ORIGINS, jet_images
from jetforge.representations._constituents import need_one_of
from jetforge.representations._dense import DenseBatch
from jetforge.representations._moments import Moments
from jetforge.representations.base import Representation, register_representation

if TYPE_CHECKING:
    from jetforge.jets import Jets

SCALINGS = ("none", "channel", "pixel")
"""How the pixels of an image are scaled."""

# Added to the spread of a pixel: those that are hardly ever hit are not blown up (arXiv:1612.01551, section 3).
_REGULATOR = 1e-5
_PIXELS_PER_BLOCK = 1 << 23

_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImageBatch(DenseBatch):
    """The images of some jets.

    Attributes
    ----------
    values : Tensor, float32, shape (n_jets, n_channels, size, size)
        Scaled pixels; rows are azimuth, columns rapidity.
    """


@register_representation("image")
class ImageRepresentation(Representation):
    """Each jet as an image of one or more channels, aligned and scaled.

    The defaults are the images of the top-tagging reference set (arXiv:1808.08979; the steps of arXiv:1803.00107):
    40 x 40 pixels of 0.029 in rapidity and 0.035 in azimuth, centred, rotated, flipped twice, with a sum of one.

    Parameters
    ----------
    channels : sequence of str
        Of "pt", "charged_pt", "neutral_pt", "multiplicity", "charged_multiplicity"; each at most once.
    size : int
        Number of pixels along each side, from 1 to 4096.
    width : float or sequence of two floats
        Length of the side in rapidity and azimuth, or a length for each.
    origin : str
        What is at the centre: "centroid", the mean direction weighted with pT, or "hardest", a constituent.
    rotate, flip : bool
        Whether the principal axis is made vertical, and most pT put to one corner.
    normalise : bool
        Whether sums of pT are divided by that of the image, and numbers of constituents by theirs.
    scaling : str
        "channel" divides each channel by its root mean square over all pixels of the training jets, which keeps empty
        pixels at zero; "pixel" centres each pixel and divides it by its standard deviation plus 1e-5, as in
        arXiv:1612.01551, section 3; "none" leaves the pixels as they are.
    mean, std : nested sequence of float, optional
        What is subtracted, and divided by: one value a channel, or for "pixel" of shape (n_channels, size, size);
        `fit` finds them.

    Raises
    ------
    JetforgeError
        If a value makes no sense.
    """

    def __init__(
        self,
        channels: Sequence[str] = ("pt",),
        size: int = 40,
        width: float | Sequence[float] = (1.16, 1.4),
        origin: str = "centroid",
        rotate: bool = True,
        flip: bool = True,
        normalise: bool = True,
        scaling: str = "channel",
        mean: Sequence[Any] | None = None,
        std: Sequence[Any] | None = None,
    ) -> None:
        self.size = checked_size(size)
        self.width = side_lengths(width)
        pixel_densities(self.size, self.width)
        channel_flags(channels)
        self.channels = (channels,) if isinstance(channels, str) else tuple(channels)
        if len(set(self.channels)) < len(self.channels):
            raise JetforgeError(f"image representation: channels {', '.join(self.channels)}: one is named twice")
        self.origin = known("origin", origin, ORIGINS)
        self.rotate, self.flip = flag("rotate", rotate), flag("flip", flip)
        self.normalise = flag("normalise", normalise)
        self.scaling = known("scaling", scaling, SCALINGS)
        if (mean is None) != (std is None):
            raise JetforgeError("image representation: give both mean and std, or neither")
        if mean is not None and self.scaling == "none":
            raise JetforgeError("image representation: scaling none has neither mean nor std")
        self.mean = None if mean is None else self._checked("mean", mean)
        self.std = None if std is None else self._checked("std", std)
        if self.std is not None and not (self.std > 0).all():
            raise JetforgeError("image representation: std must be positive")

    def _checked(self, what: str, values: Sequence[Any]) -> _Floats:
        shape = self._shape
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.shape != shape or not np.isfinite(array).all():
            raise JetforgeError(f"image representation: {what} must be finite numbers of shape {shape}")
        return array

    @property
    def _shape(self) -> tuple[int, ...]:
        """Shape of mean and std."""
        n = len(self.channels)
        return (n, self.size, self.size) if self.scaling == "pixel" else (n,)

    @property
    def num_features(self) -> int:
        """Number of channels."""
        return len(self.channels)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the constituents that are read beside the momenta, where they are there."""
        return ("charge", "pid") if any("charged" in name or "neutral" in name for name in self.channels) else ()

    @property
    def fitted(self) -> bool:
        """Whether jets can be represented."""
        return self.scaling == "none" or self.mean is not None

    def fit_normalisation(self, blocks: "Iterable[Jets | ak.Array]") -> None:
        """Find how pixels are scaled, from the images of all jets, unweighted.

        Raises
        ------
        DataError
            If there is no jet, or no charges where a channel needs them.
        """
        if self.scaling == "none":
            return
        shape = (len(self.channels), self.size, self.size)
        moments = Moments.of(np.zeros((0, int(np.prod(shape)))))
        for jets in blocks:
            for images in self._drawn(jets):
                moments = moments.merge(Moments.of(images.reshape(len(images), -1).astype(np.float64)))
        if moments.count == 0:
            raise DataError("cannot fit the image representation: there are no training jets")
        mean, std = moments.mean.reshape(shape), moments.std.reshape(shape)
        if self.scaling == "pixel":
            self.mean, self.std = mean, std + _REGULATOR
        else:
            spread = np.sqrt((np.square(mean) + np.square(std)).mean(axis=(1, 2)))
            self.mean, self.std = np.zeros(len(spread)), np.where(spread > 0, spread, 1.0)

    def _drawn(self, jets: "Jets | ak.Array") -> Iterator[NDArray[np.float32]]:
        """Give the images of jets, so many at a time that their pixels need little memory."""
        block = max(1, _PIXELS_PER_BLOCK // (len(self.channels) * self.size**2))
        for start in range(0, len(jets), block):
            yield self._images(jets[start : start + block])

    def _images(self, jets: "Jets | ak.Array") -> NDArray[Any]:
        if self.columns:
            need_one_of("image representation: a channel of charged or neutral constituents", jets, self.columns)
        return jet_images(
            jets,
            self.size,
            self.width,
            self.channels,
            origin=self.origin,
            rotate=self.rotate,
            flip=self.flip,
            normalise=self.normalise,
        )

    def represent(self, jets: "Jets | ak.Array") -> ImageBatch:
        """Represent jets: 4 bytes a pixel, 6.4 kB a jet of one channel of 40 x 40.

        Raises
        ------
        DataError
            If the representation is not fitted, a momentum breaks a rule, or there are no charges where a channel
            needs them.
        """
        if not self.fitted:
            raise DataError("the image representation has no normalisation yet: call fit on training jets")
        images = self._images(jets)
        if self.mean is not None and self.std is not None:
            shape = self.mean.shape if self.scaling == "pixel" else (len(self.channels), 1, 1)
            if self.mean.any():
                images -= self.mean.astype(np.float32).reshape(shape)
            images *= (1 / self.std).astype(np.float32).reshape(shape)
        return ImageBatch(torch.from_numpy(images))

    def to_dict(self) -> dict[str, Any]:
        """Return settings and scaling as plain JSON values."""
        return {
            "channels": list(self.channels),
            "size": self.size,
            "width": list(self.width),
            "origin": self.origin,
            "rotate": self.rotate,
            "flip": self.flip,
            "normalise": self.normalise,
            "scaling": self.scaling,
            "mean": None if self.mean is None else self.mean.tolist(),
            "std": None if self.std is None else self.std.tolist(),
        }
