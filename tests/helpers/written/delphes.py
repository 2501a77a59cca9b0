"""Events of jets of some 550 GeV as Delphes' tree, written by uproot."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import uproot
from helpers.written import Written, momenta
from helpers.written.hepmc import expected

LARGEST = 150
PION = np.float32(0.13957)
TRACK, PHOTON, NEUTRAL = range(3)
PIDS = {TRACK: (211, -211, 11, -13), PHOTON: (22,), NEUTRAL: (0,)}
IMPACT = {"D0": "d0", "ErrorD0": "d0_error", "DZ": "dz", "ErrorDZ": "dz_error"}


def write(
    folder: Path, num: int = 60, seed: int = 1, *, particles: Literal["eflow", "candidates"] = "eflow",
    with_mass: bool = True, with_impact: bool = True, weighted: bool = True,
) -> Written:  # fmt: skip
    """Write `num` events. Each has a photon and a neutral hadron without energy, which belong to no jet."""
    random = np.random.default_rng(seed)
    num_jets = random.integers(1, 4, num)
    counts = random.integers(1, 20, num_jets.sum())
    num_jets[:2], counts[:2] = (1, 1), (1, LARGEST)
    counts = counts[: num_jets.sum()]
    event = np.repeat(np.repeat(np.arange(num), num_jets), counts)
    four = {name: values.astype(np.float32) for name, values in momenta(counts, seed).items()}
    kind = random.choice(3, len(event), p=(0.6, 0.25, 0.15))
    stored: dict[str, np.ndarray] = {name: four[name] for name in ("pt", "eta", "phi")}
    stored["pid"] = np.array([random.choice(PIDS[k]) for k in kind], dtype=np.int32)
    stored["charge"] = np.sign(stored["pid"]).astype(np.int32) * (kind == TRACK)
    for name in IMPACT:
        stored[name] = (random.exponential(0.1, len(event)) * (kind == TRACK)).astype(np.float32)
    stored["mass"] = PION * (kind == TRACK)
    for name in ("pt", "eta", "phi", *IMPACT):
        # Fewer bits: what cannot be compressed is stored as it is, without the checksum that large baskets have.
        stored[name] = (stored[name].view(np.uint32) & np.uint32(0xFFFFF000)).view(np.float32)
    # Within an event, tracks come before photons and neutral hadrons.
    order = np.lexsort((kind, event)) if particles == "eflow" else np.arange(len(event))
    event, kind, stored = event[order], kind[order], {name: values[order] for name, values in stored.items()}
    numbers, weights = np.arange(num, dtype=np.int64) + 500, random.normal(1, 0.5, num).astype(np.float32)
    tree: dict[str, Any] = {"Event": {"Number": numbers, **({"Weight": weights} if weighted else {})}}
    tree["Event"] = ak.zip(
        {name: ak.unflatten(values, np.ones(num, np.int64)) for name, values in tree["Event"].items()}
    )
    if particles == "eflow":
        tree["EFlowTrack"] = _tracks(event, stored, kind == TRACK, num, with_mass, with_impact)
        tree["EFlowPhoton"] = _towers(event, stored, kind == PHOTON, num)
        tree["EFlowNeutralHadron"] = _towers(event, stored, kind == NEUTRAL, num)
    else:
        tree["ParticleFlowCandidate"] = _tracks(event, stored, kind >= 0, num, with_mass, with_impact)
    path = folder / f"delphes-{particles}.root"
    with uproot.recreate(path, compression=uproot.ZLIB(4)) as file:
        written = file.mktree(
            "Delphes", {name: value.type for name, value in tree.items()},
            field_name=lambda outer, inner: inner if not outer else f"{outer}.{inner}",
            counter_name=lambda counted: f"{counted}_size",
        )  # fmt: skip
        for start in range(0, num, max(num // 3, 1)):
            written.extend({name: value[start : start + max(num // 3, 1)] for name, value in tree.items()})
    fields: dict[str, np.ndarray] = {"event": np.arange(num), "event_number": numbers}
    if weighted:
        fields["weight"] = weights
    written = expected(path, _expected_particles(event, stored, num, with_mass, with_impact), fields)
    # The mass of a jet of one massless particle is rounding.
    return replace(written, fields={name: values for name, values in written.fields.items() if name != "mass"})


def _expected_particles(
    event: np.ndarray, stored: dict[str, np.ndarray], num: int, with_mass: bool, with_impact: bool
) -> list[dict[str, np.ndarray]]:
    pt, eta, phi, mass = (stored[name].astype(np.float64) for name in ("pt", "eta", "phi", "mass"))
    mass = mass if with_mass else 0 * mass
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    columns = {
        "p4": np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1),
        "mass": mass, "pid": stored["pid"], "charge": stored["charge"],
    }  # fmt: skip
    if with_impact:
        columns.update({ours: stored[name] for name, ours in IMPACT.items()})
    return [{name: values[event == number] for name, values in columns.items()} for number in range(num)]


def _tracks(
    event: np.ndarray, stored: dict[str, np.ndarray], chosen: np.ndarray, num: int, with_mass: bool, with_impact: bool
) -> ak.Array:
    # Of charged candidates Delphes writes energies that do not fit their momenta.
    values = {"PID": stored["pid"], "Charge": stored["charge"], "E": 3 * stored["pt"], "PT": stored["pt"],
              "Eta": stored["eta"], "Phi": stored["phi"]}  # fmt: skip
    if with_mass:
        values["Mass"] = stored["mass"]
    if with_impact:
        values.update({name: stored[name] for name in IMPACT})
    return _lists(values, event, chosen, num)


def _towers(event: np.ndarray, stored: dict[str, np.ndarray], chosen: np.ndarray, num: int) -> ak.Array:
    pt = stored["pt"].astype(np.float64)
    values = {"ET": stored["pt"], "Eta": stored["eta"], "Phi": stored["phi"],
              "E": (pt * np.cosh(stored["eta"].astype(np.float64))).astype(np.float32),
              "Eem": 0 * stored["pt"]}  # fmt: skip
    towers = _lists(values, event, chosen, num)
    # One more without energy in each event.
    last = {"ET": 0.0, "Eta": 999.9, "Phi": 0.0, "E": 0.0, "Eem": 0.0}
    more = ak.zip(
        {name: ak.unflatten(np.full(num, value, np.float32), np.ones(num, np.int64)) for name, value in last.items()}
    )
    return ak.concatenate([towers, more], axis=1)


def _lists(values: dict[str, np.ndarray], event: np.ndarray, chosen: np.ndarray, num: int) -> ak.Array:
    sizes = np.bincount(event[chosen], minlength=num)
    return ak.zip({name: ak.unflatten(column[chosen], sizes) for name, column in values.items()})
