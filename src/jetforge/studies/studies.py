"""All kinds of studies, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jetforge.jets.build import Progress
from jetforge.jets.clusters import open_client
from jetforge.jets.manifest import MANIFEST_NAME
from jetforge.learning.fit import Hardware
from jetforge.studies.cells import Cell, is_measured, of_one_process
from jetforge.studies.distill import distill_cells, run_distill
from jetforge.studies.distill_grid import DistillStudy
from jetforge.studies.samples import check_places
from jetforge.studies.study import Study
from jetforge.studies.study_file import FULL_SCALE, read_study
from jetforge.studies.transfer import run_transfer, transfer_cells
from jetforge.studies.transfer_grid import TransferStudy

_KINDS: dict[str, tuple[type[Study], Callable[..., Any], Callable[..., Sequence[Mapping[Any, Cell]]]]] = {
    "transfer": (TransferStudy, run_transfer, transfer_cells),
    "distill": (DistillStudy, run_distill, distill_cells),
}


class StudyResult(Protocol):
    """What every study gives."""

    @property
    def report(self) -> Path:
        """The HTML page."""
        ...

    @property
    def summary(self) -> list[str]:
        """What it says, a line a finding."""
        ...


def load_study(path: str | Path, scale: str | None = None) -> Study:
    """Read a study from a YAML file.

    Parameters
    ----------
    path
        The file; see the how-to on studies.
    scale
        One of its scales; by default it is taken in full.

    Raises
    ------
    RecipeError
        One line for all mistakes, each with its line in the file.
    JetforgeError
        If a tagger cannot be made as the study says, or a sample cannot be generated so, where it is to be.
    """
    models = {name: model for name, (model, _, _) in _KINDS.items()}
    return read_study(path, models, FULL_SCALE if scale is None else scale)


@dataclass(frozen=True)
class StudyPlan:
    """What a study is to do.

    Attributes
    ----------
    samples
        Directories of the datasets that are used, and whether each is there.
    trainings
        Names of the trainings, and whether each is done.
    """

    samples: dict[str, bool]
    trainings: dict[str, bool]


def plan_study(study: Study) -> StudyPlan:
    """Say what `run_study` would do, and what of it is done; nothing is generated, trained or opened.

    Parameters
    ----------
    study
        Of `load_study`.

    Raises
    ------
    JetforgeError
        If a tagger cannot be made as the study says, a sample cannot be generated so, or what is there is of another
        study.
    """
    check_places(study)
    _, _, cells_of = _KINDS[study.study]
    used = [study.samples[name].data for name in study.used_samples()]
    return StudyPlan(
        {data: (Path(data) / MANIFEST_NAME).is_file() for data in used},
        {cell.name: is_measured(cell, Path(study.out)) for cells in cells_of(study) for cell in cells.values()},
    )


def run_study(
    study: Study,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    hardware: Hardware | None = None,
    command: str = "",
    on_stage: Callable[[str], None] = lambda stage: None,
    on_generated: Callable[[Progress], None] = lambda progress: None,
    on_cell: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> StudyResult:
    """Do everything that a study says; what an earlier call finished is not done again.

    Parameters
    ----------
    study
        Of `load_study`.
    workers, on_generated
        For the generation, see `jetforge.generate`.
    scheduler
        For the generation and for the trainings: a Dask scheduler, or YAML of batch jobs.
    hardware
        For the trainings, see `jetforge.fit`.
    command
        Shown in the report.
    on_stage
        Called with a line as each stage begins.
    on_cell
        Called with the name of each training, how many are done, and how many there are.

    Raises
    ------
    JetforgeError
        If a sample, a training or a measurement fails; what was finished is kept.
    """
    check_places(study)
    _, run, _ = _KINDS[study.study]
    of_one_process(hardware or Hardware())
    if scheduler is not None and not scheduler.endswith((".yaml", ".yml")):
        # Better known at once than where the first thing is to be done.
        with open_client(0, scheduler):
            pass
    result: StudyResult = run(
        study, workers=workers, scheduler=scheduler, hardware=hardware, command=command, on_stage=on_stage,
        on_generated=on_generated, on_cell=on_cell,
    )  # fmt: skip
    return result
