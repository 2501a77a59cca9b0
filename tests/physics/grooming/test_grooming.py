"""What all groomers promise: records, invariances, refusals, and finite numbers whatever the jet."""

from collections.abc import Callable
from functools import partial
from math import inf, nan
from typing import Any

import awkward as ak
import numpy as np
import pytest
from helpers.jets import (
    Momenta,
    awkward_jets,
    boosted,
    cell_jet,
    each_jet,
    flat_jets,
    from_angles,
    permuted,
    rotated,
    split_collinearly,
    spread_jet,
    with_soft,
)
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.flat import FlatJets
from jetforge.physics.grooming import (
    bottom_up_soft_drop,
    bottom_up_soft_drop_arrays,
    filtering,
    filtering_arrays,
    iterated_soft_drop,
    modified_mass_drop,
    pruning,
    pruning_arrays,
    recursive_soft_drop,
    recursive_soft_drop_arrays,
    soft_drop,
    soft_drop_arrays,
    soft_drop_multiplicity,
    trimming,
    trimming_arrays,
)

GROOMERS: dict[str, Callable[..., Any]] = {
    "soft_drop": partial(soft_drop, beta=1.0),
    "modified_mass_drop": modified_mass_drop,
    "soft_drop_y": partial(soft_drop, z_cut=0.05, symmetry="y", mu_cut=0.9, recursion="larger_m"),
    "recursive_soft_drop": recursive_soft_drop,
    "recursive_soft_drop_dynamic": partial(recursive_soft_drop, beta=0.5, n=3, dynamic_R0=True),
    "iterated_soft_drop": partial(iterated_soft_drop, angular_cut=0.01),
    "bottom_up_soft_drop": bottom_up_soft_drop,
    "pruning": pruning,
    "trimming": trimming,
    "filtering": filtering,
}
ARRAYS = [
    (soft_drop, soft_drop_arrays),
    (recursive_soft_drop, recursive_soft_drop_arrays),
    (bottom_up_soft_drop, bottom_up_soft_drop_arrays),
    (pruning, pruning_arrays),
    (trimming, trimming_arrays),
    (filtering, filtering_arrays),
]
COMPONENTS = ("px", "py", "pz", "energy")
SPLITTING = ("z_g", "R_g", "mu")
seeds = st.integers(0, 10**6)
sizes = st.integers(1, 40)


def momenta(groomed: ak.Array) -> Momenta:
    return np.stack([groomed[name].to_numpy() for name in COMPONENTS])


def numbers(groomed: ak.Array) -> dict[str, list[Any]]:
    """Return all that does not depend on the frame or the units, as lists."""
    found = {name: groomed[name].to_list() for name in groomed.fields if name in ("passed", "multiplicity", *SPLITTING)}
    for name in ("dropped", "splittings"):
        if name in groomed.fields:
            found |= {f"{name}.{x}": ak.ravel(groomed[name][x]).to_list() for x in ("z", "delta", "mu")}
    return found


def assert_same_numbers(ours: ak.Array, theirs: ak.Array) -> None:
    found, expected = numbers(ours), numbers(theirs)
    assert found.keys() == expected.keys()
    for name, values in found.items():
        # mu of light pairs is a ratio of rounding noise
        np.testing.assert_allclose(values, expected[name], rtol=1e-6, atol=1e-4 if "mu" in name else 1e-7, err_msg=name)


@pytest.mark.parametrize("groom", GROOMERS.values(), ids=GROOMERS)
def test_a_groomed_jet_is_the_sum_of_what_was_kept(groom: Callable[..., Any]) -> None:
    constituents = awkward_jets(*(spread_jet(seed, 5 + 3 * seed) for seed in range(20)))
    groomed = groom(constituents)
    kept = constituents[groomed.indices]
    total = [ak.sum(kept[name], axis=1).to_numpy() for name in COMPONENTS]
    np.testing.assert_allclose(momenta(groomed), total, rtol=0, atol=1e-12 * ak.max(groomed.energy))
    assert all(sorted(set(row)) == row for row in groomed.indices.to_list())
    assert ak.sum(ak.num(groomed.indices)) < ak.sum(ak.num(constituents.px))
    for pieces in ("prongs", "subjets"):
        if pieces in groomed.fields:
            total = [ak.sum(groomed[pieces][name], axis=1).to_numpy() for name in COMPONENTS]
            np.testing.assert_allclose(momenta(groomed), total, rtol=0, atol=1e-12 * ak.max(groomed.energy))
            assert all(row == sorted(row, reverse=True) for row in groomed[pieces].pt.to_list())


