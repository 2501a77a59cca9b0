"""Starting from an earlier run: what is taken over, what learns, how fast, and what is refused."""

import json

import numpy as np
import pytest
import torch
from helpers.datasets import some_jets, write_dataset

from jetforge.errors import DataError, Interrupted, RecipeError, TaggerError
from jetforge.learning import callbacks
from jetforge.learning.adapters import add_adapters, without_adapters
from jetforge.learning.fit import fit
from jetforge.learning.module import TrainingModule
from jetforge.learning.optimisation import make_optimizer
from jetforge.learning.recipe import make_recipe
from jetforge.learning.sections import TrainingSection, TransferSection
from jetforge.learning.transfer import WeightPlan, take_over, training_of_source, with_source
from jetforge.taggers import create_tagger, load_tagger

SETTINGS = {"epochs": 2, "batch_size": 40, "checkpoint_minutes": 1e-9}
SMALL = {"name": "lundnet5", "arguments": {"channels": [8, 8], "fusion": 12, "hidden": 8}}


def recipe(data, out, source=None, mode="finetune", training=None, **transfer):
    values = {"data": str(data), "out": str(out), "training": {**SETTINGS, **(training or {})}}
    values |= {"tagger": SMALL} if source is None else {"transfer": {"source": str(source), "mode": mode, **transfer}}
    return make_recipe(values)


def rows_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def state(tagger):
    return {key: value.clone() for key, value in tagger.state_dict().items()}


def changed(before, after):
    """Return the names of the tensors that differ."""
    return {key for key, value in before.items() if not torch.equal(value, after[key])}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transfer")
    for name, seed, classes in (("old", 1, ("qcd", "top")), ("new", 2, ("qcd", "top")), ("w", 3, ("qcd", "w"))):
        write_dataset(folder / name, seed=seed, classes=classes)
    write_dataset(folder / "three", seed=4, classes=("qcd", "w", "top"))
    return folder


