"""`Jets`: the constituents of many jets and what is known of each jet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import awkward as ak
import numpy as np
import numpy.typing as npt
from numba import njit

from jetforge.errors import DataError
from jetforge.physics.flat import FlatJets, checked, flatten

FOUR_MOMENTUM = ("px", "py", "pz", "energy")


class Jets:
    """Many jets: ragged constituents and per-jet fields, all in memory.

    Parameters
    ----------
    offsets
        int64 (n_jets + 1,): jet i owns the constituents ``offsets[i]:offsets[i + 1]``.
    columns
        The constituents, each (n_constituents,): ``px, py, pz, energy`` in GeV (float64), and any others.
    fields
        Per-jet values, each (n_jets,): ``label``, ``weight``, ``pt`` ...

    Raises
    ------
    DataError
        If the lengths do not fit, or a four-momentum component is missing.

    Notes
    -----
    `Jets.from_constituents` makes one from an awkward array. Indexing with a slice, a mask or an index array gives
    the chosen jets; indexing with a name gives the per-jet field.
    """

    def __init__(
        self,
        offsets: npt.NDArray[np.int64],
        columns: Mapping[str, npt.NDArray[Any]],
        fields: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> None:
        self.offsets = np.ascontiguousarray(offsets, dtype=np.int64)
        self.columns = {
            name: np.ascontiguousarray(c, dtype=np.float64 if name in FOUR_MOMENTUM else _native(c))
            for name, c in columns.items()
        }
        self.fields = {name: np.asarray(f) for name, f in (fields or {}).items()}
        missing = [name for name in FOUR_MOMENTUM if name not in self.columns]
        if missing:
            raise DataError(f"constituents need px, py, pz and energy; {', '.join(missing)} missing")
        for name, column in self.columns.items():
            if len(column) != self.offsets[-1]:
                raise DataError(f"constituent column '{name}' has {len(column)} rows, the offsets {self.offsets[-1]}")
        for name, field in self.fields.items():
            if field.shape != (len(self),):
                raise DataError(f"jet field '{name}' has the shape {field.shape} for {len(self)} jets")
        _check_fields(self.fields)

    @classmethod
    def from_constituents(cls, constituents: ak.Array, **fields: npt.ArrayLike) -> Jets:
        """Make `Jets` from an awkward array, jets * var * record.

        Parameters
        ----------
        constituents
            Records with ``px, py, pz`` and ``energy`` or ``mass`` (or any names that `vector` knows), in GeV.
            Further fields (``pid``, ``charge``, ...) go along.
        **fields
            Per-jet values: ``label=...``, ``weight=...``.

        Raises
        ------
        DataError
            If a momentum is not finite or an energy negative; the message names the jet and the constituent.
        """
        flat = flatten(constituents)
        columns: dict[str, npt.NDArray[Any]] = dict(zip(FOUR_MOMENTUM, flat[1:], strict=True))
        packed = ak.to_packed(constituents)
        momentum_names = {"px", "py", "pz", "energy", "E", "e", "t", "mass", "m", "M", "tau", "pt", "rho", "eta",
                          "theta", "phi", "x", "y", "z"}  # fmt: skip
        for name in packed.fields:
            if name not in momentum_names:
                column = ak.to_numpy(ak.flatten(packed[name]), allow_missing=True)
                if np.ma.is_masked(column):
                    missing = int(np.flatnonzero(np.ma.getmaskarray(column))[0])
                    jet = int(np.searchsorted(flat.offsets, missing, side="right")) - 1
                    raise DataError(
                        f"jet {jet}, constituent {missing - flat.offsets[jet]}: {name} is missing (None); fill it"
                    )
                columns[name] = np.ma.getdata(column)
        return cls(flat.offsets, columns, {name: np.asarray(value) for name, value in fields.items()})

    @classmethod
    def concatenate(cls, parts: Sequence[Jets]) -> Jets:
        """Join several `Jets` in order; they must have the same columns and fields."""
        if not parts:
            raise DataError("no jets to join")
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        for part in parts[1:]:
            if part.columns.keys() != first.columns.keys() or part.fields.keys() != first.fields.keys():
                raise DataError("jets with different columns or fields cannot be joined")
        shifts = np.cumsum([0, *(p.offsets[-1] - p.offsets[0] for p in parts)])
        offsets = np.concatenate([[0], *(p.offsets[1:] + s for p, s in zip(parts, shifts[:-1], strict=True))])
        columns = {name: np.concatenate([p.columns[name] for p in parts]) for name in first.columns}
        fields = {name: np.concatenate([p.fields[name] for p in parts]) for name in first.fields}
        return cls(offsets, columns, fields)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"<Jets: {len(self)} jets, {self.offsets[-1]} constituents, fields {', '.join(self.fields) or '-'}>"

    @overload
    def __getitem__(self, key: str) -> npt.NDArray[Any]: ...
    @overload
    def __getitem__(self, key: slice | npt.NDArray[Any]) -> Jets: ...

    def __getitem__(self, key: str | slice | npt.NDArray[Any]) -> Jets | npt.NDArray[Any]:
        if isinstance(key, str):
            if key not in self.fields:
                raise DataError(f"jets have no field '{key}'; there are: {', '.join(self.fields) or 'none'}")
            return self.fields[key]
        if isinstance(key, slice) and key.step in (None, 1):
            return self._contiguous(*key.indices(len(self))[:2])
        if not isinstance(key, slice) and np.ndim(key) == 0:
            raise DataError(f"jets[{key}]: choose jets by a slice, such as jets[0:1], a mask or an array of indices")
        return self._gather(np.arange(len(self))[key])

    @property
    def constituents(self) -> ak.Array:
        """The constituents as jets * var * record with `vector` behaviour (``Momentum4D``), without a copy.

        A stored mass is left out: `vector` derives it from the energy, and takes one of the two only.
        """
        import vector

        vector.register_awkward()
        names = [name for name in self.columns if name != "mass"]
        content = ak.contents.RecordArray(
            [ak.contents.NumpyArray(self.columns[name]) for name in names],
            names,
            parameters={"__record__": "Momentum4D"},
        )
        return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(self.offsets), content))

    @property
    def flat(self) -> FlatJets:
        """Offsets and four-momenta as flat arrays for kernels, without a copy.

        Raises
        ------
        DataError
            If a momentum is not finite or an energy negative: kernels rely on it.
        """
        return checked(self.unchecked_flat)

    @property
    def unchecked_flat(self) -> FlatJets:
        """The same without the check, for who checks them otherwise."""
        return FlatJets(self.offsets, *(self.columns[name] for name in FOUR_MOMENTUM))

    @property
    def label(self) -> npt.NDArray[np.int64]:
        """The class index of each jet.

        Raises
        ------
        DataError
            If the jets carry no labels.
        """
        if "label" not in self.fields:
            raise DataError("the jets have no labels; they can be scored, not trained on or measured")
        return self["label"].astype(np.int64, copy=False)

    @cached_property
    def weight(self) -> npt.NDArray[np.float64]:
        """The weight of each jet; ones where the source has none."""
        if "weight" not in self.fields:
            return np.ones(len(self))
        return self.fields["weight"].astype(np.float64, copy=False)

    def _contiguous(self, start: int, stop: int) -> Jets:
        stop = max(start, stop)
        low, high = int(self.offsets[start]), int(self.offsets[stop])
        return Jets(
            self.offsets[start : stop + 1] - low,
            {name: column[low:high] for name, column in self.columns.items()},
            {name: field[start:stop] for name, field in self.fields.items()},
        )

    def _gather(self, rows: npt.NDArray[np.int64]) -> Jets:
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(np.diff(self.offsets)[rows], out=offsets[1:])
        columns = {}
        for name, column in self.columns.items():
            columns[name] = np.empty(offsets[-1], dtype=column.dtype)
            take_runs(_as_bits(column), self.offsets, rows, offsets, _as_bits(columns[name]))
        return Jets(offsets, columns, {name: field[rows] for name, field in self.fields.items()})


def _native(column: npt.ArrayLike) -> np.dtype[Any]:
    """Return the type of a column of numbers in this machine's order of bytes."""
    return np.asarray(column).dtype.newbyteorder("=")


def _as_bits(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return numbers as whole numbers of the same size: to a copy their type is all the same."""
    return column.view(f"u{column.dtype.itemsize}")


@njit(cache=True, nogil=True)
def take_runs(column: Any, offsets: Any, jets: Any, new_offsets: Any, out: Any) -> None:
    """Copy the constituents of chosen jets, ``offsets[j]`` to ``offsets[j + 1]``, one jet after the other."""
    for k in range(len(jets)):
        first, to, end = offsets[jets[k]], new_offsets[k], new_offsets[k + 1]
        # A loop over two slices becomes wide copies; one over two offsets, or an assignment of slices, does not.
        source, target = column[first : first + end - to], out[to:end]
        for i in range(len(target)):
            target[i] = source[i]


def _check_fields(fields: Mapping[str, npt.NDArray[Any]]) -> None:
    label, weight = fields.get("label"), fields.get("weight")
    if label is not None and len(label) and (label.dtype.kind not in "iu" or label.min() < 0):
        raise DataError("labels are the numbers of classes: integers from 0")
    if weight is not None and (weight.dtype.kind not in "iuf" or not np.isfinite(weight).all()):
        raise DataError("weights are finite numbers")
