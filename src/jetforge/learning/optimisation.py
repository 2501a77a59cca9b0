"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from jetforge.learning.sections import TrainingSection

_FINAL_FRACTION = 0.01
# arXiv:1902.08570: 3e-3 at the peak, 5e-7 at the end.
_ONE_CYCLE_FINAL = 1 / 6000
_FIRST_RESTART = 4


def make_optimizer(
    parameters: Iterable[nn.Parameter], training: TrainingSection, factors: Mapping[int, float] | None = None
) -> torch.optim.Optimizer:
    """Return the optimiser that a recipe asks for.

    Parameters
    ----------
    parameters
        Those that learn now or later.
    training
        The recipe's section.
    factors
        The factor on the learning rate of parameters, by their ``id``, where it is not one.

    Notes
    -----
    ``adam``: arXiv:1412.6980; weight decay adds to the gradient of all parameters.
    ``adamw``: arXiv:1711.05101. ``radam``: arXiv:1908.03265. ``ranger``: `Ranger`. ``lion``: arXiv:2302.06675.
    ``sgd``: with momentum 0.9. These decay no vectors (biases, normalisation scales), only matrices.
    """
    rate, by_factor = training.learning_rate, _by_factor(parameters, factors or {})
    given: dict[str, Any] = {} if training.betas is None else {"betas": training.betas}
    if training.optimizer == "adam":
        # Group by group: one alone is as Adam has it without groups.
        every = [{"params": members, "lr": rate * factor} for factor, members in by_factor.items()]
        return torch.optim.Adam(every, lr=rate, weight_decay=training.weight_decay, **given)
    groups = [
        {"params": chosen, "lr": rate * factor, "weight_decay": decay}
        for factor, members in by_factor.items()
        for chosen, decay in (
            ([p for p in members if p.ndim > 1], training.weight_decay), ([p for p in members if p.ndim <= 1], 0.0)
        )
        if chosen
    ]  # fmt: skip
    if training.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, **given)
    if training.optimizer == "radam":
        return torch.optim.RAdam(groups, lr=rate, decoupled_weight_decay=True, **given)
    if training.optimizer == "ranger":
        return Ranger(groups, lr=rate, **given)
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9)
    from pytorch_optimizer import Lion  # here, since it takes a second to import

    lion: torch.optim.Optimizer = Lion(groups, lr=rate, **given)
    return lion


def _by_factor(parameters: Iterable[nn.Parameter], factors: Mapping[int, float]) -> dict[float, list[nn.Parameter]]:
    """Return the parameters that learn, by the factor on their learning rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        if parameter.requires_grad:
            groups.setdefault(factors.get(id(parameter), 1.0), []).append(parameter)
    return groups


class Ranger(torch.optim.RAdam):
    """RAdam (arXiv:1908.03265) whose weights are drawn half-way back to slow ones every six steps (arXiv:1907.08610).

    As in weaver, with which ParT (arXiv:2202.03772) was trained. The slow weights are part of the optimiser's state,
    so that a checkpoint holds them.

    Parameters
    ----------
    params
        Parameters or groups of them.
    lr, betas, eps
        Of RAdam.
    k
        Steps between two looks back.
    alpha
        How far the slow weights move towards the fast ones.
    """

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.95, 0.999), eps: float = 1e-5,
        k: int = 6, alpha: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, betas=betas, eps=eps, decoupled_weight_decay=True)
        self.k, self.alpha = k, alpha
        for group in self.param_groups:
            group["steps_since_look_back"] = 0

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step; the closure, if any, makes the gradients."""
        every = [parameter for group in self.param_groups for parameter in group["params"]]
        # Before its first step a parameter is its own slow weight.
        first = {p: p.detach().clone() for p in every if "slow" not in self.state[p]}
        loss = super().step(closure)
        for parameter, slow in first.items():
            if self.state[parameter]:  # it had a gradient
                self.state[parameter]["slow"] = slow
        for group in self.param_groups:
            group["steps_since_look_back"] = (group["steps_since_look_back"] + 1) % self.k
            if group["steps_since_look_back"]:
                continue
            for parameter in group["params"]:
                if "slow" in self.state[parameter]:
                    slow = self.state[parameter]["slow"]
                    slow.lerp_(parameter, self.alpha)
                    parameter.copy_(slow)
        return loss


