"""The distillation study: its teachers, its students alone and taught, their latencies, and the report."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jetforge.evaluation.latency import Latency, measure_latency
from jetforge.files import write_atomically
from jetforge.jets.build import Progress
from jetforge.jets.dataset import Dataset, open_dataset
from jetforge.jets.manifest import MANIFEST_NAME
from jetforge.learning.distill import check_unlabelled
from jetforge.learning.fit import Hardware
from jetforge.studies.cells import Cell, MeasuredCell, check_cells, run_cells
from jetforge.studies.distill_gains import gains, student_key, summary_of, teacher_key
from jetforge.studies.distill_grid import (
    DistillStudy,
    Lesson,
    lesson_cell,
    lessons,
    teacher_cell,
)
from jetforge.studies.distill_report import write_distill_report
from jetforge.studies.records import kept_entry, read_record
from jetforge.studies.samples import make_samples
from jetforge.taggers import load_tagger, weights_sha256

LATENCY_NAME = "latency.json"
_BATCH_JETS = 256


@dataclass(frozen=True)
class DistillResult:
    """What a distillation study gave.

    Attributes
    ----------
    teachers
        By name.
    lessons
        What the students learnt, alone and from teachers.
    latencies
        Of each teacher, and of each student with each view, see `teacher_key` and `student_key`.
    gains
        What teachers are good for, as rows of a table; see `jetforge.studies.distill_gains.gains`.
    summary
        A line a student.
    report
        The HTML page.
    """

    teachers: Mapping[str, MeasuredCell]
    lessons: Mapping[Lesson, MeasuredCell]
    latencies: Mapping[str, Latency]
    gains: Sequence[Mapping[str, Any]]
    summary: list[str]
    report: Path


def run_distill(
    study: DistillStudy,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    hardware: Hardware | None = None,
    command: str = "",
    on_stage: Callable[[str], None] = lambda stage: None,
    on_generated: Callable[[Progress], None] = lambda progress: None,
    on_cell: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> DistillResult:
    """Do everything that a distillation study says; what an earlier call finished is not done again.

    Parameters and errors are those of `jetforge.studies.run_study`. Latencies are measured here, whatever trains.
    """
    cells, by_lesson = distill_cells(study)
    out = Path(study.out)
    samples = make_samples(
        study, workers=workers, scheduler=scheduler, on_generated=on_generated,
        on_sample=lambda name: on_stage(f"jets       {study.samples[name].data}"),
    )  # fmt: skip
    _check_unlabelled(study)
    on_stage(f"training   teachers into {out / 'teachers'} ({len(cells)})")
    measured = run_cells(list(cells.values()), out, scheduler=scheduler, hardware=hardware, on_cell=on_cell)
    teachers = {name: measured[cell.name] for name, cell in cells.items()}
    on_stage(f"training   students into {out / 'cells'} ({len(by_lesson)})")
    measured = run_cells(list(by_lesson.values()), out, scheduler=scheduler, hardware=hardware, on_cell=on_cell)
    shutil.rmtree(out / "scores", ignore_errors=True)
    done = {lesson: measured[cell.name] for lesson, cell in by_lesson.items()}
    on_stage("measuring  latencies")
    latencies = _latencies(teachers, done, samples[study.sample], out)
    on_stage("measuring  gains")
    rows = gains(study, teachers, done, latencies, samples[study.sample].read("test", columns=()))
    report = out / "report.html"
    write_distill_report(study, teachers, done, latencies, rows, samples, report, command)
    return DistillResult(teachers, done, latencies, rows, summary_of(rows), report)


def distill_cells(study: DistillStudy) -> tuple[dict[str, Cell], dict[Lesson, Cell]]:
    """Return all trainings of a study: of the teachers, by name, and then of what the students learn."""
    _check_unlabelled(study)
    teachers = {name: teacher_cell(study, name) for name in study.teachers}
    students = {lesson: lesson_cell(study, lesson) for lesson in lessons(study)}
    check_cells([*teachers.values(), *students.values()], Path(study.out))
    return teachers, students


def _check_unlabelled(study: DistillStudy) -> None:
    """Refuse jets without labels that go with nothing, if they are there, before anything is trained."""
    used = {name: Path(study.samples[name].data) for name in study.used_samples()}
    there = {name: open_dataset(path) for name, path in used.items() if (path / MANIFEST_NAME).is_file()}
    for name, mode in study.modes.items():
        if mode.unlabelled in there and study.sample in there:
            check_unlabelled(f"modes.{name}.unlabelled: {mode.unlabelled}", there[study.sample], there[mode.unlabelled])


def _latencies(
    teachers: Mapping[str, MeasuredCell], done: Mapping[Lesson, MeasuredCell], dataset: Dataset, out: Path
) -> dict[str, Latency]:
    """Measure each teacher and each student with each view, unless that is done, on this machine."""
    wanted = {teacher_key(name): cell for name, cell in teachers.items()}
    for lesson, cell in done.items():
        # How long a student takes does not depend on who taught it.
        wanted.setdefault(student_key(lesson.student, lesson.view), cell)
    path = out / LATENCY_NAME
    earlier = read_record(path)
    record: dict[str, Any] = {}
    latencies: dict[str, Latency] = {}
    jets = None
    num_jets = min(_BATCH_JETS, dataset.num_jets("test"))
    where = {"jets": dataset.fingerprint, "batch_size": num_jets, "machine": platform.node()}
    for name, cell in wanted.items():
        what = {**where, "weights": weights_sha256(cell.run)}
        found = kept_entry(Latency, earlier, name, what)
        if found is None:
            tagger = load_tagger(cell.run)
            if jets is None:
                jets = dataset.read("test", max_jets=num_jets)
            found = measure_latency(tagger, jets, num_jets)
        latencies[name] = found
        record[name] = {"of": what, "found": asdict(found)}
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
    return latencies
