"""What every test shares: a deterministic hypothesis profile, the reference data, and generated jets."""

import os
from pathlib import Path

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
