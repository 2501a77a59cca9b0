"""Files that list further files: the file indexes of the CERN Open Data Portal, and lists of addresses."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from jetforge.errors import DataError
from jetforge.jets.public.catalogue import FileList, PublicFile

# The portal gives its files out under the same path by both protocols.
_CERN_ROOT, _CERN_HTTPS = "root://eospublic.cern.ch//", "https://opendata.cern.ch/"


def listed_files(path: Path, described: FileList) -> list[PublicFile]:
    """Return the files that a list names.

    Parameters
    ----------
    path
        The list, fetched.
    described
        Its entry in the catalogue; its group and class are those of the files.

    Raises
    ------
    DataError
        If it is not a list of its form, or names a file that cannot be fetched; the message says which.
    """
    try:
        text = path.read_text(encoding="utf-8")
        entries = _cern_entries(text) if described.form == "cern" else _address_entries(text)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path}: not a list of files ({error}); remove it and fetch it again") from None
    files = []
    for number, entry in enumerate(entries):
        shared = {"group": described.group, "class": described.class_name}
        try:
            files.append(PublicFile.model_validate({**shared, **entry}))
        except ValidationError as error:
            mistake = error.errors()[0]
            field = ".".join(map(str, mistake["loc"]))
            raise DataError(f"{path}: file {number}: {field}: {mistake['msg']}") from None
    if not files:
        raise DataError(f"{path}: lists no files; remove it and fetch it again")
    return files


def _cern_entries(text: str) -> list[dict[str, Any]]:
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError("a file index is a JSON list")
    found = []
    for number, entry in enumerate(entries):
        address = entry.get("uri") if isinstance(entry, dict) else None
        if not isinstance(address, str):
            raise ValueError(f"entry {number} has no uri")
        url = _CERN_HTTPS + address.removeprefix(_CERN_ROOT) if address.startswith(_CERN_ROOT) else address
        found.append({"name": _name_in(url), "url": url, "size": entry.get("size"), "checksum": entry.get("checksum")})
    return found


def _address_entries(text: str) -> list[dict[str, Any]]:
    addresses = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [{"name": _name_in(url), "url": url} for url in addresses]


def _name_in(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name
