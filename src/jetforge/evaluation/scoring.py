"""The scores of a tagger on a stored dataset, streamed in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Dataset, Jets
from jetforge.learning.layout import refuse_unfinished, refuse_without_head
from jetforge.taggers import Tagger, load_tagger

_BLOCK_JETS = 20_000


def load_for_scoring(path: str | Path, device: str = "auto") -> Tagger:
    """Load a tagger onto a device: ``cpu``, ``cuda``, ..., or ``auto`` for a GPU where there is one.

    Raises
    ------
    JetforgeError
        If there is no such tagger, its training is unfinished, or there is no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise JetforgeError(f"device '{device}': there are cpu, cuda, cuda:N and auto")
    refuse_unfinished(Path(path))
    tagger = load_tagger(path)
    refuse_without_head(path, tagger)
    try:
        return tagger.to(torch.device(device)).eval()
    except (RuntimeError, AssertionError) as error:
        raise JetforgeError(f"device '{device}': {str(error).splitlines()[0]}; try --device cpu") from None


def unknown_classes(tagger: Tagger, dataset: Dataset) -> tuple[str, ...]:
    """Return the classes of a labelled dataset that a tagger does not know."""
    return tuple(name for name in dataset.classes if name not in tagger.classes) if dataset.labelled else ()


def refuse_unknown_classes(tagger: Tagger, dataset: Dataset) -> None:
    """Refuse a dataset whose labels cannot be turned into a tagger's.

    Raises
    ------
    DataError
        If the dataset holds a class that the tagger does not know.
    """
    unknown = unknown_classes(tagger, dataset)
    if not unknown:
        return
    name, known = unknown[0], tagger.classes
    near = next((other for other in known if other.lower() == name.lower()), None)
    raise DataError(
        f"{dataset.path}: class '{name}' is unknown to the tagger, which tells {', '.join(known)} apart"
        f"{'' if near is None else f' (did you mean {near}?)'}; make the dataset anew with the names that the tagger "
        "has, or score its jets without measuring: jetforge predict"
    )


def score_dataset(
    tagger: Tagger,
    dataset: Dataset,
    split: str,
    *,
    labels: bool = True,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[Jets, npt.NDArray[np.float64]]]:
    """Yield blocks of jets with their scores, in the dataset's order.

    Parameters
    ----------
    tagger
        A trained one.
    dataset, split
        Which jets.
    labels
        Turn the labels of the jets into the tagger's numbering of the classes; False leaves them as they are.
    on_progress
        Called with jets done and jets in all.

    Yields
    ------
    jets : Jets
        A block.
    scores : array (n_jets, n_classes)
        Probabilities.

    Raises
    ------
    DataError
        If the labels are to be turned, and the dataset holds a class that the tagger does not know.
    """
    number_of = None
    if labels and dataset.labelled:
        refuse_unknown_classes(tagger, dataset)
        number_of = np.array([tagger.classes.index(name) for name in dataset.classes])
    done, total = 0, dataset.num_jets(split)
    columns = dataset.present(tagger.representation.columns)
    for block in dataset.blocks(split, block_jets=_BLOCK_JETS, columns=columns):
        fields: dict[str, Any] = dict(block.fields)
        if number_of is not None:
            fields["label"] = number_of[block.label]
        scores = tagger.predict(block)
        done += len(block)
        on_progress(done, total)
        yield Jets(block.offsets, block.columns, fields), scores
