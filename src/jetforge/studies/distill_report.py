"""The report of a distillation study: what teachers are good for, at which size, latency and view of the jets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jetforge.evaluation.comparison_plots import plot_against
from jetforge.evaluation.gain import rejection_gain
from jetforge.evaluation.latency import Latency
from jetforge.evaluation.report import save_figures, write_report
from jetforge.jets import Dataset, Jets
from jetforge.studies.cells import MeasuredCell
from jetforge.studies.distill_grid import ALONE, FULL, DistillStudy, Lesson
from jetforge.studies.seeds import mean_and_error

# arXiv:2311.14160, table 1, top-tagging reference set: parameters, rejection at 0.3 alone and taught, that at 0.5.
_PUBLISHED = [
    {"student": "deep set", "parameters": "68.2k", "1/εB at 0.3 alone": 747, "taught": 970, "gain": "1.30",
     "1/εB at 0.5 alone": 219, "taught (0.5)": 255},
    {"student": "dense", "parameters": "527k", "1/εB at 0.3 alone": 256, "taught": 503, "gain": "1.96",
     "1/εB at 0.5 alone": 82, "taught (0.5)": 146},
]  # fmt: skip
_WITHIN, _FASTER = 0.8, 20

Lessons = Mapping[Lesson, MeasuredCell]


def teacher_key(teacher: str) -> str:
    """Return the name of a teacher's latency."""
    return f"teachers/{teacher}"


def student_key(student: str, view: str) -> str:
    """Return the name of the latency of a student with a view."""
    return f"students/{student}/{view}"


