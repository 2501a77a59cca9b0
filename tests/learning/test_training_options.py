"""Representation, accumulation, buckets, auxiliary heads, compilation: what a recipe can ask for beside the usual."""

import functools
import json
import os
import signal

import numpy as np
import pytest
import torch
from helpers.datasets import some_jets, write_dataset

import jetforge
from jetforge.errors import DataError, Interrupted, JetforgeError, RecipeError, TaggerError
from jetforge.jets import Jets
from jetforge.learning import boosted_run, callbacks
from jetforge.learning.auxiliary import AuxiliaryTarget
from jetforge.learning.module import TrainingModule
from jetforge.learning.recipe import make_recipe, tagger_of
from jetforge.learning.sections import TrainingSection

SETTINGS = {"epochs": 2, "batch_size": 40, "checkpoint_minutes": 1e-9}


def recipe(data, out, tagger="pfn", representation=None, **training):
    return make_recipe(
        {
            "data": str(data),
            "out": str(out),
            "tagger": tagger,
            "representation": representation or {},
            "training": {**SETTINGS, **training},
        }
    )


def rows_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("options") / "data"
    write_dataset(path)
    return path


@pytest.mark.parametrize("optimizer", ["ranger", "lion"])
def test_everything_at_once_resumes_with_the_same_bits(data, tmp_path, monkeypatch, optimizer):
    """130 jets in batches of 8 make 17 batches and 6 steps an epoch; it is stopped in the middle of both epochs."""
    wanted = {
        "tagger": {"name": "pfn", "arguments": {"dropout": 0.2}},
        "batch_size": 8, "accumulate": 3, "bucket": True, "optimizer": optimizer, "schedule": "flat_exponential",
        "label_smoothing": 0.1, "auxiliary": {"target": "mass"},
    }  # fmt: skip
    jetforge.fit(recipe(data, tmp_path / "whole", **wanted))
    original = callbacks.EpochRecorder.on_train_batch_end
    stops = [2, 7, 9]

    def interrupt(self, trainer, module, outputs, batch, batch_idx):
        original(self, trainer, module, outputs, batch, batch_idx)
        # The signal comes within a group of batches: the group is finished first.
        if stops and trainer.global_step == stops[0] and batch_idx % 3 == 0:
            stops.pop(0)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(callbacks.EpochRecorder, "on_train_batch_end", interrupt)
    for step in (3, 8, 10):
        with pytest.raises(Interrupted, match=f"step {step};"):
            jetforge.fit(recipe(data, tmp_path / "stopped", **wanted))
    jetforge.fit(recipe(data, tmp_path / "stopped", **wanted))
    one, other = tmp_path / "stopped", tmp_path / "whole"
    assert (one / "tagger.safetensors").read_bytes() == (other / "tagger.safetensors").read_bytes()
    times = ("seconds", "jets_per_second", "preparation_seconds")
    rows = [[{k: v for k, v in row.items() if k not in times} for row in rows_of(run)] for run in (one, other)]
    assert rows[0] == rows[1]
    assert rows[0][-1]["step"] == 12


def test_accumulated_batches_train_as_one_large_batch(data, tmp_path):
    """130 jets: 9 batches of 16 in groups of 4, the last of a single batch of two jets."""
    usual = {"optimizer": "sgd", "learning_rate": 1e-4, "schedule": "flat_cosine", "weight_decay": 0.0}
    large = jetforge.fit(recipe(data, tmp_path / "large", batch_size=64, **usual))
    small = jetforge.fit(recipe(data, tmp_path / "small", batch_size=16, accumulate=4, **usual))
    assert [row["step"] for row in rows_of(tmp_path / "small")] == [row["step"] for row in rows_of(tmp_path / "large")]
    other = small.state_dict()
    for key, value in large.state_dict().items():
        torch.testing.assert_close(value, other[key], rtol=1e-4, atol=1e-6)


