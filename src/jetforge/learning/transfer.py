"""Transfer learning: a tagger for a new task that starts from one for an old task (arXiv:2203.06210).

What a jet's constituents tell of QCD is much the same whatever the task, so most of what one tagger learnt serves
another. Four modes:

``finetune``: all weights learn, at a rate that is divided by ten, or by three if the source tells W jets apart, as
published. With ``layer_decay`` each layer learns more slowly than the one above it (arXiv:1801.06146, section 3.2).
``frozen``: the stages before a boundary stay as they are, in evaluation mode; the others learn at the full rate. What
the frozen stages make of each jet is computed once and kept on disk, see `jetforge.learning.backbone`.
``gradual``: the head learns first, and every few epochs one stage more (arXiv:1801.06146, section 3.3).
``adapters``: the backbone's linear layers get a trained correction of low rank (arXiv:2106.09685), everything else
before the head stays as it is; at the end the corrections become part of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jetforge.errors import JetforgeError, RecipeError, TaggerError
from jetforge.learning.adapters import is_adapter
from jetforge.learning.layout import RECIPE_NAME, refuse_unfinished
from jetforge.learning.recipe import Recipe
from jetforge.learning.sections import TransferSection
from jetforge.representations import make_representation, representation_to_dict
from jetforge.taggers import Tagger, create_tagger, load_tagger, weights_sha256
from jetforge.yaml_files import read_yaml

# arXiv:2203.06210: learning rates of fine-tuning, by what the source tells from QCD.
_RATE_DIVISOR, _RATE_DIVISOR_FROM_W = 10.0, 3.0
_W = "w"
_NORMALISATION = ("mean", "std")


def with_source(recipe: Recipe) -> tuple[Recipe, Tagger | None]:
    """Return a recipe whose transfer leaves nothing open, and the tagger that it starts from.

    Parameters
    ----------
    recipe
        Any recipe; one without a transfer is returned as it is, with None.

    Raises
    ------
    RecipeError
        If the recipe asks for another tagger or representation than the source's, the source is not the one that the
        recipe was written for, or it has no such boundary.
    TaggerError
        If there is no whole tagger at the source, its training is unfinished, or it does not learn by gradients.
    """
    transfer = recipe.transfer
    if transfer is None:
        return recipe, None
    refuse_unfinished(Path(transfer.source))
    source = load_tagger(transfer.source)
    where = f"transfer.source: {transfer.source}"
    if not source.trained_by_gradient:
        raise TaggerError(f"{where}: {source.name} is not trained by gradients: nothing of it can be taken over")
    if recipe.tagger.name != source.name:
        raise RecipeError(f"{where} is a {source.name}, the recipe asks for {recipe.tagger.name}; leave tagger out")
    found = weights_sha256(transfer.source)
    if transfer.source_sha256 not in (None, found):
        raise RecipeError(
            f"{where} has the sha256 {found[:12]}..., not {str(transfer.source_sha256)[:12]}...: it was trained again "
            "since this recipe was written; take another source, or leave source_sha256 out"
        )
    _check_representation(recipe, source)
    resolved = transfer.model_copy(
        update={
            "source_sha256": found,
            "boundary": _boundary(transfer, source),
            "rate_divisor": _rate_divisor(transfer, source),
        }
    )
    representation = representation_to_dict(source.representation)
    return recipe.model_copy(update={"transfer": resolved, "representation": representation}), source


def training_of_source(source: str | Path) -> dict[str, Any]:
    """Return how a run was trained, as the training section of a recipe; empty where it has no recipe.

    What depends on the old jets is left out: how many of them, and what was learnt beside or instead of their class.

    Raises
    ------
    RecipeError
        If its recipe is damaged.
    """
    folder = Path(source).parent if Path(source).suffix == ".json" else Path(source)
    path = folder / RECIPE_NAME
    if not path.is_file():
        return {}
    values, _ = read_yaml(path, "a recipe")
    training = values.get("training") if isinstance(values, dict) else None
    if not isinstance(training, dict):
        raise RecipeError(f"{path}: not the recipe of a run; restore it, or remove it to train with the usual settings")
    left_out = {"train_jets", "auxiliary", *(("monitor",) if values.get("pretrain") else ())}
    return {name: value for name, value in training.items() if name not in left_out}


def _check_representation(recipe: Recipe, source: Tagger) -> None:
    """Refuse settings that are not those of the source, whose weights would make nothing of other inputs."""
    have = representation_to_dict(source.representation)
    try:
        wanted = representation_to_dict(make_representation(recipe.representation, source.representation))
    except JetforgeError as error:
        raise type(error)(f"representation: {error}") from None
    left_open = {name for name in _NORMALISATION if recipe.representation.get(name) is None}
    # The name first: other settings follow from it.
    for name in sorted({*have, *wanted} - left_open, key=lambda name: (name != "name", name)):
        if have.get(name) != wanted.get(name):
            raise RecipeError(
                f"representation.{name}: {wanted.get(name)!r} is asked for, the source of the transfer has "
                f"{have.get(name)!r}: its weights make sense of what it reads alone; leave representation out"
            )


def _boundary(transfer: TransferSection, source: Tagger) -> str | None:
    if transfer.mode != "frozen":
        return None
    known = source.boundaries()
    boundary = known[0] if transfer.boundary is None else transfer.boundary
    if boundary not in known:
        raise RecipeError(f"transfer.boundary: {boundary} is none of {source.name}'s; they are {', '.join(known)}")
    return boundary


def _rate_divisor(transfer: TransferSection, source: Tagger) -> float:
    if transfer.rate_divisor is not None:
        return transfer.rate_divisor
    if transfer.mode != "finetune":
        return 1.0
    return _RATE_DIVISOR_FROM_W if _W in source.classes else _RATE_DIVISOR


def take_over(source: Tagger, tagger: Tagger, classes: tuple[str, ...], *, new_head: bool = False) -> None:
    """Give a tagger the weights of another of its kind.

    What has one row a class is taken over where both tell as many classes apart: for the same names in another order
    row by row, for other names as it is. Otherwise it stays as it was initialised.

    Parameters
    ----------
    source
        Where the weights come from.
    tagger
        Where they go; same name, same representation.
    classes
        What the classes of the tagger are called.
    new_head
        Whether the whole head stays as it was initialised.

    Raises
    ------
    TaggerError
        If a tensor has another shape there.
    """
    axes = _class_axes(source)
    order = None
    if len(classes) == len(source.classes):
        same = set(classes) == set(source.classes)
        order = torch.tensor([source.classes.index(name) for name in classes] if same else range(len(classes)))
    kept = {id(tensor) for module in tagger.head_modules() for tensor in module.state_dict(keep_vars=True).values()}
    given = source.state_dict()
    with torch.no_grad():
        for key, tensor in tagger.state_dict(keep_vars=True).items():
            if new_head and id(tensor) in kept:
                continue
            value = given.get(key)
            if key in axes:
                if order is None or value is None:
                    continue
                value = value.index_select(axes[key], order)
            if value is None or value.shape != tensor.shape:
                shape = "nothing" if value is None else list(value.shape)
                raise TaggerError(
                    f"the source has {shape} where {tagger.name} wants {key} {list(tensor.shape)}; give the tagger the "
                    "arguments that the source has"
                )
            tensor.copy_(value)


def _class_axes(tagger: Tagger) -> dict[str, int]:
    """Return the tensors that have one row a class, and along which axis: those that grow with a further class."""
    arguments = {**tagger.arguments, "num_classes": len(tagger.classes) + 1}
    with torch.random.fork_rng(devices=[]):
        other = create_tagger(tagger.name, representation=tagger.representation, **arguments).state_dict()
    axes = {}
    for key, tensor in tagger.state_dict().items():
        for axis, (here, there) in enumerate(zip(tensor.shape, other[key].shape, strict=True)):
            if here != there:
                axes[key] = axis
    return axes


class WeightPlan:
    """Which weights of a tagger learn in which epoch, and how fast.

    Parameters
    ----------
    tagger
        The network.
    transfer
        The recipe's section, resolved by `with_source`; without one all weights learn at the full rate.
    """

    def __init__(self, tagger: Tagger, transfer: TransferSection | None = None) -> None:
        self._tagger, self._transfer = tagger, transfer
        if transfer is not None and transfer.mode in ("frozen", "adapters"):
            for module in self.frozen(0):
                for name, parameter in module.named_parameters():
                    parameter.requires_grad_(is_adapter(name))

    @property
    def boundary(self) -> str | None:
        """The stage before which nothing learns at all, if there is one."""
        return None if self._transfer is None else self._transfer.boundary

    @property
    def changes(self) -> bool:
        """Whether weights begin to learn in the course of the training."""
        return self._transfer is not None and self._transfer.mode == "gradual"

    def frozen(self, epoch: int) -> tuple[nn.Module, ...]:
        """Return the modules that are in evaluation mode, and whose own weights do not learn, in an epoch."""
        transfer, stages = self._transfer, list(self._tagger.stages())
        if transfer is None or transfer.mode == "finetune":
            return ()
        if transfer.mode == "frozen":
            return self._tagger.modules_before(transfer.boundary or stages[-1])
        if transfer.mode == "adapters":
            return self._tagger.modules_before(stages[-1])
        thawed = epoch // (transfer.unfreeze_every or 1)
        return self._tagger.modules_before(stages[max(len(stages) - 1 - thawed, 0)])

    def begin_epoch(self, epoch: int) -> None:
        """Freeze and thaw what an epoch asks for, where that changes."""
        if not self.changes:
            return
        frozen = {id(p) for module in self.frozen(epoch) for p in module.parameters()}
        for parameter in self._tagger.parameters():
            parameter.requires_grad_(id(parameter) not in frozen)

    def factors(self) -> dict[int, float]:
        """Return the factor on the learning rate of parameters, by their id, where it is not one."""
        if self._transfer is None:
            return {}
        base, decay = 1 / (self._transfer.rate_divisor or 1.0), self._transfer.layer_decay or 1.0
        layers = list(_layers(self._tagger))
        factors = {}
        for above, layer in enumerate(reversed(layers)):
            for module in layer:
                factors.update({id(parameter): base * decay**above for parameter in module.parameters()})
        return {key: factor for key, factor in factors.items() if factor != 1}


def _layers(tagger: Tagger) -> Iterator[tuple[nn.Module, ...]]:
    """Yield the layers of a tagger in the order of the data: the entries of lists of modules, other modules whole.

    The head is one layer.
    """
    *backbone, head = tagger.stages().values()
    for stage in backbone:
        for module in stage:
            yield from ((part,) for part in module) if isinstance(module, nn.ModuleList) else ((module,),)
    yield head
