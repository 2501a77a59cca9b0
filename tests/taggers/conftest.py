"""Jets of 1, 2, 200 and other numbers of constituents, for every tagger."""

from collections.abc import Callable

import numpy as np
import pytest

from jetforge.jets import Jets


@pytest.fixture(scope="session")
def make_jets() -> Callable[..., Jets]:
    """Return a function that makes collimated jets with the numbers of constituents it is given."""

    def make(*multiplicities: int, seed: int = 5) -> Jets:
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
