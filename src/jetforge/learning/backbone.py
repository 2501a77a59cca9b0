"""What a frozen backbone makes of each jet: the stages of a tagger before a boundary, run once over the jets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from jetforge.jets.dataset import Dataset
from jetforge.learning.kept_outputs import KeptOutputs, state_digest
from jetforge.representations import representation_to_dict
from jetforge.taggers import Tagger


def frozen_outputs(
    tagger: Tagger, boundary: str, dataset: Dataset, folder: Path, *,
    forward_context: Callable[[], AbstractContextManager[Any]] = nullcontext, device: torch.device | str = "cpu",
) -> KeptOutputs:  # fmt: skip
    """Return what the stage ``boundary`` of a tagger reads of the jets of a dataset.

    Parameters
    ----------
    tagger
        The network, its representation fitted.
    boundary
        One of `Tagger.boundaries`.
    dataset, folder, device
        See `KeptOutputs`.
    forward_context
        Gives the context in which the network runs: that of the training, whose precision it sets.
    """

    def outputs(batch: Any) -> Any:
        with forward_context():
            return tagger.before(boundary, batch)

    arguments = {name: value for name, value in tagger.arguments.items() if name != "num_classes"}
    kind = torch.device(device).type
    with forward_context():
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    settings = [
        tagger.name, arguments, representation_to_dict(tagger.representation), boundary, str(precision),
        state_digest(*tagger.modules_before(boundary)),
    ]  # fmt: skip
    fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return KeptOutputs(
        tagger, outputs, tagger.representation, what=("backbone", "transfer.cache"), fingerprint=fingerprint,
        dataset=dataset, folder=folder, device=device,
    )  # fmt: skip
