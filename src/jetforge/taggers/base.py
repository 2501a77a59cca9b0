"""What every tagger is: a network, the representation it reads, and where it comes from."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import DenseBatch, Representation
from jetforge.taggers._arguments import is_whole

if TYPE_CHECKING:
    import awkward as ak

    from jetforge.jets import Jets


name_being_made: ContextVar[str] = ContextVar("name_being_made", default="")
"""The registered name of the tagger that is being made: it has its own only once it is made."""


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluate a network for a while; afterwards each of its modules trains, or does not, as it did before."""
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


class Tagger(nn.Module, ABC):
    """A network that gives each jet one logit a class: first it embeds the jet, then it classifies what it embedded.

    Parameters
    ----------
    num_classes : int
        Number of classes, two or more.
    representation : Representation
        What the network reads; its number of features is the width of the first layer.

    Attributes
    ----------
    reads : type
        The kind of representation that the network reads.
    trained_by_gradient : bool
        Whether it learns by steps of an optimiser; otherwise `jetforge.learning` knows another way.
    name : str
        The name it was made by, as `jetforge.taggers.list_taggers` gives it.
    arguments : dict
        The arguments it was made with; together with name and representation they make it again.
    classes : tuple of str
        What the classes are called, in the order of the logits.
    provenance : dict
        Where the training data came from, as plain JSON values.

    Raises
    ------
    TaggerError
        If there are fewer than two classes, or the network does not read such a representation.
    """

    reads: ClassVar[type[Representation]]
    trained_by_gradient: ClassVar[bool] = True
    _representation: Any = None  # none while the tagger is being made

    def __init__(self, num_classes: int, representation: Representation) -> None:
        if not is_whole(num_classes, 2):
            raise TaggerError(f"num_classes {num_classes!r} must be a whole number of 2 or more")
        super().__init__()
        self.name = ""
        self.arguments: dict[str, Any] = {}
        self.classes = tuple(str(label) for label in range(num_classes))
        self.provenance: dict[str, Any] = {}
        self._check_kind(representation)
        self._representation = representation

    @property
    def representation(self) -> Any:
        """Turns jets into the batches that `forward` reads; fit it on the training jets."""
        return self._representation

    @representation.setter
    def representation(self, representation: Representation) -> None:
        self._check_kind(representation)
        have, want = representation.num_features, self._representation.num_features
        if have != want:
            raise TaggerError(f"{self._title} was made for {want} features, the representation has {have}")
        self._representation = representation

    @property
    def _title(self) -> str:
        return self.name or name_being_made.get() or type(self).__name__

    def _check_kind(self, representation: Any) -> None:
        """Refuse what the network does not read, be it given when it is made or later."""
        if not isinstance(representation, self.reads):
            given = getattr(representation, "name", type(representation).__name__)
            raise TaggerError(f"{self._title} reads the representation {self.reads.name}, not {given}")

    @abstractmethod
    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules of each stage of the network in the order of the data, the head last.

        Together they hold every parameter once. The last stage is what `classify` uses, the others `embed`.
        """

    @abstractmethod
    def embed(self, batch: Any) -> torch.Tensor:
        """Return the embedded jets, shape (n_jets, width), of a batch of this tagger's representation."""

    @abstractmethod
    def classify(self, jets: torch.Tensor) -> torch.Tensor:
        """Return the logits, shape (n_jets, n_classes), of embedded jets."""

    def embed_elements(self, batch: Any) -> torch.Tensor:
        """Return the embedded elements (nodes, constituents) of a batch, a row each, where a network has them.

        Raises
        ------
        TaggerError
            If it embeds whole jets alone, or elements that know nothing of each other.
        """
        raise TaggerError(f"{self._title} embeds jets, not their elements in the light of each other")

    def boundaries(self) -> tuple[str, ...]:
        """Return the stages that may be trained alone, what comes before them being frozen; the published one first."""
        return (list(self.stages())[-1],)

    def before(self, boundary: str, batch: Any) -> Any:
        """Return what the stage ``boundary``, one of `boundaries`, reads of a batch: a batch of as many jets.

        ``after(boundary, before(boundary, batch))`` are the logits. It holds rows of one width: one row a jet as
        `DenseBatch`, or several as `RowsBatch`.
        """
        return DenseBatch(self.embed(batch))

    def after(self, boundary: str, given: Any) -> torch.Tensor:
        """Return the logits, shape (n_jets, n_classes), from what the stage ``boundary`` and those after it read."""
        return self.classify(given.values)

    def forward(self, batch: Any) -> torch.Tensor:
        """Return the logits, shape (n_jets, n_classes), of a batch of this tagger's representation."""
        return self.classify(self.embed(batch))

    def modules_before(self, boundary: str) -> tuple[nn.Module, ...]:
        """Return the modules of all stages before one."""
        stages = self.stages()
        earlier = list(stages)[: list(stages).index(boundary)]
        return tuple(module for stage in earlier for module in stages[stage])

    def head_modules(self) -> tuple[nn.Module, ...]:
        """Return the modules of the last stage, which turns an embedded jet into logits."""
        *_, head = self.stages().values()
        return head

    def num_parameters(self) -> int:
        """Return the number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    @torch.no_grad()
    def predict(self, jets: "Jets | ak.Array", batch_size: int = 1024) -> NDArray[np.float64]:
        """Return the probability of each class for each jet.

        Parameters
        ----------
        jets : Jets or awkward array of constituents
            Any number of jets.
        batch_size : int
            Jets that are worked on at once; the result does not depend on it beyond rounding.

        Returns
        -------
        array, float64, shape (n_jets, n_classes)
            Rows sum to one. In float32 the surest jets would be tied.

        Raises
        ------
        DataError
            If the representation has not been fitted.
        TaggerError
            If batch_size is no whole number of 1 or more.
        """
        if not is_whole(batch_size, 1):
            raise TaggerError(f"batch_size {batch_size!r} must be a whole number of 1 or more")
        device = next(itertools.chain(self.parameters(), self.buffers())).device
        with evaluating(self):
            rows = [
                torch.softmax(self(self.representation(jets[start : start + batch_size]).to(device)).double(), 1)
                for start in range(0, len(jets), batch_size)
            ]
        if not rows:
            return np.zeros((0, len(self.classes)))
        return torch.cat(rows).cpu().numpy()
