"""Counts, fractions and charges of constituents are what a few lines of numpy give."""

import math
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import pytest
from helpers.jets import (
    awkward_jets,
    each_jet,
    flat_jets,
    from_angles,
    permuted,
    split_collinearly,
    spread_jet,
    with_soft,
)
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.constituent_fields import charges
from jetforge.physics.shapes.angular import jet_kinematics, ptd
from jetforge.physics.shapes.contents import (
    charged_fraction,
    charged_multiplicity,
    count_for_fraction,
    jet_charge,
    leading_fractions,
    multiplicity,
    photon_fraction,
    pid_fraction,
)


def pts_of(jets: ak.Array) -> list[Any]:
    return [np.hypot(jet[0], jet[1]) for jet in each_jet(jets)]


def with_fields(jets: ak.Array, **fields: Any) -> ak.Array:
    for name, values in fields.items():
        jets = ak.with_field(jets, ak.unflatten(values, ak.num(jets)), name)
    return jets


def test_generated_jets_have_the_counts_and_fractions_of_their_definition(generated_jets: ak.Array) -> None:
    jets, pts = generated_jets, pts_of(generated_jets)
    assert multiplicity(jets).tolist() == [len(pt) for pt in pts]
    assert multiplicity(jets, pt_min=2.0).tolist() == [np.sum(pt >= 2) for pt in pts]
    for fraction in (0.5, 0.9, 0.95):
        expected = [int(np.argmax(np.cumsum(-np.sort(-pt)) >= fraction * pt.sum())) + 1 for pt in pts]
        assert count_for_fraction(jets, fraction).tolist() == expected
    expected = [(-np.sort(-pt) / pt.sum())[:3] for pt in pts]
    np.testing.assert_allclose(leading_fractions(jets, 3), expected, rtol=1e-12)
    np.testing.assert_allclose(ptd(jets), [np.sqrt(np.sum(pt**2)) / pt.sum() for pt in pts], rtol=1e-12)


def test_generated_jets_have_the_charges_of_their_definition(generated_jets: ak.Array) -> None:
    jets, pts = generated_jets, pts_of(generated_jets)
    charge, pid = ak.to_list(jets.charge), ak.to_list(jets.pid)
    jet_pt = jet_kinematics(jets).pt
    for kappa in (0.0, 0.3, 0.5, 1.0):
        expected = [
            np.sum(q * pt**kappa) / p**kappa for q, pt, p in zip(map(np.array, charge), pts, jet_pt, strict=True)
        ]
        np.testing.assert_allclose(jet_charge(jets, kappa), expected, rtol=1e-9, atol=1e-12)
    assert charged_multiplicity(jets).tolist() == [np.count_nonzero(q) for q in charge]
    photons = [pt[np.array(code) == 22].sum() / pt.sum() for code, pt in zip(pid, pts, strict=True)]
    np.testing.assert_allclose(photon_fraction(jets), photons, rtol=1e-12)
    tracks = [pt[np.array(q) != 0].sum() / pt.sum() for q, pt in zip(charge, pts, strict=True)]
    np.testing.assert_allclose(charged_fraction(jets), tracks, rtol=1e-12)
    pions = [pt[np.abs(code) == 211].sum() / pt.sum() for code, pt in zip(map(np.array, pid), pts, strict=True)]
    np.testing.assert_allclose(pid_fraction(jets, [211]), pions, rtol=1e-12)


def test_charges_of_generated_particles_follow_from_their_numbers(generated_jets: ak.Array) -> None:
    pid = ak.to_numpy(ak.flatten(generated_jets.pid))
    assert len(np.unique(np.abs(pid))) >= 8
    assert charges(pid).tolist() == ak.flatten(generated_jets.charge).tolist()
    without = generated_jets[["px", "py", "pz", "energy", "pid"]]
    assert jet_charge(without).tobytes() == jet_charge(generated_jets).tobytes()


