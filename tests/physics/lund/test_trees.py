"""Jets and trees in any form go in; blocks of them, and selections that are trees, come out."""

import awkward as ak
import fastjet
import numpy as np
import pytest
from helpers.jets import Momenta, awkward_jets, each_jet, flat_jets, from_angles, pseudojets, spread_jet
from hypothesis import given
from hypothesis import strategies as st

import jetforge
from jetforge.errors import DataError, JetforgeError
from jetforge.physics.lund import LundArrays, lund_arrays
from jetforge.physics.lund import trees as lund_trees
from jetforge.physics.lund.cuts import cut_tree, groomed_tree
from jetforge.physics.lund.leaves import leading_emission, primary_lund_plane, secondary_lund_plane
from jetforge.physics.lund.plane import lund_density, lund_image
from jetforge.physics.lund.trees import LundTrees, lund_source, prong_blocks


def fastjet_prongs(jet: Momenta) -> list[bool]:
    """Return, from FastJet's own clustering, whether each declustering is in the harder prong of its parent."""
    definition = fastjet.JetDefinition(fastjet.cambridge_algorithm, fastjet.JetDefinition.max_allowable_R)
    sequence = fastjet.ClusterSequence(pseudojets(jet), definition)
    (root,) = sequence.inclusive_jets()
    found, waiting = {}, [(root, True)]
    while waiting:
        pair, is_hard = waiting.pop()
        hard, soft = fastjet.PseudoJet(), fastjet.PseudoJet()
        if pair.has_parents(hard, soft):
            if soft.pt2() > hard.pt2():
                hard, soft = soft, hard
            found[pair.cluster_hist_index()] = is_hard
            waiting += [(hard, True), (soft, False)]
    return [found[step] for step in sorted(found, reverse=True)]


@pytest.mark.parametrize("n", [2, 3, 10, 71, 200])
def test_prongs_are_those_of_fastjet(n: int) -> None:
    jets = [spread_jet(seed, n) for seed in range(12)]
    (trees,) = prong_blocks(flat_jets(*jets), num_threads=1)
    for j, jet in enumerate(jets):
        assert trees.is_hard[trees.offsets[j] : trees.offsets[j + 1]].tolist() == fastjet_prongs(jet)


def test_prongs_of_generated_jets_are_those_of_fastjet(generated_jets: ak.Array) -> None:
    """Only below the floors, which lie far below what is measured, a prong may be unknown."""
    (trees,) = prong_blocks(lund_source(generated_jets, links=True), num_threads=1)
    differing = total = 0
    for j, jet in enumerate(each_jet(generated_jets)):
        begin, end = trees.offsets[j : j + 2]
        theirs = fastjet_prongs(jet)
        assert len(theirs) == end - begin
        known = trees.ln_kt[begin:end] > np.log(1e-6) + 1e-9
        differing += np.count_nonzero((trees.is_hard[begin:end] != theirs) & known)
        total += end - begin
    assert total > 10_000
    # Distances that are equal to the last bits may merge in another order.
    assert differing <= 5


def test_a_primary_declustering_is_in_harder_prongs_all_the_way() -> None:
    jets = flat_jets(*(spread_jet(seed, 40) for seed in range(20)))
    (trees,) = prong_blocks(jets, num_threads=1)
    for i, parent in enumerate(trees.parent):
        j = np.searchsorted(trees.offsets, i, side="right") - 1
        above = parent < 0 or trees.is_primary[trees.offsets[j] + parent]
        assert trees.is_primary[i] == (above and trees.is_hard[i])


def test_collinear_copies_and_zero_pt_have_prongs_as_well() -> None:
    same = from_angles([30.0, 10.0, 5.0, 4.0, 3.0], [0.0] * 5, [0.0] * 5)
    beam = np.array([[0.0, 0.0, 3.0, 4.0], [0.0] * 4, [5.0, -7.0, 1.0, 2.0], [5.0, 7.0, 4.0, 5.0]])
    for block in prong_blocks(flat_jets(same, beam), num_threads=1):
        assert lund_source(lund_trees.as_awkward(block, [block]), links=True) is not None


