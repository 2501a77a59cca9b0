import pytest

from jetforge.jets.readers import open_reader, recognise

pytest.importorskip("tables", reason="pandas writes HDF5 with PyTables: pip install 'jetforge[dev]'")

from helpers.written import assert_same
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
        assert reader.stored_split(reader.read(3, 9)) == "train"
