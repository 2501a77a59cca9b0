import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.jets.storage import decode_part, encode_part

from .test_jets import make_jets

COUNTS = st.lists(st.integers(0, 8), min_size=1, max_size=10)


@given(COUNTS, st.integers(0, 100))
def test_round_trip_keeps_every_jet_in_order(counts, seed):
    jets = make_jets(counts, seed)
    back = decode_part(encode_part(jets), "part")
    assert back.offsets.tolist() == jets.offsets.tolist()
    assert back.columns["pid"].tolist() == jets.columns["pid"].tolist()
    assert back["number"].tolist() == jets["number"].tolist()
    for name in ("px", "py", "pz", "energy"):
        np.testing.assert_allclose(back.columns[name], jets.columns[name], rtol=2e-6)


@given(COUNTS, st.integers(0, 100))
def test_encoding_what_was_decoded_gives_the_same_bytes(counts, seed):
    data = encode_part(make_jets(counts, seed))
    assert encode_part(decode_part(data, "part")) == data


def test_masses_survive_four_float32_components():
    # A pion of 3 TeV: its mass is far below the rounding of a float32 energy.
    px, mass = np.array([3000.0]), np.array([0.13957])
    jets = Jets(np.array([0, 1]), {"px": px, "py": 0 * px, "pz": 0 * px, "energy": np.sqrt(px**2 + mass**2)})
    flat = decode_part(encode_part(jets), "part").flat
    assert np.sqrt(flat.energy**2 - flat.px**2) == pytest.approx(0.13957, rel=1e-3)


def test_spacelike_constituents_keep_their_sign():
    columns = {"px": [3.0], "py": [0.0], "pz": [4.0], "energy": [4.97]}
    jets = Jets(np.array([0, 1]), {name: np.array(c) for name, c in columns.items()})
    back = decode_part(encode_part(jets), "part")
    assert back.columns["mass"][0] == pytest.approx(-np.sqrt(25 - 4.97**2))
    assert back.flat.energy[0] == pytest.approx(4.97)


def test_equal_names_of_columns_and_fields_do_not_overwrite_one_another():
    jets = make_jets([2, 1])
    both = Jets(jets.offsets, {**jets.columns, "weight": np.ones(3)}, {"weight": np.ones(2)})
    with pytest.raises(DataError, match="'weight' is both a jet field and a constituent column"):
        encode_part(both)


def test_only_the_wanted_columns_are_read():
    data = encode_part(make_jets([3, 2]))
    assert "pid" not in decode_part(data, "part", columns=()).columns
    assert "pid" in decode_part(data, "part", columns=("pid",)).columns
    with pytest.raises(DataError, match="no constituent column charge"):
        decode_part(data, "part", columns=("charge",))


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_truncated_bytes_are_never_fewer_jets(kept):
    data = encode_part(make_jets([3, 2, 4]))
    with pytest.raises(DataError, match=r"^part-0: not a whole Parquet file"):
        decode_part(data[:kept], "part-0")


@pytest.mark.parametrize(("column", "value"), [("px", np.nan), ("pz", np.inf), ("mass", -1e5)])
def test_unphysical_constituents_are_refused_with_file_and_row(column, value):
    jets = make_jets([2, 2])
    table = pq.read_table(io.BytesIO(encode_part(jets))).to_pydict()
    table[column][1][0] = value
    sink = io.BytesIO()
    import pyarrow as pa

    pq.write_table(pa.table(table), sink)
    with pytest.raises(DataError, match=r"^part-7: row 1, constituent 0: "):
        decode_part(sink.getvalue(), "part-7")


def test_columns_of_different_lengths_are_refused():
    import pyarrow as pa

    table = pq.read_table(io.BytesIO(encode_part(make_jets([2, 2, 2])))).to_pydict()
    table["py"][1] = table["py"][1][:1]
    sink = io.BytesIO()
    pq.write_table(pa.table(table), sink)
    with pytest.raises(DataError, match="row 1: 'py' has not as many constituents as 'px'"):
        decode_part(sink.getvalue(), "part")


def test_columns_of_truth_values_come_back():
    jets = make_jets([2, 0, 3])
    flag = np.array([True, False, True, True, False])
    jets = type(jets)(
        jets.offsets, {**jets.columns, "is_lepton": flag}, {**jets.fields, "good": np.array([True, False, True])}
    )
    again = decode_part(encode_part(jets), "part")
    assert again.columns["is_lepton"].tolist() == flag.tolist()
    assert again["good"].tolist() == [True, False, True]
