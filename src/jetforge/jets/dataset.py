"""`Dataset`: a directory of stored jets, opened lazily and read by split, by part or as a stream of batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError
from jetforge.jets.classes import shown_classes
from jetforge.jets.jets import Jets
from jetforge.jets.manifest import MANIFEST_NAME, SPLITS, Manifest, Part
from jetforge.jets.storage import decode_part, sha256

UNFINISHED_NAME = "build.json"
# Parts read on threads while one is in use: checksum, decompression and kernels all work without the GIL.
_READ_AHEAD = 2


Block = TypeVar("Block")


@dataclass(frozen=True)
class BlocksOf(Generic[Block]):
    """What blocks of a dataset are made of: how a part becomes one, and how blocks are joined and chosen from.

    Attributes
    ----------
    make
        Makes it of the `Jets` of a part.
    size
        Says how many jets it holds.
    join
        Joins several, one after the other.
    choose
        Returns some of its jets, by a slice or by an array of indices.
    """

    make: Callable[[Jets], Block]
    size: Callable[[Block], int]
    join: Callable[[Sequence[Block]], Block]
    choose: Callable[[Block, slice | npt.NDArray[np.int64]], Block]


_JETS = BlocksOf[Jets](lambda jets: jets, len, Jets.concatenate, lambda jets, rows: jets[rows])


def open_dataset(path: str | Path) -> Dataset:
    """Open a dataset directory; no jet is read yet.

    Parameters
    ----------
    path
        The directory that holds `dataset.json`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If there is no whole dataset: none at all, an unfinished one, a missing or truncated part.

    Examples
    --------
    >>> import jetforge
    >>> dataset = jetforge.open("data/toptag")  # doctest: +SKIP
    >>> jets = dataset.read("test")  # doctest: +SKIP
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "a file, not the directory of a dataset" if folder.exists() else "no such directory"
        raise DataError(f"{folder}: {what}")
    if not (folder / MANIFEST_NAME).is_file():
        if (folder / UNFINISHED_NAME).is_file():
            raise DataError(f"{folder}: the dataset is unfinished; run the command that made it again to go on")
        raise DataError(f"{folder}: not a dataset: it has no {MANIFEST_NAME}")
    dataset = Dataset(folder, Manifest.read(folder))
    dataset.check_files()
    return dataset


