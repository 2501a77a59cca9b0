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
    published: Annotated[bool, typer.Option("--published", help="Train as the tagger's paper did.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training jets.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Jets a batch, in each process.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Batches a step of the optimiser.")] = None,
    bucket: Annotated[bool | None, typer.Option("--bucket/--no-bucket", help="Jets of like length together.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw, adam, radam, ranger, lion or sgd.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Largest learning rate.")] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine, steps, flat_cosine, one_cycle, ...")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Share of each label given to all classes.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed.")] = None,
    compile_network: Annotated[bool | None, typer.Option("--compile/--no-compile", help="Use torch.compile.")] = None,
    early_stopping: Annotated[int | None, typer.Option(help="Epochs to wait for a better one.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Any field of a recipe, as representation.max_constituents=64."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order and dropout.")] = None,
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, ...")] = "auto",
    devices: Annotated[str, typer.Option(help="Lightning's: how many, or auto.")] = "auto",
    num_nodes: Annotated[int, typer.Option(help="Lightning's: how many machines.")] = 1,
    strategy: Annotated[str, typer.Option(help="Lightning's: auto, ddp, ...")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train anew over an earlier run.")] = False,
) -> None:
    """Train a tagger on a dataset; run again after a stop to go on."""
    from jetforge.learning.fit import Hardware, fit
    from jetforge.learning.published import published_training
    from jetforge.learning.recipe import make_recipe
    from jetforge.learning.run import METRICS_NAME, read_metrics

    given: dict[str, Any] = {
        "epochs": epochs, "batch_size": batch_size, "accumulate": accumulate, "bucket": bucket, "optimizer": optimizer,
        "learning_rate": learning_rate, "schedule": schedule, "label_smoothing": label_smoothing,
        "precision": precision, "compile": compile_network, "early_stopping": early_stopping, "seed": seed,
    }  # fmt: skip
    training = dict(published_training(tagger).settings) if published else {}
    training |= {name: value for name, value in given.items() if value is not None}
    values: dict[str, Any] = {
        "data": str(data), "out": str(out), "tagger": {"name": tagger}, "training": training,
    }  # fmt: skip
    for setting in settings or ():
        _set(values, setting)
    recipe = make_recipe(values)
    out = Path(recipe.out)
    trained = fit(recipe, hardware=Hardware(accelerator, devices, num_nodes, strategy), overwrite=overwrite)
    monitor = recipe.training.monitor
    rows = [row for row in read_metrics(out) if monitor in row]
    if rows:
        best = (min if monitor == "val_loss" else max)(rows, key=lambda row: row[monitor])
        kept = f"kept epoch {best['epoch']} of {recipe.training.epochs}, "
        print(f"{out}: {kept if trained.trained_by_gradient else ''}{monitor} {best[monitor]:.5f}")
    else:
        print(f"{out}: trained; there is no {monitor} in {METRICS_NAME}")
    print(f"measure it: jetforge evaluate {out} --data {recipe.data}")


def _set(values: dict[str, Any], setting: str) -> None:
    """Set a field of a recipe as ``section.field=value`` says, the value in YAML."""
    import yaml

    from jetforge.errors import RecipeError

    path, equals, text = setting.partition("=")
    *sections, name = path.split(".")
    if not equals or not all((*sections, name)):
        raise RecipeError(f"--set {setting}: give FIELD=VALUE, such as training.accumulate=2")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(f"--set {setting}: the value is not valid YAML") from None
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {setting}: {section} is {inner!r}, without fields of its own")
        values = inner
    values[name] = value
