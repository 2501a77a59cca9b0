"""The grid of a transfer study: which taggers start from which, with how many jets and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from jetforge.errors import DataError, RecipeError
from jetforge.events.generate import PlannedDataset
from jetforge.learning.sections import TrainingSection, TransferMode
from jetforge.studies.cells import Cell
from jetforge.studies.study import Study, TaggerEntry
from jetforge.taggers import create_tagger

SCRATCH = "scratch"
_Count = Annotated[int, Field(gt=0)]


class ModeEntry(TransferMode):
    """A mode of transfer, with the numbers of jets and seeds that it is tried with, where not with the study's."""

    sizes: dict[_Count, _Count] | None = None


class SourceEntry(TaggerEntry):
    """A source task: which tagger learns it, on which sample, and what is tried from it on the target.

    ``epochs`` are those of the source task itself, where not as many as ``training`` has.
    """

    sample: str
    epochs: _Count | None = None
    modes: tuple[str, ...] | None = None
    sizes: dict[_Count, _Count] | None = None


class TransferStudy(Study):
    """Which sources help with a target task, by which mode of transfer, with how many jets (arXiv:2203.06210).

    ``sizes`` maps numbers of training jets to numbers of seeds, ``epochs`` some of them to epochs other than those of
    ``training``. Each tagger of a source is also trained from scratch.
    """

    study: Literal["transfer"]
    target: str
    sources: Annotated[dict[str, SourceEntry], Field(min_length=1)]
    modes: Annotated[dict[str, ModeEntry], Field(min_length=1)]
    sizes: Annotated[dict[_Count, _Count], Field(min_length=1)]
    epochs: dict[_Count, _Count] = Field(default={})
    training: TrainingSection = TrainingSection()
    diagnostic_jets: _Count = 2000

    def used_samples(self) -> list[str]:
        """Return the names of the target's sample and of the sources'."""
        used = {self.target, *(source.sample for source in self.sources.values())}
        return [name for name in self.samples if name in used]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if self.target not in self.samples:
            raise ValueError(f"target: there is no sample '{self.target}'; they are {', '.join(self.samples)}")
        if SCRATCH in (*self.sources, *self.modes):
            raise ValueError(f"'{SCRATCH}' is what is trained from nothing; give the source or mode another name")
        for name, source in self.sources.items():
            if source.sample not in self.samples:
                raise ValueError(
                    f"sources.{name}.sample: there is no sample '{source.sample}'; they are {', '.join(self.samples)}"
                )
            for mode in source.modes or ():
                if mode not in self.modes:
                    raise ValueError(
                        f"sources.{name}.modes: there is no mode '{mode}'; they are {', '.join(self.modes)}"
                    )
        tried = {size for name in self.sources for size in self._all_sizes_of(name)}
        for size in self.epochs:
            if size not in tried:
                there = ", ".join(map(str, sorted(tried)))
                raise ValueError(f"epochs.{size}: nothing is trained with {size} jets; there are {there}")
        return self

    def check_samples(self, planned: Mapping[str, PlannedDataset]) -> None:
        """Refuse a target with fewer jets to train on than the largest number of jets that is tried."""
        most = max(size for name in self.sources for size in self._all_sizes_of(name))
        there = planned[self.target].num_jets["train"]
        if most > there:
            raise DataError(
                f"sizes: {most} jets are asked for, the target {self.samples[self.target].data} has {there} to train on"
            )

    @property
    def common_training(self) -> TrainingSection:
        """What its trainings have in common."""
        return self.training

    def modes_of(self, source: str) -> tuple[str, ...]:
        """Return the names of the modes that are tried from a source."""
        chosen = self.sources[source].modes
        return tuple(self.modes) if chosen is None else chosen

    def _all_sizes_of(self, source: str) -> set[int]:
        return {size for mode in (None, *self.modes_of(source)) for size in self.sizes_of(source, mode)}

    def sizes_of(self, source: str, mode: str | None = None) -> dict[int, int]:
        """Return numbers of seeds by numbers of jets, the most jets first; without a mode those of its scratch."""
        own = None if mode is None else self.modes[mode].sizes
        sizes = self.sources[source].sizes or own or self.sizes
        return dict(sorted(sizes.items(), reverse=True))


