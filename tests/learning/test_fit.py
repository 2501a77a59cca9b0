import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers.datasets import some_jets

import jetforge
from jetforge.errors import DataError, Interrupted, JetforgeError, RecipeError, TaggerError
from jetforge.files import locked
from jetforge.jets import Jets
from jetforge.jets.build import build_dataset
from jetforge.jets.storage import encode_part
from jetforge.jets.tasks import MadePart, PartTask
from jetforge.learning import callbacks
from jetforge.learning.fit import Hardware
from jetforge.learning.layout import LOCK_NAME, refuse_unfinished
from jetforge.learning.recipe import make_recipe

SETTINGS = {"epochs": 2, "batch_size": 40, "checkpoint_minutes": 1e-9}


def recipe(toptag, out, **training):
    return make_recipe(
        {"data": str(toptag), "out": str(out), "tagger": "lundnet2", "training": {**SETTINGS, **training}}
    )


@pytest.fixture(scope="module")
def finished(toptag, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    jetforge.fit(recipe(toptag, out))
    return out


def test_a_run_holds_what_the_design_says(finished, toptag):
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1]
    assert {"train_loss", "val_loss", "val_auc", "val_accuracy", "learning_rate", "seconds"} <= set(rows[0])
    assert rows[1]["train_loss"] < rows[0]["train_loss"]
    assert (finished / "recipe.yaml").is_file()
    tagger = jetforge.load_tagger(finished)
    assert tagger.classes == ("qcd", "top")
    assert tagger.provenance["plan"]["seed"] == 11
    jets = jetforge.open(toptag).read("test")
    assert np.isfinite(tagger.predict(jets)).all()


def test_the_kept_tagger_is_the_best_epoch(finished, toptag):
    """The stored tagger gives the validation loss of the epoch that `monitor` likes best."""
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    best = max(rows, key=lambda row: row["val_auc"])
    jets = jetforge.open(toptag).read("val")
    probability = jetforge.load_tagger(finished).predict(jets)[np.arange(len(jets)), jets.label]
    assert -np.log(probability).mean() == pytest.approx(best["val_loss"], rel=1e-5)


def test_a_finished_run_is_not_trained_again(finished, toptag):
    before = (finished / "metrics.jsonl").stat().st_mtime_ns
    jetforge.fit(recipe(toptag, finished))
    assert (finished / "metrics.jsonl").stat().st_mtime_ns == before


def test_another_recipe_is_refused_and_named(finished, toptag):
    with pytest.raises(RecipeError, match=r"another recipe \(training.batch_size: 40 there, 41 asked for\)"):
        jetforge.fit(recipe(toptag, finished, batch_size=41))


def test_a_run_in_which_nothing_was_trained_may_be_used_by_another_recipe(tmp_path, small_dataset):
    small_dataset(tmp_path / "data", each=20)
    out = tmp_path / "run"
    with pytest.raises(JetforgeError, match="not finite"):
        jetforge.fit(recipe(tmp_path / "data", out, learning_rate=1e30, gradient_clip=None))
    assert (out / "recipe.yaml").is_file()
    with pytest.raises(TaggerError, match=f"{out}: the training is unfinished and has no checkpoint"):
        refuse_unfinished(out)
    jetforge.fit(recipe(tmp_path / "data", out, epochs=1))
    assert jetforge.load_tagger(out).name == "lundnet2"
    refuse_unfinished(out)


def test_a_stopped_run_keeps_its_recipe_and_is_not_measured(stopped, toptag):
    with pytest.raises(RecipeError, match="another recipe"):
        jetforge.fit(recipe(toptag, stopped, batch_size=41))
    with pytest.raises(TaggerError, match=f"{stopped}: the training is unfinished; run the command that made it again"):
        jetforge.evaluate(stopped, toptag)


def test_a_file_in_the_place_of_the_run_is_named(tmp_path, small_dataset):
    small_dataset(tmp_path / "data", each=20)
    (tmp_path / "run").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(RecipeError, match=f"{tmp_path}/run: a file, where"):
            jetforge.fit(recipe(tmp_path / "data", tmp_path / "run"), overwrite=overwrite)


