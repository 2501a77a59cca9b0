"""Selections such as ``pt > 500 and abs(eta) < 2 and class == 'top'``: parsed, never executed.

Only what is listed here has a meaning; anything else that Python's grammar knows is refused.
"""

from __future__ import annotations

import ast
import difflib
import io
import re
import tokenize
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError

CLASS = "class"
NUM_CONSTITUENTS = "num_constituents"

# Python keeps the word `class` for itself.
_CLASS_TOKEN = "_class_"
_MOST_CHARACTERS, _MOST_NODES, _MOST_LEVELS = 4000, 2000, 60

_Mask = npt.NDArray[np.bool_]
_Values = npt.NDArray[Any]

_FUNCTIONS: Mapping[str, tuple[Callable[..., _Values], bool]] = {
    # Name: function, and whether it takes two values or more.
    "abs": (np.abs, False), "exp": (np.exp, False), "log": (np.log, False), "sqrt": (np.sqrt, False),
    "sin": (np.sin, False), "cos": (np.cos, False), "tanh": (np.tanh, False), "isfinite": (np.isfinite, False),
    "min": (np.minimum, True), "max": (np.maximum, True),
}  # fmt: skip
_ARITHMETIC: Mapping[type, Callable[..., _Values]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Pow: np.power,
    ast.Mod: np.mod,
}  # fmt: skip
_COMPARISONS: Mapping[type, Callable[..., _Values]] = {
    ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal, ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}  # fmt: skip
# Signs of other languages, and ours.
_OTHER_SIGNS: Mapping[str, str] = {
    "=>": ">=", "=<": "<=", "<>": "!=", "&&": "and", r"\|\|": "or", "!(?!=)": "not", "(?<![<>=!])=(?!=)": "==",
}  # fmt: skip
_KNOWN = "comparisons, and, or, not, in, + - * / % **, " + ", ".join(_FUNCTIONS)


@dataclass(frozen=True)
class Answers:
    """What a selection says of each jet: yes, no, or neither where a value that decides is not a number (NaN)."""

    yes: _Mask
    no: _Mask

    @property
    def unknown(self) -> _Mask:
        """Jets for which there is no answer."""
        return ~(self.yes | self.no)


@dataclass(frozen=True)
class _Class:
    """The word `class` in an expression: the label of each jet, which is compared with names only."""

    labels: npt.NDArray[np.int64]


