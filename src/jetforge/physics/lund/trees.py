"""Lund trees as the functions of the Lund plane take and give them.

A function takes jets or trees that are already made, works through them in blocks of jets, so that memory does
not grow with the sample, and gives selections of declusterings whose links are those of a tree again.
"""

from collections.abc import Iterable, Iterator
from math import cos, exp, log, sqrt
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import DataError
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.kinematics import largest_jet
from jetforge.physics.lund.tree import FLOOR, Z_FLOOR, LundArrays, declustered
from jetforge.physics.parallel import for_all_jets

DROPPED = -2
"""In place of the index of a parent: this declustering is left out."""
JETS_PER_BLOCK = 16384
"""Trees of so many jets are in memory at once."""

_Floats = npt.NDArray[np.float64]
_KINDS: dict[str, tuple[type, str]] = dict.fromkeys(LundArrays._fields[1:6], (np.float64, "finite")) | {
    "parent": (np.int64, "a whole number"),
    "is_primary": (np.bool_, "True or False"),
    "is_hard": (np.bool_, "True or False"),
}
# Below ln of the floors plus this, a logarithm may stand for any smaller number.
_ABOVE = 1e-9
_LN_FLOOR = log(FLOOR) + _ABOVE
_LN_Z_FLOOR = log(Z_FLOOR) + _ABOVE


class LundTrees(NamedTuple):
    """Lund trees with the prong that each declustering is in; the other fields are those of `LundArrays`.

    `is_hard` has shape (n_declusterings,): whether the declustering is in the harder prong of its parent. It is
    True for the root, and `is_primary` is True where it is so all the way from the root.
    """

    offsets: npt.NDArray[np.int64]
    ln_kt: _Floats
    ln_delta: _Floats
    ln_z: _Floats
    ln_m: _Floats
    psi: _Floats
    parent: npt.NDArray[np.int64]
    is_primary: npt.NDArray[np.bool_]
    is_hard: npt.NDArray[np.bool_]


def lund_source(jets: Any, *, links: bool) -> FlatJets | LundArrays | LundTrees:
    """Return jets or Lund trees in flat arrays.

    Parameters
    ----------
    jets
        What `jetforge.physics.flat.flat_of` takes, or Lund trees: of `jetforge.lund_tree`, of a function of this
        package that gives trees, or `LundArrays`.
    links
        Whether the links of trees are needed, and checked. Without, any selection of declusterings will do.

    Raises
    ------
    DataError
        If these are neither; if declusterings lack a field, or have one that is missing, not a number, NaN or
        infinite; if offsets do not divide the declusterings into jets; if the links are not those of a tree.
    """
    source: FlatJets | LundArrays | LundTrees
    if isinstance(jets, LundArrays | LundTrees):
        source = _from_flat(jets)
    elif isinstance(jets, ak.Array) and not {"ln_kt", "ln_delta"}.isdisjoint(jets.fields):
        source = _from_awkward(jets)
    else:
        return flat_of(jets)
    if links:
        prongs = source.is_hard if isinstance(source, LundTrees) else np.empty(0, dtype=np.bool_)
        jet = _first_unlinked(source.offsets, source.parent, source.is_primary, prongs)
        if jet >= 0:
            raise DataError(
                f"jet {jet}: the links of the declusterings are not those of a tree; give the whole tree of "
                "jetforge.lund_tree, and select with cut_tree"
            )
    return source


def _from_flat(trees: LundArrays | LundTrees) -> LundArrays | LundTrees:
    try:
        given: npt.NDArray[Any] = np.asarray(trees.offsets)
    except (TypeError, ValueError):
        given = np.empty(0)
    if given.ndim != 1 or len(given) == 0 or given.dtype.kind not in "iu":
        raise DataError("offsets of the declusterings must be one row of whole numbers, one more than there are jets")
    offsets = np.require(given, np.int64, ["C", "W"])
    if offsets[0] != 0 or np.any(np.diff(offsets) < 0):
        raise DataError("offsets of the declusterings must start at 0 and never fall")
    return type(trees)(offsets, *map(_column, trees._fields[1:], trees[1:], [offsets] * (len(trees) - 1)))


def _from_awkward(trees: ak.Array) -> LundArrays | LundTrees:
    absent = [name for name in LundArrays._fields[1:] if name not in trees.fields]
    if absent:
        raise DataError(f"declusterings lack the field {absent[0]}; make them with jetforge.lund_tree")
    if trees.ndim != 2:
        raise DataError(f"declusterings are of type {trees.type}; they must be n_jets * var * record")
    if any(ak.any(ak.is_none(trees.ln_kt, axis=axis), axis=None) for axis in (0, 1)):
        raise DataError("declusterings: some are missing (None); drop them with ak.drop_none")
    offsets = np.zeros(len(trees) + 1, dtype=np.int64)
    np.cumsum(ak.to_numpy(ak.num(trees)), out=offsets[1:])
    declusterings = ak.flatten(trees)
    kind: type[LundArrays | LundTrees] = LundTrees if "is_hard" in trees.fields else LundArrays
    return kind(offsets, *(_column(name, declusterings[name], offsets) for name in kind._fields[1:]))


