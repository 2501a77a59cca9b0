"""Subjets and clustering histories are those of FastJet, for every algorithm and scheme."""

from functools import partial

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
    permuted,
    pseudojets,
    read_event,
    rotated,
    spread_jet,
)
from hypothesis import given
from hypothesis import strategies as st

import jetforge
from jetforge.errors import DataError, JetforgeError
from jetforge.physics.clustering.history import clustering_history, exclusive_distances
from jetforge.physics.clustering.subjets import exclusive_subjets, inclusive_subjets

FASTJET = {
    "cambridge_aachen": fastjet.cambridge_algorithm,
    "kt": fastjet.kt_algorithm,
    "antikt": fastjet.antikt_algorithm,
    0.5: fastjet.genkt_algorithm,
    -0.4: fastjet.genkt_algorithm,
}
SCHEMES = {"E": fastjet.E_scheme, "wta": fastjet.WTA_pt_scheme}
COMPONENTS = ("px", "py", "pz", "energy")


def definition(algorithm: str | float, radius: float, recombination: str) -> fastjet.JetDefinition:
    extra = [] if isinstance(algorithm, str) else [algorithm]
    return fastjet.JetDefinition(FASTJET[algorithm], radius, *extra, SCHEMES[recombination])


def momenta_of(jets: list[fastjet.PseudoJet]) -> Momenta:
    return np.array([[p.px(), p.py(), p.pz(), p.E()] for p in fastjet.sorted_by_pt(jets)]).reshape(-1, 4)


def assert_same_subjets(ours: ak.Array, theirs: list[fastjet.PseudoJet], jet: Momenta, recombination: str) -> None:
    expected = momenta_of(theirs)
    found = np.stack([ak.to_numpy(ours[name]) for name in COMPONENTS], axis=1)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * jet[3].sum())
    if recombination == "E":
        for subjet, members in zip(expected, ours.constituents.to_list(), strict=True):
            np.testing.assert_allclose(jet[:, members].sum(axis=1), subjet, rtol=0, atol=1e-12 * jet[3].sum())


@pytest.mark.parametrize("recombination", ["E", "wta"])
@pytest.mark.parametrize("algorithm", list(FASTJET))
def test_inclusive_subjets_are_those_of_fastjet(
    generated_jets: ak.Array, algorithm: str | float, recombination: str
) -> None:
    ours = inclusive_subjets(generated_jets, 0.2, algorithm=algorithm, pt_min=1.0, recombination=recombination)
    reference = definition(algorithm, 0.2, recombination)
    for subjets, jet in zip(ours, each_jet(generated_jets), strict=True):
        sequence = fastjet.ClusterSequence(pseudojets(jet), reference)
        assert_same_subjets(subjets, sequence.inclusive_jets(1.0), jet, recombination)


@pytest.mark.parametrize("recombination", ["E", "wta"])
@pytest.mark.parametrize("algorithm", ["cambridge_aachen", "kt", 0.5])
def test_exclusive_subjets_and_distances_are_those_of_fastjet(
    generated_jets: ak.Array, algorithm: str | float, recombination: str
) -> None:
    options = {"algorithm": algorithm, "recombination": recombination}
    three = exclusive_subjets(generated_jets, 3, **options)
    numbers = (1, 2, 3, 8, 200)
    distances = exclusive_distances(generated_jets, numbers, **options)
    dcut = float(np.median(distances[:, 2]))
    cut = exclusive_subjets(generated_jets, dcut=dcut, **options)
    reference = definition(algorithm, 1.0, recombination)
    reference_without_beam = definition(algorithm, 1000.0, recombination)
    for j, jet in enumerate(each_jet(generated_jets)):
        sequence = fastjet.ClusterSequence(pseudojets(jet), reference_without_beam)
        assert_same_subjets(three[j], sequence.exclusive_jets_up_to(3), jet, recombination)
        assert_same_subjets(cut[j], sequence.exclusive_jets(dcut / 1e6), jet, recombination)
        expected = [1e6 * sequence.exclusive_dmerge_max(n) for n in numbers]
        np.testing.assert_allclose(distances[j], expected, rtol=1e-9)
    with_beam = exclusive_subjets(generated_jets, 3, radius=1.0, **options)
    if algorithm != "cambridge_aachen":  # all distances to the beam are equal there, and which goes first is a choice
        for j, jet in enumerate(each_jet(generated_jets)):
            sequence = fastjet.ClusterSequence(pseudojets(jet), reference)
            assert_same_subjets(with_beam[j], sequence.exclusive_jets_up_to(3), jet, recombination)


def undone(root: fastjet.PseudoJet) -> list[tuple[float, float, float]]:
    """Return px of every pseudojet that FastJet made, and of the two it was made of."""
    rows, waiting = [], [root]
    while waiting:
        whole, one, other = waiting.pop(), fastjet.PseudoJet(), fastjet.PseudoJet()
        if whole.has_parents(one, other):
            rows.append((whole.px(), *sorted((one.px(), other.px()))))
            waiting += [one, other]
    return sorted(rows)


