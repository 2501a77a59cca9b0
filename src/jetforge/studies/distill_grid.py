"""The grid of a distillation study: which students learn from which teachers, seeing how much of each jet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from jetforge.errors import JetforgeError
from jetforge.jets.manifest import SPLITS
from jetforge.learning.sections import DistillMode, TrainingSection
from jetforge.representations import JetView
from jetforge.studies.cells import Cell
from jetforge.studies.study import Study, TaggerEntry

ALONE = "alone"
FULL = "full"
_Count = Annotated[int, Field(gt=0)]
_Names = Annotated[tuple[str, ...], Field(min_length=1)]


class ModeEntry(DistillMode):
    """A way in which students are taught.

    ``unlabelled`` is the name of a sample, whose training jets are learnt from beside those with labels. Epochs, and
    those of warm-up, are divided by ``epochs_divisor``: with five times the jets a fifth of the epochs are as many
    steps.
    """

    unlabelled: str | None = None
    epochs_divisor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.0


class StudentEntry(TaggerEntry):
    """A student, with the views, teachers and modes that are tried with it; by default all."""

    views: _Names | None = None
    teachers: _Names | None = None
    modes: _Names | None = None


class DistillStudy(Study):
    """How much students gain by teachers, against their size, their latency, and what they see of each jet.

    ``views`` are settings of `jetforge.representations.JetView` by name; ``full`` is always there.
    """

    study: Literal["distill"]
    sample: str
    teachers: Annotated[dict[str, TaggerEntry], Field(min_length=1)]
    students: Annotated[dict[str, StudentEntry], Field(min_length=1)]
    views: dict[str, dict[str, Any]] = Field(default={})
    seeds: _Count = 3
    modes: Annotated[dict[str, ModeEntry], Field(min_length=1)] = Field(default={"taught": ModeEntry()})
    training: TrainingSection = TrainingSection()
    efficiency: Literal["0.3", "0.5", "0.7", "0.8"] = "0.3"

    def used_samples(self) -> list[str]:
        """Return the names of the sample with labels and of those without."""
        modes = {mode for student in self.students.values() for mode in student.modes or self.modes}
        used = {self.sample, *(self.modes[mode].unlabelled for mode in modes)}
        return [name for name in self.samples if name in used]

    def splits_of(self, sample: str) -> tuple[str, ...]:
        """Return the splits that a sample needs: jets without labels are only trained on."""
        return SPLITS if sample == self.sample else ("train",)

    @property
    def common_training(self) -> TrainingSection:
        """What its trainings have in common."""
        return self.training

    @property
    def efficiencies(self) -> list[str]:
        """Signal efficiencies at which rejections are compared: the study's own, then those of the published tables."""
        return list(dict.fromkeys((self.efficiency, "0.3", "0.5")))

    @field_validator("efficiency", mode="before")
    @classmethod
    def _may_be_a_number(cls, efficiency: Any) -> Any:
        return str(efficiency) if isinstance(efficiency, float) else efficiency

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if self.sample not in self.samples:
            raise ValueError(f"sample: there is no sample '{self.sample}'; they are {', '.join(self.samples)}")
        if ALONE in self.teachers:
            raise ValueError(f"'{ALONE}' is a student without a teacher; give the teacher another name")
        if FULL in self.views:
            raise ValueError(f"views.{FULL}: this is what sees everything; give the view another name")
        for name, entry in self.students.items():
            if "view" in entry.representation:
                raise ValueError(f"students.{name}.representation: what a student sees is one of the study's views")
            if "seed" in entry.training.model_fields_set:
                raise ValueError(f"students.{name}.training.seed: these are 1 to {self.seeds}; leave it out")
        for name, settings in self.views.items():
            try:
                JetView.from_dict(settings)
            except JetforgeError as error:
                raise ValueError(f"views.{name}: {error}") from None
        for name, mode in self.modes.items():
            if mode.unlabelled is not None and (mode.unlabelled not in self.samples or mode.unlabelled == self.sample):
                others = ", ".join(sample for sample in self.samples if sample != self.sample) or "none"
                raise ValueError(
                    f"modes.{name}.unlabelled: '{mode.unlabelled}' is no other sample of the study; there are {others}"
                )
            if mode.unlabelled and self.samples[mode.unlabelled].shares_jets_with(self.samples[self.sample]):
                raise ValueError(
                    f"samples.{mode.unlabelled}: it has jets of samples.{self.sample}, which its modes learn from "
                    "anyway; give it other data, or generate.seed another number"
                )
        for name, student in self.students.items():
            for chosen, known, what in (
                (student.views, (FULL, *self.views), "view"), (student.teachers, tuple(self.teachers), "teacher"),
                (student.modes, tuple(self.modes), "mode"),
            ):  # fmt: skip
                for one in chosen or ():
                    if one not in known:
                        there = ", ".join(known)
                        raise ValueError(f"students.{name}.{what}s: there is no {what} '{one}'; they are {there}")
        return self