def test_more_batches_a_step_than_an_epoch_has_are_refused(data, tmp_path):
    """130 jets are 4 batches of 40."""
    wanted = "^training.accumulate: 5 is more than the 4 batches of an epoch; give less"
    with pytest.raises(RecipeError, match=wanted):
        jetforge.fit(recipe(data, tmp_path / "run", accumulate=5))
    jetforge.fit(recipe(data, tmp_path / "run", accumulate=4, epochs=1))
    assert rows_of(tmp_path / "run")[0]["step"] == 1


def test_a_compiled_network_keeps_its_names_and_trains_alike(data, tmp_path, monkeypatch):
    # The compiler that makes machine code takes minutes; tracing is what can change names.
    compiled = []

    def compile_quickly(function, **settings):
        compiled.append(settings)
        return original(function, backend="eager", **settings)

    original = torch.compile
    monkeypatch.setattr(torch, "compile", compile_quickly)
    plain = jetforge.fit(recipe(data, tmp_path / "plain", epochs=1))
    assert not compiled
    quick = jetforge.fit(recipe(data, tmp_path / "quick", epochs=1, compile=True))
    assert compiled == [{"dynamic": True}]
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(value, quick.state_dict()[key], rtol=1e-4, atol=1e-5)
    checkpoint = torch.load(tmp_path / "quick/checkpoints/last.ckpt", weights_only=True)
    assert set(checkpoint["state_dict"]) == {f"tagger.{key}" for key in plain.state_dict()}


def test_the_mass_is_learnt_beside_the_class(data, tmp_path):
    settings = {"epochs": 6, "learning_rate": 3e-3, "schedule": "constant"}
    auxiliary = {"target": "mass", "weight": 1.0}
    tagger = jetforge.fit(recipe(data, tmp_path / "run", auxiliary=auxiliary, **settings))
    rows = rows_of(tmp_path / "run")
    assert rows[-1]["val_auxiliary"] < 0.7 * rows[0]["val_auxiliary"]
    assert tagger.num_parameters() == 82_458, "the head belongs to the training"
    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["state_dict"]["head.output.weight"].shape == (1, 256)
    jetforge.fit(recipe(data, tmp_path / "plain", **settings))
    assert "val_auxiliary" not in rows_of(tmp_path / "plain")[0]


def test_the_target_is_the_standardised_logarithm_of_the_mass(data):
    dataset = jetforge.open(data)
    jets = dataset.read("train")
    target = AuxiliaryTarget("mass", dataset).fit(dataset.blocks("train"))
    momenta = np.stack([jets.columns[name] for name in ("energy", "px", "py", "pz")])
    sums = [momenta[:, a:b].sum(1) for a, b in zip(jets.offsets[:-1], jets.offsets[1:], strict=True)]
    masses = np.array([np.sqrt(max(e**2 - x**2 - y**2 - z**2, 0)) for e, x, y, z in sums])
    logarithms = np.log(np.maximum(masses, 1e-3))
    wanted = (logarithms - logarithms.mean()) / logarithms.std()
    np.testing.assert_allclose(target(jets), wanted, atol=1e-4)
    pt = AuxiliaryTarget("pt", dataset).fit(dataset.blocks("train"))(jets)
    np.testing.assert_allclose(pt, (jets["pt"] - jets["pt"].mean()) / jets["pt"].std(), rtol=1e-5, atol=1e-6)


def test_targets_that_are_not_there_are_named(data, tmp_path):
    with pytest.raises(RecipeError, match=r"no field 'charm' to learn; there are: mass, pt, eta, number"):
        jetforge.fit(recipe(data, tmp_path / "run", auxiliary={"target": "charm"}))
    assert not (tmp_path / "run").exists()

    def broken(jets):
        return Jets(jets.offsets, jets.columns, {**jets.fields, "pt": np.where(jets["pt"] > 600, np.nan, jets["pt"])})

    def named(jets):
        return Jets(jets.offsets, jets.columns, {**jets.fields, "origin": np.full(len(jets), "here")})

    write_dataset(tmp_path / "named", change=named)
    with pytest.raises(DataError, match=r"the field 'origin' holds .*, no numbers"):
        jetforge.fit(recipe(tmp_path / "named", tmp_path / "other", auxiliary={"target": "origin"}))
    write_dataset(tmp_path / "broken", change=broken)
    with pytest.raises(DataError, match=r"the field 'pt' of \d+ jets is not finite"):
        jetforge.fit(recipe(tmp_path / "broken", tmp_path / "run", auxiliary={"target": "pt"}))


