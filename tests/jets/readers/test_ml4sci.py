import h5py
import numpy as np
import pytest
from helpers.written import assert_same
from helpers.written.ml4sci import CHANNELS, SIZE, make_images, write, write_parquet

from jetforge.errors import DataError
from jetforge.jets.pixels import pixel_images
from jetforge.jets.readers import open_reader, recognise

VARIANTS = {
    "lzf": {"layout": "hdf5"},
    "gzip in chunks of one": {"layout": "hdf5", "compression": "gzip", "chunk": 1},
    "one jet a row group": {"layout": "parquet"},
    "seven jets a row group": {"layout": "parquet", "rows_per_group": 7},
    "one row group": {"layout": "parquet", "rows_per_group": 60},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, variant):
    written = write(tmp_path, **VARIANTS[variant])
    assert recognise(written.path) == "ml4sci"
    with open_reader(written.path) as reader:
        assert (reader.num_rows, reader.classes, reader.relative) == (60, ("gluon", "quark"), True)
        jets = reader.read(0, 60)
        assert_same(jets, written)
        np.testing.assert_array_equal(jets.columns["value"], written.columns["value"])
        for start, stop in ((7, 31), (59, 60), (20, 20), (0, 0)):
            assert_same(reader.read(start, stop), written, start, stop)
        kinds = {name: column.dtype for name, column in jets.columns.items()}
        assert kinds["row"] == kinds["column"] == np.int16
        assert (kinds["channel"], kinds["value"], jets.label.dtype) == (np.int8, np.float32, np.int64)


def test_many_steps_give_the_same_as_one(tmp_path, monkeypatch):
    for layout in ("hdf5", "parquet"):
        written = write(tmp_path, layout=layout)
        for size in (1, 1_000_000):
            monkeypatch.setattr("jetforge.jets.readers.ml4sci._SLAB_BYTES", size)
            monkeypatch.setattr("jetforge.jets.readers.ml4sci._BATCH_IMAGES", max(size // 200_000, 1))
            with open_reader(written.path) as reader:
                assert_same(reader.read(5, 60), written, 5, 60)


@pytest.mark.parametrize("layout", ["hdf5", "parquet"])
def test_dense_images_come_back_exactly(tmp_path, layout):
    written = write(tmp_path, num=20, layout=layout)
    with open_reader(written.path) as reader:
        images = pixel_images(reader.read(0, 20), (SIZE, SIZE), CHANNELS)
    np.testing.assert_array_equal(images, make_images(20, CHANNELS, SIZE, 1)[0])


def test_pixels_below_zero_have_no_momentum(tmp_path):
    written = write(tmp_path, num=10)
    with open_reader(written.path) as reader:
        jets = reader.read(0, 10)
    below = jets.columns["value"] < 0
    assert below.any()
    assert not any(jets.columns[name][below].any() for name in ("px", "py", "pz", "energy"))


def test_an_image_of_zeros_is_a_jet_without_constituents(tmp_path):
    images = make_images(3, CHANNELS, 9, 1, most=20)[0]
    images[1] = 0
    numbers = {name: np.ones(3) for name in ("pt", "m0", "y")}
    write_parquet(tmp_path / "small.parquet", images, numbers)
    with open_reader(tmp_path / "small.parquet") as reader:
        jets = reader.read(0, 3)
    assert len(jets) == 3
    assert np.diff(jets.offsets)[1] == 0
    np.testing.assert_array_equal(pixel_images(jets, (9, 9), CHANNELS), images)


@pytest.mark.parametrize("layout", ["hdf5", "parquet"])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("y", 2, "row 3: y is 2.*neither 0 nor 1"),
        ("y", np.nan, "row 3: y is nan, neither"),
        ("pt", np.inf, "row 3: pt is inf, no finite number"),
        ("m0", np.nan, "row 3: m0 is nan"),
        ("X_jets", np.nan, "row 3: a pixel is not a finite number"),
        ("X_jets", 1e300, "row 3: a pixel is not a finite number"),
    ],
)
def test_strange_numbers_are_refused_with_their_row(tmp_path, layout, name, value, message):
    images = make_images(5, CHANNELS, 9, 1, most=20)[0].astype(np.float64)
    numbers = {each: np.ones(5) for each in ("pt", "m0", "y")}
    if name == "X_jets":
        images[3, 1, 2, 2] = value
    else:
        numbers[name][3] = value
    path = tmp_path / f"strange.{layout}"
    if layout == "hdf5":
        with h5py.File(path, "w") as file:
            file["X_jets"] = images.transpose(0, 2, 3, 1)
            for each, values in numbers.items():
                file[each] = values
    else:
        write_parquet(path, images, numbers)
    with open_reader(path) as reader, pytest.raises(DataError, match=message) as raised:
        reader.read(0, 5)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X_jets": np.zeros((4, 9, 9, 2))}, "rows of 'X_jets' have the shape"),
        ({"X_jets": np.zeros((4, 81))}, "rows of 'X_jets' have the shape"),
        ({"pt": np.zeros(3)}, "'pt' is 3 rows of float64; 'X_jets' has 4"),
        ({"y": np.zeros((4, 2))}, "rows of 'y' have the shape"),
        ({"y": np.full(4, b"quark")}, "'y' is 4 rows of .S5"),
    ],
)
def test_hdf5_that_does_not_fit_is_refused(tmp_path, change, message):
    path = tmp_path / "wrong.h5"
    with h5py.File(path, "w") as file:
        whole = {"X_jets": np.zeros((4, 9, 9, 3)), "pt": np.zeros(4), "m0": np.zeros(4), "y": np.zeros(4)}
        for name, values in (whole | change).items():
            file[name] = values
    with pytest.raises(DataError, match=message):
        open_reader(path, "ml4sci")


