"""Energy flow polynomials: sums by brute force, EnergyFlow, identities, safety, and every kind of odd input."""

from itertools import combinations, product
from typing import Any

import awkward as ak
import numpy as np
import pytest
from helpers.jets import (
    Momenta,
    awkward_jets,
    boosted,
    each_jet,
    flat_jets,
    from_angles,
    permuted,
    rotated,
    split_collinearly,
    spread_jet,
    with_soft,
)
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.correlators.efp import energy_flow_polynomial, energy_flow_polynomials, multigraphs
from jetforge.physics.correlators.multigraph import canonical, components, number_of_vertices
from jetforge.physics.flat import FlatJets

EDGE = [(0, 1)]
K4, K5, K6, K7 = (list(combinations(range(n), 2)) for n in (4, 5, 6, 7))
CYCLES = {n: [*((k, k + 1) for k in range(n - 1)), (0, n - 1)] for n in (3, 4, 5, 6, 7)}
# Graphs that need loops: side by side, nested, and one after the other.
TANGLED = {
    "K4": K4,
    "K5": K5,
    "K6": K6,
    "prism": [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (0, 3), (1, 4), (2, 5)],
    "octahedron": [(a, b) for a, b in combinations(range(6), 2) if a + b != 5],
    "cube": [(a, a | 1 << k) for a in range(8) for k in range(3) if not a >> k & 1],
    "K33": list(product((0, 1, 2), (3, 4, 5))),
    "two K4 at a vertex": [*K4, *((a + 3, b + 3) for a, b in K4)],
    "two K4 and an edge": [*K4, (3, 4), *((a + 4, b + 4) for a, b in K4)],
    "three K4 in a row": [(a + k, b + k) for k in (0, 3, 6) for a, b in K4],
    "K5 and K4 at a vertex": [*K5, *((a + 4, b + 4) for a, b in K4)],
    "K4 and a triangle, two apart": [*K4, (3, 4), (4, 5), (5, 6), (6, 7), (5, 7)],
    "K4 with parts of its own": [*K4, *K4[:2], (0, 4), (4, 5), (5, 1), (2, 6), (6, 7), (6, 7), (6, 3)],
    "Petersen": [(k, (k + 1) % 5) for k in range(5)]
    + [(k, k + 5) for k in range(5)]
    + [(k + 5, (k + 2) % 5 + 5) for k in range(5)],
}


def weights_and_angles(jet: Momenta, measure: str, beta: float, kappa: float = 1.0) -> Any:
    """Return z and theta of a jet as their definitions read, normalised."""
    px, py, pz, energy = jet
    size = energy if measure == "ee" else np.hypot(px, py)
    z = (size / size.sum()) ** kappa
    if measure == "hadr":
        y = np.arctanh(pz / energy)
        phi = np.arctan2(py, px)
        dphi = np.abs(phi[:, None] - phi)
        square = (y[:, None] - y) ** 2 + np.minimum(dphi, 2 * np.pi - dphi) ** 2
    else:
        dot = np.outer(energy, energy) - np.outer(px, px) - np.outer(py, py) - np.outer(pz, pz)
        square = 2 * np.maximum(dot, 0) / np.outer(size, size)
    return z, square ** (beta / 2)


def by_force(graph: Any, z: Any, theta: Any) -> float:
    """Return the sum over all vertices, index by index."""
    vertices = max((max(edge) for edge in graph), default=0) + 1
    operands: list[Any] = []
    for v in range(vertices):
        operands += [z, [v]]
    for edge in graph:
        operands += [theta, list(edge)]
    return float(np.einsum(*operands, []))


def polynomials(*jets: Momenta, **options: Any) -> Any:
    return energy_flow_polynomials(flat_jets(*jets), **options)


# --- against sums by brute force ---


