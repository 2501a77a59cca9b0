"""`jetforge import-weights`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jetforge.errors import JetforgeError

if TYPE_CHECKING:
    from jetforge.representations import Representation

EPILOG = (
    "Example, with a checkpoint of github.com/fdreyer/LundNet: "
    "jetforge import-weights Top_QCD_500GeV_LundNet5_state.pt --out runs/published --classes qcd,top"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(import_weights)


def import_weights(
    file: Annotated[Path, typer.Argument(help="Checkpoint of a published tagger.")],
    out: Annotated[Path, typer.Option(help="Directory of the run.")],
    classes: Annotated[
        str | None, typer.Option(help="Names of the classes in the order of the outputs, such as qcd,top.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")] = False,
) -> None:
    """Turn a published checkpoint into a run that predict and evaluate use."""
    from jetforge.taggers import save_tagger
    from jetforge.taggers.checkpoints.read import import_weights as import_file

    names = None if classes is None else _names(classes)
    tagger = import_file(file, names)
    _make_room(out, overwrite)
    save_tagger(tagger, out)
    found = tagger.provenance["imported"]["architecture"]
    print(f"{file}: {found}, {tagger.num_parameters():,} parameters, {' vs '.join(tagger.classes)}")
    print(f"run            {out}: {tagger.name}\nrepresentation {_settings(tagger.representation)}")
    if tagger.classes == tuple(map(str, range(len(tagger.classes)))):
        print("The file does not say what its classes are: name them with --classes to evaluate the tagger.")


def _names(classes: str) -> list[str]:
    names = [name.strip() for name in classes.split(",")]
    if not all(names):
        raise JetforgeError(f"--classes '{classes}': a name is empty; put one comma between two names, as in qcd,top")
    return names


def _settings(representation: Representation) -> str:
    """Say what a representation is: its name and settings, without the numbers of the normalisation."""
    shown = []
    for name, value in representation.to_dict().items():
        if isinstance(value, list) and value and name not in ("mean", "std", "clip"):
            shown.append(f"{name} {' '.join(map(str, value))}")
        elif value is not None and not isinstance(value, list):
            shown.append(f"{name} {value}")
    return f"{representation.name}: {', '.join(shown)}"


def _make_room(run: Path, overwrite: bool) -> None:
    """Remove an earlier run where that is asked for; refuse anything else that is in the way."""
    from jetforge.learning.layout import RECIPE_NAME
    from jetforge.learning.run import remove_run
    from jetforge.taggers.store import DESCRIPTION_NAME

    if run.exists() and not run.is_dir():
        raise JetforgeError(f"{run}: a file, where the directory of the run is to be; choose another name")
    there = sorted(entry.name for entry in run.iterdir()) if run.is_dir() else []
    if not there:
        return
    if DESCRIPTION_NAME not in there and RECIPE_NAME not in there:
        raise JetforgeError(f"{run}: not empty and not a run ({there[0]}); choose a new directory")
    if not overwrite:
        raise JetforgeError(f"{run}: holds a run already; choose another directory, or --overwrite")
    remove_run(run)
