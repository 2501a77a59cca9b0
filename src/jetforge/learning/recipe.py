"""Recipes: one YAML file that says everything about a training; its mistakes are named with line and field."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from jetforge.errors import RecipeError
from jetforge.yaml_files import line_of, read_yaml

_Fraction = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GenerateSection(_Section):
    """Which jets to generate where the dataset does not exist yet; see `jetforge.generate`."""

    presets: Annotated[tuple[str, ...], Field(min_length=1)]
    jets: Annotated[int, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)] = 1
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    part_jets: Annotated[int, Field(gt=0)] = 2000


class TaggerSection(_Section):
    """Which tagger, and its arguments beyond the number of classes."""

    name: str
    arguments: dict[str, Any] = {}

    @field_validator("arguments")
    @classmethod
    def _leave_out_what_follows(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        for name in ("name", "num_classes"):
            if name in arguments:
                raise ValueError(f"'{name}' is not given here: it follows from the recipe and the dataset")
        if "representation" in arguments:
            raise ValueError("'representation' is not given here: it is a section of the recipe itself")
        return arguments


class AuxiliarySection(_Section):
    """A second thing to learn beside the class: a number of each jet, from what the tagger embeds.

    ``target`` is ``mass``, the logarithm of the mass of a jet's constituents, or the name of a field of the jets.
    """

    target: Annotated[str, Field(min_length=1)]
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1


class TrainingSection(_Section):
    """How the tagger is trained.

    The defaults are a modern schedule: AdamW, linear warm-up, cosine decay. `jetforge.learning.optimisation` describes
    optimisers and schedules, `jetforge.learning.published` says how the taggers' papers trained them.
    """

    epochs: Annotated[int, Field(gt=0)] = 15
    batch_size: Annotated[int, Field(gt=0)] = 256
    accumulate: Annotated[int, Field(gt=0)] = 1
    bucket: bool = False
    optimizer: Literal["adamw", "adam", "radam", "ranger", "lion", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    betas: tuple[_Fraction, _Fraction] | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal[
        "cosine", "steps", "constant", "flat_cosine", "flat_exponential", "cosine_restarts", "cosine_twice", "one_cycle"
    ] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    label_smoothing: _Fraction = 0.0
    auxiliary: AuxiliarySection | None = None
    monitor: Literal["val_auc", "val_accuracy", "val_loss"] = "val_auc"
    early_stopping: Annotated[int, Field(gt=0)] | None = None
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    cache_jets: Annotated[int, Field(ge=0)] = 500_000
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0

    @field_validator("betas")
    @classmethod
    def _moments_have_betas(cls, betas: Any, info: ValidationInfo) -> Any:
        if betas is not None and info.data.get("optimizer") == "sgd":
            raise ValueError("betas are of Adam and its relatives, sgd has none")
        return betas


class EvaluationSection(_Section):
    """On which split, and with which interval, the tagger is measured."""

    split: Literal["train", "val", "test"] = "test"
    interval: Literal["exact", "bootstrap"] = "bootstrap"


class Recipe(_Section):
    """Everything about a training: the data, the tagger and what it reads, how it learns, how it is measured."""

    data: str
    out: str
    generate: GenerateSection | None = None
    tagger: TaggerSection
    representation: dict[str, Any] = {}
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_enough(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        named = [name for name in ("tagger", "representation") if isinstance(values.get(name), str)]
        return {**values, **{name: {"name": values[name]} for name in named}}

    def to_yaml(self) -> str:
        """Return the complete recipe, defaults included, as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path
        A YAML file.

    Returns
    -------
    Recipe

    Raises
    ------
    RecipeError
        One line for all mistakes, each with its line in the file, its field, and the field that may have been meant.
    """
    path = Path(path)
    values, root = read_yaml(path, "a recipe")
    if not isinstance(values, dict):
        raise RecipeError(f"{path}:1: a recipe is a mapping of fields such as data, out and tagger")
    return make_recipe(values, lambda location: f"{path}:{line_of(root, location)}: ")


def make_recipe(values: Mapping[str, Any], where: Callable[[tuple[Any, ...]], str] = lambda location: "") -> Recipe:
    """Check plain values and return the recipe.

    Parameters
    ----------
    values
        Fields as in a recipe file.
    where
        Says where a field stands, for the error.

    Raises
    ------
    RecipeError
        One line for all mistakes.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError("; ".join(_describe(mistake, where) for mistake in error.errors())) from None


def _describe(mistake: Any, place: Callable[[tuple[Any, ...]], str]) -> str:
    location = tuple(mistake["loc"])
    where = place(location) + ".".join(map(str, location))
    if mistake["type"] == "extra_forbidden":
        known = _known_fields(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known fields: {', '.join(known)}"
        return f"{where}: no such field; {hint}"
    if mistake["type"] == "missing":
        return f"{where}: this field is missing"
    message = mistake["msg"][0].lower() + mistake["msg"][1:]
    return f"{where}: {message}, not {mistake['input']!r}"


def _known_fields(location: tuple[Any, ...]) -> list[str]:
    sections: dict[tuple[Any, ...], type[BaseModel]] = {
        (): Recipe, ("generate",): GenerateSection, ("tagger",): TaggerSection, ("training",): TrainingSection,
        ("training", "auxiliary"): AuxiliarySection, ("evaluation",): EvaluationSection,
    }  # fmt: skip
    model = sections[location]
    return list(model.model_fields)