@pytest.mark.parametrize("measure", ["hadr", "hadrdot", "ee"])
def test_all_graphs_agree_with_the_sum_over_all_vertices(measure: str) -> None:
    jet = spread_jet(3, 3, m=1.5)
    expected = [by_force(graph, *weights_and_angles(jet, measure, 1.0)) for graph in multigraphs(7)]
    np.testing.assert_allclose(polynomials(jet, measure=measure)[0], expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("beta", [0.3, 0.5, 1.0, 2.0, 3.7])
@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("measure", ["hadr", "hadrdot", "ee"])
def test_measures_are_as_defined(measure: str, beta: float, kappa: float) -> None:
    jets = [spread_jet(seed, 6, m=0.5) for seed in range(3)]
    found = polynomials(*jets, degree=4, measure=measure, beta=beta, kappa=kappa)
    given_ = [weights_and_angles(jet, measure, beta, kappa) for jet in jets]
    expected = [[by_force(graph, *pair) for graph in multigraphs(4)] for pair in given_]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("name", TANGLED)
def test_graphs_that_need_loops_agree_with_the_sum(name: str) -> None:
    graph = TANGLED[name]
    jet = spread_jet(1, 3 if number_of_vertices(tuple(graph)) > 6 else 5, m=3.0)
    expected = by_force(graph, *weights_and_angles(jet, "hadrdot", 1.0))
    found = energy_flow_polynomial(flat_jets(jet), graph, measure="hadrdot")
    np.testing.assert_allclose(found, [expected], rtol=1e-10)


def test_graphs_that_need_loops_share_them() -> None:
    jet = spread_jet(2, 4, m=3.0)
    alone = [energy_flow_polynomial(flat_jets(jet), graph, measure="ee")[0] for graph in TANGLED.values()]
    together = polynomials(jet, graphs=TANGLED.values(), measure="ee")[0]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


@st.composite
def any_graphs(draw: Any) -> Any:
    vertices = draw(st.integers(2, 6))
    pairs = st.tuples(st.integers(0, vertices - 1), st.integers(0, vertices - 1)).filter(
        lambda edge: edge[0] != edge[1]
    )
    return draw(st.lists(pairs, min_size=1, max_size=11))


@given(st.lists(any_graphs(), min_size=1, max_size=4))
def test_any_graphs_agree_with_the_sum(graphs: Any) -> None:
    jet = spread_jet(7, 3, m=2.0)
    pair = weights_and_angles(jet, "hadrdot", 0.5)
    found = polynomials(jet, graphs=graphs, measure="hadrdot", beta=0.5)[0]
    for value, graph in zip(found, graphs, strict=True):
        number = {v: k for k, v in enumerate(sorted({v for edge in graph for v in edge}))}
        assert value == pytest.approx(by_force([(number[a], number[b]) for a, b in graph], *pair), rel=1e-10)


@pytest.mark.parametrize("n", range(1, 42))
def test_jets_of_every_size(n: int) -> None:
    """Cycles are traces of powers; the others mix symmetric matrices with those that are not."""
    jet = spread_jet(n, n, m=1.0)
    z, theta = weights_and_angles(jet, "hadrdot", 1.0)
    g = theta * z
    p2, p3 = g @ g / z, g @ g @ g / z
    u = theta**2 @ z
    expected = [np.trace(np.linalg.matrix_power(g, k)) for k in CYCLES]
    expected.append(np.einsum("a,b,ab,ab,ab->", z, z, theta, p2, p3))
    # A square, one of its edges doubled, with a pendant at one end of a plain edge.
    expected.append(np.einsum("a,b,c,d,ab,bc,cd,ad->", z, z, z * u, z, theta**2, theta, theta, theta, optimize=True))
    graphs = [
        *CYCLES.values(),
        [(0, 1), (0, 2), (2, 1), (0, 3), (3, 4), (4, 1)],
        [(0, 1), (0, 1), (1, 2), (2, 3), (0, 3), (2, 4), (2, 4)],
    ]
    np.testing.assert_allclose(polynomials(jet, graphs=graphs, measure="hadrdot")[0], expected, rtol=1e-9)


@pytest.mark.parametrize("n", [*range(1, 18), 31, 44, 57, 90])
def test_the_complete_graph_of_four_in_jets_of_every_size(n: int) -> None:
    """Alone; with an edge doubled, with a pendant, and with an edge divided; one vertex after the other."""
    jet = spread_jet(n, n, m=1.0)
    z, theta = weights_and_angles(jet, "hadrdot", 1.0)
    last_two = {"single": theta, "double": theta**2, "divided": theta @ (z[:, None] * theta)}
    expected = dict.fromkeys((*last_two, "pendant"), 0.0)
    for z_v, row in zip(z, theta, strict=True):
        w = z * row
        common = np.outer(w, w) * (theta @ (w[:, None] * theta))
        for name, matrix in last_two.items():
            expected[name] += z_v * np.sum(common * matrix)
        expected["pendant"] += z_v * (row @ z) * np.sum(common * theta)
    graphs = [K4, [*K4, (1, 2)], [*K4[:-1], (2, 4), (4, 3)], [*K4, (0, 4)]]
    found = polynomials(jet, graphs=graphs, measure="hadrdot")[0]
    np.testing.assert_allclose(found, list(expected.values()), rtol=1e-10)


def test_graphs_of_several_components_are_products() -> None:
    jets = [spread_jet(seed, 9) for seed in range(4)]
    graphs = multigraphs(7, connected=False)
    found = polynomials(*jets, connected=False)
    assert found.shape == (4, 1000)
    column = dict(zip(multigraphs(7), polynomials(*jets).T, strict=True))
    for graph, values in zip(graphs, found.T, strict=True):
        parts = [column[canonical(renumbered(part))] for part in components(graph)]
        np.testing.assert_allclose(values, np.prod(parts, axis=0), rtol=1e-13)


def renumbered(part: Any) -> Any:
    number = {v: k for k, v in enumerate(sorted({v for edge in part for v in edge}))}
    return [(number[a], number[b]) for a, b in part]


# --- against EnergyFlow ---


def largest_deviation(jets: list[Momenta], degree: int, measure: str, beta: float) -> float:
    energyflow = pytest.importorskip("energyflow", reason="compares with the package EnergyFlow")
    options = {"measure": measure, "beta": beta, "normed": True, "coords": "epxpypz"}
    efps = energyflow.EFPSet(f"d<={degree}", "p==1", verbose=0, **options)
    column = {canonical(tuple(graph)): k for k, graph in enumerate(efps.graphs())}
    theirs = np.array([efps.compute(np.ascontiguousarray(jet[[3, 0, 1, 2]].T)) for jet in jets])
    theirs = theirs[:, [column[graph] for graph in multigraphs(degree)]]
    ours = polynomials(*jets, degree=degree, measure=measure, beta=beta)
    return float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_energyflow_agrees_on_generated_jets(generated_jets: Any, beta: float) -> None:
    assert largest_deviation(each_jet(generated_jets), 4, "hadr", beta) < 1e-10


def test_energyflow_agrees_on_all_490_graphs(generated_jets: Any) -> None:
    assert largest_deviation(each_jet(generated_jets[:4]), 7, "hadr", 1.0) < 1e-10


@pytest.mark.parametrize(("measure", "beta", "within"), [("hadrdot", 1.0, 1e-6), ("hadrdot", 2.0, 1e-10),
                                                        ("ee", 1.0, 1e-6), ("ee", 2.0, 1e-10)])  # fmt: skip
def test_energyflow_agrees_on_momentum_products(generated_jets: Any, measure: str, beta: float, within: float) -> None:
    """For beta = 1 its angle of a massless constituent with itself is the root of a rounding error."""
    assert largest_deviation(each_jet(generated_jets), 3, measure, beta) < within


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_energyflow_agrees_on_all_490_graphs_of_many_jets(generated_jets: Any, beta: float) -> None:
    jets = generated_jets if beta == 1.0 else generated_jets[:60]
    assert largest_deviation(each_jet(jets), 7, "hadr", beta) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_energyflow_agrees_to_degree_five_on_all_jets(generated_jets: Any, beta: float) -> None:
    assert largest_deviation(each_jet(generated_jets), 5, "hadr", beta) < 1e-10


# --- identities ---


@pytest.mark.parametrize("n", [2, 3, 4])
def test_complete_graphs_are_energy_correlation_functions(n: int) -> None:
    """ECF(n) of arXiv:1305.0007 sums over sets of n constituents, the polynomial over all orders of them."""
    jet = spread_jet(5, 8)
    z, theta = weights_and_angles(jet, "hadr", 1.5)
    chosen = [list(several) for several in combinations(range(8), n)]
    ecf = sum(np.prod(z[s]) * np.prod([theta[a, b] for a, b in combinations(s, 2)]) for s in chosen)
    complete = list(combinations(range(n), 2))
    found = energy_flow_polynomial(flat_jets(jet), complete, beta=1.5)
    np.testing.assert_allclose(found, [np.prod(range(1, n + 1)) * ecf], rtol=1e-12)


@pytest.mark.parametrize("measure", ["hadr", "hadrdot", "ee"])
def test_weights_sum_to_one(measure: str) -> None:
    jets = [spread_jet(seed, 1 + seed) for seed in range(9)]
    np.testing.assert_allclose(energy_flow_polynomial(flat_jets(*jets), [], measure=measure), 1.0, rtol=1e-14)


def test_an_edge_with_beta_two_is_the_mass() -> None:
    """The sum of 2 p_i.p_j over all pairs is 2 m^2."""
    jets = [spread_jet(seed, 20, m=0.5) for seed in range(5)]
    total = np.array([jet.sum(axis=1) for jet in jets]).T
    m2 = total[3] ** 2 - (total[:3] ** 2).sum(axis=0)
    pt = [np.hypot(jet[0], jet[1]).sum() for jet in jets]
    hadronic = energy_flow_polynomial(flat_jets(*jets), EDGE, measure="hadrdot", beta=2)
    np.testing.assert_allclose(hadronic, 2 * m2 / np.square(pt), rtol=1e-11)
    spherical = energy_flow_polynomial(flat_jets(*jets), EDGE, measure="ee", beta=2)
    np.testing.assert_allclose(spherical, 2 * m2 / total[3] ** 2, rtol=1e-11)


def test_in_the_rest_frame_with_beta_two_every_pendant_edge_is_a_factor_of_two() -> None:
    """The sum of z_j 2 p_i.p_j / (E_i E_j) over j is 2 p_i.P / (E_i M), for P at rest."""
    px, py, pz, energy = spread_jet(3, 12, m=0.2)
    back_to_back = np.array([[*px, *-px], [*py, *-py], [*pz, *-pz], [*energy, *energy]])
    trees = [graph for graph in multigraphs(7) if number_of_vertices(graph) == len(graph) + 1]
    found = polynomials(back_to_back, graphs=trees, measure="ee", beta=2)[0]
    np.testing.assert_allclose(found, [2.0 ** len(graph) for graph in trees], rtol=1e-12)


def test_cycles_with_beta_two_obey_the_relations_of_a_matrix_of_rank_four() -> None:
    """Squared distances in a plane have rank four, so that symmetric polynomials of the eigenvalues end there.

    With zero trace, Newton's identities give the cycles of five and more edges by shorter ones.
    """
    jets = [spread_jet(seed, 30) for seed in range(5)]
    double = energy_flow_polynomial(flat_jets(*jets), [(0, 1), (0, 1)], beta=2)
    p3, p4, p5, p6, p7 = polynomials(*jets, graphs=CYCLES.values(), beta=2).T
    np.testing.assert_allclose(p5, 5 / 6 * double * p3, rtol=1e-10)
    np.testing.assert_allclose(p6, 3 / 4 * double * p4 + p3**2 / 3 - double**3 / 8, rtol=1e-10)
    np.testing.assert_allclose(p7, 7 / 10 * double * p5 + 7 / 12 * p3 * p4 - 7 / 24 * double**2 * p3, rtol=1e-10)


@pytest.mark.parametrize("measure", ["hadr", "ee"])
@pytest.mark.parametrize("kappa", [0.5, 1.0, 2.0])
def test_without_normalisation_every_vertex_brings_the_total(measure: str, kappa: float) -> None:
    jets = [spread_jet(seed, 10) for seed in range(3)]
    total = np.array([(jet[3] if measure == "ee" else np.hypot(jet[0], jet[1])).sum() for jet in jets])
    vertices = np.array([number_of_vertices(graph) for graph in multigraphs(5)])
    options = {"degree": 5, "measure": measure, "kappa": kappa}
    expected = polynomials(*jets, **options) * total[:, None] ** (kappa * vertices)
    np.testing.assert_allclose(polynomials(*jets, normalised=False, **options), expected, rtol=1e-12)


# --- what physics does not see, and what it does ---


@given(st.integers(0, 10**6), st.integers(1, 25), st.sampled_from(["hadr", "hadrdot", "ee"]), st.floats(-3, 3))
def test_rotations_permutations_and_scales_change_nothing(seed: int, n: int, measure: str, angle: float) -> None:
    jet = spread_jet(seed, n, m=0.5)
    changed = [rotated(jet, angle), permuted(jet, seed), jet * 37.0]
    before, *after = polynomials(jet, *changed, degree=5, measure=measure)
    for values in after:
        np.testing.assert_allclose(values, before, rtol=1e-7, atol=1e-13)


@given(st.integers(0, 10**6), st.integers(1, 25), st.sampled_from(["hadr", "hadrdot"]), st.floats(-3, 3))
def test_boosts_along_the_beam_change_nothing(seed: int, n: int, measure: str, eta: float) -> None:
    jet = spread_jet(seed, n, m=0.5)
    before, after = polynomials(jet, boosted(jet, eta), degree=5, measure=measure)
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-12)


