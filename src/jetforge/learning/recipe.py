"""Recipes: one YAML file that says everything about a training; its mistakes are named with line and field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from jetforge.errors import JetforgeError, RecipeError
from jetforge.learning.layout import refuse_unfinished
from jetforge.learning.mistakes import Place, nowhere, validated
from jetforge.taggers import Tagger, create_tagger, describe_tagger
from jetforge.yaml_files import line_of, read_yaml

_Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Some fields of a YAML file; an unknown one is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GenerateSection(Section):
    """Which jets to generate where the dataset does not exist yet; see `jetforge.generate`."""

    presets: Annotated[tuple[str, ...], Field(min_length=1)]
    jets: Annotated[int, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)] = 1
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    part_jets: Annotated[int, Field(gt=0)] = 2000


class TaggerSection(Section):
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


class AuxiliarySection(Section):
    """A second thing to learn beside the class: a number of each jet, from what the tagger embeds.

    ``target`` is ``mass``, the logarithm of the mass of a jet's constituents, or the name of a field of the jets.
    """

    target: Annotated[str, Field(min_length=1)]
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1


class TrainingSection(Section):
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
    train_jets: Annotated[int, Field(gt=0)] | None = None
    cache_jets: Annotated[int, Field(ge=0)] = 500_000
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0

    @field_validator("betas")
    @classmethod
    def _moments_have_betas(cls, betas: Any, info: ValidationInfo) -> Any:
        if betas is not None and info.data.get("optimizer") == "sgd":
            raise ValueError("betas are of Adam and its relatives, sgd has none")
        return betas


class TransferMode(Section):
    """Which of what is taken over learns anew, and how fast; see `jetforge.learning.transfer`.

    Settings that are None are chosen by the mode; one that has no meaning for the mode is refused.
    """

    mode: Literal["finetune", "frozen", "gradual", "adapters"] = "finetune"
    boundary: str | None = None
    new_head: bool = False
    rate_divisor: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    unfreeze_every: Annotated[int, Field(gt=0)] | None = None
    rank: Annotated[int, Field(gt=0)] | None = None
    cached: bool | None = None

    @model_validator(mode="after")
    def _refuse_what_has_no_meaning(self) -> Self:
        for name, modes in _MODES_OF.items():
            if getattr(self, name, None) is not None and self.mode not in modes:
                raise ValueError(f"{name} is for the mode {' or '.join(modes)}, not for {self.mode}; leave it out")
        return self


class TransferSection(TransferMode):
    """What a training takes over from an earlier run, and which of it learns anew."""

    source: Annotated[str, Field(min_length=1)]
    cache: str | None = None
    source_sha256: str | None = None

    @model_validator(mode="after")
    def _refuse_a_place_for_nothing(self) -> Self:
        if self.cache is not None and self.cached is False:
            raise ValueError("cache is a directory for what cached: false forbids; leave one of them out")
        return self


# Modes of a transfer that know a setting.
_MODES_OF = {
    "boundary": ("frozen",),
    "layer_decay": ("finetune", "gradual"),
    "unfreeze_every": ("gradual",),
    "rank": ("adapters",),
    "cached": ("frozen",),
    "cache": ("frozen",),
}


class DistillSection(Section):
    """From which teachers a student learns, and what of them; see `jetforge.learning.distill`."""

    teachers: Annotated[tuple[str, ...], Field(min_length=1)]
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3.0
    weight: Annotated[float, Field(ge=0, le=1)] = 0.9
    features: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    relations: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    unlabelled: str | None = None
    cache: str | None = None
    teacher_sha256: tuple[str, ...] | None = None

    @property
    def learns_features(self) -> bool:
        """Whether what a teacher embeds is learnt from, and not its scores alone."""
        return self.features > 0 or self.relations > 0

    @model_validator(mode="after")
    def _something_is_learnt(self) -> Self:
        if self.weight == 0 and not self.learns_features:
            raise ValueError("weight, features and relations are all 0: nothing is learnt from a teacher; raise one")
        return self


class PretrainSection(Section):
    """What is learnt of jets without their labels; see `jetforge.learning.pretrain`.

    ``mask`` is for the objective ``masked``, all others are for ``contrastive``: see also
    `jetforge.representations.augment.Augmentation`.
    """

    objective: Literal["masked", "contrastive"]
    mask: Annotated[float, Field(gt=0, lt=1)] = 0.3
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    projection: Annotated[int, Field(gt=0)] = 64
    rotate: bool = True
    shift: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    smear: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1
    split: _Fraction = 0.1


class EvaluationSection(Section):
    """On which split, and with which interval, the tagger is measured."""

    split: Literal["train", "val", "test"] = "test"
    interval: Literal["exact", "bootstrap"] = "bootstrap"


class Recipe(Section):
    """Everything about a training: the data, the tagger and what it reads, how it learns, how it is measured."""

    data: str
    out: str
    generate: GenerateSection | None = None
    tagger: TaggerSection
    representation: dict[str, Any] = {}
    transfer: TransferSection | None = None
    distill: DistillSection | None = None
    pretrain: PretrainSection | None = None
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_enough(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        named = [name for name in ("tagger", "representation") if isinstance(values.get(name), str)]
        return {**values, **{name: {"name": values[name]} for name in named}}

    @model_validator(mode="after")
    def _a_frozen_backbone_has_no_second_head(self) -> Self:
        if self.training.auxiliary is not None and self.transfer is not None and self.transfer.mode == "frozen":
            raise ValueError("training.auxiliary is not learnt with transfer.mode frozen; leave one of them out")
        return self

    @model_validator(mode="after")
    def _a_student_learns_one_thing_at_a_time(self) -> Self:
        if self.distill is None:
            return self
        if self.training.auxiliary is not None:
            raise ValueError("training.auxiliary is not learnt beside a teacher; leave one of them out")
        frozen = self.transfer is not None and self.transfer.mode == "frozen"
        if frozen and (self.distill.learns_features or self.distill.unlabelled is not None):
            raise ValueError(
                "distill.features, relations, unlabelled do not go with transfer.mode frozen; leave them out"
            )
        return self

    @model_validator(mode="after")
    def _without_labels_nothing_is_known_of_classes(self) -> Self:
        if self.pretrain is None:
            return self
        if self.training.monitor != "val_loss":
            raise ValueError(
                f"training.monitor: {self.training.monitor} is of classes, which pretrain does not learn; give val_loss"
            )
        for name, given in (("distill", self.distill), ("training.auxiliary", self.training.auxiliary)):
            if given is not None:
                raise ValueError(f"{name} does not go with pretrain; leave one of them out")
        if self.training.label_smoothing:
            raise ValueError("training.label_smoothing is of labels, which pretrain does not look at; leave it out")
        if self.transfer is not None and self.transfer.mode != "finetune":
            raise ValueError(f"transfer.mode {self.transfer.mode} does not go with pretrain; give finetune")
        return self

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
    JetforgeError
        If there is no such tagger, or it or its representation cannot have such settings; also with line and field.
    """
    path = Path(path)
    values, root = read_yaml(path, "a recipe")
    if not isinstance(values, dict):
        raise RecipeError(f"{path}:1: a recipe is a mapping of fields such as data, out and tagger")

    def place(location: tuple[Any, ...]) -> str:
        return f"{path}:{line_of(root, location)}: "

    recipe = make_recipe(values, place)
    tagger_of(recipe, where=place)
    return recipe


