"""A first look at a file: which container it is, by its first bytes, and the names of what lies in it."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jetforge.errors import DataError
from jetforge.jets.readers.containers import arrow_files, hdf5_files, root_files

_FIRST_BYTES = 64 << 10
_MAGIC = {
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"root": "root",
    b"PAR1": "parquet",
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
}


_WEB_PAGE = (b"<!doctype html", b"<html")
_BLANK = b"\xef\xbb\xbf \t\r\n"  # a byte order mark too


@dataclass(frozen=True)
class Contents:
    """What is in a file.

    Attributes
    ----------
    path : Path
        The file.
    container : str
        ``hdf5``, ``root``, ``parquet``, ``zip``, ``gzip`` or ``text``.
    names : Mapping[str, str]
        What lies in it, and of which type: datasets of an HDF5 file with their dtype and shape, branches as
        ``tree/branch``, columns of a Parquet file, members of a zip archive.
    text : str
        The beginning of a text file, or of what a gzip file holds.
    """

    path: Path
    container: str
    names: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    def has(self, *names: str) -> bool:
        """Say whether all these names are there."""
        return all(name in self.names for name in names)


def look_into(path: Path) -> Contents:
    """Look into a file.

    Raises
    ------
    DataError
        If it cannot be read, is empty, is a web page, or is cut or damaged so that not even its list of contents can
        be read.
    """
    head = _first_bytes(path)
    container = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "text")
    if container == "hdf5":
        return Contents(path, container, hdf5_files.names(path))
    if container == "root":
        return Contents(path, container, root_files.names(path))
    if container == "parquet":
        return Contents(path, container, arrow_files.names(path))
    if container == "zip":
        return Contents(path, container, _members(path))
    if container == "gzip":
        return Contents(path, container, text=_unzipped(path))
    if head.lstrip(_BLANK).lower().startswith(_WEB_PAGE):
        raise DataError(f"{path}: a web page, not data: open it in a browser; the address wants a login or has moved")
    if b"\0" in head:
        raise DataError(f"{path}: neither HDF5, ROOT, Parquet, zip, gzip nor text; is it whole?")
    return Contents(path, container, text=head.decode(errors="replace"))


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise DataError(f"{path}: a directory, not a file; name the files in it")
    try:
        with path.open("rb") as file:
            head = file.read(_FIRST_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if not head:
        raise DataError(f"{path}: the file is empty")
    if head.startswith(b"version https://git-lfs"):
        raise DataError(f"{path}: a pointer of Git LFS, not the file itself; fetch it with 'git lfs pull'")
    return head


def _members(path: Path) -> dict[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {member.filename: f"{member.file_size} bytes" for member in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path}: not a whole zip archive ({error}); copy it again") from None


def _unzipped(path: Path) -> str:
    try:
        with gzip.open(path) as file:
            return file.read(_FIRST_BYTES).decode(errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}); copy it again") from None
