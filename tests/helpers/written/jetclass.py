"""The layout of JetClass: a ROOT tree with `std::vector` branches, LZ4, labels of three types; or Parquet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uproot
from helpers.written import Written, momenta
from helpers.written.root_vectors import write_tree

LABELS = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
KINDS = ("ChargedHadron", "NeutralHadron", "Photon", "Electron", "Muon")
OURS = {
    "d0val": "d0", "d0err": "d0_error", "dzval": "dz", "dzerr": "dz_error", "isChargedHadron": "is_charged_hadron",
    "isNeutralHadron": "is_neutral_hadron", "isPhoton": "is_photon", "isElectron": "is_electron", "isMuon": "is_muon",
}  # fmt: skip
LARGEST = 150


def write(
    folder: Path, num: int = 60, seed: int = 1, *, layout: Literal["root", "leaves", "parquet"] = "root",
    compression: str = "lz4",
) -> Written:  # fmt: skip
    """Write `num` jets; `leaves` is the tree as uproot writes it, with a branch of counts for each jagged one."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 40, num)
    counts[:2] = (LARGEST, 1)
    parts, jets = particles(counts, seed)
    label = random.permutation(num) % len(LABELS)
    stored: dict[str, Any] = {f"part_{name}": values for name, values in parts.items()}
    stored["part_charge"] = parts["charge"].astype(np.float32)
    stored |= {f"part_is{name}": parts[f"is{name}"].astype(np.int32) for name in KINDS}
    stored |= label_branches(label)
    stored |= {f"jet_{name}": values for name, values in jets.items()}
    stored["jet_nparticles"] = counts.astype(np.float32)
    aux = {"genpart_eta": random.normal(0, 1, num), "genpart_phi": random.uniform(-3, 3, num),
           "genpart_pid": np.where(label == 0, 0, 25), "genpart_pt": np.where(label == 0, 0, 600.5),
           "truth_match": 10 + 5 * label}  # fmt: skip
    stored |= {f"aux_{name}": values.astype(np.float32) for name, values in aux.items()}
    path = write_columns(folder / f"HToBB_000-{layout}", counts, stored, layout, compression)
    columns = {OURS.get(name, name): values for name, values in parts.items()}
    fields = {**jets, "nparticles": counts, "label": label, **{n: stored[f"aux_{n}"] for n in aux}}
    return Written(path, counts, columns, fields)


def particles(counts: np.ndarray, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return constituents and jets by the names in the file, without their prefixes, in the file's precision."""
    random = np.random.default_rng(seed + 1)
    four = momenta(counts, seed)
    owner = np.repeat(np.arange(len(counts)), counts)
    px, py, pz, energy = (np.bincount(owner, four[name]) for name in ("px", "py", "pz", "energy"))
    pt = np.hypot(px, py)
    eta, phi = np.arcsinh(pz / pt), np.arctan2(py, px)
    kind = random.choice(len(KINDS), len(owner), p=[0.55, 0.1, 0.31, 0.02, 0.02])
    charge = np.where(np.isin(kind, (0, 3, 4)), random.choice([-1, 1], len(owner)), 0)
    charged = charge != 0
    parts = {name: four[name] for name in ("px", "py", "pz", "energy")}
    # The writing programs turn eta round for jets of negative eta.
    parts["deta"] = np.where(eta > 0, 1, -1)[owner] * (four["eta"] - eta[owner])
    parts["dphi"] = np.remainder(four["phi"] - phi[owner] + np.pi, 2 * np.pi) - np.pi
    for name in ("d0val", "d0err", "dzval", "dzerr"):
        width = random.exponential(0.1, len(owner))
        parts[name] = charged * (width if name.endswith("err") else random.normal(0, 1, len(owner)) * width)
    found = {name: values.astype(np.float32) for name, values in parts.items()}
    found["charge"] = charge.astype(np.int32)
    found |= {f"is{name}": kind == number for number, name in enumerate(KINDS)}
    jets = {"pt": pt, "eta": eta, "phi": phi, "energy": energy, "sdmass": random.uniform(20, 200, len(counts))}
    jets |= {f"tau{n}": random.uniform(0, 0.5, len(counts)) / n for n in (1, 2, 3, 4)}
    return found, {name: values.astype(np.float32) for name, values in jets.items()}


def label_branches(label: np.ndarray) -> dict[str, np.ndarray]:
    """Return the ten labels: the first is a float, sums of comparisons are int, single comparisons bool."""
    types = dict.fromkeys(LABELS, np.bool_) | {"QCD": np.float32} | dict.fromkeys(LABELS[6:], np.int32)
    return {f"label_{name}": (label == number).astype(types[name]) for number, name in enumerate(LABELS)}


def write_columns(
    stem: Path, counts: np.ndarray, stored: Mapping[str, np.ndarray], layout: str, compression: str
) -> Path:
    """Write flat arrays, those of constituents as lists."""
    arrays = {
        name: ak.unflatten(values, counts) if name.startswith("part_") else values for name, values in stored.items()
    }
    if layout == "parquet":
        return write_parquet(stem.with_suffix(".parquet"), arrays, compression)
    kinds = {"lz4": uproot.LZ4(4), "zlib": uproot.ZLIB(1), "zstd": uproot.ZSTD(5), "none": uproot.LZ4(0)}
    path = stem.with_suffix(".root")
    if layout == "root":
        return write_tree(path, "tree", arrays, compression=kinds[compression])
    with uproot.recreate(path, compression=kinds[compression]) as file:
        types = {name: array.type if isinstance(array, ak.Array) else array.dtype for name, array in arrays.items()}
        tree = file.mktree("tree", types)
        for start in range(0, len(counts), 25):
            tree.extend({name: array[start : start + 25] for name, array in arrays.items()})
    return path


def write_parquet(path: Path, arrays: Mapping[str, Any], compression: str, rows: int = 1 << 20) -> Path:
    """Write lists as awkward does, without nulls, by default in one row group."""
    columns, fields = [], []
    for name, array in arrays.items():
        if isinstance(array, ak.Array):
            values = pa.array(np.asarray(ak.flatten(array)))
            offsets = pa.array(np.concatenate([[0], np.cumsum(np.asarray(ak.num(array)))]).astype(np.int32))
            kind = pa.list_(pa.field("item", values.type, nullable=False))
            columns.append(pa.ListArray.from_arrays(offsets, values, type=kind))
        else:
            columns.append(pa.array(array))
        fields.append(pa.field(name, columns[-1].type, nullable=False))
    pq.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)), path, compression=compression,
                   row_group_size=rows)  # fmt: skip
    return path
