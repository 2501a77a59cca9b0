"""JetClass-II: jets of 188 classes with constituents, generator particles and the particles of the decay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jetforge.jets.jets import Jets
from jetforge.jets.readers.base import FormatCard, Option, unit_option
from jetforge.jets.readers.constituents.momenta import four_momenta, no_momenta
from jetforge.jets.readers.constituents.ragged import offsets_of
from jetforge.jets.readers.contents import Contents
from jetforge.jets.readers.jetclass2_classes import CLASSES
from jetforge.jets.readers.jetclass_layout import (
    JET,
    PART,
    Ints,
    ParticleJetsReader,
    Values,
    column_names,
    has_particles,
    made,
    particle_columns,
    snake,
)

LABEL = "jet_label"
GENERATED, GENERATED_JET, TRUTH = "genpart_", "genjet_", "aux_genpart_"
PREFIXES = {"reconstructed": PART, "generated": GENERATED, "truth": TRUTH}
LEFT_OUT = {GENERATED: "no generated jet", TRUTH: "no particle of the hard process"}
RESONANCE = ("pt", "eta", "phi", "mass", "pid")
IS_X, IS_Y, IS_TAU_PRODUCT = "isResX", "isResY", "isTauDecayProd"
TAU, TAU_NEUTRINO = 15, 16


class JetClass2Reader(ParticleJetsReader):
    """Lists `part_*`, `genpart_*` and `aux_genpart_*`, numbers `jet_*` and `genjet_*`, and `jet_label`."""

    card = FormatCard(
        name="jetclass2",
        title="JetClass-II",
        layout=(
            "Parquet, or a ROOT tree `tree` with the same columns, a row a jet. Constituents, hardest first: "
            "`part_px, part_py, part_pz, part_energy`, `part_deta, part_dphi` relative to the jet's axis, "
            "`part_d0val, part_d0err, part_dzval, part_dzerr`, `part_charge`, and five flags `part_isElectron` to "
            "`part_isNeutralHadron`, of which exactly one is true. Jets: `jet_pt, jet_eta, jet_phi, jet_energy, "
            "jet_sdmass, jet_nparticles, jet_tau1` to `jet_tau4`, `jet_label` (0 to 187), and the same of the "
            "matched jet of generated particles, `genjet_*`, whose constituents are `genpart_*` with their vertices. "
            "`aux_genpart_*` are chosen particles of the hard process: resonances X and Y, their decay products, "
            "those of taus, partons in QCD jets; pT, eta, phi, mass and PDG number of X and of the first two Y "
            "become jet fields `res_x_*`, `res_y1_*`, `res_y2_*`, zeros where there is none."
        ),
        origin="jet-universe/jetclass2 on Hugging Face, files Res2P_*, Res34P_* and QCD_*.parquet.",
        made=(
            "MadGraph, Pythia 8 and Delphes with a card in the manner of CMS, 50 pile-up collisions on average, "
            "removed by PUPPI, anti-kt R = 0.8; resonances of 2, and of 3 or 4 prongs with wide ranges of mass and "
            "pT, and QCD jets. 134 M jets to train and 33.5 M each to validate and to test, 100 k a file."
        ),
        units="GeV; impact parameters and vertices in mm, times in mm/c.",
        licence="MIT, as the data set's page on Hugging Face states.",
        citation=(
            "Li, Agapitos, Drews et al., Accelerating Resonance Searches via Signature-Oriented Pre-training, "
            "arXiv:2405.12972."
        ),
        traps=(
            "Classes keep their published numbers, so that the background comes last: the 27 QCD classes are 161 to "
            "187.",
            "part_deta (here `deta`) is eta of the constituent minus eta of the jet, with its sign flipped for jets "
            "of negative eta; genpart_jet_deta likewise, relative to the reconstructed jet.",
            "Constituents add up to pT and phi of the jet, but not to its energy and eta: a constituent's energy "
            "comes from its pT, eta, phi and mass.",
            "Files hold jets below and above the published selection of 200 < pT < 2500 GeV and 20 < soft-drop mass "
            "< 500 GeV.",
            "A jet without a matched generated jet has zeros in genjet_* and no genpart_*; such jets are left out "
            "with particles=generated, and those without a chosen particle with particles=truth. The field `row` "
            "then says which row a jet was.",
            "Of the chosen particles particles=truth takes those that are not resonances X and Y, nor taus whose "
            "products are listed: they add up to X, also with particles outside of the jet, and with neutrinos. mass "
            "and y are then those of this sum, while pt, eta, phi and energy stay those of the reconstructed jet.",
            "Partons of QCD jets have no mother in the list, and may come from each other: with particles=truth their "
            "sum is not the jet's momentum.",
            "Impact parameters and their errors of neutral constituents are 0, not missing.",
        ),
    )
    options: Mapping[str, Option] = {  # type: ignore[misc]
        "unit": unit_option(),
        "particles": Option(
            "reconstructed",
            "what is taken as the constituents of a jet: reconstructed particles, those of the matched generated "
            "jet, or the chosen particles of the hard process (the last of each decay)",
            tuple(PREFIXES),
        ),
    }
    needed = (LABEL,)
    classes = CLASSES

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there are constituents, and a label that numbers the classes."""
        names = column_names(contents)
        return has_particles(names) and LABEL in names and "label_QCD" not in names

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._prefix = PREFIXES[settings["particles"]]
        super().__init__(path, settings)

    def _chosen_columns(self, names: tuple[str, ...]) -> list[str]:
        lists = particle_columns(names, self._prefix)
        if not lists:
            raise self.error(f"it has no {self._prefix}*: no particles={self.settings['particles']}")
        resonance = [TRUTH + name for name in (*RESONANCE, IS_X, IS_Y)]
        self._has_resonances = set(resonance) <= set(names)
        more = [name for name in resonance if self._has_resonances and name not in lists]
        return [*lists, *more, *(name for name in names if name.startswith((JET, GENERATED_JET)))]

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of rows; see `Reader.read`."""
        found = self._read_columns(start, stop)
        offsets, columns = self._lists(found, self._prefix, start)
        fields, generated = self._numbers(found, JET, start), self._numbers(found, GENERATED_JET, start)
        label = self._labels(fields.pop("label"), start)
        if self._prefix == GENERATED:
            if "pt" not in generated:
                raise self.error("it has genpart_*, and no genjet_pt")
            self._check_jets(offsets, columns, generated, GENERATED_JET, start)
            fields = generated | {f"reco_{name}": values for name, values in fields.items()}
        else:
            if self._prefix == PART:
                self._check_jets(offsets, columns, fields, JET, start)
            fields |= {GENERATED_JET + name: values for name, values in generated.items()}
        if self._has_resonances:
            fields |= self._resonances(found, start)
        if self._prefix == TRUTH:
            columns = self._with_momenta(columns, offsets, start)
            offsets, columns = self._last_particles(offsets, columns)
        jets = made(offsets, columns, {**fields, "label": label})
        return jets if self._prefix == PART else self._without_empty(jets, start)

    def _labels(self, given: Values, start: int) -> Ints:
        wrong = ~np.isin(given, np.arange(len(CLASSES)))
        self.refuse(wrong, LABEL, given, f"none of the {len(CLASSES)} classes", start)
        return given.astype(np.int64)

    def _resonances(self, found: Mapping[str, Any], start: int) -> dict[str, Values]:
        """Return the kinematics of X and of the first two Y of each jet."""
        chosen = {name: column for name, column in found.items()
                  if name.removeprefix(TRUTH) in (*RESONANCE, IS_X, IS_Y)}  # fmt: skip
        offsets, columns = self._lists(chosen, TRUTH, start)
        owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        fields: dict[str, Values] = {}
        for flag, names in (("is_res_x", ("res_x",)), ("is_res_y", ("res_y1", "res_y2"))):
            place = np.flatnonzero(columns[flag])
            jet = owner[place]
            rank = np.arange(len(jet)) - np.searchsorted(jet, jet)
            for number, name in enumerate(names):
                for quantity in RESONANCE:
                    values = columns[quantity]
                    field = np.zeros(len(offsets) - 1, dtype=values.dtype)
                    field[jet[rank == number]] = values[place[rank == number]]
                    fields[f"{name}_{quantity}"] = field
        return fields

    def _last_particles(self, offsets: Ints, columns: dict[str, Values]) -> tuple[Ints, dict[str, Values]]:
        """Return the particles whose own products are not among them, so that their sum counts nothing twice."""
        number = len(offsets) - 1
        owner = np.repeat(np.arange(number), np.diff(offsets))
        keep = (columns[snake(IS_X)] == 0) & (columns[snake(IS_Y)] == 0)
        of_tau = columns.get(snake(IS_TAU_PRODUCT), np.zeros(len(owner), dtype=np.int8)) != 0
        pid = columns["pid"]
        for sign in (1, -1):
            # A tau whose products are listed has its neutrino, of the same sign, among them.
            has_products = np.zeros(number, dtype=np.bool_)
            has_products[owner[of_tau & (pid == sign * TAU_NEUTRINO)]] = True
            keep &= ~((pid == sign * TAU) & ~of_tau & has_products[owner])
        return offsets_of(np.bincount(owner[keep], minlength=number)), {n: v[keep] for n, v in columns.items()}

    def _with_momenta(self, columns: dict[str, Values], offsets: Ints, start: int) -> dict[str, Values]:
        """Return particles with four-momenta in place of pt, eta and phi."""
        missing = [name for name in (*RESONANCE, IS_X, IS_Y) if snake(name) not in columns]
        if missing:
            raise self.error(f"no column {TRUTH}{missing[0]}: what the chosen particles are cannot be told")
        pt, eta, phi, mass = (columns.pop(name) for name in RESONANCE[:-1])
        wrong = no_momenta(eta, phi, mass, pt=pt)
        self.refuse(wrong, f"{TRUTH}pt", pt, "and with its eta, phi and mass no momentum", start, offsets)
        return {**four_momenta(pt, eta, phi, mass), **columns}

    def _without_empty(self, jets: Jets, start: int) -> Jets:
        jets.fields["row"] = np.arange(start, start + len(jets))
        empty = np.diff(jets.offsets) == 0
        self.left_out = {LEFT_OUT[self._prefix]: int(empty.sum())} if empty.any() else {}
        return jets[~empty] if empty.any() else jets
