"""Files to be converted: what is in each, whether they go together, and their checksums."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.classes import UNLABELLED, background_first
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.readers import open_reader, recognise
from jetforge.jets.readers.base import Reader

_PROBE_ROWS = 200
# Fewer jets say nothing of the units of a file.
LEAST_JETS = 100
_MOST_RUNS = 1000
_SAMPLE = 64 << 10
# Stands for the splits that a file states row by row.
BY_ROW = "stated"
# Energies (GeV) that a typical jet of a file may have: to that of a beam, of the LHC and of planned colliders.
_JETS_OF_THE_LHC = (5.0, 7000.0)
_JETS_OF_A_GIVEN_UNIT = (1.0, 50_000.0)
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Source:
    """A file to be converted, and the class of its jets where the file has no labels."""

    path: Path
    class_name: str | None = None

    @classmethod
    def parse(cls, text: str | Path) -> Source:
        """Return the source that ``FILE`` or ``CLASS=FILE`` names.

        Raises
        ------
        JetforgeError
            If the class or the file is left empty, or what is named lies elsewhere than in the file system.
        """
        if "://" in str(text):
            raise JetforgeError(f"{text}: only files of this machine are read; fetch it first")
        if isinstance(text, Path) or Path(text).exists() or "=" not in text:
            return cls(Path(text))
        class_name, _, path = (part.strip() for part in text.partition("="))
        if not class_name or not path:
            missing = "class before" if not class_name else "file after"
            raise JetforgeError(f"'{text}': there is no {missing} the '='; write CLASS=FILE without spaces")
        return cls(Path(path), class_name)


@dataclass(frozen=True)
class Found:
    """What a first look into a file finds."""

    format: str
    num_rows: int
    part_rows: int
    rows_are: str
    classes: tuple[str, ...]
    columns: Mapping[str, str]
    fields: Mapping[str, str]
    labels: tuple[int, ...]
    stated: str | None
    """The split that the file says its jets are for, `BY_ROW` if not the same for all; None where it says nothing."""
    size: int
    changed: int
    """Time of the last change, in ns."""


def look(path: str, format: str | None, settings: Mapping[str, Any]) -> Found:  # noqa: A002
    """Find out what a file holds, from its first and last rows.

    Raises
    ------
    DataError
        If it cannot be read, is of no known format, or its momenta are in other units than they should be.
    """
    file = Path(path)
    try:
        status = file.stat()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None
    name = format or recognise(file)
    with open_reader(file, name, settings) as reader:
        if reader.num_rows < 0:
            raise DataError(f"{file}: claims {reader.num_rows} rows: damaged")
        first = reader.read(0, min(reader.num_rows, _PROBE_ROWS))
        last = reader.read(max(reader.num_rows - _PROBE_ROWS, 0), reader.num_rows)
        check_scale(Jets.concatenate([first, last]), reader)
        stated = [s for s in map(reader.stated_splits, (first, last)) if s is not None]
        splits = sorted({SPLITS[number] for numbers in stated for number in numbers.tolist()})
        labels = {int(x) for jets in (first, last) if "label" in jets.fields for x in np.unique(jets.label)}
        return Found(
            name, reader.num_rows, reader.part_rows, reader.rows_are, reader.classes,
            {c: str(v.dtype) for c, v in first.columns.items()},
            {f: str(v.dtype) for f, v in first.fields.items() if f not in reader.passing_fields},
            tuple(sorted(labels)), None if not splits else splits[0] if len(splits) == 1 else BY_ROW,
            status.st_size, status.st_mtime_ns,
        )  # fmt: skip


def stated_runs(path: str, format: str, settings: Mapping[str, Any]) -> list[tuple[int, int, int]] | None:  # noqa: A002
    """Return which rows of a file say that they are for which split: runs (start, stop, number of the split).

    None where there are more than a thousand runs, or rows that are no single jet.
    """
    runs: list[tuple[int, int, int]] = []
    with open_reader(path, format, settings) as reader:
        for start in range(0, reader.num_rows, reader.part_rows):
            stop = min(start + reader.part_rows, reader.num_rows)
            numbers = reader.stated_splits(reader.read(start, stop))
            if numbers is None or len(numbers) != stop - start:
                return None
            edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
            for low, high in itertools.pairwise(edges):
                if runs and runs[-1][2] == numbers[low]:
                    runs[-1] = (runs[-1][0], start + high, runs[-1][2])
                else:
                    runs.append((start + low, start + high, int(numbers[low])))
            if len(runs) > _MOST_RUNS:
                return None
    return runs


def sample(path: Path) -> str:
    """Return a SHA-256 of the length of a file and of places in it: other jets give another."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for place in np.linspace(0, max(size - _SAMPLE, 0), 16).astype(int).tolist():
            file.seek(place)
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def check_scale(jets: Jets, reader: Reader, least: int = 1) -> None:
    """Notice momenta in MeV that should be in GeV, and the other way round, among at least so many jets.

    A jet cannot have more energy than a beam of the LHC, and hardly anybody stores jets below 5 GeV. Where the user
    has said what the unit is, jets of softer and of future collisions are believed, but still not everything.

    Raises
    ------
    DataError
        If half of the jets are outside that range.
    """
    if reader.relative or len(jets) == 0:
        return
    jets = jets[: 2 * _PROBE_ROWS]
    counts = np.diff(jets.offsets)
    jet = np.repeat(np.arange(len(jets)), counts)
    energies = np.bincount(jet, jets.columns["energy"], len(jets))[counts > 0]
    energies = energies[np.isfinite(energies)]  # what is not is refused with its row
    if len(energies) < least:
        return
    typical = float(np.median(energies))
    softest, hardest = _JETS_OF_A_GIVEN_UNIT if reader.unit_is_given else _JETS_OF_THE_LHC
    if softest <= typical <= hardest:
        return
    large = typical > hardest
    others = {"GeV": ("MeV", "TeV"), "MeV": ("keV", "GeV")}[reader.unit]
    likely = others[0] if large else others[1]
    can_be_set = "unit" in reader.settings
    cures = [f"give --option unit={likely}"] if can_be_set and likely in ("GeV", "MeV") else ["scale its momenta"]
    if can_be_set and not reader.unit_is_given:
        cures.append(f"if it is in {reader.unit}, say so with --option unit={reader.unit}")
    what = "more than a beam of the LHC" if large and not reader.unit_is_given else "which no jets have"
    shown = f"{typical:,.0f}" if large else f"{typical:.3g}"
    raise DataError(
        f"{reader.path}: a typical jet has an energy of {shown} GeV, {what}: the file is probably in {likely}, not in "
        f"{reader.unit}: {'; '.join(cures)}"
    )


