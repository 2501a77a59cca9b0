"""`jetforge generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jetforge.cli._terminal import generation_bar, print_dataset, shares_of

EPILOG = "Example: jetforge generate toptag-top toptag-qcd --jets 20000 --out data/toptag --seed 1"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(generate)


def generate(
    presets: Annotated[list[str], typer.Argument(help="Presets; `jetforge info presets` lists them.")],
    jets: Annotated[int, typer.Option(help="Jets in all, shared equally among the presets.")],
    out: Annotated[Path, typer.Option(help="Directory of the dataset.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    split: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "0.8,0.1,0.1",
    part_jets: Annotated[int, typer.Option(help="Jets in a part: what is kept when a generation is stopped.")] = 2000,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes here; by default one a core; 0 for none.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running Dask scheduler, or YAML of a dask-jobqueue cluster.")
    ] = None,
) -> None:
    """Generate jets with Pythia and FastJet; run again after a stop to go on."""
    from jetforge.events.generate import generate as generate_dataset

    shares = shares_of(split)
    with generation_bar() as on_progress:
        dataset = generate_dataset(
            presets, jets, out, seed=seed, split=shares, part_jets=part_jets, workers=workers, scheduler=scheduler,
            on_progress=on_progress,
        )  # fmt: skip
    print_dataset(dataset)
    print("made with Pythia 8 (arXiv:2203.11601) and FastJet (arXiv:1111.6097): please cite them")
