"""Lund tree: all declusterings of a jet in the variables of the Lund plane.

Dreyer, Salam, Soyez, arXiv:1807.04758 (the plane and its variables), and Dreyer, Qu, arXiv:2012.08526 (the
whole tree of primary, secondary and further declusterings as the input of a network).
"""

from math import inf, sqrt
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.clustering.kernel import History, Particles, cluster, load_particles, workspace
from jetforge.physics.elementary import atan2, log
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.kinematics import largest_jet, wrapped
from jetforge.physics.parallel import for_all_jets

FLOOR = 1e-6
"""Smallest Delta, kt (GeV) and m (GeV) of a declustering."""
Z_FLOOR = 1e-20
"""Smallest z of a declustering; only a prong without transverse momentum is below."""


class LundArrays(NamedTuple):
    """Lund trees of many jets in flat arrays; those of jet j are the entries offsets[j] to offsets[j + 1].

    `offsets` has shape (n_jets + 1,), all others (n_declusterings,). A jet of n constituents has n - 1
    declusterings, the first the root; a parent precedes its children. `parent` counts within the jet, -1 for
    the root.
    """

    offsets: npt.NDArray[np.int64]
    ln_kt: npt.NDArray[np.float64]
    ln_delta: npt.NDArray[np.float64]
    ln_z: npt.NDArray[np.float64]
    ln_m: npt.NDArray[np.float64]
    psi: npt.NDArray[np.float64]
    parent: npt.NDArray[np.int64]
    is_primary: npt.NDArray[np.bool_]


class _Links(NamedTuple):
    """Memory of the walk through one tree: for each entry of `Particles`, where it comes from."""

    kt2: npt.NDArray[np.float64]
    parent: npt.NDArray[np.int64]
    is_primary: npt.NDArray[np.bool_]
    is_hard: npt.NDArray[np.bool_]


@njit(cache=True)
def _collect(n: int, particles: Particles, history: History, links: _Links, out: LundArrays, start: int) -> None:
    """Walk from the root, last merge first, and write links and the raw numbers that `_transform` needs.

    Free of branches: which prong is harder, and which is a constituent, cannot be predicted by the processor.
    """
    px, py, pz, energy = particles.px, particles.py, particles.pz, particles.energy
    root = 2 * n - 2
    for k in range(root + 1):
        links.kt2[k] = px[k] * px[k] + py[k] * py[k]
    links.parent[root] = -1
    links.is_primary[root] = True
    links.is_hard[root] = True
    for d in range(n - 1):
        k = root - d
        i, j = history.first[k - n], history.second[k - n]
        swap = links.kt2[j] > links.kt2[i]
        hard = j if swap else i
        soft = i if swap else j
        at = start + d
        out.ln_delta[at] = particles.rapidity[soft] - particles.rapidity[hard]
        out.psi[at] = particles.phi[soft] - particles.phi[hard]
        out.ln_kt[at] = links.kt2[soft]
        out.ln_z[at] = links.kt2[hard]
        out.ln_m[at] = (energy[k] + pz[k]) * (energy[k] - pz[k]) - links.kt2[k]
        primary = links.is_primary[k]
        out.parent[at] = links.parent[k]
        out.is_primary[at] = primary
        links.parent[hard] = d
        links.parent[soft] = d
        links.is_primary[hard] = primary
        links.is_primary[soft] = False
        links.is_hard[hard] = True
        links.is_hard[soft] = False


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _transform(out: LundArrays, begin: int, end: int) -> None:
    """Turn raw numbers into Lund variables, in place.

    Loops over few slices that start at 0, as the compiler can vectorise.
    """
    ln_kt, ln_delta, ln_z = out.ln_kt[begin:end], out.ln_delta[begin:end], out.ln_z[begin:end]
    ln_m, psi = out.ln_m[begin:end], out.psi[begin:end]
    for i in range(end - begin):
        dy, dphi = ln_delta[i], psi[i]
        dphi = wrapped(dphi)
        ln_delta[i] = sqrt(dy * dy + dphi * dphi)
        psi[i] = atan2(dy, dphi)
    for i in range(end - begin):
        pt_soft, pt_hard = sqrt(ln_kt[i]), sqrt(ln_z[i])
        z = pt_soft / (pt_soft + pt_hard) if pt_hard > 0.0 else 0.0
        ln_kt[i] = pt_soft
        ln_z[i] = log(z if z > Z_FLOOR else Z_FLOOR)
    for i in range(end - begin):
        delta = ln_delta[i]
        kt = ln_kt[i] * delta
        ln_kt[i] = log(kt if kt > FLOOR else FLOOR)
        ln_delta[i] = log(delta if delta > FLOOR else FLOOR)
    for i in range(end - begin):
        m2 = ln_m[i]
        ln_m[i] = 0.5 * log(m2 if m2 > FLOOR * FLOOR else FLOOR * FLOOR)


