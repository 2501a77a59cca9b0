"""Primary and secondary planes are those of FastJet and its LundPlane contrib."""

import math
import re
from pathlib import Path

import awkward as ak
import fastjet
import numpy as np
import pytest
from helpers.jets import (
    Momenta,
    anti_kt_jets,
    awkward_jets,
    boosted,
    each_jet,
    fastjet_awkward,
    from_angles,
    pseudojets,
    read_event,
    rotated,
    spread_jet,
)
from hypothesis import given
from hypothesis import strategies as st

import jetforge
from jetforge.errors import DataError, JetforgeError
from jetforge.physics.lund.leaves import leading_emission, lund_leaf, primary_lund_plane, secondary_lund_plane

RULES = ("mmdt", "dotmmdt", "mass", "kt")
CAMBRIDGE = fastjet.JetDefinition(fastjet.cambridge_algorithm, fastjet.JetDefinition.max_allowable_R)


def printed_pairs(text: str) -> list[tuple[str, str]]:
    return re.findall(r"\(([-.\de]+), ([-.\de]+)\)", text)


def as_printed(plane: ak.Array) -> list[tuple[str, str]]:
    """Return (ln 1/Delta, ln kt) in the six digits that C++ prints."""
    return [(f"{-one.ln_delta:g}", f"{one.ln_kt:g}") for one in plane]


def test_all_that_the_contrib_prints_of_both_planes(refs: Path) -> None:
    text = (refs / "fjcontrib" / "ref" / "LundPlane.example_secondary.ref").read_text()
    event = read_event(refs / "fjcontrib" / "data" / "single-event.dat")
    jets = awkward_jets(*anti_kt_jets(event, 1.0, 500.0))
    primary = re.findall(r"of jet \d+ are:\n(.*)\n", text)
    secondary = re.findall(r"from primary declustering \[(\d+)\]\):\n(.*)\n", text)
    assert len(primary) == len(secondary) == len(jets) == 2
    assert [as_printed(plane) for plane in primary_lund_plane(jets)] == [printed_pairs(line) for line in primary]
    assert leading_emission(jets, "mmdt", z_cut=0.025).tolist() == [int(index) for index, _ in secondary]
    planes = secondary_lund_plane(jets, "mmdt", z_cut=0.025)
    assert [as_printed(plane) for plane in planes] == [printed_pairs(line) for _, line in secondary]
    assert ak.num(planes).tolist() == [3, 0]


def test_primary_planes_of_generated_jets_are_those_of_fastjet(generated_jets: ak.Array) -> None:
    ours = primary_lund_plane(generated_jets)
    peers = fastjet_awkward(*each_jet(generated_jets))
    theirs = fastjet.ClusterSequence(peers, CAMBRIDGE).exclusive_jets_lund_declusterings(njets=1)[:, 0]
    same = ak.num(ours) == ak.num(theirs)
    # Distances that are equal to the last bits may merge in another order.
    assert np.count_nonzero(~same) <= 3
    for name, key in (("ln_delta", "Delta"), ("ln_kt", "kt")):
        logs, plain = ak.flatten(ours[name][same]).to_numpy(), ak.flatten(theirs[key][same]).to_numpy()
        np.testing.assert_allclose(np.exp(logs), np.maximum(plain, 1e-6), rtol=1e-7)


def fastjet_plane(pair: fastjet.PseudoJet) -> list[tuple[fastjet.PseudoJet, fastjet.PseudoJet]]:
    """Return the hard and the soft prong of each declustering along the harder branch."""
    prongs = []
    while True:
        hard, soft = fastjet.PseudoJet(), fastjet.PseudoJet()
        if not pair.has_parents(hard, soft):
            return prongs
        if soft.pt2() > hard.pt2():
            hard, soft = soft, hard
        prongs.append((hard, soft))
        pair = hard


