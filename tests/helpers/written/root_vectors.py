"""ROOT trees with branches of `std::vector`, as ROOT itself writes them: uproot reads such branches but writes none."""

import datetime as dt
import struct
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from uproot.models import TBranch, TTree

TYPES = {"f4": ("F", "float"), "i4": ("I", "int"), "b1": ("O", "bool"), "f8": ("D", "double")}
ALLOW_BYTE_COUNT = 0x40000000
NEW_CLASS = 0xFFFFFFFF
EMPTY_ARRAY = b"@\x00\x00\x15\x00\x03\x00\x01\x00\x00\x00\x00\x03\x00\x00\x00" + bytes(9)
NO_FEATURES = b"@\x00\x00\x07\x00\x00\x1a\xa1/\x10\x00"
VECTOR_VERSION = 9


def write_tree(
    path: Path, name: str, arrays: Mapping[str, ak.Array | np.ndarray], *, compression: uproot.compression.Compression,
    basket: int = 25,
) -> Path:  # fmt: skip
    """Write arrays as the branches of a tree, jagged ones as `std::vector`, with so many entries in a basket."""
    with uproot.recreate(path, compression=compression) as file:
        branches = [
            _branch(file.file.sink, file._cascading, name, b, a, compression, basket) for b, a in arrays.items()
        ]
        raw = _tree(name, len(next(iter(arrays.values()))), branches)
        file._cascading.add_object(file.file.sink, "TTree", name, "", raw, len(raw), big=True)
    return path


def _branch(
    sink: Any, directory: Any, tree: str, name: str, array: Any, compression: Any, length: int
) -> tuple[Any, ...]:
    jagged, free = array.ndim == 2, directory.freesegments
    flat = np.asarray(ak.flatten(array) if jagged else array)
    counts = np.asarray(ak.num(array)) if jagged else np.ones(len(array), int)
    edges = [*range(0, len(array), length), len(array)]
    places, sizes, total, zipped = [], [], 0, 0
    at = np.concatenate([[0], np.cumsum(counts)])
    for start, stop in pairwise(edges):
        values = flat[at[start] : at[stop]]
        key = [uproot.serialization.string(text) for text in ("TBasket", name, tree)]
        key_length = 34 + sum(map(len, key)) + 19
        data, ends = _entries(values, counts[start:stop]) if jagged else (_big_endian(values), None)
        last = key_length + len(data)
        if ends is not None:
            offsets = np.concatenate([[key_length], key_length + ends[:-1], [0]]).astype(">i4")
            data += struct.pack(">i", len(offsets)) + offsets.tobytes()
        packed = uproot.compression.compress(data, compression)
        place = free.allocate(key_length + len(packed), dry_run=False)
        head = struct.pack(
            ">ihiIhhqq", key_length + len(packed), 1004, len(data),
            uproot._util.datetime_to_code(dt.datetime(2022, 6, 6)), key_length, 0, place, directory.key.location,
        )  # fmt: skip
        tail = struct.pack(">Hiiii", 3, 32000, stop - start + 2 if jagged else flat.itemsize, stop - start, last)
        sink.write(place, head + b"".join(key) + tail + b"\x00" + packed)
        free.write(sink)
        sink.set_file_length(free.fileheader.end)
        places.append(place)
        sizes.append(key_length + len(packed))
        total, zipped = total + key_length + len(data), zipped + key_length + len(packed)
    return name, jagged, flat.dtype.str[1:], len(array), places, sizes, edges, total, zipped


def _entries(values: np.ndarray, counts: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Return the bytes of vectors, each after the 10 bytes of its header, and where they end."""
    pieces, at = [], 0
    for count in counts.tolist():
        body = _big_endian(values[at : at + count])
        pieces.append(struct.pack(">IHI", ALLOW_BYTE_COUNT | (len(body) + 6), VECTOR_VERSION, count) + body)
        at += count
    return b"".join(pieces), np.cumsum([len(piece) for piece in pieces])


def _big_endian(values: np.ndarray) -> bytes:
    return values.astype(values.dtype.newbyteorder(">")).tobytes()


def _counted(version: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">IH", ALLOW_BYTE_COUNT | (len(body) + 2), version) + body


def _any(cls: str, body: bytes) -> bytes:
    tag = struct.pack(">I", NEW_CLASS) + cls.encode() + b"\x00" + body
    return struct.pack(">I", ALLOW_BYTE_COUNT | len(tag)) + tag


def _named(name: str, title: str, bits: int) -> bytes:
    texts = [uproot.serialization.string(text) for text in (name, title)]
    return _counted(1, struct.pack(">HII", 1, 0, 0x03000000 | bits), *texts)


def _objects(items: list[bytes]) -> bytes:
    return _counted(3, b"\x00\x01\x00\x00\x00\x00\x03\x00\x00\x00\x00", struct.pack(">ii", len(items), 0), *items)


def _one_branch(
    name: str, jagged: bool, code: str, entries: int, places: list[int], sizes: list[int], edges: list[int],
    total: int, zipped: int,
) -> bytes:  # fmt: skip
    letter, kind = TYPES[code]
    size, unsigned = int(code[1:]), False
    leaf = _counted(
        2, _named(name, name, 0), struct.pack(">iii??", 1, 0 if jagged else size, 0, False, unsigned), bytes(4)
    )
    if jagged:
        leaf = _any("TLeafElement", _counted(1, leaf, struct.pack(">ii", -1, -1)))
    else:
        leaf = _any(f"TLeaf{letter}", _counted(1, leaf, bytes(2 * size)))
    number = len(places)
    branch = _counted(
        13, _named(name, name if jagged else f"{name}/{letter}", 0x00400000), b"@\x00\x00\x06\x00\x02\x00\x00\x03\xe9",
        TBranch._tbranch13_format1.pack(404, 32000, 1000 if jagged else 0, number, entries), NO_FEATURES,
        TBranch._tbranch13_format2.pack(0, number + 1, 0, entries, 0, total, zipped),
        EMPTY_ARRAY, _objects([leaf]), EMPTY_ARRAY,
        b"\x01", np.array([*sizes, 0], ">i4").tobytes(), b"\x01", np.array(edges, ">i8").tobytes(),
        b"\x01", np.array([*places, 0], ">i8").tobytes(), b"\x00",
    )  # fmt: skip
    if not jagged:
        return _any("TBranch", branch)
    names = [uproot.serialization.string(text) for text in (f"vector<{kind}>", "", "")]
    element = TBranch._tbranchelement10_format1.pack(0, 6, -1, 0, -1, 0)
    return _any("TBranchElement", _counted(10, branch, *names, element, bytes(8)))


def _tree(name: str, entries: int, branches: list[tuple[Any, ...]]) -> bytes:
    looks = b"@\x00\x00\x08\x00\x02\x02Z\x00\x01\x00\x01@\x00\x00\x06\x00\x02\x00\x00\x03\xe9" + (
        b"@\x00\x00\n\x00\x02\x00\x01\x00\x01?\x80\x00\x00"
    )
    total, zipped = sum(branch[-2] for branch in branches), sum(branch[-1] for branch in branches)
    numbers = TTree._ttree20_format1.pack(
        entries, total, zipped, 0, zipped, 1.0, 0, 25, 0, 1000, 0, 10**12, 10**12, 0, -300000000, -30000000, 1000000
    )
    return _counted(
        20, _named(name, name, 0), looks, numbers, b"\x00\x00", NO_FEATURES,
        _objects([_one_branch(*branch) for branch in branches]), EMPTY_ARRAY, bytes(28),
    )  # fmt: skip
