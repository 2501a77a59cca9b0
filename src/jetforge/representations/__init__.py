"""Representations: jets to tensors, one kind a file."""

from jetforge.representations.base import (
    Batch,
    Representation,
    list_representations,
    register_representation,
    representation_from_dict,
    representation_to_dict,
)
from jetforge.representations.four_momenta import FourMomentaBatch, FourMomentaRepresentation
from jetforge.representations.lund import LUND_VARIABLES, LundBatch, LundRepresentation

__all__ = [
    "LUND_VARIABLES",
    "Batch",
    "FourMomentaBatch",
    "FourMomentaRepresentation",
    "LundBatch",
    "LundRepresentation",
    "Representation",
    "list_representations",
    "register_representation",
    "representation_from_dict",
    "representation_to_dict",
]
