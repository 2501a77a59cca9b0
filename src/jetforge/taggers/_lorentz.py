"""What the Lorentz-equivariant taggers share: optional packages, reference vectors, and exact changes of frame."""

import warnings
from importlib import import_module
from typing import Any

import torch
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import FourMomentaBatch, FourMomentaRepresentation
from jetforge.taggers._arguments import check_fractions
from jetforge.taggers.base import Tagger

SYMMETRIES = ("beam", "lorentz")
"""What a score may be invariant under: rotations about the beam alone, or all boosts and rotations."""

BEAMS_AND_TIME = ((1.0, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0, -1.0), (1.0, 0.0, 0.0, 0.0))
"""Directions of the two beams and of time: the tokens that break the symmetry in the published top taggers
(lloca-experiments, ``config/tagging.yaml``: lightlike, two beams, time reference, scale 1)."""

REFERENCE_SCALE = 0.05
"""Length of the reference vectors beside the momenta: 1 GeV in the published configuration, in units of 20 GeV."""

# Constituents lighter than this are given this mass: 5 MeV in the published configuration, likewise.
_LEAST_MASS = 2.5e-4
# So are those whose mass is lost in the rounding of the momenta: thirty times half a unit, for the squares.
_ROUNDINGS = 15
# A boost is by at most this factor, which float64 still resolves.
_LARGEST_BOOST = 1e7
_TINY = 1e-12


def require(tagger: str, *modules: str) -> tuple[Any, ...]:
    """Import modules of the packages that the extra ``lorentz`` brings.

    Raises
    ------
    TaggerError
        If one cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            # torch_geometric, which lloca imports, calls it while it is imported.
            warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", DeprecationWarning)
            return tuple(import_module(module) for module in modules)
    except ImportError as error:
        package = modules[0].partition(".")[0]
        raise TaggerError(f"tagger {tagger} needs the package {package}: pip install 'jetforge[lorentz]'") from error


class LorentzTagger(Tagger):
    """A tagger on four-momenta that is Lorentz-equivariant up to the vectors that it is told of.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    representation : FourMomentaRepresentation, optional
        Four-momenta, and scalars beside them.
    symmetry : str
        One of `SYMMETRIES`.
    dropout : float
        Fraction that is dropped in training.
    dtype : str
        Of the momenta, where no representation is given.

    Raises
    ------
    TaggerError
        If a value makes no sense.
    """

    reads = FourMomentaRepresentation

    def __init__(
        self,
        num_classes: int,
        representation: FourMomentaRepresentation | None,
        *,
        symmetry: str,
        dropout: float,
        dtype: str = "float32",
    ) -> None:
        if symmetry not in SYMMETRIES:
            raise TaggerError(f"symmetry {symmetry!r} must be {' or '.join(SYMMETRIES)}")
        check_fractions(dropout=dropout)
        super().__init__(num_classes, representation or FourMomentaRepresentation(dtype=dtype))
        self.symmetry = symmetry


def reference_vectors(symmetry: str, device: torch.device) -> torch.Tensor:
    """Return the vectors that break the symmetry, float64, shape (n, 4); none where it is the full Lorentz group."""
    vectors = BEAMS_AND_TIME if symmetry == "beam" else ()
    return torch.tensor(vectors, dtype=torch.float64, device=device).reshape(-1, 4)


def exact_momenta(batch: FourMomentaBatch) -> torch.Tensor:
    """Return the momenta in float64, shape (n_constituents, 4), those of unknown mass with the least mass, 2.5e-4."""
    momenta = batch.momenta.double()
    energy, space = momenta[:, 0], momenta[:, 1:]
    squared = space.square().sum(1)
    mass = energy.square() - squared
    resolution = _ROUNDINGS * torch.finfo(batch.momenta.dtype).eps
    known = mass > (resolution * energy.square()).clamp(min=_LEAST_MASS**2)
    mass = torch.where(known, mass, _LEAST_MASS**2)
    return torch.cat([(squared + mass).sqrt().unsqueeze(1), space], dim=1)


def boost_to_rest(vectors: torch.Tensor) -> torch.Tensor:
    """Return the boosts, shape (..., 4, 4), to the rest frames of timelike vectors, shape (..., 4).

    A vector that is nearly lightlike, or zero, gives a boost by at most a factor 1e7, which is still a boost.
    """
    energy, space = vectors[..., :1], vectors[..., 1:]
    squared = space.square().sum(-1, keepdim=True)
    mass = (energy.square() - squared).clamp(min=_TINY**2).sqrt()
    mass = torch.maximum(mass, energy.abs() / _LARGEST_BOOST).clamp(min=_TINY)
    energy = (squared + mass.square()).sqrt()
    # No cancellation: gamma - 1 is not formed.
    turned = space / mass
    identity = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    lower = identity + turned.unsqueeze(-1) * (space / (energy + mass)).unsqueeze(-2)
    top = torch.cat([energy / mass, -turned], dim=-1).unsqueeze(-2)
    return torch.cat([top, torch.cat([-turned.unsqueeze(-1), lower], dim=-1)], dim=-2)


def transform(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Apply transformations, shape (..., 4, 4), to one vector each, shape (..., 4)."""
    return (matrices @ vectors.unsqueeze(-1)).squeeze(-1)


def in_rest_frames(batch: FourMomentaBatch, references: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Boost every jet, and the reference vectors with it, to where the jet rests together with them.

    An equivariant network gives the same there as in the laboratory, but in float32 it sees the small masses of pairs
    of constituents that large energies would hide; the boost itself is done in float64.

    Parameters
    ----------
    batch : FourMomentaBatch
        Any jets.
    references : Tensor, float64, shape (n_references, 4)
        Vectors of the laboratory. As published, the frame is that of the jet and of 0.05 times their sum, so that it
        does not run away with a massless jet.

    Returns
    -------
    momenta : Tensor, float64, shape (n_constituents, 4)
    references : Tensor, float64, shape (n_jets, n_references, 4)
    """
    momenta = exact_momenta(batch)
    boosts = boost_to_rest(batch.sums(momenta) + REFERENCE_SCALE * references.sum(0))
    boosted = transform(boosts.index_select(0, batch.jet_of_row()), momenta)
    return boosted, transform(boosts.unsqueeze(1), references)


def zero_of(module: nn.Module) -> torch.Tensor:
    """Return zero, of which every weight of a module has the gradient zero: what it adds where it has no input."""
    return torch.cat([parameter.flatten()[:0] for parameter in module.parameters()]).sum()


def freeze_into_buffers(module: nn.Module) -> None:
    """Turn parameters that need no gradient, since nothing reads their effect, into buffers."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                del part._parameters[name]
                part.register_buffer(name, parameter.detach())
