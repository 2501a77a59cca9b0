"""Particles of whole events to jets, with FastJet's vectorised interface."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import awkward as ak
import numpy as np

from jetforge.errors import JetforgeError


def cluster_events(particles: ak.Array, *, radius: float, pt_min: float) -> ak.Array:
    """Cluster each event with the anti-kt algorithm (arXiv:0802.1189), E scheme.

    Parameters
    ----------
    particles
        events * var * record with ``px, py, pz, energy`` in GeV; further fields go along with the particles.
    radius
        The algorithm's R.
    pt_min
        Jets below this transverse momentum (GeV) are left out.

    Returns
    -------
    ak.Array
        events * var * record, hardest jet first: ``px, py, pz, energy`` (GeV), ``pt``, ``y``, ``eta``, ``phi``
        in (-pi, pi], ``mass``, and ``constituents``, var * the records given, hardest first.

    Raises
    ------
    JetforgeError
        If the fastjet package is not installed.
    """
    fastjet = _fastjet()
    momenta = ak.zip(
        {"px": particles.px, "py": particles.py, "pz": particles.pz, "E": particles.energy},
        with_name="Momentum4D",
    )
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
    sequence = fastjet.ClusterSequence(ak.to_packed(momenta), definition)
    jets = sequence.inclusive_jets(min_pt=pt_min)
    index = sequence.constituent_index(min_pt=pt_min)

    # One flat index per event selects the constituents of all of its jets; the nesting is put back after.
    constituents = ak.unflatten(particles[ak.flatten(index, axis=2)], ak.flatten(ak.num(index, axis=2)), axis=1)
    pt2 = constituents.px**2 + constituents.py**2
    constituents = constituents[ak.argsort(pt2, axis=2, ascending=False, stable=True)]
    result = _with_kinematics(jets, constituents)
    return result[ak.argsort(result.pt, axis=1, ascending=False, stable=True)]


def _with_kinematics(jets: ak.Array, constituents: ak.Array) -> ak.Array:
    px, py, pz, energy = jets.px, jets.py, jets.pz, jets.E
    pt2 = px**2 + py**2
    pt = np.sqrt(pt2)
    mass2 = (energy + pz) * (energy - pz) - pt2
    mass = np.sign(mass2) * np.sqrt(np.abs(mass2))
    y = np.sign(pz) * np.log((energy + np.abs(pz)) / np.sqrt(pt2 + np.maximum(mass2, 0)))
    return ak.zip(
        {"px": px, "py": py, "pz": pz, "energy": energy, "pt": pt, "y": y, "eta": np.arcsinh(pz / pt),
         "phi": np.arctan2(py, px), "mass": mass, "constituents": constituents},
        depth_limit=2,
    )  # fmt: skip


@cache
def _fastjet() -> Any:
    """Import fastjet, and let it print its banner where nobody's output is; `jetforge generate` says what to cite."""
    try:
        import fastjet
    except ImportError:
        raise JetforgeError("clustering whole events needs FastJet: pip install 'jetforge[generate]'") from None
    with _silent_stdout():
        one = ak.Array([[{"px": 1.0, "py": 0.0, "pz": 0.0, "E": 1.0}]])
        fastjet.ClusterSequence(one, fastjet.JetDefinition(fastjet.antikt_algorithm, 1.0))
    return fastjet


@contextlib.contextmanager
def _silent_stdout() -> Iterator[None]:
    """Drop what C code prints to standard output while the block runs."""
    sys.stdout.flush()
    saved, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        # C code buffers its output: flush it while it still goes nowhere.
        ctypes.CDLL(None).fflush(None)
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)
