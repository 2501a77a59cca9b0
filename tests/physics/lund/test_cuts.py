"""Cut and groomed trees are those that FastJet's clustering gives, and keep what is safe."""

import math
from collections.abc import Callable

import awkward as ak
import fastjet
import numpy as np
import pytest
from helpers.jets import (
    Momenta,
    awkward_jets,
    boosted,
    each_jet,
    fastjet_awkward,
    from_angles,
    pseudojets,
    rotated,
    split_collinearly,
    spread_jet,
    with_soft,
)
from hypothesis import given
from hypothesis import strategies as st

import jetforge
from jetforge.errors import JetforgeError
from jetforge.physics.grooming.recursive import recursive_soft_drop
from jetforge.physics.lund.cuts import cut_tree, groomed_tree

CAMBRIDGE = fastjet.JetDefinition(fastjet.cambridge_algorithm, fastjet.JetDefinition.max_allowable_R)
Fate = Callable[[float, float, float], str]


def fastjet_cut(jet: Momenta, fate: Fate, *, once: bool = False) -> dict[str, list[object]]:
    """Return the tree that is left when each declustering (kt, Delta, z) stays, is passed by, or ends its branch.

    With `once`, all stays below the first that does.
    """
    sequence = fastjet.ClusterSequence(pseudojets(jet), CAMBRIDGE)
    (root,) = sequence.inclusive_jets()
    rows: dict[int, tuple[float, float, int, bool, bool]] = {}
    waiting = [(root, -1, True, True, False)]
    while waiting:
        pair, parent, primary, is_hard, spared = waiting.pop()
        hard, soft = fastjet.PseudoJet(), fastjet.PseudoJet()
        if not pair.has_parents(hard, soft):
            continue
        if soft.pt2() > hard.pt2():
            hard, soft = soft, hard
        delta = hard.delta_R(soft)
        kt, z = soft.pt() * delta, soft.pt() / (soft.pt() + hard.pt())
        verdict = "keep" if spared else fate(kt, delta, z)
        if verdict == "pass":
            waiting.append((hard, parent, primary, is_hard, spared))
        elif verdict == "keep":
            step = pair.cluster_hist_index()
            rows[step] = (kt, delta, parent, primary, is_hard)
            waiting += [(hard, step, primary, True, once), (soft, step, False, False, once)]
    steps = sorted(rows, reverse=True)
    index = {-1: -1} | {step: i for i, step in enumerate(steps)}
    kept = [rows[step] for step in steps]
    return {
        "kt": [max(row[0], 1e-6) for row in kept],
        "delta": [max(row[1], 1e-6) for row in kept],
        "parent": [index[row[2]] for row in kept],
        "is_primary": [row[3] for row in kept],
        "is_hard": [row[4] for row in kept],
    }


def assert_same(ours: ak.Array, theirs: dict[str, list[object]]) -> None:
    for name in ("parent", "is_primary", "is_hard"):
        assert ours[name].tolist() == theirs[name], name
    for name in ("kt", "delta"):
        np.testing.assert_allclose(np.exp(ours[f"ln_{name}"]), theirs[name], rtol=1e-7)


def jets_without_ties(generated: ak.Array, number: int) -> ak.Array:
    """Return jets that FastJet clusters in the same order, whatever the last bits of a distance."""
    tree = jetforge.lund_tree(generated[:number])
    return generated[:number][
        [ours.parent.tolist() == fastjet_cut(jet, lambda *_: "keep")["parent"]
         for ours, jet in zip(tree, each_jet(generated[:number]), strict=True)]
    ]  # fmt: skip


CUTS: list[dict[str, float]] = [
    {"kt_min": 1.0},
    {"kt_min": 5.0},
    {"delta_min": 0.1},
    {"delta_max": 0.4},
    {"z_min": 0.1},
    {"kt_min": 0.5, "delta_min": 0.02, "delta_max": 0.5, "z_min": 0.01},
]


