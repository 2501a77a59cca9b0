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
from jetforge.taggers import Tagger, load_tagger

_BLOCK_JETS = 20_000


def load_for_scoring(path: str | Path, device: str = "auto") -> Tagger:
    """Load a tagger onto a device: ``cpu``, ``cuda``, ..., or ``auto`` for a GPU where there is one.

    Raises
    ------
    JetforgeError
        If there is no such tagger or no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise JetforgeError(f"device '{device}': there are cpu, cuda, cuda:N and auto")
    try:
        return load_tagger(path).to(torch.device(device)).eval()
    except (RuntimeError, AssertionError) as error:
        raise JetforgeError(f"device '{device}': {str(error).splitlines()[0]}; try --device cpu") from None


def score_dataset(
    tagger: Tagger,
    dataset: Dataset,
    split: str,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[Jets, npt.NDArray[np.float64]]]:
    """Yield blocks of jets with their scores, in the dataset's order.

    Parameters
    ----------
    tagger
        A trained one.
    dataset, split
        Which jets.
    on_progress
        Called with jets done and jets in all.

    Yields
    ------
    jets : Jets
        A block; its labels, if it has any, are turned into the tagger's numbering of the classes.
    scores : array (n_jets, n_classes)
        Probabilities.

    Raises
    ------
    DataError
        If the dataset holds a class that the tagger does not know.
    """
    unknown = [name for name in dataset.classes if name not in tagger.classes] if dataset.labelled else []
    if unknown:
        known = ", ".join(tagger.classes)
        raise DataError(f"{dataset.path}: class '{unknown[0]}' is unknown to the tagger, which tells {known} apart")
    number_of = np.array([tagger.classes.index(name) for name in dataset.classes]) if dataset.labelled else None
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
