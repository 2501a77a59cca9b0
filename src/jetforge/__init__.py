"""Jet tagging in one package: from proton collisions to a measured tagger.

The public functions are imported when they are first used, so that `import jetforge` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jetforge._version import __version__

if TYPE_CHECKING:
    from jetforge.errors import DataError, JetforgeError, RecipeError, TaggerError
    from jetforge.evaluation import evaluate_scores
    from jetforge.evaluation.evaluate import evaluate
    from jetforge.events.generate import generate
    from jetforge.jets import Dataset, Jets
    from jetforge.jets import open_dataset as open  # noqa: A004
    from jetforge.jets.convert import convert
    from jetforge.jets.edit.merge import merge
    from jetforge.jets.edit.reweight import reweight
    from jetforge.jets.edit.skim import skim
    from jetforge.jets.edit.split import split
    from jetforge.jets.pixels import pixel_images
    from jetforge.jets.writers import export
    from jetforge.learning.fit import fit
    from jetforge.learning.recipe import load_recipe
    from jetforge.learning.transferability import transferability
    from jetforge.physics.by_name.observed import observables
    from jetforge.physics.images.pixels import jet_images
    from jetforge.physics.lund import lund_tree
    from jetforge.studies import load_study, plan_study, run_recipe, run_study
    from jetforge.taggers import create_tagger, list_taggers, load_tagger, save_tagger

__all__ = [
    "DataError",
    "Dataset",
    "JetforgeError",
    "Jets",
    "RecipeError",
    "TaggerError",
    "__version__",
    "convert",
    "create_tagger",
    "evaluate",
    "evaluate_scores",
    "export",
    "fit",
    "generate",
    "jet_images",
    "list_taggers",
    "load_recipe",
    "load_study",
    "load_tagger",
    "lund_tree",
    "merge",
    "observables",
    "open",
    "pixel_images",
    "plan_study",
    "reweight",
    "run_recipe",
    "run_study",
    "save_tagger",
    "skim",
    "split",
    "transferability",
]

_HOME = {
    "DataError": "jetforge.errors",
    "Dataset": "jetforge.jets",
    "JetforgeError": "jetforge.errors",
    "Jets": "jetforge.jets",
    "RecipeError": "jetforge.errors",
    "TaggerError": "jetforge.errors",
    "convert": "jetforge.jets.convert",
    "create_tagger": "jetforge.taggers",
    "evaluate": "jetforge.evaluation.evaluate",
    "evaluate_scores": "jetforge.evaluation",
    "export": "jetforge.jets.writers",
    "fit": "jetforge.learning.fit",
    "generate": "jetforge.events.generate",
    "jet_images": "jetforge.physics.images.pixels",
    "list_taggers": "jetforge.taggers",
    "load_recipe": "jetforge.learning.recipe",
    "load_study": "jetforge.studies",
    "load_tagger": "jetforge.taggers",
    "lund_tree": "jetforge.physics.lund",
    "merge": "jetforge.jets.edit.merge",
    "observables": "jetforge.physics.by_name.observed",
    "open": "jetforge.jets",
    "pixel_images": "jetforge.jets.pixels",
    "plan_study": "jetforge.studies",
    "reweight": "jetforge.jets.edit.reweight",
    "run_recipe": "jetforge.studies",
    "run_study": "jetforge.studies",
    "save_tagger": "jetforge.taggers",
    "skim": "jetforge.jets.edit.skim",
    "split": "jetforge.jets.edit.split",
    "transferability": "jetforge.learning.transferability",
}


_PACKAGES = ("deploy", "evaluation", "events", "jets", "learning", "physics", "representations", "studies", "taggers")


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"jetforge.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'jetforge' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), {"open": "open_dataset"}.get(name, name))


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, *_PACKAGES])
