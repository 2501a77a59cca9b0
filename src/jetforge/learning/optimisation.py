"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from jetforge.learning.recipe import TrainingSection

_FINAL_FRACTION = 0.01


def make_optimizer(parameters: Iterable[nn.Parameter], training: TrainingSection) -> torch.optim.Optimizer:
    """Return Adam (arXiv:1412.6980) or AdamW (arXiv:1711.05101) as a recipe says.

    AdamW does not decay vectors (biases, normalisation scales), only matrices.
    """
    trainable = [p for p in parameters if p.requires_grad]
    if training.optimizer == "adam":
        return torch.optim.Adam(trainable, lr=training.learning_rate, weight_decay=training.weight_decay)
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate)


def learning_rate_factor(training: TrainingSection, steps_per_epoch: int) -> Callable[[int], float]:
    """Return the factor on the learning rate as a function of the optimiser's step.

    ``cosine`` (arXiv:1608.03983, one cycle): linear warm-up, then a half cosine down to 1 %.
    ``steps``: 1, 0.1, 0.01 in the first, second and last third of the epochs (arXiv:2012.08526: 10 and 20 of 30).
    ``constant``: 1. Only ``cosine`` warms up.
    """
    total = training.epochs * steps_per_epoch
    warmup = min(training.warmup_epochs * steps_per_epoch, 0.5 * total)

    def cosine(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min((step - warmup) / max(total - warmup, 1), 1.0)
        return _FINAL_FRACTION + (1 - _FINAL_FRACTION) * 0.5 * (1 + math.cos(math.pi * progress))

    def steps(step: int) -> float:
        epoch = step // steps_per_epoch
        return 0.1 ** (min(3 * epoch // training.epochs, 2))

    return {"cosine": cosine, "steps": steps, "constant": lambda step: 1.0}[training.schedule]
