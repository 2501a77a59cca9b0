"""Damaged copies of valid files, and what becomes of them: the same jets, one clear refusal, or something worse."""

import hashlib
import importlib
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from helpers.written import Written

from jetforge.errors import JetforgeError
from jetforge.jets import Dataset, Jets
from jetforge.jets.convert import convert

EVENTS = ("hepmc", "delphes")
KINDS = ("bit", "bytes", "zeros", "ones", "cut", "removed", "inserted", "repeated")


@dataclass(frozen=True)
class Variant:
    """One layout of a format, as one of the writers makes it."""

    format: str
    name: str
    writer: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    num: int = 40
    class_name: str = ""
    needs: str = ""

    def write(self, folder: Path, num: int | None = None) -> Written:
        """Write the file."""
        made: Written = importlib.import_module(f"helpers.written.{self.writer}").write(
            folder, num or self.num, **self.arguments
        )
        return made

    def convert(self, written: Written, path: Path, out: Path) -> Dataset:
        """Convert the file, or a copy of it."""
        file = f"{self.class_name}={path}" if self.class_name else path
        return convert([file], out, options=written.settings, split="train", workers=0)


VARIANTS = (
    Variant("toptag", "table, Blosc", "toptag", {"layout": "table"}, needs="tables"),
    Variant("toptag", "fixed, zlib", "toptag", {"layout": "fixed", "complib": "zlib"}, needs="tables"),
    Variant("toptag-images", "Blosc", "toptag_images", needs="tables"),
    Variant("atlas", "gzip", "atlas"),
    Variant("lundnet", "json.gz", "lundnet", class_name="qcd"),
    Variant("lundnet", "json", "lundnet", {"suffix": ".json"}, class_name="qcd"),
    Variant("energyflow", "compressed", "energyflow"),
    Variant("energyflow", "not compressed", "energyflow", {"compressed": False}),
    Variant("jetclass", "ROOT", "jetclass"),
    Variant("jetclass", "Parquet", "jetclass", {"layout": "parquet"}),
    Variant("jetclass2", "Parquet", "jetclass2"),
    Variant("jetclass2", "ROOT", "jetclass2", {"layout": "root"}),
    Variant("jetnet", "HDF5", "jetnet", class_name="g"),
    Variant("nanoaod", "ROOT", "nanoaod"),
    Variant("ml4sci", "HDF5", "ml4sci", num=20),
    Variant("ml4sci", "Parquet", "ml4sci", {"layout": "parquet"}, num=20),
    Variant("hepmc", "HepMC3", "hepmc", class_name="qcd", needs="pyhepmc"),
    Variant("hepmc", "HepMC2, gzip", "hepmc", {"version": 2, "zipped": True}, class_name="qcd", needs="pyhepmc"),
    Variant("delphes", "ROOT", "delphes", class_name="qcd"),
    Variant("columns", "Parquet", "columns"),
    Variant("columns", "ROOT", "columns", {"container": "root"}),
    Variant("columns", "HDF5", "columns", {"container": "hdf5"}),
)


def mutate(data: bytes, seed: int) -> tuple[bytes, str]:
    """Damage some bytes; return the new ones and what was done, which follow from the seed alone."""
    random = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    # Headers and lists of contents at both ends are small: half of the places are near one.
    near = min(len(data), 4096)
    place = int(
        random.choice(
            [random.integers(len(data)), random.integers(near), len(data) - 1 - random.integers(near)],
            p=[0.5, 0.25, 0.25],
        )
    )
    length = min(int(2 ** random.uniform(0, 12)), len(data) - place)
    before, hit, after = data[:place], data[place : place + length], data[place + length :]
    noise = random.bytes(length)
    changed = {
        "bit": before + bytes([hit[0] ^ (1 << int(random.integers(8)))]) + hit[1:] + after,
        "bytes": before + noise + after,
        "zeros": before + bytes(length) + after,
        "ones": before + b"\xff" * length + after,
        "cut": before,
        "removed": before + after,
        "inserted": before + noise + hit + after,
        "repeated": before + hit + hit + after,
    }[kind]
    return changed, f"{kind} at {place}, {length} bytes"


class Trial:
    """A valid file, and damaged copies of it converted one after the other."""

    def __init__(self, variant: Variant, folder: Path) -> None:
        self.variant, self.folder = variant, folder
        self.written = variant.write(folder)
        self.data = self.written.path.read_bytes()
        self.jets = variant.convert(self.written, self.written.path, folder / "whole").read("train")
        self.outcomes: Counter[str] = Counter()

    def outcome(self, seed: int) -> tuple[str, str]:
        """Return ``identical``, ``refused``, ``altered`` or ``worse``, and details.

        Altered numbers count as worse if they stay unnoticed with the checksum of the file beside it.
        """
        data, what = mutate(self.data, seed)
        path = self.folder / f"damaged-{self.written.path.name}"
        path.write_bytes(data)
        found, error = self._converted(path)
        if found == "altered":
            beside = path.with_name(f"{path.name}.sha256")
            beside.write_text(f"{hashlib.sha256(self.data).hexdigest()}  {path.name}\n")
            again, error = self._converted(path)
            beside.unlink()
            found = "altered" if again == "refused" else "worse"
        self.outcomes[found] += 1
        return found, f"{what}: {error}"

    def _converted(self, path: Path) -> tuple[str, str]:
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        try:
            jets = self.variant.convert(self.written, path, out).read("train")
        except JetforgeError as error:
            clear = str(path) in str(error) and "\n" not in str(error) and not (out / "dataset.json").exists()
            return "refused" if clear else "worse", str(error)
        return _compared(jets, self.jets, self.variant.format in EVENTS), ""


def _compared(jets: Jets, whole: Jets, from_events: bool) -> str:
    if not np.array_equal(jets.offsets, whole.offsets):
        # Other momenta may be clustered into another number of jets, as long as every event is there.
        return "altered" if len(jets) == len(whole) or from_events else "worse"
    for name in (*whole.columns, *whole.fields):
        ours, theirs = (x.columns.get(name, x.fields.get(name)) for x in (jets, whole))
        if ours is None or not np.array_equal(ours, theirs, equal_nan=theirs.dtype.kind == "f"):
            return "altered"
    return "identical"
