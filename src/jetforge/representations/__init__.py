"""Representations: jets to tensors, one kind a file."""

from jetforge.representations._constituents import CONSTITUENT_FEATURES
from jetforge.representations._dense import DenseBatch
from jetforge.representations._packed import PackedBatch, RowsBatch
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
from jetforge.representations.image import SCALINGS, ImageBatch, ImageRepresentation
from jetforge.representations.lund import LUND_VARIABLES, LundBatch, LundRepresentation
from jetforge.representations.observables import HLDNN_OBSERVABLES, ObservablesBatch, ObservablesRepresentation
from jetforge.representations.sequence import SEQUENCE_ORDERS, SequenceBatch, SequenceRepresentation
from jetforge.representations.several import SeveralBatch, SeveralRepresentation
from jetforge.representations.view import JetView

__all__ = [
    "CONSTITUENT_FEATURES",
    "HLDNN_OBSERVABLES",
    "LUND_VARIABLES",
    "PARTICLENET_FEATURES",
    "SCALINGS",
    "SEQUENCE_ORDERS",
    "Batch",
    "CloudBatch",
    "CloudRepresentation",
    "DenseBatch",
    "FourMomentaBatch",
    "FourMomentaRepresentation",
    "ImageBatch",
    "ImageRepresentation",
    "JetView",
    "LundBatch",
    "LundRepresentation",
    "ObservablesBatch",
    "ObservablesRepresentation",
    "PackedBatch",
    "Representation",
    "RowsBatch",
    "SequenceBatch",
    "SequenceRepresentation",
    "SeveralBatch",
    "SeveralRepresentation",
    "list_representations",
    "make_representation",
    "register_representation",
    "representation_from_dict",
    "representation_to_dict",
]
