"""Soft drop and the modified mass-drop tagger against FastJet and the outputs that fjcontrib's authors print."""

import re
from functools import cache
from math import inf
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
    each_jet,
    fastjet_awkward,
    from_angles,
    pseudojets,
    read_event,
    spread_jet,
)

from jetforge.physics.grooming import filtering, modified_mass_drop, soft_drop

OPTIONS: list[dict[str, Any]] = [
    {"z_cut": 0.1},
    {"z_cut": 0.1, "beta": 1.0, "R0": 0.8},
    {"z_cut": 0.2, "beta": 2.0, "R0": 0.5, "symmetry": "vector_z", "recursion": "larger_mt"},
    {"z_cut": 0.05, "beta": -1.0, "R0": 0.8},
    {"z_cut": 0.1, "beta": 0.5, "R0": 0.8, "symmetry": "y", "recursion": "larger_m"},
    {"z_cut": 0.1, "beta": 1.0, "R0": 0.8, "mu_cut": 0.6},
    {"z_cut": 0.4},
]
FASTJET_NAMES = {"z_cut": "symmetry_cut", "symmetry": "symmetry_measure", "recursion": "recursion_choice"}


def mass2(energy: Any, pz: Any, pt: Any) -> Any:
    return (energy + pz) * (energy - pz) - pt**2


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_soft_drop_is_that_of_fastjet_on_generated_jets(generated_jets: ak.Array, options: dict[str, Any]) -> None:
    everywhere = fastjet.JetDefinition(fastjet.cambridge_algorithm, 1000.0)
    sequence = fastjet.ClusterSequence(fastjet_awkward(*each_jet(generated_jets)), everywhere)
    theirs = sequence.exclusive_jets_softdrop_grooming(
        njets=1, **{"R0": 1.0} | {FASTJET_NAMES.get(name, name): value for name, value in options.items()}
    )
    groomed = soft_drop(generated_jets, **options)
    passed = groomed.passed.to_numpy()
    assert passed.tolist() == (theirs.symmetrysoftdrop >= 0).to_list()
    assert passed.any()
    assert ak.num(groomed.indices).to_list() == ak.num(theirs.constituents.px).to_list()
    kept = generated_jets[groomed.indices]
    for ours, name in (("px", "px"), ("energy", "E")):
        assert np.sort(ak.ravel(kept[ours])).tolist() == np.sort(ak.ravel(theirs.constituents[name])).tolist()
    for name in ("pt", "E", "pz"):
        np.testing.assert_allclose(groomed[name] if name == "pz" else getattr(groomed, name), theirs[f"{name}softdrop"])
    expected = np.sign(theirs.msoftdrop) * theirs.msoftdrop**2
    found = mass2(groomed.energy, groomed.pz, groomed.pt)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(groomed.z_g[passed], theirs.symmetrysoftdrop[passed], rtol=1e-9)
    np.testing.assert_allclose(groomed.R_g[passed], theirs.deltaRsoftdrop[passed], rtol=1e-9)


@pytest.mark.parametrize(("algorithm", "theirs"), [("kt", fastjet.kt_algorithm), ("antikt", fastjet.antikt_algorithm)])
def test_other_clusterings_are_undone_from_their_last_merge(algorithm: str, theirs: int) -> None:
    jets = [spread_jet(seed, 5 + seed) for seed in range(60)]
    groomed = soft_drop(awkward_jets(*jets), 0.1, 1.0, 1.0, algorithm=algorithm)
    for jet, ours in zip(jets, groomed, strict=True):
        sequence = fastjet.ClusterSequence(pseudojets(jet), fastjet.JetDefinition(theirs, 1000.0))
        subjet = fastjet.sorted_by_pt(sequence.inclusive_jets())[0]
        first, second = fastjet.PseudoJet(), fastjet.PseudoJet()
        z = 0.0
        while subjet.has_parents(first, second):
            hard, soft = fastjet.sorted_by_pt([first, second])
            z = soft.pt() / (soft.pt() + hard.pt())
            if z > 0.1 * hard.delta_R(soft):
                break
            subjet, z, first, second = hard, 0.0, fastjet.PseudoJet(), fastjet.PseudoJet()
        assert ours.pt == pytest.approx(subjet.pt(), rel=1e-12)
        assert ours.z_g == pytest.approx(z, rel=1e-9)


