"""Sequences: the elements that they should have, in the order that they should have."""

import json

import awkward as ak
import fastjet
import numpy as np
import pytest
import torch
from helpers.jets import awkward_jets, pseudojets, spread_jet

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.lund import lund_arrays
from jetforge.physics.lund.leaf_order import leaf_order
from jetforge.representations import (
    CloudRepresentation,
    SequenceBatch,
    SequenceRepresentation,
    representation_from_dict,
    representation_to_dict,
)

SIZES = (3, 0, 1, 40, 7, 2)
FEATURES = ("deta", "dphi", "log_pt")


@pytest.fixture(scope="module")
def momenta():
    return [spread_jet(seed, n) for seed, n in enumerate(SIZES)]


@pytest.fixture(scope="module")
def jets(momenta):
    columns = dict(zip(("px", "py", "pz", "energy"), np.concatenate(momenta, axis=1), strict=True))
    return Jets(np.concatenate([[0], np.cumsum(SIZES)]), columns)


def unscaled(names, **settings):
    return SequenceRepresentation(names, mean=[0.0] * len(names), std=[1.0] * len(names), **settings)


def of_each_jet(batch):
    return [batch.features[a:b].numpy() for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]


def fastjet_walk(jet):
    """Return the constituents as FastJet's own Cambridge/Aachen tree has them, the harder parent first."""
    particles = pseudojets(jet)
    for number, particle in enumerate(particles):
        particle.set_user_index(number)
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, fastjet.JetDefinition.max_allowable_R)
    sequence = fastjet.ClusterSequence(particles, definition)
    waiting, order = list(sequence.inclusive_jets()), []
    while waiting:
        pair = waiting.pop()
        first, second = fastjet.PseudoJet(), fastjet.PseudoJet()
        if pair.has_parents(first, second):
            waiting += sorted((first, second), key=lambda prong: prong.pt2())
        else:
            order.append(pair.user_index())
    return order


def test_leaves_are_met_as_in_fastjet(momenta):
    order = leaf_order(awkward_jets(*momenta))
    ends = np.cumsum(SIZES)
    for jet, end in zip(momenta, ends, strict=True):
        assert order[end - jet.shape[1] : end].tolist() == fastjet_walk(jet)


def test_threads_change_nothing(momenta):
    many = awkward_jets(*momenta * 200)
    assert np.array_equal(leaf_order(many, num_threads=1), leaf_order(many, num_threads=2))


def test_in_order_of_pt_the_elements_are_those_of_a_cloud(jets):
    batch = unscaled(FEATURES, max_length=5)(jets)
    cloud = CloudRepresentation(FEATURES, 5, [0.0] * 3, [1.0] * 3)(jets)
    assert torch.equal(batch.features, cloud.features)
    assert torch.equal(batch.offsets, cloud.offsets)


def test_in_order_of_the_tree_the_hardest_stand_as_they_are_met(jets, momenta):
    for length in (None, 5):
        batch = unscaled(("px", "py"), order="tree", max_length=length)(jets)
        for rows, jet in zip(of_each_jet(batch), momenta, strict=True):
            pt = np.hypot(jet[0], jet[1])
            hardest = set(np.argsort(-pt)[:length].tolist())
            expected = [k for k in fastjet_walk(jet) if k in hardest]
            np.testing.assert_allclose(rows, jet[:2, expected].T.reshape(-1, 2), rtol=1e-6)


def test_in_order_of_the_lund_plane_the_first_primary_declusterings_are_kept(jets):
    trees = lund_arrays(jets.flat)
    batch = unscaled(("ln_kt", "ln_z"), order="lund", max_length=4)(jets)
    for j, rows in enumerate(of_each_jet(batch)):
        own = slice(trees.offsets[j], trees.offsets[j + 1])
        primary = trees.is_primary[own]
        expected = np.stack([trees.ln_kt[own][primary], trees.ln_z[own][primary]], axis=1)[:4]
        np.testing.assert_allclose(rows, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"order": "pt", "features": FEATURES},
        {"order": "tree", "features": FEATURES, "max_length": 6, "clip": 1.0},
        {"order": "lund", "features": ("ln_delta", "ln_kt")},
    ],
)
def test_fitted_features_are_scaled_and_the_fit_survives_json(jets, settings):
    fitted = SequenceRepresentation(**settings).fit([jets[:3], jets[3:].constituents])
    batch = fitted(jets)
    assert isinstance(batch, SequenceBatch)
    assert batch.features.dtype == torch.float32
    if "clip" in settings:
        assert batch.features.abs().max() == 1.0
    else:
        np.testing.assert_allclose(batch.features.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(batch.features.std(0, correction=0), 1, rtol=1e-4)
    again = representation_from_dict(json.loads(json.dumps(representation_to_dict(fitted))))
    assert torch.equal(again(jets).features, batch.features)
    assert torch.equal(again(jets[2:5]).features, batch[2:5].features)
    assert len(again(jets[:0])) == 0


def test_columns_are_those_of_the_features():
    assert SequenceRepresentation(("log_pt", "d0")).columns == ("d0",)
    assert SequenceRepresentation(("ln_kt",), order="lund").columns == ()


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"order": "random"}, "order is 'random'; it must be one of pt, tree, lund"),
        ({"order": "lund"}, "a declustering has no deta"),
        ({"max_length": 0}, "max_length is 0"),
        ({"max_length": True}, "max_length is True"),
        ({"features": "deta"}, "give a list of names"),
        ({"clip": -1.0}, "clip is -1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, rule):
    with pytest.raises(JetforgeError, match=rule):
        SequenceRepresentation(**settings)


def test_it_says_its_order_and_length():
    assert repr(unscaled(("deta",), order="tree", max_length=9)) == (
        "SequenceRepresentation(deta; order tree; max_length 9; fitted)"
    )


def test_what_cannot_be_learned_or_read_is_refused(jets):
    with pytest.raises(DataError, match=r"^sequence representation: the feature 'log_ptt' is none .* mean log_pt\b"):
        SequenceRepresentation(("log_ptt",), order="tree").fit([jets])
    with pytest.raises(DataError, match=r"^sequence representation: feature 'tanh_d0' needs the column d0, which"):
        unscaled(("tanh_d0",))(jets)
    with pytest.raises(DataError, match="call fit"):
        SequenceRepresentation()(jets)
    with pytest.raises(DataError, match="nothing to learn from"):
        SequenceRepresentation(("ln_kt",), order="lund").fit([jets[1:3]])
    with pytest.raises(DataError, match="not a finite momentum"):
        unscaled(FEATURES, order="tree")(ak.Array([[{"px": np.nan, "py": 0.0, "pz": 0.0, "energy": 1.0}]]))
