"""Momenta and angularities are their definitions, about the axes that FastJet finds."""

import math
from typing import Any

import awkward as ak
import fastjet
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
    pseudojets,
    rotated,
    split_collinearly,
    spread_jet,
    with_soft,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.shapes.angular import (
    angularities,
    angularity,
    four_momentum,
    jet_kinematics,
    lha,
    ptd,
    thrust_angularity,
    width,
)

Array = npt.NDArray[np.float64]

EXPONENTS = [(1.0, 0.5), (1.0, 1.0), (1.0, 2.0), (2.0, 0.0), (0.0, 0.0), (0.5, 1.3), (3.0, 0.1), (0.0, 3.0), (1.7, 4.0)]


def fastjet_axis(jet: Momenta, wta: bool) -> fastjet.PseudoJet:
    """Return the one jet that FastJet clusters the constituents into, in the E or the winner-take-all scheme."""
    scheme = fastjet.WTA_pt_scheme if wta else fastjet.E_scheme
    radius = fastjet.JetDefinition.max_allowable_R
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, radius, scheme)
    sequence = fastjet.ClusterSequence(pseudojets(jet), definition)
    (axis,) = sequence.inclusive_jets()
    return fastjet.PseudoJet(axis.px(), axis.py(), axis.pz(), axis.E())


def plain_angularities(jet: Momenta, wta: bool, R0: float) -> list[float]:
    axis = fastjet_axis(jet, wta)
    pt = np.hypot(jet[0], jet[1])
    distance = np.array([particle.delta_R(axis) for particle in pseudojets(jet)]) / R0
    distance[distance < 1e-9] = 0.0  # the winner, on an axis that was rounded
    z = pt / pt.sum()
    return [float(np.sum(z**kappa * distance**beta)) for kappa, beta in EXPONENTS]


