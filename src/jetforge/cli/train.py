"""`jetforge train`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jetforge.cli import _training as options

EPILOG = "Example: jetforge train lundnet5 --data data/toptag --out runs/lundnet5"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(train)


def train(
    tagger: Annotated[str, typer.Argument(help="A tagger; `jetforge info taggers` lists them.")],
    data: options.Data,
    out: options.Out,
    published: Annotated[bool, typer.Option("--published", help="Train as the tagger's paper did.")] = False,
    epochs: options.Epochs = None,
    train_jets: options.TrainJets = None,
    batch_size: options.BatchSize = None,
    accumulate: options.Accumulate = None,
    bucket: options.Bucket = None,
    optimizer: options.Optimizer = None,
    learning_rate: options.LearningRate = None,
    schedule: options.Schedule = None,
    label_smoothing: options.LabelSmoothing = None,
    precision: options.Precision = None,
    compile_network: options.Compile = None,
    early_stopping: options.EarlyStopping = None,
    settings: options.Settings = None,
    seed: options.Seed = None,
    accelerator: options.Accelerator = "auto",
    devices: options.Devices = "auto",
    num_nodes: options.NumNodes = 1,
    strategy: options.Strategy = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Train a tagger on a dataset; run again after a stop to go on."""
    from jetforge.learning.fit import Hardware
    from jetforge.learning.published import published_training
    from jetforge.learning.recipe import make_recipe

    training = dict(published_training(tagger).settings) if published else {}
    training |= options.given(
        epochs=epochs, train_jets=train_jets, batch_size=batch_size, accumulate=accumulate, bucket=bucket,
        optimizer=optimizer, learning_rate=learning_rate, schedule=schedule, label_smoothing=label_smoothing,
        precision=precision, compile=compile_network, early_stopping=early_stopping, seed=seed,
    )  # fmt: skip
    values: dict[str, Any] = {
        "data": str(data), "out": str(out), "tagger": {"name": tagger}, "training": training,
    }  # fmt: skip
    for setting in settings or ():
        options.set_field(values, setting)
    hardware = Hardware(accelerator, devices, num_nodes, strategy)
    options.train_recipe(make_recipe(values), hardware, overwrite=overwrite)
