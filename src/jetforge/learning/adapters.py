"""Adapters: small trained corrections of a network whose own weights stay as they are (LoRA, arXiv:2106.09685)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from jetforge.errors import TaggerError
from jetforge.taggers import Tagger, create_tagger

DEFAULT_RANK = 8
_NAMES = ("adapter_down", "adapter_up")


class _LowRank(nn.Module):
    """Adds a product of two thin matrices to the weights of a linear layer (arXiv:2106.09685, equation 3)."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        rank = min(rank, layer.in_features, layer.out_features)
        # At first nothing is added.
        self.adapter_down = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.adapter_up = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the corrected weights."""
        return weight + (self.adapter_up @ self.adapter_down).to(weight.dtype)


def is_adapter(name: str) -> bool:
    """Say whether a parameter of that name belongs to an adapter."""
    return name.rpartition(".")[2] in _NAMES


def add_adapters(tagger: Tagger, rank: int) -> None:
    """Give every linear layer before the head a trained correction of its weights.

    Raises
    ------
    TaggerError
        If there is no such layer.
    """
    boundary = list(tagger.stages())[-1]
    layers = [
        layer
        for module in tagger.modules_before(boundary)
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
    ]
    if not layers:
        raise TaggerError(
            f"transfer.mode: {tagger.name} has no linear layers to adapt; take finetune, frozen or gradual"
        )
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", _LowRank(layer, rank))


def without_adapters(tagger: Tagger) -> Tagger:
    """Return a tagger whose weights are corrected for good; the same one where it has no adapters."""
    if not any(is_adapter(name) for name, _ in tagger.named_parameters()):
        return tagger
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        plain = create_tagger(tagger.name, representation=tagger.representation, **tagger.arguments)
        plain.load_state_dict(_plain_state(tagger))
    plain.classes, plain.provenance = tagger.classes, tagger.provenance
    return plain.train(tagger.training)


def _plain_state(tagger: Tagger) -> dict[str, Any]:
    """Return the state of a tagger under the names that it has without adapters."""
    state = {}
    adapted = {name for name, module in tagger.named_modules() if parametrize.is_parametrized(module)}
    for key, value in tagger.state_dict().items():
        if ".parametrizations." not in key:
            state[key] = value
    for name in adapted:
        state[f"{name}.weight"] = tagger.get_submodule(name).weight
    return state
