"""The public formats: one reader a file, chosen by what a file contains."""

from jetforge.jets.readers.base import FormatCard, Option, Reader
from jetforge.jets.readers.registry import get_reader, list_formats, open_reader, recognise

__all__ = ["FormatCard", "Option", "Reader", "get_reader", "list_formats", "open_reader", "recognise"]
