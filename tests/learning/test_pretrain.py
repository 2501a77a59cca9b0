"""Learning from jets without their labels, and going on from it."""

import json
from dataclasses import replace

import pytest
import torch
from helpers.datasets import some_jets, write_dataset

from jetforge.errors import DataError, Interrupted, JetforgeError, RecipeError, TaggerError
from jetforge.jets import Jets
from jetforge.jets.dataset import open_dataset
from jetforge.learning import callbacks
from jetforge.learning.fit import fit
from jetforge.learning.loader import BatchLoader
from jetforge.learning.pretrain import Contrastive, Masked, TwoViews
from jetforge.learning.recipe import make_recipe
from jetforge.representations import SeveralBatch
from jetforge.representations.augment import Augmentation
from jetforge.taggers import create_tagger

SETTINGS = {"epochs": 2, "batch_size": 40, "checkpoint_minutes": 1e-9, "monitor": "val_loss"}
SMALL = {"name": "lundnet5", "arguments": {"channels": [8, 8], "fusion": 12, "hidden": 8}}
CLOUD = {"name": "particlenet_lite", "arguments": {"k": 3, "channels": [[8], [8]], "hidden": [4]}}
PLAIN = {"name": "transformer", "arguments": {"width": 16, "num_blocks": 2, "num_heads": 2}}
BOTH = pytest.mark.parametrize("objective", ["masked", "contrastive"])


def recipe(data, out, objective="masked", tagger=None, training=None, **settings):
    return make_recipe(
        {
            "data": str(data),
            "out": str(out),
            "tagger": tagger or SMALL,
            "pretrain": {"objective": objective, **settings},
            "training": {**SETTINGS, **(training or {})},
        }
    )


def rows_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("pretrain") / "data"
    write_dataset(path)
    return path


@BOTH
@pytest.mark.parametrize("tagger", [SMALL, CLOUD, PLAIN], ids=lambda tagger: tagger["name"])
def test_the_loss_falls(data, tmp_path, tagger, objective):
    training = {"epochs": 15, "batch_size": 26, "learning_rate": 0.003}
    trained = fit(recipe(data, tmp_path / "run", objective, tagger, training))
    rows = rows_of(tmp_path / "run")
    assert rows[-1]["train_loss"] < 0.93 * rows[0]["train_loss"]
    assert set(rows[0]) >= {"train_loss", "val_loss"}
    assert "val_auc" not in rows[0]
    assert trained.provenance["pretrain"]["objective"] == objective
    untrained = create_tagger(tagger["name"], representation=trained.representation, **tagger["arguments"])
    assert trained.output.weight.shape == untrained.output.weight.shape


@BOTH
def test_labels_are_not_looked_at(data, tmp_path, objective):
    def without(jets):
        return Jets(jets.offsets, jets.columns, {k: v for k, v in jets.fields.items() if k != "label"})

    write_dataset(tmp_path / "plain", change=without)
    runs = [fit(recipe(path, tmp_path / f"run-{path.name}", objective)) for path in (data, tmp_path / "plain")]
    for key, value in runs[0].state_dict().items():
        assert torch.equal(value, runs[1].state_dict()[key]), key


