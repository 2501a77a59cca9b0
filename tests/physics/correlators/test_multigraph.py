"""Multigraphs: none is missing, none comes twice, in the order and numbering that are promised."""

from itertools import combinations_with_replacement, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import JetforgeError
from jetforge.physics.correlators.multigraph import canonical, components, multigraphs, number_of_vertices

# Sequences A076864 and A050535 of the On-Line Encyclopedia of Integer Sequences.
CONNECTED = (1, 1, 2, 5, 12, 33, 103, 333, 1183)
ALL = (1, 1, 3, 8, 23, 66, 212, 686)


def renumbered(graph: Any, order: Any) -> Any:
    return tuple(sorted((min(order[a], order[b]), max(order[a], order[b])) for a, b in graph))


def smallest(graph: Any) -> Any:
    """Return the smallest tuple of edges of all numberings, found by trying each."""
    return min(renumbered(graph, order) for order in permutations(range(number_of_vertices(graph))))


def test_there_are_as_many_as_published() -> None:
    graphs = multigraphs(8)
    assert tuple(sum(len(graph) == degree for graph in graphs) for degree in range(9)) == CONNECTED
    everything = multigraphs(7, connected=False)
    assert tuple(sum(len(graph) == degree for graph in everything) for degree in range(8)) == ALL
    assert len(multigraphs()) == 490
    assert len(everything) == 1000


def test_graphs_of_four_edges_are_all_there_and_all_different() -> None:
    """Every choice of four edges among five vertices, by brute force, one of each class of isomorphic graphs."""
    pairs = [(a, b) for b in range(5) for a in range(b)]
    choices = combinations_with_replacement(pairs, 4)
    whole = [edges for edges in choices if {v for edge in edges for v in edge} == set(range(max(map(max, edges)) + 1))]
    graphs = [graph for graph in multigraphs(4, connected=False) if len(graph) == 4 and number_of_vertices(graph) <= 5]
    assert sorted(smallest(graph) for graph in graphs) == sorted({smallest(edges) for edges in whole})


@pytest.mark.parametrize("graph", multigraphs(5))
def test_a_connected_graph_has_the_numbering_whose_edges_come_first(graph: Any) -> None:
    assert graph == smallest(graph)


@given(st.sampled_from(multigraphs(7)), st.randoms(use_true_random=False))
def test_numbering_does_not_matter(graph: Any, random: Any) -> None:
    order = list(range(number_of_vertices(graph)))
    random.shuffle(order)
    assert canonical(renumbered(graph, order)) == graph


@pytest.mark.parametrize("connected", [True, False])
def test_order_is_by_edges_vertices_components_and_tuples(connected: bool) -> None:
    graphs = multigraphs(6, connected=connected)
    keys = [(len(graph), number_of_vertices(graph), len(components(graph)), graph) for graph in graphs]
    assert keys == sorted(keys)
    assert len(set(graphs)) == len(graphs)
    assert graphs[0] == ()
    assert multigraphs(4, connected=connected) == tuple(graph for graph in graphs if len(graph) <= 4)


def test_components_of_a_graph_are_graphs_of_the_connected_set() -> None:
    connected = set(multigraphs(5))
    for graph in multigraphs(5, connected=False):
        parts = components(graph)
        sizes = [len(part) for part in parts]
        assert sizes == sorted(sizes, reverse=True)
        start = 0
        for part in sorted(parts):
            assert tuple((a - start, b - start) for a, b in part) in connected
            start += number_of_vertices(tuple((a - start, b - start) for a, b in part))


def test_connected_graphs_are_connected() -> None:
    assert all(len(components(graph)) == 1 for graph in multigraphs(7))
    assert components(((0, 1), (2, 3), (1, 2), (4, 5))) == [((0, 1), (1, 2), (2, 3)), ((4, 5),)]


def test_known_graphs() -> None:
    assert multigraphs(3) == (
        (),
        ((0, 1),),
        ((0, 1), (0, 1)),
        ((0, 1), (0, 2)),
        ((0, 1), (0, 1), (0, 1)),
        ((0, 1), (0, 1), (0, 2)),
        ((0, 1), (0, 2), (1, 2)),
        ((0, 1), (0, 2), (0, 3)),
        ((0, 1), (0, 2), (1, 3)),
    )
    assert canonical([(k, 12) for k in range(12)]) == tuple((0, k) for k in range(1, 13))


def test_energyflow_has_the_same_graphs() -> None:
    energyflow = pytest.importorskip("energyflow", reason="compares with the package EnergyFlow")
    theirs = energyflow.EFPSet("d<=7", "p==1", measure="hadr", verbose=0).graphs()
    assert sorted(canonical(tuple(graph)) for graph in theirs) == sorted(multigraphs(7))


@pytest.mark.parametrize("degree", [-1, 11, 2.0, True, "7", None])
def test_a_bad_degree_is_refused(degree: Any) -> None:
    with pytest.raises(JetforgeError, match=r"degree is .*; it must be"):
        multigraphs(degree)
