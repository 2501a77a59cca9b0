"""`jetforge finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jetforge.cli import _training as options

EPILOG = "Example: jetforge finetune runs/top-2000 --data data/transfer-top-500 --out runs/finetuned --mode frozen"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(finetune)


def finetune(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of the run to start from.")],
    data: options.Data,
    out: options.Out,
    mode: Annotated[str, typer.Option(help="finetune, frozen, gradual or adapters.")] = "finetune",
    boundary: Annotated[
        str | None, typer.Option(help="frozen: the first stage that learns; by default as published.")
    ] = None,
    rate_divisor: Annotated[
        float | None, typer.Option(help="The learning rate is divided by it; finetune: 10, from W 3.")
    ] = None,
    layer_decay: Annotated[
        float | None, typer.Option(help="finetune, gradual: each layer learns so much slower than the next.")
    ] = None,
    unfreeze_every: Annotated[int | None, typer.Option(help="gradual: epochs until one stage more learns.")] = None,
    rank: Annotated[int | None, typer.Option(help="adapters: rank of the corrections.")] = None,
    new_head: Annotated[bool, typer.Option("--new-head", help="Start with a head that has learnt nothing.")] = False,
    cache: Annotated[Path | None, typer.Option(help="frozen: keep the backbone's outputs here for other runs.")] = None,
    cached: Annotated[bool | None, typer.Option("--cached/--not-cached", help="frozen: run the backbone once.")] = None,
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
    """Train a tagger for a new task from one for an old task; run again after a stop to go on.

    It is trained as its source was, but for what the options say.
    """
    from jetforge.errors import RecipeError
    from jetforge.learning.fit import Hardware
    from jetforge.learning.recipe import make_recipe
    from jetforge.learning.transfer import training_of_source

    inherited = training_of_source(source)
    if not inherited:
        print(f"{source}: no recipe of a training; what is not given here is as for jetforge train")
    training = inherited | options.given(
        epochs=epochs, train_jets=train_jets, batch_size=batch_size, accumulate=accumulate, bucket=bucket,
        optimizer=optimizer, learning_rate=learning_rate, schedule=schedule, label_smoothing=label_smoothing,
        precision=precision, compile=compile_network, early_stopping=early_stopping, seed=seed,
    )  # fmt: skip
    transfer = options.given(
        source=str(source), mode=mode, boundary=boundary, rate_divisor=rate_divisor, layer_decay=layer_decay,
        unfreeze_every=unfreeze_every, rank=rank, new_head=new_head, cached=cached,
        cache=None if cache is None else str(cache),
    )  # fmt: skip
    if cached is False and mode != "frozen":
        raise RecipeError(f"--not-cached is for --mode frozen, not for {mode}; leave it out")
    values: dict[str, Any] = {"data": str(data), "out": str(out), "transfer": transfer, "training": training}
    for setting in settings or ():
        if setting.startswith(("tagger.", "tagger=")):
            raise RecipeError(f"--set {setting}: the tagger is that of {source}; leave it out")
        options.set_field(values, setting)
    hardware = Hardware(accelerator, devices, num_nodes, strategy)
    options.train_recipe(make_recipe(values), hardware, overwrite=overwrite)
