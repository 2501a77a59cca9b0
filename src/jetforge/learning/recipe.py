"""Recipes: one YAML file that says everything about a training; its mistakes are named with line and field."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from jetforge.errors import RecipeError
from jetforge.yaml_files import line_of, read_yaml

# Adam and the step schedule of arXiv:2012.08526 (its training code): x0.1 at epochs 10 and 20 of 30.
PUBLISHED_TRAINING: dict[str, Any] = {
    "epochs": 30,
    "batch_size": 256,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "schedule": "steps",
    "gradient_clip": None,
    "monitor": "val_accuracy",
}


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
        return arguments


class TrainingSection(_Section):
    """How the tagger is trained.

    The defaults are a modern schedule: AdamW, linear warm-up, cosine decay. ``schedule: steps`` divides the learning
    rate by ten after one third and two thirds of the epochs, as in arXiv:2012.08526 (10 and 20 of 30).
    """

    epochs: Annotated[int, Field(gt=0)] = 15
    batch_size: Annotated[int, Field(gt=0)] = 256
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    monitor: Literal["val_auc", "val_accuracy", "val_loss"] = "val_auc"
    early_stopping: Annotated[int, Field(gt=0)] | None = None
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    cache_jets: Annotated[int, Field(ge=0)] = 500_000
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0


class EvaluationSection(_Section):
    """On which split, and with which interval, the tagger is measured."""

    split: Literal["train", "val", "test"] = "test"
    interval: Literal["exact", "bootstrap"] = "bootstrap"


class Recipe(_Section):
    """Everything about a training: the data, the tagger, how it learns, how it is measured."""

    data: str
    out: str
    generate: GenerateSection | None = None
    tagger: TaggerSection
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()

    @model_validator(mode="before")
    @classmethod
    def _tagger_may_be_a_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("tagger"), str):
            return {**values, "tagger": {"name": values["tagger"]}}
        return values

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
    sections: dict[str, type[BaseModel]] = {
        "generate": GenerateSection, "tagger": TaggerSection, "training": TrainingSection,
        "evaluation": EvaluationSection,
    }  # fmt: skip
    model = sections.get(str(location[0]), Recipe) if location else Recipe
    return list(model.model_fields)
