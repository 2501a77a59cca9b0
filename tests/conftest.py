"""What every test shares: a deterministic hypothesis profile, the reference data, and generated jets."""

from pathlib import Path

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
