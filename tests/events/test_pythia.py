import awkward as ak
import numpy as np
import pytest

from jetforge.errors import RecipeError
from jetforge.events.clustering import cluster_events
from jetforge.events.presets import get_preset
from jetforge.events.pythia import PythiaGenerator, final_particles, multiplicity
from jetforge.events.truth import contains_top, top_decays

pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")


@pytest.fixture(scope="module")
def generator():
    return PythiaGenerator(get_preset("toptag-top").settings, seed=5)


@pytest.fixture(scope="module")
def events(generator):
    return generator.next_batch(60)


def test_wrong_settings_and_seeds_are_named():
    with pytest.raises(RecipeError, match="does not know the setting 'Beams:eCN = 14000'"):
        PythiaGenerator(["Beams:eCN = 14000"], seed=1)
    with pytest.raises(RecipeError, match="from 1 to 900000000, not 0"):
        PythiaGenerator([], seed=0)


def test_stable_particles_conserve_the_momentum_of_the_beams(events):
    particles = final_particles(events, visible_only=False, eta_max=None)
    assert ak.num(particles).tolist() == multiplicity(events).tolist()
    for component in ("px", "py", "pz"):
        assert np.abs(ak.sum(particles[component], axis=1)).tolist() == pytest.approx([0] * 60, abs=0.02)
    assert ak.sum(particles.energy, axis=1).tolist() == pytest.approx([14000] * 60, rel=1e-5)


def test_the_selection_of_particles_is_the_one_asked_for(events):
    visible = final_particles(events, visible_only=True, eta_max=5.0)
    everything = final_particles(events, visible_only=False, eta_max=None)
    pid = np.abs(ak.to_numpy(ak.flatten(visible.pid)))
    assert not np.isin(pid, [12, 14, 16]).any()
    pt = np.hypot(everything.px, everything.py)
    eta = np.arcsinh(everything.pz / np.where(pt > 0, pt, 1e-12))
    expected = (np.abs(eta) < 5) & ~((np.abs(everything.pid) % 2 == 0) & (np.abs(everything.pid) // 10 == 1)
                                     & (np.abs(everything.pid) > 11))  # fmt: skip
    assert ak.num(visible).tolist() == ak.sum(expected, axis=1).tolist()


def test_charges_add_up_to_those_of_the_protons(generator, events):
    particles = final_particles(events, visible_only=False, eta_max=None)
    charges = ak.unflatten(generator.charges(ak.to_numpy(ak.flatten(particles.pid))), ak.num(particles))
    assert ak.sum(charges, axis=1).tolist() == [2.0] * 60


def test_clustering_keeps_every_particle_with_its_fields(events):
    particles = final_particles(events[:20], visible_only=True, eta_max=5.0)
    jets = cluster_events(particles, radius=0.8, pt_min=0.0)
    assert ak.sum(ak.num(jets.constituents, axis=2), axis=1).tolist() == ak.num(particles).tolist()
    for name in ("px", "energy"):
        np.testing.assert_allclose(
            ak.to_numpy(ak.flatten(ak.sum(jets.constituents[name], axis=2))), ak.to_numpy(ak.flatten(jets[name])),
            atol=1e-8,
        )  # fmt: skip
    assert ak.all(jets.pt[:, :-1] >= jets.pt[:, 1:])
    together = ak.flatten(jets.constituents, axis=2)
    assert [sorted(e) for e in together.pid.to_list()] == [sorted(e) for e in particles.pid.to_list()]


def test_jets_are_those_of_the_classic_interface(events):
    import fastjet

    particles = final_particles(events[:5], visible_only=True, eta_max=5.0)
    jets = cluster_events(particles, radius=0.8, pt_min=20.0)
    for ours, event in zip(jets, particles, strict=True):
        pseudojets = [
            fastjet.PseudoJet(*four)
            for four in zip(*(event[c].to_list() for c in ("px", "py", "pz", "energy")), strict=True)
        ]
        sequence = fastjet.ClusterSequence(pseudojets, fastjet.JetDefinition(fastjet.antikt_algorithm, 0.8))
        theirs = fastjet.sorted_by_pt(sequence.inclusive_jets(20.0))
        for name in ("pt", "rap", "eta", "m"):
            column = {"rap": "y", "m": "mass"}.get(name, name)
            assert ours[column].to_list() == pytest.approx([getattr(j, name)() for j in theirs], rel=1e-6, abs=1e-9)
        assert ours.phi.to_list() == pytest.approx([j.phi_std() for j in theirs])


def test_each_top_is_the_sum_of_its_quarks(events):
    """The quarks' mean direction is the top's: found tops are tops, and found quarks are theirs."""
    tops = top_decays(events)
    assert ak.num(tops).tolist() == [2] * 60
    # Boosted tops: all three quarks within a cone of about 2 m / pT around the top.
    distance = np.sqrt((tops.quark_y - tops.y) ** 2 + _wrapped(tops.quark_phi - tops.phi) ** 2)
    assert np.median(ak.to_numpy(ak.flatten(distance, axis=None))) < 0.6


def test_leptonic_tops_are_left_out():
    settings = [s for s in get_preset("toptag-top").settings if not s.startswith("24:")]
    generator = PythiaGenerator([*settings, "24:onMode = off", "24:onIfAny = 11 13"], seed=2)
    assert ak.sum(ak.num(top_decays(generator.next_batch(10)))) == 0


def test_matched_jets_contain_top_and_quarks():
    def top(y, phi, quarks):
        return {"y": y, "phi": phi, "quark_y": [q[0] for q in quarks], "quark_phi": [q[1] for q in quarks]}

    near = [(0.1, 3.1), (0.0, -3.1), (-0.2, 3.0)]
    tops = ak.Array([[top(0.0, 3.1, near)], [top(0.0, 3.1, [*near[:2], (0.9, 3.1)])], []])
    # A regular inner axis, as `top_decays` has it.
    tops = ak.zip({name: ak.to_regular(tops[name], axis=2) if "quark" in name else tops[name] for name in tops.fields},
                  depth_limit=2)  # fmt: skip
    y, phi = ak.Array([[0.0, 0.0], [0.0], [0.0]]), ak.Array([[-3.1, 1.0], [3.1], [3.1]])
    assert contains_top(y, phi, tops, 0.8).to_list() == [[True, False], [False], [False]]


def _wrapped(phi):
    return (phi + np.pi) % (2 * np.pi) - np.pi
