import h5py
import pytest

from jetforge.errors import DataError
from jetforge.jets.readers import open_reader, recognise

pytest.importorskip("tables", reason="pandas writes HDF5 with PyTables: pip install 'jetforge[dev]'")

from helpers.written import assert_same, stated
from helpers.written.toptag import write


@pytest.mark.parametrize("layout", ["table", "fixed"])
@pytest.mark.parametrize("complib", ["blosc", "zlib", "blosc:zstd"])
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, layout, complib):
    written = write(tmp_path, layout=layout, complib=complib)
    assert recognise(written.path) == "toptag"
    with open_reader(written.path) as reader:
        assert reader.num_rows == len(written.counts)
        assert_same(reader.read(0, reader.num_rows), written)
        assert_same(reader.read(7, 31), written, 7, 31)
        assert stated(reader, reader.read(3, 9)) == {"train"}


@pytest.mark.parametrize("name", [b"E_37", b"PX_199", b"ttv"])
def test_a_damaged_name_of_a_column_does_not_shorten_jets(tmp_path, name):
    path = write(tmp_path).path
    data = path.read_bytes()
    places = [i for i in range(len(data)) if data.startswith(name + b"\n", i)]
    assert len(places) == 2
    for place in places:
        path.write_bytes(data[:place] + b"Q" + data[place + 1 :])
        with pytest.raises(DataError, match="the name of a column in one of its two lists only: damaged"):
            open_reader(path, "toptag")


@pytest.mark.parametrize("where", ["axis0", "block0_items"])
def test_a_damaged_name_of_a_fixed_frame_does_not_either(tmp_path, where):
    path = write(tmp_path, layout="fixed").path
    with h5py.File(path, "a") as file:
        file[f"table/{where}"][37 * 4] = b"F_37"
    with pytest.raises(DataError, match="'E_37' is the name of a column in one of its two lists only: damaged"):
        open_reader(path, "toptag")
