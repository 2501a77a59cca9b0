"""Event shapes: agreement with Pythia and plain numpy, what changes them and what does not, and the edges."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
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
from jetforge.physics.flat import FlatJets
from jetforge.physics.shapes.event import (
    aplanarity,
    broadening,
    c_parameter,
    d_parameter,
    fox_wolfram,
    oblateness,
    sphericity,
    sphericity_eigenvalues,
    thrust,
    thrust_major,
    thrust_minor,
    thrust_shapes,
)

FRAMES = ("rest", "lab", "transverse")
SAFE = {
    "thrust": thrust,
    "minor": thrust_minor,
    "broadening": broadening,
    "linearised sphericity": partial(sphericity, power=1.0),
    "Fox-Wolfram": fox_wolfram,
}
SPATIAL = {
    "major": thrust_major,
    "oblateness": oblateness,
    "aplanarity": aplanarity,
    "linearised aplanarity": partial(aplanarity, power=1.0),
    "C": c_parameter,
    "D": d_parameter,
}
UNSAFE = {"sphericity": sphericity, "Fox-Wolfram, distinct": partial(fox_wolfram, distinct=True)}
CASES = [(name, shape, frame) for name, shape in (SAFE | UNSAFE).items() for frame in FRAMES] + [
    (name, shape, frame) for name, shape in SPATIAL.items() for frame in ("rest", "lab")
]
each_case = pytest.mark.parametrize(("shape", "frame"), [c[1:] for c in CASES], ids=[f"{c[0]} {c[2]}" for c in CASES])
Shape = Callable[..., npt.NDArray[np.float64]]

jets = st.builds(spread_jet, st.integers(0, 10**6), st.integers(3, 12))


def all_shapes(jet: Momenta, frame: str) -> dict[str, npt.NDArray[np.float64]]:
    chosen = {name: shape for name, shape, where in CASES if where == frame}
    return {name: shape(awkward_jets(jet), frame=frame)[0] for name, shape in chosen.items()}


def in_rest_frame(jet: Momenta) -> Momenta:
    """Boost by the textbook formula."""
    total = jet.sum(1)
    beta = total[:3] / total[3]
    gamma = 1 / np.sqrt(1 - beta @ beta)
    along = beta @ jet[:3]
    momenta = jet[:3] + np.outer(beta, (gamma - 1) / (beta @ beta) * along - gamma * jet[3])
    return np.vstack([momenta, gamma * (jet[3] - along)])


def in_frame(jet: Momenta, frame: str) -> npt.NDArray[np.float64]:
    if frame == "rest":
        return in_rest_frame(jet)[:3]
    return jet[:3] * np.array([[1.0], [1.0], [frame == "lab"]])


def thrust_of_all_signs(p: npt.NDArray[np.float64]) -> float:
    signs = np.array(list(product([-1.0, 1.0], repeat=p.shape[1] - 1)))
    sums = p[:, :1] + p[:, 1:] @ signs.T
    return float(np.linalg.norm(sums, axis=0).max() / np.linalg.norm(p, axis=0).sum())


def thrust_of_all_planes(p: npt.NDArray[np.float64]) -> float:
    """The plane across the best axis may be turned until two momenta lie in it, on sides of their own each."""
    n = p.shape[1]
    i, j = np.triu_indices(n, 1)
    sides = np.sign(np.cross(p[:, i], p[:, j], axis=0).T @ p)
    sides[np.arange(len(i)), i] = 0
    sides[np.arange(len(i)), j] = 0
    rest = p @ sides.T
    sums = [rest + p[:, i] + p[:, j], rest + p[:, i] - p[:, j], rest - p[:, i] + p[:, j], rest - p[:, i] - p[:, j]]
    return float(np.linalg.norm(np.array(sums), axis=1).max() / np.linalg.norm(p, axis=0).sum())


@pytest.mark.parametrize("frame", ["rest", "lab"])
def test_agrees_with_pythia(generated_jets: Any, frame: str) -> None:
    pythia8 = pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")
    event = pythia8.Pythia("", False).event
    analyses = pythia8.Thrust(1), pythia8.Sphericity(2.0, 1), pythia8.Sphericity(1.0, 1)
    expected = []
    for jet in each_jet(generated_jets):
        event.reset()
        for px, py, pz, energy in (in_rest_frame(jet) if frame == "rest" else jet).T:
            event.append(211, 1, 0, 0, float(px), float(py), float(pz), float(energy), 0.0)
        assert all(analysis.analyze(event) for analysis in analyses)
        t, s, linear = analyses
        thrusts = t.thrust(), t.tMajor(), t.tMinor(), t.oblateness()
        expected.append([*thrusts, s.sphericity(), s.aplanarity(), linear.sphericity(), linear.aplanarity()])
    shapes = thrust, thrust_major, thrust_minor, oblateness, sphericity, aplanarity
    ours = [shape(generated_jets, frame=frame) for shape in shapes]
    ours += [shape(generated_jets, frame=frame, power=1.0) for shape in (sphericity, aplanarity)]
    tolerance = 1e-9 if frame == "rest" else 1e-10  # the cubic equation costs Pythia digits of small eigenvalues
    np.testing.assert_allclose(np.column_stack(ours), expected, rtol=1e-6, atol=tolerance)
    np.testing.assert_allclose(np.column_stack(ours[:3]), np.array(expected)[:, :3], rtol=1e-10)


@pytest.mark.parametrize("frame", FRAMES)
def test_thrust_is_the_best_over_all_planes_through_two_momenta(generated_jets: Any, frame: str) -> None:
    some = generated_jets[:30]
    best = thrust_of_all_signs if frame == "transverse" else thrust_of_all_planes
    few = [in_frame(jet, frame) for jet in each_jet(some[:, :12] if frame == "transverse" else some)]
    ours = thrust(some[:, :12] if frame == "transverse" else some, frame=frame)
    np.testing.assert_allclose(ours, [best(p) for p in few], rtol=1e-11)


@given(st.integers(0, 10**6), st.integers(2, 11), st.sampled_from(FRAMES))
def test_thrust_is_the_best_over_all_signs(seed: int, n: int, frame: str) -> None:
    jet = spread_jet(seed, n)
    expected = thrust_of_all_signs(in_frame(jet, frame))
    np.testing.assert_allclose(thrust(awkward_jets(jet), frame=frame), expected, rtol=1e-10)


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_thrust_of_isotropic_and_of_degenerate_momenta(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    isotropic = rng.normal(size=(3, n))
    cells = np.ceil(rng.uniform(-3, 1.999, (3, n)))
    uneven = isotropic * 10 ** rng.uniform(-12, 0, n)
    plane = isotropic * np.array([[1.0], [1.0], [0.0]])
    for p in (isotropic, cells, uneven, plane, np.repeat(isotropic[:, :1], n, axis=1)):
        if np.any(p):
            jet = np.vstack([p, np.linalg.norm(p, axis=0)])
            np.testing.assert_allclose(thrust(awkward_jets(jet), frame="lab"), thrust_of_all_signs(p), rtol=1e-12)


def test_major_and_minor_are_measured_across_the_axis(generated_jets: Any) -> None:
    some = generated_jets[:20]
    for frame in ("rest", "lab"):
        shapes = thrust_shapes(some, frame=frame)
        for j, jet in enumerate(each_jet(some)):
            p, n = in_frame(jet, frame), shapes.axis[j]
            total = np.linalg.norm(p, axis=0).sum()
            np.testing.assert_allclose(np.abs(n @ p).sum() / total, shapes.thrust[j], rtol=1e-10)
            across = p - np.outer(n, n @ p)
            u = np.linalg.svd(n[None])[2][1]
            angles = np.linspace(0, np.pi, 20001)
            directions = np.outer(np.cos(angles), u) + np.outer(np.sin(angles), np.cross(n, u))
            sums = np.abs(directions @ across).sum(1) / total
            np.testing.assert_allclose(sums.max(), shapes.major[j], rtol=1e-3, atol=1e-12)
            assert shapes.major[j] >= sums.max() * (1 - 1e-12)
            best = np.cross(n, directions[sums.argmax()])
            np.testing.assert_allclose(np.abs(best @ across).sum() / total, shapes.minor[j], rtol=0.01, atol=1e-6)
            np.testing.assert_allclose(
                np.linalg.norm(across, axis=0).sum() / total / 2, shapes.broadening[j], rtol=1e-9
            )
        np.testing.assert_array_equal(oblateness(some, frame=frame), shapes.major - shapes.minor)


def test_transverse_thrust_has_a_minor_and_no_major() -> None:
    jet = spread_jet(5, 20)
    shapes = thrust_shapes(awkward_jets(jet), frame="transverse")
    p, (x, y, z) = jet[:2], shapes.axis[0]
    total = np.linalg.norm(p, axis=0).sum()
    assert (z, shapes.major[0]) == (0.0, 0.0)
    np.testing.assert_allclose(shapes.minor[0], np.abs(x * p[1] - y * p[0]).sum() / total, rtol=1e-12)
    np.testing.assert_allclose(shapes.broadening, shapes.minor / 2, rtol=1e-12)


def from_vectors(*vectors: tuple[float, float, float]) -> Momenta:
    p = np.array(vectors, dtype=float).T
    return np.vstack([p, np.linalg.norm(p, axis=0)])


OCTAHEDRON = from_vectors((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))
STAR = from_vectors((1, 0, 0), (-0.5, 0.75**0.5, 0), (-0.5, -(0.75**0.5), 0))
LINE = from_vectors((0.3, 0.4, 1.2), (-0.3, -0.4, -1.2))


@pytest.mark.parametrize("frame", ["rest", "lab"])
def test_figures_with_known_shapes(frame: str) -> None:
    figures = awkward_jets(OCTAHEDRON, STAR, LINE)
    shapes = thrust_shapes(figures, frame=frame)
    np.testing.assert_allclose(shapes.thrust, [3**-0.5, 2 / 3, 1], rtol=1e-12)
    np.testing.assert_allclose(shapes.major[1:], [3**-0.5, 0], atol=1e-12)
    np.testing.assert_allclose(shapes.minor[1:], [0, 0], atol=1e-12)
    np.testing.assert_allclose(sphericity(figures, frame=frame), [1, 0.75, 0], atol=1e-12)
    np.testing.assert_allclose(aplanarity(figures, frame=frame), [0.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(c_parameter(figures, frame=frame), [1, 0.75, 0], atol=1e-12)
    np.testing.assert_allclose(d_parameter(figures, frame=frame), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(
        fox_wolfram(figures, frame=frame, l_max=2)[:, 1:], [[0, 0], [0, 0.25], [0, 1]], atol=1e-12
    )


@pytest.mark.parametrize("n", [4, 10, 50, 200])
def test_rings_have_the_thrust_of_a_polygon(n: int) -> None:
    angles = 2 * np.pi * np.arange(n) / n
    ring = from_vectors(*zip(np.cos(angles), np.sin(angles), 0 * angles, strict=True))
    polygon = 2 / (n * np.sin(np.pi / n))
    for frame in FRAMES:
        np.testing.assert_allclose(thrust(awkward_jets(ring), frame=frame), polygon, rtol=1e-12)
    np.testing.assert_allclose(sphericity(awkward_jets(ring), frame="transverse"), 1, rtol=1e-12)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("frame", FRAMES)
def test_eigenvalues_are_those_of_numpy(generated_jets: Any, frame: str, power: float) -> None:
    some = generated_jets[:100]
    expected = []
    for jet in each_jet(some):
        p = in_frame(jet, frame)
        size = np.linalg.norm(p, axis=0)
        tensor = (p * size ** (power - 2)) @ p.T / (size**power).sum()
        expected.append(np.linalg.eigvalsh(tensor)[::-1])
    ours = sphericity_eigenvalues(some, frame=frame, power=power)
    np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-15)
    np.testing.assert_allclose(ours.sum(1), 1, rtol=1e-12)
    if frame != "transverse" and power == 1.0:
        l1, l2, l3 = np.array(expected).T
        np.testing.assert_allclose(c_parameter(some, frame=frame), 3 * (l1 * l2 + l1 * l3 + l2 * l3), rtol=1e-8)
        np.testing.assert_allclose(d_parameter(some, frame=frame), 27 * l1 * l2 * l3, rtol=1e-8)
    if frame == "transverse":
        l1, l2, _ = np.array(expected).T
        np.testing.assert_allclose(sphericity(some, frame=frame, power=power), 2 * l2 / (l1 + l2), rtol=1e-8)


@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("frame", FRAMES)
def test_fox_wolfram_moments_are_double_sums(generated_jets: Any, frame: str, distinct: bool) -> None:
    some = generated_jets[:50]
    expected = []
    for jet in each_jet(some):
        p = in_frame(jet, frame)
        size = np.linalg.norm(p, axis=0)
        weights = np.outer(size, size) * (1 - np.eye(len(size)) if distinct else 1)
        terms = np.polynomial.legendre.legvander((p / size).T @ (p / size), 6)
        moments = (weights[..., None] * terms).sum((0, 1))
        expected.append(moments / moments[0])
    ours = fox_wolfram(some, l_max=6, frame=frame, distinct=distinct)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-11)
    if not distinct and frame != "transverse":
        np.testing.assert_allclose(ours[:, 2], 1 - c_parameter(some, frame=frame), atol=1e-12)


def assert_shapes_close(jet: Momenta, other: Momenta, frame: str, tolerance: float) -> None:
    ours, others = all_shapes(jet, frame), all_shapes(other, frame)
    for name, value in ours.items():
        np.testing.assert_allclose(others[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@given(jets, st.floats(0.1, 1e3), st.floats(-3, 3), st.sampled_from(FRAMES))
def test_order_scale_and_azimuth_play_no_role(jet: Momenta, scale: float, angle: float, frame: str) -> None:
    assert_shapes_close(jet, scale * rotated(permuted(jet, 1), angle), frame, 1e-8)


@given(jets, st.floats(-2, 2), st.sampled_from(["rest", "transverse"]))
def test_boosts_along_the_beam_play_no_role(jet: Momenta, eta: float, frame: str) -> None:
    assert_shapes_close(jet, boosted(jet, eta), frame, 1e-7)


@given(jets, st.integers(0, 10**6))
def test_no_boost_or_rotation_plays_a_role_in_the_rest_frame(jet: Momenta, seed: int) -> None:
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turned = boosted(np.vstack([turn @ jet[:3], jet[3]]), 1.0)
    assert_shapes_close(jet, turned, "rest", 1e-7)
    assert_shapes_close(jet, np.vstack([turn @ jet[:3], jet[3]]), "lab", 1e-8)
    moving = not np.allclose(thrust(awkward_jets(jet), frame="lab"), thrust(awkward_jets(boosted(jet, 2)), frame="lab"))
    assert moving


@given(jets, st.integers(0, 2), st.floats(0.2, 0.8), st.sampled_from(FRAMES))
def test_collinear_splittings_are_seen_by_unsafe_shapes_only(jet: Momenta, which: int, z: float, frame: str) -> None:
    which = int(np.argsort(jet[3])[-1 - which])
    before, after = all_shapes(jet, frame), all_shapes(split_collinearly(jet, which, z), frame)
    for name in before:
        if name in UNSAFE or name == "aplanarity":
            continue
        np.testing.assert_allclose(after[name], before[name], rtol=1e-7, atol=1e-8, err_msg=name)
    for name in UNSAFE:
        assert np.abs(after[name] - before[name]).max() > 1e-9, name


@given(jets, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.sampled_from(FRAMES))
def test_soft_emissions_move_nothing(jet: Momenta, dy: float, dphi: float, frame: str) -> None:
    assert_shapes_close(jet, with_soft(jet, 1e-9, dy, dphi), frame, 1e-5)


@each_case
def test_jets_without_shapes_give_zero(shape: Shape, frame: str) -> None:
    assert len(shape(awkward_jets(spread_jet(0, 3))[:0], frame=frame)) == 0
    still = from_vectors((0, 0, 0))
    slow = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 2.0]])
    at_rest = awkward_jets(spread_jet(0, 3)[:, :0], still, slow)
    assert not np.any(shape(at_rest, frame=frame))
    one, same = spread_jet(3, 1), np.repeat(spread_jet(3, 1), 5, axis=1)
    massless, beam = from_vectors(*[(10.1, 20.3, 30.7)] * 4), from_vectors((0, 0, 5.1), (0, 0, 7.3), (0, 0, -1))
    values = shape(awkward_jets(one, same, massless, beam), frame=frame)
    assert np.isfinite(values).all()
    if frame == "rest":
        assert not np.any(values[:3])
    if frame == "transverse":
        assert not np.any(values[3])


def test_single_directions_are_lines() -> None:
    line = awkward_jets(spread_jet(3, 1), from_vectors((1, 2, 3), (2, 4, 6), (-3, -6, -9)))
    for frame in ("lab", "transverse"):
        np.testing.assert_allclose(thrust(line, frame=frame), 1, rtol=1e-14)
        np.testing.assert_allclose(sphericity(line, frame=frame), 0, atol=1e-14)
        np.testing.assert_allclose(thrust_minor(line, frame=frame), 0, atol=1e-14)
    assert thrust(awkward_jets(spread_jet(4, 2)))[0] == pytest.approx(1, rel=1e-12)


@each_case
def test_extreme_momenta_stay_finite(shape: Shape, frame: str) -> None:
    wide, soft = 1e97 * spread_jet(1, 20, m=0.0), 1e-160 * spread_jet(2, 20, m=0.0)
    mixed = np.concatenate([spread_jet(1, 5), from_vectors((0, 0, 1e100), (0, 0, -1e100), (0, 0, 0))], axis=1)
    below = np.array([[30.0, -20.0, 3.0], [0.0, 5.0, 3.0], [40.0, 1.0, 2.0], [49.9, 20.5, 4.69]])
    values = shape(awkward_jets(wide, soft, mixed, below), frame=frame)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(
        values[0], shape(awkward_jets(spread_jet(1, 20, m=0.0)), frame=frame)[0], rtol=1e-9, atol=1e-12
    )


@each_case
def test_threads_and_forms_of_the_input_play_no_role(shape: Shape, frame: str) -> None:
    momenta = [spread_jet(seed, 1 + seed % 7) for seed in range(1100)]
    constituents = awkward_jets(*momenta)
    expected = shape(constituents, frame=frame, num_threads=1)
    np.testing.assert_array_equal(shape(constituents, frame=frame, num_threads=3), expected)
    flat = flat_jets(*momenta)
    np.testing.assert_array_equal(shape(flat, frame=frame), expected)
    columns = dict(zip(("px", "py", "pz", "energy"), flat[1:], strict=True))
    np.testing.assert_array_equal(shape(Jets(flat.offsets, columns), frame=frame), expected)
    for changed in ([x.astype(">f8") for x in flat[1:]], [np.repeat(x, 2)[::2] for x in flat[1:]]):
        np.testing.assert_array_equal(shape(FlatJets(flat.offsets, *changed), frame=frame), expected)
    single = ak.values_astype(constituents, np.float32)
    np.testing.assert_array_equal(shape(single, frame=frame), shape(ak.values_astype(single, np.float64), frame=frame))


@pytest.mark.parametrize("shape", [*SAFE.values(), *SPATIAL.values(), *UNSAFE.values(), thrust_shapes])
def test_wrong_names_and_data_are_refused(shape: Shape) -> None:
    jet = awkward_jets(spread_jet(0, 3))
    for frame in ("Rest", "cms", "", None):
        with pytest.raises(JetforgeError, match="is not known; choose one of rest, lab, transverse"):
            shape(jet, frame=frame)
    broken = spread_jet(0, 3)
    broken[1, 1] = np.nan
    with pytest.raises(DataError, match="jet 0, constituent 1"):
        shape(awkward_jets(broken))
    with pytest.raises(DataError, match="is missing"):
        shape(ak.Array([[{"px": 1.0, "py": None, "pz": 0.0, "energy": 3.0}]]))
    with pytest.raises(JetforgeError, match="num_threads is 0"):
        shape(jet, num_threads=0)


@pytest.mark.parametrize("shape", SPATIAL.values())
def test_a_plane_has_no_shapes_in_space(shape: Shape) -> None:
    with pytest.raises(JetforgeError, match="in a plane; choose one of rest, lab"):
        shape(awkward_jets(spread_jet(0, 3)), frame="transverse")


@pytest.mark.parametrize("power", [0.0, -1.0, np.nan, np.inf])
def test_powers_that_make_no_tensor_are_refused(power: float) -> None:
    with pytest.raises(JetforgeError, match=r"power is .*; it must be"):
        sphericity(awkward_jets(spread_jet(0, 3)), power=power)


@pytest.mark.parametrize("l_max", [-1, 101, 1.5, np.nan, "2"])
def test_moments_that_do_not_exist_are_refused(l_max: Any) -> None:
    with pytest.raises(JetforgeError, match=r"l_max is .*; it must be"):
        fox_wolfram(awkward_jets(spread_jet(0, 3)), l_max=l_max)


@pytest.mark.parametrize("value", [1, 0, None, "no"])
def test_distinct_is_true_or_false(value: Any) -> None:
    with pytest.raises(JetforgeError, match=r"distinct is .*; it must be True or False"):
        fox_wolfram(awkward_jets(spread_jet(0, 3)), distinct=value)


def test_the_zeroth_moment_alone_is_one() -> None:
    values = fox_wolfram(awkward_jets(from_angles([10, 20, 30], [0, 0.1, 0.2], [0, 0.2, 0.3])), l_max=0)
    np.testing.assert_array_equal(values, [[1.0]])
