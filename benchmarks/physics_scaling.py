"""Time and memory of the substructure library: against the size of jets, their number, and for a million of them.

    python benchmarks/physics_scaling.py time
    python benchmarks/physics_scaling.py memory [--jets 1000000]

Time: microseconds a jet against the number of constituents, and against the number of jets, on one thread.
Memory: the peak of a process that holds the momenta of a million jets and computes one quantity, on all cores.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from physics import seconds

from jetforge import physics as p
from jetforge.physics.flat import FlatJets


def scaling() -> None:
    """Print how the time a jet grows with the number of constituents, and the time with that of jets."""
    rng = np.random.default_rng(1)
    routes: dict[str, Callable[[FlatJets], object]] = {
        "Lund tree": lambda f: p.lund_arrays(f, num_threads=1),
        "kt splittings": lambda f: p.kt_splittings(f, num_threads=1),
        "soft drop": lambda f: p.soft_drop(f, num_threads=1),
        "recursive soft drop": lambda f: p.recursive_soft_drop(f, num_threads=1),
        "tau1 to tau3, onepass_kt": lambda f: p.nsubjettiness(f, (1, 2, 3), num_threads=1),
        "jet images": lambda f: p.jet_images(f, num_threads=1),
        "thrust": lambda f: p.thrust(f, num_threads=1),
        "width": lambda f: p.width(f, num_threads=1),
        "e2": lambda f: p.energy_correlator(f, 2, num_threads=1),
        "D2 (a sum over triples)": lambda f: p.d2(f, num_threads=1),
        "EFPs, degree <= 3": lambda f: p.energy_flow_polynomials(f, degree=3, num_threads=1),
    }
    sizes = (31, 62, 125, 250, 500)
    print("time a jet in us, and the exponent of the last doubling of the number of constituents\n")
    print("| quantity | " + " | ".join(map(str, sizes)) + " | exponent |")
    print("| --- |" + " ---: |" * (len(sizes) + 1))
    samples = {n: scattered(rng, n, max(40, 20_000 // n)) for n in sizes}
    for name, route in routes.items():
        times = []
        for flat in samples.values():
            route(flat)
            times.append(seconds(partial(route, flat), 7) / (len(flat.offsets) - 1) * 1e6)
        exponent = np.log2(times[-1] / times[-2])
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in times) + f" | {exponent:.2f} |", flush=True)
    print("\n| quantity | 5,000 jets, us/jet | 50,000 jets, us/jet |\n| --- | ---: | ---: |")
    few, many = (scattered(rng, 60, n) for n in (5_000, 50_000))
    for name in ("Lund tree", "soft drop", "tau1 to tau3, onepass_kt", "jet images", "width"):
        pair = [seconds(partial(routes[name], f), 3) / (len(f.offsets) - 1) * 1e6 for f in (few, many)]
        print(f"| {name} | {pair[0]:.2f} | {pair[1]:.2f} |", flush=True)


def scattered(rng: np.random.Generator, n: int, n_jets: int) -> FlatJets:
    """Return jets of n pions each, around an axis at several angular scales."""
    pt = np.exp(rng.uniform(-1, 4, (n_jets, n)))
    width = 10 ** rng.uniform(-2.5, -0.3, (2, n_jets, n))
    axis = np.stack([rng.uniform(-2, 2, (n_jets, 1)), rng.uniform(-np.pi, np.pi, (n_jets, 1))])
    y, phi = (axis + width * rng.normal(size=(2, n_jets, n))).reshape(2, -1)
    pt = pt.ravel()
    mt = np.hypot(pt, 0.13957)
    offsets = np.arange(0, n * n_jets + 1, n)
    return FlatJets(offsets, pt * np.cos(phi), pt * np.sin(phi), mt * np.sinh(y), mt * np.cosh(y))


MEMORY: dict[str, Callable[[FlatJets], object]] = {
    "momenta alone": lambda f: None,
    "Lund density": lambda f: p.lund_density(f),
    "soft drop, with lists": lambda f: p.soft_drop(f),
    "soft drop, numbers": lambda f: p.soft_drop_arrays(f),
    "trimming, with lists": lambda f: p.trimming(f),
    "subjets, anti-kt R = 0.2": lambda f: p.inclusive_subjets(f, 0.2),
    "tau1 to tau3": lambda f: p.nsubjettiness(f),
    "C2": lambda f: p.c_series(f, 2),
    "average image": lambda f: p.average_image(f),
    "EFPs, degree <= 4, single precision": lambda f: p.energy_flow_polynomials(f, degree=4, dtype="float32"),
    "observables": lambda f: p.observables(
        f, ["mass", "m_softdrop", "tau21_wta", "tau32", "d2", "n2_softdrop", "lha", "qw", "thrust", "ptd"]
    ),
}


def memory(n_jets: int) -> None:
    print(f"peak memory of a process with {n_jets:,} jets of 60 constituents\n")
    print("| quantity | peak, GB | us/jet, all cores |\n| --- | ---: | ---: |", flush=True)
    for name in MEMORY:
        arguments = [sys.executable, __file__, "memory-of", "--jets", str(n_jets), "--only", name]
        subprocess.run(arguments, check=True)


def memory_of(n_jets: int, name: str) -> None:
    """Print the peak of this process: jets are made in pieces, so that making them takes no more than they do."""
    rng = np.random.default_rng(1)
    offsets = np.arange(0, 60 * n_jets + 1, 60)
    flat = FlatJets(offsets, *(np.empty(60 * n_jets) for _ in range(4)))
    for start in range(0, n_jets, 10_000):
        piece = scattered(rng, 60, min(10_000, n_jets - start))
        for column, values in zip(flat[1:], piece[1:], strict=True):
            column[60 * start : 60 * start + len(values)] = values
    start_time = time.perf_counter()
    MEMORY[name](flat)
    elapsed = time.perf_counter() - start_time
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"| {name} | {peak:.2f} | {elapsed / n_jets * 1e6:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("time", "memory", "memory-of"))
    parser.add_argument("--jets", type=int, default=1_000_000, help="number of jets whose memory is measured")
    parser.add_argument("--only", help="for memory-of: the quantity")
    arguments = parser.parse_args()
    if arguments.what == "time":
        scaling()
    elif arguments.what == "memory":
        memory(arguments.jets)
    else:
        memory_of(arguments.jets, arguments.only)


if __name__ == "__main__":
    main()
