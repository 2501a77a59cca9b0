"""Taggers: one architecture a file, made by name."""

from jetforge.taggers._memory import keep_freed_memory
from jetforge.taggers._registry import create_tagger, list_taggers, register_tagger
from jetforge.taggers.base import Tagger
from jetforge.taggers.lundnet import LundNet, lundnet2, lundnet3, lundnet4, lundnet5
from jetforge.taggers.store import load_tagger, save_tagger

__all__ = [
    "LundNet",
    "Tagger",
    "create_tagger",
    "keep_freed_memory",
    "list_taggers",
    "load_tagger",
    "lundnet2",
    "lundnet3",
    "lundnet4",
    "lundnet5",
    "register_tagger",
    "save_tagger",
]