@pytest.mark.parametrize(
    ("pid", "charge"),
    [
        *((code, 0) for code in (0, 1, 2, 12, 14, 22, 23, 25, 111, 130, 310, 311, 421, 443, 511, 531, 2112, 3122)),
        *((code, -1) for code in (11, 13, 15, -24, -211, -321, -2212, 3112, 3312, 3334, 5112, 5132)),
        *((code, 1) for code in (-11, 24, 211, 321, 411, 431, 521, 541, 213, 9000211, 100211, 2212, 3222, 4122)),
        (2224, 2),
        (-2224, -2),
        (4222, 2),
        (1000010020, 1),
        (1000020040, 2),
        (-1000020040, -2),
        (1000022, 0),
    ],
)
def test_charge_of_a_particle(pid: int, charge: int) -> None:
    assert charges(np.array([pid], dtype=np.int32)).tolist() == [charge]
    assert charges(np.array([-pid], dtype=np.int64)).tolist() == [-charge]


def by_hand() -> ak.Array:
    """A positive pion of 60, a photon of 30 and an electron of 10 GeV in one direction."""
    jets = awkward_jets(from_angles([60.0, 30.0, 10.0], [0.2] * 3, [0.1] * 3))
    return with_fields(jets, charge=[1, 0, -1], pid=[211, 22, 11])


def test_three_constituents_by_hand() -> None:
    jets = by_hand()
    assert jet_charge(jets, 1.0)[0] == pytest.approx(0.5)
    assert jet_charge(jets)[0] == pytest.approx(math.sqrt(0.6) - math.sqrt(0.1))
    assert jet_charge(jets, 0.0)[0] == 0.0
    assert charged_multiplicity(jets).tolist() == [2]
    assert charged_multiplicity(jets, pt_min=20.0).tolist() == [1]
    assert charged_fraction(jets)[0] == pytest.approx(0.7)
    assert photon_fraction(jets)[0] == pytest.approx(0.3)
    assert pid_fraction(jets, (11, 13))[0] == pytest.approx(0.1)
    assert leading_fractions(jets, 4)[0] == pytest.approx([0.6, 0.3, 0.1, 0.0])
    assert [count_for_fraction(jets, f)[0] for f in (0.5, 0.59, 0.61, 0.89, 0.91, 1.0)] == [1, 1, 2, 2, 3, 3]
    assert multiplicity(jets, pt_min=10.5).tolist() == [2]


def test_charges_given_apart_count_before_those_of_the_constituents() -> None:
    jets = by_hand()
    bare = jets[["px", "py", "pz", "energy"]]
    expected = jet_charge(jets, 1.0).tolist()
    others = {
        "awkward": (bare, ak.Array([[1, 0, -1]])),
        "flat": (flat_jets(*each_jet(jets)), [1, 0, -1]),
        "floats": (bare, np.array([1.0, 0.0, -1.0], dtype=">f4")),
        "bytes": (bare, np.array([1, 0, -1], dtype=np.int8)),
        "not contiguous": (bare, np.array([1, 9, 0, 9, -1, 9])[::2]),
        "optional": (bare, ak.Array([[1, 0, -1, None]])[:, :3]),
    }
    for name, (constituents, charge) in others.items():
        assert jet_charge(constituents, 1.0, charge=charge).tolist() == expected, name
    assert jet_charge(jets, 1.0, charge=[-1, 0, 1]).tolist() == [-x for x in expected]
    assert jet_charge(Jets.from_constituents(jets), 1.0).tolist() == expected
    assert photon_fraction(bare, pid=[211.0, 22.0, 11.0])[0] == pytest.approx(0.3)
    assert photon_fraction(Jets.from_constituents(jets))[0] == pytest.approx(0.3)
    sliced = ak.concatenate([jets, jets, jets])[1:]
    assert jet_charge(sliced, 1.0).tolist() == expected * 2


seeds, sizes = st.integers(0, 10**6), st.integers(1, 40)


