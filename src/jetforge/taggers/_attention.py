"""Attention among the constituents of each jet, of packed rows that are padded for the attention alone."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from jetforge.representations import PackedBatch

MASKED = -30000.0
"""What is added to the attention to a constituent that is not there: no weight is left, and float16 can hold it."""

# On the CPU, jets of similar length are padded together: attention then works on few constituents that are not there.
_MOST_GROUPS = 4
_FEWEST_JETS = 8


class _Group(NamedTuple):
    """Jets that are padded to one length: ``num_jets`` of the order of `PaddedJets`, from ``first`` on."""

    first: int
    num_jets: int
    length: int
    first_token: int
    first_pair: int


class PaddedJets:
    """Where the packed constituents of a batch stand once each jet is padded, and what attends to what.

    Jets are put into groups, each padded to its own longest jet; their order is that of their groups. On a GPU all
    jets are one group, and making this waits once for the device.

    Parameters
    ----------
    batch : PackedBatch
        Any number of jets.

    Attributes
    ----------
    order : Tensor, int64, shape (n_jets,)
        The jets in the order of the groups.
    """

    def __init__(self, batch: PackedBatch) -> None:
        counts, device = batch.counts, batch.offsets.device
        self.num_rows = batch.num_rows
        self._jets = batch.jet_of_row()
        self._local = torch.arange(self.num_rows, device=device) - batch.offsets.index_select(0, self._jets)
        self.order = torch.argsort(counts, descending=True, stable=True)
        self._sorted_counts = counts.index_select(0, self.order)
        self._groups = _groups(len(batch), self._sorted_counts)
        token_starts, pair_starts = torch.empty_like(counts), torch.empty_like(counts)
        lengths = torch.empty_like(counts)
        for group in self._groups:
            jets = self.order[group.first : group.first + group.num_jets]
            within = torch.arange(group.num_jets, device=device)
            token_starts[jets] = group.first_token + within * group.length
            pair_starts[jets] = group.first_pair + within * group.length**2
            lengths[jets] = group.length
        self._row_lengths = lengths.index_select(0, self._jets)
        self._row_pairs = pair_starts.index_select(0, self._jets)
        self._places = token_starts.index_select(0, self._jets) + self._local
        last = self._groups[-1]
        self._num_places = last.first_token + last.num_jets * last.length
        self._num_pair_places = last.first_pair + last.num_jets * last.length**2

    def pad(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """Return rows, shape (n_constituents, width), as one tensor a group, shape (n_jets, length, width)."""
        width = rows.shape[1]
        padded = rows.new_zeros(self._num_places, width).index_copy(0, self._places, rows)
        sizes = [group.num_jets * group.length for group in self._groups]
        parts = torch.split(padded, sizes)
        return [part.view(-1, group.length, width) for part, group in zip(parts, self._groups, strict=True)]

    def unpad(self, groups: list[torch.Tensor]) -> torch.Tensor:
        """Return the constituents, shape (n_constituents, width), of what `pad` returned or the like."""
        padded = [group.reshape(-1, group.shape[-1]) for group in groups]
        return (padded[0] if len(padded) == 1 else torch.cat(padded)).index_select(0, self._places)

    def by_jet(self, jets: torch.Tensor) -> torch.Tensor:
        """Return one row a jet, shape (n_jets, width), in the order of the batch, of rows in the order of groups."""
        return jets.new_empty(jets.shape).index_copy(0, self.order, jets)

    def masks(self, dtype: torch.dtype) -> list[torch.Tensor]:
        """Return what is added to the attention to each constituent, one tensor a group, shape (n_jets, 1, 1, length).

        It is zero for those that are there, and `MASKED` for the others.
        """
        masks = []
        for group in self._groups:
            counts = self._sorted_counts[group.first : group.first + group.num_jets]
            absent = torch.arange(group.length, device=counts.device) >= counts[:, None, None, None]
            masks.append(torch.zeros_like(absent, dtype=dtype).masked_fill_(absent, MASKED))
        return masks

    def pairs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows of each pair of constituents of a jet, once: the second is the first or stands before it.

        On a GPU this waits for the device.

        Returns
        -------
        first, second : Tensor, int64, shape (n_pairs,)
        """
        sizes = self._local + 1
        ends = sizes.cumsum(0)
        num_pairs = int(ends[-1]) if self.num_rows else 0
        rows = torch.arange(self.num_rows, device=sizes.device)
        first = torch.repeat_interleave(rows, sizes, output_size=num_pairs)
        shifts = rows - self._local - (ends - sizes)
        return first, torch.arange(num_pairs, device=sizes.device) + shifts.index_select(0, first)

    def biases(self, values: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
        """Return symmetric biases of attention, `MASKED` where a constituent is not there.

        Parameters
        ----------
        values : Tensor, shape (n_pairs, n_heads)
            One row a pair of `pairs`.
        first, second : Tensor
            What `pairs` returned.

        Returns
        -------
        list of Tensor, shape (n_jets, n_heads, length, length)
            One a group.
        """
        start, length = self._row_pairs.index_select(0, first), self._row_lengths.index_select(0, first)
        i, j = self._local.index_select(0, first), self._local.index_select(0, second)
        heads = values.shape[1]
        # A constituent with itself is written twice: the second time counts, also for the gradient.
        flat = values.new_full((self._num_pair_places, heads), MASKED)
        flat = flat.index_copy(0, start + i * length + j, values).index_copy(0, start + j * length + i, values)
        parts = torch.split(flat, [group.num_jets * group.length**2 for group in self._groups])
        return [
            part.view(group.num_jets, group.length, group.length, heads).permute(0, 3, 1, 2).contiguous()
            for part, group in zip(parts, self._groups, strict=True)
        ]


def _groups(num_jets: int, sorted_counts: torch.Tensor) -> list[_Group]:
    """Return equally large groups of jets that are sorted by falling length; at least one, of length 1 or more."""
    number = 1
    if sorted_counts.device.type == "cpu":
        number = min(_MOST_GROUPS, max(1, num_jets // _FEWEST_JETS))
    firsts = [index * num_jets // number for index in range(number)]
    lengths = sorted_counts[firsts].tolist() if num_jets else [0]
    groups, token, pair = [], 0, 0
    for first, last, longest in zip(firsts, [*firsts[1:], num_jets], lengths, strict=True):
        length = max(longest, 1)
        groups.append(_Group(first, last - first, length, token, pair))
        token += (last - first) * length
        pair += (last - first) * length**2
    return groups


def attend(
    jets: PaddedJets, qkv: torch.Tensor, num_heads: int, biases: list[torch.Tensor], dropout: float
) -> torch.Tensor:
    """Let the constituents of each jet attend to each other.

    Parameters
    ----------
    jets : PaddedJets
        The jets that the rows belong to.
    qkv : Tensor, shape (n_constituents, 3 * width)
        Queries, keys and values side by side, the heads of each in turn.
    num_heads : int
        Number of heads, which divides the width.
    biases : list of Tensor
        What is added to the attention, from `PaddedJets.masks` or `PaddedJets.biases`.
    dropout : float
        Fraction of the attention that is dropped.

    Returns
    -------
    Tensor, shape (n_constituents, width)
    """
    attended = []
    for padded, bias in zip(jets.pad(qkv), biases, strict=True):
        num_jets, length, width = padded.shape
        q, k, v = padded.view(num_jets, length, 3, num_heads, width // (3 * num_heads)).permute(2, 0, 3, 1, 4)
        if dropout and q.device.type == "cpu":
            heads = _attend_with_dropout(q, k, v, bias.to(q.dtype), dropout)
        else:
            heads = functional.scaled_dot_product_attention(q, k, v, bias.to(q.dtype), dropout)
        attended.append(heads.transpose(1, 2).reshape(num_jets, length, width // 3))
    return jets.unpad(attended)


def _attend_with_dropout(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor, fraction: float
) -> torch.Tensor:
    """Return what PyTorch's attention does, which on the CPU spends most of its time on dropout and infinities."""
    weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(2, 3) + bias, dim=-1)
    return dropped(weights.to(v.dtype), fraction) @ v


def dropped(x: torch.Tensor, fraction: float) -> torch.Tensor:
    """Return ``x`` with that fraction of its values, drawn by chance, set to zero, and the others made as much larger.

    On the CPU one drawn number of 64 bits decides on four values, in steps of 1 / 65536 of the fraction.
    """
    if not fraction or x.device.type != "cpu":
        return functional.dropout(x, fraction)
    numbers = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = numbers.view(torch.int16)[: x.numel()].view(x.shape) >= min(round(fraction * 65536) - 32768, 32767)
    return torch.where(kept, x, 0.0).mul_(1 / (1 - fraction))


class Dropout(nn.Module):
    """Dropout that is quick on the CPU too, see `dropped`.

    Parameters
    ----------
    fraction : float
        Fraction of the values that is set to zero in training.
    """

    def __init__(self, fraction: float) -> None:
        super().__init__()
        self.fraction = fraction

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop values of a tensor of any shape, in training alone."""
        return dropped(x, self.fraction) if self.training and self.fraction else x
