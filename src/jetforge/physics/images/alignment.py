"""The order of constituents, and their alignment by the three hardest of a jet (ATL-PHYS-PUB-2022-039)."""

from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.physics.kinematics import wrapped

# A third constituent closer than this to the line through the first two is on it: rounding must not reflect a jet.
_ON_LINE = 1e-9

_Floats = npt.NDArray[np.float64]


@njit(cache=True, error_model="numpy")
def hardest_first(n: int, pt: _Floats) -> Any:
    """Return the order of descending pT; constituents of equal pT stay in the order in which they are given."""
    for i in range(1, n):
        if pt[i] > pt[i - 1]:
            return np.argsort(-pt[:n], kind="mergesort")
    return np.arange(n)


@njit(cache=True, error_model="numpy")
def align(n: int, eta: _Floats, phi: _Floats) -> None:
    """Centre on the first constituent, turn the second to negative phi, reflect the third to positive eta."""
    eta0, phi0 = eta[0], phi[0]
    for i in range(n):
        eta[i] -= eta0
        phi[i] = wrapped(phi[i] - phi0)
    if n < 2:
        return
    distance = sqrt(eta[1] * eta[1] + phi[1] * phi[1])
    # Without a direction the second constituent counts as one at positive eta.
    cosine = eta[1] / distance if distance > 0.0 else 1.0
    sine = phi[1] / distance if distance > 0.0 else 0.0
    for i in range(n):
        turned = phi[i] * cosine - eta[i] * sine
        phi[i] = -eta[i] * cosine - phi[i] * sine
        eta[i] = turned
    if n > 2 and eta[2] < -_ON_LINE:
        for i in range(n):
            eta[i] = -eta[i]
