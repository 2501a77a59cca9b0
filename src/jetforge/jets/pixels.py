"""Jets that were read from images, as images again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.jets import Jets

_PIXEL = ("row", "column", "channel", "value")


def pixel_images(jets: Jets, shape: tuple[int, int], channels: int = 1) -> npt.NDArray[np.float32]:
    """Return the images that jets were read from, exactly as they were stored.

    The readers of the image formats (``ml4sci``, ``toptag-images``) keep each pixel that is not zero as a constituent,
    with its place and value, so that a dataset of images is as small as its files. To make images of any jets, see
    `jetforge.jet_images`.

    Parameters
    ----------
    jets
        Jets with the constituent columns ``row``, ``column``, ``channel`` and ``value``.
    shape
        Numbers of rows and columns of an image: (125, 125) for ML4SCI, (40, 40) for the top-tagging challenge.
    channels
        Number of channels: 3 for ML4SCI (tracks, ECAL, HCAL), 1 for the top-tagging challenge.

    Returns
    -------
    ndarray, float32 (n_jets, channels, rows, columns)
        In the units of the source. Pixels that no constituent has are 0.

    Raises
    ------
    DataError
        If the jets have no such columns, a pixel is outside of the image, or twice in a jet.

    Examples
    --------
    >>> import numpy as np
    >>> from jetforge.jets import Jets
    >>> pixel = {"row": np.array([1]), "column": np.array([0]), "channel": np.array([0]), "value": np.array([0.5])}
    >>> jets = Jets([0, 1], {name: np.zeros(1) for name in ("px", "py", "pz", "energy")} | pixel)
    >>> pixel_images(jets, (2, 2)).tolist()
    [[[[0.0, 0.0], [0.5, 0.0]]]]
    """
    missing = [name for name in _PIXEL if name not in jets.columns]
    if missing:
        raise DataError(f"the jets have no constituent column {', '.join(missing)}: they were not read from images")
    if min(*shape, channels) < 1:
        raise DataError(f"images have at least one row, column and channel, not {shape} and {channels}")
    jet = np.repeat(np.arange(len(jets)), np.diff(jets.offsets))
    places = []
    for name, length in (("channel", channels), ("row", shape[0]), ("column", shape[1])):
        place = jets.columns[name]
        outside = np.flatnonzero((place < 0) | (place >= length))
        if len(outside):
            first = outside[0]
            raise DataError(
                f"jet {jet[first]}: a pixel has the {name} {place[first]}; the images have {length} of them"
            )
        places.append(place.astype(np.intp))
    images = np.zeros((len(jets), channels, *shape), dtype=np.float32)
    values = jets.columns["value"].astype(np.float32, copy=False)
    images[jet, places[0], places[1], places[2]] = values
    if np.count_nonzero(images) != np.count_nonzero(values):
        raise DataError("a jet has the same pixel more than once: these are not the pixels of images")
    return images
