"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from jetforge.errors import DataError, JetforgeError, first_line

# Seconds between two looks at a lock that another process holds.
_PATIENCE = 0.2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def whole_file(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary name to write to, and rename it once the block is done; remove it if the block fails.

    Parameters
    ----------
    path
        The file.
    overwrite
        Whether a file that is there is replaced; otherwise it is kept, even if it appears while the block runs.

    Raises
    ------
    JetforgeError
        If the path is a directory, the disk is full, the place cannot be written, or a file is there that is to be
        kept.
    """
    if not path.name or path.is_dir():
        raise JetforgeError(f"cannot write {path}: it is a directory; name a file")
    if not overwrite and path.exists():
        raise _is_there(path)
    # Processes of several machines may share the folder.
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if overwrite:
            temporary.replace(path)
        else:
            _rename_to_new(temporary, path)
    except OSError as error:
        cure = "free space" if error.errno in _FULL else "choose another place"
        raise JetforgeError(f"cannot write {path}: {_reason(error, temporary, path)}; {cure}, then run again") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Give a file its name unless the name is taken; the temporary name may stay beside it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError:
        # File systems without hard links: here alone another process may come between the look and the renaming.
        if path.exists():
            raise _is_there(path) from None
        temporary.replace(path)


def _is_there(path: Path) -> JetforgeError:
    return JetforgeError(f"{path}: is there already; choose another name or remove it")


def _reason(error: OSError, temporary: Path, path: Path) -> str:
    """Return why writing failed: libraries' own texts name the temporary file, which nobody asked for."""
    if error.errno:
        return os.strerror(error.errno)
    return first_line(error).replace(str(temporary), str(path)).replace(temporary.name, path.name)


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


@contextlib.contextmanager
def locked(path: Path, busy: str | None) -> Iterator[None]:
    """Hold a lock that one process can have, by a file that is gone afterwards; a killed process holds it no more.

    Parameters
    ----------
    path
        The file; its directory is made if it is not there.
    busy
        What the error says if another process holds the lock; None to wait until it does not.

    Raises
    ------
    DataError
        If another process holds the lock.
    JetforgeError
        If the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
        while not _hold(lock, path):
            if busy is not None:
                lock.close()
                raise DataError(busy)
            # The process that held it may have removed the file.
            time.sleep(_PATIENCE)
            lock.close()
            lock = path.open("w")
    except OSError as error:
        raise JetforgeError(f"cannot write {path.parent}: {error.strerror}; choose another place") from None
    with lock:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _hold(lock: IO[str], path: Path) -> bool:
    """Return whether no other process holds the lock; where a file system has no locks, nobody does."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    try:
        # The file may have been removed, by the process that held it, between opening and locking.
        return path.is_file() and os.fstat(lock.fileno()).st_ino == path.stat().st_ino
    except OSError:
        return False