@njit(cache=True, nogil=True)
def _lund_kernel(first: int, last: int, flat: FlatJets, out: LundArrays, is_hard: npt.NDArray[np.bool_]) -> None:
    """Write the trees of the jets first <= j < last, and the prong of each declustering if there is room for it."""
    largest = largest_jet(flat.offsets, first, last)
    particles, history, slots = workspace(largest)
    room = 2 * largest
    flags = np.empty((2, room), dtype=np.bool_)
    links = _Links(np.empty(room), np.empty(room, dtype=np.int64), flags[0], flags[1])
    for j in range(first, last):
        n = load_particles(flat, j, particles)
        if n < 2:
            continue
        cluster(n, particles, history, slots, 0.0, inf, False)
        start = out.offsets[j]
        _collect(n, particles, history, links, out, start)
        _transform(out, start, out.offsets[j + 1])
        if len(is_hard) > 0:
            for d in range(n - 1):
                is_hard[start + d] = links.is_hard[2 * n - 2 - d]


def lund_arrays(flat: Any, *, num_threads: int | None = None) -> LundArrays:
    """Decluster jets into flat arrays.

    Parameters
    ----------
    flat
        Jets as `jetforge.physics.flat.flatten` returns them, momenta in GeV, or in any other form that
        `jetforge.physics.flat.flat_of` takes.
    num_threads
        Number of threads; by default as many as the process may use (NUMBA_NUM_THREADS if that is set).
        The result does not depend on it. The GIL is released.

    Returns
    -------
    LundArrays
        Lund variables and links of max(n - 1, 0) declusterings for each jet of n constituents, defined as in
        `lund_tree`.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    """
    return declustered(flat_of(flat), prongs=False, num_threads=num_threads)[0]


def declustered(flat: FlatJets, *, prongs: bool, num_threads: int | None) -> tuple[LundArrays, npt.NDArray[np.bool_]]:
    """Return the trees of checked jets and, with `prongs`, which declusterings are in the harder prong of their parent.

    That is what the clustering itself compared, whatever became of the pT in the logarithms.
    """
    n_jets = len(flat.offsets) - 1
    offsets = np.zeros(n_jets + 1, dtype=np.int64)
    np.cumsum(np.maximum(np.diff(flat.offsets) - 1, 0), out=offsets[1:])
    size = int(offsets[-1])
    ln_kt, ln_delta, ln_z, ln_m, psi = (np.empty(size) for _ in range(5))
    parent, is_primary = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.bool_)
    out = LundArrays(offsets, ln_kt, ln_delta, ln_z, ln_m, psi, parent, is_primary)
    is_hard = np.empty(size if prongs else 0, dtype=np.bool_)
    for_all_jets(_lund_kernel, n_jets, flat, out, is_hard, num_threads=num_threads)
    return out, is_hard


def lund_tree(constituents: ak.Array) -> ak.Array:
    """Return all declusterings of each jet, with the links between them.

    The constituents are clustered with the Cambridge/Aachen algorithm, infinite radius and E scheme, and the
    clustering is undone step by step, along both branches.

    Parameters
    ----------
    constituents
        Awkward array of jets, n_jets * var * momentum, in GeV; `jetforge.physics.flat.flatten` lists its
        fields.

    Returns
    -------
    ak.Array
        n_jets * var * record, one record a declustering into a harder and a softer prong (by pT), with

        - ln_delta: ln of Delta = sqrt(dy^2 + dphi^2), the distance of the prongs in rapidity and azimuth;
        - ln_z: ln of z = pt_soft/(pt_soft + pt_hard);
        - ln_kt: ln of kt/GeV, kt = pt_soft Delta;
        - ln_m: ln of m/GeV, the mass of the pair;
        - psi: atan2(y_soft - y_hard, phi_soft - phi_hard), the difference in phi wrapped;
        - parent: index within the jet of the declustering that made this pair, -1 for the root;
        - is_primary: whether only harder branches lead here from the root.

        Index 0 is the root, and a parent precedes its children. A jet of n constituents has n - 1
        declusterings, one without constituents has none. All numbers are finite: Delta, kt and m are at least
        1e-6, z at least 1e-20.

    Raises
    ------
    DataError
        If the constituents are not four-momenta (see `jetforge.physics.flat.flatten`).

    Notes
    -----
    Variables as in Dreyer, Salam, Soyez, arXiv:1807.04758, section 2, and the tree as in Dreyer, Qu,
    arXiv:2012.08526.
    """
    lund = lund_arrays(flat_of(constituents))
    fields = lund._asdict()
    offsets = fields.pop("offsets")
    record = ak.contents.RecordArray([ak.contents.NumpyArray(x) for x in fields.values()], list(fields))
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), record))
