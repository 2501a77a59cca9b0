"""What the commands share: progress bars on a terminal, tables, the command as it was typed."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from jetforge.jets import Dataset
    from jetforge.jets.build import Progress


def command_line() -> str:
    """Return the command as it was typed."""
    return shlex.join(["jetforge", *sys.argv[1:]])


def shares_of(text: str) -> tuple[float, ...]:
    """Return the shares of train, val and test that a text such as 0.8,0.1,0.1 says."""
    try:
        return tuple(float(share) for share in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a list of numbers such as 0.8,0.1,0.1") from None


@contextmanager
def jets_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of jets done with jets per second and time left; nothing where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]} jets/s"),
        TextColumn("{task.fields[left]} left"), TimeElapsedColumn(),
    )  # fmt: skip
    bar = Bar(*columns, console=console, disable=not console.is_terminal, transient=True)
    task = bar.add_task(description, total=None, rate="-", left="-")
    began: list[tuple[float, int]] = []

    def update(done: int, total: int) -> None:
        if not began:
            # The bar appears with the first jets and goes with the last: what follows has the terminal to itself.
            began.append((time.monotonic(), done))
            bar.start()
        start, first = began[0]
        rate = (done - first) / max(time.monotonic() - start, 1e-9)
        left = _clock((total - done) / rate) if rate > 0 else "-"
        bar.update(task, completed=done, total=total, rate=f"{rate:.0f}" if rate else "-", left=left)
        if done >= total:
            bar.stop()

    try:
        yield update
    finally:
        bar.stop()


@contextmanager
def generation_bar() -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a generation, which may go on where an earlier one stopped."""
    with jets_bar("generating") as update:
        yield lambda progress: update(progress.done, progress.total)


def print_dataset(dataset: Dataset) -> None:
    """Print where a dataset is, its classes and how many jets its splits hold."""
    from jetforge.jets.classes import shown_classes

    sizes = ", ".join(f"{dataset.num_jets(name):,} {name}" for name in dataset.splits)
    print(f"{dataset.path}: {shown_classes(dataset.classes)}, {sizes}")


def print_table(rows: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """Print rows as a table."""
    from rich.console import Console
    from rich.table import Table

    if title:
        print(title)
    table = Table()
    for column in dict.fromkeys(key for row in rows for key in row):
        table.add_column(str(column), overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console = Console()
    # Into a file or a pipe nothing needs to fold.
    Console(width=None if console.is_terminal else 200).print(table)


def print_measured(metrics: Mapping[str, Any], folder: str) -> None:
    """Print a tagger's numbers, and where the ROC and the report are."""
    from jetforge.evaluation import rejection_table

    names = " vs ".join(reversed(metrics["classes"]))
    print_table(rejection_table(metrics), f"{names}, {metrics['num_jets']:,} jets; errors are 68 % intervals")
    print(f"ROC      {folder}/roc.png\nreport   {folder}/report.html")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
