"""Pruning and bottom-up soft drop against FastJet's Pruner, its clustering with a vetoing recombiner, and fjcontrib."""

import re
from pathlib import Path

import awkward as ak
import fastjet
import numpy as np
import pytest
from helpers.jets import Momenta, anti_kt_jets, awkward_jets, each_jet, from_angles, pseudojets, read_event, spread_jet

from jetforge.physics.grooming import bottom_up_soft_drop, pruning

ALGORITHMS = {
    "cambridge_aachen": fastjet.cambridge_algorithm,
    "kt": fastjet.kt_algorithm,
    "antikt": fastjet.antikt_algorithm,
}


class SoftDropRecombiner:
    """Recombines two pseudojets, or keeps the harder where they fail the soft-drop condition."""

    def __init__(self, z_cut: float, beta: float, R0: float) -> None:
        self.z_cut, self.beta, self.R0 = z_cut, beta, R0

    def description(self) -> str:
        return "bottom-up soft drop"

    def preprocess(self, jet: fastjet.PseudoJet) -> fastjet.PseudoJet:
        return jet

    def recombine(self, a: fastjet.PseudoJet, b: fastjet.PseudoJet) -> fastjet.PseudoJet:
        z = min(a.pt(), b.pt()) / (a.pt() + b.pt())
        if z > self.z_cut * (a.delta_R(b) / self.R0) ** self.beta:
            return a + b
        return b if a.pt() < b.pt() else a


def clustered(jet: Momenta, definition: fastjet.JetDefinition) -> tuple[fastjet.ClusterSequence, fastjet.PseudoJet]:
    sequence = fastjet.ClusterSequence(pseudojets(jet), definition)
    return sequence, fastjet.sorted_by_pt(sequence.inclusive_jets())[0]


def assert_same_momenta(groomed: ak.Array, theirs: list[list[float]]) -> None:
    found = np.stack([groomed[name].to_numpy() for name in ("px", "py", "pz", "energy")], axis=1)
    np.testing.assert_allclose(found, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("beta", "z_cut", "R0"), [(1.0, 0.05, 0.8), (0.0, 0.1, 1.0)])
def test_bottom_up_soft_drop_on_generated_jets(generated_jets: ak.Array, beta: float, z_cut: float, R0: float) -> None:
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0)
    recombiner = SoftDropRecombiner(z_cut, beta, R0)
    definition.set_python_recombiner(recombiner)
    theirs = []
    for jet in each_jet(generated_jets):
        _sequence, p = clustered(jet, definition)
        theirs.append([p.px(), p.py(), p.pz(), p.E()])
    groomed = bottom_up_soft_drop(generated_jets, z_cut, beta, R0)
    assert_same_momenta(groomed, theirs)
    lost = ak.num(generated_jets.px).to_numpy() - ak.num(groomed.indices).to_numpy()
    assert (lost > 0).mean() > 0.9


@pytest.mark.parametrize(
    ("algorithm", "z_cut", "factor"),
    [("cambridge_aachen", 0.1, 0.5), ("kt", 0.15, 0.25), ("antikt", 0.1, 0.5), ("cambridge_aachen", 0.3, 0.0)],
)
def test_pruning_on_generated_jets(generated_jets: ak.Array, algorithm: str, z_cut: float, factor: float) -> None:
    pruner = fastjet.Pruner(ALGORITHMS[algorithm], z_cut, factor)
    theirs, sizes = [], []
    for jet in each_jet(generated_jets):
        _sequence, whole = clustered(jet, fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0))
        pruned = pruner(whole)
        theirs.append([pruned.px(), pruned.py(), pruned.pz(), pruned.E()])
        sizes.append(len(pruned.constituents()))
    groomed = pruning(generated_jets, z_cut, factor, algorithm=algorithm)
    assert_same_momenta(groomed, theirs)
    assert ak.num(groomed.indices).to_list() == sizes
    assert sum(sizes) < ak.sum(ak.num(generated_jets.px))


def test_bottom_up_soft_drop_example(refs: Path) -> None:
    text = (refs / "fjcontrib" / "ref" / "RecursiveTools.example_bottomup_softdrop.ref").read_text()
    jets = anti_kt_jets(read_event(refs / "fjcontrib" / "data" / "single-event.dat"), 1.0, 100.0)
    lines = re.findall(r"BottomUpSoftDropped jet: +pt = (\S+) m = (\S+) y = (\S+) phi = (\S+)", text)
    assert len(lines) == len(jets) == 2
    for jet, line in zip(bottom_up_soft_drop(awkward_jets(*jets), 0.2, 1.0, 1.0), lines, strict=True):
        p = fastjet.PseudoJet(jet.px, jet.py, jet.pz, jet.energy)
        assert tuple(f"{x:.6g}" for x in (p.pt(), p.m(), p.rap(), p.phi())) == line


@pytest.mark.parametrize(("z_cut", "beta"), [(0.05, 1.0), (0.1, 0.0), (0.02, -0.5)])
def test_every_merge_of_a_bottom_up_groomed_jet_satisfies_the_condition(z_cut: float, beta: float) -> None:
    jets = [spread_jet(seed, 30) for seed in range(30)]
    groomed = bottom_up_soft_drop(awkward_jets(*jets), z_cut, beta, 1.0)
    assert ak.all(groomed.z_g[groomed.passed] > z_cut * groomed.R_g[groomed.passed] ** beta)
    assert ak.all(groomed.dropped.z < z_cut * groomed.dropped.delta**beta)
    again = bottom_up_soft_drop(awkward_jets(*jets)[groomed.indices], z_cut, beta, 1.0)
    assert ak.sum(ak.num(again.dropped)) == 0


def test_pruning_drops_what_is_soft_and_wide() -> None:
    """R_cut is 0.17: the soft particle at 0.05 stays, the one at 0.5 goes, the hard one at 0.4 stays."""
    jet = from_angles([100.0, 60.0, 2.0, 3.0], [0.0, 0.4, 0.05, 0.0], [0.0, 0.0, 0.0, -0.5])
    px, py, pz, energy = jet.sum(axis=1)
    r_cut = np.sqrt(energy**2 - px**2 - py**2 - pz**2) / np.hypot(px, py)
    assert 0.15 < r_cut < 0.25
    groomed = pruning(awkward_jets(jet))[0]
    assert groomed.indices.to_list() == [0, 1, 2]
    (dropped,) = groomed.dropped.to_list()
    assert dropped["z"] == pytest.approx(3 / np.hypot(px, py))
    assert dropped["kt"] == pytest.approx(3 * dropped["delta"])
    assert groomed.z_g == pytest.approx(60 / np.hypot(*jet[:2, :3].sum(axis=1)))


def test_what_is_left_may_be_a_single_constituent() -> None:
    groomed = pruning(awkward_jets(from_angles([100.0, 1.0, 1.0], [0.0, 0.5, -0.4], [0.0, 0.0, 0.5])), 0.1, 0.0)[0]
    assert groomed.indices.to_list() == [0]
    assert not groomed.passed
    assert groomed.z_g == groomed.R_g == 0
    assert len(groomed.dropped) == 2