@given(st.integers(0, 10**6), st.sampled_from(["hadr", "hadrdot", "ee"]), st.floats(0.05, 0.95))
def test_collinear_splittings_are_not_seen(seed: int, measure: str, z: float) -> None:
    jet = spread_jet(seed, 12, m=0.5)
    before, after = polynomials(jet, split_collinearly(jet, 4, z), degree=5, measure=measure)
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-12)
    unsafe = polynomials(jet, split_collinearly(jet, 4, z), degree=0, measure=measure, kappa=2)
    assert unsafe[1] < unsafe[0] * (1 - 1e-9)


@given(st.integers(0, 10**6), st.sampled_from(["hadr", "hadrdot", "ee"]), st.floats(0.1, 0.5))
def test_soft_emissions_are_not_seen(seed: int, measure: str, distance: float) -> None:
    jet = spread_jet(seed, 12, m=0.0)
    before, after = polynomials(jet, with_soft(jet, 1e-9, distance, 0.3), degree=5, measure=measure)
    np.testing.assert_allclose(after, before, rtol=1e-6)
    unsafe = polynomials(jet, with_soft(jet, 1e-9, distance, 0.3), degree=0, measure=measure, kappa=0)
    np.testing.assert_array_equal(unsafe, [[12.0], [13.0]])