def nasty_constituents() -> st.SearchStrategy[list[tuple[float, float, float, float]]]:
    """Return constituents of sizes and directions that break formulas, some of them twice."""
    size = st.sampled_from([1e-300, 1e-160, 1e-9, 0.1, 3.0, 500.0, 1e50, 1e100])
    beam = st.builds(lambda p, sign: (0.0, 0.0, sign * p, p), size, st.sampled_from([1.0, -1.0]))
    massless = st.builds(lambda p: (0.03 * p, 0.04 * p, 0.12 * p, 0.13 * p), size)
    edge = st.builds(lambda p, tiny: (-p, tiny * p, 0.0, p), size, st.sampled_from([1e-12, 0.0, -1e-12]))
    nothing = st.just((0.0, 0.0, 0.0, 0.0))
    jet = st.lists(st.one_of(beam, massless, edge, nothing), min_size=1, max_size=15)
    return jet.flatmap(lambda jet: st.lists(st.sampled_from(jet), max_size=5).map(lambda again: jet + again))


@given(nasty_constituents())
def test_any_jet_gives_finite_trees_planes_and_densities(
    constituents: list[tuple[float, float, float, float]],
) -> None:
    jet = awkward_jets(np.array(constituents).T)
    for function in (cut_tree, groomed_tree, primary_lund_plane, secondary_lund_plane):
        tree = function(jet)
        assert lund_source(tree, links=True) is not None
        assert all(np.all(np.isfinite(ak.flatten(tree[name]))) for name in tree.fields)
    assert ak.num(cut_tree(jet)).tolist() == [len(constituents) - 1]
    for rule in ("mmdt", "dotmmdt", "mass", "kt"):
        assert leading_emission(jet, rule)[0] < len(constituents) - 1
    plane = lund_density(jet, plane="all")
    assert np.all(np.isfinite(plane.density) & np.isfinite(plane.error))
    assert lund_image(jet, plane="all").sum() == plane.counts.sum()


def trees_of(*jets: Momenta) -> ak.Array:
    return jetforge.lund_tree(awkward_jets(*jets))


JETS = [spread_jet(seed, n) for seed, n in enumerate([12, 0, 1, 2, 30, 7])]


def forms() -> list[object]:
    constituents = awkward_jets(*JETS)
    tree = jetforge.lund_tree(constituents)
    optional = ak.mask(tree, ak.Array([True] * len(JETS)))
    return [
        constituents,
        flat_jets(*JETS),
        tree,
        lund_arrays(flat_jets(*JETS)),
        optional,
        tree[np.arange(len(JETS))],
        ak.concatenate([tree[:3], tree[3:]]),
        cut_tree(tree),
    ]


@pytest.mark.parametrize("form", range(8))
def test_jets_and_trees_of_all_forms_give_the_same(form: int) -> None:
    given = forms()[form]
    assert np.array_equal(lund_image(given), lund_image(awkward_jets(*JETS)))
    for function in (cut_tree, primary_lund_plane, secondary_lund_plane):
        assert ak.array_equal(function(given), function(awkward_jets(*JETS)))


def test_float32_and_strided_trees_are_read() -> None:
    tree = trees_of(*JETS)
    fields = {name: tree[name] for name in tree.fields}
    single = ak.zip(fields | {"ln_kt": ak.values_astype(tree.ln_kt, np.float32)})
    strided = ak.unflatten(np.repeat(ak.flatten(tree.ln_kt).to_numpy(), 2)[::2], ak.num(tree))
    expected = lund_image(tree)
    assert np.array_equal(lund_image(ak.zip(fields | {"ln_kt": strided})), expected)
    assert lund_image(single).sum() == expected.sum()


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    jets = awkward_jets(*(spread_jet(seed, 3 + seed % 20) for seed in range(60)))
    functions = (cut_tree, primary_lund_plane, secondary_lund_plane)
    whole = [function(given) for function in functions for given in (jets, jetforge.lund_tree(jets))]
    image, plane = lund_image(jets), lund_density(jets)
    monkeypatch.setattr(lund_trees, "JETS_PER_BLOCK", 7)
    monkeypatch.setattr("jetforge.physics.lund.leaves.JETS_PER_BLOCK", 7)
    parts = [function(given) for function in functions for given in (jets, jetforge.lund_tree(jets))]
    for one, other in zip(whole, parts, strict=True):
        assert ak.array_equal(one, other)
    assert np.array_equal(image, lund_image(jets))
    assert np.array_equal(plane.counts, lund_density(jets).counts)
    np.testing.assert_allclose(lund_density(jets).error, plane.error, rtol=1e-12, atol=1e-15)


