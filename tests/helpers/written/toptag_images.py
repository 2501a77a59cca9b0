"""Images of the top-tagging challenge, written by pandas and PyTables."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from helpers.written import Written
from helpers.written.ml4sci import make_images, momenta_of

SIZE = 40


def write(
    folder: Path, num: int = 60, seed: int = 1, *, layout: Literal["table", "fixed"] = "table", labelled: bool = True,
    dtype: str = "float32", size: int = SIZE,
) -> Written:  # fmt: skip
    images, counts, columns = make_images(num, 1, size, seed, most=min(80, size**2))
    total = images.sum(axis=(1, 2, 3), keepdims=True)
    images = images / total
    columns["value"] = (columns["value"] / np.repeat(total.ravel(), counts)).astype(np.float32)
    middle = (size - 1) / 2
    columns |= momenta_of(columns, (columns["column"] - middle) * 0.029, (columns["row"] - middle) * 0.035)
    frame = pd.DataFrame(images.reshape(num, -1).astype(dtype), columns=[f"img_{i}" for i in range(size**2)])
    fields: dict[str, np.ndarray] = {}
    if labelled:
        label = np.random.default_rng(seed).integers(0, 2, num)
        # Preprocessing programs write one array of floating-point numbers.
        frame["is_signal_new"] = label if dtype == "float32" else label.astype(dtype)
        frame["ttv"] = np.full(num, 2)
        fields = {"label": label, "ttv": frame["ttv"].to_numpy()}
    path = folder / f"images-{layout}.h5"
    frame.to_hdf(path, key="table", format=layout, complib="blosc", complevel=5)
    return Written(path, counts, columns, fields)
