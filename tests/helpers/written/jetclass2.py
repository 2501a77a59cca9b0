"""The layout of JetClass-II: Parquet as awkward writes it, or a ROOT tree with `std::vector` branches."""

from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import uproot
from helpers.written import Written, momenta
from helpers.written.jetclass import LARGEST, OURS, particles, write_parquet
from helpers.written.root_vectors import write_tree

NUM_CLASSES = 188
FLAGS = {"isResX": "is_res_x", "isResY": "is_res_y", "isResDecayProd": "is_res_decay_prod",
         "isTauDecayProd": "is_tau_decay_prod", "isQcdParton": "is_qcd_parton"}  # fmt: skip
FOUR = ("px", "py", "pz", "energy")
Particles = Literal["reconstructed", "generated", "truth"]


def write(
    folder: Path, num: int = 60, seed: int = 1, *, layout: Literal["parquet", "root"] = "parquet",
    compression: str = "zstd", particles: Particles = "reconstructed", rows: int = 1 << 20,
) -> Written:  # fmt: skip
    """Write `num` jets, of which each seventh has no generated jet, and say what `particles` are to be read."""
    arrays, expected = make(num, seed)
    path = folder / f"Res34P_0000.{layout}"
    if layout == "parquet":
        write_parquet(path, arrays, compression, rows)
    else:
        kinds = {"zlib": uproot.ZLIB(1), "lz4": uproot.LZ4(4), "zstd": uproot.ZSTD(5)}
        write_tree(path, "tree", arrays, compression=kinds[compression])
    return Written(path, *expected[particles], {"particles": particles})


def make(num: int, seed: int) -> tuple[dict[str, Any], dict[Particles, tuple[Any, Any, Any]]]:
    """Return the columns of a file, and counts, columns and fields that each choice of particles must give."""
    random = np.random.default_rng(seed)
    counts = random.integers(1, 40, num)
    counts[:2] = (LARGEST, 1)
    parts, jets = particles(counts, seed)
    label = random.integers(0, NUM_CLASSES, num)
    label[:2] = (NUM_CLASSES - 1, 0)
    jets["nparticles"] = counts.astype(np.int32)
    gen_counts, gen, genjets = _generated(num, random, seed)
    truth_counts, truth, resonances, last = _truth(num, label, random)
    last_counts = np.bincount(np.repeat(np.arange(num), truth_counts)[last], minlength=num)
    arrays: dict[str, Any] = {f"part_{name}": ak.unflatten(values, counts) for name, values in parts.items()}
    arrays |= {f"jet_{name}": values for name, values in jets.items()} | {"jet_label": label.astype(np.int32)}
    arrays |= {f"genpart_{name}": ak.unflatten(values, gen_counts) for name, values in gen.items()}
    arrays |= {f"genjet_{name}": values for name, values in genjets.items()}
    arrays |= {f"aux_genpart_{name}": ak.unflatten(values, truth_counts) for name, values in truth.items()}
    names = {"jet_deta": "deta", "jet_dphi": "dphi", **{c: f"vertex_{c}" for c in "xyzt"}}
    has_gen, has_last = gen_counts > 0, last_counts > 0
    gen_fields = {**genjets, **{f"reco_{name}": values for name, values in jets.items()}, **resonances,
                  "label": label, "row": np.arange(num)}  # fmt: skip
    fields = {**jets, **{f"genjet_{name}": values for name, values in genjets.items()}, **resonances, "label": label}
    expected: dict[Particles, tuple[Any, Any, Any]] = {
        "reconstructed": (counts, {OURS.get(name, name): values for name, values in parts.items()}, fields),
        "generated": (gen_counts[has_gen], {names.get(name, name): values for name, values in gen.items()},
                      {name: values[has_gen] for name, values in gen_fields.items()}),
        "truth": (last_counts[has_last], _with_momenta({name: values[last] for name, values in truth.items()}),
                  {name: values[has_last] for name, values in {**fields, "row": np.arange(num)}.items()}),
    }  # fmt: skip
    return arrays, expected


def _generated(num: int, random: np.random.Generator, seed: int) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    counts = random.integers(1, 60, num)
    counts[::7] = 0
    there = counts > 0
    four = momenta(counts[there], seed + 2)
    owner = np.repeat(np.arange(num), counts)
    gen = {name: four[name].astype(np.float32) for name in FOUR}
    more = ("jet_deta", "jet_dphi", "x", "y", "z", "t")
    gen |= {name: random.normal(0, 0.3, len(owner)).astype(np.float32) for name in more}
    gen["pid"] = random.choice(np.array([211, -211, 22, 130, 2112], np.int32), len(owner))
    px, py, pz, energy = (np.bincount(owner, four[name], num) for name in FOUR)
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.where(there, pt, 1))
    jets = {"pt": pt, "eta": eta, "phi": np.arctan2(py, px), "energy": energy, "sdmass": there * 80.5}
    return counts, gen, {n: v.astype(np.float32) for n, v in jets.items()} | {"nparticles": counts.astype(np.int32)}


def _truth(
    num: int, label: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Return X, two Y and four products for resonances of many prongs, fewer for others; QCD jets may have none.

    In each fifth jet of many prongs the fifth particle is a tau, and the last two are its products. The last of what
    is returned says which particles have no products in the list.
    """
    many = (label >= 15) & (label < 161)
    counts = np.where(many, 7, np.where(label < 15, 3, random.integers(0, 4, num)))
    owner = np.repeat(np.arange(num), counts)
    rank = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
    is_x = (label[owner] < 161) & (rank == 0)
    is_y = many[owner] & ((rank == 1) | (rank == 2))
    is_qcd = label[owner] >= 161
    truth = {
        "pt": random.exponential(300, len(owner)), "eta": random.normal(0, 1, len(owner)),
        "phi": random.uniform(-3, 3, len(owner)), "mass": np.where(is_x, 495, np.where(is_y, 80, 0.5)),
    }  # fmt: skip
    truth = {name: values.astype(np.float32) for name, values in truth.items()}
    truth["pid"] = np.where(is_x, 25, np.where(is_y, 35, -5)).astype(np.int32)
    has_tau = many[owner] & (owner % 5 == 0)
    is_tau, of_tau = has_tau & (rank == 4), has_tau & (rank > 4)
    truth["pid"][is_tau], truth["pid"][of_tau & (rank == 5)] = -15, -16
    truth |= dict(zip(FLAGS, (is_x, is_y, ~is_x & ~is_y & ~is_qcd & ~of_tau, of_tau, is_qcd), strict=True))
    resonances = {}
    for prefix, chosen in (("res_x", is_x), ("res_y1", is_y & (rank == 1)), ("res_y2", is_y & (rank == 2))):
        for name in ("pt", "eta", "phi", "mass", "pid"):
            resonances[f"{prefix}_{name}"] = np.bincount(owner[chosen], truth[name][chosen], num)
    return counts, truth, resonances, ~is_x & ~is_y & ~is_tau


def _with_momenta(truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    pt, eta, phi, mass = (truth[name].astype(np.float64) for name in ("pt", "eta", "phi", "mass"))
    return {
        "px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta),
        "energy": np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2), "mass": mass, "pid": truth["pid"],
        **{ours: truth[name] for name, ours in FLAGS.items()},
    }  # fmt: skip
