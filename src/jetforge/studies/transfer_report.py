"""The report of a transfer study: tables and figures of everything that was tried, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from jetforge.evaluation.comparison_plots import plot_against, plot_roc_ratio
from jetforge.evaluation.report import save_figures, write_report
from jetforge.evaluation.roc import roc_curve
from jetforge.jets.dataset import Dataset
from jetforge.jets.edit.fields import each_part
from jetforge.learning.transferability import Transferability
from jetforge.studies.cells import MeasuredCell
from jetforge.studies.seeds import mean_and_spread
from jetforge.studies.transfer_grid import SCRATCH, TransferStudy, Trial

# The slides of arXiv:2203.06210: one RTX 2080 Ti, preprocessing not included. Milliseconds a jet and epoch; hours,
# minutes and seconds of 30 epochs with a million and with a hundred thousand jets.
_PUBLISHED_TIMES = {
    ("lundnet5", SCRATCH): (0.46, "03:48:15", "00:22:43"),
    ("lundnet5", "frozen"): (0.15, "01:17:02", "00:07:36"),
    ("lundnet5", "finetune"): (0.46, "03:48:32", "00:22:45"),
    ("particlenet", SCRATCH): (3.60, "30:09:44", "02:59:17"),
    ("particlenet", "frozen"): (2.16, "18:13:21", "01:47:37"),
    ("particlenet", "finetune"): (3.60, "29:59:46", "03:01:04"),
}
_EFFICIENCIES = ("0.5", "0.7")
_ROC_POINTS = np.linspace(0.05, 1.0, 96)

Trials = Mapping[Trial, MeasuredCell]


@dataclass(frozen=True)
class Series:
    """One line of the tables and figures: an architecture from scratch, or a source with a mode.

    Attributes
    ----------
    name
        As it is shown.
    cells
        Its measured cells by number of jets, one a seed.
    trial
        Any of its trials.
    """

    name: str
    cells: Mapping[int, Sequence[MeasuredCell]]
    trial: Trial


def series_of(trials: Trials) -> list[Series]:
    """Return the trials, those that differ by jets and seeds alone together, in the order of the study."""
    grouped: dict[tuple[str, str, str], dict[int, list[MeasuredCell]]] = {}
    first: dict[tuple[str, str, str], Trial] = {}
    for trial, cell in trials.items():
        key = (trial.architecture, trial.source, trial.mode)
        grouped.setdefault(key, {}).setdefault(trial.num_jets, []).append(cell)
        first.setdefault(key, trial)
    named = []
    for (architecture, source, mode), cells in grouped.items():
        name = f"{architecture}, from scratch" if source == SCRATCH else f"{source}, {mode}"
        named.append(Series(name, cells, first[architecture, source, mode]))
    return named


def write_transfer_report(
    study: TransferStudy, sources: Mapping[str, MeasuredCell], trials: Trials,
    diagnostics: Mapping[str, Transferability], representing: Mapping[str, float],
    findings: Sequence[Mapping[str, str]], target: Dataset, path: Path, command: str,
) -> None:  # fmt: skip
    """Write the page, and its figures beside it; see `jetforge.studies.transfer.run_transfer`.

    Parameters
    ----------
    study, sources, trials, diagnostics
        What was done.
    representing
        Milliseconds on one thread in which each source represents a jet of the target.
    findings
        What follows, as rows of a table.
    target
        The jets that everything was measured on.
    path
        The page.
    command
        Shown at its end.

    Raises
    ------
    JetforgeError
        If the file cannot be written.
    """
    lines = series_of(trials)
    sizes = sorted({size for line in lines for size in line.cells})
    # A figure an architecture: each line is to be held against its own training from scratch.
    groups = [[o for o in lines if o.trial.architecture == architecture] for architecture in _architectures(lines)]
    figures: dict[str, list[Figure]] = {
        "What follows": [],  # its table comes first
        "Area under the ROC curve": [figure for own in groups for figure in _against_jets(own, "AUC")],
        "Background rejection": [
            figure for level in _EFFICIENCIES for own in groups for figure in _against_jets(own, level)
        ],
        "Number of epochs": [figure for own in groups for figure in _against_epochs(own)],
        "ROC curves": list(_roc_curves(lines, sizes, target)),
    }
    tables: dict[str, Sequence[Mapping[str, object]]] = {
        "What follows": findings,
        "Area under the ROC curve": list(_table(lines, sizes, "AUC")),
        "Background rejection": [row for e in _EFFICIENCIES for row in _table(lines, sizes, e)],
        "Training time": list(_times(study, lines, sizes)),
        "Does it transfer?": list(_diagnostic_rows(diagnostics, lines, sizes)),
        "Sources": [_source_row(study, name, cell, representing[name]) for name, cell in sources.items()],
    }
    notes = {
        "What follows": "The findings of arXiv:2203.06210 beside what was found here, with the number of jets closest "
        "to a tenth of the most; unclear is what is smaller than its error. Errors are the spread of the seeds over "
        "the root of their number; where there is one seed, none is known. All seeds start from one training of the "
        "source, have the same jets to train on, and are measured on the same jets: what other sources or jets would "
        "change is not in the errors.",
        "Area under the ROC curve": "Mean over seeds, with their standard deviation where there are several. Every "
        "tagger is measured on the same jets, so that differences are known better than each AUC.",
        "Training time": "Median of the epochs after the first; totals are whole trainings: reading and representing "
        "jets (declustering included), all epochs, validation. A frozen backbone runs once over the jets, which the "
        "training with most jets and the first seed pays for; others read what it gave. With --scheduler trainings run "
        "side by side, wait for each other's backbone, and share the cores of a machine. Published: an RTX 2080 Ti, "
        "preprocessing of 4.6 ms a jet not included (slides of arXiv:2203.06210).",
        "Does it transfer?": "Said before any training on the target, with the source as it is: AUC of a linear probe, "
        "LogME (arXiv:2102.11005), H-score (arXiv:2110.06893), CKA with the classes (arXiv:1905.00414) of what each "
        "boundary reads. Beside it the AUC that was then reached with the fewest jets.",
    }
    write_report(
        path,
        title=f"Transfer to {study.target}: {' vs '.join(reversed(target.classes))}",
        figures=figures,
        tables=tables,
        notes=notes,
        provenance={
            "target": {"dataset": str(target.path), **target.manifest.provenance},
            "training": study.training.model_dump(),
        },
        command=command,
    )
    save_figures(figures, path.parent / "figures", only=True)


def _architectures(lines: Sequence[Series]) -> list[str]:
    return list(dict.fromkeys(line.trial.architecture for line in lines))


def _value(cell: MeasuredCell, what: str) -> float:
    return cell.auc if what == "AUC" else cell.rejection(what)


def _against_jets(lines: Sequence[Series], what: str) -> list[Figure]:
    """Draw AUC or rejection against the number of jets; nothing where no background is left anywhere."""
    points = {
        line.name: [
            (float(size), mean, 0.0 if math.isnan(error) else error)
            for size, cells in line.cells.items()
            for mean, error in [mean_and_spread([_value(cell, what) for cell in cells])]
        ]
        for line in lines
    }
    label = "Area under the ROC curve"
    if what != "AUC":
        label = rf"$1/\varepsilon_\mathrm{{B}}$ at $\varepsilon_\mathrm{{S}}$ = {what}"
    if not any(math.isfinite(mean) for line in points.values() for _, mean, _ in line):
        return []
    return [plot_against(points, xlabel="Training jets", ylabel=label, log_x=True, log_y=what != "AUC")]


def _against_epochs(lines: Sequence[Series]) -> list[Figure]:
    """Draw what was reached on the validation jets against the number of epochs, with the most jets."""
    figures = []
    size = max(size for line in lines for size in line.cells)
    for key, label in (
        ("val_auc", "AUC"),
        ("val_rejection", r"$1/\varepsilon_\mathrm{B}$ at $\varepsilon_\mathrm{S}$ = 0.7"),
    ):
        points = {
            line.name: [
                (row["epoch"] + 1.0, float(row[key]), 0.0)
                for row in line.cells[size][0].epochs
                if row.get(key) is not None
            ]
            for line in lines
            if size in line.cells
        }
        if any(points.values()):
            title = f"validation, {size:,} training jets"
            figures.append(plot_against(points, xlabel="Epochs", ylabel=label, log_y=key != "val_auc", title=title))
    return figures


def _roc_curves(lines: Sequence[Series], sizes: Sequence[int], target: Dataset) -> Iterator[Figure]:
    """Yield for each architecture the curves with most jets, and those of a tenth, as ratios to scratch with most."""
    names = [name for name in ("label", "weight") if name in target.manifest.jet_fields]
    fields = [values for _, _, values in each_part(target, "test", names)]
    labels = np.concatenate([values["label"] for values in fields])
    weights = np.concatenate([values["weight"] for values in fields]) if "weight" in names else None
    for scratch in (line for line in lines if line.trial.source == SCRATCH):
        own = [line for line in lines if line.trial.architecture == scratch.trial.architecture]
        most = max(scratch.cells)
        for size in dict.fromkeys((most, min(sizes, key=lambda size: abs(math.log(10 * size / most))))):
            curves = {f"{scratch.name}, {most:,} jets": scratch.cells[most][0]}
            curves |= {f"{line.name}, {size:,} jets": line.cells[size][0] for line in own if size in line.cells}
            if len(curves) > 1:
                drawn = {
                    name: roc_curve(labels, cell.scores(), weights, signal_efficiency=_ROC_POINTS)
                    for name, cell in curves.items()
                }
                yield plot_roc_ratio(drawn)


def _table(lines: Sequence[Series], sizes: Sequence[int], what: str) -> Iterator[dict[str, str]]:
    heading = "" if what == "AUC" else f" (1/εB at εS = {what})"
    for line in lines:
        row = {f"tagger{heading}" if what == "AUC" else "tagger": line.name}
        if what != "AUC":
            row["εS"] = what
        for size in sizes:
            row[f"{size:,} jets"] = shown([_value(cell, what) for cell in line.cells.get(size, ())], what)
        yield row


def shown(values: Sequence[float], what: str = "AUC") -> str:
    """Return mean and spread of an AUC or a rejection as text."""
    if not values:
        return "-"
    mean, error = mean_and_spread(values)
    digits = 5 if what == "AUC" else 0
    if not math.isfinite(mean):
        return "no background left"
    spread = "" if math.isnan(error) else f" ± {error:.{digits}f}"
    return f"{mean:.{digits}f}{spread}"


def _times(study: TransferStudy, lines: Sequence[Series], sizes: Sequence[int]) -> Iterator[dict[str, str]]:
    most, tenth = sizes[-1], min(sizes, key=lambda size: abs(math.log(10 * size / sizes[-1])))
    scratch_of = {line.trial.architecture: line for line in lines if line.trial.source == SCRATCH}
    for line in lines:
        tagger = study.sources[line.trial.architecture].tagger.name
        mode = SCRATCH if line.trial.source == SCRATCH else study.modes[line.trial.mode].mode
        published = _PUBLISHED_TIMES.get((tagger, mode), (None, "-", "-"))
        row = {"tagger": line.name}
        if most in line.cells:
            each = _milliseconds(line.cells[most][0], most)
            base = scratch_of[line.trial.architecture].cells.get(most)
            row["ms a jet and epoch"] = f"{each:.4f}"
            row["scratch to it"] = "-" if base is None else f"{_milliseconds(base[0], most) / each:.1f}"
        row["published, ms"] = "-" if published[0] is None else f"{published[0]:.2f}"
        for size, there, number in ((most, published[1], "1e6"), (tenth, published[2], "1e5")):
            row[f"total for {size:,} jets"] = _clock(line.cells[size][0].seconds) if size in line.cells else "-"
            row[f"published for {number}"] = there
        yield row


def _milliseconds(cell: MeasuredCell, num_jets: int) -> float:
    return 1000 * cell.seconds_an_epoch / num_jets


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"


def _diagnostic_rows(
    diagnostics: Mapping[str, Transferability], lines: Sequence[Series], sizes: Sequence[int]
) -> Iterator[dict[str, str]]:
    for name, found in diagnostics.items():
        row = {"source": name, "probe AUC": f"{found.probe_auc:.4f}", "LogME": f"{found.log_me:.4f}"}
        row["H-score"] = f"{found.h_score:.4f}"
        row["CKA with the classes"] = ", ".join(f"{key} {value:.3f}" for key, value in found.alignment.items())
        for line in lines:
            if line.trial.source == name and sizes[0] in line.cells:
                row[f"{line.trial.mode}, {sizes[0]:,} jets"] = shown([cell.auc for cell in line.cells[sizes[0]]])
        yield row


def _source_row(study: TransferStudy, name: str, cell: MeasuredCell, representing: float) -> dict[str, str]:
    source = study.sources[name]
    return {
        "source": name,
        "tagger": source.tagger.name,
        "parameters": f"{cell.num_parameters:,}",
        "sample": source.sample,
        "AUC on its own task": f"{cell.auc:.5f}",
        "whole training": _clock(cell.seconds),
        "representing a jet of the target, ms": f"{representing:.4f}",
    }
