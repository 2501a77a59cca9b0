"""The layout of LundNet's samples, as their authors' program writes it: six digits, keys in alphabetical order."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from helpers.written import Written, momenta

HEADER = ('made by \\ a "test"', "of jets")


def write(
    folder: Path, num: int = 60, seed: int = 1, *, kind: str = "objects", with_jet: bool = True, digits: int = 6,
    header: Sequence[str] = (), suffix: str = ".json.gz", separators: tuple[str, str] = (",", ":"),
    line_break: str = "\n",
) -> Written:  # fmt: skip
    random = np.random.default_rng(seed)
    counts = random.integers(1, 90, num)
    counts[:2] = (150, 1)
    four = momenta(counts, seed, mass=0.14)
    names = ("energy", "px", "py", "pz")
    jet = np.repeat(np.arange(num), counts)
    sums = {name: np.bincount(jet, four[name], num) for name in names}
    columns = {name: _rounded(four[name], digits) for name in names}
    jets = {name: _rounded(sums[name], digits) for name in names}
    ends = np.cumsum(counts)
    lines = [json.dumps(text) for text in header[:1]]
    for i, (start, end) in enumerate(zip(ends - counts, ends, strict=True)):
        entries = [tuple(columns[name][k] for name in names) for k in range(start, end)]
        if with_jet:
            entries.insert(0, tuple(jets[name][i] for name in names))
        if kind == "objects":
            value = [dict(zip(("E", "px", "py", "pz"), map(float, entry), strict=True)) for entry in entries]
        else:
            value = [list(map(float, (*entry[1:], entry[0]))) for entry in entries]
        lines.append(json.dumps(value, separators=separators))
    lines += [json.dumps(text) for text in header[1:]]
    path = folder / f"lundnet{suffix}"
    text = (line_break.join(lines) + line_break).encode()
    path.write_bytes(gzip.compress(text, 6) if suffix.endswith(".gz") else text)
    return Written(path, counts, columns, _jet_fields(jets) if with_jet else {})


def _rounded(values: np.ndarray, digits: int) -> np.ndarray:
    return np.array([float(f"{value:.{digits}g}") for value in values])


def _jet_fields(jets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    energy, px, py, pz = jets.values()
    pt = np.sqrt(px**2 + py**2)
    mass2 = energy**2 - px**2 - py**2 - pz**2
    return {
        "pt": pt, "eta": -np.log(np.tan(np.arctan2(pt, pz) / 2)), "phi": np.arctan2(py, px),
        "y": 0.5 * np.log((energy + pz) / (energy - pz)), "mass": np.sign(mass2) * np.sqrt(np.abs(mass2)),
        "energy": energy,
    }  # fmt: skip
