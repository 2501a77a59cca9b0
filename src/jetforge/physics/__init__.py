"""Jet substructure of many jets at once: pure functions of four-momenta, compiled, on all cores.

Everything here takes the constituents of jets, an awkward array, a `jetforge.Jets` or a `FlatJets`, and is imported
when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jetforge.physics.angularities import (
        angularities,
        angularity,
        four_momentum,
        jet_kinematics,
        lha,
        mass_angularity,
        ptd,
        width,
    )

_MODULES = {
    "angularities": (
        "angularities",
        "angularity",
        "four_momentum",
        "jet_kinematics",
        "lha",
        "mass_angularity",
        "ptd",
        "width",
    ),
}
