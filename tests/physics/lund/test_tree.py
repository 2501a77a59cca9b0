"""The Lund tree agrees with FastJet and its LundPlane contrib, and keeps its symmetries on any jet."""

import json
import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import fastjet
import numpy as np
import pytest
from helpers.jets import (
    Momenta,
    anti_kt_jets,
    awkward_jets,
    boosted,
    flat_jets,
    from_angles,
    pseudojets,
    read_event,
    rotated,
    spread_jet,
)
from hypothesis import given
from hypothesis import strategies as st

import jetforge
from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.physics.lund import LundArrays, lund_arrays, lund_tree

LOGARITHMS = ("ln_kt", "ln_delta", "ln_z", "ln_m")


def tree_of(jet: Momenta) -> LundArrays:
    return lund_arrays(flat_jets(jet))


def assert_trees_close(tree: LundArrays, expected: LundArrays, tolerance: float) -> None:
    assert tree.parent.tolist() == expected.parent.tolist()
    assert tree.is_primary.tolist() == expected.is_primary.tolist()
    for name in LOGARITHMS:
        np.testing.assert_allclose(getattr(tree, name), getattr(expected, name), atol=tolerance, rtol=0, err_msg=name)
    turn = np.remainder(tree.psi - expected.psi + np.pi, 2 * np.pi) - np.pi
    np.testing.assert_allclose(turn, 0, atol=tolerance, err_msg="psi")


def fastjet_tree(jet: Momenta) -> LundArrays:
    """Return all declusterings of FastJet's own clustering, in the order of its merges reversed."""
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, fastjet.JetDefinition.max_allowable_R)
    sequence = fastjet.ClusterSequence(pseudojets(jet), definition)
    (root,) = sequence.inclusive_jets()
    rows: dict[int, dict[str, Any]] = {}
    waiting = [(root, -1, True)]
    while waiting:
        pair, parent, is_primary = waiting.pop()
        hard, soft = fastjet.PseudoJet(), fastjet.PseudoJet()
        if not pair.has_parents(hard, soft):
            continue
        if soft.pt2() > hard.pt2():
            hard, soft = soft, hard
        delta = hard.delta_R(soft)
        rows[pair.cluster_hist_index()] = {
            "ln_kt": math.log(max(soft.pt() * delta, 1e-6)),
            "ln_delta": math.log(max(delta, 1e-6)),
            "ln_z": math.log(soft.pt() / (soft.pt() + hard.pt())),
            "ln_m": math.log(max(pair.m(), 1e-6)),
            "psi": math.atan2(soft.rap() - hard.rap(), hard.delta_phi_to(soft)),
            "parent": parent,
            "is_primary": is_primary,
        }
        waiting += [(hard, pair.cluster_hist_index(), is_primary), (soft, pair.cluster_hist_index(), False)]
    order = {-1: -1} | {step: index for index, step in enumerate(sorted(rows, reverse=True))}
    columns = {name: np.array([rows[step][name] for step in list(order)[1:]]) for name in LundArrays._fields[1:]}
    columns["parent"] = np.array([order[step] for step in columns["parent"]])
    return LundArrays(np.array([0, len(rows)]), **columns)


@pytest.mark.parametrize("n", [2, 3, 10, 71, 200])
def test_every_declustering_is_that_of_fastjet(n: int) -> None:
    for seed in range(12):
        jet = spread_jet(seed, n)
        assert_trees_close(tree_of(jet), fastjet_tree(jet), 1e-9)


def compare_with_fastjet(jets: Jets) -> tuple[float, int]:
    """Return the largest difference of any logarithm, and how many jets have an exact tie that merged otherwise."""
    largest, ties = 0.0, 0
    for j in range(len(jets)):
        jet = np.array(jets[j : j + 1].flat[1:])
        ours, theirs = tree_of(jet), fastjet_tree(jet)
        if ours.parent.tolist() != theirs.parent.tolist():
            assert has_tie(jet), f"jet {j} merges otherwise than FastJet's, without equal distances"
            ties += 1
            continue
        assert_trees_close(ours, theirs, 1e-9)
        largest = max(largest, *(float(np.abs(getattr(ours, n) - getattr(theirs, n)).max()) for n in LOGARITHMS))
    return largest, ties


