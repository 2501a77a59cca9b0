"""Studies as YAML files: what they compare, at which scale."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from jetforge.errors import RecipeError
from jetforge.learning.mistakes import Place, validated
from jetforge.learning.recipe import make_recipe, tagger_of
from jetforge.studies.samples import planned_sample
from jetforge.studies.study import Study
from jetforge.yaml_files import line_of, read_yaml

FULL_SCALE = "full"


AnyStudy = TypeVar("AnyStudy", bound=Study)


def is_study(path: str | Path) -> bool:
    """Say whether a YAML file describes a study, not a recipe.

    Raises
    ------
    RecipeError
        If it cannot be read.
    """
    values = read_yaml(Path(path), "a recipe or a study").values
    if not isinstance(values, dict):
        raise RecipeError(f"{path}:1: a recipe or a study is a mapping of fields; this file has none")
    if "samples" in values and "study" not in values:
        raise RecipeError(f"{path}:1: it has samples, as a study has; give study: transfer, or study: distill")
    return "study" in values


def read_study(path: str | Path, kinds: Mapping[str, type[AnyStudy]], scale: str = FULL_SCALE) -> AnyStudy:
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
    JetforgeError
        If a tagger cannot be made as the study says, or a sample cannot be generated so.
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
    for name, changes in scales.items():
        where = f"{path}:{line_of(root, ('scales', name))}: scales.{name}"
        if name == FULL_SCALE:
            raise RecipeError(f"{where}: {FULL_SCALE} is the file as it is; give the scale another name")
        if not isinstance(changes, dict):
            raise RecipeError(f"{where}: must be a section with the fields that differ from those above")
    if scale != FULL_SCALE:
        if scale not in scales:
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

    study = validated(kinds[kind], values, place)
    _check_taggers(study, place)
    for name in study.used_samples():
        planned_sample(study, name, place)
    return study


def _check_taggers(study: Study, place: Place) -> None:
    """Refuse taggers that do not exist, or settings that they cannot have, before hours of generation."""
    for (section, name), entry in study.entries():
        own = {"training": entry.training.model_fields_set}

        def where(
            location: tuple[Any, ...], within: tuple[str, str] = (section, name), own: Mapping[str, Any] = own
        ) -> str:
            if location and location[0] in own and location[-1] not in own[location[0]]:
                # It is the study's.
                return f"{place(location)}{'.'.join(within)}: "
            return f"{place((*within, *location))}{'.'.join(within)}."

        recipe = {
            "data": "data", "out": "out", "tagger": entry.tagger.model_dump(), "representation": entry.representation,
            "training": entry.training_in(study.common_training),
        }  # fmt: skip
        tagger_of(make_recipe(recipe, where), where=where)


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
