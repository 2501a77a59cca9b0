"""YAML files, read so that every mistake in them is one line that names the file and the line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from jetforge.errors import RecipeError

# Deeper than anything that a person writes; the parser written in C would overrun its stack at some 100,000.
_MOST_LEVELS = 100


class Document(NamedTuple):
    """What a YAML file holds: plain values, and the nodes that know where each stands; None and None if nothing."""

    values: Any
    root: yaml.Node | None


def read_yaml(path: Path, kind: str, subject: str | None = None) -> Document:
    """Read a YAML file of one document.

    Parameters
    ----------
    path
        The file.
    kind
        What it should be, such as ``a recipe``: named where it is no text.
    subject
        What cannot be read, in the error if it cannot; the path if None.

    Raises
    ------
    RecipeError
        If the file cannot be read, is no text or no YAML, or gives a key twice, of which YAML would silently take the
        last.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{subject or f'{path}:'} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not a text file; {kind} is YAML") from None
    make_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _refuse_deep(text, make_loader, path)
        loader = make_loader(text)
        root = loader.get_single_node()
        if root is None:
            return Document(None, None)
        _refuse_repeated(root, path, set())
        return Document(loader.construct_document(root), root)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        where = f"{path}{_place(error, text)}"
        raise RecipeError(f"{where}: not valid YAML: {' '.join(str(problem).split())}") from None
    except ValueError as error:  # a date or a number that is none
        raise RecipeError(f"{path}: not valid YAML: {error}") from None


def line_of(root: yaml.Node | None, location: Sequence[Any]) -> int:
    """Return the line (from 1) where a value stands, or that of the innermost section of it that is there.

    Parameters
    ----------
    root
        As `read_yaml` returns it.
    location
        Keys, and positions in lists, from the outermost.
    """
    line, node = (1 if root is None else int(root.start_mark.line) + 1), root
    for step in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if pair is None:
                return line
            line, node = int(pair[0].start_mark.line) + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = int(node.start_mark.line) + 1
    return line


def _refuse_deep(text: str, loader: Any, path: Path) -> None:
    level = 0
    for event in yaml.parse(text, Loader=loader):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > _MOST_LEVELS:
            mark: Any = event.start_mark
            raise RecipeError(f"{path}:{mark.line + 1}: not valid YAML: more than {_MOST_LEVELS} levels")


def _refuse_repeated(node: yaml.Node, path: Path, seen: set[int]) -> None:
    # An alias is the node that it names, which may even be around it.
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = int(key.start_mark.line) + 1
            if isinstance(key, yaml.ScalarNode):
                if key.value in lines:
                    raise RecipeError(f"{path}:{line}: {key.value}: given twice, first in line {lines[key.value]}")
                lines[key.value] = line
            _refuse_repeated(value, path, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated(item, path, seen)


def _place(error: yaml.YAMLError, text: str) -> str:
    """Return ``:LINE`` where the error knows it; what is missing at the end is looked for after the last line."""
    mark, position = getattr(error, "problem_mark", None), getattr(error, "position", None)
    if mark is not None:
        return f":{min(mark.line + 1, max(len(text.splitlines()), 1))}"
    return f":{text.count(chr(10), 0, position) + 1}" if isinstance(position, int) else ""
