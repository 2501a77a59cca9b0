"""Which heavy particle a jet of a CMS event contains, from the generator particles that NanoAOD stores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jetforge.jets.readers.constituents.ragged import offsets_of

CLASSES = ("qcd", "w", "z", "higgs", "top", "partial")
"""What `classify` tells apart, in the order of its labels."""

_TOP, _Z, _W, _HIGGS = 6, 23, 24, 25
_PARTIAL = CLASSES.index("partial")
# Particles whose decays have a class: its number, and the numbers of quarks that a decay to quarks alone may have.
_KNOWN = {
    _TOP: (CLASSES.index("top"), (3,)), _Z: (CLASSES.index("z"), (2,)), _W: (CLASSES.index("w"), (2,)),
    _HIGGS: (CLASSES.index("higgs"), (2, 4)),
}  # fmt: skip
# Of new physics, in the numbering of the Particle Data Group: a fourth generation, further gauge and Higgs bosons,
# leptoquarks and dark matter; supersymmetry, technicolor, excited and extra-dimensional particles; right-handed ones.
_NEW = ((7, 8), (17, 18), (32, 60), (1_000_001, 6_999_999), (9_900_012, 9_900_099))
_HEAVIEST_LIGHT_QUARK = 5
_LEPTONS = (11, 12, 13, 14, 15, 16)
# What may be seen of a decay in a jet: quarks, charged leptons, gluons and photons.
_VISIBLE = (1, 2, 3, 4, 5, 11, 13, 15, 21, 22)
_LAST_COPY = 1 << 13
# Of a jet that several decays fit, the rarer one is told.
_RARER_FIRST = ("top", "higgs", "z", "w")
# Copies of a particle in a row: parton showers write some ten. Decays within decays: three where a new particle decays
# to Higgs bosons and these to W bosons, more in cascades of new particles.
_MOST_COPIES, _MOST_DECAYS = 1000, 50

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.bool_]


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
    """Decays to quarks alone, directly or through other heavy particles.

    Those of decay i are ``quarks[offsets[i]:offsets[i + 1]]``; `outer` is the position here of the next decay that
    contains it, -1 for none; `label` is `_PARTIAL` for particles that have no class of their own.
    """

    particle: _Ints
    offsets: _Ints
    quarks: _Ints
    label: _Ints
    outer: _Ints
    from_higgs: _Flags


def classify(particles: Particles, event: _Ints, eta: _Floats, phi: _Floats, radius: float) -> _Ints:
    """Return the class of each jet, a position in `CLASSES`.

    Heavy are top quarks, W, Z and Higgs bosons, and particles of new physics. The products of a heavy particle are
    those of its last copy, and of heavy particles among them; quarks are those that the decay writes, before they
    radiate. A jet contains a heavy particle if the last copy and all quarks of its decay are within `radius` of the
    jet's axis in (eta, phi), and there are as many as fit it and no leptons: three of a top quark (with or without a W
    boson in the record), two of a W or Z boson, two or four of a Higgs boson, any two or more of a new particle. Gluons
    and photons beside quarks are not looked at.

    If a jet contains one, and that from which it comes too, only the latter counts; a W or Z boson from a Higgs boson
    does not count alone. Of those that are left, the first of top, higgs, z, w is the class. If there is none, a jet
    is ``partial`` if it contains a quark, charged lepton, gluon or photon that a heavy particle decays to, and ``qcd``
    otherwise. So decays to leptons, of a Higgs boson to gluons, photons or taus, and new particles that are in the jet
    as a whole, are ``partial``.

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
    decays, visible = _decays(particles)
    labels = np.zeros(len(event), dtype=np.int64)
    jet, which = _same_event(particles, event, visible)
    labels[jet[_near(particles, visible[which], eta[jet], phi[jet], radius)]] = _PARTIAL

    jet, which = _same_event(particles, event, decays.particle)
    inside = _near(particles, decays.particle[which], eta[jet], phi[jet], radius)
    jet, which = jet[inside], which[inside]
    number = np.diff(decays.offsets)[which]
    pair = np.repeat(np.arange(len(jet)), number)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(number) - number, number) + decays.offsets[which][pair]
    near = _near(particles, decays.quarks[place], eta[jet[pair]], phi[jet[pair]], radius)
    whole = np.bincount(pair[near], minlength=len(jet)) == number
    jet, which = jet[whole], which[whole]

    counts = ~_within_another(decays, jet, which) & ~decays.from_higgs[which]
    for name in reversed(_RARER_FIRST):
        labels[jet[counts & (decays.label[which] == CLASSES.index(name))]] = CLASSES.index(name)
    return labels


