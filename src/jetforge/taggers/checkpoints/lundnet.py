"""Checkpoints of the published LundNet program (github.com/fdreyer/LundNet; Dreyer and Qu, arXiv:2012.08526)."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from jetforge.errors import TaggerError
from jetforge.representations import LundRepresentation
from jetforge.taggers.checkpoints.base import ImportedWeights

# Variables of the published networks, by their number: JetTree.py and scripts/lundnet.py of that program.
_NAMES = {5: "lundnet5", 4: "lundnet4", 3: "lundnet3", 2: "lundnet2"}
_VARIABLES = {
    5: ("ln_z", "ln_delta", "psi", "ln_m", "ln_kt"),
    4: ("ln_z", "ln_delta", "ln_kt", "psi"),
    3: ("ln_z", "ln_delta", "ln_kt"),
    2: ("ln_delta", "ln_kt"),
}
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Return whether these are the tensors of that program's LundNet; its ParticleNet has no fusion."""
    return {"bn_fts.weight", "edge_convs.0.theta.weight", "fusion_block.0.weight"} <= set(state)


def convert(state: Mapping[str, Tensor]) -> ImportedWeights:
    """Return the same network as one of our LundNets.

    The program normalises raw variables by the batch normalisation of its input, so the representation leaves them as
    they are. Its first layer of an edge convolution is ``theta (x_i - x_j) + phi x_j``, ours is
    ``centre x_i + step (x_j - x_i)``: ``centre = phi`` and ``step = phi - theta``.

    Raises
    ------
    TaggerError
        If it has other variables, or blocks that are no published LundNet's.
    KeyError
        If a tensor is missing.
    """
    num_variables = len(state["bn_fts.weight"])
    if num_variables not in _NAMES:
        raise TaggerError(f"a LundNet of {num_variables} variables is not known; published are those of 2, 3, 4 and 5")
    blocks = sorted({int(key.split(".")[1]) for key in state if key.startswith("edge_convs.")})
    variables = _VARIABLES[num_variables]
    channels = [len(state[f"edge_convs.{block}.theta.weight"]) for block in blocks]
    arguments = {
        "channels": channels,
        "fusion": len(state["fusion_block.0.weight"]),
        "hidden": len(state["fc.0.0.weight"]),
    }
    return ImportedWeights(
        name=_NAMES[num_variables],
        num_classes=len(state["fc.1.bias"]),
        arguments=arguments,
        representation=LundRepresentation(variables, mean=[0.0] * num_variables, std=[1.0] * num_variables),
        classes=None,
        state=dict(_converted(state, blocks)),
    )


def _converted(state: Mapping[str, Tensor], blocks: list[int]) -> Iterator[tuple[str, Tensor]]:
    yield from _copied(state, "input_norm", "bn_fts", _NORM)
    for block in blocks:
        ours, theirs = f"convolutions.{block}", f"edge_convs.{block}"
        theta, phi = state[f"{theirs}.theta.weight"], state[f"{theirs}.phi.weight"]
        yield f"{ours}.first.weight", torch.cat([phi, phi - theta], dim=1)
        yield from _copied(state, f"{ours}.first_norm", f"{theirs}.bns.0", _NORM)
        yield from _copied(state, f"{ours}.second", f"{theirs}.fcs.0", ("weight",))
        yield from _copied(state, f"{ours}.second_norm", f"{theirs}.bns.1", _NORM)
        if f"{theirs}.sc.weight" in state:
            yield from _copied(state, f"{ours}.shortcut.0", f"{theirs}.sc", ("weight",))
            yield from _copied(state, f"{ours}.shortcut.1", f"{theirs}.sc_bn", _NORM)
    yield from _copied(state, "fusion", "fusion_block.0", ("weight", "bias"))
    yield from _copied(state, "fusion_norm", "fusion_block.2", _NORM)
    yield from _copied(state, "hidden", "fc.0.0", ("weight", "bias"))
    yield from _copied(state, "output", "fc.1", ("weight", "bias"))


def _copied(
    state: Mapping[str, Tensor], ours: str, theirs: str, names: tuple[str, ...]
) -> Iterator[tuple[str, Tensor]]:
    for name in names:
        yield f"{ours}.{name}", state[f"{theirs}.{name}"]
