"""Batches from disk to tensors, shuffled: ours beside a per-jet dataset and beside weaver's loader, on the same files.

    python -m pip install --no-deps weaver-core==0.5.3 awkward0 tqdm lz4 xxhash
    python benchmarks/loading.py [--data DIR] [--jets N] [--batch-size N]

Ours streams the parts of a dataset as packed four-momenta, without padding or a limit to the constituents. A per-jet
dataset gives one jet by `__getitem__`, and `default_collate` stacks them. Three kinds of it are common: a dictionary of
arrays for each jet, padded when it is asked for; a row of an HDF5 file (uncompressed, so that only that row is read);
and, as the least that is possible, three arrays of all jets, padded beforehand and held in memory, which needs no file
and no padding, but 2 kB of memory a jet. weaver reads the same Parquet parts as ours, pads and shuffles; one worker, as
is its default, and a tenth of the files at a time. All of these pad to 128 constituents. Without --data, jets of 25 to
79 constituents are made. Each is run once to
warm up and then seven times, the slowest ones once; the median is printed, and the range.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
import yaml
from torch.utils.data import DataLoader, Dataset

import jetforge
from jetforge.jets import Jets
from jetforge.jets.build import build_dataset
from jetforge.jets.storage import encode_part
from jetforge.jets.tasks import MadePart, PartTask
from jetforge.learning.loader import BatchLoader
from jetforge.representations import FourMomentaRepresentation

LENGTH = 128
_ENOUGH_SECONDS = 15.0
PART = 20_000


def make_part(task: PartTask) -> MadePart:
    """Make jets of 600 GeV."""
    random = np.random.default_rng(task.index)
    counts = random.integers(25, 80, task.jets)
    jet = np.repeat(np.arange(task.jets), counts)
    pt = np.exp(random.normal(0, 1, len(jet)))
    pt *= 600 / np.bincount(jet, pt)[jet]
    eta, phi = random.normal(0, 0.2, (2, len(jet)))
    eta += random.uniform(-1.5, 1.5, task.jets)[jet]
    phi += random.uniform(-3, 3, task.jets)[jet]
    momenta = [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)]
    columns = {n: v.astype(np.float32) for n, v in zip(("px", "py", "pz", "energy"), momenta, strict=True)}
    jets = Jets(np.concatenate([[0], np.cumsum(counts)]), columns, {"label": random.integers(0, 2, task.jets)})
    return MadePart(encode_part(jets), task.jets)


class PerJetDict(Dataset[dict[str, Any]]):
    """One jet at a time, padded when it is asked for, as a dictionary."""

    def __init__(self, jets: Jets):
        self.jets, self.label = jets, jets.label

    def __len__(self) -> int:
        """Return the number of jets."""
        return len(self.jets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a padded array for each component, a mask and the label."""
        rows = slice(*self.jets.offsets[index : index + 2])
        jet: dict[str, Any] = {}
        for name in ("energy", "px", "py", "pz"):
            values = self.jets.columns[name][rows][:LENGTH]
            jet[name] = np.zeros(LENGTH, dtype=np.float32)
            jet[name][: len(values)] = values
        jet["mask"] = np.zeros(LENGTH, dtype=np.float32)
        jet["mask"][: len(values)] = 1
        return {**jet, "label": self.label[index]}


class PerJetHdf5(Dataset[tuple[torch.Tensor, int]]):
    """One row of an HDF5 file at a time."""

    def __init__(self, path: Path):
        self.path, self.file = path, h5py.File(path)

    def __len__(self) -> int:
        """Return the number of jets."""
        return len(self.file["label"])

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return momenta and label of a jet."""
        return torch.from_numpy(self.file["momenta"][index]), int(self.file["label"][index])


class PerJet(Dataset[tuple[torch.Tensor, torch.Tensor, int]]):
    """One jet at a time, from arrays of padded jets in memory."""

    def __init__(self, momenta: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64]):
        self.momenta, self.mask, self.labels = momenta, mask, labels

    def __len__(self) -> int:
        """Return the number of jets."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Return momenta, mask and label of a jet."""
        return torch.from_numpy(self.momenta[index]), torch.from_numpy(self.mask[index]), int(self.labels[index])


def padded(jets: Jets) -> PerJet:
    """Return jets as the per-jet dataset."""
    counts = np.minimum(np.diff(jets.offsets), LENGTH)
    mask = np.arange(LENGTH) < counts[:, None]
    momenta = np.zeros((len(jets), LENGTH, 4), dtype=np.float32)
    index = (jets.offsets[:-1, None] + np.arange(LENGTH))[mask]
    for k, name in enumerate(("energy", "px", "py", "pz")):
        momenta[..., k][mask] = jets.columns[name][index]
    return PerJet(momenta, mask, jets.label)


