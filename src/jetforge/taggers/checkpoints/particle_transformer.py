"""Checkpoints of weaver's Particle Transformer, as jet-universe/particle_transformer publishes (arXiv:2202.03772)."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from jetforge.errors import TaggerError
from jetforge.taggers.checkpoints.base import ImportedWeights
from jetforge.taggers.checkpoints.jetclass import published_classes, published_cloud

_AFFINE = ("weight", "bias")
_NORM = (*_AFFINE, "running_mean", "running_var", "num_batches_tracked")
# Ours, theirs.
_BLOCK = {
    "input_norm": "pre_attn_norm", "out": "attn.out_proj", "out_norm": "post_attn_norm",
    "hidden_input_norm": "pre_fc_norm", "expand": "fc1", "hidden_norm": "post_fc_norm", "contract": "fc2",
}  # fmt: skip


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Return whether these are the tensors of that program's Particle Transformer."""
    names = {key.removeprefix("mod.") for key in state}
    return {"cls_token", "embed.input_bn.weight", "pair_embed.embed.0.weight", "blocks.0.c_attn"} <= names


def convert(state: Mapping[str, Tensor]) -> ImportedWeights:
    """Return the same network as our Particle Transformer.

    The published features are those of JetClass; ten classes are taken to be those of JetClass too. The network before
    the classifier may stand under ``mod.``, as in that program.

    Raises
    ------
    TaggerError
        If it reads other features, or has hidden layers in its classifier.
    KeyError
        If a tensor is missing.
    """
    theirs = {key.removeprefix("mod."): key for key in state}
    embedded, paired = _linear(theirs, "embed.embed."), _linear(theirs, "pair_embed.embed.")
    representation = published_cloud("Particle Transformer", len(state[theirs["embed.input_bn.weight"]]))
    if "fc.1.weight" in theirs or "fc.0.0.weight" in theirs:
        raise TaggerError("a Particle Transformer whose classifier has hidden layers is not known")
    converted = {ours: state[theirs[name]] for ours, name in _names(theirs)}
    for block in _old_blocks(theirs):
        _interleave_heads(converted, block)
    widths = [len(state[theirs[f"embed.embed.{index}.weight"]]) for index in embedded]
    *pair_widths, num_heads = (len(state[theirs[f"pair_embed.embed.{index}.weight"]]) for index in paired)
    arguments = {
        "embed_dims": widths,
        "pair_embed_dims": pair_widths,
        "num_heads": num_heads,
        "num_layers": len(_numbers(theirs, "blocks.")),
        "num_cls_layers": len(_numbers(theirs, "cls_blocks.")),
        "expansion": len(state[theirs["blocks.0.fc1.weight"]]) // widths[-1],
    }
    num_classes = len(state[theirs["fc.0.bias"]])
    return ImportedWeights(
        name="part",
        num_classes=num_classes,
        arguments=arguments,
        representation=representation,
        classes=published_classes(num_classes),
        state={key: value.reshape(_shape(key, value)) for key, value in converted.items()},
    )


def _shape(key: str, value: Tensor) -> tuple[int, ...]:
    """Return the shape of our tensor: their convolutions over one pair are our layers, their token has more axes."""
    if key == "class_attention.token":
        return (1, value.shape[-1])
    return tuple(value.shape[:2]) if key.startswith("pair_embedding.") else tuple(value.shape)


def _numbers(theirs: Mapping[str, str], prefix: str) -> list[int]:
    """Return the numbers that follow ``prefix`` in names."""
    return sorted({int(name[len(prefix) :].split(".")[0]) for name in theirs if name.startswith(prefix)})


def _linear(theirs: Mapping[str, str], prefix: str) -> list[int]:
    """Return the places of the linear layers in a sequence that repeats normalisation, layer and activation, or so."""
    return [index for index in _numbers(theirs, prefix) if index % 3 == 1]


def _names(theirs: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name of each of our tensors with theirs, without its prefix."""
    yield "class_attention.token", "cls_token"
    yield from _each("embedding.input_norm", "embed.input_bn", _NORM)
    for index in _numbers(theirs, "embed.embed."):
        yield from _each(f"embedding.layers.{index}", f"embed.embed.{index}", _AFFINE)
    yield from _each("pair_embedding.layers.0", "pair_embed.embed.0", _NORM)
    for layer, index in enumerate(_linear(theirs, "pair_embed.embed."), start=1):
        yield from _each(f"pair_embedding.layers.{layer}.linear", f"pair_embed.embed.{index}", _AFFINE)
        yield from _each(f"pair_embedding.layers.{layer}.norm", f"pair_embed.embed.{index + 1}", _NORM)
    for block in _numbers(theirs, "blocks."):
        yield from _block(theirs, f"blocks.{block}", f"blocks.{block}")
    for block in _numbers(theirs, "cls_blocks."):
        yield from _block(theirs, f"class_attention.blocks.{block}", f"cls_blocks.{block}")
    yield from _each("class_attention.norm", "norm", _AFFINE)
    yield from _each("output", "fc.0", _AFFINE)


def _is_old(theirs: Mapping[str, str], block: str) -> bool:
    """Return whether a block has PyTorch's attention, as in weaver before version 0.5, whose names differ."""
    return f"{block}.attn.in_proj_weight" in theirs


def _old_blocks(theirs: Mapping[str, str]) -> Iterator[str]:
    """Yield our names of the blocks that are from a weaver before version 0.5."""
    for ours, block in (("blocks.", "blocks."), ("class_attention.blocks.", "cls_blocks.")):
        yield from (f"{ours}{index}" for index in _numbers(theirs, block) if _is_old(theirs, f"{block}{index}"))


def _interleave_heads(converted: dict[str, Tensor], block: str) -> None:
    """Make what old versions of weaver do after attention part of its last layer.

    They scale the outputs of each head, and then write them with the head as the fastest index (einsum
    ``tbhd,h->tbdh``), where version 0.5 leaves them in place: what was trained by the one is not for the other.
    """
    scales = converted[f"{block}.head_scales"]
    for name in _AFFINE:
        rows = converted[f"{block}.out.{name}"]
        by_head = rows.reshape(len(scales), -1, *rows.shape[1:]) * scales.reshape(-1, *[1] * rows.dim())
        converted[f"{block}.out.{name}"] = by_head.transpose(0, 1).reshape(rows.shape)
    converted[f"{block}.head_scales"] = torch.ones_like(scales)


def _block(theirs: Mapping[str, str], ours: str, block: str) -> Iterator[tuple[str, str]]:
    yield f"{ours}.head_scales", f"{block}.c_attn"
    yield f"{ours}.shortcut_scales", f"{block}.w_resid"
    old = _is_old(theirs, block)
    for name in _AFFINE:
        yield f"{ours}.qkv.{name}", f"{block}.attn.in_proj{'_' if old else '.'}{name}"
    for our_layer, their_layer in _BLOCK.items():
        yield from _each(f"{ours}.{our_layer}", f"{block}.{their_layer}", _AFFINE)


def _each(ours: str, theirs: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        yield f"{ours}.{name}", f"{theirs}.{name}"
