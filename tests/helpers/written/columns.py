"""Jets as a user keeps them: lists in Parquet by awkward-array, a TTree by uproot, padded arrays in HDF5 by h5py."""

from pathlib import Path
from typing import Any, Literal

import awkward as ak
import h5py
import numpy as np
import uproot
import yaml
from helpers.written import Written, momenta, padded

LENGTH = 60
CLASSES = ("qcd", "top")
MASS = 0.13957


def make(num: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the numbers of constituents, columns of constituents (with pt, eta, phi, y), and fields of jets."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, LENGTH, num)
    counts[:2] = (LENGTH, 1)
    four = momenta(counts, seed, mass=MASS)
    four["y"] = np.arctanh(four["pz"] / four["energy"])
    four["mass"] = np.full(len(four["px"]), MASS)
    four["d0"] = random.normal(0, 1, len(four["px"])).astype(np.float32)
    four["pid"] = random.choice(np.array([211, -211, 22], dtype=np.int32), len(four["px"]))
    fields = {
        "pt": random.uniform(500, 600, num), "tau21": random.random(num).astype(np.float32),
        "label": random.integers(0, 2, num), "weight": random.uniform(0.5, 2, num),
    }  # fmt: skip
    return counts, four, fields


def write(
    folder: Path, num: int = 60, seed: int = 1, *, container: Literal["parquet", "root", "hdf5"] = "parquet",
    energy: Literal["energy", "mass"] = "energy", labelled: bool = True,
) -> Written:  # fmt: skip
    """Write jets whose columns have our names, so that they are read without a mapping."""
    counts, four, fields = make(num, seed)
    columns = {name: four[name] for name in ("px", "py", "pz", energy, "d0", "pid")}
    if not labelled:
        del fields["label"]
    flat = {name if name in ("label", "weight") else f"jet_{name}": values for name, values in fields.items()}
    path = folder / f"own-{energy}.{container}"
    write_columns(path, counts, columns, flat)
    expected = {name: four[name] for name in ("px", "py", "pz", "energy", energy, "d0", "pid")}
    return Written(path, counts, expected, fields)


def write_mapped(
    folder: Path, mapping: dict[str, Any], num: int = 60, seed: int = 1, *,
    container: Literal["parquet", "root", "hdf5"] = "parquet", scale: float = 1.0, **further: Any,
) -> Written:  # fmt: skip
    """Write jets under other names, as `mapping` says, and the mapping as YAML.

    Columns ``p_NAME`` are of constituents, ``j_NAME`` of jets; momenta are multiplied by `scale`.
    """
    counts, four, fields = make(num, seed)
    scaled = ("pt", "px", "py", "pz", "energy", "mass")
    columns = {f"p_{name}": values * scale if name in scaled else values for name, values in four.items()}
    flat = {f"j_{name}": values * scale if name in scaled else values for name, values in fields.items()}
    flat.update(j_is_qcd=fields["label"] == 0, j_is_top=(fields["label"] == 1).astype(np.int32), j_n=counts)
    path = folder / f"mapped.{container}"
    write_columns(path, counts, columns, {**flat, **further})
    described = folder / "columns.yaml"
    described.write_text(yaml.safe_dump(mapping, sort_keys=False))
    wanted = {name: four[name] for name in ("px", "py", "pz", "energy")}
    if "constituents" in mapping:
        wanted.update(d0=four["d0"], pid=four["pid"])
    return Written(path, counts, wanted, fields, {"mapping": str(described)})


def write_columns(path: Path, counts: np.ndarray, columns: dict[str, Any], flat: dict[str, Any]) -> None:
    """Write lists and numbers to a file of the kind that its suffix says."""
    if path.suffix == ".hdf5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file.create_dataset(name, data=padded(counts, values, LENGTH), compression="gzip", chunks=(16, LENGTH))
            for name, values in flat.items():
                file[name] = values
        return
    lists = {name: ak.unflatten(values, counts) for name, values in columns.items()}
    if path.suffix == ".parquet":
        ak.to_parquet(ak.zip({**lists, **flat}, depth_limit=1), path, compression="zstd", row_group_size=25)
        return
    kinds = {name: lists[name].type.content for name in lists} | {name: np.asarray(v).dtype for name, v in flat.items()}
    with uproot.recreate(path, compression=uproot.ZLIB(4)) as file:
        tree = file.mktree("jets", kinds)
        step = max(len(counts) // 3, 1)
        for start in range(0, len(counts), step):
            rows = slice(start, start + step)
            tree.extend({name: values[rows] for name, values in {**lists, **flat}.items()})
