"""Shapes of a jet about its own axis: planar flow, eccentricity, axis moments, pull, and the profile of its pT.

The axis is the momentum of the jet, the sum of those of its constituents (E scheme); distances from it are those in
rapidity and azimuth, r_i = (y_i - y_J, phi_i - phi_J), the azimuth the short way round, unless said otherwise. Boosts
along the beam and rotations about it change none of these shapes, but for planar flow of momenta.

Where a shape is not defined it is 0: for a jet of no constituent, without transverse momentum, or all in one direction.
"""

from math import inf, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import DataError
from jetforge.physics.arguments import known, number, whole_number
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.kinematics import Points, largest_jet, load_points, points_memory, wrapped
from jetforge.physics.number_arrays import float_array
from jetforge.physics.parallel import for_all_jets
from jetforge.physics.shapes.axis import bounded, jet_momentum, momentum_axis
from jetforge.physics.shapes.thrust_axis import orthonormal

COORDINATES = ("momentum", "rapidity")
"""Planes in which planar flow is measured."""

_MOST_BINS = 10_000
_LEAST_RADIUS = 1e-100  # the density of pT in the narrowest ring is finite
_LEAST_SPREAD = 1e-28  # mean square angle: below, rounding has made it

_Floats = npt.NDArray[np.float64]


def planar_flow(constituents: Any, *, coordinates: str = "momentum", num_threads: int | None = None) -> _Floats:
    """Return the planar flow of every jet, from 0 (all on a line through the axis) to 1 (round about the axis).

    Pf = 4 det I/(tr I)^2, with I^kl = sum_i p_i^k p_i^l/E_i over the components k, l of the momenta across the axis of
    the jet (Almeida, Lee, Perez, Sterman, Sung, Virzi, arXiv:0807.0234; Almeida, Lee, Perez, Sung, Virzi,
    arXiv:0810.0934).

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    coordinates
        ``"momentum"``: as above. ``"rapidity"``: with I^kl = sum_i pT_i r_i^k r_i^l in rapidity and azimuth, which is
        the same for a narrow central jet, and invariant under boosts along the beam for any.
    num_threads
        By default as many as the process may use.

    Returns
    -------
    ndarray
        float64 (n_jets,); of momenta, it is 0 for two constituents. Infrared and collinear safe with a cut that keeps
        tr I, the denominator, from 0, such as one on the mass of the jet.

    Raises
    ------
    DataError
        If the constituents are refused (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If the name of the coordinates is not known.
    """
    known("coordinates", coordinates, COORDINATES)
    flat = flat_of(constituents)
    out = np.zeros(len(flat.offsets) - 1)
    kernel = _momentum_flow_kernel if coordinates == "momentum" else _rapidity_flow_kernel
    for_all_jets(kernel, len(out), flat, out, num_threads=num_threads)
    return out


def axis_moments(constituents: Any, *, kappa: float = 2.0, num_threads: int | None = None) -> _Floats:
    """Return the root-mean-square widths of every jet along the longer and the shorter axis of its ellipse.

    They are the square roots of the eigenvalues of the covariance matrix of rapidity and azimuth of the constituents,
    each of the weight pT^kappa. With kappa = 2 these are the axes sigma_1, sigma_2 of the quark-gluon likelihood of CMS
    (CMS-PAS-JME-13-002).

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    kappa
        Power of pT in the weights, positive.
    num_threads
        By default as many as the process may use.

    Returns
    -------
    ndarray
        float64 (n_jets, 2): longer axis, shorter axis. Infrared safe; collinear safe for kappa = 1 only.

    Raises
    ------
    DataError
        If the constituents are refused (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If kappa is not positive.
    """
    kappa = number("kappa", kappa, above=0.0)
    flat = flat_of(constituents)
    out = np.zeros((len(flat.offsets) - 1, 2))
    for_all_jets(_covariance_kernel, len(out), flat, kappa, out, num_threads=num_threads)
    return np.sqrt(out, out=out)


