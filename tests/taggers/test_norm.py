"""Batch normalisation of few rows."""

import pytest
import torch

from jetforge.taggers._norm import BatchNorm


@pytest.fixture
def norm():
    torch.manual_seed(0)
    norm = BatchNorm(3).double()
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        tensor.uniform_(0.5, 1.5)
    return norm


def test_many_rows_are_normalised_as_in_torch(norm):
    rows = torch.randn(9, 3, dtype=torch.float64)
    plain = torch.nn.BatchNorm1d(3).double()
    plain.load_state_dict(norm.state_dict())
    assert torch.equal(norm(rows), plain(rows))
    assert torch.equal(norm.running_var, plain.running_var)


@pytest.mark.parametrize("num_rows", [0, 1])
def test_too_few_rows_use_the_running_statistics(norm, num_rows):
    rows = torch.randn(num_rows, 3, dtype=torch.float64, requires_grad=True)
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    out = norm(rows)
    expected = (rows - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(out, expected)
    out.sum().backward()
    assert norm.weight.grad.shape == (3,)
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())


def test_update_moves_as_torch_does(norm):
    rows = torch.randn(9, 3, dtype=torch.float64)
    plain = torch.nn.BatchNorm1d(3).double()
    plain.load_state_dict(norm.state_dict())
    plain(rows)
    norm.update(rows.mean(0), rows.var(0, correction=0), 9)
    torch.testing.assert_close(norm.state_dict(), plain.state_dict())