@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_cut_trees_of_generated_jets_are_those_that_fastjet_gives(
    generated_jets: ak.Array, cuts: dict[str, float]
) -> None:
    def fate(kt: float, delta: float, z: float) -> str:
        if delta < cuts.get("delta_min", 0.0):
            return "end"
        passes = kt >= cuts.get("kt_min", 0.0) and delta <= cuts.get("delta_max", 9.0) and z >= cuts.get("z_min", 0.0)
        return "keep" if passes else "pass"

    sample = jets_without_ties(generated_jets, 80)
    assert len(sample) >= 75
    for ours, jet in zip(cut_tree(sample, **cuts), each_jet(sample), strict=True):
        assert_same(ours, fastjet_cut(jet, fate))


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize(
    ("z_cut", "beta", "R0"), [(0.1, 0.0, 1.0), (0.05, 1.0, 0.8), (0.1, -0.5, 1.0), (0.5, 2.0, 0.8)]
)
def test_groomed_trees_of_generated_jets_are_those_that_fastjet_gives(
    generated_jets: ak.Array, z_cut: float, beta: float, R0: float, recursive: bool
) -> None:
    def fate(_: float, delta: float, z: float) -> str:
        return "keep" if z > z_cut * (delta / R0) ** beta else "pass"

    sample = jets_without_ties(generated_jets, 40)
    groomed = groomed_tree(sample, z_cut=z_cut, beta=beta, R0=R0, recursive=recursive)
    for ours, jet in zip(groomed, each_jet(sample), strict=True):
        assert_same(ours, fastjet_cut(jet, fate, once=not recursive))


def test_a_groomed_tree_is_the_tree_of_what_soft_drop_leaves(generated_jets: ak.Array) -> None:
    sample = jets_without_ties(generated_jets, 120)
    clustered = fastjet.ClusterSequence(fastjet_awkward(*each_jet(sample)), CAMBRIDGE)
    for z_cut, beta in ((0.1, 0.0), (0.05, 1.0)):
        left = clustered.exclusive_jets_softdrop_grooming(njets=1, beta=beta, symmetry_cut=z_cut, R0=0.8).constituents
        left = ak.zip({"px": left.px, "py": left.py, "pz": left.pz, "energy": left.E})
        ours, theirs = groomed_tree(sample, z_cut=z_cut, beta=beta, R0=0.8), jetforge.lund_tree(left)
        assert ak.num(ours).tolist() == ak.num(theirs).tolist()
        assert ak.all(ak.isclose(ours.ln_kt, theirs.ln_kt, atol=1e-6))


def extreme_jet(seed: int) -> Momenta:
    """Return a jet of prongs far below the floors: distances to 1e-8, momenta to 1e-9 GeV."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-0.5, 0.5, (2, 3))[:, rng.integers(0, 3, 20)]
    y, phi = centre + rng.normal(size=(2, 20)) * 10.0 ** rng.uniform(-8, -1, 20)
    return from_angles(10.0 ** rng.uniform(-9, 2, 20), y, phi)


def test_groomed_trees_of_constituents_are_those_of_recursive_soft_drop_below_the_floors_too() -> None:
    """The prong of a declustering is the clustering's own, not read off logarithms that have floors."""
    jets = awkward_jets(*(extreme_jet(seed) for seed in range(300)))
    splittings = recursive_soft_drop(jets, z_cut=0.1, beta=0.0, n=math.inf).multiplicity
    groomed = groomed_tree(jets, z_cut=0.1, recursive=True)
    assert ak.num(groomed).tolist() == ak.to_list(splittings)
    from_logarithms = groomed_tree(jetforge.lund_tree(jets), z_cut=0.1, recursive=True)
    assert ak.num(from_logarithms).tolist() != ak.to_list(splittings)


def test_the_angle_of_grooming_is_that_of_the_jets() -> None:
    jets = awkward_jets(*(spread_jet(seed, 40) for seed in range(30)))
    usual = groomed_tree(jets, beta=1.0)
    assert ak.array_equal(usual, groomed_tree(jets, beta=1.0, R0=0.8))
    assert not ak.array_equal(ak.num(usual), ak.num(groomed_tree(jets, beta=1.0, R0=0.2)))


