"""Observables by name are what the functions give, and names are known or refused."""

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import pytest
from helpers.jets import awkward_jets, boosted, from_angles, permuted, rotated, split_collinearly, spread_jet, with_soft
from hypothesis import given
from hypothesis import strategies as st

import jetforge
from jetforge import physics
from jetforge.errors import DataError, JetforgeError
from jetforge.physics.by_name.observed import parse

R0 = 0.8


def all_names() -> list[str]:
    """Return a name of every quantity."""
    names = []
    for row in physics.list_observables():
        names += {"tauN": ["tau1", "tau3_wta"], "tauNM": ["tau21", "tau32_kt"]}.get(
            row.name, [row.name.replace("N", "2") if row.name in ("cN", "nN", "mN", "uN") else row.name]
        )
    return names


EXPECTED: dict[str, Callable[[ak.Array], Any]] = {
    "pt": lambda jets: physics.jet_kinematics(jets).pt,
    "m": lambda jets: physics.jet_kinematics(jets).mass,
    "multiplicity": physics.multiplicity,
    "lha": lambda jets: physics.lha(jets, R0=R0),
    "width": lambda jets: physics.width(jets, R0=R0),
    "thrust_angularity": lambda jets: physics.thrust_angularity(jets, R0=R0),
    "tau2": lambda jets: physics.nsubjettiness(jets, 2, R0=R0, axes="onepass_kt"),
    "tau8_kt": lambda jets: physics.nsubjettiness(jets, 8, R0=R0, axes="kt"),
    "tau3_wta_ca_beta2": lambda jets: physics.nsubjettiness(jets, 3, R0=R0, beta=2.0, axes="wta_ca"),
    "tau21_wta": lambda jets: physics.nsubjettiness_ratio(jets, 2, 1, R0=R0, axes="wta_kt"),
    "tau32_ca_beta0.5": lambda jets: physics.nsubjettiness_ratio(jets, 3, 2, R0=R0, axes="ca", beta=0.5),
    "c1": lambda jets: physics.c_series(jets, 1),
    "c2_beta2": lambda jets: physics.c_series(jets, 2, 2.0),
    "d2": physics.d2,
    "d2_beta2": lambda jets: physics.d2(jets, 2.0),
    "n2": lambda jets: physics.n_series(jets, 2),
    "m2": lambda jets: physics.m_series(jets, 2),
    "u1_beta0.5": lambda jets: physics.u_series(jets, 1, 0.5),
    "l2": lambda jets: physics.l_series(jets, 2),
    "l3": lambda jets: physics.l_series(jets, 3),
    "ecf3": lambda jets: physics.energy_correlator(jets, 3, normalised=False),
    "split12": lambda jets: physics.splitting_scales(jets)[:, 0],
    "sqrt_d34": lambda jets: physics.splitting_scales(jets)[:, 2],
    "qw": physics.q_w,
    "thrust_major": physics.thrust_major,
    "sphericity": physics.sphericity,
    "planar_flow": physics.planar_flow,
    "pull": physics.pull_magnitude,
    "jet_charge": physics.jet_charge,
    "charged_multiplicity": physics.charged_multiplicity,
    "photon_fraction": physics.photon_fraction,
    "m_softdrop": lambda jets: physics.jet_kinematics(jets[physics.soft_drop(jets, 0.1, 0, R0).indices]).mass,
    "z_g": lambda jets: physics.soft_drop(jets, 0.1, 0, R0).z_g,
    "rg_pruned": lambda jets: physics.pruning(jets).R_g,
    "pt_mmdt": lambda jets: physics.jet_kinematics(jets[physics.modified_mass_drop(jets, 0.1).indices]).pt,
    "n2_trimmed": lambda jets: physics.n_series(jets[physics.trimming(jets).indices], 2),
    "tau21_wta_beta2_filtered": lambda jets: physics.nsubjettiness_ratio(
        jets[physics.filtering(jets).indices], 2, 1, R0=R0, axes="wta_kt", beta=2.0
    ),
    "soft_drop_multiplicity": lambda jets: physics.soft_drop_multiplicity(jets, R0=R0),
}


@pytest.fixture(scope="module")
def table(generated_jets: ak.Array) -> Any:
    return jetforge.observables(generated_jets[:120], list(EXPECTED), R0=R0)


@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_name_gives_what_the_function_gives(generated_jets: ak.Array, table: Any, name: str) -> None:
    expected = np.asarray(EXPECTED[name](generated_jets[:120]))
    assert table[name].dtype == expected.dtype
    assert len(np.unique(expected)) > 2
    np.testing.assert_allclose(table[name], expected, rtol=1e-12)


