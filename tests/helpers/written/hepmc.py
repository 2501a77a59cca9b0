"""Events of two or three jets of some 550 GeV in HepMC's text formats, written by pyhepmc and line by line."""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import fastjet
import numpy as np
from helpers.written import Written, momenta

PT_MIN, RADIUS = 20.0, 0.8
NEUTRINO = 14
# Constituents of the largest jet.
LARGEST = 150


@dataclass(frozen=True)
class Event:
    """Particles of an event, without the two protons: momenta (n, 4) px, py, pz, energy in GeV.

    `origin` is the place of the particle that it comes from, -1 for the collision.
    """

    number: int
    weight: float
    momenta: np.ndarray
    mass: np.ndarray
    pid: np.ndarray
    status: np.ndarray
    origin: np.ndarray


def write(
    folder: Path, num: int = 60, seed: int = 1, *, version: Literal[2, 3] = 3, by: Literal["pyhepmc", "hand"] = "hand",
    unit: Literal["GEV", "MEV"] = "GEV", zipped: bool = False, weighted: bool = True, neutrinos: bool = False,
) -> Written:  # fmt: skip
    """Write `num` events. Every second one is in the other unit."""
    events = make_events(num, seed)
    units = [unit if i % 2 == 0 else {"GEV": "MEV", "MEV": "GEV"}[unit] for i in range(num)]
    path = folder / f"events-{by}.hepmc{version}{'.gz' if zipped else ''}"
    if by == "pyhepmc":
        _write_with_pyhepmc(path, events, units, version, weighted)
    else:
        lines = _hepmc3(events, units, weighted) if version == 3 else _hepmc2(events, units, weighted)
        with gzip.open(path, "wt", newline="\n") if zipped else path.open("w", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
    particles, fields = [], {"event": np.arange(num), "event_number": np.array([event.number for event in events])}
    if weighted:
        fields["weight"] = np.array([event.weight for event in events])
    for event in events:
        final = (event.status == 1) & (neutrinos | (np.abs(event.pid) != NEUTRINO))
        particles.append({"p4": event.momenta[final], "pid": event.pid[final]})
    return expected(path, particles, fields)


def make_events(num: int, seed: int) -> list[Event]:
    random = np.random.default_rng(seed)
    num_jets = random.integers(2, 4, num)
    num_jets[0] = 1
    counts = random.integers(2, 15, num_jets.sum())
    counts[:2] = (1, LARGEST)
    four = momenta(counts, seed, mass=0.13957)
    p4 = np.stack([four[name] for name in ("px", "py", "pz", "energy")], axis=1)
    first, of_jet = np.cumsum(num_jets) - num_jets, np.cumsum(counts) - counts
    events = []
    for i in range(num):
        parts: list[tuple[np.ndarray, np.ndarray, int, np.ndarray]] = []
        place = 0
        for jet in range(first[i], first[i] + num_jets[i]):
            mine = p4[of_jet[jet] : of_jet[jet] + counts[jet]]
            pid = random.choice(np.array([211, -211, 22, 130, 321, -2212]), len(mine))
            # What the jet comes from, the jet, and a neutrino that goes with it.
            parts.append((mine.sum(axis=0)[None], np.array([21]), 2, np.array([-1])))
            parts.append((mine, pid, 1, np.full(len(mine), place)))
            parts.append((0.1 * mine[:1], np.array([-NEUTRINO]), 1, np.array([place])))
            place += len(mine) + 2
        momentum, pid, status, origin = (
            np.concatenate(column)
            for column in zip(*((p, d, np.full(len(d), s), o) for p, d, s, o in parts), strict=True)
        )
        momentum = np.array([[float(f"{x:.9e}") for x in row] for row in momentum])
        mass = np.sqrt(np.maximum(momentum[:, 3] ** 2 - (momentum[:, :3] ** 2).sum(axis=1), 0))
        events.append(Event(1000 + i, float(f"{random.normal(1, 0.5):.6f}"), momentum, mass, pid, status, origin))
    return events


def expected(
    path: Path, particles: Sequence[dict[str, np.ndarray]], fields: dict[str, np.ndarray], **settings: Any
) -> Written:
    """Return what a reader must find: the jets of FastJet, hardest first, constituents too."""
    counts, chosen, jets, event = [], [], [], []
    for number, one in enumerate(particles):
        for jet, members in clustered(one["p4"]):
            counts.append(len(members))
            chosen.append({name: values[members] for name, values in one.items()})
            jets.append(jet)
            event.append(number)
    columns = {name: np.concatenate([part[name] for part in chosen]) for name in chosen[0]}
    columns.update(zip(("px", "py", "pz", "energy"), columns.pop("p4").T, strict=True))
    kinematics = dict(zip(("pt", "eta", "phi", "y", "mass", "energy"), np.array(jets).T, strict=True))
    return Written(
        path, np.array(counts), columns, {**kinematics, **{n: v[event] for n, v in fields.items()}}, settings
    )


def clustered(
    p4: np.ndarray, radius: float = RADIUS, algorithm: str = "antikt", pt_min: float = PT_MIN
) -> Iterator[tuple[tuple[float, ...], np.ndarray]]:
    """Yield pt, eta, phi, y, mass and energy of each of FastJet's jets, and its particles, hardest first."""
    name = {"cambridge_aachen": "cambridge"}.get(algorithm, algorithm)
    definition = fastjet.JetDefinition(getattr(fastjet, f"{name}_algorithm"), radius)
    pseudojets = [fastjet.PseudoJet(*row) for row in p4.tolist()]
    for i, pseudojet in enumerate(pseudojets):
        pseudojet.set_user_index(i)
    sequence = fastjet.ClusterSequence(pseudojets, definition)
    for jet in fastjet.sorted_by_pt(sequence.inclusive_jets(pt_min)):
        members = np.array([constituent.user_index() for constituent in jet.constituents()])
        members = members[np.lexsort((members, -(p4[members, :2] ** 2).sum(axis=1)))]
        yield (jet.pt(), jet.eta(), jet.phi_std(), jet.rap(), max(jet.m(), 0.0), jet.e()), members


def _write_with_pyhepmc(path: Path, events: list[Event], units: list[str], version: int, weighted: bool) -> None:
    import pyhepmc

    run = pyhepmc.GenRunInfo()
    run.weight_names = ["nominal"] if weighted else []
    with pyhepmc.open(path, "w", precision=9, format=f"HepMC{version}") as file:
        for event, unit in zip(events, units, strict=True):
            made = pyhepmc.GenEvent(pyhepmc.Units.GEV, pyhepmc.Units.MM)
            made.run_info = run
            made.event_number = event.number
            made.weights = [event.weight] if weighted else []
            collision = pyhepmc.GenVertex()
            for pz in (7000.0, -7000.0):
                collision.add_particle_in(pyhepmc.GenParticle((0, 0, pz, 7000.0), 2212, 4))
            made.add_vertex(collision)
            particles, decays = [], {}
            for i in range(len(event.pid)):
                particle = pyhepmc.GenParticle(event.momenta[i].tolist(), int(event.pid[i]), int(event.status[i]))
                particle.generated_mass = event.mass[i]
                origin = int(event.origin[i])
                if origin < 0:
                    collision.add_particle_out(particle)
                elif origin in decays:
                    decays[origin].add_particle_out(particle)
                else:
                    # Those with a position are written as vertices, others are left to be inferred.
                    decays[origin] = pyhepmc.GenVertex((0.1, 0.2, 0.3, 0.4) if origin else (0, 0, 0, 0))
                    decays[origin].add_particle_in(particles[origin])
                    decays[origin].add_particle_out(particle)
                    made.add_vertex(decays[origin])
                particles.append(particle)
            made.set_units(getattr(pyhepmc.Units, unit), pyhepmc.Units.MM)
            file.write(made)


def _hepmc3(events: list[Event], units: list[str], weighted: bool) -> Iterator[str]:
    yield from ("HepMC::Version 3.02.06", "HepMC::Asciiv3-START_EVENT_LISTING")
    if weighted:
        yield r"W nominal\|up"
    yield r"T Hand\|1.0\|written line by line"
    for event, unit in zip(events, units, strict=True):
        decaying = np.unique(event.origin[event.origin >= 0])
        yield f"E {event.number} {1 + len(decaying)} {2 + len(event.pid)}"
        yield f"U {unit} MM"
        if weighted:
            yield f"W {event.weight:.6e} 2.0"
        yield "A 0 signal_process_id 20"
        yield "P 1 0 2212 " + _line3(np.array([0, 0, 7e3, 7e3]), 0.0, 4, unit)
        yield "P 2 0 2212 " + _line3(np.array([0, 0, -7e3, 7e3]), 0.0, 4, unit)
        yield "V -1 0 [1,2]"
        vertex = 1
        for i in range(len(event.pid)):
            origin = int(event.origin[i])
            if 0 <= origin == i - 1:
                vertex += 1
                if vertex % 2 == 0:
                    yield f"V {-vertex} 0 [{origin + 3}] @ 1.0e-01 2.0e-01 3.0e-01 4.0e-01"
                where = -vertex if vertex % 2 == 0 else origin + 3
            yield f"P {i + 3} {-1 if origin < 0 else where} {event.pid[i]} " + _line3(
                event.momenta[i], event.mass[i], event.status[i], unit
            )
    yield from ("HepMC::Asciiv3-END_EVENT_LISTING", "")


def _line3(p4: np.ndarray, mass: float, status: int, unit: str) -> str:
    scale = 1e3 if unit == "MEV" else 1.0
    return " ".join(f"{x * scale:.9e}" for x in (*p4, mass)) + f" {status}"


def _hepmc2(events: list[Event], units: list[str], weighted: bool) -> Iterator[str]:
    yield from ("", "HepMC::Version 2.06.09", "HepMC::IO_GenEvent-START_EVENT_LISTING")
    for event, unit in zip(events, units, strict=True):
        decaying = np.unique(event.origin[event.origin >= 0])
        weights = f"1 {event.weight:.6e}" if weighted else "0"
        yield f"E {event.number} -1 -1.0e+00 1.2e-01 7.8e-03 20 0 {1 + len(decaying)} 10001 10002 2 17 -4 {weights}"
        if weighted:
            yield 'N 1 "nominal"'
        yield f"U {unit} MM"
        yield "C 1.0e+03 1.0e+01"
        primary = np.flatnonzero(event.origin < 0)
        yield f"V -1 0 0 0 0 0 2 {len(primary)} 0"
        for i, pz in enumerate((7e3, -7e3)):
            yield f"P {10001 + i} 2212 " + _line2(np.array([0, 0, pz, 7e3]), 0.0, 4, unit, -1)
        vertex_of = {int(origin): -2 - k for k, origin in enumerate(decaying)}
        for i in primary:
            yield _particle2(event, i, unit, vertex_of.get(int(i), 0))
        for origin in decaying:
            mine = np.flatnonzero(event.origin == origin)
            yield f"V {vertex_of[int(origin)]} 0 1.0e-01 2.0e-01 3.0e-01 4.0e-01 0 {len(mine)} 0"
            for i in mine:
                yield _particle2(event, i, unit, 0)
    yield from ("HepMC::IO_GenEvent-END_EVENT_LISTING", "")


def _particle2(event: Event, i: int, unit: str, end: int) -> str:
    return f"P {10003 + i} {event.pid[i]} " + _line2(event.momenta[i], event.mass[i], event.status[i], unit, end)


def _line2(p4: np.ndarray, mass: float, status: int, unit: str, end: int) -> str:
    return _line3(p4, mass, status, unit) + f" 0 0 {end} " + ("1 1 501" if status == 2 else "0")
