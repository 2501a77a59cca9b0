"""Options that every command which trains has, and what it prints at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from jetforge.learning.fit import Hardware
    from jetforge.learning.recipe import Recipe

Data = Annotated[Path, typer.Option(help="Directory of the dataset.")]
Out = Annotated[Path, typer.Option(help="Directory of the run.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training jets.")]
TrainJets = Annotated[int | None, typer.Option(help="Train on the first so many jets alone.")]
BatchSize = Annotated[int | None, typer.Option(help="Jets a batch, in each process.")]
Accumulate = Annotated[int | None, typer.Option(help="Batches a step of the optimiser.")]
Bucket = Annotated[bool | None, typer.Option("--bucket/--no-bucket", help="Jets of like length together.")]
Optimizer = Annotated[str | None, typer.Option(help="adamw, adam, radam, ranger, lion or sgd.")]
LearningRate = Annotated[float | None, typer.Option(help="Largest learning rate.")]
Schedule = Annotated[str | None, typer.Option(help="cosine, steps, flat_cosine, one_cycle, ...")]
LabelSmoothing = Annotated[float | None, typer.Option(help="Share of each label given to all classes.")]
Precision = Annotated[str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed.")]
Compile = Annotated[bool | None, typer.Option("--compile/--no-compile", help="Use torch.compile.")]
EarlyStopping = Annotated[int | None, typer.Option(help="Epochs to wait for a better one.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Any field of a recipe, as representation.max_constituents=64."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of weights, order and dropout.")]
Accelerator = Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, ...")]
Devices = Annotated[str, typer.Option(help="Lightning's: how many, or auto.")]
NumNodes = Annotated[int, typer.Option(help="Lightning's: how many machines.")]
Strategy = Annotated[str, typer.Option(help="Lightning's: auto, ddp, ...")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Train anew over an earlier run.")]


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def set_field(values: dict[str, Any], setting: str) -> None:
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


def train_recipe(recipe: Recipe, hardware: Hardware, *, overwrite: bool) -> None:
    """Train as a recipe says; print which epoch was kept, and what to do next."""
    from jetforge.learning.fit import fit
    from jetforge.learning.layout import METRICS_NAME
    from jetforge.learning.run import read_metrics

    out = Path(recipe.out)
    trained = fit(recipe, hardware=hardware, overwrite=overwrite)
    monitor = recipe.training.monitor
    rows = [row for row in read_metrics(out) if monitor in row]
    if rows:
        best = (min if monitor == "val_loss" else max)(rows, key=lambda row: row[monitor])
        kept = f"kept epoch {best['epoch']} of {recipe.training.epochs}, "
        print(f"{out}: {kept if trained.trained_by_gradient else ''}{monitor} {best[monitor]:.5f}")
    else:
        print(f"{out}: trained; there is no {monitor} in {METRICS_NAME}")
    if recipe.pretrain is not None:
        print(f"go on from it: jetforge finetune {out} --data DATASET --out RUN")
    else:
        print(f"measure it: jetforge evaluate {out} --data {recipe.data}")
