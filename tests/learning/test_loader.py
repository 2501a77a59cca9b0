import numpy as np
import pytest
import torch

import jetforge
from jetforge.errors import RecipeError
from jetforge.learning import loader as loaders
from jetforge.learning.loader import BatchLoader, bucketed_batches, lengths_of, num_bytes
from jetforge.representations import DenseBatch, ImageRepresentation, LundRepresentation, SeveralRepresentation


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


def test_buckets_hold_jets_of_similar_length_and_every_jet_once():
    random = np.random.default_rng(1)
    lengths, order = random.integers(1, 200, 1003), random.permutation(1003)
    batches = bucketed_batches(order, lengths, 10, np.random.default_rng(2), window=20)
    assert sorted(np.concatenate(batches)) == list(range(1003))
    assert sorted(map(len, batches))[:2] == [3, 10]
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread < 0.1 * np.mean([np.ptp(lengths[order[k : k + 10]]) for k in range(0, 1000, 10)])
    longest = [lengths[batch].max() for batch in batches]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3, "short jets do not come first"


@pytest.mark.parametrize("cache_jets", [0, 1000])
def test_bucketing_keeps_what_a_loader_promises(dataset, representation, cache_jets, monkeypatch):
    monkeypatch.setattr("jetforge.learning.loader._BLOCK_JETS", 120)

    def of(epoch=0, seed=0, **settings):
        loader = BatchLoader(
            dataset, "train", representation, 20, shuffle=True, seed=seed, cache_jets=cache_jets, bucket=True,
            **settings,
        )  # fmt: skip
        loader.epoch = lambda: epoch
        return loader

    whole = [batch.numbers.tolist() for batch in of()]
    assert sorted(sum(whole, [])) == list(range(240))
    assert whole == [batch.numbers.tolist() for batch in of()]
    assert whole != [batch.numbers.tolist() for batch in of(epoch=1)]
    assert whole != [batch.numbers.tolist() for batch in of(seed=1)]
    shares = [[b.numbers.tolist() for b in of(shard=lambda rank=rank: (rank, 2))] for rank in range(2)]
    assert [batch for pair in zip(*shares, strict=True) for batch in pair] == whole
    again = of()
    again.load_state_dict({"given": 5, "of": 12, "processes": 1})
    assert [batch.numbers.tolist() for batch in again] == whole[5:]


def test_jets_of_one_length_cannot_be_bucketed(dataset):
    class Dense:
        name = "flat"
        columns = ()

        def __call__(self, jets):
            return DenseBatch(torch.zeros(len(jets), 3))

    with pytest.raises(RecipeError, match=r"training\.bucket: the jets of the representation flat"):
        next(iter(BatchLoader(dataset, "train", Dense(), 20, shuffle=True, bucket=True)))


def test_of_several_representations_the_first_with_rows_says_the_lengths(dataset):
    jets = dataset.read("val")
    image, momenta = {"name": "image", "scaling": "none"}, {"name": "four_momenta", "scale": 1.0}
    batch = SeveralRepresentation({"image": image, "momenta": momenta})(jets)
    assert lengths_of(batch).tolist() == np.diff(jets.offsets).tolist()
    assert lengths_of(batch.parts["image"]) is None


@pytest.mark.parametrize("cache_jets", [0, 1000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_jet_knows_its_place_in_the_split(dataset, representation, cache_jets, shuffle, monkeypatch):
    monkeypatch.setattr("jetforge.learning.loader._BLOCK_JETS", 60)
    loader = BatchLoader(dataset, "train", representation, 25, shuffle=shuffle, cache_jets=cache_jets)
    jets = dataset.read("train")
    for batch in loader:
        assert batch.labels.tolist() == jets.label[batch.numbers].tolist()
        assert batch.jets.offsets.diff().tolist() == (np.diff(jets.offsets)[batch.numbers] - 1).tolist()
    file, row = loader.where(int(batch.numbers[0])).split(" row ")
    index = [part.file for part in dataset.parts("train")].index(file)
    part = dataset.read_part("train", index)
    assert part.constituents.px[int(row)].to_list() == jets.constituents.px[int(batch.numbers[0])].to_list()


def test_targets_go_along(dataset, representation):
    def first_px(jets):
        return jets.columns["px"][jets.offsets[:-1]].astype(np.float32)

    loader = BatchLoader(dataset, "train", representation, 25, shuffle=True, target=first_px)
    jets = dataset.read("train")
    for batch in loader:
        assert torch.equal(batch.targets, torch.from_numpy(first_px(jets[batch.numbers])))


def test_a_split_of_large_images_is_streamed(dataset, monkeypatch):
    images = ImageRepresentation(size=32, scaling="none")
    monkeypatch.setattr(loaders, "_KEPT_BYTES", dataset.num_jets("train") * 4 * 32**2)
    loader = BatchLoader(dataset, "train", images, 50)
    kept = [batch.jets.values for batch in loader]
    assert loader._kept is not None
    monkeypatch.setattr(loaders, "_KEPT_BYTES", dataset.num_jets("train") * 4 * 32**2 - 1)
    streaming = BatchLoader(dataset, "train", images, 50)
    assert all(torch.equal(a, b.jets.values) for a, b in zip(kept, streaming, strict=True))
    assert streaming._kept is None


def test_bytes_of_several_representations_add_up(dataset, representation):
    jets = dataset.read("train")
    images = ImageRepresentation(size=8, scaling="none")
    both = SeveralRepresentation({"lund": representation, "image": images})
    assert num_bytes(both(jets)) == num_bytes(representation(jets)) + len(jets) * 4 * 8**2
