"""Particle clouds: the features are what their names say, in any frame and order they must not depend on."""

import awkward as ak
import numpy as np
import pytest
import torch
import vector
from helpers.written import momenta

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.representations import (
    CONSTITUENT_FEATURES,
    PARTICLENET_FEATURES,
    CloudRepresentation,
    make_representation,
    representation_from_dict,
    representation_to_dict,
)

COUNTS = np.array([3, 0, 1, 40, 7, 2])


@pytest.fixture(scope="module")
def jets():
    four = momenta(COUNTS[COUNTS > 0], seed=3, mass=0.14)
    rng = np.random.default_rng(1)
    n = int(COUNTS.sum())
    columns = {name: four[name] for name in ("px", "py", "pz", "energy")}
    columns["pid"] = rng.choice([211, -211, 130, 22, 11, -13, 2112], n)
    columns["d0"], columns["d0_error"] = rng.normal(0, 2, n), rng.uniform(0, 1, n)
    return Jets(np.concatenate([[0], np.cumsum(COUNTS)]), columns)


def raw(features, **settings):
    return CloudRepresentation(features, mean=[0] * len(features), std=[1] * len(features), **settings)


def hardest_first(jets):
    c = vector.zip({name: jets.constituents[name] for name in ("px", "py", "pz", "energy")})
    order = ak.argsort(c.pt, axis=1, ascending=False)
    return c[order], order


