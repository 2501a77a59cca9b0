"""What every test shares: a deterministic hypothesis profile, the reference data, and generated jets."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The batches of the tests are too small for more than one thread; commands that the tests start do the same.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "jetforge", derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("jetforge")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="longer than a minute: run pytest --slow"))


@pytest.fixture(scope="session")
def refs() -> Path:
    """Return the folder of reference events and of the outputs that their authors publish."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "refs"
    if not folder.is_dir():
        pytest.skip(f"no reference data: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def toptag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small generated dataset of top and QCD jets: 240 for training, 40 to validate, 40 to test."""
    pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")
    import jetforge

    out = tmp_path_factory.mktemp("data") / "toptag"
    split = (0.75, 0.125, 0.125)
    jetforge.generate(["toptag-top", "toptag-qcd"], 320, out, seed=11, split=split, part_jets=40, workers=2)
    return out


@pytest.fixture(scope="session")
def generated_jets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the constituents of 500 generated jets, an awkward array; tops and QCD jets take turns."""
    pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")
    import numpy as np

    import jetforge

    out = tmp_path_factory.mktemp("data") / "physics"
    jetforge.generate(["toptag-top", "toptag-qcd"], 500, out, seed=5, split=(1, 0, 0), part_jets=125, workers=2)
    jets = jetforge.open(out).read("train")
    in_turns = np.stack([np.flatnonzero(jets.label == label) for label in (1, 0)], axis=1).ravel()
    return jets[in_turns].constituents


@pytest.fixture(scope="session")
def small_dataset() -> Callable[..., Any]:
    """Return a function that writes a dataset of a few jets of four constituents, without a generator.

    It takes the directory, the classes, the labels that each split holds, the splits, and how many jets a label.
    """
    import numpy as np

    from jetforge.jets import Jets
    from jetforge.jets.build import build_dataset
    from jetforge.jets.storage import encode_part
    from jetforge.jets.tasks import MadePart, PartTask

    def make_part(task: PartTask) -> MadePart:
        labels = np.array(task.argument["labels"])
        random = np.random.default_rng(task.index)
        momenta = random.normal(size=(3, 4 * len(labels))) + 5.0 * np.repeat(labels, 4)
        columns = dict(zip(("px", "py", "pz"), momenta, strict=True)) | {"energy": np.sqrt((momenta**2).sum(0)) + 0.1}
        fields = {"label": labels, "weight": 1.0 + labels}
        jets = Jets(np.arange(0, 4 * len(labels) + 1, 4), columns, fields)
        return MadePart(encode_part(jets), len(jets))

    def make(
        out: Path,
        classes: tuple[str, ...] = ("qcd", "top"),
        labels: tuple[int, ...] = (0, 1),
        splits: tuple[str, ...] = ("train", "val", "test"),
        each: int = 2,
    ) -> Any:
        tasks = [PartTask(split, 0, each * len(labels), {"labels": list(labels) * each}) for split in splits]
        return build_dataset(
            out,
            tasks,
            make_part,
            plan={},
            classes=classes,
            constituent_fields=("px", "py", "pz", "mass"),
            jet_fields=("label", "weight"),
            workers=0,
        )

    return make


@pytest.fixture(scope="session")
def make_jets() -> Callable[..., Any]:
    """Return a function that makes collimated jets with the numbers of constituents it is given."""

    import numpy as np

    from jetforge.jets import Jets

    def make(*multiplicities: int, seed: int = 5) -> Any:
        rng = np.random.default_rng(seed)
        offsets = np.concatenate([[0], np.cumsum(multiplicities)])
        n = int(offsets[-1])
        pt = 500 * rng.dirichlet(np.full(max(n, 1), 0.3))[:n] + 0.5
        y, phi, mass = rng.normal(0.5, 0.3, n), rng.normal(3.1, 0.3, n), rng.choice([0.0, 0.13957], n)
        mt = np.hypot(pt, mass)
        columns = {
            "px": pt * np.cos(phi),
            "py": pt * np.sin(phi),
            "pz": mt * np.sinh(y),
            "energy": mt * np.cosh(y),
        }
        return Jets(offsets, columns, {"label": rng.integers(0, 2, len(multiplicities))})

    return make
