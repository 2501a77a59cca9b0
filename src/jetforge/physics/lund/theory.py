"""What QCD says about the Lund plane at leading order, and the lines that bound it.

Dreyer, Salam, Soyez, arXiv:1807.04758, section 2. These are for figures and for a check of the scale of a density:
nothing here is resummed, and hadronisation, the underlying event and the clustering's recoil are left out.
"""

from math import pi

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError
from jetforge.physics.arguments import flag, known, number, whole_number
from jetforge.physics.lund.limits import not_negative, positive

_Floats = npt.NDArray[np.float64]

_MASS_OF_Z = 91.1876  # GeV
_CF, _CA = 4.0 / 3.0, 3.0
_FLAVOURS = ("quark", "gluon")


def running_coupling(
    kt: npt.ArrayLike, *, alpha_s_mz: float = 0.118, num_flavours: int = 5, freeze: float = 1.0
) -> _Floats:
    """Return the strong coupling at the scale kt, at one loop.

    alpha_s(kt) = alpha_s(mZ)/(1 + 2 b0 alpha_s(mZ) ln(kt/mZ)), b0 = (11 CA - 2 nf)/(12 pi).

    Parameters
    ----------
    kt
        In GeV, of any shape.
    alpha_s_mz
        Coupling at the mass of the Z, 91.1876 GeV, above 0 and at most 1.
    num_flavours
        Number of flavours nf, 0 to 6, the same at all scales.
    freeze
        Below this scale (GeV) the coupling stays what it is there.

    Returns
    -------
    array
        Of the shape of kt.

    Raises
    ------
    DataError
        If a kt is no finite number, or negative.
    JetforgeError
        If alpha_s_mz is not above 0 and at most 1, num_flavours is not 0 to 6, or freeze is not positive, or so low
        that the one-loop coupling has no value there.
    """
    alpha_s_mz = number("alpha_s_mz", alpha_s_mz, above=0, most=1)
    num_flavours = whole_number("num_flavours", num_flavours, 0, 6)
    freeze = positive("freeze", freeze)
    b0 = (11 * _CA - 2 * num_flavours) / (12 * pi)
    pole = _MASS_OF_Z * float(np.exp(-1.0 / (2 * b0 * alpha_s_mz)))
    if freeze <= pole:
        raise JetforgeError(f"freeze is {freeze:g} GeV; the one-loop coupling diverges at {pole:.3g} GeV, stay above")
    scale = np.maximum(not_negative("kt", kt), freeze)
    return np.asarray(alpha_s_mz / (1 + 2 * b0 * alpha_s_mz * np.log(scale / _MASS_OF_Z)))


def leading_order_density(
    delta: npt.ArrayLike,
    kt: npt.ArrayLike,
    *,
    pt: float,
    flavour: str = "quark",
    collinear: bool = True,
    alpha_s_mz: float = 0.118,
    num_flavours: int = 5,
    freeze: float = 1.0,
) -> _Floats:
    """Return the density of the primary Lund plane at leading order, with a running coupling.

    Parameters
    ----------
    delta, kt
        Angle, and transverse momentum of the emission in GeV; broadcast together.
    pt
        Transverse momentum of the jet in GeV.
    flavour
        `quark` or `gluon`: the parton that starts the jet.
    collinear
        Whether the splitting functions are taken in full, or in the limit of a soft emission; True or False.
    alpha_s_mz, num_flavours, freeze
        As those of `running_coupling`.

    Returns
    -------
    array
        d^2 N/(d ln(1/Delta) d ln kt) for a jet; 0 where the emission would have more than half of the momentum.

    Raises
    ------
    DataError
        If delta or kt is no finite number, or negative, or their shapes do not go together.
    JetforgeError
        If the flavour is not known, or pt or a parameter of the coupling is out of its range.

    Notes
    -----
    With z = kt/(pt Delta), the momentum fraction of the softer prong, and z < 1/2:

        quark  (alpha_s(kt)/pi) CF z [p(z) + p(1 - z)],   p(z) = (1 + (1 - z)^2)/z
        gluon  (alpha_s(kt)/pi) z [2 CA (z/(1 - z) + (1 - z)/z + z (1 - z)) + nf (z^2 + (1 - z)^2)]

    Both go to 2 alpha_s(kt) CR/pi, CR = CF or CA, for a soft emission: the density of Dreyer, Salam, Soyez,
    arXiv:1807.04758, section 2. A calculation to compare data with is Lifson, Salam, Soyez, arXiv:2007.06578.
    """
    known("flavour", flavour, _FLAVOURS)
    collinear, pt = flag("collinear", collinear), positive("pt", pt)
    angles, scales = not_negative("delta", delta), not_negative("kt", kt)
    try:
        angle, scale = np.broadcast_arrays(angles, scales)
    except ValueError:
        raise DataError(f"delta of shape {angles.shape} does not go with kt of shape {scales.shape}") from None
    coupling = running_coupling(scale, alpha_s_mz=alpha_s_mz, num_flavours=num_flavours, freeze=freeze)
    reach = pt * angle
    allowed = (scale > 0.0) & (2 * scale < reach)
    z = np.where(allowed, scale, 0.25) / np.where(allowed, reach, 1.0)
    if not collinear:
        shape = np.full(z.shape, 2 * (_CF if flavour == "quark" else _CA))
    elif flavour == "quark":
        shape = _CF * (1 + (1 - z) ** 2 + z / (1 - z) * (1 + z**2))
    else:
        gluons = z**2 / (1 - z) + (1 - z) + z**2 * (1 - z)
        shape = 2 * _CA * gluons + num_flavours * z * (z**2 + (1 - z) ** 2)
    return np.where(allowed, coupling / pi * shape, 0.0)
