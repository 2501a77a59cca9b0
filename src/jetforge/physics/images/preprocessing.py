"""Inputs of networks: the aligned constituents of ATLAS top tagging, and scaled pixels.

ATLAS Collaboration, ATL-PHYS-PUB-2022-039, and the code published with the ATLAS Top Tagging Open Data Set.
"""

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import DataError
from jetforge.physics.arguments import flag, floating, number, whole_number
from jetforge.physics.elementary import atan2, log
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.images.alignment import align, hardest_first
from jetforge.physics.kinematics import LEAST_PT, pseudorapidity
from jetforge.physics.number_arrays import number_array
from jetforge.physics.parallel import for_all_jets

ATLAS_FEATURES = ("eta", "phi", "log_pt", "log_energy", "log_pt_fraction", "log_energy_fraction", "delta_r")
"""Features of a constituent in the order of `atlas_constituents`."""
ATLAS_COLUMNS = ("pt", "eta", "phi", "energy")
"""Rows of `atlas_columns`."""

_MOST_CONSTITUENTS = 10_000
_PIXELS_PER_BLOCK = 1 << 23

_Floats = npt.NDArray[np.float64]


class PixelScaling(NamedTuple):
    """Mean of each pixel, and its standard deviation plus a regulator, over training images; float64."""

    mean: _Floats
    scale: _Floats


@njit(cache=True, error_model="numpy")
def _leading(flat: FlatJets, j: int, num: int, columns: _Floats) -> int:
    """Write pT, eta, phi and energy of the hardest constituents of jet j, hardest first, and return their number."""
    begin, end = flat.offsets[j], flat.offsets[j + 1]
    px, py, pz, energy = flat.px[begin:end], flat.py[begin:end], flat.pz[begin:end], flat.energy[begin:end]
    all_pt = np.sqrt(px * px + py * py)
    order = hardest_first(len(all_pt), all_pt)
    kept = 0
    for i in order[:num]:
        pt = all_pt[i]
        if not pt > LEAST_PT:  # the direction of such a constituent means nothing
            break
        columns[0, kept] = pt
        columns[1, kept] = pseudorapidity(pt, pz[i])
        columns[2, kept] = atan2(py[i], px[i])
        # An energy of 0 can only be the rounding of a tiny one.
        columns[3, kept] = energy[i] if energy[i] > 0.0 else sqrt(pt * pt + pz[i] * pz[i])
        kept += 1
    return kept


@njit(cache=True, nogil=True, error_model="numpy")
def _feature_kernel(first: int, last: int, flat: FlatJets, features: Any, mask: npt.NDArray[np.bool_]) -> None:
    num = mask.shape[1]
    columns = np.empty((4, num))
    pt, eta, phi, energy = columns[0], columns[1], columns[2], columns[3]
    for j in range(first, last):
        n = _leading(flat, j, num, columns)
        if n == 0:
            continue
        align(n, eta, phi)
        log_sum_pt, log_sum_energy = log(pt[:n].sum()), log(energy[:n].sum())
        for i in range(n):
            log_pt, log_energy = log(pt[i]), log(energy[i])
            features[j, i, 0] = eta[i]
            features[j, i, 1] = phi[i]
            features[j, i, 2] = log_pt
            features[j, i, 3] = log_energy
            features[j, i, 4] = log_pt - log_sum_pt
            features[j, i, 5] = log_energy - log_sum_energy
            features[j, i, 6] = sqrt(eta[i] * eta[i] + phi[i] * phi[i])
            mask[j, i] = True


@njit(cache=True, nogil=True, error_model="numpy")
def _column_kernel(first: int, last: int, flat: FlatJets, aligned: bool, out: Any, most: float) -> None:
    columns = np.empty((4, out.shape[2]))
    for j in range(first, last):
        n = _leading(flat, j, out.shape[2], columns)
        if n > 0 and aligned:
            align(n, columns[1], columns[2])
        for c in range(4):
            for i in range(n):
                out[j, c, i] = min(columns[c, i], most)


