"""What a network that does not learn gives for each jet, computed once and kept on disk.

It runs once over the jets, in evaluation mode, and what it gives is written to a file that training then maps into
memory. A directory holds for each split ``SPLIT.rows``, one row after the other; ``SPLIT.offsets`` where a jet has
several; and, written last, ``SPLIT.json``, which says of which network and jets they are.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from jetforge.errors import DataError
from jetforge.files import locked, whole_file, write_atomically
from jetforge.jets.dataset import Dataset
from jetforge.learning.loader import BatchLoader
from jetforge.representations import Batch, DenseBatch, Representation, RowsBatch
from jetforge.taggers.base import evaluating

FORMAT_VERSION = 1
# Jets that are worked on at once; the same on every machine, so that batches are.
_BATCH_JETS = 512
# Rows that would take more bytes in single precision are kept in half.
_LARGE_BYTES = 1 << 30
_TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class _Card:
    """What the file beside the rows says."""

    format_version: int
    network: str
    jets: str
    num_jets: int
    num_rows: int
    width: int
    dtype: str
    ragged: bool
    rows_sha256: str
    offsets_sha256: str
    seconds: float


class KeptOutputs:
    """What a network gives for the jets of a dataset.

    Parameters
    ----------
    network
        The module; its mode and device are taken care of.
    outputs
        Makes of a batch of represented jets the rows to keep, as `DenseBatch` or `RowsBatch`.
    representation
        Fitted.
    what
        What the network is called in errors, and the field of a recipe that names another directory.
    fingerprint
        SHA-256 of everything that the outputs depend on beside the jets.
    dataset
        The jets.
    folder
        Where the outputs are kept; made if it is not there.
    device
        Where the network runs.
    """

    def __init__(
        self, network: nn.Module, outputs: Callable[[Any], Any], representation: Representation, *,
        what: tuple[str, str], fingerprint: str, dataset: Dataset, folder: Path, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        self._network, self._outputs, self._representation = network, outputs, representation
        self._what, self._field = what
        self.fingerprint, self.dataset, self.folder = fingerprint, dataset, folder
        self._device = torch.device(device)

    def read(self, split: str, *, compute: bool = True) -> Batch:
        """Return the outputs for all jets of a split, in their order, mapped from disk.

        Parameters
        ----------
        split
            Which one; of a dataset with fewer jets than were computed before, the first of these are returned.
        compute
            Whether outputs that are not there are computed; otherwise they are waited for, since another process does.

        Raises
        ------
        DataError
            If the directory holds the outputs of another network or of other jets, or damaged ones.
        JetforgeError
            If it cannot be written.
        """
        card = self._card(split)
        while card is None or card.num_jets < self.dataset.num_jets(split):
            if compute:
                # Another training may be doing the same for itself: it is waited for, and then there is nothing to do.
                with locked(self.folder / f".{split}.lock", None):
                    card = self._card(split)
                    if card is None or card.num_jets < self.dataset.num_jets(split):
                        card = self._compute(split)
                break
            time.sleep(_WAIT_SECONDS)
            card = self._card(split)
        return self._mapped(split, card)

    def _paths(self, split: str) -> tuple[Path, Path, Path]:
        rows, offsets, card = (self.folder / f"{split}.{kind}" for kind in ("rows", "offsets", "json"))
        return rows, offsets, card

    def _card(self, split: str) -> _Card | None:
        """Return what is said of outputs that are there; none where there are none.

        Raises
        ------
        DataError
            If they are of another network or of other jets.
        """
        path = self._paths(split)[2]
        if not path.is_file():
            return None
        try:
            card = _Card(**json.loads(path.read_text()))
            _TYPES[card.dtype]
        except (ValueError, TypeError, KeyError):
            raise DataError(f"{path}: no description of a network's outputs; remove {self.folder}") from None
        for what, found, wanted in (
            (f"another {self._what}", card.network, self.fingerprint),
            ("other jets", card.jets, self.dataset.fingerprint),
        ):  # fmt: skip
            if found != wanted:
                raise DataError(
                    f"{path}: outputs of {what} (sha256 {found[:12]}... instead of {wanted[:12]}...); remove "
                    f"{self.folder}, or choose another {self._field}"
                )
        return card

    def _compute(self, split: str) -> _Card:
        """Run the network over a split and write what it gives."""
        start = time.monotonic()
        rows_path, offsets_path, card_path = self._paths(split)
        card_path.unlink(missing_ok=True)
        counts: list[np.ndarray[Any, Any]] = []
        digest, num_jets, num_rows, width, dtype = hashlib.sha256(), 0, 0, 0, torch.float32
        with whole_file(rows_path) as temporary, temporary.open("wb") as file:
            for made in self._batches(split):
                rows = made.features if isinstance(made, RowsBatch) else made.values
                if isinstance(made, RowsBatch):
                    counts.append(made.counts.cpu().numpy())
                if not num_jets:
                    dtype, width = self._type(made, rows, split), rows.shape[1]
                data = self._bytes_of(rows.to("cpu", dtype), rows, split)
                file.write(data)
                digest.update(data)
                num_jets, num_rows = num_jets + len(made), num_rows + len(rows)
        offsets = np.concatenate([[0], *counts]).cumsum().astype("<i8").tobytes() if counts else b""
        write_atomically(offsets_path, offsets)
        card = _Card(
            format_version=FORMAT_VERSION,
            network=self.fingerprint,
            jets=self.dataset.fingerprint,
            num_jets=num_jets,
            num_rows=num_rows,
            width=width,
            dtype=str(dtype).removeprefix("torch."),
            ragged=bool(counts),
            rows_sha256=digest.hexdigest(),
            offsets_sha256=hashlib.sha256(offsets).hexdigest(),
            seconds=round(time.monotonic() - start, 3),
        )
        write_atomically(card_path, (json.dumps(asdict(card), indent=1) + "\n").encode())
        return card

    @torch.no_grad()
    def _batches(self, split: str) -> Iterator[Any]:
        loader = BatchLoader(self.dataset, split, self._representation, _BATCH_JETS, cache_jets=0)
        self._network.to(self._device)
        with evaluating(self._network):
            for batch in loader:
                yield self._outputs(batch.jets.to(self._device))

    def _type(self, made: Any, rows: torch.Tensor, split: str) -> torch.dtype:
        """Return the type in which rows are kept: what the network gave, or half precision where they are large."""
        if rows.dtype == torch.bfloat16:
            return rows.dtype
        expected = 4 * rows.numel() / len(made) * self.dataset.num_jets(split)
        return torch.float16 if isinstance(made, RowsBatch) and expected > _LARGE_BYTES else torch.float32

    def _mapped(self, split: str, card: _Card) -> Batch:
        rows_path, offsets_path, _ = self._paths(split)
        dtype = _TYPES[card.dtype]
        size = card.num_rows * card.width * dtype.itemsize
        damaged = DataError(f"{rows_path}: damaged outputs of a {self._what}; remove {self.folder}, then run again")
        if not rows_path.is_file() or rows_path.stat().st_size != size:
            raise damaged
        with rows_path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != card.rows_sha256:
                raise damaged
        bits: Any = {2: np.dtype("<i2"), 4: np.dtype("<i4")}[dtype.itemsize]
        shape = (card.num_rows, card.width)
        # Copy on write: PyTorch has no tensors that are read only.
        values: Any = np.memmap(rows_path, bits, "c", shape=shape) if size else np.empty(shape, bits)
        rows = torch.from_numpy(values).view(dtype)
        num_jets = self.dataset.num_jets(split)
        if not card.ragged:
            return DenseBatch(rows)[:num_jets]
        offsets = offsets_path.read_bytes() if offsets_path.is_file() else b""
        if hashlib.sha256(offsets).hexdigest() != card.offsets_sha256:
            raise damaged
        return RowsBatch(rows, torch.from_numpy(np.frombuffer(offsets, "<i8").copy()))[:num_jets]

    def _bytes_of(self, kept: torch.Tensor, rows: torch.Tensor, split: str) -> bytes:
        """Return rows as bytes.

        Raises
        ------
        DataError
            If a number is not finite in the type that it is kept in.
        """
        if not torch.isfinite(kept).all():
            if torch.isfinite(rows).all():
                raise DataError(
                    f"outputs of the {self._what} for the split '{split}' are too large for half precision; set "
                    "transfer.cached: false"
                )
            raise DataError(f"outputs of the {self._what} for the split '{split}' are not finite: look at its jets")
        return kept.contiguous().view(torch.int16 if kept.element_size() == 2 else torch.int32).numpy().tobytes()


def state_digest(*modules: nn.Module) -> str:
    """Return the SHA-256 of the weights and statistics of modules."""
    digest = hashlib.sha256()
    for module in modules:
        for key, tensor in module.state_dict().items():
            digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
