"""What a file may claim: sizes that its own length cannot hold are refused before any memory is taken."""

from __future__ import annotations

from pathlib import Path

from jetforge.errors import DataError

# Deflate, the strongest compressor of these formats on real data, cannot do better than 1032 : 1; zero-padded jets
# reach about 30 : 1.
MAX_EXPANSION = 1000
# Below this many bytes nothing is suspicious: small files of constants compress without bound.
_ALWAYS_ALLOWED = 64 << 20
# One row of any format here is far smaller: an image of 125 x 125 x 3 doubles is 375 kB.
MAX_ROW_BYTES = 16 << 20
MAX_LINE_BYTES = 16 << 20


def refuse_bomb(path: Path, what: str, declared: int, stored: int) -> None:
    """Refuse data that claims to be far larger than what is stored of it.

    Parameters
    ----------
    path, what
        Named in the error.
    declared
        Bytes that the data would take in memory.
    stored
        Bytes that the file has for it.

    Raises
    ------
    DataError
        If `declared` is negative, or above 64 MiB and more than 1000 times `stored`.
    """
    if declared < 0 or (declared > _ALWAYS_ALLOWED and declared > MAX_EXPANSION * max(stored, 1)):
        raise DataError(
            f"{path}: {what} claims {declared:,} bytes in {stored:,} bytes of file: damaged, or made to fill the memory"
        )


def refuse_long_rows(path: Path, what: str, row_bytes: int) -> None:
    """Refuse rows larger than any jet.

    Raises
    ------
    DataError
        If a row takes more than 16 MiB.
    """
    if not 0 <= row_bytes <= MAX_ROW_BYTES:
        raise DataError(f"{path}: {what} claims rows of {row_bytes:,} bytes: damaged, or no jets")
