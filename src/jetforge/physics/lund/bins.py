"""Bins of the Lund plane: coordinates, edges, cuts, and the declusterings that are counted."""

from collections.abc import Callable, Iterator
from math import inf, log, pi
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import known, number, whole_numbers
from jetforge.physics.flat import FlatJets
from jetforge.physics.lund.leaves import secondary_blocks
from jetforge.physics.lund.limits import ln_limit, real_numbers
from jetforge.physics.lund.tree import LundArrays
from jetforge.physics.lund.trees import LundTrees, lund_blocks

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
    """Limits between which a declustering is counted; kt in GeV. A grid has their logarithms."""

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
    cuts = LundCuts(*map(ln_limit, LundCuts._fields, cuts))
    if edges is not None:
        if any(given is not None for given in ranges):
            raise JetforgeError("edges and ranges are both given; leave out x_range and y_range")
        x_edges, y_edges = _given_edges(edges)
        return LundGrid(*names, x_edges, y_edges, plane, R0, cuts)
    numbers = whole_numbers("bins", bins, 1)
    if len(numbers) > 2:
        raise JetforgeError(f"bins is {bins!r}; it must be whole numbers, one or one for each coordinate")
    numbers = np.broadcast_to(numbers, 2)
    x_edges, y_edges = (
        _even_edges(f"{axis}_range", int(n_bins), _COORDINATES[name].range if given is None else given)
        for axis, n_bins, given, name in zip("xy", numbers, ranges, names, strict=True)
    )
    return LundGrid(*names, x_edges, y_edges, plane, R0, cuts)


def _even_edges(name: str, n_bins: int, given: Any) -> _Floats:
    limits = real_numbers(given)
    if limits is None or limits.shape != (2,) or not _rises(limits):
        raise JetforgeError(f"{name} is {given!r}; it must be two finite numbers that rise")
    edges: _Floats = np.linspace(limits[0], limits[1], n_bins + 1)
    if not _rises(edges):
        raise JetforgeError(f"{name} is {given!r}; it is too narrow for {n_bins} bins")
    return edges


def _given_edges(edges: Any) -> tuple[_Floats, _Floats]:
    try:
        pair = tuple(edges)
    except TypeError:
        raise JetforgeError(f"edges is {edges!r}; give those in x and those in y") from None
    if len(pair) != 2:
        raise JetforgeError(f"edges: give those in x and those in y, not {len(pair)} of them")
    checked = []
    for axis, given in zip("xy", pair, strict=True):
        values = real_numbers(given)
        if values is None or values.ndim != 1 or len(values) < 2 or not _rises(values):
            raise JetforgeError(f"edges in {axis} is {given!r}; it must be two or more finite numbers that rise")
        checked.append(values.copy())
    return checked[0], checked[1]


def _rises(edges: _Floats) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.all(np.isfinite(edges)) and np.all(np.diff(edges) > 0) and np.isfinite(edges[-1] - edges[0]))


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
            if low > -inf or high < inf:
                counted &= (values >= low) & (values <= high)
        x, y = (_COORDINATES[name].of(trees, grid.R0) for name in (grid.x, grid.y))
        yield Entries(trees.offsets, x, y, counted)