@cache
def event_jets(folder: Path, algorithm: int, radius: float, pt_min: float) -> tuple[ak.Array, list[Momenta]]:
    """Return the jets of the contribs' event, hardest first."""
    event = read_event(folder / "fjcontrib" / "data" / "single-event.dat")
    if algorithm == fastjet.antikt_algorithm:
        jets = anti_kt_jets(event, radius, pt_min)
    else:
        sequence = fastjet.ClusterSequence(pseudojets(event), fastjet.JetDefinition(algorithm, radius))
        found = fastjet.sorted_by_pt(sequence.inclusive_jets(pt_min))
        jets = [np.array([[p.px(), p.py(), p.pz(), p.E()] for p in jet.constituents()]).T for jet in found]
    return awkward_jets(*jets), jets


def printed(refs: Path, example: str) -> str:
    return (refs / "fjcontrib" / "ref" / f"RecursiveTools.{example}.ref").read_text()


def kinematics(jet: Any) -> dict[str, float]:
    """Return what the contribs print of a jet."""
    pseudojet = fastjet.PseudoJet(*(float(jet[name]) for name in ("px", "py", "pz", "energy")))
    return {"pt": pseudojet.pt(), "m": pseudojet.m(), "y": pseudojet.rap(), "phi": pseudojet.phi()}


def assert_printed(line: str, jet: Any) -> None:
    """Compare with words such as "pt = 983.387 m = 39.9912", six digits each."""
    words = dict(re.findall(r"(\w+) = (\S+)", line))
    found = kinematics(jet)
    assert {name: f"{found[name]:.6g}" for name in words} == words


def rows_of_table(text: str) -> tuple[dict[str, list[str]], list[dict[str, list[str]]]]:
    """Return the settings and, for each jet, the results of the table of options, words by name of the row."""
    blocks = re.split(r"Analyzing Jet \d+:\n-+\n.*\n", text)
    rows = [
        {line[:18].strip(): line[18:].split() for line in block.splitlines() if not line.startswith("-")}
        for block in blocks
    ]
    settings = {name: words for name, words in rows[0].items() if len(words) == 8}
    return {name: words for name, words in settings.items() if name != "name"}, rows[1:]


def test_every_option_gives_the_printed_numbers(refs: Path) -> None:
    settings, results = rows_of_table(printed(refs, "example_advanced_usage"))
    constituents, jets = event_jets(refs, fastjet.antikt_algorithm, 1.0, 20.0)
    assert len(settings) == 31
    assert len(results) == len(jets) == 3
    for name, (beta, z_cut, symmetry, R0, mu, recursion, algorithm, mode) in settings.items():
        groomed = soft_drop(
            constituents,
            float(z_cut),
            float(beta),
            float(R0),
            mode=mode,
            symmetry=symmetry,
            mu_cut=None if float(mu) == inf else float(mu),
            recursion=recursion,
            algorithm={"CA": "cambridge_aachen", "KT": "kt"}[algorithm],
        )
        for jet, expected in zip(groomed, (result[name] for result in results), strict=True):
            if "untagged" in expected:
                assert not jet.passed
                assert len(jet.indices) == jet.energy == 0
                continue
            splitting = [jet.R_g, jet.z_g, jet.mu] if jet.passed else [-1.0] * 3
            highest = max(jet.dropped.z, default=0.0) if jet.passed else 0.0
            found = [f"{x:.4f}" for x in (*kinematics(jet).values(), *splitting, highest)]
            assert [*found[:4], str(len(jet.indices)), *found[4:]] == expected, name


def test_soft_drop_example(refs: Path) -> None:
    constituents, jets = event_jets(refs, fastjet.antikt_algorithm, 1.0, 20.0)
    blocks = re.findall(
        r"SoftDropped jet: (.*)\n.*subjets: (.*)\n.*\(z\): (.*)\n.*\(mu\): (.*)\n", printed(refs, "example_softdrop")
    )
    assert len(blocks) == len(jets) == 3
    for jet, (line, *splitting) in zip(soft_drop(constituents, 0.1, 2.0, 1.0), blocks, strict=True):
        assert_printed(line, jet)
        assert [f"{jet.R_g:.6g}", f"{jet.z_g:.6g}", f"{jet.mu:.6g}"] == [word.strip() for word in splitting]


def test_modified_mass_drop_example(refs: Path) -> None:
    """The filter of the example takes min(0.3, Delta/2) as radius and keeps three subjets."""
    constituents, jets = event_jets(refs, fastjet.cambridge_algorithm, 1.0, 20.0)
    pattern = r"tagged   jet: (.*)\n.*subjets: (.*)\n.*\(z\): (.*)\n.*\(mu\): (.*)\nfiltered jet: (.*)\n"
    blocks = re.findall(pattern, printed(refs, "example_mmdt"))
    assert len(blocks) == len(jets) == 3
    tagged = modified_mass_drop(constituents, 0.1)
    for k, (line, delta, z, mu, filtered) in enumerate(blocks):
        assert_printed(line, tagged[k])
        assert [f"{tagged[k][name]:.6g}" for name in ("R_g", "z_g", "mu")] == [word.strip() for word in (delta, z, mu)]
        kept = constituents[k : k + 1][tagged.indices[k : k + 1]]
        assert_printed(filtered, filtering(kept, min(0.3, tagged.R_g[k] / 2), 3)[0])


