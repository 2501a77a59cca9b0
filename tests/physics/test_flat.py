"""Flat arrays from awkward jets: what is accepted, without copies, and what is refused with which words."""

from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import vector
from helpers.jets import awkward_jets, spread_jet

from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.physics.flat import FlatJets, checked, flat_of, flatten

MOMENTA = {"px": 3.0, "py": 4.0, "pz": 12.0, "energy": 14.0}


def two_jets(**columns: Any) -> ak.Array:
    """Return jets of two and one constituents; a column is one number for all, or three."""
    fields = {name: np.broadcast_to(np.asarray(value, dtype=float), 3) for name, value in columns.items()}
    return ak.unflatten(ak.zip(fields), [2, 1])


def assert_flat(flat: FlatJets, offsets: list[int], px: list[float]) -> None:
    assert flat.offsets.tolist() == offsets
    assert flat.offsets.dtype == np.int64
    assert flat.px.tolist() == px
    for column in flat[1:]:
        assert column.dtype == np.float64
        assert column.flags.c_contiguous
        assert column.shape == (offsets[-1],)


def test_contiguous_float64_is_not_copied() -> None:
    columns = {name: np.full(3, value) for name, value in MOMENTA.items()}
    jets = ak.unflatten(ak.zip(columns), [2, 1])
    flat = flatten(jets)
    assert_flat(flat, [0, 2, 3], [3.0, 3.0, 3.0])
    for name in MOMENTA:
        assert np.shares_memory(getattr(flat, name), columns[name])


def test_slices_keep_to_their_jets() -> None:
    jets = two_jets(px=[1.0, 2.0, 3.0], py=0.0, pz=0.0, energy=9.0)
    assert_flat(flatten(jets[1:]), [0, 1], [3.0])
    assert_flat(flatten(jets[:1]), [0, 2], [1.0, 2.0])
    assert_flat(flatten(jets[::-1]), [0, 1, 3], [3.0, 1.0, 2.0])
    assert_flat(flatten(jets[[1, 1]]), [0, 1, 2], [3.0, 3.0])
    assert_flat(flatten(jets[jets.px > 1.5]), [0, 1, 2], [2.0, 3.0])
    assert_flat(flatten(jets[:, :1]), [0, 1, 2], [1.0, 3.0])


def test_regular_float32_and_integer_arrays_are_converted() -> None:
    grid = np.arange(6, dtype=np.float32).reshape(3, 2)
    regular = ak.Array({"px": grid, "py": np.zeros_like(grid), "pz": grid.astype(int), "E": grid + 50})
    jets = ak.zip({name: regular[name] for name in regular.fields})
    assert_flat(flatten(jets), [0, 2, 4, 6], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])


def test_no_jets_and_jets_without_constituents() -> None:
    assert_flat(flatten(ak.Array([])), [0], [])
    assert_flat(flatten(ak.Array([[], []])), [0, 0, 0], [])
    assert_flat(flatten(two_jets(**MOMENTA)[:0]), [0], [])
    assert_flat(flatten(two_jets(**MOMENTA)[:, :0]), [0, 0, 0], [])


def test_option_types_without_a_missing_value_are_accepted() -> None:
    jets = ak.pad_none(two_jets(**MOMENTA), 1)
    assert "?" in str(jets.type)
    assert_flat(flatten(jets), [0, 2, 3], [3.0, 3.0, 3.0])
    assert_flat(flatten(ak.mask(two_jets(**MOMENTA), [True, True])), [0, 2, 3], [3.0, 3.0, 3.0])


def test_every_way_to_write_a_momentum_gives_the_same() -> None:
    vectors = vector.zip({"px": [[3.0]], "py": [[-4.0]], "pz": [[12.0]], "energy": [[14.0]]})
    expected = [3.0, -4.0, 12.0, 14.0]
    one = {
        "pt": vectors.pt,
        "phi": vectors.phi,
        "eta": vectors.eta,
        "rapidity": vectors.rapidity,
        "pz": vectors.pz,
        "energy": vectors.E,
        "mass": vectors.mass,
    }
    ways = [("pt", "phi", third, fourth) for third in ("eta", "rapidity", "pz") for fourth in ("energy", "mass")]
    arrays = [vectors, vectors.to_rhophietatau(), vectors.to_rhophizt()]
    arrays += [ak.zip({name: one[name] for name in way}) for way in ways]
    arrays.append(ak.zip({"pt": one["pt"], "phi": one["phi"], "y": one["rapidity"], "m": one["mass"]}))
    for jets in arrays:
        flat = flatten(jets)
        np.testing.assert_allclose([column[0] for column in flat[1:]], expected, rtol=1e-13, err_msg=str(jets.type))


