"""Bins of the Lund plane are those asked for; names and numbers that make no sense are refused."""

import math

import numpy as np
import pytest
from helpers.jets import awkward_jets, spread_jet

from jetforge.errors import JetforgeError
from jetforge.physics.lund.plane import lund_density, lund_image


@pytest.fixture(scope="module")
def jets():
    return awkward_jets(*(spread_jet(seed, 20) for seed in range(5)))


def test_edges_are_those_of_the_bins_and_ranges(jets):
    plane = lund_density(jets, bins=(7, 5), y_range=(-2.0, 3.0))
    np.testing.assert_allclose(plane.x_edges, np.arange(8.0))
    np.testing.assert_allclose(plane.y_edges, np.arange(-2.0, 4.0))
    given = lund_density(jets, edges=([0, 1, 4], np.array([-2, 0, 1], dtype=np.float32)))
    assert given.x_edges.tolist() == [0.0, 1.0, 4.0]
    assert given.y_edges.tolist() == [-2.0, 0.0, 1.0]


def test_ranges_may_be_arrays_and_edges_are_copied(jets):
    plane = lund_density(jets, bins=2, x_range=np.array([0.0, 1.0]), y_range=[0, 4])
    assert plane.x_edges.tolist() == [0.0, 0.5, 1.0]
    assert plane.y_edges.tolist() == [0.0, 2.0, 4.0]
    given = np.array([0.0, 1.0])
    plane = lund_density(jets, edges=(given, given))
    given[:] = 7.0
    assert plane.x_edges.tolist() == [0.0, 1.0]


def test_ranges_are_given_to_the_coordinates_by_default(jets):
    plane = lund_density(jets, x="psi", y="ln_inv_z")
    assert (plane.x_edges[0], plane.x_edges[-1]) == (-math.pi, math.pi)
    assert (plane.y_edges[0], plane.y_edges[-1]) == (0.5, 8.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": "ln_detla"}, "coordinate 'ln_detla' is not known; choose one of ln_inv_delta"),
        ({"x": "ln_kt"}, "coordinate 'ln_kt' is given twice"),
        ({"plane": "first"}, "plane 'first' is not known; choose one of primary, secondary, all"),
        ({"R0": 0.0}, "R0 is 0; it must be"),
        ({"R0": math.nan}, "R0 is nan"),
        ({"bins": 0}, "bins is 0; it must be whole numbers 1 or more"),
        ({"bins": (3, -1)}, r"bins is \(.*-1\); it must be"),
        ({"bins": 2.5}, "bins is 2.5; it must be whole numbers"),
        ({"bins": (1, 2, 3)}, "bins is .*; it must be whole numbers"),
        ({"x_range": (1.0, 1.0)}, "x_range is .*; it must be two finite numbers that rise"),
        ({"x_range": (0.0, 1.0, 2.0)}, "x_range is .*; it must be two finite numbers that rise"),
        ({"x_range": []}, "x_range is .*; it must be two finite numbers that rise"),
        ({"x_range": {}}, "x_range is .*; it must be two finite numbers that rise"),
        ({"y_range": 0}, "y_range is 0; it must be two finite numbers that rise"),
        ({"y_range": ("0", "1")}, "y_range is .*; it must be two finite numbers that rise"),
        ({"x_range": (-1e308, 1e308)}, "x_range is .*; it must be two finite numbers that rise"),
        ({"x_range": (1.0, 1.0 + 1e-15)}, "x_range is .*; it is too narrow for 50 bins"),
        ({"edges": 5}, "edges is 5; give those in x and those in y"),
        ({"edges": ([0.0, 1j], [0.0, 1.0])}, "edges in x is .*; it must be two or more"),
        ({"edges": ([0.0, 1.0], [[0.0], [0.0, 1.0]])}, "edges in y is .*; it must be two or more"),
        ({"edges": ([0.0, 1.0], [0.0, 1.0]), "x_range": []}, "edges and ranges are both given"),
        ({"y_range": (0.0, math.inf)}, "y_range is .*inf"),
        ({"y_range": (math.nan, 1.0)}, "y_range is .*nan"),
        ({"edges": ([0.0, 1.0], [0.0])}, "edges in y is .*; it must be two or more finite numbers that rise"),
        ({"edges": ([0.0, 0.0], [0.0, 1.0])}, "edges in x is"),
        ({"edges": ([0.0, math.nan], [0.0, 1.0])}, "edges in x is"),
        ({"edges": ([0.0, 1.0], [0.0, 1.0]), "x_range": (0.0, 1.0)}, "edges and ranges are both given"),
        ({"edges": ([0.0, 1.0],)}, "edges: give those in x and those in y"),
        ({"kt_min": -1.0}, "kt_min is -1; it must be"),
        ({"delta_max": math.nan}, "delta_max is nan; it must be"),
    ],
)
def test_silly_planes_are_refused(jets, options, message):
    for function in (lund_density, lund_image):
        with pytest.raises(JetforgeError, match=message):
            function(jets, **options)