def check_stated_pt(jets: Jets, pt: npt.NDArray[np.float64], reader: Reader) -> None:
    """Notice a jet field ``pt`` in other units than the constituents, whose sums have `pt`.

    Raises
    ------
    DataError
        If half of at least a hundred jets are off by more than a factor of 50.
    """
    if reader.relative or "pt" not in jets.fields:
        return
    with np.errstate(all="ignore"):
        ratios = jets.fields["pt"] / pt
    ratios = ratios[np.isfinite(ratios)]
    if len(ratios) >= LEAST_JETS and not 0.02 <= (typical := float(np.median(ratios))) <= 50:
        raise DataError(
            f"{reader.path}: the stated pT of a typical jet is {typical:.3g} times that of the sum of its "
            "constituents: the two are in different units"
        )


def common_classes(sources: Sequence[Source], found: Sequence[Found]) -> tuple[str, ...]:
    """Return the classes of a dataset made of these files, background first.

    Raises
    ------
    JetforgeError
        If some files state their classes and others do not, or they state different ones.
    """
    for source, one in zip(sources, found, strict=True):
        if source.class_name is not None and one.classes:
            raise JetforgeError(
                f"{source.path}: has labels of its own ({', '.join(one.classes[:4])}); "
                f"name it without '{source.class_name}='"
            )
    named = [source.class_name for source, one in zip(sources, found, strict=True) if not one.classes]
    stated = {one.classes for one in found if one.classes}
    if len(stated) > 1:
        shown = "; ".join(", ".join(classes[:4]) for classes in sorted(stated))
        raise JetforgeError(f"the files have different classes ({shown}): convert them apart")
    if stated and named:
        without = next(s.path for s, one in zip(sources, found, strict=True) if not one.classes)
        raise JetforgeError(f"{without}: has no labels, other files have: convert them apart")
    if stated:
        return stated.pop()
    if all(name is None for name in named):
        return (UNLABELLED,)
    if None in named:
        without = next(s.path for s in sources if s.class_name is None)
        raise JetforgeError(f"{without}: has no labels and no class; write CLASS={without}")
    # The usual backgrounds come first, the others in the order in which they are named.
    return background_first(name for name in named if name is not None)


