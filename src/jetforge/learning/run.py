"""The files of a run directory."""

from __future__ import annotations

import json
from pathlib import Path

from jetforge.errors import DataError

RECIPE_NAME = "recipe.yaml"
METRICS_NAME = "metrics.jsonl"
CHECKPOINT_FOLDER = "checkpoints"
LAST_CHECKPOINT = f"{CHECKPOINT_FOLDER}/last.ckpt"
BEST_FOLDER = f"{CHECKPOINT_FOLDER}/best"
# What measuring a run leaves in it.
MEASURED_NAMES = ("metrics.json", "roc.png", "report.html")


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
