"""Regions of the Lund plane: where perturbation theory holds, and the lines that bound the plane."""

from math import inf, log

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.arguments import number
from jetforge.physics.flat import FlatJets
from jetforge.physics.lund.limits import ln_limit, not_negative, positive
from jetforge.physics.lund.plane import LundDensity
from jetforge.physics.lund.trees import lund_source

_Floats = npt.NDArray[np.float64]


def is_perturbative(trees: ak.Array, *, kt_min: float = 1.0, pt_min: float = 0.0, delta_max: float = inf) -> ak.Array:
    """Say which declusterings are out of the reach of hadronisation and of the underlying event.

    Parameters
    ----------
    trees
        Lund trees, or any selection of their declusterings.
    kt_min
        Below this kt (GeV) hadronisation is large; the coupling is as well.
    pt_min
        Least pT (GeV) of the soft prong, kt/Delta. What the underlying event adds has little pT whatever its
        angle: a diagonal of the plane in ln kt and ln(1/Delta).
    delta_max
        Above this angle, initial-state radiation and the underlying event fill a jet of large radius.

    Returns
    -------
    ak.Array
        n_jets * var * bool, of the shape of the trees; usable as a mask of them.

    Raises
    ------
    DataError
        If these are not Lund trees.
    JetforgeError
        If a limit is negative or NaN.
    """
    source = lund_source(trees, links=False)
    if isinstance(source, FlatJets):
        raise DataError("is_perturbative: these are jets; it takes the declusterings of jetforge.lund_tree")
    ln_kt, ln_pt = ln_limit("kt_min", kt_min), ln_limit("pt_min", pt_min)
    passes = (source.ln_kt >= ln_kt) & (source.ln_kt - source.ln_delta >= ln_pt)
    passes &= source.ln_delta <= ln_limit("delta_max", delta_max)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(source.offsets), ak.contents.NumpyArray(passes)))


def perturbative_bins(
    plane: LundDensity, *, kt_min: float = 1.0, pt_min: float = 0.0, delta_max: float = inf, pt: float | None = None
) -> npt.NDArray[np.bool_]:
    """Say which bins of a plane are wholly within the region of `is_perturbative`.

    Parameters
    ----------
    plane
        Density in ln_inv_delta and one of ln_kt, ln_inv_z.
    kt_min, pt_min, delta_max
        As those of `is_perturbative`.
    pt
        Transverse momentum of the jets (GeV), needed for a plane in ln(1/z): there, kt is taken as z pt Delta, as
        for an emission off a prong that has kept the jet's pT.

    Returns
    -------
    array (n_x, n_y) of bool
        Also right for images with these bins.

    Raises
    ------
    JetforgeError
        If this is no `LundDensity`, it has other coordinates, a limit is negative or NaN, pt is not positive, or pt
        is needed and not given.
    """
    ln_kt, ln_pt = ln_limit("kt_min", kt_min), ln_limit("pt_min", pt_min)
    ln_largest = ln_limit("delta_max", delta_max)
    ln_jet = None if pt is None else log(positive("pt", pt))
    if not isinstance(plane, LundDensity):
        raise JetforgeError(f"plane is of type {type(plane).__name__}; give what lund_density returns")
    if plane.x != "ln_inv_delta" or plane.y not in ("ln_kt", "ln_inv_z"):
        raise JetforgeError(f"plane in {plane.x} and {plane.y}; take x='ln_inv_delta', and y='ln_kt' or 'ln_inv_z'")
    widest = (log(plane.R0) - plane.x_edges[:-1])[:, None]
    narrowest = (log(plane.R0) - plane.x_edges[1:])[:, None]
    if plane.y == "ln_kt":
        least_kt = plane.y_edges[None, :-1]
        least_pt = least_kt - widest
    elif ln_jet is None:
        raise JetforgeError("pt is not given; a plane in ln_inv_z needs the jets' pT in GeV, above 0")
    else:
        least_pt = ln_jet - plane.y_edges[None, 1:]
        least_kt = least_pt + narrowest
    return (least_kt >= ln_kt) & (least_pt >= ln_pt) & (widest <= ln_largest)


def kt_at_z(delta: npt.ArrayLike, *, pt: float, z: float = 0.5) -> _Floats:
    """Return kt = z pt Delta (GeV): the line of constant z, for z = 1/2 the kinematic limit of the plane.

    Parameters
    ----------
    delta
        Angles, of any shape.
    pt
        Transverse momentum of the jet in GeV.
    z
        Momentum fraction of the softer prong, above 0 and up to 1/2.

    Raises
    ------
    DataError
        If an angle is no finite number, or negative.
    JetforgeError
        If pt or z is out of its range.
    """
    pt, z = positive("pt", pt), number("z", z, above=0, most=0.5)
    return np.asarray(z * pt * not_negative("delta", delta))


def kt_at_mass(delta: npt.ArrayLike, *, pt: float, mass: float) -> _Floats:
    """Return kt (GeV) of a splitting of a mass: the line of constant m, m^2 = z (1 - z) pt^2 Delta^2.

    Parameters
    ----------
    delta
        Angles, of any shape.
    pt
        Transverse momentum of the jet in GeV.
    mass
        In GeV.

    Returns
    -------
    array
        Of the shape of delta; 0 where the angle is too small for the mass, below 2 m/pt.

    Raises
    ------
    DataError
        If an angle is no finite number, or negative.
    JetforgeError
        If pt or mass is not positive.
    """
    pt, mass = positive("pt", pt), positive("mass", mass)
    reach = pt * not_negative("delta", delta)
    exists = (reach > 0.0) & (reach >= 2 * mass)
    ratio = 2 * mass / np.where(exists, reach, 2 * mass)
    # The softer of the two solutions, in a form without cancellation, and without squares that may overflow.
    return np.where(exists, mass * ratio / (1.0 + np.sqrt((1.0 - ratio) * (1.0 + ratio))), 0.0)
