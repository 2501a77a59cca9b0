"""Proton collisions from Pythia, whole batches at a time as awkward arrays."""

from __future__ import annotations

from collections.abc import Sequence

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError, RecipeError

# Pythia accepts seeds from 1 to this.
MAX_SEED = 900_000_000
_NEUTRINOS = (12, 14, 16)


class PythiaGenerator:
    """A Pythia generator that hands out batches of events.

    Parameters
    ----------
    settings
        Lines for ``Pythia.readString``.
    seed
        From 1 to 900,000,000.

    Raises
    ------
    RecipeError
        If Pythia does not know a setting.
    JetforgeError
        If Pythia cannot be initialised, or is not installed.
    """

    def __init__(self, settings: Sequence[str], seed: int) -> None:
        try:
            import pythia8mc
        except ImportError:
            raise JetforgeError(
                "generating events needs Pythia: pip install 'jetforge[generate]' (Linux and macOS wheels)"
            ) from None
        if not 1 <= seed <= MAX_SEED:
            raise RecipeError(f"Pythia's seed is from 1 to {MAX_SEED}, not {seed}")
        self._pythia = pythia8mc.Pythia("", False)
        for line in ("Print:quiet = on", "Random:setSeed = on", f"Random:seed = {seed}", *settings):
            if not self._pythia.readString(line):
                raise RecipeError(f"Pythia does not know the setting '{line}'")
        if not self._pythia.init():
            raise JetforgeError(f"Pythia could not be initialised with: {'; '.join(settings)}")
        self._charge_of: dict[int, float] = {}

    def next_batch(self, num_events: int) -> ak.Array:
        """Generate `num_events` events.

        Parameters
        ----------
        num_events
            How many; an event that Pythia gives up is replaced, as in ``nextBatch(..., 'skip')``.

        Returns
        -------
        ak.Array
            Pythia's event records: ``prt`` (var * particle with id, status, daughters, p, m) and ``info``.
            Four-momenta in GeV.
        """
        return self._pythia.nextBatch(num_events)

    def charges(self, pdg_ids: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """Return the electric charges (units of e) of particles given by PDG number, any shape."""
        unique, inverse = np.unique(pdg_ids, return_inverse=True)
        data = self._pythia.particleData
        for pdg_id in unique.tolist():
            if pdg_id not in self._charge_of:
                self._charge_of[pdg_id] = float(data.charge(pdg_id))
        table = np.array([self._charge_of[i] for i in unique.tolist()], dtype=np.float32)
        return table[inverse.reshape(pdg_ids.shape)]


def final_particles(events: ak.Array, *, visible_only: bool, eta_max: float | None) -> ak.Array:
    """Return the stable particles of each event.

    Parameters
    ----------
    events
        What `PythiaGenerator.next_batch` returns.
    visible_only
        Leave neutrinos out.
    eta_max
        Keep particles with abs(eta) below this; None keeps all.

    Returns
    -------
    ak.Array
        var * record of ``px, py, pz, energy, mass`` (GeV, float64) and ``pid`` (int32).
    """
    particles = events.prt
    keep = particles.status > 0
    if visible_only:
        pdg = np.abs(particles.id)
        for neutrino in _NEUTRINOS:
            keep = keep & (pdg != neutrino)
    if eta_max is not None:
        # abs(eta) < eta_max is abs(pz) < pT sinh(eta_max): no logarithm a particle.
        pt2 = particles.p.px**2 + particles.p.py**2
        keep = keep & (particles.p.pz**2 < pt2 * float(np.sinh(eta_max)) ** 2)
    kept = particles[keep]
    return ak.zip(
        {
            "px": kept.p.px,
            "py": kept.p.py,
            "pz": kept.p.pz,
            "energy": kept.p.e,
            "mass": kept.m,
            "pid": kept.id,
        }
    )


def multiplicity(events: ak.Array) -> npt.NDArray[np.int64]:
    """Return the number of stable particles of each event, neutrinos included."""
    return np.asarray(ak.sum(events.prt.status > 0, axis=1), dtype=np.int64)
