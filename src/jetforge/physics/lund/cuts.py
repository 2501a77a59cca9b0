"""Cuts on Lund trees, and grooming: what is left is a tree again."""

from math import inf, log
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.arguments import flag, number
from jetforge.physics.kinematics import largest_jet
from jetforge.physics.lund.limits import ln_limit
from jetforge.physics.lund.trees import DROPPED, LundTrees, as_awkward, lund_source, prong_blocks, relinked
from jetforge.physics.parallel import for_all_jets

# What happens at a declustering: it stays; it goes, and its hard prong takes its place; its whole pair goes.
_KEEP, _PASS_BY, _END = np.int8(0), np.int8(1), np.int8(2)


def cut_tree(
    constituents: Any,
    *,
    kt_min: float = 0.0,
    delta_min: float = 0.0,
    delta_max: float = inf,
    z_min: float = 0.0,
    num_threads: int | None = None,
) -> ak.Array:
    """Return Lund trees without the declusterings that fail a cut.

    Parameters
    ----------
    constituents
        Jets, or Lund trees (see `jetforge.physics.lund.trees.lund_source`).
    kt_min, delta_min, delta_max, z_min
        A declustering stays if kt >= kt_min (GeV), delta_min <= Delta <= delta_max and z >= z_min.
    num_threads
        Number of threads; by default as many as the process may use.

    Returns
    -------
    ak.Array
        Trees as `jetforge.lund_tree` returns, with the field `is_hard`: whether the declustering is in the harder
        prong of its parent. Jets of which nothing is left have an empty list.

    Raises
    ------
    DataError
        If the jets or trees are broken.
    JetforgeError
        If a cut is negative or NaN.

    Notes
    -----
    A declustering that fails is undone as in the code published with Dreyer, Qu, arXiv:2012.08526: its softer
    prong is dropped with all that is in it, and what follows in its harder prong takes its place in the tree.
    Where Delta is below `delta_min`, the pair counts as one particle, and both prongs are dropped.

    Dropping the soft prong costs nothing above a cut in kt: its constituents have less pT than it has, and are
    closer together than the two prongs are, so that their kt is below the cut as well. It is what makes the
    result a tree, and safe: a particle of kt below the cut, or a collinear splitting, changes nothing but
    rounding and recoil. A cut in z drops soft prongs as grooming does, `delta_max` drops what is far from the
    hard prong.
    """
    ln_kt, ln_z = ln_limit("kt_min", kt_min), ln_limit("z_min", z_min)
    ln_least, ln_largest = ln_limit("delta_min", delta_min), ln_limit("delta_max", delta_max)
    source = lund_source(constituents, links=True)

    def cut(trees: LundTrees) -> LundTrees:
        fates = np.zeros(len(trees.parent), dtype=np.int8)
        fates[(trees.ln_kt < ln_kt) | (trees.ln_delta > ln_largest) | (trees.ln_z < ln_z)] = _PASS_BY
        fates[trees.ln_delta < ln_least] = _END
        return _pruned(trees, fates, num_threads)

    return as_awkward(source, map(cut, prong_blocks(source, num_threads=num_threads)))


