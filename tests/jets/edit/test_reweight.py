import numpy as np
import pytest
from helpers.datasets import all_jets, assert_equal_jets, write_dataset
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.jets.edit.reweight import reweight
from jetforge.jets.edit.spectra import Bins

SIZES = {"train": [200, 150], "val": [40], "test": [40]}


def falling(jets):
    """Give each class another spectrum: QCD jets fall, tops rise."""
    share = (jets["pt"] - 400) / 300
    return Jets(
        jets.offsets, jets.columns, {**jets.fields, "pt": 400 + 300 * np.where(jets.label == 1, share**0.5, share**2)}
    )


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "data", SIZES, change=falling)


def spectrum(jets, label, bins=6, limits=(400, 700)):
    own = jets.label == label
    return np.histogram(jets["pt"][own], bins, limits, weights=jets.weight[own])[0]


def without_weight(jets):
    return Jets(jets.offsets, jets.columns, {name: f for name, f in jets.fields.items() if name != "weight"})


def test_flat_spectra_of_mean_weight_one(tmp_path, dataset):
    new = reweight(dataset, tmp_path / "out", bins=6, limits=(400, 700), workers=0)
    jets = new.read("train")
    for label in (0, 1):
        counts = spectrum(jets, label)
        np.testing.assert_allclose(counts, counts.mean(), rtol=1e-12)
        assert jets.weight[jets.label == label].mean() == pytest.approx(1, rel=1e-12)
    assert new.manifest.jet_fields == (*dataset.manifest.jet_fields, "weight")
    assert_equal_jets(without_weight(all_jets(new)), all_jets(dataset))
    assert [part.jets for part in new.parts("train")] == SIZES["train"]


def test_the_spectrum_of_a_class(tmp_path, dataset):
    jets = reweight(dataset, tmp_path / "out", target="qcd", bins=6, limits=(400, 700), workers=0).read("train")
    tops, qcd = spectrum(jets, 1), spectrum(jets, 0)
    np.testing.assert_allclose(tops / tops.sum(), qcd / qcd.sum(), rtol=1e-12)
    np.testing.assert_allclose(jets.weight[jets.label == 0], 1, rtol=1e-12)


def test_the_spectrum_of_another_dataset(tmp_path, dataset):
    other = write_dataset(tmp_path / "other", {"train": [90]}, seed=3)
    for target in (other, other.path, str(other.path)):
        new = reweight(dataset, tmp_path / "out", target=target, bins=6, limits=(400, 700), workers=0)
    wanted = np.histogram(other.read("train")["pt"], 6, (400, 700))[0]
    for label in (0, 1):
        counts = spectrum(new.read("train"), label)
        np.testing.assert_allclose(counts / counts.sum(), wanted / wanted.sum(), rtol=1e-12)
    assert [one["name"] for one in new.manifest.provenance["plan"]["inputs"]] == ["data", "other"]


def test_weights_that_are_there_count_and_are_multiplied(tmp_path):
    def weighted(jets):
        jets = falling(jets)
        return Jets(jets.offsets, jets.columns, {**jets.fields, "weight": 0.5 + jets["number"] % 3})

    dataset = write_dataset(tmp_path / "data", SIZES, change=weighted)
    new = reweight(dataset, tmp_path / "out", bins=6, limits=(400, 700), workers=0)
    jets, before = new.read("train"), dataset.read("train")
    counts = spectrum(jets, 1)
    np.testing.assert_allclose(counts, counts.mean(), rtol=1e-12)
    assert jets.weight[jets.label == 1].mean() == pytest.approx(1, rel=1e-12)
    bins = np.clip((jets["pt"] - 400) // 50, 0, 5)
    for number in range(6):
        ratio = (jets.weight / before.weight)[(bins == number) & (jets.label == 0)]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)


def test_jets_outside_of_the_bins_and_empty_bins_take_the_nearest(tmp_path):
    def with_gap(jets):
        jets = jets[(jets["pt"] < 500) | (jets["pt"] > 600)] if jets["number"][0] < 120_000 else jets
        return Jets(jets.offsets, jets.columns, {**jets.fields, "label": 0 * jets.label})

    dataset = write_dataset(tmp_path / "data", {"train": [300], "val": [100]}, classes=("qcd",), change=with_gap)
    new = reweight(dataset, tmp_path / "out", bins=5, limits=(425, 675), workers=0)
    factors = np.array(new.manifest.provenance["spectra"]["factors"]["qcd"])
    train = dataset.read("train")["pt"]
    counts = np.histogram(train, 5, (425, 675))[0]
    assert counts[2] == 0
    assert factors[2] == factors[1]
    np.testing.assert_allclose(factors * np.where(counts, counts, counts[1]), factors[0] * counts[0], rtol=1e-12)
    for split in ("train", "val"):
        jets = new.read(split)
        bins = np.clip(np.floor((jets["pt"] - 425) / 50).astype(int), 0, 4)
        np.testing.assert_array_equal(jets.weight, factors[bins])
    assert new.read("train").weight.mean() == pytest.approx(1, rel=1e-12)
    outside = int(((train < 425) | (train > 675)).sum())
    assert new.manifest.provenance["spectra"]["outside"] == [outside]
    assert outside > 0


