"""Jet substructure of many jets at once: pure functions of four-momenta, compiled, on all cores.

Everything here takes the constituents of jets: an awkward array, a `jetforge.Jets` or a `FlatJets`. A function is
imported from its home when it is first used.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jetforge.physics.by_name.observed import list_observables, observables
    from jetforge.physics.clustering.history import clustering_history, exclusive_distances
    from jetforge.physics.clustering.splitting_scales import (
        kt_delta_r,
        kt_mass_drop,
        kt_splittings,
        q_w,
        splitting_scales,
        z_cuts,
    )
    from jetforge.physics.clustering.subjets import exclusive_subjets, inclusive_subjets
    from jetforge.physics.correlators.ecf import energy_correlator, energy_correlators
    from jetforge.physics.correlators.efp import energy_flow_polynomial, energy_flow_polynomials
    from jetforge.physics.correlators.multigraph import multigraphs
    from jetforge.physics.correlators.ratios import c_series, d2, l_series, m_series, n_series, u_series
    from jetforge.physics.flat import FlatJets, flatten
    from jetforge.physics.grooming import (
        bottom_up_soft_drop,
        bottom_up_soft_drop_arrays,
        filtering,
        filtering_arrays,
        iterated_soft_drop,
        modified_mass_drop,
        pruning,
        pruning_arrays,
        recursive_soft_drop,
        recursive_soft_drop_arrays,
        soft_drop,
        soft_drop_angularities,
        soft_drop_arrays,
        soft_drop_multiplicity,
        trimming,
        trimming_arrays,
    )
    from jetforge.physics.images.pixels import (
        average_image,
        centre,
        crop,
        flip,
        jet_images,
        normalise,
        pixelate,
        plane_points,
        rotate,
    )
    from jetforge.physics.images.preprocessing import atlas_columns, atlas_constituents, fit_pixel_scaling, standardise
    from jetforge.physics.lund.cuts import cut_tree, groomed_tree
    from jetforge.physics.lund.leaves import leading_emission, lund_leaf, primary_lund_plane, secondary_lund_plane
    from jetforge.physics.lund.plane import LundDensity, lund_density, lund_image
    from jetforge.physics.lund.regions import is_perturbative, kt_at_mass, kt_at_z, perturbative_bins
    from jetforge.physics.lund.theory import leading_order_density, running_coupling
    from jetforge.physics.lund.tree import LundArrays, lund_arrays, lund_tree
    from jetforge.physics.prongs.tau import nsubjettiness, nsubjettiness_axes, nsubjettiness_ratio
    from jetforge.physics.shapes.angular import (
        angularities,
        angularity,
        four_momentum,
        jet_kinematics,
        lha,
        ptd,
        thrust_angularity,
        width,
    )
    from jetforge.physics.shapes.contents import (
        charged_fraction,
        charged_multiplicity,
        count_for_fraction,
        jet_charge,
        leading_fractions,
        multiplicity,
        photon_fraction,
        pid_fraction,
    )
    from jetforge.physics.shapes.event import (
        aplanarity,
        broadening,
        c_parameter,
        d_parameter,
        fox_wolfram,
        oblateness,
        sphericity,
        sphericity_eigenvalues,
        thrust,
        thrust_major,
        thrust_minor,
        thrust_shapes,
    )
    from jetforge.physics.shapes.jet import (
        axis_moments,
        differential_shape,
        eccentricity,
        integrated_shape,
        jet_pull,
        planar_flow,
        pull_angle,
        pull_magnitude,
    )

__all__ = [
    "FlatJets",
    "LundArrays",
    "LundDensity",
    "angularities",
    "angularity",
    "aplanarity",
    "atlas_columns",
    "atlas_constituents",
    "average_image",
    "axis_moments",
    "bottom_up_soft_drop",
    "bottom_up_soft_drop_arrays",
    "broadening",
    "c_parameter",
    "c_series",
    "centre",
    "charged_fraction",
    "charged_multiplicity",
    "clustering_history",
    "count_for_fraction",
    "crop",
    "cut_tree",
    "d2",
    "d_parameter",
    "differential_shape",
    "eccentricity",
    "energy_correlator",
    "energy_correlators",
    "energy_flow_polynomial",
    "energy_flow_polynomials",
    "exclusive_distances",
    "exclusive_subjets",
    "filtering",
    "filtering_arrays",
    "fit_pixel_scaling",
    "flatten",
    "flip",
    "four_momentum",
    "fox_wolfram",
    "groomed_tree",
    "inclusive_subjets",
    "integrated_shape",
    "is_perturbative",
    "iterated_soft_drop",
    "jet_charge",
    "jet_images",
    "jet_kinematics",
    "jet_pull",
    "kt_at_mass",
    "kt_at_z",
    "kt_delta_r",
    "kt_mass_drop",
    "kt_splittings",
    "l_series",
    "leading_emission",
    "leading_fractions",
    "leading_order_density",
    "lha",
    "list_observables",
    "lund_arrays",
    "lund_density",
    "lund_image",
    "lund_leaf",
    "lund_tree",
    "m_series",
    "modified_mass_drop",
    "multigraphs",
    "multiplicity",
    "n_series",
    "normalise",
    "nsubjettiness",
    "nsubjettiness_axes",
    "nsubjettiness_ratio",
    "oblateness",
    "observables",
    "perturbative_bins",
    "photon_fraction",
    "pid_fraction",
    "pixelate",
    "planar_flow",
    "plane_points",
    "primary_lund_plane",
    "pruning",
    "pruning_arrays",
    "ptd",
    "pull_angle",
    "pull_magnitude",
    "q_w",
    "recursive_soft_drop",
    "recursive_soft_drop_arrays",
    "rotate",
    "running_coupling",
    "secondary_lund_plane",
    "soft_drop",
    "soft_drop_angularities",
    "soft_drop_arrays",
    "soft_drop_multiplicity",
    "sphericity",
    "sphericity_eigenvalues",
    "splitting_scales",
    "standardise",
    "thrust",
    "thrust_angularity",
    "thrust_major",
    "thrust_minor",
    "thrust_shapes",
    "trimming",
    "trimming_arrays",
    "u_series",
    "width",
    "z_cuts",
]

_HOMES = {
    "by_name.observed": (
        "list_observables",
        "observables",
    ),
    "clustering.history": (
        "clustering_history",
        "exclusive_distances",
    ),
    "clustering.splitting_scales": (
        "kt_delta_r",
        "kt_mass_drop",
        "kt_splittings",
        "q_w",
        "splitting_scales",
        "z_cuts",
    ),
    "clustering.subjets": (
        "exclusive_subjets",
        "inclusive_subjets",
    ),
    "correlators.ecf": ("energy_correlator", "energy_correlators"),
    "correlators.efp": (
        "energy_flow_polynomial",
        "energy_flow_polynomials",
    ),
    "correlators.multigraph": ("multigraphs",),
    "correlators.ratios": ("c_series", "d2", "l_series", "m_series", "n_series", "u_series"),
    "flat": (
        "FlatJets",
        "flatten",
    ),
    "grooming": (
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
    ),
    "images.pixels": (
        "average_image",
        "centre",
        "crop",
        "flip",
        "jet_images",
        "normalise",
        "pixelate",
        "plane_points",
        "rotate",
    ),
    "images.preprocessing": (
        "atlas_columns",
        "atlas_constituents",
        "fit_pixel_scaling",
        "standardise",
    ),
    "lund.cuts": (
        "cut_tree",
        "groomed_tree",
    ),
    "lund.leaves": (
        "leading_emission",
        "lund_leaf",
        "primary_lund_plane",
        "secondary_lund_plane",
    ),
    "lund.plane": (
        "LundDensity",
        "lund_density",
        "lund_image",
    ),
    "lund.regions": (
        "is_perturbative",
        "kt_at_mass",
        "kt_at_z",
        "perturbative_bins",
    ),
    "lund.theory": (
        "leading_order_density",
        "running_coupling",
    ),
    "lund.tree": (
        "LundArrays",
        "lund_arrays",
        "lund_tree",
    ),
    "prongs.tau": (
        "nsubjettiness",
        "nsubjettiness_axes",
        "nsubjettiness_ratio",
    ),
    "shapes.angular": (
        "angularities",
        "angularity",
        "four_momentum",
        "jet_kinematics",
        "lha",
        "ptd",
        "thrust_angularity",
        "width",
    ),
    "shapes.contents": (
        "charged_fraction",
        "charged_multiplicity",
        "count_for_fraction",
        "jet_charge",
        "leading_fractions",
        "multiplicity",
        "photon_fraction",
        "pid_fraction",
    ),
    "shapes.event": (
        "aplanarity",
        "broadening",
        "c_parameter",
        "d_parameter",
        "fox_wolfram",
        "oblateness",
        "sphericity",
        "sphericity_eigenvalues",
        "thrust",
        "thrust_major",
        "thrust_minor",
        "thrust_shapes",
    ),
    "shapes.jet": (
        "axis_moments",
        "differential_shape",
        "eccentricity",
        "integrated_shape",
        "jet_pull",
        "planar_flow",
        "pull_angle",
        "pull_magnitude",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        near = get_close_matches(name.lower(), _HOME, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise AttributeError(f"module 'jetforge.physics' has no attribute '{name}'{hint}")
    return getattr(import_module(f"jetforge.physics.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