def fastjet_leading(
    prongs: list[tuple[fastjet.PseudoJet, fastjet.PseudoJet]], rule: str, z_cut: float, m: float
) -> int:
    z = np.array([soft.pt() / (hard.pt() + soft.pt()) for hard, soft in prongs])
    dot = np.array([hard.pt() * soft.pt() * hard.delta_R(soft) ** 2 for hard, soft in prongs])
    kt = np.array([soft.pt() * hard.delta_R(soft) for hard, soft in prongs])
    if rule == "kt":
        return int(np.argmax(kt))
    if rule == "mass":
        return int(np.argmin(np.abs(np.log(dot / m**2) * np.log(1 / z))))
    passing = np.flatnonzero(z > z_cut)
    if not len(passing):
        return -1
    return int(passing[0] if rule == "mmdt" else passing[np.argmax(dot[passing])])


@pytest.mark.parametrize("rule", RULES)
def test_secondary_planes_of_generated_jets_are_those_of_fastjet(generated_jets: ak.Array, rule: str) -> None:
    sample = generated_jets[:150]
    options = {"z_cut": 0.05, "mass": 80.4}
    leading, planes = leading_emission(sample, rule, **options), secondary_lund_plane(sample, rule, **options)
    largest = 0.0
    for jet, index, plane in zip(each_jet(sample), leading, planes, strict=True):
        sequence = fastjet.ClusterSequence(pseudojets(jet), CAMBRIDGE)
        (root,) = sequence.inclusive_jets()
        primary = fastjet_plane(root)
        assert index == fastjet_leading(primary, rule, 0.05, 80.4)
        expected = fastjet_plane(primary[index][1]) if index >= 0 else []
        assert len(plane) == len(expected)
        for one, (hard, soft) in zip(plane, expected, strict=True):
            delta = hard.delta_R(soft)
            largest = max(largest, abs(math.exp(one.ln_delta) / max(delta, 1e-6) - 1))
            largest = max(largest, abs(math.exp(one.ln_kt) / max(soft.pt() * delta, 1e-6) - 1))
    assert largest < 1e-7


def test_each_leaf_is_the_primary_plane_of_its_emission() -> None:
    jet = spread_jet(4, 60)
    sequence = fastjet.ClusterSequence(pseudojets(jet), CAMBRIDGE)
    (root,) = sequence.inclusive_jets()
    primary = fastjet_plane(root)
    for index, (_, soft) in enumerate(primary):
        parts = np.array([[p.px(), p.py(), p.pz(), p.E()] for p in soft.constituents()]).T
        alone = primary_lund_plane(awkward_jets(parts))
        leaf = lund_leaf(awkward_jets(jet), index)
        assert leaf.parent.tolist() == alone.parent.tolist()
        assert ak.all(ak.isclose(leaf.ln_kt, alone.ln_kt, atol=1e-9))
    assert ak.num(lund_leaf(awkward_jets(jet), len(primary))).tolist() == [0]
    assert ak.num(lund_leaf(awkward_jets(jet), -1)).tolist() == [0]


def test_a_plane_is_a_tree_of_its_own() -> None:
    jets = awkward_jets(*(spread_jet(seed, 30) for seed in range(10)))
    tree = jetforge.lund_tree(jets)
    for plane in (primary_lund_plane(jets), secondary_lund_plane(jets, "kt")):
        assert plane.fields == [*tree.fields, "is_hard"]
        for one in plane:
            assert one.parent.tolist() == list(range(-1, len(one) - 1))
        assert ak.all(plane.is_primary)
        assert ak.all(plane.is_hard)
        assert ak.array_equal(primary_lund_plane(plane), plane)
    assert ak.array_equal(primary_lund_plane(jets).ln_kt, tree.ln_kt[tree.is_primary])


