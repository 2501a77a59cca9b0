"""CMS NanoAOD with particle-flow candidates, in the namings of NanoAODv15, JMENano and PFNano."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.jets.jets import Jets
from jetforge.jets.readers.base import FormatCard, Option, Reader
from jetforge.jets.readers.constituents.momenta import four_momenta, no_momenta
from jetforge.jets.readers.constituents.ragged import offsets_of, sums_far_from
from jetforge.jets.readers.containers import root_files
from jetforge.jets.readers.contents import Contents
from jetforge.jets.readers.nanoaod_truth import CLASSES, Particles, classify
from jetforge.physics.constituent_fields import charges

TREE = "Events"
JET = "FatJet_"
# Links from jets to candidates, and the candidates: PFCand_ of FatJetPFCand_, PFCands_ of FatJetPFCands_.
LINKS = ("FatJetPFCand_", "FatJetPFCands_")
JET_INDEX = "jetIdx"
# pFCandsIdx (PFNano), PFCandIdx (JMENano), pfCandIdx (NanoAODv15).
CANDIDATE_INDICES = ("pfcandsidx", "pfcandidx")
MOMENTUM = ("pt", "eta", "phi", "mass")
OUR_NAMES = {
    "pdgId": "pid", "d0Err": "d0_error", "dzErr": "dz_error", "puppiWeight": "puppi_weight",
    "puppiWeightNoLep": "puppi_weight_no_lep",
}  # fmt: skip
TYPES = {"pid": np.int32, "charge": np.float32}
TRUTH = ("pdgId", "genPartIdxMother", "statusFlags", "eta", "phi")
EVENT = {"run": "run", "luminosityBlock": "luminosity_block", "event": "event_number", "genWeight": "weight"}
# Numbers of constituents are stored in a byte.
_BYTE = 256
# Candidates are stored with 10 bits and their sum agrees with the raw pT to 0.5 %; weights that were computed anew for
# the jets, but not for the candidates, may move it further.
_LARGEST_DISAGREEMENT = 2.0
# NanoAODv15 stores candidates of jets with |eta| < 2.5, of which 12 bits are stored.
_WITH_CANDIDATES = 2.499

_Ints = npt.NDArray[np.int64]


class _Chosen(NamedTuple):
    """Jets of some events in flat arrays: which are chosen, and how many their events have."""

    jets: _Ints
    event: _Ints
    counts: _Ints
    fields: dict[str, npt.NDArray[Any]]


class NanoAodReader(Reader):
    """The AK8 jets (`FatJet`) of each event and their particle-flow candidates; a row is an event."""

    card = FormatCard(
        name="nanoaod",
        title="CMS NanoAOD with particle-flow candidates",
        layout=(
            "ROOT tree `Events`, an entry an event. Jets: `FatJet_*`. Candidates: `PFCand_*` with the links "
            "`FatJetPFCand_jetIdx`, `FatJetPFCand_pfCandIdx` (NanoAODv15) or `FatJetPFCand_PFCandIdx` (JMENano), or "
            "`PFCands_*` with `FatJetPFCands_jetIdx`, `FatJetPFCands_pFCandsIdx` (PFNano). Simulation has generator "
            "particles `GenPart_*`, from which jets get their class: top, higgs, z or w where the particle and all "
            "quarks of its decay (3 of a top, 2 or 4 of a Higgs, 2 of a W or Z boson) are within `match_radius` of the "
            "jet's axis in (eta, phi), without leptons among the products; partial where some quark, gluon, photon "
            "or charged lepton is that a top, W, Z or Higgs boson or a particle of new physics decays to; and qcd "
            "otherwise."
        ),
        origin=(
            "CMS, for example on the CERN Open Data portal: PFNano of 2016 data, records 31300 to 31316, and "
            "NanoAODv15 files."
        ),
        made=(
            "Particle flow, anti-kt R = 0.8 with PUPPI; the smallest pT of the stored jets is that of the production "
            "(170 GeV in NanoAODv15)."
        ),
        units="GeV.",
        licence="CC0 1.0 for CMS open data; that of other files is whoever made them to say.",
        citation="Bertolini et al., arXiv:1407.6013 (PUPPI); CMS, Pileup mitigation at CMS, arXiv:2003.00503.",
        traps=(
            "`FatJet_pt` and `FatJet_mass` carry jet energy corrections, the candidates do not: they add up to "
            "`raw_pt` = pt (1 - rawFactor), which is stored beside.",
            "In NanoAODv15 the candidates' pT and mass are multiplied by the PUPPI weight already, and the weight is "
            "not stored; in PFNano and JMENano they are not, and are multiplied here unless puppi=no.",
            "NanoAODv15 stores candidates of jets with |eta| < 2.5 only: jets beyond, which have none, are left out. "
            "Other jets that lack candidates are refused, left out or kept as `incomplete` says; jets without any "
            "cannot be kept.",
            "Jets of one event share its weight and are not independent: the field `event` is the row, for splitting "
            "by event.",
            "Track quantities of neutral candidates are filled with -1 or 0 in PFNano.",
            "Candidates of PDG number 1 and 2 are no quarks, but hadronic and electromagnetic cells of the forward "
            "calorimeter. NanoAODv15 stores no charge: it is that of the PDG number.",
            "Of a decay within a decay the outer one counts if it is in the jet as a whole: a W boson and the b quark "
            "beside it are a top, two W bosons of a Higgs boson with all four quarks are a Higgs boson. One W or Z "
            "boson of a Higgs boson is partial, but a W boson of a top whose b quark is outside is w.",
            "The class partial holds much: decays with leptons, Higgs bosons to gluons, photons or taus, quarks of "
            "Z', W' and heavier Higgs bosons (PDG numbers 7, 8, 17, 18, 32 to 60, 1000001 to 6999999, 9900012 to "
            "9900099), and jets that contain such a particle as a whole even if a top, W, Z or Higgs boson is in it.",
            "A class needs the generator's record: a decay to quarks that are not the record's daughters of the heavy "
            "particle is not found, and the jet may be partial or qcd.",
        ),
    )
    options: Mapping[str, Option] = {  # type: ignore[misc]
        "puppi": Option(
            True, "multiply candidates by their PUPPI weight, and drop those of weight 0, where the file has weights"
        ),
        "pt_min": Option(0.0, "smallest pT (GeV) of a jet, as stored, with corrections"),
        "eta_max": Option(2.5, "largest |eta| of a jet"),
        "incomplete": Option(
            "refuse", "what becomes of jets that lack some of their candidates in the file", ("refuse", "drop", "keep")
        ),
        "match_radius": Option(
            0.8, "largest distance in (eta, phi) of a jet from the particles that give it its class"
        ),
    }
    rows_are = "events"
    part_rows = 5_000

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there are jets, candidates and links between them."""
        names = [name.partition("/")[2] for name in contents.names if name.startswith(f"{TREE}/")]
        return contents.container == "root" and f"{JET}pt" in names and _find_links(names) is not None

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        self._file = root_files.open_file(path)
        try:
            self._tree = root_files.tree(self._file, path, TREE)
            self._names = self._typed_branches()
            self._find_branches()
        except BaseException:
            self._file.close()
            raise
        self.num_rows = int(self._tree.num_entries)
        self.classes = CLASSES if all(f"GenPart_{name}" in self._names for name in TRUTH) else ()

    def _typed_branches(self) -> dict[str, str]:
        try:
            return {branch.name: str(branch.typename) for branch in self._tree.branches}
        except Exception as error:  # a damaged file makes uproot raise anything
            raise self.error(f"its branches cannot be read ({type(error).__name__}); copy it again") from None

    def _find_branches(self) -> None:
        found = _find_links(list(self._names))
        if found is None or not {f"{JET}{name}" for name in MOMENTUM} <= self._names.keys():
            kinds = {name.split("_")[0] for name in self._names if "PFC" in name or name.startswith("FatJet")}
            raise self.error(
                "no AK8 jets with particle-flow candidates in it (FatJet_pt, FatJetPFCand_jetIdx, PFCand_pt, ...); "
                "of these "
                f"it has {', '.join(sorted(kinds)) or 'none'}"
            )
        self._link, self._index = found
        self._candidate = self._link.removeprefix("FatJet")
        missing = [n for n in MOMENTUM if f"{self._candidate}{n}" not in self._names]
        if missing:
            raise self.error(f"no branch {self._candidate}{missing[0]}: the candidates have no momentum")
        self._weight = f"{self._candidate}puppiWeight" if f"{self._candidate}puppiWeight" in self._names else None

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of events; see `Reader.read`."""
        chosen = self._choose_jets(start, stop)
        first_jet = offsets_of(chosen.counts)
        jet_of_link, candidate = self._links(start, stop, first_jet)
        in_file = np.bincount(jet_of_link, minlength=int(first_jet[-1]))
        keep, whole = self._complete(chosen, in_file, start)
        jets = chosen.jets[keep]
        # Links of the jets wanted, jet after jet in the order of the file.
        place = np.full(int(first_jet[-1]), -1, dtype=np.int64)
        place[jets] = np.arange(len(jets))
        wanted = np.flatnonzero(place[jet_of_link] >= 0)
        wanted = wanted[np.argsort(place[jet_of_link[wanted]], kind="stable")]
        columns = self._candidates(start, stop, candidate[wanted], wanted)
        owner = place[jet_of_link[wanted]]
        columns, owner = self._weighted(columns, owner, start + chosen.event[jets])
        offsets = offsets_of(np.bincount(owner, minlength=len(jets)))
        fields = {name: values[jets] for name, values in chosen.fields.items()}
        self._check_sums(columns, offsets, fields, whole[keep], start + chosen.event[jets])
        fields.update(self._event_fields(start, stop, chosen.event[jets]))
        if self.classes:
            fields["label"] = self._labels(start, stop, chosen.event[jets], fields)
        made = Jets(offsets, columns, fields)
        empty = np.diff(offsets) == 0
        self._leave_out("all PUPPI weights are 0", int(empty.sum()))
        return made[~empty] if empty.any() else made

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _choose_jets(self, start: int, stop: int) -> _Chosen:
        """Return the jets that pass the cuts, with the fields of all jets of these events."""
        self.left_out = {}
        names = [name for name, kind in self._names.items() if name.startswith(JET) and kind.endswith("[]")]
        counts, flat = self._flat(names, start, stop)
        fields: dict[str, npt.NDArray[Any]] = {}
        for name, values in flat.items():
            short = name.removeprefix(JET)
            fields[short.lower() if short.lower() not in fields else short] = values
        factor = fields.get("rawfactor")
        fields["raw_pt"] = fields["pt"] if factor is None else fields["pt"] * (1 - factor)
        passing = (fields["pt"] >= self.settings["pt_min"]) & (np.abs(fields["eta"]) <= self.settings["eta_max"])
        event = np.repeat(np.arange(stop - start), counts)
        strange = np.flatnonzero(~np.isfinite(sum(fields[name] for name in (*MOMENTUM, "raw_pt"))))
        if len(strange):
            row = start + int(event[strange[0]])
            raise self.error("pt, eta, phi, mass or rawFactor of a jet is not a finite number", row)
        self._leave_out("pt_min or eta_max", int((~passing).sum()))
        return _Chosen(np.flatnonzero(passing), event, counts, fields)

    def _links(self, start: int, stop: int, first_jet: _Ints) -> tuple[_Ints, _Ints]:
        """Return, for each link of these events, its jet and its candidate, counted through all events."""
        counts, flat = self._flat([f"{self._link}{JET_INDEX}", f"{self._link}{self._index}"], start, stop)
        event = np.repeat(np.arange(stop - start), counts)
        sizes, _ = self._flat([f"{self._candidate}pt"], start, stop)
        first_candidate = offsets_of(sizes)
        found = []
        for (name, local), first in zip(flat.items(), (first_jet, first_candidate), strict=True):
            if local.dtype.kind not in "iu":
                raise self.error(f"'{name}' is of type {local.dtype}, not whole numbers")
            wrong = np.flatnonzero((local < 0) | (local >= np.diff(first)[event]))
            if len(wrong):
                row = int(event[wrong[0]])
                number = np.diff(first)[row]
                raise self.error(f"{name} is {local[wrong[0]]}, the event has {number}: damaged", start + row)
            found.append(first[event] + local)
        return found[0], found[1]

    def _complete(
        self, chosen: _Chosen, in_file: _Ints, start: int
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return which of the chosen jets are to be read, and of which the file has all candidates."""
        there = in_file[chosen.jets]
        keep = there > 0
        stated = chosen.fields.get("nconstituents")
        number = there if stated is None else stated[chosen.jets].astype(np.int64)
        if stated is not None and stated.dtype.itemsize == 1:
            # What does not fit a byte is stored modulo 256, or as the largest number.
            number = np.where((there >= _BYTE - 1) & ((there % _BYTE == number) | (number == _BYTE - 1)), there, number)
        more = np.flatnonzero(there > number)
        if len(more):
            jet = more[0]
            raise self.error(
                f"a jet has {there[jet]} candidates and says {number[jet]} (FatJet_nConstituents): damaged",
                start + int(chosen.event[chosen.jets[jet]]),
            )
        fewer = keep & (there < number)
        central = np.abs(chosen.fields["eta"][chosen.jets]) < _WITH_CANDIDATES
        lacking = np.flatnonzero(fewer | (~keep & central))
        if len(lacking) and self.settings["incomplete"] == "refuse":
            jet = lacking[0]
            raise self.error(
                f"only {there[jet]} of the {'' if stated is None else f'{number[jet]} '}candidates of a jet are in the "
                "file; leave such jets out with incomplete=drop, or take them as they are with incomplete=keep",
                start + int(chosen.event[chosen.jets[jet]]),
            )
        self._leave_out("no candidate is stored", int((~keep).sum()))
        if self.settings["incomplete"] == "drop":
            self._leave_out("some candidates are not stored", int(fewer.sum()))
            keep &= ~fewer
        return keep, there == number

    def _candidates(self, start: int, stop: int, candidate: _Ints, link: _Ints) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of these candidates, and of these links to them, a branch at a time."""
        columns: dict[str, npt.NDArray[Any]] = {}
        left = {*MOMENTUM, JET_INDEX, self._index}
        for prefix, chosen in ((self._candidate, candidate), (self._link, link)):
            expected: _Ints | None = None
            for name, kind in self._names.items():
                short = name.removeprefix(prefix)
                if short == name or not kind.endswith("[]") or (prefix == self._link and short in left):
                    continue
                expected, flat = self._flat([name], start, stop, expected)
                columns[OUR_NAMES.get(short, short.lower())] = flat[name][chosen]
        for name, values in columns.items():
            dtype = TYPES.get(name, np.int8 if values.dtype.kind == "b" else values.dtype)
            columns[name] = values.astype(dtype, copy=False)
        if "charge" not in columns and "pid" in columns:
            columns["charge"] = charges(columns["pid"]).astype(TYPES["charge"])
        return columns

    def _weighted(
        self, columns: dict[str, npt.NDArray[Any]], owner: _Ints, row: _Ints
    ) -> tuple[dict[str, npt.NDArray[Any]], _Ints]:
        """Return the candidates with four-momenta in place of pt, eta and phi, and their jets, of which `row` is."""
        pt, eta, phi, mass = (columns.pop(name).astype(np.float64) for name in MOMENTUM)
        wrong = no_momenta(eta, phi, mass, pt=pt)
        if self._weight is not None and self.settings["puppi"]:
            weight = columns["puppi_weight"].astype(np.float64)
            wrong |= no_momenta(pt=weight)
            pt, mass = pt * weight, mass * weight
        if wrong.any():
            place = int(np.argmax(wrong))
            raise self.error(
                f"a candidate has pt {pt[place]:g}, eta {eta[place]:g}, phi {phi[place]:g}, mass {mass[place]:g}"
                f"{'' if self._weight is None else ' (with its PUPPI weight)'}: no momentum",
                int(row[owner[place]]),
            )
        keep = pt != 0  # candidates of weight 0 are stored in NanoAODv15 too
        momenta = four_momenta(pt[keep], eta[keep], phi[keep], mass[keep])
        return {**momenta, **{name: values[keep] for name, values in columns.items()}}, owner[keep]

    def _check_sums(
        self, columns: Mapping[str, npt.NDArray[Any]], offsets: _Ints, fields: Mapping[str, npt.NDArray[Any]],
        whole: npt.NDArray[np.bool_], row: _Ints,
    ) -> None:  # fmt: skip
        """Refuse jets whose candidates are obviously not theirs."""
        if self._weight is not None and not self.settings["puppi"]:
            return
        far, pt = sums_far_from(fields["raw_pt"], offsets, columns["px"], columns["py"], _LARGEST_DISAGREEMENT)
        wrong = np.flatnonzero(far & whole & (np.diff(offsets) > 0))
        if len(wrong):
            jet = int(wrong[0])
            raise self.error(
                f"the candidates of a jet of pT {fields['raw_pt'][jet]:.4g} GeV (without corrections) add up to "
                f"{pt[jet]:.4g} GeV: damaged",
                int(row[jet]),
            )

    def _event_fields(self, start: int, stop: int, event: _Ints) -> dict[str, npt.NDArray[Any]]:
        fields: dict[str, npt.NDArray[Any]] = {"event": start + event}
        names = [name for name in EVENT if name in self._names]
        for name, array in root_files.read_branches(self._tree, self.path, names, start, stop).items():
            if array.ndim != 1:
                raise self.error(f"branch '{name}' is of type {array.type}, not a number an event")
            fields[EVENT[name]] = ak.to_numpy(array)[event]
        if not np.isfinite(fields.get("weight", np.zeros(0))).all():
            wrong = int(np.flatnonzero(~np.isfinite(fields["weight"]))[0])
            raise self.error("genWeight is not a finite number", start + int(event[wrong]))
        return fields

    def _labels(self, start: int, stop: int, event: _Ints, fields: Mapping[str, npt.NDArray[Any]]) -> _Ints:
        counts, flat = self._flat([f"GenPart_{name}" for name in TRUTH], start, stop)
        pid, mother, flags, eta, phi = flat.values()
        offsets = offsets_of(counts)
        own_event = np.repeat(np.arange(stop - start), counts)
        wrong = np.flatnonzero((mother < -1) | (mother >= counts[own_event]))
        if len(wrong):
            row = start + int(own_event[wrong[0]])
            raise self.error(f"GenPart_genPartIdxMother is {mother[wrong[0]]}: damaged", row)
        for name, values in (("eta", eta), ("phi", phi)):
            self.refuse(~np.isfinite(values), f"GenPart_{name}", values, "no finite number: damaged", start, offsets)
        above = np.where(mother < 0, -1, offsets[own_event] + mother)
        particles = Particles(
            offsets, pid.astype(np.int64), above, flags.astype(np.int64), eta.astype(np.float64), phi.astype(np.float64)
        )
        try:
            return classify(particles, event, fields["eta"], fields["phi"], self.settings["match_radius"])
        except ValueError as error:
            raise self.error(f"events {start} to {stop}: GenPart: {error}: damaged") from None

    def _flat(
        self, names: Sequence[str], start: int, stop: int, expected: _Ints | None = None
    ) -> tuple[_Ints, dict[str, npt.NDArray[Any]]]:
        return root_files.read_flat(self._tree, self.path, names, start, stop, expected, kinds="iufb")

    def _leave_out(self, reason: str, number: int) -> None:
        if number:
            self.left_out[reason] = self.left_out.get(reason, 0) + number


def _find_links(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the prefix of the links between jets and candidates, and the name of the candidate's index."""
    for link in LINKS:
        indices = [name.removeprefix(link) for name in names if name.startswith(link)]
        index = next((name for name in indices if name.lower() in CANDIDATE_INDICES), None)
        if index is not None and JET_INDEX in indices and f"{link.removeprefix('FatJet')}pt" in names:
            return link, index
    return None
