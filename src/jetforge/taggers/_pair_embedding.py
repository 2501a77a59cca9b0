"""What the Particle Transformer knows of pairs of constituents, and what it makes of it (arXiv:2202.03772, eq. 3)."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from jetforge.taggers._norm import BatchNorm

_SMALLEST = 1e-8  # below it, what the logarithm of a pair's quantity is taken of is cut off
_PAIR_FEATURES = 4
# Pairs that are embedded at once where nothing is to be learned: they stay in the processor's cache, or in memory.
_PAIRS_AT_ONCE = {"cpu": 8192}
_MOST_PAIRS_AT_ONCE = 1 << 20


def pair_features(momenta: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return ln kt, ln z, ln Delta and ln m^2 of pairs of constituents (arXiv:2202.03772, eq. 3).

    Momenta in GeV, angles by rapidity; a quantity below 1e-8 counts as 1e-8, such as the distance of a constituent
    from itself.

    Parameters
    ----------
    momenta : Tensor, float32, shape (n_constituents, 4)
        Energy, px, py, pz.
    first, second : Tensor, int64, shape (n_pairs,)
        The constituents of each pair.

    Returns
    -------
    Tensor, float32, shape (n_pairs, 4)
    """
    energy, px, py, pz = momenta.float().unbind(1)
    pt = torch.sqrt(px.square() + py.square())
    # Rounding may leave an energy of no more than |pz|: rapidities stay finite.
    ratio = 1 + 2 * pz / (energy - pz).clamp(min=1e-20)
    rapidity, phi = 0.5 * torch.log(ratio.clamp(min=_SMALLEST)), torch.atan2(py, px)
    rows = torch.stack([energy, px, py, pz, pt, rapidity, phi])
    a, b = rows.index_select(1, first), rows.index_select(1, second)
    dphi = (a[6] - b[6] + math.pi) % (2 * math.pi) - math.pi
    delta = torch.sqrt((a[5] - b[5]).square() + dphi.square())
    softer = torch.minimum(a[4], b[4])
    e, x, y, z = (a[:4] + b[:4]).unbind(0)
    mass_squared = e.square() - (x.square() + y.square() + z.square())
    fraction = softer / (a[4] + b[4]).clamp(min=_SMALLEST)
    return torch.stack([softer * delta, fraction, delta, mass_squared], dim=1).clamp_(min=_SMALLEST).log_()


class PairLayer(nn.Module):
    """Linear, batch normalisation, GELU.

    Parameters
    ----------
    inputs, outputs : int
        Width of the pairs before and after.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = BatchNorm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map pairs, shape (n_pairs, inputs), to shape (n_pairs, outputs)."""
        norm, linear = self.norm, self.linear
        if norm.uses_batch_statistics(len(x)):
            return functional.gelu(norm(linear(x)))
        # Statistics that are known act on the layer's weights: one pass over the pairs less.
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        bias = norm.bias + (linear.bias - norm.running_mean) * scale
        return functional.gelu(functional.linear(x, linear.weight * scale.unsqueeze(1), bias))


class PairEmbedding(nn.Module):
    """What each pair of constituents adds to the attention, a value a head.

    The statistics of its batch normalisations in training are those of each pair of constituents that are there, once,
    a constituent with itself included.

    Parameters
    ----------
    widths : sequence of int
        Widths of the layers, the last one the number of heads.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers = [PairLayer(*pair) for pair in pairwise([_PAIR_FEATURES, *widths])]
        self.layers = nn.Sequential(BatchNorm(_PAIR_FEATURES), *layers)

    def forward(self, momenta: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return values of pairs, shape (n_pairs, n_heads)."""
        # The logarithms of small differences of large numbers need float32.
        with torch.no_grad(), torch.autocast(momenta.device.type, enabled=False):
            features = pair_features(momenta, first, second)
        if self.training or torch.is_grad_enabled():
            values: torch.Tensor = self.layers(features)
            return values
        at_once = _PAIRS_AT_ONCE.get(momenta.device.type, _MOST_PAIRS_AT_ONCE)
        return torch.cat([self.layers(part) for part in torch.split(features, at_once)])
