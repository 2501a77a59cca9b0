"""The order in which the constituents of a jet are met on a walk through its Lund tree."""

from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.clustering.kernel import cluster, load_particles, workspace
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.kinematics import largest_jet
from jetforge.physics.parallel import for_all_jets


@njit(cache=True, nogil=True)
def _leaf_kernel(first: int, last: int, flat: FlatJets, order: npt.NDArray[np.int64]) -> None:
    """Write the constituents of the jets first <= j < last in the order of the walk, counted within the jet."""
    largest = largest_jet(flat.offsets, first, last)
    particles, history, slots = workspace(largest)
    kt2 = np.empty(2 * largest + 1)
    # What is still to be visited: each step down adds one softer prong at most.
    waiting = np.empty(largest + 1, dtype=np.int64)
    for j in range(first, last):
        n = load_particles(flat, j, particles)
        if n == 0:
            continue
        at = flat.offsets[j]
        if n == 1:
            order[at] = 0
            continue
        cluster(n, particles, history, slots, 0.0, inf, False)
        for k in range(2 * n - 1):
            kt2[k] = particles.px[k] * particles.px[k] + particles.py[k] * particles.py[k]
        waiting[0], size = 2 * n - 2, 1
        while size > 0:
            size -= 1
            k = waiting[size]
            if k < n:
                order[at] = k
                at += 1
                continue
            a, b = history.first[k - n], history.second[k - n]
            swap = kt2[b] > kt2[a]
            waiting[size] = a if swap else b
            waiting[size + 1] = b if swap else a
            size += 2


def leaf_order(constituents: Any, *, num_threads: int | None = None) -> npt.NDArray[np.int64]:
    """Return the order in which the constituents of each jet are met as the leaves of its Cambridge/Aachen tree.

    The walk starts at the root and goes down the harder prong, by pT, of each declustering before the softer one, so
    that the constituents of a prong stand together. The tree is that of `jetforge.lund_tree`. Recurrent networks have
    read jets in orders of this kind: Louppe, Cho, Becot, Cranmer, arXiv:1702.00748; Egan, Fedorko, Lister, Pearkes,
    Gay, arXiv:1711.09059.

    Parameters
    ----------
    constituents
        Jets: an awkward array of constituents, a `jetforge.Jets` or a `FlatJets`; momenta in GeV.
    num_threads
        Number of threads; the result does not depend on it.

    Returns
    -------
    array, int64, shape (n_constituents,)
        Jet after jet, the numbers of its constituents, counted within the jet.

    Raises
    ------
    DataError
        If the constituents are not four-momenta (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If the number of threads is below 1.
    """
    flat = flat_of(constituents)
    order = np.empty(len(flat.px), dtype=np.int64)
    for_all_jets(_leaf_kernel, len(flat.offsets) - 1, flat, order, num_threads=num_threads)
    return order
