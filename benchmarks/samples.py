"""Check the generated samples: multiplicity beside the published one, Lund planes, and the reach of pTHat.

    python benchmarks/samples.py multiplicity [--events 10000] [--mpi]
    python benchmarks/samples.py planes [--jets 1000] [--out docs/images]
    python benchmarks/samples.py pthat [--events 10000]
    python benchmarks/samples.py table

The last prints the table of presets that docs/samples.md shows.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.evaluation import LundDensity, lund_density, plot_lund_planes
from jetforge.events.generate import generate_jets, select_jets
from jetforge.events.presets import PRESETS, get_preset
from jetforge.events.pythia import PythiaGenerator, multiplicity

Given = TypeVar("Given")
Result = TypeVar("Result")

# Mean number of stable particles an event, from the histogram headers of github.com/JetsGame/data (500 GeV).
PUBLISHED = {
    "lundnet-qcd-500:no-mpi": 223.80,
    "lundnet-w-500:no-mpi": 159.71,
    "lundnet-top-500:no-mpi": 228.19,
    "lundnet-qcd-500": 418.54,
    "lundnet-w-500": 357.98,
    "lundnet-top-500": 419.28,
}
_BATCH = 200
_TITLES = {
    "lundnet": "anti-kt R = 1.0, pT > {} GeV",
    "transfer": "anti-kt R = 0.8, pT > {} GeV",
    "toptag": "anti-kt R = 0.8, 550 < pT < 650 GeV",
}


# Edges (GeV) of the ranges of pTHat that are generated apart; the last is open.
PTHAT_EDGES = (250.0, 300.0, 350.0, 400.0, 450.0)


class Count(NamedTuple):
    """Jets that a selection keeps, and the events they come from."""

    jets: int
    events: int


def in_processes(work: Callable[[Given], Result], given: Iterable[Given], workers: int) -> Iterator[Result]:
    """Apply a function in several processes, in order; each starts clean, as Pythia and numba want."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, given)