def has_tie(jet: Momenta) -> bool:
    """Say whether FastJet merged a pair while another was equally close, to the rounding of a distance."""
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, fastjet.JetDefinition.max_allowable_R)
    sequence = fastjet.ClusterSequence(pseudojets(jet), definition)
    for n in range(jet.shape[1], 1, -1):
        left = sequence.exclusive_jets(n)
        y, phi = np.array([(p.rap(), p.phi_std()) for p in left]).T
        turn = np.abs(phi[:, None] - phi)
        squared = (y[:, None] - y) ** 2 + np.minimum(turn, 2 * np.pi - turn) ** 2
        closest = np.sort(squared[np.triu_indices(n, 1)])[:2]
        if len(closest) == 2 and closest[1] - closest[0] <= 1e-12 * closest[1]:
            return True
    return False


def test_generated_jets_have_the_declusterings_of_fastjet(toptag: Path) -> None:
    jets = jetforge.open(toptag).read("train", max_jets=120)
    largest, ties = compare_with_fastjet(jets)
    assert largest < 1e-9
    assert ties <= 1


@pytest.mark.slow
def test_a_thousand_generated_jets_have_the_declusterings_of_fastjet(tmp_path: Path) -> None:
    """With multiparton interactions, both radii and 20 to 200 constituents; ties are rarer than one jet in 100."""
    presets = ["lundnet-qcd-500", "lundnet-top-500", "toptag-qcd", "toptag-top"]
    jets = jetforge.generate(presets, 1000, tmp_path / "data", seed=4, split=(1, 0, 0)).read("train")
    largest, ties = compare_with_fastjet(jets)
    assert largest < 1e-9
    assert ties <= 10


def test_equal_distances_are_ties_and_nothing_else_differs_from_fastjet() -> None:
    """On a grid the pair that merges first is a matter of chance; totals and the number of steps are not."""
    rng = np.random.default_rng(5)
    y, phi = rng.integers(-3, 4, (2, 30)) * 0.1
    jet = from_angles(rng.uniform(1, 9, 30), y, phi)
    ours, theirs = tree_of(jet), fastjet_tree(jet)
    assert len(ours.ln_m) == len(theirs.ln_m) == 29
    assert ours.ln_m[0] == pytest.approx(theirs.ln_m[0], abs=1e-9)
    duplicates = sum(ours.ln_delta < math.log(0.05))
    assert duplicates == sum(theirs.ln_delta < math.log(0.05)) == 30 - len(set(zip(y, phi, strict=True)))


def reference_jets(refs: Path) -> ak.Array:
    """Return the two hard anti-kt jets (R = 1) of the event that the LundPlane contrib shows."""
    event = read_event(refs / "fjcontrib" / "data" / "single-event.dat")
    return awkward_jets(*anti_kt_jets(event, 1.0, 500.0))


def printed_pairs(text: str) -> list[tuple[str, str]]:
    return re.findall(r"\(([-.\de]+), ([-.\de]+)\)", text)


def as_printed(declusterings: ak.Array) -> list[tuple[str, str]]:
    """Return (ln 1/Delta, ln kt) in the six digits that C++ prints."""
    return [(f"{-one.ln_delta:g}", f"{one.ln_kt:g}") for one in declusterings]


def test_primary_planes_are_those_that_the_contrib_prints(refs: Path) -> None:
    printed = (refs / "fjcontrib" / "ref" / "LundPlane.example.ref").read_text().split("of jet")
    trees = lund_tree(reference_jets(refs))
    assert len(trees) == len(printed) - 1 == 2
    for tree, text in zip(trees, printed[1:], strict=True):
        assert as_printed(tree[tree.is_primary]) == printed_pairs(text)


