"""Recipes: one YAML file that says everything about a training; its mistakes are named with line and field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, model_validator

from jetforge.errors import JetforgeError, RecipeError
from jetforge.learning.layout import refuse_unfinished
from jetforge.learning.mistakes import Place, nowhere, validated
from jetforge.learning.sections import (
    DistillSection,
    EvaluationSection,
    GenerateSection,
    PretrainSection,
    Section,
    TaggerSection,
    TrainingSection,
    TransferSection,
)
from jetforge.taggers import Tagger, create_tagger, describe_tagger
from jetforge.yaml_files import line_of, read_yaml


class Recipe(Section):
    """Everything about a training: the data, the tagger and what it reads, how it learns, how it is measured."""

    data: str
    out: str
    generate: GenerateSection | None = None
    tagger: TaggerSection
    representation: dict[str, Any] = Field(default={})
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
    def _a_run_does_not_replace_what_it_starts_from(self) -> Self:
        started = [] if self.transfer is None else [("transfer.source", self.transfer.source)]
        started += [] if self.distill is None else [("distill.teachers", path) for path in self.distill.teachers]
        for name, path in started:
            run = Path(path).parent if Path(path).suffix == ".json" else Path(path)
            if run.resolve() == Path(self.out).resolve():
                raise ValueError(f"out: {self.out} is {name} itself, which would be lost; give another directory")
        return self

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
        if self.distill.weight == 1 and self.training.label_smoothing:
            raise ValueError("training.label_smoothing is of labels, which distill.weight 1 leaves out; leave it out")
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
        if self.pretrain.objective == "contrastive" and self.training.batch_size < 2:
            raise ValueError("training.batch_size: contrastive tells the jets of a batch apart; give 2 or more")
        if self.training.compile:
            raise ValueError("training.compile does not go with pretrain; leave one of them out")
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
