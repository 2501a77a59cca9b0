import numpy as np

from jetforge.jets.readers.constituents.momenta import four_momenta


def test_four_momenta_have_the_transverse_momentum_direction_and_mass_given():
    rng = np.random.default_rng(1)
    pt, eta, phi = rng.exponential(50, 100), rng.normal(0, 2, 100), rng.uniform(-np.pi, np.pi, 100)
    mass = rng.uniform(0, 10, 100)
    found = four_momenta(pt, eta, phi, mass)
    np.testing.assert_allclose(np.hypot(found["px"], found["py"]), pt)
    np.testing.assert_allclose(np.arctan2(found["py"], found["px"]), phi)
    np.testing.assert_allclose(np.arcsinh(found["pz"] / pt), eta, atol=1e-12)
    np.testing.assert_allclose(found["energy"] ** 2, (pt * np.cosh(eta)) ** 2 + mass**2)


def test_a_negative_mass_is_that_of_a_spacelike_momentum():
    one = np.ones(1, dtype=np.float32)
    found = four_momenta(2 * one, 0 * one, 0 * one, -one)
    np.testing.assert_allclose(found["energy"] ** 2, 2**2 - 1)
    assert {values.dtype for values in found.values()} == {np.dtype(np.float64)}
