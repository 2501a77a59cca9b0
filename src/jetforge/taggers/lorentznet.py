"""LorentzNet: messages between all constituents, steered by Minkowski products (Gong et al., arXiv:2201.08187)."""

from typing import NamedTuple, TypedDict, Unpack

import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import FourMomentaBatch, FourMomentaRepresentation
from jetforge.taggers._arguments import check_flags, check_fractions, check_numbers, check_whole
from jetforge.taggers._norm import BatchNorm
from jetforge.taggers._pairs import GatheredPairs, MessageLayers, Pairs, normalised
from jetforge.taggers._pairs_cpu import FusedPairs
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.base import Tagger

_BEAM_MASS = 1.0  # GeV; the beams are (sqrt(2), 0, 0, +-1) GeV
_TINY = 1e-30  # GeV^2: the mass of a massless constituent has a finite slope


class Nodes(NamedTuple):
    """What the network starts from, jet after jet: the beams, where there are any, then the constituents.

    Attributes
    ----------
    scalars : Tensor, shape (n_nodes, n_scalars)
        Inputs of the embedding.
    x : Tensor, float64 where the device has it, shape (n_nodes, 4)
        Energy, px, py, pz in GeV.
    offsets : Tensor, int64, shape (n_jets + 1,)
        Jet ``j`` owns the nodes ``offsets[j]`` to ``offsets[j + 1]``.
    """

    scalars: torch.Tensor
    x: torch.Tensor
    offsets: torch.Tensor


