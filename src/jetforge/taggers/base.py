"""What every tagger is: a network, the representation it reads, and where it comes from."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from jetforge.errors import TaggerError
from jetforge.representations import Representation

if TYPE_CHECKING:
    import awkward as ak

    from jetforge.jets import Jets


class Tagger(nn.Module, ABC):
    """A network that gives each jet one logit a class.

    Parameters
    ----------
    num_classes : int
        Number of classes, two or more.

    Attributes
    ----------
    name : str
        The name it was made by, as `jetforge.taggers.list_taggers` gives it.
    arguments : dict
        The arguments it was made with; together with the name they make it again.
    classes : tuple of str
        What the classes are called, in the order of the logits.
    representation : Representation
        Turns jets into the batches that `forward` reads; fit it on the training jets.
    provenance : dict
        Where the training data came from, as plain JSON values.

    Raises
    ------
    TaggerError
        If there are fewer than two classes.
    """

    def __init__(self, num_classes: int) -> None:
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
            raise TaggerError(f"num_classes {num_classes!r} must be a whole number of 2 or more")
        super().__init__()
        self.name = ""
        self.arguments: dict[str, Any] = {}
        self.classes = tuple(str(label) for label in range(num_classes))
        self.representation = self.default_representation()
        self.provenance: dict[str, Any] = {}

    @abstractmethod
    def default_representation(self) -> Representation:
        """Return the representation that this network wants, not yet fitted."""

    @abstractmethod
    def stages(self) -> dict[str, tuple[nn.Module, ...]]:
        """Return the modules of each stage of the network in the order of the data, the head last.

        Together they hold every parameter once.
        """

    @abstractmethod
    def forward(self, batch: Any) -> torch.Tensor:
        """Return the logits, shape (n_jets, n_classes), of a batch of this tagger's representation."""

    def backbone_modules(self) -> tuple[nn.Module, ...]:
        """Return the modules before the head: what is frozen or carried over in transfer learning."""
        *backbone, _ = self.stages().values()
        return tuple(module for stage in backbone for module in stage)

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
        """
        if batch_size < 1:
            raise TaggerError(f"batch_size {batch_size} must be 1 or more")
        device = next(self.parameters()).device
        was_training = self.training
        self.eval()
        try:
            rows = [
                torch.softmax(self(self.representation(jets[start : start + batch_size]).to(device)).double(), 1)
                for start in range(0, len(jets), batch_size)
            ]
        finally:
            self.train(was_training)
        if not rows:
            return np.zeros((0, len(self.classes)))
        return torch.cat(rows).cpu().numpy()
