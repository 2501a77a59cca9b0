"""What the columns of a user's own file mean: a YAML file, whose mistakes are named with line and key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from jetforge.errors import RecipeError
from jetforge.jets.classes import background_first
from jetforge.yaml_files import line_of, read_yaml

_CARTESIAN = ("px", "py", "pz")
_DIRECTIONS = ("eta", "y")
_RESERVED = ("px", "py", "pz", "energy")
_OWN_KEYS = {"label": "label", "weight": "weight", "split": "split"}
# Names of quantities in the unit of the momenta, also behind a prefix (raw_pt), unless that says it is none (log_pt).
_IN_UNIT = ("pt", "px", "py", "pz", "energy", "mass", "sdmass", "msoftdrop")
_WITHOUT_UNIT = {"log", "ln", "rel", "relative", "frac", "fraction", "share", "ratio"}

Value = int | str


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MomentumColumns(_Section):
    """Columns of the constituents' momenta: ``px, py, pz``, or ``pt, phi`` and one of ``eta`` and ``y`` (rapidity).

    With them one of ``energy``, ``mass`` (negative for a spacelike momentum, as in ROOT) and ``massless: true``.
    """

    px: str | None = None
    py: str | None = None
    pz: str | None = None
    pt: str | None = None
    eta: str | None = None
    y: str | None = None
    phi: str | None = None
    energy: str | None = None
    mass: str | None = None
    massless: bool = False

    @model_validator(mode="after")
    def _whole(self) -> MomentumColumns:
        given = set(self.columns) - {"energy", "mass"}
        if given != set(_CARTESIAN) and given not in ({"pt", "phi", direction} for direction in _DIRECTIONS):
            raise ValueError(f"give px, py, pz, or pt, eta (or y), phi; there are {', '.join(sorted(given)) or 'none'}")
        if (self.energy is not None) + (self.mass is not None) + self.massless != 1:
            raise ValueError("give one of energy, mass and massless: true")
        return self

    @property
    def columns(self) -> dict[str, str]:
        """The file's column of each quantity that is given."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name != "massless"}
        return {name: column for name, column in given.items() if column is not None}


