"""Files that can only be read from the beginning: lines of (gzipped) text, and arrays within zip archives.

Each is read once from end to end when it is opened for counting, which verifies its checksum; a reader of ranges goes
on from where it stands, and begins anew only to go back.
"""

from __future__ import annotations

import gzip
import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, first_line
from jetforge.jets.readers.containers.limits import MAX_LINE_BYTES, refuse_bomb, refuse_long_rows

_BROKEN = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError, RuntimeError, tokenize.TokenError,
)  # fmt: skip
_BLOCK = 1 << 20


class Lines:
    """The lines of a text file, which may be gzipped.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._next = 0

    def count(self) -> int:
        """Return the number of lines; the last one needs no line break. The whole file is read.

        Raises
        ------
        DataError
            If the file is cut or damaged (a gzip file carries a checksum), a line is longer than 16 MiB, or so much
            comes out of a few bytes that it was made to fill the memory.
        """
        size = self.path.stat().st_size
        lines = total = in_line = 0
        with self._open() as file:
            for block in self._blocks(file):
                total += len(block)
                breaks = block.count(b"\n")
                lines += breaks
                in_line = len(block) - 1 - block.rfind(b"\n") if breaks else in_line + len(block)
                if in_line > MAX_LINE_BYTES:
                    raise DataError(f"{self.path}: line {lines + 1} is longer than {MAX_LINE_BYTES:,} bytes: no jets")
                refuse_bomb(self.path, "its text", total, size)
        return lines + (in_line > 0)

    def read(self, start: int, stop: int) -> list[bytes]:
        """Return the lines ``start <= number < stop``, without their line breaks.

        Raises
        ------
        DataError
            If they cannot be read, or there are fewer.
        """
        if self._file is None or start < self._next:
            self.close()
            self._file, self._next = self._open(), 0
        try:
            for _ in range(start - self._next):
                self._line()
            lines = [self._line() for _ in range(stop - start)]
        except _BROKEN as error:
            self.close()
            raise self._broken(error) from None
        self._next = stop
        return lines

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _line(self) -> bytes:
        assert self._file is not None
        line = self._file.readline(MAX_LINE_BYTES + 1)
        if not line:
            raise EOFError("it ends early")
        return line.rstrip(b"\r\n")

    def _open(self) -> IO[bytes]:
        try:
            with self.path.open("rb") as file:
                zipped = file.read(2) == b"\x1f\x8b"
            if zipped:
                return cast(IO[bytes], gzip.open(self.path, "rb"))
            return self.path.open("rb")
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from None

    def _blocks(self, file: IO[bytes]) -> Iterator[bytes]:
        while True:
            try:
                block = file.read(_BLOCK)
            except _BROKEN as error:
                raise self._broken(error) from None
            if not block:
                return
            yield block

    def _broken(self, error: BaseException) -> DataError:
        return DataError(f"{self.path}: cut or damaged ({first_line(error)}); copy the file again")


class ZippedArray:
    """An array in an npz archive, read by ranges of its first axis without holding all of it.

    Parameters
    ----------
    path
        The archive.
    name
        The array's name, without ``.npy``.

    Raises
    ------
    DataError
        If there is no such array, it holds Python objects, or it claims more than the archive can hold.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._archive: zipfile.ZipFile | None = None
        self._member: IO[bytes] | None = None
        self._next = 0
        try:
            with zipfile.ZipFile(path) as archive:
                info = archive.getinfo(f"{name}.npy")
                refuse_bomb(path, f"'{name}'", info.file_size, min(info.compress_size, path.stat().st_size))
                with archive.open(info) as member:
                    self.shape, self._fortran, self.dtype = _header(member)
                    self._start = member.tell()
        except KeyError:
            raise DataError(f"{path}: no array '{name}' in the archive") from None
        except _BROKEN as error:
            raise self._broken(error) from None
        if self.dtype.hasobject or not self.shape:
            raise DataError(f"{path}: '{name}' is of type {self.dtype}, shape {self.shape}; rows of numbers are needed")
        if self._fortran and len(self.shape) > 1:
            raise DataError(f"{path}: '{name}' is stored by columns; save it in C order")
        self._row_bytes = self.dtype.itemsize
        for length in self.shape[1:]:
            self._row_bytes *= length
        refuse_long_rows(path, f"'{name}'", self._row_bytes)
        if self._start + self._row_bytes * self.shape[0] != info.file_size:
            raise DataError(f"{path}: '{name}' claims the shape {self.shape} in {info.file_size:,} bytes: damaged")

    def verify(self) -> None:
        """Read the array from end to end, which checks its checksum.

        Raises
        ------
        DataError
            If it is cut or damaged.
        """
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}.npy") as member:
                while member.read(_BLOCK):
                    pass
        except _BROKEN as error:
            raise self._broken(error) from None

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the rows ``start <= row < stop``.

        Raises
        ------
        DataError
            If they cannot be read.
        """
        try:
            if self._member is None or start < self._next:
                self.close()
                self._archive = zipfile.ZipFile(self.path)
                self._member = self._archive.open(f"{self.name}.npy")
                self._take(self._start)
                self._next = 0
            for _ in range(self._next, start):
                self._take(self._row_bytes)
            data = self._take((stop - start) * self._row_bytes)
        except _BROKEN as error:
            self.close()
            raise self._broken(error) from None
        self._next = stop
        return np.frombuffer(data, dtype=self.dtype).reshape(stop - start, *self.shape[1:])

    def close(self) -> None:
        """Close the archive."""
        for thing in (self._member, self._archive):
            if thing is not None:
                thing.close()
        self._member = self._archive = None

    def _take(self, size: int) -> bytes:
        assert self._member is not None
        data = self._member.read(size)
        if len(data) != size:
            raise EOFError("it ends early")
        return data

    def _broken(self, error: BaseException) -> DataError:
        return DataError(f"{self.path}: '{self.name}' is cut or damaged ({first_line(error)}); copy the file again")


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(member)
    if any(length < 0 for length in shape):
        raise ValueError(f"shape {shape}")
    return shape, fortran, dtype
