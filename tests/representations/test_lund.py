"""Packed Lund trees: the right neighbours, whole jets, and a normalisation that numpy agrees with."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from jetforge.errors import DataError
from jetforge.jets import Jets
from jetforge.physics.lund import lund_arrays
from jetforge.representations import LUND_VARIABLES, LundBatch, LundRepresentation

MULTIPLICITIES = (1, 2, 3, 200, 1, 30, 5, 1, 64)


@pytest.fixture(scope="module")
def jets():
    rng = np.random.default_rng(7)
    offsets = np.concatenate([[0], np.cumsum(MULTIPLICITIES)])
    pt = rng.pareto(1.5, offsets[-1]) + 0.5
    y, phi = rng.normal(0.5, 0.3, offsets[-1]), rng.normal(3.1, 0.3, offsets[-1])
    columns = {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(y),
        "energy": pt * np.cosh(y),
    }
    return Jets(offsets, columns, {"label": np.zeros(len(MULTIPLICITIES), dtype=np.int64)})


@pytest.fixture(scope="module")
def representation(jets):
    return LundRepresentation().fit([jets])


@pytest.fixture(scope="module")
def batch(representation, jets):
    return representation(jets)


def assert_same(one, other):
    assert_array_equal(one.features, other.features)
    assert_array_equal(one.neighbours, other.neighbours)
    assert_array_equal(one.offsets, other.offsets)
    assert one.num_links == other.num_links


def test_neighbours_are_parent_and_children(batch, jets):
    trees = lund_arrays(jets.flat)
    children = {}
    for jet in range(len(jets)):
        for node in range(trees.offsets[jet], trees.offsets[jet + 1]):
            parent = trees.parent[node]
            parent = -1 if parent < 0 else parent + trees.offsets[jet]
            assert batch.neighbours[node, 0] == parent
            children.setdefault(int(parent), []).append(node)
    for node, row in enumerate(batch.neighbours.tolist()):
        assert [index for index in row[1:] if index >= 0] == children.get(node, [])


def test_a_jet_of_n_constituents_has_n_minus_one_nodes(batch):
    assert batch.offsets.diff().tolist() == [n - 1 for n in MULTIPLICITIES]
    assert len(batch) == len(MULTIPLICITIES)
    assert batch.num_links == sum(max(n - 2, 0) for n in MULTIPLICITIES)
    assert (batch.neighbours[:, 0] >= 0).sum() == batch.num_links


def test_features_are_normalised(jets):
    rng = np.random.default_rng(3)
    variables = rng.permutation(LUND_VARIABLES)
    representation = LundRepresentation(variables).fit([jets])
    trees = lund_arrays(jets.flat)
    columns = np.stack([getattr(trees, name) for name in variables], axis=1)
    np.testing.assert_allclose(representation.mean, columns.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(representation.std, columns.std(axis=0), rtol=1e-12)
    features = representation(jets).features
    assert features.dtype == torch.float32
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(features.std(0, correction=0), 1, atol=1e-6)


def test_fit_in_blocks_equals_fit_at_once(jets, representation):
    blocks = LundRepresentation().fit(jets[start : start + 2] for start in range(0, len(jets), 2))
    np.testing.assert_allclose(blocks.mean, representation.mean, rtol=1e-12)
    np.testing.assert_allclose(blocks.std, representation.std, rtol=1e-12)


def test_awkward_constituents_do_as_well(jets, representation, batch):
    assert_same(representation(jets.constituents), batch)


@pytest.mark.parametrize(("start", "stop"), [(0, 9), (2, 5), (0, 1), (3, 4), (4, 4), (7, None), (-2, None), (5, 2)])
def test_slicing_equals_representing_those_jets(jets, representation, batch, start, stop):
    assert_same(batch[start:stop], representation(jets[start:stop]))


def test_slice_of_a_slice(jets, representation, batch):
    assert_same(batch[2:8][1:4], representation(jets[3:6]))


@pytest.mark.parametrize("indices", [[3], [8, 0, 3, 2], [5, 5, 1], [0, 4, 7], []])
def test_taking_equals_representing_those_jets(jets, representation, batch, indices):
    indices = np.array(indices, dtype=np.int64)
    assert_same(batch.take(indices), representation(jets[indices]))
    assert_same(batch.take(torch.from_numpy(indices)), representation(jets[indices]))


def test_concatenating_slices_gives_the_whole(batch):
    assert_same(LundBatch.concatenate([batch[:4], batch[4:4], batch[4:5], batch[5:]]), batch)


def test_moving_keeps_everything(batch):
    assert_same(batch.to("cpu", non_blocking=True), batch)
    assert batch.to("meta").features.device.type == "meta"


def test_only_contiguous_ranges_are_slices(batch):
    with pytest.raises(IndexError, match="take"):
        batch[::2]


def test_an_unfitted_representation_says_so(jets):
    with pytest.raises(DataError, match="call fit"):
        LundRepresentation()(jets)


def test_nothing_to_fit_on(jets):
    with pytest.raises(DataError, match="two constituents or more"):
        LundRepresentation().fit([jets[0:1], jets[4:5]])


def test_a_variable_without_spread_is_only_centred(jets):
    representation = LundRepresentation().fit([jets[1:2]])
    assert_array_equal(representation.std, 1)
    assert_array_equal(representation(jets[1:2]).features, 0)


@pytest.mark.parametrize(
    "parent", [[0, 0], [-1, 1], [-1, -1], [-1, 0, 0, 0], [-1, 5], [-1, 0, -2]], ids=lambda parent: str(parent)
)
def test_what_is_no_tree_is_refused(parent):
    offsets = np.array([0, 1, 1 + len(parent)])
    with pytest.raises(DataError, match=r"jet 1: .*tree"):
        LundBatch.from_trees(np.zeros((1 + len(parent), 2)), np.array([-1, *parent]), offsets)


@pytest.mark.parametrize("indices", [[True] * 9, [0.0, 1.0], [-1], [9]])
def test_jets_are_taken_by_numbers_of_jets_that_are_there(batch, indices):
    for given in (np.array(indices), torch.tensor(indices)):
        with pytest.raises(IndexError, match="jets"):
            batch.take(given)
    assert len(batch.take(np.array([]))) == 0
