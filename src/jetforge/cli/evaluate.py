"""`jetforge evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jetforge.cli._terminal import command_line, jets_bar, print_measured

EPILOG = "Example: jetforge evaluate runs/lundnet5 --data data/toptag"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Directory of the run.")],
    data: Annotated[Path, typer.Option(help="Directory of the dataset.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    out: Annotated[Path | None, typer.Option(help="Where the files go; by default into the run.")] = None,
    interval: Annotated[str, typer.Option(help="bootstrap or exact.")] = "bootstrap",
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
) -> None:
    """Measure a trained tagger: metrics.json, roc.png and report.html."""
    from jetforge.evaluation.evaluate import evaluate as evaluate_run

    with jets_bar("scoring") as on_progress:
        metrics = evaluate_run(
            run, data, split=split, out=out, interval=interval, device=device, command=command_line(),
            on_progress=on_progress,
        )  # fmt: skip
    print_measured(metrics, str(out or run))