@pytest.fixture(scope="module")
def source(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("source") / "run"
    fit(recipe(data / "old", run))
    return run


def stages_of(names, tagger):
    """Return the stages that tensors belong to."""
    owners = {
        id(tensor): stage
        for stage, modules in tagger.stages().items()
        for module in modules
        for tensor in module.state_dict(keep_vars=True).values()
    }
    return {owners[id(tensor)] for key, tensor in tagger.state_dict(keep_vars=True).items() if key in names}


@pytest.mark.parametrize(
    ("mode", "settings", "learns"),
    [
        ("finetune", {}, {"nodes", "jets", "classifier"}),
        ("frozen", {}, {"jets", "classifier"}),
        ("frozen", {"cached": False}, {"jets", "classifier"}),
        ("frozen", {"boundary": "classifier"}, {"classifier"}),
        ("gradual", {"unfreeze_every": 2}, {"classifier"}),
        ("gradual", {}, {"jets", "classifier"}),
        ("adapters", {"rank": 2}, {"nodes", "jets", "classifier"}),
    ],
)
def test_each_mode_changes_what_it_says_and_nothing_else(data, source, tmp_path, mode, settings, learns):
    # The last epoch is kept, as the loss on these few jets falls or is what it is.
    tagger = fit(recipe(data / "new", tmp_path / "run", source, mode, **settings))
    last = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    before = state(load_tagger(source))
    if mode != "adapters":
        after = {key.removeprefix("tagger."): value for key, value in last.items() if key.startswith("tagger.")}
        assert stages_of(changed(before, after), tagger) == learns
    else:
        parts = {key.removeprefix("tagger."): value for key, value in last.items()}
        moved = {key for key, value in parts.items() if key.endswith("adapter_up") and value.abs().max() > 0}
        assert moved == {key for key in parts if key.endswith("adapter_up")} != set()
        assert not any(torch.equal(before[key], parts[key]) for key in ("hidden.weight", "output.weight"))
        inside = ".parametrizations.weight.original"
        assert all(torch.equal(parts[k], before[k.replace(inside, ".weight")]) for k in parts if inside in k)
        assert all(torch.equal(parts[k], before[k]) for k in parts if "norm" in k)
    assert set(tagger.state_dict()) == set(before)
    assert tagger.provenance["transfer"]["mode"] == mode
    assert tagger.provenance["transfer"]["trained on"]["fingerprint"] != tagger.provenance["fingerprint"]
    assert not (tmp_path / "run/backbone").exists()


@pytest.mark.parametrize("boundary", ["jets", "classifier"])
def test_cached_training_is_training_without_cache_to_rounding(data, source, tmp_path, boundary):
    cached, not_cached = (
        fit(recipe(data / "new", tmp_path / str(flag), source, "frozen", boundary=boundary, cached=flag))
        for flag in (True, False)
    )
    for key, value in cached.state_dict().items():
        torch.testing.assert_close(value, not_cached.state_dict()[key], rtol=1e-4, atol=1e-6)
    ours, theirs = rows_of(tmp_path / "True"), rows_of(tmp_path / "False")
    assert [row["val_loss"] for row in ours] == pytest.approx([row["val_loss"] for row in theirs], rel=1e-6)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_rows_in_half_precision_stay_close_to_none(data, source, tmp_path, monkeypatch, precision):
    monkeypatch.setattr("jetforge.learning.kept_outputs._LARGE_BYTES", 0)
    kept = tmp_path / "kept"
    settings = {"training": {"precision": precision, "epochs": 1}}
    fit(recipe(data / "new", tmp_path / "cached", source, "frozen", cache=str(kept), **settings))
    fit(recipe(data / "new", tmp_path / "not", source, "frozen", cached=False, **settings))
    assert json.loads((kept / "train.json").read_text())["dtype"] in ("float16", "bfloat16")
    ours, theirs = rows_of(tmp_path / "cached"), rows_of(tmp_path / "not")
    assert ours[0]["val_loss"] == pytest.approx(theirs[0]["val_loss"], rel=2e-3)


def test_the_stopped_training_goes_on_with_the_same_bits(data, source, tmp_path, monkeypatch):
    for mode, settings in (("frozen", {}), ("gradual", {}), ("adapters", {})):
        straight = fit(recipe(data / "new", tmp_path / f"{mode}-straight", source, mode, **settings))
        run = tmp_path / mode
        with monkeypatch.context() as patch:
            saves = []
            save = callbacks.EpochRecorder.save

            def stop(self, trainer, save=save, saves=saves):
                save(self, trainer)
                saves.append(1)
                if len(saves) == 2:
                    raise Interrupted("stopped")

            patch.setattr(callbacks.EpochRecorder, "save", stop)
            with pytest.raises(Interrupted):
                fit(recipe(data / "new", run, source, mode, **settings))
        resumed = fit(recipe(data / "new", run, source, mode, **settings))
        for key, value in resumed.state_dict().items():
            assert torch.equal(value, straight.state_dict()[key]), (mode, key)


def test_outputs_of_a_backbone_serve_several_runs(data, source, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    fit(recipe(data / "new", tmp_path / "one", source, "frozen", cache=str(kept)))
    monkeypatch.setattr("jetforge.learning.kept_outputs.KeptOutputs._compute", lambda *a: pytest.fail("computed again"))
    fit(recipe(data / "new", tmp_path / "two", source, "frozen", cache=str(kept), training={"seed": 2}))
    fewer = recipe(data / "new", tmp_path / "few", source, "frozen", cache=str(kept), training={"train_jets": 60})
    assert fit(fewer).provenance["jets"]["train"] == 60
    monkeypatch.undo()
    straight = fit(recipe(data / "new", tmp_path / "own", source, "frozen", training={"train_jets": 60}))
    assert all(torch.equal(v, straight.state_dict()[k]) for k, v in load_tagger(tmp_path / "few").state_dict().items())


def test_outputs_of_another_backbone_or_other_jets_are_refused(data, source, tmp_path):
    kept = tmp_path / "kept"
    fit(recipe(data / "new", tmp_path / "one", source, "frozen", cache=str(kept)))
    fit(recipe(data / "old", tmp_path / "other", training={"seed": 9}))
    with pytest.raises(DataError, match=r"train.json: outputs of another backbone .*remove .*kept"):
        fit(recipe(data / "new", tmp_path / "two", tmp_path / "other", "frozen", cache=str(kept)))
    with pytest.raises(DataError, match=r"train.json: outputs of other jets"):
        fit(recipe(data / "old", tmp_path / "three", source, "frozen", cache=str(kept)))
    with pytest.raises(DataError, match=r"outputs of another backbone"):
        fit(recipe(data / "new", tmp_path / "four", source, "frozen", cache=str(kept), boundary="classifier"))


@pytest.mark.parametrize("damage", ["changed", "short", "gone", "card", "offsets"])
def test_damaged_outputs_are_refused(data, source, tmp_path, damage):
    kept = tmp_path / "kept"
    fit(recipe(data / "new", tmp_path / "one", source, "frozen", cache=str(kept)))
    rows = kept / "train.rows"
    content = bytearray(rows.read_bytes())
    if damage == "changed":
        content[100] ^= 1
        rows.write_bytes(content)
    elif damage == "short":
        rows.write_bytes(content[:-4])
    elif damage == "gone":
        rows.unlink()
    elif damage == "card":
        (kept / "train.json").write_text("{}")
    else:
        (kept / "train.offsets").write_bytes(b"12345678")
    with pytest.raises(DataError, match=f"remove {kept}"):
        fit(recipe(data / "new", tmp_path / "two", source, "frozen", cache=str(kept)))


def test_rows_that_half_precision_cannot_hold_are_refused(data, source, tmp_path, monkeypatch):
    monkeypatch.setattr("jetforge.learning.kept_outputs._LARGE_BYTES", 0)
    monkeypatch.setattr(
        "jetforge.taggers.lundnet.LundNet.embed_nodes", lambda self, batch: torch.full((batch.num_nodes, 16), 1e6)
    )
    with pytest.raises(DataError, match=r"too large for half precision; set transfer\.cached: false"):
        fit(recipe(data / "new", tmp_path / "run", source, "frozen"))


@pytest.mark.parametrize("classes", [("qcd", "w"), ("qcd", "w", "top")])
def test_other_classes(data, source, tmp_path, classes):
    name = "w" if len(classes) == 2 else "three"
    old = state(load_tagger(source))
    tagger = fit(recipe(data / name, tmp_path / "run", source, "frozen", boundary="classifier"))
    assert tagger.classes == classes
    assert tagger.predict(some_jets(3, 1)).shape == (3, len(classes))
    assert torch.equal(tagger.state_dict()["fusion.weight"], old["fusion.weight"])


def test_rows_of_the_head_follow_the_names_of_the_classes(data, source):
    old = load_tagger(source)
    for classes, order in ((("top", "qcd"), [1, 0]), (("w", "g"), [0, 1])):
        tagger = create_tagger("lundnet5", representation=old.representation, **SMALL["arguments"])
        take_over(old, tagger, classes)
        assert torch.equal(tagger.output.weight, old.output.weight[order])
    tagger = create_tagger("lundnet5", 3, representation=old.representation, **SMALL["arguments"])
    fresh = state(tagger)
    take_over(old, tagger, ("a", "b", "c"))
    assert torch.equal(tagger.output.weight, fresh["output.weight"])
    assert torch.equal(tagger.hidden.weight, old.hidden.weight)
    tagger = create_tagger("lundnet5", representation=old.representation, **SMALL["arguments"])
    fresh = state(tagger)
    take_over(old, tagger, ("qcd", "top"), new_head=True)
    assert torch.equal(tagger.hidden.weight, fresh["hidden.weight"])
    assert torch.equal(tagger.fusion.weight, old.fusion.weight)


def test_another_architecture_of_the_same_name_is_refused(source):
    old = load_tagger(source)
    tagger = create_tagger("lundnet5", representation=old.representation, channels=[8, 8], fusion=13, hidden=8)
    with pytest.raises(TaggerError, match=r"the source has \[12, 16\] where lundnet5 wants fusion.weight \[13, 16\]"):
        take_over(old, tagger, ("qcd", "top"))


@pytest.mark.parametrize(("classes", "divisor"), [(("qcd", "top"), 10), (("qcd", "w"), 3)])
def test_the_published_rates(data, source, tmp_path, classes, divisor):
    start = source
    if "w" in classes:
        start = tmp_path / "w"
        fit(recipe(data / "w", start))
    resolved, tagger = with_source(recipe(data / "new", tmp_path / "run", start))
    assert resolved.transfer.rate_divisor == divisor
    plan = WeightPlan(tagger, resolved.transfer)
    optimizer = make_optimizer(tagger.parameters(), TrainingSection(), plan.factors())
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3 / divisor}
    frozen, _ = with_source(recipe(data / "new", tmp_path / "run", start, "frozen"))
    assert frozen.transfer.rate_divisor == 1
    own, _ = with_source(recipe(data / "new", tmp_path / "run", start, rate_divisor=7))
    assert own.transfer.rate_divisor == 7


def test_each_layer_learns_slower_than_the_next():
    tagger = create_tagger("lundnet5", **SMALL["arguments"])
    section = TransferSection(source="x", layer_decay=0.5, rate_divisor=10)
    factors = WeightPlan(tagger, section).factors()
    layers = [[tagger.input_norm], *([c] for c in tagger.convolutions), [tagger.fusion], [tagger.fusion_norm]]
    head = [tagger.hidden, tagger.output]
    for above, modules in enumerate(reversed([*layers, head])):
        for module in modules:
            for parameter in module.parameters():
                assert factors[id(parameter)] == pytest.approx(0.1 * 0.5**above)
    groups = make_optimizer(tagger.parameters(), TrainingSection(optimizer="adam"), factors).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(tagger.parameters()))
    assert len(groups) == len(layers) + 1


