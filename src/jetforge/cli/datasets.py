"""`jetforge datasets`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from jetforge.cli._terminal import print_table

if TYPE_CHECKING:
    from jetforge.jets.public import Fetched, Progress, PublicFile, PublicSet

EPILOG = (
    "Examples: jetforge datasets; jetforge datasets show toptag; "
    "jetforge datasets fetch toptag --files 'test*' --into data/public/toptag"
)
_ARCHIVES = (".tar", ".tar.gz", ".tgz")
_MOST_SHOWN = 5


class Action(StrEnum):
    """What to do with public data sets."""

    list = "list"
    show = "show"
    fetch = "fetch"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(datasets)


def datasets(
    action: Annotated[
        Action, typer.Argument(help="list all data sets, show what is known of one, or fetch its files.")
    ] = Action.list,
    name: Annotated[str | None, typer.Argument(help="Name of a data set, to show or to fetch it.")] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(help="Only files of this name, shell pattern (in quotes) or group such as test; may be repeated."),
    ] = None,
    into: Annotated[Path | None, typer.Option(help="Folder for the files; by default data/public/NAME.")] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds without data before a new connection is tried.")
    ] = 60,
    tries: Annotated[int, typer.Option(min=1, help="Failures in a row before a file is given up.")] = 5,
) -> None:
    """List public jet data sets and fetch their files, checked; run again after a stop to go on."""
    from jetforge.jets.public import Patience, fetch_set, get_set

    if action is Action.list:
        if name is not None or files or into:
            raise typer.BadParameter("this lists all data sets; for one: jetforge datasets show NAME, or fetch NAME")
        _list()
        return
    if name is None:
        raise typer.BadParameter(f"name a data set: jetforge datasets {action} NAME; to list all: jetforge datasets")
    chosen = get_set(name)
    folder = into or Path("data/public") / chosen.name
    if action is Action.show:
        _show(chosen, files or [], folder)
        return
    with _bar() as update:
        fetched = fetch_set(chosen, folder, files or [], patience=Patience(timeout, tries), on_progress=update)
    _report(chosen, folder, fetched)


def _list() -> None:
    from jetforge.jets.public import load_catalogue

    rows = []
    for one in load_catalogue().values():
        count = str(len(one.files)) if one.files else "-"
        rows.append(
            {
                "data set": one.name,
                "holds": one.title,
                "format": one.format,
                "files": "by lists" if one.lists else count,
                "size": _size_of(one),
                "licence": one.licence or "not stated",
            }
        )
    print_table(rows)


def _show(chosen: PublicSet, patterns: Sequence[str], folder: Path) -> None:
    import textwrap

    from jetforge.jets.public.catalogue import choose

    print(f"{chosen.name}: {chosen.title}")
    facts = {
        "format": f"{chosen.format}; its traps: jetforge info {chosen.format}",
        "size": _size_of(chosen),
        "licence": chosen.licence or "none is stated; ask its authors before you pass it on",
        "citation": chosen.citation,
        "doi": chosen.doi,
        "page": chosen.home,
        "note": chosen.note,
    }
    for heading, text in facts.items():
        if text:
            wrapped = textwrap.fill(
                text, 110, initial_indent=f"{heading:<10}", subsequent_indent=" " * 10, break_long_words=False,
                break_on_hyphens=False,
            )  # fmt: skip
            print(wrapped)
    files = choose(chosen.files, patterns, chosen.name) if chosen.files else []
    if files or chosen.lists:
        print_table([_row(file) for file in (*files, *chosen.lists)])
    for described in chosen.lists:
        print(f"{described.name} lists more files; they are fetched too, as far as --files chooses them")
    if files or chosen.lists:
        chosen_files = [word for pattern in patterns for word in ("--files", pattern)]
        command = ["jetforge", "datasets", "fetch", chosen.name, *chosen_files, "--into", str(folder)]
        print(f"fetch     {shlex.join(command)}")
        _print_how_to_convert(chosen, folder, [file.name for file in files], files)


def _row(file: PublicFile) -> dict[str, str]:
    return {
        "file": file.name,
        "group": file.group or "",
        "class": file.class_name or "",
        "size": _size(file.size) if file.size else "not stated",
        "checksum": file.checksum or "none published",
    }


def _size_of(chosen: PublicSet) -> str:
    if chosen.size_is_known and chosen.files:
        return _size(chosen.known_size)
    return f"over {_size(chosen.known_size)}" if chosen.known_size else "not stated"


def _size(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:,.1f} GB"


def _report(chosen: PublicSet, folder: Path, fetched: Sequence[Fetched]) -> None:
    new = sum(not one.was_there for one in fetched)
    unknown = [one.path.name for one in fetched if not one.verified]
    print(f"{folder}: {len(fetched)} files of {chosen.name}, {_size(sum(one.size for one in fetched))}; {new} new, "
          f"{len(fetched) - new} were there")  # fmt: skip
    print(f"checked   {len(fetched) - len(unknown)} by the published checksums")
    if unknown:
        print(f"unchecked {len(unknown)} without published checksums; what came is noted in FILE.sha256")
    print(f"cite      {chosen.citation}")
    names = [one.path.name for one in fetched]
    _print_how_to_convert(chosen, folder, names, [file for file in chosen.files if file.name in names])


def _print_how_to_convert(
    chosen: PublicSet, folder: Path, names: Sequence[str], described: Sequence[PublicFile]
) -> None:
    """Print the commands that turn the files into a dataset."""
    place = shlex.quote(str(folder))
    archives = any(name.endswith(_ARCHIVES) for name in names)
    zipped = any(name.endswith(".h5.gz") for name in names)
    if archives:
        print(f'unpack    for f in {place}/*.tar*; do tar -xf "$f" -C {place}; done')
    if zipped:
        print(f"unpack    gunzip --keep {place}/*.h5.gz")
    classes = {file.name: f"{file.class_name}=" for file in described if file.class_name}
    paths = [classes.get(name, "") + shlex.quote(str(folder / name)) for name in names]
    endings = {PurePath(name).suffix for name in names}
    if chosen.pattern is not None and (archives or zipped or not names):
        what = f"$(find {place} -name {shlex.quote(chosen.pattern)})"
    elif len(paths) <= _MOST_SHOWN:
        what = " ".join(paths)
    elif classes or len(endings) > 1:
        what = " ".join([*paths[:2], "..."])
    else:
        what = f"{place}/*{endings.pop()}"
    if chosen.format == "columns":
        print("describe  what its columns mean, in a mapping: jetforge info columns")
    print(f"convert   jetforge convert {what} --format {chosen.format} --out data/{chosen.name}")


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """Show a bar of bytes with speed and time left; nothing where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    bar = Bar(*columns, console=console, disable=not console.is_terminal, transient=True)
    shown: list[tuple[int, bool]] = []
    task = bar.add_task("fetching", total=None)

    def update(progress: Progress) -> None:
        if shown[-1:] != [(progress.number, progress.checking)]:
            shown.append((progress.number, progress.checking))
            doing = "checking" if progress.checking else "fetching"
            count = f" ({progress.number} of {progress.files})" if progress.files > 1 else ""
            bar.reset(task, description=f"{doing} {progress.file}{count}", completed=progress.done)
        bar.update(task, completed=progress.done, total=progress.total)

    with bar:
        yield update
