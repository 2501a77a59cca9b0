"""The layout of JetNet, written plainly as its authors did."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from helpers.written import Written, momenta, padded


def write(
    folder: Path, num: int = 60, seed: int = 1, *, length: int = 30, dtype: str = "f4", **storage: Any
) -> Written:
    random = np.random.default_rng(seed)
    num_particles = random.integers(1, length, num)
    num_particles[:3] = (length, 1, length + 20)
    counts = np.minimum(num_particles, length)
    jet = np.repeat(np.arange(num), counts)
    four = momenta(counts, seed)
    jet_pt = np.bincount(jet, four["pt"], num).astype(dtype)
    jet_eta = random.uniform(-1.5, 1.5, num).astype(dtype)
    relative = {
        "etarel": random.normal(0, 0.2, len(jet)).astype(dtype),
        "phirel": random.normal(0, 0.2, len(jet)).astype(dtype),
        "ptrel": (four["pt"] / jet_pt[jet]).astype(dtype),
    }
    fields = {
        "pt": jet_pt,
        "eta": jet_eta,
        "mass": random.exponential(80, num).astype(dtype),
        "num_particles": num_particles,
    }
    path = folder / f"jetnet-{length}.hdf5"
    with h5py.File(path, "w") as file:
        mask = np.ones(len(jet), dtype=dtype)
        blocks = [padded(counts, values, length) for values in (*relative.values(), mask)]
        file.create_dataset("particle_features", data=np.stack(blocks, axis=2), **storage)
        file.create_dataset("jet_features", data=np.stack(list(fields.values()), axis=1).astype(dtype))
    # From what is stored, in double precision; the jet's azimuth is taken as 0.
    pt, eta, phi = (relative[n].astype("f8") for n in ("ptrel", "etarel", "phirel"))
    pt, eta = pt * jet_pt[jet], eta + jet_eta[jet]
    columns = {
        "px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "energy": pt * np.cosh(eta), **relative
    }  # fmt: skip
    return Written(path, counts, columns, fields)
