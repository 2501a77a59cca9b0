"""Planes of the Lund tree: the primary one, and those of its leaves, the secondary plane first of all.

Dreyer, Salam, Soyez, arXiv:1807.04758. Each emission of the primary plane, its softer prong, has a plane of its
own: the leaf. That of one leading emission is called the secondary plane of the jet.
"""

from collections.abc import Iterator
from math import exp, inf, log
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import DataError
from jetforge.physics.arguments import known, number
from jetforge.physics.flat import FlatJets
from jetforge.physics.lund.limits import positive
from jetforge.physics.lund.tree import LundArrays
from jetforge.physics.lund.trees import (
    DROPPED,
    JETS_PER_BLOCK,
    LundTrees,
    as_awkward,
    lund_blocks,
    lund_source,
    prong_blocks,
    relinked,
)
from jetforge.physics.parallel import for_all_jets

_RULES = {"mmdt": 0, "dotmmdt": 1, "mass": 2, "kt": 3}
_MMDT, _DOTMMDT, _MASS, _KT = _RULES.values()
_Z_CUT = 0.025
_MASS_OF_W = 80.4


def primary_lund_plane(constituents: Any, *, num_threads: int | None = None) -> ak.Array:
    """Return the primary declusterings of each jet, the first one first.

    Parameters
    ----------
    constituents
        Jets, or Lund trees (see `jetforge.physics.lund.trees.lund_source`).
    num_threads
        Number of threads; by default as many as the process may use.

    Returns
    -------
    ak.Array
        n_jets * var * record, with the fields of `jetforge.lund_tree` and `is_hard`. The plane is a tree of its
        own, a chain: `parent` counts within it, and all functions of trees take it.

    Raises
    ------
    DataError
        If the jets or trees are broken.

    Notes
    -----
    Dreyer, Salam, Soyez, arXiv:1807.04758, section 2.
    """
    source = lund_source(constituents, links=True)

    def primary(trees: LundArrays) -> LundTrees:
        parent = np.empty(len(trees.parent), dtype=np.int64)
        for_all_jets(_primary_kernel, len(trees.offsets) - 1, trees, parent, num_threads=num_threads)
        return relinked(LundTrees(*trees, np.ones(len(parent), dtype=np.bool_)), parent)

    return as_awkward(source, map(primary, lund_blocks(source, num_threads=num_threads)))


def leading_emission(
    constituents: Any,
    rule: str = "mmdt",
    *,
    z_cut: float = _Z_CUT,
    mass: float = _MASS_OF_W,
    num_threads: int | None = None,
) -> npt.NDArray[np.int64]:
    """Return which primary declustering of each jet has the leading emission.

    Parameters
    ----------
    constituents
        Jets, or Lund trees (see `jetforge.physics.lund.trees.lund_source`).
    rule
        - `mmdt`: the first with z > z_cut, as the modified mass drop tagger takes;
        - `dotmmdt`: of those with z > z_cut, the one of the largest pt_hard pt_soft Delta^2, which is the mass
          squared for small angles;
        - `mass`: the one of the smallest abs(ln(pt_hard pt_soft Delta^2/mass^2) ln(1/z));
        - `kt`: the one of the largest kt.
    z_cut
        Of `mmdt` and `dotmmdt`, from 0 to 1.
    mass
        Of `mass`, in GeV.
    num_threads
        Number of threads; by default as many as the process may use.

    Returns
    -------
    array (n_jets,) of int64
        Index in the primary plane; -1 where no declustering qualifies. Of equal ones the first is taken.

    Raises
    ------
    DataError
        If the jets or trees are broken.
    JetforgeError
        If the rule is not known, z_cut is not from 0 to 1, or the mass is not positive.

    Notes
    -----
    The first three are the choices of the LundPlane contrib of FastJet that goes with Dreyer, Salam, Soyez,
    arXiv:1807.04758.
    """
    z_cut, mass = _checked_rule(rule, z_cut, mass)
    source = lund_source(constituents, links=True)
    parts = [_leading(trees, rule, z_cut, mass, num_threads) for trees in lund_blocks(source, num_threads=num_threads)]
    return np.concatenate(parts)


def lund_leaf(constituents: Any, emission: int | npt.ArrayLike, *, num_threads: int | None = None) -> ak.Array:
    """Return the plane of an emission of the primary plane: the declusterings along its own harder branch.

    Parameters
    ----------
    constituents
        Jets, or Lund trees (see `jetforge.physics.lund.trees.lund_source`).
    emission : int or array (n_jets,) of int
        Index in the primary plane of each jet, or one index for all.
    num_threads
        Number of threads; by default as many as the process may use.

    Returns
    -------
    ak.Array
        As `primary_lund_plane` returns: with the emission as the jet, this is its primary plane. It is empty where
        the index is negative or beyond the last, and where the emission is a single particle.

    Raises
    ------
    DataError
        If the jets or trees are broken, or the indices are not integers, one a jet.
    """
    source = lund_source(constituents, links=True)
    n_jets = len(source.offsets) - 1
    wanted = _checked_indices(emission, n_jets)
    parts = (wanted[k : k + JETS_PER_BLOCK] for k in range(0, max(n_jets, 1), JETS_PER_BLOCK))
    blocks = prong_blocks(source, num_threads=num_threads)
    return as_awkward(source, map(lambda trees, here: _leaf(trees, here, num_threads), blocks, parts))


