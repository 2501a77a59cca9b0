"""All readers by name, and the one that a file needs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.readers.base import Reader, checked_settings
from jetforge.jets.readers.contents import Contents, look_into

# Name, module and class; a file is tried in this order, and formats exclude one another by their contents.
_HOMES = {
    "toptag": "toptag:TopTagReader",
    "toptag-images": "toptag_images:TopTagImagesReader",
    "nanoaod": "nanoaod:NanoAodReader",
    "ml4sci": "ml4sci:Ml4SciReader",
    "hepmc": "hepmc:HepMcReader",
    "delphes": "delphes:DelphesReader",
    "jetnet": "jetnet:JetNetReader",
    "lundnet": "lundnet:LundNetReader",
    "atlas": "atlas:AtlasReader",
    "energyflow": "energyflow:EnergyFlowReader",
    "jetclass": "jetclass:JetClassReader",
    "jetclass2": "jetclass2:JetClass2Reader",
    # The last of all: what no other format claims.
    "columns": "columns:ColumnsReader",
}
# Containers whose columns a mapping may describe.
_WITH_COLUMNS = ("hdf5", "root", "parquet")


def list_formats() -> list[str]:
    """Return the names of all formats that can be read."""
    return list(_HOMES)


def get_reader(name: str) -> type[Reader]:
    """Return the reader class of a format.

    Raises
    ------
    JetforgeError
        If there is no such format.
    """
    if name not in _HOMES:
        near = difflib.get_close_matches(name, _HOMES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(_HOMES)}"
        raise JetforgeError(f"there is no format '{name}'; {hint}")
    module, _, cls = _HOMES[name].partition(":")
    found: type[Reader] = getattr(import_module(f"jetforge.jets.readers.{module}"), cls)
    return found


def recognise(path: Path) -> str:
    """Return the name of a file's format, found by its contents.

    Raises
    ------
    DataError
        If the file cannot be read, or is of none of the formats.
    """
    contents = look_into(path)
    for name in _HOMES:
        if get_reader(name).recognises(contents):
            return name
    key = _key_of_frame(contents)
    if key is not None:
        raise DataError(f"{path}: of none of the known formats; it is {_shown_frame(contents, key)}")
    if contents.container in _WITH_COLUMNS:
        cure = "Describe its columns in a mapping: jetforge info columns"
    else:
        cure = "Formats that are read: jetforge info formats"
    raise DataError(f"{path}: of none of the known formats; it is {_shown(contents)}. {cure}")


def open_reader(path: str | Path, format: str | None = None, settings: Mapping[str, Any] | None = None) -> Reader:  # noqa: A002
    """Open a file with the reader of its format.

    Parameters
    ----------
    path
        The file.
    format
        Name of the format; None to find it by the file's contents.
    settings
        Options of the reader; see `Reader.options`.

    Returns
    -------
    Reader

    Raises
    ------
    DataError
        If the file cannot be read, or is not of the format.
    JetforgeError
        If there is no such format or option.
    """
    path = Path(path)
    reader = get_reader(format or recognise(path))
    opened = reader(path, checked_settings(reader, settings or {}))
    opened.unit_is_given = "unit" in (settings or {})
    return opened


def _key_of_frame(contents: Contents) -> str | None:
    """Return the key under which pandas wrote a data frame, the first of several; None where it wrote none."""
    for name, kind in contents.names.items():
        key, _, last = name.rpartition("/")
        table = last == "table" and kind.startswith("[('index', ")
        if (
            contents.container == "hdf5"
            and key
            and (table or (last == "block0_values" and f"{key}/axis0" in contents.names))
        ):
            return key
    return None


def _shown_frame(contents: Contents, key: str) -> str:
    from jetforge.jets.readers.containers.pandas_frames import frame_columns
    from jetforge.jets.readers.toptag import COMPONENTS, KEY

    first = [f"{name}_0" for name in COMPONENTS]
    try:
        columns = frame_columns(contents, key)
    except DataError:  # of objects, such as lists, which only pandas itself reads
        columns = ()
    shown = f"a pandas frame under the key '{key}'"
    if set(first) <= set(columns):
        return f"{shown}; the top-tagging layout has the key '{KEY}': write it with to_hdf(FILE, key='{KEY}')"
    if columns:
        shown += f" with the columns {', '.join(columns[:6])}" + (", ..." if len(columns) > 6 else "")
    return f"{shown}; the top-tagging layout has the key '{KEY}' and columns {', '.join(first)}, ..."


def _shown(contents: Contents) -> str:
    names = ", ".join(list(contents.names)[:6]) + (", ..." if len(contents.names) > 6 else "")
    return f"{contents.container} with {names}" if names else contents.container
