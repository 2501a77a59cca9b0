"""The names that clustering algorithms and recombination schemes go by."""

from math import inf

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import known, number

ALGORITHMS = {"cambridge_aachen": 0.0, "kt": 1.0, "antikt": -1.0}
"""Power p of the distance min(kt_i^2p, kt_j^2p) Delta_ij^2/R^2 of each algorithm."""
RECOMBINATIONS = ("E", "wta")
"""E scheme (momenta add up) and winner-take-all (sum of pT in the direction of the harder)."""

_STEEPEST = 10.0
# Within these, squares of radii keep clear of the distance of an empty slot and of its rounding (`neighbours`).
_LEAST_RADIUS, _LARGEST_RADIUS = 1e-6, 1e6


def power_of(algorithm: str | float) -> float:
    """Return the power p of a clustering algorithm.

    Parameters
    ----------
    algorithm
        ``"cambridge_aachen"``, ``"kt"`` or ``"antikt"``, or p itself for the generalised kt algorithm.

    Raises
    ------
    JetforgeError
        If the name is not known, or p is not between -10 and 10.
    """
    if isinstance(algorithm, str):
        if algorithm not in ALGORITHMS:
            names = ", ".join(ALGORITHMS)
            raise JetforgeError(
                f"algorithm '{algorithm}' is not known; choose one of {names}, or give the power p of generalised kt"
            )
        return ALGORITHMS[algorithm]
    return number("algorithm, the power p of generalised kt,", algorithm, least=-_STEEPEST, most=_STEEPEST)


def radius_of(name: str, value: float | None, *, optional: bool = False) -> float:
    """Return a clustering radius.

    Parameters
    ----------
    name
        Of the argument.
    value
        R, from 1e-6 to 1e6.
    optional
        Whether it may be None, for a clustering without beam; the radius is infinite then.

    Raises
    ------
    JetforgeError
        If it is no such number.
    """
    if value is None and optional:
        return inf
    return number(name, value, least=_LEAST_RADIUS, most=_LARGEST_RADIUS)


def is_wta(recombination: str) -> bool:
    """Return whether a recombination scheme is winner-take-all.

    Raises
    ------
    JetforgeError
        If the name is not known.
    """
    return known("recombination", recombination, RECOMBINATIONS) == "wta"
