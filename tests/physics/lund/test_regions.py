"""Regions and lines of the Lund plane are where their definitions put them."""

import math

import awkward as ak
import numpy as np
import pytest
from helpers.jets import awkward_jets, from_angles, spread_jet

import jetforge
from jetforge.errors import DataError, JetforgeError
from jetforge.physics.lund.plane import lund_density
from jetforge.physics.lund.regions import is_perturbative, kt_at_mass, kt_at_z, perturbative_bins


@pytest.fixture(scope="module")
def tree():
    return jetforge.lund_tree(awkward_jets(*(spread_jet(seed, seed % 30) for seed in range(60))))


def test_declusterings_are_perturbative_within_all_limits(tree):
    kt, delta = np.exp(tree.ln_kt), np.exp(tree.ln_delta)
    mask = is_perturbative(tree, kt_min=0.5, pt_min=2.0, delta_max=0.6)
    assert ak.num(mask).tolist() == ak.num(tree).tolist()
    assert 0 < ak.sum(mask) < ak.sum(ak.num(tree))
    assert ak.array_equal(mask, (kt >= 0.5) & (kt / delta >= 2.0) & (delta <= 0.6))
    assert ak.array_equal(is_perturbative(tree), tree.ln_kt >= 0.0)
    assert ak.all(is_perturbative(tree, kt_min=0.0))
    assert len(tree[is_perturbative(tree)]) == len(tree)


@pytest.mark.parametrize("y", ["ln_kt", "ln_inv_z"])
def test_a_bin_is_perturbative_if_all_its_points_are(tree, y):
    limits = {"kt_min": 1.5, "pt_min": 4.0, "delta_max": 0.5}
    pt, R0 = 100.0, 0.8
    plane = lund_density(tree, y=y, bins=(14, 16), R0=R0)
    mask = perturbative_bins(plane, pt=pt, **limits)
    assert mask.shape == plane.density.shape
    assert 0 < mask.sum() < mask.size
    fractions = np.linspace(1e-9, 1 - 1e-9, 7)
    for a in range(14):
        for b in range(16):
            x_in = plane.x_edges[a] + fractions[:, None] * (plane.x_edges[a + 1] - plane.x_edges[a])
            y_in = plane.y_edges[b] + fractions[None, :] * (plane.y_edges[b + 1] - plane.y_edges[b])
            delta = R0 * np.exp(-x_in)
            kt = np.exp(y_in) + 0 * delta if y == "ln_kt" else np.exp(-y_in) * pt * delta
            inside = (kt >= 1.5) & (kt / delta >= 4.0) & (delta <= 0.5)
            assert mask[a, b] == inside.all()


def test_lines_of_two_prongs_go_through_their_declustering():
    """At small angles, a jet of two prongs lies on the lines of its z and of its mass."""
    jets = awkward_jets(from_angles([300.0, 100.0], [0.0, 0.003], [0.0, 0.004]))
    (one,) = jetforge.lund_tree(jets)[0]
    delta = math.exp(one.ln_delta)
    assert kt_at_z(delta, pt=400.0, z=0.25) == pytest.approx(math.exp(one.ln_kt), rel=1e-6)
    assert kt_at_mass(delta, pt=400.0, mass=math.exp(one.ln_m)) == pytest.approx(math.exp(one.ln_kt), rel=1e-4)


def test_no_jet_is_far_above_the_kinematic_limit(generated_jets):
    tree = jetforge.lund_tree(generated_jets)
    pt = np.exp(tree.ln_kt - tree.ln_delta - tree.ln_z)[:, 0]
    for j in range(len(tree)):
        limit = kt_at_z(np.exp(tree.ln_delta[j]), pt=float(pt[j]))
        # The scalar sum of the prongs, at an angle to each other, may be a little above the pT of the jet.
        assert np.all(np.exp(tree.ln_kt[j]) <= 1.01 * limit + 1e-6)


def test_the_line_of_a_mass_ends_at_the_kinematic_limit():
    delta = np.array([0.0, 0.1, 0.2, 0.4, 1.0])
    kt = kt_at_mass(delta, pt=400.0, mass=40.0)
    assert kt.tolist()[:2] == [0.0, 0.0]
    assert kt[2] == pytest.approx(kt_at_z(0.2, pt=400.0))
    z = kt[3:] / (400.0 * delta[3:])
    assert z * (1 - z) * (400.0 * delta[3:]) ** 2 == pytest.approx(40.0**2)


def test_what_has_no_region_is_refused(tree):
    with pytest.raises(DataError, match=r"these are jets; it takes the declusterings of jetforge\.lund_tree"):
        is_perturbative(awkward_jets(spread_jet(1, 5)))
    for name in ("kt_min", "pt_min", "delta_max"):
        for value in (-1.0, math.nan):
            with pytest.raises(JetforgeError, match=f"{name} is"):
                is_perturbative(tree, **{name: value})
            with pytest.raises(JetforgeError, match=f"{name} is"):
                perturbative_bins(lund_density(tree), **{name: value})
    with pytest.raises(JetforgeError, match="plane in psi and ln_kt; take x='ln_inv_delta'"):
        perturbative_bins(lund_density(tree, x="psi"))
    with pytest.raises(JetforgeError, match="a plane in ln_inv_z needs the jets' pT"):
        perturbative_bins(lund_density(tree, y="ln_inv_z"))
    for y in ("ln_inv_z", "ln_kt"):
        for pt in (0.0, math.nan, "a"):
            with pytest.raises(JetforgeError, match=r"pt is .*; it must be"):
                perturbative_bins(lund_density(tree, y=y), pt=pt)
    for plane in (3, None, tree):
        with pytest.raises(JetforgeError, match=r"plane is of type .*; give what lund_density returns"):
            perturbative_bins(plane)
    for z in (0.0, 0.6, math.nan):
        with pytest.raises(JetforgeError, match="z is"):
            kt_at_z(0.1, pt=500.0, z=z)
    for pt in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(JetforgeError, match="pt is"):
            kt_at_z(0.1, pt=pt)
    with pytest.raises(JetforgeError, match="mass is 0; it must be"):
        kt_at_mass(0.1, pt=500.0, mass=0.0)
    for line in (lambda delta: kt_at_z(delta, pt=500.0), lambda delta: kt_at_mass(delta, pt=500.0, mass=80.0)):
        for delta in ("a", [0.1, None], -1.0, math.nan, math.inf):
            with pytest.raises(DataError, match="delta: "):
                line(delta)


def test_lines_stay_finite_for_any_scale():
    for scale in (1e-300, 1e-160, 1e100):
        kt = kt_at_mass([0.0, 0.1, 1.0, 1e100], pt=scale, mass=0.1 * scale)
        assert np.all(np.isfinite(kt))
        assert kt[2] == pytest.approx(kt_at_mass(1.0, pt=1.0, mass=0.1) * scale, rel=0.6)
        assert np.all(np.isfinite(kt_at_z([0.0, 1e100], pt=scale)))