def test_every_primary_variable_is_that_which_the_contrib_writes(refs: Path) -> None:
    lines = (refs / "fjcontrib" / "ref" / "LundPlane.jets.json").read_text().splitlines()
    for tree, line in zip(lund_tree(reference_jets(refs)), lines, strict=True):
        plane = tree[tree.is_primary]
        written = json.loads(line)
        for name, key in {"ln_kt": "kt", "ln_delta": "Delta", "ln_z": "z", "ln_m": "p_m"}.items():
            np.testing.assert_allclose(np.exp(plane[name]), [one[key] for one in written], rtol=6e-6)
        np.testing.assert_allclose(plane.psi, [one["psi"] for one in written], rtol=6e-6)


def secondary_plane(tree: ak.Array, z_cut: float) -> ak.Array:
    """Return the harder branch of the softer prong of the first primary declustering with z > z_cut."""
    pt_sum = np.exp(tree.ln_kt - tree.ln_delta - tree.ln_z)
    index = next(i for i, one in enumerate(tree) if one.is_primary and one.ln_z > math.log(z_cut))
    plane = [i for i in np.flatnonzero(tree.parent == index) if not tree.is_primary[i]]
    while plane:
        children = np.flatnonzero(tree.parent == plane[-1]).tolist()
        pt_hard = pt_sum[plane[-1]] * (1 - np.exp(tree.ln_z[plane[-1]]))
        hard = [i for i in children if abs(pt_sum[i] / pt_hard - 1) < 1e-3]
        if not hard:
            break
        plane += hard
    return tree[plane]


def test_secondary_planes_are_those_that_the_contrib_prints(refs: Path) -> None:
    printed = (refs / "fjcontrib" / "ref" / "LundPlane.example_secondary.ref").read_text()
    planes = [text.split("Lund coordinates")[0] for text in printed.split("secondary plane")[1:]]
    trees = lund_tree(reference_jets(refs))
    for tree, text in zip(trees, planes, strict=True):
        assert as_printed(secondary_plane(tree, 0.025)) == printed_pairs(text)


def test_two_constituents_by_hand() -> None:
    jet = from_angles([30.0, 10.0], [0.0, 0.3], [0.0, 0.4])
    (declustering,) = lund_tree(awkward_jets(jet))[0].tolist()
    assert declustering == pytest.approx(
        {
            "ln_kt": math.log(5.0),
            "ln_delta": math.log(0.5),
            "ln_z": math.log(0.25),
            "ln_m": 0.5 * math.log(2 * 30 * 10 * (math.cosh(0.3) - math.cos(0.4))),
            "psi": math.atan2(0.3, 0.4),
            "parent": -1,
            "is_primary": True,
        },
        abs=1e-12,
    )


def test_the_azimuth_difference_wraps_around() -> None:
    tree = tree_of(from_angles([30.0, 10.0], [0.0, 0.0], [math.pi - 0.1, -math.pi + 0.2]))
    assert tree.ln_delta[0] == pytest.approx(math.log(0.3))
    assert tree.psi[0] == pytest.approx(0.0, abs=1e-12)
    tree = tree_of(from_angles([10.0, 30.0], [0.0, 0.0], [math.pi - 0.1, -math.pi + 0.2]))
    assert tree.psi[0] == pytest.approx(math.pi, abs=1e-12)


def test_links_and_branches_by_hand() -> None:
    """A hard prong that splits twice, at 0.1 and at 0.03, and a soft one that splits once, at 0.01."""
    tree = tree_of(from_angles([100.0, 5.0, 1.0, 20.0, 10.0], [0.0, 0.03, 0.1, 1.0, 1.01], [0.0] * 5))
    assert tree.parent.tolist() == [-1, 0, 1, 0]
    assert tree.is_primary.tolist() == [True, True, True, False]
    np.testing.assert_allclose(np.exp(tree.ln_z), [30 / 136, 1 / 106, 5 / 105, 1 / 3], rtol=1e-3)


