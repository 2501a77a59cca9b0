"""A text file of which every line is a jet, a list of four-momenta in JSON; it may be gzipped."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, first_line
from jetforge.jets.readers.containers import json_momenta
from jetforge.jets.readers.containers.limits import MAX_LINE_BYTES, refuse_bomb

_BROKEN = (OSError, EOFError, zlib.error, ValueError)
_BLOCK = 1 << 20
_MOST = 1 << 62
_SHOWN = 24
_PROBLEMS = {
    json_momenta.SYNTAX: "the line is no list of four-momenta in JSON",
    json_momenta.NO_NUMBER: "a component is no finite number",
    json_momenta.TOO_LARGE: "a component is larger than 1e100",
    json_momenta.OTHER_KEY: "an entry has a key that the file's first entry lacks",
    json_momenta.REPEATED_KEY: "an entry has a key twice",
    json_momenta.MISSING_KEY: "an entry lacks a key that the file's first entry has",
    json_momenta.WRONG_LENGTH: "an entry has more or fewer than four numbers",
    json_momenta.OTHER_KIND: "an entry is of another kind than the file's first",
}


class JetLines:
    """The jets of a file, read from its beginning; a range that follows the last one goes on from there.

    Parameters
    ----------
    path
        The file.
    keys
        Of each entry.
    """

    def __init__(self, path: Path, keys: json_momenta.Keys) -> None:
        self.path = path
        self._width = len(keys.ends) - 1
        self._parser = json_momenta.Parser(keys)
        self._file: IO[bytes] | None = None
        self._next = 0
        # Whole lines in memory, how far they are read, and the beginning of the line after them.
        self._text, self._at, self._rest = np.zeros(0, dtype=np.uint8), 0, b""

    def count(self) -> int:
        """Return the number of jets; the whole file is read, which checks a gzip file's checksum.

        Raises
        ------
        DataError
            If the file is cut or damaged, a line is longer than 16 MiB, or so much comes out of a few bytes that it
            was made to fill the memory.
        """
        size = self.path.stat().st_size
        self._begin()
        total = 0
        try:
            while self._fill():
                total += len(self._text)
                refuse_bomb(self.path, "its text", total, size)
                self._skip(_MOST)
        finally:
            self.close()
        return self._next

    def read(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the jets ``start <= number < stop``.

        Returns
        -------
        counts : int64 (n_jets,)
            Entries of each jet.
        values : float64 (n_entries, n_keys)

        Raises
        ------
        DataError
            If a line is no jet, or there are fewer.
        """
        if self._file is None or start < self._next:
            self._begin()
        counts, values = [np.zeros(0, dtype=np.int64)], [np.zeros((0, self._width))]
        try:
            while self._next < stop:
                if self._at == len(self._text) and not self._fill():
                    raise DataError(f"{self.path}: it ends at row {self._next}: changed since it was opened")
                if self._next < start:
                    self._skip(start - self._next)
                    continue
                parsed = self._parser.parse(self._text, self._at, stop - self._next)
                self._at = parsed.end
                self._next += len(parsed.counts)
                if parsed.problem:
                    raise self._wrong(parsed.problem, parsed.place)
                counts.append(parsed.counts)
                values.append(parsed.values)
        except DataError:
            self.close()
            raise
        return np.concatenate(counts), np.concatenate(values)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self.close()
        try:
            with self.path.open("rb") as file:
                zipped = file.read(2) == b"\x1f\x8b"
            opened = gzip.open(self.path) if zipped else self.path.open("rb")  # noqa: SIM115
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from None
        self._file = cast("IO[bytes]", opened)
        self._next = 0
        self._text, self._at, self._rest = np.zeros(0, dtype=np.uint8), 0, b""

    def _skip(self, most: int) -> None:
        """Pass over jets of the lines in memory."""
        num, self._at, wrong = json_momenta.skip_jets(self._text, self._at, most)
        self._next += num
        if wrong >= 0:
            raise self._wrong(json_momenta.SYNTAX, wrong)

    def _fill(self) -> bool:
        """Read on to the end of a line; return whether there was anything."""
        assert self._file is not None
        text = self._rest
        while True:
            if len(text) > MAX_LINE_BYTES:
                raise DataError(f"{self.path}: a line is longer than {MAX_LINE_BYTES:,} bytes: no jet")
            try:
                block = self._file.read(_BLOCK)
            except _BROKEN as error:
                message = f"{self.path}: cut or damaged ({first_line(error)}); copy the file again"
                raise DataError(message) from None
            end = block.rfind(b"\n") + 1
            if not block or end:
                break
            text += block
        # The last line needs no line break.
        text += block[:end] if block else b"\n" if text else b""
        self._text, self._at, self._rest = np.frombuffer(text, dtype=np.uint8), 0, block[end:]
        return len(text) > 0

    def _wrong(self, problem: int, place: int) -> DataError:
        near = self._text[max(place - _SHOWN, self._at) : place + _SHOWN].tobytes()
        shown = near.decode(errors="replace").split("\n")[0]
        return DataError(f"{self.path}: row {self._next}: {_PROBLEMS[problem]}, near {shown!r}")