def _decays(particles: Particles) -> tuple[_Decays, _Ints]:
    """Return the decays to quarks alone, and all visible particles that come directly from a decay."""
    size = np.abs(particles.pid)
    heavy = _is_heavy(size)
    decaying = heavy & (particles.flags & _LAST_COPY != 0)
    has_mother = particles.mother >= 0
    is_product = np.zeros(len(size), dtype=np.bool_)
    is_product[has_mother] = decaying[particles.mother[has_mother]]
    is_product &= ~heavy
    visible = np.flatnonzero(is_product & np.isin(size, _VISIBLE))

    is_quark = is_product & (size >= 1) & (size <= _HEAVIEST_LIGHT_QUARK)
    origin, product = _origins(particles, np.flatnonzero(is_quark | (is_product & np.isin(size, _LEPTONS))), decaying)
    number = np.bincount(origin[is_quark[product]], minlength=len(size))
    has_leptons = np.bincount(origin[~is_quark[product]], minlength=len(size)) > 0
    fits = decaying & ~has_leptons & (number >= 2)
    label = np.full(len(size), _PARTIAL, dtype=np.int64)
    for pid, (its_class, numbers) in _KNOWN.items():
        mine = size == pid
        label[mine] = its_class
        fits &= ~mine | np.isin(number, numbers)

    chosen = np.flatnonzero(fits)
    place = np.full(len(size), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    above, below = _origins(particles, chosen, decaying)
    from_higgs = np.zeros(len(size), dtype=np.bool_)
    from_higgs[below[size[above] == _HIGGS]] = True
    # The nearest comes first.
    outer = np.full(len(chosen), -1, dtype=np.int64)
    known = fits[above]
    outer[place[below[known]][::-1]] = place[above[known]][::-1]
    mine = fits[origin] & is_quark[product]
    order = np.argsort(origin[mine], kind="stable")
    return _Decays(
        chosen, offsets_of(number[chosen]), product[mine][order], label[chosen], outer, from_higgs[chosen]
    ), visible


def _is_heavy(size: _Ints) -> _Flags:
    heavy = np.isin(size, tuple(_KNOWN))
    for low, high in _NEW:
        heavy |= (size >= low) & (size <= high)
    return heavy


def _origins(particles: Particles, index: _Ints, decaying: _Flags) -> tuple[_Ints, _Ints]:
    """Return all pairs of a decaying particle and one of these that comes from it, through heavy particles alone.

    Pairs of one particle are in order, from the nearest origin outwards.
    """
    heavy = _is_heavy(np.abs(particles.pid))
    origins, products = [], []
    current, above = index, particles.mother[index]
    nested = np.zeros(len(index), dtype=np.int64)
    for _ in range(_MOST_COPIES):
        inside = (above >= 0) & heavy[above]
        if not inside.any():
            break
        current, above, nested = current[inside], above[inside], nested[inside]
        decays = decaying[above]
        origins.append(above[decays])
        products.append(current[decays])
        nested = nested + decays
        if nested.max() > _MOST_DECAYS:
            raise ValueError(f"particles decay into each other more than {_MOST_DECAYS} times, or in a circle")
        above = particles.mother[above]
    else:
        raise ValueError("particles are copies of each other in a circle")
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([empty, *origins]), np.concatenate([empty, *products])


def _within_another(decays: _Decays, jet: _Ints, which: _Ints) -> _Flags:
    """Return which of these pairs of a jet and a decay in it are part of a decay that is in the jet as well."""
    number = max(len(decays.particle), 1)
    pairs = np.sort(jet * number + which)
    found = np.zeros(len(jet), dtype=np.bool_)
    outer = decays.outer[which]
    while (outer >= 0).any():
        wanted = jet * number + outer
        place = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        found |= (outer >= 0) & (pairs[place] == wanted)
        outer = np.where(outer >= 0, decays.outer[outer], -1)
    return found


def _same_event(particles: Particles, event: _Ints, members: _Ints) -> tuple[_Ints, _Ints]:
    """Return all pairs of a jet and one of these particles of its event: positions in `event` and in `members`."""
    of_member = np.searchsorted(particles.offsets, members, side="right") - 1
    order = np.argsort(of_member, kind="stable")
    starts = np.searchsorted(of_member[order], np.arange(len(particles.offsets)))
    counts = np.diff(starts)[event]
    jet = np.repeat(np.arange(len(event)), counts)
    within = np.arange(len(jet)) - np.repeat(np.cumsum(counts) - counts, counts)
    return jet, order[starts[event][jet] + within]


def _near(particles: Particles, index: _Ints, eta: _Floats, phi: _Floats, radius: float) -> _Flags:
    dphi = np.abs(particles.phi[index] - phi) % (2 * np.pi)
    dphi = np.minimum(dphi, 2 * np.pi - dphi)
    near: _Flags = (particles.eta[index] - eta) ** 2 + dphi**2 < radius**2
    return near