def shorten_a_row(images):
    images[3][1][2] = images[3][1][2][:-1]


def shorten_a_channel(images):
    images[3][1] = images[3][1][:-1]


def shorten_an_image(images):
    images[3] = images[3][:-1]


def lose_a_row(images):
    images[3][0][0] = None


def lose_a_pixel(images):
    images[3][0][0][0] = None


@pytest.mark.parametrize("change", [shorten_a_row, shorten_a_channel, shorten_an_image, lose_a_row, lose_a_pixel])
@pytest.mark.parametrize("rows_per_group", [1, 5])
def test_lists_of_different_lengths_are_refused(tmp_path, change, rows_per_group):
    images = make_images(5, CHANNELS, 9, 1, most=20)[0].tolist()
    change(images)
    path = tmp_path / "ragged.parquet"
    write_parquet(path, images, {name: np.ones(5) for name in ("pt", "m0", "y")}, rows_per_group)
    with open_reader(path) as reader:
        reader.read(0, 3)
        for start, stop in ((3, 4), (0, 5)):
            with pytest.raises(DataError, match=r"lengths|shape|missing") as raised:
                reader.read(start, stop)
            assert str(path) in str(raised.value)


@pytest.mark.parametrize("images", [[[], []], [[[[]] * 3] * 3] * 2, [[[], [], []]] * 2])
def test_images_without_pixels_are_refused(tmp_path, images):
    write_parquet(tmp_path / "empty.parquet", images, {name: np.ones(2) for name in ("pt", "m0", "y")})
    with pytest.raises(DataError, match=r"row 0: the image has lists .* empty"):
        open_reader(tmp_path / "empty.parquet")


@pytest.mark.parametrize("layout", ["hdf5", "parquet"])
@pytest.mark.parametrize("share", [0.5, 0.98])
def test_a_cut_file_is_refused(tmp_path, layout, share):
    data = write(tmp_path, num=20, layout=layout).path.read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match="cut"), open_reader(path, "ml4sci") as reader:
        reader.read(0, reader.num_rows)