def learning_rate_factor(training: TrainingSection, steps_per_epoch: int) -> Callable[[int], float]:
    """Return the factor on the learning rate as a function of the optimiser's step.

    ``cosine`` (arXiv:1608.03983, one cycle): linear warm-up, then a half cosine down to 1 %.
    ``steps``: 1, 0.1, 0.01 in the first, second and last third of the epochs (arXiv:2012.08526: 10 and 20 of 30).
    ``constant``: 1.
    ``flat_exponential``: 1 for 70 % of the epochs, then the same factor at each epoch, to 1 % in the last
    (weaver's flat+decay, arXiv:2202.03772).
    ``flat_cosine``: 1 for 70 % of the steps, then a half cosine down to 1 %.
    ``cosine_restarts`` (arXiv:2201.08187, its code): after the warm-up, half cosines of 4, 8, 16, ... epochs down to 0,
    constant within an epoch; a cycle that would not be finished is not begun, the rate is halved at each epoch instead.
    ``cosine_twice``: two half cosines down to 0, each half of the training.
    ``one_cycle`` (arXiv:1902.08570): from 0.1 to 1 in the first 40 % of the steps, back to 0.1 in the next 40 %, then
    to 1/6000, all linear.

    Only ``cosine`` and ``cosine_restarts`` warm up.
    """
    epochs, total = training.epochs, training.epochs * steps_per_epoch
    warmup = min(training.warmup_epochs * steps_per_epoch, 0.5 * total)

    def cosine(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return _half_cosine((step - warmup) / max(total - warmup, 1), _FINAL_FRACTION)

    def steps(step: int) -> float:
        return 0.1 ** (min(3 * (step // steps_per_epoch) // epochs, 2))

    def flat_exponential(step: int) -> float:
        falling = max(1, int(0.3 * epochs))
        done = min(step // steps_per_epoch, epochs - 1) - (epochs - falling) + 1
        return float(_FINAL_FRACTION ** (max(done, 0) / falling))

    def flat_cosine(step: int) -> float:
        return _half_cosine((step - 0.7 * total) / (0.3 * total), _FINAL_FRACTION)

    def cosine_restarts(step: int) -> float:
        return _with_restarts(step // steps_per_epoch, epochs, min(training.warmup_epochs, 0.5 * epochs))

    def cosine_twice(step: int) -> float:
        return _half_cosine(2 * step / total % 1, 0.0)

    def one_cycle(step: int) -> float:
        done = step / total
        if done < 0.8:
            return 1 - 0.9 * abs(done - 0.4) / 0.4
        return 0.1 + (_ONE_CYCLE_FINAL - 0.1) * min((done - 0.8) / 0.2, 1.0)

    schedules: dict[str, Callable[[int], float]] = {
        "cosine": cosine, "steps": steps, "constant": lambda step: 1.0, "flat_exponential": flat_exponential,
        "flat_cosine": flat_cosine, "cosine_restarts": cosine_restarts, "cosine_twice": cosine_twice,
        "one_cycle": one_cycle,
    }  # fmt: skip
    return schedules[training.schedule]


def _half_cosine(progress: float, final: float) -> float:
    """Return 1 before 0, `final` after 1, and half a cosine between."""
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def _with_restarts(epoch: int, epochs: int, warmup: float) -> float:
    """Return the factor of an epoch: linear warm-up, which its last epoch ends at 1, cycles, then halving."""
    if epoch + 1 < warmup:
        return (epoch + 1) / warmup
    before = max(math.ceil(warmup) - 1, 0)
    since, left = epoch - before, epochs - before
    start, length = 0, _FIRST_RESTART
    while start + length <= since and start + 3 * length <= left:
        start, length = start + length, 2 * length
    position = since - start
    if length > left:
        return 0.5**since
    if position < length:
        return _half_cosine(position / length, 0.0)
    return float(_half_cosine((length - 1) / length, 0.0) * 0.5 ** (position - length + 1))