def test_every_row_of_the_table_can_be_asked_for(generated_jets: ak.Array) -> None:
    names = all_names()
    table = jetforge.observables(generated_jets[:50], names)
    assert table.dtype.names == tuple(names)
    assert isinstance(table, np.recarray)
    np.testing.assert_array_equal(table.mass, table["mass"])
    for name in names:
        assert np.isfinite(table[name]).all()
        assert len(np.unique(table[name])) > 3, name
    groomed = jetforge.observables(generated_jets[:50], [f"{name}_softdrop" for name in names])
    assert sum(np.any(groomed[f"{name}_softdrop"] != table[name]) for name in names) > len(names) - 6


def test_groomers_of_ones_own(generated_jets: ak.Array) -> None:
    jets = generated_jets[:50]
    tight = {"tight": lambda block: physics.soft_drop(block, z_cut=0.3)}
    table = jetforge.observables(jets, ["mass_tight", "mass_softdrop"], groomers=tight, z_cut=0.2, beta=1.0)
    np.testing.assert_allclose(table.mass_tight, physics.soft_drop(jets, 0.3).mass, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(table.mass_softdrop, physics.soft_drop(jets, 0.2, 1.0, 0.8).mass, rtol=1e-9, atol=1e-6)
    with pytest.raises(JetforgeError, match="groomer 'odd' must give one record a jet with a field indices"):
        jetforge.observables(jets, ["mass_odd"], groomers={"odd": lambda block: block})
    outside = ak.zip({"indices": ak.Array([[1000]] * 50)}, depth_limit=1)
    with pytest.raises(JetforgeError, match="groomer 'odd': its indices do not choose constituents"):
        jetforge.observables(jets, ["mass_odd"], groomers={"odd": lambda block: outside})
    with pytest.raises(JetforgeError, match="groomers must be a mapping of endings to functions"):
        jetforge.observables(jets, ["mass"], groomers=5)  # type: ignore[arg-type]
    with pytest.raises(JetforgeError, match="groomers must be a mapping of endings to functions"):
        jetforge.observables(jets, ["mass_x"], groomers={"x": 3})  # type: ignore[dict-item]


def test_blocks_and_threads_do_not_matter(generated_jets: ak.Array, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["m_softdrop", "charged_multiplicity_softdrop", "tau21", "d2_pruned"]
    whole = jetforge.observables(generated_jets, names, num_threads=1)
    monkeypatch.setattr("jetforge.physics.by_name.observed._BLOCK", 37)
    np.testing.assert_array_equal(jetforge.observables(generated_jets, names, num_threads=3), whole)


def test_jets_of_every_form_are_taken(generated_jets: ak.Array) -> None:
    chosen = generated_jets[:30]
    names = ["tau21", "m_softdrop", "qw"]
    expected = jetforge.observables(chosen, names)
    jets = jetforge.Jets.from_constituents(chosen)
    np.testing.assert_array_equal(jetforge.observables(jets, [*names, "jet_charge"])[names], expected)
    np.testing.assert_array_equal(jetforge.observables(jets.flat, names), expected)
    with pytest.raises(DataError, match="charge"):
        jetforge.observables(jets.flat, ["jet_charge"])


def test_jets_of_few_constituents_have_finite_observables() -> None:
    names = [*all_names(), *(f"{name}_softdrop" for name in all_names())]
    beam = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, -7.0], [5.0, 7.0]])
    jets = awkward_jets(*(spread_jet(n, n) for n in range(4)), np.repeat(spread_jet(1, 1), 3, axis=1), beam)
    charges = ak.unflatten(np.ones(ak.sum(ak.num(jets))), ak.num(jets))
    jets = ak.with_field(ak.with_field(jets, charges, "charge"), ak.values_astype(charges, int), "pid")
    table = jetforge.observables(jets, names)
    for name in names:
        assert np.isfinite(table[name]).all(), name
    assert jetforge.observables(jets[:0], names).shape == (0,)
    assert jetforge.observables(ak.Array([]), ["mass", "mass_softdrop", "z_g"]).shape == (0,)
    assert jetforge.observables(jets, []).shape == (6,)


seeds = st.integers(0, 10**6)
SAFE = ["mass", "lha", "width", "tau1_wta", "tau2_wta", "c2", "d2", "n2", "ecf3", "sqrt_d12", "thrust", "planar_flow"]
BOOSTED = [*SAFE, "ptd", "multiplicity", "n90", "tau21_wta", "qw", "z_g", "R_g", "sphericity", "pull", "eccentricity"]
BOOSTED.remove("planar_flow")  # of momenta across the jet's axis, which boosts along the beam do change


@given(seeds, st.integers(4, 25), st.floats(-4, 4), st.floats(-1.5, 1.5))
def test_symmetries_of_the_collider(seed: int, n: int, angle: float, eta: float) -> None:
    jet = spread_jet(seed, n)
    changed = boosted(rotated(permuted(jet, seed), angle), eta)
    table = jetforge.observables(awkward_jets(jet, changed), BOOSTED)
    for name in BOOSTED:
        assert table[name][1] == pytest.approx(table[name][0], rel=1e-5, abs=1e-7), name


