"""HepMC event records as text, of versions 3 and 2: their final particles, clustered into jets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import JetforgeError, first_line
from jetforge.jets.jets import Jets
from jetforge.jets.readers import event_jets
from jetforge.jets.readers.base import UNITS, FormatCard, Option, Reader
from jetforge.jets.readers.constituents.ragged import offsets_of, row_of
from jetforge.jets.readers.containers.hepmc_text import EventText, version_of
from jetforge.jets.readers.contents import Contents
from jetforge.physics.arguments import number
from jetforge.physics.constituent_fields import charges
from jetforge.physics.flat import FlatJets

COLUMNS = {
    "px": np.float64, "py": np.float64, "pz": np.float64, "energy": np.float64, "mass": np.float64, "pid": np.int32,
}  # fmt: skip
FINAL = 1
NEUTRINOS = (12, 14, 16)
PHOTON = 22
MOMENTUM = ("px", "py", "pz", "energy")
_THEIR_NAMES = {"energy": "e", "mass": "generated_mass"}
# Of E^2; files of few digits and generators' roundings stay far below.
_OFF_SHELL = 0.01
# No particle of momentum at a collider is closer to the beam.
_BEAM = 100.0
_BUFFER = 1 << 20


class HepMcReader(Reader):
    """The final particles of each event, clustered into jets; a row is an event."""

    card = FormatCard(
        name="hepmc",
        title="HepMC event records",
        layout=(
            "Text, plain or gzipped: `HepMC::Asciiv3` (HepMC3) or `HepMC::IO_GenEvent` (HepMC2). An event has a line "
            "`E`, its units in a line `U`, and lines `V` of vertices and `P` of particles, with PDG number, px, py, "
            "pz, E, mass and status. A line ends the listing, without which a file is cut."
        ),
        origin="Pythia 8, Herwig 7, Sherpa, MadGraph5_aMC@NLO and other generators.",
        made=(
            "Whatever the generator was told. Particles of status 1 are clustered here, without neutrinos unless "
            "neutrinos=yes."
        ),
        units="Each event says GeV or MeV; GeV here.",
        licence="Not stated: that of whoever made the events.",
        citation=(
            "Buckley et al., The HepMC3 Event Record Library for Monte Carlo Event Generators, arXiv:1912.08005; "
            "Dobbs, Hansen, The HepMC C++ Monte Carlo event record, Comput. Phys. Commun. 134 (2001) 41."
        ),
        traps=(
            *event_jets.TRAPS,
            "Particles are those of the generator, without any detector. Invisible particles other than neutrinos are "
            "clustered like visible ones.",
            "Only the first of an event's weights is read; it may be negative.",
            "The charge follows from the PDG number, the constituents' masses from their energies and momenta.",
        ),
    )
    options: Mapping[str, Option] = {  # type: ignore[misc]
        **event_jets.OPTIONS,
        "neutrinos": Option(False, "cluster neutrinos too"),
        "particle_eta_max": Option(0.0, "largest |eta| of the particles that are clustered; 0 for no limit"),
        "on_shell": Option(
            True, "refuse final particles whose E^2 differs from p^2 + m^2 by more than 1 %, where the file has a mass"
        ),
    }
    rows_are = "events"
    part_rows = 2_000

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether it begins as a HepMC listing."""
        return contents.container in ("text", "gzip") and version_of(contents.text.encode()) is not None

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        self._pyhepmc = _import_pyhepmc()
        self._clustering = event_jets.Clustering.from_settings(settings)
        self._particle_eta_max = number("particle_eta_max", settings["particle_eta_max"], least=0, most=_BEAM)
        self._text = EventText(path)
        self.num_rows = len(self._text.numbers)
        # The first event says whether events have weights.
        first = np.flatnonzero(self._text.num_particles)[:1]
        try:
            self._weighted = any(len(event.weights) > 0 for row in first for _, event in self._events(row, row + 1))
        except BaseException:
            self.close()
            raise

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of events; see `Reader.read`."""
        events = [(row, *self._final(row, event)) for row, event in self._events(start, stop)]
        columns = {
            name: np.concatenate([np.zeros(0, kind), *(particles[name] for _, particles, _ in events)])
            for name, kind in COLUMNS.items()
        }
        counts = np.zeros(stop - start, dtype=np.int64)
        rows = np.array([row for row, _, _ in events], dtype=np.int64) - start
        counts[rows] = [len(particles["pid"]) for _, particles, _ in events]
        fields: dict[str, npt.NDArray[Any]] = {
            "event": np.arange(start, stop), "event_number": self._text.numbers[start:stop],
        }  # fmt: skip
        if self._weighted:
            fields["weight"] = np.zeros(stop - start)
            fields["weight"][rows] = [weight for _, _, weight in events]
            self.refuse(~np.isfinite(fields["weight"]), "the weight", fields["weight"], "no finite number", start)
        counts, columns = self._clustered(counts, columns)
        mass = columns.pop("mass")
        columns["charge"] = charges(columns["pid"]).astype(np.float32)
        flat = event_jets.check_particles(self, start, offsets_of(counts), columns)
        if self.settings["on_shell"]:
            self._check_masses(flat, mass, columns["pid"], start)
        return event_jets.cluster_events(flat, columns, fields, self._clustering)

    def close(self) -> None:
        """Close the file."""
        self._text.close()

    def _events(self, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Yield the events that have particles, with their rows."""
        rows = start + np.flatnonzero(self._text.num_particles[start:stop])
        stream = self._text.events(start, stop)
        kind = self._pyhepmc.io.ReaderAscii if self._text.version == 3 else self._pyhepmc.io.ReaderAsciiHepMC2
        event = self._pyhepmc.GenEvent()
        with _silent(self._pyhepmc), kind(self._pyhepmc.io.pyiostream(stream, _BUFFER)) as reader:
            for row in rows.tolist():
                try:
                    is_read = reader.read_event(event)
                except Exception as error:  # pyhepmc hands on what the C++ library throws
                    raise self.error(f"the event cannot be read ({first_line(error)}): damaged", row) from None
                if stream.failed is not None:
                    raise self.error(
                        f"the event cannot be read ({first_line(stream.failed)}); copy the file again", row
                    )
                if not is_read or event.event_number != self._text.numbers[row]:
                    raise self.error("pyhepmc cannot read the event: damaged", row)
                yield row, event

    def _final(self, row: int, event: Any) -> tuple[dict[str, npt.NDArray[Any]], float]:
        """Return the final particles of an event in GeV, and its weight."""
        weights = event.weights
        if self._weighted != (len(weights) > 0):
            raise self.error("some events have a weight and others have none: damaged", row)
        particles = event.numpy.particles
        status = particles.status
        if len(status) != self._text.num_particles[row]:
            raise self.error(
                f"only {len(status)} of {self._text.num_particles[row]} particles can be read: damaged", row
            )
        scale = UNITS["MeV" if event.momentum_unit == self._pyhepmc.Units.MEV else "GeV"]
        final = np.flatnonzero(status == FINAL)
        columns = {name: getattr(particles, _THEIR_NAMES.get(name, name))[final] for name in COLUMNS}
        for name in (*MOMENTUM, "mass"):
            columns[name] *= scale
        return columns, weights[0] if weights else 1.0

    def _clustered(
        self, counts: npt.NDArray[np.int64], columns: dict[str, npt.NDArray[Any]]
    ) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
        """Leave out particles that the settings leave out, and those without momentum."""
        px, py, pz, energy = (columns[name] for name in MOMENTUM)
        keep = (px != 0) | (py != 0) | (pz != 0) | (energy != 0)
        if not self.settings["neutrinos"]:
            keep &= ~np.isin(np.abs(columns["pid"]), NEUTRINOS)
        if self._particle_eta_max:
            # |eta| <= eta_max is |pz| <= pT sinh(eta_max); NaN is kept, to be refused.
            keep &= ~(np.abs(pz) > np.hypot(px, py) * np.sinh(self._particle_eta_max))
        event = np.repeat(np.arange(len(counts)), counts)
        kept = np.bincount(event[keep], minlength=len(counts))
        return kept, {name: values[keep] for name, values in columns.items()}

    def _check_masses(
        self, flat: FlatJets, mass: npt.NDArray[np.float64], pid: npt.NDArray[np.int32], start: int
    ) -> None:
        """Compare energy, momentum and mass: text has no checksum, and an altered digit shows here."""
        energy2 = flat.energy**2
        excess = energy2 - flat.px**2 - flat.py**2 - flat.pz**2 - mass**2
        # Some programs write no masses, which says nothing; photons have none.
        known = (mass > 0) | ((mass == 0) & (pid == PHOTON))
        wrong = np.flatnonzero(known & (np.abs(excess) > _OFF_SHELL * energy2))
        if len(wrong):
            at = int(wrong[0])
            row = row_of(at, flat.offsets)
            p = np.sqrt(flat.px[at] ** 2 + flat.py[at] ** 2 + flat.pz[at] ** 2)
            raise self.error(
                f"particle {at - flat.offsets[row]}: energy {flat.energy[at]:g}, momentum {p:g} and mass {mass[at]:g} "
                "GeV do not belong together: damaged, or say on_shell=no if the generator wrote them so",
                start + row,
            )


def _import_pyhepmc() -> Any:
    try:
        import pyhepmc
        import pyhepmc.io
    except ImportError:
        raise JetforgeError("reading HepMC needs pyhepmc: pip install 'jetforge[generate]'") from None
    return pyhepmc


@contextmanager
def _silent(pyhepmc: Any) -> Iterator[None]:
    """Keep the C++ library from writing to the terminal what is reported here."""
    setup = pyhepmc.Setup
    before = setup.print_errors, setup.print_warnings, setup.debug_level
    setup.print_errors = setup.print_warnings = False
    setup.debug_level = 0
    try:
        yield
    finally:
        setup.print_errors, setup.print_warnings, setup.debug_level = before