@BOTH
def test_stopped_and_resumed_gives_the_same_bits(data, tmp_path, monkeypatch, objective):
    straight = fit(recipe(data, tmp_path / "straight", objective))
    saves, save = [], callbacks.EpochRecorder.save

    def stop(self, trainer):
        save(self, trainer)
        saves.append(1)
        if len(saves) == 3:
            raise Interrupted("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.EpochRecorder, "save", stop)
        with pytest.raises(Interrupted):
            fit(recipe(data, tmp_path / "run", objective))
    resumed = fit(recipe(data, tmp_path / "run", objective))
    assert all(torch.equal(value, straight.state_dict()[key]) for key, value in resumed.state_dict().items())
    assert [row["val_loss"] for row in rows_of(tmp_path / "run")] == [
        row["val_loss"] for row in rows_of(tmp_path / "straight")
    ]


@BOTH
def test_a_pretrained_tagger_is_a_source(data, tmp_path, objective):
    pretrained = fit(recipe(data, tmp_path / "source", objective))
    for mode in ("finetune", "frozen"):
        transfer = {"source": str(tmp_path / "source"), "mode": mode}
        values = {
            "data": str(data), "out": str(tmp_path / mode), "transfer": transfer,
            "training": {"epochs": 1, "batch_size": 40},
        }  # fmt: skip
        tagger = fit(make_recipe(values))
        assert tagger.classes == ("qcd", "top")
        assert tagger.provenance["transfer"]["trained on"]["pretrain"]["objective"] == objective
    student = {"data": str(data), "out": str(tmp_path / "student"), "tagger": "hldnn", "training": {"epochs": 1}}
    with pytest.raises(TaggerError, match="source: pre-trained without labels, its head has learnt nothing"):
        fit(make_recipe({**student, "distill": {"teachers": [str(tmp_path / "source")]}}))
    fit(make_recipe({**student, "distill": {"teachers": [str(tmp_path / "frozen")]}}))
    assert torch.equal(tagger.convolutions[0].first.weight, pretrained.convolutions[0].first.weight)


def test_hidden_elements_are_out_of_sight():
    torch.manual_seed(1)
    tagger = create_tagger(CLOUD["name"], **CLOUD["arguments"])
    jets = some_jets(6, 1)
    tagger.representation.fit([jets])
    batch = tagger.representation(jets)
    objective = Masked(tagger, 0.999999, 8)
    tagger.eval()
    losses = objective(tagger, batch)
    other = replace(batch, points=torch.randn_like(batch.points), momenta=torch.randn_like(batch.momenta))
    torch.testing.assert_close(objective(tagger, other), losses)
    # All elements look the same, so the same is found for each: the loss follows from the features alone.
    shown = replace(batch, features=torch.zeros_like(batch.features), points=torch.zeros_like(batch.points))
    found = objective.head(tagger.embed_elements(shown))
    errors = (found - batch.features).square().mean(1)
    torch.testing.assert_close(losses, batch.means(errors))
    assert losses[3] == 0  # a jet without constituents


def test_the_contrastive_loss_is_its_formula():
    class Identity(torch.nn.Module):
        def embed(self, batch):
            return batch

    torch.manual_seed(1)
    objective = Contrastive(0.3, 4, 3)
    views = [torch.randn(5, 4), torch.randn(5, 4)]
    losses = objective(Identity(), SeveralBatch(dict(zip(("first", "second"), views, strict=True))))
    rows = torch.nn.functional.normalize(objective.head(torch.cat(views)), dim=1)
    for jet in range(5):
        expected = 0
        for i, j in ((jet, jet + 5), (jet + 5, jet)):
            others = [torch.exp(rows[i] @ rows[k] / 0.3) for k in range(10) if k != i]
            expected -= torch.log(torch.exp(rows[i] @ rows[j] / 0.3) / sum(others)) / 2
        torch.testing.assert_close(losses[jet], expected)


def test_views_are_new_in_each_epoch_and_the_same_again(data):
    dataset = open_dataset(data)
    tagger = create_tagger("lundnet5")
    tagger.representation.fit([dataset.read("train")])

    def batches(epoch, seed=1):
        views = TwoViews(tagger.representation, Augmentation(), seed)
        views.epoch = lambda: epoch
        loader = BatchLoader(dataset, "train", views, 40, shuffle=True, seed=3, cache_jets=0)
        return [batch.jets.parts for batch in loader]

    one, again, later = batches(0), batches(0), batches(1)
    for parts, same in zip(one, again, strict=True):
        for name in ("first", "second"):
            assert torch.equal(parts[name].features, same[name].features)
        assert not torch.equal(parts["first"].offsets, parts["second"].offsets)
    assert {len(parts["first"]) for parts in one} == {40, 10}
    assert not any(torch.equal(a["first"].offsets, b["first"].offsets) for a, b in zip(one, later, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "maskd"}, "pretrain.objective: must be 'masked' or 'contrastive', not 'maskd'; did you mean"),
        ({"mask": 1.0}, "pretrain.mask: must be less than 1"),
        ({"training": {"monitor": "val_auc"}}, "val_auc is of classes, which pretrain does not learn; give val_loss"),
        ({"training": {"label_smoothing": 0.1}}, "training.label_smoothing is of labels"),
        ({"training": {"auxiliary": {"target": "mass"}}}, "training.auxiliary does not go with pretrain"),
        ({"tagger": {"name": "boosted_trees", "arguments": {}}}, "pretrain: boosted_trees learns by no gradients"),
        ({"tagger": {"name": "hldnn", "arguments": {}}}, "hldnn embeds jets, not elements in the light of each"),
        ({"rotate": False}, "rotate is for the objective contrastive, not for masked; leave it out"),
        ({"objective": "contrastive", "mask": 0.5}, "mask is for the objective masked, not for contrastive"),
        ({"objective": "contrastive", "training": {"batch_size": 1}}, "contrastive tells the jets of a batch apart"),
    ],
)
def test_settings_that_make_no_sense(data, tmp_path, settings, message):
    with pytest.raises((RecipeError, TaggerError)) as caught:
        fit(recipe(data, tmp_path / "run", **settings))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_split_without_jets_is_refused(tmp_path):
    write_dataset(tmp_path / "data", {"train": [20]})
    with pytest.raises(DataError, match="no jets in the split 'val'; training needs train and val"):
        fit(recipe(tmp_path / "data", tmp_path / "run"))


def test_a_loss_that_is_no_number_names_the_jets(data, tmp_path):
    with pytest.raises(JetforgeError, match=r"the loss is not finite in epoch 0, batch \d+ .*the numbers \d+"):
        fit(recipe(data, tmp_path / "run", training={"learning_rate": 1e30, "gradient_clip": None, "warmup_epochs": 0}))
