"""One recipe, the whole path: generate the jets, train the tagger, measure it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jetforge.errors import RecipeError
from jetforge.evaluation.evaluate import evaluate
from jetforge.events.generate import generate
from jetforge.jets.build import Progress
from jetforge.learning.distill import with_teachers
from jetforge.learning.fit import Hardware, fit
from jetforge.learning.recipe import Recipe, tagger_of
from jetforge.learning.run import is_trained
from jetforge.learning.training_jets import dataset_of, with_unlabelled
from jetforge.learning.transfer import with_source


class Outcome(NamedTuple):
    """What a recipe gave: the numbers of `metrics.json`, and the directory that holds everything."""

    metrics: dict[str, Any]
    run: Path


def run_recipe(
    recipe: Recipe,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    hardware: Hardware | None = None,
    overwrite: bool = False,
    command: str = "",
    on_stage: Callable[[str], None] = lambda stage: None,
    on_generated: Callable[[Progress], None] = lambda progress: None,
    on_scored: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Do everything that a recipe says; what an earlier call finished is not done again.

    Parameters
    ----------
    recipe
        See `jetforge.load_recipe`.
    workers, scheduler
        For the generation, see `jetforge.generate`.
    hardware
        For the training, see `jetforge.fit`.
    overwrite
        Train anew where the run directory holds an earlier run; jets are kept.
    command
        Shown in the report.
    on_stage
        Called with ``generate``, ``train`` and ``evaluate`` as each begins; with ``trained`` instead of ``train`` where
        the run directory holds the trained tagger already.
    on_generated
        Called after each generated part.
    on_scored
        Called with jets measured and jets in all.

    Returns
    -------
    Outcome

    Raises
    ------
    JetforgeError
        What `jetforge.generate`, `jetforge.fit` and `jetforge.evaluate` raise.
    """
    # A tagger that does not exist is better known before hours of generation than after.
    if recipe.pretrain is not None:
        raise RecipeError(
            "pretrain: what is learnt without labels cannot be measured; train it with: jetforge pretrain"
        )
    recipe, _ = with_teachers(with_source(recipe)[0])
    tagger_of(recipe)
    if recipe.generate is not None:
        on_stage("generate")
        wanted = recipe.generate
        generate(
            wanted.presets, wanted.jets, recipe.data, seed=wanted.seed, split=wanted.split, part_jets=wanted.part_jets,
            workers=workers, scheduler=scheduler, on_progress=on_generated,
        )  # fmt: skip
    elif not Path(recipe.data).exists():
        raise RecipeError(f"data: {recipe.data} does not exist; generate it, or give the recipe a section 'generate'")
    trained = not overwrite and is_trained(recipe, with_unlabelled(recipe, dataset_of(recipe)))
    on_stage("trained" if trained else "train")
    fit(recipe, hardware=hardware, overwrite=overwrite)
    on_stage("evaluate")
    settings = recipe.evaluation
    metrics = evaluate(
        recipe.out,
        recipe.data,
        split=settings.split,
        interval=settings.interval,
        command=command,
        on_progress=on_scored,
    )
    return Outcome(metrics, Path(recipe.out))
