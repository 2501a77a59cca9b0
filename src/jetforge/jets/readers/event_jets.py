"""From the particles of events to jets, for formats that hold events and no jets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.jets import FOUR_MOMENTUM, Jets
from jetforge.jets.readers.base import Option, Reader
from jetforge.jets.readers.constituents.ragged import offsets_of
from jetforge.physics.arguments import number, whole_number
from jetforge.physics.clustering.algorithms import ALGORITHMS, radius_of
from jetforge.physics.clustering.subjets import inclusive_subjets
from jetforge.physics.flat import FlatJets, checked
from jetforge.physics.shapes.angular import jet_kinematics

OPTIONS: Mapping[str, Option] = {
    "radius": Option(0.8, "radius R of the jets"),
    "algorithm": Option("antikt", "algorithm that makes the jets, E scheme", tuple(ALGORITHMS)),
    "pt_min": Option(20.0, "smallest pT (GeV) of a jet"),
    "pt_max": Option(0.0, "largest pT (GeV) of a jet; 0 for no limit"),
    "eta_max": Option(0.0, "largest |eta| of a jet; 0 for no limit"),
    "leading": Option(
        0, "how many jets of an event are looked at, hardest first, before pt_max and eta_max; 0 for all"
    ),
}
FIELDS = ("pt", "eta", "phi", "y", "mass", "energy")
TRAPS = (
    "The file holds events, not jets: jets are clustered here, and depend on the options radius, algorithm, pt_min, "
    "pt_max, eta_max and leading. With the default pt_min of 20 GeV most jets are soft; set it to the pT that the "
    "study is about.",
    "The file does not say what its jets are: give the class as CLASS=FILE. All jets of an event get it, also those "
    "of its radiation; leading=1 takes the hardest alone.",
    "Jets of one event share its weight and are not independent: the field `event` is the row, for splitting by event.",
)

_Ints = npt.NDArray[np.int64]


class Clustering(NamedTuple):
    """How jets are made, and which are kept."""

    radius: float
    algorithm: str
    pt_min: float
    pt_max: float
    eta_max: float
    leading: int

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Clustering:
        """Return what the settings of a reader say.

        Raises
        ------
        JetforgeError
            If a number is out of its range.
        """
        return cls(
            radius_of("radius", settings["radius"]),
            settings["algorithm"],
            number("pt_min", settings["pt_min"], above=0),
            number("pt_max", settings["pt_max"], least=0),
            number("eta_max", settings["eta_max"], least=0),
            whole_number("leading", settings["leading"], 0),
        )


def cluster_events(
    flat: FlatJets, columns: Mapping[str, npt.NDArray[Any]], event_fields: Mapping[str, npt.NDArray[Any]],
    clustering: Clustering,
) -> Jets:  # fmt: skip
    """Cluster the particles of each event into jets.

    Parameters
    ----------
    flat
        The particles, event after event; see `check_particles`.
    columns
        The same with whatever else they have, each (n_particles,): ``px, py, pz, energy`` (GeV), ``pid`` ...
    event_fields
        What is known of each event, each (n_events,); each of its jets gets it.
    clustering
        How.

    Returns
    -------
    Jets
        Event after event, in order of falling pT, constituents too. Jet fields: ``pt, eta, phi, y, mass, energy``
        (GeV) and those of the events. The same jets as FastJet makes (arXiv:1111.6097), to rounding.
    """
    found = inclusive_subjets(
        flat, clustering.radius, algorithm=clustering.algorithm, pt_min=clustering.pt_min, num_threads=1
    )
    per_event = ak.to_numpy(ak.num(found, axis=1))
    members = ak.flatten(found.constituents, axis=1)
    sizes = ak.to_numpy(ak.num(members, axis=1))
    event = np.repeat(np.arange(len(per_event)), per_event)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    particles = ak.to_numpy(ak.flatten(members)) + flat.offsets[event[owner]]
    # Hardest first; lexsort leaves equal ones in the order of the file.
    particles = particles[np.lexsort((-(flat.px[particles] ** 2 + flat.py[particles] ** 2), owner))]
    made = {name: values[particles] for name, values in columns.items()}
    bounds = offsets_of(sizes)
    momenta = jet_kinematics(FlatJets(bounds, *(made[name] for name in FOUR_MOMENTUM)), num_threads=1)
    fields: dict[str, npt.NDArray[Any]] = dict(
        zip(FIELDS, (momenta.pt, momenta.eta, momenta.phi, momenta.rapidity, momenta.mass, momenta.energy), strict=True)
    )
    fields.update({name: values[event] for name, values in event_fields.items()})
    rank = np.arange(len(event)) - (np.cumsum(per_event) - per_event)[event]
    keep = _chosen(rank, fields, clustering)
    jets = Jets(bounds, made, fields)
    return jets if keep.all() else jets[keep]


def _chosen(rank: _Ints, fields: Mapping[str, npt.NDArray[Any]], clustering: Clustering) -> npt.NDArray[np.bool_]:
    keep = np.ones(len(rank), dtype=np.bool_)
    if clustering.leading:
        keep &= rank < clustering.leading
    if clustering.pt_max:
        keep &= fields["pt"] <= clustering.pt_max
    if clustering.eta_max:
        keep &= np.abs(fields["eta"]) <= clustering.eta_max
    return keep


def check_particles(reader: Reader, start: int, offsets: _Ints, columns: Mapping[str, npt.NDArray[Any]]) -> FlatJets:
    """Return particles as clustering needs them, or refuse them.

    Parameters
    ----------
    reader
        Names the file in an error.
    start
        Row of the first event.
    offsets, columns
        As in `cluster_events`.

    Raises
    ------
    DataError
        If a component is not finite, an energy is negative, or below the momentum by more than rounding.
    """
    flat = FlatJets(offsets, *(np.require(columns[name], np.float64, ["C", "W"]) for name in FOUR_MOMENTUM))
    try:
        return checked(flat)
    except DataError as error:
        place = re.match(r"jet (\d+), constituent (\d+)", str(error))
        if place is None:
            raise
        rule = str(error)[place.end() :]
        raise reader.error(f"particle {place[2]}{rule}", start + int(place[1])) from None
