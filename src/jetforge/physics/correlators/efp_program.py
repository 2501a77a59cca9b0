"""The list of instructions that evaluates the energy flow polynomials of many graphs together."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError
from jetforge.physics.correlators.efp_expressions import (
    APPLY,
    APPLY_BOTH,
    GATHER,
    HALF_ROW,
    MATRICES,
    MULTIPLY,
    PRODUCT,
    ROW,
    THETA,
    VECTORS,
    Pool,
    Reducer,
    Z,
    children,
)
from jetforge.physics.correlators.multigraph import Edges, components, number_of_vertices

# Instructions that belong to no node: a vector set to zero before a loop, the loop's begin and end, and a number
# written to the vector.
CLEAR, LOOP, END, STORE = range(100, 104)

# Flags of an instruction: arguments that are taken transposed, and a product of two matrices that is symmetric.
FIRST_TRANSPOSED, SECOND_TRANSPOSED, SYMMETRIC = 1, 2, 4
# Above the flags of a product: the depth of the fixed vertex before which its weights are zero.
HALF_SHIFT = 3

MOST_LOOPS = 3
"""Loops over constituents that may nest around the products of matrices: N^(3 + loops) operations a jet."""


class Program(NamedTuple):
    """Instructions and the memory that they need.

    `code` is int64 of shape (n_instructions, 6): operation, register of the result, three registers of arguments
    (the third is the depth of a loop for ROW, HALF_ROW and STORE), flags. LOOP and END hold the depth in place of a
    result, and END the position of its LOOP in place of an argument. Matrix 0 is theta, vector 0 is z. `results` is
    the register of the number that belongs to each graph, and `vertices` that graph's number of vertices.
    """

    code: npt.NDArray[np.int64]
    matrices: int
    vectors: int
    numbers: int
    results: npt.NDArray[np.int64]
    vertices: npt.NDArray[np.int64]


class _Instruction(NamedTuple):
    """An instruction before its registers are assigned: values are numbered, -1 is none."""

    operation: int
    result: int = -1
    arguments: tuple[int, ...] = ()
    flags: int = 0
    depth: int = 0


@lru_cache(maxsize=16)
def compiled(graphs: tuple[Edges, ...]) -> Program:
    """Return the program for graphs whose vertices are numbered from 0 without gaps.

    Raises
    ------
    JetforgeError
        If a graph takes more nested loops than anyone can wait for.
    """
    pool = Pool()
    reducer = Reducer(pool)
    parts = [sorted(_renumbered(part) for part in components(graph)) for graph in graphs]
    nodes: dict[Edges, int] = {}
    for part in sorted({part for several in parts for part in several}, key=lambda part: (len(part), part)):
        nodes[part] = reducer.polynomial(part)
        loops = max((pool.nodes[n].arguments[1] for n in _below(pool, [nodes[part]], GATHER)), default=0)
        if loops > MOST_LOOPS:
            raise JetforgeError(
                f"the graph {list(part)} takes N^{loops + 3} operations for N constituents; "
                f"at most N^{MOST_LOOPS + 3} are done: ask for a sparser graph"
            )
    results = []
    for several in parts:
        result, *others = sorted(nodes[part] for part in several)
        for other in others:
            result = pool.node(MULTIPLY, result, other)
        results.append(result)
    pool.fuse()
    return _Assembler(pool).program(results, [number_of_vertices(graph) for graph in graphs])


def _renumbered(part: Edges) -> Edges:
    """Return a component with its vertices numbered from 0, in the same order."""
    number = {v: i for i, v in enumerate(sorted({v for edge in part for v in edge}))}
    return tuple((number[a], number[b]) for a, b in part)


def _below(pool: Pool, roots: Iterable[int], kind: int) -> list[int]:
    """Return the nodes of a kind that others are made of."""
    seen, new = set[int](), list(roots)
    while new:
        node = new.pop()
        if node not in seen:
            seen.add(node)
            new.extend(children(pool.nodes[node]))
    return [node for node in seen if pool.nodes[node].kind == kind]


class _Assembler:
    """Puts nodes in order, with loops around those that need them, and assigns registers."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kinds: list[int] = []
        self._instructions: list[_Instruction] = []

    def program(self, results: list[int], vertices: list[int]) -> Program:
        """Return the program that evaluates nodes."""
        values = {self._pool.theta: self._value(THETA), self._pool.z: self._value(Z)}
        self._block(results, 0, values)
        registers, used = self._assigned()
        code = np.zeros((len(self._instructions), 6), dtype=np.int64)
        ends = {end: begin for begin, end in self._loop_ends().items()}
        for position, step in enumerate(self._instructions):
            row = code[position]
            row[0], row[5] = step.operation, step.flags
            row[1] = step.depth if step.operation in (LOOP, END) else registers[step.result]
            row[2 : 2 + len(step.arguments)] = [registers[value] for value in step.arguments]
            if step.operation in (ROW, HALF_ROW, STORE):
                row[4] = step.depth
            elif step.operation == END:
                row[2] = ends[position]
        wanted = np.array([registers[values[node]] for node in results], dtype=np.int64)
        return Program(code, *used, wanted, np.array(vertices, dtype=np.int64))

    def _value(self, kind: int) -> int:
        self._kinds.append(kind)
        return len(self._kinds) - 1

    def _block(self, targets: list[int], depth: int, values: dict[int, int]) -> None:
        """Evaluate nodes inside of loops; what depends on fewer loops has its value already.

        Nodes that are gathered in a loop wait for all that the loop reads, and those that wait for the same share
        it: the nodes of stage s come first, then the loops over them, whose results are of stage s + 1.
        """
        order = self._order(targets, depth, values)
        stages: dict[int, int] = {}
        for node in order:
            ready = max((stages[other] for other in self._needs(node, depth) if other in stages), default=0)
            stages[node] = ready + (self._pool.nodes[node].kind == GATHER)
        for stage in range(max(stages.values(), default=0) + 1):
            loops: dict[int, list[int]] = {}
            for node in order:
                gathers = self._pool.nodes[node].kind == GATHER
                if gathers and stages[node] == stage + 1:
                    loops.setdefault(self._pool.nodes[node].arguments[1], []).append(node)
                elif not gathers and stages[node] == stage:
                    self._evaluate(node, values)
            for inner, nodes in sorted(loops.items()):
                self._loop(nodes, inner, values)

    def _order(self, targets: list[int], depth: int, values: dict[int, int]) -> list[int]:
        """Return the nodes of this depth that targets are made of, each after those that it is made of."""
        order: dict[int, None] = {}
        stack = [(node, False) for node in reversed(targets)]
        while stack:
            node, is_ready = stack.pop()
            if node in order or node in values:
                continue
            if is_ready:
                order[node] = None
            else:
                stack.append((node, True))
                stack.extend((other, False) for other in reversed(self._needs(node, depth)))
        return list(order)

    def _needs(self, node: int, depth: int) -> list[int]:
        """Return the nodes of this depth from which a node is made, also those that its loop reads."""
        pool = self._pool
        found: dict[int, None] = {}
        new = list(children(pool.nodes[node]))
        seen = set(new)
        for other in new:
            if pool.depth(other) == depth:
                found[other] = None
            elif pool.depth(other) > depth:
                new.extend(child for child in children(pool.nodes[other]) if child not in seen)
                seen.update(children(pool.nodes[other]))
        return list(found)

    def _evaluate(self, node: int, values: dict[int, int]) -> None:
        kind, arguments = self._pool.nodes[node]
        reads, flags, depth = children(self._pool.nodes[node]), 0, 0
        if kind == PRODUCT:
            a, flag_a, w, b, flag_b = arguments
            reads, flags = (a, b, w), FIRST_TRANSPOSED * flag_a + SECOND_TRANSPOSED * flag_b
            flags += SYMMETRIC * self._pool.is_symmetric[node] + (self._pool.half[w] << HALF_SHIFT)
        elif kind in (APPLY, APPLY_BOTH, ROW, HALF_ROW):
            flags = FIRST_TRANSPOSED * arguments[1]
            depth = arguments[2] if kind in (ROW, HALF_ROW) else 0
        values[node] = self._value(kind)
        step = _Instruction(kind, values[node], tuple(values[read] for read in reads), flags, depth)
        self._instructions.append(step)

    def _loop(self, nodes: list[int], depth: int, values: dict[int, int]) -> None:
        """Evaluate the vectors that a loop gathers."""
        for node in nodes:
            values[node] = self._value(GATHER)
            self._instructions.append(_Instruction(CLEAR, values[node]))
        self._instructions.append(_Instruction(LOOP, depth=depth))
        inner = dict(values)
        numbers = [self._pool.nodes[node].arguments[0] for node in nodes]
        self._block(numbers, depth, inner)
        for node, number in zip(nodes, numbers, strict=True):
            self._instructions.append(_Instruction(STORE, values[node], (inner[number],), depth=depth))
        self._instructions.append(_Instruction(END, depth=depth))

    def _assigned(self) -> tuple[list[int], tuple[int, int, int]]:
        """Return the register of each value, and how many matrices, vectors and numbers there are.

        A register is used again when its value is not read any more; theta, z and numbers keep theirs.
        """
        last = self._last_reads()
        ending: dict[int, list[int]] = {}
        for value, position in enumerate(last):
            ending.setdefault(position, []).append(value)
        registers = [0] * len(self._kinds)
        free: tuple[list[int], ...] = ([], [], [])
        used = [1, 1, 0]
        for position, step in enumerate(self._instructions):
            if step.result >= 0 and step.operation != STORE:
                sort = self._sort(step.result)
                if not free[sort]:
                    free[sort].append(used[sort])
                    used[sort] += 1
                registers[step.result] = free[sort].pop()
            for value in ending.get(position, ()):
                if self._sort(value) < 2:
                    free[self._sort(value)].append(registers[value])
        return registers, (used[0], used[1], used[2])

    def _sort(self, value: int) -> int:
        kind = self._kinds[value]
        return 0 if kind in MATRICES else 1 if kind in VECTORS else 2

    def _last_reads(self) -> list[int]:
        """Return the last instruction that needs each value; -1 for theta and z, which are needed to the end.

        What is made before a loop and read in it is needed until the loop ends.
        """
        last, made = [-1] * len(self._kinds), [len(self._instructions)] * len(self._kinds)
        open_loops: list[int] = []
        ends = self._loop_ends()
        for position, step in enumerate(self._instructions):
            if step.operation == LOOP:
                open_loops.append(position)
            elif step.operation == END:
                open_loops.pop()
            elif step.result >= 0:
                made[step.result] = min(made[step.result], position)
                last[step.result] = max(last[step.result], position)
            for value in step.arguments:
                around = [loop for loop in open_loops if loop > made[value]]
                last[value] = max(last[value], ends[around[0]] if around else position)
        return [-1 if value < 2 else position for value, position in enumerate(last)]

    def _loop_ends(self) -> dict[int, int]:
        """Return the position of the end of each loop by that of its begin."""
        ends: dict[int, int] = {}
        begins: list[int] = []
        for position, step in enumerate(self._instructions):
            if step.operation == LOOP:
                begins.append(position)
            elif step.operation == END:
                ends[begins.pop()] = position
        return ends