class Selection:
    """A condition on jets.

    Parameters
    ----------
    text
        The condition: comparisons (also chained, ``500 < pt < 600``) joined by ``and``, ``or``, ``not``; arithmetic
        ``+ - * / % **`` in float64; ``abs, min, max, log, exp, sqrt, sin, cos, tanh, isfinite``; numbers; names of jet
        fields and ``num_constituents``; ``class == 'top'`` or ``class in ('top', 'w')``.
    fields
        Names of the jet fields.
    classes
        Names of the classes; a jet's ``label`` is an index into them.

    Attributes
    ----------
    text : str
    names : frozenset of str
        The fields that the condition uses, `num_constituents` among them; ``label`` where it asks for the class.

    Raises
    ------
    JetforgeError
        If the text is no such condition, or names what there is not. The message is one line.

    Notes
    -----
    A comparison with NaN is neither true nor false, and `and`, `or` and `not` follow: ``False and unknown`` is false.
    So ``mass > 0 and log(mass) < 4`` has an answer for every jet.
    """

    def __init__(self, text: str, fields: Sequence[str], classes: Sequence[str]) -> None:
        self.text = re.sub(r"\s", " ", text).strip()
        if not self.text:
            raise self._error("the condition is empty; write one, such as pt > 500")
        if "#" in self.text:
            raise self._error("may not hold comments (#)")
        self._classes = tuple(classes)
        self._tree = self._parse()
        known = dict.fromkeys([*fields, NUM_CONSTITUENTS])
        functions = {id(node.func) for node in ast.walk(self._tree) if isinstance(node, ast.Call)}
        used = [node for node in ast.walk(self._tree) if isinstance(node, ast.Name) and id(node) not in functions]
        names = {"label" if _is_class(node) else node.id for node in used}
        if "label" in names and "label" not in known:
            raise self._error("the jets carry no labels")
        for name in sorted(names - known.keys()):
            raise self._error(f"jets have no field '{name}'; {self._meant(name, [*known, *_FUNCTIONS])}")
        self.names = frozenset(names)

    def __repr__(self) -> str:
        return f"Selection({self.text!r})"

    def evaluate(self, values: Mapping[str, _Values], num_jets: int) -> Answers:
        """Return the answer for each jet.

        Parameters
        ----------
        values
            Of each name in `names`, an array (num_jets,).
        num_jets
            How many jets there are.

        Raises
        ------
        JetforgeError
            If a field that is used holds no numbers, or numbers and conditions are mixed up.
        """
        with np.errstate(all="ignore"):
            answer = self._condition(self._tree, values)
        return Answers(*(np.broadcast_to(mask, (num_jets,)) for mask in (answer.yes, answer.no)))

    def _parse(self) -> ast.expr:
        if len(self.text) > _MOST_CHARACTERS:
            raise self._error(f"is longer than {_MOST_CHARACTERS} characters")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's remarks on style, such as of 1or
                tree = ast.parse(_with_class_named(self.text), mode="eval").body
        except (SyntaxError, ValueError, tokenize.TokenError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error.args[0] if error.args else error)
            raise self._error(f"cannot be read: {_other_language(self.text) or reason}") from None
        except (MemoryError, RecursionError):
            raise self._error("is nested too deeply") from None
        nodes, level = 0, list[ast.AST]([tree])
        for _ in range(_MOST_LEVELS):
            nodes += len(level)
            level = [child for node in level for child in ast.iter_child_nodes(node)]
        if level or nodes > _MOST_NODES:
            raise self._error("is nested too deeply" if level else "has too many terms")
        return tree

    def _meant(self, name: str, known: Sequence[str]) -> str:
        """Return what a name without a meaning may stand for: a class whose quotes are missing, or another field."""
        compared = [
            node for node in ast.walk(self._tree)
            if isinstance(node, ast.Compare) and any(_is_class(side) for side in (node.left, *node.comparators))
        ]  # fmt: skip
        beside_class = any(isinstance(n, ast.Name) and n.id == name for node in compared for n in ast.walk(node))
        near = name if name in self._classes else _nearest(name, self._classes) if beside_class else None
        if near is not None:
            return f"names of classes are put in quotes: class == '{near}'"
        return _hint(name, known)

    def _value(self, node: ast.expr, values: Mapping[str, _Values]) -> _Values | Answers | _Class | str:
        """Return what a node stands for: numbers, answers, the class of each jet, or a text."""
        match node:
            case ast.Constant(value=bool() | int() | float() as number):
                return self._number(number)
            case ast.Constant(value=str() as name):
                return name
            case ast.Name(id=name):
                return self._named(name, values)
            case ast.BoolOp(op=op, values=terms):
                return self._joined(isinstance(op, ast.And), [self._condition(term, values) for term in terms])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                answer = self._condition(operand, values)
                return Answers(answer.no, answer.yes)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                return np.asarray(self._float(operand, values) * (-1.0 if isinstance(sign, ast.USub) else 1.0))
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _ARITHMETIC:
                return np.asarray(_ARITHMETIC[type(op)](self._float(left, values), self._float(right, values)))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                terms = [left, *comparators]
                pairs = zip(terms[:-1], ops, terms[1:], strict=True)
                return self._joined(True, [self._compared(a, op, b, values) for a, op, b in pairs])
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
                return self._called(name, arguments, values)
            case ast.Call(func=ast.Name(id=name)) if name not in _FUNCTIONS:
                raise self._error(f"there is no function '{name}'; {_hint(name, list(_FUNCTIONS))}")
        raise self._error(f"'{_shown(node)}' has no meaning here; there are {_KNOWN}")

    def _number(self, number: bool | int | float) -> _Values:
        if isinstance(number, int) and abs(number) >= 2**63:
            raise self._error("a number in it is too large; write it as 1e20")
        return np.asarray(number)

    def _named(self, name: str, values: Mapping[str, _Values]) -> _Values | Answers | _Class:
        if name == _CLASS_TOKEN:
            return _Class(np.asarray(values["label"]).astype(np.int64))
        found = np.asarray(values[name])
        if found.dtype.kind not in "biuf":
            raise self._error(f"the field '{name}' holds no numbers")
        return found

    def _joined(self, every: bool, answers: Sequence[Answers]) -> Answers:
        yes, no = answers[0].yes, answers[0].no
        for answer in answers[1:]:
            yes = yes & answer.yes if every else yes | answer.yes
            no = no | answer.no if every else no & answer.no
        return Answers(yes, no)

    def _called(self, name: str, arguments: Sequence[ast.expr], values: Mapping[str, _Values]) -> _Values | Answers:
        function, several = _FUNCTIONS[name]
        if (len(arguments) < 2) if several else (len(arguments) != 1):
            raise self._error(f"{name}() takes {'two values or more' if several else 'one value'}")
        given = [self._float(argument, values) for argument in arguments]
        result = np.asarray(function(*given[:2]))
        for further in given[2:]:
            result = np.asarray(function(result, further))
        return Answers(result, ~result) if name == "isfinite" else result

    def _condition(self, node: ast.expr, values: Mapping[str, _Values]) -> Answers:
        value = self._value(node, values)
        if isinstance(value, np.ndarray) and value.dtype == bool:
            return Answers(value, ~value)
        if not isinstance(value, Answers):
            raise self._error(f"'{_shown(node)}' is no condition; compare it with something, such as > 0")
        return value

    def _numbers(self, node: ast.expr, values: Mapping[str, _Values]) -> _Values:
        value = self._value(node, values)
        if isinstance(value, Answers):
            raise self._error(f"'{_shown(node)}' is a condition, not a number; is a parenthesis misplaced?")
        if not isinstance(value, np.ndarray):
            raise self._error(f"'{_shown(node)}' is no number; names of classes are compared with class, by == or !=")
        return value

    def _float(self, node: ast.expr, values: Mapping[str, _Values]) -> _Values:
        return np.asarray(self._numbers(node, values), dtype=np.float64)

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr, values: Mapping[str, _Values]) -> Answers:
        if isinstance(op, (ast.In, ast.NotIn)):
            if not isinstance(right, (ast.Tuple, ast.List)) or not right.elts:
                raise self._error(f"'{_shown(right)}' after in is no list, such as ('top', 'w')")
            among = [self._compared(left, ast.Eq(), element, values) for element in right.elts]
            answer = self._joined(False, among)
            return answer if isinstance(op, ast.In) else Answers(answer.no, answer.yes)
        if type(op) not in _COMPARISONS:
            raise self._error(f"'is' has no meaning here; there are {_KNOWN}")
        if any(_is_text(node) or _is_class(node) for node in (left, right)):
            return self._class_compared(left, op, right, values)
        a, b = self._numbers(left, values), self._numbers(right, values)
        result = np.asarray(_COMPARISONS[type(op)](a, b))
        unknown = np.isnan(a) | np.isnan(b)
        return Answers(result & ~unknown, ~result & ~unknown)

    def _class_compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr, values: Mapping[str, _Values]) -> Answers:
        sides = [self._value(node, values) for node in (left, right)]
        jets = [side for side in sides if isinstance(side, _Class)]
        names = [side for side in sides if isinstance(side, str)]
        if len(jets) != 1 or len(names) != 1 or not isinstance(op, (ast.Eq, ast.NotEq)):
            raise self._error("class is compared with a name by == or !=, as in class == 'top'; label is its number")
        if names[0] not in self._classes:
            raise self._error(f"there is no class '{names[0]}'; {_hint(names[0], self._classes)}")
        equal = jets[0].labels == self._classes.index(names[0])
        return Answers(equal, ~equal) if isinstance(op, ast.Eq) else Answers(~equal, equal)

    def _error(self, message: str) -> JetforgeError:
        shown = self.text if len(self.text) <= 80 else self.text[:77] + "..."
        return JetforgeError(f'selection "{shown}": {message}')


