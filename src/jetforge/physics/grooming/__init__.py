"""Groomers: from jets to what is left of them without soft radiation, all jets in one call.

Each takes the constituents of jets and returns one record a jet, a four-momentum with the constituents that were kept.
Those whose names end in `_arrays` return the numbers alone, for callers that need no lists. `docs/physics/grooming.md`
says how they differ.
"""

from jetforge.physics.grooming.bottom_up import (
    bottom_up_soft_drop,
    bottom_up_soft_drop_arrays,
    pruning,
    pruning_arrays,
)
from jetforge.physics.grooming.by_subjets import filtering, filtering_arrays, trimming, trimming_arrays
from jetforge.physics.grooming.iterated import iterated_soft_drop, soft_drop_angularities, soft_drop_multiplicity
from jetforge.physics.grooming.records import GroomedArrays
from jetforge.physics.grooming.recursive import recursive_soft_drop, recursive_soft_drop_arrays
from jetforge.physics.grooming.soft_drops import modified_mass_drop, soft_drop, soft_drop_arrays

__all__ = [
    "GroomedArrays",
    "bottom_up_soft_drop",
    "bottom_up_soft_drop_arrays",
    "filtering",
    "filtering_arrays",
    "iterated_soft_drop",
    "modified_mass_drop",
    "pruning",
    "pruning_arrays",
    "recursive_soft_drop",
    "recursive_soft_drop_arrays",
    "soft_drop",
    "soft_drop_angularities",
    "soft_drop_arrays",
    "soft_drop_multiplicity",
    "trimming",
    "trimming_arrays",
]