class Dataset:
    """A directory of stored jets; see `open_dataset`.

    Attributes
    ----------
    path
        The directory.
    manifest
        What `dataset.json` says.
    limits
        How many jets of a split are used, the first ones, where it is not all of them; see `first`.
    """

    def __init__(self, path: Path, manifest: Manifest, limits: Mapping[str, int] | None = None) -> None:
        self.path = path
        self.manifest = manifest
        self.limits = dict(limits or {})
        self._verified: set[str] = set()

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names; a jet's label is an index into them."""
        return self.manifest.classes

    @property
    def labelled(self) -> bool:
        """Whether the jets say which class they are of."""
        return "label" in self.manifest.jet_fields

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that hold jets."""
        return tuple(split for split in self.manifest.parts if self.num_jets(split))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the checksums of all parts: equal for equal jets, wherever they lie."""
        parts = [f"{part.file} {part.sha256}" for split in self.manifest.parts.values() for part in split]
        return sha256("\n".join(parts).encode())

    def __repr__(self) -> str:
        sizes = ", ".join(f"{self.num_jets(s)} {s}" for s in self.manifest.parts)
        return f"<Dataset {self.path}: {shown_classes(self.classes)}; jets: {sizes}>"

    def present(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return those of the constituent columns that this dataset has."""
        return tuple(name for name in columns if name in self.manifest.constituent_fields)

    def first(self, split: str, num_jets: int) -> Dataset:
        """Return the same dataset with the first jets of a split alone, and nothing of the others.

        Raises
        ------
        DataError
            If the split holds fewer.
        """
        if not 0 < num_jets <= self.num_jets(split):
            raise DataError(
                f"{self.path}: {num_jets} jets of the split '{split}' are asked for, it holds {self.num_jets(split)}"
            )
        limited = Dataset(self.path, self.manifest, {**self.limits, split: num_jets})
        limited._verified = self._verified  # what was checked once is not checked again
        return limited

    def num_jets(self, split: str) -> int:
        """Return the number of jets in a split, without reading them."""
        return self.limits.get(split, self.manifest.num_jets(split))

    def parts(self, split: str) -> Sequence[Part]:
        """Return the parts of a split.

        Raises
        ------
        DataError
            If there is no such split, or no jets are in it.
        """
        if split not in (*SPLITS, *self.manifest.parts):
            raise DataError(f"{self.path}: unknown split '{split}'; there are {', '.join(SPLITS)}")
        if not self.num_jets(split):
            if not self.splits:
                raise DataError(f"{self.path}: no jets in split '{split}', nor in any other; make the dataset again")
            raise DataError(
                f"{self.path}: no jets in split '{split}'; take a split with jets ({', '.join(self.splits)}), "
                "or share the jets out anew: jetforge split"
            )
        parts = self.manifest.parts[split]
        return self._limited(parts, self.limits[split]) if split in self.limits else parts

    def _limited(self, parts: Sequence[Part], num_jets: int) -> Sequence[Part]:
        """Return the parts that hold the first jets; of the last one it counts those alone."""
        limited: list[Part] = []
        for part in parts:
            taken = min(part.jets, num_jets - sum(earlier.jets for earlier in limited))
            if taken <= 0:
                break
            limited.append(replace(part, jets=taken))
        return limited

    def check_files(self) -> None:
        """Check that every part is there with its full size; checksums are checked when a part is first read."""
        for parts in self.manifest.parts.values():
            for part in parts:
                path = self.path / part.file
                if not path.is_file():
                    raise DataError(f"{path}: the part is missing ({part.jets} jets); make the dataset again")
                size = path.stat().st_size
                if size != part.bytes:
                    raise DataError(
                        f"{path}: {size} bytes instead of {part.bytes}: truncated or overwritten; restore it"
                    )

    def verify(self) -> None:
        """Read every part and check its checksum and contents.

        Raises
        ------
        DataError
            Naming the first part that is not as it was written.
        """
        for split in self.splits:
            for index in range(len(self.parts(split))):
                self.read_part(split, index)

    def read_part(self, split: str, index: int, columns: Sequence[str] | None = None) -> Jets:
        """Read one part.

        Parameters
        ----------
        split, index
            Which one.
        columns
            Constituent columns wanted beside the four-momentum (``pid``, ``charge``, ...); None for all.

        Raises
        ------
        DataError
            If the file is not the one that was written, or breaks a rule; the message names file and row.
        """
        parts = self.parts(split)
        if not 0 <= index < len(parts):
            raise DataError(f"{self.path}: split '{split}' has parts 0 to {len(parts) - 1}, not {index}")
        part = parts[index]
        path = self.path / part.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        if part.file not in self._verified:
            if sha256(data) != part.sha256:
                raise DataError(f"{path}: checksum differs from dataset.json's: the file was changed; restore it")
            self._verified.add(part.file)
        jets = decode_part(data, str(path), columns)
        stored = self.manifest.parts[split][index].jets
        if len(jets) != stored:
            raise DataError(f"{path}: {len(jets)} jets instead of {stored}")
        self._check_labels(jets, path)
        return jets[: part.jets] if part.jets < stored else jets

    def read(self, split: str, columns: Sequence[str] | None = None, max_jets: int | None = None) -> Jets:
        """Read a whole split into memory, or its first `max_jets` jets."""
        taken: list[Jets] = []
        left = self.num_jets(split) if max_jets is None else max_jets
        for index in range(len(self.parts(split))):
            if left <= 0:
                break
            taken.append(self.read_part(split, index, columns)[:left])
            left -= len(taken[-1])
        return Jets.concatenate(taken)

    def blocks(
        self,
        split: str,
        *,
        multiple: int = 1,
        block_jets: int = 100_000,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        columns: Sequence[str] | None = None,
        blocks_of: BlocksOf[Any] | None = None,
    ) -> Generator[Any, None, None]:
        """Stream a split as blocks of about `block_jets` jets, every jet once, in bounded memory.

        Parameters
        ----------
        split
            Which one.
        multiple
            Every block but the last is a multiple of this many jets, so that batches need not cross blocks.
        block_jets
            Jets held at a time; at least one part is.
        shuffle
            Permute the order of the parts, and the rows within each block.
        seed, epoch
            What the permutation depends on, and nothing else.
        columns
            As in `read_part`.
        blocks_of
            What the blocks are made of, where not of `Jets`. It is made of each part on the thread that reads it.

        Yields
        ------
        Jets
            Or what `blocks_of` makes of them.
        """
        kind: BlocksOf[Any] = blocks_of or _JETS

        order = np.arange(len(self.parts(split)))
        random = np.random.default_rng([seed, epoch])
        if shuffle:
            random.shuffle(order)
        held: list[Any] = []
        num_held = 0
        make = partial(self._made_of_part, kind, split, columns)
        for position, part in enumerate(_ahead(make, order.tolist())):
            held.append(part)
            num_held += kind.size(part)
            last = position == len(order) - 1
            if not last and num_held < max(block_jets, multiple):
                continue
            whole = num_held if last else num_held // multiple * multiple
            block = kind.join(held)
            if shuffle:
                block = kind.choose(block, random.permutation(num_held))
            held = [kind.choose(block, slice(whole, None))] if whole < num_held else []
            num_held -= whole
            yield kind.choose(block, slice(whole))

    def _made_of_part(self, kind: BlocksOf[Block], split: str, columns: Sequence[str] | None, index: int) -> Block:
        return kind.make(self.read_part(split, index, columns))

    def batches(
        self, split: str, batch_size: int, *, shuffle: bool = False, seed: int = 0, epoch: int = 0,
        block_jets: int = 100_000, columns: Sequence[str] | None = None,
    ) -> Iterator[Jets]:  # fmt: skip
        """Stream a split as batches of `batch_size` jets (the last may be smaller); see `blocks`."""
        if batch_size < 1:
            raise DataError(f"a batch has at least one jet, not {batch_size}")
        for block in self.blocks(
            split,
            multiple=batch_size,
            block_jets=block_jets,
            shuffle=shuffle,
            seed=seed,
            epoch=epoch,
            columns=columns,
        ):
            for start in range(0, len(block), batch_size):
                yield block[start : start + batch_size]

    def _check_labels(self, jets: Jets, path: Path) -> None:
        if "label" not in jets.fields:
            return
        bad = np.flatnonzero((jets.label < 0) | (jets.label >= len(self.classes)))
        if len(bad):
            label = jets.label[bad[0]]
            raise DataError(f"{path}: row {bad[0]}: label {label} is none of the {len(self.classes)} classes")


def _ahead(make: Callable[[int], Block], order: Sequence[int]) -> Iterator[Block]:
    """Make things in an order, the next ones on threads while one is in use."""
    with ThreadPoolExecutor(_READ_AHEAD, thread_name_prefix="jetforge-read") as pool:
        ahead: deque[Future[Block]] = deque()
        try:
            for index in order:
                ahead.append(pool.submit(make, index))
                if len(ahead) > _READ_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
