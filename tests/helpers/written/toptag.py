"""The layout of the top-tagging reference set, written by pandas and PyTables."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from helpers.written import Written, momenta, padded

LENGTH = 200


def write(
    folder: Path, num: int = 60, seed: int = 1, *, layout: Literal["table", "fixed"] = "table", labelled: bool = True,
    complib: str = "blosc", split: int = 0, name: str | None = None, momentum_unit: float = 1.0,
) -> Written:  # fmt: skip
    random = np.random.default_rng(seed)
    counts = random.integers(1, 60, num)
    counts[:2] = (LENGTH, 1)
    four = {name: values.astype(np.float32) for name, values in momenta(counts, seed).items()}
    blocks = [padded(counts, four[c] * np.float32(momentum_unit), LENGTH) for c in ("energy", "px", "py", "pz")]
    frame = pd.DataFrame(
        np.stack(blocks, axis=2).reshape(num, -1),
        columns=[f"{name}_{i}" for i in range(LENGTH) for name in ("E", "PX", "PY", "PZ")],
    )
    label = random.integers(0, 2, num)
    truth = (random.normal(0, 300, (num, 4)) * label[:, None]).astype(np.float32)
    fields: dict[str, np.ndarray] = {}
    if labelled:
        for column, ours, values in zip(
            ("truthE", "truthPX", "truthPY", "truthPZ"), ("energy", "px", "py", "pz"), truth.T, strict=True
        ):
            frame[column] = values * np.float32(momentum_unit)
            fields[f"truth_{ours}"] = values
        frame["ttv"] = np.full(num, split)
        frame["is_signal_new"] = label
        fields.update(label=label, ttv=frame["ttv"].to_numpy())
    path = folder / (name or f"toptag-{layout}.h5")
    frame.to_hdf(path, key="table", format=layout, complib=complib, complevel=5)
    # What is stored is float32; the reader gives these numbers in float64.
    columns = {name: four[name] for name in ("px", "py", "pz", "energy")}
    return Written(path, counts, columns, fields)
