"""Datasets to files of other programs: Parquet for awkward-array, ROOT, and the layout of the top-tagging set."""

from jetforge.jets.writers.base import Exported, Writer
from jetforge.jets.writers.registry import get_writer, list_writers
from jetforge.jets.writers.writing import export

__all__ = ["Exported", "Writer", "export", "get_writer", "list_writers"]