def test_nothing_above_a_cut_in_kt_is_in_a_soft_prong_below_it(generated_jets: ak.Array) -> None:
    tree = jetforge.lund_tree(generated_jets)
    for kt_min in (0.5, 1.0, 5.0):
        left = cut_tree(tree, kt_min=kt_min)
        assert ak.array_equal(left.ln_kt, tree.ln_kt[tree.ln_kt >= math.log(kt_min)])


def test_no_cut_leaves_the_tree() -> None:
    tree = jetforge.lund_tree(awkward_jets(*(spread_jet(seed, 30) for seed in range(10))))
    for left in (cut_tree(tree), groomed_tree(tree, z_cut=0.0), groomed_tree(tree, z_cut=0.0, recursive=True)):
        assert ak.array_equal(left[tree.fields], tree)


def test_a_cut_by_hand() -> None:
    """The hard prong splits at 0.1 (1 GeV) and 0.03 (5 GeV), the soft one at 0.01 (10 GeV); the root is at 1."""
    jets = awkward_jets(from_angles([100.0, 5.0, 1.0, 20.0, 10.0], [0.0, 0.03, 0.1, 1.0, 1.01], [0.0] * 5))
    assert jetforge.lund_tree(jets).parent.tolist() == [[-1, 0, 1, 0]]
    left = cut_tree(jets, kt_min=0.11)  # the splitting at 0.1 has kt of 0.1, those at 0.03 of 0.15, at 0.01 of 0.1
    assert left.parent.tolist() == [[-1, 0]]
    assert np.exp(left.ln_delta[0]) == pytest.approx([1.0, 0.03], rel=0.02)
    wide = cut_tree(jets, delta_max=0.5)  # the root goes, and with it the soft prong and its splitting
    assert wide.parent.tolist() == [[-1, 0]]
    assert wide.is_primary.tolist() == [[True, True]]
    assert np.exp(wide.ln_delta[0]) == pytest.approx([0.1, 0.03], rel=0.02)
    fine = cut_tree(jets, delta_min=0.05)
    assert np.exp(fine.ln_delta[0]) == pytest.approx([1.0, 0.1], rel=0.02)
    assert ak.num(cut_tree(jets, kt_min=1e3)).tolist() == [0]
    groomed = groomed_tree(jets, z_cut=0.2)
    assert groomed.parent.tolist() == [[-1, 0, 1, 0]]
    assert ak.num(groomed_tree(jets, z_cut=0.2, recursive=True)).tolist() == [2]
    assert ak.num(groomed_tree(jets, z_cut=0.3)).tolist() == [0]


def test_a_prong_may_be_softer_after_a_cut_and_is_still_known() -> None:
    """What is cut away may have been most of the harder prong: the result says which one it was."""
    jets = awkward_jets(*(spread_jet(seed, 60) for seed in range(40)))
    tree = jetforge.lund_tree(jets)
    for first, second in (({"z_min": 0.2}, {"kt_min": 2.0}), ({"delta_max": 0.3}, {"z_min": 0.1})):
        twice = cut_tree(cut_tree(tree, **first), **second)
        at_once = cut_tree(tree, **first, **second)
        assert ak.all(ak.num(twice) == ak.num(at_once))
        assert ak.array_equal(twice, at_once)


seeds, sizes = st.integers(0, 10**6), st.integers(2, 50)
cuts = st.fixed_dictionaries(
    {}, optional={"kt_min": st.floats(0, 5), "delta_min": st.floats(0, 0.2), "delta_max": st.floats(0.1, 2),
                  "z_min": st.floats(0, 0.3)}
)  # fmt: skip


@given(seeds, sizes, cuts)
def test_a_cut_tree_is_a_tree_that_the_cut_does_not_change(seed: int, n: int, limits: dict[str, float]) -> None:
    left = cut_tree(awkward_jets(spread_jet(seed, n)), **limits)
    assert ak.array_equal(cut_tree(left, **limits), left)  # the links are checked on the way in


