"""Measuring a trained tagger on a dataset: scores, `metrics.json`, the ROC as a picture, the report."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from jetforge.errors import DataError
from jetforge.evaluation.bins import BinnedRejection, rejection_by_bin
from jetforge.evaluation.intervals import check_method
from jetforge.evaluation.lund_plots import plot_lund_planes, plot_lund_ratio
from jetforge.evaluation.metrics import discriminant, evaluate_classes
from jetforge.evaluation.plots import plot_learning_curve, plot_rejection_by_bin, plot_roc, plot_scores
from jetforge.evaluation.report import write_report
from jetforge.evaluation.roc import roc_curve
from jetforge.evaluation.scoring import load_for_scoring, refuse_unknown_classes, score_dataset
from jetforge.evaluation.tables import bin_table
from jetforge.files import write_atomically
from jetforge.jets import Dataset, Jets, open_dataset
from jetforge.learning.run import read_metrics
from jetforge.physics.lund.plane import LundDensity, lund_density
from jetforge.representations import representation_to_dict
from jetforge.taggers import Tagger

_PT_BINS = 5
_PT_EFFICIENCY = 0.5
# Jets of each class whose Lund plane is drawn.
_LUND_JETS = 20_000


@dataclass(frozen=True)
class _Scored:
    """A whole split, scored."""

    labels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    pt: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    planes: Mapping[str, LundDensity]


def evaluate(
    run: str | Path,
    data: str | Path,
    *,
    split: str = "test",
    out: str | Path | None = None,
    interval: str = "bootstrap",
    device: str = "auto",
    command: str = "",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measure a trained tagger and write `metrics.json`, `roc.png` and `report.html`.

    Parameters
    ----------
    run
        A run directory, or any directory with `tagger.json` and `tagger.safetensors`.
    data
        A dataset directory.
    split
        Which split of it.
    out
        Where the files go; by default into `run`.
    interval
        ``bootstrap``, which counts the fluctuation of the threshold too, or ``exact``; see `evaluate_scores`.
    device
        ``cpu``, ``cuda`` or ``auto``.
    command
        Shown at the end of the report.
    on_progress
        Called with jets done and jets in all.

    Returns
    -------
    dict
        What `metrics.json` says: of `evaluate_scores` for two classes (the second is the signal), of
        `evaluate_classes` for more.

    Raises
    ------
    DataError
        If the dataset is broken, lacks a class of the tagger's, or has one that the tagger does not know.
    TaggerError
        If there is no whole tagger, or its training is unfinished.
    """
    check_method(interval)
    tagger = load_for_scoring(run, device)
    dataset = open_dataset(data)
    if not dataset.labelled:
        raise DataError(
            f"{dataset.path}: its jets have no labels, so nothing is measured; score them: jetforge predict"
        )
    refuse_unknown_classes(tagger, dataset)
    _refuse_missing_classes(tagger, dataset, split, dataset.classes)
    scored = _score(tagger, dataset, split, on_progress)
    _refuse_missing_classes(tagger, dataset, split, {tagger.classes[label] for label in np.unique(scored.labels)})
    folder = Path(run if out is None else out)
    if folder.suffix == ".json":
        folder = folder.parent
    weights = None if np.all(scored.weights == 1) else scored.weights
    metrics = evaluate_classes(scored.labels, scored.scores, weights, classes=tagger.classes, interval=interval)
    figures, tables = _figures(scored, tagger.classes, weights, interval, Path(run))
    write_atomically(folder / "metrics.json", (json.dumps(metrics, indent=1, allow_nan=False) + "\n").encode())
    picture = io.BytesIO()
    figures["ROC"][0].savefig(picture, format="png", dpi=150)
    write_atomically(folder / "roc.png", picture.getvalue())
    write_report(
        folder / "report.html",
        title=f"{tagger.name}: {' vs '.join(reversed(tagger.classes))}",
        metrics=metrics,
        figures=figures,
        tables=tables,
        notes={"Lund planes": "Density of primary declusterings a jet (arXiv:1807.04758), Cambridge/Aachen."},
        provenance=_provenance(tagger, dataset, split),
        command=command,
    )
    return metrics


def _refuse_missing_classes(tagger: Tagger, dataset: Dataset, split: str, there: Collection[str]) -> None:
    missing = [name for name in tagger.classes if name not in there]
    # An unknown or empty split is told better when it is read.
    if missing and dataset.num_jets(split):
        raise DataError(
            f"{dataset.path}: no jets of class {', '.join(missing)} in the split '{split}'; the tagger tells "
            f"{', '.join(tagger.classes)} apart and is measured on all of them: take a dataset that has them, or score "
            "these jets without measuring: jetforge predict"
        )


