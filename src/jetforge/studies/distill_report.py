"""The report of a distillation study: what teachers are good for, at which size, latency and view of the jets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from jetforge.evaluation.comparison_plots import plot_against
from jetforge.evaluation.latency import Latency
from jetforge.evaluation.report import save_figures, write_report
from jetforge.jets import Dataset
from jetforge.studies.cells import MeasuredCell
from jetforge.studies.distill_gains import (
    Lessons,
    as_ratio,
    as_rejection,
    close_and_fast,
)
from jetforge.studies.distill_grid import ALONE, FULL, DistillStudy

# arXiv:2311.14160, table 1, top-tagging reference set: parameters, rejection at 0.3 alone and taught, that at 0.5.
_PUBLISHED = [
    {"student": "deep set", "parameters": "68.2k", "1/εB at εS = 0.3, alone": 747, "taught": 970, "gain": "1.30",
     "1/εB at εS = 0.5, alone": 219, "taught (0.5)": 255},
    {"student": "dense", "parameters": "527k", "1/εB at εS = 0.3, alone": 256, "taught": 503, "gain": "1.96",
     "1/εB at εS = 0.5, alone": 82, "taught (0.5)": 146},
]  # fmt: skip
_GAINS = "What teachers are good for"
Rows = Sequence[Mapping[str, Any]]


def write_distill_report(
    study: DistillStudy, teachers: Mapping[str, MeasuredCell], lessons: Lessons, latencies: Mapping[str, Latency],
    rows: Rows, samples: Mapping[str, Dataset], path: Path, command: str,
) -> None:  # fmt: skip
    """Write the page, and its figures beside it; see `jetforge.studies.distill.run_distill`.

    Raises
    ------
    JetforgeError
        If the file cannot be written.
    """
    dataset = samples[study.sample]
    at = {level: [row for row in rows if row["efficiency"] == level] for level in study.efficiencies}
    drawn = {
        "Rejection and latency": [
            _against(level, teachers, own, "microseconds", "Microseconds a jet (network)") for level, own in at.items()
        ],
        "Rejection and size": [_against(level, teachers, own, "parameters", "Parameters") for level, own in at.items()],
        "Rejection and what is seen": [_against_views(study, level, own) for level, own in at.items()],
    }
    figures = {
        heading: [figure for figure in some if figure is not None]
        for heading, some in drawn.items()
        if any(figure is not None for figure in some)
    }
    tables: dict[str, Rows] = {
        **{f"{_GAINS}, at εS = {level}": [_shown(row) for row in own] for level, own in at.items()},
        "Teachers": [_teacher_row(study, name, cell) for name, cell in teachers.items()],
        "Ways of being taught": list(_mode_rows(study, lessons, samples)),
        "Trainings": list(_training_rows(study, teachers, lessons)),
        "Latency": [
            {"tagger": ", ".join(name.split("/")[1:]), "network, µs a jet": f"{found.network:.2f}",
             "representation, µs a jet": f"{found.representation:.2f}", "both": f"{found.total:.2f}"}
            for name, found in latencies.items()
        ],
        "Jets": [
            {"sample": name, "dataset": str(sample.path), "classes": ", ".join(sample.classes),
             **{f"{split} jets": f"{sample.num_jets(split):,}" for split in ("train", "val", "test")}}
            for name, sample in samples.items()
        ],
        "Published": _PUBLISHED,
    }  # fmt: skip
    first = f"{_GAINS}, at εS = {study.efficiency}"
    views = "; ".join(f"{name}: {_settings(settings)}" for name, settings in study.views.items())
    notes = {
        first: "Mean background rejection 1/εB of the seeds, on the same test jets for all. After ± stands the "
        "standard deviation of the seeds over the root of their number; in brackets the interval of 68 % that the "
        "number of test jets gives a ratio, by a bootstrap of the jets: what alone, taught and teacher have in common "
        "cancels. Do not add the two: which test jets a seed gets wrong is in both. Each teacher is one training, and "
        "what another would give is in neither. There are no brackets where a replica of the jets leaves no "
        "background. "
        f"What is seen: {FULL}, everything{'; ' + views if views else ''}. {'; '.join(close_and_fast(rows))}.",
        "Rejection and latency": "Time of the network on one thread of the CPU, "
        f"{next(iter(latencies.values())).batch_size} jets at a time.",
        "Trainings": "Of a student its first seed and view, alone. Seconds are of the whole training on the machine "
        "that it ran on; where a study runs with a scheduler, several ran side by side.",
        "Published": "arXiv:2311.14160, table 1: LorentzNet as the teacher, on the 1.2 million training jets of the "
        "top-tagging reference set, which are other jets than those above.",
    }
    write_report(
        path,
        title=f"Distillation: {' vs '.join(reversed(dataset.classes))}",
        figures=figures,
        tables=tables,
        notes=notes,
        provenance={
            "jets": {
                name: {"dataset": str(sample.path), **sample.manifest.provenance} for name, sample in samples.items()
            },
            "training": study.training.model_dump(),
            "distillation": {name: mode.model_dump() for name, mode in study.modes.items()},
        },
        command=command,
    )
    save_figures(figures, path.parent / "figures", only=True)


def _against(level: str, teachers: Mapping[str, MeasuredCell], rows: Rows, key: str, label: str) -> Figure | None:
    """Draw the rejection of students alone and taught, and of teachers, against a number of theirs."""
    points: dict[str, dict[tuple[float, float, float], str]] = {}
    for row in rows:
        for kind, name in (("alone", f"alone, {row['view']}"), ("taught", f"by {row['by']}, {row['view']}")):
            points.setdefault(name, {})[_point(row, kind, float(row[key]))] = row["student"]
    for name, cell in teachers.items():
        own = next((row for row in rows if row["teacher"] == name), None)
        if own is not None:
            x = own["microseconds"] * own["faster"] if key == "microseconds" else float(cell.num_parameters)
            points.setdefault("teachers", {})[x, cell.rejection(level), _half_interval(cell, level)] = name
    lines = {name: list(some) for name, some in points.items()}
    return _drawn(level, lines, label, log_x=True, labels={name: list(some.values()) for name, some in points.items()})


def _against_views(study: DistillStudy, level: str, rows: Rows) -> Figure | None:
    """Draw the rejection of each student alone and taught against what it sees, where that is varied."""
    views = (FULL, *study.views)
    points: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        for kind, name in (("alone", f"{row['student']}, alone"), ("taught", f"{row['student']}, by {row['by']}")):
            point = _point(row, kind, float(views.index(row["view"])))
            if point not in points.setdefault(name, []):
                points[name].append(point)
    return _drawn(level, {name: line for name, line in points.items() if len(line) > 1}, "What is seen", names=views)


def _half_interval(cell: MeasuredCell, level: str) -> float:
    """Return half of the interval that the number of jets gives a rejection, 0 where that has no end."""
    found = cell.metrics["rejection"][level]
    return 0.0 if found["high"] is None or found["low"] is None else float(found["high"] - found["low"]) / 2


def _point(row: Mapping[str, Any], kind: str, x: float) -> tuple[float, float, float]:
    error = row[f"{kind}_error"]
    return x, row[kind], 0.0 if math.isnan(error) else error


def _drawn(
    level: str, points: Mapping[str, Sequence[tuple[float, float, float]]], xlabel: str, **look: Any
) -> Figure | None:
    """Return a figure of rejections; None where no background is left anywhere."""
    if not any(math.isfinite(y) for line in points.values() for _, y, _ in line):
        return None
    ylabel = rf"$1/\varepsilon_\mathrm{{B}}$ at $\varepsilon_\mathrm{{S}}$ = {level}"
    return plot_against(points, xlabel=xlabel, ylabel=ylabel, log_y=True, **look)


def _shown(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "student": row["student"],
        "sees": row["view"],
        "teacher": row["by"],
        "parameters": f"{row['parameters']:,}",
        "1/εB alone": as_rejection(row["alone"], row["alone_error"]),
        "taught": as_rejection(row["taught"], row["taught_error"]),
        "gain": as_ratio(row, "gain"),
        "AUC alone": _auc(row["auc_alone"], row["auc_alone_error"]),
        "AUC taught": _auc(row["auc_taught"], row["auc_taught_error"]),
        "share of the teacher's 1/εB": as_ratio(row, "of_teacher"),
        "µs a jet": f"{row['microseconds']:.2f}",
        "times as fast": f"{row['faster']:.1f}",
    }


def _auc(value: float, error: float) -> str:
    return f"{value:.5f}" + ("" if math.isnan(error) else f" ± {error:.5f}")


def _teacher_row(study: DistillStudy, name: str, cell: MeasuredCell) -> dict[str, str]:
    return {
        "teacher": name,
        "parameters": f"{cell.num_parameters:,}",
        "AUC": f"{cell.auc:.5f}",
        **{f"1/εB at εS = {one}": _measured(cell.metrics["rejection"][one]) for one in study.efficiencies},
    }


def _measured(found: Mapping[str, float | None]) -> str:
    """Return a rejection with its interval, whose limits are None where infinite."""
    value, low, high = (math.inf if found[key] is None else float(found[key] or 0) for key in ("value", "low", "high"))
    if math.isinf(value):
        return f"above {as_rejection(low)}"
    return f"{as_rejection(value)} ({as_rejection(low)} to {as_rejection(high)})"


def _mode_rows(study: DistillStudy, lessons: Lessons, samples: Mapping[str, Dataset]) -> Iterator[dict[str, str]]:
    for name, mode in study.modes.items():
        epochs = sorted({len(cell.epochs) for lesson, cell in lessons.items() if lesson.mode == name})
        if not epochs:
            continue
        further = "-" if mode.unlabelled is None else f"{samples[mode.unlabelled].num_jets('train'):,}"
        yield {
            "name": name,
            "temperature": f"{mode.temperature:g}",
            "weight of the teacher's scores": f"{mode.weight:g}",
            "of what it embeds": f"{mode.features:g}",
            "of relations between jets": f"{mode.relations:g}",
            "jets without labels": further,
            "epochs": " to ".join(map(str, dict.fromkeys((epochs[0], epochs[-1])))),
        }


def _training_rows(
    study: DistillStudy, teachers: Mapping[str, MeasuredCell], lessons: Lessons
) -> Iterator[dict[str, str]]:
    alone: dict[str, MeasuredCell] = {}
    for lesson, cell in lessons.items():
        if lesson.teacher == ALONE and lesson.seed == 1:
            alone.setdefault(lesson.student, cell)
    for (section, name), entry in study.entries():
        cell = (teachers if section == "teachers" else alone)[name]
        yield {
            "tagger": f"{section}.{name}",
            "is": entry.tagger.name,
            "arguments": _settings(entry.tagger.arguments),
            "reads": _settings(entry.representation),
            "training, where it differs": _settings(entry.training.model_dump(exclude_unset=True)),
            "epochs": str(len(cell.epochs)),
            "seconds": f"{cell.seconds:.0f}",
        }


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items()) or "-"