def test_kinematic_features_agree_with_vector(jets):
    names = (*PARTICLENET_FEATURES, "pt_rel", "energy_rel", "eta", "phi", "pt", "energy", "log_pt_1")
    batch = raw(names)(jets)
    c, _ = hardest_first(jets)
    jet = vector.zip({k: ak.sum(getattr(c, k), axis=1) for k in ("px", "py", "pz", "energy")})
    sign = ak.where(jet.pz >= 0, 1.0, -1.0)
    deta, dphi = sign * (c.eta - jet.eta), c.deltaphi(jet)
    expected = {
        "deta": deta, "dphi": dphi, "delta_r": np.sqrt(deta**2 + dphi**2), "log_pt": np.log(c.pt),
        "log_energy": np.log(c.energy), "log_pt_rel": np.log(c.pt / jet.pt),
        "log_energy_rel": np.log(c.energy / jet.energy), "pt_rel": c.pt / jet.pt,
        "energy_rel": c.energy / jet.energy, "eta": c.eta, "phi": c.phi, "pt": c.pt, "energy": c.energy,
        "log_pt_1": np.log1p(c.pt),
    }  # fmt: skip
    for k, name in enumerate(names):
        np.testing.assert_allclose(batch.features[:, k], ak.flatten(expected[name]), rtol=1e-5, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(batch.points, batch.features[:, :2])
    for k, name in enumerate(("energy", "px", "py", "pz")):
        np.testing.assert_allclose(batch.momenta[:, k], ak.flatten(getattr(c, name)), rtol=1e-6)
    np.testing.assert_array_equal(batch.offsets, jets.offsets)


def test_the_hardest_are_kept(jets):
    whole, three = raw(("pt", "pt_rel"))(jets), raw(("pt", "pt_rel"), max_constituents=3)(jets)
    assert three.counts.tolist() == np.minimum(COUNTS, 3).tolist()
    # The jet stays the sum of all constituents, also of those left out.
    assert torch.equal(whole.padded(whole.features, 3), three.padded(three.features, 3))


def test_flavour_and_track_features_follow_from_columns(jets):
    names = ("charge", "is_electron", "is_muon", "is_photon", "is_charged_hadron", "is_neutral_hadron", "tanh_d0",
             "d0_error", "pid", "is_pion", "is_kaon_long", "is_neutron")  # fmt: skip
    representation = raw(names)
    assert {"charge", "pid", "d0", "d0_error"} <= set(representation.columns)
    values = representation(jets).features.numpy()
    _, order = hardest_first(jets)
    pid = ak.to_numpy(ak.flatten(jets.constituents["pid"][order]))
    charge = np.select([np.isin(pid, [211]), np.isin(pid, [-211, 11])], [1, -1], 0) + (pid == -13)
    np.testing.assert_array_equal(values[:, 0], charge)
    np.testing.assert_array_equal(values[:, 1:6].sum(1), 1)
    np.testing.assert_array_equal(values[:, 5], np.isin(pid, [130, 2112]))
    np.testing.assert_array_equal(values[:, 8], pid)
    np.testing.assert_array_equal(values[:, 9:], np.abs(pid)[:, None] == [211, 130, 2112])
    d0 = ak.to_numpy(ak.flatten(jets.constituents["d0"][order]))
    np.testing.assert_allclose(values[:, 6], np.tanh(d0), rtol=1e-6)


def test_flags_in_the_data_go_before_particle_numbers(jets):
    flags = np.zeros(int(COUNTS.sum()))
    marked = Jets(jets.offsets, {**jets.columns, "is_photon": flags}, {})
    assert raw(("is_photon",))(jets).features.any()
    assert not raw(("is_photon",))(marked).features.any()


def test_fitted_features_are_centred_and_scaled_and_flags_left_alone(jets):
    representation = CloudRepresentation((*PARTICLENET_FEATURES, "charge")).fit([jets[:3], jets[3:]])
    values = representation(jets).features.numpy()
    np.testing.assert_allclose(values[:, :7].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(values[:, :7].std(0), 1, rtol=1e-4)
    assert set(np.unique(values[:, 7])) <= {-1, 0, 1}
    again = representation_from_dict(representation_to_dict(representation))
    assert torch.equal(again(jets).features, representation(jets).features)


def test_large_values_are_clipped(jets):
    names = ("pt", "log_pt")
    free = raw(names)(jets).features
    assert raw(names, clip=2.0)(jets).features.abs().max() == 2
    each = raw(names, clip=[[0, 1], [-5, 0.5]])
    expected = torch.stack([free[:, 0].clamp(0, 1), free[:, 1].clamp(-5, 0.5)], 1)
    assert torch.equal(each(jets).features, expected)
    assert torch.equal(representation_from_dict(representation_to_dict(each))(jets).features, expected)


def test_an_awkward_array_gives_the_same(jets):
    assert torch.equal(raw(("deta", "charge"))(jets.constituents).features, raw(("deta", "charge"))(jets).features)


def test_settings_are_changed_one_by_one(jets):
    default = CloudRepresentation(max_constituents=100).fit([jets])
    changed = make_representation({"max_constituents": 5}, default)
    assert (changed.features, changed.max_constituents) == (default.features, 5)
    with pytest.raises(DataError, match="call fit"):
        changed(jets)
    with pytest.raises(JetforgeError, match="no setting 'max_constituent'; did you mean max_constituents"):
        make_representation({"max_constituent": 5}, default)
    with pytest.raises(JetforgeError, match="unknown representation 'clouds'"):
        make_representation({"name": "clouds"}, default)
    assert make_representation({"name": "lund"}, default).name == "lund"


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"features": "deta"}, "give a list of names"),
        ({"features": []}, "give a list of names"),
        ({"features": ["deta", "deta"]}, "'deta' is named twice"),
        ({"max_constituents": 0}, "max_constituents is 0"),
        ({"max_constituents": 2.5}, "whole number"),
        ({"clip": -1}, "clip is -1"),
        ({"clip": [[0, 1]]}, "for each feature"),
        ({"clip": [[1, 0]] * 7}, "smallest and a largest"),
        ({"mean": [0.0] * 7}, "both mean and std"),
        ({"mean": [0.0], "std": [1.0]}, "7 finite numbers"),
        ({"mean": [0.0] * 7, "std": [0.0] * 7}, "must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, part):
    with pytest.raises(JetforgeError, match=part):
        CloudRepresentation(**settings)


@pytest.fixture(scope="module")
def bare(jets):
    return Jets(jets.offsets, {k: jets.columns[k] for k in ("px", "py", "pz", "energy")})


@pytest.mark.parametrize("name", [*CONSTITUENT_FEATURES[16:], "d0", "pid"])
def test_a_missing_column_is_named(bare, name):
    column = name.removeprefix("tanh_")
    rule = f"^cloud representation: feature '{name}' needs the column {column}( or pid)?, which was not read"
    for jets in (bare, bare.constituents):
        with pytest.raises(DataError, match=rule):
            raw((name,))(jets)
        with pytest.raises(DataError, match=rule):
            CloudRepresentation((name,)).fit([jets])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("detta", "did you mean deta"),
        ("Is_Photon", "did you mean is_photon"),
        ("D0_ERROR", "did you mean d0_error"),
        ("delta_rr", "did you mean delta_r"),
        ("nonsense", "CONSTITUENT_FEATURES in jetforge.representations lists the features, jetforge info the columns"),
    ],
)
def test_a_feature_that_is_unknown_is_answered_with_what_may_have_been_meant(bare, name, hint):
    rule = f"^cloud representation: the feature '{name}' is none of jetforge's, and no column of that name .*; {hint}"
    with pytest.raises(DataError, match=rule) as error:
        raw(("deta", name))(bare)
    assert "=" not in str(error.value)
    assert "px" not in str(error.value)  # columns that nothing asked for are not read, so no list would be whole
    with_column = Jets(bare.offsets, {**bare.columns, name: np.ones(int(COUNTS.sum()))}, {})
    assert raw((name,))(with_column).features.eq(1).all()


def test_empty_data_cannot_be_fitted(jets):
    with pytest.raises(DataError, match="nothing to learn from"):
        CloudRepresentation().fit([jets[1:2]])
