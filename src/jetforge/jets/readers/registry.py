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
    raise DataError(
        f"{path}: of none of the known formats; it is {_shown(contents)}. Describe its columns in a mapping: "
        "jetforge info columns"
    )


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


def _shown(contents: Contents) -> str:
    names = ", ".join(list(contents.names)[:6]) + (", ..." if len(contents.names) > 6 else "")
    return f"{contents.container} with {names}" if names else contents.container
