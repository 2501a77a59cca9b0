"""Runs composed: a recipe from collisions to a measured tagger, and studies of many runs."""

from jetforge.studies.pipeline import run_recipe
from jetforge.studies.studies import StudyPlan, load_study, plan_study, run_study

__all__ = ["StudyPlan", "load_study", "plan_study", "run_recipe", "run_study"]