def gains(
    study: DistillStudy, teachers: Mapping[str, MeasuredCell], lessons: Lessons, latencies: Mapping[str, Latency],
    jets: Jets,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return one row a student, view, teacher and mode: rejections alone and taught, with their spread over seeds.

    Keys of a row: ``student, view, teacher, mode, by`` (the teacher, and the mode where there are several),
    ``parameters, alone, alone_error, taught, taught_error, gain, gain_error, gain_low, gain_high, auc_alone,
    auc_taught, of_teacher`` (the taught student's rejection over the teacher's), ``microseconds`` a jet of its
    network, ``faster`` (the teacher's over it). Errors are the spread of the seeds over the root of their number;
    ``gain_low`` and ``gain_high`` are the interval that the number of ``jets``, those of the split ``test``, gives the
    gain. What is infinite, where no background is left, has no error and no ratio: that is NaN.
    """
    of: dict[tuple[str, str, str, str | None], list[MeasuredCell]] = {}
    for lesson, cell in lessons.items():
        of.setdefault((lesson.student, lesson.view, lesson.teacher, lesson.mode), []).append(cell)
    return [
        _row(
            study, (student, view, teacher, mode), of[student, view, ALONE, None], taught, teachers[teacher], latencies
        )
        | _interval(study, of[student, view, ALONE, None], taught, jets)
        for (student, view, teacher, mode), taught in of.items()
        if mode is not None
    ]


def _row(
    study: DistillStudy, names: tuple[str, str, str, str], alone: Sequence[MeasuredCell],
    taught: Sequence[MeasuredCell], teacher: MeasuredCell, latencies: Mapping[str, Latency],
) -> dict[str, Any]:  # fmt: skip
    before, before_error = mean_and_error([cell.rejection(study.efficiency) for cell in alone])
    after, after_error = mean_and_error([cell.rejection(study.efficiency) for cell in taught])
    gain = _ratio(after, before)
    student, view, name, mode = names
    own, theirs = latencies[student_key(student, view)].network, latencies[teacher_key(name)].network
    return {
        "student": student, "view": view, "teacher": name, "mode": mode,
        "by": name if len(study.modes) == 1 else f"{name}, {mode}", "parameters": taught[0].num_parameters,
        "alone": before, "alone_error": before_error, "taught": after, "taught_error": after_error,
        "gain": gain, "gain_error": gain * math.hypot(before_error / before, after_error / after),
        "auc_alone": float(np.mean([cell.auc for cell in alone])),
        "auc_taught": float(np.mean([cell.auc for cell in taught])),
        "of_teacher": _ratio(after, teacher.rejection(study.efficiency)), "microseconds": own, "faster": theirs / own,
    }  # fmt: skip


def _interval(
    study: DistillStudy, alone: Sequence[MeasuredCell], taught: Sequence[MeasuredCell], jets: Jets
) -> dict[str, float]:
    before, after = ([cell.scores() for cell in cells] for cells in (alone, taught))
    found = rejection_gain(jets.label, before, after, float(study.efficiency), jets.weight)
    return {"gain_low": found.low, "gain_high": found.high}


def _ratio(one: float, other: float) -> float:
    """Return a ratio of rejections, NaN where no background is left for one of them."""
    return one / other if math.isfinite(one) and math.isfinite(other) else math.nan


def summary_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line a row of the gains, and whether a student is close to its teacher and much faster."""
    lines = [
        f"{row['student']}, {row['view']}: {_with(row['alone'])} alone, {_with(row['taught'])} by {row['by']}: "
        f"gain {_gain(row)}"
        for row in rows
    ]
    close = [row for row in rows if row["of_teacher"] >= _WITHIN and row["faster"] >= _FASTER]
    found = ", ".join(f"{row['student']} ({row['view']}, {row['by']})" for row in close) or "none"
    lines.append(f"within {1 - _WITHIN:.0%} of the teacher's rejection, {_FASTER} times as fast: {found}")
    return lines


def write_distill_report(
    study: DistillStudy, teachers: Mapping[str, MeasuredCell], lessons: Lessons, latencies: Mapping[str, Latency],
    rows: Sequence[Mapping[str, Any]], dataset: Dataset, path: Path, command: str,
) -> None:  # fmt: skip
    """Write the page, and its figures beside it; see `jetforge.studies.distill.run_distill`.

    Raises
    ------
    JetforgeError
        If the file cannot be written.
    """
    level = study.efficiency
    figures: dict[str, list[Figure]] = {
        "Rejection and latency": _against(study, teachers, rows, "microseconds", "Microseconds a jet (network)"),
        "Rejection and size": _against(study, teachers, rows, "parameters", "Parameters"),
        "Rejection and what is seen": _against_views(study, rows),
    }
    figures = {heading: drawn for heading, drawn in figures.items() if drawn}
    tables: dict[str, Sequence[Mapping[str, Any]]] = {
        "What teachers are good for": [_shown(row, level) for row in rows],
        "Teachers": [_teacher_row(name, cell, latencies[teacher_key(name)], level) for name, cell in teachers.items()],
        "Latency": [
            {"tagger": ", ".join(name.split("/")[1:]), "network, us a jet": f"{found.network:.2f}",
             "representation, us a jet": f"{found.representation:.2f}", "both": f"{found.total:.2f}"}
            for name, found in latencies.items()
        ],
        "Published": _PUBLISHED,
    }  # fmt: skip
    views = ", ".join(f"{name}: {settings}" for name, settings in study.views.items())
    notes = {
        "What teachers are good for": "Mean over seeds; errors are the spread of the seeds over the root of their "
        "number, intervals of 68 % what the number of test jets gives: all have the same, so that much of it cancels. "
        f"Views: {FULL}: everything{'; ' + views if views else ''}.",
        "Rejection and latency": "Time of the network on one thread of the CPU, "
        f"{next(iter(latencies.values())).batch_size} jets at a time.",
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
            "jets": {"dataset": str(dataset.path), **dataset.manifest.provenance},
            "training": study.training.model_dump(),
            "distillation": {name: mode.model_dump() for name, mode in study.modes.items()},
        },
        command=command,
    )
    save_figures(figures, path.parent / "figures", only=True)


def _against(
    study: DistillStudy, teachers: Mapping[str, MeasuredCell], rows: Sequence[Mapping[str, Any]], key: str, label: str
) -> list[Figure]:
    """Draw the rejection of students alone and taught, and of teachers, against a number of theirs."""
    points: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        for kind, name in (("alone", f"alone, {row['view']}"), ("taught", f"by {row['by']}, {row['view']}")):
            error = row[f"{kind}_error"]
            point = (float(row[key]), row[kind], 0.0 if math.isnan(error) else error)
            if point not in points.setdefault(name, []):
                points[name].append(point)
    for name, cell in teachers.items():
        own = next((row for row in rows if row["teacher"] == name), None)
        if own is not None:
            x = own["microseconds"] * own["faster"] if key == "microseconds" else float(cell.num_parameters)
            points[f"teacher {name}"] = [(x, cell.rejection(study.efficiency), 0.0)]
    return _drawn(study, points, label, log_x=True)


def _against_views(study: DistillStudy, rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Draw the rejection of each student alone and taught against what it sees, where that is varied."""
    views = (FULL, *study.views)
    points: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        for kind, name in (("alone", f"{row['student']}, alone"), ("taught", f"{row['student']}, by {row['by']}")):
            error = row[f"{kind}_error"]
            point = (float(views.index(row["view"])), row[kind], 0.0 if math.isnan(error) else error)
            if point not in points.setdefault(name, []):
                points[name].append(point)
    return _drawn(study, {name: line for name, line in points.items() if len(line) > 1}, "What is seen", names=views)


def _drawn(
    study: DistillStudy, points: Mapping[str, Sequence[tuple[float, float, float]]], xlabel: str, **look: Any
) -> list[Figure]:
    """Return a figure of rejections; nothing where no background is left anywhere."""
    if not any(math.isfinite(y) for line in points.values() for _, y, _ in line):
        return []
    ylabel = rf"$1/\varepsilon_\mathrm{{B}}$ at $\varepsilon_\mathrm{{S}}$ = {study.efficiency}"
    return [plot_against(points, xlabel=xlabel, ylabel=ylabel, log_y=True, **look)]


def _shown(row: Mapping[str, Any], level: str) -> dict[str, str]:
    return {
        "student": row["student"],
        "sees": row["view"],
        "teacher": row["by"],
        "parameters": f"{row['parameters']:,}",
        f"1/εB at {level} alone": _with(row["alone"], row["alone_error"]),
        "taught": _with(row["taught"], row["taught_error"]),
        "gain": _gain(row),
        "AUC alone": f"{row['auc_alone']:.5f}",
        "AUC taught": f"{row['auc_taught']:.5f}",
        "share of the teacher's": _with(row["of_teacher"], digits=2),
        "us a jet": f"{row['microseconds']:.2f}",
        "times as fast": f"{row['faster']:.1f}",
    }


def _teacher_row(name: str, cell: MeasuredCell, latency: Latency, level: str) -> dict[str, str]:
    return {
        "teacher": name,
        "parameters": f"{cell.num_parameters:,}",
        "AUC": f"{cell.auc:.5f}",
        **{f"1/εB at {one}": _measured(cell.metrics["rejection"][one]) for one in sorted({"0.3", "0.5", level})},
        "us a jet": f"{latency.network:.2f}",
    }


def _measured(found: Mapping[str, float | None]) -> str:
    """Return a rejection with its interval, whose limits are None where infinite."""
    value, low, high = (math.inf if found[key] is None else float(found[key] or 0) for key in ("value", "low", "high"))
    if math.isinf(value):
        return f"above {low:.0f}"
    return f"{value:.0f} ({low:.0f} to {high:.0f})"


def _gain(row: Mapping[str, Any]) -> str:
    """Return a gain with the spread of the seeds and the interval of the test jets."""
    limits = (row["gain_low"], row["gain_high"])
    interval = "" if any(map(math.isnan, limits)) else f" ({limits[0]:.2f} to {limits[1]:.2f})"
    return _with(row["gain"], row["gain_error"], 2) + interval


def _with(value: float, error: float = math.nan, digits: int = 0) -> str:
    if math.isnan(value):
        return "not known"
    if math.isinf(value):
        return "no background left"
    return f"{value:.{digits}f}" + ("" if math.isnan(error) else f" ± {error:.{digits}f}")
