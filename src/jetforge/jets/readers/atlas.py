"""ATLAS Top Tagging Open Data: jets of the full detector simulation, in HDF5."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.readers.base import UNITS, FormatCard, Option, Reader, unit_option
from jetforge.jets.readers.constituents.padded import without_padding
from jetforge.jets.readers.constituents.ragged import joined, offsets_of, pieces, sums_far_from
from jetforge.jets.readers.containers import hdf5_files
from jetforge.jets.readers.contents import Contents

CONSTITUENT, JET = "fjet_clus_", "fjet_"
MOMENTUM = ("pt", "eta", "phi", "E")
TASTE, LABEL = f"{CONSTITUENT}taste", "labels"
WEIGHTS = ("training_weights", "weights")
EVENT_NUMBER, EVENT_WEIGHTS = "EventInfo_mcEventNumber", "EventInfo_mcEventWeights"
CLASSES = ("qcd", "top")
# Jet quantities with units, and the power of the energy that they are in.
POWERS = {"pt": 1, "m": 1, "qw": 1, "split12": 1, "split23": 1, "ecf1": 1, "ecf2": 2, "ecf3": 3}
# The features of the authors' preprocessing.
FEATURES = ("rotated_eta", "rotated_phi", "log_pt", "log_energy", "log_pt_fraction", "log_energy_fraction", "delta_r")
# The authors' cuts on what is in the file (GeV).
SMALLEST_PT, SMALLEST_MASS, FEWEST_CONSTITUENTS = 0.1, 40.0, 3
# Events whose number is a multiple of this are for testing.
_TEST_EVERY = 10
_LARGEST_ETA = 20.0
# Calibration moves the jet's pT by less than a factor two; constituents of another jet are not looked for here.
_LARGEST_DISAGREEMENT = 10.0
_ROWS_AT_ONCE = 4000
# A gzipped HDF5 file, as text.
_GZIPPED = "\ufffdHDF\r\n\x1a\n"
# Rules that constituents keep.
_ZERO, _STRANGE, _NEGATIVE, _EMPTY = 1, 2, 3, 4
_RULES = {
    _ZERO: "of a constituent either pT or energy is zero, but not both: damaged",
    _STRANGE: f"pT, eta, phi or energy of a constituent is not a finite number, or |eta| is above {_LARGEST_ETA:.0f}",
    _NEGATIVE: (
        "a constituent has a negative pT or energy, which the smearing of a systematic variation can cause; leave such "
        "constituents out with negative=drop"
    ),
    _EMPTY: "no constituents; leave such jets out with selection=paper",
}


class AtlasReader(Reader):
    """Constituents ``fjet_clus_pt, fjet_clus_eta, fjet_clus_phi, fjet_clus_E`` of each jet, filled up with zeros."""

    card = FormatCard(
        name="atlas",
        title="ATLAS Top Tagging Open Data",
        layout=(
            "HDF5, a row a jet: `fjet_clus_pt, fjet_clus_eta, fjet_clus_phi, fjet_clus_E` (n, 200), in the newer "
            "record also `fjet_clus_taste` (how tracks and calorimeter were combined, 0 to 2), filled up with zeros; "
            "the jet `fjet_pt, fjet_eta, fjet_phi, fjet_m`; 15 high-level quantities such as `fjet_Tau1_wta`; "
            "`labels` (1 top, 0 background); `weights` (record 15013) or `training_weights` (80030), which become "
            "`weight`, 1 where the file has none; in the newer record `EventInfo_mcEventNumber`, here "
            "`event_number`, and in its nominal files 27 `EventInfo_mcEventWeights`, the nominal one first, here "
            "`event_weight_0` to `_26`."
        ),
        origin=(
            "ATLAS, CERN Open Data records 15013 (doi:10.7483/OPENDATA.ATLAS.FG5F.96GA, 2022) and 80030, which "
            "supersedes it (doi:10.7483/OPENDATA.ATLAS.SOAY.LABE, 2024, with systematic variations)."
        ),
        made=(
            "pp at 13 TeV through the GEANT4 simulation of ATLAS: Z' of 2 TeV to top pairs, and dijets. Unified-flow "
            "objects, large-radius jets. Truth jets have pT > 350 GeV and |eta| < 2, jets at least 3 constituents and "
            "m > 40 GeV; tops are matched within 0.75 and contained. Constituents below 100 MeV are left out."
        ),
        units="MeV; here GeV, also of high-level quantities: `ecf2` in GeV^2, `ecf3` in GeV^3.",
        licence="The records name none.",
        citation=(
            "ATLAS, Accuracy versus precision in boosted top tagging with the ATLAS detector, arXiv:2407.20127; "
            "ATL-PHYS-PUB-2022-039 for the older record."
        ),
        traps=(
            "The background's pT spectrum has bumps from its generation: training must use the weights, which give "
            "both classes the same spectrum.",
            "The authors mean the weights for the loss. Here they are the field `weight` of every jet, and "
            "measurements use it too: what is measured on jets of a file to train, also on a part of it that is split "
            "off to validate or to test, is weighted. The official test files of record 80030 have no weights, and "
            "their jets count 1. Whether the test file of record 15013 has them is not confirmed; where there are "
            "any, they are used.",
            "Performance is quoted with systematic uncertainties from the varied files of record 80030.",
            "The jet's momentum is calibrated and not recomputed in varied files: the sum of the constituents has "
            "another.",
            "Padding has taste 0 as real constituents may: it is known by its pT. In varied files constituents may be "
            "out of order, with padding among them, or have a negative energy from smearing.",
            "The files of record 80030 are gzipped as a whole and have to be unpacked. The authors' description calls "
            "the varied sets otherwise than the files are called: esup is its ces_up, teg its track_eff_global, and so "
            "on.",
            "Events whose number is a multiple of 10 are for testing; the parts that are for training have no "
            "validation files of their own.",
        ),
    )
    options: Mapping[str, Option] = {  # type: ignore[misc]
        "unit": unit_option(default="MeV"),
        "selection": Option(
            "none",
            "paper: leave out constituents below 100 MeV, then jets with fewer than 3 (before leading) or with m <= 40 "
            "GeV; published files are so already, but for variations",
            ("none", "paper"),
        ),
        "preprocessing": Option(
            "none",
            "paper: add the seven features of the authors' trainings to the constituents, whose momenta stay as they "
            "are: eta and phi from the first constituent, turned so that the second is at negative phi, mirrored so "
            "that the third is at positive eta (rotated_eta, rotated_phi), their distance delta_r, log of pT and "
            "energy in MeV, and of their fractions of the jet's sums",
            ("none", "paper"),
        ),
        "leading": Option(
            0,
            "keep the so many hardest constituents of each jet, in order of pT, 0 for all as they are; the authors' "
            "trainings took 80",
        ),
        "negative": Option(
            "refuse",
            "what becomes of constituents of negative pT or energy, in varied files; those dropped are not counted",
            ("refuse", "drop"),
        ),
    }

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there are the constituents of ATLAS's jets; a gzipped HDF5 file is told how to be unpacked."""
        if contents.container == "gzip":
            return contents.text.startswith(_GZIPPED)
        return contents.container == "hdf5" and contents.has(*(f"{CONSTITUENT}{name}" for name in MOMENTUM))

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        if settings["leading"] < 0:
            raise self.error(f"leading={settings['leading']}: it must be a number of constituents, or 0 for all")
        self._refuse_gzip()
        self._file = hdf5_files.open_file(path)
        try:
            self._open_datasets()
        except BaseException:
            self._file.close()
            raise
        self.classes = CLASSES if self._labels is not None else ()

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of rows; see `Reader.read`."""
        # A few rows at a time, in whole chunks of the file: padding takes four times the memory of what remains.
        blocks = [self._read_rows(*piece) for piece in pieces(start, stop, self._rows_at_once)]
        offsets, columns = joined([block[:2] for block in blocks])
        jets = Jets(offsets, columns, self._fields(start, stop))
        self._check_sums(jets, start)
        self.left_out = {}
        if self.settings["selection"] == "none":
            return jets
        few = np.concatenate([block[2] for block in blocks]) < FEWEST_CONSTITUENTS
        light = jets["mass"] <= SMALLEST_MASS if "mass" in jets.fields else np.zeros(len(jets), dtype=np.bool_)
        self.left_out = {
            f"fewer than {FEWEST_CONSTITUENTS} constituents": int(few.sum()),
            f"m <= {SMALLEST_MASS:.0f} GeV": int((light & ~few).sum()),
        }
        return jets[~(few | light)] if (few | light).any() else jets

    def stated_splits(self, jets: Jets) -> npt.NDArray[np.int8] | None:
        """Return the splits that the events' numbers say."""
        if "event_number" not in jets.fields:
            return None
        for_test = jets.fields["event_number"] % _TEST_EVERY == 0
        return np.where(for_test, SPLITS.index("test"), SPLITS.index("train")).astype(np.int8)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _refuse_gzip(self) -> None:
        try:
            with self.path.open("rb") as file:
                zipped = file.read(2) == b"\x1f\x8b"
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror}") from None
        if zipped:
            raise self.error(f"a gzipped HDF5 file, of which no range can be read; unpack it: gunzip {self.path}")

    def _open_datasets(self) -> None:
        """Find the datasets, and check that they fit together."""
        names = [str(name) for name in hdf5_files.names(self.path)]
        pt = hdf5_files.dataset(self._file, self.path, f"{CONSTITUENT}pt", (None,))
        self.num_rows = len(pt)
        chunk = pt.chunks[0] if pt.chunks else 1
        self._rows_at_once = chunk if chunk > _ROWS_AT_ONCE else _ROWS_AT_ONCE // chunk * chunk
        self._constituents = {name: self._dataset(f"{CONSTITUENT}{name}", (None,)) for name in MOMENTUM}
        if TASTE in names:
            self._constituents["taste"] = self._dataset(TASTE, (None,))
        of_jets = [name for name in names if name.startswith(JET) and not name.startswith(CONSTITUENT)]
        self._of_jets = {name.removeprefix(JET).lower(): self._dataset(name) for name in of_jets}
        self._labels = self._dataset(LABEL) if LABEL in names else None
        weights = next((name for name in WEIGHTS if name in names), None)
        self._weights = None if weights is None else self._dataset(weights)
        self._event_number = self._dataset(EVENT_NUMBER) if EVENT_NUMBER in names else None
        self._event_weights = self._dataset(EVENT_WEIGHTS, (None,)) if EVENT_WEIGHTS in names else None
        for name, found in self._constituents.items():
            if found.shape != pt.shape:
                raise self.error(f"'{CONSTITUENT}{name}' has the shape {found.shape}, '{CONSTITUENT}pt' {pt.shape}")

    def _dataset(self, name: str, row_shape: tuple[None, ...] = ()) -> Any:
        found = hdf5_files.dataset(self._file, self.path, name, row_shape)
        if found.dtype.kind not in "iufb" or len(found) != self.num_rows:
            raise self.error(f"'{name}' is {len(found)} rows of {found.dtype}; '{CONSTITUENT}pt' has {self.num_rows}")
        return found

    def _read_rows(
        self, start: int, stop: int
    ) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
        """Return offsets and columns of the constituents of some rows, and their numbers before `leading`."""
        given = {name: hdf5_files.rows(found, self.path, start, stop) for name, found in self._constituents.items()}
        row, rule = _first_wrong(
            given["pt"], given["eta"], given["phi"], given["E"],
            self.settings["negative"] == "drop", self.settings["selection"] == "paper",
        )  # fmt: skip
        if rule:
            raise self.error(_RULES[rule], start + row)
        keep = (given["pt"] > 0) & (given["E"] > 0)
        if self.settings["selection"] == "paper":
            keep &= given["pt"] >= SMALLEST_PT / self.to_gev
        offsets, flat = without_padding(keep, given)
        counts = np.diff(offsets)
        if self.settings["leading"]:
            offsets, hardest = _hardest(offsets, flat["pt"], self.settings["leading"])
            flat = {name: values[hardest] for name, values in flat.items()}
        pt, eta, phi, energy = (flat[name].astype(np.float64) for name in MOMENTUM)
        pt, energy = pt * self.to_gev, energy * self.to_gev
        columns: dict[str, npt.NDArray[Any]] = {
            "px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "energy": energy,
        }  # fmt: skip
        if "taste" in flat:
            columns["taste"] = self._checked_taste(flat["taste"], offsets, start)
        if self.settings["preprocessing"] == "paper":
            features = np.empty((len(FEATURES), len(pt)), dtype=np.float32)
            _preprocess(offsets, pt / UNITS["MeV"], eta, phi, energy / UNITS["MeV"], features)
            columns |= dict(zip(FEATURES, features, strict=True))
        return offsets, columns, counts

    def _checked_taste(
        self, taste: npt.NDArray[Any], offsets: npt.NDArray[np.int64], start: int
    ) -> npt.NDArray[np.int8]:
        self.refuse(~np.isin(taste, (0, 1, 2)), TASTE, taste, "none of 0, 1 and 2", start, offsets)
        return taste.astype(np.int8)

    def _fields(self, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """Return what the file has of each jet."""
        fields: dict[str, npt.NDArray[Any]] = {}
        for name, found in self._of_jets.items():
            values = hdf5_files.rows(found, self.path, start, stop)
            power = POWERS.get(name, 0)
            fields["mass" if name == "m" else name] = values * self.to_gev**power if power else values
        if self._labels is not None:
            values = hdf5_files.rows(self._labels, self.path, start, stop)
            self.refuse(~np.isin(values, (0, 1)), LABEL, values, "neither 0 nor 1", start)
            fields["label"] = values.astype(np.int64)
        if self._event_number is not None:
            fields["event_number"] = hdf5_files.rows(self._event_number, self.path, start, stop).astype(np.int64)
        if self._event_weights is not None:
            values = hdf5_files.rows(self._event_weights, self.path, start, stop)
            fields |= {f"event_weight_{i}": values[:, i] for i in range(values.shape[1])}
        # The authors' program takes 1 where there is no weight; so files with and without go together.
        weight = np.ones(stop - start, dtype=np.float32)
        if self._weights is not None:
            weight = hdf5_files.rows(self._weights, self.path, start, stop)
            name = self._weights.name.strip("/")
            self.refuse(~np.isfinite(weight), name, weight, "not a finite number", start)
        fields["weight"] = weight
        return fields

    def _check_sums(self, jets: Jets, start: int) -> None:
        """Refuse jets whose constituents are obviously not theirs."""
        if "pt" not in jets.fields or self.settings["leading"]:
            return
        stated = jets["pt"].astype(np.float64)
        far, pt = sums_far_from(stated, jets.offsets, jets.columns["px"], jets.columns["py"], _LARGEST_DISAGREEMENT)
        wrong = np.flatnonzero(far & (np.diff(jets.offsets) > 0))
        if len(wrong):
            jet = int(wrong[0])
            raise self.error(
                f"the constituents of a jet of pT {stated[jet]:.4g} GeV add up to {pt[jet]:.4g} GeV: damaged",
                start + jet,
            )


def _hardest(
    offsets: npt.NDArray[np.int64], pt: npt.NDArray[Any], most: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return offsets and places of the hardest constituents of each jet, hardest first, equal ones as they were."""
    jet = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    place = np.lexsort((-pt, jet))
    place = place[np.arange(len(pt)) - offsets[:-1][jet] < most]
    return offsets_of(np.minimum(np.diff(offsets), most)), place


@njit(cache=True, nogil=True)
def _first_wrong(
    pt: Any, eta: Any, phi: Any, energy: Any, may_be_negative: bool, may_be_empty: bool
) -> tuple[int, int]:
    """Return the first row that breaks a rule, and the rule; 0 for none."""
    for row in range(pt.shape[0]):
        found = 0
        for place in range(pt.shape[1]):
            p, e = pt[row, place], energy[row, place]
            if (p == 0) != (e == 0):
                return row, _ZERO
            if p != 0:
                if not (np.isfinite(p) and np.isfinite(e) and np.isfinite(phi[row, place])):
                    return row, _STRANGE
                if not abs(eta[row, place]) <= _LARGEST_ETA:
                    return row, _STRANGE
                if p > 0 and e > 0:
                    found += 1
                elif not may_be_negative:
                    return row, _NEGATIVE
        if found == 0 and not may_be_empty:
            return row, _EMPTY
    return 0, 0


@njit(cache=True, nogil=True)
def _preprocess(offsets: Any, pt: Any, eta: Any, phi: Any, energy: Any, features: Any) -> None:
    """Write the features of the authors' preprocessing; pT and energy in MeV.

    A jet of one constituent is not turned, one of two not mirrored.
    """
    for jet in range(len(offsets) - 1):
        first, last = offsets[jet], offsets[jet + 1]
        if first == last:
            continue
        eta_0, phi_0 = eta[first], phi[first]
        angle = 0.0
        if last - first > 1:
            angle = np.arctan2(_wrapped(phi[first + 1] - phi_0), eta[first + 1] - eta_0) + np.pi / 2
        cosine, sine = np.cos(angle), np.sin(angle)
        mirror = 1.0
        if last - first > 2:
            third = (eta[first + 2] - eta_0) * cosine + _wrapped(phi[first + 2] - phi_0) * sine
            mirror = -1.0 if third < 0 else 1.0
        log_pt, log_energy = np.log(pt[first:last].sum()), np.log(energy[first:last].sum())
        for i in range(first, last):
            x, y = eta[i] - eta_0, _wrapped(phi[i] - phi_0)
            features[0, i] = mirror * (x * cosine + y * sine)
            features[1, i] = y * cosine - x * sine
            features[2, i], features[3, i] = np.log(pt[i]), np.log(energy[i])
            features[4, i], features[5, i] = np.log(pt[i]) - log_pt, np.log(energy[i]) - log_energy
            features[6, i] = np.sqrt(x * x + y * y)


@njit(cache=True)
def _wrapped(phi: float) -> float:
    """Return a difference of azimuths, once around the circle at most, between -pi and pi."""
    return phi - 2 * np.pi if phi > np.pi else (phi + 2 * np.pi if phi < -np.pi else phi)
