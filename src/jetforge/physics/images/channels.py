"""The channels of an image: which constituents each takes, and what a pixel holds of them."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import choice


class ChannelFlags(NamedTuple):
    """Of each channel, a flag: whether it takes charged and neutral constituents, and counts them or sums their pT."""

    of_charged: npt.NDArray[np.bool_]
    of_neutral: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.bool_]


_FLAGS = {
    "pt": (True, True, False),
    "charged_pt": (True, False, False),
    "neutral_pt": (False, True, False),
    "multiplicity": (True, True, True),
    "charged_multiplicity": (True, False, True),
}
CHANNELS = tuple(_FLAGS)
"""What a pixel can hold: sums of pT (GeV) and numbers of constituents."""


def channel_flags(channels: Any) -> ChannelFlags:
    """Return the flags of channels, given by their names or as one name.

    Raises
    ------
    JetforgeError
        If a name is not known, or there is none.
    """
    try:
        names = (channels,) if isinstance(channels, str) else tuple(channels)
    except TypeError:
        names = ()
    if not names:
        raise JetforgeError(f"channels is {channels!r}; it must be one or more of {', '.join(CHANNELS)}")
    flags = np.array([choice("channel", name, _FLAGS) for name in names], dtype=np.bool_)
    return ChannelFlags(*flags.T.copy())
