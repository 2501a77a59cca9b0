"""ROOT files through uproot, with one clear error for whatever is wrong in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetforge.errors import DataError, first_line
from jetforge.jets.readers.containers.limits import refuse_bomb

_RNTUPLE = "ROOT::RNTuple"


def open_file(path: Path) -> Any:
    """Open a ROOT file.

    Raises
    ------
    DataError
        If it is no whole ROOT file.
    """
    import uproot

    try:
        return uproot.open(path, num_workers=1)
    except Exception as error:  # uproot decodes bytes in Python: a damaged file raises anything
        raise DataError(f"{path}: not a whole ROOT file ({first_line(error)}); copy it again") from None


def names(path: Path) -> dict[str, str]:
    """Return the branches of all trees as ``tree/branch``, each with its type.

    Raises
    ------
    DataError
        If the file cannot be read, or holds an RNTuple and no tree.
    """
    found = {}
    with open_file(path) as file:
        try:
            classes: dict[str, str] = file.classnames(cycle=False)
            for name, kind in classes.items():
                if kind == "TTree" and "/" not in name:
                    branches = file[name].keys(recursive=True, full_paths=False)
                    found.update({f"{name}/{branch}": "branch" for branch in branches})
        except Exception as error:  # as above
            raise DataError(f"{path}: damaged: {first_line(error)}; copy it again") from None
    if "TTree" not in classes.values():
        for name, kind in classes.items():
            if kind == _RNTUPLE:
                raise _not_read(path, name)
    return found


def tree(file: Any, path: Path, name: str) -> Any:
    """Return a tree that the file can hold.

    Raises
    ------
    DataError
        If there is no such tree, it is an RNTuple, or it claims more entries than the file can hold.
    """
    try:
        found = file[name]
        if found.classname == _RNTUPLE:
            raise _not_read(path, name)
        entries = int(found.num_entries)
    except DataError:
        raise
    except Exception as error:  # as above
        raise DataError(f"{path}: the tree '{name}' cannot be read ({first_line(error)}); copy it again") from None
    # An entry takes at least a byte somewhere before compression.
    refuse_bomb(path, f"the tree '{name}' of {entries:,} entries", entries, path.stat().st_size)
    if entries < 0:
        raise DataError(f"{path}: the tree '{name}' claims {entries} entries: damaged")
    return found


def _not_read(path: Path, name: str) -> DataError:
    return DataError(
        f"{path}: holds an RNTuple '{name}', which is not read; write a TTree, with uproot: file.mktree(...)"
    )


def read_branches(found: Any, path: Path, branches: Sequence[str], start: int, stop: int) -> dict[str, ak.Array]:
    """Return branches for a range of entries, each as an awkward array of ``stop - start`` entries.

    Raises
    ------
    DataError
        If one cannot be read, is not there, or has another number of entries.
    """
    missing = [name for name in branches if name not in found]
    if missing:
        raise DataError(f"{path}: the tree '{found.name}' has no branch {', '.join(missing)}")
    arrays = {}
    for name in branches:
        try:
            branch = found[name]
            if int(branch.num_entries) != int(found.num_entries):
                raise DataError(
                    f"{path}: branch '{name}' has {branch.num_entries} entries, its tree {found.num_entries}: cut or "
                    "damaged"
                )
            array = branch.array(entry_start=start, entry_stop=stop, library="ak")
        except DataError:
            raise
        except Exception as error:  # as above
            raise DataError(
                f"{path}: entries {start} to {stop} of branch '{name}' cannot be read ({first_line(error)}); "
                "copy the file again"
            ) from None
        if len(array) != stop - start:
            raise DataError(
                f"{path}: branch '{name}' has {len(array)} of the entries {start} to {stop}: cut or damaged"
            )
        arrays[name] = array
    return arrays


def counts_of(array: ak.Array, path: Path, name: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the number of values of each entry of a jagged branch.

    Raises
    ------
    DataError
        If the branch is not jagged.
    """
    if array.ndim != 2:
        raise DataError(f"{path}: branch '{name}' is of type {array.type}, not a list of numbers an entry")
    return np.asarray(ak.num(array, axis=1), dtype=np.int64)


def read_flat(
    found: Any, path: Path, branches: Sequence[str], start: int, stop: int,
    expected: npt.NDArray[np.int64] | None = None, kinds: str = "iuf",
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:  # fmt: skip
    """Return jagged branches that all have the same number of values in each entry.

    Parameters
    ----------
    found, path, branches, start, stop
        As in `read_branches`; at least one branch.
    expected
        How many values each entry must have, int64 (stop - start,); as many as of the first branch if None.
    kinds
        Kinds of numpy types that are taken for numbers.

    Returns
    -------
    counts : int64 (stop - start,)
    flat : dict
        The values of each branch, entry after entry.

    Raises
    ------
    DataError
        As in `read_branches`; or if a branch is not jagged, not of numbers, or of other counts.
    """
    flat: dict[str, npt.NDArray[Any]] = {}
    for name, array in read_branches(found, path, branches, start, stop).items():
        counts = counts_of(array, path, name)
        expected = counts if expected is None else expected
        if not np.array_equal(counts, expected):
            row = int(np.flatnonzero(counts != expected)[0])
            raise DataError(
                f"{path}: row {start + row}: '{name}' has {counts[row]} values, others of its kind {expected[row]}: "
                "damaged"
            )
        flat[name] = ak.to_numpy(ak.flatten(array))
        if flat[name].dtype.kind not in kinds:
            raise DataError(f"{path}: branch '{name}' is of type {array.type}, not numbers")
    assert expected is not None
    return expected, flat