# --- edge cases ---


def test_small_jets() -> None:
    pair = from_angles([3.0, 1.0], [0.0, 0.3], [0.0, 0.4])
    empty, one, two = polynomials(np.empty((4, 0)), pair[:, :1], pair, degree=2)
    np.testing.assert_array_equal(empty, 0.0)
    np.testing.assert_array_equal(one, [1.0, 0.0, 0.0, 0.0])
    z, theta = 3 / 16, 0.5
    np.testing.assert_allclose(two, [1.0, 2 * z * theta, 2 * z * theta**2, z * theta**2], rtol=1e-14)


def test_no_jets_and_no_graphs() -> None:
    jets = awkward_jets(spread_jet(1, 4))
    assert energy_flow_polynomials(jets[:0]).shape == (0, 490)
    assert energy_flow_polynomials(ak.Array([])).shape == (0, 490)
    assert energy_flow_polynomials(jets, graphs=[]).shape == (1, 0)
    assert energy_flow_polynomial(jets[:0], EDGE).shape == (0,)


@pytest.mark.parametrize("measure", ["hadr", "hadrdot", "ee"])
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_massless_constituents_of_one_direction_have_no_angle(measure: str, beta: float) -> None:
    jet = from_angles([5.0, 3.0, 1.0], [0.7] * 3, [2.0] * 3)
    found = polynomials(jet, degree=4, measure=measure, beta=beta)[0]
    assert found[0] == 1.0
    np.testing.assert_allclose(found[1:], 0.0, atol=1e-7)


