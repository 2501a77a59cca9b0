"""`jetforge convert`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from jetforge.cli._terminal import jets_bar, print_dataset, shares_of
from jetforge.errors import JetforgeError

EPILOG = (
    "Examples: jetforge convert train.h5 val.h5 test.h5 --out data/reference; "
    "jetforge convert QCD=qcd.root top=top.root --out data/mine; jetforge convert data/mine --to root --out mine.root"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(convert)


def convert(
    files: Annotated[
        list[str],
        typer.Argument(help="Files, each FILE, or CLASS=FILE where a file has no labels; with --to a dataset."),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the new dataset; with --to the new file.")],
    to: Annotated[str | None, typer.Option(help="Write a dataset as a file: parquet, root or toptag.")] = None,
    format: Annotated[  # noqa: A002
        str | None, typer.Option(help="Format of the files; found by their contents if not given.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Setting of the format, NAME=VALUE; `jetforge info FORMAT` lists them.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="train, val, test, stated (by each row) or shares as 0.8,0.1,0.1; with --to: which to write."
        ),
    ] = None,
    part_jets: Annotated[
        int | None, typer.Option(min=1, help="Rows that a part is made from; by default what suits the format.")
    ] = None,
    mix: Annotated[bool, typer.Option(help="Mix the classes of files that hold one class each.")] = True,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes here; by default one a core if there is much to do; 0 for none."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running Dask scheduler, or YAML of a dask-jobqueue cluster.")
    ] = None,
) -> None:
    """Turn files of any public format into a dataset, or a dataset into a file; run again after a stop to go on."""
    if to is not None:
        given = {
            "--format": format, "--option": option, "--part-jets": part_jets, "--scheduler": scheduler,
            "--workers": workers, "--no-mix": None if mix else True,
        }  # fmt: skip
        unused = next((name for name, value in given.items() if value is not None), None)
        if unused is not None:
            raise JetforgeError(f"{unused} is for reading files; with --to a dataset is written")
        _export(files, out, to, split)
        return
    _convert_files(files, out, format, option or [], split, part_jets, mix, workers, scheduler)


def _convert_files(
    files: list[str], out: Path, format: str | None, options: list[str], split: str | None,  # noqa: A002
    part_jets: int | None, mix: bool, workers: int | None, scheduler: str | None,
) -> None:  # fmt: skip
    from jetforge.jets.convert import classes_not_in, left_out
    from jetforge.jets.convert import convert as convert_files

    for file in files:
        if (Path(file) / "dataset.json").is_file():
            raise JetforgeError(f"{file}: is a dataset already; to write it as a file: --to parquet, root or toptag")
    with jets_bar("converting") as update:
        dataset = convert_files(
            files, out, format=format, options=dict(map(_setting, options)),
            split=split if split is None or split.isalpha() else shares_of(split), part_jets=part_jets, mix=mix,
            workers=workers, scheduler=scheduler, on_progress=lambda progress: update(progress.done, progress.total),
        )  # fmt: skip
    print_dataset(dataset)
    for reason, number in left_out(dataset).items():
        print(f"left out: {number:,} jets, {reason}")
    for lacking, classes in classes_not_in(dataset).items():
        command = shlex.join(["jetforge", "split", str(out), "--out", f"{out}-shared"])
        names = ", ".join(classes[:5]) + (f" and {len(classes) - 5} others" if len(classes) > 5 else "")
        print(f"note: no {names} in {lacking}; if files are sorted by class, share the jets anew: {command}")
    formats = dict.fromkeys(source["format"] for source in dataset.manifest.provenance["plan"]["sources"])
    print(f"from {', '.join(formats)}; how to cite and its traps: jetforge info {next(iter(formats))}")


def _export(files: list[str], out: Path, to: str, split: str | None) -> None:
    from jetforge.jets import open_dataset
    from jetforge.jets.writers import export

    if len(files) != 1:
        raise JetforgeError(f"with --to one dataset is written, not {len(files)}; join them with jetforge merge")
    dataset = open_dataset(files[0])
    with jets_bar("writing") as update:
        show = lambda progress: update(progress.done, progress.total)  # noqa: E731
        written = export(dataset, out, to, split=split, on_progress=show)
    print(f"{out}: {written.jets:,} jets" + (f"; {written.note}" if written.note else ""))


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"'{text}' is not a setting such as unit=MeV")
    return name.strip(), value.strip()