@pytest.mark.parametrize("groom", GROOMERS.values(), ids=GROOMERS)
def test_a_groomed_jet_behaves_as_a_four_momentum(groom: Callable[..., Any]) -> None:
    groomed = groom(awkward_jets(spread_jet(1, 30), spread_jet(2, 40)))
    px, py, pz, energy = momenta(groomed)
    np.testing.assert_allclose(groomed.pt, np.hypot(px, py))
    np.testing.assert_allclose(groomed.mass, np.sqrt(energy**2 - px**2 - py**2 - pz**2), rtol=1e-6)
    assert str(groomed.type).startswith("2 * Momentum4D[")
    assert (groomed + groomed).pt[0] == pytest.approx(2 * groomed.pt[0])


@pytest.mark.parametrize(("groom", "arrays"), ARRAYS, ids=[arrays.__name__ for _, arrays in ARRAYS])
def test_arrays_hold_the_numbers_of_the_records(groom: Callable[..., Any], arrays: Callable[..., Any]) -> None:
    jets = [spread_jet(seed, seed) for seed in range(30)]
    groomed, flat = groom(awkward_jets(*jets)), arrays(flat_jets(*jets))
    for name in flat._fields:
        field = "R_g" if name == "r_g" else name
        expected = groomed[field].to_numpy() if field in groomed.fields else np.zeros(30)
        np.testing.assert_array_equal(getattr(flat, name), expected)


@given(seeds, sizes, st.sampled_from(sorted(GROOMERS)), st.floats(-3, 3), st.floats(-2, 2), st.floats(-1, 1))
def test_grooming_sees_no_rotation_boost_or_change_of_units(
    seed: int, n: int, name: str, angle: float, eta: float, log_scale: float
) -> None:
    jet = spread_jet(seed, n)
    moved = 10**log_scale * boosted(rotated(jet, angle), eta)
    ours, theirs = GROOMERS[name](awkward_jets(moved)), GROOMERS[name](awkward_jets(jet))
    assert_same_numbers(ours, theirs)
    assert ours.indices.to_list() == theirs.indices.to_list()
    np.testing.assert_allclose(ours.pt, 10**log_scale * theirs.pt, rtol=1e-9)


@given(seeds, sizes, st.sampled_from(sorted(GROOMERS)), seeds)
def test_grooming_sees_no_permutation(seed: int, n: int, name: str, order: int) -> None:
    jet = spread_jet(seed, n)
    shuffled = GROOMERS[name](awkward_jets(permuted(jet, order)))
    groomed = GROOMERS[name](awkward_jets(jet))
    assert_same_numbers(shuffled, groomed)
    np.testing.assert_allclose(momenta(shuffled), momenta(groomed), rtol=1e-9, atol=1e-9)
    assert ak.num(shuffled.indices).to_list() == ak.num(groomed.indices).to_list()


@pytest.mark.parametrize("name", ["soft_drop", "modified_mass_drop", "recursive_soft_drop", "trimming", "filtering"])
@given(seeds, st.integers(2, 30), st.integers(0, 29), st.floats(0.1, 0.9))
def test_groomed_momentum_sees_no_collinear_splitting(name: str, seed: int, n: int, which: int, z: float) -> None:
    jet = spread_jet(seed, n)
    groomed = GROOMERS[name](awkward_jets(jet, split_collinearly(jet, which % n, z)))
    if groomed.passed[0] or name != "modified_mass_drop":  # a tagger may find its splitting in the one that was added
        np.testing.assert_allclose(momenta(groomed)[:, 1], momenta(groomed)[:, 0], rtol=1e-9, atol=1e-8)
        assert ak.num(groomed.indices)[1] - ak.num(groomed.indices)[0] in (0, 1)


