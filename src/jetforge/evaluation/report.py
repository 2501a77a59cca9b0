"""One self-contained HTML page that tells how good a tagger is and where its numbers come from."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from jetforge.evaluation.style import hep_style
from jetforge.evaluation.tables import rejection_table
from jetforge.files import write_atomically

Rows = Sequence[Mapping[str, object]]

_LARGEST_SVG = 300_000
_PNG_DPI = 160

_CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 "Helvetica Neue", Helvetica, Arial, sans-serif; color: #1d2430; background: #fff;
  margin: 0 auto; padding: 1rem; max-width: 60rem; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.6rem 0 0.2rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.6rem; border-bottom: 1px solid #d5dae1; padding-bottom: 0.2rem; }
p { margin: 0.5rem 0; }
.sub, .note { color: #566070; font-size: 0.9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.6rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 0.3rem 0.8rem; border-bottom: 1px solid #e4e8ed; vertical-align: top; }
th { font-weight: 600; background: #f4f6f8; }
th:first-child, td:first-child { text-align: left; padding-left: 0.4rem; }
td { white-space: nowrap; }
.headline td { font-size: 1.05rem; }
.numbers { font-size: 0.88rem; }
.headline td:last-child { font-weight: 600; }
figure { margin: 0.8rem 0; text-align: center; overflow-x: auto; }
figure img { max-width: 100%; height: auto; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: 0.15rem 1rem;
  margin: 0.3rem 0; }
dt { color: #566070; }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
dd > dl { border-left: 2px solid #e4e8ed; padding-left: 0.8rem; }
pre { background: #f4f6f8; padding: 0.7rem 0.9rem; border-radius: 4px; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: 0.9rem; }
@media screen and (max-width: 34rem) {
  figure.wide img { max-width: none; width: 40rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dt { margin-top: 0.4rem; }
  th, td { padding: 0.3rem 0.5rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  figure, table, pre { break-inside: avoid; }
  figure img { max-height: 11cm; width: auto; }
  h2 { break-after: avoid; }
  .scroll, figure { overflow: visible; }
  .numbers { font-size: 8.5pt; }
  th, td { padding: 0.2rem 0.4rem; white-space: normal; }
}
"""


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    metrics: Mapping[str, Any] | None = None,
    figures: Mapping[str, Figure | Sequence[Figure]] | None = None,
    tables: Mapping[str, Rows] | None = None,
    notes: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    command: str = "",
) -> Path:
    """Write the report of an evaluation or a study as one HTML file that needs no other file and no network.

    Parameters
    ----------
    path : path
        The file to write, usually ending in .html; missing folders are made. It appears whole or not at all.
    title : str
        Heading of the page.
    metrics : mapping, optional
        Of `evaluate_scores` or `evaluate_classes`; the headline table.
    figures : mapping of heading to Figure or sequence of Figures, optional
        Sections in this order. Each figure is drawn as SVG, or as PNG where the SVG would be large.
    tables : mapping of heading to rows, optional
        Rows are mappings of column name to value. A heading that also names a figure shares its section.
    notes : mapping of heading to text, optional
        A sentence below a heading; headings of no figure and no table make sections of their own.
    provenance : mapping, optional
        Where the sample and the tagger come from, nested as deep as need be.
    command : str
        The command that made the report.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    JetforgeError
        The file cannot be written.
    """
    figures, tables, notes = figures or {}, tables or {}, notes or {}
    parts = [f"<h1>{escape(title)}</h1>"]
    if metrics is not None:
        parts.append(_headline(metrics))
    for heading in dict.fromkeys([*figures, *tables, *notes]):
        parts.append(_section(heading, figures.get(heading), tables.get(heading), notes.get(heading, "")))
    if provenance:
        parts.append(f"<section><h2>Provenance</h2>{_definitions(provenance)}</section>")
    if command:
        parts.append(f"<section><h2>Command</h2><pre>{escape(command)}</pre></section>")
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )
    path = Path(path)
    # A file name that is no Unicode may be among the texts.
    write_atomically(path, page.encode("utf-8", errors="backslashreplace"))
    return path


