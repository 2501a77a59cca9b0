"""Time our Lund tree beside FastJet's declusterings, on the same jets in the same run.

    python benchmarks/lund.py [--jets N] [--data DIR]

FastJet's awkward interface returns Delta and kt of the primary plane; ours returns the whole tree. Without
--data, the jets are made by an angular-ordered toy shower of about 71 constituents per jet.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from math import cos, cosh, exp, log, pi, sin, sinh, sqrt

import awkward as ak
import fastjet
import numpy as np
import numpy.typing as npt
import vector
from numba import config, njit

from jetforge.physics.flat import flatten
from jetforge.physics.lund import lund_arrays, lund_tree

_COUPLING = 0.6  # emissions per unit of ln 1/Delta and ln 1/z
_KT_CUT = 0.0455  # GeV; with the coupling, sets the multiplicity
_PION_MASS = 0.13957  # GeV
_MOST = 500  # constituents of one jet


@njit(cache=True)
def _next_emission(rng: np.random.Generator, pt: float, angle: float) -> tuple[float, float]:
    """Return angle and momentum fraction of a prong's next emission, or 0, 0 when it emits no more."""
    while pt * angle > 2 * _KT_CUT:
        z_min = _KT_CUT / (pt * angle)
        span = log(0.5 / z_min)
        angle *= exp(-rng.exponential() / (_COUPLING * span))
        z = z_min * exp(rng.random() * span)
        if z * pt * angle > _KT_CUT:
            return angle, z
    return 0.0, 0.0


@njit(cache=True)
def _shower_jet(
    rng: np.random.Generator, prongs: npt.NDArray[np.float64], momenta: npt.NDArray[np.float64], n: int
) -> int:
    """Shower one quark or gluon of 500 to 550 GeV and append its pions; return the number of constituents."""
    prongs[0] = rng.uniform(500.0, 550.0), rng.uniform(-2.0, 2.0), rng.uniform(-pi, pi), 0.8
    waiting = 1
    while waiting > 0:
        waiting -= 1
        pt, y, phi, angle = prongs[waiting]
        angle, z = _next_emission(rng, pt, angle)
        if angle > 0.0:
            psi = rng.uniform(-pi, pi)
            dy, dphi = angle * sin(psi), angle * cos(psi)
            prongs[waiting] = pt * (1 - z), y - z * dy, phi - z * dphi, angle
            prongs[waiting + 1] = pt * z, y + (1 - z) * dy, phi + (1 - z) * dphi, angle
            waiting += 2
        else:
            mt = sqrt(pt**2 + _PION_MASS**2)
            momenta[n] = pt * cos(phi), pt * sin(phi), mt * sinh(y), mt * cosh(y)
            n += 1
    return n


@njit(cache=True)
def _shower(rng: np.random.Generator, n_jets: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return constituents per jet, and (px, py, pz, E) of all."""
    counts = np.empty(n_jets, dtype=np.int64)
    momenta = np.empty((n_jets * _MOST, 4))
    prongs = np.empty((_MOST, 4))
    n = 0
    for j in range(n_jets):
        after = _shower_jet(rng, prongs, momenta, n)
        counts[j] = after - n
        n = after
    return counts, momenta[:n].copy()


def toy_jets(n_jets: int, seed: int = 1) -> ak.Array:
    """Return jets of an angular-ordered toy shower, the same for the same seed."""
    counts, momenta = _shower(np.random.default_rng(seed), n_jets)
    px, py, pz, energy = np.ascontiguousarray(momenta.T)
    record = ak.zip({"px": px, "py": py, "pz": pz, "energy": energy}, with_name="Momentum4D")
    return ak.unflatten(record, counts)


def stored_jets(directory: str, n_jets: int) -> ak.Array:
    """Return the first training jets of a dataset."""
    import jetforge

    return jetforge.open(directory).read("train").constituents[:n_jets]


def median_times(routes: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Return the median time of each route in seconds; they take turns, so that all meet the same load."""
    times: dict[str, list[float]] = {name: [] for name in routes}
    for route in routes.values():
        route()
    for _ in range(repetitions):
        for name, route in routes.items():
            start = time.perf_counter()
            route()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jets", type=int, default=4000, help="number of jets (4000)")
    parser.add_argument("--data", help="dataset directory to take jets from; by default a toy shower")
    parser.add_argument("--repetitions", type=int, default=7)
    arguments = parser.parse_args()
    vector.register_awkward()
    jets = stored_jets(arguments.data, arguments.jets) if arguments.data is not None else toy_jets(arguments.jets)
    flat = flatten(jets)
    fields = {"px": flat.px, "py": flat.py, "pz": flat.pz, "E": flat.energy}
    peer_jets = ak.unflatten(ak.zip(fields, with_name="Momentum4D"), np.diff(flat.offsets))
    cambridge = fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0)
    threads = int(vars(config)["NUMBA_NUM_THREADS"])
    peer = "fastjet, awkward, primary plane"
    times = median_times(
        {
            peer: lambda: fastjet.ClusterSequence(peer_jets, cambridge).exclusive_jets_lund_declusterings(njets=1),
            "lund_arrays, 1 thread": lambda: lund_arrays(flat, num_threads=1),
            f"lund_arrays, {threads} threads": lambda: lund_arrays(flat),
            f"lund_tree, {threads} threads": lambda: lund_tree(jets),
        },
        arguments.repetitions,
    )
    n_jets = len(flat.offsets) - 1
    print(f"{n_jets} jets, {len(flat.px) / n_jets:.1f} constituents on average")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name, seconds in times.items():
        print(f"{name:32} {seconds / n_jets * 1e6:8.2f} us/jet {times[peer] / seconds:7.2f} x fastjet")


if __name__ == "__main__":
    main()