def test_a_class_without_jets_is_passed_over(tmp_path):
    def only_tops(jets):
        return Jets(jets.offsets, jets.columns, {**jets.fields, "label": 0 * jets.label + 1})

    dataset = write_dataset(tmp_path / "data", SIZES, change=only_tops)
    new = reweight(dataset, tmp_path / "out", bins=4, workers=0)
    assert new.manifest.provenance["spectra"]["factors"]["qcd"] == [1] * 4
    assert new.read("train").weight.mean() == pytest.approx(1)
    with pytest.raises(DataError, match="class 'top' has no jets where the target has some"):
        reweight(dataset, tmp_path / "other", target="qcd")


def test_limits_are_those_of_the_train_split_by_default(tmp_path, dataset):
    new = reweight(dataset, tmp_path / "out", field="mass", bins=4, workers=0)
    mass = dataset.read("train")["mass"]
    assert new.manifest.provenance["plan"]["limits"] == [mass.min(), mass.max()]
    assert new.manifest.provenance["spectra"]["outside"] == [0, 0]


def test_wrong_arguments_are_named(tmp_path, dataset):
    for settings, message in (
        ({"target": "tpo"}, "there is no target 'tpo'; did you mean 'top'"),
        ({"target": "xyz"}, "there are flat, qcd, top and directories of datasets"),
        ({"field": "ptt"}, "no jet field 'ptt' to weigh by; there are: pt, eta, mass, number"),
        ({"bins": 0}, "1 to 10000 bins, not 0"),
        ({"limits": (500, 400)}, "from a number to a larger one, not from 500 to 400"),
        ({"limits": (0, float("nan"))}, "from a number to a larger one"),
    ):
        with pytest.raises(JetforgeError, match=message):
            reweight(dataset, tmp_path / "out", **settings)
    with pytest.raises(DataError, match=r"class 'qcd' has no jets .* within the limits"):
        reweight(dataset, tmp_path / "out", limits=(900, 1000))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_weighed_is_named(tmp_path):
    def spoil(jets):
        pt = np.where(np.arange(len(jets)) == 4, np.nan, jets["pt"])
        return Jets(jets.offsets, jets.columns, {**jets.fields, "pt": pt})

    spoilt = write_dataset(tmp_path / "spoilt", {"train": [9]}, change=spoil)
    with pytest.raises(DataError, match=r"train/part-00000\.parquet: row 4: pt is nan, not a finite number"):
        reweight(spoilt, tmp_path / "out")
    sound = write_dataset(tmp_path / "sound", {"train": [9]})
    only = write_dataset(tmp_path / "only", {"val": [9]})
    with pytest.raises(DataError, match="no jets in the train split"):
        reweight(only, tmp_path / "out")

    def far(jets):
        return Jets(jets.offsets, jets.columns, {**jets.fields, "pt": jets["pt"] + 1000})

    with pytest.raises(DataError, match="has no jets where the target has some"):
        reweight(sound, tmp_path / "out", target=write_dataset(tmp_path / "far", {"train": [9]}, change=far),
                 limits=(0, 2000))  # fmt: skip
    assert not (tmp_path / "out").exists()


@given(st.lists(st.floats(-50, 150), min_size=1, max_size=20), st.integers(1, 9))
def test_bins_are_those_of_numpy(values, count):
    bins = Bins.of(count, 0, 100)
    numbers = bins.numbers(np.array(values))
    inside = np.bincount(numbers, minlength=count + 2)
    assert inside[0] == sum(value < 0 for value in values)
    assert inside[-1] == sum(value > 100 for value in values)
    edges = np.linspace(0, 100, count + 1)
    for value, number in zip(values, numbers, strict=True):
        if 1 <= number <= count:
            assert edges[number - 1] - 1e-9 <= value <= edges[number] + 1e-9
