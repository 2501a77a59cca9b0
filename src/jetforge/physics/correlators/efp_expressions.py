"""Energy flow polynomials as expressions of few vectors and matrices that many graphs share.

A graph is a product of numbers z_i on its vertices and theta_ij on its edges, summed over all vertices. Vertices
are summed one at a time. One with a single neighbour leaves a vector on it, the product of a matrix and a vector;
one with two neighbours leaves a matrix between them, the product of two matrices; matrices between the same
vertices multiply element by element. Where all vertices have three neighbours or more (from K4 on), one is kept
fixed, and the rest is summed in a loop over it.

Intermediate results are nodes of a pool in which equal ones are the same: that is where many graphs together are
much cheaper than each alone. Of the possible orders of summation the one that adds least to the pool is taken.
"""

from typing import NamedTuple

from jetforge.physics.correlators.multigraph import Edges

# Kinds of nodes, and the operations that make them.
THETA, Z, HADAMARD, TRANSPOSE, PRODUCT, APPLY, TIMES, ROW, SUM, DOT, MULTIPLY, GATHER, HALF_ROW, APPLY_BOTH = range(14)

MATRICES = (THETA, HADAMARD, TRANSPOSE, PRODUCT)
VECTORS = (Z, APPLY, TIMES, ROW, GATHER, HALF_ROW, APPLY_BOTH)

# Typical number of constituents, and costs of the operations for it relative to that of a product of two matrices.
_TYPICAL = 50.0
_COSTS = {PRODUCT: 1.0, HADAMARD: 0.05, TRANSPOSE: 0.05, APPLY: 0.05}
_LITTLE = 0.005
_SYMMETRIC = 0.6
_HALF = 0.5

# Orders of summation tried for one graph, beyond the first.
_MOST_STEPS = 2000


class Oriented(NamedTuple):
    """A matrix of the pool, or its transpose."""

    node: int
    transposed: bool


class Node(NamedTuple):
    """An operation and its arguments: nodes, flags (0 or 1), or the depth of a loop.

    Matrices: HADAMARD a, b; TRANSPOSE a; PRODUCT a, flag, w, b, flag: a diag(w) b.
    Vectors: APPLY a, flag, v; APPLY_BOTH a, flag, v, b: the same for the elementwise product of a and b; TIMES v, w
    (elementwise); ROW a, flag, depth: the row of a that belongs to the fixed vertex; HALF_ROW: the same, zero before
    the diagonal and doubled behind it; GATHER s, depth: the values that the number s has in the loop.
    Numbers: SUM v; DOT v, w; MULTIPLY s, t.
    """

    kind: int
    arguments: tuple[int, ...]


