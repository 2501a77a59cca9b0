"""Train every tagger on one dataset and measure it, as a user would: one table of what each gives.

    python benchmarks/tagger_auc.py --data DIR --out runs/auc [--epochs 15] [--max-constituents 64] [--only pfn,part]

Every tagger is trained by the defaults of a recipe, and measured on the test split: AUC, accuracy, and rejections with
their 68 % intervals. Each has its own run directory in --out. Given again, the finished ones are not trained again, and
one that was stopped goes on. --max-constituents keeps the hardest constituents for taggers whose representation has
that setting, all others read all. A tagger that cannot be trained on the dataset is listed with the reason.
"""

import argparse
import json
import os
from pathlib import Path
from statistics import median
from typing import Any

# Read when OpenMP is loaded, by importing torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

import jetforge
from jetforge.errors import Interrupted, JetforgeError
from jetforge.evaluation.tables import format_error, format_rejection
from jetforge.learning.recipe import Recipe, make_recipe
from jetforge.learning.run import read_metrics
from jetforge.taggers import create_tagger, list_taggers

_COLUMNS = ("tagger", "parameters", "AUC", "accuracy", "1/εB at 0.5", "1/εB at 0.3", "s an epoch")


def recipe_of(name: str, options: argparse.Namespace) -> Recipe:
    """Return the recipe of a tagger: its defaults, but for what was asked for."""
    training = {"epochs": options.epochs, "precision": options.precision}
    if options.batch_size:
        training["batch_size"] = options.batch_size
    tagger = create_tagger(name)
    values: dict[str, Any] = {
        "data": str(options.data), "out": str(options.out / name), "tagger": name,
        "training": {"seed": options.seed, **(training if tagger.trained_by_gradient else {})},
    }  # fmt: skip
    if options.max_constituents and "max_constituents" in tagger.representation.settings():
        values["representation"] = {"max_constituents": options.max_constituents}
    return make_recipe(values)


def measure(name: str, options: argparse.Namespace) -> dict[str, str]:
    """Train a tagger unless that is done, measure it unless that is done, and return its row."""
    recipe = recipe_of(name, options)
    run = Path(recipe.out)
    tagger = jetforge.fit(recipe)
    measured = run / "metrics.json"
    # A training that was done again leaves a newer tagger than its measurement.
    if measured.is_file() and measured.stat().st_mtime >= (run / "tagger.json").stat().st_mtime:
        metrics = json.loads(measured.read_text())
    else:
        metrics = jetforge.evaluate(run, options.data)
    # With more than two classes: of all, and the first signal's rejections.
    rejection = metrics["rejection"] if "rejection" in metrics else next(iter(metrics["signals"].values()))["rejection"]
    epochs = read_metrics(run)
    return dict(
        zip(
            _COLUMNS,
            (
                name, f"{tagger.num_parameters():,}", format_error(metrics["auc"], metrics.get("auc_error")),
                format_error(metrics["accuracy"], metrics.get("accuracy_error")), format_rejection(rejection["0.5"]),
                format_rejection(rejection["0.3"]), f"{median(row['seconds'] for row in epochs):.1f}" if epochs else "",
            ),
            strict=True,
        )
    )  # fmt: skip


def main() -> None:
    """Train and measure one tagger after the other; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a jetforge dataset with train, val and test")
    parser.add_argument("--out", type=Path, required=True, help="directory of the runs")
    parser.add_argument("--only", help="names of taggers, with commas between them; all if it is left out")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, help="by default the recipe's")
    parser.add_argument("--precision", default="32-true", help="32-true, bf16-mixed or 16-mixed")
    parser.add_argument("--max-constituents", type=int, help="by default each tagger's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, help="CPU threads of PyTorch")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    dataset = jetforge.open(options.data)
    sizes = ", ".join(f"{dataset.num_jets(split):,} {split}" for split in dataset.splits)
    print(f"{options.data}: {sizes}; {options.epochs} epochs\n")
    print("| " + " | ".join(_COLUMNS) + " |\n| --- |" + " ---: |" * (len(_COLUMNS) - 1), flush=True)
    left_out = {}
    for name in options.only.split(",") if options.only else list_taggers():
        try:
            print("| " + " | ".join(measure(name, options).values()) + " |", flush=True)
        except Interrupted:
            raise SystemExit("interrupted; the same command goes on") from None
        except (JetforgeError, RuntimeError) as error:  # one tagger must not end the trainings of all others
            left_out[name] = str(error)
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")


if __name__ == "__main__":
    main()
