"""What every study has, as it stands in its file: its jets, its taggers, where it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from jetforge.events.generate import PlannedDataset
from jetforge.jets.manifest import SPLITS
from jetforge.learning.sections import GenerateSection, Section, TaggerSection, TrainingSection


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


class TaggerEntry(Section):
    """A tagger with what it reads and how it is trained, where that differs from the study's."""

    tagger: TaggerSection
    representation: dict[str, Any] = Field(default={})
    training: TrainingSection = TrainingSection()

    @field_validator("tagger", mode="before")
    @classmethod
    def _a_name_is_enough(cls, tagger: Any) -> Any:
        return {"name": tagger} if isinstance(tagger, str) else tagger

    def training_in(self, study: TrainingSection) -> dict[str, Any]:
        """Return all fields of its training: those of the study's, with what it says itself in their place."""
        return {**study.model_dump(), **self.training.model_dump(exclude_unset=True)}


class Study(Section):
    """What every study has; what it gives names to has its own directories under these names."""

    study: str
    out: Annotated[str, Field(min_length=1)]
    samples: Annotated[dict[str, SampleSection], Field(min_length=1)]

    def used_samples(self) -> list[str]:
        """Return the names of the samples that something is learnt from or measured on."""
        return list(self.samples)

    def splits_of(self, sample: str) -> tuple[str, ...]:
        """Return the splits that a sample needs: all, unless a kind of study says otherwise."""
        return SPLITS

    def check_samples(self, planned: Mapping[str, PlannedDataset]) -> None:
        """Refuse samples, by what they have or will have, that the study cannot be made with.

        Raises
        ------
        DataError
            Naming the field.
        """

    @property
    def common_training(self) -> TrainingSection:
        """What its trainings have in common."""
        raise NotImplementedError

    def entries(self) -> Iterator[tuple[tuple[str, str], TaggerEntry]]:
        """Yield its taggers, each with the section and the name that it has in the file."""
        for section in type(self).model_fields:
            values = getattr(self, section)
            for name, entry in values.items() if isinstance(values, dict) else ():
                if isinstance(entry, TaggerEntry):
                    yield (section, name), entry

    @model_validator(mode="after")
    def _names_make_directories(self) -> Self:
        for section in type(self).model_fields:
            values = getattr(self, section)
            for name in values if isinstance(values, dict) else ():
                if isinstance(name, str) and (not name.strip() or name[0] in ".~" or set(name) & set("/\\{}\0\n")):
                    raise ValueError(f"{section}: the name {name!r} cannot be a directory's; give it another")
        return self
