"""Recursive and iterated soft drop against a walk through FastJet's tree, and against fjcontrib's printed outputs."""

import re
from itertools import pairwise
from math import inf
from pathlib import Path

import awkward as ak
import fastjet
import numpy as np
import pytest
from helpers.jets import Momenta, anti_kt_jets, awkward_jets, each_jet, pseudojets, read_event, spread_jet

from jetforge.errors import JetforgeError
from jetforge.physics.grooming import (
    iterated_soft_drop,
    recursive_soft_drop,
    soft_drop,
    soft_drop_angularities,
    soft_drop_multiplicity,
)

Pair = tuple[float, float]


def children(jet: fastjet.PseudoJet) -> list[fastjet.PseudoJet]:
    first, second = fastjet.PseudoJet(), fastjet.PseudoJet()
    return fastjet.sorted_by_pt([first, second]) if jet.has_parents(first, second) else []


def walk(
    jet: Momenta,
    z_cut: float,
    beta: float,
    n: float,
    R0: float,
    *,
    dynamic: bool = False,
    hardest_only: bool = False,
    angular_cut: float = 0.0,
) -> tuple[list[fastjet.PseudoJet], list[Pair]]:
    """Return prongs, and z and Delta of the splittings, by declustering the widest branch until none is left."""
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0)
    sequence = fastjet.ClusterSequence(pseudojets(jet), definition)
    root = fastjet.sorted_by_pt(sequence.inclusive_jets())[0]
    active, prongs, splittings = [(root, children(root), R0)], [], []
    while active and len(splittings) < n:
        active.sort(key=lambda branch: branch[1][0].delta_R(branch[1][1]) if branch[1] else 0.0)
        branch, pieces, scale = active.pop()
        delta = pieces[0].delta_R(pieces[1]) if pieces else 0.0
        if not pieces or delta < angular_cut:
            prongs.append(branch)
            if angular_cut > 0:
                break
            continue
        hard, soft = pieces
        z = soft.pt() / (hard.pt() + soft.pt())
        if z > z_cut * (delta / scale) ** beta:
            splittings.append((z, delta))
            scale = delta if dynamic else scale
            active.append((hard, children(hard), scale))
            if hardest_only:
                prongs.append(soft)
            else:
                active.append((soft, children(soft), scale))
        else:
            active.append((hard, children(hard), scale))
    prongs += [branch for branch, _, _ in active]
    result = [fastjet.PseudoJet(p.px(), p.py(), p.pz(), p.E()) for p in prongs]
    return result, sorted(splittings, key=lambda pair: -pair[1])


def assert_as_walked(groomed: ak.Array, walked: list[tuple[list[fastjet.PseudoJet], list[Pair]]]) -> None:
    assert ak.num(groomed.splittings).to_list() == [len(splittings) for _, splittings in walked]
    assert ak.num(groomed.prongs).to_list() == [len(prongs) for prongs, _ in walked]
    pairs = np.array([pair for _, splittings in walked for pair in splittings])
    np.testing.assert_allclose(ak.ravel(groomed.splittings.z), pairs[:, 0], rtol=1e-9)
    np.testing.assert_allclose(ak.ravel(groomed.splittings.delta), pairs[:, 1], rtol=1e-9)
    for name, component in (("px", "px"), ("py", "py"), ("pz", "pz"), ("energy", "E")):
        expected = [sum(getattr(p, component)() for p in prongs) for prongs, _ in walked]
        np.testing.assert_allclose(groomed[name], expected, rtol=1e-9, atol=1e-9)
    heaviest = [max(p.pt() for p in prongs) for prongs, _ in walked]
    np.testing.assert_allclose(groomed.prongs.pt[:, 0], heaviest, rtol=1e-12)


@pytest.mark.parametrize(
    ("beta", "n", "dynamic"), [(1.0, inf, False), (0.5, 3, False), (1.0, 4, True), (2.0, inf, True)]
)
def test_recursive_soft_drop_on_generated_jets(generated_jets: ak.Array, beta: float, n: float, dynamic: bool) -> None:
    groomed = recursive_soft_drop(generated_jets, 0.05, beta, n, 0.8, dynamic_R0=dynamic)
    assert_as_walked(groomed, [walk(jet, 0.05, beta, n, 0.8, dynamic=dynamic) for jet in each_jet(generated_jets)])
    assert groomed.multiplicity.to_list() == ak.num(groomed.splittings).to_list()


@pytest.mark.parametrize("angular_cut", [0.0, 0.05])
def test_iterated_soft_drop_on_generated_jets(generated_jets: ak.Array, angular_cut: float) -> None:
    groomed = iterated_soft_drop(generated_jets, 0.007, -1.0, 0.8, angular_cut)
    walked = [
        walk(jet, 0.007, -1.0, inf, 0.8, hardest_only=True, angular_cut=angular_cut) for jet in each_jet(generated_jets)
    ]
    assert_as_walked(groomed, walked)
    count = soft_drop_multiplicity(generated_jets, 0.007, -1.0, 0.8, angular_cut)
    assert count.dtype == np.int64
    assert count.tolist() == [len(splittings) for _, splittings in walked]
    for alpha, kappa in ((0.5, 1.0), (1.0, 1.0), (0.0, 2.0), (2.0, 0.0)):
        expected = [sum(z**kappa * delta**alpha for z, delta in splittings) for _, splittings in walked]
        np.testing.assert_allclose(soft_drop_angularities(groomed, alpha, kappa), expected, rtol=1e-9, atol=1e-300)