def event_multiplicity(name: str, events: int) -> npt.NDArray[np.int64]:
    """Return the number of stable particles of each event of a preset."""
    generator = PythiaGenerator(get_preset(name).settings, seed=1)
    counts = [multiplicity(generator.next_batch(_BATCH)) for _ in range(-(-events // _BATCH))]
    return np.concatenate(counts)[:events]


def compare_multiplicity(events: int, mpi: bool, workers: int) -> None:
    names = [name for name in PUBLISHED if mpi or name.endswith(":no-mpi")]
    print("| preset | events | mean multiplicity | published | deviation |")
    print("| --- | ---: | ---: | ---: | ---: |")
    results = in_processes(partial(event_multiplicity, events=events), names, workers)
    for name, counts in zip(names, results, strict=True):
        mean, error = counts.mean(), counts.std(ddof=1) / np.sqrt(len(counts))
        deviation = 100 * (mean / PUBLISHED[name] - 1)
        print(
            f"| `{name}` | {len(counts):,} | {mean:.2f} ± {error:.2f} | {PUBLISHED[name]:.2f} "
            f"| {deviation:+.1f} ± {100 * error / PUBLISHED[name]:.1f} % |",
            flush=True,
        )


def lund_plane(name: str, jets: int) -> LundDensity:
    """Return the average primary Lund plane of a preset."""
    sample = generate_jets(get_preset(name), jets, seed=1)[0]
    return lund_density(sample, bins=(30, 32), x_range=(-0.5, 7.0), y_range=(-1.5, 6.5), num_threads=1)


def draw_planes(jets: int, out: Path, workers: int) -> None:
    """Draw one figure a family and threshold, its classes side by side."""
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[tuple[str, str], dict[str, LundDensity]] = {}
    # The slowest first keeps the processes busy to the end.
    names = sorted(PRESETS, key=lambda name: -PRESETS[name].pt_min)
    for name, plane in zip(names, in_processes(partial(lund_plane, jets=jets), names, workers), strict=True):
        family, jet_class, *threshold = name.split("-")
        figures.setdefault((family, "".join(threshold)), {})[jet_class] = plane
        print(f"{name}: {plane.outside:.1%} of the primary declusterings outside the figure", flush=True)
    for (family, threshold), planes in figures.items():
        ordered = {c: planes[c] for c in ("qcd", "w", "top") if c in planes}
        figure = plot_lund_planes(ordered, title=_TITLES[family].format(threshold))
        path = out / f"lund-{family}{threshold and '-'}{threshold}.png"
        figure.savefig(path, dpi=80)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def _without(settings: Sequence[str], name: str) -> tuple[str, ...]:
    return tuple(line for line in settings if not line.startswith(name))


def cross_section_shares(name: str, events: int) -> npt.NDArray[np.float64]:
    """Return the share of the cross section in each range of pTHat, from the hard process alone."""
    settings = _without(get_preset(name).settings, "PhaseSpace:pTHatMin")
    lowest = f"PhaseSpace:pTHatMin = {PTHAT_EDGES[0]}"
    generator = PythiaGenerator((*settings, lowest, "PartonLevel:all = off"), seed=2)
    batches = [generator.next_batch(_BATCH).info.pT2Hat for _ in range(-(-events // _BATCH))]
    pthat = np.sqrt(np.concatenate([ak.to_numpy(batch) for batch in batches]))
    # Pythia generates a little outside of the range: what is below the first edge is not counted.
    counts = np.histogram(pthat, [*PTHAT_EDGES, np.inf])[0]
    return counts / counts.sum()


def selected(task: tuple[str, float, float], events: int) -> Count:
    """Count the selected jets of a preset, name, in a range of pTHat; -1 means that it has no upper end."""
    name, low, high = task
    preset = get_preset(name)
    settings = _without(preset.settings, "PhaseSpace:pTHatMin")
    limits = (f"PhaseSpace:pTHatMin = {low}", f"PhaseSpace:pTHatMax = {high}")
    generator = PythiaGenerator((*settings, *limits), seed=3)
    jets = sum(len(select_jets(generator.next_batch(_BATCH), preset, generator)) for _ in range(-(-events // _BATCH)))
    return Count(jets, -(-events // _BATCH) * _BATCH)


def measure_pthat(events: int, workers: int) -> None:
    """Print which share of the selected jets comes from each range of pTHat."""
    names = ("toptag-qcd", "toptag-top")
    ranges = list(zip(PTHAT_EDGES, (*PTHAT_EDGES[1:], -1.0), strict=True))
    tasks = [(name, *limits) for name in names for limits in ranges]
    counts = list(in_processes(partial(selected, events=events), tasks, workers))
    shares = list(in_processes(partial(cross_section_shares, events=20 * events), names, workers))
    print("| preset | pTHat [GeV] | cross section | selected jets | events | share of the selected jets |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for k, name in enumerate(names):
        mine = counts[k * len(ranges) : (k + 1) * len(ranges)]
        rates = [share * c.jets / c.events for share, c in zip(shares[k], mine, strict=True)]
        for (low, high), share, count, rate in zip(ranges, shares[k], mine, rates, strict=True):
            text = f"{low:.0f} to {high:.0f}" if high > 0 else f"above {low:.0f}"
            of_all = 100 * rate / sum(rates)
            error = of_all / np.sqrt(max(count.jets, 1))
            print(
                f"| `{name}` | {text} | {share:.1%} | {count.jets:,} | {count.events:,} "
                f"| {of_all:.2f} ± {error:.2f} % |"
            )


def preset_table() -> str:
    """Return every preset with its settings, as the Markdown table of docs/samples.md."""
    rows = [
        "| preset | jets | pT [GeV] | within | top | pTHat min [GeV] | tune | MPI | particles | kept |",
        "| --- | --- | --- | --- | --- | ---: | --- | --- | --- | --- |",
    ]
    for preset in PRESETS.values():
        given = dict(line.split(" = ") for line in preset.settings)
        window = f"> {preset.pt_min:g}" if preset.pt_max is None else f"{preset.pt_min:g} to {preset.pt_max:g}"
        within = f"abs(y) < {preset.rapidity_max:g}" if preset.rapidity_max else f"abs(eta) < {preset.eta_max:g}"
        particles = "no neutrinos" if preset.visible_only else "all"
        if preset.particle_eta_max is not None:
            particles += f", abs(eta) < {preset.particle_eta_max:g}"
        cells = [
            f"`{preset.name}`",
            f"{preset.num_hardest} hardest, R = {preset.radius:.1f}",
            window,
            within,
            "matched" if preset.match_top else "-",
            given["PhaseSpace:pTHatMin"],
            {"5": "4C"}.get(given.get("Tune:pp", ""), "default"),
            given.get("PartonLevel:MPI", "on"),
            particles,
            "all" if preset.max_constituents is None else f"{preset.max_constituents} hardest",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table")
    for name in ("multiplicity", "planes", "pthat"):
        command = commands.add_parser(name)
        command.add_argument("--workers", type=int, default=2, help="processes (2)")
        if name == "planes":
            command.add_argument("--jets", type=int, default=1000, help="jets a preset (1000)")
            command.add_argument("--out", type=Path, default=Path("docs/images"))
        else:
            command.add_argument("--events", type=int, default=10_000, help="events a sample or range (10000)")
        if name == "multiplicity":
            command.add_argument("--mpi", action="store_true", help="also with multiparton interactions")
    given = parser.parse_args()
    if given.command == "table":
        print(preset_table())
    elif given.command == "multiplicity":
        compare_multiplicity(given.events, given.mpi, given.workers)
    elif given.command == "planes":
        draw_planes(given.jets, given.out, given.workers)
    else:
        measure_pthat(given.events, given.workers)


if __name__ == "__main__":
    main()
