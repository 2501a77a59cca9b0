"""Kernels that read lines of JSON, each a list of four-momenta, without making Python objects of them.

The grammar is that of JSON (RFC 8259), narrowed to what a jet is: a list of objects that all have the same keys, or of
lists of the same length, whose values are numbers. A line that is a string belongs to a header. What is given to the
kernels ends with a line break, so that every loop over bytes comes to an end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

_TAB, _NEWLINE, _RETURN, _SPACE, _QUOTE, _BACKSLASH = 9, 10, 13, 32, 34, 92
_COMMA, _COLON, _MINUS, _PLUS, _POINT, _ZERO, _NINE = 44, 58, 45, 43, 46, 48, 57
_OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT = 91, 93, 123, 125
_UPPER_E, _LOWER_E = 69, 101

_EXACT, _LONG = 0, 1
SYNTAX, NO_NUMBER, TOO_LARGE, OTHER_KEY, REPEATED_KEY, MISSING_KEY, WRONG_LENGTH, OTHER_KIND = range(2, 10)
_ENTRIES, _JETS, _LONG_NUMBERS, _LONG_BYTES, _PROBLEM, _PLACE = range(6)

# A whole number below 2^53 times or over a power of ten up to 10^22 is one rounding of two exact numbers.
_POWERS = np.array([float(f"1e{k}") for k in range(23)])
_LARGEST_WHOLE = 1 << 53
_MOST_DIGITS = 18
# Decimal places of the largest number, whose square is finite too, and of the smallest; smaller ones are 0.
_MOST_PLACES, _LEAST_PLACES = 100, -300
_MOST_EXPONENT = 100_000


class Parsed(NamedTuple):
    """What was read: how far, entries of each jet, all their numbers, and the first problem (0: none) and its place."""

    end: int
    counts: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    problem: int
    place: int


class Keys(NamedTuple):
    """The keys of an entry, one after the other, with their ends; and whether entries are objects or lists."""

    text: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]
    are_named: bool

    @classmethod
    def of(cls, names: tuple[str, ...], are_named: bool) -> Keys:
        """Return the keys of these names."""
        encoded = [name.encode() for name in names]
        return cls(
            np.frombuffer(b"".join(encoded), dtype=np.uint8),
            np.cumsum([0, *map(len, encoded)], dtype=np.int64),
            are_named,
        )


class Parser:
    """Reads jets from lines, into memory that it keeps from one block of lines to the next.

    Parameters
    ----------
    keys
        Of each entry.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._length = -1

    def parse(self, text: npt.NDArray[np.uint8], start: int, most: int) -> Parsed:
        """Read jets.

        Parameters
        ----------
        text
            uint8 (n,): whole lines.
        start
            Where to begin, at the beginning of a line.
        most
            Number of jets to stop after.

        Returns
        -------
        Parsed
            Values are float64 (n_entries, n_keys), in the order of the keys. At a problem, the jets before it.
        """
        import pyarrow as pa

        self._make_room(len(text))
        state = np.zeros(6, dtype=np.int64)
        end = _jets(
            text, start, most, *self._keys, self._counts, self._values, self._long_text, self._long_ends,
            self._long_slots, state,
        )  # fmt: skip
        num_long, width = int(state[_LONG_NUMBERS]), len(self._keys.ends) - 1
        if num_long:
            buffers = [None, pa.py_buffer(self._long_ends[: num_long + 1]), pa.py_buffer(self._long_text)]
            strings = pa.StringArray.from_buffers(num_long, buffers[1], buffers[2], buffers[0])
            self._values[self._long_slots[:num_long]] = strings.cast(pa.float64()).to_numpy()
        counts = self._counts[: state[_JETS]].copy()
        values = self._values[: int(counts.sum()) * width].reshape(-1, width).copy()
        return Parsed(int(end), counts, values, int(state[_PROBLEM]), int(state[_PLACE]))

    def _make_room(self, length: int) -> None:
        if length <= self._length:
            return
        self._length = length
        # The shortest jet is [] and a line break, the shortest entry [0,0] with as many numbers as there are keys.
        width = len(self._keys.ends) - 1
        self._counts = np.empty(length // 3 + 1, dtype=np.int64)
        self._values = np.empty((length // (2 * width + 1) + 1) * width)
        self._long_text = np.empty(length, dtype=np.uint8)
        self._long_ends = np.zeros(length // 2 + 2, dtype=np.int32)
        self._long_slots = np.empty(length // 2 + 1, dtype=np.int64)


@njit(cache=True, nogil=True)
def skip_jets(text: Any, start: int, most: int) -> Any:
    """Pass over whole lines without reading their numbers.

    Returns
    -------
    num : int
        How many jets there are from `start` on, at most `most`.
    end : int
        Where the last of them ends.
    place : int
        Where a line of the header goes wrong, after which nothing is counted; -1 if none does.
    """
    at, num = start, 0
    while at < len(text) and num < most:
        at = _after_blanks(text, at)
        if text[at] == _QUOTE:
            at = _after_blanks(text, _after_string(text, at))
            if text[at] != _NEWLINE:
                return num, at, at
        elif text[at] != _NEWLINE:
            num += 1
            while text[at] != _NEWLINE:
                at += 1
        at += 1
    return num, at, -1


@njit(cache=True, nogil=True)
def _jets(
    text: Any, at: int, most: int, keys: Any, key_ends: Any, named: bool, counts: Any, values: Any, long_text: Any,
    long_ends: Any, long_slots: Any, state: Any,
) -> int:  # fmt: skip
    while at < len(text) and state[_JETS] < most:
        place = _after_blanks(text, at)
        if text[place] == _QUOTE:
            place = _after_blanks(text, _after_string(text, place))
        elif text[place] != _NEWLINE:
            before = state[_ENTRIES]
            place = _jet(text, place, keys, key_ends, named, values, long_text, long_ends, long_slots, state)
            if state[_PROBLEM] == 0 and text[place] == _NEWLINE:
                counts[state[_JETS]] = state[_ENTRIES] - before
                state[_JETS] += 1
        if state[_PROBLEM] == 0 and text[place] != _NEWLINE:
            _note(state, SYNTAX, place)
        if state[_PROBLEM]:
            return at
        at = place + 1
    return at


@njit(cache=True, nogil=True)
def _jet(
    text: Any, at: int, keys: Any, key_ends: Any, named: bool, values: Any, long_text: Any, long_ends: Any,
    long_slots: Any, state: Any,
) -> int:  # fmt: skip
    if text[at] != _OPEN_LIST:
        return _note(state, SYNTAX, at)
    at = _after_blanks(text, at + 1)
    if text[at] == _CLOSE_LIST:
        return _after_blanks(text, at + 1)
    while True:
        at = _entry(text, at, keys, key_ends, named, values, long_text, long_ends, long_slots, state)
        if state[_PROBLEM]:
            return at
        state[_ENTRIES] += 1
        at = _after_blanks(text, at)
        if text[at] == _CLOSE_LIST:
            return _after_blanks(text, at + 1)
        if text[at] != _COMMA:
            return _note(state, SYNTAX, at)
        at = _after_blanks(text, at + 1)


@njit(cache=True, nogil=True)
def _entry(
    text: Any, at: int, keys: Any, key_ends: Any, named: bool, values: Any, long_text: Any, long_ends: Any,
    long_slots: Any, state: Any,
) -> int:  # fmt: skip
    width, seen, num = len(key_ends) - 1, 0, 0
    if text[at] != (_OPEN_OBJECT if named else _OPEN_LIST):
        return _note(state, OTHER_KIND, at)
    while True:
        at = _after_blanks(text, at + 1)
        key = num
        if named:
            if text[at] != _QUOTE:
                return _note(state, MISSING_KEY if text[at] == _CLOSE_OBJECT and num == 0 else SYNTAX, at)
            key = _which_key(text, at + 1, keys, key_ends, num)
            if key < 0 or seen >> key & 1:
                return _note(state, OTHER_KEY if key < 0 else REPEATED_KEY, at)
            at = _after_blanks(text, at + 2 + key_ends[key + 1] - key_ends[key])
            if text[at] != _COLON:
                return _note(state, SYNTAX, at)
            at = _after_blanks(text, at + 1)
        elif num == width or text[at] == _CLOSE_LIST:
            return _note(state, WRONG_LENGTH, at)
        slot = state[_ENTRIES] * width + key
        status, end, values[slot] = _number(text, at)
        if status == _LONG:
            _keep_long(text, at, end, slot, long_text, long_ends, long_slots, state)
        elif status != _EXACT:
            return _note(state, status, at)
        seen |= 1 << key
        num += 1
        at = _after_blanks(text, end)
        if text[at] == (_CLOSE_OBJECT if named else _CLOSE_LIST):
            return at + 1 if num == width else _note(state, MISSING_KEY if named else WRONG_LENGTH, at)
        if text[at] != _COMMA:
            return _note(state, SYNTAX, at)


@njit(cache=True, nogil=True)
def _which_key(text: Any, at: int, keys: Any, key_ends: Any, guess: int) -> int:
    """Return the number of the key that stands here, -1 if it is none of them; `guess` is tried first."""
    width = len(key_ends) - 1
    for shift in range(width):
        key = (guess + shift) % width
        length = key_ends[key + 1] - key_ends[key]
        same = 0
        # No key has a line break in it, at which the text ends.
        while same < length and text[at + same] == keys[key_ends[key] + same]:
            same += 1
        if same == length and text[at + same] == _QUOTE:
            return key
    return -1


@njit(cache=True, nogil=True)
def _number(text: Any, at: int) -> Any:
    """Return how a number is to be taken, where it ends, and its value if it is exact."""
    negative = text[at] == _MINUS
    at += negative
    if not _is_digit(text[at]) or (text[at] == _ZERO and _is_digit(text[at + 1])):
        return NO_NUMBER, at, 0.0
    whole, digits, exponent, is_exact = 0, 0, 0, True
    in_fraction = False
    while True:
        if _is_digit(text[at]):
            if digits < _MOST_DIGITS:
                whole = 10 * whole + text[at] - _ZERO
                digits += whole != 0
                exponent -= in_fraction
            else:
                is_exact = False
                exponent += not in_fraction
        elif text[at] == _POINT and not in_fraction and _is_digit(text[at + 1]):
            in_fraction = True
        else:
            break
        at += 1
    if text[at] == _LOWER_E or text[at] == _UPPER_E:
        at += 1
        sign = -1 if text[at] == _MINUS else 1
        at += text[at] == _MINUS or text[at] == _PLUS
        if not _is_digit(text[at]):
            return NO_NUMBER, at, 0.0
        written = 0
        while _is_digit(text[at]):
            written = min(10 * written + text[at] - _ZERO, _MOST_EXPONENT)
            at += 1
        exponent += sign * written
    value = float(whole)
    if whole == 0 or digits + exponent < _LEAST_PLACES:
        value = 0.0
    elif digits + exponent > _MOST_PLACES:
        return TOO_LARGE, at, 0.0
    elif not is_exact or whole > _LARGEST_WHOLE or abs(exponent) >= len(_POWERS):
        return _LONG, at, 0.0
    elif exponent < 0:
        value /= _POWERS[-exponent]
    else:
        value *= _POWERS[exponent]
    return _EXACT, at, -value if negative else value


@njit(cache=True, nogil=True)
def _keep_long(
    text: Any, at: int, end: int, slot: int, long_text: Any, long_ends: Any, long_slots: Any, state: Any
) -> None:
    """Put a number that needs more than one rounding where all such are turned into floats together."""
    num, to = state[_LONG_NUMBERS], state[_LONG_BYTES]
    for k in range(at, end):
        long_text[to + k - at] = text[k]
    long_slots[num] = slot
    long_ends[num + 1] = to + end - at
    state[_LONG_NUMBERS] = num + 1
    state[_LONG_BYTES] = to + end - at


@njit(cache=True, nogil=True)
def _after_string(text: Any, at: int) -> Any:
    """Return the place after the string that begins here; the line's end if the string does not end."""
    at += 1
    while text[at] != _QUOTE and text[at] != _NEWLINE:
        at += 2 if text[at] == _BACKSLASH and text[at + 1] != _NEWLINE else 1
    return at + (text[at] == _QUOTE)


@njit(cache=True, nogil=True)
def _after_blanks(text: Any, at: int) -> int:
    while text[at] == _SPACE or text[at] == _TAB or text[at] == _RETURN:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _is_digit(byte: int) -> bool:
    return _ZERO <= byte <= _NINE


@njit(cache=True, nogil=True)
def _note(state: Any, problem: int, place: int) -> int:
    state[_PROBLEM], state[_PLACE] = problem, place
    return place
