import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetforge.jets.readers.constituents.ragged import joined, offsets_of, pieces, row_of, sums_far_from

lengths = st.lists(st.integers(0, 4), max_size=8)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 12))
def test_pieces_cover_the_rows_and_end_at_multiples(start, size, step):
    found = pieces(start, start + size, step)
    assert [row for first, last in found for row in range(first, last)] == list(range(start, start + size))
    assert all(last % step == 0 for _, last in found[:-1])
    assert max(last - first for first, last in found) <= step


@given(st.lists(lengths, min_size=1, max_size=4))
def test_joined_blocks_are_the_rows_of_all(counts):
    blocks = [(offsets_of(np.array(block, dtype=np.int64)), {"x": np.full(sum(block), i)})
              for i, block in enumerate(counts)]  # fmt: skip
    offsets, columns = joined(blocks)
    assert np.diff(offsets).tolist() == [count for block in counts for count in block]
    assert columns["x"].tolist() == [i for i, block in enumerate(counts) for _ in range(sum(block))]
    assert offsets.dtype == np.int64


@given(lengths)
def test_the_row_of_a_value_is_the_one_that_holds_it(counts):
    offsets = offsets_of(np.array(counts, dtype=np.int64))
    expected = np.repeat(np.arange(len(counts)), counts).tolist()
    assert [row_of(place, offsets) for place in range(sum(counts))] == expected


@pytest.mark.parametrize(("stated", "far"), [(5.0, False), (9.9, False), (10.1, True), (2.4, True), (np.nan, True)])
def test_sums_are_compared_with_what_is_stated(stated, far):
    px, py = np.array([1.0, 2.0, 7.0]), np.array([4.0, 0.0, 0.0])
    found, sums = sums_far_from(np.array([stated, 0.0, 7.0]), np.array([0, 2, 2, 3]), px, py, 2.0)
    assert sums.tolist() == [5.0, 0.0, 7.0]
    assert found.tolist() == [far, True, False]
