"""The Lund plane of jets: images, and the average density with its statistical error.

Dreyer, Salam, Soyez, arXiv:1807.04758. All functions take constituents, or trees that are already made.
"""

from math import inf
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.kinematics import largest_jet
from jetforge.physics.lund.bins import Entries, LundCuts, Range, lund_entries, lund_grid
from jetforge.physics.lund.limits import LARGEST, real_numbers
from jetforge.physics.lund.trees import lund_source
from jetforge.physics.parallel import for_all_jets

_Floats = npt.NDArray[np.float64]
_JETS_PER_SUM = 4096  # one set of sums each; large enough that these take no memory to speak of


class LundDensity(NamedTuple):
    """Mean number of declusterings a jet and unit area of the Lund plane.

    Attributes
    ----------
    density : array (n_x, n_y)
        (1/N_jets) d^2 N/(dx dy); by default x = ln(1/Delta) and y = ln(kt/GeV).
    error : array (n_x, n_y)
        Its statistical error, from the scatter of the jets (see `lund_density`).
    counts : array (n_x, n_y) of int64
        Number of declusterings, not weighted.
    x_edges, y_edges : array (n_x + 1,), (n_y + 1,)
        Of the bins.
    outside : float
        Fraction of the declusterings that is outside the edges.
    num_jets : float
        Number of jets, those without declusterings included, or the sum of their weights.
    x, y : str
        Names of the coordinates.
    R0 : float
        Angle that Delta is divided by in the coordinates.
    """

    density: _Floats
    error: _Floats
    counts: npt.NDArray[np.int64]
    x_edges: _Floats
    y_edges: _Floats
    outside: float
    num_jets: float
    x: str
    y: str
    R0: float


def lund_image(
    constituents: Any,
    *,
    bins: int | tuple[int, int] = 50,
    x: str = "ln_inv_delta",
    y: str = "ln_kt",
    x_range: Range | None = None,
    y_range: Range | None = None,
    edges: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    plane: str = "primary",
    R0: float = 1.0,
    kt_min: float = 0.0,
    delta_min: float = 0.0,
    delta_max: float = inf,
    z_min: float = 0.0,
    dtype: npt.DTypeLike = np.float32,
    num_threads: int | None = None,
) -> npt.NDArray[Any]:
    """Return an image of the Lund plane of each jet: the number of its declusterings in each bin.

    Parameters
    ----------
    constituents, bins, x, y, x_range, y_range, edges, plane, R0, kt_min, delta_min, delta_max, z_min, num_threads
        As those of `lund_density`.
    dtype
        Of the images: `float32`, `float64` or an integer type. Those of `uint8` take a quarter of the memory of
        those of `float32`.

    Returns
    -------
    array (n_jets, n_x, n_y)
        A jet's image adds up to its declusterings within the edges. One without declusterings is all zero.

    Raises
    ------
    DataError
        If the jets or trees are broken, or a jet has more declusterings than `dtype` can count.
    JetforgeError
        If a name, a range, an edge or a cut is not one of those described.

    Notes
    -----
    Inputs of convolutional networks in Dreyer, Salam, Soyez, arXiv:1807.04758, section 4. The default bins and
    ranges are those of the code published with Dreyer, Qu, arXiv:2012.08526. A bin holds its lower edge, as in
    `numpy.histogram2d`.
    """
    grid = lund_grid(bins, (x, y), (x_range, y_range), edges, plane, R0, LundCuts(kt_min, delta_min, delta_max, z_min))
    kind = _checked_type(dtype)
    most = np.iinfo(kind).max if kind.kind in "iu" else 2 ** (np.finfo(kind).nmant + 1)
    source = lund_source(constituents, links=plane == "secondary")
    n_jets = len(source.offsets) - 1
    images = np.zeros((n_jets, len(grid.x_edges) - 1, len(grid.y_edges) - 1), dtype=kind)
    first = 0
    for entries in lund_entries(source, grid, num_threads):
        n = len(entries.offsets) - 1
        if int(np.max(np.diff(entries.offsets), initial=0)) > most:
            raise DataError(f"a jet has more than {most} declusterings, which {kind} cannot count; take a larger dtype")
        part = images[first : first + n]
        for_all_jets(_image_kernel, n, entries, grid.x_edges, grid.y_edges, part, num_threads=num_threads)
        first += n
    return images