@pytest.mark.parametrize("name", ["soft_drop", "modified_mass_drop", "recursive_soft_drop", "bottom_up_soft_drop"])
@given(seeds, st.integers(2, 30), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_groomed_momentum_sees_no_soft_emission(name: str, seed: int, n: int, dy: float, dphi: float) -> None:
    jet = spread_jet(seed, n)
    groomed = GROOMERS[name](awkward_jets(jet, with_soft(jet, 1e-9, dy, dphi)))
    np.testing.assert_allclose(momenta(groomed)[:, 1], momenta(groomed)[:, 0], rtol=0, atol=1e-7)


def test_the_number_of_constituents_kept_sees_a_collinear_splitting() -> None:
    jet = spread_jet(8, 30)
    hardest = int(np.argmax(jet[0] ** 2 + jet[1] ** 2))
    groomed = soft_drop(awkward_jets(jet, split_collinearly(jet, hardest, 0.4)))
    assert ak.num(groomed.indices)[1] == ak.num(groomed.indices)[0] + 1


@pytest.mark.parametrize("name", ["soft_drop", "modified_mass_drop", "bottom_up_soft_drop"])
@given(seeds, sizes)
def test_grooming_twice_is_grooming_once(name: str, seed: int, n: int) -> None:
    constituents = awkward_jets(spread_jet(seed, n))
    once = GROOMERS[name](constituents)
    twice = GROOMERS[name](constituents[once.indices])
    np.testing.assert_allclose(momenta(twice), momenta(once), rtol=1e-12, atol=1e-12)
    assert ak.num(twice.indices).to_list() == ak.num(once.indices).to_list()
    assert ak.num(twice.dropped).to_list() == [0] or not once.passed[0]


@pytest.mark.parametrize("groom", GROOMERS.values(), ids=GROOMERS)
def test_odd_jets_give_finite_numbers(groom: Callable[..., Any]) -> None:
    one = spread_jet(3, 1)
    beam = np.array([[0.0, 0.0], [0.0, 0.0], [5.0, -9.0], [5.0, 9.0]])
    back_to_back = np.array([[3.0, -3.0], [4.0, -4.0], [1.0, 2.0], [6.0, 7.0]])
    jets = [
        np.empty((4, 0)),
        one,
        spread_jet(4, 2),
        np.repeat(one, 3, axis=1),
        np.zeros((4, 3)),
        beam,
        np.concatenate([spread_jet(5, 20), beam], axis=1),
        back_to_back,
        1e97 * spread_jet(6, 10),
        1e-120 * spread_jet(6, 10),
        cell_jet(7, 30),
        from_angles([1.0, 1.0, 1e-300], [0.0, 0.0, 0.4], [0.1, 0.1, 0.2]),
    ]
    groomed = groom(awkward_jets(*jets))
    for name in (*COMPONENTS, *SPLITTING):
        if name in groomed.fields:
            assert np.isfinite(groomed[name].to_numpy()).all()
    for name in ("dropped", "splittings"):
        if name in groomed.fields:
            assert all(np.isfinite(ak.ravel(groomed[name][x])).to_numpy().all() for x in ("z", "delta", "kt", "mu"))
    assert not groomed.passed[0]
    assert momenta(groomed)[:, 0].tolist() == [0.0] * 4
    assert groomed.indices[0].to_list() == []
    empty_if_tagger = momenta(groomed)[:, 1]
    tags = groom is modified_mass_drop
    np.testing.assert_allclose(empty_if_tagger, np.zeros(4) if tags else one[:, 0])


@pytest.mark.parametrize("groom", GROOMERS.values(), ids=GROOMERS)
def test_no_jets_at_all(groom: Callable[..., Any]) -> None:
    groomed = groom(awkward_jets(spread_jet(0, 3))[:0])
    assert len(groomed) == 0
    assert groomed.fields == groom(awkward_jets(spread_jet(0, 3))).fields


@pytest.mark.parametrize("groom", GROOMERS.values(), ids=GROOMERS)
def test_the_result_does_not_depend_on_threads(groom: Callable[..., Any]) -> None:
    constituents = awkward_jets(*(spread_jet(seed, 1 + seed % 7) for seed in range(1200)))
    one, three = groom(constituents, num_threads=1), groom(constituents, num_threads=3)
    assert ak.array_equal(one, three)
    assert ak.array_equal(
        one[500:530], groom(constituents[500:530])
    )  # where one range of jets ends, and another starts


def test_all_forms_of_input_are_the_same() -> None:
    jets = [spread_jet(seed, 10 + seed) for seed in range(5)]
    constituents = awkward_jets(*jets)
    expected = soft_drop(constituents)
    forms = [flat_jets(*jets), Jets.from_constituents(constituents), ak.mask(constituents, [True] * 5)]
    for form in forms:
        assert ak.array_equal(soft_drop(form), expected)
    assert ak.array_equal(soft_drop(constituents[::2]), expected[::2])
    single = ak.values_astype(constituents, np.float32)
    np.testing.assert_allclose(soft_drop(single).pt, expected.pt, rtol=1e-5)


@pytest.mark.parametrize(("groom", "arrays"), ARRAYS, ids=[arrays.__name__ for _, arrays in ARRAYS])
def test_arrays_take_and_refuse_what_the_records_do(groom: Callable[..., Any], arrays: Callable[..., Any]) -> None:
    jet = spread_jet(0, 8)
    np.testing.assert_array_equal(arrays(awkward_jets(jet)).energy, arrays(flat_jets(jet)).energy)
    np.testing.assert_array_equal(
        arrays(Jets.from_constituents(awkward_jets(jet))).energy, groom(flat_jets(jet)).energy
    )
    flat = flat_jets(jet)
    for offsets in ([0, 9], [1, 8], [0, 10**9], [0, 9, 8]):
        with pytest.raises(DataError, match="offsets must start at 0"):
            arrays(flat._replace(offsets=np.array(offsets)))
    with pytest.raises(DataError, match="jet 0, constituent 3"):
        arrays(flat._replace(px=np.where(np.arange(8) == 3, nan, flat.px)))
    with pytest.raises(DataError, match="must be an awkward array"):
        arrays([1.0])


@pytest.mark.parametrize("groom", [soft_drop, recursive_soft_drop, iterated_soft_drop, bottom_up_soft_drop])
def test_the_angle_of_the_cut_is_by_default_that_of_all_observables(groom: Callable[..., Any]) -> None:
    constituents = awkward_jets(*(spread_jet(seed, 20) for seed in range(20)))
    assert ak.array_equal(groom(constituents, 0.2, 1.0), groom(constituents, 0.2, 1.0, R0=0.8))
    assert not ak.array_equal(groom(constituents, 0.2, 1.0), groom(constituents, 0.2, 1.0, R0=1.0))


@pytest.mark.parametrize("arrays", [soft_drop_arrays, recursive_soft_drop_arrays, bottom_up_soft_drop_arrays])
def test_arrays_have_the_same_default(arrays: Callable[..., Any]) -> None:
    flat = flat_jets(*(spread_jet(seed, 20) for seed in range(20)))
    np.testing.assert_array_equal(arrays(flat, beta=1.0).energy, arrays(flat, beta=1.0, R0=0.8).energy)
    assert np.any(arrays(flat, beta=1.0).energy != arrays(flat, beta=1.0, R0=1.0).energy)
    count = soft_drop_multiplicity(flat)
    np.testing.assert_array_equal(count, soft_drop_multiplicity(flat, R0=0.8))
    assert np.any(count != soft_drop_multiplicity(flat, R0=1.0))


@pytest.mark.parametrize("groom", [soft_drop, recursive_soft_drop, bottom_up_soft_drop])
def test_without_a_cut_every_splitting_passes_whatever_its_angle(groom: Callable[..., Any]) -> None:
    same = np.repeat(spread_jet(1, 1), 4, axis=1)
    groomed = groom(awkward_jets(same), z_cut=0.0, beta=-1.0)
    assert groomed.passed.to_list() == [True]
    assert groomed.indices.to_list() == [[0, 1, 2, 3]]
    assert ak.num(groomed.dropped).to_list() == [0]


def test_without_an_angle_to_measure_by_the_cut_is_z_cut() -> None:
    same = np.repeat(from_angles([10.0], [0.0], [0.0]), 4, axis=1)
    groomed = recursive_soft_drop(awkward_jets(same), 0.1, 1.0, dynamic_R0=True)
    assert groomed.multiplicity.to_list() == [3]


def test_the_momentum_sees_a_collinear_splitting_where_nothing_passed_but_the_mass_does_not() -> None:
    """One particle, and the same split: soft drop of beta = 0 drops the softer half, as it is below the cut."""
    one = from_angles([100.0], [0.0], [0.0])
    groomed = soft_drop(awkward_jets(one, split_collinearly(one, 0, 0.05)), z_cut=0.1, beta=0.0)
    np.testing.assert_allclose(groomed.pt, [100.0, 95.0])
    np.testing.assert_allclose(groomed.energy**2 - groomed.pt**2 - groomed.pz**2, 0.0, atol=1e-9)
    groomed = soft_drop(awkward_jets(one, split_collinearly(one, 0, 0.05)), z_cut=0.1, beta=1.0)
    np.testing.assert_allclose(groomed.pt, [100.0, 100.0])


def test_bad_constituents_are_refused() -> None:
    with pytest.raises(DataError, match="not a finite momentum"):
        soft_drop(awkward_jets(np.array([[nan], [0.0], [0.0], [1.0]])))
    with pytest.raises(DataError, match="missing"):
        trimming(ak.Array([[{"px": 1.0, "py": 0.0, "pz": 0.0, "energy": 2.0}, None]]))
    with pytest.raises(DataError, match="awkward array"):
        pruning([[1.0, 2.0]])


@pytest.mark.parametrize(
    ("groom", "wrong", "message"),
    [
        (soft_drop, {"z_cut": -0.1}, r"z_cut is -0.1; it must be"),
        (soft_drop, {"z_cut": 10}, "from 0 to 1"),
        (soft_drop, {"z_cut": "0.1"}, "z_cut is '0.1'"),
        (soft_drop, {"beta": nan}, "beta is nan; it must be"),
        (soft_drop, {"beta": inf}, "beta is inf"),
        (soft_drop, {"R0": 0}, "R0 is 0; it must be"),
        (soft_drop, {"mode": "tagger"}, "mode 'tagger' is not known; choose one of groom, tag"),
        (soft_drop, {"symmetry": "z"}, "symmetry 'z' is not known; choose one of scalar_z, vector_z, y"),
        (soft_drop, {"recursion": "pt"}, "recursion 'pt' is not known; choose one of larger_pt, larger_mt, larger_m"),
        (soft_drop, {"algorithm": "CA"}, "algorithm 'CA' is not known"),
        (soft_drop, {"mu_cut": 0.0}, "mu_cut is 0; it must be"),
        (soft_drop, {"num_threads": 0}, "num_threads is 0"),
        (soft_drop_arrays, {"z_cut": nan}, "z_cut is nan"),
        (modified_mass_drop, {"mode": None}, "mode None is not known"),
        (recursive_soft_drop, {"n": 2**63}, "n is 9223372036854775808; it must be"),
        (recursive_soft_drop, {"dynamic_R0": "no"}, "dynamic_R0 is 'no'; it must be True or False"),
        (recursive_soft_drop_arrays, {"dynamic_R0": 1}, "dynamic_R0 is 1; it must be True or False"),
        (soft_drop, {"R0": 1e-170}, "R0 is 1e-170; it must be"),
        (trimming, {"R_sub": 7e102}, r"R_sub is 7e\+102; it must be"),
        (trimming, {"R_sub": None}, "R_sub is None; it must be"),
        (filtering, {"R_sub": 1e-170}, "R_sub is 1e-170; it must be"),
        (filtering_arrays, {"n_hardest": 2**63}, "n_hardest is 9223372036854775808; it must be"),
        (recursive_soft_drop, {"n": 0}, "n is 0; it must be"),
        (recursive_soft_drop, {"n": 1.5}, "n is 1.5"),
        (recursive_soft_drop_arrays, {"n": True}, "n is True"),
        (iterated_soft_drop, {"angular_cut": -1.0}, "angular_cut is -1;"),
        (soft_drop_multiplicity, {"R0": -1}, "R0 is -1"),
        (bottom_up_soft_drop, {"R0": inf}, "R0 is inf"),
        (bottom_up_soft_drop_arrays, {"algorithm": "anti-kt"}, "algorithm 'anti-kt' is not known"),
        (pruning, {"R_cut_factor": -0.5}, "R_cut_factor is -0.5; it must be"),
        (pruning_arrays, {"z_cut": 2.0}, "z_cut is 2;"),
        (trimming, {"R_sub": 0.0}, "R_sub is 0;"),
        (trimming, {"pt_fraction": 5}, "pt_fraction is 5"),
        (trimming_arrays, {"algorithm": "k_t"}, "algorithm 'k_t' is not known"),
        (filtering, {"n_hardest": 0}, "n_hardest is 0; it must be"),
        (filtering_arrays, {"n_hardest": 2.0}, "n_hardest is 2.0"),
    ],
)
def test_silly_parameters_are_refused(groom: Callable[..., Any], wrong: dict[str, Any], message: str) -> None:
    flat: FlatJets = flat_jets(spread_jet(0, 3))
    with pytest.raises(JetforgeError, match=message):
        groom(flat, **wrong)


def test_generated_jets_get_lighter_but_not_lost(generated_jets: ak.Array) -> None:
    mass = {
        name: np.median(GROOMERS[name](generated_jets).mass)
        for name in ("soft_drop", "pruning", "trimming", "filtering")
    }
    whole = np.median(
        [np.sqrt(max(p[3] ** 2 - (p[:3] ** 2).sum(), 0.0)) for p in (j.sum(1) for j in each_jet(generated_jets))]
    )
    assert all(0.2 * whole < groomed < whole for groomed in mass.values())