@given(seeds, sizes, st.floats(0, 0.5), st.floats(-1, 2), st.booleans())
def test_grooming_again_changes_nothing(seed: int, n: int, z_cut: float, beta: float, recursive: bool) -> None:
    groomed = groomed_tree(awkward_jets(spread_jet(seed, n)), z_cut=z_cut, beta=beta, recursive=recursive)
    again = groomed_tree(groomed, z_cut=z_cut, beta=beta, recursive=recursive)
    assert ak.array_equal(again, groomed)


@given(seeds, sizes, st.floats(-4, 4), st.floats(-1.5, 1.5))
def test_rotations_and_boosts_change_nothing(seed: int, n: int, angle: float, eta: float) -> None:
    jet = spread_jet(seed, n)
    still, turned = awkward_jets(jet), awkward_jets(boosted(rotated(jet, angle), eta))
    for function in (lambda jets: cut_tree(jets, kt_min=0.7), groomed_tree):
        one, other = function(still), function(turned)
        assert one.parent.tolist() == other.parent.tolist()
        assert ak.all(ak.isclose(one.ln_kt, other.ln_kt, atol=1e-5))


def assert_unmoved(one: ak.Array, other: ak.Array, tolerance: float) -> None:
    assert one.parent.tolist() == other.parent.tolist()
    assert one.is_primary.tolist() == other.is_primary.tolist()
    for name in ("ln_kt", "ln_delta", "ln_z"):
        assert ak.all(ak.isclose(one[name], other[name], atol=tolerance)), name


@given(seeds, st.integers(3, 40), st.floats(0.1, 0.9))
def test_a_collinear_splitting_changes_nothing_above_a_cut(seed: int, n: int, z: float) -> None:
    jet = spread_jet(seed, n, m=0.0)
    one, other = (awkward_jets(each) for each in (jet, split_collinearly(jet, seed % n, z)))
    assert_unmoved(cut_tree(one, kt_min=0.3), cut_tree(other, kt_min=0.3), 1e-5)
    assert ak.num(jetforge.lund_tree(one)).tolist() != ak.num(jetforge.lund_tree(other)).tolist()


@given(seeds, st.integers(3, 40), st.floats(-0.7, 0.7), st.floats(-0.7, 0.7))
def test_a_soft_particle_changes_nothing_above_a_cut(seed: int, n: int, dy: float, dphi: float) -> None:
    jet = spread_jet(seed, n, m=0.0)
    one, other = (awkward_jets(each) for each in (jet, with_soft(jet, 1e-9, dy, dphi)))
    assert_unmoved(cut_tree(one, kt_min=0.3), cut_tree(other, kt_min=0.3), 1e-4)
    assert ak.num(jetforge.lund_tree(one)).tolist() != ak.num(jetforge.lund_tree(other)).tolist()


def test_jets_of_none_one_and_two_constituents() -> None:
    jets = awkward_jets(*(spread_jet(seed, n) for seed, n in enumerate([0, 1, 2])))
    assert ak.num(cut_tree(jets)).tolist() == ak.num(groomed_tree(jets, z_cut=0.0)).tolist() == [0, 0, 1]
    assert ak.num(cut_tree(jets, kt_min=math.inf)).tolist() == [0, 0, 0]


def test_silly_cuts_are_refused() -> None:
    jets = awkward_jets(spread_jet(1, 5))
    for name in ("kt_min", "delta_min", "delta_max", "z_min"):
        for value in (-1.0, math.nan):
            with pytest.raises(JetforgeError, match=f"{name} is .*; it must be"):
                cut_tree(jets, **{name: value})
    for options, message in (
        ({"z_cut": -0.1}, "z_cut is -0.1; it must be"),
        ({"z_cut": math.nan}, "z_cut is nan"),
        ({"z_cut": 1.1}, "z_cut is 1.1; it must be a finite number from 0 to 1"),
        ({"recursive": "no"}, "recursive is 'no'; it must be True or False"),
        ({"recursive": 1}, "recursive is 1; it must be True or False"),
        ({"R0": 0.0}, "R0 is 0; it must be"),
        ({"R0": math.inf}, "R0 is inf"),
        ({"beta": math.nan}, "beta is nan; it must be"),
        ({"beta": math.inf}, "beta is inf"),
    ):
        with pytest.raises(JetforgeError, match=message):
            groomed_tree(jets, **options)
