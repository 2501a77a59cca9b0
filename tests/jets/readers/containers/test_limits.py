"""What a file claims beyond what it can hold is refused before memory is taken."""

import gzip
import struct
import tracemalloc
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.written import columns, hepmc, jetnet

from jetforge.errors import DataError
from jetforge.jets.convert import convert
from jetforge.jets.readers import open_reader, recognise

LAYOUTS = {
    "jetnet": {"particle_features": (30, 4), "jet_features": (4,)},
    "atlas": {
        **{f"fjet_clus_{name}": (200,) for name in ("pt", "eta", "phi", "E")},
        **{f"fjet_{name}": () for name in ("pt", "eta", "phi", "m")},
        "labels": (),
    },
    "ml4sci": {"X_jets": (125, 125, 3), "m0": (), "pt": (), "y": ()},
}


def refuses(path, match, **settings):
    """Check that a file is refused, with next to no memory taken."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=match) as raised, open_reader(path, settings=settings) as reader:
            reader.read(max(reader.num_rows - 10, 0), reader.num_rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
    assert peak < 300e6


@pytest.mark.parametrize("rows", [10**9, 2**50])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_hdf5_of_absurd_shape(tmp_path, layout, rows):
    path = tmp_path / "absurd.h5"
    with h5py.File(path, "w") as file:
        for name, shape in LAYOUTS[layout].items():
            file.create_dataset(name, (rows, *shape), "f4", chunks=(1, *shape) if shape else (100,), compression="gzip")
    refuses(path, "claims .* bytes in .* bytes of file")


def test_hdf5_with_rows_larger_than_any_jet(tmp_path):
    path = tmp_path / "long.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("particle_features", (10, 10**7, 4), "f4", chunks=(1, 1000, 4), compression="gzip")
        file.create_dataset("jet_features", (10, 4), "f4")
    refuses(path, "claims rows of 160,000,000 bytes")


def test_zip_bomb(tmp_path):
    path = tmp_path / "QG_jets.npz"
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 139, 4), }"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.ljust(117).encode() + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("X.npy", "w", force_zip64=True) as member:
            member.write(array)
            for _ in range(100_000 * 139 * 32 // (1 << 20)):
                member.write(bytes(1 << 20))
            member.write(bytes(100_000 * 139 * 32 % (1 << 20)))
        with archive.open("y.npy", "w") as member:
            np.save(member, np.zeros(100_000))
    assert path.stat().st_size < 1e6
    refuses(path, "claims .* bytes in .* bytes of file")


@pytest.mark.parametrize("format", ["lundnet", "hepmc"])
def test_gzip_bomb(tmp_path, format):  # noqa: A002
    path = tmp_path / f"bomb-{format}.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        if format == "lundnet":
            file.write(b'[{"E":1.0,"px":0.5,"py":0.5,"pz":0.1},\n')
        else:
            pytest.importorskip("pyhepmc")
            file.write(hepmc.write(tmp_path, 2).path.read_bytes())
        for _ in range(300):
            file.write(b" " * (1 << 20))
    assert path.stat().st_size < 1e6
    refuses(path, "claims|too long|longer than|bytes of file|line")


def test_parquet_of_long_runs_that_fill_the_memory(tmp_path):
    path = tmp_path / "runs.parquet"
    one = pa.ListArray.from_arrays(
        np.arange(0, 20_000_001, 20_000, dtype=np.int32), pa.array(np.zeros(20_000_000, "f4"))
    )
    pq.write_table(pa.table(dict.fromkeys(("px", "py", "pz", "energy"), one)), path, compression="zstd")
    assert path.stat().st_size < 100_000
    refuses(path, "claims .* values in .* bytes")


def _number(value):
    """Return a whole number as Thrift's compact protocol writes it."""
    value, data = 2 * value, bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes([*data, value])


@pytest.mark.parametrize("claimed", [8191, 301, 200])
def test_parquet_that_lies_about_its_rows(tmp_path, claimed):
    written = columns.write(tmp_path, 300)
    pq.write_table(pq.read_table(written.path), written.path, row_group_size=1000)
    data = written.path.read_bytes()
    footer = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    places = [i for i in range(footer, len(data)) if data.startswith(_number(300), i)]
    assert len(places) > 5
    # A footer that says less everywhere, and consistently, is a file of fewer rows.
    lies = [[place] for place in places] + [places] * (claimed > 300)
    for changed in lies:
        lying = bytearray(data)
        for place in changed:
            lying[place : place + 2] = _number(claimed).ljust(2, b"\x80")
        path = tmp_path / "lying.parquet"
        path.write_bytes(lying)
        try:
            with open_reader(path) as reader:
                jets = reader.read(0, reader.num_rows)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            assert np.array_equal(np.diff(jets.offsets), written.counts), "neither refused nor whole"


def test_hdf5_that_lies_about_its_rows(tmp_path):
    written = jetnet.write(tmp_path, 50)
    with h5py.File(written.path, "r+") as file:
        values = file["jet_features"][:40]
        del file["jet_features"]
        file["jet_features"] = values
    refuses(written.path, "40|50")


@pytest.mark.parametrize("name", ["particle_features", "jet_features"])
def test_hdf5_that_lacks_chunks_is_not_read_as_zeros(tmp_path, name):
    written = jetnet.write(tmp_path, 50)
    with h5py.File(written.path, "r+") as file:
        values = file[name][:]
        del file[name]
        holed = file.create_dataset(name, values.shape, values.dtype, chunks=(8, *values.shape[1:]))
        holed[:16], holed[24:] = values[:16], values[24:]
    refuses(written.path, f"'{name}' has 6 of its 7 chunks: cut or damaged")
    with h5py.File(written.path, "r+") as file:
        file[name][16:24] = values[16:24]
    with open_reader(written.path) as reader:
        assert np.array_equal(np.diff(reader.read(0, 50).offsets), written.counts)


def test_a_pickle_is_never_loaded(tmp_path):
    import pickle

    path = tmp_path / "QG_jets.npz"
    np.savez(path, X=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(DataError):
        open_reader(path)
    plain = tmp_path / "jets.pkl"
    plain.write_bytes(pickle.dumps(print))
    with pytest.raises(DataError, match=r"neither HDF5, ROOT, Parquet|none of the known formats"):
        recognise(plain)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>Not found</html>", "a web page, not data: open it in a browser; the address wants"),
        (b"\xef\xbb\xbf\r\n <HTML lang='en'>\n<head>", "a web page, not data"),
        (b"pt,eta\n1,2\n", r"of none of the known formats; it is text. Formats that are read: jetforge info formats"),
        (b"\0" * 100, "neither HDF5, ROOT, Parquet, zip, gzip nor text"),
        (b"PK\x03\x04 no archive", "not a whole zip archive"),
        (b"PAR1 no Parquet", "not a whole Parquet file"),
        (b"root no ROOT", r"not a whole ROOT file|cannot be read"),
        (b"\x89HDF\r\n\x1a\n no HDF5", "not a whole HDF5 file"),
        (b"\x1f\x8b no gzip", "not a whole gzip file"),
    ],
)
def test_what_is_no_file_of_jets_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "something"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        convert([path], tmp_path / "out", workers=0)
    assert "\n" not in str(raised.value)
