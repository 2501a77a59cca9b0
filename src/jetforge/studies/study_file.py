"""Studies as YAML files: what they compare, at which scale."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from jetforge.errors import RecipeError
from jetforge.events.generate import generate
from jetforge.jets.build import Progress
from jetforge.jets.dataset import Dataset, open_dataset
from jetforge.learning.mistakes import Model, validated
from jetforge.learning.sections import GenerateSection, Section, TaggerSection, TrainingSection
from jetforge.yaml_files import line_of, read_yaml

FULL_SCALE = "full"


class SampleSection(Section):
    """Jets of a study: a dataset, and how it is generated where it does not exist yet."""

    data: str
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
    out: str
    samples: Annotated[dict[str, SampleSection], Field(min_length=1)]

    def used_samples(self) -> list[str]:
        """Return the names of the samples that something is learnt from or measured on."""
        return list(self.samples)

    @model_validator(mode="after")
    def _names_make_directories(self) -> Self:
        for section in type(self).model_fields:
            values = getattr(self, section)
            for name in values if isinstance(values, dict) else ():
                if isinstance(name, str) and (not name.strip() or name[0] in ".~" or set(name) & set("/\\{}\0\n")):
                    raise ValueError(f"{section}: the name {name!r} cannot be a directory's; give it another")
        return self


def is_study(path: str | Path) -> bool:
    """Say whether a YAML file describes a study, not a recipe.

    Raises
    ------
    RecipeError
        If it cannot be read.
    """
    values = read_yaml(Path(path), "a recipe or a study").values
    return isinstance(values, dict) and "study" in values


def read_study(path: str | Path, kinds: Mapping[str, type[Model]], scale: str = FULL_SCALE) -> Model:
    """Read a study.

    Parameters
    ----------
    path
        A YAML file. Its section ``scales`` gives, by name, fields that take the place of others; a field that is null
        there is left out, a list by numbers is replaced whole.
    kinds
        The model of each kind of study, by what ``study`` says.
    scale
        ``full``, for the file as it is, or one of its scales.

    Raises
    ------
    RecipeError
        One line for all mistakes, each with its line in the file.
    """
    path = Path(path)
    values, root = read_yaml(path, "a study")
    if not isinstance(values, dict) or "study" not in values:
        raise RecipeError(f"{path}:1: a study says which it is; give study: {' or '.join(kinds)}")
    kind = values["study"]
    if not isinstance(kind, str) or kind not in kinds:
        near = difflib.get_close_matches(str(kind), kinds, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(kinds)}"
        raise RecipeError(f"{path}:{line_of(root, ('study',))}: there is no study {kind!r}; {hint}")
    scales = values.pop("scales", None) or {}
    if not isinstance(scales, dict):
        raise RecipeError(f"{path}:{line_of(root, ('scales',))}: scales: must be a section with one section a scale")
    if scale != FULL_SCALE:
        if not isinstance(scales.get(scale), dict):
            there = ", ".join(map(str, [FULL_SCALE, *scales]))
            raise RecipeError(f"{path}: it has no scale '{scale}'; there are {there}")
        unknown = _left_out_in_vain(values, scales[scale], ())
        if unknown is not None:
            line, name = line_of(root, ("scales", scale, *unknown)), ".".join(map(str, unknown))
            raise RecipeError(f"{path}:{line}: scales.{scale}.{name}: null leaves out a field, and there is none above")
        values = _changed(values, scales[scale])

    def place(location: tuple[Any, ...]) -> str:
        within = ("scales", scale, *location) if _has(scales.get(scale, {}), location) else location
        return f"{path}:{line_of(root, within)}: "

    return validated(kinds[kind], values, place)


def _changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with changes laid over them; what is null in the changes is left out."""
    result = dict(values)
    for key, change in changes.items():
        if change is None:
            result.pop(key, None)
        elif isinstance(change, dict) and isinstance(result.get(key), dict) and not _by_number(change):
            result[key] = _changed(result[key], change)
        else:
            result[key] = change
    return result


def _left_out_in_vain(
    values: Mapping[str, Any], changes: Mapping[str, Any], within: tuple[Any, ...]
) -> tuple[Any, ...] | None:
    """Return the keys that lead to the first null of the changes that there is nothing for to leave out."""
    for key, change in changes.items():
        if change is None and key not in values:
            return (*within, key)
        inner = values.get(key)
        if isinstance(change, dict) and isinstance(inner, dict):
            found = _left_out_in_vain(inner, change, (*within, key))
            if found is not None:
                return found
    return None


def _by_number(values: Mapping[Any, Any]) -> bool:
    """Say whether a mapping is a list of numbers of jets, say, each with a value: such a list is replaced whole."""
    return bool(values) and all(isinstance(key, int) for key in values)


def _has(values: Any, location: tuple[Any, ...]) -> bool:
    for key in location:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return bool(location)


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
            if not Path(sample.data).exists():
                raise RecipeError(
                    f"samples.{name}.data: {sample.data} does not exist; generate it, or give the sample a section "
                    "'generate'"
                )
            samples[name] = open_dataset(sample.data)
            continue
        wanted = sample.generate
        samples[name] = generate(
            wanted.presets, wanted.jets, sample.data, seed=wanted.seed, split=wanted.split, part_jets=wanted.part_jets,
            workers=workers, scheduler=scheduler, on_progress=on_generated,
        )  # fmt: skip
    return samples