def test_stages_thaw_one_after_the_other():
    tagger = create_tagger("lundnet5", **SMALL["arguments"])
    plan = WeightPlan(tagger, TransferSection(source="x", mode="gradual", unfreeze_every=2))
    module = TrainingModule(tagger, TrainingSection(), 1, plan=plan)
    learning = []
    for epoch in range(6):
        plan.begin_epoch(epoch)
        names = {name for name, parameter in tagger.named_parameters() if parameter.requires_grad}
        learning.append(sorted(stages_of(names, tagger)))
    assert learning == [["classifier"]] * 2 + [["classifier", "jets"]] * 2 + [["classifier", "jets", "nodes"]] * 2
    module.train()
    assert not tagger.fusion_norm.training
    assert tagger.dropout.training


def test_adapters_begin_as_nothing_and_end_as_weights(source):
    tagger, plain = load_tagger(source), load_tagger(source)
    jets = some_jets(5, 7)
    add_adapters(tagger, rank=3)
    np.testing.assert_allclose(tagger.predict(jets), plain.predict(jets), rtol=1e-6)
    with torch.no_grad():
        for name, parameter in tagger.named_parameters():
            if name.endswith("adapter_up"):
                parameter.normal_()
    merged = without_adapters(tagger)
    assert set(merged.state_dict()) == set(plain.state_dict())
    np.testing.assert_allclose(merged.predict(jets), tagger.predict(jets), rtol=1e-5)
    assert np.abs(merged.predict(jets) - plain.predict(jets)).max() > 1e-3
    assert torch.linalg.matrix_rank(merged.fusion.weight - plain.fusion.weight, atol=1e-5) == 3
    assert without_adapters(plain) is plain


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "frozn"}, "did you mean 'frozen'"),
        ({"mode": "finetune", "boundary": "jets"}, "boundary is for the mode frozen, not for finetune"),
        ({"mode": "frozen", "layer_decay": 0.5}, "layer_decay is for the mode finetune or gradual"),
        ({"mode": "frozen", "rank": 4}, "rank is for the mode adapters"),
        (
            {"mode": "frozen", "boundary": "nodes"},
            r"transfer.boundary: nodes is none of lundnet5's; they are jets, clas",
        ),
        ({"mode": "frozen", "cached": False, "cache": "x"}, "cache is a directory for what cached: false forbids"),
        ({"rate_divisor": 0.5}, "rate_divisor: must be greater than or equal to 1"),
        ({"source_sha256": "0" * 64}, "has the sha256 .*, not 000000000000...: it was trained again"),
    ],
)
def test_settings_that_make_no_sense(data, source, tmp_path, settings, message):
    with pytest.raises(RecipeError, match=message):
        fit(recipe(data / "new", tmp_path / "run", source, **settings))