def names_of(safe: str) -> list[str]:
    """Return the names of quantities of a kind, without what a rounding of directions moves."""
    names = [name for name in all_names() if parse(name)[1].safe == safe]
    needing_fields = ("jet_charge", "charged_multiplicity", "charged_fraction", "photon_fraction")
    return [name for name in names if name not in (*needing_fields, "tau1", "phi", "rapidity", "eta")]


@given(seeds, st.integers(1, 20), st.floats(0.2, 0.8))
def test_safe_observables_do_not_see_collinear_splittings_and_soft_emissions(seed: int, n: int, z: float) -> None:
    jet = spread_jet(seed, n, m=0.0)
    names = [*names_of("yes"), *(names_of("ratio") if n > 4 else []), "ptd", "multiplicity"]
    changed = (split_collinearly(jet, 0, z), with_soft(jet, 1e-12, 0.3, -0.2))
    table = jetforge.observables(awkward_jets(jet, *changed), names)
    for name in names[:-2]:
        assert table[name][1:] == pytest.approx(table[name][0], rel=1e-4, abs=1e-4 * (table.pt[0] + 1) ** 2), name
    assert table.ptd[1] < table.ptd[0]
    assert table.multiplicity.tolist() == [n, n + 1, n + 1]


def test_ratios_and_unsafe_observables_see_a_soft_particle() -> None:
    one, two = from_angles([100.0], [0.0], [0.0]), from_angles([100.0, 100.0], [0.0, 0.0], [-0.2, 0.2])
    changed = [np.concatenate([jet, from_angles([1e-9], [0.4], [0.1])], axis=1) for jet in (one, two)]
    table = jetforge.observables(
        awkward_jets(one, changed[0], two, changed[1]), ["kt_delta_r", "c2", "d2", "pull_angle", "tau2_ca"]
    )
    assert table.kt_delta_r[0] == 0
    assert table.kt_delta_r[1] > 0.4
    assert table.d2[2] == 0
    assert table.c2[2] < 1e-9
    assert table.tau2_ca[3] > 0.1
    assert abs(table.pull_angle[3] - table.pull_angle[2]) > 1e-3


@given(seeds, st.integers(4, 20), st.floats(0.1, 100))
def test_scaling_of_all_momenta(seed: int, n: int, factor: float) -> None:
    jet = spread_jet(seed, n)
    table = jetforge.observables(awkward_jets(jet, factor * jet), [*BOOSTED, "planar_flow", "ecf2"])
    dimension = {"mass": 1, "sqrt_d12": 1, "qw": 1, "ecf3": 3, "ecf2": 2}
    for name in table.dtype.names:
        expected = table[name][0] * factor ** dimension.get(name, 0)
        assert table[name][1] == pytest.approx(expected, rel=1e-5, abs=1e-7), name


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["D2"], "observable 'D2' is not known; did you mean d2?"),
        (["tau21_wat"], "observable 'tau21_wat' is not known; did you mean tau21_wta?"),
        (["mass_soft_drop"], "did you mean mass_softdrop?"),
        (["msoftdrop"], "did you mean m_softdrop?"),
        (["tau21_WTA"], "did you mean tau21_wta?"),
        (["N2_beta2"], "did you mean n2_beta2?"),
        (["tau9"], "observable 'tau9' is not known"),
        (["tauN"], "observable 'tauN' is not known"),
        (["mass_sofdrop"], "observable 'mass_sofdrop' is not known"),
        (["d2_wta"], "observable 'd2_wta': d2 has no axes"),
        (["mass_beta2"], "observable 'mass_beta2': mass has no beta"),
        (["z_g_trimmed"], "this groomer finds no splitting"),
        (["mass", "pt", "mass"], "observable 'mass' is given twice"),
        (5, "names is 5; it must be a list of names"),
        ({"mass", "pt"}, "it must be a list of names"),
        ("mass", r"names is 'mass'; it must be a list of names, such as \['mass'\]"),
        ([3], "observables are given by name, not 3"),
    ],
)
def test_a_name_that_means_nothing_is_refused(names: Any, message: str) -> None:
    with pytest.raises(JetforgeError, match=message):
        jetforge.observables(awkward_jets(spread_jet(1, 4)), names)


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), float("inf")])
def test_a_radius_that_makes_no_sense_is_refused(radius: float) -> None:
    with pytest.raises(JetforgeError, match=r"R0 is .*; it must be"):
        jetforge.observables(awkward_jets(spread_jet(1, 4)), ["lha"], R0=radius)