@pytest.mark.parametrize("measure", ["hadr", "hadrdot", "ee"])
@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("kappa", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("beta", [0.1, 2.0, 400.0])
def test_extreme_momenta_give_finite_numbers(measure: str, normalised: bool, kappa: float, beta: float) -> None:
    beam = np.array([[0.0, 0.0], [0.0, 0.0], [7000.0, -7000.0], [7000.0, 7000.0]])
    at_rest = np.array([[0.0], [0.0], [0.0], [1.0]])
    tiny = np.array([[1e-120, 1e-140, 1e-160], [0.0] * 3, [1e100, 1.0, 1e-160], [1e100, 1.0, 1e100]])
    jet = spread_jet(1, 6)
    jets = [beam, at_rest, 0 * jet, tiny, 1e97 * jet, 1e-130 * jet]
    jets.append(np.concatenate([beam, at_rest, tiny, jet, 1e90 * jet, 1e-90 * jet], axis=1))
    found = polynomials(*jets, measure=measure, normalised=normalised, kappa=kappa, beta=beta)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    np.testing.assert_array_equal(found[2], 0.0)


@pytest.mark.parametrize("kappa", [0.0, 1.0])
@pytest.mark.parametrize("measure", ["hadr", "hadrdot"])
def test_constituents_without_transverse_momentum_count_for_nothing(measure: str, kappa: float) -> None:
    jet = spread_jet(1, 9)
    beam = np.array([[0.0, 0.0], [0.0, 0.0], [50.0, -70.0], [50.0, 71.0]])
    without, with_beam = polynomials(jet, np.concatenate([beam, jet], axis=1), measure=measure, kappa=kappa)
    np.testing.assert_array_equal(with_beam, without)


def test_constituents_without_energy_count_for_nothing() -> None:
    jet = spread_jet(1, 9)
    nothing = np.zeros((4, 2))
    without, with_nothing = polynomials(jet, np.concatenate([jet, nothing], axis=1), measure="ee", kappa=0)
    np.testing.assert_array_equal(with_nothing, without)


def test_small_angles_are_exact() -> None:
    """A pair 1e-7 apart, where the momenta's product by components has lost all digits."""
    pair = from_angles([3.0, 2.0], [1.0, 1.0], [0.5, 0.5 + 1e-7])
    for measure in ("hadr", "hadrdot"):
        found = energy_flow_polynomial(flat_jets(pair), EDGE, measure=measure)
        np.testing.assert_allclose(found, 2 * 0.6 * 0.4 * 1e-7, rtol=1e-6)


def test_kinds_of_input_agree() -> None:
    jets = [spread_jet(seed, 10) for seed in range(4)]
    expected = polynomials(*jets, degree=4)
    array = awkward_jets(*jets)
    np.testing.assert_array_equal(energy_flow_polynomials(array, degree=4), expected)
    flat = flat_jets(*jets)
    columns = dict(zip(("px", "py", "pz", "energy"), flat[1:], strict=True))
    np.testing.assert_array_equal(energy_flow_polynomials(Jets(flat.offsets, columns, {}), degree=4), expected)
    np.testing.assert_array_equal(energy_flow_polynomials(array[::-1], degree=4), expected[::-1])
    single = ak.values_astype(array, np.float32)
    np.testing.assert_allclose(energy_flow_polynomials(single, degree=4), expected, rtol=1e-4)
    doubled = ak.zip({name: ak.unflatten(np.repeat(x, 2)[::2], np.diff(flat.offsets)) for name, x in columns.items()})
    np.testing.assert_array_equal(energy_flow_polynomials(doubled, degree=4), expected)
    swapped, read_only = (
        FlatJets(flat.offsets, *(column.astype(kind) for column in flat[1:])) for kind in (">f8", "f8")
    )
    for column in read_only:
        column.flags.writeable = False
    for converted in (swapped, read_only):
        np.testing.assert_array_equal(energy_flow_polynomials(converted, degree=4), expected)
    optional = ak.mask(array, np.ones(4, dtype=bool))
    np.testing.assert_array_equal(energy_flow_polynomials(optional, degree=4), expected)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_a_bit(threads: int) -> None:
    jets = [spread_jet(seed, seed % 23) for seed in range(300)]
    one = polynomials(*jets, degree=5, num_threads=1)
    np.testing.assert_array_equal(polynomials(*jets, degree=5, num_threads=threads), one)


def test_a_jet_does_not_see_the_others() -> None:
    jets = [spread_jet(seed, n) for seed, n in enumerate((40, 3, 17, 0, 25, 1, 40))]
    together = polynomials(*jets)
    for jet, row in zip(jets, together, strict=True):
        np.testing.assert_array_equal(polynomials(jet)[0], row)


def test_labels_and_directions_of_edges_do_not_matter() -> None:
    flat = flat_jets(spread_jet(1, 10))
    expected = energy_flow_polynomial(flat, [(0, 1), (0, 1), (1, 2), (2, 3)])
    changed = [[70, -3], [5, 70], [-3, 70], np.array([5, 9])]
    np.testing.assert_allclose(energy_flow_polynomial(flat, changed), expected, rtol=1e-14)
    np.testing.assert_array_equal(energy_flow_polynomial(flat, np.array([(0, 1), (0, 1), (1, 2), (2, 3)])), expected)


# --- what is refused ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measure": "hadrefm"}, "measure 'hadrefm' is not known; choose one of hadr, hadrdot, ee"),
        ({"measure": None}, "measure None is not known"),
        ({"beta": 0.0}, "beta is 0; it must be"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"beta": float("inf")}, "beta is inf"),
        ({"kappa": -1.0}, "kappa is -1; it must be"),
        ({"kappa": float("nan")}, "kappa is nan"),
        ({"degree": 12}, "degree is 12; it must be"),
        ({"graphs": "triangle"}, "graphs is 'triangle'; it must be a sequence of graphs"),
        ({"graphs": 3}, "graphs is 3; it must be"),
        ({"graphs": [(0, 1), (1, 2)]}, r"graphs\[0\] is \(0, 1\); a graph is a sequence of edges"),
        ({"graphs": [[(0, 1)], [(0.5, 1)]]}, r"graphs\[1\] is \[\(0.5, 1\)\]; a graph is a sequence of edges"),
        ({"graphs": [[(0, 1, 2)]]}, "pairs of integers"),
        ({"graphs": [[(0, 1), (2, 2)]]}, r"graphs\[0\] has the edge \(2, 2\); an edge must join two different"),
        ({"graphs": [[(0, 1)] * 65]}, r"graphs\[0\] has 65 edges; it must have at most 64"),
        ({"graphs": [K7]}, r"takes N\^7 operations for N constituents; at most N\^6 are done"),
        ({"num_threads": 0}, "num_threads is 0"),
    ],
)
def test_bad_arguments_are_refused(options: Any, message: str) -> None:
    with pytest.raises(JetforgeError, match=message):
        polynomials(spread_jet(1, 3), **options)