def test_sources_that_are_none(data, source, tmp_path):
    with pytest.raises(TaggerError, match="nowhere: no such run directory"):
        recipe(data / "new", tmp_path / "run", tmp_path / "nowhere")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/recipe.yaml").write_text("data: x")
    with pytest.raises(TaggerError, match="the training is unfinished"):
        recipe(data / "new", tmp_path / "run", tmp_path / "begun")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in ("tagger.json", "tagger.safetensors"):
        (damaged / name).write_bytes((source / name).read_bytes())
    (damaged / "tagger.safetensors").write_bytes((source / "tagger.safetensors").read_bytes()[:-1])
    with pytest.raises(TaggerError, match="the file is damaged or belongs to another tagger"):
        fit(recipe(data / "new", tmp_path / "run", damaged))
    fit(make_recipe({"data": str(data / "old"), "out": str(tmp_path / "trees"), "tagger": "boosted_trees"}))
    with pytest.raises(TaggerError, match="boosted_trees is not trained by gradients"):
        fit(recipe(data / "new", tmp_path / "run", tmp_path / "trees"))


def test_another_tagger_or_representation_than_the_sources_is_refused(data, source, tmp_path):
    values = {"data": str(data / "new"), "out": str(tmp_path / "run"), "transfer": {"source": str(source)}}
    with pytest.raises(RecipeError, match="is a lundnet5, the recipe asks for lundnet3; leave tagger out"):
        fit(make_recipe({**values, "tagger": "lundnet3"}))
    with pytest.raises(RecipeError, match=r"representation.variables: \['ln_kt'\] is asked for"):
        fit(make_recipe({**values, "representation": {"variables": ["ln_kt"]}}))
    with pytest.raises(RecipeError, match=r"representation.name: 'cloud' is asked for"):
        fit(make_recipe({**values, "representation": "cloud"}))


