"""Quark and gluon jets as the EnergyFlow package has them, written by numpy."""

from pathlib import Path

import numpy as np
from helpers.written import Written, momenta, padded

LENGTH = 139
# PDG numbers of particles at the LHC that live long enough, with their charges and masses (GeV).
PARTICLES = {
    22: (0, 0.0), 211: (1, 0.13957039), -211: (-1, 0.13957039), 130: (0, 0.497611), 321: (1, 0.493677),
    -321: (-1, 0.493677), 2112: (0, 0.93956542), -2112: (0, 0.93956542), 2212: (1, 0.93827209), -2212: (-1, 0.93827209),
    11: (-1, 0.00051099895), -11: (1, 0.00051099895), 13: (-1, 0.1056583755), -13: (1, 0.1056583755),
}  # fmt: skip


def write(
    folder: Path, num: int = 60, seed: int = 1, *, compressed: bool = True, mass: str = "zero", dtype: str = "<f8",
    length: int = LENGTH, name: str = "QG_jets.npz",
) -> Written:  # fmt: skip
    random = np.random.default_rng(seed)
    counts = random.integers(10, 70, num)
    counts[:2] = (length, 1)
    four = momenta(counts, seed)
    pid = random.choice(list(PARTICLES), len(four["pt"]))
    # Not in the order of pT, and azimuths beyond pi, near that of the jet.
    phi = np.where(random.random(num)[np.repeat(np.arange(num), counts)] < 0.5, four["phi"] + 2 * np.pi, four["phi"])
    order = np.lexsort((random.random(len(pid)), np.repeat(np.arange(num), counts)))
    pt, y, phi, pid = (values[order].astype(dtype) for values in (four["pt"], four["eta"], phi, pid.astype(np.float64)))
    label = random.integers(0, 2, num)
    arrays = {
        "X": np.stack([padded(counts, values, length) for values in (pt, y, phi, pid)], axis=2),
        "y": label.astype(dtype),
    }
    (np.savez_compressed if compressed else np.savez)(folder / name, **arrays)
    pt, y, phi = (values.astype(np.float64) for values in (pt, y, phi))
    charge, masses = np.array([PARTICLES[number] for number in pid.astype(int).tolist()]).T
    masses = masses if mass == "pid" else np.zeros_like(masses)
    # As a boost along the beam of a particle at rest in that direction.
    gamma, speed = np.cosh(y), np.tanh(y)
    at_rest = np.hypot(pt, masses)
    columns = {
        "px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": gamma * speed * at_rest, "energy": gamma * at_rest,
        "mass": masses, "pid": pid.astype(np.int64), "charge": charge,
    }  # fmt: skip
    return Written(folder / name, counts, columns, {"label": label}, {"mass": mass})
