"""What the weights of a published checkpoint become: a tagger of ours, by name, settings and tensors."""

from typing import Any, NamedTuple

from torch import Tensor

from jetforge.representations import Representation


class ImportedWeights(NamedTuple):
    """A checkpoint of another program, said in our terms.

    Attributes
    ----------
    name : str
        The registered tagger, as `jetforge.taggers.list_taggers` gives it.
    num_classes : int
        Number of classes.
    arguments : dict
        What `jetforge.taggers.create_tagger` takes besides, as plain JSON values.
    representation : Representation
        What the network reads, with the constants of the published preparation in place of fitted ones.
    classes : tuple of str, or None
        What the classes are called in the order of the logits, where the publication says so.
    state : dict of str to Tensor
        The tensors under the keys of our tagger.
    """

    name: str
    num_classes: int
    arguments: dict[str, Any]
    representation: Representation
    classes: tuple[str, ...] | None
    state: dict[str, Tensor]
