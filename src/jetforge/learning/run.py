"""The files of a run directory."""

from __future__ import annotations

import json
from pathlib import Path

RECIPE_NAME = "recipe.yaml"
METRICS_NAME = "metrics.jsonl"
CHECKPOINT_FOLDER = "checkpoints"
LAST_CHECKPOINT = f"{CHECKPOINT_FOLDER}/last.ckpt"
BEST_FOLDER = f"{CHECKPOINT_FOLDER}/best"
# What measuring a run leaves in it.
MEASURED_NAMES = ("metrics.json", "roc.png", "report.html")


def read_metrics(run: Path) -> list[dict[str, float]]:
    """Return the rows of a run's `metrics.jsonl`, one a finished epoch; none where there is no such file."""
    path = run / METRICS_NAME
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
