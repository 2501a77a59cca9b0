"""Energy correlators are those that fjcontrib prints and computes, and what they mean in plain numpy."""

import itertools
import math
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import awkward as ak
import fastjet
import numpy as np
import numpy.typing as npt
import pytest
from helpers.jets import (
    Momenta,
    anti_kt_jets,
    awkward_jets,
    boosted,
    cell_jet,
    each_jet,
    fastjet_awkward,
    flat_jets,
    from_angles,
    permuted,
    read_event,
    rotated,
    split_collinearly,
    spread_jet,
    with_soft,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.correlators.ecf import MEASURES, energy_correlator, energy_correlators
from jetforge.physics.correlators.ratios import c_series, d2, l_series, m_series, n_series, u_series

Array = npt.NDArray[np.float64]

EVERY_TERM = [(n, v) for n in (2, 3, 4, 5) for v in range(1, n * (n - 1) // 2 + 1)]


def angles_between(jet: Momenta, measure: str) -> tuple[Array, Array]:
    """Return the weights of the constituents and the matrix of their angles, by their definition."""
    px, py, pz, energy = jet
    if measure == "pt_R":
        y, phi = np.arctanh(pz / energy), np.arctan2(py, px)
        dphi = np.abs(phi[:, None] - phi)
        return np.hypot(px, py), np.hypot(y[:, None] - y, np.minimum(dphi, 2 * np.pi - dphi))
    if measure == "E_theta":
        direction = jet[:3] / np.sqrt((jet[:3] ** 2).sum(0))
        return energy, np.arccos(np.clip(direction.T @ direction, -1, 1))
    product = np.outer(energy, energy) - jet[:3].T @ jet[:3]
    return energy, np.sqrt(np.maximum(2 * product / np.outer(energy, energy), 0))


def plain_correlator(jet: Momenta, n: int, beta: float, angles: int | None = None, measure: str = "pt_R") -> float:
    """Return the normalised correlator of one jet, set by set."""
    weight, theta = angles_between(jet, measure)
    z, total = weight / weight.sum(), 0.0
    for chosen in itertools.combinations(range(len(z)), n):
        smallest = sorted(theta[i, k] for i, k in itertools.combinations(chosen, 2))[:angles]
        total += np.prod(z[list(chosen)]) * np.prod(smallest) ** beta
    return total


@pytest.mark.parametrize(("n", "angles"), EVERY_TERM)
def test_every_correlator_is_its_definition(n: int, angles: int) -> None:
    jets = [spread_jet(seed, size) for seed, size in enumerate([0, 1, 2, 3, 4, 5, 6, 11, 18 if n < 5 else 12])]
    for beta in (1.0, 0.7):
        expected = [plain_correlator(jet, n, beta, angles) for jet in jets]
        assert expected[-1] > 0
        found = energy_correlator(awkward_jets(*jets), n, beta, angles=angles)
        np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0, 2.0, 3.1])
def test_every_measure_is_its_definition(measure: str, beta: float) -> None:
    jets = [spread_jet(seed, 15) for seed in range(4)]
    for n, angles in ((2, None), (3, None), (3, 2)):
        expected = [plain_correlator(jet, n, beta, angles, measure) for jet in jets]
        found = energy_correlator(awkward_jets(*jets), n, beta, angles=angles, measure=measure)
        np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_large_jets_are_summed_to_the_last_row() -> None:
    """Jets of every size around the lengths to which rows are padded, by a loop over matrices."""
    jets = [spread_jet(n, n) for n in range(13, 70)]
    for angles, pick in ((None, np.prod), (1, np.min), (2, lambda a, axis: np.prod(np.sort(a, axis=axis)[:2], axis))):
        expected = []
        for jet in jets:
            weight, theta = angles_between(jet, "pt_R")
            i, k, m = np.array(list(itertools.combinations(range(jet.shape[1]), 3))).T
            z = weight / weight.sum()
            sets = np.array([theta[i, k], theta[i, m], theta[k, m]])
            expected.append(np.sum(z[i] * z[k] * z[m] * pick(sets, axis=0)))
        np.testing.assert_allclose(energy_correlator(awkward_jets(*jets), 3, angles=angles), expected, rtol=1e-12)


def test_three_constituents_by_hand() -> None:
    """At angles of 0.3, 0.4 and 0.5 with pT 60, 30 and 10 GeV."""
    jets = awkward_jets(from_angles([60.0, 30.0, 10.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.4]))
    e2 = 0.6 * 0.3 * 0.3 + 0.6 * 0.1 * 0.4 + 0.3 * 0.1 * 0.5
    z3 = 0.6 * 0.3 * 0.1
    by_hand = {
        energy_correlator(jets, 1)[0]: 1.0,
        energy_correlator(jets, 2)[0]: e2,
        energy_correlator(jets, 2, normalised=False)[0]: e2 * 100.0**2,
        energy_correlator(jets, 3)[0]: z3 * 0.06,
        energy_correlator(jets, 3, angles=1)[0]: z3 * 0.3,
        energy_correlator(jets, 3, angles=2)[0]: z3 * 0.12,
        energy_correlator(jets, 3, 2.0)[0]: z3 * 0.06**2,
        energy_correlator(jets, 4)[0]: 0.0,
        c_series(jets, 1)[0]: e2,
        c_series(jets, 2)[0]: z3 * 0.06 / e2**2,
        d2(jets)[0]: z3 * 0.06 / e2**3,
        n_series(jets, 2)[0]: z3 * 0.12 / e2**2,
        m_series(jets, 2)[0]: z3 * 0.3 / e2,
        u_series(jets, 2)[0]: z3 * 0.3,
    }
    for found, expected in by_hand.items():
        assert found == pytest.approx(expected, rel=1e-12)


# --- What the contrib prints ------------------------------------------------------------------------------------

_ROW = re.compile(r"^ +\d+(\.\d+)? ")


def printed_tables(path: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the heading and the rows of numbers of each table of an output."""
    rule = "-" * 85
    blocks = [block.strip("\n") for block in path.read_text().split(rule)]
    for heading, body in itertools.pairwise(blocks):
        if heading.startswith("EnergyCorrelator"):
            yield heading, [line.split() for line in body.splitlines() if _ROW.match(line)]


def decimals(word: str) -> Callable[[float], str]:
    """Return how C++ printed a number: with that many decimals, or six significant digits."""
    if "e" in word:
        return lambda x: f"{x:g}"
    return lambda x: f"{x:.{len(word.partition('.')[2])}f}"


def agrees(found: float, word: str) -> bool:
    """Say whether a number prints as the word, in either of the formats of C++, which drops zeros in one of them."""
    return decimals(word)(found) == word or f"{found:g}" == word


def ecf(jets: ak.Array, n: int, beta: float, measure: str) -> float:
    return 1.0 if n == 0 else float(energy_correlator(jets, n, beta, normalised=False, measure=measure)[0])


def generalised(jets: ak.Array, n: int, angles: int, measure: str) -> float:
    return float(energy_correlator(jets, n, angles=None if n == 1 else angles, measure=measure)[0])


_ALPHAS = (0.1, 0.2, 0.5, 1.0)
_TABLES: dict[str, Callable[[ak.Array, float, str, int], list[float]]] = {
    "EnergyCorrelator": lambda j, b, m, k: [ecf(j, n, b, m) for n in range(1, k + 1)],
    "EnergyCorrelatorRatio": lambda j, b, m, k: [ecf(j, n + 1, b, m) / ecf(j, n, b, m) for n in range(k)],
    "EnergyCorrelatorDoubleRatio": lambda j, b, m, k: [c_series(j, n, b, measure=m)[0] for n in range(1, k + 1)],
    "EnergyCorrelatorC1": lambda j, b, m, k: [c_series(j, 1, b, measure=m)[0]],
    "EnergyCorrelatorC2": lambda j, b, m, k: [c_series(j, 2, b, measure=m)[0]],
    "EnergyCorrelatorD2": lambda j, b, m, k: [d2(j, b, measure=m)[0]],
    "EnergyCorrelatorGeneralizedD2": lambda j, b, m, k: [d2(j, b, alpha=a, measure=m)[0] for a in _ALPHAS],
    "EnergyCorrelatorNseries": lambda j, b, m, k: [n_series(j, i, b, measure=m)[0] for i in range(1, k + 1)],
    "EnergyCorrelatorN2": lambda j, b, m, k: [n_series(j, 2, b, measure=m)[0]],
    "EnergyCorrelatorN3": lambda j, b, m, k: [n_series(j, 3, b, measure=m)[0]],
    "EnergyCorrelatorMseries": lambda j, b, m, k: [m_series(j, i, b, measure=m)[0] for i in range(1, k + 1)],
    "EnergyCorrelatorM2": lambda j, b, m, k: [m_series(j, 2, b, measure=m)[0]],
    "EnergyCorrelatorCseries": lambda j, b, m, k: [c_series(j, i, b, measure=m)[0] for i in range(1, k + 1)],
    "EnergyCorrelatorUseries": lambda j, b, m, k: [u_series(j, i, b, measure=m)[0] for i in range(1, k + 1)],
    "EnergyCorrelatorU1": lambda j, b, m, k: [u_series(j, 1, b, measure=m)[0]],
    "EnergyCorrelatorU2": lambda j, b, m, k: [u_series(j, 2, b, measure=m)[0]],
    "EnergyCorrelatorU3": lambda j, b, m, k: [u_series(j, 3, b, measure=m)[0]],
}


def test_every_row_of_the_contrib_is_reproduced_to_the_last_digit(refs: Path) -> None:
    """The two hardest anti-kt jets (R = 1.0) of the event, each with pt_R and with E_theta."""
    event = read_event(refs / "fjcontrib" / "data" / "single-event.dat")
    hardest = [awkward_jets(jet) for jet in anti_kt_jets(event, 1.0)[:2]]
    numbers, jet = 0, -1
    for heading, rows in printed_tables(refs / "fjcontrib" / "ref" / "EnergyCorrelator.example.ref"):
        name = re.split(r"[: ]", heading)[0]
        measure = heading.rpartition(" with ")[2]
        jet += name == "EnergyCorrelator" and measure == "pt_R"
        for beta, *words in rows:
            if heading.startswith("EnergyCorrelatorGeneralized:"):
                angles = int(beta)
                sizes = [n for n in (1, 2, 3, 4) if n * (n - 1) // 2 >= angles or angles == n == 1]
                found = [generalised(hardest[jet], n, angles, measure) for n in sizes]
            elif name == "EnergyCorrelatorGeneralized":
                found = [energy_correlator(hardest[jet], n, float(beta), measure=measure)[0] for n in (1, 2, 3, 4)]
            else:
                found = _TABLES[name](hardest[jet], float(beta), measure, len(words))
            assert len(found) == len(words)
            for value, word in zip(found, words, strict=True):
                assert agrees(value, word), f"jet {jet}: {heading}: {beta}: {value!r}, printed {word}"
            numbers += len(words)
    assert jet == 1
    assert numbers == 4 * 265


def test_the_basic_example_of_the_contrib_is_reproduced_to_the_last_digit(refs: Path) -> None:
    event = read_event(refs / "fjcontrib" / "data" / "single-event.dat")
    jets = awkward_jets(anti_kt_jets(event, 1.0)[0])
    evaluate: dict[str, Callable[[float], list[float]]] = {
        "C series": lambda beta: [c_series(jets, i, beta)[0] for i in (1, 2, 3)],
        "D2": lambda beta: [d2(jets, beta)[0], d2(jets, beta, alpha=1.0)[0], d2(jets, beta, alpha=2.0)[0]],
        "N series": lambda beta: [n_series(jets, i, beta)[0] for i in (2, 3)],
        "M series": lambda beta: [m_series(jets, i, beta)[0] for i in (2, 3)],
        "U series": lambda beta: [u_series(jets, i, beta)[0] for i in (1, 2, 3)],
    }
    numbers = 0
    for heading, rows in printed_tables(refs / "fjcontrib" / "ref" / "EnergyCorrelator.example_basic_usage.ref"):
        (name,) = (name for name in evaluate if f": {name}" in heading)
        for beta, *words in rows:
            assert all(agrees(x, w) for x, w in zip(evaluate[name](float(beta)), words, strict=True)), heading
            numbers += len(words)
    assert numbers == 29


# --- FastJet on generated jets ----------------------------------------------------------------------------------


def of_fastjet(jets: ak.Array, **settings: Any) -> Array:
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0)
    sequence = fastjet.ClusterSequence(fastjet_awkward(*each_jet(jets)), definition)
    return ak.to_numpy(ak.flatten(sequence.exclusive_jets_energy_correlator(njets=1, **settings), axis=None))


def test_generated_jets_have_the_correlators_of_fastjet(generated_jets: ak.Array) -> None:
    jets = generated_jets
    for beta in (0.5, 1.0, 2.0):
        pairs = {
            "e2": (energy_correlator(jets, 2, beta), of_fastjet(jets, beta=beta, npoint=2)),
            "e3": (energy_correlator(jets, 3, beta), of_fastjet(jets, beta=beta, npoint=3)),
            "c2": (c_series(jets, 2, beta), of_fastjet(jets, beta=beta, npoint=2, func="doubleratio")),
            "d2": (d2(jets, beta), of_fastjet(jets, beta=beta, npoint=2, alpha=beta, func="generalizedd2")),
            "d2(1)": (d2(jets, beta, alpha=1.0), of_fastjet(jets, beta=beta, alpha=1.0, func="generalizedd2")),
            "n2": (n_series(jets, 2, beta), of_fastjet(jets, beta=beta, npoint=2, func="nseries")),
            "m2": (m_series(jets, 2, beta), of_fastjet(jets, beta=beta, npoint=2, func="mseries")),
            "u2": (u_series(jets, 2, beta), of_fastjet(jets, beta=beta, npoint=2, func="useries")),
        }
        if beta <= 1:
            least, squares = of_fastjet(jets, beta=beta, npoint=3, angles=1), of_fastjet(jets, beta=2 * beta, npoint=2)
            pairs["l2"] = (l_series(jets, 2, beta), pairs["e3"][1] / squares**1.5)
            pairs["l3"] = (l_series(jets, 3, beta), least / np.cbrt(pairs["e3"][1]))
        for name, (ours, theirs) in pairs.items():
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, err_msg=f"{name}, beta {beta}")


@pytest.mark.parametrize("most", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_generated_jets_have_the_four_point_correlators_of_fastjet(generated_jets: ak.Array, most: int) -> None:
    small = generated_jets[ak.num(generated_jets) < 50][:most] if most < 500 else generated_jets
    np.testing.assert_allclose(c_series(small, 3), of_fastjet(small, npoint=3, func="doubleratio"), rtol=1e-12)
    np.testing.assert_allclose(n_series(small, 3), of_fastjet(small, npoint=3, func="nseries"), rtol=1e-12)
    np.testing.assert_allclose(m_series(small, 3), of_fastjet(small, npoint=3, func="mseries"), rtol=1e-12)
    np.testing.assert_allclose(u_series(small, 3), of_fastjet(small, npoint=3, func="useries"), rtol=1e-12)


def test_generated_jets_have_the_ratios_of_energyflow(generated_jets: ak.Array) -> None:
    energyflow = pytest.importorskip("energyflow", reason="compares with EnergyFlow")
    jets = generated_jets[:40]
    momenta = [jet[[3, 0, 1, 2]].T for jet in each_jet(jets)]
    for ours, theirs in (
        (c_series(jets, 2), energyflow.C2("hadr", beta=1, coords="epxpypz")),
        (d2(jets), energyflow.D2("hadr", beta=1, coords="epxpypz")),
    ):
        # Sums over all sets of constituents, in any order and with repetition: 2 e_2 and 6 e_3.
        factor = 6 / 4 if isinstance(theirs, energyflow.C2) else 6 / 8
        np.testing.assert_allclose(factor * ours, [theirs.compute(jet) for jet in momenta], rtol=1e-9)


# --- What physics asks ------------------------------------------------------------------------------------------

seeds, sizes = st.integers(0, 10**6), st.integers(2, 30)
RATIOS: list[Callable[[ak.Array], Array]] = [
    lambda jets: energy_correlator(jets, 2, 0.5),
    lambda jets: energy_correlator(jets, 3),
    lambda jets: c_series(jets, 2, 2.0),
    lambda jets: d2(jets, alpha=1.7),
    lambda jets: n_series(jets, 2),
    lambda jets: n_series(jets, 3),
    lambda jets: m_series(jets, 2),
    lambda jets: u_series(jets, 3),
]


def all_of(jet: Momenta) -> Array:
    return np.array([ratio(awkward_jets(jet))[0] for ratio in RATIOS])


@settings(max_examples=15)
@given(seeds, sizes, st.floats(-4, 4), st.floats(-1.5, 1.5), st.floats(0.01, 100.0))
def test_order_rotation_boost_and_scale_change_nothing(
    seed: int, n: int, angle: float, eta: float, factor: float
) -> None:
    jet = spread_jet(seed, n)
    for other in (permuted(jet, seed), rotated(jet, angle), boosted(jet, eta), factor * jet):
        np.testing.assert_allclose(all_of(other), all_of(jet), rtol=1e-6, atol=1e-13)


@settings(max_examples=15)
@given(seeds, st.integers(4, 20), st.floats(0.1, 0.9))
def test_collinear_splittings_and_soft_particles_change_nothing(seed: int, n: int, z: float) -> None:
    jet = spread_jet(seed, n)
    np.testing.assert_allclose(all_of(split_collinearly(jet, seed % n, z)), all_of(jet), rtol=1e-7)
    np.testing.assert_allclose(all_of(with_soft(jet, 1e-9, 0.3, -0.2)), all_of(jet), rtol=1e-5)


@given(seeds, sizes)
def test_more_of_the_smaller_angles_are_a_smaller_number_inside_a_narrow_jet(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    jet = from_angles(rng.uniform(1, 50, n), *rng.uniform(-0.3, 0.3, (2, n)))
    assert angles_between(jet, "pt_R")[1].max() < 1
    assert np.all(np.diff(energy_correlators(awkward_jets(jet), [(4, 1.0, v) for v in range(1, 7)])[0]) <= 0)


def test_prongs_are_told_apart() -> None:
    """D2 and N2 of two clouds of soft particles around hard prongs: lower for two prongs than for one."""
    rng = np.random.default_rng(3)

    def prongs(centres: list[float]) -> Momenta:
        y = np.concatenate([centre + 0.03 * rng.normal(size=8) for centre in centres])
        phi = 0.03 * rng.normal(size=len(y))
        return from_angles(np.tile([50.0, 8, 4, 2, 1, 1, 0.5, 0.5], len(centres)), y, phi)

    one, two = awkward_jets(prongs([0.0])), awkward_jets(prongs([0.0, 0.6]))
    assert n_series(two, 2)[0] < 0.5 * n_series(one, 2)[0]
    assert c_series(two, 2)[0] < c_series(one, 2)[0]
    assert d2(two)[0] < 0.2 * d2(one)[0]


# --- Edges ------------------------------------------------------------------------------------------------------


def test_jets_of_few_constituents_have_none_of_the_higher_correlators() -> None:
    jets = awkward_jets(*(spread_jet(n, n) for n in (0, 1, 2, 3)))
    assert energy_correlator(jets, 1).tolist() == [0, 1, 1, 1]
    assert (energy_correlator(jets, 2) > 0).tolist() == [False, False, True, True]
    assert (energy_correlator(jets, 3, angles=1) > 0).tolist() == [False, False, False, True]
    for ratio in (c_series(jets, 2), d2(jets), n_series(jets, 2), m_series(jets, 2), u_series(jets, 2)):
        assert (ratio > 0).tolist() == [False, False, False, True]
    for ratio in (c_series(jets, 3), c_series(jets, 4), n_series(jets, 4), m_series(jets, 3)):
        assert ratio.tolist() == [0, 0, 0, 0]


def test_an_empty_array_has_the_right_shape() -> None:
    assert energy_correlators(ak.Array([]), [(2, 1.0), (3, 1.0, 2)]).shape == (0, 2)
    assert energy_correlators(awkward_jets(spread_jet(1, 4)), []).shape == (1, 0)
    assert d2(ak.Array([])).shape == (0,)


NASTY = [
    (0.0, 0.0, 1e100, 1e100),
    (0.0, 0.0, -5.0, 5.0),
    (1e-200, 0.0, 3.0, 3.0),
    (0.0, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.0, 7.0),
    (1e-7, 0.0, 0.0, 0.0),
    (1e-7, 0.0, 0.0, -1e-7),
    (1e-100, 1e-100, 1.0, 1.0),
    (1e99, -1e99, 9e99, 9.2e99),
    (3.0, 4.0, 12.0, 13.0),
    (3.0, 4.0, 12.0, 13.0),
    (-3.0, 1e-13, 0.0, 3.0),
    (-3.0, -1e-13, 0.0, 3.0),
    (30.0, 40.0, 120.0, 129.0),
]


@given(st.lists(st.sampled_from(NASTY), min_size=1, max_size=9), st.sampled_from([0.01, 1.0, 2.0, 10.0]))
def test_any_jet_gives_finite_numbers(constituents: list[tuple[float, ...]], beta: float) -> None:
    jets = awkward_jets(np.array(constituents).T)
    terms = [(n, beta, v) for n, v in EVERY_TERM]
    for measure in MEASURES:
        for normalised in (True, False):
            found = energy_correlators(jets, terms, measure=measure, normalised=normalised)
            assert np.all(np.isfinite(found))
            assert np.all(found >= 0)
        for i in (1, 2, 3, 4):
            for series in (c_series, n_series, m_series, u_series):
                if series is not n_series or i > 1 or beta <= 5:
                    assert np.isfinite(series(jets, i, beta, measure=measure)[0])
        assert np.isfinite(d2(jets, beta, alpha=1.0, measure=measure)[0])


def test_constituents_without_transverse_momentum_do_not_count() -> None:
    jet = spread_jet(2, 6)
    along = np.array([[0.0, 0.0], [0.0, 0.0], [7.0, 0.0], [7.0, 0.5]])
    more = awkward_jets(np.concatenate([along, jet], axis=1))
    assert energy_correlator(more, 3).tolist() == energy_correlator(awkward_jets(jet), 3).tolist()


def test_identical_directions_have_no_angle() -> None:
    jet = np.tile(from_angles([10.0], [0.4], [1.0]), (1, 5))
    for measure in MEASURES:
        assert energy_correlator(awkward_jets(jet), 2, 2.0, measure=measure)[0] == pytest.approx(0, abs=1e-30)
        assert c_series(awkward_jets(jet), 2, measure=measure)[0] == 0


def test_what_overflows_is_the_largest_float() -> None:
    jets = awkward_jets(1e97 * spread_jet(3, 12))
    assert energy_correlator(jets, 5, normalised=False)[0] == np.finfo(float).max
    assert energy_correlator(jets, 5)[0] == pytest.approx(plain_correlator(spread_jet(3, 12), 5, 1.0))


def test_the_kinds_of_input_give_the_same_numbers() -> None:
    jets = [cell_jet(seed, 5 + seed) for seed in range(12)]
    flat, awkward = flat_jets(*jets), awkward_jets(*jets)
    expected = n_series(flat, 2).tolist()
    assert n_series(awkward, 2).tolist() == expected
    assert n_series(Jets.from_constituents(awkward), 2).tolist() == expected
    columns = {
        name: np.repeat(column.astype(">f8"), 2)[::2] for name, column in zip(awkward.fields, flat[1:], strict=True)
    }
    assert n_series(Jets(flat.offsets, columns), 2).tolist() == expected
    assert n_series(ak.concatenate([awkward, awkward])[::2], 2).tolist() == (expected + expected)[::2]
    np.testing.assert_allclose(n_series(ak.values_astype(awkward, np.float32), 2), expected, rtol=2e-4, atol=1e-6)


def test_the_bytes_do_not_depend_on_threads_or_on_neighbours() -> None:
    jets = [spread_jet(seed, seed % 40) for seed in range(1200)]
    terms = [(2, 1.0), (3, 1.0, 2), (3, 0.3), (4, 1.0, 3)]
    one = energy_correlators(flat_jets(*jets[:]), terms, num_threads=1)
    assert energy_correlators(flat_jets(*jets), terms, num_threads=3).tobytes() == one.tobytes()
    for j in (3, 38, 700):
        alone = [energy_correlators(flat_jets(jets[j]), [term])[0, 0] for term in terms]
        assert alone == one[j].tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, r"n is 0; it must be"),
        ({"n": 6}, r"n is 6"),
        ({"n": 2.0}, r"n is 2.0; it must be"),
        ({"n": True}, r"n is True"),
        ({"n": 2, "beta": 0.0}, r"beta is 0; it must be"),
        ({"n": 2, "beta": -1.0}, r"beta is -1"),
        ({"n": 2, "beta": math.nan}, r"beta is nan"),
        ({"n": 2, "beta": math.inf}, r"beta is inf"),
        ({"n": 3, "angles": 4}, r"angles is 4; it must be"),
        ({"n": 3, "angles": 0}, r"angles is 0"),
        ({"n": 3, "angles": -1}, r"angles is -1"),
        ({"n": 1, "angles": 1}, r"one constituent has no angles"),
        ({"n": 3, "measure": "pt_r"}, r"measure 'pt_r' is not known; choose one of pt_R, E_theta, E_inv"),
        ({"n": 3, "num_threads": 0}, r"num_threads is 0"),
    ],
)
def test_silly_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(JetforgeError, match=message):
        energy_correlator(awkward_jets(spread_jet(1, 4)), **arguments)


def test_silly_series_and_terms_are_refused() -> None:
    jets = awkward_jets(spread_jet(1, 4))
    for series in (c_series, n_series, m_series, u_series):
        for i in (0, 5, 2.5):
            with pytest.raises(JetforgeError, match=r"i is .*; it must be"):
                series(jets, i)  # type: ignore[arg-type]
    with pytest.raises(JetforgeError, match=r"alpha is -2; it must be"):
        d2(jets, alpha=-2.0)
    for wrong in (12.0, 0.0, True, "two", None):
        for series in (c_series, n_series, m_series, u_series, l_series):
            with pytest.raises(JetforgeError, match=r"beta is .*; it must be a finite number above 0 and at most 10"):
                series(jets, 2, wrong)  # type: ignore[arg-type]
    for terms in (None, 5, "ab"):
        with pytest.raises(JetforgeError, match=r"terms is .*; it must be a list"):
            energy_correlators(jets, terms)  # type: ignore[arg-type]
    with pytest.raises(JetforgeError, match="normalised is 'no'; it must be True or False"):
        energy_correlator(jets, 2, normalised="no")  # type: ignore[arg-type]
    for term in (3, (3,), "ab", (3, 1.0, 1, 1)):
        with pytest.raises(JetforgeError, match=r"a correlator is given as \(n, beta\) or \(n, beta, angles\)"):
            energy_correlators(jets, [term])  # type: ignore[list-item]


def test_extreme_exponents_give_finite_ratios() -> None:
    jets = awkward_jets(spread_jet(1, 9))
    e2, e3 = energy_correlators(jets, [(2, 0.01), (3, 1.0)])[0]
    assert d2(jets, 0.01, alpha=1.0)[0] == pytest.approx(np.exp(np.log(e3) - 300 * np.log(e2)), rel=1e-9)
    assert 1e300 < d2(jets, 0.001, alpha=10.0)[0] < np.inf
    assert n_series(jets, 1, 10.0)[0] == energy_correlator(jets, 2, 20.0)[0] > 0
    assert np.isfinite(l_series(jets, 2, 10.0)).all()


def test_l_series_by_hand() -> None:
    jet = spread_jet(4, 12)
    weight, theta = angles_between(jet, "pt_R")
    z = weight / weight.sum()
    triples = list(combinations(range(12), 3))
    weights = np.array([z[list(triple)].prod() for triple in triples])
    angles = np.array([[theta[a, b], theta[a, c], theta[b, c]] for a, b, c in triples])
    pairs = sum(z[a] * z[b] * theta[a, b] ** 2 for a, b in combinations(range(12), 2))
    whole, least = weights @ angles.prod(axis=1), weights @ angles.min(axis=1)
    assert l_series(awkward_jets(jet), 2)[0] == pytest.approx(whole / pairs**1.5, rel=1e-12)
    assert l_series(awkward_jets(jet), 3)[0] == pytest.approx(least / np.cbrt(whole), rel=1e-12)


def test_broken_jets_are_refused() -> None:
    with pytest.raises(DataError, match=r"jet 1, constituent 0 .* not a finite momentum"):
        d2(awkward_jets(spread_jet(1, 4), np.full((4, 1), np.nan)))
    with pytest.raises(DataError, match=r"is missing \(None\)"):
        d2(ak.Array([[{"px": 1.0, "py": 0.0, "pz": 0.0, "energy": None}]]))
    with pytest.raises(DataError, match=r"must be an awkward array of jets"):
        d2([[1.0, 2.0]])