def eccentricity(constituents: Any, *, num_threads: int | None = None) -> _Floats:
    """Return 1 - v_min/v_max of every jet, float64 (n_jets,), from 0 (round) to 1 (line).

    v_max and v_min are the variances along the axes of the ellipse, with the weight pT: the squares of `axis_moments`
    of kappa = 1, which see for parameters and errors (ATLAS, arXiv:1206.5369, where the weight is the energy). Infrared
    and collinear safe with a cut that keeps v_max, the denominator, from 0, such as one on the mass of the jet.
    """
    flat = flat_of(constituents)
    out = np.zeros((len(flat.offsets) - 1, 2))
    for_all_jets(_covariance_kernel, len(out), flat, 1.0, out, num_threads=num_threads)
    longer, shorter = out.T
    return np.asarray(np.divide(longer - shorter, longer, out=np.zeros(len(out)), where=longer > 0.0))


def jet_pull(constituents: Any, *, num_threads: int | None = None) -> _Floats:
    """Return the pull vector of every jet, in rapidity and azimuth.

    t = sum_i pT_i |r_i| r_i/pT_J (Gallicchio, Schwartz, arXiv:1001.5027). It points to where the jet is colour
    connected.

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    num_threads
        By default as many as the process may use.

    Returns
    -------
    ndarray
        float64 (n_jets, 2): t_y, t_phi. Infrared and collinear safe.

    Raises
    ------
    DataError
        If the constituents are refused (see `jetforge.physics.flat.flatten`).
    """
    return _pull_and_axis(constituents, num_threads)[:, :2].copy()


def pull_magnitude(constituents: Any, *, num_threads: int | None = None) -> _Floats:
    """Return the length of the pull vector of every jet, float64 (n_jets,): see `jet_pull`."""
    pull = jet_pull(constituents, num_threads=num_threads)
    return np.hypot(pull[:, 0], pull[:, 1])


def pull_angle(constituents: Any, *, towards: npt.ArrayLike | None = None, num_threads: int | None = None) -> _Floats:
    """Return the angle of the pull vector of every jet in the plane of rapidity and azimuth: see `jet_pull`.

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    towards
        Rapidity and azimuth of a point for every jet, (n_jets, 2), such as the axis of another jet: the angle is then
        counted from the direction to it. By default it is counted from the direction of growing rapidity.
    num_threads
        By default as many as the process may use.

    Returns
    -------
    ndarray
        float64 (n_jets,) in (-pi, pi]; growing azimuth is at pi/2. 0 also where the point is the axis of the jet. Not
        infrared and collinear safe, as it has no limit where the pull vector vanishes; Sudakov safe (arXiv:1903.02275).

    Raises
    ------
    DataError
        If the constituents are refused (see `jetforge.physics.flat.flatten`), or the points are not finite numbers of
        that shape.
    """
    pulls = _pull_and_axis(constituents, num_threads)
    angle = np.arctan2(pulls[:, 1], pulls[:, 0])
    if towards is None:
        return np.asarray(angle)
    points = float_array("towards", towards)
    if points.shape != (len(pulls), 2):
        raise DataError(
            f"towards has the shape {points.shape}; it must be ({len(pulls)}, 2): rapidity and azimuth a jet"
        )
    if not np.isfinite(points).all():
        jet = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise DataError(f"towards: the point of jet {jet} is {points[jet].tolist()}; it must be finite")
    dy, dphi = points[:, 0] - pulls[:, 2], np.remainder(points[:, 1] - pulls[:, 3], 2 * np.pi)
    angle -= np.arctan2(np.where(dphi > np.pi, dphi - 2 * np.pi, dphi), dy)
    angle = np.where(angle > np.pi, angle - 2 * np.pi, np.where(angle <= -np.pi, angle + 2 * np.pi, angle))
    undefined = ((pulls[:, 0] == 0) & (pulls[:, 1] == 0)) | ((dy == 0) & (dphi == 0))
    return np.where(undefined, 0.0, angle)


def differential_shape(
    constituents: Any, *, R0: float = 0.8, n_bins: int = 8, num_threads: int | None = None
) -> _Floats:
    """Return the differential jet shape rho(r) of every jet: the share of pT in rings about the axis, over their width.

    rho in ring k is P(k dr, (k + 1) dr)/(dr P(0, R0)), with dr = R0/n_bins and P(a, b) the sum of the pT of all
    constituents at a <= r < b. The average over jets is the shape that experiments measure (CDF, hep-ex/0505013; ATLAS,
    arXiv:1101.0070).

    Parameters
    ----------
    constituents
        Awkward array of jets, `Jets` or `FlatJets`.
    R0
        Radius of the outermost ring, 1e-100 or more; what is beyond does not count.
    n_bins
        Number of rings of equal width, from 1 to 10000.
    num_threads
        By default as many as the process may use.

    Returns
    -------
    ndarray
        float64 (n_jets, n_bins), which times dr adds up to 1; all 0 for a jet without pT inside R0. Infrared and
        collinear safe, up to the sharp edges of the rings, with a cut that keeps P(0, R0), the denominator, from 0.

    Raises
    ------
    DataError
        If the constituents are refused (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If R0 is below 1e-100 or not finite, or n_bins not from 1 to 10000.
    """
    rings = _rings(constituents, R0, n_bins, num_threads)
    rings *= rings.shape[1] / float(R0)
    return rings


