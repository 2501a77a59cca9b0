"""Memory that is freed in one training step and wanted again in the next."""

import ctypes
import platform

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_OF_OLD_GLIBC = 1 << 25  # bytes; older versions of glibc refuse a higher threshold


def keep_freed_memory(limit: int = 1 << 30) -> bool:
    """Tell the C library to keep freed memory for the next request instead of returning it to the system.

    By default glibc maps every large array afresh and unmaps it when it is freed; the system then clears each
    page again when it is first touched, which a training step on the CPU feels. Call it once, before
    training; the process keeps up to ``limit`` bytes that it does not use. It does nothing where the C
    library is not glibc.

    Parameters
    ----------
    limit : int
        Largest array that is kept, and most memory that is kept unused, in bytes; below 2**31.

    Returns
    -------
    bool
        Whether the C library accepted.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    accepted = library.mallopt(_M_MMAP_THRESHOLD, limit) or library.mallopt(
        _M_MMAP_THRESHOLD, min(limit, _LARGEST_OF_OLD_GLIBC)
    )
    return bool(accepted) and bool(library.mallopt(_M_TRIM_THRESHOLD, limit))
