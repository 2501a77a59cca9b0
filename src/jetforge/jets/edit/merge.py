"""Several datasets to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.build import Progress
from jetforge.jets.classes import UNLABELLED, background_first
from jetforge.jets.dataset import Dataset
from jetforge.jets.edit.pieces import (
    Piece,
    as_dataset,
    build,
    cut,
    make_from_pieces,
    origins_of,
    tasks_of,
    usual_part,
)
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.tasks import MadePart, PartTask, check_workers


def merge(
    datasets: Sequence[Dataset | str | Path],
    out: str | Path,
    *,
    part_jets: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Dataset:
    """Merge datasets with the same columns and fields: train with train, val with val, test with test.

    Classes are united by name, the usual backgrounds (qcd, gluon) first, otherwise in the order in which the datasets
    name them, and labels renumbered. A dataset of one named class
    without labels gets them. Each new part takes its share of every dataset, in order, so that a block of a few
    parts holds jets of all of them. Columns of different number types become the type that holds both.

    Parameters
    ----------
    datasets
        Two or more, or their directories.
    out
        Directory of the new dataset. If an earlier merging of the same was stopped, it goes on there.
    part_jets
        Jets in a part; by default as many as in the largest part of the inputs.
    workers, scheduler, on_progress
        See `jetforge.jets.build.build_dataset`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the datasets do not go together, share parts, or are damaged.
    JetforgeError
        If fewer than two are named, or another argument is wrong.
    """
    inputs = [as_dataset(dataset) for dataset in datasets]
    check_workers(workers)
    if len(inputs) < 2:
        raise JetforgeError("name two datasets or more to merge")
    _refuse_shared_parts(inputs)
    classes = background_first(name for dataset in inputs for name in dataset.classes)
    labelled = len(classes) > 1 or any(dataset.labelled for dataset in inputs)
    fields = [_fields(dataset, labelled) for dataset in inputs]
    _refuse_differences("constituent columns", inputs, [dataset.manifest.constituent_fields for dataset in inputs])
    _refuse_differences("jet fields", inputs, fields)
    renumbered = [[classes.index(name) for name in dataset.classes] for dataset in inputs]
    settings = {"labels": renumbered, "fields": fields[0], **_common_types(inputs)}
    size = usual_part(inputs, part_jets)
    tasks = []
    for split in SPLITS:
        num_parts = -(-sum(dataset.num_jets(split) for dataset in inputs) // size)
        shares = [cut(origins_of(dataset, i, split), num_parts) for i, dataset in enumerate(inputs)]
        parts = [[piece for share in shares for piece in share[index]] for index in range(num_parts)]
        tasks += tasks_of(split, inputs, parts, settings)
    return build(
        out, tasks, make_part, inputs[0], operation="merge", inputs=inputs, settings={"part_jets": size},
        found={"labels": renumbered}, classes=classes, jet_fields=fields[0], workers=workers, scheduler=scheduler,
        on_progress=on_progress,
    )  # fmt: skip


def make_part(task: PartTask) -> MadePart:
    """Make one part of a merged dataset; runs on a worker."""
    settings = task.argument["settings"]

    def renumber(jets: Jets, piece: Piece) -> Jets:
        numbers = np.asarray(settings["labels"][piece.input], dtype=np.int64)
        fields: dict[str, Any] = dict(jets.fields)
        if "label" in settings["fields"]:
            fields["label"] = numbers[jets.label] if "label" in fields else np.full(len(jets), numbers[0])
        columns = {n: c.astype(settings["column_types"].get(n, c.dtype), copy=False) for n, c in jets.columns.items()}
        ordered = {n: fields[n].astype(settings["field_types"].get(n, fields[n].dtype)) for n in settings["fields"]}
        return Jets(jets.offsets, {n: columns[n] for n in settings["columns"]}, ordered)

    return make_from_pieces(task, lambda jets, piece: None, renumber)


def _fields(dataset: Dataset, labelled: bool) -> list[str]:
    """Return the jet fields that a dataset will have: labels too, where its only class is what they would say."""
    fields = list(dataset.manifest.jet_fields)
    if "label" in fields or not labelled:
        return fields
    if dataset.classes == (UNLABELLED,):
        raise DataError(f"{dataset.path}: its jets have no labels, others have; convert its files again as CLASS=FILE")
    if len(dataset.classes) > 1:
        raise DataError(f"{dataset.path}: has classes ({', '.join(dataset.classes)}) but no labels; make it again")
    return ["label", *fields]


def _refuse_differences(what: str, inputs: Sequence[Dataset], names: Sequence[Sequence[str]]) -> None:
    for dataset, own in zip(inputs, names, strict=True):
        for lacking, having, missing in (
            (dataset, inputs[0], set(names[0]) - set(own)),
            (inputs[0], dataset, set(own) - set(names[0])),
        ):
            if missing:
                raise DataError(
                    f"{lacking.path}: lacks the {what} {', '.join(sorted(missing))} that {having.path} has; make both "
                    "in the same way"
                )


def _refuse_shared_parts(inputs: Sequence[Dataset]) -> None:
    seen: dict[str, Path] = {}
    for dataset in inputs:
        parts = [part for in_split in dataset.manifest.parts.values() for part in in_split if part.jets]
        own = {part.sha256: dataset.path / part.file for part in parts}
        for shared in sorted(own.keys() & seen.keys()):
            raise DataError(f"{own[shared]}: holds the same jets as {seen[shared]}; merge every dataset once")
        seen.update(own)


def _common_types(inputs: Sequence[Dataset]) -> dict[str, Any]:
    """Return the columns in order, and of columns and fields the number types that hold those of all inputs."""
    samples = []
    for dataset in inputs:
        for split in dataset.splits[:1]:
            index = next(i for i, part in enumerate(dataset.parts(split)) if part.jets)
            samples.append(dataset.read_part(split, index)[0:1])
    if not samples:
        raise DataError(f"{inputs[0].path}: neither this dataset nor the others hold jets")
    columns = list(samples[0].columns)
    fields = {name for jets in samples for name in jets.fields if name != "label"}
    return {
        "columns": columns,
        "column_types": {name: _common(name, [jets.columns[name] for jets in samples]) for name in columns},
        "field_types": {
            name: _common(name, [jets.fields[name] for jets in samples if name in jets.fields])
            for name in sorted(fields)
        },
    }


def _common(name: str, arrays: Sequence[Any]) -> str:
    if any(array.dtype.kind not in "biuf" for array in arrays):
        return "O"
    common = np.result_type(*(array.dtype for array in arrays))
    if common.kind == "f" and all(array.dtype.kind in "biu" for array in arrays):
        kinds = " and ".join(dict.fromkeys(str(array.dtype) for array in arrays))
        raise DataError(f"'{name}' is {kinds} in the datasets: no type holds both exactly; make both in the same way")
    return common.str
