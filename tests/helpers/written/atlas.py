"""Jets of the ATLAS Top Tagging Open Data, of either record, written by h5py as the data's authors did."""

from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from helpers.written import Written, momenta, padded

LENGTH = 200
# High-level quantities, and the power of MeV that they are in.
HIGH_LEVEL = {
    "C2": 0, "D2": 0, "ECF1": 1, "ECF2": 2, "ECF3": 3, "L2": 0, "L3": 0, "Qw": 1, "Split12": 1, "Split23": 1,
    "Tau1_wta": 0, "Tau2_wta": 0, "Tau3_wta": 0, "Tau4_wta": 0, "ThrustMaj": 0,
}  # fmt: skip


def write(
    folder: Path, num: int = 40, seed: int = 1, *, record: Literal[15013, 80030] = 80030,
    kind: Literal["train", "test", "varied"] = "train", compression: str | None = "gzip", labelled: bool = True,
) -> Written:  # fmt: skip
    random = np.random.default_rng(seed)
    counts = random.integers(3, 70, num)
    counts[:3] = (LENGTH, 1, 2)
    four = momenta(counts, seed, mass=0.14)
    mev = {name: (1000 * four[name]).astype(np.float32) for name in ("pt", "energy")}
    angles = {name: four[name].astype(np.float32) for name in ("eta", "phi")}
    stored: dict[str, Any] = {
        "fjet_clus_pt": padded(counts, mev["pt"], LENGTH), "fjet_clus_eta": padded(counts, angles["eta"], LENGTH),
        "fjet_clus_phi": padded(counts, angles["phi"], LENGTH), "fjet_clus_E": padded(counts, mev["energy"], LENGTH),
    }  # fmt: skip
    pt, eta, phi = (values.astype(np.float64) for values in (mev["pt"] / 1000.0, angles["eta"], angles["phi"]))
    columns = {
        "px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta),
        "energy": mev["energy"].astype(np.float64) / 1000,
    }  # fmt: skip
    jet = {
        "pt": random.uniform(550, 700, num), "eta": random.uniform(-2, 2, num), "phi": random.uniform(-3.1, 3.1, num),
        "m": random.uniform(41, 250, num),
    }  # fmt: skip
    jet = {name: values.astype(np.float32) for name, values in jet.items()}
    fields = {"mass" if name == "m" else name: values for name, values in jet.items()}
    stored |= {f"fjet_{name}": values * np.float32(1000 if name in ("pt", "m") else 1) for name, values in jet.items()}
    for name, power in HIGH_LEVEL.items():
        values = random.uniform(0.1, 1, num) * 100.0**power
        stored[f"fjet_{name}"] = (values * 1000.0**power).astype(np.float32)
        fields[name.lower()] = values
    if labelled:
        stored["labels"] = random.integers(0, 2, num).astype(np.int32)
        fields["label"] = stored["labels"]
    fields["weight"] = np.ones(num)
    if kind == "train":
        fields["weight"] = random.exponential(1, num).astype(np.float32)
        stored["training_weights" if record == 80030 else "weights"] = fields["weight"]
    if record == 80030:
        taste = random.integers(0, 3, len(pt)).astype(np.int32)
        stored["fjet_clus_taste"], columns["taste"] = padded(counts, taste, LENGTH), taste
        number = random.integers(1, 10**6, num) * 10 + (kind == "train")
        stored["EventInfo_mcEventNumber"] = fields["event_number"] = number
        if kind != "varied":
            weights = random.normal(1, 0.1, (num, 27)).astype(np.float32)
            stored["EventInfo_mcEventWeights"] = weights
            fields |= {f"event_weight_{i}": weights[:, i] for i in range(27)}
    path = folder / f"{kind}_{record}.h5"
    with h5py.File(path, "w") as file:
        for name, values in stored.items():
            file.create_dataset(name, data=values, compression=compression)
        groups = {
            "constit": [name for name in stored if name.startswith("fjet_clus_") and not name.endswith("taste")],
            "jet": [f"fjet_{name}" for name in jet],
            "hl": [f"fjet_{name}" for name in HIGH_LEVEL],
        }
        file.attrs.update(groups | {"num_jets": num, "num_cons": 4, "num_jet_features": 4, "num_hl": 15})
    return Written(path, counts, columns, fields)
