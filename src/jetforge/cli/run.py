"""`jetforge run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jetforge.cli._terminal import command_line, generation_bar, jets_bar, print_measured

EPILOG = "Example: jetforge run recipes/demo.yaml"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(run)


def run(
    recipe: Annotated[Path, typer.Argument(help="A YAML file.")],
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that generate; by default one a core.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, or YAML of batch jobs.")] = None,
    accelerator: Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, ...")] = "auto",
    devices: Annotated[str, typer.Option(help="Lightning's: how many, or auto.")] = "auto",
    num_nodes: Annotated[int, typer.Option(help="Lightning's: how many machines.")] = 1,
    strategy: Annotated[str, typer.Option(help="Lightning's: auto, ddp, ...")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Train anew; jets are kept.")] = False,
) -> None:
    """Do everything a recipe says: generate jets, train a tagger, measure it."""
    from jetforge.learning.fit import Hardware
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
            workers=workers,
            scheduler=scheduler,
            hardware=Hardware(accelerator, devices, num_nodes, strategy),
            overwrite=overwrite,
            command=command_line(),
            on_stage=lambda stage: print(steps[stage], flush=True),
            on_generated=on_generated,
            on_scored=on_scored,
        )
    print_measured(outcome.metrics, str(outcome.run))