def test_a_negative_mass_is_a_spacelike_momentum() -> None:
    flat = flatten(two_jets(px=3.0, py=4.0, pz=0.0, mass=-0.5))
    np.testing.assert_allclose(flat.energy, np.sqrt(25 - 0.25))


def test_energy_below_momentum_by_rounding_or_resolution_is_kept() -> None:
    flat = flatten(two_jets(px=3.0, py=4.0, pz=0.0, energy=[4.9999999, 4.98, 5.0]))
    assert flat.energy.tolist() == [4.9999999, 4.98, 5.0]
    assert flatten(two_jets(px=0.0, py=0.0, pz=0.0, energy=-1e-9)).energy[0] == -1e-9


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"px": [1, 2, np.nan]}, r"jet 1, constituent 0 \(px = nan, .*: not a finite momentum; drop"),
        ({"pz": [1, np.inf, 3]}, r"jet 0, constituent 1 \(.*pz = inf.*: not a finite momentum; drop"),
        ({"energy": [np.nan, 14, 14]}, r"jet 0, constituent 0 \(.*energy = nan\): not a finite momentum"),
        ({"py": [1, 2e100, 3]}, r"jet 0, constituent 1 \(.*py = 2e\+100.*: not a finite momentum"),
        ({"energy": [14, -14, 14]}, "jet 0, constituent 1 .*: the energy -14 GeV is negative; drop"),
        (
            {"energy": [14, 14, 12]},
            r"jet 1, constituent 0 .*12 GeV is below \|p\| = 13 GeV .*columns in the right order",
        ),
    ],
)
def test_a_broken_momentum_is_refused_with_its_place_and_value(columns: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words) as refusal:
        flatten(two_jets(**{**MOMENTA, **columns}))
    assert "\n" not in str(refusal.value)


def test_a_negative_pt_is_refused() -> None:
    jets = two_jets(pt=[1.0, 2.0, -5.0], eta=0.5, phi=0.0, mass=0.0)
    with pytest.raises(DataError, match=r"jet 1, constituent 0 \(pt = -5\): the transverse momentum is negative"):
        flatten(jets)


def test_an_overflow_of_angles_names_what_was_given() -> None:
    with pytest.raises(DataError, match=r"jet 0, constituent 0 \(pt = 1, phi = 0, eta = 900, mass = 0\): not a finite"):
        flatten(two_jets(pt=1.0, phi=0.0, eta=900.0, mass=0.0))


@pytest.mark.parametrize(
    ("jets", "words"),
    [
        (ak.Array([[MOMENTA], None]), r"jet 1 is missing \(None\); drop"),
        (ak.Array([[MOMENTA], [MOMENTA, None]]), r"jet 1, constituent 1 is missing \(None\); drop"),
        (ak.Array([[], [{**MOMENTA, "pz": None}, MOMENTA]]), r"jet 1, constituent 0: pz is missing \(None\)"),
        (ak.Array([MOMENTA]), r"type 1 \* \{px: .*must be n_jets \* var \* record"),
        (ak.Array([[[MOMENTA]]]), r"type 1 \* var \* var .*must be n_jets \* var \* record"),
        (ak.Array([[1.0, 2.0]]), r"must be n_jets \* var \* record"),
        (ak.Array(["jet"]), r"must be n_jets \* var \* record"),
        (ak.Array([[(1.0, 2.0, 3.0, 4.0)]]), r"must be n_jets \* var \* record"),
        (ak.Array([[{"px": 1.0, "py": 2.0, "energy": 3.0}]]), "fields px, py, energy; they need px, py, pz"),
        (ak.Array([[{"px": 1.0, "py": 2.0, "pz": 3.0}]]), "fields px, py, pz; they need .* energy or mass"),
        (
            ak.Array([[{**MOMENTA, "px": "1.0"}]]),
            "px of the constituents is of type string; it must be one number each",
        ),
        (
            ak.Array([[{**MOMENTA, "px": [1.0]}]]),
            r"px of the constituents is of type var \* float64; it must be one number each",
        ),
        ([[MOMENTA]], "must be an awkward array of jets, not list; make one"),
    ],
)
def test_an_array_of_another_shape_is_refused(jets: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as refusal:
        flatten(jets)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": [1, 2, 3]}, "offsets must start at 0"),
        ({"offsets": [0, 3, 2]}, "offsets must start at 0, never decrease"),
        ({"offsets": [0, 2, 4]}, "end at the number of constituents"),
        ({"pz": [0.0, 0.0, np.nan]}, "jet 1, constituent 0 .*pz = nan.*not a finite momentum"),
        ({"energy": [9.0, -9.0, 9.0]}, "jet 0, constituent 1 .*the energy -9 GeV is negative"),
    ],
)
def test_flat_jets_of_unknown_origin_are_checked(changes: dict[str, Any], message: str) -> None:
    columns = {"offsets": [0, 2, 3], "px": [1.0] * 3, "py": [0.0] * 3, "pz": [0.0] * 3, "energy": [9.0] * 3}
    good = {name: np.asarray(values) for name, values in columns.items()}
    flat = FlatJets(**good)
    assert checked(flat) is flat
    with pytest.raises(DataError, match=message):
        checked(FlatJets(**(good | {name: np.asarray(value) for name, value in changes.items()})))