@given(seeds, sizes, st.floats(0.1, 0.9))
def test_order_does_not_matter_and_unsafe_counts_move(seed: int, n: int, z: float) -> None:
    jet = spread_jet(seed, n)
    jets, shuffled = awkward_jets(jet), awkward_jets(permuted(jet, seed))
    np.testing.assert_allclose(leading_fractions(shuffled, 5), leading_fractions(jets, 5), rtol=1e-12)
    assert multiplicity(awkward_jets(split_collinearly(jet, seed % n, z)))[0] == n + 1
    soft = awkward_jets(with_soft(jet, 1e-9, 0.3, -0.2))
    assert multiplicity(soft)[0] == n + 1
    assert multiplicity(soft, pt_min=1e-6)[0] == n
    assert count_for_fraction(soft, 0.9)[0] == count_for_fraction(jets, 0.9)[0]
    np.testing.assert_allclose(leading_fractions(jets, n).sum(), 1, rtol=1e-12)


def test_jets_of_none_and_without_transverse_momentum() -> None:
    along = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, 1e100], [5.0, 1e100]])
    jets = with_fields(awkward_jets(np.empty((4, 0)), along), charge=[1, -1], pid=[211, 22])
    assert multiplicity(jets).tolist() == [0, 2]
    assert multiplicity(jets, pt_min=1e-9).tolist() == [0, 0]
    assert leading_fractions(jets, 2).tolist() == [[0, 0], [0, 0]]
    assert count_for_fraction(jets).tolist() == [0, 0]
    assert jet_charge(jets).tolist() == [0, 0]
    assert charged_multiplicity(jets).tolist() == [0, 1 + 1]
    assert charged_fraction(jets).tolist() == photon_fraction(jets).tolist() == [0, 0]
    nothing = with_fields(awkward_jets(np.empty((4, 0))), charge=[])
    assert jet_charge(nothing).tolist() == [0]
    assert leading_fractions(ak.Array([]), 2).shape == (0, 2)
    assert jet_charge(ak.Array([]), charge=[]).shape == (0,)


def test_charges_of_balanced_hard_constituents_stay_finite() -> None:
    pair = np.array([[1e99, -1e99, 1e-140], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1e99, 1e99, 1e-140]])
    for kappa in (0.5, 1.0, 1e6):
        assert np.isfinite(jet_charge(awkward_jets(pair), kappa, charge=[1, -1, 1])[0])


def test_the_bytes_do_not_depend_on_threads() -> None:
    jets = [spread_jet(seed, seed % 40) for seed in range(1200)]
    flat = flat_jets(*jets)
    charge = np.random.default_rng(1).integers(-1, 2, len(flat.px))
    functions: list[Callable[[int], Any]] = [
        lambda threads: jet_charge(flat, charge=charge, num_threads=threads),
        lambda threads: charged_fraction(flat, charge=charge, num_threads=threads),
        lambda threads: leading_fractions(flat, 3, num_threads=threads),
        lambda threads: count_for_fraction(flat, num_threads=threads),
        lambda threads: multiplicity(flat, pt_min=1.0, num_threads=threads),
    ]
    for function in functions:
        assert function(3).tobytes() == function(1).tobytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda jets: jet_charge(jets, -0.5), r"kappa is -0.5"),
        (lambda jets: jet_charge(jets, math.nan), r"kappa is nan"),
        (lambda jets: multiplicity(jets, pt_min=-1.0), r"pt_min is -1; it must be"),
        (lambda jets: charged_multiplicity(jets, pt_min=math.inf), r"pt_min is inf"),
        (lambda jets: leading_fractions(jets, 0), r"n is 0; it must be"),
        (lambda jets: leading_fractions(jets, 1.5), r"n is 1.5"),
        (lambda jets: count_for_fraction(jets, 0.0), r"fraction is 0; it must be"),
        (lambda jets: count_for_fraction(jets, 95), r"fraction is 95"),
        (lambda jets: count_for_fraction(jets, math.nan), r"fraction is nan"),
        (lambda jets: pid_fraction(jets, ()), r"particles is \(\); it must be"),
        (lambda jets: pid_fraction(jets, -22), r"particles is -22"),
        (lambda jets: pid_fraction(jets, "photon"), r"particles is 'photon'"),
        (lambda jets: pid_fraction(jets, b"x"), r"particles is b'x'; it must be"),
        (lambda jets: pid_fraction(jets, True), r"particles is True; it must be"),
        (lambda jets: pid_fraction(jets, [[11], [11, 13]]), r"particles is .*; it must be"),
        (lambda jets: pid_fraction(jets, 2**63), r"particles is 9223372036854775808; it must be"),
        (lambda jets: leading_fractions(jets, 10**28), r"n is 10000000000000000000000000000; it must be .* to 10000"),
        (lambda jets: count_for_fraction(jets, "0.9"), r"fraction is '0.9'; it must be"),
        (lambda jets: jet_charge(jets, "0.5"), r"kappa is '0.5'; it must be"),
    ],
)
def test_silly_arguments_are_refused(call: Callable[[ak.Array], Any], message: str) -> None:
    with pytest.raises(JetforgeError, match=message):
        call(by_hand())


