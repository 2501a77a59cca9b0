"""Which heavy particle a jet of a CMS event contains, from the generator particles that NanoAOD stores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

CLASSES = ("qcd", "w", "z", "higgs", "top", "partial")
"""What `classify` tells apart, in the order of its labels."""

_TOP, _Z, _W, _HIGGS = 6, 23, 24, 25
_BOSONS = {_W: CLASSES.index("w"), _Z: CLASSES.index("z"), _HIGGS: CLASSES.index("higgs")}
_PARTIAL = CLASSES.index("partial")
_HEAVIEST_LIGHT_QUARK = 5
# What may be seen of a decay in a jet: quarks, charged leptons, gluons and photons (of the Higgs boson).
_VISIBLE = (1, 2, 3, 4, 5, 11, 13, 15, 21, 22)
_LAST_COPY = 1 << 13
# Of a jet that several decays fit, the rarer one is told: a top contains its W.
_RARER_FIRST = ("top", "higgs", "z", "w")
# Copies of a particle in a row: parton showers write some ten.
_MOST_COPIES = 1000

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


class Particles(NamedTuple):
    """Generator particles of many events in flat arrays; those of event i are ``offsets[i]:offsets[i + 1]``.

    `mother` is the position in these arrays, -1 for none; `flags` are the bits of ``GenPart_statusFlags``.
    """

    offsets: _Ints
    pid: _Ints
    mother: _Ints
    flags: _Ints
    eta: _Floats
    phi: _Floats


class _Decays(NamedTuple):
    """Decays to quarks alone: the particle, its two or three quarks (the last repeated), and its class."""

    particle: _Ints
    quarks: tuple[_Ints, _Ints, _Ints]
    label: _Ints


def classify(particles: Particles, event: _Ints, eta: _Floats, phi: _Floats, radius: float) -> _Ints:
    """Return the class of each jet, a position in `CLASSES`.

    A jet is ``top`` if the last copy of a top quark and its three quarks (the one beside the W, and the two of the W)
    are within `radius` of its axis in (eta, phi); ``w``, ``z`` and ``higgs`` likewise with the two quarks of the
    boson. Quarks are those that the decay writes, before they radiate. If several fit, the first of top, higgs, z, w is
    taken. A jet that is none of these is ``partial`` if it contains a quark, charged lepton, gluon or photon of any
    decay of a top, W, Z or Higgs boson, and ``qcd`` otherwise.

    Parameters
    ----------
    particles
        The generator particles.
    event
        int64 (n_jets,): the event of each jet.
    eta, phi
        Axes of the jets (n_jets,).
    radius
        Largest distance.

    Raises
    ------
    ValueError
        If particles are mothers of each other in a circle.
    """
    decays, leaves = _decays(particles)
    jet, which = _same_event(particles, event, decays.particle)
    near = np.ones(len(jet), dtype=np.bool_)
    for member in (decays.particle, *decays.quarks):
        near &= _near(particles, member[which], eta[jet], phi[jet], radius)
    labels = np.zeros(len(event), dtype=np.int64)
    leaf_jet, leaf = _same_event(particles, event, leaves)
    touched = _near(particles, leaves[leaf], eta[leaf_jet], phi[leaf_jet], radius)
    labels[leaf_jet[touched]] = _PARTIAL
    for name in reversed(_RARER_FIRST):
        number = CLASSES.index(name)
        labels[jet[near & (decays.label[which] == number)]] = number
    return labels


def _decays(particles: Particles) -> tuple[_Decays, _Ints]:
    """Return the decays to quarks alone, and all visible particles that come directly from a decay."""
    size = np.abs(particles.pid)
    heavy = np.isin(size, (_TOP, *_BOSONS)) & (particles.flags & _LAST_COPY != 0)
    has_mother = particles.mother >= 0
    of_heavy = np.zeros(len(size), dtype=np.bool_)
    of_heavy[has_mother] = heavy[particles.mother[has_mother]]
    leaves = np.flatnonzero(of_heavy & np.isin(size, _VISIBLE))

    quarks = np.flatnonzero(of_heavy & (size >= 1) & (size <= _HEAVIEST_LIGHT_QUARK))
    quarks = quarks[np.argsort(particles.mother[quarks], kind="stable")]
    mothers = particles.mother[quarks]
    number = np.bincount(mothers, minlength=len(size))
    first = np.searchsorted(mothers, np.arange(len(size)))

    bosons = np.flatnonzero(heavy & (size != _TOP) & (number == 2))
    one, other = quarks[first[bosons]], quarks[first[bosons] + 1]
    labels = np.zeros(_HIGGS + 1, dtype=np.int64)
    labels[list(_BOSONS)] = list(_BOSONS.values())

    from_w = np.flatnonzero(size[bosons] == _W)
    above = _first_other(particles, bosons[from_w])
    whole = (above >= 0) & (size[above] == _TOP) & heavy[above] & (number[above] == 1)
    from_w, tops = from_w[whole], above[whole]
    beside = quarks[first[tops]]
    return _Decays(
        np.concatenate([bosons, tops]),
        (
            np.concatenate([one, beside]),
            np.concatenate([other, one[from_w]]),
            np.concatenate([other, other[from_w]]),
        ),
        np.concatenate([labels[size[bosons]], np.full(len(tops), CLASSES.index("top"), dtype=np.int64)]),
    ), leaves


def _first_other(particles: Particles, index: _Ints) -> _Ints:
    """Return for particles the nearest ancestor that is no copy of them, -1 for none."""
    pid = particles.pid[index]
    above = particles.mother[index]
    for _ in range(_MOST_COPIES):
        copy = (above >= 0) & (particles.pid[above] == pid)
        if not copy.any():
            return above
        above = np.where(copy, particles.mother[above], above)
    raise ValueError("particles are copies of each other in a circle")


def _same_event(particles: Particles, event: _Ints, members: _Ints) -> tuple[_Ints, _Ints]:
    """Return all pairs of a jet and one of these particles of its event: positions in `event` and in `members`."""
    of_member = np.searchsorted(particles.offsets, members, side="right") - 1
    order = np.argsort(of_member, kind="stable")
    starts = np.searchsorted(of_member[order], np.arange(len(particles.offsets)))
    counts = np.diff(starts)[event]
    jet = np.repeat(np.arange(len(event)), counts)
    within = np.arange(len(jet)) - np.repeat(np.cumsum(counts) - counts, counts)
    return jet, order[starts[event][jet] + within]


def _near(particles: Particles, index: _Ints, eta: _Floats, phi: _Floats, radius: float) -> npt.NDArray[np.bool_]:
    dphi = np.abs(particles.phi[index] - phi) % (2 * np.pi)
    dphi = np.minimum(dphi, 2 * np.pi - dphi)
    near: npt.NDArray[np.bool_] = (particles.eta[index] - eta) ** 2 + dphi**2 < radius**2
    return near