def jets_of_the_event(refs: Path, radius: float, pt_min: float) -> list[Momenta]:
    return anti_kt_jets(read_event(refs / "fjcontrib" / "data" / "single-event.dat"), radius, pt_min)


def test_recursive_soft_drop_example(refs: Path) -> None:
    text = (refs / "fjcontrib" / "ref" / "RecursiveTools.example_recursive_softdrop.ref").read_text()
    jets = jets_of_the_event(refs, 1.0, 100.0)
    groomed = recursive_soft_drop(awkward_jets(*jets), 0.2, 0.5, 4, 1.0, dynamic_R0=True)
    lines = re.findall(r"RecursiveSoftDropped jet: +pt = (\S+) m = (\S+) y = (\S+) phi = (\S+)", text)
    prongs = re.findall(r"pt          mass\n((?: +\d+ .*\n)+)", text)
    splittings = re.findall(r"zg        thetag\n((?: +\d+ .*\n?)+)", text)
    assert len(lines) == len(prongs) == len(splittings) == len(jets) == 2
    for jet, line, prong_rows, splitting_rows in zip(groomed, lines, prongs, splittings, strict=True):
        pseudojet = fastjet.PseudoJet(jet.px, jet.py, jet.pz, jet.energy)
        found = [pseudojet.pt(), pseudojet.m(), pseudojet.rap(), pseudojet.phi()]
        assert [float(f"{x:.{len(word.split('.')[1])}f}") for x, word in zip(found, line, strict=True)] == [
            float(word) for word in line
        ]
        expected = sorted(([float(x) for x in row.split()[1:]] for row in prong_rows.splitlines()), reverse=True)
        masses = [round(p.energy**2 - p.px**2 - p.py**2 - p.pz**2, 12) for p in jet.prongs]
        assert [round(x, 4) for x in jet.prongs.pt] == [pt for pt, _ in expected]
        np.testing.assert_allclose(np.sqrt(np.abs(masses)), [m for _, m in expected], rtol=0, atol=6e-5)
        rows = [row.split()[1:] for row in splitting_rows.splitlines()]
        assert [[f"{s.z:.4f}", f"{s.delta:.4f}"] for s in jet.splittings] == rows


def test_iterated_soft_drop_example(refs: Path) -> None:
    """The rows of the E_theta measure belong to clustering with angles in space, which is not offered."""
    text = (refs / "fjcontrib" / "ref" / "RecursiveTools.example_isd.ref").read_text()
    jets = jets_of_the_event(refs, 0.5, 200.0)
    groomed = iterated_soft_drop(awkward_jets(*jets), 1 / 1000 / 0.5, -1.0, 0.5)
    blocks = text.split("Processing Jet")[1:]
    assert len(blocks) == len(jets) == 2
    for k, block in enumerate(blocks):
        count, factors = re.findall(r"\(pt_R measure.*\):\n(.*)\n", block)[:2]
        assert groomed.multiplicity[k] == int(count)
        assert [f"{z:.6g}" for z in groomed.splittings.z[k]] == factors.split()
        for alpha, kappa, value in re.findall(r"alpha = (\S+), +kappa = (\S+) : +(\S+)", block):
            found = soft_drop_angularities(groomed, float(alpha), float(kappa))[k]
            assert f"{found:.6g}" == value


def test_one_splitting_is_soft_drop() -> None:
    constituents = awkward_jets(*(spread_jet(seed, 25) for seed in range(20)))
    once, plain = recursive_soft_drop(constituents, 0.1, 1.0, 1), soft_drop(constituents, 0.1, 1.0)
    for name in ("z_g", "R_g", "mu", "passed", "indices", "dropped"):
        assert ak.array_equal(once[name], plain[name])
    np.testing.assert_allclose(once.pt, plain.pt, rtol=1e-12)
    assert ak.num(once.prongs).to_list() == [2 if passed else 1 for passed in plain.passed]


def test_more_splittings_only_groom_more() -> None:
    constituents = awkward_jets(*(spread_jet(seed, 40) for seed in range(20)))
    kept = [ak.num(recursive_soft_drop(constituents, 0.1, 0.5, n).indices).to_numpy() for n in (1, 2, 4, inf)]
    assert all((more <= fewer).all() for fewer, more in pairwise(kept))
    assert kept[-1].sum() < kept[0].sum()


def test_angularities_need_splittings() -> None:
    groomed = soft_drop(awkward_jets(spread_jet(0, 5)))
    with pytest.raises(JetforgeError, match="these jets have no splittings"):
        soft_drop_angularities(groomed)
    with pytest.raises(JetforgeError, match="alpha is -1; it must be"):
        soft_drop_angularities(iterated_soft_drop(awkward_jets(spread_jet(0, 5))), -1)
    assert soft_drop_angularities(iterated_soft_drop(awkward_jets(np.empty((4, 0)), spread_jet(0, 1)))).tolist() == [
        0,
        0,
    ]