def make_recipe(values: Mapping[str, Any], where: Place = nowhere) -> Recipe:
    """Check plain values and return the recipe; whether such a tagger can be made is left to `tagger_of`.

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
    return validated(Recipe, _with_tagger_of_source(values), where)


def _with_tagger_of_source(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of a recipe with the tagger that its transfer starts from, where it names none."""
    transfer = values.get("transfer")
    source = transfer.get("source") if isinstance(transfer, Mapping) else None
    if not isinstance(source, str) or not source or values.get("tagger") is not None:
        return values
    refuse_unfinished(Path(source))
    described = describe_tagger(source)
    arguments = {name: value for name, value in described["arguments"].items() if name != "num_classes"}
    return {**values, "tagger": {"name": described["name"], "arguments": arguments}}


def tagger_of(recipe: Recipe, num_classes: int = 2, where: Place = nowhere) -> Tagger:
    """Return a new tagger as a recipe wants it.

    Parameters
    ----------
    recipe
        What is wanted.
    num_classes
        Number of classes, which is the dataset's.
    where
        Says where a field stands, for the error.

    Raises
    ------
    JetforgeError
        What `jetforge.create_tagger` raises, with the field that is to blame.
    RecipeError
        If a setting of the training has no meaning for the tagger.
    """
    try:
        tagger = _create(recipe, num_classes, recipe.representation)
    except JetforgeError as error:
        blamed = _blamed(recipe, num_classes, str(error))
        raise type(error)(f"{where(blamed)}{'.'.join(blamed)}: {error}") from None
    if not tagger.trained_by_gradient:
        _refuse_idle_settings(recipe, where)
    return tagger


def _create(recipe: Recipe, num_classes: int, representation: Mapping[str, Any]) -> Tagger:
    return create_tagger(
        recipe.tagger.name, num_classes, representation=representation or None, **recipe.tagger.arguments
    )


def _blamed(recipe: Recipe, num_classes: int, message: str) -> tuple[str, ...]:
    """Return the field for which a tagger could not be made."""
    try:
        create_tagger(recipe.tagger.name, num_classes)
    except JetforgeError:  # it is unknown, or a package that it needs is not there
        return ("tagger", "name")
    section: tuple[str, ...] = ("representation",)
    given = recipe.representation
    try:
        _create(recipe, num_classes, {})
    except JetforgeError as error:
        if not given or str(error) == message:
            section, given = ("tagger", "arguments"), recipe.tagger.arguments
    named = [(match.start(), key) for key in given if (match := re.search(rf"\b{re.escape(key)}\b", message))]
    return (*section, min(named)[1]) if named else section


def _refuse_idle_settings(recipe: Recipe, where: Place) -> None:
    """Refuse settings of the training that would count for nothing without steps of an optimiser."""
    if recipe.pretrain is not None:
        raise RecipeError(
            f"{where(('pretrain',))}pretrain: {recipe.tagger.name} learns by no gradients, so nothing without labels; "
            "take another tagger"
        )
    if recipe.distill is not None:
        raise RecipeError(
            f"{where(('distill',))}distill: {recipe.tagger.name} learns by no gradients, so from no teacher; "
            "take another student"
        )
    usual, harmless = TrainingSection(), ("seed", "checkpoint_minutes")
    for name in TrainingSection.model_fields:
        if name not in harmless and getattr(recipe.training, name) != getattr(usual, name):
            raise RecipeError(
                f"{where(('training', name))}training.{name}: {recipe.tagger.name} is not trained by gradients and has "
                "no use for it; leave it out, and set tagger.arguments"
            )