def _checked_indices(emission: Any, n_jets: int) -> npt.NDArray[np.int64]:
    rule = f"give one integer, or one for each of {n_jets} jets"
    try:
        numbers = np.asarray(emission)
    except (TypeError, ValueError):
        raise DataError(f"emission: missing values, or lists of unequal lengths; {rule}") from None
    if numbers.dtype.kind not in "iu" or numbers.shape not in ((), (n_jets,)) or np.ma.is_masked(emission):
        raise DataError(f"emission: {numbers.dtype} of shape {numbers.shape}; {rule}")
    if numbers.dtype.kind == "u":  # what int64 cannot hold is beyond the last as well
        numbers = np.minimum(numbers, np.uint64(np.iinfo(np.int64).max))
    return np.ascontiguousarray(np.broadcast_to(numbers, n_jets), dtype=np.int64)


def secondary_lund_plane(
    constituents: Any,
    rule: str = "mmdt",
    *,
    z_cut: float = _Z_CUT,
    mass: float = _MASS_OF_W,
    num_threads: int | None = None,
) -> ak.Array:
    """Return the secondary plane of each jet: the leaf of its leading emission.

    Parameters
    ----------
    constituents, rule, z_cut, mass, num_threads
        As those of `leading_emission`.

    Returns
    -------
    ak.Array
        As `lund_leaf` returns; empty where there is no leading emission.

    Raises
    ------
    DataError, JetforgeError
        As `leading_emission`.
    """
    z_cut, mass = _checked_rule(rule, z_cut, mass)
    source = lund_source(constituents, links=True)
    return as_awkward(source, secondary_blocks(source, rule, z_cut=z_cut, mass=mass, num_threads=num_threads))


def secondary_blocks(
    source: FlatJets | LundArrays | LundTrees,
    rule: str = "mmdt",
    *,
    z_cut: float = _Z_CUT,
    mass: float = _MASS_OF_W,
    num_threads: int | None,
) -> Iterator[LundTrees]:
    """Return the secondary planes of the jets, in the blocks of `jetforge.physics.lund.trees.prong_blocks`."""
    for trees in prong_blocks(source, num_threads=num_threads):
        plain = LundArrays(*trees[:-1])
        yield _leaf(trees, _leading(plain, rule, z_cut, mass, num_threads), num_threads)


def _checked_rule(rule: str, z_cut: float, mass: float) -> tuple[float, float]:
    known("rule", rule, _RULES)
    return number("z_cut", z_cut, least=0, most=1), positive("mass", mass)


def _leading(trees: LundArrays, rule: str, z_cut: float, mass: float, num_threads: int | None) -> npt.NDArray[np.int64]:
    n_jets = len(trees.offsets) - 1
    out = np.empty(n_jets, dtype=np.int64)
    ln_z_cut = log(z_cut) if z_cut > 0.0 else -inf
    for_all_jets(_leading_kernel, n_jets, trees, _RULES[rule], ln_z_cut, 2 * log(mass), out, num_threads=num_threads)
    return out


def _leaf(trees: LundTrees, emission: npt.NDArray[np.int64], num_threads: int | None) -> LundTrees:
    parent = np.empty(len(trees.parent), dtype=np.int64)
    for_all_jets(_leaf_kernel, len(emission), trees, emission, parent, num_threads=num_threads)
    leaf = relinked(trees, parent)
    along = np.ones(len(leaf.parent), dtype=np.bool_)
    return leaf._replace(is_primary=along, is_hard=along)


@njit(cache=True, nogil=True)
def _primary_kernel(first: int, last: int, trees: LundArrays, parent: npt.NDArray[np.int64]) -> None:
    """Count the primary declusterings of the jets first <= j < last."""
    for j in range(first, last):
        number = 0
        for i in range(trees.offsets[j], trees.offsets[j + 1]):
            parent[i] = number - 1 if trees.is_primary[i] else DROPPED
            number += trees.is_primary[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _leading_kernel(
    first: int, last: int, trees: LundArrays, rule: int, ln_z_cut: float, ln_mass2: float, out: npt.NDArray[np.int64]
) -> None:
    """Write the leading emission of the jets first <= j < last: the one of the largest merit."""
    for j in range(first, last):
        number, best, out[j] = 0, -inf, -1
        for i in range(trees.offsets[j], trees.offsets[j + 1]):
            if not trees.is_primary[i]:
                continue
            # pt_hard pt_soft Delta^2 = kt^2 (1 - z)/z.
            ln_z = trees.ln_z[i]
            ln_m2 = 2.0 * trees.ln_kt[i] + log(1.0 - exp(ln_z)) - ln_z
            if rule == _MMDT:
                merit = -float(number)
            elif rule == _DOTMMDT:
                merit = ln_m2
            elif rule == _MASS:
                merit = -abs((ln_m2 - ln_mass2) * ln_z)
            else:
                merit = trees.ln_kt[i]
            if merit > best and (ln_z > ln_z_cut or rule in (_MASS, _KT)):
                best, out[j] = merit, number
            number += 1


@njit(cache=True, nogil=True)
def _leaf_kernel(
    first: int, last: int, trees: LundTrees, emission: npt.NDArray[np.int64], parent: npt.NDArray[np.int64]
) -> None:
    """Count the declusterings along the harder branch of the emission of the jets first <= j < last."""
    for j in range(first, last):
        begin = trees.offsets[j]
        primaries, number = 0, 0
        above = -1  # the declustering that the next one is sought below, counted within the jet
        for i in range(begin, trees.offsets[j + 1]):
            parent[i] = DROPPED
            if trees.is_primary[i]:
                if primaries == emission[j]:
                    above = i - begin
                primaries += 1
            elif above >= 0 and trees.parent[i] == above and (trees.is_hard[i] or number == 0):
                parent[i] = number - 1
                number += 1
                above = i - begin
