"""Weights that make the pT spectrum, or that of another jet field, the same in every class."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.build import Progress
from jetforge.jets.dataset import Dataset
from jetforge.jets.edit.pieces import (
    Origin,
    Piece,
    as_dataset,
    build,
    file_of,
    make_from_pieces,
    origins_of,
    tasks_of,
)
from jetforge.jets.edit.spectra import Bins, Spectrum, field_range, read_spectrum
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.tasks import MadePart, PartTask, check_workers

FLAT = "flat"


def reweight(
    dataset: Dataset | str | Path,
    out: str | Path,
    *,
    target: str | Path | Dataset = FLAT,
    field: str = "pt",
    bins: int = 50,
    limits: tuple[float, float] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Dataset:
    """Give every jet a weight by which each class has the same spectrum of a jet field.

    Parameters
    ----------
    dataset
        The dataset, or its directory.
    out
        Directory of the new dataset. If an earlier run of the same was stopped, it goes on there.
    target
        ``flat``; the name of a class, whose spectrum the others get; or another dataset or its directory, of whose
        train split all jets make the spectrum.
    field
        The jet field, ``pt`` by default.
    bins, limits
        The histogram: number of bins of equal width, and its ends (GeV for ``pt``); by default those of the
        train split.
    workers, scheduler, on_progress
        See `jetforge.jets.build.build_dataset`.

    Returns
    -------
    Dataset
        With the jet field ``weight`` (float64), parts as they were.

    Raises
    ------
    JetforgeError
        If an argument is wrong.
    DataError
        If there are no jets in the train split, those of a class are all outside of the limits or where the target is
        empty, a value is not finite, or a dataset is damaged.

    Notes
    -----
    The factor of a jet of class c in bin b is ``T[b] / H[c, b]``, with the histograms of the train split alone,
    whatever the jet's split; weights that are there already count in the histograms and are multiplied. The factors of
    a class are then scaled so that its weights in the train split have the mean 1. Bins without jets of a class (or
    with a sum of weights that is not positive) take the factor of the nearest bin that has some, of the lower one where
    two are as near; jets outside of the limits take that of the first or the last bin, and count in the mean but not in
    the spectrum. Where the target is empty the weight is 0. A class without jets in the train split keeps its weights.
    """
    source = as_dataset(dataset)
    check_workers(workers)
    other = _other_dataset(source, target)
    _check_fields(source, field)
    edges = Bins.of(bins, *(limits or field_range(source, field)))
    spectrum = read_spectrum(source, field, edges)
    shape = _target_shape(source, other, str(target), field, edges, spectrum)
    factors = [_factors(source, label, spectrum, shape) for label in range(len(source.classes))]
    settings = {"field": field, "edges": edges.__dict__, "factors": factors}
    tasks: list[PartTask] = []
    for split in SPLITS:
        parts = [[_whole(origin)] for origin in origins_of(source, 0, split) if origin.jets]
        tasks += tasks_of(split, [source], parts, settings)
    fields = [name for name in source.manifest.jet_fields if name != "weight"]
    return build(
        out, tasks, make_part, source, operation="reweight", inputs=[source] if other is None else [source, other],
        settings={
            "target": str(target) if other is None else "dataset", "field": field, "bins": bins,
            "limits": [edges.low, edges.high],
        },
        found={"spectra": {"factors": dict(zip(source.classes, factors, strict=True)), **spectrum.described()}},
        classes=source.classes, jet_fields=[*fields, "weight"], workers=workers, scheduler=scheduler,
        on_progress=on_progress,
    )  # fmt: skip


def make_part(task: PartTask) -> MadePart:
    """Make one part of a reweighted dataset; runs on a worker."""
    settings = task.argument["settings"]
    edges, factors = Bins(**settings["edges"]), np.asarray(settings["factors"])

    def weigh(jets: Jets, piece: Piece) -> Jets:
        values = jets[settings["field"]].astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            rule = f"{settings['field']} is {values[bad[0]]}, not a finite number; skim such jets away"
            raise DataError(f"{file_of(task, piece)}: row {bad[0]}: {rule}")
        labels = jets.label if "label" in jets.fields else np.zeros(len(jets), dtype=np.int64)
        weights = jets.weight * factors[labels, np.clip(edges.numbers(values) - 1, 0, edges.count - 1)]
        fields = {name: values for name, values in jets.fields.items() if name != "weight"}
        return Jets(jets.offsets, jets.columns, {**fields, "weight": weights})

    return make_from_pieces(task, lambda jets, piece: None, weigh)


def _other_dataset(source: Dataset, target: str | Path | Dataset) -> Dataset | None:
    """Return the dataset that is the target; None where the target is a name."""
    names = (FLAT, *source.classes)
    if target in names:
        return None
    if isinstance(target, str) and not Path(target).is_dir():
        near = difflib.get_close_matches(target, names, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names)} and directories of datasets"
        raise JetforgeError(f"there is no target '{target}'; {hint}")
    return as_dataset(target)


def _whole(origin: Origin) -> Piece:
    return Piece(origin.input, origin.split, origin.index, 0, origin.jets)


def _check_fields(dataset: Dataset, field: str) -> None:
    fields = dataset.manifest.jet_fields
    if field not in fields or field in ("label", "weight"):
        there = ", ".join(name for name in fields if name not in ("label", "weight")) or "none"
        raise JetforgeError(f"{dataset.path}: no jet field '{field}' to weigh by; there are: {there}")
    if "label" not in fields and len(dataset.classes) > 1:
        raise DataError(f"{dataset.path}: has classes ({', '.join(dataset.classes)}) but no labels; make it again")
    if not dataset.num_jets("train"):
        raise DataError(f"{dataset.path}: has no jets in the train split, whose spectra the weights are made from")


def _target_shape(
    source: Dataset, other: Dataset | None, target: str, field: str, edges: Bins, spectrum: Spectrum
) -> npt.NDArray[np.float64]:
    if other is not None:
        _check_fields(other, field)
        return np.asarray(np.maximum(read_spectrum(other, field, edges).inside.sum(axis=0), 0))
    if target == FLAT:
        return np.ones(edges.count)
    return np.asarray(np.maximum(spectrum.inside[source.classes.index(target)], 0))


def _factors(source: Dataset, label: int, spectrum: Spectrum, shape: npt.NDArray[np.float64]) -> list[float]:
    """Return the factor of each bin for one class; see `reweight`."""
    own = spectrum.inside[label]
    if not spectrum.jets[label]:
        return [1.0] * len(own)
    name = source.classes[label]
    there = np.flatnonzero(own > 0)
    if not len(there):
        raise DataError(
            f"{source.path}: class '{name}' has no jets (of positive weight) within the limits in the train split; "
            "widen them"
        )
    bins = np.arange(len(own))
    after = there[np.minimum(np.searchsorted(there, bins), len(there) - 1)]
    before = there[np.maximum(np.searchsorted(there, bins, side="right") - 1, 0)]
    nearest = np.where(np.abs(bins - before) <= np.abs(after - bins), before, after)
    factors = shape[nearest] / own[nearest]
    sums = spectrum.sums[label]
    total = float(factors @ own + factors[0] * sums[0] + factors[-1] * sums[-1])
    if not total > 0:
        raise DataError(f"{source.path}: class '{name}' has no jets where the target has some; choose other limits")
    return [float(factor) for factor in factors * (spectrum.jets[label] / total)]
