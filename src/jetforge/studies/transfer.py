"""The transfer study: its samples, its sources, everything that is tried from them, and the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jetforge.evaluation.latency import measure_latency
from jetforge.files import write_atomically
from jetforge.jets.build import Progress
from jetforge.jets.dataset import Dataset
from jetforge.learning.fit import Hardware
from jetforge.learning.kept_outputs import state_digest
from jetforge.learning.transferability import Transferability, transferability
from jetforge.representations import representation_to_dict
from jetforge.studies.cells import Cell, MeasuredCell, check_cells, run_cells
from jetforge.studies.records import kept_entry, read_record
from jetforge.studies.samples import make_samples
from jetforge.studies.transfer_findings import findings
from jetforge.studies.transfer_grid import (
    TransferStudy,
    Trial,
    architecture_of,
    check_boundaries,
    source_cell,
    trial_cell,
    trials,
)
from jetforge.studies.transfer_report import series_of, write_transfer_report
from jetforge.taggers import Tagger, create_tagger, load_tagger

DIAGNOSTICS_NAME = "diagnostics.json"
UNTRAINED = "untrained"
_TIMED_JETS = 256


@dataclass(frozen=True)
class TransferResult:
    """What a transfer study gave.

    Attributes
    ----------
    sources
        The source tasks by name, each measured on its own test jets.
    trials
        What was tried on the target.
    diagnostics
        What was said of each source before: by its name, and for each architecture without any training.
    findings
        What follows, as rows of a table.
    report
        The HTML page.
    """

    sources: Mapping[str, MeasuredCell]
    trials: Mapping[Trial, MeasuredCell]
    diagnostics: Mapping[str, Transferability]
    findings: Sequence[Mapping[str, str]]
    report: Path

    @property
    def summary(self) -> list[str]:
        """What it says, a line a finding."""
        return [f"{row['holds']:12}{row['finding']} ({row['found']})" for row in self.findings]


def run_transfer(
    study: TransferStudy,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    hardware: Hardware | None = None,
    command: str = "",
    on_stage: Callable[[str], None] = lambda stage: None,
    on_generated: Callable[[Progress], None] = lambda progress: None,
    on_cell: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> TransferResult:
    """Do everything that a transfer study says; what an earlier call finished is not done again.

    Parameters
    ----------
    study
        See `jetforge.load_study`.
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
        See `jetforge.studies.cells.run_cells`.

    Raises
    ------
    JetforgeError
        If a sample, a training or a measurement fails; what was finished is kept.
    """
    cells, by_trial = transfer_cells(study)
    out = Path(study.out)
    samples = make_samples(
        study, workers=workers, scheduler=scheduler, on_generated=on_generated,
        on_sample=lambda name: on_stage(f"jets       {study.samples[name].data}"),
    )  # fmt: skip
    on_stage(f"training   sources into {out / 'sources'} ({len(cells)})")
    measured = run_cells(list(cells.values()), out, scheduler=scheduler, hardware=hardware, on_cell=on_cell)
    sources = {name: measured[cell.name] for name, cell in cells.items()}
    on_stage("diagnosing how well the sources suit the target")
    diagnostics = _diagnose(study, sources, samples[study.target], out)
    on_stage(f"training   taggers of the target into {out / 'cells'} ({len(by_trial)})")
    # The sources are done: nothing needs to wait for them.
    measured = run_cells(list(by_trial.values()), out, scheduler=scheduler, hardware=hardware, on_cell=on_cell)
    shutil.rmtree(out / "backbones", ignore_errors=True)
    trials_done = {trial: measured[cell.name] for trial, cell in by_trial.items()}
    result = TransferResult(
        sources,
        trials_done,
        diagnostics,
        findings(study, series_of(trials_done), {name: sample.classes for name, sample in samples.items()}),
        out / "report.html",
    )
    representing = _representing(result.sources, samples[study.target])
    write_transfer_report(
        study, result.sources, result.trials, diagnostics, representing, result.findings, samples[study.target],
        result.report, command,
    )  # fmt: skip
    return result


def transfer_cells(study: TransferStudy) -> tuple[dict[str, Cell], dict[Trial, Cell]]:
    """Return all trainings of a study: of the sources, by name, and then what is tried on the target."""
    check_boundaries(study)
    sources = {name: source_cell(study, name) for name in study.sources}
    tried = {trial: trial_cell(study, trial) for trial in trials(study)}
    check_cells([*sources.values(), *tried.values()], Path(study.out))
    return sources, tried


def _representing(sources: Mapping[str, MeasuredCell], target: Dataset) -> dict[str, float]:
    """Return how long each source takes to represent a jet of the target, on one thread, in milliseconds."""
    jets = target.read("test", max_jets=_TIMED_JETS)
    return {
        name: measure_latency(load_tagger(cell.run), jets, len(jets)).representation / 1000
        for name, cell in sources.items()
    }


def _diagnose(
    study: TransferStudy, sources: Mapping[str, MeasuredCell], target: Dataset, out: Path
) -> dict[str, Transferability]:
    """Say how well each source suits the target, and for comparison each network that has learnt nothing."""
    path = out / DIAGNOSTICS_NAME
    num_jets = min(study.diagnostic_jets, target.num_jets("train"), target.num_jets("val"))
    key = {"target": target.fingerprint, "num_jets": num_jets}
    earlier = read_record(path)
    found: dict[str, Transferability] = {}
    record: dict[str, Any] = {}
    for name in study.sources:
        source = load_tagger(sources[name].run)
        wanted: list[tuple[str, Tagger]] = [(name, source)]
        if architecture_of(study, name) == name:
            wanted.append((f"{name}, {UNTRAINED}", _untrained(source)))
        for label, tagger in wanted:
            reads = representation_to_dict(tagger.representation)
            what = {**key, "weights": state_digest(tagger), "representation": reads}
            known = kept_entry(Transferability, earlier, label, what)
            found[label] = transferability(tagger, target, num_jets) if known is None else known
            record[label] = {"of": what, "found": asdict(found[label])}
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
    return found


def _untrained(source: Tagger) -> Tagger:
    """Return the same network with weights that have learnt nothing, the same ones each time."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return create_tagger(source.name, representation=source.representation, **source.arguments).eval()
