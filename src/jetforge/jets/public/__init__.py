"""Public jet data sets: a catalogue of what there is, and files that are fetched whole or not at all."""

from jetforge.jets.public.catalogue import FileList, PublicFile, PublicSet, get_set, load_catalogue
from jetforge.jets.public.download import Fetched, Progress, fetch, fetch_set
from jetforge.jets.public.transfer import Patience

__all__ = [
    "Fetched",
    "FileList",
    "Patience",
    "Progress",
    "PublicFile",
    "PublicSet",
    "fetch",
    "fetch_set",
    "get_set",
    "load_catalogue",
]
