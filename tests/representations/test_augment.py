"""Changes of jets that leave them what they are."""

import numpy as np
import pytest

from jetforge.jets import Jets
from jetforge.representations.augment import Augmentation

NOTHING = {"rotate": False, "shift": 0.0, "smear": 0.0, "split": 0.0}


@pytest.fixture
def jets(make_jets):
    return make_jets(30, 1, 0, 12, 200)


def planar(jets):
    pt = np.hypot(jets.flat.px, jets.flat.py)
    return pt, np.arcsinh(jets.flat.pz / pt), np.arctan2(jets.flat.py, jets.flat.px)


def totals(jets):
    of = np.repeat(np.arange(len(jets)), np.diff(jets.offsets))
    return np.bincount(of, planar(jets)[0], len(jets))


def test_nothing_asked_for_changes_nothing(jets):
    same = Augmentation(**NOTHING)(jets, np.random.default_rng(1))
    for name in ("px", "py", "pz", "energy"):
        np.testing.assert_allclose(same.columns[name], jets.columns[name], rtol=1e-9, atol=1e-9)


def test_a_rotation_keeps_distances_in_the_plane(jets):
    turned = Augmentation(**{**NOTHING, "rotate": True})(jets, np.random.default_rng(1))
    for first, last in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        distances = []
        for one in (jets, turned):
            _, eta, phi = (values[first:last] for values in planar(one))
            around = (phi[:, None] - phi + np.pi) % (2 * np.pi) - np.pi
            distances.append(np.hypot(eta[:, None] - eta, around))
        np.testing.assert_allclose(distances[1], distances[0], atol=1e-7)
    np.testing.assert_allclose(planar(turned)[0], planar(jets)[0])
    assert np.abs(planar(turned)[1] - planar(jets)[1]).max() > 0.05


def test_a_split_keeps_momentum_direction_and_columns(make_jets):
    jets = make_jets(200, 0, 50)
    columns = {**jets.columns, "charge": np.arange(250)}
    jets = Jets(jets.offsets, columns, jets.fields)
    parted = Augmentation(**{**NOTHING, "split": 0.5})(jets, np.random.default_rng(1))
    np.testing.assert_allclose(totals(parted), totals(jets))
    assert np.diff(parted.offsets)[1] == 0
    assert np.diff(parted.offsets)[0] == pytest.approx(300, abs=30)
    _, eta, phi = planar(jets)
    np.testing.assert_allclose(planar(parted)[1], eta[parted.columns["charge"]], atol=1e-9)
    np.testing.assert_allclose(planar(parted)[2], phi[parted.columns["charge"]], atol=1e-9)
    assert (parted.flat.energy >= 0).all()  # to take them flat checks the momenta


def test_soft_constituents_are_smeared_more(make_jets):
    jets = make_jets(*[200] * 20)
    blurred = Augmentation(**{**NOTHING, "smear": 0.1})(jets, np.random.default_rng(1))
    pt, eta, _ = planar(jets)
    moved = np.abs(planar(blurred)[1] - eta)
    np.testing.assert_allclose(planar(blurred)[0], pt)
    assert np.mean(moved * pt) == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.05)


def test_a_shift_moves_a_jet_as_a_whole(jets):
    moved = Augmentation(**{**NOTHING, "shift": 1.0})(jets, np.random.default_rng(1))
    _, eta, _ = planar(jets)
    step = planar(moved)[1] - eta
    for first, last in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        np.testing.assert_allclose(step[first:last], step[first:last][:1].sum() if last > first else 0, atol=1e-7)
    assert np.abs(step).max() > 0.01
