"""The text of a HepMC file: checked from end to end when it is opened, and handed out by ranges of events."""

from __future__ import annotations

import zlib
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.readers.containers.hepmc_lines import (
    DONE,
    EVENTS,
    LINE,
    LONG,
    LONGEST_LINE,
    RULES,
    STAGE,
    Events,
    State,
    check_lines,
    new_state,
)
from jetforge.jets.readers.containers.limits import refuse_bomb
from jetforge.jets.readers.containers.streams import Lines

START = {3: b"HepMC::Asciiv3-START_EVENT_LISTING", 2: b"HepMC::IO_GenEvent-START_EVENT_LISTING"}
"""The line that begins the events, by the version of the format."""
_LONGEST_HEAD = 16 << 20

_Ints = npt.NDArray[np.int64]


def version_of(text: bytes) -> int | None:
    """Return 3 or 2 for the beginning of a HepMC file of that version, None for any other."""
    if not text.lstrip().startswith(b"HepMC::Version"):
        return None
    return next((version for version, line in START.items() if line in text), None)


class EventText(Lines):
    """The events of a HepMC file, plain or gzipped.

    Attributes
    ----------
    version : int
        2 or 3.
    numbers, num_particles : int64 (n_events,)
        Number of each event as its generator counts, and how many particles it has; rows are events.

    Raises
    ------
    DataError
        If the file is cut or damaged; the message names the line.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        found = self._checked()
        self._bounds, self.numbers, self.num_particles = (np.concatenate([one[i] for one in found]) for i in range(3))
        if self._bounds[0] > _LONGEST_HEAD:
            raise DataError(f"{path}: its first event begins at byte {self._bounds[0]:,}: damaged")

    def events(self, start: int, stop: int) -> EventStream:
        """Return the text of the events ``start <= row < stop`` as a file of its own, without those of no particles.

        Of a gzipped file only going back begins anew.
        """
        if self._file is None:
            self._file = self._open()
            self._head = self._file.read(int(self._bounds[0]))
        edges = np.flatnonzero(np.diff(self.num_particles[start:stop] > 0, prepend=False, append=False)) + start
        pieces = [(int(self._bounds[a]), int(self._bounds[b])) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        return EventStream(self._file, self._head, pieces, self._footer + b"\n")

    def _checked(self) -> list[tuple[_Ints, _Ints, _Ints]]:
        """Check all lines; return the bytes at which events begin and the last ends, their numbers and their sizes."""
        state, found = new_state(), []
        at, left, size = 0, b"", self.path.stat().st_size
        self.version, self._footer, self._head = 0, b"", b""
        with self._open() as file:
            for block in chain(self._blocks(file), [b"\n"]):  # the last line needs no line break
                text = left + block
                refuse_bomb(self.path, "its text", at + len(text), size)
                whole = text.rfind(b"\n") + 1
                left = text[whole:]
                if not self.version:
                    version = version_of(text)
                    if version is None:
                        raise DataError(f"{self.path}: it does not begin as a HepMC file, with {START[3].decode()}")
                    self.version, self._footer = version, START[version].replace(b"START", b"END")
                found.append(self._check_block(text[:whole], at, state))
                at += whole
                if len(left) > LONGEST_LINE:
                    raise DataError(f"{self.path}: line {state.now[LINE] + 1}: {RULES[LONG]}")
        if state.now[STAGE] != DONE:
            raise DataError(f"{self.path}: the line {self._footer.decode()} is missing: cut; copy the file again")
        return found

    def _check_block(self, text: bytes, at: int, state: State) -> tuple[_Ints, _Ints, _Ints]:
        if b"\0" in text:
            raise DataError(
                f"{self.path}: a byte of 0 in the lines behind line {state.now[LINE]}: damaged; copy it again"
            )
        most = text.count(b"\nE ") + 2
        events = Events(*(np.zeros(most, dtype=np.int64) for _ in range(3)))
        begun, ended = _counts(state)
        footer = np.frombuffer(self._footer, dtype=np.uint8)
        rule, end = check_lines(np.frombuffer(text, dtype=np.uint8), self.version, footer, state, events)
        if rule:
            number = int(state.now[EVENTS])
            row = f"row {number - 1}: " if number else ""
            raise DataError(f"{self.path}: {row}line {state.now[LINE]}: {RULES[rule]}")
        begun, ended = (new - old for new, old in zip(_counts(state), (begun, ended), strict=True))
        starts = events.starts[:begun] if end < 0 else np.append(events.starts[:begun], end)
        return starts + at, events.numbers[:begun], events.particles[:ended]


def _counts(state: State) -> tuple[int, int]:
    """Return how many events have begun and ended."""
    begun = int(state.now[EVENTS])
    return begun, begun - (begun > 0 and state.now[STAGE] != DONE)


class EventStream:
    """Pieces of a file one after another between a head and a last line: what pyhepmc reads.

    Parameters
    ----------
    file
        The file, which is left at the end of the last piece.
    head, last
        What comes before the pieces, and behind.
    pieces
        First byte of each, and the one behind its last.
    """

    def __init__(self, file: IO[bytes], head: bytes, pieces: list[tuple[int, int]], last: bytes) -> None:
        self._file, self._head, self._pieces, self._last = file, head, pieces[::-1], last
        self._at, self._end = 0, 0
        self.failed: Exception | None = None
        """What went wrong: pyhepmc takes it for the end of the file."""

    def readinto(self, buffer: bytearray) -> int:
        """Fill a buffer, and return how many bytes it got."""
        try:
            data = self._next(len(buffer))
        except (OSError, EOFError, zlib.error, ValueError) as error:
            self.failed = error
            return 0
        buffer[: len(data)] = data
        return len(data)

    def write(self, _: bytes) -> int:
        """Refuse to write; pyhepmc asks for the method."""
        raise OSError("open for reading")

    def _next(self, size: int) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        while self._at == self._end and self._pieces:
            self._at, self._end = self._pieces.pop()
            self._file.seek(self._at)
        if self._at == self._end:
            data, self._last = self._last[:size], self._last[size:]
            return data
        data = self._file.read(min(size, self._end - self._at))
        if not data:
            raise EOFError("it ends early")
        self._at += len(data)
        return data
