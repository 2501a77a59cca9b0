"""Moments streamed in pieces equal those of the whole."""

import numpy as np
from numpy.testing import assert_allclose

from jetforge.representations._moments import Moments


def test_merged_moments_equal_those_of_all_rows():
    rows = np.random.default_rng(1).normal(1e4, [1.0, 1e-2, 1e3], size=(1000, 3))
    merged = Moments.of(rows[:0])
    for piece in np.split(rows, [1, 1, 17, 600]):
        merged = merged.merge(Moments.of(piece))
    assert merged.count == 1000
    assert_allclose(merged.mean, rows.mean(axis=0), rtol=1e-13)
    assert_allclose(merged.std, rows.std(axis=0), rtol=1e-9)


def test_merging_is_symmetric():
    first, second = (Moments.of(np.random.default_rng(seed).normal(size=(50 + seed, 2))) for seed in (3, 4))
    assert_allclose(first.merge(second).std, second.merge(first).std, rtol=1e-14)


def test_no_rows_have_no_spread():
    nothing = Moments.of(np.zeros((0, 2))).merge(Moments.of(np.zeros((0, 2))))
    assert nothing.count == 0
    assert_allclose(nothing.std, 0)