def _column(name: str, given: Any, offsets: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Return one number of each declustering as kernels take it."""
    wrong = DataError(f"field {name} of the declusterings must be one number each, none of them missing")
    try:
        column = np.asarray(given)
    except (TypeError, ValueError):
        raise wrong from None
    if column.ndim != 1 or column.dtype.kind not in "biuf" or np.ma.is_masked(given):
        raise wrong
    if len(column) != offsets[-1]:
        raise DataError(f"field {name} has {len(column)} declusterings, the offsets end at {offsets[-1]}")
    kind, what = _KINDS[name]
    with np.errstate(invalid="ignore", over="ignore"):  # what does not fit is refused below
        plain = np.require(column, kind, ["C", "W"])
    if kind is np.float64:
        bad = ~np.isfinite(plain)
    else:
        bad = plain != column if plain.dtype != column.dtype else np.zeros(0, dtype=np.bool_)
    if bad.any():
        jet = int(np.searchsorted(offsets, np.argmax(bad), side="right")) - 1
        raise DataError(f"jet {jet}: {name} of a declustering is not {what}; drop or repair this jet")
    return plain


@njit(cache=True)
def _first_unlinked(
    offsets: npt.NDArray[np.int64],
    parent: npt.NDArray[np.int64],
    is_primary: npt.NDArray[np.bool_],
    is_hard: npt.NDArray[np.bool_],
) -> int:
    """Return the first jet whose links are not those of a Lund tree, or -1; `is_hard` may be empty."""
    n_jets = len(offsets) - 1
    children = np.empty((3, largest_jet(offsets, 0, n_jets)), dtype=np.int64)
    for jet in range(n_jets):
        begin, n = offsets[jet], offsets[jet + 1] - offsets[jet]
        children[:, :n] = 0
        for local in range(n):
            i, p = begin + local, parent[begin + local]
            primary = is_primary[i]
            hard = primary if len(is_hard) == 0 else is_hard[i]
            if local == 0:
                if p != -1 or not primary or not hard:
                    return jet
                continue
            if p < 0 or p >= local or (primary and not is_primary[begin + p]):
                return jet
            if len(is_hard) > 0 and primary != (hard and is_primary[begin + p]):
                return jet
            # A prong has one declustering at most; without is_hard, only primary prongs are told apart.
            children[0, p] += 1
            children[1, p] += hard
            children[2, p] += len(is_hard) > 0 and not hard
            if children[0, p] > 2 or children[1, p] > 1 or children[2, p] > 1:
                return jet
    return -1


def lund_blocks(source: FlatJets | LundArrays | LundTrees, *, num_threads: int | None) -> Iterator[LundArrays]:
    """Return the trees of the jets, some jets after the other; of no jets, one block of no trees.

    Trees that have `is_hard` lose it here: `prong_blocks` keeps it.
    """
    for part in _parts(source):
        yield (
            part if isinstance(part, LundArrays)
            else LundArrays(*part[:-1]) if isinstance(part, LundTrees)
            else declustered(part, prongs=False, num_threads=num_threads)[0]
        )  # fmt: skip


def prong_blocks(source: FlatJets | LundArrays | LundTrees, *, num_threads: int | None) -> Iterator[LundTrees]:
    """Return the trees of the jets with the prong of each declustering, in the blocks of `lund_blocks`.

    Of jets, and of trees with `is_hard`, it is known; of other trees it follows from the numbers.
    """
    for part in _parts(source):
        if isinstance(part, LundTrees):
            yield part
        elif isinstance(part, LundArrays):
            is_hard = np.empty(len(part.parent), dtype=np.bool_)
            for_all_jets(_prong_kernel, len(part.offsets) - 1, part, is_hard, num_threads=num_threads)
            yield LundTrees(*part, is_hard)
        else:
            trees, is_hard = declustered(part, prongs=True, num_threads=num_threads)
            yield LundTrees(*trees, is_hard)


def _parts(source: Any) -> Iterator[Any]:
    n_jets = len(source.offsets) - 1
    for first in range(0, max(n_jets, 1), JETS_PER_BLOCK):
        offsets = source.offsets[first : first + JETS_PER_BLOCK + 1]
        columns = (column[offsets[0] : offsets[-1]] for column in source[1:])
        yield type(source)(offsets - offsets[0], *columns)


@njit(cache=True, nogil=True, error_model="numpy")
def _prong_kernel(first: int, last: int, trees: LundArrays, is_hard: npt.NDArray[np.bool_]) -> None:
    """Find for the jets first <= j < last which declusterings are in the harder prong of their parent.

    On the primary plane that is known. Elsewhere the links do not tell, but the pT of a declustering's pair is that
    of the prong. Of two children the harder is in the harder prong, and a single one is in the prong that its pT is
    nearer to. Where that is not known, below the floors, it counts as in the harder one.
    """
    largest = largest_jet(trees.offsets, first, last)
    older, younger = np.empty(largest, dtype=np.int64), np.empty(largest, dtype=np.int64)
    pair_pt = np.empty(largest)
    parent, is_primary = trees.parent, trees.is_primary
    ln_kt, ln_delta, ln_z, psi = trees.ln_kt, trees.ln_delta, trees.ln_z, trees.psi
    for jet in range(first, last):
        begin = trees.offsets[jet]
        n = trees.offsets[jet + 1] - begin
        older[:n] = -1
        younger[:n] = -1
        for local in range(n):
            i, p = begin + local, parent[begin + local]
            is_hard[i] = is_primary[i]
            if p >= 0 and not is_primary[begin + p]:
                pair_pt[local] = _pair_pt(ln_kt[i], ln_delta[i], ln_z[i], psi[i])
                if older[p] < 0:
                    older[p] = local
                else:
                    younger[p] = local
        for p in range(n):
            a, b, i = older[p], younger[p], begin + p
            if a < 0:
                continue
            pt_a, pt_b = pair_pt[a], pair_pt[b] if b >= 0 else -1.0
            if pt_a >= 0.0 and pt_b >= 0.0:
                a_is_hard = pt_a >= pt_b
            else:
                known_is_hard = _is_near_hard_prong(max(pt_a, pt_b), ln_kt[i], ln_delta[i], ln_z[i])
                a_is_hard = known_is_hard == (pt_a >= pt_b)
            is_hard[begin + a] = a_is_hard
            if b >= 0:
                is_hard[begin + b] = not a_is_hard


@njit(cache=True, error_model="numpy")
def _pair_pt(ln_kt: float, ln_delta: float, ln_z: float, psi: float) -> float:
    """Return the transverse momentum of the pair of a declustering; -1 if it is not known.

    With pt_soft = kt/Delta, the azimuth between the prongs, Delta cos(psi), gives the vector sum.
    """
    if ln_kt < _LN_FLOOR or ln_delta < _LN_FLOOR or ln_z < _LN_Z_FLOOR:
        return -1.0
    z = exp(ln_z)
    turn = 1.0 - cos(exp(ln_delta) * cos(psi))
    return float(exp(ln_kt - ln_delta) / z * sqrt(max(1.0 - 2.0 * z * (1.0 - z) * turn, 0.0)))


@njit(cache=True, error_model="numpy")
def _is_near_hard_prong(pt: float, ln_kt: float, ln_delta: float, ln_z: float) -> bool:
    """Say whether a transverse momentum is nearer, in its logarithm, to the hard than to the soft prong's."""
    if pt < 0.0 or ln_kt < _LN_FLOOR or ln_delta < _LN_FLOOR or ln_z < _LN_Z_FLOOR:
        return True
    z = exp(ln_z)
    pt_soft = exp(ln_kt - ln_delta)
    return bool(pt * pt >= pt_soft * pt_soft * (1.0 - z) / z)


def relinked(trees: LundTrees, parent: npt.NDArray[np.int64]) -> LundTrees:
    """Return the declusterings that are not `DROPPED`, with the parents given (n_declusterings,)."""
    kept = parent != DROPPED
    numbers = np.zeros(len(kept) + 1, dtype=np.int64)
    np.cumsum(kept, out=numbers[1:])
    columns = {name: getattr(trees, name)[kept] for name in trees._fields[1:]}
    return LundTrees(numbers[trees.offsets], **columns | {"parent": parent[kept]})


def as_awkward(source: FlatJets | LundArrays | LundTrees, blocks: Iterable[LundTrees]) -> ak.Array:
    """Return trees as `jetforge.lund_tree` does, with the field `is_hard` besides.

    `source` is what the blocks of trees, or of selections, were made of. Columns with room for all its declusterings
    are filled block by block and cut to size: memory that is not written to is not taken, so that the trees are never
    there twice.
    """
    sizes = np.diff(source.offsets)
    room = int(np.maximum(sizes - 1, 0).sum() if isinstance(source, FlatJets) else sizes.sum())
    names = LundTrees._fields[1:]
    columns: dict[str, npt.NDArray[Any]] = {name: np.empty(room, dtype=_KINDS[name][0]) for name in names}
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    jet = size = 0
    for block in blocks:
        n_jets, n = len(block.offsets) - 1, len(block.parent)
        offsets[jet + 1 : jet + n_jets + 1] = size + block.offsets[1:]
        for name, column in columns.items():
            column[size : size + n] = getattr(block, name)
        jet, size = jet + n_jets, size + n
    for column in columns.values():
        column.resize(size, refcheck=False)
    record = ak.contents.RecordArray([ak.contents.NumpyArray(column) for column in columns.values()], list(columns))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), record))