def test_the_result_does_not_depend_on_threads() -> None:
    jets = awkward_jets(*(spread_jet(seed, 3 + seed % 20) for seed in range(1500)))
    for function in (lund_image, cut_tree, primary_lund_plane, secondary_lund_plane):
        assert ak.array_equal(function(jets, num_threads=1), function(jets, num_threads=3))
    one, three = lund_density(jets, num_threads=1), lund_density(jets, num_threads=3)
    assert all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(one[:5], three[:5], strict=True))
    with pytest.raises(JetforgeError, match="num_threads is 0"):
        cut_tree(jets, num_threads=0)


def test_no_jets_give_no_trees_of_the_same_type() -> None:
    for nothing in (ak.Array([]), trees_of(*JETS)[:0], cut_tree(awkward_jets(*JETS))[:0]):
        empty = cut_tree(nothing)
        assert len(empty) == 0
        assert empty.fields == cut_tree(awkward_jets(*JETS)).fields == list(LundTrees._fields[1:])


def with_field(tree: ak.Array, name: str, values: list[list[object]]) -> ak.Array:
    return ak.zip({field: tree[field] for field in tree.fields} | {name: ak.Array(values)})


BROKEN_LINKS = {
    "root with a parent": ("parent", [[0, 0, 1]]),
    "two roots": ("parent", [[-1, -1, 1]]),
    "child before its parent": ("parent", [[-1, 2, 0]]),
    "three children": ("parent", [[-1, 0, 0, 0]]),
    "own parent": ("parent", [[-1, 1, 0]]),
    "root not primary": ("is_primary", [[False, False, False]]),
    "two primary children": ("is_primary", [[True, True, True]]),
}


@pytest.mark.parametrize("case", BROKEN_LINKS)
def test_links_that_are_no_tree_are_refused(case: str) -> None:
    name, values = BROKEN_LINKS[case]
    n = len(values[0])
    tree = trees_of(spread_jet(3, 30))[:, :n]
    links = {"parent": [[-1, 0, 0, 0][:n]], "is_primary": [[True, True, False, False][:n]]} | {name: values}
    tree = with_field(with_field(tree, "parent", links["parent"]), "is_primary", links["is_primary"])
    with pytest.raises(DataError, match="jet 0: the links of the declusterings are not those of a tree"):
        cut_tree(tree)


def test_prongs_that_contradict_the_primary_plane_are_refused() -> None:
    tree = cut_tree(awkward_jets(spread_jet(3, 30)))
    with pytest.raises(DataError, match="jet 0: the links"):
        cut_tree(with_field(tree, "is_hard", ak.to_list(~tree.is_hard)))


def test_a_selection_can_be_counted_but_not_cut() -> None:
    tree = trees_of(*JETS)
    assert lund_density(tree[tree.is_primary]).counts.sum() == lund_density(tree).counts.sum()
    with pytest.raises(DataError, match="select with cut_tree"):
        cut_tree(tree[~tree.is_primary])


def test_what_are_no_declusterings_is_refused() -> None:
    tree = trees_of(*JETS)
    with pytest.raises(DataError, match=r"lack the field psi; make them with jetforge\.lund_tree"):
        lund_image(tree[["ln_kt", "ln_delta", "ln_z", "ln_m", "parent", "is_primary"]])
    with pytest.raises(DataError, match=r"must be n_jets \* var \* record"):
        lund_image(tree[0])
    with pytest.raises(DataError, match="some are missing"):
        lund_image(ak.mask(tree, ak.Array([True] * 5 + [False])))
    with pytest.raises(DataError, match="some are missing"):
        lund_image(ak.mask(tree, tree.ln_kt > 0))
    with pytest.raises(DataError, match="field ln_m of the declusterings"):
        lund_image(ak.zip({n: ak.mask(tree[n], tree.ln_m > 0) if n == "ln_m" else tree[n] for n in tree.fields}))
    with pytest.raises(DataError, match="jet 4: ln_z of a declustering is not finite"):
        lund_image(ak.with_field(tree, ak.where(tree.ln_kt == tree.ln_kt[4, 3], np.nan, tree.ln_z), "ln_z"))
    with pytest.raises(DataError, match="must be an awkward array of jets, not list"):
        lund_image([1, 2])
    with pytest.raises(DataError, match="not a finite momentum"):
        lund_image(awkward_jets(np.full((4, 3), np.nan)))


