"""The jets of a study: datasets that are there, or are generated; and what cannot be is told before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from jetforge.errors import DataError, JetforgeError, RecipeError
from jetforge.events.generate import PlannedDataset, generate, plan_generation
from jetforge.files import write_atomically
from jetforge.jets.build import Progress
from jetforge.jets.dataset import Dataset, open_dataset
from jetforge.jets.manifest import SPLITS
from jetforge.learning.mistakes import Place, nowhere
from jetforge.studies.records import read_record
from jetforge.studies.study import Study

# In the directory of a study: which kind it is.
STUDY_NAME = "study.json"


def planned_sample(study: Study, name: str, place: Place = nowhere) -> PlannedDataset | None:
    """Return what a sample that is generated will have, None for one that is not; refuse what the study cannot use.

    Raises
    ------
    JetforgeError
        Naming the field.
    """
    sample, wanted = study.samples[name], study.samples[name].generate
    if wanted is None:
        return None
    where = f"{place(('samples', name, 'generate'))}samples.{name}.generate"
    try:
        planned = plan_generation(
            wanted.presets, wanted.jets, sample.data, seed=wanted.seed, split=wanted.split, part_jets=wanted.part_jets
        )
    except JetforgeError as error:
        raise type(error)(f"{where}: {error}") from None
    _check_jets(study, name, where, planned)
    return planned


def _check_jets(study: Study, name: str, where: str, planned: PlannedDataset) -> None:
    wanted = study.splits_of(name)
    for split in wanted:
        if not planned.num_jets[split]:
            raise DataError(f"{where}: there are no {split} jets, which the study needs; share them out otherwise")
    if wanted == SPLITS and len(planned.classes) != 2:
        raise DataError(
            f"{where}: there are jets of {len(planned.classes)} classes ({', '.join(planned.classes)}); a study "
            "compares taggers of two"
        )


def check_places(study: Study) -> None:
    """Refuse a study whose directory is something else, or that cannot be made with its jets, be they there or not yet.

    Raises
    ------
    JetforgeError
        Naming the field.
    """
    _check_out(study)
    planned = {}
    for name in study.used_samples():
        path = Path(study.samples[name].data)
        found = planned_sample(study, name)
        if found is None:
            if not path.exists():
                raise RecipeError(
                    f"samples.{name}.data: {path} does not exist; generate it, or give the sample a section 'generate'"
                )
            dataset = open_dataset(path)
            found = PlannedDataset(dataset.classes, {split: dataset.num_jets(split) for split in SPLITS})
            _check_jets(study, name, f"samples.{name}.data: {path}", found)
        planned[name] = found
    study.check_samples(planned)


def _check_out(study: Study) -> None:
    out = Path(study.out)
    if out.exists() and not out.is_dir():
        raise RecipeError(f"out: {out} is a file, where the directory of the study is to be; choose another name")
    kind = read_record(out / STUDY_NAME).get("study")
    if kind not in (None, study.study):
        raise RecipeError(f"out: {out} is the directory of another kind of study, {kind}; choose another")
    if kind is not None or not out.is_dir():
        return
    data = [Path(sample.data).resolve() for sample in study.samples.values()]
    strangers = [
        entry.name
        for entry in sorted(out.iterdir())
        if not entry.name.startswith(".") and not any(path.is_relative_to(entry.resolve()) for path in data)
    ]
    if strangers:
        raise RecipeError(f"out: {out} is not empty and not a study ({strangers[0]}); choose a new directory")


def make_samples(
    study: Study,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    on_sample: Callable[[str], None] = lambda name: None,
    on_generated: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Dataset]:
    """Begin a study: write which kind it is, generate its jets that are not there yet, and open all that are used.

    Parameters
    ----------
    study
        Whose samples.
    workers, scheduler, on_generated
        For the generation, see `jetforge.generate`.
    on_sample
        Called with the name of each sample as it begins.

    Raises
    ------
    JetforgeError
        What `jetforge.generate` and `jetforge.open` raise.
    """
    write_atomically(Path(study.out) / STUDY_NAME, (json.dumps({"study": study.study}) + "\n").encode())
    samples = {}
    for name in study.used_samples():
        sample = study.samples[name]
        on_sample(name)
        if sample.generate is None:
            samples[name] = open_dataset(sample.data)
            continue
        wanted = sample.generate
        samples[name] = generate(
            wanted.presets, wanted.jets, sample.data, seed=wanted.seed, split=wanted.split, part_jets=wanted.part_jets,
            workers=workers, scheduler=scheduler, on_progress=on_generated,
        )  # fmt: skip
    return samples
