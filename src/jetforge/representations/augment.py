"""Jets changed in ways that leave them what they are: the views that a contrastive training holds together.

As in JetCLR (arXiv:2108.04253), section 2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jetforge.jets.jets import Jets
from jetforge.representations._angles import Angles, Floats, pseudorapidity, wrapped


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a jet that its class does not depend on.

    Parameters
    ----------
    rotate : bool
        Turn each jet by any angle about its axis, in pseudorapidity and azimuth.
    shift : float
        Largest shift of a jet in either direction, in units of its extent in that direction.
    smear : float
        GeV; each constituent's direction is blurred by Gaussians of this width over its transverse momentum: soft ones
        more than hard ones.
    split : float
        Share of constituents that are split in two along their direction.
    """

    rotate: bool = True
    shift: float = 1.0
    smear: float = 0.1
    split: float = 0.1

    def __call__(self, jets: Jets, random: np.random.Generator) -> Jets:
        """Return changed jets with the same fields; columns beside the momenta go along."""
        sizes = np.diff(jets.offsets)
        jet = np.repeat(np.arange(len(jets)), sizes)
        pt, eta, phi, mass = Angles.of(jets.flat)
        axis_eta, axis_phi = _axis(jets)
        deta, dphi = eta - axis_eta[jet], wrapped(phi - axis_phi[jet])
        if self.rotate:
            angle = random.uniform(0, 2 * np.pi, len(jets))[jet]
            cosine, sine = np.cos(angle), np.sin(angle)
            deta, dphi = cosine * deta - sine * dphi, sine * deta + cosine * dphi
        shifts = []
        for values in (deta, dphi):
            extent = np.zeros(len(jets))
            np.maximum.at(extent, jet, np.abs(values))
            shifts.append((self.shift * random.uniform(-1, 1, len(jets)) * extent)[jet])
        blur = self.smear / np.maximum(pt, self.smear or 1.0)
        deta = deta + shifts[0] + blur * random.normal(size=len(pt))
        dphi = dphi + shifts[1] + blur * random.normal(size=len(pt))
        rows, share = self._split(len(pt), random)
        pt, mass = (pt[rows] * share, mass[rows] * share)
        eta, phi = (axis_eta[jet] + deta)[rows], (axis_phi[jet] + dphi)[rows]
        columns: dict[str, Any] = {**Angles(pt, eta, phi, mass).columns()}
        for name, column in jets.columns.items():
            if name not in (*columns, "mass"):
                columns[name] = column[rows]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(jet[rows], minlength=len(jets)))])
        return Jets(offsets, columns, jets.fields)

    def _split(self, number: int, random: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
        """Return which constituents there are afterwards, and the share of its momentum that each has."""
        parted = random.random(number) < self.split
        first = random.uniform(0, 1, number)
        rows = np.repeat(np.arange(number), 1 + parted)
        second = np.zeros(len(rows), dtype=bool)
        second[1:] = rows[1:] == rows[:-1]
        share = np.where(parted[rows], np.where(second, 1 - first[rows], first[rows]), 1.0)
        return rows, share


def _axis(jets: Jets) -> tuple[Floats, Floats]:
    """Return pseudorapidity and azimuth of the sum of each jet's constituents."""
    flat, there = jets.flat, np.diff(jets.offsets) > 0
    px, py, pz = (
        np.add.reduceat(np.append(column, 0.0), jets.offsets[:-1]) * there for column in (flat.px, flat.py, flat.pz)
    )
    return pseudorapidity(np.hypot(px, py), pz), np.arctan2(py, px)
