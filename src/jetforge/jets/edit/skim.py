"""The jets of a dataset that fulfil a condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.build import Progress
from jetforge.jets.dataset import Dataset
from jetforge.jets.edit.expressions import NUM_CONSTITUENTS, Selection
from jetforge.jets.edit.fields import each_part
from jetforge.jets.edit.pieces import (
    Origin,
    Piece,
    Rows,
    as_dataset,
    build,
    cut,
    make_from_pieces,
    tasks_of,
    usual_part,
)
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.tasks import MadePart, PartTask, check_workers


def skim(
    dataset: Dataset | str | Path,
    out: str | Path,
    selection: str,
    *,
    part_jets: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Dataset:
    """Keep the jets that fulfil a condition on their fields.

    A first look reads the fields that the condition names, and counts; then parts are put together from what is
    chosen, all of the usual size, however few jets of an input's part are left. Jets stay in order and in their split;
    a split may become empty. The provenance holds, for each split and class, the jets before and after.

    Parameters
    ----------
    dataset
        The dataset, or its directory.
    out
        Directory of the new dataset. If an earlier run of the same was stopped, it goes on there.
    selection
        Such as ``"pt > 500 and abs(eta) < 2 and class == 'top'"``; see `Selection`.
    part_jets
        Jets in a part; by default as many as in the largest part of the input.
    workers, scheduler, on_progress
        See `jetforge.jets.build.build_dataset`.

    Returns
    -------
    Dataset

    Raises
    ------
    JetforgeError
        If the selection has no meaning, or another argument is wrong.
    DataError
        If no jet is left, the dataset is damaged, or the selection has no answer for a jet because a value that decides
        is not a number; the message names file and row.
    """
    source = as_dataset(dataset)
    check_workers(workers)
    chosen_by = Selection(selection, source.manifest.jet_fields, source.classes)
    size = usual_part([source], part_jets)
    found: dict[str, Any] = {}
    tasks: list[PartTask] = []
    for split in SPLITS:
        origins, found[split] = _first_look(source, split, chosen_by)
        num_parts = -(-sum(origin.jets for origin in origins) // size)
        settings = {
            "selection": selection, "fields": list(source.manifest.jet_fields), "classes": list(source.classes),
        }  # fmt: skip
        tasks += tasks_of(split, [source], cut(origins, num_parts), settings)
    if not tasks:
        num_jets = sum(source.num_jets(split) for split in SPLITS)
        raise DataError(f"{source.path}: none of its {num_jets} jets fulfils {chosen_by.text}; nothing is written")
    return build(
        out, tasks, make_part, source, operation="skim", inputs=[source],
        settings={"selection": chosen_by.text, "part_jets": size}, found={"selected": found}, classes=source.classes,
        jet_fields=source.manifest.jet_fields, workers=workers, scheduler=scheduler, on_progress=on_progress,
    )  # fmt: skip


def make_part(task: PartTask) -> MadePart:
    """Make one part of a skimmed dataset; runs on a worker."""
    settings = task.argument["settings"]
    selection = Selection(settings["selection"], settings["fields"], settings["classes"])

    def choose(jets: Jets, piece: Piece) -> Rows:
        values = {n: np.diff(jets.offsets) if n == NUM_CONSTITUENTS else jets.fields[n] for n in selection.names}
        return np.flatnonzero(selection.evaluate(values, len(jets)).yes)

    return make_from_pieces(task, choose)


def _first_look(dataset: Dataset, split: str, selection: Selection) -> tuple[list[Origin], dict[str, dict[str, int]]]:
    """Count the jets of a split that will be chosen: of each part, and of each class."""
    names = set(selection.names)
    if "label" in dataset.manifest.jet_fields:
        names.add("label")
    origins = []
    before, after = np.zeros((2, len(dataset.classes)), dtype=np.int64)
    for index, num_jets, values in each_part(dataset, split, names):
        answers = selection.evaluate(values, num_jets)
        _refuse_unknown(dataset, split, index, selection, values, answers.unknown)
        origins.append(Origin(0, split, index, int(answers.yes.sum())))
        labels = values.get("label", np.zeros(num_jets, dtype=np.int64)).astype(np.int64)
        if labels.min() < 0 or labels.max() >= len(dataset.classes):
            raise DataError(f"{dataset.path / dataset.parts(split)[index].file}: a label is none of its classes")
        before += np.bincount(labels, minlength=len(before))
        after += np.bincount(labels[answers.yes], minlength=len(after))
    counts = zip(dataset.classes, before.tolist(), after.tolist(), strict=True)
    return origins, {name: {"before": b, "after": a} for name, b, a in counts}


def _refuse_unknown(
    dataset: Dataset, split: str, index: int, selection: Selection, values: Mapping[str, npt.NDArray[Any]],
    unknown: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    if not unknown.any():
        return
    row = int(np.flatnonzero(unknown)[0])
    shown = ", ".join(f"{name} = {values[name][row]:g}" for name in sorted(selection.names))
    path = dataset.path / dataset.parts(split)[index].file
    raise DataError(
        f"{path}: row {row}: '{selection.text}' has no answer ({shown}); put 'isfinite(...) and' before what may "
        "not be a number"
    )