class LorentzBlock(nn.Module):
    """A Lorentz group equivariant block (arXiv:2201.08187, section 3.2).

    With ``psi(p) = sign(p) ln(1 + abs(p))`` the message is ``m_ij = phi_e(h_i, h_j, psi(|x_i - x_j|^2), psi(x_i .
    x_j))``; the four-vectors become ``x_i + c mean_j phi_x(m_ij) (x_i - x_j)`` and the scalars ``h_i + phi_h(h_i,
    sum_j phi_m(m_ij) m_ij, s_i)``. Following the authors' code, phi_m also weighs what phi_x reads, and the sum over
    the moves is a mean.

    Parameters
    ----------
    width : int
        Width of the scalars h and of the messages.
    scalars : int
        Number of input scalars s.
    step : float
        The factor c.
    largest_move : float
        At what absolute value each component of ``phi_x(m_ij) (x_i - x_j)`` is cut.
    moves : bool
        Whether the four-vectors change; after the last block nothing reads them.
    """

    def __init__(self, width: int, scalars: int, step: float, largest_move: float, moves: bool) -> None:
        super().__init__()
        self.step_size, self.largest_move = step, largest_move
        self.first = nn.Linear(2 * width + 2, width, bias=False)
        self.first_norm = BatchNorm(width)
        self.second = nn.Linear(width, width)
        self.gate = nn.Linear(width, 1)
        self.node_first = nn.Linear(2 * width + scalars, width)
        self.node_norm = BatchNorm(width)
        self.node_second = nn.Linear(width, width)
        self.moving = nn.Linear(width, width) if moves else None
        self.step = nn.Linear(width, 1, bias=False) if moves else None
        if self.step is not None:
            nn.init.xavier_uniform_(self.step.weight, gain=0.001)  # as the authors' code does

    def forward(
        self, h: torch.Tensor, x: torch.Tensor, scalars: torch.Tensor, pairs: Pairs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map scalars, shape (n_nodes, width), and four-vectors, shape (n_nodes, 4), to new ones."""
        width = h.shape[1]
        to_left, to_right, mix = torch.split(self.first.weight, [width, width, 2], dim=1)
        # W [h_i, h_j, products] = W_left h_i + W_right h_j + ...: two products a node, none a pair.
        left, right = nn.functional.linear(h, torch.cat([to_left, to_right])).chunk(2, dim=1)
        products = pairs.products(x).to(mix.dtype)
        given = normalised(pairs, left, right, mix.T, products, self.first_norm)
        summed, moved = pairs.messages(*given, products, x, self._layers())
        nodes = self.node_first(torch.cat([h, summed.to(h.dtype), scalars.to(h.dtype)], dim=1))
        h = h + self.node_second(torch.relu(self.node_norm(nodes)))
        return h, x if moved is None else x + self.step_size * moved

    def _layers(self) -> MessageLayers:
        moves = self.moving is not None and self.step is not None
        return MessageLayers(
            (self.second.weight, self.second.bias),
            (self.gate.weight, self.gate.bias),
            (self.moving.weight, self.moving.bias) if self.moving is not None and moves else None,
            self.step.weight if self.step is not None and moves else None,
            self.largest_move,
        )


class LorentzNetSettings(TypedDict, total=False):
    """What a LorentzNet lets one change; defaults are the published values."""

    beams: bool
    masses: bool
    layers: int
    width: int
    step: float
    largest_move: float | None
    dropout: float
    divisor: float | None


class LorentzNet(Tagger):
    """Equivariant blocks on all pairs of constituents, averaged over the jet, and classified.

    Without beams, and with scalars that do not depend on the frame, the scores are invariant under all Lorentz
    transformations. The two beams single out the beam's axis and the laboratory's frame: what is left are rotations
    about the axis and reflections, but no boosts. Where a move is cut, which happens in the published network for
    top tagging, the components and so the frame matter; without that limit they never do.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : FourMomentaRepresentation, optional
        Four-momenta, and scalars such as particle types. The network reads GeV, whatever the scale.
    beams : bool
        Whether two vectors (sqrt(2), 0, 0, +-1) GeV along the beam join the constituents as nodes.
    masses : bool
        Whether psi(mass) of each node is an input scalar; with beams there is one for constituents and one for beams.
    layers : int
        Number of blocks.
    width : int
        Width of the blocks and of the classifier's hidden layer.
    step : float
        Factor of the change of the four-vectors in each block (``c_weight``).
    largest_move : float, optional
        Limit, in GeV, of each component of what a pair changes before that factor; none if not given.
    dropout : float
        Fraction of the hidden layer of the classifier that is dropped in training.
    divisor : float, optional
        What the sum over the nodes of a jet, beams included, is divided by; the number of its nodes if not given. The
        authors' code divides by the number of nodes of the largest jet of the batch.

    Raises
    ------
    TaggerError
        If a value makes no sense.
    """

    reads = FourMomentaRepresentation

    def __init__(
        self,
        num_classes: int = 2,
        representation: FourMomentaRepresentation | None = None,
        *,
        beams: bool = True,
        masses: bool = True,
        layers: int = 6,
        width: int = 72,
        step: float = 5e-3,
        largest_move: float | None = 100.0,
        dropout: float = 0.2,
        divisor: float | None = None,
    ) -> None:
        check_flags(beams=beams, masses=masses)
        check_whole(layers=layers, width=width)
        check_fractions(dropout=dropout)
        check_numbers(step=step, largest_move=0 if largest_move is None else largest_move)
        check_numbers(1, divisor=1 if divisor is None else divisor)
        # Squares of momenta cancel in the mass of a pair, which float32 does not resolve.
        super().__init__(num_classes, representation or FourMomentaRepresentation(dtype="float64"))
        self.beams, self.masses, self.divisor = beams, masses, divisor
        scalars = masses * (1 + beams) + self.representation.num_features
        if not scalars:
            raise TaggerError("masses is off and the representation has no scalars; the network needs one of them")
        self.embedding = nn.Linear(scalars, width)
        limit = float("inf") if largest_move is None else float(largest_move)
        self.blocks = nn.ModuleList(
            LorentzBlock(width, scalars, step, limit, layer < layers - 1) for layer in range(layers)
        )
        self.hidden = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, num_classes)

    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules of `embed`, which are those of the blocks, and of `classify`."""
        return {"blocks": (self.embedding, self.blocks), "classifier": (self.hidden, self.dropout, self.output)}

    def nodes(self, batch: FourMomentaBatch) -> Nodes:
        """Return scalars and four-vectors of all nodes of a batch."""
        precise = torch.float32 if batch.momenta.device.type == "mps" else torch.float64
        x = batch.momenta.to(precise) * (self.representation.scale or 1.0)
        columns = [self._mass(x, 0), batch.scalars] if self.masses else [batch.scalars]
        scalars = torch.cat(columns, dim=1).to(self.embedding.weight.dtype)
        if not self.beams:
            return Nodes(scalars, x, batch.offsets)
        jets = torch.arange(len(batch) + 1, device=x.device)
        offsets = batch.offsets + 2 * jets
        energy = (1 + _BEAM_MASS**2) ** 0.5
        beam = x.new_tensor([[energy, 0, 0, 1], [energy, 0, 0, -1]])
        beam_scalars = scalars.new_zeros(2, scalars.shape[1])
        if self.masses:
            beam_scalars[:, :2] = self._mass(beam, 1)
        # Every constituent reads its own row, and a beam one of the two rows in front of them.
        spread = torch.repeat_interleave(offsets.diff(), output_size=len(x) + 2 * len(batch))
        local = torch.arange(len(spread), device=x.device) - offsets.index_select(0, spread)
        rows = torch.where(local < 2, local, local + batch.offsets.index_select(0, spread))
        return Nodes(
            torch.cat([beam_scalars, scalars]).index_select(0, rows),
            torch.cat([beam, x]).index_select(0, rows),
            offsets,
        )

    def _mass(self, x: torch.Tensor, kind: int) -> torch.Tensor:
        """Return psi(mass) of four-vectors in the column of their kind: 0 for constituents, 1 for beams."""
        squares = x.square()
        mass = (squares[:, 0] - squares[:, 1:].sum(1)).abs().clamp(min=_TINY).sqrt()
        column = torch.log1p(mass)
        absent = torch.zeros_like(column)
        both = (column, absent) if kind == 0 else (absent, column)
        return torch.stack(both[: 1 + self.beams], dim=1)

    def embed(self, batch: FourMomentaBatch) -> torch.Tensor:
        """Return the embedded jets, shape (n_jets, width)."""
        scalars, x, offsets = self.nodes(batch)
        pairs = self._pairs(offsets)
        h = self.embedding(scalars)
        for block in self.blocks:
            h, x = block(h, x, scalars, pairs)
        sums = pairs.jet_sums(h.float() if h.dtype == torch.bfloat16 else h)
        if self.divisor is not None:
            return sums / self.divisor
        return sums / offsets.diff().clamp(min=1).unsqueeze(1)

    def _pairs(self, offsets: torch.Tensor) -> Pairs:
        """Return the fastest operations for the device; those that a compiler can trace, while one is tracing."""
        single = self.embedding.weight.dtype == torch.float32
        if offsets.device.type == "cpu" and single and not torch.compiler.is_compiling():
            return FusedPairs(offsets)
        return GatheredPairs(offsets)

    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits of embedded jets, shape (n_jets, num_classes)."""
        logits: torch.Tensor = self.output(self.dropout(torch.relu(self.hidden(jets))))
        return logits.float() if logits.dtype == torch.bfloat16 else logits


@register_tagger
def lorentznet(
    num_classes: int = 2,
    representation: FourMomentaRepresentation | None = None,
    **settings: Unpack[LorentzNetSettings],
) -> LorentzNet:
    """LorentzNet as published for top tagging: six blocks of width 72, with beams (arXiv:2201.08187)."""
    return LorentzNet(num_classes, representation, **settings)
