"""What all groomers share: the arrays that their kernels fill, and the awkward records made of them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.awkward_arrays import momentum_records
from jetforge.physics.clustering.kernel import History, Particles
from jetforge.physics.flat import FlatJets
from jetforge.physics.parallel import for_all_jets

INDICES, DROPPED, SPLITTINGS, PRONGS = 0, 1, 2, 3  # rows of Lists.ends

_SPLITTING_FIELDS = ("z", "delta", "kt", "mu")

_Choice = TypeVar("_Choice")
_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


class GroomedArrays(NamedTuple):
    """Groomed jets in flat arrays of shape (n_jets,): momenta in GeV, and the splitting at which grooming ended.

    `z_g`, `r_g` and `mu` are 0 where `passed` is False, and always for groomers that look for no splitting.
    """

    px: _Floats
    py: _Floats
    pz: _Floats
    energy: _Floats
    z_g: _Floats
    r_g: _Floats
    mu: _Floats
    passed: npt.NDArray[np.bool_]


class Lists(NamedTuple):
    """What is listed of the jets of one range, jet after jet; kernels leave it alone where it is not `wanted`.

    `ends` holds how much of each list is filled, and column r of `offsets` what that was after jet r of the range.
    """

    wanted: bool
    offsets: _Integers  # (4, jets)
    ends: _Integers  # (4,)
    indices: _Integers  # (room,)
    dropped: _Floats  # (4, room): z, delta, kt, mu
    splittings: _Floats  # (4, room): z, delta, kt, mu
    prongs: _Floats  # (5, room): px, py, pz, energy, and pT^2 to sort by


@njit(cache=True)
def clear_jet(out: GroomedArrays, j: int) -> None:
    """Write an empty jet."""
    out.px[j] = out.py[j] = out.pz[j] = out.energy[j] = 0.0
    out.z_g[j] = out.r_g[j] = out.mu[j] = 0.0
    out.passed[j] = False


@njit(cache=True)
def write_jet(out: GroomedArrays, j: int, particles: Particles, k: int) -> None:
    """Write the momentum of entry k as that of jet j."""
    out.px[j] = particles.px[k]
    out.py[j] = particles.py[k]
    out.pz[j] = particles.pz[k]
    out.energy[j] = particles.energy[k]


@njit(cache=True)
def close_jet(lists: Lists, row: int) -> None:
    """Note where the lists of a jet end."""
    if lists.wanted:
        for name in range(4):
            lists.offsets[name, row] = lists.ends[name]


@njit(cache=True)
def list_dropped(lists: Lists, z: float, delta: float, kt: float, mu: float) -> None:
    """Append a splitting of which a branch was dropped."""
    if lists.wanted:
        at = lists.ends[DROPPED]
        lists.dropped[0, at], lists.dropped[1, at], lists.dropped[2, at], lists.dropped[3, at] = z, delta, kt, mu
        lists.ends[DROPPED] = at + 1


@njit(cache=True)
def list_splitting(lists: Lists, z: float, delta: float, kt: float, mu: float) -> None:
    """Append a splitting of which both branches were kept."""
    if lists.wanted:
        at = lists.ends[SPLITTINGS]
        table = lists.splittings
        table[0, at], table[1, at], table[2, at], table[3, at] = z, delta, kt, mu
        lists.ends[SPLITTINGS] = at + 1


@njit(cache=True)
def list_prong(lists: Lists, particles: Particles, k: int) -> None:
    """Append the momentum of entry k to the prongs."""
    if lists.wanted:
        at = lists.ends[PRONGS]
        lists.prongs[0, at] = particles.px[k]
        lists.prongs[1, at] = particles.py[k]
        lists.prongs[2, at] = particles.pz[k]
        lists.prongs[3, at] = particles.energy[k]
        lists.prongs[4, at] = particles.px[k] * particles.px[k] + particles.py[k] * particles.py[k]
        lists.ends[PRONGS] = at + 1


@njit(cache=True)
def sort_columns(table: _Floats, begin: int, end: int, key: int) -> None:
    """Sort the columns begin <= c < end, largest key first; equal ones keep their order. For short tables."""
    for c in range(begin + 1, end):
        at = c
        while at > begin and table[key, at - 1] < table[key, c]:
            at -= 1
        if at < c:
            for row in range(table.shape[0]):
                moved = table[row, c]
                for x in range(c, at, -1):
                    table[row, x] = table[row, x - 1]
                table[row, at] = moved


@njit(cache=True)
def clear_marks(n: int, kept: npt.NDArray[np.bool_]) -> None:
    """Mark none of the entries of a jet of n constituents."""
    for e in range(2 * n):
        kept[e] = False


@njit(cache=True)
def list_indices(n: int, history: History, kept: npt.NDArray[np.bool_], lists: Lists) -> None:
    """Append the constituents that marked entries are made of, in the order of the jet; marks them as well."""
    if not lists.wanted:
        return
    for e in range(2 * n - 1, n - 1, -1):
        if kept[e]:
            kept[history.first[e - n]] = True
            if history.second[e - n] >= 0:  # below is a branch that was dropped
                kept[history.second[e - n]] = True
    at = lists.ends[INDICES]
    for i in range(n):
        if kept[i]:
            lists.indices[at] = i
            at += 1
    lists.ends[INDICES] = at


def _make_lists(room: int, jets: int, wanted: bool) -> Lists:
    dropped, splittings, prongs = np.empty((4, room)), np.empty((4, room)), np.empty((5, room))
    offsets, ends = np.empty((4, jets if wanted else 0), dtype=np.int64), np.zeros(4, dtype=np.int64)
    return Lists(wanted, offsets, ends, np.empty(room, dtype=np.int64), dropped, splittings, prongs)


def _allocate(n_jets: int) -> GroomedArrays:
    px, py, pz, energy, z_g, r_g, mu = (np.empty(n_jets) for _ in range(7))
    return GroomedArrays(px, py, pz, energy, z_g, r_g, mu, np.empty(n_jets, dtype=np.bool_))


def groom_arrays(
    kernel: Callable[..., Any], flat: FlatJets, *arguments: Any, num_threads: int | None = None
) -> GroomedArrays:
    """Return what kernel(first, last, flat, *arguments, out, lists) writes into `out`; lists are left out."""
    n_jets = len(flat.offsets) - 1
    out = _allocate(n_jets)
    for_all_jets(kernel, n_jets, flat, *arguments, out, _make_lists(0, 0, False), num_threads=num_threads)
    return out


def groom(
    kernel: Callable[..., Any],
    flat: FlatJets,
    *arguments: Any,
    lists: Mapping[str, int],
    extra: Mapping[str, npt.NDArray[Any]] | None = None,
    num_threads: int | None = None,
) -> ak.Array:
    """Return groomed jets, one record a jet with `vector` behaviour.

    Parameters
    ----------
    kernel
        Called as kernel(first, last, flat, *arguments, out, lists).
    flat, *arguments
        Given to the kernel.
    lists
        Which lists become fields, by the name of the field: INDICES, DROPPED, SPLITTINGS or PRONGS.
    extra
        Further fields of one number a jet, which the kernel fills.
    num_threads
        As for `for_all_jets`.

    Returns
    -------
    ak.Array
        Without z_g, R_g and mu where no splitting is sought, that is where DROPPED is not among the lists.
    """
    n_jets = len(flat.offsets) - 1
    out = _allocate(n_jets)
    parts: dict[int, tuple[_Integers, dict[int, npt.NDArray[Any]]]] = {}

    def fill(first: int, last: int) -> None:
        own = _make_lists(int(flat.offsets[last] - flat.offsets[first]), last - first, True)
        kernel(first, last, flat, *arguments, out, own)
        # The buffers have room for all constituents; what is kept of a range is only as long as it needs to be.
        whole = (own.indices, own.dropped, own.splittings, own.prongs[:4])
        parts[first] = (
            np.diff(own.offsets, axis=1, prepend=0),
            {which: whole[which][..., : own.ends[which]].copy() for which in lists.values()},
        )

    for_all_jets(fill, n_jets, num_threads=num_threads)
    if n_jets == 0:
        fill(0, 0)
    in_order = [parts.pop(first) for first in sorted(parts)]
    counts = np.concatenate([part[0] for part in in_order], axis=1)
    fields: dict[str, Any] = {"z_g": out.z_g, "R_g": out.r_g, "mu": out.mu} if DROPPED in lists.values() else {}
    fields |= {"passed": out.passed} | dict(extra or {})
    for name, which in lists.items():
        offsets = np.zeros(n_jets + 1, dtype=np.int64)
        np.cumsum(counts[which], out=offsets[1:])
        content = np.concatenate([part[1].pop(which) for part in in_order], axis=-1)
        fields[name] = ak.contents.ListOffsetArray(ak.index.Index64(offsets), _content(which, content))
    return momentum_records(out.px, out.py, out.pz, out.energy, **fields)


def _content(which: int, table: npt.NDArray[Any]) -> Any:
    """Return the layout of what is listed: numbers, momenta or splittings."""
    if which == INDICES:
        return ak.contents.NumpyArray(table)
    if which == PRONGS:
        return momentum_records(*table).layout
    columns = [ak.contents.NumpyArray(column) for column in table]
    return ak.contents.RecordArray(columns, list(_SPLITTING_FIELDS))
