"""Bins of the Lund plane: coordinates, edges, cuts, and the declusterings that are counted."""

from collections.abc import Callable, Iterator
from math import inf, log, pi
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import known, number, whole_numbers
from jetforge.physics.flat import FlatJets
from jetforge.physics.lund.leaves import secondary_blocks
from jetforge.physics.lund.tree import LundArrays
from jetforge.physics.lund.trees import LundTrees, check_limits, ln_limit, lund_blocks

Range = tuple[float, float]

_Floats = npt.NDArray[np.float64]


class _Coordinate(NamedTuple):
    of: Callable[[LundArrays | LundTrees, float], _Floats]
    range: Range


_COORDINATES = {
    "ln_inv_delta": _Coordinate(lambda trees, R0: log(R0) - trees.ln_delta, (0.0, 7.0)),
    "ln_delta": _Coordinate(lambda trees, R0: trees.ln_delta - log(R0), (-7.0, 0.0)),
    "ln_kt": _Coordinate(lambda trees, R0: trees.ln_kt, (-3.0, 7.0)),
    "ln_inv_z": _Coordinate(lambda trees, R0: -trees.ln_z, (0.5, 8.5)),
    "ln_z": _Coordinate(lambda trees, R0: trees.ln_z, (-8.5, -0.5)),
    "ln_kappa": _Coordinate(lambda trees, R0: trees.ln_z + trees.ln_delta - log(R0), (-10.0, 0.0)),
    "ln_m": _Coordinate(lambda trees, R0: trees.ln_m, (-3.0, 7.0)),
    "psi": _Coordinate(lambda trees, R0: trees.psi, (-pi, pi)),
}
_PLANES = ("primary", "secondary", "all")


class LundCuts(NamedTuple):
    """Limits between which a declustering is counted; kt in GeV."""

    kt_min: float
    delta_min: float
    delta_max: float
    z_min: float


class LundGrid(NamedTuple):
    """Coordinates and bins of a plane, and the declusterings that are counted."""

    x: str
    y: str
    x_edges: _Floats
    y_edges: _Floats
    plane: str
    R0: float
    cuts: LundCuts


class Entries(NamedTuple):
    """Declusterings of some jets: their coordinates and whether they are counted."""

    offsets: npt.NDArray[np.int64]
    x: _Floats
    y: _Floats
    counted: npt.NDArray[np.bool_]


def lund_grid(
    bins: int | tuple[int, int],
    names: tuple[str, str],
    ranges: tuple[Range | None, Range | None],
    edges: tuple[npt.ArrayLike, npt.ArrayLike] | None,
    plane: str,
    R0: float,
    cuts: LundCuts,
) -> LundGrid:
    """Return the checked bins of a plane."""
    for name in names:
        known("coordinate", name, _COORDINATES)
    if names[0] == names[1]:
        raise JetforgeError(f"coordinate '{names[0]}' is given twice; choose two of {', '.join(_COORDINATES)}")
    known("plane", plane, _PLANES)
    R0 = number("R0", R0, above=0)
    check_limits(**cuts._asdict())
    if edges is not None:
        if ranges != (None, None):
            raise JetforgeError("edges and ranges are both given; leave out x_range and y_range")
        if len(edges) != 2:
            raise JetforgeError(f"edges: give those in x and those in y, not {len(edges)} of them")
        x_edges, y_edges = (_checked_edges(f"edges in {axis}", given) for axis, given in zip("xy", edges, strict=True))
        return LundGrid(*names, x_edges, y_edges, plane, R0, cuts)
    numbers = whole_numbers("bins", bins, 1)
    if len(numbers) > 2:
        raise JetforgeError(f"bins is {bins!r}; it must be whole numbers, one or one for each coordinate")
    numbers = np.broadcast_to(numbers, 2)
    x_edges, y_edges = (
        _even_edges(axis, int(n_bins), given or _COORDINATES[name].range)
        for axis, n_bins, given, name in zip("xy", numbers, ranges, names, strict=True)
    )
    return LundGrid(*names, x_edges, y_edges, plane, R0, cuts)


def _even_edges(axis: str, n_bins: int, limits: Range) -> _Floats:
    low, high = _checked_edges(f"{axis}_range", limits)[[0, -1]].tolist()
    return np.linspace(low, high, n_bins + 1)


def _checked_edges(name: str, given: npt.ArrayLike) -> _Floats:
    try:
        edges = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        edges = np.empty(0)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.isfinite(edges)) or not np.all(np.diff(edges) > 0):
        raise JetforgeError(f"{name} is {given!r}; it must be two or more finite numbers that rise")
    return edges


def lund_entries(
    source: FlatJets | LundArrays | LundTrees, grid: LundGrid, num_threads: int | None
) -> Iterator[Entries]:
    """Return the coordinates of all declusterings, some jets after the other."""
    secondary = grid.plane == "secondary"
    blocks = (secondary_blocks if secondary else lund_blocks)(source, num_threads=num_threads)
    cuts = grid.cuts
    for trees in blocks:
        counted = np.ones(len(trees.ln_kt), dtype=np.bool_) if grid.plane == "all" else trees.is_primary.copy()
        for values, low, high in (
            (trees.ln_kt, cuts.kt_min, inf),
            (trees.ln_delta, cuts.delta_min, cuts.delta_max),
            (trees.ln_z, cuts.z_min, inf),
        ):
            if low > 0.0 or high < inf:
                counted &= (values >= ln_limit(low)) & (values <= ln_limit(high))
        x, y = (_COORDINATES[name].of(trees, grid.R0) for name in (grid.x, grid.y))
        yield Entries(trees.offsets, x, y, counted)