def integrated_shape(constituents: Any, *, R0: float = 0.8, n_bins: int = 8, num_threads: int | None = None) -> _Floats:
    """Return the integrated jet shape psi(r) of every jet: the share of pT nearer to the axis than r.

    psi(r) = P(0, r)/P(0, R0) at r = R0/n_bins, 2 R0/n_bins, ..., R0, so that the last is 1 (CDF, hep-ex/0505013). See
    `differential_shape` for parameters, errors and edge cases.
    """
    rings = _rings(constituents, R0, n_bins, num_threads)
    np.cumsum(rings, axis=1, out=rings)
    total = rings[:, -1:].copy()
    return np.divide(rings, total, out=rings, where=total > 0.0)


def _rings(constituents: Any, R0: float, n_bins: int, num_threads: int | None) -> _Floats:
    """Return the shares of pT in rings, (n_jets, n_bins)."""
    R0 = number("R0", R0, least=_LEAST_RADIUS)
    n_bins = whole_number("n_bins", n_bins, 1, _MOST_BINS)
    flat = flat_of(constituents)
    out = np.zeros((len(flat.offsets) - 1, n_bins))
    for_all_jets(_rings_kernel, len(out), flat, R0, out, num_threads=num_threads)
    return out


def _pull_and_axis(constituents: Any, num_threads: int | None) -> _Floats:
    """Return the pull vector and the rapidity and azimuth of the axis, (n_jets, 4)."""
    flat = flat_of(constituents)
    out = np.zeros((len(flat.offsets) - 1, 4))
    for_all_jets(_pull_kernel, len(out), flat, out, num_threads=num_threads)
    return out


@njit(cache=True, error_model="numpy")
def _load_about_axis(flat: FlatJets, j: int, points: Points) -> tuple[int, float, float, float]:
    """Write pT of the constituents of jet j, and where they are relative to its axis.

    Returns
    -------
    n, pt, y, phi
        Their number, 0 where the jet has no pT; and pT, rapidity and azimuth of the jet.
    """
    pt, y, phi = momentum_axis(flat, j)
    if pt == 0.0:
        return 0, 0.0, 0.0, 0.0
    n = load_points(flat, j, points)
    for i in range(n):
        points.rapidity[i] = bounded(points.rapidity[i]) - y
        points.phi[i] = wrapped(points.phi[i] - phi)
    return n, pt, y, phi


