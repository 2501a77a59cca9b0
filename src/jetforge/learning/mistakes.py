"""Mistakes in a YAML file, each in words: where it is, the rule that it breaks, what may have been meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from jetforge.errors import RecipeError

# Says where a field stands, for an error: a function of the keys that lead to it.
Place = Callable[[tuple[Any, ...]], str]

Model = TypeVar("Model", bound=BaseModel)


def nowhere(location: tuple[Any, ...]) -> str:
    """Say nothing of where a field stands: it was given from Python."""
    return ""


# What a field must be, by the name of pydantic's rule that it breaks.
_KINDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    "string_type": "must be a text",
    "tuple_type": "must be a list",
    "string_too_short": "must not be empty",
}
_BY_NUMBER = {"sizes": "{1000: 3, 10000: 1}", "epochs": "{1000: 30}"}
_LISTS = {"presets": "[toptag-top, toptag-qcd]", "split": "[0.8, 0.1, 0.1]", "betas": "[0.9, 0.999]"}
# Sections for which a name is enough.
_NAMED = {"tagger": "the name of a tagger or ", "representation": "the name of a representation or "}
_SHOWN = 60


def validated(model: type[Model], values: Any, where: Place) -> Model:
    """Check plain values and return the model.

    Parameters
    ----------
    model
        Of pydantic, whose sections refuse what they do not know.
    values
        Fields as in a YAML file.
    where
        Says where a field stands, for the error.

    Raises
    ------
    RecipeError
        One line for all mistakes.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RecipeError("; ".join(_describe(model, mistake, where) for mistake in error.errors())) from None


def _section_at(model: type[BaseModel], location: tuple[Any, ...]) -> type[BaseModel] | None:
    """Return the model of the section that some keys lead to."""
    found: type[BaseModel] | None = model
    within = False
    for key in location:
        if within:  # the key of a mapping of sections
            within = False
            continue
        if found is None or key not in found.model_fields:
            return None
        annotation = found.model_fields[key].annotation
        found = _model_in(annotation)
        within = get_origin(annotation) in (dict, list, tuple)
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _describe(model: type[BaseModel], mistake: Any, place: Place) -> str:
    location, kind, given = tuple(mistake["loc"]), mistake["type"], mistake["input"]
    missing = kind == "missing"
    if missing and isinstance(location[-1], int):  # a list that is too short
        location, missing = location[:-1], False
    if location[-1:] == ("[key]",):
        return _describe_key(mistake, location[:-2], place)
    where = place(location) + (".".join(map(str, location)) or "recipe")
    if missing:
        return f"{where}: this field is missing"
    if kind == "extra_forbidden":
        section = _section_at(model, location[:-1])
        known = [] if section is None else list(section.model_fields)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known fields: {', '.join(known)}"
        return f"{where}: no such field; {hint}"
    if kind == "value_error":  # a rule of our own, which says it all
        text = str(mistake["ctx"]["error"])
        return f"{where}: {text}" if location else f"{place(_named_in(text))}{text}"
    if kind == "too_short" and not given:
        return f"{where}: must have one entry or more"
    shown = "nothing" if given is None else repr(given)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return f"{where}: {_rule(model, mistake, location)}, not {shown}{_hint(mistake)}"


def _describe_key(mistake: Any, location: tuple[Any, ...], place: Place) -> str:
    """Say what is wrong with the name of an entry."""
    rule = _KINDS.get(mistake["type"]) or mistake["msg"].replace("Input should be", "must be", 1)
    quotes = "; put it into quotes" if mistake["type"] == "string_type" else ""
    return f"{place(location)}{'.'.join(map(str, location))}: the key {mistake['input']!r} {rule}{quotes}"


def _named_in(text: str) -> tuple[str, ...]:
    """Return the keys of the field that a text begins with, as in ``training.monitor: ...``; none if with no field."""
    found = re.match(r"(\w[\w.-]*):? ", text)
    return tuple(found[1].split(".")) if found else ()


def _rule(model: type[BaseModel], mistake: Any, location: tuple[Any, ...]) -> str:
    """Say what a field must be."""
    kind = mistake["type"]
    if location[-1:] and location[-1] in _LISTS and kind in ("tuple_type", "missing", "too_short", "too_long"):
        return f"must be a list such as {_LISTS[location[-1]]}"
    if kind == "dict_type" and location[-1:] and location[-1] in _BY_NUMBER:
        return f"must be numbers of jets, each with its number, such as {_BY_NUMBER[location[-1]]}"
    if kind in ("model_type", "dict_type"):
        found = _section_at(model, location)
        fields = "" if found is None else ", ".join(list(found.model_fields)[:3])
        section = f"a section with fields such as {fields}" if fields else "a section with its settings"
        named = _NAMED.get(location[-1], "") if location else ""
        return f"must be {named}{section}"
    message: str = mistake["msg"]
    return _KINDS.get(kind) or message.replace("Input should be", "must be", 1)


def _hint(mistake: Any) -> str:
    """Return what may have been meant where one of some words is wanted."""
    if mistake["type"] != "literal_error":
        return ""
    words = re.findall(r"'([^']*)'", mistake["ctx"]["expected"])
    near = difflib.get_close_matches(str(mistake["input"]).lower(), words, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