@pytest.mark.parametrize("algorithm", ["cambridge_aachen", "kt", "antikt"])
def test_the_history_is_that_of_fastjet(generated_jets: ak.Array, algorithm: str) -> None:
    chosen = generated_jets[:100]
    ours = clustering_history(chosen, algorithm)
    with_beam = clustering_history(chosen, algorithm, radius=0.4)
    for steps, beamed, jet in zip(ours, with_beam, each_jet(chosen), strict=True):
        n = jet.shape[1]
        sequence = fastjet.ClusterSequence(pseudojets(jet), definition(algorithm, 1000.0, "E"))
        px = [*jet[0], *steps.px]
        made = [
            (m, *sorted((px[i], px[j]))) for m, i, j in zip(*(steps[x] for x in ("px", "first", "second")), strict=True)
        ]
        np.testing.assert_allclose(sorted(made), undone(sequence.inclusive_jets()[0]), rtol=1e-12, atol=1e-12)
        sequence = fastjet.ClusterSequence(pseudojets(jet), definition(algorithm, 0.4, "E"))
        distances = [sequence.exclusive_dmerge(left) for left in range(n - 1, -1, -1)]
        np.testing.assert_allclose(beamed.distance, distances, rtol=1e-9, atol=1e-14)


def test_subjets_are_those_that_the_recluster_example_prints(refs) -> None:
    text = (refs / "fjcontrib" / "ref" / "RecursiveTools.example_recluster.ref").read_text()
    event = read_event(refs / "fjcontrib" / "data" / "single-event.dat")
    (jet,) = anti_kt_jets(event, 1.0, 100.0)[:1]
    section = text.split("\n" + 50 * "-" + "\n")[1]
    printed = {}
    for name, block in zip(("all", "cambridge_aachen", "kt"), section.split("Reclustering with")[1:], strict=True):
        printed[name] = [line.split()[2] for line in block.splitlines() if line.startswith("     pt =")]
    assert len(printed["kt"]) == 4
    for algorithm in ("cambridge_aachen", "kt"):
        (subjets,) = inclusive_subjets(awkward_jets(jet), 0.3, algorithm=algorithm)
        assert [f"{pt:.6g}" for pt in subjets.pt] == printed[algorithm]


seeds, sizes = st.integers(0, 10**6), st.integers(1, 30)
algorithms = st.sampled_from(list(FASTJET))
transformations = st.one_of(
    st.integers(0, 10**6).map(lambda seed: partial(permuted, seed=seed)),
    st.floats(-4, 4).map(lambda angle: partial(rotated, angle=angle)),
    st.floats(-1.5, 1.5).map(lambda eta: partial(boosted, eta=eta)),
)


@given(seeds, sizes, algorithms, transformations)
def test_order_rotations_and_boosts_do_not_matter(
    seed: int, n: int, algorithm: str | float, transform: partial[Momenta]
) -> None:
    jet = spread_jet(seed, n)
    for subjets in (
        partial(inclusive_subjets, radius=0.3, algorithm=algorithm),
        partial(exclusive_subjets, n_subjets=3, algorithm=algorithm),
    ):
        plain, changed = (ak.sort(subjets(awkward_jets(x)).pt) for x in (jet, transform(jet)))
        np.testing.assert_allclose(ak.flatten(changed), ak.flatten(plain), rtol=1e-6)


@given(seeds, sizes, algorithms, st.sampled_from([0.1, 0.5]))
def test_every_constituent_is_in_one_inclusive_subjet(seed: int, n: int, algorithm: str | float, radius: float) -> None:
    (subjets,) = inclusive_subjets(awkward_jets(spread_jet(seed, n)), radius, algorithm=algorithm)
    assert sorted(ak.flatten(subjets.constituents).to_list()) == list(range(n))
    assert subjets.pt.to_list() == sorted(subjets.pt.to_list(), reverse=True)


@pytest.mark.parametrize("algorithm", ["cambridge_aachen", "kt", "antikt", -0.4])
@pytest.mark.parametrize("radius", [1e-6, 1e6])
def test_the_outermost_radii_give_as_many_subjets_as_they_should(algorithm: str | float, radius: float) -> None:
    jets = awkward_jets(*(spread_jet(seed, 20) for seed in range(10)))
    steps = clustering_history(jets, algorithm, radius=radius)
    assert ak.num(steps).to_list() == [20] * 10
    assert ak.sum(steps.second == -1, axis=1).to_list() == [20 if radius < 1 else 1] * 10
    assert ak.num(inclusive_subjets(jets, radius, algorithm=algorithm)).to_list() == [20 if radius < 1 else 1] * 10


@pytest.mark.parametrize("scale", [1e90, 1e-90])
def test_distances_of_steep_powers_are_finite(scale: float) -> None:
    jets = awkward_jets(scale * spread_jet(1, 9), scale * np.repeat(spread_jet(2, 1), 4, axis=1))
    for power in (10.0, -10.0):
        assert np.isfinite(exclusive_distances(jets, (1, 2, 3), algorithm=power)).all()
        assert np.isfinite(ak.ravel(clustering_history(jets, power, radius=0.4).distance).to_numpy()).all()


