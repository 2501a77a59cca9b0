"""`jetforge run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jetforge.cli._terminal import command_line, generation_bar, jets_bar, print_measured

EPILOG = "Example: jetforge run recipes/demo.yaml"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(run)


def run(
    recipe: Annotated[Path, typer.Argument(help="A YAML file: a recipe or a study.")],
    scale: Annotated[str | None, typer.Option(help="One of a study's scales; by default it is run in full.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that generate; by default one a core.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, or YAML of batch jobs.")] = None,
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, ...")] = "auto",
    devices: Annotated[str, typer.Option(help="Lightning's: how many, or auto.")] = "auto",
    num_nodes: Annotated[int, typer.Option(help="Lightning's: how many machines.")] = 1,
    strategy: Annotated[str, typer.Option(help="Lightning's: auto, ddp, ...")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train anew; jets are kept.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a study would do, and do nothing.")] = False,
) -> None:
    """Do everything a recipe or a study says: generate jets, train taggers, measure them."""
    from jetforge.errors import RecipeError
    from jetforge.learning.fit import Hardware
    from jetforge.studies.study_file import is_study

    hardware = Hardware(accelerator, devices, num_nodes, strategy)
    if is_study(recipe):
        if overwrite:
            raise RecipeError(f"{recipe}: a study keeps what it has done; remove the runs that are to be done again")
        if dry_run:
            _plan(recipe, scale)
            return
        _study(recipe, scale, {"workers": workers, "scheduler": scheduler, "hardware": hardware})
        return
    if scale is not None:
        raise RecipeError(f"{recipe}: --scale is for studies; this is a recipe")
    if dry_run:
        raise RecipeError(f"{recipe}: --dry-run is for studies; this is a recipe")
    _recipe(recipe, {"workers": workers, "scheduler": scheduler, "hardware": hardware, "overwrite": overwrite})


def _recipe(recipe: Path, options: dict[str, Any]) -> None:
    from jetforge.learning.recipe import load_recipe
    from jetforge.studies.pipeline import run_recipe

    loaded = load_recipe(recipe)
    steps = {
        "generate": f"jets       {loaded.data}",
        "train": f"training   {loaded.tagger.name} into {loaded.out}",
        "trained": f"trained    {loaded.tagger.name} already, in {loaded.out}",
        "evaluate": f"measuring  on the {loaded.evaluation.split} jets",
    }
    with generation_bar() as on_generated, jets_bar("scoring") as on_scored:
        outcome = run_recipe(
            loaded,
            **options,
            command=command_line(),
            on_stage=lambda stage: print(steps[stage], flush=True),
            on_generated=on_generated,
            on_scored=on_scored,
        )
    print_measured(outcome.metrics, str(outcome.run))


def _plan(path: Path, scale: str | None) -> None:
    from jetforge.studies import load_study, plan_study

    plan = plan_study(load_study(path, scale))
    for name, done in (*plan.samples.items(), *plan.trainings.items()):
        print(f"{'done' if done else 'to do':6} {name}")
    for kind, parts in (("datasets", plan.samples), ("trainings", plan.trainings)):
        print(f"{sum(parts.values())} of {len(parts)} {kind} done")


def _study(path: Path, scale: str | None, options: dict[str, Any]) -> None:
    from jetforge.studies import load_study, run_study

    study = load_study(path, scale)
    with generation_bar() as on_generated:
        result = run_study(
            study,
            **options,
            command=command_line(),
            on_stage=lambda stage: print(stage, flush=True),
            on_generated=on_generated,
            on_cell=lambda name, done, total: print(f"  {done}/{total}  {name}", flush=True),
        )
    for line in result.summary:
        print(line)
    print(f"report   {result.report}")
