"""Small files of every public format with known contents, each written by another library than the one reading it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.readers import Reader


@dataclass(frozen=True)
class Written:
    """A file, and what a reader must find in it.

    Constituents are flat, jet after jet, without padding, momenta in GeV; `settings` are options for the reader.
    """

    path: Path
    counts: npt.NDArray[np.int64]
    columns: Mapping[str, npt.NDArray[Any]]
    fields: Mapping[str, npt.NDArray[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)


def assert_same(jets: Jets, written: Written, start: int = 0, stop: int | None = None) -> None:
    """Check that every number came back, of every jet, in order; float32 rounding is allowed where units changed."""
    offsets = np.concatenate([[0], np.cumsum(written.counts)])
    stop = len(written.counts) if stop is None else stop
    rows = slice(offsets[start], offsets[stop])
    assert np.diff(jets.offsets).tolist() == written.counts[start:stop].tolist()
    assert set(written.columns) <= set(jets.columns)
    assert set(written.fields) <= set(jets.fields)
    for name, values in written.columns.items():
        np.testing.assert_allclose(jets.columns[name], values[rows], rtol=1e-6, atol=1e-9, err_msg=name)
    for name, values in written.fields.items():
        np.testing.assert_allclose(jets.fields[name], values[start:stop], rtol=1e-6, atol=1e-9, err_msg=name)


def momenta(counts: npt.NDArray[np.int64], seed: int, mass: float = 0.0) -> dict[str, npt.NDArray[np.float64]]:
    """Return constituents of jets of some 550 GeV: pt, eta, phi and px, py, pz, energy, hardest first within a jet."""
    random = np.random.default_rng(seed)
    jet = np.repeat(np.arange(len(counts)), counts)
    axis_eta, axis_phi = random.uniform(-1.5, 1.5, len(counts)), random.uniform(-3.1, 3.1, len(counts))
    pt = np.exp(random.normal(0, 1, len(jet)))
    pt *= 550 / np.bincount(jet, pt, len(counts))[jet]
    order = np.lexsort((-pt, jet))
    pt = pt[order]
    eta = axis_eta[jet] + random.normal(0, 0.2, len(jet))
    phi = np.remainder(axis_phi[jet] + random.normal(0, 0.2, len(jet)) + np.pi, 2 * np.pi) - np.pi
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    return {"pt": pt, "eta": eta, "phi": phi, "px": px, "py": py, "pz": pz, "energy": energy}


def padded(counts: npt.NDArray[np.int64], values: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """Return flat values as rows of a fixed length, filled up with zeros."""
    rows = np.zeros((len(counts), length), dtype=values.dtype)
    rows[np.arange(length) < np.asarray(counts)[:, None]] = values
    return rows


def stated(reader: Reader, jets: Jets) -> set[str] | None:
    """Return the splits that a file says jets are for; None where it says nothing."""
    numbers = reader.stated_splits(jets)
    return None if numbers is None else {SPLITS[number] for number in numbers.tolist()}
