"""Cards of the formats, as text for a terminal and as pages of the documentation."""

from __future__ import annotations

import textwrap

from jetforge.jets.readers.base import Option, Reader

_WIDTH = 110
_HEADINGS = {
    "layout": "Layout",
    "origin": "Origin",
    "made": "How it was made",
    "units": "Units",
    "licence": "Licence",
    "citation": "Citation",
}


def card_text(reader: type[Reader]) -> str:
    """Return all that there is to know of a format, for a terminal."""
    card = reader.card
    lines = [f"{card.name}: {card.title}"]
    for name in _HEADINGS:
        lines.append(_filled(getattr(card, name), f"{name:<10}", 10))
    for number, trap in enumerate(card.traps):
        lines.append(_filled(trap, f"{'traps' if number == 0 else '':<10}- ", 12))
    lines.append(_filled(_rows(reader), f"{'rows':<10}", 10))
    for name, option in reader.options.items():
        lines.append(_filled(_described(option), f"--option {name}={_shown(option.default)}: ", 10))
    return "\n".join(lines)


def card_page(reader: type[Reader]) -> str:
    """Return all that there is to know of a format, as a page of the documentation in Markdown."""
    card = reader.card
    parts = [f"# {card.title}\n\nName of the format: `{card.name}`."]
    parts += [f"## {title}\n\n{_wrapped(getattr(card, name))}" for name, title in _HEADINGS.items()]
    parts.append(
        "## Traps\n\n" + "\n".join(textwrap.fill(f"- {trap}", _WIDTH, subsequent_indent="  ") for trap in card.traps)
    )
    parts.append(f"## Reading it\n\n{_wrapped(_rows(reader))}")
    if reader.options:
        rows = [
            f"| `{name}` | {_shown(option.default)} | {_described(option).replace('|', '&#124;')} |"
            for name, option in reader.options.items()
        ]
        header = "Settings, given as `--option NAME=VALUE`:\n\n| name | default | meaning |\n| --- | --- | --- |\n"
        parts.append(header + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _rows(reader: type[Reader]) -> str:
    held = "" if reader.rows_are == "jets" else ", which may hold any number of jets"
    return f"A row is one of the {reader.rows_are}{held}. By default {reader.part_rows:,} rows are read at a time."


def _described(option: Option) -> str:
    choices = f" One of {', '.join(option.choices)}." if option.choices else ""
    return option.meaning.rstrip(".") + "." + choices


def _shown(default: bool | int | float | str) -> str:
    return {True: "yes", False: "no"}[default] if isinstance(default, bool) else str(default) or "none"


def _filled(text: str, first: str, indent: int) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=first, subsequent_indent=" " * indent)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
