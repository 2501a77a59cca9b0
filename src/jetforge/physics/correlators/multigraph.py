"""Loopless multigraphs without isolated vertices, up to isomorphism: the index set of energy flow polynomials.

A graph is the sorted tuple of its edges, an edge the pair (a, b) of vertices with a < b, repeated as often as it
occurs; the empty tuple is the single vertex.
"""

from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement

from jetforge.physics.arguments import flag, whole_number

Edges = tuple[tuple[int, int], ...]
"""A multigraph as the tuple of its edges."""

_HIGHEST_DEGREE = 10

# Adjacency matrix: how often two vertices are joined.
_Matrix = list[list[int]]
# Vertices in ordered blocks that the numbers given so far cannot tell apart.
_Blocks = list[list[int]]


def multigraphs(degree: int = 7, *, connected: bool = True) -> tuple[Edges, ...]:
    """Return all multigraphs of up to so many edges, one of each class of isomorphic ones.

    Parameters
    ----------
    degree
        Highest number of edges, 0 to 10.
    connected
        Whether to leave out those of several components.

    Returns
    -------
    tuple of Edges
        Each graph is a sorted tuple of edges (a, b), a < b; vertices are numbered from 0. The first is the
        empty tuple, a single vertex without edges. The order is fixed: by number of edges, number of vertices,
        number of components, and then the edges themselves as tuples compare. Of all numberings of its
        vertices a connected graph has the one whose tuple of edges comes first; one of several components has
        these one after the other, larger numbers of edges first.

        Of 0 to 7 edges there are 1, 1, 2, 5, 12, 33, 103 and 333 connected graphs, 490 together, and 1000 with
        those of several components.

    Raises
    ------
    JetforgeError
        If the degree is not an integer from 0 to 10.

    Notes
    -----
    The index set of arXiv:1712.07124 (Komiske, Metodiev, Thaler); the numbers of graphs are the sequences A076864
    and A050535 of the OEIS. The sets are found once a process, in about
    0.1 s for seven edges and 0.5 s for eight; each further edge takes five times as long.
    """
    degree = whole_number("degree", degree, 0, _HIGHEST_DEGREE)
    of_degree = _connected_graphs if flag("connected", connected) else _all_graphs
    return tuple(graph for edges in range(degree + 1) for graph in of_degree(edges))


def number_of_vertices(graph: Edges) -> int:
    """Return the number of vertices of a graph whose vertices are numbered from 0 without gaps."""
    return max((b for _, b in graph), default=0) + 1


def components(graph: Edges) -> list[Edges]:
    """Return the connected parts of a graph, each with its vertices as they are numbered in the whole."""
    parts: list[tuple[set[int], list[tuple[int, int]]]] = []
    for edge in graph:
        touched = [part for part in parts if not part[0].isdisjoint(edge)]
        joined: tuple[set[int], list[tuple[int, int]]] = (set(edge), [edge])
        for vertices, edges in touched:
            joined[0].update(vertices)
            joined[1].extend(edges)
        parts = [part for part in parts if part not in touched] + [joined]
    return [tuple(sorted(edges)) for _, edges in parts] or [()]


def canonical(graph: Sequence[tuple[int, int]]) -> Edges:
    """Return the edges of a connected graph under the numbering of its vertices that makes them come first.

    Sorted edges compare as the rows of the adjacency matrix, above the diagonal, do with the larger number first.
    The numbering is built vertex by vertex: those without a number are kept in ordered blocks that the earlier
    rows cannot tell apart, the next vertex is one of the first block, and all choices that give the largest row
    are followed.
    """
    n = number_of_vertices(tuple(graph))
    matrix = [[0] * n for _ in range(n)]
    for a, b in graph:
        matrix[a][b] += 1
        matrix[b][a] += 1
    states: list[_Blocks] = [[list(range(n))]]
    edges: list[tuple[int, int]] = []
    for a in range(n - 1):
        states, row = _numbered_once_more(states, matrix)
        edges.extend((a, a + 1 + k) for k, multiplicity in enumerate(row) for _ in range(multiplicity))
    return tuple(edges)


def _numbered_once_more(states: list[_Blocks], matrix: _Matrix) -> tuple[list[_Blocks], list[int]]:
    """Give the next number in all best ways; return what is left, and the row of the adjacency matrix."""
    best: list[int] = []
    found: list[_Blocks] = []
    for blocks in states:
        for v in _distinct(blocks[0], matrix):
            joined = matrix[v]
            left = [[w for w in blocks[0] if w != v], *blocks[1:]]
            ordered = [sorted(block, key=lambda w: -joined[w]) for block in left]
            row = [joined[w] for block in ordered for w in block]
            if row < best:
                continue
            if row > best:
                best, found = row, []
            found.append(_divided(ordered, joined))
    return found, best


def _distinct(block: list[int], matrix: _Matrix) -> list[int]:
    """Return the vertices of a block, one of each set that may be swapped without changing the graph."""
    chosen: list[int] = []
    for v in block:
        if not any(_are_twins(v, w, matrix) for w in chosen):
            chosen.append(v)
    return chosen


def _are_twins(v: int, w: int, matrix: _Matrix) -> bool:
    return all(x == y or u in (v, w) for u, (x, y) in enumerate(zip(matrix[v], matrix[w], strict=True)))


def _divided(blocks: _Blocks, joined: list[int]) -> _Blocks:
    """Cut blocks, ordered by how often their vertices are joined to one, where that number changes."""
    cut: _Blocks = []
    for block in blocks:
        last = -1
        for v in block:
            if joined[v] != last:
                cut.append([])
                last = joined[v]
            cut[-1].append(v)
    return cut


@cache
def _connected_graphs(degree: int) -> tuple[Edges, ...]:
    """Return the connected graphs of so many edges: those of one edge less, with an edge added in every way."""
    if degree == 0:
        return ((),)
    grown: set[Edges] = set()
    for graph in _connected_graphs(degree - 1):
        n = number_of_vertices(graph)
        grown.update((*graph, (a, b)) for b in range(1, n + 1) for a in range(b))
    return tuple(sorted({canonical(graph) for graph in grown}, key=lambda graph: (number_of_vertices(graph), graph)))


@cache
def _all_graphs(degree: int) -> tuple[Edges, ...]:
    """Return the graphs of so many edges as unions of connected ones."""
    graphs = [
        (len(parts), _side_by_side(parts)) for partition in _partitions(degree, degree) for parts in _choices(partition)
    ]
    graphs.sort(key=lambda entry: (number_of_vertices(entry[1]), *entry))
    return tuple(graph for _, graph in graphs)


def _partitions(total: int, largest: int) -> list[tuple[int, ...]]:
    """Return all ways to write a number as a sum of falling numbers."""
    if total == 0:
        return [()]
    return [(first, *rest) for first in range(min(total, largest), 0, -1) for rest in _partitions(total - first, first)]


def _choices(partition: tuple[int, ...]) -> list[tuple[Edges, ...]]:
    """Return all unordered choices of connected graphs that have these numbers of edges."""
    chosen: list[tuple[Edges, ...]] = [()]
    for degree in sorted(set(partition), reverse=True):
        several = combinations_with_replacement(_connected_graphs(degree), partition.count(degree))
        chosen = [(*parts, *more) for more in several for parts in chosen]
    return chosen


def _side_by_side(parts: tuple[Edges, ...]) -> Edges:
    edges: list[tuple[int, int]] = []
    start = 0
    for part in parts:
        edges.extend((a + start, b + start) for a, b in part)
        start += number_of_vertices(part)
    return tuple(edges)