@dataclass(frozen=True)
class Lesson:
    """What a cell tries.

    Attributes
    ----------
    student, teacher, mode, view
        Names; the teacher is ``alone`` without one, and then there is no mode; the view is ``full`` where all is seen.
    seed
        Of the student's training.
    """

    student: str
    teacher: str
    mode: str | None
    view: str
    seed: int

    @property
    def name(self) -> str:
        """The name of the cell."""
        taught = self.teacher if self.mode is None else f"{self.teacher}/{self.mode}"
        return f"cells/{self.student}/{self.view}/{taught}/seed{self.seed}"


def teacher_cell(study: DistillStudy, name: str) -> Cell:
    """Return the training of a teacher."""
    return Cell(f"teachers/{name}", _recipe(study, study.teachers[name]))


def lessons(study: DistillStudy) -> Iterator[Lesson]:
    """Yield everything that is tried."""
    for name, student in study.students.items():
        for view in (FULL, *study.views) if student.views is None else student.views:
            for teacher, mode in _ways(study, student):
                for seed in range(1, study.seeds + 1):
                    yield Lesson(name, teacher, mode, view, seed)


def _ways(study: DistillStudy, student: StudentEntry) -> Iterator[tuple[str, str | None]]:
    """Yield each teacher of a student with each mode, after nobody."""
    yield ALONE, None
    for teacher in study.teachers if student.teachers is None else student.teachers:
        for mode in study.modes if student.modes is None else student.modes:
            yield teacher, mode


def lesson_cell(study: DistillStudy, lesson: Lesson) -> Cell:
    """Return the training of a student."""
    recipe = _recipe(study, study.students[lesson.student])
    recipe["training"] = {**recipe["training"], "seed": lesson.seed}
    if lesson.view != FULL:
        recipe["representation"] = {**recipe["representation"], "view": study.views[lesson.view]}
    if lesson.mode is None:
        return Cell(lesson.name, recipe)
    mode = study.modes[lesson.mode]
    training = recipe["training"]
    training["epochs"] = max(1, round(training["epochs"] / mode.epochs_divisor))
    training["warmup_epochs"] /= mode.epochs_divisor
    needed = f"teachers/{lesson.teacher}"
    # What a teacher gives is kept apart for other jets, and where more of it is learnt from than its scores.
    kind = "embedded" if mode.learns_features else "scores"
    folder = f"scores/{lesson.teacher}/{kind}/{mode.unlabelled or study.sample}"
    section = mode.model_dump(exclude={"epochs_divisor"}) | {
        "teachers": [f"{{{needed}}}"],
        "cache": f"{{{folder}//{needed}}}",
    }
    if mode.unlabelled is not None:
        # Jets without labels follow those with: where these are others, so are the rows of all.
        section |= {
            "unlabelled": study.samples[mode.unlabelled].data,
            "cache": f"{{{folder}/beside-{training['train_jets'] or 'all'}//{needed}}}",
        }
    return Cell(lesson.name, {**recipe, "distill": section}, (needed,))


def _recipe(study: DistillStudy, entry: TaggerEntry) -> dict[str, Any]:
    return {
        "data": study.samples[study.sample].data,
        "tagger": entry.tagger.model_dump(),
        "representation": entry.representation,
        "training": entry.training_in(study.training),
    }
