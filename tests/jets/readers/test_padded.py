import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from jetforge.jets.readers.constituents.padded import not_all_zero, unwoven, without_padding

kept_places = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=7))


def check(keep):
    block = np.arange(keep.size * 2, dtype=np.float32).reshape(*keep.shape, 2)
    offsets, columns = without_padding(keep, {"woven": block[:, :, 1], "whole": block[:, :, 0].astype(np.int64)})
    assert np.array_equal(np.diff(offsets), keep.sum(axis=1))
    assert np.array_equal(columns["woven"], block[:, :, 1][keep])
    assert np.array_equal(columns["whole"], block[:, :, 0][keep])
    assert (columns["woven"].dtype, columns["whole"].dtype) == (np.float32, np.int64)


@given(kept_places)
def test_any_places_are_kept_in_order(keep):
    check(keep)


@given(kept_places)
def test_beginnings_of_rows_are_kept(keep):
    check(np.arange(keep.shape[1]) < keep.sum(axis=1)[:, np.newaxis])


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_without_places_nothing_is_kept(shape):
    check(np.ones(shape, dtype=np.bool_))


@given(arrays(np.float32, st.tuples(st.integers(0, 5), st.just(12)), elements=st.sampled_from([0.0, 1.0, np.nan])))
def test_four_numbers_side_by_side_are_one_constituent(block):
    columns = {str(i): block[:, i::4] for i in range(4)}
    offsets, expected = without_padding(not_all_zero(*columns.values()), columns)
    found_offsets, found = unwoven(block)
    assert np.array_equal(found_offsets, offsets)
    assert np.array_equal(found, np.stack(list(expected.values())), equal_nan=True)
