"""One part of a dataset: Parquet bytes from jets and back."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import DataError, first_line
from jetforge.jets.jets import FOUR_MOMENTUM, Jets

# Stored instead of the energy: four float32 components of a fast particle lose its mass.
_STORED_MOMENTUM = ("px", "py", "pz", "mass")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def stored_columns(names: Sequence[str]) -> list[str]:
    """Return the stored constituent columns for jets with the columns `names`: mass instead of energy."""
    return [*_STORED_MOMENTUM, *(n for n in names if n not in ("px", "py", "pz", "energy", "mass"))]


def encode_part(jets: Jets) -> bytes:
    """Return jets as the bytes of a Parquet file; equal jets give equal bytes.

    Momenta are stored as ``px, py, pz, mass`` in float32 (GeV); the mass of a spacelike constituent is negative, as in
    ROOT. A column ``mass`` that the jets carry is taken as it is; otherwise it comes from the four-momentum.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = dict(jets.columns)
    energy = columns.pop("energy")
    if "mass" not in columns:
        columns["mass"] = np.empty(len(energy), dtype=np.float32)
        _fill_masses(columns["px"], columns["py"], columns["pz"], energy, columns["mass"])
    offsets = pa.array(jets.offsets.astype(np.int32))
    arrays: dict[str, Any] = {}
    for name in stored_columns(list(columns)):
        column = columns[name].astype(np.float32, copy=False) if name in _STORED_MOMENTUM else columns[name]
        values = pa.array(column)
        # Nothing is ever missing: said so, a reader need not look for it.
        kind = pa.list_(pa.field("element", values.type, nullable=False))
        arrays[name] = pa.ListArray.from_arrays(offsets, values, type=kind)
    for name, field in jets.fields.items():
        if field_column(name) in arrays:
            raise DataError(f"'{name}' is both a jet field and a constituent column; rename one of them")
        arrays[field_column(name)] = pa.array(field)
    schema = pa.schema([pa.field(name, array.type, nullable=False) for name, array in arrays.items()])
    table = pa.table(list(arrays.values()), schema=schema)
    leaves = {n: f"{n}.list.element" if isinstance(a, pa.ListArray) else n for n, a in arrays.items()}
    floats = [leaves[n] for n, a in arrays.items() if pa.types.is_floating(getattr(a.type, "value_type", a.type))]
    others = [leaf for leaf in leaves.values() if leaf not in floats]
    sink = io.BytesIO()
    pq.write_table(
        table, sink, compression="zstd", use_dictionary=others, use_byte_stream_split=floats, store_schema=False,
        row_group_size=1 << 20,
    )  # fmt: skip
    return sink.getvalue()


@njit(cache=True, nogil=True)
def _fill_masses(px: Any, py: Any, pz: Any, energy: Any, mass: Any) -> None:
    for i in range(len(px)):
        mass2 = (energy[i] + pz[i]) * (energy[i] - pz[i]) - px[i] * px[i] - py[i] * py[i]
        mass[i] = np.sqrt(mass2) if mass2 >= 0 else -np.sqrt(-mass2)


