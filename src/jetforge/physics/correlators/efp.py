"""Energy flow polynomials: a linear basis of the infrared- and collinear-safe observables of a jet.

Komiske, Metodiev, Thaler, arXiv:1712.07124.
"""

from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import flag, floating, known, number
from jetforge.physics.correlators.efp_kernel import padded, program_memory, run
from jetforge.physics.correlators.efp_measures import (
    EE,
    HADR,
    HADRDOT,
    directions_memory,
    load_angles,
    load_directions,
    load_weights,
)
from jetforge.physics.correlators.efp_program import Program, compiled
from jetforge.physics.correlators.multigraph import Edges, multigraphs
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.kinematics import largest_jet
from jetforge.physics.parallel import for_all_jets

__all__ = ["Edges", "energy_flow_polynomial", "energy_flow_polynomials", "multigraphs"]

_MEASURES = {"hadr": HADR, "hadrdot": HADRDOT, "ee": EE}
_MOST_EDGES = 64
_JETS_PER_TASK = 64
# Highest power of ten that all angles of a graph may reach together.
_MOST_DECADES = 250.0

_DOUBLE = np.dtype(np.float64)


def energy_flow_polynomials(
    constituents: Any,
    graphs: Iterable[Iterable[Sequence[int]]] | None = None,
    *,
    degree: int = 7,
    connected: bool = True,
    measure: str = "hadr",
    beta: float = 1.0,
    kappa: float = 1.0,
    normalised: bool = True,
    dtype: npt.DTypeLike = np.float64,
    num_threads: int | None = None,
) -> npt.NDArray[Any]:
    """Return the energy flow polynomials of each jet.

    A multigraph G of V vertices stands for

        EFP_G = sum over i_1, ..., i_V of  z_i1 ... z_iV  times  theta_(i_k i_l) for every edge (k, l) of G

    where every index runs over all constituents (arXiv:1712.07124, eq. 1.1).

    Parameters
    ----------
    constituents
        Awkward array of jets, n_jets * var * momentum, in GeV (see `jetforge.physics.flat.flatten`), a
        `jetforge.Jets` or a `FlatJets`.
    graphs
        The multigraphs, each a sequence of edges (a, b): two different integers that name vertices, repeated where
        an edge is. By default all of `multigraphs(degree, connected=connected)`, in that order; `degree` and
        `connected` are not used otherwise.
    degree
        Highest number of edges: to 7 there are 490 connected graphs.
    connected
        Whether to leave out graphs of several components, whose polynomials are products of the others.
    measure
        What z and theta are; E, pT in GeV, y the rapidity, p the four-momentum:

        - "hadr": z = pT, theta = (dy^2 + dphi^2)^(beta/2);
        - "hadrdot": z = pT, theta = (2 p_i.p_j / (pT_i pT_j))^(beta/2);
        - "ee": z = E, theta = (2 p_i.p_j / (E_i E_j))^(beta/2).

        In the last two a constituent has an angle with itself if it has a mass.
    beta
        Exponent of the angles, above 0.
    kappa
        Exponent of the energies, not below 0: z_i = pT_i^kappa. Only 1 is collinear safe.
    normalised
        Whether to divide: z_i = (pT_i / sum of all pT)^kappa, or the same with E.
    dtype
        float64 or float32, in which the 490 polynomials to degree 7 of a million jets take 2 GB.
    num_threads
        Number of threads; by default as many as the process may use (NUMBA_NUM_THREADS if that is set).
        The result does not depend on it. The GIL is released.

    Returns
    -------
    array of shape (n_jets, n_graphs)
        Dimensionless if normalised, else in GeV^(kappa V). 0 for a jet without transverse momentum ("ee": without
        energy). Constituents without count for nothing, also where kappa is 0. Always finite: a value beyond the
        largest float is that float.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If the measure, an exponent, the degree or a graph is not allowed: a graph has up to 64 edges, and its sum
        takes at most N^6 operations for N constituents.

    Notes
    -----
    The definitions are those of the package EnergyFlow, `kappa` with its "new" normalisation. Masses below some
    5e-8 of the energy are lost in its rounding and taken as zero. An angle is at most 10^(250/edges).

    The first call for a set of graphs takes a fraction of a second to find them and an order of summation. A
    thread needs 31 matrices of N^2 numbers for the graphs to degree 7, 22 MB for jets of up to 300 constituents.
    """
    flat = flat_of(constituents)
    chosen = multigraphs(degree, connected=connected) if graphs is None else _checked_graphs(graphs)
    return _evaluated(flat, chosen, measure, beta, kappa, normalised, floating(dtype), num_threads)


