"""The names that clustering algorithms and recombination schemes go by."""

from math import inf

from jetforge.errors import JetforgeError
from jetforge.physics.arguments import known, number

ALGORITHMS = {"cambridge_aachen": 0.0, "kt": 1.0, "antikt": -1.0}
"""Power p of the distance min(kt_i^2p, kt_j^2p) Delta_ij^2/R^2 of each algorithm."""
RECOMBINATIONS = ("E", "wta")
"""E scheme (momenta add up) and winner-take-all (sum of pT in the direction of the harder)."""

_STEEPEST = 10.0


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
            known = ", ".join(ALGORITHMS)
            raise JetforgeError(
                f"algorithm '{algorithm}' is not known; choose one of {known}, or give the power p of generalised kt"
            )
        return ALGORITHMS[algorithm]
    return number("algorithm, the power p of generalised kt,", algorithm, least=-_STEEPEST, most=_STEEPEST)


def radius_of(radius: float | None) -> float:
    """Return a clustering radius, infinite for None.

    Raises
    ------
    JetforgeError
        If it is not a positive number.
    """
    return inf if radius is None else number("radius", radius, above=0)


def is_wta(recombination: str) -> bool:
    """Return whether a recombination scheme is winner-take-all.

    Raises
    ------
    JetforgeError
        If the name is not known.
    """
    return known("recombination", recombination, RECOMBINATIONS) == "wta"