def test_leading_emissions_by_hand() -> None:
    """Prongs of 4 GeV at 0.8, of 1 GeV at 0.4, and of 30 GeV at 0.1 from the hardest."""
    jets = awkward_jets(from_angles([100.0, 4.0, 1.0, 30.0], [0.0, 0.8, 0.4, 0.1], [0.0] * 4))
    assert leading_emission(jets, "mmdt", z_cut=0.01).tolist() == [0]
    assert leading_emission(jets, "mmdt", z_cut=0.1).tolist() == [2]
    assert leading_emission(jets, "mmdt", z_cut=0.4).tolist() == [-1]
    # The products pt_hard pt_soft Delta^2 are about 317, 18 and 30 GeV^2, and kt 3.1, 0.4 and 3.
    assert leading_emission(jets, "dotmmdt", z_cut=0.01).tolist() == [0]
    assert leading_emission(jets, "dotmmdt", z_cut=0.1).tolist() == [2]
    assert leading_emission(jets, "kt").tolist() == [0]
    assert leading_emission(jets, "mass", mass=math.sqrt(18.5)).tolist() == [1]


def test_jets_without_declusterings_have_empty_planes() -> None:
    jets = awkward_jets(*(spread_jet(seed, n) for seed, n in enumerate([0, 1, 2, 5])))
    assert leading_emission(jets, "kt").tolist()[:3] == [-1, -1, 0]
    assert ak.num(primary_lund_plane(jets)).tolist()[:3] == [0, 0, 1]
    assert ak.num(secondary_lund_plane(jets)).tolist()[:3] == [0, 0, 0]
    assert leading_emission(jets[:0]).shape == (0,)


def moved(jet: Momenta, angle: float, eta: float) -> Momenta:
    return boosted(rotated(jet, angle), eta)


@given(st.integers(0, 10**6), st.integers(2, 50), st.floats(-4, 4), st.floats(-1.5, 1.5), st.sampled_from(RULES))
def test_rotations_and_boosts_change_no_plane(seed: int, n: int, angle: float, eta: float, rule: str) -> None:
    jet = spread_jet(seed, n)
    still, turned = awkward_jets(jet), awkward_jets(moved(jet, angle, eta))
    assert leading_emission(turned, rule).tolist() == leading_emission(still, rule).tolist()
    for function in (primary_lund_plane, secondary_lund_plane):
        assert ak.all(ak.isclose(function(turned).ln_kt, function(still).ln_kt, atol=1e-5))


def test_silly_choices_are_refused() -> None:
    jets = awkward_jets(spread_jet(1, 5))
    with pytest.raises(JetforgeError, match="rule 'mmtd' is not known; choose one of mmdt, dotmmdt, mass, kt"):
        secondary_lund_plane(jets, "mmtd")
    for z_cut in (-0.1, 1.1, math.nan, math.inf, "a"):
        with pytest.raises(JetforgeError, match="z_cut is"):
            leading_emission(jets, z_cut=z_cut)
    for mass in (0.0, -80.0, math.nan, math.inf):
        with pytest.raises(JetforgeError, match="mass is"):
            leading_emission(jets, "mass", mass=mass)
    for emission in (1.5, [0, 1], [[0]], True, "1", 2**64):
        with pytest.raises(DataError, match=r"emission: .* give one integer, or one for each of 1 jets"):
            lund_leaf(jets, emission)
    three = awkward_jets(*(spread_jet(seed, 5) for seed in range(3)))
    for emission in ([[1], [1, 2], 3], ak.Array([0, None, 2]), [0, None, 2]):
        with pytest.raises(DataError, match=r"emission: .* give one integer, or one for each of 3 jets"):
            lund_leaf(three, emission)


def test_an_index_that_is_too_large_is_beyond_the_last() -> None:
    """Unsigned numbers do not come out as negative or, after a turn, as another index."""
    jets = awkward_jets(spread_jet(1, 30), spread_jet(2, 30))
    first = lund_leaf(jets, 0)
    assert ak.array_equal(lund_leaf(jets, np.array([0, 0], dtype=np.uint64)), first)
    for large in (2**63, 2**64 - 1):
        assert ak.num(lund_leaf(jets, large)).tolist() == [0, 0]
        assert ak.num(lund_leaf(jets, np.array([0, large], dtype=np.uint64))).tolist() == [len(first[0]), 0]