def test_a_backbone_without_linear_layers_takes_no_adapters(data, tmp_path):
    fit(make_recipe({"data": str(data / "old"), "out": str(tmp_path / "cnn"), "tagger": "image_cnn",
                     "training": {"epochs": 1, "batch_size": 64}}))  # fmt: skip
    source = load_tagger(tmp_path / "cnn")
    source.stages = lambda: {"convolutions": (source.convolutions,), "classifier": (source.dense, source.output)}
    with pytest.raises(TaggerError, match="image_cnn has no linear layers to adapt"):
        add_adapters(source, 4)


def test_a_second_head_and_a_frozen_backbone_exclude_each_other(data, source, tmp_path):
    with pytest.raises(RecipeError, match=r"training\.auxiliary is not learnt with transfer\.mode frozen"):
        recipe(data / "new", tmp_path / "run", source, "frozen", training={"auxiliary": {"target": "mass"}})


def test_a_transfer_is_trained_as_its_source_was(data, source, tmp_path):
    assert training_of_source(source)["batch_size"] == 40
    assert "train_jets" not in training_of_source(source)
    assert training_of_source(tmp_path) == {}
    (tmp_path / "recipe.yaml").write_text("[]")
    with pytest.raises(RecipeError, match="not the recipe of a run"):
        training_of_source(tmp_path)


def test_a_source_that_was_trained_again_is_noticed(data, source, tmp_path):
    run = tmp_path / "run"
    fit(recipe(data / "new", run, source))
    other = tmp_path / "other"
    fit(recipe(data / "old", other, training={"seed": 5}))
    with pytest.raises(RecipeError, match=r"holds a run of another recipe \(transfer\.source: .* there"):
        fit(recipe(data / "new", run, other))


def test_fewer_training_jets(data, tmp_path):
    tagger = fit(recipe(data / "new", tmp_path / "few", training={"train_jets": 70}))
    assert tagger.provenance["jets"] == {"train": 70, "val": 20, "test": 25}
    with pytest.raises(DataError, match="131 jets of the split 'train' are asked for, it holds 130"):
        fit(recipe(data / "new", tmp_path / "many", training={"train_jets": 131}))
