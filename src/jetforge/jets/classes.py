"""Names of classes: which come first, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# The only class of jets of which nobody said what they are.
UNLABELLED = "unlabelled"
_BACKGROUNDS = ("qcd", "gluon", "g", "background", "bkg", "bg")
_MOST_SHOWN = 12


def background_first(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names, each once, in their order, but for the usual backgrounds, which come first."""
    return tuple(sorted(dict.fromkeys(names), key=lambda name: name.lower() not in _BACKGROUNDS))


def shown_classes(classes: Sequence[str]) -> str:
    """Return the names of classes in a line; of many, the first and how many there are."""
    if len(classes) <= _MOST_SHOWN:
        return " vs ".join(classes)
    return f"{', '.join(classes[:3])}, ... ({len(classes)} classes)"
