"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from jetforge.errors import JetforgeError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it, so that it is never seen half-written.

    Raises
    ------
    JetforgeError
        If the disk is full or the place cannot be written; what was written so far is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = error.strerror or error
        raise JetforgeError(
            f"cannot write {path}: {reason}; free space or choose another place, then run again"
        ) from None