def save_figures(
    figures: Mapping[str, Figure | Sequence[Figure]], folder: str | os.PathLike[str], *, only: bool = False
) -> list[Path]:
    """Write the figures of a report as files, each as PDF and as PNG.

    Parameters
    ----------
    figures : mapping of heading to Figure or sequence of Figures
        As for `write_report`.
    folder : path
        Made if missing. A file is called by its heading in small letters, with a number from the second of a heading
        on, as in ``roc-curves.pdf`` and ``roc-curves-2.pdf``.
    only : bool
        Remove the PDF and PNG files in the folder that are none of these, those of an earlier report.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    JetforgeError
        A file cannot be written.
    """
    written = []
    for heading, drawn in figures.items():
        name = "-".join(re.findall(r"[a-z0-9]+", heading.lower()))
        for number, figure in enumerate([drawn] if isinstance(drawn, Figure) else drawn, start=1):
            stem = name if number == 1 else f"{name}-{number}"
            for kind, options in (("pdf", {"metadata": {"CreationDate": None}}), ("png", {"dpi": _PNG_DPI})):
                path = Path(folder) / f"{stem}.{kind}"
                write_atomically(path, _drawn(figure, format=kind, **options))
                written.append(path)
    if only:
        for path in {*Path(folder).glob("*.pdf"), *Path(folder).glob("*.png")} - set(written):
            path.unlink(missing_ok=True)
    return written


def _headline(metrics: Mapping[str, Any]) -> str:
    counts = [f"{metrics['num_jets']:,} jets"] if "num_jets" in metrics else []
    for key in ("num_signal", "num_background"):
        if key in metrics:
            counts.append(f"{metrics[key]:,} {key.removeprefix('num_')}")
    if "classes" in metrics:
        counts.append("classes " + ", ".join(str(name) for name in metrics["classes"]))
    notes = []
    if "interval" in metrics:
        notes.append(f"Intervals of the rejections: {metrics['interval']}.")
    if metrics.get("auc_error") is not None:
        notes.append("Error of the AUC: DeLong.")
    if "accuracy_threshold" in metrics:
        notes.append(f"Accuracy: jets of a score above {metrics['accuracy_threshold']:g} count as signal.")
    notes.append(
        "εS and εB are the efficiencies of signal and background; '> x' is the lower end of the 68.27 % "
        "interval where no background jet survives."
    )
    return (
        f'<p class="sub">{escape(" · ".join(counts))}</p>'
        f"{_table(rejection_table(metrics), 'headline')}"
        f'<p class="note">{_symbols(" ".join(notes))}</p>'
    )


def _section(heading: str, figures: Figure | Sequence[Figure] | None, rows: Rows | None, note: str) -> str:
    drawn = [figures] if isinstance(figures, Figure) else list(figures or [])
    parts = [f"<h2>{escape(heading)}</h2>"]
    if note:
        parts.append(f'<p class="note">{escape(note)}</p>')
    parts += [_image(figure, heading) for figure in drawn]
    if rows is not None:
        parts.append(_table(rows, "numbers"))
    return f"<section>{''.join(parts)}</section>"


def _table(rows: Rows, kind: str) -> str:
    columns = list(dict.fromkeys(str(key) for row in rows for key in row))
    if not columns:
        return '<p class="note">No rows.</p>'
    head = "".join(f"<th>{_symbols(column)}</th>" for column in columns)
    body = []
    for row in rows:
        named = {str(key): value for key, value in row.items()}
        body.append("".join(f"<td>{_symbols(_text(named.get(column)))}</td>" for column in columns))
    lines = "".join(f"<tr>{cells}</tr>" for cells in body)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _definitions(mapping: Mapping[str, Any]) -> str:
    items = "".join(f"<dt>{escape(str(key))}</dt><dd>{_nested(value)}</dd>" for key, value in mapping.items())
    return f"<dl>{items}</dl>"


def _nested(value: object) -> str:
    if isinstance(value, Mapping):
        return _definitions(value) if value else "-"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if any(isinstance(item, Mapping) for item in value):
            return "".join(_nested(item) for item in value)
        return escape(", ".join(_text(item) for item in value)) or "-"
    return escape(_text(value))


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _symbols(text: str) -> str:
    """Escape a text for HTML, with subscripts of the efficiencies and true minus signs before numbers."""
    markup = re.sub(r"ε([SB])\b", r"ε<sub>\1</sub>", escape(text))
    return re.sub(r"(?<![^\s])-(?=\d)", "−", markup)


def _image(figure: Figure, alt: str) -> str:
    """Embed a figure: SVG is sharp at any size, but a figure of many cells or points is smaller as PNG."""
    data = b""
    if not any(_is_grid(axes) for axes in figure.axes):
        kind, data = "svg+xml", _drawn(figure, format="svg", metadata={"Date": None})
    if not 0 < len(data) <= _LARGEST_SVG:
        kind, data = "png", _drawn(figure, format="png", dpi=_PNG_DPI, metadata={"Software": None})
    encoded = base64.b64encode(data).decode("ascii")
    width = round(figure.get_figwidth() * 96)
    wide = ' class="wide"' if width > 700 else ""
    return f'<figure{wide}><img alt="{escape(alt)}" width="{width}" src="data:image/{kind};base64,{encoded}"></figure>'


def _drawn(figure: Figure, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with hep_style():
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def _is_grid(axes: Axes) -> bool:
    return any(isinstance(drawn, QuadMesh) for drawn in axes.collections)