@pytest.mark.parametrize("cache_jets", [1000, 0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_gives_the_same_bits(toptag, tmp_path, monkeypatch, cache_jets, number):
    jetforge.fit(recipe(toptag, tmp_path / "whole", cache_jets=cache_jets))
    original = callbacks.EpochRecorder.on_train_batch_end
    stops = [2, 9]

    def interrupt(self, trainer, *rest):
        original(self, trainer, *rest)
        if stops and trainer.global_step == stops[0]:
            stops.pop(0)
            os.kill(os.getpid(), number)

    monkeypatch.setattr(callbacks.EpochRecorder, "on_train_batch_end", interrupt)
    for step in (2, 9):
        with pytest.raises(Interrupted, match=f"stopped by {number.name} in epoch ., step {step}.*to go on"):
            jetforge.fit(recipe(toptag, tmp_path / "stopped", cache_jets=cache_jets))
    jetforge.fit(recipe(toptag, tmp_path / "stopped", cache_jets=cache_jets))
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def assert_same_run(one, other):
    assert (one / "tagger.safetensors").read_bytes() == (other / "tagger.safetensors").read_bytes()
    rows = [
        [{k: v for k, v in json.loads(line).items() if "second" not in k}
         for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (one, other)
    ]  # fmt: skip
    assert rows[0] == rows[1]


KILLED = """
import os, sys, jetforge
from jetforge.learning import callbacks
from jetforge.learning.recipe import make_recipe
original = callbacks.EpochRecorder.on_train_batch_end
def kill(self, trainer, *rest):
    original(self, trainer, *rest)
    if trainer.global_step == 8:
        os.kill(os.getpid(), 9)
callbacks.EpochRecorder.on_train_batch_end = kill
jetforge.fit(make_recipe({recipe}))
"""


def test_killed_and_resumed_gives_the_same_bits(finished, toptag, tmp_path):
    out = tmp_path / "killed"
    wanted = recipe(toptag, out)
    program = KILLED.replace("{recipe}", repr(wanted.model_dump()))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (out / "tagger.json").exists()
    jetforge.fit(wanted)
    assert_same_run(out, finished)


def test_early_stopping_ends_a_training_that_gets_no_better(toptag, tmp_path):
    jetforge.fit(recipe(toptag, tmp_path / "run", epochs=9, learning_rate=1e-12, early_stopping=1, weight_decay=0))
    rows = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert len(rows) < 9


@pytest.fixture
def stopped(toptag, tmp_path, monkeypatch):
    """Return the directory of a run that was stopped after its first epoch."""
    original = callbacks.EpochRecorder.on_train_epoch_end

    def stop(self, trainer, module):
        original(self, trainer, module)
        raise Interrupted("enough")

    monkeypatch.setattr(callbacks.EpochRecorder, "on_train_epoch_end", stop)
    with pytest.raises(Interrupted):
        jetforge.fit(recipe(toptag, tmp_path / "run"))
    monkeypatch.undo()
    return tmp_path / "run"


@pytest.mark.parametrize("content", [None, b"", b"abc"])
def test_a_damaged_checkpoint_is_named(toptag, stopped, content):
    checkpoint = stopped / "checkpoints/last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000] if content is None else content)
    with pytest.raises(DataError, match=r"last\.ckpt: the checkpoint is damaged"):
        jetforge.fit(recipe(toptag, stopped))


def test_a_run_is_bound_to_its_jets(stopped, tmp_path, small_dataset):
    """Other jets in the same place are noticed, in an unfinished run and in a finished one."""
    data = tmp_path / "data"
    small_dataset(data, each=40)
    wanted = recipe(data, tmp_path / "other")
    jetforge.fit(wanted)
    shutil.rmtree(data)
    small_dataset(data, each=60)
    with pytest.raises(DataError, match=f"not the jets that {tmp_path}/other was trained on.*--overwrite"):
        jetforge.fit(wanted)
    (stopped / "recipe.yaml").write_text(recipe(data, stopped).to_yaml())
    with pytest.raises(DataError, match=f"not the jets that {stopped} was trained on"):
        jetforge.fit(recipe(data, stopped))


def test_overwriting_leaves_nothing_of_the_run_before(tmp_path, small_dataset):
    small_dataset(tmp_path / "data", each=20)
    out = tmp_path / "run"
    jetforge.fit(recipe(tmp_path / "data", out))
    jetforge.evaluate(out, tmp_path / "data")
    jetforge.fit(recipe(tmp_path / "data", out, epochs=1), overwrite=True)
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 1
    assert not (out / "metrics.json").exists()
    assert not (out / "report.html").exists()


def test_a_training_that_stopped_early_stays_stopped(tmp_path, small_dataset, monkeypatch):
    small_dataset(tmp_path / "data", each=40)
    settings = {"epochs": 9, "learning_rate": 1e-12, "weight_decay": 0, "early_stopping": 1}
    jetforge.fit(recipe(tmp_path / "data", tmp_path / "whole", **settings))
    epochs = len((tmp_path / "whole/metrics.jsonl").read_text().splitlines())
    original = callbacks.EpochRecorder.on_train_epoch_end

    def stop(self, trainer, module):
        original(self, trainer, module)
        if trainer.should_stop:
            raise Interrupted("just then")

    monkeypatch.setattr(callbacks.EpochRecorder, "on_train_epoch_end", stop)
    with pytest.raises(Interrupted):
        jetforge.fit(recipe(tmp_path / "data", tmp_path / "run", **settings))
    monkeypatch.undo()
    jetforge.fit(recipe(tmp_path / "data", tmp_path / "run", **settings))
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == epochs
    assert (tmp_path / "run/tagger.json").is_file()


def test_a_directory_of_something_else_is_left_alone(tmp_path, small_dataset):
    small_dataset(tmp_path / "data", each=20)
    before = sorted((tmp_path / "data").iterdir())
    with pytest.raises(RecipeError, match=r"not empty and not a run \(dataset.json\)"):
        jetforge.fit(recipe(tmp_path / "data", tmp_path / "data"))
    assert sorted((tmp_path / "data").iterdir()) == before


def test_damaged_rows_of_metrics_are_named(stopped, toptag):
    with (stopped / "metrics.jsonl").open("a") as file:
        file.write("garbage\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl:2: not a row of measured values"):
        jetforge.fit(recipe(toptag, stopped))


def test_a_training_that_diverges_says_so(tmp_path, small_dataset):
    small_dataset(tmp_path / "data", each=20)
    with pytest.raises(JetforgeError, match=r"not finite after epoch 0: lower training\.learning_rate"):
        jetforge.fit(recipe(tmp_path / "data", tmp_path / "run", learning_rate=1e30, gradient_clip=None))


@pytest.mark.parametrize("rate", [0.001, 1e30], ids=["done", "failed"])
def test_signals_belong_to_their_owner_after_a_training(tmp_path, small_dataset, rate):
    """A process that has trained ends by SIGTERM, as one that has not."""
    small_dataset(tmp_path / "data", each=20)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    wanted = recipe(tmp_path / "data", tmp_path / "run", learning_rate=rate, gradient_clip=None)
    if rate < 1:
        jetforge.fit(wanted)
    else:
        with pytest.raises(JetforgeError, match="not finite"):
            jetforge.fit(wanted)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_bfloat16_trains(tmp_path, small_dataset):
    small_dataset(tmp_path / "data", each=20)
    tagger = jetforge.fit(recipe(tmp_path / "data", tmp_path / "run", epochs=1, precision="bf16-mixed"))
    assert next(tagger.parameters()).dtype == torch.float32


def test_half_precision_on_a_cpu_is_refused_and_not_replaced(tmp_path, small_dataset):
    small_dataset(tmp_path / "data", each=20)
    wanted = recipe(tmp_path / "data", tmp_path / "run", epochs=1, precision="16-mixed")
    with pytest.raises(RecipeError, match="precision: 16-mixed needs a GPU; give bf16-mixed or 32-true"):
        jetforge.fit(wanted, hardware=Hardware("cpu"))


def test_a_directory_in_which_another_process_trains_is_refused(tmp_path, small_dataset):
    small_dataset(tmp_path / "data", each=20)
    wanted = recipe(tmp_path / "data", tmp_path / "run", epochs=1)
    with locked(tmp_path / "run" / LOCK_NAME, "busy"), pytest.raises(DataError, match="another process is training"):
        jetforge.fit(wanted)
    jetforge.fit(wanted)
    assert not (tmp_path / "run" / LOCK_NAME).exists()


def test_training_in_a_thread_of_its_own(tmp_path, small_dataset):
    small_dataset(tmp_path / "data", each=20)
    with ThreadPoolExecutor(1) as pool:
        tagger = pool.submit(jetforge.fit, recipe(tmp_path / "data", tmp_path / "run", epochs=1)).result()
    assert tagger.name == "lundnet2"


@pytest.mark.parametrize(
    "flags",
    [
        {"accelerator": "quantum"}, {"accelerator": "tpu"}, {"devices": "0"}, {"devices": "many"}, {"num_nodes": 0},
        {"strategy": "nonsense"}, {"strategy": "ddp_spawn", "devices": "2"},
    ],
)  # fmt: skip
def test_hardware_that_is_not_there_is_named_before_anything_is_written(tmp_path, small_dataset, flags):
    small_dataset(tmp_path / "data", each=20)
    with pytest.raises(RecipeError, match=r"try --accelerator cpu|--strategy .*; give auto") as caught:
        jetforge.fit(recipe(tmp_path / "data", tmp_path / "run"), hardware=Hardware(**flags))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("top",), "labels": (0,)}, r"one class only \(top\)"),
        ({"labels": (1,)}, "split 'train' holds top only, of 2 classes"),
        ({"splits": ("train",)}, "no jets in the split 'val'"),
    ],
)
def test_data_that_nothing_can_be_learnt_from_are_refused(tmp_path, small_dataset, changes, message):
    small_dataset(tmp_path / "data", **changes)
    with pytest.raises(DataError, match=message):
        jetforge.fit(recipe(tmp_path / "data", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "jet 0 of the split 'train' has the weight -1; training needs"),
        ({("train", 0): 1, ("train", 1): 0}, "class 'top' in the split 'train' add up to 0"),
        (
            {("train", 0): 1, ("train", 1): 1, ("val", 0): 1},
            "jet 1 of the split 'val' has the weight -1;",
        ),
    ],
)
def test_classes_without_weight_are_refused(tmp_path, weights, message):
    def make_part(task):
        label = np.arange(task.jets) % 2
        weight = np.array([weights.get((task.split, number), -1.0) for number in label], dtype=float)
        jets = some_jets(task.jets, 1)
        return MadePart(encode_part(Jets(jets.offsets, jets.columns, {"label": label, "weight": weight})), task.jets)

    tasks = [PartTask("train", 0, 60, {}), PartTask("train", 1, 70, {}), PartTask("val", 0, 20, {})]
    build_dataset(
        tmp_path / "data", tasks, make_part, plan={}, classes=("qcd", "top"),
        constituent_fields=("px", "py", "pz", "mass", "pid"), jet_fields=("label", "weight"), workers=0,
    )  # fmt: skip
    with pytest.raises(DataError, match=message):
        jetforge.fit(recipe(tmp_path / "data", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_unknown_tagger_is_refused_before_anything_is_written(tmp_path, small_dataset):
    small_dataset(tmp_path / "data")
    wanted = make_recipe({"data": str(tmp_path / "data"), "out": str(tmp_path / "run"), "tagger": "lundnet6"})
    with pytest.raises(TaggerError, match="lundnet5"):
        jetforge.fit(wanted)
    assert not (tmp_path / "run").exists()


def test_three_classes_can_be_learnt(tmp_path, small_dataset):
    small_dataset(tmp_path / "data", classes=("qcd", "w", "top"), labels=(0, 1, 2))
    tagger = jetforge.fit(recipe(tmp_path / "data", tmp_path / "run", epochs=1))
    scores = tagger.predict(jetforge.open(tmp_path / "data").read("val"))
    assert scores.shape == (6, 3)
    assert torch.from_numpy(scores).sum(1).tolist() == pytest.approx([1] * 6)