def test_the_loss_is_weighted_smoothed_and_summed(data):
    """Each jet's loss: cross entropy with a share of the label spread, and the weighted square of the target."""
    dataset = jetforge.open(data)
    torch.manual_seed(2)
    tagger = jetforge.create_tagger("pfn")
    tagger.representation.fit(dataset.blocks("train"))
    settings = {"label_smoothing": 0.2, "auxiliary": {"target": "mass", "weight": 0.3}}
    head = torch.nn.Sequential(torch.nn.Linear(256, 1), torch.nn.Flatten(0))
    module = TrainingModule(tagger, TrainingSection(**settings), 3, head)
    jets = some_jets(12, 5)
    from jetforge.learning.loader import TrainingBatch

    represented, labels = tagger.representation(jets), torch.from_numpy(jets.label)
    targets = torch.linspace(-1, 1, 12)
    entropies, losses = module._losses(TrainingBatch(represented, labels, torch.ones(12), np.arange(12), targets))
    logarithms = torch.log_softmax(tagger(represented), 1)
    wanted = -0.8 * logarithms[torch.arange(12), labels] - 0.1 * logarithms.sum(1)
    torch.testing.assert_close(entropies, wanted)
    found = head(tagger.embed(represented))
    torch.testing.assert_close(losses, wanted + 0.3 * (found - targets) ** 2)


def test_the_representation_is_part_of_the_recipe(data, tmp_path):
    out = tmp_path / "run"
    jetforge.fit(recipe(data, tmp_path / "usual", epochs=1))
    with pytest.raises(RecipeError, match=r"recipe \(representation.max_constituents: None there, 10 asked for\)"):
        jetforge.fit(recipe(data, tmp_path / "usual", epochs=1, representation={"max_constituents": 10}))
    tagger = jetforge.fit(recipe(data, out, epochs=1, representation={"max_constituents": 5}))
    with pytest.raises(RecipeError, match=r"recipe \(representation.max_constituents: 5 there, None asked for\)"):
        jetforge.fit(recipe(data, out, epochs=1))
    assert tagger.representation.max_constituents == 5
    assert tagger.representation.features == ("pt_rel", "deta", "dphi")
    with pytest.raises(RecipeError, match=r"\(representation.max_constituents: 5 there, 6 asked for\)"):
        jetforge.fit(recipe(data, out, epochs=1, representation={"max_constituents": 6}))
    for representation, message in [
        ({"name": "lund"}, "pfn: .*reads the representation cloud, not lund|reads the representation cloud, not lund"),
        ({"max_constituent": 5}, "representation cloud has no setting 'max_constituent'; did you mean max_const"),
    ]:
        with pytest.raises(JetforgeError, match=message) as caught:
            jetforge.fit(recipe(data, tmp_path / "other", representation=representation))
        assert "\n" not in str(caught.value)
    assert issubclass(TaggerError, JetforgeError)
    assert not (tmp_path / "other").exists()


def test_a_run_from_before_a_field_existed_is_known_again(data, tmp_path):
    out = tmp_path / "run"
    jetforge.fit(recipe(data, out, epochs=1))
    text = (out / "recipe.yaml").read_text()
    shorter = [
        line for line in text.splitlines() if not line.startswith(("representation:", "  bucket:", "  compile:"))
    ]
    assert len(shorter) == len(text.splitlines()) - 3
    (out / "recipe.yaml").write_text("\n".join(shorter))
    before = (out / "metrics.jsonl").stat().st_mtime_ns
    jetforge.fit(recipe(data, out, epochs=1))
    assert (out / "metrics.jsonl").stat().st_mtime_ns == before


