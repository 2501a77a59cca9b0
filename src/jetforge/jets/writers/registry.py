"""All writers by name."""

from __future__ import annotations

import difflib
from importlib import import_module

from jetforge.errors import JetforgeError
from jetforge.jets.writers.base import Writer

_HOMES = {"parquet": "parquet:ParquetWriter", "root": "root:RootWriter", "toptag": "toptag:TopTagWriter"}


def list_writers() -> list[str]:
    """Return the names of all formats that can be written."""
    return list(_HOMES)


def get_writer(name: str) -> type[Writer]:
    """Return the writer class of a format.

    Raises
    ------
    JetforgeError
        If there is no such format.
    """
    if name not in _HOMES:
        near = difflib.get_close_matches(name, _HOMES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(_HOMES)}"
        raise JetforgeError(f"'{name}' is no format that can be written; {hint}")
    module, _, cls = _HOMES[name].partition(":")
    found: type[Writer] = getattr(import_module(f"jetforge.jets.writers.{module}"), cls)
    return found
