"""`jetforge train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

EPILOG = "Example: jetforge train lundnet5 --data data/toptag --out runs/lundnet5"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(train)


def train(
    tagger: Annotated[str, typer.Argument(help="A tagger; `jetforge info taggers` lists them.")],
    data: Annotated[Path, typer.Option(help="Directory of the dataset.")],
    out: Annotated[Path, typer.Option(help="Directory of the run.")],
    published: Annotated[bool, typer.Option("--published", help="Train as in arXiv:2012.08526.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training jets.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Jets a batch, in each process.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Largest learning rate.")] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine, steps or constant.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = None,
    early_stopping: Annotated[int | None, typer.Option(help="Epochs to wait for a better one.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order and dropout.")] = None,
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, ...")] = "auto",
    devices: Annotated[str, typer.Option(help="Lightning's: how many, or auto.")] = "auto",
    num_nodes: Annotated[int, typer.Option(help="Lightning's: how many machines.")] = 1,
    strategy: Annotated[str, typer.Option(help="Lightning's: auto, ddp, ...")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train anew over an earlier run.")] = False,
) -> None:
    """Train a tagger on a dataset; run again after a stop to go on."""
    from jetforge.learning.fit import Hardware, fit
    from jetforge.learning.recipe import PUBLISHED_TRAINING, make_recipe
    from jetforge.learning.run import read_metrics

    given: dict[str, Any] = {
        "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "schedule": schedule,
        "precision": precision, "early_stopping": early_stopping, "seed": seed,
    }  # fmt: skip
    settings = {name: value for name, value in given.items() if value is not None}
    recipe = make_recipe(
        {
            "data": str(data),
            "out": str(out),
            "tagger": tagger,
            "training": {**(PUBLISHED_TRAINING if published else {}), **settings},
        }
    )
    fit(recipe, hardware=Hardware(accelerator, devices, num_nodes, strategy), overwrite=overwrite)
    monitor = recipe.training.monitor
    best = (min if monitor == "val_loss" else max)(read_metrics(out), key=lambda row: row[monitor])
    print(f"{out}: kept epoch {best['epoch']} of {recipe.training.epochs}, {monitor} {best[monitor]:.5f}")
    print(f"measure it: jetforge evaluate {out} --data {data}")
