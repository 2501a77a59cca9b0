"""What students gain by teachers, as rows of a table: their rejections, alone and taught, and how fast they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jetforge.evaluation.gain import Replicas, ratio_limits
from jetforge.evaluation.latency import Latency
from jetforge.jets import Jets
from jetforge.studies.cells import MeasuredCell
from jetforge.studies.distill_grid import ALONE, DistillStudy, Lesson
from jetforge.studies.seeds import mean_and_error

# A student is close to its teacher with this share of its rejection, and fast with this multiple of its speed.
WITHIN, FASTER = 0.8, 20

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
    """Return one row a signal efficiency, student, view, teacher and mode, with the spread over seeds.

    Keys of a row: ``efficiency``, one of the study's; ``student, view, teacher, mode, by`` (the teacher, and the mode
    where there are several), ``parameters``; the rejections ``alone, alone_error, taught, taught_error``; ``gain,
    gain_error, gain_low, gain_high``; ``auc_alone, auc_alone_error, auc_taught, auc_taught_error``; ``of_teacher,
    of_teacher_error, of_teacher_low, of_teacher_high`` (the taught student's rejection over the teacher's, which is one
    training); ``microseconds`` a jet of its network, ``faster`` (the teacher's over it). Errors are the spread of the
    seeds over the root of their number; low and high are the interval that the number of ``jets``, those of the split
    ``test``, gives. What is infinite, where no background is left, has no error and no ratio: that is NaN.
    """
    of: dict[tuple[str, str, str, str | None], list[MeasuredCell]] = {}
    for lesson, cell in lessons.items():
        of.setdefault((lesson.student, lesson.view, lesson.teacher, lesson.mode), []).append(cell)
    replicas = Replicas(jets.label, jets.weight)
    levels = list(map(float, study.efficiencies))
    drawn = {cell.name: replicas.rejections(cell.scores(), levels) for cell in (*teachers.values(), *lessons.values())}
    rows = []
    for number, level in enumerate(study.efficiencies):
        for (student, view, teacher, mode), taught in of.items():
            if mode is None:
                continue
            alone = of[student, view, ALONE, None]
            row = _row(study, level, (student, view, teacher, mode), alone, taught, teachers[teacher])
            row |= _speed(latencies[student_key(student, view)], latencies[teacher_key(teacher)])
            after = [drawn[cell.name][number] for cell in taught]
            for ratio, before in (("gain", alone), ("of_teacher", [teachers[teacher]])):
                limits = ratio_limits([drawn[cell.name][number] for cell in before], after)
                row |= {f"{ratio}_low": limits[0], f"{ratio}_high": limits[1]}
            rows.append(row)
    return rows


def _row(
    study: DistillStudy, level: str, names: tuple[str, str, str, str], alone: Sequence[MeasuredCell],
    taught: Sequence[MeasuredCell], teacher: MeasuredCell,
) -> dict[str, Any]:  # fmt: skip
    before, before_error = mean_and_error([cell.rejection(level) for cell in alone])
    after, after_error = mean_and_error([cell.rejection(level) for cell in taught])
    auc_before, auc_before_error = mean_and_error([cell.auc for cell in alone])
    auc_after, auc_after_error = mean_and_error([cell.auc for cell in taught])
    gain, share = _ratio(after, before), _ratio(after, teacher.rejection(level))
    student, view, name, mode = names
    return {
        "efficiency": level, "student": student, "view": view, "teacher": name, "mode": mode,
        "by": name if len(study.modes) == 1 else f"{name}, {mode}", "parameters": taught[0].num_parameters,
        "alone": before, "alone_error": before_error, "taught": after, "taught_error": after_error,
        "gain": gain, "gain_error": gain * math.hypot(before_error / before, after_error / after),
        "auc_alone": auc_before, "auc_alone_error": auc_before_error,
        "auc_taught": auc_after, "auc_taught_error": auc_after_error,
        "of_teacher": share, "of_teacher_error": share * after_error / after,
    }  # fmt: skip


def _speed(own: Latency, teachers: Latency) -> dict[str, float]:
    return {"microseconds": own.network, "faster": teachers.network / own.network}


def _ratio(one: float, other: float) -> float:
    """Return a ratio of rejections, NaN where no background is left for one of them."""
    return one / other if math.isfinite(one) and math.isfinite(other) else math.nan


def summary_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line a student and way at the first efficiency, and for each which students are close and fast."""
    first = rows[0]["efficiency"]
    lines = [
        f"{row['student']}, {row['view']}: {as_rejection(row['alone'])} alone, {as_rejection(row['taught'])} by "
        f"{row['by']}: gain {as_ratio(row, 'gain')}"
        for row in rows
        if row["efficiency"] == first
    ]
    return [*lines, *close_and_fast(rows)]


def close_and_fast(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line an efficiency: which students have nearly the rejection of the teacher, and are much faster.

    It is unclear where the interval of the test jets holds what decides.
    """
    lines = []
    for level in dict.fromkeys(row["efficiency"] for row in rows):
        found = [
            f"{row['student']} ({row['view']}, {row['by']})"
            + (", unclear" if row["of_teacher_low"] < WITHIN <= row["of_teacher_high"] else "")
            for row in rows
            if row["efficiency"] == level and row["faster"] >= FASTER
            if row["of_teacher"] >= WITHIN or row["of_teacher_high"] >= WITHIN
        ]
        lines.append(
            f"within {1 - WITHIN:.0%} of the teacher's rejection at {level}, {FASTER} times as fast: "
            f"{'; '.join(found) or 'none'}"
        )
    return lines


def as_rejection(value: float, error: float = math.nan) -> str:
    """Return a rejection with its error as text, small ones with a decimal."""
    if math.isinf(value):
        return "no background left"
    digits = 0 if value >= 100 else 1
    return f"{value:.{digits}f}" + ("" if math.isnan(error) else f" ± {error:.{digits}f}")


def as_ratio(row: Mapping[str, Any], name: str) -> str:
    """Return a ratio of rejections as text: with the spread of the seeds, and the interval of the test jets."""
    if math.isnan(row[name]):
        return "not known"
    error = row[f"{name}_error"]
    limits = (row[f"{name}_low"], row[f"{name}_high"])
    spread = "" if math.isnan(error) else f" ± {error:.2f}"
    return f"{row[name]:.2f}{spread}" + (
        "" if any(map(math.isnan, limits)) else f" ({limits[0]:.2f} to {limits[1]:.2f})"
    )
