"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from jetforge.errors import JetforgeError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to, and rename it once the block is done; remove it if the block fails.

    Raises
    ------
    JetforgeError
        If the path is a directory, the disk is full, or the place cannot be written.
    """
    if not path.name or path.is_dir():
        raise JetforgeError(f"cannot write {path}: it is a directory; name a file")
    # Processes of several machines may share the folder.
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        cure = "free space" if error.errno in _FULL else "choose another place"
        raise JetforgeError(f"cannot write {path}: {error.strerror or error}; {cure}, then run again") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is never seen half-written, and stays after a power failure.

    Raises
    ------
    JetforgeError
        If the disk is full or the place cannot be written; what was written so far is removed.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
