"""Fitting a tagger that does not learn by gradients, into a run directory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch
from rich.console import Console

from jetforge.errors import Interrupted
from jetforge.files import write_atomically
from jetforge.jets.dataset import Dataset
from jetforge.learning.boosting import LabelledRows, fit_boosted_trees
from jetforge.learning.layout import METRICS_NAME
from jetforge.learning.loader import BatchLoader
from jetforge.learning.module import measure
from jetforge.learning.recipe import Recipe
from jetforge.learning.training_jets import initialise
from jetforge.representations import DenseBatch
from jetforge.taggers import Tagger, save_tagger
from jetforge.taggers.boosted_trees import BoostedTrees


def boost(recipe: Recipe, dataset: Dataset, tagger: Tagger) -> None:
    """Fit a tagger that does not learn by gradients, measure it, and write it into the run directory.

    Raises
    ------
    Interrupted
        By Ctrl-C: such a fit has no checkpoints to go on from.
    """
    try:
        _fit_at_once(recipe, dataset, tagger)
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; {tagger.name} is fitted in one go, nothing of which is kept: run the same command again to "
            "fit it from the start"
        ) from None


def _fit_at_once(recipe: Recipe, dataset: Dataset, tagger: Tagger) -> None:
    run, start = Path(recipe.out), time.monotonic()
    with Console(stderr=True).status("fitting"):
        initialise(tagger, dataset, dataset)
        rows = {}
        for split in ("train", "val"):
            parts = list(BatchLoader(dataset, split, tagger.representation, 20_000, cache_jets=0))
            rows[split] = LabelledRows(
                np.concatenate([cast(DenseBatch, part.jets).values.numpy() for part in parts]),
                torch.cat([part.labels for part in parts]).numpy(),
                torch.cat([part.weights for part in parts]).double().numpy(),
            )
        history = fit_boosted_trees(cast(BoostedTrees, tagger), rows["train"], rows["val"], seed=recipe.training.seed)
        tagger.eval()
        with torch.no_grad():
            values = torch.from_numpy(rows["val"].values)
            chunks = [values[first : first + 10_000] for first in range(0, len(values), 10_000)]
            logits = torch.cat([tagger(DenseBatch(chunk)) for chunk in chunks]).float()
    row = {
        "epoch": 0,
        "step": history.kept,
        "train_loss": history.train_loss[history.kept - 1],
        **measure(logits, torch.from_numpy(rows["val"].labels), torch.from_numpy(rows["val"].weights)),
        "seconds": round(time.monotonic() - start, 3),
    }
    write_atomically(run / METRICS_NAME, (json.dumps(row) + "\n").encode())
    save_tagger(tagger, run)