def _with_class_named(text: str) -> str:
    """Return the line with the word `class`, outside of quotes, replaced by a name that Python's grammar allows."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    if any(token.type == tokenize.NAME and token.string == _CLASS_TOKEN for token in tokens):
        raise ValueError(f"'{_CLASS_TOKEN}' is no field")
    for token in reversed(tokens):
        if token.type == tokenize.NAME and token.string == CLASS:
            start, stop = token.start[1], token.end[1]
            text = text[:start] + _CLASS_TOKEN + text[stop:]
    return text


def _is_class(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == _CLASS_TOKEN


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node).replace(_CLASS_TOKEN, CLASS)
    return text if len(text) <= 40 else text[:37] + "..."


def _other_language(text: str) -> str | None:
    """Return what to write instead of a sign that other languages have; None where there is none outside of quotes."""
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)
    for sign, ours in _OTHER_SIGNS.items():
        found = re.search(sign, unquoted)
        if found:
            return f"write {ours} for {found[0]}"
    return None


def _hint(name: str, known: Sequence[str]) -> str:
    near = _nearest(name, known)
    return f"did you mean '{near}'?" if near is not None else f"there are {', '.join(known)}"


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that is most like another one, if any is; capitals count only between equal ones."""
    lowered = {each.lower(): each for each in reversed(known)}
    near = difflib.get_close_matches(name, known, n=1) or [
        lowered[each] for each in difflib.get_close_matches(name.lower(), lowered, n=1)
    ]
    return near[0] if near else None
