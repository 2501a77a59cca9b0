"""`jetforge distill`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jetforge.cli import _training as options

EPILOG = (
    "Example: jetforge distill runs/lundnet5 dense_student --data data/toptag --out runs/student "
    "--set representation.view.leading=20"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(distill)


def distill(
    teacher: Annotated[Path, typer.Argument(help="Directory of the teacher's run.")],
    student: Annotated[str, typer.Argument(help="A tagger; `jetforge info taggers` lists them.")],
    data: options.Data,
    out: options.Out,
    teachers: Annotated[
        list[Path] | None, typer.Option("--teacher", help="Run of one more teacher; may be repeated.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="By which the scores are softened.")] = None,
    weight: Annotated[float | None, typer.Option(help="Of the teacher's scores; the labels have the rest.")] = None,
    features: Annotated[float | None, typer.Option(help="Weight of what the teacher embeds.")] = None,
    relations: Annotated[float | None, typer.Option(help="Weight of distances between embedded jets.")] = None,
    unlabelled: Annotated[Path | None, typer.Option(help="Dataset of further jets, whose labels are not used.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Keep the teachers' scores here for other students.")] = None,
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
    """Train a small tagger to be like a large one; run again after a stop to go on.

    The two may read the same jets in different ways.
    """
    from jetforge.learning.fit import Hardware
    from jetforge.learning.recipe import make_recipe

    training = options.given(
        epochs=epochs, train_jets=train_jets, batch_size=batch_size, accumulate=accumulate, bucket=bucket,
        optimizer=optimizer, learning_rate=learning_rate, schedule=schedule, label_smoothing=label_smoothing,
        precision=precision, compile=compile_network, early_stopping=early_stopping, seed=seed,
    )  # fmt: skip
    section = options.given(
        teachers=[str(path) for path in (teacher, *(teachers or ()))], temperature=temperature, weight=weight,
        features=features, relations=relations, unlabelled=None if unlabelled is None else str(unlabelled),
        cache=None if cache is None else str(cache),
    )  # fmt: skip
    values: dict[str, Any] = {
        "data": str(data), "out": str(out), "tagger": {"name": student}, "distill": section, "training": training,
    }  # fmt: skip
    for setting in settings or ():
        options.set_field(values, setting)
    hardware = Hardware(accelerator, devices, num_nodes, strategy)
    options.train_recipe(make_recipe(values), hardware, overwrite=overwrite)
