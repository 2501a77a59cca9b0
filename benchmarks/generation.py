"""Where the time of generating jets goes: the share inside Pythia itself, in one process.

Run as `python benchmarks/generation.py [--jets N] [PRESET ...]`.
"""

from __future__ import annotations

import argparse

from jetforge.events.generate import generate_jets
from jetforge.events.presets import get_preset
from jetforge.jets.storage import encode_part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "presets", nargs="*", default=["toptag-top", "toptag-qcd", "lundnet-top-500", "lundnet-qcd-500"]
    )
    parser.add_argument("--jets", type=int, default=1000)
    arguments = parser.parse_args()
    # The first use compiles and imports; it is not what is measured.
    generate_jets(get_preset("toptag-qcd"), 5, seed=1)
    print(f"{'preset':24} {'jets/s':>8} {'in Pythia':>10} {'bytes/jet':>10}")
    for name in arguments.presets:
        jets, _, seconds = generate_jets(get_preset(name), arguments.jets, seed=1)
        share = seconds["pythia"] / seconds["total"]
        print(f"{name:24} {len(jets) / seconds['total']:8.0f} {share:10.1%} {len(encode_part(jets)) / len(jets):10.0f}")


if __name__ == "__main__":
    main()