def decode_part(data: bytes, name: str, columns: Sequence[str] | None = None) -> Jets:
    """Return the jets in the bytes of a part.

    Parameters
    ----------
    data
        The whole file.
    name
        What to call the file in an error.
    columns
        Constituent columns wanted beside the four-momentum; None for all of them, the mass among them.

    Raises
    ------
    DataError
        If the file is no whole Parquet file of jets, or a momentum is not finite.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        schema = file.schema_arrow
        ragged = [field.name for field in schema if pa.types.is_list(field.type)]
        flat = [field.name for field in schema if field.name not in ragged]
        missing = [c for c in (*_STORED_MOMENTUM, *(columns or ())) if c not in ragged]
        if missing:
            raise DataError(f"{name}: no constituent column {', '.join(missing)}; there are: {', '.join(ragged)}")
        wanted = stored_columns(ragged if columns is None else columns)
        table = file.read(columns=[*wanted, *flat], use_threads=False).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: not a whole Parquet file ({first_line(error)}); make it again") from None
    offsets, arrays = _ragged(table, wanted, name)
    fields = {_field_name(n): _values(table[n], name, n) for n in flat}
    stored = [arrays.pop(n) for n in _STORED_MOMENTUM]
    momenta = np.empty((4, len(stored[0])))
    if not _form_momenta(*stored, *momenta):
        raise _unphysical(stored, offsets, name)
    ordered: dict[str, npt.NDArray[Any]] = dict(zip(FOUR_MOMENTUM, momenta, strict=True))
    if columns is None or "mass" in columns:
        ordered["mass"] = stored[3].astype(np.float64)
    return Jets(offsets, {**ordered, **arrays}, fields)


@njit(cache=True, nogil=True)
def _form_momenta(
    stored_px: Any, stored_py: Any, stored_pz: Any, stored_mass: Any, px: Any, py: Any, pz: Any, energy: Any
) -> bool:
    """Fill in px, py, pz and energy; return whether all of them are physical."""
    broken = 0
    for i in range(len(px)):
        x, y, z = np.float64(stored_px[i]), np.float64(stored_py[i]), np.float64(stored_pz[i])
        mass = np.float64(stored_mass[i])
        energy2 = x * x + y * y + z * z + mass * abs(mass)
        px[i], py[i], pz[i] = x, y, z
        energy[i] = np.sqrt(energy2)
        broken += not (0.0 <= energy2 < np.inf)
    return broken == 0


def field_column(name: str) -> str:
    """Return the stored column of a jet field: a jet's own px, mass ... may not be taken for its constituents'."""
    return f"jet_{name}" if name not in ("label", "weight") else name


def _field_name(column: str) -> str:
    return column.removeprefix("jet_")


def _ragged(table: Any, wanted: list[str], name: str) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    offsets: npt.NDArray[np.int64] | None = None
    arrays = {}
    for column in wanted:
        chunked = table[column]
        array = chunked.chunk(0) if chunked.num_chunks else chunked.combine_chunks()
        if array.null_count:
            raise DataError(f"{name}: column '{column}' has {array.null_count} missing lists")
        own = np.asarray(array.offsets, dtype=np.int64) if len(array) else np.zeros(1, dtype=np.int64)
        arrays[column] = _values(array.flatten(), name, column)
        own = own - own[0]
        if offsets is None:
            offsets = own
        elif not np.array_equal(offsets, own):
            row = (
                int(np.flatnonzero(offsets != own)[0]) - 1 if len(offsets) == len(own) else min(len(offsets), len(own))
            )
            raise DataError(f"{name}: row {row}: '{column}' has not as many constituents as '{wanted[0]}'")
    assert offsets is not None
    return offsets, arrays


def _values(array: Any, name: str, column: str) -> npt.NDArray[Any]:
    if array.null_count:
        raise DataError(f"{name}: column '{column}' has {array.null_count} missing values")
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _unphysical(stored: Sequence[npt.NDArray[Any]], offsets: npt.NDArray[np.int64], name: str) -> DataError:
    """Return the error that says which constituent is none, and why."""
    given = dict(zip(_STORED_MOMENTUM, (column.astype(np.float64) for column in stored), strict=True))
    given["energy squared"] = sum(given[n] ** 2 for n in ("px", "py", "pz")) + given["mass"] * np.abs(given["mass"])
    wrong = {n: np.flatnonzero(~np.isfinite(v) | ((n == "energy squared") & (v < 0))) for n, v in given.items()}
    column, first = next((n, int(rows[0])) for n, rows in wrong.items() if len(rows))
    row = int(np.searchsorted(offsets, first, side="right")) - 1
    where = f"{name}: row {row}, constituent {first - offsets[row]}"
    return DataError(f"{where}: {column} is {given[column][first]:g}, not a physical value; make the file again")
