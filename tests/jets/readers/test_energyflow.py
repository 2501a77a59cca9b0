import zipfile

import numpy as np
import pytest
from helpers.written import assert_same
from helpers.written.energyflow import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jetforge.errors import DataError
from jetforge.jets.readers import open_reader, recognise

VARIANTS = {
    "compressed": {},
    "not compressed": {"compressed": False},
    "masses by particle": {"mass": "pid"},
    "float32": {"dtype": "<f4"},
    "other byte order": {"dtype": ">f8"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, variant):
    written = write(tmp_path, **VARIANTS[variant])
    assert recognise(written.path) == "energyflow"
    with open_reader(written.path, settings=written.settings) as reader:
        assert (reader.num_rows, reader.classes) == (60, ("gluon", "quark"))
        jets = reader.read(0, 60)
        assert_same(jets, written)
        for start, stop in ((7, 31), (31, 32), (59, 60), (0, 3), (20, 20), (60, 60)):
            assert_same(reader.read(start, stop), written, start, stop)
    kinds = {name: column.dtype for name, column in jets.columns.items()}
    assert (kinds["pid"], kinds["charge"], jets.label.dtype) == (np.int32, np.float32, np.int64)
    assert all(kinds[name] == np.float64 for name in ("px", "py", "pz", "energy", "mass"))


def test_many_steps_give_the_same_as_one(tmp_path, monkeypatch):
    written = write(tmp_path)
    for size in (1, 30_000):
        monkeypatch.setattr("jetforge.jets.readers.energyflow._SLAB_BYTES", size)
        with open_reader(written.path) as reader:
            assert_same(reader.read(5, 60), written, 5, 60)


def test_momenta_in_mev_become_gev(tmp_path):
    written = write(tmp_path)
    with np.load(written.path) as stored:
        particles, label = stored["X"], stored["y"]
    particles[..., 0] *= 1000
    np.savez(tmp_path / "mev.npz", X=particles, y=label)
    with open_reader(tmp_path / "mev.npz", settings={"unit": "MeV"}) as reader:
        assert_same(reader.read(0, 60), written)


def make(folder, change=lambda particles, label: None, **arrays):
    """Write a file with some numbers changed, or with other arrays."""
    with np.load(write(folder, num=9).path) as stored:
        particles, label = stored["X"], stored["y"]
    change(particles, label)
    path = folder / "changed.npz"
    np.savez(path, **({"X": particles, "y": label} | arrays))
    return path


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, -1.0, "pT of a particle is -1, not a positive number"),
        (0, 0.0, "pT of a particle is 0, not a positive number"),
        (0, np.nan, "pT of a particle is nan"),
        (0, np.inf, "pT of a particle is inf"),
        (1, np.nan, "rapidity of a particle is nan, not within 20"),
        (1, -500.0, "rapidity of a particle is -500"),
        (2, np.inf, "azimuth of a particle is inf"),
        (3, 211.5, "PDG number of a particle is 211.5, not a whole number"),
        (3, np.nan, "PDG number of a particle is nan"),
        (3, 1e10, "PDG number of a particle is 1e"),
    ],
)
def test_what_is_no_particle_is_refused_with_its_row(tmp_path, place, value, message):
    def change(particles, label):
        particles[4, 3, place] = value

    path = make(tmp_path, change)
    with open_reader(path) as reader:
        reader.read(0, 4)
        reader.read(5, 9)
        for start in (0, 4):
            with pytest.raises(DataError, match=f"row 4: .*{message}") as raised:
                reader.read(start, 9)
            assert str(path) in str(raised.value)


@pytest.mark.parametrize("value", [2.0, -1.0, 0.5, np.nan])
def test_strange_labels_are_refused(tmp_path, value):
    def change(particles, label):
        label[6] = value

    with open_reader(make(tmp_path, change)) as reader:
        reader.read(0, 6)
        with pytest.raises(DataError, match=r"row 6: y is .*, neither 0 nor 1"):
            reader.read(2, 9)


def test_a_jet_without_particles_is_refused(tmp_path):
    def change(particles, label):
        particles[8] = 0

    with open_reader(make(tmp_path, change)) as reader, pytest.raises(DataError, match="row 8: no particles"):
        reader.read(0, 9)


def test_masses_of_unknown_particles_are_refused_when_wanted(tmp_path):
    def change(particles, label):
        particles[2, 0, 3] = 443

    path = make(tmp_path, change)
    with open_reader(path) as reader:
        assert reader.read(0, 9).columns["pid"].max() == 2212
        assert 443 in reader.read(2, 3).columns["pid"]
    message = r"row 2: the mass of a particle with the PDG number 443 is not known.*mass=zero"
    with open_reader(path, settings={"mass": "pid"}) as reader, pytest.raises(DataError, match=message):
        reader.read(0, 9)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones((9, 5, 3))}, r"'X' has the shape \(9, 5, 3\)"),
        ({"X": np.ones((9, 4))}, r"'X' has the shape \(9, 4\)"),
        ({"X": np.ones((8, 5, 4))}, r"'y' has the shape \(9,\), not one number for each of the 8 jets"),
        ({"y": np.ones((9, 1))}, r"'y' has the shape \(9, 1\)"),
        ({"y": np.full(9, "quark")}, "'y' is of type <U5, not numbers"),
        ({"X": np.ones((9, 5, 4), dtype=complex)}, "'X' is of type complex128"),
        ({"X": np.full((9, 5, 4), None)}, "'X' is of type object"),
    ],
)
def test_other_arrays_are_refused_and_no_pickle_is_loaded(tmp_path, arrays, message):
    path = make(tmp_path, **arrays)
    with pytest.raises(DataError, match=message):
        open_reader(path, "energyflow")


def test_archives_of_other_things_are_not_recognised(tmp_path):
    for name, arrays in {"a": {"X": np.ones((9, 7)), "y": np.ones(9)}, "b": {"X": np.ones((9, 7, 4))}}.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(DataError, match="none of the known formats"):
            recognise(tmp_path / f"{name}.npz")


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_cut_file_is_refused(tmp_path, compressed, share):
    data = write(tmp_path, compressed=compressed).path.read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=f"{path}.*copy"):
        recognise(path)
    with pytest.raises(DataError, match=f"{path}.*copy"):
        open_reader(path, "energyflow")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_changed_bit_of_the_particles_is_noticed(tmp_path, where, bit):
    """The archive carries a checksum of each array, which the last rows verify."""
    written = write(tmp_path, num=20, compressed=False)
    with zipfile.ZipFile(written.path) as archive:
        info = archive.getinfo("X.npy")
    data = bytearray(written.path.read_bytes())
    first = info.header_offset + 200  # behind the headers of the member and of the array
    data[first + int(where * (info.file_size - 200))] ^= 1 << bit
    path = tmp_path / "bit.npz"
    path.write_bytes(data)
    with open_reader(path) as reader, pytest.raises(DataError, match=str(path)):
        reader.read(0, 20)
