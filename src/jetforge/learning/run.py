"""The files of a run directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from jetforge.errors import DataError
from jetforge.taggers.store import DESCRIPTION_NAME, WEIGHTS_NAME

RECIPE_NAME = "recipe.yaml"
METRICS_NAME = "metrics.jsonl"
CHECKPOINT_FOLDER = "checkpoints"
LAST_CHECKPOINT = f"{CHECKPOINT_FOLDER}/last.ckpt"
BEST_FOLDER = f"{CHECKPOINT_FOLDER}/best"
# What measuring a run leaves in it.
MEASURED_NAMES = ("metrics.json", "roc.png", "report.html")


def remove_run(run: Path) -> None:
    """Remove what a training, or an import, and measuring left in a run directory; other files stay."""
    # The description goes first: what is left without it is no tagger.
    for name in (DESCRIPTION_NAME, WEIGHTS_NAME, RECIPE_NAME, *MEASURED_NAMES, METRICS_NAME, LAST_CHECKPOINT):
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / BEST_FOLDER, ignore_errors=True)


def read_metrics(run: Path) -> list[dict[str, float]]:
    """Return the rows of a run's `metrics.jsonl`, one a finished epoch; none where there is no such file.

    Raises
    ------
    DataError
        If a line is something else.
    """
    path = run / METRICS_NAME
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append(dict(json.loads(line)))
            rows[-1]["epoch"]
        except (ValueError, TypeError, KeyError):
            raise DataError(f"{path}:{number}: not a row of measured values; remove the line") from None
    return rows