def test_floors_are_as_documented() -> None:
    collinear = tree_of(from_angles([30.0, 10.0], [0.0, 0.0], [0.0, 0.0]))
    assert collinear.ln_delta[0] == collinear.ln_kt[0] == pytest.approx(math.log(1e-6), abs=1e-14)
    assert collinear.ln_m[0] == pytest.approx(math.log(1e-6), abs=1e-14)
    assert collinear.psi[0] == 0.0
    without_pt = tree_of(np.array([[0.0, 30.0], [0.0, 0.0], [5.0, 0.0], [5.0, 30.0]]))
    assert without_pt.ln_z[0] == pytest.approx(math.log(1e-20), abs=1e-14)


def test_jets_of_none_and_one_constituent_have_no_declustering() -> None:
    jets = [spread_jet(seed, n) for seed, n in enumerate([0, 1, 3, 0, 2, 1])]
    tree = lund_tree(awkward_jets(*jets))
    assert ak.num(tree).tolist() == [0, 0, 2, 0, 1, 0]
    assert tree.fields == ["ln_kt", "ln_delta", "ln_z", "ln_m", "psi", "parent", "is_primary"]
    assert len(lund_tree(ak.Array([]))) == 0
    assert str(tree.type) == (
        "6 * var * {ln_kt: float64, ln_delta: float64, ln_z: float64, ln_m: float64, psi: float64, "
        "parent: int64, is_primary: bool}"
    )


def test_a_broken_jet_is_refused() -> None:
    with pytest.raises(DataError, match=r"jet 1, constituent 0 .* not a finite momentum"):
        lund_tree(awkward_jets(spread_jet(1, 4), np.full((4, 1), np.nan)))


def test_flat_trees_are_made_of_jets_in_any_form() -> None:
    jets = [spread_jet(seed, n) for seed, n in enumerate([5, 0, 30])]
    expected = lund_arrays(flat_jets(*jets))
    columns = flat_jets(*jets)._asdict()
    for form in (awkward_jets(*jets), Jets(columns.pop("offsets"), columns)):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(lund_arrays(form), expected, strict=True))


def test_flat_jets_that_break_a_rule_are_refused() -> None:
    flat = flat_jets(spread_jet(1, 5))
    with pytest.raises(DataError, match="offsets must"):
        lund_arrays(flat._replace(offsets=np.array([0, 99])))
    with pytest.raises(DataError, match="not a finite momentum"):
        lund_arrays(flat._replace(px=np.full(5, np.nan)))
    with pytest.raises(DataError, match="must be an awkward array of jets, not list"):
        lund_arrays([1, 2])


def test_the_bytes_do_not_depend_on_threads_or_on_neighbours() -> None:
    jets = [spread_jet(seed, 2 + seed % 40) for seed in range(1500)]
    flat = flat_jets(*jets)
    one = lund_arrays(flat, num_threads=1)
    for other in (lund_arrays(flat), lund_arrays(flat, num_threads=3)):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))
    alone = tree_of(jets[1234])
    begin, end = one.offsets[1234:1236]
    assert all(a.tobytes() == b[begin:end].tobytes() for a, b in zip(alone[1:], one[1:], strict=True))


def test_threads_of_the_caller_do_not_disturb_each_other() -> None:
    flats = [flat_jets(*(spread_jet(1000 * k + seed, 20) for seed in range(600))) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lund_arrays, flats))
    for flat, tree in zip(flats, together, strict=True):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(tree, lund_arrays(flat, num_threads=1), strict=True))


seeds = st.integers(0, 10**6)
sizes = st.integers(2, 80)


@given(seeds, sizes)
def test_the_order_of_constituents_does_not_matter(seed: int, n: int) -> None:
    jet = spread_jet(seed, n)
    shuffled = tree_of(jet[:, np.random.default_rng(seed).permutation(n)])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(shuffled, tree_of(jet), strict=True))


