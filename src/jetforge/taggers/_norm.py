"""Batch normalisation for packed rows, of which a batch may have any number, even none."""

import torch
from torch import nn
from torch.nn import functional


class BatchNorm(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` that falls back on its running statistics where there are too few rows.

    In training mode, a batch of fewer than two rows has no variance: it is normalised by the running
    statistics and leaves them as they are.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)

    def uses_batch_statistics(self, num_rows: int) -> bool:
        """Whether that many rows are normalised by their own mean and variance."""
        return self.training and num_rows > 1

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Normalise each column of ``rows``, shape (n, num_features)."""
        if self.uses_batch_statistics(len(rows)):
            return super().forward(rows)
        return functional.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )

    @torch.no_grad()
    def update(self, mean: torch.Tensor, variance: torch.Tensor, num_rows: int) -> None:
        """Move the running statistics towards the mean and the (biased) variance of ``num_rows`` rows."""
        momentum = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        unbiased = variance * (num_rows / (num_rows - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
        self.num_batches_tracked += 1
