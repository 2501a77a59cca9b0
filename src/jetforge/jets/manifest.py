"""`dataset.json`: what a dataset holds, where it came from, and the checksum of every part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jetforge.errors import DataError
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
            return cls(
                classes=tuple(record["classes"]),
                constituent_fields=tuple(record["constituent_fields"]),
                jet_fields=tuple(record["jet_fields"]),
                provenance=record["provenance"],
                parts={split: [Part(**part) for part in parts] for split, parts in record["parts"].items()},
            )
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not valid JSON ({error}); make the dataset again") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: not a description of a dataset ({error!r}); make the dataset again") from None