def weaver(files: list[str], batch_size: int, folder: Path) -> Iterable[Any]:
    """Return weaver's loader of the same Parquet files."""
    from weaver.utils.dataset import SimpleIterDataset

    logging.disable(logging.CRITICAL)
    config = {
        "new_variables": {"mask": "ak.ones_like(px)", "qcd": "label == 0", "top": "label == 1"},
        "preprocess": {"method": "manual", "data_fraction": 0.1, "params": None},
        "inputs": {
            "momenta": {"length": LENGTH, "vars": [[v, None] for v in ("px", "py", "pz", "mass")]},
            "mask": {"length": LENGTH, "vars": [["mask", None]]},
        },
        "labels": {"type": "simple", "value": ["qcd", "top"]},
    }
    path = folder / "weaver.yaml"
    path.write_text(yaml.safe_dump(config))
    dataset = SimpleIterDataset({"jets": files}, str(path), for_training=True, fetch_step=0.1, in_memory=False)
    return DataLoader(dataset, batch_size=batch_size, drop_last=False, num_workers=1, persistent_workers=False)


def rate(name: str, loader: Callable[[], Iterable[Any]], size: Callable[[Any], int], expected: int) -> float:
    """Run through a loader and print the median of what is not the first time."""
    times: list[float] = []
    while len(times) < 2 or (sum(times) < _ENOUGH_SECONDS and len(times) < 8):
        start, seen = time.perf_counter(), 0
        for batch in loader():
            seen += size(batch)
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times[1:])
    if seen != expected:
        print(f"{name}: gave {seen:,} of {expected:,} jets")
    span = f"{seen / max(times[1:]):,.0f} to {seen / min(times[1:]):,.0f}"
    print(f"{name:<62} {seen / seconds:>12,.0f} jets/s ({span})", flush=True)
    return seen / seconds


def _num_labels(batch: Any) -> int:
    return len(batch["label"] if isinstance(batch, dict) else batch[-1])


def main() -> None:
    """Make the jets, run the loaders, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--jets", type=int, default=400_000)
    parser.add_argument("--batch-size", type=int, default=1024)
    arguments = parser.parse_args()
    batch_size = arguments.batch_size
    print(f"{len(os.sched_getaffinity(0))} cores, batches of {batch_size}")
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.data is None:
            tasks = [PartTask("train", i, PART, {}) for i in range(arguments.jets // PART)]
            data = build_dataset(
                Path(temporary) / "data", tasks, make_part, plan={}, classes=("qcd", "top"),
                constituent_fields=("px", "py", "pz", "mass"), jet_fields=("label",), workers=0,
            )  # fmt: skip
        else:
            data = jetforge.open(arguments.data)
        num_jets = data.num_jets("train")
        momenta = FourMomentaRepresentation(scale=1.0)
        loader = BatchLoader(data, "train", momenta, batch_size, shuffle=True, cache_jets=0)
        ours = rate("jetforge, from disk, packed", lambda: loader, lambda batch: len(batch.labels), num_jets)
        jets = data.read("train", max_jets=50_000)
        ready = padded(jets)
        path = Path(temporary) / "padded.h5"
        with h5py.File(path, "w") as file:
            file["momenta"], file["label"] = ready.momenta, ready.labels
        kinds: list[tuple[str, Dataset[Any], int]] = [
            ("a dictionary a jet", PerJetDict(jets), 0), ("a dictionary a jet", PerJetDict(jets), 2),
            ("a row of HDF5 a jet", PerJetHdf5(path), 0), ("ready arrays in memory", ready, 0),
        ]  # fmt: skip
        for kind, dataset, workers in kinds:
            per_jet = DataLoader(dataset, batch_size, shuffle=True, num_workers=workers)
            name = f"per jet + default_collate: {kind}, {workers} workers"
            theirs = rate(name, lambda per_jet=per_jet: per_jet, _num_labels, len(jets))
            print(f"{'ours to it':<62} {ours / theirs:>11.1f}x")
        try:
            import weaver as _weaver  # noqa: F401
        except ImportError:
            print("weaver is not installed: see the top of this file")
            return
        files = [str(data.path / part.file) for part in data.parts("train")]
        theirs = rate(
            "weaver, from the same files, padded, 1 worker", lambda: weaver(files, batch_size, Path(temporary)),
            lambda batch: len(batch[0]["mask"]), num_jets,
        )  # fmt: skip
        print(f"{'ours to it':<62} {ours / theirs:>11.1f}x")


if __name__ == "__main__":
    main()
