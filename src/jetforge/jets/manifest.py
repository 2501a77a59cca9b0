"""`dataset.json`: what a dataset holds, where it came from, and the checksum of every part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jetforge.errors import DataError, JetforgeError
from jetforge.files import write_atomically

MANIFEST_NAME = "dataset.json"
FORMAT = "jetforge-dataset"
FORMAT_VERSION = 1
SPLITS = ("train", "val", "test")
UNITS = {
    "constituents": {"px": "GeV", "py": "GeV", "pz": "GeV", "mass": "GeV", "charge": "e"},
    "jets": {"pt": "GeV", "mass": "GeV", "y": "1", "eta": "1", "phi": "rad"},
}


@dataclass(frozen=True)
class Part:
    """One file of a dataset: its path within it, jets, size in bytes, and SHA-256."""

    file: str
    jets: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What `dataset.json` says."""

    classes: tuple[str, ...]
    constituent_fields: tuple[str, ...]
    jet_fields: tuple[str, ...]
    provenance: Mapping[str, Any]
    parts: Mapping[str, Sequence[Part]] = field(default_factory=dict)

    def num_jets(self, split: str) -> int:
        """Return the number of jets in a split."""
        return sum(part.jets for part in self.parts.get(split, ()))

    def write(self, folder: Path) -> None:
        """Write `dataset.json` into a folder, last of all and at once."""
        record = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "classes": list(self.classes),
            "units": UNITS,
            "constituent_fields": list(self.constituent_fields),
            "jet_fields": list(self.jet_fields),
            "jets": {split: self.num_jets(split) for split in self.parts},
            "provenance": self.provenance,
            "parts": {split: [asdict(part) for part in parts] for split, parts in self.parts.items()},
        }
        write_atomically(folder / MANIFEST_NAME, (json.dumps(record, indent=1) + "\n").encode())

    def _check(self, path: Path, jets: Mapping[str, int]) -> None:
        """Refuse a description that contradicts itself."""
        if not self.classes or len(set(self.classes)) < len(self.classes) or not _all_names(self.classes):
            raise DataError(f"{path}: classes {list(self.classes)} are not different names; restore the file")
        if not _all_names((*self.constituent_fields, *self.jet_fields)):
            raise DataError(f"{path}: its fields are not names; restore the file")
        files = [part.file for parts in self.parts.values() for part in parts]
        if len(set(files)) < len(files):
            raise DataError(f"{path}: a part is listed twice; restore the file")
        if {split: self.num_jets(split) for split in self.parts} != dict(jets):
            raise DataError(f"{path}: its parts do not add up to the jets that it states; restore the file")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read `dataset.json`.

        Raises
        ------
        DataError
            If it is no such file, or of a format that this version does not know.
        """
        path = folder / MANIFEST_NAME
        try:
            record = json.loads(path.read_text())
            if record["format"] != FORMAT:
                raise DataError(f"{path}: format '{record['format']}' is not '{FORMAT}'")
            if record["version"] != FORMAT_VERSION:
                raise DataError(
                    f"{path}: format version {record['version']}; this jetforge reads version {FORMAT_VERSION}"
                )
            if not all(isinstance(record[name], list) for name in ("classes", "constituent_fields", "jet_fields")):
                raise TypeError("classes and fields are lists")
            manifest = cls(
                classes=tuple(record["classes"]),
                constituent_fields=tuple(record["constituent_fields"]),
                jet_fields=tuple(record["jet_fields"]),
                provenance=dict(record["provenance"]),
                parts={split: [Part(**part) for part in parts] for split, parts in record["parts"].items()},
            )
            manifest._check(path, record["jets"])
            return manifest
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not valid JSON ({error}); make the dataset again") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(f"{path}: not a description of a dataset ({error!r}); make the dataset again") from None


def _all_names(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) and value for value in values)


def check_shares(shares: Sequence[float]) -> None:
    """Refuse what are no shares of the splits.

    Raises
    ------
    JetforgeError
        If they are not three numbers from 0 that add up to 1.
    """
    if len(shares) != len(SPLITS) or not (min(shares) >= 0 and abs(sum(shares) - 1) <= 1e-9):
        raise JetforgeError(
            f"shares are three numbers for {', '.join(SPLITS)} that add up to 1, not {', '.join(map(str, shares))}"
        )
