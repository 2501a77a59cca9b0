"""Every format that can be read: jets per second, peak memory, and what becomes of damaged files; a row a layout.

    python benchmarks/formats.py [--rows N] [--damaged N] [--only FORMAT ...]

The files are those of the tests, written by other libraries than those that read them, of more rows (of images and
events a tenth). Jets per second are those of `jetforge.convert` in one process besides this one, whose start and first
compilations are not counted; the peak memory is that of the command `jetforge convert --workers 0` with its child.
Damage is done to small files, at places and of lengths that follow from a number (tests/helpers/damage.py): the result
is identical, one clear refusal, other numbers that the file's checksum reveals (most containers have none), or worse.
"""

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

from conversion import memory_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.damage import VARIANTS, Trial, Variant

FEWER = {"toptag-images", "ml4sci", "nanoaod", "delphes", "hepmc"}


def measure(variant: Variant, rows: int, folder: Path) -> str:
    """Convert a file of so many rows; return size, jets, speed and memory."""
    num = rows // 10 if variant.format in FEWER else rows
    (folder / "small").mkdir()
    small = variant.write(folder / "small")
    variant.convert(small, small.path, folder / "warm")
    written = variant.write(folder, num)
    size = written.path.stat().st_size / 1e6
    start = time.perf_counter()
    jets = variant.convert(written, written.path, folder / "out").num_jets("train")
    seconds = time.perf_counter() - start
    command = [sys.executable, "-c", "from jetforge.cli.main import program; program()", "convert"]
    command += [f"{variant.class_name}={written.path}" if variant.class_name else str(written.path)]
    command += [part for name, value in written.settings.items() for part in ("--option", f"{name}={value}")]
    peak = memory_of([*command, "--split", "train", "--workers", "0", "--out", str(folder / "again")])
    return f"{num:,} | {size:.1f} | {jets:,} | {jets / seconds:,.0f} | {peak:.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--damaged", type=int, default=500)
    parser.add_argument("--only", nargs="+", default=None)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    table = []
    table.append("| format | layout | rows | MB | jets | jets/s | GiB | identical | refused | other numbers | worse |")
    table.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for variant in VARIANTS:
        if arguments.only and variant.format not in arguments.only:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            measured = measure(variant, arguments.rows, Path(temporary)) if arguments.rows else " | | | | "
        with tempfile.TemporaryDirectory() as temporary:
            trial = Trial(variant, Path(temporary))
            for seed in range(arguments.damaged):
                found, what = trial.outcome(seed)
                if found == "worse":
                    print(f"worse: {variant.format}, {variant.name}: {what}", file=sys.stderr)
        counts = " | ".join(str(trial.outcomes[name]) for name in ("identical", "refused", "altered", "worse"))
        table.append(f"| `{variant.format}` | {variant.name} | {measured} | {counts} |")
        print(table[-1], flush=True)
    print("\n".join(["", *table]))


if __name__ == "__main__":
    main()
