"""Parton-level truth: the tops of an event, the quarks they decay to, and which jets contain them."""

from __future__ import annotations

import awkward as ak
import numpy as np
import numpy.typing as npt

_TOP, _W = 6, 24


def top_decays(events: ak.Array) -> ak.Array:
    """Find the tops of each event that decay to three quarks.

    Top and W are followed to their last copies; the quark beside the W may be any down type.

    Parameters
    ----------
    events
        Pythia's event records, as `PythiaGenerator.next_batch` returns them.

    Returns
    -------
    ak.Array
        events * var * record of ``y`` and ``phi`` of the top (its last copy) and ``quark_y``, ``quark_phi``
        (3 * float64). A top whose W decays to leptons is left out.
    """
    particles = events.prt
    starts = np.concatenate([[0], np.cumsum(ak.num(particles))])
    ids = np.asarray(ak.flatten(particles.id))
    event_of = np.repeat(np.arange(len(events)), np.diff(starts))
    daughters = np.stack([np.asarray(ak.flatten(d)) for d in (particles.daughter1, particles.daughter2)], axis=1)
    daughters = daughters + starts[event_of][:, np.newaxis]

    found = [_hadronic_tops(ids, daughters, event_of, len(events), sign) for sign in (1, -1)]
    event = np.concatenate([f[0] for f in found])
    order = np.argsort(event, kind="stable")
    top = np.concatenate([f[1] for f in found])[order]
    quarks = np.concatenate([f[2] for f in found])[order]

    y, phi = _rapidity_phi(particles, np.column_stack([top, quarks]))
    tops = ak.zip({"y": y[:, 0], "phi": phi[:, 0], "quark_y": y[:, 1:], "quark_phi": phi[:, 1:]}, depth_limit=1)
    return ak.unflatten(tops, np.bincount(event, minlength=len(events)))


def contains_top(jet_y: ak.Array, jet_phi: ak.Array, tops: ak.Array, radius: float) -> ak.Array:
    """Say which jets contain a hadronic top: the top and its three quarks within `radius` of the jet.

    Distances are sqrt(dy^2 + dphi^2), as in the match of arXiv:1902.09914.

    Parameters
    ----------
    jet_y, jet_phi
        events * var, rapidity and azimuth of the jets.
    tops
        What `top_decays` returns for the same events.
    radius
        Largest distance allowed.

    Returns
    -------
    ak.Array
        events * var * bool.
    """
    y, phi = jet_y[:, :, np.newaxis], jet_phi[:, :, np.newaxis]
    near = _distance2(y, phi, tops.y[:, np.newaxis, :], tops.phi[:, np.newaxis, :]) < radius**2
    for quark in range(3):
        quark_y = tops.quark_y[:, :, quark][:, np.newaxis, :]
        quark_phi = tops.quark_phi[:, :, quark][:, np.newaxis, :]
        near = near & (_distance2(y, phi, quark_y, quark_phi) < radius**2)
    return ak.any(near, axis=2)


def _hadronic_tops(
    ids: npt.NDArray[np.int32],
    daughters: npt.NDArray[np.int64],
    event_of: npt.NDArray[np.int64],
    num_events: int,
    sign: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return event, index of the top and indices of its three quarks, for tops (sign 1) or antitops (-1)."""
    top = _last_copies(ids, daughters, event_of, num_events, sign * _TOP)
    boson = _last_copies(ids, daughters, event_of, num_events, sign * _W)
    whole = (top >= 0) & (boson >= 0)
    event = np.flatnonzero(whole)
    top, boson = top[whole], boson[whole]
    top_daughters = daughters[top]
    beside_w = np.where(ids[top_daughters[:, 0]] == sign * _W, top_daughters[:, 1], top_daughters[:, 0])
    quarks = np.column_stack([beside_w, daughters[boson]])
    hadronic = np.all(np.abs(ids[quarks]) <= _TOP, axis=1)
    return event[hadronic], top[hadronic], quarks[hadronic]


def _last_copies(
    ids: npt.NDArray[np.int32],
    daughters: npt.NDArray[np.int64],
    event_of: npt.NDArray[np.int64],
    num_events: int,
    pdg_id: int,
) -> npt.NDArray[np.int64]:
    """Return for each event the index of the copy of `pdg_id` that decays; -1 unless there is exactly one."""
    copies = np.flatnonzero(ids == pdg_id)
    last = copies[np.all(ids[daughters[copies]] != pdg_id, axis=1)]
    result = np.full(num_events, -1, dtype=np.int64)
    result[event_of[last]] = last
    result[np.bincount(event_of[last], minlength=num_events) != 1] = -1
    return result


def _rapidity_phi(
    particles: ak.Array, index: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    px, py, pz, energy = (np.asarray(ak.flatten(getattr(particles.p, c)))[index] for c in ("px", "py", "pz", "e"))
    mt2 = np.maximum(energy**2 - pz**2, np.finfo(float).tiny)
    return np.sign(pz) * np.log((energy + np.abs(pz)) / np.sqrt(mt2)), np.arctan2(py, px)


def _distance2(y1: ak.Array, phi1: ak.Array, y2: ak.Array, phi2: ak.Array) -> ak.Array:
    dphi = np.abs(phi1 - phi2)
    dphi = ak.where(dphi > np.pi, 2 * np.pi - dphi, dphi)
    return (y1 - y2) ** 2 + dphi**2