@njit(cache=True, error_model="numpy")
def _flow(xx: float, xy: float, yy: float) -> float:
    """Return 4 det/(tr)^2 of a matrix that has no negative eigenvalue, its trace being positive."""
    trace = xx + yy
    xx, xy, yy = xx / trace, xy / trace, yy / trace
    return min(max(4.0 * (xx * yy - xy * xy), 0.0), 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _momentum_flow_kernel(first: int, last: int, flat: FlatJets, out: _Floats) -> None:
    """Write the planar flow of momenta of the jets first <= j < last."""
    for j in range(first, last):
        begin, end = flat.offsets[j], flat.offsets[j + 1]
        x, y, z, _ = jet_momentum(flat, j)
        scale = 0.0
        for i in range(begin, end):
            scale = max(scale, flat.energy[i])
        length = sqrt(x * x + y * y + z * z)
        if end - begin < 3 or not (length > 0.0 and scale > 0.0):
            continue
        ux, uy, uz, vx, vy, vz = orthonormal(x / length, y / length, z / length)
        uu, uv, vv, total = 0.0, 0.0, 0.0, 0.0
        for i in range(begin, end):
            px, py, pz, energy = flat.px[i] / scale, flat.py[i] / scale, flat.pz[i] / scale, flat.energy[i] / scale
            weight = 1.0 / energy if energy > 0.0 else 0.0
            u, v = px * ux + py * uy + pz * uz, px * vx + py * vy + pz * vz
            uu, uv, vv = uu + weight * u * u, uv + weight * u * v, vv + weight * v * v
            total += energy
        if uu + vv > _LEAST_SPREAD * total:
            out[j] = _flow(uu, uv, vv)


@njit(cache=True, nogil=True, error_model="numpy")
def _rapidity_flow_kernel(first: int, last: int, flat: FlatJets, out: _Floats) -> None:
    """Write the planar flow in rapidity and azimuth of the jets first <= j < last."""
    points = points_memory(largest_jet(flat.offsets, first, last))
    for j in range(first, last):
        n, scale, _, _ = _load_about_axis(flat, j, points)
        yy, yp, pp, total = 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            pt, y, phi = points.pt[i] / scale, points.rapidity[i], points.phi[i]
            yy, yp, pp, total = yy + pt * y * y, yp + pt * y * phi, pp + pt * phi * phi, total + pt
        if _LEAST_SPREAD * total < yy + pp < inf:
            out[j] = _flow(yy, yp, pp)


@njit(cache=True, nogil=True, error_model="numpy")
def _covariance_kernel(first: int, last: int, flat: FlatJets, kappa: float, out: _Floats) -> None:
    """Write the eigenvalues of the covariance of rapidity and azimuth of the jets first <= j < last."""
    points = points_memory(largest_jet(flat.offsets, first, last))
    for j in range(first, last):
        n, _, _, _ = _load_about_axis(flat, j, points)
        largest = 0.0
        for i in range(n):
            largest = max(largest, points.pt[i])
        total, y_mean, phi_mean = 0.0, 0.0, 0.0
        for i in range(n):
            weight = points.pt[i] / largest
            weight = weight if kappa == 1.0 else (weight * weight if kappa == 2.0 else weight**kappa)
            points.pt[i] = weight
            total += weight
            y_mean += weight * points.rapidity[i]
            phi_mean += weight * points.phi[i]
        y_mean, phi_mean = y_mean / total, phi_mean / total
        yy, yp, pp = 0.0, 0.0, 0.0
        for i in range(n):
            weight, y, phi = points.pt[i] / total, points.rapidity[i] - y_mean, points.phi[i] - phi_mean
            yy, yp, pp = yy + weight * y * y, yp + weight * y * phi, pp + weight * phi * phi
        spread = yy + pp
        if spread > _LEAST_SPREAD:
            yy, yp, pp = yy / spread, yp / spread, pp / spread
            longer = 0.5 * (1.0 + sqrt((yy - pp) ** 2 + 4.0 * yp * yp))
            out[j, 0] = spread * longer
            out[j, 1] = spread * max((yy * pp - yp * yp) / longer, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_kernel(first: int, last: int, flat: FlatJets, out: _Floats) -> None:
    """Write the pull vector and the axis of the jets first <= j < last."""
    points = points_memory(largest_jet(flat.offsets, first, last))
    for j in range(first, last):
        n, scale, out[j, 2], out[j, 3] = _load_about_axis(flat, j, points)
        along_y, along_phi = 0.0, 0.0
        for i in range(n):
            y, phi = points.rapidity[i], points.phi[i]
            weight = points.pt[i] / scale * sqrt(y * y + phi * phi)
            along_y += weight * y
            along_phi += weight * phi
        if _LEAST_SPREAD < abs(along_y) + abs(along_phi) < inf:
            out[j, 0], out[j, 1] = along_y, along_phi


@njit(cache=True, nogil=True, error_model="numpy")
def _rings_kernel(first: int, last: int, flat: FlatJets, R0: float, out: _Floats) -> None:
    """Write the shares of pT in rings about the axis of the jets first <= j < last."""
    points = points_memory(largest_jet(flat.offsets, first, last))
    n_bins = out.shape[1]
    for j in range(first, last):
        n, _, _, _ = _load_about_axis(flat, j, points)
        total = 0.0
        for i in range(n):
            y, phi = points.rapidity[i], points.phi[i]
            r = sqrt(y * y + phi * phi)
            if r < R0:
                out[j, min(int(r / R0 * n_bins), n_bins - 1)] += points.pt[i]
                total += points.pt[i]
        for k in range(n_bins):
            out[j, k] = out[j, k] / total if total > 0.0 else 0.0
