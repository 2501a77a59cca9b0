"""Packed rows: padding and unpadding, sums of jets, any order of the jets."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jetforge.representations import PackedBatch


@dataclass(frozen=True, eq=False)
class Rows(PackedBatch):
    numbers: torch.Tensor
    pairs: torch.Tensor
    offsets: torch.Tensor


def batch_of(counts):
    n = sum(counts)
    offsets = torch.tensor([0, *np.cumsum(counts)], dtype=torch.int64)
    return Rows(torch.arange(1, n + 1, dtype=torch.float32), torch.arange(2.0 * n).reshape(n, 2), offsets)


counts = st.lists(st.integers(0, 6), max_size=8)


def jets_of(batch, rows):
    return [rows[a:b] for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]


@given(counts)
def test_a_padded_jet_holds_its_constituents_and_then_the_value(counts):
    batch = batch_of(counts)
    for length in (1, max([*counts, 1]), max([*counts, 1]) + 3):
        padded, mask = batch.padded(batch.pairs, length, value=-1.0), batch.mask(length)
        assert padded.shape == (len(counts), length, 2)
        for k, jet in enumerate(jets_of(batch, batch.pairs)):
            assert torch.equal(padded[k, : len(jet)], jet[:length])
            assert (padded[k, len(jet) :] == -1).all()
            assert mask[k].sum() == min(len(jet), length)


@given(counts)
def test_unpadding_undoes_padding(counts):
    batch = batch_of(counts)
    padded = batch.padded(batch.pairs, batch.longest + 2)
    assert torch.equal(batch.unpadded(padded), batch.pairs)


@given(counts)
def test_sums_and_means_are_those_of_each_jet(counts):
    batch = batch_of(counts)
    for rows in (batch.numbers, batch.pairs):
        for k, jet in enumerate(jets_of(batch, rows)):
            assert torch.equal(batch.sums(rows)[k], jet.sum(0))
            expected = jet.mean(0) if len(jet) else torch.zeros(rows.shape[1:])
            torch.testing.assert_close(batch.means(rows)[k], expected)


def test_gradients_reach_every_row_once():
    batch = batch_of([2, 0, 3])
    rows = batch.pairs.clone().requires_grad_()
    (batch.padded(rows, 4).sum() + batch.sums(rows).sum()).backward()
    assert torch.equal(rows.grad, torch.full_like(rows, 2.0))


@given(counts=counts, data=st.data())
def test_jets_are_taken_in_any_order_and_more_than_once(counts, data):
    batch = batch_of(counts)
    order = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=10)) if counts else []
    taken = batch.take(np.array(order, dtype=np.int64))
    assert len(taken) == len(order)
    assert taken.num_rows == int(taken.offsets[-1])
    for rows, all_rows in ((taken.numbers, batch.numbers), (taken.pairs, batch.pairs)):
        jets = jets_of(batch, all_rows)
        for jet, k in zip(jets_of(taken, rows), order, strict=True):
            assert torch.equal(jet, jets[k])


def test_the_jet_of_each_row():
    assert batch_of([2, 0, 3]).jet_of_row().tolist() == [0, 0, 2, 2, 2]


@pytest.mark.parametrize("indices", [[3], [-1], [0.5], [True]])
def test_jets_that_are_not_there_are_not_taken(indices):
    with pytest.raises(IndexError):
        batch_of([1, 2, 3]).take(torch.tensor(indices))


def test_half_precision_is_summed_in_single():
    batch = batch_of([3000])
    ones = torch.ones(3000, dtype=torch.bfloat16)
    assert batch.sums(ones).item() == 3000
