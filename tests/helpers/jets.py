"""Jets made up for tests, the transformations that physics does not see, and FastJet's view of a jet.

Momenta of one jet are an array of shape (4, n): px, py, pz, E in GeV.
"""

from pathlib import Path

import awkward as ak
import fastjet
import numpy as np
import numpy.typing as npt

from jetforge.physics.flat import FlatJets

Momenta = npt.NDArray[np.float64]


def from_angles(pt: npt.ArrayLike, y: npt.ArrayLike, phi: npt.ArrayLike, m: float = 0.0) -> Momenta:
    pt, y, phi = np.asarray(pt, dtype=float), np.asarray(y, dtype=float), np.asarray(phi, dtype=float)
    mt = np.sqrt(pt**2 + m**2)
    return np.array([pt * np.cos(phi), pt * np.sin(phi), mt * np.sinh(y), mt * np.cosh(y)])


def spread_jet(seed: int | np.random.Generator, n: int, m: float = 0.13957) -> Momenta:
    """Return n particles of mass m scattered around an axis at several angular scales."""
    rng = np.random.default_rng(seed)
    pt = np.exp(rng.uniform(-1, 4, n))
    width = 10 ** rng.uniform(-2.5, 0, (2, n))
    axis = np.array([[rng.uniform(-2, 2)], [rng.uniform(-np.pi, np.pi)]])
    y, phi = axis + width * rng.normal(size=(2, n))
    return from_angles(pt, y, phi, m)


def cell_jet(seed: int | np.random.Generator, n: int) -> Momenta:
    """Return n massless cells on a grid, where equal distances and cells hit twice are common."""
    rng = np.random.default_rng(seed)
    pt = rng.integers(1, 5, n).astype(float)
    y, phi = rng.integers(-3, 4, (2, n)) * 0.1 + np.array([[0.0], [np.pi]])
    return from_angles(pt, y, phi)


def flat_jets(*jets: Momenta) -> FlatJets:
    offsets = np.cumsum([0, *(jet.shape[1] for jet in jets)])
    columns = [np.ascontiguousarray(column) for column in np.concatenate(jets, axis=1)]
    return FlatJets(offsets, *columns)


def awkward_jets(*jets: Momenta) -> ak.Array:
    flat = flat_jets(*jets)
    columns = dict(zip(("px", "py", "pz", "energy"), flat[1:], strict=True))
    return ak.unflatten(ak.zip(columns), np.diff(flat.offsets))


def each_jet(constituents: ak.Array) -> list[Momenta]:
    """Return the momenta of every jet of an awkward array of px, py, pz, energy."""
    columns = [constituents[name] for name in ("px", "py", "pz", "energy")]
    return [np.array(jet, dtype=float) for jet in zip(*(ak.to_list(column) for column in columns), strict=True)]


def rotated(jet: Momenta, angle: float) -> Momenta:
    """Rotate about the beam."""
    px, py, pz, energy = jet
    return np.array(
        [px * np.cos(angle) - py * np.sin(angle), px * np.sin(angle) + py * np.cos(angle), pz, energy],
    )


def boosted(jet: Momenta, eta: float) -> Momenta:
    """Boost along the beam, which adds eta to every rapidity."""
    px, py, pz, energy = jet
    return np.array(
        [px, py, pz * np.cosh(eta) + energy * np.sinh(eta), energy * np.cosh(eta) + pz * np.sinh(eta)],
    )


def permuted(jet: Momenta, seed: int) -> Momenta:
    return np.ascontiguousarray(jet[:, np.random.default_rng(seed).permutation(jet.shape[1])])


def split_collinearly(jet: Momenta, which: int, z: float) -> Momenta:
    """Replace a constituent by two in its direction, which share its momentum as z : 1 - z."""
    particle = jet[:, [which]]
    return np.concatenate([np.delete(jet, which, axis=1), z * particle, (1 - z) * particle], axis=1)


def with_soft(jet: Momenta, pt: float, dy: float, dphi: float) -> Momenta:
    """Add a massless particle of small pT at a distance from the jet's first constituent."""
    y = np.arctanh(jet[2, 0] / jet[3, 0])
    phi = np.arctan2(jet[1, 0], jet[0, 0])
    return np.concatenate([jet, from_angles([pt], [y + dy], [phi + dphi])], axis=1)


def pseudojets(jet: Momenta) -> list[fastjet.PseudoJet]:
    return [fastjet.PseudoJet(*map(float, momentum)) for momentum in jet.T]


def fastjet_awkward(*jets: Momenta) -> ak.Array:
    """Return jets as FastJet's awkward interface takes them."""
    flat = flat_jets(*jets)
    fields = {"px": flat.px, "py": flat.py, "pz": flat.pz, "E": flat.energy}
    return ak.unflatten(ak.zip(fields, with_name="Momentum4D"), np.diff(flat.offsets))


def read_event(path: Path) -> Momenta:
    """Return the particles of an event file of fjcontrib, one line px py pz E a particle."""
    lines = (line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#"))
    return np.array([[float(word) for word in line.split()[:4]] for line in lines]).T


def anti_kt_jets(event: Momenta, radius: float, pt_min: float = 0.0) -> list[Momenta]:
    """Return the constituents of FastJet's anti-kt jets of an event, hardest jet first, in FastJet's order."""
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    sequence = fastjet.ClusterSequence(pseudojets(event), definition)
    jets = fastjet.sorted_by_pt(sequence.inclusive_jets(pt_min))
    return [np.array([[p.px(), p.py(), p.pz(), p.E()] for p in jet.constituents()]).T for jet in jets]