FLAT = lund_arrays(flat_jets(*(spread_jet(seed, n) for seed, n in enumerate([4, 5, 8]))))

BROKEN_ARRAYS = {
    "beyond the end": ({"offsets": [0, 3, 7, 99]}, "ln_kt has 14 declusterings, the offsets end at 99"),
    "short of the end": ({"offsets": [0, 3, 7, 13]}, "ln_kt has 14 declusterings, the offsets end at 13"),
    "not from 0": ({"offsets": [1, 3, 7, 14]}, "offsets of the declusterings must start at 0 and never fall"),
    "falling": ({"offsets": [0, 7, 3, 14]}, "offsets of the declusterings must start at 0 and never fall"),
    "no offsets": ({"offsets": []}, "offsets of the declusterings must be one row of whole numbers"),
    "offsets not whole": ({"offsets": [0.0, 14.0]}, "offsets of the declusterings must be one row of whole numbers"),
    "offsets ragged": ({"offsets": [[0], [3, 4]]}, "offsets of the declusterings must be one row of whole numbers"),
    "NaN": ({"ln_kt": np.r_[FLAT.ln_kt[:5], np.nan, FLAT.ln_kt[6:]]}, "jet 1: ln_kt of a declustering is not finite"),
    "infinite": ({"psi": np.r_[FLAT.psi[:13], np.inf]}, "jet 2: psi of a declustering is not finite"),
    "column too short": ({"ln_z": FLAT.ln_z[:9]}, "ln_z has 9 declusterings, the offsets end at 14"),
    "flag too short": ({"is_primary": FLAT.is_primary[:9]}, "is_primary has 9 declusterings"),
    "two rows": ({"ln_m": FLAT.ln_m.reshape(2, 7)}, "field ln_m of the declusterings must be one number each"),
    "text": ({"ln_delta": ["a"] * 14}, "field ln_delta of the declusterings must be one number each"),
    "ragged": ({"ln_delta": [[1.0], [1.0, 2.0]]}, "field ln_delta of the declusterings must be one number each"),
    "masked": ({"ln_kt": np.ma.masked_less(FLAT.ln_kt, 0.0)}, "field ln_kt of the declusterings must be one number"),
    "half a parent": ({"parent": FLAT.parent + 0.5}, "jet 0: parent of a declustering is not a whole number"),
    "parent NaN": ({"parent": FLAT.parent * np.nan}, "jet 0: parent of a declustering is not a whole number"),
    "two truths": ({"is_primary": FLAT.is_primary * 2}, "jet 0: is_primary of a declustering is not True or False"),
}


@pytest.mark.parametrize("case", BROKEN_ARRAYS)
def test_flat_trees_that_break_a_rule_are_refused(case: str) -> None:
    changes, message = BROKEN_ARRAYS[case]
    broken = FLAT._replace(**changes)
    for trees in (broken, LundTrees(*broken, is_hard=np.ones(14, dtype=bool))):
        for links in (False, True):
            with pytest.raises(DataError, match=message):
                lund_source(trees, links=links)
        with pytest.raises(DataError, match=message):
            lund_image(trees)


def test_flat_trees_of_other_types_of_numbers_are_read() -> None:
    other = LundArrays(
        FLAT.offsets.astype(np.uint32),
        *(column.astype(">f8") for column in FLAT[1:6]),
        FLAT.parent.astype(np.float32),
        FLAT.is_primary.astype(np.int8),
    )
    assert ak.array_equal(cut_tree(other), cut_tree(FLAT))
    strided = FLAT._replace(ln_kt=np.repeat(FLAT.ln_kt, 2)[::2])
    read_only = FLAT._replace(ln_z=FLAT.ln_z.copy())
    read_only.ln_z.flags.writeable = False
    for trees in (strided, read_only):
        assert ak.array_equal(cut_tree(trees), cut_tree(FLAT))


def test_results_hold_no_more_memory_than_they_have_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns are filled in place, block by block, and cut to size."""
    monkeypatch.setattr(lund_trees, "JETS_PER_BLOCK", 7)
    jets = awkward_jets(*(spread_jet(seed, 30) for seed in range(40)))
    for left in (cut_tree(jets, kt_min=0.5), secondary_lund_plane(jets)):
        size = int(ak.sum(ak.num(left)))
        assert 0 < size < 40 * 29
        for name in left.fields:
            column = left.layout.content.content(name).data
            assert column.base is None
            assert len(column) == size