def test_reclustering_example(refs: Path) -> None:
    """Kept as a whole, the subjets of a filter are those of a clustering."""
    text = printed(refs, "example_recluster")
    blocks = re.findall(r"invariant (\S+) algorithm with R = 0.3.*\n.*\n   subjets: \n((?:     .*\n)+)", text)
    names = {"Cambridge/Aachen": "cambridge_aachen", "kt": "kt"}
    assert [names[name] for name, _ in blocks] == ["cambridge_aachen", "kt"] * 2
    algorithms = [fastjet.antikt_algorithm] * 2 + [fastjet.cambridge_algorithm] * 2
    for algorithm, (name, lines) in zip(algorithms, blocks, strict=True):
        constituents, _ = event_jets(refs, algorithm, 1.0, 20.0)
        subjets = filtering(constituents, 0.3, 1000, algorithm=names[name]).subjets[0]
        assert len(subjets) == len(lines.splitlines())
        for subjet, line in zip(subjets, lines.splitlines(), strict=True):
            words = dict(re.findall(r"(\w+) = (\S+)", line))
            found = kinematics(subjet)
            assert {x: f"{found[x]:.6g}" for x in ("pt", "y", "phi")} == {x: words[x] for x in ("pt", "y", "phi")}
            # The printed mass of a photon is rounding noise.
            assert found["m"] == pytest.approx(float(words["m"]), rel=5e-6, abs=1e-4)


def three_prongs() -> Momenta:
    """Return a hard particle with a soft one at 0.5 and a less soft one at 0.2."""
    return from_angles([100.0, 2.0, 30.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.2], m=1.0)


def test_dropped_branches_are_listed() -> None:
    groomed = soft_drop(awkward_jets(three_prongs()), 0.1)[0]
    assert groomed.indices.to_list() == [0, 2]
    assert groomed.z_g == pytest.approx(30 / 130)
    assert groomed.R_g == pytest.approx(0.2)
    (dropped,) = groomed.dropped.to_list()
    hard = from_angles([100.0], [0.0], [0.0], m=1.0) + from_angles([30.0], [0.0], [0.2], m=1.0)
    pt, phi = np.hypot(*hard[:2, 0]), np.arctan2(hard[1, 0], hard[0, 0])
    y = np.arctanh(hard[2, 0] / hard[3, 0])
    assert dropped["z"] == pytest.approx(2 / (2 + pt))
    assert dropped["delta"] == pytest.approx(np.hypot(0.5 - y, phi))
    assert dropped["kt"] == pytest.approx(2 * dropped["delta"])


def test_a_groomer_ends_with_one_constituent_and_a_tagger_with_none() -> None:
    constituents = awkward_jets(three_prongs())
    groomed, tagged = (soft_drop(constituents, 0.4, mode=mode)[0] for mode in ("groom", "tag"))
    assert groomed.indices.to_list() == [0]
    assert tagged.indices.to_list() == []
    assert groomed.pt == pytest.approx(100)
    assert tagged.energy == 0
    for jet in (groomed, tagged):
        assert not jet.passed
        assert jet.z_g == jet.R_g == jet.mu == 0
        assert len(jet.dropped) == 2
    assert not modified_mass_drop(constituents, 0.4).passed[0]
    assert modified_mass_drop(constituents, 0.4, mode="groom").pt[0] == pytest.approx(100)


def test_a_mass_drop_cannot_be_judged_without_mass() -> None:
    """Two photons in one direction: the pair has no mass, and rounding must not decide what mu is."""
    pair = from_angles([3.0, 4.0], [0.0, 0.0], [0.0, 0.0])
    pair[3] = pair[0]
    constituents = awkward_jets(pair)
    assert soft_drop(constituents).passed[0]
    assert soft_drop(constituents).mu[0] == 0
    assert soft_drop(constituents, mu_cut=0.5).energy[0] == 0
    assert soft_drop(constituents, symmetry="y").indices[0].to_list() == [0, 1]
    assert not soft_drop(constituents, symmetry="y").passed[0]


def test_a_mass_drop_is_soft_drop_with_beta_0() -> None:
    constituents = awkward_jets(*(spread_jet(seed, 30) for seed in range(10)))
    assert ak.array_equal(
        modified_mass_drop(constituents, 0.2, 0.7), soft_drop(constituents, 0.2, mu_cut=0.7, mode="tag")
    )