@pytest.mark.parametrize(
    ("charge", "message"),
    [
        ([1, 0], r"charge has the shape \(2,\); it must be one number for each of 3 constituents"),
        (ak.Array([[1, 0], [1]]), r"charge has other numbers of entries in its jets than there are constituents"),
        (ak.Array([[1, None, 0]]), r"jet 0, constituent 1: charge is missing \(None\); fill it"),
        ([1, math.nan, 0], r"jet 0, constituent 1: charge is nan; it must be"),
        (["+", "0", "-"], r"charge is of type .*; it must be"),
        ([[1], [1, 2]], r"charge is no array of numbers; its rows must be of one length"),
        (np.array([1, 0, 2**63], dtype=np.uint64), r"jet 0, constituent 2: charge is 9223372036854775808; it must be"),
    ],
)
def test_broken_charges_are_refused(charge: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        jet_charge(by_hand(), charge=charge)


def test_kinds_of_particles_may_be_given_in_any_way() -> None:
    for kinds in (
        (11, 13),
        [11, 13],
        {11, 13},
        frozenset((11, 13)),
        np.array([11, 13], dtype=np.uint8),
        11,
        np.array(11),
    ):
        assert pid_fraction(by_hand(), kinds)[0] == pytest.approx(0.1)


def test_particle_numbers_beyond_all_integers_are_refused() -> None:
    with pytest.raises(DataError, match=r"jet 0, constituent 1: pid is 1e\+30; it must be a whole number below 2\^63"):
        photon_fraction(by_hand(), pid=[22.0, 1e30, 11.0])
    with pytest.raises(DataError, match=r"jet 0, constituent 0: pid is 18446744073709551405; it must be below 2\^63"):
        photon_fraction(by_hand(), pid=np.array([2**64 - 211, 22, 22], dtype=np.uint64))


def test_missing_charges_and_numbers_are_refused() -> None:
    bare = by_hand()[["px", "py", "pz", "energy"]]
    with pytest.raises(DataError, match=r"neither a field 'charge' nor 'pid'; add one of them, or give charge="):
        jet_charge(bare)
    with pytest.raises(DataError, match=r"neither a field 'charge' nor 'pid'"):
        charged_fraction(flat_jets(spread_jet(1, 3)))
    with pytest.raises(DataError, match=r"no field 'pid'; add it to them, or give it as pid="):
        photon_fraction(bare)
    with pytest.raises(DataError, match=r"jet 0, constituent 2: pid is 11.5; it must be"):
        photon_fraction(bare, pid=[22.0, 22.0, 11.5])
