"""TopoDNN: dense layers on the 30 hardest constituents (Pearkes, Fedorko, Lister, Gay, arXiv:1704.02124)."""

from collections.abc import Sequence

from jetforge.representations import SequenceRepresentation
from jetforge.taggers._registry import register_tagger
from jetforge.taggers.dense import DenseNetwork

TOPODNN_FEATURES = ("pt", "aligned_eta", "aligned_phi")
"""Of each constituent: pT, and the direction after moving, turning and reflecting the jet."""


@register_tagger
def topodnn(
    num_classes: int = 2,
    representation: SequenceRepresentation | None = None,
    widths: Sequence[int] = (300, 102, 12, 6),
    dropout: float = 0.0,
) -> DenseNetwork:
    """TopoDNN: four dense layers on pT, eta, phi of the 30 hardest constituents (arXiv:1704.02124, 1902.09914).

    Layers as in https://github.com/jpearkes/topo_dnn.
    """
    reads = representation or SequenceRepresentation(TOPODNN_FEATURES, max_length=30)
    return DenseNetwork(num_classes, reads, widths=widths, dropout=dropout, norm=False)
