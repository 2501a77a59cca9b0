"""bfloat16 in kernels: the numbers that PyTorch reads and writes."""

import numpy as np
import torch
from numba import njit

from jetforge.taggers._bfloat16 import kernel_array, narrow, wide


@njit
def twice(given, out):
    for i in range(len(given)):
        out[i] = narrow(out, 2 * wide(given[i]))


def test_numbers_are_read_and_rounded_as_pytorch_does():
    rng = np.random.default_rng(3)
    exponents = rng.uniform(-30, 30, 10_000)
    values = torch.from_numpy((rng.choice([-1, 1], 10_000) * 10**exponents).astype(np.float32))
    values = torch.cat([values, torch.tensor([0.0, -0.0, 1.0, 1.00390625, 1.01171875, float("inf")])])
    for given_type in (torch.float32, torch.bfloat16):
        for out_type in (torch.float32, torch.bfloat16):
            given, out = values.to(given_type), torch.empty(len(values), dtype=out_type)
            twice(kernel_array(given), kernel_array(out))
            assert torch.equal(out, (2 * given.float()).to(out_type))


def test_a_tensor_is_handed_over_without_a_copy():
    for dtype in (torch.float32, torch.bfloat16):
        tensor = torch.zeros(3, dtype=dtype)
        kernel_array(tensor)[:] = 1
        assert (tensor != 0).all()
    assert kernel_array(3) == 3