@pytest.mark.parametrize("wta", [False, True])
def test_generated_jets_have_the_angularities_of_their_definition(generated_jets: ak.Array, wta: bool) -> None:
    found = angularities(generated_jets, EXPONENTS, R0=0.8, wta=wta)
    expected = [plain_angularities(jet, wta, 0.8) for jet in each_jet(generated_jets)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_generated_jets_have_the_momenta_of_fastjet(generated_jets: ak.Array) -> None:
    found = jet_kinematics(generated_jets)
    total = [fastjet_axis(jet, False) for jet in each_jet(generated_jets)]
    for name, method in (("pt", "pt"), ("rapidity", "rap"), ("phi", "phi_std"), ("eta", "eta"), ("energy", "e")):
        expected = [getattr(jet, method)() for jet in total]
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(found.mass, [jet.m() for jet in total], rtol=1e-8)


def test_the_momentum_has_the_behaviour_of_vector(generated_jets: ak.Array) -> None:
    sums, found = four_momentum(generated_jets), jet_kinematics(generated_jets)
    np.testing.assert_allclose(sums.energy, ak.sum(generated_jets.energy, axis=1), rtol=1e-13)
    np.testing.assert_allclose(sums.pt, found.pt, rtol=1e-13)
    np.testing.assert_allclose(sums.mass, found.mass, rtol=1e-8)
    np.testing.assert_allclose(sums.eta, found.eta, rtol=1e-9, atol=1e-13)
    assert str(sums.type) == "500 * Momentum4D[px: float64, py: float64, pz: float64, energy: float64]"


def test_generated_jets_have_the_momenta_of_energyflow(generated_jets: ak.Array) -> None:
    energyflow = pytest.importorskip("energyflow", reason="compares with EnergyFlow")
    found = jet_kinematics(generated_jets)
    total = np.array([jet[[3, 0, 1, 2]].sum(axis=1) for jet in each_jet(generated_jets)])
    np.testing.assert_allclose(found.pt, energyflow.pts_from_p4s(total), rtol=1e-12)
    np.testing.assert_allclose(found.rapidity, energyflow.ys_from_p4s(total), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.mass, energyflow.ms_from_p4s(total), rtol=1e-8)


def test_two_constituents_by_hand() -> None:
    """90 and 10 GeV at a distance of 0.5: the winner-take-all axis is on the harder."""
    jets = awkward_jets(from_angles([90.0, 10.0], [0.0, 0.3], [0.0, 0.4]))
    assert width(jets, R0=1.0, wta=True)[0] == pytest.approx(0.1 * 0.5)
    assert width(jets, R0=0.8, wta=True)[0] == pytest.approx(0.1 * 0.5 / 0.8)
    assert lha(jets, R0=1.0, wta=True)[0] == pytest.approx(0.1 * math.sqrt(0.5))
    assert thrust_angularity(jets, R0=0.5, wta=True)[0] == pytest.approx(0.1)
    assert ptd(jets)[0] == pytest.approx(math.sqrt(0.82))
    assert angularity(jets, 2.0, 0.0)[0] == pytest.approx(0.82)
    assert angularity(jets, 0.0, 0.0)[0] == 2.0
    assert width(jets, R0=1.0)[0] == pytest.approx(2 * 0.9 * 0.1 * 0.5, rel=0.02)


def test_the_azimuth_wraps_around() -> None:
    jets = awkward_jets(from_angles([90.0, 10.0], [0.0, 0.0], [math.pi - 0.1, -math.pi + 0.2]))
    assert width(jets, R0=1.0, wta=True)[0] == pytest.approx(0.1 * 0.3)


seeds, sizes = st.integers(0, 10**6), st.integers(1, 40)


def all_of(jet: Momenta, wta: bool) -> Array:
    return angularities(awkward_jets(jet), EXPONENTS, wta=wta)[0]


@settings(max_examples=20)
@given(seeds, sizes, st.floats(-4, 4), st.floats(-1.5, 1.5), st.floats(0.01, 100.0), st.booleans())
def test_order_rotation_boost_and_scale_change_nothing(
    seed: int, n: int, angle: float, eta: float, factor: float, wta: bool
) -> None:
    jet = spread_jet(seed, n)
    expected = all_of(jet, wta)
    for other in (permuted(jet, seed), rotated(jet, angle), boosted(jet, eta), factor * jet):
        np.testing.assert_allclose(all_of(other, wta), expected, rtol=1e-6, atol=1e-6)
    moved = jet_kinematics(awkward_jets(boosted(jet, eta)))
    still = jet_kinematics(awkward_jets(jet))
    assert moved.rapidity[0] == pytest.approx(still.rapidity[0] + eta)
    assert moved.mass[0] == pytest.approx(still.mass[0], rel=1e-5)


@given(seeds, st.integers(2, 30), st.floats(0.2, 0.8))
def test_safe_angularities_do_not_see_collinear_splittings_and_soft_particles(seed: int, n: int, z: float) -> None:
    jet = spread_jet(seed, n)
    split, soft = split_collinearly(jet, seed % n, z), with_soft(jet, 1e-9, 0.3, -0.2)
    safe = [kappa == 1.0 and beta > 0 for kappa, beta in EXPONENTS]
    for wta in (False, True):
        before = all_of(jet, wta)
        np.testing.assert_allclose(all_of(split, wta)[safe], before[safe], rtol=1e-9)
        np.testing.assert_allclose(all_of(soft, wta)[safe], before[safe], rtol=1e-5, atol=1e-9)
    assert ptd(awkward_jets(split))[0] < ptd(awkward_jets(jet))[0]
    assert angularity(awkward_jets(soft), 0.0, 0.0)[0] == n + 1


@given(seeds, st.integers(2, 30))
def test_the_winner_take_all_axis_is_along_a_constituent(seed: int, n: int) -> None:
    """Its distance is 0, so that it does not enter even with a very small beta."""
    jet = from_angles(10 * np.arange(1, n + 1) ** 4.0, *np.random.default_rng(seed).normal(size=(2, n)))
    axis = fastjet_axis(jet, True)
    assert min(axis.delta_R(particle) for particle in pseudojets(jet)) < 1e-9
    only_winner = angularity(awkward_jets(jet[:, -1:]), 1.0, 1e-6, wta=True)
    assert only_winner.tolist() == [0.0]
    found = angularity(awkward_jets(jet), 0.0, 1e-6, wta=True)[0]
    assert found == pytest.approx(n - 1, rel=1e-4)


def test_a_soft_particle_moves_the_sum_but_not_the_winner() -> None:
    hard = from_angles([100.0, 5.0], [0.0, 0.2], [0.0, 0.0])
    more = np.concatenate([hard, from_angles([5.0], [-0.9], [0.0])], axis=1)
    kicked, still = awkward_jets(more), awkward_jets(hard)
    z = 105 / 110
    assert width(kicked, R0=1.0, wta=True)[0] == pytest.approx(z * width(still, R0=1.0, wta=True)[0] + 5 / 110 * 0.9)
    assert width(kicked, R0=1.0)[0] != pytest.approx(z * width(still, R0=1.0)[0] + 5 / 110 * 0.9, rel=1e-3)


def test_jets_of_none_and_one_constituent() -> None:
    jets = awkward_jets(np.empty((4, 0)), from_angles([10.0], [0.5], [1.0]))
    for wta in (False, True):
        found = angularities(jets, [(1.0, 1.0), (2.0, 0.0), (0.0, 0.0)], wta=wta)
        np.testing.assert_allclose(found, [[0, 0, 0], [0, 1, 1]], atol=1e-12)
    assert ptd(jets).tolist() == [0, 1]
    kinematics = jet_kinematics(jets)
    assert [column[0] for column in kinematics] == [0.0] * 6
    assert [column[1] for column in kinematics[:4]] == pytest.approx([10.0, 0.5, 1.0, 0.5])
    assert angularities(ak.Array([]), EXPONENTS).shape == (0, len(EXPONENTS))
    assert angularities(jets, []).shape == (2, 0)
    assert four_momentum(jets)[0].tolist() == {"px": 0, "py": 0, "pz": 0, "energy": 0}


def test_jets_along_the_beam_and_at_rest() -> None:
    along = np.array([[0.0], [0.0], [-5.0], [5.0]])
    at_rest = np.array([[0.0], [0.0], [0.0], [5.0]])
    back_to_back = from_angles([5.0, 5.0], [0.3, 0.3], [0.0, math.pi])
    jets = awkward_jets(along, at_rest, np.zeros((4, 1)), np.round(back_to_back, 9))
    found = jet_kinematics(jets)
    assert found.rapidity.tolist()[:3] == [-100005.0, 0.0, 0.0]
    assert found.eta.tolist()[:3] == [-100005.0, 0.0, 0.0]
    assert found.mass.tolist()[:3] == [0.0, 5.0, 0.0]
    assert np.all(np.isfinite(np.array(found)))
    assert width(jets)[:3].tolist() == [0.0, 0.0, 0.0]
    assert width(jets, wta=True)[:3].tolist() == [0.0, 0.0, 0.0]
    assert angularity(jets, 0.0, 0.0).tolist() == [0.0, 0.0, 0.0, 2.0]


NASTY = [
    (0.0, 0.0, 1e100, 1e100),
    (0.0, 0.0, -5.0, 5.0),
    (1e-200, 0.0, 3.0, 3.0),
    (0.0, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.0, 7.0),
    (1e-7, 0.0, 0.0, 0.0),
    (1e-7, 0.0, 0.0, -1e-7),
    (1e99, -1e99, 9e99, 9.2e99),
    (-1e99, 1e99, 9e99, 9.2e99),
    (3.0, 4.0, 12.0, 13.0),
    (-3.0, -4.0, 12.0, 13.0),
    (-3.0, 1e-13, 0.0, 3.0),
]


@given(st.lists(st.sampled_from(NASTY), min_size=1, max_size=9), st.sampled_from([1e-300, 0.8, 1e300]), st.booleans())
def test_any_jet_gives_finite_numbers(constituents: list[tuple[float, ...]], R0: float, wta: bool) -> None:
    jets = awkward_jets(np.array(constituents).T)
    found = angularities(jets, [*EXPONENTS, (1e300, 10.0), (0.0, 10.0)], R0=R0, wta=wta)
    assert np.all(np.isfinite(found))
    assert np.all(found >= 0)
    assert np.all(np.isfinite(np.array(jet_kinematics(jets))))


def test_the_kinds_of_input_give_the_same_numbers() -> None:
    jets = [spread_jet(seed, 5 + seed) for seed in range(12)]
    flat, awkward = flat_jets(*jets), awkward_jets(*jets)
    expected = lha(flat, wta=True).tolist()
    assert lha(awkward, wta=True).tolist() == expected
    columns = {n: np.repeat(c.astype(">f8"), 2)[::2] for n, c in zip(awkward.fields, flat[1:], strict=True)}
    assert lha(Jets(flat.offsets, columns), wta=True).tolist() == expected
    np.testing.assert_allclose(lha(ak.values_astype(awkward, np.float32), wta=True), expected, rtol=1e-3)


def test_the_bytes_do_not_depend_on_threads_or_on_neighbours() -> None:
    jets = [spread_jet(seed, seed % 40) for seed in range(1200)]
    for wta in (False, True):
        one = angularities(flat_jets(*jets), EXPONENTS, wta=wta, num_threads=1)
        assert angularities(flat_jets(*jets), EXPONENTS, wta=wta, num_threads=3).tobytes() == one.tobytes()
        assert angularities(flat_jets(jets[701]), EXPONENTS, wta=wta).tobytes() == one[701].tobytes()
    one_thread = jet_kinematics(flat_jets(*jets), num_threads=1)
    assert np.array(jet_kinematics(flat_jets(*jets), num_threads=3)).tobytes() == np.array(one_thread).tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kappa": -1.0}, r"kappa is -1; it must be"),
        ({"kappa": math.nan}, r"kappa is nan"),
        ({"beta": -0.5}, r"beta is -0.5; it must be"),
        ({"beta": math.inf}, r"beta is inf"),
        ({"beta": math.nan}, r"beta is nan"),
        ({"R0": 0.0}, r"R0 is 0; it must be"),
        ({"R0": -0.8}, r"R0 is -0.8"),
        ({"R0": math.nan}, r"R0 is nan"),
        ({"num_threads": 0}, r"num_threads is 0"),
    ],
)
def test_silly_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(JetforgeError, match=message):
        angularity(awkward_jets(spread_jet(1, 4)), **arguments)