def test_columns_own_no_more_memory_than_they_fill() -> None:
    jets = awkward_jets(*(spread_jet(seed, 30) for seed in range(20)))
    subjets = inclusive_subjets(jets, 10.0, pt_min=1e-3)
    assert ak.num(subjets).to_list() == [1] * 20
    records = subjets.layout.content
    assert (
        len(
            records.content("px").data.base
            if records.content("px").data.base is not None
            else records.content("px").data
        )
        == 20
    )


def test_jets_of_few_constituents() -> None:
    jets = awkward_jets(spread_jet(1, 0), spread_jet(2, 1), spread_jet(3, 2))
    assert ak.num(inclusive_subjets(jets, 0.01)).to_list() == [0, 1, 2]
    assert ak.num(exclusive_subjets(jets, 3)).to_list() == [0, 1, 2]
    assert ak.num(exclusive_subjets(jets, 1)).to_list() == [0, 1, 1]
    assert ak.num(exclusive_subjets(jets, dcut=1e9)).to_list() == [0, 1, 1]
    assert ak.num(clustering_history(jets)).to_list() == [0, 0, 1]
    assert ak.num(clustering_history(jets, radius=0.4)).to_list() == [0, 1, 2]
    assert exclusive_distances(jets, (1, 2))[:2].tolist() == [[0, 0], [0, 0]]
    none = inclusive_subjets(jets[:0], 0.4)
    assert len(none) == 0
    assert none.fields == [*COMPONENTS, "constituents"]


def test_indices_choose_the_constituents_with_all_their_fields(generated_jets: ak.Array) -> None:
    hardest = inclusive_subjets(generated_jets, 0.2)[:, 0]
    members = generated_jets[hardest.constituents]
    np.testing.assert_allclose(ak.sum(members.px, axis=1), hardest.px, atol=1e-9)
    assert "pid" in members.fields


def test_the_result_does_not_depend_on_threads(generated_jets: ak.Array) -> None:
    many = ak.concatenate([generated_jets] * 3)
    for function in (
        partial(inclusive_subjets, radius=0.2),
        partial(exclusive_subjets, n_subjets=3),
        clustering_history,
    ):
        assert ak.array_equal(function(many, num_threads=1), function(many, num_threads=3))


def test_blocks_of_jets_are_joined_in_order(generated_jets: ak.Array, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = inclusive_subjets(generated_jets, 0.2)
    monkeypatch.setattr("jetforge.physics.clustering.subjets._JETS_PER_BLOCK", 33)
    assert ak.array_equal(inclusive_subjets(generated_jets, 0.2), whole)


def test_jets_and_flat_jets_are_taken_too(generated_jets: ak.Array) -> None:
    jets = jetforge.Jets.from_constituents(generated_jets[:20])
    expected = exclusive_subjets(generated_jets[:20], 2)
    assert ak.array_equal(exclusive_subjets(jets, 2), expected)
    assert ak.array_equal(exclusive_subjets(jets.flat, 2), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda jets: exclusive_subjets(jets), "give either n_subjets or dcut"),
        (lambda jets: exclusive_subjets(jets, 2, dcut=1.0), "give either n_subjets or dcut"),
        (lambda jets: exclusive_subjets(jets, 0), "n_subjets is 0; it must be"),
        (lambda jets: exclusive_subjets(jets, dcut=float("nan")), "dcut is nan; it must be"),
        (lambda jets: exclusive_subjets(jets, 2, algorithm="kT"), "algorithm 'kT' is not known"),
        (lambda jets: inclusive_subjets(jets, -0.4), "radius is -0.4; it must be"),
        (lambda jets: inclusive_subjets(jets, None), "radius is None; it must be"),
        (lambda jets: inclusive_subjets(jets, 1e103), r"radius is 1e\+103; it must be"),
        (lambda jets: clustering_history(jets, "kt", radius=2e154), r"radius is 2e\+154; it must be"),
        (lambda jets: exclusive_distances(jets, radius=1e-170), "radius is 1e-170; it must be"),
        (lambda jets: exclusive_subjets(jets, 2, radius=1e7), r"radius is 1e\+07; it must be"),
        (lambda jets: exclusive_subjets(jets, 2**63), "n_subjets is 9223372036854775808; it must be"),
        (lambda jets: exclusive_distances(jets, (1, 2**32)), r"n is \(1, 4294967296\); it must be"),
        (lambda jets: inclusive_subjets(jets, 0.4, pt_min=-1), "pt_min is -1; it must be"),
        (lambda jets: clustering_history(jets, recombination="e"), "recombination 'e' is not known"),
        (lambda jets: exclusive_distances(jets, (0, 1)), r"n is \(0, 1\); it must be whole numbers"),
    ],
)
def test_senseless_arguments_are_refused(call, message: str) -> None:
    with pytest.raises(JetforgeError, match=message):
        call(awkward_jets(spread_jet(1, 4)))


def test_broken_momenta_are_refused() -> None:
    jet = spread_jet(1, 4)
    jet[0, 2] = np.nan
    with pytest.raises(DataError, match="jet 0, constituent 2"):
        inclusive_subjets(awkward_jets(jet), 0.4)
