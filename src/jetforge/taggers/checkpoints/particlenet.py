"""Checkpoints of weaver-core's ParticleNet, among them those published with ParT (arXiv:2202.03772)."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from jetforge.taggers.checkpoints.base import ImportedWeights
from jetforge.taggers.checkpoints.jetclass import published_classes, published_cloud

# Tensors do not tell the number of neighbours: these are the published pairs of widths and number.
_LITE = ((32, 32, 32), (64, 64, 64))
_NEIGHBOURS = {"particlenet": 16, "particlenet_lite": 7}
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Return whether these are the tensors of weaver-core's ParticleNet."""
    return {"bn_fts.weight", "edge_convs.0.convs.0.weight", "fc.0.0.weight"} <= set(state)


def convert(state: Mapping[str, Tensor]) -> ImportedWeights:
    """Return the same network as one of our ParticleNets.

    The number of neighbours is not among the tensors: 7 for the widths of ParticleNet-Lite, 16 for any other.

    Raises
    ------
    TaggerError
        If it has other inputs than the published ones.
    KeyError
        If a tensor is missing.
    """
    representation = published_cloud("ParticleNet", len(state["bn_fts.weight"]))
    blocks = _numbers(state, "edge_convs.")
    channels = [
        [
            len(state[f"edge_convs.{block}.convs.{layer}.weight"])
            for layer in _numbers(state, f"edge_convs.{block}.convs.")
        ]
        for block in blocks
    ]
    *hidden, output = _numbers(state, "fc.")
    name = "particlenet_lite" if tuple(map(tuple, channels)) == _LITE else "particlenet"
    num_classes = len(state[f"fc.{output}.bias"])
    return ImportedWeights(
        name=name,
        num_classes=num_classes,
        arguments={
            "k": _NEIGHBOURS[name],
            "channels": channels,
            "hidden": [len(state[f"fc.{layer}.0.weight"]) for layer in hidden],
            "use_fusion": "fusion_block.0.weight" in state,
        },
        representation=representation,
        classes=published_classes(num_classes),
        state=dict(_converted(state, channels, hidden, output)),
    )


def _numbers(state: Mapping[str, Tensor], prefix: str) -> list[int]:
    """Return the numbers that follow a prefix in the names of tensors, in order."""
    return sorted({int(key.removeprefix(prefix).split(".")[0]) for key in state if key.startswith(prefix)})


def _converted(
    state: Mapping[str, Tensor], channels: list[list[int]], hidden: list[int], output: int
) -> Iterator[tuple[str, Tensor]]:
    yield from _copied(state, "input_norm", "bn_fts", _NORM)
    for block, widths in enumerate(channels):
        ours, theirs = f"convolutions.{block}", f"edge_convs.{block}"
        for layer in range(len(widths)):
            yield f"{ours}.layers.{layer}.weight", state[f"{theirs}.convs.{layer}.weight"].flatten(1)
            yield from _copied(state, f"{ours}.norms.{layer}", f"{theirs}.bns.{layer}", _NORM)
        if f"{theirs}.sc.weight" in state:
            yield f"{ours}.shortcut.0.weight", state[f"{theirs}.sc.weight"].flatten(1)
            yield from _copied(state, f"{ours}.shortcut.1", f"{theirs}.sc_bn", _NORM)
    if "fusion_block.0.weight" in state:
        yield "fusion.0.weight", state["fusion_block.0.weight"].flatten(1)
        yield from _copied(state, "fusion.1", "fusion_block.1", _NORM)
    for layer in hidden:
        yield from _copied(state, f"hidden.{layer}", f"fc.{layer}.0", ("weight", "bias"))
    yield from _copied(state, "output", f"fc.{output}", ("weight", "bias"))


def _copied(
    state: Mapping[str, Tensor], ours: str, theirs: str, names: tuple[str, ...]
) -> Iterator[tuple[str, Tensor]]:
    for name in names:
        yield f"{ours}.{name}", state[f"{theirs}.{name}"]
