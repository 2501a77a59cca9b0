"""`jetforge predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jetforge.cli._terminal import jets_bar

EPILOG = "Example: jetforge predict runs/lundnet5 --data data/toptag --out scores.parquet"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(predict)


def predict(
    run: Annotated[Path, typer.Argument(help="Directory of the run.")],
    data: Annotated[Path, typer.Option(help="Directory of the dataset.")],
    out: Annotated[Path, typer.Option(help="Parquet file of the scores.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
) -> None:
    """Write the scores of a trained tagger to a Parquet file, a row a jet."""
    from jetforge.deploy.predict import predict as predict_dataset

    notes: list[str] = []
    with jets_bar("scoring") as on_progress:
        num_jets = predict_dataset(
            run, data, out, split=split, device=device, on_progress=on_progress, on_note=notes.append
        )
    print("\n".join([f"{out}: scores of the {num_jets:,} jets of the split {split}", *notes]))
