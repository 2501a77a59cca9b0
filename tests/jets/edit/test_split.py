import numpy as np
import pytest
from helpers.datasets import all_jets, assert_equal_jets, write_dataset
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import JetforgeError
from jetforge.jets.edit.pieces import Piece
from jetforge.jets.edit.split import _draws, _quotas, split


def by_number(jets):
    return jets[np.argsort(jets["number"])]


def test_every_jet_is_there_once_and_shares_are_exact(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    new = split(dataset, tmp_path / "out", (0.6, 0.2, 0.2), seed=4, workers=0)
    assert {name: new.num_jets(name) for name in new.splits} == {"train": 105, "val": 35, "test": 35}
    assert_equal_jets(by_number(all_jets(new)), by_number(all_jets(dataset)))
    assert new.classes == dataset.classes
    assert new.manifest.provenance["plan"]["shares"] == [0.6, 0.2, 0.2]
    assert new.manifest.provenance["inputs"][0]["provenance"]["plan"] == {"seed": 1}


def test_jets_stay_in_order_and_parts_have_the_usual_size(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    new = split(dataset, tmp_path / "out", (0.5, 0, 0.5), part_jets=20, workers=0)
    assert new.splits == ("train", "test")
    place = {number: i for i, number in enumerate(all_jets(dataset)["number"].tolist())}
    for name in new.splits:
        assert max(part.jets for part in new.parts(name)) <= 20
        places = [place[number] for number in new.read(name)["number"].tolist()]
        assert places == sorted(places)


def test_the_seed_alone_decides(tmp_path):
    dataset = write_dataset(tmp_path / "data")

    def drawn(out, **settings):
        return split(dataset, tmp_path / out, (0.5, 0.25, 0.25), workers=0, **settings).read("test")["number"].tolist()

    assert drawn("a", seed=1) == drawn("b", seed=1, part_jets=7)
    assert drawn("a", seed=1) != drawn("c", seed=2)


def test_wrong_arguments_are_named(tmp_path):
    dataset = write_dataset(tmp_path / "data", {"train": [5]})
    for shares in ((0.5, 0.5), (0.5, 0.6, 0.1), (1.5, -0.5, 0), (float("nan"), 0.5, 0.5)):
        with pytest.raises(JetforgeError, match="three numbers for train, val, test that add up to 1"):
            split(dataset, tmp_path / "out", shares)
    with pytest.raises(JetforgeError, match="seed is an integer from 0"):
        split(dataset, tmp_path / "out", (1, 0, 0), seed=-1)
    with pytest.raises(JetforgeError, match="number of processes from 0, not -1"):
        split(dataset, tmp_path / "out", (1, 0, 0), workers=-1)


SHARES = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20)).filter(any)


@given(st.lists(st.integers(0, 40), max_size=30), SHARES)
def test_quotas_follow_the_shares_at_every_part(sizes, parts):
    shares = np.array(parts) / sum(parts)
    quotas = np.array(_quotas(sizes, shares)).reshape(-1, 3)
    assert (quotas >= 0).all()
    assert quotas.sum(axis=1).tolist() == sizes
    drift = quotas.cumsum(axis=0) - np.cumsum(sizes)[:, None] * shares
    assert (np.abs(drift) < 2).all()
    if len(sizes):
        assert (np.abs(drift[-1]) <= 1.5).all()
    assert (quotas[:, shares == 0] == 0).all()


def test_draws_are_uniform_and_differ_between_parts():
    draws = [_draws(3, Piece(0, name, index, 0, 0), 20_000) for name in ("train", "val") for index in (0, 1)]
    for one in draws:
        counts = np.histogram(one / 2**64, bins=20, range=(0, 1))[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 50  # chi-squared of 19: above 50 once in 10^4
    ranks = [one.argsort().argsort() for one in draws]
    assert np.abs(np.corrcoef(ranks) - np.eye(4)).max() < 0.04
