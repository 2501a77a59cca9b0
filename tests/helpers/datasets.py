"""Small stored datasets with known jets."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from helpers.written import momenta

from jetforge.jets import Dataset, Jets
from jetforge.jets.build import build_dataset
from jetforge.jets.storage import encode_part
from jetforge.jets.tasks import MadePart, PartTask

SIZES = {"train": [50, 30, 50], "val": [20], "test": [25]}


def some_jets(num: int, seed: int, num_classes: int = 2) -> Jets:
    """Return jets of up to 30 constituents (one has none), with fields `label`, `pt`, `eta`, `mass` and `number`."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 30, num)
    counts[num // 2] = 0
    made = momenta(counts, seed, mass=0.14)
    columns: dict[str, Any] = {name: made[name] for name in ("px", "py", "pz", "energy")}
    columns["pid"] = random.choice([-211, 22, 211], counts.sum()).astype(np.int32)
    fields = {
        "label": random.integers(0, num_classes, num), "pt": random.uniform(400, 700, num),
        "eta": random.normal(size=num), "mass": random.uniform(-1, 200, num), "number": 1000 * seed + np.arange(num),
    }  # fmt: skip
    return Jets(np.concatenate([[0], np.cumsum(counts)]), columns, fields)


def write_dataset(
    out: Path,
    sizes: Mapping[str, Sequence[int]] = SIZES,
    *,
    classes: Sequence[str] = ("qcd", "top"),
    seed: int = 1,
    change: Callable[[Jets], Jets] = lambda jets: jets,
) -> Dataset:
    """Write a dataset with parts of given sizes; `change` is applied to the jets of each part."""
    tasks = [
        PartTask(split, index, jets, {"seed": 100 * seed + 10 * number + index})
        for number, split in enumerate(sizes)
        for index, jets in enumerate(sizes[split])
    ]
    sample = change(some_jets(10, 0, len(classes)))

    def make_part(task: PartTask) -> MadePart:
        jets = change(some_jets(task.jets, task.argument["seed"], len(classes)))
        return MadePart(encode_part(jets), len(jets))

    columns = [name for name in sample.columns if name not in ("px", "py", "pz", "energy", "mass")]
    return build_dataset(
        out, tasks, make_part, plan={"seed": seed}, classes=classes,
        constituent_fields=["px", "py", "pz", "mass", *columns], jet_fields=list(sample.fields), workers=0,
    )  # fmt: skip


def all_jets(dataset: Dataset, *splits: str) -> Jets:
    """Return the jets of splits, of all by default, in order."""
    return Jets.concatenate([dataset.read(split) for split in (splits or dataset.splits)])


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file under a folder by its name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def assert_equal_jets(jets: Jets, wanted: Jets) -> None:
    """Check that two collections hold the same numbers of the same types."""
    assert jets.offsets.tolist() == wanted.offsets.tolist()
    assert list(jets.columns) == list(wanted.columns)
    assert set(jets.fields) == set(wanted.fields)
    for there, asked in ((jets.columns, wanted.columns), (jets.fields, wanted.fields)):
        for name, values in asked.items():
            assert there[name].dtype == values.dtype, name
            np.testing.assert_array_equal(there[name], values, err_msg=name)