class LabelColumns(_Section):
    """Where a jet's class is: in one ``column``, or in columns of zeros and ones, ``one_hot: {CLASS: COLUMN}``.

    ``classes`` names the classes: as a list, background first, the numbers in the column counting from 0; or as
    ``{CLASS: VALUE}`` with the number or the text that the column has for each; the usual backgrounds (qcd, gluon,
    background) are then the first class, the others follow in the order of the mapping. Without it a file of whole
    numbers has the classes ``class0, class1, ...``.
    """

    column: str | None = None
    classes: tuple[str, ...] | dict[str, Value] | None = None
    one_hot: dict[str, str] | None = None

    @field_validator("classes", "one_hot", mode="after")
    @classmethod
    def _background_first(cls, named: Any) -> Any:
        return {name: named[name] for name in background_first(named)} if isinstance(named, dict) else named

    @model_validator(mode="after")
    def _one_of_both(self) -> LabelColumns:
        if (self.column is None) == (self.one_hot is None):
            raise ValueError("give column or one_hot")
        if self.one_hot is not None and self.classes is not None:
            raise ValueError("classes are the keys of one_hot; leave classes out")
        if self.names is not None and (not self.names or len(set(self.names)) < len(self.names) or "" in self.names):
            raise ValueError("classes have names, each its own")
        if self.values is not None and len(set(self.values)) < len(self.values):
            raise ValueError("classes have values, each its own")
        return self

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the classes, None where the mapping has none."""
        named = self.classes if self.one_hot is None else self.one_hot
        return None if named is None else tuple(named)

    @property
    def values(self) -> tuple[Value, ...] | None:
        """What the column has for each class, None where these are numbers from 0."""
        return tuple(self.classes.values()) if isinstance(self.classes, dict) else None


class SplitColumn(_Section):
    """The column that says which split a jet is for, and what it has for each of them."""

    column: str
    train: Value = "train"
    val: Value = "val"
    test: Value = "test"


class ColumnMapping(_Section):
    """The meaning of the columns of a Parquet, ROOT or HDF5 file with a row (entry) a jet.

    Attributes
    ----------
    momentum : MomentumColumns
        Columns of the constituents' four-momenta: lists, or rows of a fixed length that are filled up with zeros.
    unit : str
        ``GeV`` or ``MeV``: of the momenta, and of further columns, see `is_in_unit`.
    in_unit : list, optional
        Our names of further columns that are in this unit too.
    table : str, optional
        The TTree of a ROOT file, or the group of an HDF5 file.
    constituents : dict
        Further columns of the constituents: the file's name, and ours (``pid``, ``charge``, ``d0``, ...).
    jets : dict
        Columns with a number a jet: the file's name, and ours (``pt``, ``eta``, ``phi``, ``mass``, ...).
    label : LabelColumns, optional
        Where a jet's class is.
    weight : str, optional
        Column of the jets' weights.
    split : SplitColumn, optional
        Where it says which split a jet is for.
    mask : str, optional
        Column of the constituents, not zero where there is one.
    number : str, optional
        Column with the number of constituents of each jet; what comes after them is padding.
    padding : bool, optional
        Whether a constituent whose momentum is all zero is padding. By default it is, unless `mask` or `number` say
        what padding is.

    Notes
    -----
    In HDF5 a column may also be ``NAME[i]``, the i-th number (from 0) of the last axis of an array, and ``NAME.FIELD``
    of a compound type; in Parquet ``NAME.FIELD`` of lists of records.

    Examples
    --------
    A mapping for a file with a two-dimensional array per quantity, in MeV::

        unit: MeV
        momentum: {pt: clus_pt, eta: clus_eta, phi: clus_phi, energy: clus_E}
        constituents: {clus_taste: taste}
        jets: {jet_pt: pt, jet_eta: eta}
        label: {column: labels, classes: [qcd, top]}
        weight: weights
    """

    momentum: MomentumColumns
    unit: Literal["GeV", "MeV"] = "GeV"
    in_unit: tuple[str, ...] = ()
    table: str | None = None
    constituents: dict[str, str] = {}
    jets: dict[str, str] = {}
    label: LabelColumns | None = None
    weight: str | None = None
    split: SplitColumn | None = None
    mask: str | None = None
    number: str | None = None
    padding: bool | None = None

    @field_validator("constituents", "jets")
    @classmethod
    def _names_of_ours(cls, names: dict[str, str]) -> dict[str, str]:
        ours = list(names.values())
        twice = next((name for name in ours if ours.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two columns are called '{twice}'; give each its own name")
        wrong = next((name for name in ours if not name.isidentifier()), None)
        if wrong is not None:
            raise ValueError(f"'{wrong}' is no name; take letters, digits and underscores")
        return names

    @model_validator(mode="after")
    def _no_name_twice(self) -> ColumnMapping:
        for name in self.constituents.values():
            if name in _RESERVED or (name == "mass" and self.momentum.mass is not None):
                raise ValueError(f"constituents: '{name}' is made from momentum; leave it out")
            if name.startswith("jet_"):
                raise ValueError(f"constituents: '{name}' begins with jet_, as only fields of jets do")
        for name in self.jets.values():
            if name in _OWN_KEYS:
                raise ValueError(f"jets: '{name}' has a key of its own, {name}: ...")
        if self.mask is not None and self.number is not None:
            raise ValueError("give mask or number, not both")
        return self

    @model_validator(mode="after")
    def _units_of_columns(self) -> ColumnMapping:
        named = {*self.constituents.values(), *self.jets.values()}
        unknown = next((name for name in self.in_unit if name not in named), None)
        if unknown is not None:
            raise ValueError(f"in_unit: '{unknown}' is no name in constituents or jets; {nearest(unknown, named)}")
        return self

    def is_in_unit(self, name: str) -> bool:
        """Say whether a column, by our name, is in the unit of the momenta.

        It is if `in_unit` says so, or if it is called ``pt``, ``px``, ``py``, ``pz``, ``energy``, ``mass``, ``sdmass``
        or ``msoftdrop``, alone or behind a prefix such as in ``raw_pt``; but not behind one such as in ``log_pt`` or
        ``rel_pt``.
        """
        *prefix, quantity = name.lower().split("_")
        return name in self.in_unit or (quantity in _IN_UNIT and not _WITHOUT_UNIT & {*prefix})

    def columns(self) -> Iterator[tuple[str, str, str]]:
        """Yield for each column its key in the mapping, its name in the file, and what it must be.

        That is ``list``, ``number``, or ``class``: a number or a text.
        """
        for quantity, name in self.momentum.columns.items():
            yield f"momentum.{quantity}", name, "list"
        for name in self.constituents:
            yield f"constituents.{name}", name, "list"
        if self.mask is not None:
            yield "mask", self.mask, "list"
        for name in self.jets:
            yield f"jets.{name}", name, "number"
        for key in ("number", "weight"):
            if getattr(self, key) is not None:
                yield key, getattr(self, key), "number"
        if self.label is not None:
            if self.label.column is not None:
                yield "label.column", self.label.column, "class"
            for class_name, name in (self.label.one_hot or {}).items():
                yield f"label.one_hot.{class_name}", name, "number"
        if self.split is not None:
            yield "split.column", self.split.column, "class"


def read_mapping(path: str | Path) -> ColumnMapping:
    """Read a mapping of columns.

    Raises
    ------
    RecipeError
        One line for all mistakes, each with its line in the file, its key, and the key that may have been meant.
    """
    path = Path(path)
    values, root = read_yaml(path, "a mapping")
    if not isinstance(values, dict):
        raise RecipeError(f"{path}:1: a mapping of columns has keys such as momentum, jets and label")
    try:
        return ColumnMapping.model_validate(values)
    except ValidationError as error:
        shown = dict.fromkeys(_describe(mistake, root, path) for mistake in error.errors())
        raise RecipeError("; ".join(shown)) from None


def nearest(name: str, known: Iterable[str], most: int = 8) -> str:
    """Return what to say of a name that is not there: the nearest that is, or the first few."""
    names = list(known)
    lowered = {each.lower(): each for each in reversed(names)}
    near = difflib.get_close_matches(name, names, n=1) or [
        lowered[each] for each in difflib.get_close_matches(name.lower(), lowered, n=1)
    ]
    if near:
        return f"did you mean '{near[0]}'?"
    return f"there are: {', '.join(names[:most])}{', ...' if len(names) > most else ''}" if names else "there are none"


def _describe(mistake: Any, root: Any, path: Path) -> str:
    # Where a value may be of several types, pydantic names the type that it tried.
    location = tuple(step for step in mistake["loc"] if step not in _TYPES and not str(step).startswith("dict["))
    where = f"{path}:{line_of(root, location)}: " + (f"{'.'.join(map(str, location))}: " if location else "")
    if mistake["type"] == "extra_forbidden":
        known = (_SECTIONS.get(str(location[0]), ColumnMapping) if len(location) > 1 else ColumnMapping).model_fields
        return f"{where}no such key; {nearest(str(location[-1]), known)}"
    if mistake["type"] == "missing":
        return f"{where}this key is missing"
    message = mistake["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = mistake["input"]
    return f"{where}{message}" + ("" if mistake["type"] == "value_error" else f", not {given!r}")


_TYPES = ("int", "str", "tuple[str, ...]")
_SECTIONS: dict[str, type[BaseModel]] = {"momentum": MomentumColumns, "label": LabelColumns, "split": SplitColumn}
