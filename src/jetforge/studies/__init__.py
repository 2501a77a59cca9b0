"""Runs composed: a recipe from collisions to a measured tagger."""

from jetforge.studies.pipeline import run_recipe

__all__ = ["run_recipe"]
