"""The lines of HepMC's text formats, checked one after another in compiled code.

The library that reads them stops without a word where it meets damage, fills what is missing with zeros, and relies on
the numbers that link particles and vertices. All of that is checked here first.

The formats are those of HepMC3 (Buckley et al., arXiv:1912.08005) and HepMC2 (Dobbs, Hansen, Comput. Phys. Commun. 134
(2001) 41).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

MOST_PARTICLES = 4_000_000
"""Particles of one event, far above those of a collision of heavy ions."""
LONGEST_LINE = 262_143
"""Bytes of the longest line that pyhepmc reads."""

# Where the lines stand: before the first event, at the head of an event, among its particles, behind the last event.
HEAD, EVENT, BODY, DONE = range(4)
# Broken rules, in the order of `RULES`.
_FINE, _STRANGE, _FIELDS, _LINKS, _PARTICLES, _VERTICES, _UNITS, _BEHIND, LONG = range(9)
_AGAIN = ": cut or damaged; copy the file again"
RULES = (
    "",
    f"the line is none that may stand here{_AGAIN}",
    f"the line has not the numbers that it should have{_AGAIN}",
    f"a number of a particle or vertex is used twice, or is none of this event's{_AGAIN}",
    f"the event has not as many particles as it says{_AGAIN}",
    f"the event has not as many vertices as it says{_AGAIN}",
    "the event does not say its units, GEV or MEV and MM or CM, in one line U; add it",
    "there is more behind the end of the listing; if these are several files one after another, split them",
    f"the line is longer than {LONGEST_LINE:,} bytes, which pyhepmc cannot read",
)

_A, _C, _E, _F, _G, _H, _M, _N, _P, _T, _U, _V, _W = (ord(c) for c in "ACEFGHMNPTUVW")
_SPACE, _NEWLINE, _RETURN, _MINUS, _COMMA, _OPEN, _CLOSE = (ord(c) for c in " \n\r-,[]")
# Kinds of numbers of a line: whole numbers and any.
_WHOLE, _ANY = range(2)
_KINDS = {"i": _WHOLE, "x": _ANY}


def _pattern(kinds: str) -> npt.NDArray[np.int64]:
    return np.array([_KINDS[kind] for kind in kinds])


# HepMC3. Of an event: number, vertices, particles. Of a particle: identifier, origin, PDG number, four-momentum, mass,
# status. Of a vertex: identifier, status.
_EVENT_3, _PARTICLE_3, _VERTEX_3 = _pattern("iii"), _pattern("iiixxxxxi"), _pattern("ii")
# HepMC2. Of an event: number, interactions, scale, two couplings, process and its vertex, vertices, two beams, how many
# random numbers follow. Of a particle: barcode, PDG number, four-momentum, mass, status, polarisation, end vertex, how
# many colour flows follow. Of a vertex: barcode, status, position, orphans, outgoing particles, number of weights.
_EVENT_2, _PARTICLE_2, _VERTEX_2 = _pattern("iixxxiiiiii"), _pattern("iixxxxxixxii"), _pattern("iixxxxiii")
_COUNT = _pattern("i")
_MOST_NUMBERS = 12
_NUMBER_BYTES = np.zeros(256, dtype=np.bool_)
_NUMBER_BYTES[np.frombuffer(b"0123456789+-.eEnaifNAIF", dtype=np.uint8)] = True


class State(NamedTuple):
    """What is known of the lines up to here.

    `now` has the numbers below; the other arrays say of each identifier in which event it was used last.
    """

    now: npt.NDArray[np.int64]
    particle: npt.NDArray[np.int64]
    vertex: npt.NDArray[np.int64]
    mother: npt.NDArray[np.int64]
    values: npt.NDArray[np.int64]


# What `State.now` holds: where the lines stand, their number, events so far; of the event its particles and vertices as
# claimed and as found, and lines U.
STAGE, LINE, EVENTS, _N_PARTICLES, _N_VERTICES, _PARTICLES_SEEN, _VERTICES_SEEN, _UNITS_SEEN = range(8)


class Events(NamedTuple):
    """What a block tells: of the events that begin in it the byte and the number, of those that end their particles."""

    starts: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    particles: npt.NDArray[np.int64]


def new_state() -> State:
    """Return the state before the first line."""
    # Only what is written to takes memory.
    particle, vertex, mother = (np.zeros(MOST_PARTICLES + 1, dtype=np.int64) for _ in range(3))
    return State(np.zeros(8, dtype=np.int64), particle, vertex, mother, np.zeros(_MOST_NUMBERS, dtype=np.int64))


@njit(cache=True, nogil=True)
def _whole(text: Any, at: int, end: int) -> tuple[int, int]:
    """Return a whole number and where it ends; -1 where there is none."""
    negative = at < end and text[at] == _MINUS
    first = at + 1 if negative else at
    at, value = first, 0
    while at < end and 48 <= text[at] <= 57 and at - first < 18:
        value = 10 * value + int(text[at]) - 48
        at += 1
    return (-value if negative else value), (at if at > first else -1)


@njit(cache=True, nogil=True)
def _numbers(text: Any, at: int, end: int, pattern: Any, values: Any) -> int:
    """Read numbers, each behind a space, and return where they end; -1 if they are not of these kinds."""
    for i in range(len(pattern)):
        if at >= end or text[at] != _SPACE:
            return -1
        at += 1
        first = at
        if pattern[i] == _WHOLE:
            values[i], at = _whole(text, at, end)
        else:
            while at < end and _NUMBER_BYTES[text[at]]:
                at += 1
        if at <= first or (at < end and text[at] != _SPACE):
            return -1
    return at


@njit(cache=True, nogil=True)
def _more(text: Any, at: int, end: int, count: int) -> int:
    """Pass so many numbers, and return where they end; -1 if they are not that many."""
    for _ in range(count):
        if at >= end or text[at] != _SPACE:
            return -1
        first = at = at + 1
        while at < end and _NUMBER_BYTES[text[at]]:
            at += 1
        if at == first:
            return -1
    return at if count >= 0 else -1


@njit(cache=True, nogil=True)
def _close_event(state: State) -> int:
    """Compare what an event says with what it has."""
    now = state.now
    if now[_UNITS_SEEN] != 1:
        return _UNITS
    if now[_PARTICLES_SEEN] != now[_N_PARTICLES]:
        return _PARTICLES
    return _FINE if now[_VERTICES_SEEN] == now[_N_VERTICES] else _VERTICES


@njit(cache=True, nogil=True)
def _event(text: Any, at: int, end: int, version: int, state: State) -> int:
    now, values = state.now, state.values
    now[EVENTS] += 1
    now[STAGE] = EVENT
    now[_N_PARTICLES:] = 0
    if version == 3:
        if _numbers(text, at, end, _EVENT_3, values) < 0:
            return _FIELDS
        now[_N_VERTICES], now[_N_PARTICLES] = values[1], values[2]
        # Each vertex is the origin of a particle.
        sound = 0 <= values[1] <= values[2] <= MOST_PARTICLES
    else:
        at = _numbers(text, at, end, _EVENT_2, values)
        number, now[_N_VERTICES] = values[0], values[7]
        # Random numbers, and weights.
        at = _more(text, at, end, values[10]) if at >= 0 else -1
        at = _numbers(text, at, end, _COUNT, values) if at >= 0 else -1
        at = _more(text, at, end, values[0]) if at >= 0 else -1
        values[0] = number
        sound = at == end and 0 <= now[_N_VERTICES] <= MOST_PARTICLES
    return _FINE if sound else _FIELDS


@njit(cache=True, nogil=True)
def _particle(text: Any, at: int, end: int, version: int, state: State) -> int:
    now, values, event = state.now, state.values, state.now[EVENTS]
    now[_PARTICLES_SEEN] += 1
    if version == 2:
        at = _numbers(text, at, end, _PARTICLE_2, values)
        # Colour flows are two numbers each.
        return _FINE if at >= 0 and _more(text, at, end, 2 * values[11]) == end else _FIELDS
    if _numbers(text, at, end, _PARTICLE_3, values) != end:
        return _FIELDS
    particle, origin = values[0], values[1]
    if not 1 <= particle <= now[_N_PARTICLES] or state.particle[particle] == event:
        return _LINKS
    state.particle[particle] = event
    if not -now[_N_VERTICES] <= origin <= now[_N_PARTICLES]:
        return _LINKS
    # The origin is a vertex, or a particle that alone goes into a vertex of its own.
    if origin < 0 and state.vertex[-origin] != event:
        state.vertex[-origin] = event
        now[_VERTICES_SEEN] += 1
    elif origin > 0 and state.mother[origin] != event:
        state.mother[origin] = event
        now[_VERTICES_SEEN] += 1
    return _FINE


@njit(cache=True, nogil=True)
def _vertex(text: Any, at: int, end: int, version: int, state: State) -> int:
    now, values = state.now, state.values
    if version == 2:
        at = _numbers(text, at, end, _VERTEX_2, values)
        if at < 0 or values[6] < 0 or values[7] < 0 or _more(text, at, end, values[8]) != end:
            return _FIELDS
        now[_VERTICES_SEEN] += 1
        now[_N_PARTICLES] += values[6] + values[7]
        return _FINE
    at = _numbers(text, at, end, _VERTEX_3, values)
    if at < 0 or at + 2 >= end or text[at + 1] != _OPEN:
        return _FIELDS
    if not -now[_N_VERTICES] <= values[0] <= -1:
        return _LINKS
    at += 1
    if text[at + 1] == _CLOSE:
        return _FINE
    # Particles that go into the vertex: [1,2]
    while text[at] != _CLOSE:
        value, at = _whole(text, at + 1, end)
        if at < 0 or at >= end or (text[at] != _COMMA and text[at] != _CLOSE):
            return _FIELDS
        if not 1 <= value <= now[_N_PARTICLES]:
            return _LINKS
    return _FINE


@njit(cache=True, nogil=True)
def _units(text: Any, at: int, end: int, state: State) -> int:
    """Check a line such as U GEV MM."""
    state.now[_UNITS_SEEN] += 1
    known = (
        (end - at == 8 or (end - at > 8 and text[at + 8] == _SPACE))
        and text[at + 2] in (_G, _M) and text[at + 3] == _E and text[at + 4] == _V and text[at + 5] == _SPACE
        and text[at + 6] in (_M, _C) and text[at + 7] == _M
    )  # fmt: skip
    return _FINE if known else _UNITS


@njit(cache=True, nogil=True)
def _line(text: Any, at: int, end: int, version: int, footer: Any, state: State) -> int:
    """Check a line that is not empty, and return which rule it breaks."""
    now = state.now
    kind = text[at]
    stage = now[STAGE]
    if stage == DONE:
        return _BEHIND
    if kind == _H and end - at == len(footer) and np.all(text[at:end] == footer):
        now[STAGE] = DONE
        return _FINE if stage == HEAD else _close_event(state)
    if at + 1 >= end or text[at + 1] != _SPACE:
        return _FINE if stage == HEAD and kind == _H else _STRANGE
    if kind == _E:
        code = _FINE if stage == HEAD else _close_event(state)
        return code if code != _FINE else _event(text, at + 1, end, version, state)
    if stage == HEAD:
        return _FINE if version == 3 and kind in (_A, _T, _W) else _STRANGE
    if kind in (_P, _V):
        now[STAGE] = BODY
        if kind == _P:
            return _particle(text, at + 1, end, version, state)
        return _vertex(text, at + 1, end, version, state)
    if stage == BODY:
        return _STRANGE
    if kind == _U:
        return _units(text, at, end, state)
    # Attributes, tools and weights of HepMC3; names of weights, cross section, heavy ions and partons of HepMC2.
    known = kind in (_A, _T, _W) if version == 3 else kind in (_N, _C, _H, _F)
    return _FINE if known else _STRANGE


@njit(cache=True, nogil=True)
def check_lines(text: Any, version: int, footer: Any, state: State, found: Events) -> tuple[int, int]:
    """Check the lines of a block.

    Parameters
    ----------
    text
        uint8 (n,), which ends with a line break.
    version
        2 or 3.
    footer
        uint8, the line that ends the listing.
    state
        Is carried on.
    found
        Receives the events that begin in the block, and the particles of those that end; room for one more than begin.

    Returns
    -------
    rule : int
        Position in `RULES` of the one that is broken, in the line that `state` tells; 0 for none.
    end : int
        The byte of the block at which the listing ends; -1 if it does not.
    """
    at, begun, ended, footer_at = 0, 0, 0, -1
    now = state.now
    while at < len(text):
        end = at
        while text[end] != _NEWLINE:
            end += 1
        stop = end - 1 if end > at and text[end - 1] == _RETURN else end
        now[LINE] += 1
        if stop > at:
            events, particles, was_done = now[EVENTS], now[_N_PARTICLES], now[STAGE] == DONE
            rule = _line(text, at, stop, version, footer, state) if stop - at <= LONGEST_LINE else LONG
            if rule != _FINE:
                return rule, -1
            is_done = now[STAGE] == DONE and not was_done
            if events and (now[EVENTS] > events or is_done):
                found.particles[ended] = particles
                ended += 1
            if now[EVENTS] > events:
                found.starts[begun], found.numbers[begun] = at, state.values[0]
                begun += 1
            if is_done:
                footer_at = at
        at = end + 1
    return _FINE, footer_at