transformations = st.one_of(
    st.floats(-4, 4).map(lambda a: partial(rotated, angle=a)),
    st.floats(-1.5, 1.5).map(lambda y: partial(boosted, eta=y)),
)


@given(seeds, sizes, transformations)
def test_rotations_about_and_boosts_along_the_beam_change_nothing(
    seed: int, n: int, transform: Callable[[Momenta], Momenta]
) -> None:
    jet = spread_jet(seed, n)
    assert_trees_close(tree_of(transform(jet)), tree_of(jet), 1e-5)


@given(seeds, sizes, st.floats(0.1, 100.0))
def test_scaling_all_momenta_shifts_kt_and_mass(seed: int, n: int, factor: float) -> None:
    tree, scaled = tree_of(spread_jet(seed, n)), tree_of(factor * spread_jet(seed, n))
    shifted = tree._replace(ln_kt=tree.ln_kt + math.log(factor), ln_m=tree.ln_m + math.log(factor))
    assert_trees_close(scaled, shifted, 1e-6)


def nasty_constituents() -> st.SearchStrategy[list[tuple[float, float, float, float]]]:
    """Return constituents of the kinds that break formulas, some of them twice."""
    size = st.sampled_from([1e-300, 1e-160, 1e-9, 0.1, 3.0, 500.0, 1e50])
    beam = st.builds(lambda p, sign: (0.0, 0.0, sign * p, p), size, st.sampled_from([1.0, -1.0]))
    below = st.builds(lambda p: (0.0, 0.0, p, p * (1 - 1e-9)), size)
    at_rest = st.builds(lambda e: (0.0, 0.0, 0.0, e), size)
    massless = st.builds(lambda p: (3 * p, 4 * p, 12 * p, 13 * p), size)
    spacelike = st.builds(lambda p: (3 * p, 4 * p, 12 * p, 13 * p * (1 - 1e-8)), size)
    edge = st.builds(lambda p, tiny: (-p, tiny * p, 0.0, p), size, st.sampled_from([1e-12, 0.0, -0.0, -1e-12]))
    zero = st.sampled_from([(0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, -1e-9), (-0.0, -0.0, -0.0, 0.0)])
    one = st.one_of(beam, below, at_rest, massless, spacelike, edge, zero)
    return st.lists(one, min_size=1, max_size=20).flatmap(
        lambda jet: st.lists(st.sampled_from(jet), max_size=5).map(lambda again: jet + again)
    )


@given(nasty_constituents())
def test_any_jet_gives_a_finite_well_ordered_tree(
    constituents: list[tuple[float, float, float, float]],
) -> None:
    tree = lund_tree(awkward_jets(np.array(constituents).T))[0]
    assert len(tree) == len(constituents) - 1
    for name in (*LOGARITHMS, "psi"):
        assert np.all(np.isfinite(tree[name]))
    for name in ("ln_kt", "ln_delta", "ln_m"):
        assert np.all(tree[name] >= math.log(1e-6) - 1e-12)
    assert np.all((tree.ln_z >= math.log(1e-20) - 1e-12) & (tree.ln_z <= math.log(0.5) + 1e-12))
    assert np.all(np.abs(tree.psi) <= math.pi)
    for index, one in enumerate(tree):
        assert (one.parent == -1) == (index == 0)
        assert one.parent < index
        assert index == 0 or one.is_primary <= tree.is_primary[one.parent]
    parents, primary = tree.parent.to_numpy()[1:], tree.is_primary.to_numpy()[1:]
    children = np.bincount(parents, minlength=1)
    primary_children = np.bincount(parents[primary], minlength=1)
    assert children.max() <= 2
    assert primary_children.max() <= 1


def test_the_kernel_takes_jets_far_above_the_usual_size() -> None:
    jet = spread_jet(7, 1500)
    assert_trees_close(tree_of(jet), fastjet_tree(jet), 1e-7)
