"""Compiled steps of N-subjettiness: one clustering of a jet gives the axes of every N."""

from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.clustering.kernel import History, Particles, cluster, load_particles, workspace
from jetforge.physics.clustering.neighbours import Workspace
from jetforge.physics.flat import FlatJets
from jetforge.physics.kinematics import Points, largest_jet, load_points
from jetforge.physics.prongs.given_axes import GivenAxes
from jetforge.physics.prongs.minimised_axes import Cloud, Rule, cloud_memory, minimise, pad, sum_about_axes, sum_of_pt
from jetforge.physics.prongs.seeds import Seeds, exclusive_axes, hardest_axes

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


class Choice(NamedTuple):
    """What compiled code has to know."""

    seeds: Seeds
    one_pass: bool
    rule: Rule
    normalised: bool
    scale: float  # R0^beta
    beam2: float  # squared distance beyond which a constituent counts for the beam


class JetAxes(NamedTuple):
    """Axes of all jets, and the axis of each constituent."""

    counts: _Integers  # (n_jets,)
    axes: _Floats  # (n_jets, n, 3): rapidity, azimuth, term of tau
    subjet: _Integers  # (n_constituents,); -1 for the beam


class _Memory(NamedTuple):
    """Work memory of a range of jets."""

    particles: Particles
    history: History
    slots: Workspace
    cloud: Cloud
    axes: _Floats


@njit(cache=True)
def _memory(flat: FlatJets, first: int, last: int, n_axes: int) -> _Memory:
    largest = largest_jet(flat.offsets, first, last)
    particles, history, slots = workspace(largest)
    return _Memory(particles, history, slots, cloud_memory(largest), np.empty((2, n_axes)))


@njit(cache=True, error_model="numpy")
def _prepare(flat: FlatJets, j: int, choice: Choice, given: GivenAxes | None, memory: _Memory) -> tuple[int, int, int]:
    """Load the constituents of jet j, and cluster them if no axes are given.

    Returns
    -------
    n, size, steps
        The number of constituents, the same with padding, and the number of steps of the clustering.
    """
    particles, cloud = memory.particles, memory.cloud
    steps = 0
    if given is None:
        n = load_particles(flat, j, particles)
        steps = cluster(
            n, particles, memory.history, memory.slots, choice.seeds.power, choice.seeds.radius, choice.seeds.wta
        )
        for i in range(n):
            cloud.pt[i] = sqrt(particles.px[i] * particles.px[i] + particles.py[i] * particles.py[i])
            cloud.rapidity[i] = particles.rapidity[i]
            cloud.phi[i] = particles.phi[i]
    else:
        n = load_points(flat, j, Points(cloud.pt, cloud.rapidity, cloud.phi))
    return n, pad(n, cloud) if n > 0 else 0, steps


@njit(cache=True, error_model="numpy")
def _find_axes(
    n: int, size: int, steps: int, j: int, n_axes: int, choice: Choice, given: GivenAxes | None, memory: _Memory
) -> int:
    """Write up to n_axes axes into the memory and return their number; without given axes, there are n > n_axes."""
    axes = memory.axes
    if given is not None:
        found = min(n_axes, int(given.counts[j]))
        for k in range(found):
            axes[0, k] = given.axes[j, k, 0]
            axes[1, k] = given.axes[j, k, 1]
    elif choice.seeds.hardest:
        found = hardest_axes(n, steps, n_axes, memory.particles, memory.history, axes)
    else:
        found = exclusive_axes(n, steps, n_axes, memory.particles, memory.history, axes)
    if choice.one_pass:
        minimise(size, memory.cloud, axes, found, n_axes, choice.rule)
    return int(found)


@njit(cache=True, nogil=True, error_model="numpy")
def tau_kernel(
    first: int, last: int, flat: FlatJets, numbers: _Integers, choice: Choice, given: GivenAxes | None, out: _Floats
) -> None:
    """Write tau_N of the jets first <= j < last, for all numbers of axes."""
    memory = _memory(flat, first, last, numbers.max())
    cloud, axes = memory.cloud, memory.axes
    for j in range(first, last):
        n, size, steps = _prepare(flat, j, choice, given, memory)
        total = sum_of_pt(size, cloud)
        for m in range(len(numbers)):
            out[j, m] = 0.0
            if total > 0.0 and (given is not None or n > numbers[m]):
                found = _find_axes(n, size, steps, j, numbers[m], choice, given, memory)
                if found > 0:
                    tau = sum_about_axes(size, cloud, axes, found, choice.rule.beta, choice.beam2)
                    out[j, m] = tau / total / choice.scale if choice.normalised else tau


@njit(cache=True, nogil=True, error_model="numpy")
def axes_kernel(
    first: int, last: int, flat: FlatJets, n_axes: int, choice: Choice, given: GivenAxes | None, out: JetAxes
) -> None:
    """Write the axes of the jets first <= j < last, and the subjet of every constituent."""
    memory = _memory(flat, first, last, n_axes)
    cloud, axes = memory.cloud, memory.axes
    for j in range(first, last):
        n, size, steps = _prepare(flat, j, choice, given, memory)
        o = flat.offsets[j]
        found = 0
        if n == 0:
            out.counts[j] = 0
            continue
        if given is None and n <= n_axes:
            found = n
            for i in range(n):
                axes[0, i], axes[1, i] = cloud.rapidity[i], cloud.phi[i]
        else:
            found = _find_axes(n, size, steps, j, n_axes, choice, given, memory)
        total = sum_of_pt(size, cloud)
        sum_about_axes(size, cloud, axes, found, choice.rule.beta, choice.beam2)
        unit = total * choice.scale if choice.normalised else 1.0
        out.counts[j] = found
        for k in range(found):
            out.axes[j, k, 0], out.axes[j, k, 1], out.axes[j, k, 2] = axes[0, k], axes[1, k], 0.0
        for i in range(n):
            k = cloud.nearest[i] if found > 0 and cloud.distance2[i] < choice.beam2 else -1
            if given is None and n <= n_axes:
                k = i
            out.subjet[o + i] = k
            if k >= 0 and unit > 0.0:
                out.axes[j, k, 2] += cloud.weight[i] / unit
