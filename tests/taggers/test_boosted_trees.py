"""Boosted trees as tensors: followed as drawn, and the same after loading."""

import pytest
import torch

from jetforge.errors import TaggerError
from jetforge.representations import ObservablesBatch, ObservablesRepresentation
from jetforge.taggers import create_tagger, load_tagger, save_tagger
from jetforge.taggers.boosted_trees import Trees


def batch(*rows):
    return ObservablesBatch(torch.tensor(rows, dtype=torch.float32).reshape(len(rows), -1))


def small(num_classes=2, **settings):
    representation = ObservablesRepresentation(["pt", "mass"], mean=[0.0, 0.0], std=[1.0, 1.0])
    return create_tagger("boosted_trees", num_classes, representation, max_iter=2, max_leaf_nodes=3, **settings)


def grow(trees, number):
    """Write: x0 <= 1 ? (x1 <= -2 ? 0.25 : 0.5) : -1."""
    trees.feature[number, :2] = torch.tensor([0, 1])
    trees.threshold[number, :2] = torch.tensor([1.0, -2.0])
    trees.child[number, :2] = torch.tensor([1, 3])
    trees.value[number] = torch.tensor([9.0, 9.0, -1.0, 0.25, 0.5])


def test_a_jet_takes_the_branches_of_a_tree():
    trees = Trees(num_trees=2, num_nodes=5, depth=2)
    grow(trees, 1)
    given = trees(batch([1.0, -2.0], [1.0, -1.9], [1.1, 5.0]).values)
    torch.testing.assert_close(given, torch.tensor([[0.0, 0.25], [0.0, 0.5], [0.0, -1.0]]))


def test_two_classes_share_one_score_and_more_have_one_each():
    two, three = small(), small(3)
    grow(two.trees, 0)
    two.baseline.fill_(0.125)
    assert two(batch([0.0, 0.0])).tolist() == [[0.0, 0.625]]
    grow(three.trees, 4)  # second iteration, second class
    assert three(batch([0.0, 0.0], [2.0, 0.0])).tolist() == [[0.0, 0.5, 0.0], [0.0, -1.0, 0.0]]


def test_the_largest_number_stays_in_its_leaf():
    trees = Trees(num_trees=1, num_nodes=5, depth=4)
    grow(trees, 0)
    largest = torch.finfo(torch.float32).max
    assert trees(batch([largest, 0.0], [-largest, largest]).values).tolist() == [[-1.0], [0.5]]


def test_before_the_fit_all_classes_are_alike():
    for num_classes in (2, 3):
        assert (small(num_classes)(batch([1.0, 2.0], [-3.0, 4.0])) == 0).all()
    assert small()(ObservablesBatch(torch.zeros(0, 2))).shape == (0, 2)


def test_the_trees_are_no_parameters():
    tagger = create_tagger("boosted_trees")
    assert tagger.trained_by_gradient is False
    assert tagger.num_parameters() == 0
    assert not list(tagger.parameters())


def test_saved_trees_are_loaded_bit_for_bit(tmp_path):
    tagger = small(3)
    for number in range(6):
        grow(tagger.trees, number)
    again = load_tagger(save_tagger(tagger, tmp_path))
    rows = batch([0.0, 0.0], [0.5, -3.0], [2.0, 0.0])
    assert torch.equal(again(rows), tagger(rows))
    for key, value in tagger.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"max_iter": 0}, "max_iter"),
        ({"max_leaf_nodes": 1}, "max_leaf_nodes"),
        ({"max_depth": None}, "max_depth"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"l2_regularization": -1.0}, "l2_regularization"),
        ({"min_samples_leaf": True}, "min_samples_leaf"),
    ],
)
def test_values_that_make_no_sense_are_refused(settings, rule):
    with pytest.raises(TaggerError, match=rule):
        create_tagger("boosted_trees", **settings)
