"""Convert synthetic files in the layout of the top-tagging reference set; print jets per second and peak memory.

    python benchmarks/conversion.py [--jets 100000 1200000] [--workers N] [--folder DIR]

Each size is written by pandas and PyTables (as the published files were: a table of 806 columns, Blosc), then converted
by the command `jetforge convert` in processes of its own: once to be timed, from start to end, and once for its peak
memory, which is that of all processes together, each page counted once (proportional set size), sampled ten times a
second, Python and libraries included; sampling takes time of its own.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

LENGTH = 200  # constituents a row has room for
BLOCK = 20_000  # jets written at a time
COLUMNS = [f"{name}_{i}" for i in range(LENGTH) for name in ("E", "PX", "PY", "PZ")]


def blocks(num_jets: int, seed: int) -> Iterator[pd.DataFrame]:
    """Give jets of 25 to 79 constituents, hardest first."""
    random = np.random.default_rng(seed)
    for start in range(0, num_jets, BLOCK):
        n = min(BLOCK, num_jets - start)
        there = np.arange(LENGTH) < random.integers(25, 80, n)[:, None]
        pt = -np.sort(-np.exp(random.normal(0, 1, (n, LENGTH)) - 10.0 * ~there), axis=1) * there
        pt *= 600 / pt.sum(1, keepdims=True)
        eta = random.normal(0, 0.2, (n, LENGTH)) + random.uniform(-1.5, 1.5, (n, 1))
        phi = random.normal(0, 0.2, (n, LENGTH)) + random.uniform(-np.pi, np.pi, (n, 1))
        momenta = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=2)
        frame = pd.DataFrame(momenta.astype(np.float32).reshape(n, -1), columns=COLUMNS)
        label = random.integers(0, 2, n)
        truth = {f"truth{c}": (random.normal(0, 300, n) * label).astype(np.float32) for c in ("E", "PX", "PY", "PZ")}
        further = pd.DataFrame({**truth, "ttv": np.zeros(n, dtype=np.int64), "is_signal_new": label})
        yield pd.concat([frame, further], axis=1)


def write(path: Path, num_jets: int) -> None:
    """Write a file of so many jets."""
    warnings.simplefilter("ignore")
    with pd.HDFStore(path, "w", complib="blosc", complevel=5) as store:
        for frame in blocks(num_jets, seed=1):
            store.append("table", frame, index=False)


def seconds_of(command: list[str]) -> float:
    """Run a command; return its seconds."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def memory_of(command: list[str]) -> float:
    """Run a command; return the peak memory (GiB) of it and its children."""
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(_pss(one.pid) for one in [process, *_children(process)]))
        time.sleep(0.1)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit {process.returncode}")
    return peak / 2**30


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # ended meanwhile
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return children


def main() -> None:
    """Write, convert, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jets", type=int, nargs="+", default=[100_000, 1_200_000])
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--folder", type=Path, default=None, help="where files go; kept if given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = arguments.folder or Path(temporary)
        for num_jets in arguments.jets:
            source = folder / f"reference-{num_jets}.h5"
            if not source.is_file():
                write(source, num_jets)
            out = Path(temporary) / f"out-{num_jets}"
            command = [sys.executable, "-c", "from jetforge.cli.main import program; program()", "convert", str(source)]
            if arguments.workers is not None:
                command += ["--workers", str(arguments.workers)]
            seconds = seconds_of([*command, "--out", str(out)])
            peak = memory_of([*command, "--out", f"{out}-again"])
            size = source.stat().st_size / 2**20
            print(
                f"{num_jets:>9,} jets, {size:,.0f} MiB: {seconds:.1f} s, {num_jets / seconds:,.0f} jets/s, "
                f"peak memory {peak:.2f} GiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