def atlas_constituents(
    constituents: Any, num: int = 80, *, dtype: npt.DTypeLike = np.float32, num_threads: int | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return the inputs of the constituent-based top taggers of ATLAS.

    The `num` constituents of highest pT are taken, hardest first. In the plane of pseudorapidity eta and azimuth phi

    1. the hardest is moved to the origin, differences of azimuth taken the short way round;
    2. the jet is rotated so that the second hardest lies on the negative phi axis, at eta = 0 and phi < 0;
    3. if the third hardest is then at eta < 0, all signs of eta are changed.

    Parameters
    ----------
    constituents
        Awkward array of jets, `jetforge.Jets` or `FlatJets`, momenta in GeV.
    num
        Number of constituents taken, from 1 to 10000.
    dtype
        float32 or float64.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    features : array (n_jets, num, 7)
        As named in `ATLAS_FEATURES`: eta and phi in the rotated plane; ln(pT/GeV); ln(E/GeV); ln(pT/sum pT);
        ln(E/sum E); Delta R = sqrt(eta^2 + phi^2), the distance to the hardest constituent. Sums run over the
        constituents taken. Zero where a jet has fewer constituents.
    mask : array (n_jets, num) of bool
        Where there is a constituent.

    Raises
    ------
    DataError
        If the constituents are not four-momenta (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If `num` is not from 1 to 10000, or `dtype` is not one of the two.

    Notes
    -----
    ATLAS Collaboration, ATL-PHYS-PUB-2022-039. The published data set is in MeV, which adds ln 1000 to ln pT and
    ln E. Eta is the pseudorapidity: for massive constituents it is not the rapidity, and a boost along the beam
    changes the features. Of constituents of equal pT the one given first counts as harder. If the second has the
    direction of the first, it counts as one at eta > 0. A third within 1e-9 of the phi axis is not reflected.
    Constituents of pT up to 1e-144 GeV, along the beam, are left out.
    """
    kind = _check(num, dtype)
    flat = flat_of(constituents)
    n_jets = len(flat.offsets) - 1
    features = np.zeros((n_jets, num, len(ATLAS_FEATURES)), dtype=kind)
    mask = np.zeros((n_jets, num), dtype=np.bool_)
    for_all_jets(_feature_kernel, n_jets, flat, features, mask, num_threads=num_threads)
    return features, mask


def atlas_columns(
    constituents: Any,
    num: int = 80,
    *,
    aligned: bool = True,
    dtype: npt.DTypeLike = np.float32,
    num_threads: int | None = None,
) -> npt.NDArray[Any]:
    """Return the four columns of the constituents in the ATLAS Top Tagging Open Data Set: pT, eta, phi and E.

    Parameters
    ----------
    constituents
        Awkward array of jets, `jetforge.Jets` or `FlatJets`, momenta in GeV.
    num
        Number of constituents taken, from 1 to 10000, hardest first.
    aligned
        Whether eta and phi are those of `atlas_constituents`: relative to the hardest constituent, rotated and
        reflected. If not, they are the pseudorapidity and the azimuth, in (-pi, pi], of each constituent.
    dtype
        float32 or float64.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    array (n_jets, 4, num)
        Rows as named in `ATLAS_COLUMNS`, pT and E in GeV; zero where a jet has fewer constituents. Constituents of
        pT up to 1e-144 GeV are left out. Numbers above the range of `dtype` are its largest one.

    Raises
    ------
    DataError
        If the constituents are not four-momenta (see `jetforge.physics.flat.flatten`).
    JetforgeError
        If `num` is not from 1 to 10000, `dtype` is not one of the two, or `aligned` is neither True nor False.
    """
    kind, aligned = _check(num, dtype), flag("aligned", aligned)
    flat = flat_of(constituents)
    out = np.zeros((len(flat.offsets) - 1, len(ATLAS_COLUMNS), num), dtype=kind)
    for_all_jets(_column_kernel, len(out), flat, aligned, out, float(np.finfo(kind).max), num_threads=num_threads)
    return out


def fit_pixel_scaling(images: npt.NDArray[Any], regulator: float = 1e-5) -> PixelScaling:
    """Learn from training images how to centre and scale each pixel.

    Parameters
    ----------
    images
        Array (n_jets, ...), such as from `jetforge.physics.images.pixels.jet_images`.
    regulator
        Added to the standard deviation, so that pixels that are hardly ever hit are not blown up.

    Returns
    -------
    PixelScaling
        To be given to `standardise`, for the training images and for all others.

    Raises
    ------
    DataError
        If these are no numbers, there is no image, or a pixel is not finite.
    JetforgeError
        If the regulator is not positive.

    Notes
    -----
    Komiske, Metodiev, Schwartz, arXiv:1612.01551, section 3: zero-centring and standardisation.
    """
    regulator, images = number("regulator", regulator, above=0), number_array("images", images)
    if images.ndim < 2 or len(images) == 0:
        raise DataError(f"images of shape {images.shape}: there is nothing to learn a scaling from")
    rows = max(1, _PIXELS_PER_BLOCK // max(1, images[0].size))
    blocks = [slice(start, start + rows) for start in range(0, len(images), rows)]
    mean = sum(images[block].sum(axis=0, dtype=np.float64) for block in blocks) / len(images)
    if not np.isfinite(mean).all():
        raise DataError("images have pixels that are not finite; drop or repair them")
    variance = sum(np.square(images[block] - mean).sum(axis=0) for block in blocks) / len(images)
    return PixelScaling(mean, np.sqrt(variance) + regulator)


def standardise(images: npt.NDArray[Any], scaling: PixelScaling) -> npt.NDArray[Any]:
    """Return (pixel - mean)/(standard deviation + regulator) for images (n_jets, ...), in their own precision.

    Raises
    ------
    DataError
        If the images are no numbers or have another shape than those of the scaling, or this is no `PixelScaling`.
    """
    images = number_array("images", images)
    if not isinstance(scaling, PixelScaling):
        raise DataError(
            f"scaling must be a PixelScaling, not {type(scaling).__name__}; make one with fit_pixel_scaling"
        )
    if images.shape[1:] != scaling.mean.shape:
        raise DataError(f"images of shape {images.shape[1:]} do not go with a scaling of shape {scaling.mean.shape}")
    kind = images.dtype if images.dtype.kind == "f" else np.dtype(np.float64)
    scaled: npt.NDArray[Any] = (images - scaling.mean.astype(kind)) / scaling.scale.astype(kind)
    return scaled


def _check(num: int, dtype: npt.DTypeLike) -> np.dtype[Any]:
    whole_number("num", num, 1, _MOST_CONSTITUENTS)
    return floating(dtype)
