"""JetClass: jets of ten classes with all constituents, as ROOT trees, and the same columns in Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jetforge.jets.jets import Jets
from jetforge.jets.readers.base import FormatCard, Option, unit_option
from jetforge.jets.readers.contents import Contents
from jetforge.jets.readers.jetclass_layout import (
    JET,
    PART,
    Ints,
    ParticleJetsReader,
    column_names,
    has_particles,
    made,
    particle_columns,
)

LABEL, AUX = "label_", "aux_"
# In the order of the Particle Transformer (arXiv:2202.03772).
CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")


class JetClassReader(ParticleJetsReader):
    """Lists `part_*`, numbers `jet_*` and `aux_*`, and one of ten `label_*` is 1."""

    card = FormatCard(
        name="jetclass",
        title="JetClass",
        layout=(
            "ROOT tree `tree`, an entry a jet, or Parquet with the same columns. Constituents, hardest first: "
            "`part_px, part_py, part_pz, part_energy`, `part_deta, part_dphi` relative to the jet's axis, impact "
            "parameters `part_d0val, part_d0err, part_dzval, part_dzerr`, `part_charge`, and five flags "
            "`part_isChargedHadron`, `...NeutralHadron`, `...Photon`, `...Electron`, `...Muon`. Jets: `jet_pt, "
            "jet_eta, jet_phi, jet_energy, jet_nparticles, jet_sdmass, jet_tau1` to `jet_tau4`; the particle that "
            "the jet was matched to, `aux_genpart_pt, aux_genpart_eta, aux_genpart_phi, aux_genpart_pid` and "
            "`aux_truth_match`; ten `label_*`, of which exactly one is 1."
        ),
        origin=(
            "Qu, Li, Qian: JetClass: A Large-Scale Dataset for Deep Learning in Jet Physics, "
            "doi:10.5281/zenodo.6619768."
        ),
        made=(
            "MadGraph5_aMC@NLO, Pythia 8 and Delphes with a card in the manner of CMS, without pile-up, anti-kt R = "
            "0.8, 500 < pT < 1000 GeV, |eta| < 2; jets of resonances are matched to all products of the decay. 100 M "
            "jets to train, 5 M to validate, 20 M to test, 100 k a file."
        ),
        units="GeV; impact parameters in mm.",
        licence="MIT, as the data set's page on Hugging Face states; that of the record on Zenodo was not found by us.",
        citation="Qu, Li, Qian, Particle Transformer for Jet Tagging, arXiv:2202.03772.",
        traps=(
            "part_deta (here `deta`) is eta of the constituent minus eta of the jet, with its sign flipped for jets "
            "of negative eta.",
            "The ten labels may be of several types in one file (float, int, bool), and part_charge and "
            "jet_nparticles floats.",
            "A constituent's energy comes from its pT, eta, phi and mass; `jet_energy` is that of the clustered jet, "
            "and the sum of the energies need not be it.",
            "Hadrons other than pions, kaons and protons have none of the five flags.",
            "Impact parameters and their errors of neutral constituents are 0, not missing.",
            "A file holds one process, so that training files must be mixed; only its folder tells its split.",
        ),
    )
    options: Mapping[str, Option] = {"unit": unit_option()}  # type: ignore[misc]
    needed = tuple(LABEL + name for name in CLASSES)
    classes = CLASSES

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there are constituents and all ten labels."""
        names = column_names(contents)
        return has_particles(names) and set(cls.needed) <= names

    def _chosen_columns(self, names: tuple[str, ...]) -> list[str]:
        numbers = [name for name in names if name.startswith((JET, AUX)) or name in self.needed]
        return [*particle_columns(names, PART), *numbers]

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of rows; see `Reader.read`."""
        found = self._read_columns(start, stop)
        offsets, columns = self._lists(found, PART, start)
        fields = self._numbers(found, JET, start)
        self._check_jets(offsets, columns, fields, JET, start)
        fields.update(self._numbers(found, AUX, start))
        fields["label"] = self._labels(found, start)
        return made(offsets, columns, fields)

    def _labels(self, found: Mapping[str, Any], start: int) -> Ints:
        hot = np.stack([self._number(name, found[name]).astype(np.float64) for name in self.needed], axis=1)
        wrong = np.flatnonzero(~(np.isin(hot, (0, 1)).all(axis=1) & (hot.sum(axis=1) == 1)))
        if len(wrong):
            given = ", ".join(f"{name} {value:g}" for name, value in zip(CLASSES, hot[wrong[0]], strict=True) if value)
            raise self.error(f"exactly one label_* must be 1, the others 0, but they are {given or 'all 0'}",
                             start + int(wrong[0]))  # fmt: skip
        return np.asarray(hot.argmax(axis=1), dtype=np.int64)
