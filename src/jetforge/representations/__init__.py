"""Representations: jets to tensors, one kind a file."""

from jetforge.representations._constituents import CONSTITUENT_FEATURES
from jetforge.representations._dense import DenseBatch
from jetforge.representations._packed import PackedBatch
from jetforge.representations.base import (
    Batch,
    Representation,
    list_representations,
    make_representation,
    register_representation,
    representation_from_dict,
    representation_to_dict,
)
from jetforge.representations.cloud import PARTICLENET_FEATURES, CloudBatch, CloudRepresentation
from jetforge.representations.four_momenta import FourMomentaBatch, FourMomentaRepresentation
from jetforge.representations.lund import LUND_VARIABLES, LundBatch, LundRepresentation

__all__ = [
    "CONSTITUENT_FEATURES",
    "LUND_VARIABLES",
    "PARTICLENET_FEATURES",
    "Batch",
    "CloudBatch",
    "CloudRepresentation",
    "DenseBatch",
    "FourMomentaBatch",
    "FourMomentaRepresentation",
    "LundBatch",
    "LundRepresentation",
    "PackedBatch",
    "Representation",
    "list_representations",
    "make_representation",
    "register_representation",
    "representation_from_dict",
    "representation_to_dict",
]