def test_taggers_that_do_not_learn_by_gradients_are_fitted(data, tmp_path):
    tagger_section = {"name": "boosted_trees", "arguments": {"max_iter": 20}}
    wanted = make_recipe({"data": str(data), "out": str(tmp_path / "run"), "tagger": tagger_section})
    tagger = jetforge.fit(wanted)
    (row,) = rows_of(tmp_path / "run")
    val = jetforge.open(data).read("val")
    scores = torch.softmax(tagger(tagger.representation(val)).double(), 1).numpy()
    probability = scores[np.arange(len(val)), val.label]
    assert row["val_loss"] == pytest.approx(-np.log(probability).mean(), rel=1e-5)
    assert {"train_loss", "val_auc", "val_accuracy"} <= set(row)
    assert tagger.classes == ("qcd", "top")
    before = (tmp_path / "run/metrics.jsonl").stat().st_mtime_ns
    jetforge.fit(wanted)
    assert (tmp_path / "run/metrics.jsonl").stat().st_mtime_ns == before
    with pytest.raises(RecipeError, match=r"training\.epochs: boosted_trees is not trained by gradients"):
        jetforge.fit(recipe(data, tmp_path / "other", "boosted_trees"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("setting", [{"monitor": "val_loss"}, {"cache_jets": 10}])
def test_settings_that_trees_have_no_use_for_are_refused(setting):
    values = {"data": "data", "out": "run", "tagger": "boosted_trees"}
    tagger_of(make_recipe({**values, "training": {"seed": 3}}))
    with pytest.raises(RecipeError, match=rf"training\.{next(iter(setting))}: boosted_trees .* has no use for it"):
        tagger_of(make_recipe({**values, "training": setting}))


def test_a_fit_in_one_go_that_is_interrupted_does_not_promise_to_go_on(data, tmp_path, monkeypatch):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(boosted_run, "fit_boosted_trees", interrupt)
    wanted = {"data": str(data), "out": str(tmp_path / "run"), "tagger": "boosted_trees"}
    with pytest.raises(Interrupted, match=r"boosted_trees is fitted in one go, nothing of .* from the start"):
        jetforge.fit(make_recipe(wanted))
    monkeypatch.undo()
    other = {"name": "boosted_trees", "arguments": {"max_iter": 2}}
    assert jetforge.fit(make_recipe({**wanted, "tagger": other})).max_iter == 2


def test_a_normalisation_that_is_given_is_kept(data, tmp_path):
    given = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 3.0]}
    tagger = jetforge.fit(recipe(data, tmp_path / "pfn", epochs=1, representation=given))
    assert {name: tagger.representation.to_dict()[name] for name in given} == given
    tagger = jetforge.fit(recipe(data, tmp_path / "lorentznet", "lorentznet", epochs=1, representation={"scale": 20.0}))
    assert tagger.representation.scale == 20


def test_batches_whose_weights_are_all_zero_teach_nothing(tmp_path):
    def half(jets):
        weights = np.arange(len(jets)) % 2 * 1.0
        return Jets(jets.offsets, jets.columns, {**jets.fields, "weight": weights})

    write_dataset(tmp_path / "data", change=half)
    jetforge.fit(recipe(tmp_path / "data", tmp_path / "run", epochs=1, batch_size=1))
    assert np.isfinite(rows_of(tmp_path / "run")[0]["train_loss"])


def test_weights_count_in_the_auxiliary_loss_too(data, tmp_path):
    """Weights that are all doubled change nothing."""

    def weighted(jets, weight):
        return Jets(jets.offsets, jets.columns, {**jets.fields, "weight": np.full(len(jets), weight)})

    runs = []
    for weight in (1.0, 2.0):
        path = tmp_path / f"data{weight}"
        write_dataset(path, change=functools.partial(weighted, weight=weight))
        runs.append(tmp_path / f"run{weight}")
        jetforge.fit(recipe(path, runs[-1], epochs=1, auxiliary={"target": "mass"}))
    one, other = (rows_of(run)[0] for run in runs)
    for name in ("train_loss", "val_loss", "val_auxiliary"):
        assert one[name] == pytest.approx(other[name], rel=1e-5)