def _score(tagger: Tagger, dataset: Dataset, split: str, on_progress: Callable[[int, int], None]) -> _Scored:
    columns: list[tuple[npt.NDArray[Any], ...]] = []
    shown: dict[int, list[Jets]] = {number: [] for number in range(len(tagger.classes))}
    for jets, scores in score_dataset(tagger, dataset, split, on_progress=on_progress):
        columns.append((jets.label, jets.weight, _transverse_momentum(jets), scores))
        for number, blocks in shown.items():
            left = _LUND_JETS - sum(map(len, blocks))
            if left > 0:
                blocks.append(jets[np.flatnonzero(jets.label == number)[:left]])
    labels, weights, pt, scores = (np.concatenate(column) for column in zip(*columns, strict=True))
    planes = {tagger.classes[n]: _plane(Jets.concatenate(b)) for n, b in shown.items() if sum(map(len, b))}
    return _Scored(labels, weights, pt, scores, planes)


def _plane(jets: Jets) -> LundDensity:
    return lund_density(jets, weights=jets.weight)


def _transverse_momentum(jets: Jets) -> npt.NDArray[np.float64]:
    if "pt" in jets.fields:
        return jets["pt"].astype(np.float64)
    px, py = (np.add.reduceat(np.append(c, 0.0), jets.offsets[:-1]) for c in (jets.flat.px, jets.flat.py))
    return np.where(np.diff(jets.offsets) > 0, np.hypot(px, py), 0.0)


def _figures(
    scored: _Scored,
    classes: tuple[str, ...],
    weights: npt.NDArray[np.float64] | None,
    interval: str,
    run: Path,
) -> tuple[dict[str, list[Figure]], dict[str, list[dict[str, str]]]]:
    """Draw every signal class against the first class."""
    figures: dict[str, list[Figure]] = {"ROC": [], "Scores": []}
    tables: dict[str, list[dict[str, str]]] = {}
    curves = {}
    by_pt: dict[str, list[BinnedRejection]] = {}
    for signal in range(1, len(classes)):
        chosen = (scored.labels == 0) | (scored.labels == signal)
        label = (scored.labels[chosen] == signal).astype(np.int64)
        score = discriminant(scored.scores[chosen], signal, 0)
        weight = None if weights is None else weights[chosen]
        name = f"{classes[signal]} vs {classes[0]}"
        curves[name] = roc_curve(label, score, weight, interval=interval)
        pair = (classes[0], classes[signal])
        figures["Scores"].append(plot_scores(label, score, weight, classes=pair))
        edges = np.unique(np.round(np.quantile(scored.pt[chosen], np.linspace(0, 1, _PT_BINS + 1)), 1))
        if len(edges) > 1:
            edges[0], edges[-1] = np.floor(edges[0]), np.ceil(edges[-1])
            by_pt[name] = rejection_by_bin(
                label, score, scored.pt[chosen], edges, _PT_EFFICIENCY, weight, interval=interval
            )
    figures["ROC"].append(plot_roc(curves))
    rows = read_metrics(run.parent if run.suffix == ".json" else run)
    if rows:
        figures["Learning curve"] = [plot_learning_curve(rows)]
    for name, bins in by_pt.items():
        heading = "Rejection and transverse momentum" + (f", {name}" if len(classes) > 2 else "")
        figures[heading] = [plot_rejection_by_bin(bins, efficiency=_PT_EFFICIENCY)]
        tables[heading] = bin_table(bins)
    figures["Lund planes"] = [plot_lund_planes(scored.planes)]
    for name in classes[1:]:
        if {name, classes[0]} <= scored.planes.keys():
            ratio = plot_lund_ratio(scored.planes[name], scored.planes[classes[0]], title=f"{name} / {classes[0]}")
            figures["Lund planes"].append(ratio)
    return figures, tables


def _provenance(tagger: Tagger, dataset: Dataset, split: str) -> dict[str, Any]:
    return {
        "tagger": {
            "name": tagger.name,
            "parameters": tagger.num_parameters(),
            "representation": representation_to_dict(tagger.representation),
        },
        "measured on": {
            "dataset": str(dataset.path),
            "split": split,
            "jets": dataset.num_jets(split),
            **dataset.manifest.provenance,
        },
        "trained on": tagger.provenance or "not recorded",
    }
