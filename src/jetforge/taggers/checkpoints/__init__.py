"""Published checkpoints: one architecture a file, each says which tensors it knows and what they become."""

from jetforge.taggers.checkpoints.base import ImportedWeights
from jetforge.taggers.checkpoints.read import import_weights, read_checkpoint

__all__ = ["ImportedWeights", "import_weights", "read_checkpoint"]
