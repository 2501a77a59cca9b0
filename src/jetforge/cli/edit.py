"""`jetforge merge`, `split`, `skim` and `reweight`: new datasets from datasets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from jetforge.cli._terminal import jets_bar, print_dataset

MERGE_EPILOG = "Example: jetforge merge data/top data/qcd --out data/both"
SPLIT_EPILOG = "Example: jetforge split data/toptag --shares 0.6,0.2,0.2 --seed 7 --out data/toptag-7"
SKIM_EPILOG = 'Example: jetforge skim data/toptag "pt > 500 and abs(eta) < 2" --out data/central'
REWEIGHT_EPILOG = "Example: jetforge reweight data/toptag --target qcd --bins 40 --limits 500,700 --out data/weighted"

_Data = Annotated[Path, typer.Argument(help="Directory of the dataset.")]
_Out = Annotated[Path, typer.Option(help="Directory of the new dataset; run again after a stop to go on.")]
_PartJets = Annotated[int | None, typer.Option(min=1, help="Jets in a part; by default as in the dataset's largest.")]
_Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes here; by default one a core if there is much to do; 0 for none.")
]
_Scheduler = Annotated[
    str | None, typer.Option(help="Address of a running Dask scheduler, tcp://..., or a YAML file of batch jobs.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog=MERGE_EPILOG)(merge)
    app.command(epilog=SPLIT_EPILOG)(split)
    app.command(epilog=SKIM_EPILOG)(skim)
    app.command(epilog=REWEIGHT_EPILOG)(reweight)


def merge(
    data: Annotated[list[Path], typer.Argument(help="Directories of two datasets or more.")],
    out: _Out,
    part_jets: _PartJets = None,
    workers: _Workers = None,
    scheduler: _Scheduler = None,
) -> None:
    """Merge datasets of the same columns: train with train, val with val, test with test, classes united by name."""
    from jetforge.jets.edit.merge import merge as merge_datasets

    with _bar("merging") as on_progress:
        dataset = merge_datasets(
            data, out, part_jets=part_jets, workers=workers, scheduler=scheduler, on_progress=on_progress
        )
    print_dataset(dataset)


def split(
    data: _Data,
    out: _Out,
    shares: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
    part_jets: _PartJets = None,
    workers: _Workers = None,
    scheduler: _Scheduler = None,
) -> None:
    """Share out all jets anew among train, val and test, whatever split they were in."""
    from jetforge.jets.edit.split import split as split_dataset

    numbers = _numbers(shares, 3, "0.8,0.1,0.1")
    with _bar("splitting") as on_progress:
        dataset = split_dataset(
            data, out, numbers, seed=seed, part_jets=part_jets, workers=workers, scheduler=scheduler,
            on_progress=on_progress,
        )  # fmt: skip
    print_dataset(dataset)


def skim(
    data: _Data,
    selection: Annotated[
        str,
        typer.Argument(help="Condition on jet fields, num_constituents and class: \"pt > 500 and class == 'top'\"."),
    ],
    out: _Out,
    part_jets: _PartJets = None,
    workers: _Workers = None,
    scheduler: _Scheduler = None,
) -> None:
    """Keep the jets that fulfil a condition, in order."""
    from jetforge.jets.edit.skim import skim as skim_dataset

    with _bar("skimming") as on_progress:
        dataset = skim_dataset(
            data, out, selection, part_jets=part_jets, workers=workers, scheduler=scheduler, on_progress=on_progress
        )
    print_dataset(dataset)


def reweight(
    data: _Data,
    out: _Out,
    target: Annotated[
        str, typer.Option(help="flat, a class, or the directory of a dataset: whose spectrum each class gets.")
    ] = "flat",
    field: Annotated[str, typer.Option(help="Jet field whose spectrum it is.")] = "pt",
    bins: Annotated[int, typer.Option(min=1, help="Bins of equal width.")] = 50,
    limits: Annotated[
        str | None, typer.Option(help="Ends of the histogram, such as 500,700; by default those of the train split.")
    ] = None,
    workers: _Workers = None,
    scheduler: _Scheduler = None,
) -> None:
    """Give jets weights by which each class has the same spectrum, of mean 1 in a class."""
    from jetforge.jets.edit.reweight import reweight as reweight_dataset

    ends = None if limits is None else _numbers(limits, 2, "500,700")
    with _bar("weighing") as on_progress:
        dataset = reweight_dataset(
            data, out, target=target, field=field, bins=bins, limits=None if ends is None else (ends[0], ends[1]),
            workers=workers, scheduler=scheduler, on_progress=on_progress,
        )  # fmt: skip
    print_dataset(dataset)


@contextmanager
def _bar(description: str) -> Iterator[Any]:
    with jets_bar(description) as update:
        yield lambda progress: update(progress.done, progress.total)


def _numbers(text: str, count: int, example: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise typer.BadParameter(f"'{text}' is not a list of {count} numbers such as {example}")
    return numbers
