"""The jet collection, its stored form, and reading and writing it."""

from jetforge.jets.dataset import Dataset, open_dataset
from jetforge.jets.jets import Jets

__all__ = ["Dataset", "Jets", "open_dataset"]