@pytest.mark.parametrize("value", [1, 0, None, "no", "false"])
def test_the_choice_of_the_axis_is_true_or_false(value: Any) -> None:
    jets = awkward_jets(spread_jet(1, 4))
    for function in (angularity, lha, width, thrust_angularity):
        with pytest.raises(JetforgeError, match=r"wta is .*; it must be True or False"):
            function(jets, wta=value)
    with pytest.raises(JetforgeError, match=r"wta is .*; it must be True or False"):
        angularities(jets, [(1, 1)], wta=value)


def test_exponents_may_be_an_array() -> None:
    jets = awkward_jets(spread_jet(1, 4))
    expected = angularities(jets, [(1, 0.5), (1, 2)])
    np.testing.assert_array_equal(angularities(jets, np.array([[1, 0.5], [1, 2]])), expected)
    np.testing.assert_array_equal(angularities(jets, iter([[1, 0.5], (1.0, np.float32(2))])), expected)


def test_silly_exponents_and_broken_jets_are_refused() -> None:
    jets = awkward_jets(spread_jet(1, 4))
    for exponents in (None, 5, 1.5, np.array(2)):
        with pytest.raises(JetforgeError, match=r"exponents is .*; it must be pairs \(kappa, beta\)"):
            angularities(jets, exponents)
    for pair in ((None, 1.0), ("1", 1.0), ([1.0], 1.0), (10**400, 1.0), (True, 1.0)):
        with pytest.raises(JetforgeError, match=r"kappa is .*; it must be"):
            angularities(jets, [pair])
    for pair in (3, (1.0,), "ab", b"ab", (1.0, 1.0, 1.0), None, np.array(2.0)):
        with pytest.raises(JetforgeError, match=r"an angularity is given as \(kappa, beta\)"):
            angularities(jets, [pair])
    for function in (four_momentum, jet_kinematics, width):
        with pytest.raises(DataError, match=r"jet 0, constituent 0 .* not a finite momentum"):
            function(awkward_jets(np.full((4, 1), np.nan)))
