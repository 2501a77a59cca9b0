"""What a jet is made of: how many constituents, how hard, charged or not, and of which kind.

Gallicchio, Schwartz, arXiv:1106.3076 (multiplicities), Krohn, Schwartz, Lin, Waalewijn, arXiv:1209.2421 (charge),
Pumplin, Phys. Rev. D 44 (1991) 2025 (how many constituents hold a fraction of the pT).
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.physics.arguments import number, whole_number, whole_numbers
from jetforge.physics.constituent_fields import charges_of, particle_numbers_of
from jetforge.physics.flat import FlatJets, flat_of
from jetforge.physics.parallel import for_all_jets
from jetforge.physics.shapes import sums as kernels
from jetforge.physics.shapes.angular import summed_momenta

_MOST_LEADING = 10_000
_LARGEST_PID = 2**63 - 1
_ANY = np.empty(0, dtype=np.int64)  # wanted: whatever is not 0

_Floats = npt.NDArray[np.float64]
_Counts = npt.NDArray[np.int64]


def multiplicity(constituents: Any, *, pt_min: float = 0.0, num_threads: int | None = None) -> _Counts:
    """Return the number of constituents of each jet with a pT of at least pt_min (GeV).

    Parameters
    ----------
    constituents
        Jets: an awkward array n_jets * var * momentum in GeV (see `jetforge.physics.flat.flatten`), a
        `jetforge.Jets` or a `FlatJets`.
    pt_min
        In GeV; with 0 all constituents count.
    num_threads
        Number of threads; by default as many as the process may use. The result does not depend on it.

    Returns
    -------
    ndarray
        int64 (n_jets,). Neither infrared nor collinear safe.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If pt_min is negative or not finite.
    """
    pt_min = number("pt_min", pt_min, least=0)
    flat = flat_of(constituents)
    out = np.empty(len(flat.offsets) - 1, dtype=np.int64)
    for_all_jets(kernels.multiplicity_kernel, len(out), flat, pt_min, out, num_threads=num_threads)
    return out


def leading_fractions(constituents: Any, n: int = 1, *, num_threads: int | None = None) -> _Floats:
    """Return the fractions pT_i/sum_j pT_j of the n hardest constituents of each jet, the hardest first.

    Parameters
    ----------
    constituents, num_threads
        As in `multiplicity`.
    n
        How many, from 1 to 10000.

    Returns
    -------
    ndarray
        float64 (n_jets, n); 0 where there are fewer constituents, and for jets without transverse momentum.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If n is not a whole number from 1 to 10000.
    """
    n = whole_number("n", n, 1, _MOST_LEADING)
    flat = flat_of(constituents)
    n_jets = len(flat.offsets) - 1
    leading, counts = np.empty((n_jets, n)), np.empty(n_jets, dtype=np.int64)
    for_all_jets(kernels.ordered_kernel, n_jets, flat, 1.0, leading, counts, num_threads=num_threads)
    return leading


def count_for_fraction(constituents: Any, fraction: float = 0.95, *, num_threads: int | None = None) -> _Counts:
    """Return the smallest number of constituents of each jet that have a fraction of the sum of pT: N95, N90, ...

    The count of Pumplin, Phys. Rev. D 44 (1991) 2025, of constituents in place of calorimeter cells.

    Parameters
    ----------
    constituents, num_threads
        As in `multiplicity`.
    fraction
        Above 0 and at most 1.

    Returns
    -------
    ndarray
        int64 (n_jets,); 0 for jets without transverse momentum.

    Raises
    ------
    DataError
        If the constituents are not four-momenta.
    JetforgeError
        If the fraction is out of its range.
    """
    fraction = number("fraction", fraction, above=0, most=1)
    flat = flat_of(constituents)
    n_jets = len(flat.offsets) - 1
    leading, counts = np.empty((n_jets, 0)), np.empty(n_jets, dtype=np.int64)
    for_all_jets(kernels.ordered_kernel, n_jets, flat, float(fraction), leading, counts, num_threads=num_threads)
    return counts


def jet_charge(constituents: Any, kappa: float = 0.5, *, charge: Any = None, num_threads: int | None = None) -> _Floats:
    """Return the charge of each jet weighted by momentum: sum of q_i (pT_i/pT)^kappa over its constituents.

    pT is that of the jet: Q^kappa of arXiv:1209.2421.

    Parameters
    ----------
    constituents, num_threads
        As in `multiplicity`. Charges are those of the field ``charge``, or follow from the particle numbers of the
        field ``pid``: see `charged_fraction`.
    kappa
        Exponent, 0 or more.
    charge
        Charges in units of e, in place of those of the constituents: an awkward array like them, or one number a
        constituent in a flat array.

    Returns
    -------
    ndarray
        float64 (n_jets,); 0 for jets without transverse momentum. Not infrared safe for kappa = 0.

    Raises
    ------
    DataError
        If the constituents are not four-momenta, or their charges not one finite number each.
    JetforgeError
        If kappa is negative or not finite.
    """
    flat = flat_of(constituents)
    kappa = number("kappa", kappa, least=0)
    charges = charges_of(constituents, flat, charge)
    momenta = summed_momenta(flat, num_threads)
    out = np.empty(len(flat.offsets) - 1)
    for_all_jets(kernels.charge_kernel, len(out), flat, charges, float(kappa), momenta, out, num_threads=num_threads)
    return out


def _selected(
    flat: FlatJets, values: Any, wanted: npt.NDArray[np.int64], pt_min: float, num_threads: int | None
) -> tuple[_Counts, _Floats]:
    n_jets = len(flat.offsets) - 1
    count, fraction = np.empty(n_jets, dtype=np.int64), np.empty(n_jets)
    for_all_jets(
        kernels.selected_kernel, n_jets, flat, values, wanted, pt_min, count, fraction, num_threads=num_threads
    )
    return count, fraction


def charged_multiplicity(
    constituents: Any, *, pt_min: float = 0.0, charge: Any = None, num_threads: int | None = None
) -> _Counts:
    """Return the number of charged constituents of each jet with a pT of at least pt_min (GeV): its tracks.

    Parameters
    ----------
    constituents, charge, num_threads
        As in `jet_charge`.
    pt_min
        In GeV.

    Returns
    -------
    ndarray
        int64 (n_jets,).

    Raises
    ------
    DataError, JetforgeError
        As in `jet_charge` and `multiplicity`.
    """
    flat = flat_of(constituents)
    charges = charges_of(constituents, flat, charge)
    return _selected(flat, charges, _ANY, number("pt_min", pt_min, least=0), num_threads)[0]


def charged_fraction(constituents: Any, *, charge: Any = None, num_threads: int | None = None) -> _Floats:
    """Return the fraction of the sum of pT of each jet that its charged constituents have: its tracks.

    Parameters
    ----------
    constituents, num_threads
        As in `multiplicity`. Charges are those of the field ``charge``, or follow from the particle numbers of the
        field ``pid``: leptons, hadrons by their quark content, nuclei. All others, and the numbers 1 to 8, which
        stand for calorimeter cells in data of CMS, count as neutral.
    charge
        As in `jet_charge`.

    Returns
    -------
    ndarray
        float64 (n_jets,); 0 for jets without transverse momentum.

    Raises
    ------
    DataError, JetforgeError
        As in `jet_charge`.
    """
    flat = flat_of(constituents)
    return _selected(flat, charges_of(constituents, flat, charge), _ANY, 0.0, num_threads)[1]


def pid_fraction(
    constituents: Any,
    particles: int | Sequence[int] | AbstractSet[int],
    *,
    pid: Any = None,
    num_threads: int | None = None,
) -> _Floats:
    """Return the fraction of the sum of pT of each jet that particles of some kinds have: 22 for photons.

    Parameters
    ----------
    constituents, num_threads
        As in `multiplicity`.
    particles
        Numbers of the Particle Data Group, antiparticles included: 22, or (11, 13).
    pid
        Particle numbers in place of the field ``pid`` of the constituents: an awkward array like them, or one
        number a constituent in a flat array.

    Returns
    -------
    ndarray
        float64 (n_jets,); 0 for jets without transverse momentum.

    Raises
    ------
    DataError
        If the constituents are not four-momenta, or their particle numbers not one whole number each.
    JetforgeError
        If no kind is given, or one is not a whole number above 0.
    """
    flat = flat_of(constituents)
    given = sorted(particles, key=str) if isinstance(particles, AbstractSet) else particles
    kinds = whole_numbers("particles", given, 1, _LARGEST_PID)
    numbers = particle_numbers_of(constituents, flat, pid)
    return _selected(flat, numbers, kinds, 0.0, num_threads)[1]


def photon_fraction(constituents: Any, *, pid: Any = None, num_threads: int | None = None) -> _Floats:
    """Return the fraction of the sum of pT of each jet that photons have: `pid_fraction` of 22."""
    return pid_fraction(constituents, 22, pid=pid, num_threads=num_threads)