def energy_flow_polynomial(
    constituents: Any,
    graph: Iterable[Sequence[int]],
    *,
    measure: str = "hadr",
    beta: float = 1.0,
    kappa: float = 1.0,
    normalised: bool = True,
    num_threads: int | None = None,
) -> npt.NDArray[np.float64]:
    """Return one energy flow polynomial of each jet, that of the graph with the edges given.

    Parameters
    ----------
    constituents, measure, beta, kappa, normalised, num_threads
        As for `energy_flow_polynomials`.
    graph
        The edges, such as ``[(0, 1), (0, 1), (1, 2)]``.

    Returns
    -------
    float64 of shape (n_jets,)
        As for `energy_flow_polynomials`.

    Raises
    ------
    DataError, JetforgeError
        As for `energy_flow_polynomials`.
    """
    flat = flat_of(constituents)
    return _evaluated(flat, (_checked_graph(graph, "graph"),), measure, beta, kappa, normalised, _DOUBLE, num_threads)[
        :, 0
    ]


def _checked_graphs(graphs: Any) -> tuple[Edges, ...]:
    if isinstance(graphs, str) or not isinstance(graphs, Iterable):
        raise JetforgeError(f"graphs is {graphs!r}; it must be a sequence of graphs, each a sequence of edges")
    return tuple(_checked_graph(graph, f"graphs[{k}]") for k, graph in enumerate(graphs))


def _checked_graph(graph: Any, name: str) -> Edges:
    """Return the edges of a graph, its vertices numbered from 0 in their order."""
    try:
        edges = [(index(a), index(b)) for a, b in graph]
    except (TypeError, ValueError):
        raise JetforgeError(
            f"{name} is {graph!r}; a graph is a sequence of edges, pairs of integers, such as [(0, 1), (1, 2)]"
        ) from None
    for a, b in edges:
        if a == b:
            raise JetforgeError(f"{name} has the edge ({a}, {b}); an edge must join two different vertices")
    if len(edges) > _MOST_EDGES:
        raise JetforgeError(f"{name} has {len(edges)} edges; it must have at most {_MOST_EDGES}")
    number = {v: k for k, v in enumerate(sorted({v for edge in edges for v in edge}))}
    return tuple(sorted((min(number[a], number[b]), max(number[a], number[b])) for a, b in edges))


def _evaluated(
    flat: FlatJets,
    graphs: tuple[Edges, ...],
    measure: str,
    beta: float,
    kappa: float,
    normalised: bool,
    dtype: np.dtype[Any],
    num_threads: int | None,
) -> npt.NDArray[Any]:
    known("measure", measure, _MEASURES)
    beta, kappa = number("beta", beta, above=0), number("kappa", kappa, least=0)
    n_jets = len(flat.offsets) - 1
    out = np.zeros((n_jets, len(graphs)), dtype)
    if not graphs:
        return out
    program = compiled(graphs)
    decades = 2.0 * _MOST_DECADES / (max(1, *(len(graph) for graph in graphs)) * beta)
    most = 10.0 ** min(decades, _MOST_DECADES)
    settings = (_MEASURES[measure], beta, kappa, most, flag("normalised", normalised), float(np.finfo(dtype).max))
    for_all_jets(_kernel, n_jets, flat, program, *settings, out, num_threads=num_threads, jets_per_task=_JETS_PER_TASK)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _kernel(
    first: int,
    last: int,
    flat: FlatJets,
    program: Program,
    measure: int,
    beta: float,
    kappa: float,
    most: float,
    normalised: bool,
    highest: float,
    out: npt.NDArray[Any],
) -> None:
    """Write the polynomials of the jets first <= j < last."""
    largest = largest_jet(flat.offsets, first, last)
    directions = directions_memory(largest)
    memory = program_memory(largest, program.matrices, program.vectors, program.numbers)
    theta, z = memory.matrices[0], memory.vectors[0]
    for j in range(first, last):
        n = load_directions(flat, j, measure, directions)
        if n == 0:
            continue
        width = padded(n)
        theta[: width * width] = 0.0
        z[:width] = 0.0
        total = load_weights(n, directions, kappa, z)
        load_angles(n, width, directions, measure, beta, most, theta)
        run(program.code, memory, n)
        for g in range(len(program.results)):
            value = memory.numbers[program.results[g]]
            if not normalised and value > 0.0:
                value *= total ** (kappa * program.vertices[g])
            out[j, g] = value if value < highest else highest
