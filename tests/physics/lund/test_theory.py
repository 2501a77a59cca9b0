"""The leading order of the Lund plane has the limits and the sums that QCD demands."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.lund.plane import lund_density
from jetforge.physics.lund.theory import leading_order_density, running_coupling


def test_the_coupling_at_the_mass_of_the_z_and_its_running():
    assert running_coupling(91.1876, alpha_s_mz=0.12) == pytest.approx(0.12)
    b0 = (33 - 2 * 4) / (12 * math.pi)
    slope = np.diff(1 / running_coupling([10.0, 10.0 * math.e], num_flavours=4))
    assert slope == pytest.approx(2 * b0)
    assert running_coupling(0.0) == running_coupling(0.3) == running_coupling(1.0) > running_coupling(1.01)
    assert running_coupling(0.3, freeze=0.2) > running_coupling(0.3)
    assert running_coupling(np.ones((2, 3))).shape == (2, 3)


@pytest.mark.parametrize(("flavour", "colour"), [("quark", 4 / 3), ("gluon", 3.0)])
def test_soft_emission_is_two_alpha_s_colour_over_pi(flavour, colour):
    kt = np.array([2.0, 5.0])
    soft = 2 * running_coupling(kt) * colour / math.pi
    assert leading_order_density(0.5, kt, pt=1e7, flavour=flavour) == pytest.approx(soft, rel=1e-4)
    assert leading_order_density(0.5, kt, pt=500.0, flavour=flavour, collinear=False) == pytest.approx(soft)


def density_over_alpha(z, flavour, nf):
    """Return the density in ln z, over alpha_s/pi, at a fixed angle."""
    found = leading_order_density(0.1, z * 100.0, pt=1000.0, flavour=flavour, num_flavours=nf)
    return float(found / running_coupling(z * 100.0, num_flavours=nf) * math.pi)


def test_splitting_functions_by_hand():
    """At z = 1/4, from the Altarelli-Parisi functions of both prongs."""
    z = 0.25
    quark = sum(4 / 3 * (1 + (1 - x) ** 2) / x for x in (z, 1 - z))
    assert density_over_alpha(z, "quark", 5) == pytest.approx(z * quark)
    gluons = 2 * 3 * (z / (1 - z) + (1 - z) / z + z * (1 - z))  # one half for identical gluons, twice for both prongs
    quarks = 2 * 5 * 0.5 * (z**2 + (1 - z) ** 2)
    assert density_over_alpha(z, "gluon", 5) == pytest.approx(z * (gluons + quarks))


def test_gluons_split_to_quarks_as_often_as_the_flavours_say():
    """The integral over z of TR (z^2 + (1 - z)^2) is 1/3 a flavour."""
    rate = quad(lambda z: (density_over_alpha(z, "gluon", 4) - density_over_alpha(z, "gluon", 0)) / z, 1e-9, 0.5)[0]
    assert rate == pytest.approx(4 / 3, rel=1e-6)


def test_hard_collinear_emission_has_the_known_coefficients():
    """Integrals over z, of what the soft limit leaves out: B1 is -3/4 CF times 2 for quarks, -(11 CA - 4 TR nf)/6."""
    for flavour, colour, expected in (("quark", 4 / 3, -0.75 * 4 / 3 * 2), ("gluon", 3.0, -(33 - 2 * 5) / 6)):
        left_out = quad(lambda z, f=flavour, c=colour: (density_over_alpha(z, f, 5) - 2 * c) / z, 1e-12, 0.5)[0]
        # The soft limit up to z = 1 instead of 1/2 has the rest of the logarithm.
        assert left_out - 2 * colour * math.log(2) == pytest.approx(expected, rel=1e-5)


def test_nothing_is_emitted_beyond_half_of_the_momentum():
    assert leading_order_density(0.1, [24.9, 25.1], pt=500.0)[1] == 0.0
    assert np.all(leading_order_density(0.1, [0.0, 0.0], pt=500.0) == 0.0)
    assert leading_order_density(0.0, 1.0, pt=500.0) == 0.0
    found = leading_order_density(np.geomspace(1e-6, 1, 50)[:, None], np.geomspace(1e-6, 1e3, 60), pt=500.0)
    assert found.shape == (50, 60)
    assert np.all(np.isfinite(found) & (found >= 0))


def test_generated_jets_are_of_the_size_of_the_leading_order(generated_jets):
    """Away from the jet's edge, hadronisation and the collinear limit, light jets lie between quark and gluon."""
    qcd = generated_jets[1::2]
    plane = lund_density(qcd, edges=([1.0, 2.5], [1.5, 2.5]))
    low, high = (
        float(leading_order_density(math.exp(-1.75), math.exp(2.0), pt=600.0, flavour=f)) for f in ("quark", "gluon")
    )
    assert 0.9 * low - 2 * plane.error[0, 0] < plane.density[0, 0] < 1.1 * high + 2 * plane.error[0, 0]


def test_parameters_out_of_range_are_refused():
    with pytest.raises(JetforgeError, match="flavour 'qaurk' is not known; choose one of quark, gluon"):
        leading_order_density(0.1, 1.0, pt=500.0, flavour="qaurk")
    for pt in (0.0, math.nan, math.inf):
        with pytest.raises(JetforgeError, match="pt is"):
            leading_order_density(0.1, 1.0, pt=pt)
    for alpha in (0.0, 1.5, math.nan):
        with pytest.raises(JetforgeError, match="alpha_s_mz is"):
            running_coupling(1.0, alpha_s_mz=alpha)
    with pytest.raises(JetforgeError, match="num_flavours is 7; it must be"):
        running_coupling(1.0, num_flavours=7)
    with pytest.raises(JetforgeError, match="freeze is 0; it must be"):
        running_coupling(1.0, freeze=0.0)
    with pytest.raises(JetforgeError, match=r"freeze is 0.05 GeV; the one-loop coupling diverges at 0\.08"):
        running_coupling(1.0, freeze=0.05)
    with pytest.raises(JetforgeError, match="freeze is 'x'; it must be"):
        running_coupling(1.0, freeze="x")
    with pytest.raises(JetforgeError, match="collinear is 'no'; it must be True or False"):
        leading_order_density(0.1, 1.0, pt=500.0, collinear="no")
    for kt in ("a", [1.0, None], math.nan, -1.0):
        with pytest.raises(DataError, match="kt: "):
            running_coupling(kt)
        with pytest.raises(DataError, match="kt: "):
            leading_order_density(0.1, kt, pt=500.0)
        with pytest.raises(DataError, match="delta: "):
            leading_order_density(kt, 1.0, pt=500.0)
    with pytest.raises(DataError, match=r"delta of shape \(2,\) does not go with kt of shape \(3,\)"):
        leading_order_density(np.ones(2), np.ones(3), pt=500.0)


def test_the_largest_coupling_is_one():
    assert running_coupling(91.1876, alpha_s_mz=1.0, freeze=90.0) == pytest.approx(1.0)
