"""A dataset, or one of its splits, to one file of another format."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from jetforge.errors import DataError
from jetforge.files import whole_file
from jetforge.jets.build import Progress
from jetforge.jets.dataset import Dataset
from jetforge.jets.manifest import SPLITS
from jetforge.jets.writers.base import Exported
from jetforge.jets.writers.registry import get_writer


def export(
    dataset: Dataset,
    out: str | Path,
    to: str,
    *,
    split: str | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Exported:
    """Write the jets of a dataset to a file of another format, in bounded memory.

    Parameters
    ----------
    dataset
        Where the jets are.
    out
        The file. It appears whole or not at all.
    to
        Name of the format: ``parquet``, ``root`` or ``toptag``; see `list_writers`.
    split
        ``train``, ``val`` or ``test``; None for all of them, in this order.
    on_progress
        Called with a `Progress` at the start and after each block.

    Returns
    -------
    Exported
        The number of jets, and what the format has no place for.

    Raises
    ------
    JetforgeError
        If there is no such format, the file is there already, or cannot be written (full disk).
    DataError
        If the dataset is damaged, has no jets in the split, or does not fit the format. No file is left.

    Examples
    --------
    >>> import jetforge
    >>> from jetforge.jets.writers import export
    >>> export(jetforge.open("data/toptag"), "toptag.root", "root")  # doctest: +SKIP
    Exported(jets=20000, truncated=0, left_out=())
    """
    path = Path(out)
    make_writer = get_writer(to)
    if split is not None:
        dataset.parts(split)  # refuses a split without jets
    splits = [name for name in SPLITS if name in (dataset.splits if split is None else (split,))]
    total = sum(dataset.num_jets(name) for name in splits)
    if not total:
        raise DataError(f"{dataset.path}: holds no jets; nothing to write to {path}")
    done = 0
    on_progress(Progress(done, total, 0))
    with whole_file(path, overwrite=False) as temporary:
        writer = make_writer(temporary, dataset, splits)
        try:
            for name in splits:
                for jets in dataset.blocks(name, block_jets=writer.block_jets):
                    writer.write(jets, name)
                    done += len(jets)
                    on_progress(Progress(done, total, 0))
        finally:
            writer.close()
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
    return Exported(total, writer.truncated, writer.left_out)
