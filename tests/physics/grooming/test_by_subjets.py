"""Trimming and filtering against FastJet's Filter."""

import awkward as ak
import fastjet
import numpy as np
import pytest
from helpers.jets import awkward_jets, each_jet, from_angles, pseudojets, spread_jet

from jetforge.physics.grooming import filtering, trimming

ALGORITHMS = {
    "cambridge_aachen": fastjet.cambridge_algorithm,
    "kt": fastjet.kt_algorithm,
    "antikt": fastjet.antikt_algorithm,
}


def assert_as_filtered(groomed: ak.Array, constituents: ak.Array, tool: fastjet.Filter) -> None:
    """Compare jet by jet, pieces included."""
    momenta, sizes, pieces = [], [], []
    for jet in each_jet(constituents):
        everywhere = fastjet.JetDefinition(fastjet.antikt_algorithm, 1000.0)
        sequence = fastjet.ClusterSequence(pseudojets(jet), everywhere)
        filtered = tool(fastjet.sorted_by_pt(sequence.inclusive_jets())[0])
        momenta.append([filtered.px(), filtered.py(), filtered.pz(), filtered.E()])
        sizes.append(len(filtered.constituents()) if filtered.has_constituents() else 0)
        pieces.append([p.pt() for p in fastjet.sorted_by_pt(filtered.pieces())] if filtered.has_pieces() else [])
    found = np.stack([groomed[name].to_numpy() for name in ("px", "py", "pz", "energy")], axis=1)
    np.testing.assert_allclose(found, momenta, rtol=1e-12, atol=1e-10)
    assert ak.num(groomed.indices).to_list() == sizes
    assert ak.num(groomed.subjets).to_list() == [len(row) for row in pieces]
    np.testing.assert_allclose(ak.ravel(groomed.subjets.pt), [pt for row in pieces for pt in row], rtol=1e-12)


@pytest.mark.parametrize(
    ("algorithm", "radius", "fraction"),
    [("kt", 0.3, 0.05), ("kt", 0.2, 0.03), ("cambridge_aachen", 0.2, 0.1), ("antikt", 0.1, 0.01)],
)
def test_trimming_on_generated_jets(generated_jets: ak.Array, algorithm: str, radius: float, fraction: float) -> None:
    definition = fastjet.JetDefinition(ALGORITHMS[algorithm], radius)
    tool = fastjet.Filter(definition, fastjet.SelectorPtFractionMin(fraction))
    groomed = trimming(generated_jets, radius, fraction, algorithm=algorithm)
    assert_as_filtered(groomed, generated_jets, tool)
    assert groomed.fields == ["px", "py", "pz", "energy", "passed", "indices", "subjets"]


@pytest.mark.parametrize(
    ("algorithm", "radius", "most"), [("cambridge_aachen", 0.3, 3), ("kt", 0.2, 2), ("antikt", 0.15, 5)]
)
def test_filtering_on_generated_jets(generated_jets: ak.Array, algorithm: str, radius: float, most: int) -> None:
    definition = fastjet.JetDefinition(ALGORITHMS[algorithm], radius)
    tool = fastjet.Filter(definition, fastjet.SelectorNHardest(most))
    assert_as_filtered(filtering(generated_jets, radius, most, algorithm=algorithm), generated_jets, tool)


def test_the_cuts_are_where_they_should_be() -> None:
    """Three particles too far apart to cluster: 100, 6 and 3 GeV."""
    constituents = awkward_jets(from_angles([100.0, 6.0, 3.0], [0.0, 0.5, -0.5], [0.0, 0.0, 0.0]))
    assert trimming(constituents, pt_fraction=0.05).indices.to_list() == [[0, 1]]
    assert trimming(constituents, pt_fraction=0.06).indices.to_list() == [[0]]
    assert trimming(constituents, pt_fraction=0.0).indices.to_list() == [[0, 1, 2]]
    assert trimming(constituents, R_sub=0.6, pt_fraction=0.06).indices.to_list() == [[0, 1, 2]]
    assert filtering(constituents, n_hardest=1).indices.to_list() == [[0]]
    assert filtering(constituents, n_hardest=2).indices.to_list() == [[0, 1]]
    assert filtering(constituents, n_hardest=9).indices.to_list() == [[0, 1, 2]]


def test_a_trimmed_jet_may_be_empty() -> None:
    constituents = awkward_jets(from_angles([1.0] * 4, [0.0, 0.5, 1.0, 1.5], [0.0] * 4))
    groomed = trimming(constituents, pt_fraction=0.3)[0]
    assert not groomed.passed
    assert groomed.energy == len(groomed.indices) == len(groomed.subjets) == 0


def test_a_single_subjet_is_the_whole_jet() -> None:
    constituents = awkward_jets(*(spread_jet(seed, 30) for seed in range(200)))
    for algorithm in ("kt", "cambridge_aachen", "antikt"):
        groomed = trimming(constituents, 1e3, 1.0, algorithm=algorithm)
        assert ak.all(groomed.passed)
        assert ak.all(ak.num(groomed.indices) == 30)


def test_no_cut_keeps_all() -> None:
    constituents = awkward_jets(*(spread_jet(seed, seed) for seed in range(1, 30)))
    for groomed in (trimming(constituents, 0.2, 0.0), filtering(constituents, 0.2, 10**6)):
        assert groomed.indices.to_list() == ak.local_index(constituents.px).to_list()
        assert ak.all(groomed.passed)
