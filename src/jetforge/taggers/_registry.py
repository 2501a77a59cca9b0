"""The taggers by name."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import Any, ParamSpec, TypeVar, get_type_hints

import numpy as np

from jetforge.errors import TaggerError
from jetforge.representations import Representation, list_representations, make_representation
from jetforge.taggers.base import Tagger, name_being_made

_TAGGERS: dict[str, Callable[..., Tagger]] = {}

Parameters = ParamSpec("Parameters")
AnyTagger = TypeVar("AnyTagger", bound=Tagger)


def register_tagger(make: Callable[Parameters, AnyTagger]) -> Callable[Parameters, AnyTagger]:
    """Make a function that returns a tagger known under the function's own name.

    The taggers that it returns know the name and the arguments that they were made with. The same function defined
    again, as by a notebook's cell that is run again, takes the place of the earlier one.

    Raises
    ------
    TaggerError
        If another function has the name already.
    """
    name = make.__name__
    other = _TAGGERS.get(name)
    if other is not None and (other.__module__, other.__qualname__) != (make.__module__, make.__qualname__):
        raise TaggerError(
            f"the tagger {name} is registered already, by {other.__module__}.{other.__qualname__}; "
            "give your function another name"
        )

    @wraps(make)
    def named(*values: Parameters.args, **named_values: Parameters.kwargs) -> AnyTagger:
        token = name_being_made.set(name)
        try:
            tagger = make(*values, **named_values)
        finally:
            name_being_made.reset(token)
        bound = inspect.signature(make).bind(*values, **named_values)
        bound.apply_defaults()
        arguments: dict[str, Any] = {}
        for parameter, value in bound.arguments.items():
            if parameter == "representation":  # described apart: it carries what it was fitted on
                continue
            if bound.signature.parameters[parameter].kind is inspect.Parameter.VAR_KEYWORD:
                arguments.update(value)
            else:
                arguments[parameter] = value
        tagger.name, tagger.arguments = name, {key: _plain(value) for key, value in arguments.items()}
        return tagger

    _TAGGERS[name] = named
    return named


def _plain(value: Any) -> Any:
    """Return NumPy's numbers as those of Python, and sequences as lists, which JSON has."""
    if isinstance(value, np.generic):
        return value.item()
    return list(map(_plain, value)) if type(value) in (list, tuple) else value


def list_taggers() -> list[str]:
    """Return the names of all taggers, sorted."""
    return sorted(_TAGGERS)


def create_tagger(
    name: str,
    num_classes: int = 2,
    representation: Representation | Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Tagger:
    """Return a new tagger.

    Parameters
    ----------
    name : str
        One of `list_taggers`.
    num_classes : int
        Number of classes.
    representation : Representation or mapping, optional
        What it reads of a jet; by default what its paper has. A mapping gives settings, the others being those of
        the default: ``{"max_constituents": 64}``.
    **arguments
        Settings of that tagger; its function documents them.

    Raises
    ------
    TaggerError
        If the name or an argument is unknown, a value makes no sense, the tagger does not read such a
        representation, or it needs a package that is not installed.
    JetforgeError
        If a setting of the representation is unknown or makes no sense.

    Examples
    --------
    >>> from jetforge.taggers import create_tagger
    >>> create_tagger("lundnet5", num_classes=2).num_parameters()
    391724
    """
    if not isinstance(name, str) or name not in _TAGGERS:
        near = _near(str(name))
        hint = f"did you mean {' or '.join(near)}?" if near else "jetforge info taggers lists them"
        raise TaggerError(f"unknown tagger {name!r}; {hint}")
    allowed = _argument_names(_TAGGERS[name])
    unknown = sorted(set(arguments) - set(allowed))
    if unknown:
        other = [argument for argument in allowed if argument != "num_classes"]
        raise TaggerError(f"tagger {name} knows no {', '.join(unknown)}; its arguments are {', '.join(other)}")
    given = {} if representation is None else {"representation": _checked(representation)}
    if isinstance(representation, Mapping):
        given = {"representation": make_representation(representation, default_representation(name))}
    try:
        return _TAGGERS[name](num_classes=num_classes, **given, **arguments)
    except (TypeError, ValueError) as error:
        raise TaggerError(f"tagger {name}: {error}") from error


def _near(name: str) -> list[str]:
    """Return the names, three at most, that may have been meant, whatever their case."""
    spelt = {known.lower(): known for known in _TAGGERS}
    if name.lower() in spelt:
        return [spelt[name.lower()]]
    return [spelt[near] for near in get_close_matches(name.lower(), spelt, n=3)]


def _checked(representation: Any) -> Representation | Mapping[str, Any]:
    """Return what is a representation, or its settings; refuse anything else."""
    if isinstance(representation, Representation | Mapping):
        return representation
    is_name = isinstance(representation, str)
    given = repr(representation) if is_name else f"of type {type(representation).__name__}"
    name = representation if is_name and representation in list_representations() else "cloud"
    raise TaggerError(f"representation is {given}; give a Representation or a mapping such as {{'name': '{name}'}}")


def default_representation(name: str) -> Representation:
    """Return what a tagger reads if nothing else is asked for, not fitted."""
    representation: Representation = create_tagger(name).representation
    return representation


def tagger_arguments(name: str) -> dict[str, Any]:
    """Return what can be set of a tagger beside its classes, each with its default.

    Raises
    ------
    TaggerError
        If there is no such tagger.
    """
    made = create_tagger(name)
    of_class = inspect.signature(type(made).__init__).parameters
    names = [argument for argument in _argument_names(_TAGGERS[name]) if argument != "num_classes"]
    return {key: made.arguments[key] if key in made.arguments else _plain(of_class[key].default) for key in names}


def tagger_summary(name: str) -> str:
    """Return the first line of what a tagger's function says of itself."""
    return (inspect.getdoc(_TAGGERS[name]) or "").split("\n")[0]


def _argument_names(make: Callable[..., Tagger]) -> list[str]:
    """Return the names of the arguments of a tagger's function, those of its settings included."""
    names: list[str] = []
    hints = get_type_hints(make)
    for parameter in inspect.signature(make).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            (settings,) = hints[parameter.name].__args__
            names.extend(settings.__annotations__)
        elif parameter.name != "representation":
            names.append(parameter.name)
    return names