def _checked_type(dtype: Any) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype if isinstance(dtype, type | str | np.dtype) else np.void)
    except (TypeError, ValueError, SyntaxError):
        kind = np.dtype(np.void)
    if not (kind.isnative and (kind.kind in "iu" or kind in (np.dtype(np.float32), np.dtype(np.float64)))):
        raise JetforgeError(f"dtype {dtype!r} cannot be used; take float32, float64 or an integer type")
    return kind


def lund_density(
    constituents: Any,
    *,
    weights: npt.ArrayLike | None = None,
    bins: int | tuple[int, int] = 50,
    x: str = "ln_inv_delta",
    y: str = "ln_kt",
    x_range: Range | None = None,
    y_range: Range | None = None,
    edges: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    plane: str = "primary",
    R0: float = 1.0,
    kt_min: float = 0.0,
    delta_min: float = 0.0,
    delta_max: float = inf,
    z_min: float = 0.0,
    num_threads: int | None = None,
) -> LundDensity:
    """Return the average Lund plane of a sample, with statistical errors.

    Parameters
    ----------
    constituents
        Jets, or Lund trees or any selection of their declusterings (see
        `jetforge.physics.lund.trees.lund_source`).
    weights : array (n_jets,), optional
        One finite real number a jet, of any sign, with a positive sum.
    bins
        Number of bins, of both coordinates or of each.
    x, y
        The coordinates: `ln_inv_delta` (ln R0/Delta), `ln_delta`, `ln_kt` (kt in GeV), `ln_inv_z` (ln 1/z),
        `ln_z`, `ln_kappa` (ln z Delta/R0), `ln_m` (m in GeV) or `psi`.
    x_range, y_range
        By default 0 to 7 in ln(R0/Delta), -3 to 7 in ln kt and ln m, 0.5 to 8.5 in ln(1/z), -10 to 0 in ln kappa,
        -pi to pi in psi.
    edges
        Edges of the bins in x and y, rising, in place of bins and ranges. Bins may be of different widths; one bin
        in x gives a slice of the plane, with the error of the slice.
    plane
        `primary`, `all` for all declusterings of the tree, or `secondary` for the plane of
        `jetforge.physics.lund.leaves.secondary_lund_plane` (mMDT, z_cut = 0.025).
    R0
        Angle that Delta is divided by, such as the jet radius.
    kt_min, delta_min, delta_max, z_min
        Only declusterings with kt >= kt_min (GeV), delta_min <= Delta <= delta_max and z >= z_min are counted. The
        plane is that of the whole tree: to undo what fails, as grooming does, give a `cut_tree`.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    LundDensity

    Raises
    ------
    DataError
        If the jets or trees are broken, there are no jets, or weights are not one finite number a jet or have no
        positive sum.
    JetforgeError
        If a name, a range, an edge or a cut is not one of those described.

    Notes
    -----
    The density is rho = (1/N_jets) d^2 N/(d ln(1/Delta) d ln kt), Dreyer, Salam, Soyez, arXiv:1807.04758,
    section 2. ATLAS, arXiv:2004.03540, has x = ln_inv_delta with R0 = 0.4 and y = ln_inv_z.

    A jet may have several declusterings in one bin, so that the square root of their number is not the error. With
    n_j of them in jet j of weight w_j and the mean mu = sum w_j n_j/sum w_j, the error of mu is

        sigma^2 = N/(N - 1) sum w_j^2 (n_j - mu)^2/(sum w_j)^2,

    without weights the variance of n_j over N. It is 0 for a single jet. Bins are correlated with each other, as
    one jet fills many of them: the error of a sum of bins is that of one larger bin.
    """
    grid = lund_grid(bins, (x, y), (x_range, y_range), edges, plane, R0, LundCuts(kt_min, delta_min, delta_max, z_min))
    source = lund_source(constituents, links=plane == "secondary")
    n_jets = len(source.offsets) - 1
    weight, exponent = _checked_weights(weights, n_jets)
    shape = (len(grid.x_edges) - 1, len(grid.y_edges) - 1)
    sums, seen, first = np.zeros((4, *shape)), 0, 0
    for entries in lund_entries(source, grid, num_threads):
        n = len(entries.offsets) - 1
        parts = np.zeros((-(-n // _JETS_PER_SUM), 4, *shape))
        for_all_jets(
            _density_kernel, n, entries, weight[first : first + n], grid.x_edges, grid.y_edges, parts,
            num_threads=num_threads, jets_per_task=_JETS_PER_SUM,
        )  # fmt: skip
        sums += parts.sum(axis=0)
        seen += int(np.count_nonzero(entries.counted))
        first += n
    total, total2 = float(weight.sum()), float((weight**2).sum())
    num_jets = float(np.ldexp(total, exponent))
    w_n, w2_n, w2_n2, counts = sums
    mean = w_n / total
    scatter = np.maximum(w2_n2 - 2 * mean * w2_n + mean**2 * total2, 0.0) / total**2
    error = np.sqrt(scatter * n_jets / (n_jets - 1)) if n_jets > 1 else np.zeros(shape)
    area = np.outer(np.diff(grid.x_edges), np.diff(grid.y_edges))
    outside = 1.0 - float(counts.sum()) / seen if seen else 0.0
    return LundDensity(
        mean / area, error / area, counts.astype(np.int64),
        grid.x_edges, grid.y_edges, outside, num_jets, x, y, grid.R0,
    )  # fmt: skip


def _checked_weights(weights: npt.ArrayLike | None, n_jets: int) -> tuple[_Floats, int]:
    """Return the weights divided by a power of 2, so that their squares are within range, and its exponent."""
    if n_jets == 0:
        raise DataError("there are no jets; a density per jet needs at least one")
    if weights is None:
        return np.ones(n_jets), 0
    weight = real_numbers(weights)
    if weight is None:
        raise DataError("weights: not an array of real numbers; give one a jet")
    if weight.shape != (n_jets,):
        raise DataError(f"weights: shape {weight.shape} does not go with {n_jets} jets; give one a jet")
    bad = ~(np.abs(weight) <= LARGEST)
    if bad.any():
        raise DataError(f"weights: {bad.sum()} of {n_jets} are not finite, first of jet {int(np.argmax(bad))}")
    if not weight.sum() > 0.0:
        raise DataError(f"weights add up to {weight.sum():g}; a positive sum is needed")
    exponent = int(np.frexp(np.max(np.abs(weight)))[1])
    return np.ldexp(weight, -exponent), exponent


@njit(cache=True)
def _bin(value: float, edges: _Floats) -> int:
    """Return the bin of a value, -1 for none; the last bin holds both its edges."""
    if not edges[0] <= value <= edges[-1]:
        return -1
    low, high = 0, len(edges) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if value >= edges[middle]:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _image_kernel(
    first: int, last: int, entries: Entries, x_edges: _Floats, y_edges: _Floats, images: npt.NDArray[Any]
) -> None:
    """Fill the images of the jets first <= j < last."""
    for j in range(first, last):
        for i in range(entries.offsets[j], entries.offsets[j + 1]):
            if entries.counted[i]:
                a, b = _bin(entries.x[i], x_edges), _bin(entries.y[i], y_edges)
                if a >= 0 and b >= 0:
                    images[j, a, b] += 1


@njit(cache=True, nogil=True)
def _density_kernel(
    first: int, last: int, entries: Entries, weights: _Floats, x_edges: _Floats, y_edges: _Floats, parts: _Floats
) -> None:
    """Add up, in each bin, w n, w^2 n, w^2 n^2 and n of the jets first <= j < last with n declusterings there."""
    n_y = len(y_edges) - 1
    in_bin = np.zeros((len(x_edges) - 1) * n_y)
    filled = np.empty(largest_jet(entries.offsets, first, last), dtype=np.int64)
    sums = parts[first // _JETS_PER_SUM]
    for j in range(first, last):
        n_filled = 0
        for i in range(entries.offsets[j], entries.offsets[j + 1]):
            if entries.counted[i]:
                a, b = _bin(entries.x[i], x_edges), _bin(entries.y[i], y_edges)
                if a >= 0 and b >= 0:
                    k = a * n_y + b
                    if in_bin[k] == 0.0:
                        filled[n_filled] = k
                        n_filled += 1
                    in_bin[k] += 1.0
        w = weights[j]
        for k in filled[:n_filled]:
            a, b, n = k // n_y, k % n_y, in_bin[k]
            sums[0, a, b] += w * n
            sums[1, a, b] += w * w * n
            sums[2, a, b] += w * w * n * n
            sums[3, a, b] += n
            in_bin[k] = 0.0
