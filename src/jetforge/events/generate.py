"""Samples of jets from presets: each part of a dataset is generated on its own, from its own seed."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np

from jetforge.errors import JetforgeError, RecipeError
from jetforge.events.clustering import cluster_events
from jetforge.events.presets import CLASS_ORDER, Preset, get_preset
from jetforge.events.pythia import MAX_SEED, PythiaGenerator, final_particles, multiplicity
from jetforge.events.truth import contains_top, top_decays
from jetforge.jets.build import Progress, build_dataset, check_build
from jetforge.jets.dataset import Dataset
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.storage import encode_part
from jetforge.jets.tasks import MadePart, PartTask

DEFAULT_SPLIT = (0.8, 0.1, 0.1)
DEFAULT_PART_JETS = 2000
JET_FIELDS = ("label", "pt", "y", "eta", "phi", "mass")
CONSTITUENT_FIELDS = ("px", "py", "pz", "mass", "pid", "charge")
# Events asked of Pythia at a time: bounds the memory that their records take.
_MIN_EVENTS, _MAX_EVENTS = 50, 500
_GIVE_UP_AFTER = 200_000
# Steps between the seeds of parts; coprime to MAX_SEED, so the seeds of one preset never meet.
_SEED_STRIDE = 694_847_539


def generate(
    presets: Sequence[str],
    num_jets: int,
    out: str | Path,
    *,
    seed: int = 1,
    split: Sequence[float] = DEFAULT_SPLIT,
    part_jets: int = DEFAULT_PART_JETS,
    workers: int | None = None,
    scheduler: str | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Dataset:
    """Generate a dataset of jets.

    Parameters
    ----------
    presets
        Names such as ``toptag-top``; ``:no-mpi`` after a name switches multiparton interactions off.
    num_jets
        Jets in all, shared equally among the presets.
    out
        Directory of the dataset. If an earlier generation with the same settings was stopped, it goes on there.
    seed
        Any integer from 0; the same seed gives the same bytes, whatever the number of workers.
    split
        Shares of the train, val and test splits.
    part_jets
        Jets in a part, of all presets together.
    workers, scheduler, on_progress
        See `jetforge.jets.build.build_dataset`.

    Returns
    -------
    Dataset

    Raises
    ------
    RecipeError
        If a preset or a number is wrong.
    DataError
        If `out` holds something else.
    """
    rows, plan = _planned(presets, num_jets, seed, split, part_jets)
    if workers is not None and workers < 0:
        raise RecipeError(f"workers is a number of processes from 0, not {workers}")
    classes = _classes(rows)
    return build_dataset(
        out,
        _tasks(rows, classes, num_jets, seed, split, part_jets),
        make_part,
        plan=plan,
        classes=classes,
        constituent_fields=CONSTITUENT_FIELDS,
        jet_fields=JET_FIELDS,
        workers=workers,
        scheduler=scheduler,
        on_progress=on_progress,
    )


class PlannedDataset(NamedTuple):
    """What a dataset has, or will have once it is made: its classes, and the number of jets of each split."""

    classes: tuple[str, ...]
    num_jets: dict[str, int]


def plan_generation(
    presets: Sequence[str],
    num_jets: int,
    out: str | Path,
    *,
    seed: int = 1,
    split: Sequence[float] = DEFAULT_SPLIT,
    part_jets: int = DEFAULT_PART_JETS,
) -> PlannedDataset:
    """Say what `generate` would make, and raise what it would raise before its first jet; nothing is made.

    Parameters and errors are those of `generate`.
    """
    rows, plan = _planned(presets, num_jets, seed, split, part_jets)
    check_build(out, plan)
    in_splits = zip(SPLITS, _jets_of_splits(rows, num_jets, split), strict=True)
    return PlannedDataset(_classes(rows), {name: jets * len(rows) for name, jets in in_splits})


def _classes(rows: Sequence[Preset]) -> tuple[str, ...]:
    return tuple(name for name in CLASS_ORDER if name in {row.jet_class for row in rows})


def _jets_of_splits(rows: Sequence[Preset], num_jets: int, split: Sequence[float]) -> list[int]:
    """Return how many jets of each preset each split has."""
    edges = np.rint(np.cumsum([0, *split]) * (num_jets // len(rows))).astype(int)
    counts: list[int] = np.diff(edges).tolist()
    return counts


def _planned(
    presets: Sequence[str], num_jets: int, seed: int, split: Sequence[float], part_jets: int
) -> tuple[list[Preset], dict[str, Any]]:
    """Return the presets, and what a dataset of them is to be."""
    rows = [get_preset(name) for name in ([presets] if isinstance(presets, str) else presets)]
    _check_arguments(rows, num_jets, seed, split, part_jets)
    plan = {
        "presets": [row.to_dict() for row in rows],
        "jets": num_jets,
        "seed": seed,
        "split": list(split),
        "part_jets": part_jets,
        "versions": _versions(),
    }
    return rows, plan


def make_part(task: PartTask) -> MadePart:
    """Generate one part: its share of every preset, in an order drawn from its seed."""
    samples: list[Jets] = []
    statistics: dict[str, dict[str, int]] = {}
    timing: dict[str, float] = {}
    for share in task.argument["shares"]:
        preset = get_preset(share["preset"])
        jets, counts, seconds = generate_jets(preset, share["jets"], share["pythia_seed"])
        samples.append(_labelled(jets, share["label"]))
        statistics[preset.name] = counts
        for name, value in seconds.items():
            timing[name] = timing.get(name, 0.0) + value
    jets = Jets.concatenate(samples)
    order = np.random.default_rng(task.argument["shuffle_seed"]).permutation(len(jets))
    start = time.perf_counter()
    data = encode_part(jets[order])
    timing["total"] += time.perf_counter() - start
    return MadePart(data, len(jets), statistics, timing)


def generate_jets(preset: Preset, num_jets: int, seed: int) -> tuple[Jets, dict[str, int], dict[str, float]]:
    """Generate jets of one preset in this process.

    Parameters
    ----------
    preset
        The setting.
    num_jets
        How many selected jets.
    seed
        Pythia's seed.

    Returns
    -------
    jets : Jets
        With constituent columns ``px, py, pz, energy, mass`` (GeV), ``pid``, ``charge`` (e), hardest first, and jet
        fields ``pt, mass`` (GeV), ``y, eta, phi``.
    counts : dict
        ``events`` generated, ``particles`` (stable ones in all of them), ``selected`` jets, of which the last few may
        be more than were asked for.
    seconds : dict
        ``pythia`` (initialisation and ``nextBatch``) and ``total``.

    Raises
    ------
    JetforgeError
        If the preset's selection keeps nothing of very many events.
    """
    start = time.perf_counter()
    generator = PythiaGenerator(preset.settings, seed)
    in_pythia = time.perf_counter() - start
    counts = {"events": 0, "particles": 0, "selected": 0}
    found: list[Jets] = []
    while counts["selected"] < num_jets:
        asked = _next_events(counts, num_jets)
        before = time.perf_counter()
        events = generator.next_batch(asked)
        in_pythia += time.perf_counter() - before
        if len(events) == 0:
            raise JetforgeError(f"preset {preset.name}: Pythia gives no more events with seed {seed}")
        jets = select_jets(events, preset, generator)
        found.append(jets)
        counts["events"] += len(events)
        counts["selected"] += len(jets)
        counts["particles"] += int(multiplicity(events).sum())
        if not counts["selected"] and counts["events"] >= _GIVE_UP_AFTER:
            raise JetforgeError(f"preset {preset.name}: no jet selected in {counts['events']} events")
    kept = Jets.concatenate(found)[:num_jets]
    return kept, counts, {"pythia": in_pythia, "total": time.perf_counter() - start}


def select_jets(events: ak.Array, preset: Preset, generator: PythiaGenerator) -> Jets:
    """Cluster Pythia's events and keep the jets that a preset asks for, in the order of the events."""
    particles = final_particles(events, visible_only=preset.visible_only, eta_max=preset.particle_eta_max)
    jets = cluster_events(particles, radius=preset.radius, pt_min=preset.pt_min)[:, : preset.num_hardest]
    keep = jets.pt > preset.pt_min
    if preset.pt_max is not None:
        keep = keep & (jets.pt < preset.pt_max)
    if preset.rapidity_max is not None:
        keep = keep & (np.abs(jets.y) < preset.rapidity_max)
    if preset.eta_max is not None:
        keep = keep & (np.abs(jets.eta) < preset.eta_max)
    if preset.match_top:
        keep = keep & contains_top(jets.y, jets.phi, top_decays(events), preset.radius)
    chosen = ak.flatten(jets[keep])
    constituents = chosen.constituents
    if preset.max_constituents is not None:
        constituents = constituents[:, : preset.max_constituents]
    offsets = np.concatenate([[0], np.cumsum(ak.num(constituents, axis=1))])
    columns: dict[str, Any] = {name: ak.to_numpy(ak.flatten(constituents[name])) for name in constituents.fields}
    columns["charge"] = generator.charges(columns["pid"])
    fields = {name: ak.to_numpy(chosen[name]) for name in ("pt", "y", "eta", "phi", "mass")}
    return Jets(offsets, columns, fields)


