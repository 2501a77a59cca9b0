"""Channels are known by their names, and say what they take."""

import pytest

from jetforge.errors import JetforgeError
from jetforge.physics.images.channels import CHANNELS, channel_flags


def test_every_channel_has_flags_of_its_own() -> None:
    flags = channel_flags(CHANNELS)
    assert len(set(zip(*(column.tolist() for column in flags), strict=True))) == len(CHANNELS)
    for name, of_charged, of_neutral, counts in zip(CHANNELS, *flags, strict=True):
        assert counts == ("multiplicity" in name)
        assert of_charged == ("neutral" not in name)
        assert of_neutral == ("charged" not in name)


def test_one_name_is_one_channel() -> None:
    assert [column.tolist() for column in channel_flags("neutral_pt")] == [[False], [True], [False]]


@pytest.mark.parametrize("channels", ["charged", ["pt", ""], None, [], 3, [None]])
def test_others_are_refused(channels: object) -> None:
    with pytest.raises(JetforgeError, match=r"channels? .*pt, charged_pt, neutral_pt"):
        channel_flags(channels)