def test_dense_graphs_are_refused() -> None:
    with pytest.raises(JetforgeError, match="operations for N constituents"):
        energy_flow_polynomial(flat_jets(spread_jet(1, 3)), list(combinations(range(11), 2)))


def test_bad_jets_are_refused() -> None:
    good = awkward_jets(spread_jet(1, 3))
    with pytest.raises(DataError, match="not a finite momentum"):
        energy_flow_polynomials(ak.with_field(good, good.px * np.nan, "px"))
    with pytest.raises(DataError, match="missing"):
        energy_flow_polynomials(ak.Array([None, *good.to_list()]))
    with pytest.raises(DataError):
        energy_flow_polynomial(good.px, EDGE)


def test_polynomials_in_single_precision() -> None:
    jets = awkward_jets(spread_jet(1, 20), spread_jet(2, 1), np.empty((4, 0)))
    double = energy_flow_polynomials(jets, degree=4)
    single = energy_flow_polynomials(jets, degree=4, dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=1e-6)
    far = np.array([[1e-3, 1.0], [0.0, 0.0], [1e30, -1e30], [1e30, 1e30]])
    assert np.isfinite(energy_flow_polynomials(awkward_jets(far), degree=4, dtype="float32")).all()
    with pytest.raises(JetforgeError, match=r"dtype is .*; choose float32 or float64"):
        energy_flow_polynomials(jets, degree=2, dtype=int)
    with pytest.raises(JetforgeError, match="connected is 'no'; it must be True or False"):
        energy_flow_polynomials(jets, degree=2, connected="no")  # type: ignore[arg-type]
