"""Delphes events: energy-flow objects or particle-flow candidates, clustered into jets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.jets.jets import Jets
from jetforge.jets.readers import event_jets
from jetforge.jets.readers.base import FormatCard, Option, Reader
from jetforge.jets.readers.constituents.momenta import four_momenta
from jetforge.jets.readers.constituents.ragged import offsets_of
from jetforge.jets.readers.containers import root_files
from jetforge.jets.readers.contents import Contents

TREE = "Delphes"
PHOTON, UNKNOWN = 22, 0
TRACK_FIELDS = {
    "PID": ("pid", np.int32), "Charge": ("charge", np.float32), "D0": ("d0", np.float32),
    "ErrorD0": ("d0_error", np.float32), "DZ": ("dz", np.float32), "ErrorDZ": ("dz_error", np.float32),
}  # fmt: skip
EVENT = {"Event.Number": "event_number", "Event.Weight": "weight"}
# Towers have no mass; their numbers are float32, of which energy and momentum agree to a few units in the last place.
_ROUNDING = 1e-6

_Ints = npt.NDArray[np.int64]
_Columns = dict[str, npt.NDArray[Any]]


class Collection(NamedTuple):
    """A collection of particles: its branch, that of pT, and the PDG number of all of them; None for one each."""

    name: str
    pt: str
    pid: int | None


EFLOW = (
    Collection("EFlowTrack", "PT", None),
    Collection("EFlowPhoton", "ET", PHOTON),
    Collection("EFlowNeutralHadron", "ET", UNKNOWN),
)
CANDIDATES = (Collection("ParticleFlowCandidate", "PT", None),)


class DelphesReader(Reader):
    """The energy-flow objects of each event, clustered into jets; a row is an event."""

    card = FormatCard(
        name="delphes",
        title="Delphes events",
        layout=(
            "ROOT tree `Delphes`, an entry an event, with the energy-flow objects `EFlowTrack.*`, `EFlowPhoton.*` and "
            "`EFlowNeutralHadron.*` that the CMS and ATLAS cards write, or `ParticleFlowCandidate.*` as in the cards "
            "of JetClass; `Event.Number` and `Event.Weight`."
        ),
        origin="Delphes, https://github.com/delphes/delphes.",
        made="Fast detector simulation of generator events; the card says of which detector, with which pile-up.",
        units="GeV, mm.",
        licence="That of whoever made the events; files do not state it.",
        citation="de Favereau et al., DELPHES 3, arXiv:1307.6346.",
        traps=(
            *event_jets.TRAPS,
            "Delphes' own jets (`Jet`, `FatJet`) are not read: they may be corrected, or made of other objects. Nor is "
            "what PUPPI leaves of the candidates, a collection such as `PuppiParticles` of JetClass-II: where the card "
            "runs it, candidates are those before, with the particles of pile-up.",
            "Tracks have a mass since Delphes 3.5.0; before, they are massless. Impact parameters `D0`, `DZ` and their "
            "errors are read where the tree has them; photons and neutral hadrons have zeros.",
            "The kind of neutral hadrons is not known: their PDG number is 0.",
            "The energies of charged particle-flow candidates do not fit their momenta; they follow from pT, eta, phi "
            "and mass, as in Delphes itself.",
            "Particles of pile-up are among the objects unless the card took them away.",
        ),
    )
    options: Mapping[str, Option] = {  # type: ignore[misc]
        **event_jets.OPTIONS,
        "particles": Option(
            "auto",
            "what is clustered: energy-flow objects, particle-flow candidates, or the first of these that the file has",
            ("auto", "eflow", "candidates"),
        ),
    }
    rows_are = "events"
    part_rows = 2_000

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there are energy-flow objects or particle-flow candidates."""
        return contents.container == "root" and any(
            contents.has(f"{TREE}/{some[0].name}.{some[0].pt}") for some in (EFLOW, CANDIDATES)
        )

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        self._clustering = event_jets.Clustering.from_settings(settings)
        self._file = root_files.open_file(path)
        try:
            self._tree = root_files.tree(self._file, path, TREE)
            self._names = self._branch_names()
            self._collections = self._find_collections()
        except BaseException:
            self._file.close()
            raise
        self.num_rows = int(self._tree.num_entries)

    def _branch_names(self) -> set[str]:
        try:
            return set(self._tree.keys(recursive=True, full_paths=False))
        except Exception as error:  # a damaged file makes uproot raise anything
            raise self.error(f"its branches cannot be read ({type(error).__name__}); copy it again") from None

    def _find_collections(self) -> tuple[Collection, ...]:
        known = {"eflow": EFLOW, "candidates": CANDIDATES}
        asked = self.settings["particles"]
        chosen = list(known.values()) if asked == "auto" else [known[asked]]
        for some in chosen:
            if f"{some[0].name}.{some[0].pt}" in self._names:
                return some
        there = ", ".join(sorted({name.split(".")[0] for name in self._names if "." in name})) or "none"
        raise self.error(f"no {' or '.join(some[0].name for some in chosen)} in the tree '{TREE}'; it has {there}")

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of events; see `Reader.read`."""
        parts = [self._particles(collection, start, stop) for collection in self._collections]
        event = np.concatenate([event for event, _ in parts])
        order = np.argsort(event, kind="stable")
        # What only tracks have is 0 for others.
        columns = {
            name: np.concatenate([part.get(name, np.zeros(len(event), values.dtype)) for event, part in parts])[order]
            for name, values in parts[0][1].items()
        }
        offsets = offsets_of(np.bincount(event, minlength=stop - start))
        flat = event_jets.check_particles(self, start, offsets, columns)
        return event_jets.cluster_events(flat, columns, self._event_fields(start, stop), self._clustering)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _particles(self, collection: Collection, start: int, stop: int) -> tuple[_Ints, _Columns]:
        """Return the event of each particle of a collection, and their columns; those without pT are left out."""
        is_track = collection.pid is None
        needed = (collection.pt, "Eta", "Phi", *(("PID", "Charge") if is_track else ("E",)))
        further = [name for name in ("Mass", *TRACK_FIELDS) if name not in needed] if is_track else []
        names = [*needed, *(name for name in further if f"{collection.name}.{name}" in self._names)]
        counts, flat = self._flat(collection.name, names, start, stop)
        event = np.repeat(np.arange(stop - start), counts)
        pt = flat[collection.pt]
        name = f"{collection.name}.{collection.pt}"
        self.refuse(pt < 0, name, pt, "negative: no momentum", start, offsets_of(counts))
        keep = pt != 0
        flat = {name: values[keep] for name, values in flat.items()}
        pt, eta, phi = (flat[name] for name in (collection.pt, "Eta", "Phi"))
        columns: _Columns = {**four_momenta(pt, eta, phi, flat.get("Mass", np.zeros(len(pt))))}
        if is_track:
            columns.update(
                {ours: flat[name].astype(kind) for name, (ours, kind) in TRACK_FIELDS.items() if name in flat}
            )
            return event[keep], columns
        energy, p = flat["E"].astype(np.float64), columns["energy"]
        energy = np.where(np.abs(energy - p) <= _ROUNDING * p, p, energy)
        mass2 = (energy - p) * (energy + p)
        columns.update(energy=energy, mass=np.sign(mass2) * np.sqrt(np.abs(mass2)))
        columns["pid"] = np.full(len(pt), collection.pid, dtype=np.int32)
        return event[keep], columns

    def _flat(self, collection: str, names: Sequence[str], start: int, stop: int) -> tuple[_Ints, _Columns]:
        """Return how many particles each event has, the same for all branches, and their values, event after event."""
        branches = [f"{collection}.{name}" for name in names]
        sizes = self._sizes(collection, start, stop)
        counts, flat = root_files.read_flat(self._tree, self.path, branches, start, stop, sizes)
        return counts, {name.removeprefix(f"{collection}."): values for name, values in flat.items()}

    def _sizes(self, collection: str, start: int, stop: int) -> _Ints | None:
        name = f"{collection}_size"
        if name not in self._names:
            return None
        array = root_files.read_branches(self._tree, self.path, [name], start, stop)[name]
        return ak.to_numpy(array).astype(np.int64) if array.ndim == 1 else None

    def _event_fields(self, start: int, stop: int) -> _Columns:
        fields: _Columns = {"event": np.arange(start, stop)}
        for branch, ours in EVENT.items():
            if branch not in self._names:
                continue
            counts, flat = self._flat("Event", [branch.removeprefix("Event.")], start, stop)
            wrong = np.flatnonzero(counts != 1)
            if len(wrong):
                raise self.error(f"'{branch}' has {counts[wrong[0]]} values, not one: damaged", start + int(wrong[0]))
            fields[ours] = next(iter(flat.values())).astype(np.float64 if ours == "weight" else np.int64)
        wrong = np.flatnonzero(~np.isfinite(fields.get("weight", np.zeros(0))))
        if len(wrong):
            raise self.error("Event.Weight is not a finite number", start + int(wrong[0]))
        return fields