def _next_events(counts: Mapping[str, int], num_jets: int) -> int:
    """Choose how many events to ask for: about as many as are still needed, from what was seen so far."""
    if not counts["selected"]:
        return _MAX_EVENTS if counts["events"] else _MIN_EVENTS
    needed = (num_jets - counts["selected"]) * counts["events"] / counts["selected"]
    return int(np.clip(1.05 * needed + 1, 10, _MAX_EVENTS))


def _labelled(jets: Jets, label: int) -> Jets:
    return Jets(jets.offsets, jets.columns, {"label": np.full(len(jets), label, dtype=np.int64), **jets.fields})


def _tasks(
    rows: Sequence[Preset],
    classes: Sequence[str],
    num_jets: int,
    seed: int,
    split: Sequence[float],
    part_jets: int,
) -> list[PartTask]:
    tasks: list[PartTask] = []
    for name, in_split in zip(SPLITS, _jets_of_splits(rows, num_jets, split), strict=True):
        num_parts = -(-in_split * len(rows) // part_jets)
        quota = np.diff(np.rint(np.linspace(0, in_split, num_parts + 1)).astype(int)).tolist() if num_parts else []
        for index, jets in enumerate(quota):
            number = len(tasks)
            shares = [
                {
                    "preset": row.name,
                    "jets": jets,
                    "label": classes.index(row.jet_class),
                    "pythia_seed": _pythia_seed(seed, row.name, SPLITS.index(name) + len(SPLITS) * index),
                }
                for row in rows
            ]
            tasks.append(PartTask(name, index, jets * len(rows), {"shares": shares, "shuffle_seed": [seed, number]}))
    return tasks


def _pythia_seed(seed: int, preset: str, number: int) -> int:
    """Return Pythia's seed for a part of a preset; parts of different splits never share one, in no dataset."""
    first = int(np.random.default_rng([seed, zlib.crc32(preset.encode())]).integers(MAX_SEED))
    return (first + number * _SEED_STRIDE) % MAX_SEED + 1


def _check_arguments(rows: Sequence[Preset], num_jets: int, seed: int, split: Sequence[float], part_jets: int) -> None:
    if not rows:
        raise RecipeError("name at least one preset; `jetforge info presets` lists them")
    if len({row.name for row in rows}) < len(rows):
        raise RecipeError("a preset is named twice")
    if num_jets < 1:
        raise RecipeError(f"the number of jets is positive, not {num_jets}")
    if num_jets % len(rows):
        raise RecipeError(f"{num_jets} jets cannot be shared equally among {len(rows)} presets")
    if seed < 0:
        raise RecipeError(f"the seed is an integer from 0, not {seed}")
    if len(split) != len(SPLITS) or not (min(split) >= 0 and abs(sum(split) - 1) <= 1e-9):
        raise RecipeError(f"the split is three shares for {', '.join(SPLITS)} that add up to 1, not {list(split)}")
    if part_jets < len(rows):
        raise RecipeError(f"a part holds at least one jet of each preset, so part_jets is {len(rows)} or more")


def _versions() -> dict[str, str | None]:
    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {package: installed(package) for package in ("jetforge", "pythia8mc", "fastjet")}
