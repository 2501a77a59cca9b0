"""The jets of a study: datasets that are there, or are generated; and what cannot be is told before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from jetforge.errors import JetforgeError, RecipeError
from jetforge.events.generate import check_generation, generate
from jetforge.jets.build import Progress
from jetforge.jets.dataset import Dataset, open_dataset
from jetforge.jets.manifest import SPLITS
from jetforge.learning.mistakes import Place, nowhere
from jetforge.learning.sections import GenerateSection, Section

if TYPE_CHECKING:
    from jetforge.studies.study_file import Study

# What is in the directory of a study that was begun.
_OF_A_STUDY = ("sources", "teachers", "cells", "report.html")


class SampleSection(Section):
    """Jets of a study: a dataset, and how it is generated where it does not exist yet."""

    data: Annotated[str, Field(min_length=1)]
    generate: GenerateSection | None = None

    def shares_jets_with(self, other: SampleSection) -> bool:
        """Say whether both are the same dataset, or are generated with the same seed from a preset of both."""
        if Path(self.data).resolve() == Path(other.data).resolve():
            return True
        if self.generate is None or other.generate is None or self.generate.seed != other.generate.seed:
            return False
        return bool(set(self.generate.presets) & set(other.generate.presets))


def check_sample(study: Study, name: str, place: Place = nowhere) -> None:
    """Refuse a sample that is to be generated and cannot be.

    Raises
    ------
    JetforgeError
        Naming the field.
    """
    sample = study.samples[name]
    field = ("samples", name, "data" if sample.generate is None else "generate")
    where = f"{place(field)}{'.'.join(field)}"
    wanted = sample.generate
    if wanted is None:
        return
    for split, share in zip(SPLITS, wanted.split, strict=True):
        if share == 0 and split in study.splits_of(name):
            raise RecipeError(f"{where}.split: it leaves no {split} jets, which the study needs; give it three shares")
    try:
        check_generation(
            wanted.presets, wanted.jets, sample.data, seed=wanted.seed, split=wanted.split, part_jets=wanted.part_jets
        )
    except JetforgeError as error:
        raise type(error)(f"{where}: {error}") from None


def check_places(study: Study) -> None:
    """Refuse a study whose directory is something else, or whose jets are not there and are not generated.

    Raises
    ------
    JetforgeError
        Naming the field; samples that cannot be generated too.
    """
    for name in study.used_samples():
        check_sample(study, name)
        if study.samples[name].generate is None and not Path(study.samples[name].data).exists():
            raise RecipeError(
                f"samples.{name}.data: {study.samples[name].data} does not exist; generate it, or give the sample a "
                "section 'generate'"
            )
    out = Path(study.out)
    if out.exists() and not out.is_dir():
        raise RecipeError(f"out: {out} is a file, where the directory of the study is to be; choose another name")
    if not out.is_dir() or any((out / name).exists() for name in _OF_A_STUDY):
        return
    data = [Path(sample.data).resolve() for sample in study.samples.values()]
    strangers = [
        entry.name for entry in sorted(out.iterdir()) if not any(path.is_relative_to(entry.resolve()) for path in data)
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
    """Generate the jets of a study that are not there yet, and open all that are used.

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
