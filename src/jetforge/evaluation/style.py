"""How the figures look: ticks inside, labels at the ends of the axes, colours that everyone tells apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import mplhep  # noqa: F401  # importing it registers the TeX Gyre fonts
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# M. A. Petroff, arXiv:2107.02270: told apart with any colour vision, and of monotonous lightness.
COLOURS = ("#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#94a4a2", "#a96b59", "#e76300", "#717581")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
BACKGROUND_COLOUR, SIGNAL_COLOUR = COLOURS[:2]

# Any: matplotlib types the keys as one long literal.
_STYLE: Any = {
    # Each text keeps these names, so that a figure looks the same wherever it is saved.
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"],
    "font.size": 12,
    "mathtext.fontset": "stixsans",
    "axes.labelsize": 14,
    "axes.titlesize": 12,
    "axes.linewidth": 1.0,
    "xaxis.labellocation": "right",
    "yaxis.labellocation": "top",
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "xtick.major.size": 7,
    "ytick.major.size": 7,
    "xtick.minor.size": 3.5,
    "ytick.minor.size": 3.5,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "lines.linewidth": 1.8,
    # A fixed salt gives the same SVG for the same figure.
    "svg.hashsalt": "jetforge",
}


@contextmanager
def hep_style() -> Iterator[None]:
    """Apply the style to what is made inside; the caller's own matplotlib settings are left as they were."""
    with mpl.rc_context(_STYLE):
        yield


def new_axes(width: float = 6.0, height: float = 4.6) -> tuple[Figure, Axes]:
    """Return a figure (inches) that no window system and no pyplot knows of, and its only axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()
