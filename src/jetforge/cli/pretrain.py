"""`jetforge pretrain`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jetforge.cli import _training as options

EPILOG = "Example: jetforge pretrain lundnet5 --data data/toptag --out runs/pretrained --objective masked"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(pretrain)


def pretrain(
    tagger: Annotated[str, typer.Argument(help="A tagger; `jetforge info taggers` lists them.")],
    data: options.Data,
    out: options.Out,
    objective: Annotated[str, typer.Option(help="masked or contrastive.")],
    mask: Annotated[float | None, typer.Option(help="masked: share of the elements that is hidden.")] = None,
    temperature: Annotated[float | None, typer.Option(help="contrastive: similarities are divided by it.")] = None,
    epochs: options.Epochs = None,
    train_jets: options.TrainJets = None,
    batch_size: options.BatchSize = None,
    accumulate: options.Accumulate = None,
    bucket: options.Bucket = None,
    optimizer: options.Optimizer = None,
    learning_rate: options.LearningRate = None,
    schedule: options.Schedule = None,
    precision: options.Precision = None,
    early_stopping: options.EarlyStopping = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    accelerator: options.Accelerator = "auto",
    devices: options.Devices = "auto",
    num_nodes: options.NumNodes = 1,
    strategy: options.Strategy = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Train a tagger's backbone on jets whose labels are not looked at, for finetune to start from."""
    from jetforge.errors import RecipeError
    from jetforge.learning.fit import Hardware
    from jetforge.learning.recipe import make_recipe

    for name, value, meant in (("mask", mask, "masked"), ("temperature", temperature, "contrastive")):
        if value is not None and objective in ("masked", "contrastive") and objective != meant:
            raise RecipeError(f"--{name} is for --objective {meant}, not for {objective}; leave it out")
    training = options.given(
        epochs=epochs, train_jets=train_jets, batch_size=batch_size, accumulate=accumulate, bucket=bucket,
        optimizer=optimizer, learning_rate=learning_rate, schedule=schedule, precision=precision,
        early_stopping=early_stopping, seed=seed,
    )  # fmt: skip
    values: dict[str, Any] = {
        "data": str(data), "out": str(out), "tagger": {"name": tagger},
        "pretrain": options.given(objective=objective, mask=mask, temperature=temperature),
        "training": {"monitor": "val_loss", **training},
    }  # fmt: skip
    for setting in settings or ():
        options.set_field(values, setting)
    hardware = Hardware(accelerator, devices, num_nodes, strategy)
    options.train_recipe(make_recipe(values), hardware, overwrite=overwrite)