def groomed_tree(
    constituents: Any,
    *,
    z_cut: float = 0.1,
    beta: float = 0.0,
    R0: float = 0.8,
    recursive: bool = False,
    num_threads: int | None = None,
) -> ak.Array:
    """Return the Lund trees of groomed jets: soft drop, modified mass drop, or recursive soft drop.

    Parameters
    ----------
    constituents
        Jets, or Lund trees (see `jetforge.physics.lund.trees.lund_source`).
    z_cut, beta, R0
        A declustering passes if z > z_cut (Delta/R0)^beta, z_cut from 0 to 1. beta = 0 is the modified mass drop
        tagger, for which R0, the angle at which the cut is z_cut, plays no role.
    recursive
        Whether to go on, in both prongs, after the first declustering that passes; True or False.
    num_threads
        Number of threads; by default as many as the process may use.

    Returns
    -------
    ak.Array
        Trees as those of `cut_tree`. The root is the first primary declustering that passes; a jet without one
        has an empty list, as it is groomed down to one particle.

    Raises
    ------
    DataError
        If the jets or trees are broken.
    JetforgeError
        If z_cut is not from 0 to 1, R0 is not positive, one of the numbers is NaN or infinite, or `recursive` is
        neither True nor False.

    Notes
    -----
    Soft drop: Larkoski, Marzani, Soyez, Thaler, arXiv:1402.2657, eq. (1.1). Modified mass drop: Dasgupta,
    Fregoso, Marzani, Salam, arXiv:1307.0007. Recursive soft drop without an end, N infinite: Dreyer, Necib,
    Soyez, Thaler, arXiv:1804.03657. The soft prong of each declustering that fails is dropped with all in it.
    """
    z_cut, beta, R0 = number("z_cut", z_cut, least=0, most=1), number("beta", beta), number("R0", R0, above=0)
    once = not flag("recursive", recursive)
    ln_cut = log(z_cut) - beta * log(R0) if z_cut > 0.0 else -inf
    source = lund_source(constituents, links=True)

    def groomed(trees: LundTrees) -> LundTrees:
        fates = np.where(trees.ln_z > ln_cut + beta * trees.ln_delta, _KEEP, _PASS_BY).astype(np.int8)
        if once:
            for_all_jets(_spare_kernel, len(trees.offsets) - 1, trees, fates, num_threads=num_threads)
        return _pruned(trees, fates, num_threads)

    return as_awkward(source, map(groomed, prong_blocks(source, num_threads=num_threads)))


def _pruned(trees: LundTrees, fates: npt.NDArray[np.int8], num_threads: int | None) -> LundTrees:
    parent = np.empty(len(fates), dtype=np.int64)
    is_hard = np.empty(len(fates), dtype=np.bool_)
    for_all_jets(_prune_kernel, len(trees.offsets) - 1, trees, fates, parent, is_hard, num_threads=num_threads)
    return relinked(trees._replace(is_hard=is_hard), parent)


@njit(cache=True, nogil=True)
def _spare_kernel(first: int, last: int, trees: LundTrees, fates: npt.NDArray[np.int8]) -> None:
    """Let everything stay but the primary declusterings before the first that passes."""
    for jet in range(first, last):
        waiting = True
        for i in range(trees.offsets[jet], trees.offsets[jet + 1]):
            if trees.is_primary[i]:
                waiting = waiting and fates[i] != _KEEP
            if not (waiting and trees.is_primary[i]):
                fates[i] = _KEEP


@njit(cache=True, nogil=True)
def _prune_kernel(
    first: int,
    last: int,
    trees: LundTrees,
    fates: npt.NDArray[np.int8],
    parent: npt.NDArray[np.int64],
    is_hard: npt.NDArray[np.bool_],
) -> None:
    """Write for the jets first <= j < last the parents among the declusterings that stay, and their prongs.

    A parent precedes its children, so that one walk is enough. For each declustering it is noted what those
    in its hard prong hang on: itself if it stays, what it hung on itself if it is passed by.
    """
    largest = largest_jet(trees.offsets, first, last)
    number = np.empty(largest, dtype=np.int64)
    hard_of_number = np.empty(largest, dtype=np.bool_)
    fate = np.empty(largest, dtype=np.int8)
    for jet in range(first, last):
        begin = trees.offsets[jet]
        kept = 0
        for local in range(trees.offsets[jet + 1] - begin):
            i, p = begin + local, trees.parent[begin + local]
            hangs_on, hard, lives = -1, True, True
            if local > 0:
                passed_by = fate[p] == _PASS_BY
                lives = fate[p] != _END and (trees.is_hard[i] or not passed_by)
                hangs_on = number[p]
                hard = hard_of_number[p] if passed_by else trees.is_hard[i]
            fate[local] = fates[i] if lives else _END
            is_hard[i] = hard
            number[local], hard_of_number[local] = hangs_on, hard
            parent[i] = DROPPED
            if fate[local] == _KEEP:
                parent[i] = hangs_on
                number[local] = kept
                kept += 1
