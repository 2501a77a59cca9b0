"""Time an epoch of frozen training, whose backbone runs once over the jets, beside an epoch from scratch.

    python benchmarks/transfer.py --data DIR [--tagger lundnet5] [--source RUN] [--jets 20000] [--precision bf16-mixed]

All trainings are those of a user (`jetforge.fit`), on the same jets in the same run: from scratch, frozen at every
boundary of the tagger with kept outputs, and frozen without. Printed are the median epoch after the first, in which the
jets are represented, the ratio of scratch to it, what went by before the first epoch, the whole training, and the AUC
on the validation jets. Without --source, the network that was trained from scratch here is the source.
"""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

# Read when OpenMP is loaded, by importing torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

import jetforge
from jetforge.learning.recipe import make_recipe
from jetforge.learning.run import read_metrics
from jetforge.taggers import create_tagger


def train(name: str, out: Path, options: argparse.Namespace, **fields: Any) -> dict[str, float]:
    """Train as a recipe with these fields says, and return the numbers of its row."""
    training = {
        "epochs": options.epochs, "batch_size": 256, "optimizer": "adam", "weight_decay": 0.0, "schedule": "constant",
        "gradient_clip": None, "precision": options.precision, "train_jets": options.jets,
    }  # fmt: skip
    run = out / name.replace(" ", "-")
    jetforge.fit(make_recipe({"data": str(options.data), "out": str(run), "training": training, **fields}))
    rows = read_metrics(run)
    return {
        "epoch": median(row["seconds"] for row in rows[1:]),
        "first": rows[0]["seconds"],
        "before": rows[0].get("preparation_seconds", 0.0),
        "whole": sum(row["seconds"] + row.get("preparation_seconds", 0.0) for row in rows),
        "auc": max(row["val_auc"] for row in rows),
    }


def main() -> None:
    """Train one after the other; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a jetforge dataset with train and val")
    parser.add_argument("--tagger", default="lundnet5", help="name of the tagger")
    parser.add_argument("--source", type=Path, help="run of the same tagger to start from")
    parser.add_argument("--jets", type=int, default=20_000, help="training jets")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each training")
    parser.add_argument("--precision", default="32-true", help="32-true or bf16-mixed")
    options = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory(prefix="jetforge-") as folder:
        out = Path(folder)
        rows = {"scratch": train("scratch", out, options, tagger=options.tagger)}
        source = str(options.source or out / "scratch")
        for boundary in create_tagger(options.tagger).boundaries():
            transfer = {"source": source, "mode": "frozen", "boundary": boundary}
            rows[f"frozen before {boundary}"] = train(f"{boundary}", out, options, transfer=transfer)
            transfer["cached"] = False
            rows[f"frozen before {boundary}, not kept"] = train(f"{boundary}-not", out, options, transfer=transfer)
    base = rows["scratch"]["epoch"]
    print(f"{options.tagger}, {options.jets:,} jets, {options.precision}, {torch.get_num_threads()} threads\n")
    print("| training | ms a jet and epoch | scratch to it | s before | s of all epochs | AUC of val |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, row in rows.items():
        print(
            f"| {name} | {1000 * row['epoch'] / options.jets:.4f} | {base / row['epoch']:.1f} | {row['before']:.1f} | "
            f"{row['whole'] - row['before']:.1f} | {row['auc']:.5f} |"
        )


if __name__ == "__main__":
    main()