@dataclass(frozen=True)
class Trial:
    """What a cell on the target tries.

    Attributes
    ----------
    architecture
        Which tagger, by the name of the first source that has it.
    source
        Name of the source; ``scratch`` without one.
    mode
        Name of the mode; ``scratch`` without a source.
    num_jets, seed
        Training jets and seed.
    """

    architecture: str
    source: str
    mode: str
    num_jets: int
    seed: int

    @property
    def name(self) -> str:
        """The name of the cell."""
        start = f"{self.architecture}/{SCRATCH}" if self.source == SCRATCH else f"{self.source}/{self.mode}"
        return f"cells/{start}/{self.num_jets}-seed{self.seed}"


def source_cell(study: TransferStudy, name: str) -> Cell:
    """Return the training of a source task."""
    source = study.sources[name]
    training = source.training_in(study.training)
    if source.epochs is not None:
        training["epochs"] = source.epochs
    recipe = {
        "data": study.samples[source.sample].data,
        "tagger": source.tagger.model_dump(),
        "representation": source.representation,
        "training": training,
    }
    return Cell(f"sources/{name}", recipe)


def trials(study: TransferStudy) -> Iterator[Trial]:
    """Yield everything that is tried on the target."""
    by_architecture: dict[str, dict[int, int]] = {}
    for name in study.sources:
        sizes = by_architecture.setdefault(architecture_of(study, name), {})
        for size, seeds in study.sizes_of(name).items():
            sizes[size] = max(seeds, sizes.get(size, 0))
    for architecture, sizes in by_architecture.items():
        for size, seeds in sorted(sizes.items(), reverse=True):
            for seed in range(1, seeds + 1):
                yield Trial(architecture, SCRATCH, SCRATCH, size, seed)
    for name in study.sources:
        for mode in study.modes_of(name):
            for size, seeds in study.sizes_of(name, mode).items():
                for seed in range(1, seeds + 1):
                    yield Trial(architecture_of(study, name), name, mode, size, seed)


def architecture_of(study: TransferStudy, source: str) -> str:
    """Return the first source that has the same tagger with the same representation and training."""

    def scratch(entry: SourceEntry) -> tuple[Any, ...]:
        return entry.tagger, entry.representation, entry.training_in(study.training)

    own = scratch(study.sources[source])
    return next(name for name, entry in study.sources.items() if scratch(entry) == own)


def trial_cell(study: TransferStudy, trial: Trial) -> Cell:
    """Return the training of a trial."""
    source = study.sources[trial.architecture if trial.source == SCRATCH else trial.source]
    training = {**source.training_in(study.training), "train_jets": trial.num_jets, "seed": trial.seed}
    if trial.num_jets in study.epochs:
        training["epochs"] = study.epochs[trial.num_jets]
    recipe: dict[str, Any] = {"data": study.samples[study.target].data, "training": training}
    if trial.source == SCRATCH:
        recipe |= {"tagger": source.tagger.model_dump(), "representation": source.representation}
        return Cell(trial.name, recipe)
    mode = study.modes[trial.mode]
    needed = f"sources/{trial.source}"
    transfer = {**mode.model_dump(exclude={"sizes"}), "source": f"{{{needed}}}"}
    if mode.mode == "frozen" and mode.cached is not False:
        # One place a backbone: what it makes of the most jets serves all smaller numbers, and all seeds.
        transfer["cache"] = f"{{{backbone_folder(trial)}//{needed}}}"
    return Cell(trial.name, {**recipe, "transfer": transfer}, (needed,))


def backbone_folder(trial: Trial) -> str:
    """Return where, within the study's directory, the outputs of a frozen backbone are kept."""
    return f"backbones/{trial.source}/{trial.mode}"


def check_boundaries(study: TransferStudy) -> None:
    """Refuse modes whose boundary a source's tagger does not have, before hours of generation.

    Raises
    ------
    RecipeError
        Naming the mode and the source.
    JetforgeError
        If a tagger cannot be made as the study says.
    """
    for name, source in study.sources.items():
        section = source.tagger
        tagger = create_tagger(section.name, representation=source.representation or None, **section.arguments)
        for mode in study.modes_of(name):
            boundary = study.modes[mode].boundary
            if boundary is not None and boundary not in tagger.boundaries():
                raise RecipeError(
                    f"modes.{mode}.boundary: {boundary} is none of {section.name}'s, which are "
                    f"{', '.join(tagger.boundaries())}; leave it out, or the mode out of sources.{name}.modes"
                )
