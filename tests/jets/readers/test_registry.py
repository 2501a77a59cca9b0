"""What is said of files of no known format."""

import gzip
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest

from jetforge.errors import DataError
from jetforge.jets.readers import open_reader, recognise

TOPTAG = {f"{name}_{i}": [5.0 - i] for i in range(2) for name in ("E", "PX", "PY", "PZ")}


@pytest.mark.parametrize("format", ["fixed", "table"])
@pytest.mark.parametrize("key", ["df", "a/b"])
def test_the_key_of_a_frame_is_named(tmp_path, format, key):  # noqa: A002
    path = tmp_path / "file.h5"
    pd.DataFrame(TOPTAG).to_hdf(path, key=key, format=format)
    with pytest.raises(DataError) as caught:
        recognise(path)
    assert str(caught.value) == (
        f"{path}: of none of the known formats; it is a pandas frame under the key '{key}'; the top-tagging layout has "
        "the key 'table': write it with to_hdf(FILE, key='table')"
    )


def test_the_columns_of_another_frame_are_named(tmp_path):
    path = tmp_path / "file.h5"
    pd.DataFrame({"pt": [1.0], "eta": [2.0]}).to_hdf(path, key="table")
    with pytest.raises(DataError, match=r"under the key 'table' with the columns pt, eta; .* columns E_0, PX_0, PY_0"):
        recognise(path)


def test_a_group_with_a_table_of_another_program_is_no_frame(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["jets/table"] = np.zeros(3, dtype=[("pt", "f4")])
    with pytest.raises(DataError, match=r"hdf5 with jets/table. Describe its columns in a mapping: jetforge info col"):
        recognise(path)


@pytest.mark.parametrize("container", ["zip", "gzip", "text"])
def test_a_mapping_is_advised_only_where_it_can_help(tmp_path, container):
    path = tmp_path / "file"
    if container == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("jets.txt", "1 2 3")
    else:
        path.write_bytes(gzip.compress(b"1 2 3") if container == "gzip" else b"1 2 3")
    with pytest.raises(DataError, match=rf"it is {container}.*\. Formats that are read: jetforge info formats$"):
        recognise(path)


@pytest.mark.parametrize("format", [None, "columns", "jetclass"])
def test_an_rntuple_is_named(tmp_path, format):  # noqa: A002
    import uproot

    path = tmp_path / "file.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("tree", {"px": np.dtype("f8")})
    with pytest.raises(DataError) as caught:
        open_reader(path, format)
    assert str(caught.value) == (
        f"{path}: holds an RNTuple 'tree', which is not read; write a TTree, with uproot: file.mktree(...)"
    )
    with uproot.update(path) as file:
        file.mktree("further", {"x": "f8"})
    with pytest.raises(DataError, match=r"it is root with further/x\. Describe its columns in a mapping"):
        recognise(path)
