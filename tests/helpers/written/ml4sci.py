"""Images of quark and gluon jets as ML4SCI gives them: HDF5 by h5py, or Parquet with one jet a row group."""

from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from helpers.written import Written

SIZE, CHANNELS = 125, 3
PIXEL = 0.0174


def make_images(
    num: int, channels: int, size: int, seed: int, most: int = 400
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return images (n, channels, size, size), the numbers of pixels that are not zero, and these as columns."""
    random = np.random.default_rng(seed)
    images = np.zeros((num, channels, size, size), dtype=np.float32)
    numbers = random.integers(1, most, num)
    numbers[0] = 1
    for image, number in zip(images, numbers, strict=True):
        place = random.choice(image.size, number, replace=False)
        image.flat[place] = random.exponential(2, number) + 1e-4
    # Noise of the calorimeters: energies below zero.
    images[1:, 1:][images[1:, 1:] > 5] *= -0.01
    jet, channel, row, column = np.nonzero(images)
    columns = {"row": row, "column": column, "channel": channel, "value": images[jet, channel, row, column]}
    return images, np.bincount(jet, minlength=num), columns


def momenta_of(columns: dict[str, np.ndarray], eta: np.ndarray, phi: np.ndarray) -> dict[str, np.ndarray]:
    """Return massless four-momenta at the pixels' places."""
    pt = np.where(columns["value"] > 0, columns["value"], 0).astype(np.float64)
    return {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "energy": pt * np.cosh(eta)}


def write(
    folder: Path, num: int = 60, seed: int = 1, *, layout: Literal["hdf5", "parquet"] = "hdf5",
    compression: str = "lzf", chunk: int = 16, rows_per_group: int = 1,
) -> Written:  # fmt: skip
    images, counts, columns = make_images(num, CHANNELS, SIZE, seed)
    middle = (SIZE - 1) / 2
    columns |= momenta_of(columns, (columns["row"] - middle) * PIXEL, (columns["column"] - middle) * PIXEL)
    random = np.random.default_rng(seed)
    pt, mass = (random.uniform(*limits, num).astype(np.float32) for limits in ((70, 337), (5, 50)))
    label = random.integers(0, 2, num)
    stored = {"pt": pt, "m0": mass, "y": label.astype(np.float32)}
    path = folder / f"quark-gluon.{layout}"
    if layout == "hdf5":
        with h5py.File(path, "w") as file:
            chunks = (min(chunk, num), SIZE, SIZE, CHANNELS)
            file.create_dataset("X_jets", data=images.transpose(0, 2, 3, 1), compression=compression, chunks=chunks)
            for name, values in stored.items():
                file[name] = values
    else:
        write_parquet(path, images, stored, rows_per_group)
    return Written(path, counts, columns, {"pt": pt, "mass": mass, "label": label})


def write_parquet(path: Path, images: Any, stored: dict[str, np.ndarray], rows_per_group: int = 1) -> None:
    """Write rows of Python lists, each a row group, as the data's authors did."""
    kinds = {"X_jets": pa.list_(pa.list_(pa.list_(pa.float64()))), **{name: pa.float64() for name in stored}}
    schema = pa.schema(list(kinds.items()))
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        for start in range(0, len(images), rows_per_group):
            rows = slice(start, start + rows_per_group)
            lists = images[rows].tolist() if isinstance(images, np.ndarray) else images[rows]
            writer.write_table(pa.table([lists, *(values[rows].tolist() for values in stored.values())], schema=schema))
