import numpy as np
import pandas as pd
import pytest

from jetforge.errors import DataError
from jetforge.jets.pixels import pixel_images
from jetforge.jets.readers import open_reader, recognise

pytest.importorskip("tables", reason="pandas writes HDF5 with PyTables: pip install 'jetforge[dev]'")

from helpers.written import assert_same, stated
from helpers.written.toptag_images import write


@pytest.mark.parametrize("layout", ["table", "fixed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, layout, dtype):
    written = write(tmp_path, layout=layout, dtype=dtype)
    assert recognise(written.path) == "toptag-images"
    with open_reader(written.path) as reader:
        assert (reader.num_rows, reader.classes, reader.relative) == (60, ("qcd", "top"), True)
        jets = reader.read(0, 60)
        assert_same(jets, written)
        for start, stop in ((7, 31), (59, 60), (20, 20)):
            assert_same(reader.read(start, stop), written, start, stop)
        assert stated(reader, jets) == {"val"}
        assert not jets.columns["channel"].any()


def test_test_images_may_have_no_labels(tmp_path):
    written = write(tmp_path, labelled=False)
    with open_reader(written.path) as reader:
        jets = reader.read(0, 60)
        assert reader.classes == ()
        assert_same(jets, written)
        assert not jets.fields
        assert stated(reader, jets) is None


def test_many_steps_give_the_same_as_one(tmp_path, monkeypatch):
    written = write(tmp_path)
    monkeypatch.setattr("jetforge.jets.readers.toptag_images._SLAB", 7)
    with open_reader(written.path) as reader:
        assert_same(reader.read(5, 60), written, 5, 60)


def test_dense_images_come_back_exactly(tmp_path):
    written = write(tmp_path)
    frame = pd.read_hdf(written.path, "table")
    with open_reader(written.path) as reader:
        images = pixel_images(reader.read(0, 60), (40, 40))
    np.testing.assert_array_equal(images.reshape(60, -1), frame[[f"img_{i}" for i in range(1600)]].to_numpy())


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("img_77", np.nan, "row 3: a pixel is not a finite number"),
        ("is_signal_new", 2, "row 3: is_signal_new is 2, none of 0, 1"),
        ("ttv", 5, "row 3: ttv is 5, none of 0, 1, 2"),
    ],
)
def test_strange_numbers_are_refused_with_their_row(tmp_path, column, value, message):
    written = write(tmp_path)
    frame = pd.read_hdf(written.path, "table")
    frame.loc[3, column] = value
    path = tmp_path / "strange.h5"
    frame.to_hdf(path, key="table", format="table")
    with open_reader(path) as reader, pytest.raises(DataError, match=message):
        reader.read(0, 60)


def test_pixels_that_are_no_square_are_refused(tmp_path):
    frame = pd.DataFrame(np.ones((4, 15)), columns=[f"img_{i}" for i in range(15)])
    frame.to_hdf(tmp_path / "odd.h5", key="table", format="table")
    with pytest.raises(DataError, match="the pixels img_0 to img_14: no square image"):
        open_reader(tmp_path / "odd.h5")
