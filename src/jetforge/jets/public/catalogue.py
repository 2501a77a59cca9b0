"""The catalogue of public jet data sets: where their files are, how large, their checksums, and how to cite them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from jetforge.errors import JetforgeError
from jetforge.jets.readers import list_formats
from jetforge.yaml_files import line_of, read_yaml

CATALOGUE_VARIABLE = "JETFORGE_CATALOGUE"
"""Environment variable that names a YAML file with more data sets, such as those of a group."""

DIGITS = {"adler32": 8, "md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
"""Checksum algorithms, and how many hexadecimal digits each has."""

# Names that a download itself makes beside FILE.
RESERVED_ENDINGS = (".part", ".part.json", ".damaged", ".sha256", ".tmp")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=,@()-]{0,149}")
_SET_NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"


def _file_name(name: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        raise ValueError("a file's name has letters, digits and _.+=,@()- only, no folder, and begins with no dot")
    if name.lower().endswith(RESERVED_ENDINGS):
        raise ValueError(f"a file's name cannot end in one of {', '.join(RESERVED_ENDINGS)}")
    return name


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        whole = False
    if not whole or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("an address begins with https:// or http:// and has no spaces")
    return url


def _checksum(text: str) -> str:
    algorithm, _, value = text.partition(":")
    if algorithm not in DIGITS or not re.fullmatch(f"[0-9a-fA-F]{{{DIGITS.get(algorithm, 1)}}}", value):
        known = ", ".join(f"{name} ({digits} digits)" for name, digits in DIGITS.items())
        raise ValueError(f"a checksum is algorithm:hex with an algorithm of {known}")
    return f"{algorithm}:{value.lower()}"


FileName = Annotated[str, AfterValidator(_file_name)]
Address = Annotated[str, AfterValidator(_address)]
Checksum = Annotated[str, AfterValidator(_checksum)]
Word = Annotated[str, Field(pattern=r"^[\w.+-]+$")]
Text = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PublicFile(_Strict):
    """A file of a data set.

    Attributes
    ----------
    name : str
        What it is called on disk: a plain name without a folder.
    url : str
        Where it is fetched from, http or https.
    size : int, optional
        Bytes.
    checksum : str, optional
        ``algorithm:hex``; algorithms are adler32, md5, sha1, sha256 and sha512.
    group : str, optional
        What it is for, such as train, val or test.
    class_name : str, optional
        Class of its jets where the file itself has no labels; ``class`` in the catalogue.
    """

    name: FileName
    url: Address
    size: Annotated[int, Field(gt=0)] | None = None
    checksum: Checksum | None = None
    group: Word | None = None
    class_name: Word | None = Field(default=None, alias="class")


class FileList(PublicFile):
    """A file that lists further files of a data set.

    Attributes
    ----------
    form : str
        ``cern``: a file index of the CERN Open Data Portal (JSON); ``urls``: text with an address a line.
    """

    form: Literal["cern", "urls"]


class PublicSet(_Strict):
    """A public data set.

    Attributes
    ----------
    name, title, citation : str
        Its name in the catalogue, what it is in one line, and what to cite.
    format : str
        Name of the format that its files are read with, one of `jetforge.jets.readers.list_formats`.
    licence : str, optional
        None where none is stated.
    doi, page : str, optional
        At least one of them says where it is described.
    note : str, optional
        What to know before fetching.
    pattern : str, optional
        Shell pattern of the data files where the catalogue does not name them: in archives, or in lists.
    url : str, optional
        Address of every file that has none of its own, with ``{name}`` for its name.
    files, lists : tuple
        The files, and files that list further files.
    """

    name: Annotated[str, Field(pattern=_SET_NAME)]
    title: Text
    format: str
    citation: Text
    licence: Text | None = None
    doi: Annotated[str, Field(pattern=r"^10\.\d{4,9}/\S+$")] | None = None
    page: Address | None = None
    note: Text | None = None
    pattern: Text | None = None
    url: str | None = None
    files: Annotated[tuple[PublicFile, ...], Field(strict=False)] = ()
    lists: Annotated[tuple[FileList, ...], Field(strict=False)] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_in_addresses(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("url"), str):
            return values
        if "{name}" not in values["url"]:
            raise ValueError("the url of a data set has {name} where the name of a file belongs")
        filled = dict(values)
        for key in ("files", "lists"):
            if isinstance(values.get(key), list):
                filled[key] = [_with_address(file, values["url"]) for file in values[key]]
        return filled

    @model_validator(mode="after")
    def _check_as_a_whole(self) -> PublicSet:
        formats = list_formats()
        if self.format not in formats:
            near = difflib.get_close_matches(self.format, formats, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(formats)}"
            raise ValueError(f"there is no format '{self.format}'; {hint}")
        if self.doi is None and self.page is None:
            raise ValueError("a doi or a page must say where it is described")
        # Some file systems do not tell upper case from lower.
        names = [file.name.lower() for file in (*self.files, *self.lists)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the file {twice} is named twice")
        return self

    @property
    def home(self) -> str:
        """Address of the page that describes the data set."""
        return self.page or f"https://doi.org/{self.doi}"

    @property
    def known_size(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(file.size or 0 for file in self.files)

    @property
    def size_is_known(self) -> bool:
        """Whether `known_size` is that of the whole data set."""
        return not self.lists and all(file.size for file in self.files)


def _with_address(file: Any, template: str) -> Any:
    if not isinstance(file, dict) or "url" in file or not isinstance(file.get("name"), str):
        return file
    return {**file, "url": template.replace("{name}", quote(file["name"]))}


def load_catalogue(path: str | Path | None = None) -> dict[str, PublicSet]:
    """Return the public data sets by name.

    Parameters
    ----------
    path
        A YAML file that maps names to data sets. None for jetforge's own catalogue and, in addition, the file that the
        environment variable ``JETFORGE_CATALOGUE`` names; of two data sets of one name the latter's counts.

    Returns
    -------
    dict
        In the order of the files.

    Raises
    ------
    JetforgeError
        If a catalogue cannot be read or breaks a rule; the message names the file, the line and the field.
    """
    if path is not None:
        return _load(Path(path))
    with resources.as_file(resources.files("jetforge.jets.public") / "catalogue.yaml") as own:
        sets = _load(own)
    if more := os.environ.get(CATALOGUE_VARIABLE):
        sets.update(_load(Path(more), f"{CATALOGUE_VARIABLE}={more}"))
    return sets


def get_set(name: str) -> PublicSet:
    """Return a data set of the catalogue.

    Raises
    ------
    JetforgeError
        If there is none of that name; the nearest is suggested.
    """
    sets = load_catalogue()
    if name not in sets:
        near = difflib.get_close_matches(name.lower(), sets, n=1) or [known for known in sets if name.lower() in known]
        hint = f"did you mean '{near[0]}'?" if near and name else "to list all: jetforge datasets"
        raise JetforgeError(f"there is no public data set '{name}'; {hint}")
    return sets[name]


def choose(files: Sequence[PublicFile], patterns: Sequence[str], name: str) -> list[PublicFile]:
    """Return the files whose name or group one of the patterns matches, all of them if there is no pattern.

    Raises
    ------
    JetforgeError
        If a pattern matches none of the files of the data set `name`.
    """
    for pattern in patterns:
        if not any(_matches(file, pattern) for file in files):
            groups = ", ".join(dict.fromkeys(file.group for file in files if file.group))
            raise JetforgeError(
                f"{name}: no file is called '{pattern}'; its files are {_shown([file.name for file in files])}"
                + (f"; groups are {groups}" if groups else "")
            )
    return [file for file in files if not patterns or any(_matches(file, pattern) for pattern in patterns)]


def _matches(file: PublicFile, pattern: str) -> bool:
    return fnmatchcase(file.name, pattern) or pattern == file.group


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 5 else f"{names[0]}, {names[1]}, ... {names[-1]}"


def _load(path: Path, named_by: str | None = None) -> dict[str, PublicSet]:
    values, root = read_yaml(path, "a catalogue", f"{named_by or path}: the catalogue")
    if not isinstance(values, dict) or not values:
        raise JetforgeError(f"{path}:1: a catalogue maps the name of each data set to what is known of it")
    named = {str(key): {**one, "name": str(key)} if isinstance(one, dict) else one for key, one in values.items()}
    try:
        return TypeAdapter(dict[str, PublicSet]).validate_python(named)
    except ValidationError as error:
        raise JetforgeError(_described(error.errors()[0], root, path)) from None


def _described(mistake: Mapping[str, Any], root: Any, path: Path) -> str:
    location = tuple(mistake["loc"])
    where = f"{path}:{line_of(root, location)}: {'.'.join(map(str, location))}"
    if mistake["type"] == "extra_forbidden":
        return f"{where}: there is no such field"
    if mistake["type"] == "missing":
        return f"{where}: is missing"
    message = mistake["msg"].removeprefix("Value error, ")
    shown = f", not {mistake['input']!r}" if isinstance(mistake["input"], str | int | float | bool) else ""
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"
