import numpy as np
import pytest
import torch

import jetforge
from jetforge.errors import RecipeError
from jetforge.learning.loader import BatchLoader
from jetforge.representations import LundRepresentation


@pytest.fixture(scope="module")
def dataset(toptag):
    return jetforge.open(toptag)


@pytest.fixture(scope="module")
def representation(dataset):
    return LundRepresentation().fit(dataset.blocks("train"))


def fingerprints(loader):
    """Return per batch the labels with the number of nodes of each jet: enough to tell jets apart."""
    return [list(zip(b.labels.tolist(), b.jets.offsets.diff().tolist(), strict=True)) for b in loader]


@pytest.mark.parametrize("cache_jets", [0, 1000])
def test_an_epoch_gives_every_jet_once(dataset, representation, cache_jets):
    loader = BatchLoader(dataset, "train", representation, 50, shuffle=True, cache_jets=cache_jets)
    batches = fingerprints(loader)
    assert [len(batch) for batch in batches] == [50] * 4 + [40]
    assert len(loader) == 5
    jets = dataset.read("train")
    expected = zip(jets.label.tolist(), (jets.constituents.px * 0).to_list(), strict=True)
    assert sorted(sum(batches, [])) == sorted((label, len(c) - 1) for label, c in expected)


@pytest.mark.parametrize("cache_jets", [0, 1000])
def test_the_order_follows_from_seed_and_epoch(dataset, representation, cache_jets):
    def order(seed, epoch):
        loader = BatchLoader(dataset, "train", representation, 50, shuffle=True, seed=seed, cache_jets=cache_jets)
        loader.epoch = lambda: epoch
        return fingerprints(loader)

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


@pytest.mark.parametrize("cache_jets", [0, 1000])
def test_a_loader_goes_on_where_its_state_says(dataset, representation, cache_jets):
    loader = BatchLoader(dataset, "train", representation, 50, shuffle=True, cache_jets=cache_jets)
    whole = fingerprints(loader)
    iterator = iter(loader)
    for _ in range(2):
        next(iterator)
    again = BatchLoader(dataset, "train", representation, 50, shuffle=True, cache_jets=cache_jets)
    again.load_state_dict(loader.state_dict())
    assert fingerprints(again) == whole[2:]
    assert fingerprints(again) == whole, "the next epoch starts at its beginning"
    again.load_state_dict(loader.state_dict() | {"given": 5})
    assert fingerprints(again) == whole, "a checkpoint at the end of an epoch starts the next"
    with pytest.raises(RecipeError, match="an epoch of 2 processes, not 1"):
        again.load_state_dict(loader.state_dict() | {"processes": 2})


@pytest.mark.parametrize("cache_jets", [0, 1000])
def test_processes_share_the_batches(dataset, representation, cache_jets):
    def of(rank, processes, **settings):
        shard = lambda: (rank, processes)  # noqa: E731
        return BatchLoader(dataset, "train", representation, 40, shard=shard, cache_jets=cache_jets, **settings)

    whole = fingerprints(of(0, 1))
    first, second = fingerprints(of(0, 2)), fingerprints(of(1, 2))
    assert [first[0], second[0], first[1], second[1], first[2], second[2]] == whole
    assert len(of(0, 4, shuffle=True)) == len(of(3, 4, shuffle=True)) == len(fingerprints(of(3, 4, shuffle=True)))


def test_weights_go_along(dataset, representation):
    batch = next(iter(BatchLoader(dataset, "val", representation, 40)))
    assert batch.weights.dtype == torch.float32
    assert batch.weights.tolist() == [1.0] * 40


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_go_across_blocks(dataset, representation, shuffle, monkeypatch):
    monkeypatch.setattr("jetforge.learning.loader._BLOCK_JETS", 60)
    loader = BatchLoader(dataset, "train", representation, 25, shuffle=shuffle, cache_jets=0)
    whole = fingerprints(loader)
    assert [len(batch) for batch in whole] == [25] * 9 + [15]
    jets = dataset.read("train")
    expected = list(zip(jets.label.tolist(), (np.diff(jets.offsets) - 1).tolist(), strict=True))
    assert sorted(sum(whole, [])) == sorted(expected)
    assert (sum(whole, []) == expected) is not shuffle
    iterator = iter(loader)
    next(iterator)
    iterator.close()
    again = fingerprints(loader)
    assert again == whole, "an iteration that was left early does not disturb the next"


def test_weights_of_jets_go_along_in_any_order(toptag, tmp_path):
    weighted = jetforge.reweight(toptag, tmp_path / "weighted", bins=3, workers=0)
    representation = LundRepresentation().fit(weighted.blocks("train"))
    for cache_jets in (0, 1000):
        loader = BatchLoader(weighted, "train", representation, 7, shuffle=True, cache_jets=cache_jets)
        given = torch.cat([batch.weights for batch in loader])
        wanted = torch.tensor(weighted.read("train").weight, dtype=torch.float32)
        assert len(set(wanted.tolist())) > 1
        assert torch.equal(given.sort().values, wanted.sort().values)