def test_arrays_that_are_read_when_needed_are_taken(tmp_path: Path) -> None:
    jets = awkward_jets(spread_jet(1, 5), spread_jet(2, 0), spread_jet(3, 9))
    ak.to_parquet(jets, tmp_path / "jets.parquet")
    ak.to_feather(jets, tmp_path / "jets.feather")
    form, length, buffers = ak.to_buffers(jets)
    later = {name: partial(np.copy, buffer) for name, buffer in buffers.items()}
    expected = flatten(jets)
    for same in (
        ak.from_parquet(tmp_path / "jets.parquet"),
        ak.from_feather(tmp_path / "jets.feather"),
        ak.from_buffers(form, length, later),
    ):
        for column, values in zip(flatten(same), expected, strict=True):
            np.testing.assert_array_equal(column, values)
            assert column.flags.writeable


def test_jets_of_every_form_are_taken() -> None:
    jets = awkward_jets(spread_jet(1, 5), spread_jet(3, 9))
    flat = flatten(jets)
    assert all(a is b for a, b in zip(flat_of(flat), flat, strict=True))
    for found in (flat_of(jets), flat_of(Jets.from_constituents(jets))):
        for column, values in zip(found, flat, strict=True):
            np.testing.assert_array_equal(column, values)


def test_flat_arrays_of_any_order_of_bytes_are_converted() -> None:
    flat = flatten(awkward_jets(spread_jet(1, 5)))
    table = np.stack(flat[1:], axis=1)
    read_only = [column.copy() for column in flat[1:]]
    for column in read_only:
        column.flags.writeable = False
    for columns in ([column.astype(">f8") for column in flat[1:]], list(table.T), read_only):
        converted = flat_of(FlatJets(flat.offsets.astype(">i4"), *columns))
        assert_flat(converted, [0, 5], flat.px.tolist())
        assert converted.energy.flags.writeable


@pytest.mark.parametrize("column", [np.ones((2, 2)), ["1", "2"], 3.0, [1j, 2.0], None])
def test_flat_columns_of_another_kind_are_refused(column: Any) -> None:
    with pytest.raises(DataError, match="py of the flat jets must be one row of numbers"):
        flat_of(FlatJets(np.array([0, 2]), np.ones(2), column, np.ones(2), 2 * np.ones(2)))


def test_offsets_are_whole_numbers() -> None:
    with pytest.raises(DataError, match="offsets of the flat jets must be one row of whole numbers"):
        flat_of(FlatJets(np.array([0, 1.7]), *np.ones((4, 1))))


@pytest.mark.parametrize("jets", [np.ones((3, 4)), [[1, 2]], None, "jets"])
def test_other_things_are_no_jets(jets: Any) -> None:
    with pytest.raises(DataError, match="must be an awkward array of jets"):
        flat_of(jets)
    with pytest.raises(DataError, match="offsets must start at 0"):
        flat_of(FlatJets(np.array([0, 3]), *np.ones((4, 2))))