def common_columns(sources: Sequence[Source], found: Sequence[Found]) -> tuple[list[str], list[str]]:
    """Return the constituent columns and jet fields that all files have.

    Raises
    ------
    JetforgeError
        If they differ: nothing is left out silently.
    """
    first = found[0]
    for source, one in zip(sources, found, strict=True):
        for ours, theirs, what in (
            (first.columns, one.columns, "constituent columns"),
            (first.fields, one.fields, "jet fields"),
        ):
            different = sorted(set(ours.items()) ^ set(theirs.items()))
            if different:
                raise JetforgeError(
                    f"{source.path}: its {what} differ from those of {sources[0].path} in {different[0][0]}; "
                    "convert them apart"
                )
    return list(first.columns), list(first.fields)


def check_split(name: str) -> None:
    """Refuse what is no split.

    Raises
    ------
    JetforgeError
        If it is none of train, val, test and `BY_ROW`.
    """
    if name not in (*SPLITS, BY_ROW):
        raise JetforgeError(
            f"there is no split '{name}'; there are {', '.join(SPLITS)}, and {BY_ROW}: what each row says"
        )


class Checksums:
    """SHA-256 of files, computed in a thread while other work goes on.

    Parameters
    ----------
    paths
        The files. Where ``FILE.sha256`` lies beside one, in the form of ``sha256sum``, it is what the file must have.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(dict.fromkeys(paths))
        self._found: dict[Path, str] = {}
        self._failed: JetforgeError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._compute, daemon=True)
        self._thread.start()

    def wait(self) -> dict[Path, str]:
        """Return the checksum of each file.

        Raises
        ------
        DataError
            If a file cannot be read, or has not the checksum that stands beside it.
        """
        self._thread.join()
        if self._failed is not None:
            raise self._failed
        return self._found

    def stop(self) -> None:
        """End the work early."""
        self._stop.set()
        self._thread.join()

    def _compute(self) -> None:
        try:
            for path in self._paths:
                digest = hashlib.sha256()
                with path.open("rb") as file:
                    while (block := file.read(_BLOCK)) and not self._stop.is_set():
                        digest.update(block)
                self._found[path] = digest.hexdigest()
                _compare(path, digest.hexdigest())
        except JetforgeError as error:
            self._failed = error
        except OSError as error:
            self._failed = DataError(f"{error.filename}: cannot be read: {error.strerror}")


def _compare(path: Path, checksum: str) -> None:
    beside = path.with_name(f"{path.name}.sha256")
    if not beside.is_file():
        return
    wanted = beside.read_text(errors="replace").split()
    if not wanted or wanted[0].lower() != checksum:
        raise DataError(f"{path}: its SHA-256 is not the one in {beside.name}: damaged or changed; fetch it again")
