"""Fetching files: each appears whole, with the right checksum, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jetforge.errors import DataError, JetforgeError
from jetforge.files import write_atomically
from jetforge.jets.public.catalogue import PublicFile, PublicSet, choose
from jetforge.jets.public.listing import listed_files
from jetforge.jets.public.transfer import Note, Patience, Transfer, check_space

_BLOCK = 1 << 22


@dataclass(frozen=True)
class Progress:
    """Where a download stands.

    Attributes
    ----------
    file : str
        Name of the file at hand.
    number, files : int
        Which of how many files it is, from 1.
    done, total : int
        Its bytes; the total is None where neither the catalogue nor the server knows it.
    checking : bool
        Whether it is being read back to compute its checksum.
    """

    file: str
    number: int
    files: int
    done: int
    total: int | None
    checking: bool


@dataclass(frozen=True)
class Fetched:
    """A file that is there whole.

    Attributes
    ----------
    path : Path
        The file; beside it lies ``FILE.sha256``.
    size : int
        Bytes.
    sha256 : str
        Hexadecimal.
    verified : bool
        Whether the catalogue has a checksum, which it has.
    was_there : bool
        Whether it had been fetched before.
    """

    path: Path
    size: int
    sha256: str
    verified: bool
    was_there: bool


def fetch_set(
    chosen: PublicSet,
    folder: str | Path,
    patterns: Sequence[str] = (),
    *,
    patience: Patience | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> list[Fetched]:
    """Fetch the files of a public data set, or some of them.

    Parameters
    ----------
    chosen
        The data set, see `jetforge.jets.public.catalogue.get_set`.
    folder
        Where the files go; made if it is not there.
    patterns
        Shell patterns of names, or names of groups; all files if there is none.
    patience, on_progress
        See `fetch`.

    Returns
    -------
    list of Fetched
        The files in the order of the catalogue. Lists of files are fetched too, and are not among them.

    Raises
    ------
    DataError, JetforgeError
        As `fetch`; or if a pattern matches no file, or there is no direct address of any file.
    """
    if not chosen.files and not chosen.lists:
        raise JetforgeError(f"{chosen.name}: its files have no direct addresses; get them from {chosen.home}")
    lists = fetch(chosen.lists, folder, patience=patience, on_progress=on_progress)
    files = list(chosen.files)
    for described, fetched in zip(chosen.lists, lists, strict=True):
        files += listed_files(fetched.path, described)
    return fetch(choose(files, patterns, chosen.name), folder, patience=patience, on_progress=on_progress)


def fetch(
    files: Sequence[PublicFile],
    folder: str | Path,
    *,
    patience: Patience | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> list[Fetched]:
    """Fetch files, one after the other.

    A file grows as ``FILE.part`` and gets its name when its size and checksum are right; ``FILE.sha256`` is written
    beside it in the form of ``sha256sum``. A part that an earlier call left is continued. A file of wrong size or
    checksum is set aside as ``FILE.damaged``. A file that is there is read and compared, not fetched again.

    Parameters
    ----------
    files
        What to fetch.
    folder
        Where the files go; made if it is not there.
    patience
        How long to wait for a server.
    on_progress
        Called after each block.

    Returns
    -------
    list of Fetched
        In the order of `files`.

    Raises
    ------
    DataError
        If a file cannot be had, is another than the catalogue's, or one of its name is there that is not it.
    JetforgeError
        If there is not enough free space, or the folder cannot be written.
    """
    folder = Path(folder)
    names = [file.name.lower() for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{folder}: two files to be fetched are called {twice}; fetch them into folders of their own")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JetforgeError(f"cannot write {folder}: {error.strerror}; choose another place") from None
    check_space(folder, sum(_missing(file, folder) for file in files), "what is to be fetched")
    found = []
    for number, file in enumerate(files, 1):

        def report(done: int, total: int | None, checking: bool, file: PublicFile = file, number: int = number) -> None:
            on_progress(Progress(file.name, number, len(files), done, total, checking))

        found.append(_fetch_one(file, folder, patience or Patience(), report))
    return found


def _missing(file: PublicFile, folder: Path) -> int:
    """Return how many bytes are still to come, as far as the catalogue knows."""
    if file.size is None or (folder / file.name).exists():
        return 0
    part = _part_of(folder / file.name)
    return max(file.size - (part.stat().st_size if part.is_file() else 0), 0)


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _fetch_one(
    file: PublicFile, folder: Path, patience: Patience, report: Callable[[int, int | None, bool], None]
) -> Fetched:
    path = folder / file.name
    if path.is_symlink() or path.exists():
        return _already_there(file, path, report)
    part = _part_of(path)
    with _opened(part) as out:
        Transfer(file, part, out, patience, lambda done, total: report(done, total, False)).run()
        size, digests = _digests(out, file, report)
        wrong = _wrong(file, size, digests)
        if wrong:
            damaged = path.with_name(f"{path.name}.damaged")
            part.replace(damaged)
            Note(part).remove()
            raise DataError(
                f"{file.url}: {wrong}; what has come is set aside as {damaged}: fetch it again, and see the page of "
                "the data set if that does not help"
            )
        write_atomically(path.with_name(f"{path.name}.sha256"), f"{digests['sha256']}  {path.name}\n".encode())
        try:
            part.replace(path)
        except OSError as error:
            raise JetforgeError(f"cannot write {path}: {error.strerror}; make way for it, then run again") from None
        Note(part).remove()
    return Fetched(path, size, digests["sha256"], file.checksum is not None, False)


def _already_there(file: PublicFile, path: Path, report: Callable[[int, int | None, bool], None]) -> Fetched:
    try:
        with path.open("rb") as content:
            size, digests = _digests(content, file, report)
    except OSError as error:
        raise DataError(f"{path}: is in the way and cannot be read: {error.strerror}; remove it") from None
    wrong = _wrong(file, size, digests)
    beside = path.with_name(f"{path.name}.sha256")
    noted = beside.read_text(errors="replace").split()[:1] if beside.is_file() else []
    if not wrong and noted and noted[0].lower() != digests["sha256"]:
        wrong = f"its SHA-256 is not the one in {beside.name}"
    if not wrong and not noted and file.checksum is None and file.size is None:
        wrong = "nothing says whether it is whole"
    if wrong:
        raise DataError(f"{path}: is there already, but {wrong}; remove it to fetch it, or choose another folder")
    if not noted:
        write_atomically(beside, f"{digests['sha256']}  {path.name}\n".encode())
    return Fetched(path, size, digests["sha256"], file.checksum is not None, True)


@contextlib.contextmanager
def _opened(part: Path) -> Iterator[IO[bytes]]:
    """Open a part for this process alone, and keep what is in it."""
    try:
        out = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
    except OSError as error:
        raise JetforgeError(f"cannot write {part}: {error.strerror}; choose another place") from None
    with out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            busy = not part.exists() or not os.path.samestat(os.fstat(out.fileno()), part.stat())
        except BlockingIOError:
            busy = True
        except OSError:
            # A file system without locks.
            busy = False
        if busy:
            raise DataError(f"{part}: another process is fetching this file; wait for it or stop it")
        try:
            yield out
        finally:
            if part.exists() and not out.seek(0, os.SEEK_END):
                part.unlink()
                Note(part).remove()


def _digests(
    content: IO[bytes], file: PublicFile, report: Callable[[int, int | None, bool], None]
) -> tuple[int, dict[str, str]]:
    """Return size and checksums of what is on disk: SHA-256, and the catalogue's."""
    algorithm = file.checksum.partition(":")[0] if file.checksum else "sha256"
    names = {"sha256", algorithm} - {"adler32"}
    sums: dict[str, Any] = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    total = content.seek(0, os.SEEK_END)
    content.seek(0)
    size, adler = 0, 1
    while block := content.read(_BLOCK):
        for one in sums.values():
            one.update(block)
        if algorithm == "adler32":
            adler = zlib.adler32(block, adler)
        size += len(block)
        report(size, total, True)
    digests = {name: one.hexdigest() for name, one in sums.items()}
    return size, digests | {"adler32": f"{adler:08x}"}


def _wrong(file: PublicFile, size: int, digests: dict[str, str]) -> str:
    """Say what is wrong with a file, if anything."""
    if file.size is not None and size != file.size:
        return f"it has {size:,} bytes, the catalogue says {file.size:,}"
    if file.checksum is not None:
        algorithm, _, wanted = file.checksum.partition(":")
        if digests[algorithm] != wanted:
            return f"its {algorithm} is {digests[algorithm]}, the catalogue says {wanted}"
    return ""
