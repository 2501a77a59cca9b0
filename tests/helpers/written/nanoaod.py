"""Events with AK8 jets of some 550 GeV and their candidates, in three namings of NanoAOD, written by uproot."""

from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import uproot
from helpers.written import Written, momenta

# Candidates of the largest jet; FatJet_nConstituents is a byte.
LARGEST = 300
LAST_COPY = 1 << 13
NAMES = {"v15": ("PFCand", "pfCandIdx"), "jme": ("PFCand", "PFCandIdx"), "pfnano": ("PFCands", "pFCandsIdx")}


def write(
    folder: Path, num: int = 60, seed: int = 1, *, naming: Literal["v15", "jme", "pfnano"] = "v15",
    simulated: bool = True,
) -> Written:  # fmt: skip
    """Write `num` events.

    An event has up to three jets, and candidates that are in no jet. The file's links are not in the order of jets.
    """
    random = np.random.default_rng(seed)
    num_jets = random.integers(0, 3, num)
    num_jets[:3] = (1, 2, 0)
    event = np.repeat(np.arange(num), num_jets)
    counts = random.integers(1, 40, len(event))
    counts[:2] = (LARGEST, 1)
    four = momenta(counts, seed, mass=0.13957)
    owner = np.repeat(np.arange(len(event)), counts)
    weighted = naming != "v15"
    weight = (random.uniform(0.2, 1, len(owner)) if weighted else np.ones(len(owner))).astype(np.float32)
    candidates = {name: four[name].astype(np.float32) for name in ("pt", "eta", "phi")}
    candidates["mass"] = np.full(len(owner), 0.13957, dtype=np.float32)
    candidates["pdgId"] = random.choice(np.array([211, -211, 130, 22, 11, 1, 2]), len(owner)).astype(np.int32)
    if weighted:
        candidates.update(
            charge=np.sign(candidates["pdgId"]).astype(np.int32), d0=random.normal(0, 1, len(owner)).astype(np.float32),
            d0Err=random.uniform(0, 1, len(owner)).astype(np.float32), puppiWeight=weight,
            trkQuality=random.integers(0, 100, len(owner)).astype(np.int32),
        )  # fmt: skip
    columns = _expected(candidates, weight)
    if naming == "v15":  # 1 and 2 are cells of a calorimeter
        pid = candidates["pdgId"]
        columns["charge"] = np.where(pid == 11, -1, np.sign(pid) * (np.abs(pid) == 211))
    jets = _jets(owner, columns, counts, random)
    events = {"run": np.full(num, 1, np.uint32), "luminosityBlock": np.full(num, 7, np.uint32),
              "event": np.arange(num, dtype=np.uint64) + 1000}  # fmt: skip
    if simulated:
        events["genWeight"] = random.normal(1, 0.5, num).astype(np.float32)
    fields: dict[str, np.ndarray] = {
        **{name.lower(): values for name, values in jets.items()},
        "raw_pt": jets["pt"] * (1 - jets["rawFactor"]), "event": event, "event_number": events["event"][event],
    }  # fmt: skip
    tree: dict[str, Any] = dict(events)
    tree["FatJet"] = ak.zip({n: ak.unflatten(v, num_jets) for n, v in jets.items()})
    candidate, index = NAMES[naming]
    links, stored = _shuffled(owner, event, num_jets, candidates, naming, random)
    links[index] = links.pop("index")
    tree[candidate] = ak.zip(stored)
    tree[f"FatJet{candidate}"] = ak.zip(links)
    if simulated:
        tree["GenPart"], fields["label"] = _generated(num_jets, jets, random)
        fields["weight"] = events["genWeight"][event]
    path = folder / f"nano-{naming}.root"
    with uproot.recreate(path, compression=uproot.ZLIB(4)) as file:
        kinds = {name: value.type if isinstance(value, ak.Array) else value.dtype for name, value in tree.items()}
        written = file.mktree("Events", kinds)
        for start in range(0, num, max(num // 3, 1)):
            written.extend({name: value[start : start + max(num // 3, 1)] for name, value in tree.items()})
    return Written(path, counts, columns, fields)


def _expected(candidates: dict[str, np.ndarray], weight: np.ndarray) -> dict[str, np.ndarray]:
    pt, eta, phi, mass = (candidates[n].astype(np.float64) for n in ("pt", "eta", "phi", "mass"))
    pt, mass = pt * weight, mass * weight
    columns = {
        "px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta),
        "energy": np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2), "mass": mass, "pid": candidates["pdgId"],
    }  # fmt: skip
    names = {"charge": "charge", "d0": "d0", "d0Err": "d0_error", "puppiWeight": "puppi_weight",
             "trkQuality": "trkquality"}  # fmt: skip
    return columns | {ours: candidates[name] for name, ours in names.items() if name in candidates}


def _jets(
    owner: np.ndarray, columns: dict[str, np.ndarray], counts: np.ndarray, random: np.random.Generator
) -> dict[str, np.ndarray]:
    px, py, pz = (np.bincount(owner, columns[n], len(counts)) for n in ("px", "py", "pz"))
    raw = np.hypot(px, py)
    factor = random.uniform(0.02, 0.15, len(counts)).astype(np.float32)
    return {
        "pt": (raw / (1 - factor)).astype(np.float32), "eta": np.arcsinh(pz / raw).astype(np.float32),
        "phi": np.arctan2(py, px).astype(np.float32), "mass": random.uniform(10, 200, len(counts)).astype(np.float32),
        "rawFactor": factor, "msoftdrop": random.uniform(0, 150, len(counts)).astype(np.float32),
        "nConstituents": (counts % 256).astype(np.uint8),
        "subJetIdx1": random.integers(-1, 5, len(counts)).astype(np.int16),
        "particleNet_XbbVsQCD": random.random(len(counts)).astype(np.float32),
    }  # fmt: skip


def _shuffled(
    owner: np.ndarray, event: np.ndarray, num_jets: np.ndarray, candidates: dict[str, np.ndarray], naming: str,
    random: np.random.Generator,
) -> tuple[dict[str, ak.Array], dict[str, ak.Array]]:  # fmt: skip
    """Return links and candidates: candidates in any order, two of each event in no jet, jets' links backwards."""
    num = len(num_jets)
    in_event = event[owner]
    links: dict[str, list[np.ndarray]] = {"jetIdx": [], "index": []}
    stored: dict[str, list[np.ndarray]] = {name: [] for name in candidates}
    first_jet = np.cumsum(num_jets) - num_jets
    for number in range(num):
        mine = np.flatnonzero(in_event == number)
        place = random.permutation(len(mine) + 2)
        for name, values in candidates.items():
            placed = np.full(len(mine) + 2, 1, dtype=values.dtype)
            placed[place[: len(mine)]] = values[mine]
            stored[name].append(placed)
        backwards = np.argsort(-owner[mine], kind="stable")
        links["jetIdx"].append((owner[mine] - first_jet[number])[backwards].astype(np.int32))
        links["index"].append(place[: len(mine)][backwards].astype(np.int32))
    sizes = np.bincount(in_event, minlength=num)
    found = {name: ak.unflatten(np.concatenate(parts), sizes) for name, parts in links.items()}
    if naming == "pfnano":
        found["btagEtaRel"] = ak.values_astype(found["jetIdx"], np.float32)
    return found, {name: ak.unflatten(np.concatenate(parts), sizes + 2) for name, parts in stored.items()}


def _generated(
    num_jets: np.ndarray, jets: dict[str, np.ndarray], random: np.random.Generator
) -> tuple[ak.Array, np.ndarray]:
    """Return generator particles of events whose jets are, in turn, of each class, and the labels."""
    first_jet = np.cumsum(num_jets) - num_jets
    labels = np.arange(len(jets["pt"])) % 6
    events = []
    for number, here in enumerate(num_jets):
        particles = [(21, -1, 0, 0.0, 0.0)]
        for jet in range(first_jet[number], first_jet[number] + here):
            axis = float(jets["eta"][jet]), float(jets["phi"][jet])
            particles += _decay(int(labels[jet]), *axis, len(particles), random)
        events.append(particles)
    sizes = [len(particles) for particles in events]
    values = np.array([particle for particles in events for particle in particles])
    kinds = {"pdgId": np.int32, "genPartIdxMother": np.int16, "statusFlags": np.uint16,
             "eta": np.float32, "phi": np.float32}  # fmt: skip
    return ak.zip(
        {name: ak.unflatten(values[:, i].astype(kind), sizes) for i, (name, kind) in enumerate(kinds.items())}
    ), labels


def _decay(label: int, eta: float, phi: float, first: int, random: np.random.Generator) -> list[tuple[float, ...]]:
    def at(pid: int, mother: int, flags: int = 0, distance: float = 0.3) -> tuple[float, ...]:
        return (pid, mother, flags, eta + random.uniform(-1, 1) * distance, phi + random.uniform(-1, 1) * distance)

    if label == 0:
        return [at(1, -1), at(21, first)]
    if label in (1, 2, 3):
        boson = {1: -24, 2: 23, 3: 25}[label]
        # The first copy radiates; its daughter decays.
        return [at(boson, 0), at(boson, first, LAST_COPY), at(3, first + 1), at(-4, first + 1)]
    outside = (-1, first + 3, LAST_COPY, eta + 2, phi)
    return [
        at(6, 0), at(6, first, LAST_COPY), at(24, first + 1), at(24, first + 2, LAST_COPY), at(2, first + 3),
        at(-1, first + 3) if label == 4 else outside, at(5, first + 1),
    ]  # fmt: skip