class Pool:
    """Nodes, each once, with what is known of them.

    `loops` is what they depend on, bit d for a vertex fixed at depth d; `half` is the depth of the fixed vertex before
    which a vector is zero, 0 for others.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.loops: list[int] = []
        self.half: list[int] = []
        self.is_symmetric: list[bool] = []
        self.cost = 0.0
        self._known: dict[Node, int] = {}
        self.theta = self.node(THETA)
        self.z = self.node(Z)

    def node(self, kind: int, *arguments: int) -> int:
        """Return the number of a node, which is added if it is not yet there."""
        node = Node(kind, arguments)
        known = self._known.get(node)
        if known is not None:
            return known
        loops = 0
        for child in children(node):
            loops |= self.loops[child]
        if kind in (ROW, HALF_ROW):
            loops |= 1 << arguments[2]
        elif kind == GATHER:
            loops &= ~(1 << arguments[1])
        symmetric = self._found_symmetric(node)
        cost = _COSTS.get(kind, _LITTLE)
        if kind == PRODUCT:
            cost *= (_SYMMETRIC if symmetric else 1.0) * (_HALF if self.half[arguments[2]] else 1.0)
        half = arguments[2] if kind == HALF_ROW else max((self.half[v] for v in arguments), default=0) * (kind == TIMES)
        self.cost += cost * _TYPICAL ** max(loops.bit_length() - 1, 0)
        self._known[node] = len(self.nodes)
        self.nodes.append(node)
        self.loops.append(loops)
        self.half.append(half)
        self.is_symmetric.append(symmetric)
        return len(self.nodes) - 1

    def forget(self, size: int, cost: float) -> None:
        """Go back to an earlier size and cost."""
        for node in self.nodes[size:]:
            del self._known[node]
        del self.nodes[size:], self.loops[size:], self.half[size:], self.is_symmetric[size:]
        self.cost = cost

    def fuse(self) -> None:
        """Apply products of elements to vectors without writing them out, where few vectors need them.

        Nodes are changed in place: none can be added afterwards.
        """
        readers: dict[int, list[int]] = {}
        for number, node in enumerate(self.nodes):
            for child in children(node):
                readers.setdefault(child, []).append(number)
        for number, node in enumerate(self.nodes):
            found = readers.get(number, [])
            if node.kind == HADAMARD and len(found) <= 2 and all(self.nodes[r].kind == APPLY for r in found):
                for reader in found:
                    _, flag, vector = self.nodes[reader].arguments
                    self.nodes[reader] = Node(APPLY_BOTH, (node.arguments[0], flag, vector, node.arguments[1]))

    def depth(self, node: int) -> int:
        """Return the depth of the innermost loop that a node depends on, 0 for none."""
        return max(self.loops[node].bit_length() - 1, 0)

    def _found_symmetric(self, node: Node) -> bool:
        if node.kind == THETA:
            return True
        if node.kind == HADAMARD:
            return all(self.is_symmetric[child] for child in node.arguments)
        if node.kind == PRODUCT:
            a, flag_a, _, b, flag_b = node.arguments
            return a == b and (self.is_symmetric[a] or flag_a != flag_b)
        return False

    def oriented(self, node: int, transposed: bool) -> Oriented:
        """Return a matrix of the pool, or its transpose where that is another matrix."""
        return Oriented(node, transposed and not self.is_symmetric[node])

    def hadamard(self, a: Oriented, b: Oriented) -> Oriented:
        """Return the product of two matrices element by element; powers of theta are formed first."""
        factors = sorted([*self._factors(a), *self._factors(b)])
        turned = sum(factor.transposed for factor in factors)
        upright = sum(not factor.transposed and not self.is_symmetric[factor.node] for factor in factors)
        transposed = turned > upright
        nodes = []
        for factor in factors:
            against = not self.is_symmetric[factor.node] and factor.transposed != transposed
            nodes.append(self.node(TRANSPOSE, factor.node) if against else factor.node)
        nodes.sort()
        result = nodes[0]
        for node in nodes[1:]:
            result = self.node(HADAMARD, *sorted((result, node)))
        return self.oriented(result, transposed)

    def _factors(self, a: Oriented) -> list[Oriented]:
        node = self.nodes[a.node]
        if node.kind == TRANSPOSE:
            return [Oriented(node.arguments[0], not a.transposed)]
        if node.kind != HADAMARD:
            return [a]
        return [f for child in node.arguments for f in self._factors(self.oriented(child, a.transposed))]

    def product(self, a: Oriented, w: int, b: Oriented) -> Oriented:
        """Return a diag(w) b."""
        forward = (a.node, int(a.transposed), w, b.node, int(b.transposed))
        a_turned, b_turned = self.oriented(a.node, not a.transposed), self.oriented(b.node, not b.transposed)
        backward = (b_turned.node, int(b_turned.transposed), w, a_turned.node, int(a_turned.transposed))
        node = self.node(PRODUCT, *min(forward, backward))
        return self.oriented(node, backward < forward)

    def times(self, vectors: tuple[int, ...]) -> int:
        """Return the product of vectors element by element; z comes first, then the older ones."""
        result, *others = sorted(vectors)
        for vector in others:
            result = self.node(TIMES, *sorted((result, vector)))
        return result


def children(node: Node) -> tuple[int, ...]:
    """Return the nodes among the arguments."""
    kind, arguments = node
    if kind == PRODUCT:
        return arguments[0], arguments[2], arguments[3]
    if kind in (APPLY, APPLY_BOTH):
        return arguments[0], *arguments[2:]
    return arguments[:1] if kind in (ROW, HALF_ROW, GATHER) else arguments


class _State(NamedTuple):
    """A graph partly summed: vectors on its vertices, and matrices on pairs of vertices, the lower vertex first."""

    weights: dict[int, tuple[int, ...]]
    edges: dict[tuple[int, int], Oriented]

    def neighbours(self, v: int) -> list[int]:
        return [a + b - v for a, b in self.edges if v in (a, b)]

    def without(self, gone: set[int]) -> "_State":
        weights = {v: vectors for v, vectors in self.weights.items() if v not in gone}
        return _State(weights, {pair: m for pair, m in self.edges.items() if gone.isdisjoint(pair)})

    def pieces_without(self, v: int) -> list[set[int]]:
        """Return the components that are left when a vertex is taken away."""
        left = set(self.weights) - {v}
        pieces = []
        while left:
            piece, new = set[int](), [min(left)]
            while new:
                piece.update(new)
                new = [u for w in new for u in self.neighbours(w) if u != v and u not in piece]
            left -= piece
            pieces.append(piece)
        return pieces


class _Move(NamedTuple):
    """Sum over a vertex of one or two neighbours; or fix a vertex and sum over the vertices `inner`."""

    vertex: int
    inner: frozenset[int] = frozenset()


class Reducer:
    """Turns graphs into nodes of a pool, each in the order of summation that costs least beside the earlier ones."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._steps = 0

    def polynomial(self, graph: Edges) -> int:
        """Return the node of the energy flow polynomial of a connected graph."""
        self._steps = 0
        theta = Oriented(self._pool.theta, False)
        edges: dict[tuple[int, int], Oriented] = {}
        for edge in graph:
            edges[edge] = self._pool.hadamard(edges[edge], theta) if edge in edges else theta
        vertices = {v for edge in graph for v in edge} or {0}
        return self._summed(_State(dict.fromkeys(sorted(vertices), (self._pool.z,)), edges), 0)

    def _summed(self, state: _State, depth: int) -> int:
        """Sum over all vertices inside of so many loops."""
        best: list[tuple[float, tuple[_Move, ...]]] = []
        self._search(state, depth, (), best)
        for move in best[-1][1]:
            state = self._after(state, move, depth)
        return self._last(state)

    def _search(
        self, state: _State, depth: int, path: tuple[_Move, ...], best: list[tuple[float, tuple[_Move, ...]]]
    ) -> None:
        """Append ever cheaper sequences of moves to `best`; the pool is left as it was."""
        pool = self._pool
        size, cost = len(pool.nodes), pool.cost
        moves = self._moves(state)
        if not moves:
            self._last(state)
            if not best or pool.cost < best[-1][0]:
                best.append((pool.cost, path))
            pool.forget(size, cost)
            return
        if len(moves) > 1 and self._steps < _MOST_STEPS:
            moves = self._by_cost(state, moves, depth)
        for move in moves:
            if best and (self._steps >= _MOST_STEPS or pool.cost >= best[-1][0]):
                return
            self._steps += 1
            self._search(self._after(state, move, depth), depth, (*path, move), best)
            pool.forget(size, cost)

    def _by_cost(self, state: _State, moves: list[_Move], depth: int) -> list[_Move]:
        pool = self._pool
        size, cost = len(pool.nodes), pool.cost
        costs = {}
        for move in moves:
            self._steps += 1
            self._after(state, move, depth)
            costs[move] = pool.cost
            pool.forget(size, cost)
        return sorted(moves, key=lambda move: costs[move])

    def _moves(self, state: _State) -> list[_Move]:
        """Return the moves worth a try: vertices of one neighbour go first, loops come last."""
        joined = {v: len(state.neighbours(v)) for v in state.weights}
        if len(joined) == 1:
            return []
        if len(joined) == 2:
            return [_Move(v) for v in joined]
        for v, number in joined.items():
            if number == 1:
                return [_Move(v)]
        pairs = [_Move(v) for v, number in joined.items() if number == 2]
        if pairs:
            return pairs
        pieces = {v: state.pieces_without(v) for v in joined}
        cuts = [_Move(v, frozenset(piece)) for v in joined for piece in pieces[v] if len(pieces[v]) > 1]
        # The smallest piece behind a vertex contains no such vertex itself: nothing nests without need.
        return [min(cuts, key=lambda m: len(m.inner))] if cuts else [_Move(v, frozenset(pieces[v][0])) for v in joined]

    def _after(self, state: _State, move: _Move, depth: int) -> _State:
        """Return what is left of a graph after a move, and add the nodes that it takes to the pool."""
        pool, v = self._pool, move.vertex
        if move.inner:
            return self._looped(state, v, set(move.inner), depth + 1)
        left = state.without({v})
        weight = pool.times(state.weights[v])
        match state.neighbours(v):
            case [u]:
                node, transposed = self._edge(state, u, v)
                vector = pool.node(APPLY, node, int(transposed), weight)
                left.weights[u] = (*left.weights[u], vector)
            case [u, w]:
                a, b = min(u, w), max(u, w)
                matrix = pool.product(self._edge(state, a, v), weight, self._edge(state, v, b))
                left.edges[a, b] = pool.hadamard(left.edges[a, b], matrix) if (a, b) in left.edges else matrix
        return left

    def _looped(self, state: _State, v: int, inner: set[int], depth: int) -> _State:
        """Sum over the vertices `inner` for each value of v, which leaves a vector on v."""
        pool = self._pool
        twin = self._twin(state, v) if len(inner) + 1 == len(state.weights) else None
        within = state.without(set(state.weights) - inner)
        for u in inner & set(state.neighbours(v)):
            node, transposed = self._edge(state, v, u)
            kind = HALF_ROW if u == twin else ROW
            within.weights[u] = (*within.weights[u], pool.node(kind, node, int(transposed), depth))
        vector = pool.node(GATHER, self._summed(within, depth), depth)
        left = state.without(inner)
        left.weights[v] = (*left.weights[v], vector)
        return left

    def _twin(self, state: _State, v: int) -> int | None:
        """Return a neighbour that may be swapped with v without changing the graph.

        The sum over both is then twice that over one above the other, besides that of both the same.
        """
        for u in state.neighbours(v):
            others = set(state.weights) - {u, v}
            theirs, ours = ({x: self._edge(state, w, x) for x in others & set(state.neighbours(w))} for w in (u, v))
            same_weight = sorted(state.weights[u]) == sorted(state.weights[v])
            if same_weight and theirs == ours and self._pool.is_symmetric[self._edge(state, u, v).node]:
                return u
        return None

    def _last(self, state: _State) -> int:
        """Sum over the only vertex."""
        (vectors,) = state.weights.values()
        *others, last = sorted(vectors)
        pool = self._pool
        return pool.node(DOT, pool.times(tuple(others)), last) if others else pool.node(SUM, last)

    def _edge(self, state: _State, a: int, b: int) -> Oriented:
        """Return the matrix between two vertices with rows for a and columns for b."""
        matrix = state.edges[min(a, b), max(a, b)]
        return matrix if a < b else self._pool.oriented(matrix.node, not matrix.transposed)
