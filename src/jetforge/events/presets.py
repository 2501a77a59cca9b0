"""The generator presets: one table of how each published sample was made, each row citing its source."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, replace
from typing import Any

from jetforge.errors import RecipeError

# Class names in the order that gives them their labels: background first.
CLASS_ORDER = ("qcd", "w", "top")

# Weakly decaying bottom hadrons, PDG numbering: kept stable in the LundNet samples.
_B_HADRONS = (511, 521, 531, 541, 5112, 5122, 5132, 5142, 5222, 5232, 5242, 5332, 5342, 5412, 5414, 5422, 5424, 5432,
              5434, 5442, 5444, 5512, 5514, 5522, 5524, 5532, 5534, 5542, 5544, 5554)  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """A named, versioned setting of generator and selection.

    Momenta are in GeV. `settings` are Pythia's own lines; `seed` is set apart from them.

    Attributes
    ----------
    name, version
        The preset's name and a number that is raised whenever its jets would change.
    jet_class
        Which particle started the jets: ``qcd``, ``w`` or ``top``.
    settings
        Lines for ``Pythia.readString``.
    radius
        anti-kt radius R.
    pt_min, pt_max
        Transverse-momentum window of the selected jets.
    rapidity_max, eta_max
        Bounds on abs(y) and on abs(eta) of the selected jets; None where there is none.
    num_hardest
        How many of an event's hardest jets are looked at.
    visible_only
        Leave neutrinos out of the clustering.
    particle_eta_max
        Acceptance in abs(eta) for the particles that are clustered; None keeps all.
    match_top
        Keep a jet only if a parton-level top and its three decay quarks lie within `radius` of it.
    max_constituents
        Keep the leading so many constituents by pT; None keeps all.
    source
        Where the numbers come from.
    """

    name: str
    version: int
    jet_class: str
    settings: tuple[str, ...]
    radius: float
    pt_min: float
    pt_max: float | None
    rapidity_max: float | None
    eta_max: float | None
    num_hardest: int
    visible_only: bool
    particle_eta_max: float | None
    match_top: bool
    max_constituents: int | None
    source: str

    def without_mpi(self) -> Preset:
        """Return the same preset with multiparton interactions switched off."""
        return replace(self, settings=(*self.settings, "PartonLevel:MPI = off"))

    def to_dict(self) -> dict[str, Any]:
        """Return the preset as plain values for a dataset's provenance."""
        return asdict(self)


_PROCESSES = {
    "qcd": ("HardQCD:all = on",),
    "w": ("WeakDoubleBoson:ffbar2WW = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5"),
    "top": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5"),
}
_BEAMS = ("Beams:idA = 2212", "Beams:idB = 2212", "Beams:eCM = 14000")
# Jet threshold (GeV) -> PhaseSpace:pTHatMin of the published samples.
_PTHAT_MIN = {200: 100, 500: 400, 2000: 1800}


def _lund_preset(family: str, jet_class: str, threshold: int, radius: float, source: str) -> Preset:
    stable = (f"{pdg}:mayDecay = off" for pdg in (111, *_B_HADRONS))
    return Preset(
        name=f"{family}-{jet_class}-{threshold}",
        version=1,
        jet_class=jet_class,
        settings=(
            *_BEAMS,
            "Tune:pp = 5",
            *_PROCESSES[jet_class],
            f"PhaseSpace:pTHatMin = {_PTHAT_MIN[threshold]}",
            *stable,
        ),
        radius=radius,
        pt_min=float(threshold),
        pt_max=None,
        rapidity_max=2.5,
        eta_max=None,
        num_hardest=2,
        visible_only=False,
        particle_eta_max=None,
        match_top=False,
        max_constituents=None,
        source=source,
    )


def _toptag_preset(jet_class: str) -> Preset:
    return Preset(
        name=f"toptag-{jet_class}",
        version=1,
        jet_class=jet_class,
        # pTHat reaches well below the jet window, since recoil lifts softer partons into it (docs/samples.md).
        settings=(*_BEAMS, *_PROCESSES[jet_class], "PhaseSpace:pTHatMin = 400", "PartonLevel:MPI = off"),
        radius=0.8,
        pt_min=550.0,
        pt_max=650.0,
        rapidity_max=None,
        eta_max=2.0,
        num_hardest=2,
        visible_only=True,
        particle_eta_max=5.0,
        match_top=jet_class == "top",
        max_constituents=200,
        source="arXiv:1902.09914, section 2 (top-tagging reference set), without the detector simulation",
    )


def _table() -> dict[str, Preset]:
    lundnet = "arXiv:2012.08526 (LundNet), settings from the histogram headers of github.com/JetsGame/data"
    transfer = "arXiv:2203.06210 (transfer learning): the processes of arXiv:2012.08526 with R = 0.8"
    rows = [
        *(_lund_preset("lundnet", c, t, 1.0, lundnet) for c in CLASS_ORDER for t in (200, 500, 2000)),
        *(_lund_preset("transfer", c, t, 0.8, transfer) for c in CLASS_ORDER for t in (500, 2000)),
        *(_toptag_preset(c) for c in ("qcd", "top")),
    ]
    return {row.name: row for row in rows}


PRESETS: dict[str, Preset] = _table()


def get_preset(name: str) -> Preset:
    """Return the preset called `name`; ``NAME:no-mpi`` is the same without multiparton interactions.

    Raises
    ------
    RecipeError
        If there is no such preset; the message offers the nearest names.
    """
    base, _, variant = name.partition(":")
    if base not in PRESETS:
        near = difflib.get_close_matches(base, PRESETS, n=3, cutoff=0.4) or sorted(PRESETS)
        raise RecipeError(
            f"there is no preset '{base}'; did you mean {', '.join(near)}? `jetforge info presets` lists all"
        )
    preset = PRESETS[base]
    if not variant:
        return preset
    if variant != "no-mpi":
        raise RecipeError(f"preset '{name}': the only variant is ':no-mpi', not ':{variant}'")
    return replace(preset.without_mpi(), name=name)
