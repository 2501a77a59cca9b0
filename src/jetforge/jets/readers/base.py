"""What every reader of a public format offers: its card, its options, how it is recognised, and jets by rows."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.jets import Jets
from jetforge.jets.readers.constituents.ragged import row_of
from jetforge.jets.readers.contents import Contents


@dataclass(frozen=True)
class FormatCard:
    """What a person should know of a format before using it; `jetforge info NAME` and its page in the docs show it.

    Every text is one or more whole sentences; `traps` has one entry a trap.
    """

    name: str
    title: str
    layout: str
    origin: str
    made: str
    units: str
    licence: str
    citation: str
    traps: tuple[str, ...]


@dataclass(frozen=True)
class Option:
    """A setting of a reader: its default, which also says its type (bool, int, float, str), meaning and choices.

    `is_file` says that the value is the path of a file, whose contents are part of the setting.
    """

    default: bool | int | float | str
    meaning: str
    choices: tuple[str, ...] = ()
    is_file: bool = False


UNITS = {"GeV": 1.0, "MeV": 1e-3}
"""What momenta may be in, in GeV."""


def unit_option(meaning: str = "what the momenta are in", default: str = "GeV") -> Option:
    """Return the option `unit` of a reader, which knows it as `Reader.unit` and `Reader.to_gev`."""
    return Option(default, meaning, tuple(UNITS))


class Reader(ABC):
    """One open file of one format.

    A reader is made for a path, knows how many rows the file has without reading them, and returns the jets of any
    range of rows, always the same ones. It reads nothing that its file only claims to have: see `limits`.

    Attributes
    ----------
    num_rows : int
        Rows of the file: jets, or events where `rows_are` says so.
    classes : tuple of str
        Names of the classes that the file's labels number, background first; empty where the file has no labels.
    unit : str
        What the file's momenta are in, GeV or MeV; those of the jets are in GeV.
    unit_is_given : bool
        Whether the user said so.
    to_gev : float
        What the file's momenta are multiplied by.
    left_out : dict
        How many jets the latest `read` left out, by the reason for which the format or its options say so.
    """

    card: ClassVar[FormatCard]
    options: ClassVar[Mapping[str, Option]] = {}
    rows_are: ClassVar[str] = "jets"
    part_rows: ClassVar[int] = 20_000
    """Rows of one part of a converted dataset, unless the user says otherwise: what is held in memory at a time."""
    relative: ClassVar[bool] = False
    """Whether momenta have no scale (images), so that wrong units cannot be noticed."""

    num_rows: int
    classes: tuple[str, ...] = ()
    passing_fields: tuple[str, ...] = ()
    """Jet fields that say what becomes of a jet and are not stored with it."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = settings
        self.unit: str = settings.get("unit") or "GeV"
        self.unit_is_given = False
        self.to_gev = UNITS[self.unit]
        self.left_out: dict[str, int] = {}

    @classmethod
    @abstractmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether a file is of this format, by what it contains."""

    @abstractmethod
    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of the rows ``start <= row < stop``, in order.

        Returns
        -------
        Jets
            Without padding. Constituents: ``px, py, pz, energy`` in GeV and whatever else the file has; jet fields:
            what the file has of each jet under the package's names (``pt``, ``eta``, ``phi``, ``mass`` in GeV), and
            ``label`` (int64) where it has one.

        Raises
        ------
        DataError
            If the rows cannot be read whole, or break a rule; the message names the file and the row.
        """

    def close(self) -> None:  # noqa: B027
        """Give back what the reader holds open."""

    def stated_splits(self, jets: Jets) -> npt.NDArray[np.int8] | None:
        """Return for each of the jets which of `SPLITS` (train, val, test) the file says it is for, by number.

        None where the file does not say.
        """
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def error(self, message: str, row: int | None = None) -> DataError:
        """Return an error that names this file, and the row."""
        where = f"{self.path}: " if row is None else f"{self.path}: row {row}: "
        return DataError(where + message)

    def refuse(
        self, wrong: npt.NDArray[np.bool_], name: str, values: npt.NDArray[Any], rule: str, start: int,
        offsets: npt.NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        """Raise an error for the first value that breaks a rule, if any does.

        Parameters
        ----------
        wrong
            bool (n,): which values break it.
        name, values, rule
            What is said is "NAME is VALUE, RULE".
        start
            The file's row of the first value, or of the first offset.
        offsets
            Where each row's values begin; one a row if None.
        """
        if wrong.any():
            place = int(np.argmax(wrong))
            row = start + (place if offsets is None else row_of(place, offsets))
            raise self.error(f"{name} is {values[place]}, {rule}", row)


def checked_settings(reader: type[Reader], given: Mapping[str, str | bool | int | float]) -> dict[str, Any]:
    """Return the settings of a reader: what was given, turned into the type of its default, and defaults.

    Raises
    ------
    JetforgeError
        If there is no such option, or a value is not one of its choices or of its type.
    """
    settings: dict[str, Any] = {name: option.default for name, option in reader.options.items()}
    for name, value in given.items():
        if name not in reader.options:
            near = difflib.get_close_matches(name, reader.options, n=1)
            known = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(reader.options) or 'none'}"
            raise JetforgeError(f"the format {reader.card.name} has no option '{name}'; {known}")
        settings[name] = _checked_value(name, reader.options[name], value)
    return settings


def _checked_value(name: str, option: Option, value: str | bool | int | float) -> bool | int | float | str:
    kind = type(option.default)
    wrong = JetforgeError(f"option {name}={value}: it must be {_describe(option)}")
    if kind is bool:
        truth = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if str(value).lower() not in truth:
            raise wrong
        return truth[str(value).lower()]
    try:
        converted = kind(value)
        whole = kind is not int or float(value) == converted
    except (ValueError, TypeError, OverflowError):
        raise wrong from None
    if not whole:
        raise wrong
    if isinstance(converted, float) and not np.isfinite(converted):
        raise wrong
    if option.choices and converted not in option.choices:
        raise wrong
    return converted


def _describe(option: Option) -> str:
    if option.choices:
        return f"one of {', '.join(option.choices)}"
    return {bool: "yes or no", int: "a whole number", float: "a number", str: "text"}[type(option.default)]
