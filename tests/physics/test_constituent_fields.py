"""Charges follow from particle numbers, and every field is one finite number for each constituent."""

import subprocess
import sys

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
from helpers.jets import awkward_jets, from_angles

from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.physics.constituent_fields import charges, charges_of, numbers_of, particle_numbers_of
from jetforge.physics.flat import flatten


def pid_array(pids: npt.ArrayLike) -> ak.Array:
    pids = np.asarray(pids)
    jet = from_angles(np.ones(len(pids)), np.zeros(len(pids)), np.zeros(len(pids)))
    return ak.with_field(awkward_jets(jet), ak.from_numpy(pids[np.newaxis]), "pid")


def test_charges_of_particle_numbers_are_those_of_pythia() -> None:
    pythia8 = pytest.importorskip("pythia8mc", reason="compares with the particle table of Pythia")
    table = pythia8.Pythia("", False).particleData
    ids, number = [], table.nextId(8)
    while number:
        hadron = 100 < number < 1_000_000
        diquark = hadron and number > 1000 and number // 10 % 10 == 0
        if (number < 40 or hadron) and not diquark:
            ids.append(number)
        number = table.nextId(number)
    assert len(ids) > 200
    signed = np.array([*ids, *(-number for number in ids if table.hasAnti(number))])
    assert charges(signed).tolist() == [round(table.charge(number)) for number in signed.tolist()]


def test_quarks_and_unknown_particles_are_neutral() -> None:
    assert charges(np.array([1, -2, 6, 0, 22])).tolist() == [0, 0, 0, 0, 0]


def test_nuclei_have_their_number_of_protons() -> None:
    assert charges(np.array([1000020040, -1000010020, 1000000010])).tolist() == [2, -1, 0]


def test_a_charge_goes_before_a_number() -> None:
    jets = pid_array([211, 22])
    charged = ak.with_field(jets, ak.Array([[0.0, -1.0]]), "charge")
    assert charges_of(jets, flatten(jets), None).tolist() == [1, 0]
    assert charges_of(charged, flatten(charged), None).tolist() == [0.0, -1.0]
    assert charges_of(charged, flatten(charged), [2, 3]).tolist() == [2, 3]
    assert charges_of(Jets.from_constituents(charged), flatten(charged), None).tolist() == [0.0, -1.0]


def test_numbers_that_are_missing_are_refused_with_their_place() -> None:
    jets = pid_array([211, 22, 11])
    flat = flatten(jets)
    with pytest.raises(DataError, match="neither a field 'charge' nor 'pid'"):
        charges_of(flat, flat, None)
    with pytest.raises(DataError, match="no field 'd0'"):
        numbers_of(jets, flat, "d0", None)
    with pytest.raises(DataError, match="jet 0, constituent 1: charge is nan"):
        charges_of(jets, flat, [1.0, np.nan, 0.0])
    with pytest.raises(DataError, match=r"shape \(2,\); it must be one number for each of 3 constituents"):
        charges_of(jets, flat, [1.0, 0.0])
    with pytest.raises(DataError, match=r"jet 0, constituent 2: pid is 11\.5; it must be a whole number"):
        charges_of(pid_array([211, 22, 11.5]), flat, None)
    missing = ak.with_field(jets, ak.Array([[1, None, 0]]), "charge")
    with pytest.raises(DataError, match=r"jet 0, constituent 1: charge is missing \(None\)"):
        charges_of(missing, flat, None)


@pytest.mark.parametrize("number", [2**63, 2**64 - 211])
def test_unsigned_numbers_that_would_become_negative_are_refused(number: int) -> None:
    jets = pid_array(np.array([22, number], dtype=np.uint64))
    for call in (lambda: charges_of(jets, flatten(jets), None), lambda: particle_numbers_of(jets, flatten(jets), None)):
        with pytest.raises(DataError, match=rf"jet 0, constituent 1: pid is {number}; it must be below 2\^63"):
            call()
    small = pid_array(np.array([22, 211], dtype=np.uint64))
    assert charges_of(small, flatten(small), None).tolist() == [0, 1]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("number", [1e30, -1e30, 2.0**63])
def test_floats_beyond_all_whole_numbers_are_refused(number: float, kind: npt.DTypeLike) -> None:
    jets = pid_array(np.array([22, 211, number], dtype=kind))
    with pytest.raises(DataError, match=r"jet 0, constituent 2: pid is .*; it must be a whole number below 2\^63"):
        particle_numbers_of(jets, flatten(jets), None)


@pytest.mark.parametrize(
    "values",
    [[[1], [1, 2]], [[1, 2, 3]], "x", 5, None.__class__, {}, ak.Array(["a", "b", "c"]), ak.Array([[{"q": 1}] * 3]),
     ak.Array([[[1], [1, 2], [3]]]), ak.Array([[1, 2, 3], None]), np.array([np.longdouble("1e4000")] * 3)],
)  # fmt: skip
def test_what_is_not_one_number_a_constituent_is_refused_in_one_line(values: object) -> None:
    jets = pid_array([211, 22, 11])
    with pytest.raises(DataError, match=r"^[^\n]*charge [^\n]*$"):
        charges_of(jets, flatten(jets), values)


def test_fields_do_not_need_the_clustering() -> None:
    script = "import sys, jetforge.physics.images.pixels; print([m for m in sys.modules if 'clustering' in m])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
