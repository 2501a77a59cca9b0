"""LundNet's samples, those of the JetsGame repository: gzipped lines of JSON, each a jet."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.jets.jets import Jets
from jetforge.jets.readers.base import FormatCard, Option, Reader, unit_option
from jetforge.jets.readers.constituents.ragged import offsets_of
from jetforge.jets.readers.containers.jet_lines import JetLines
from jetforge.jets.readers.containers.json_momenta import Keys
from jetforge.jets.readers.contents import Contents, look_into

COMPONENTS = ("px", "py", "pz", "E")
# What follows from the four-momentum and is left out, and what Jets or a dataset would mistake for something else.
_REDUNDANT = {"pt", "eta", "phi", "rap", "rapidity", "y", "m", "mass"}
_TAKEN = {"energy", "label", "weight", "e", "px", "py", "pz"}
_FIRST_ENTRY = re.compile(r"\[[ \t\r]*(\{[^{}]*\}|\[[^][]*\])")
_EMPTY_JET = re.compile(r"\[[ \t\r]*\]")
_MOST_KEYS = 32
_PROBE_ROWS = 200
# Numbers have six digits, and jets some hundred constituents.
_SUM_TOLERANCE = 1e-3
# Of the energy of the others, in most jets the first constituent has less than this, even if it is the hardest.
_LARGE_SHARE = 0.5
_LEAST_SLOPE = 1e-9


class LundNetReader(Reader):
    """Lists of four-momenta, of which the first may be that of the jet."""

    card = FormatCard(
        name="lundnet",
        title="LundNet samples (JetsGame), constituents",
        layout=(
            'Text, gzipped or not, in which every line is a jet in JSON: a list of objects `{"E":..., "px":..., '
            '"py":..., "pz":...}`, or of lists `[px, py, pz, E]`. A line that is a string belongs to a header. In the '
            "authors' sample of 500 jets (repository JetsGame/GroomRL, commit c33cb01), the one file of theirs that "
            "was looked at, the first entry of each line is the jet itself, and the others are its constituents. "
            "Whether it is follows from the sums, unless the option `first` says it; the jet then gives the fields "
            "`pt, eta, phi, y, mass, energy`."
        ),
        origin="Repository JetsGame/data on GitHub (Git LFS), folders train, valid, test; doi:10.5281/zenodo.2602515.",
        made=(
            "Pythia 8.223 at 14 TeV, tune 4C; pi0 and B hadrons do not decay. QCD dijets, WW and ttbar with hadronic "
            "decays; the two hardest anti-kt jets with R = 1.0 (R = 0.4 where the name says R04), |y| < 2.5 and pT "
            "above 200 GeV, 500 GeV or 2 TeV. `_parton` and `_hadron` are without multiparton interactions, the first "
            "without hadronisation too; `_delphes` is, by its name, after a detector simulation. 500,000 jets a file "
            "to train, 50,000 each to validate and to test."
        ),
        units="GeV.",
        licence="None found: the repository has no file with a licence.",
        citation="Dreyer and Qu, Jet tagging in the Lund plane with graph networks, arXiv:2012.08526.",
        traps=(
            "The first entry of a line is the sum of the others, in that sample; taken for a constituent, it doubles "
            "the jet.",
            "Numbers have six digits in that sample, so that masses of constituents are rounding, and the jet's own "
            "mass is off by GeV where it is far more energetic than heavy: the sum of the constituents has a better "
            "one.",
            "No class is stored: name it with the file, as in qcd=test_QCD_500GeV.json.gz.",
            "The files in the folder declusterings are Lund planes, not constituents.",
            "LundNet's own reader takes a damaged or cut file for a shorter one; here it is refused.",
            "What comes from a clone without Git LFS is a pointer of some 130 bytes.",
        ),
    )
    options: Mapping[str, Option] = {  # type: ignore[misc]
        "unit": unit_option(),
        "first": Option(
            "auto", "what the first entry of each line is; auto finds it by the sums", ("auto", "jet", "constituent")
        ),
    }

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether the first jet is a list of four-momenta."""
        return contents.container in ("gzip", "text") and _keys_of_first_entry(contents.text) is not None

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        keys = _keys_of_first_entry(look_into(path).text)
        if keys is None:
            raise self.error("its first lines are no lists of four-momenta with px, py, pz, E")
        self._keys = keys or COMPONENTS
        self._extra = self._extra_columns()
        self._lines = JetLines(path, Keys.of(self._keys, are_named=bool(keys)))
        self.num_rows = self._lines.count()
        self._has_jet = settings["first"] == "jet"
        if settings["first"] == "auto":
            try:
                self._has_jet = self._find_jet()
            except BaseException:
                self.close()
                raise

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of rows; see `Reader.read`."""
        counts, values = self._lines.read(start, stop)
        fields: dict[str, npt.NDArray[Any]] = {}
        if self._has_jet:
            fields = self._jet_fields(counts, values, start)
            is_constituent = np.ones(len(values), dtype=np.bool_)
            is_constituent[_starts(counts)] = False
            values = values[is_constituent]
            counts = counts - 1
        momenta = self._momenta(values)
        # An entry of zeros is padding.
        keep = np.any([component != 0 for component in momenta.values()], axis=0)
        columns = momenta | {name: values[:, place] for name, place in self._extra.items()}
        if not keep.all():
            jet = np.repeat(np.arange(len(counts)), counts)
            counts = np.bincount(jet[keep], minlength=len(counts))
            columns = {name: column[keep] for name, column in columns.items()}
        return Jets(offsets_of(counts), columns, fields)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def _extra_columns(self) -> dict[str, int]:
        """Return the places of numbers that are no momenta, by the names of their columns."""
        extra: dict[str, int] = {}
        for place, key in enumerate(self._keys):
            name = key.lower()
            if key in COMPONENTS or name in _REDUNDANT:
                continue
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in {*extra, *_TAKEN} or name.startswith("jet_"):
                raise self.error(f"its entries have a key {key!r}, which is no name of a column; rename it")
            extra[name] = place
        return extra

    def _momenta(self, values: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
        columns = (values[:, self._keys.index(name)] * self.to_gev for name in COMPONENTS)
        return dict(zip(("px", "py", "pz", "energy"), columns, strict=True))

    def _find_jet(self) -> bool:
        """Say whether the first entries of the first lines are the sums of the others."""
        counts, values = self._lines.read(0, min(self.num_rows, _PROBE_ROWS))
        # One entry alone says nothing; and two equal ones may be two constituents.
        first, others = self._first_and_others(counts[counts > 1], values[np.repeat(counts > 1, counts)])
        if len(first) and np.mean(_are_equal(first, others)) > 0.5:
            return True
        is_large = (first[:, 3] > _LARGE_SHARE * others[:, 3])[counts[counts > 1] > 2]
        if len(is_large) and np.mean(is_large) > 0.5:
            raise self.error(
                "the first entries of most lines are no sums of the others, but too large for constituents; say what "
                "they are, with --option first=jet or first=constituent"
            )
        return False

    def _first_and_others(
        self, counts: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the four-momentum of the first entry of each jet, and the sum of the others, (n_jets, 4) each."""
        momenta = np.stack(list(self._momenta(values).values()), axis=1)
        first = momenta[_starts(counts)]
        sums = np.add.reduceat(momenta, _starts(counts)) if len(counts) else first
        return first, sums - first

    def _jet_fields(
        self, counts: npt.NDArray[np.int64], values: npt.NDArray[np.float64], start: int
    ) -> dict[str, npt.NDArray[Any]]:
        if not counts.all():
            raise self.error("the line is empty; its first entry should be the jet", start + int(np.argmin(counts)))
        if self.settings["first"] == "auto":
            wrong = np.flatnonzero(~_are_equal(*self._first_and_others(counts, values)))
            if len(wrong):
                raise self.error(
                    "its first entry is not the sum of the others, as it is in other lines: damaged; if it need not "
                    "be, give --option first=jet", start + int(wrong[0]),
                )  # fmt: skip
        jets = values[_starts(counts)]
        px, py, pz, energy = self._momenta(jets).values()
        pt = np.hypot(px, py)
        right = (pt > _LEAST_SLOPE * np.abs(pz)) & (energy > np.abs(pz))
        if not right.all():
            raise self.error("the jet's energy is not above its pz, or its pT is 0", start + int(np.argmin(right)))
        mass2 = energy**2 - pt**2 - pz**2
        return {
            "pt": pt, "eta": np.arcsinh(pz / pt), "phi": np.arctan2(py, px), "y": np.arctanh(pz / energy),
            "mass": np.copysign(np.sqrt(np.abs(mass2)), mass2), "energy": energy,
            **{name: jets[:, place] for name, place in self._extra.items()},
        }  # fmt: skip


def _are_equal(first: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(first - others) <= _SUM_TOLERANCE * first[:, 3:]).all(axis=1))


def _starts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    starts: npt.NDArray[np.int64] = np.cumsum(counts) - counts
    return starts


def _keys_of_first_entry(text: str) -> tuple[str, ...] | None:
    """Return the keys of the first jet's first entry: () if it is a list, None if it is no four-momentum."""
    for line in text.split("\n"):
        line = line.strip(" \t\r")
        if not line or line.startswith('"') or _EMPTY_JET.fullmatch(line):
            continue
        found = _FIRST_ENTRY.match(line)
        try:
            entry = json.loads(found[1]) if found else None
        except ValueError:
            return None
        numbers = list(entry.values()) if isinstance(entry, dict) else entry
        if not isinstance(numbers, list) or not all(type(x) in (int, float) for x in numbers):
            return None
        if isinstance(entry, dict):
            return tuple(entry) if set(COMPONENTS) <= set(entry) and len(entry) <= _MOST_KEYS else None
        return () if len(numbers) == len(COMPONENTS) else None
    return None
