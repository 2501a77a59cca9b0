"""Students and their teachers: the losses by their formulas, and whole trainings."""

import json
import shutil

import numpy as np
import pytest
import torch
from helpers.datasets import some_jets, write_dataset
from torch.nn import functional

from jetforge.errors import DataError, Interrupted, RecipeError, TaggerError
from jetforge.jets import Jets
from jetforge.jets.dataset import open_dataset
from jetforge.learning import callbacks
from jetforge.learning.distill import Distillation, relation_loss
from jetforge.learning.fit import fit
from jetforge.learning.loader import NO_LABEL, BatchLoader, TrainingBatch
from jetforge.learning.module import TrainingModule
from jetforge.learning.recipe import make_recipe
from jetforge.learning.sections import DistillSection, TrainingSection
from jetforge.learning.unlabelled import WithUnlabelled
from jetforge.representations import JetView
from jetforge.taggers import create_tagger, load_tagger, save_tagger

SETTINGS = {"epochs": 2, "batch_size": 40, "checkpoint_minutes": 1e-9}
TEACHER = {"name": "lundnet5", "arguments": {"channels": [8, 8], "fusion": 12, "hidden": 8}}
STUDENT = {"name": "dense_student", "arguments": {"widths": [16], "dropout": 0.0}}


def recipe(data, out, teachers=(), training=None, tagger=None, representation=None, **distill):
    values = {
        "data": str(data),
        "out": str(out),
        "tagger": tagger or (STUDENT if teachers else TEACHER),
        "representation": representation or {},
        "training": {**SETTINGS, **(training or {})},
    }
    if teachers:
        values["distill"] = {"teachers": [str(path) for path in teachers], **distill}
    return make_recipe(values)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distill")
    for name, seed, classes in (("jets", 1, ("qcd", "top")), ("more", 2, ("qcd", "top")), ("w", 3, ("qcd", "w"))):
        write_dataset(folder / name, seed=seed, classes=classes)
    write_dataset(folder / "turned", seed=1, classes=("top", "qcd"))
    return folder


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    """Return the run of a teacher with decided opinions: untrained, its logits made large."""
    run = tmp_path_factory.mktemp("teacher") / "run"
    torch.manual_seed(2)
    tagger = create_tagger("lundnet5", **TEACHER["arguments"])
    tagger.representation.fit([open_dataset(data / "jets").read("train")])
    tagger.classes = ("qcd", "top")
    with torch.no_grad():
        tagger.output.weight.normal_(std=8)
    save_tagger(tagger, run)
    return run


def likeness(student, teacher, jets):
    """Return the correlation of the logit differences of two taggers."""
    logits = [np.diff(np.log(load_tagger(run).predict(jets)), axis=1)[:, 0] for run in (student, teacher)]
    return np.corrcoef(*logits)[0, 1]


def test_the_soft_loss_is_its_formula():
    torch.manual_seed(1)
    ours, theirs = torch.randn(7, 3), torch.randn(7, 6)
    section = DistillSection(teachers=("a", "b"), temperature=2.5, weight=0.7)
    loss = Distillation(section, theirs, 3)(ours, None, theirs)
    target = (torch.softmax(theirs[:, :3] / 2.5, 1) + torch.softmax(theirs[:, 3:] / 2.5, 1)) / 2
    own = torch.softmax(ours / 2.5, 1)
    expected = 0.7 * 2.5**2 * (target * (target.log() - own.log())).sum(1)
    torch.testing.assert_close(loss, expected)
    alike = Distillation(DistillSection(teachers=("a",)), theirs[:, :3], 3)
    torch.testing.assert_close(alike(theirs[:, :3], None, theirs[:, :3]), torch.zeros(7), atol=1e-5, rtol=0)


def test_features_are_compared_in_units_of_their_spread():
    torch.manual_seed(1)
    rows = torch.cat([torch.randn(50, 2), 100 + 30 * torch.randn(50, 4), torch.ones(50, 1)], 1)
    section = DistillSection(teachers=("a",), weight=0, features=2.0)
    loss = Distillation(section, rows, 2, width=3)
    embedded = torch.randn(50, 3)
    theirs = rows[:, 2:]
    scaled = (theirs - theirs.mean(0)) / torch.where(theirs.std(0) > 0, theirs.std(0), 1.0)
    expected = 2 * (loss.map(embedded) - scaled).square().mean(1)
    torch.testing.assert_close(loss(torch.zeros(50, 2), embedded, rows), expected, rtol=1e-4, atol=1e-5)
    assert not [key for key in loss.state_dict() if "mean" in key]


def test_relations_see_no_rotation_and_no_scale():
    torch.manual_seed(1)
    rows = torch.randn(20, 5, dtype=torch.float64, requires_grad=True)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    torch.testing.assert_close(relation_loss(rows, 3 * rows.detach() @ rotation + 1), rows.new_zeros(20))
    other = torch.randn(20, 3, dtype=torch.float64)
    distances = []
    for points in (rows, other):
        d = torch.cdist(points, points)
        distances.append(d / (d.sum() / (20 * 19)))
    expected = functional.smooth_l1_loss(*distances, reduction="none").sum(1) / 19
    torch.testing.assert_close(relation_loss(rows, other), expected)
    relation_loss(rows, other).sum().backward()
    assert torch.isfinite(rows.grad).all()
    assert relation_loss(rows[:1], other[:1]).tolist() == [0]


@pytest.mark.parametrize("student", [TEACHER, STUDENT, {"name": "hldnn"}, {"name": "particlenet_lite"}])
def test_a_student_becomes_like_its_teacher(data, teacher, tmp_path, student):
    settings = {"epochs": 25, "batch_size": 26, "learning_rate": 0.005, "monitor": "val_loss"}
    fit(recipe(data / "jets", tmp_path / "run", [teacher], tagger=student, weight=1.0, temperature=1.0,
               training=settings))  # fmt: skip
    fit(recipe(data / "jets", tmp_path / "alone", tagger=student, training=settings))
    last = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    tagger = load_tagger(tmp_path / "run")
    tagger.load_state_dict({k.removeprefix("tagger."): v for k, v in last.items() if k.startswith("tagger.")})
    save_tagger(tagger, tmp_path / "last")
    jets = open_dataset(data / "jets").read("train")
    assert likeness(tmp_path / "last", teacher, jets) > 0.5
    assert likeness(tmp_path / "last", teacher, jets) > likeness(tmp_path / "alone", teacher, jets) + 0.2


def test_teacher_and_student_see_the_same_jets_differently(data, teacher, tmp_path):
    view = {"leading": 5, "cell_size": 0.2}
    student = fit(recipe(data / "jets", tmp_path / "run", [teacher], representation={"view": view, "max_length": 5}))
    assert student.representation.view == JetView(**view)
    jets = open_dataset(data / "jets").read("test")
    np.testing.assert_array_equal(student.predict(jets), student.predict(jets))
    assert student.provenance["distill"]["taggers"] == ["lundnet5"]
    assert not (tmp_path / "run/teachers").exists()


def test_scores_of_a_teacher_are_made_once(data, teacher, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    first = fit(recipe(data / "jets", tmp_path / "one", [teacher], cache=str(kept)))
    alone = fit(recipe(data / "jets", tmp_path / "own", [teacher]))
    rows = np.fromfile(kept / "0" / "train.rows", "<f4").reshape(-1, 2)
    jets = open_dataset(data / "jets").read("train")
    tagger = load_tagger(teacher)
    with torch.no_grad():
        np.testing.assert_allclose(rows, tagger(tagger.representation(jets)).numpy(), rtol=1e-4, atol=1e-4)
    monkeypatch.setattr("jetforge.learning.kept_outputs.KeptOutputs._compute", lambda *a: pytest.fail("made again"))
    again = fit(recipe(data / "jets", tmp_path / "two", [teacher], cache=str(kept)))
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
        assert torch.equal(value, alone.state_dict()[key])
    with pytest.raises(DataError, match="outputs of other jets"):
        fit(recipe(data / "more", tmp_path / "three", [teacher], cache=str(kept)))
    with pytest.raises(DataError, match=r"outputs of another teacher .*choose another distill\.cache"):
        fit(recipe(data / "jets", tmp_path / "four", [tmp_path / "one"], cache=str(kept)))


def test_classes_in_another_order_are_the_same_classes(data, teacher, tmp_path):
    kept = [tmp_path / "straight", tmp_path / "turned"]
    for name, folder in zip(("jets", "turned"), kept, strict=True):
        fit(recipe(data / name, tmp_path / name, [teacher], cache=str(folder), training={"epochs": 1}))
    straight, turned = (np.fromfile(folder / "0" / "train.rows", "<f4").reshape(-1, 2) for folder in kept)
    np.testing.assert_array_equal(turned, straight[:, ::-1])


def test_several_teachers_and_everything_else_at_once(data, teacher, tmp_path, monkeypatch):
    fit(recipe(data / "jets", tmp_path / "second", tagger={"name": "hldnn"}))
    wanted = {
        "teachers": [teacher, tmp_path / "second"], "features": 0.5, "relations": 0.5, "unlabelled": str(data / "more"),
        "training": {"batch_size": 26, "label_smoothing": 0.1, "bucket": True, "cache_jets": 10},
        "tagger": {"name": "pfn", "arguments": {"dropout": 0.2}},
    }  # fmt: skip
    straight = fit(recipe(data / "jets", tmp_path / "straight", **wanted))
    saves, save = [], callbacks.EpochRecorder.save

    def stop(self, trainer):
        save(self, trainer)
        saves.append(1)
        if len(saves) == 7:
            raise Interrupted("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.EpochRecorder, "save", stop)
        with pytest.raises(Interrupted):
            fit(recipe(data / "jets", tmp_path / "run", **wanted))
    resumed = fit(recipe(data / "jets", tmp_path / "run", **wanted))
    assert all(torch.equal(value, straight.state_dict()[key]) for key, value in resumed.state_dict().items())
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20]  # 130 and 130 jets in batches of 26


def test_labels_of_unlabelled_jets_are_not_looked_at(data, teacher, tmp_path):
    def flipped(jets):
        return Jets(jets.offsets, jets.columns, {**jets.fields, "label": 1 - jets.label})

    def without(jets):
        return Jets(jets.offsets, jets.columns, {k: v for k, v in jets.fields.items() if k != "label"})

    for name, change in (("flipped", flipped), ("without", without)):
        write_dataset(tmp_path / name, seed=2, change=change)
    students = [
        fit(recipe(data / "jets", tmp_path / f"run-{place.name}", [teacher], unlabelled=str(place)))
        for place in (data / "more", tmp_path / "flipped", tmp_path / "without")
    ]
    alone = fit(recipe(data / "jets", tmp_path / "alone", [teacher]))
    for key, value in students[0].state_dict().items():
        assert all(torch.equal(value, other.state_dict()[key]) for other in students[1:])
    assert not torch.equal(students[0].output.weight, alone.output.weight)


def test_a_run_is_of_its_unlabelled_jets_too(data, teacher, tmp_path):
    write_dataset(tmp_path / "more", seed=2)
    settings = recipe(data / "jets", tmp_path / "run", [teacher], unlabelled=str(tmp_path / "more"))
    fit(settings)
    trained = (tmp_path / "run/tagger.safetensors").stat().st_mtime_ns
    fit(settings)
    assert (tmp_path / "run/tagger.safetensors").stat().st_mtime_ns == trained
    shutil.rmtree(tmp_path / "more")
    write_dataset(tmp_path / "more", seed=3)
    with pytest.raises(DataError, match=r"not the jets that .*run was trained on"):
        fit(settings)


def test_unlabelled_jets_count_as_much_as_others(data, tmp_path):
    def weighted(jets):
        return Jets(jets.offsets, jets.columns, {**jets.fields, "weight": np.where(jets.label, 4e-3, 1e-3)})

    labelled = write_dataset(tmp_path / "weighted", change=weighted)
    both = WithUnlabelled(labelled, open_dataset(data / "more"))
    weights = np.concatenate([both.read_part("train", index).weight for index in range(len(both.parts("train")))])
    known = labelled.num_jets("train")
    np.testing.assert_allclose(weights[:known], labelled.read("train").weight)
    np.testing.assert_allclose(weights[known:], weights[:known].mean())


def test_unlabelled_jets_follow_the_labelled_ones(data):
    labelled, further = open_dataset(data / "jets"), open_dataset(data / "more")
    both = WithUnlabelled(labelled, further)
    assert both.num_jets("train") == 260
    assert both.num_jets("val") == labelled.num_jets("val")
    assert both.fingerprint not in (labelled.fingerprint, further.fingerprint)
    representation = create_tagger("hldnn").representation.fit([labelled.read("train")])
    batches = list(BatchLoader(both, "train", representation, 100, shuffle=True, seed=3))
    labels = np.concatenate([batch.labels.numpy() for batch in batches])
    numbers = np.concatenate([batch.numbers for batch in batches])
    assert sorted(numbers) == list(range(260))
    np.testing.assert_array_equal(labels == NO_LABEL, numbers >= 130)


def test_labels_count_as_much_as_without_further_jets():
    """The mean loss of labelled jets is the same with as many unlabelled ones beside them."""
    section = DistillSection(teachers=("a",), weight=0.25)
    module = TrainingModule(create_tagger("hldnn"), TrainingSection(), 1)
    module.distillation = Distillation(section, torch.zeros(8, 2), 2)
    torch.manual_seed(1)
    logits, weights = torch.randn(8, 2), torch.rand(8) + 0.5
    labels = torch.tensor([0, 1, 1, 0] + [NO_LABEL] * 4)

    def from_labels(rows):
        batch = TrainingBatch(None, labels[rows], weights[rows], np.arange(8)[rows], None, torch.zeros(8, 2)[rows])
        entropies = functional.cross_entropy(logits[rows], labels[rows], reduction="none", ignore_index=NO_LABEL)
        own = module._distilled(entropies, logits[rows], None, batch) - module.distillation(
            logits[rows], None, batch.beside
        )
        return (own * weights[rows]).sum() / weights[rows].sum()

    torch.testing.assert_close(from_labels(slice(8)), from_labels(slice(4)))


def test_relations_are_the_same_in_half_precision():
    torch.manual_seed(1)
    rows = 5 + 0.3 * torch.randn(64, 32)
    rotation, _ = torch.linalg.qr(torch.randn(32, 32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert relation_loss(rows, rows @ rotation.float()).max() < 0.05
        alike = relation_loss(rows, 2 * rows)
    torch.testing.assert_close(alike, torch.zeros(64), atol=1e-5, rtol=0)


def test_scores_of_other_numbers_of_labelled_jets_are_not_taken(data, teacher, tmp_path):
    """Further jets follow the labelled ones: with fewer of these each has another place."""
    settings = {"cache": str(tmp_path / "kept"), "unlabelled": str(data / "more")}
    fit(recipe(data / "jets", tmp_path / "one", [teacher], **settings))
    fewer = recipe(data / "jets", tmp_path / "two", [teacher], training={"train_jets": 60}, **settings)
    with pytest.raises(DataError, match="outputs of other jets"):
        fit(fewer)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "distill.temperature: must be greater than 0"),
        ({"weight": 1.1}, "distill.weight: must be less than or equal to 1"),
        ({"weight": 0}, "nothing is learnt from a teacher; raise one"),
        ({"teacher_sha256": ("0" * 64,)}, r"distill.teachers: .* has the sha256 .*, not 000000000000..."),
        ({"teacher_sha256": ("0" * 64,) * 2}, r"teacher_sha256: 2 checksums for 1 teachers; give one each"),
        ({"training": {"auxiliary": {"target": "mass"}}}, "training.auxiliary is not learnt beside a teacher"),
        ({"tagger": {"name": "boosted_trees"}, "training": {}}, "distill: boosted_trees learns by no gradients"),
        ({"unlabelled": "nowhere"}, "nowhere: no such directory"),
    ],
)
def test_settings_that_make_no_sense(data, teacher, tmp_path, settings, message):
    with pytest.raises((RecipeError, DataError), match=message):
        fit(recipe(data / "jets", tmp_path / "run", [teacher], **settings))


def test_teachers_that_are_none(data, teacher, tmp_path):
    with pytest.raises(TaggerError, match="nowhere: no such run directory"):
        fit(recipe(data / "jets", tmp_path / "run", [tmp_path / "nowhere"]))
    with pytest.raises(TaggerError, match=r"tells qcd, top apart, the jets of .*w are qcd, w; take a teacher of the"):
        fit(recipe(data / "w", tmp_path / "run", [teacher]))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/recipe.yaml").write_text("data: x")
    with pytest.raises(TaggerError, match="the training is unfinished"):
        fit(recipe(data / "jets", tmp_path / "run", [tmp_path / "begun"]))


def test_unlabelled_jets_without_a_column_are_refused(data, teacher, tmp_path):
    def without(jets):
        return Jets(jets.offsets, {k: v for k, v in jets.columns.items() if k != "pid"}, jets.fields)

    write_dataset(tmp_path / "plain", seed=2, change=without)
    with pytest.raises(DataError, match=r"distill.unlabelled: .*plain: its constituents lack pid"):
        fit(recipe(data / "jets", tmp_path / "run", [teacher], unlabelled=str(tmp_path / "plain")))


def test_a_fine_tuned_student(data, teacher, tmp_path):
    fit(recipe(data / "more", tmp_path / "source", tagger=STUDENT))
    values = {
        "data": str(data / "jets"), "out": str(tmp_path / "run"), "training": SETTINGS,
        "transfer": {"source": str(tmp_path / "source"), "mode": "frozen"}, "distill": {"teachers": [str(teacher)]},
    }  # fmt: skip
    tagger = fit(make_recipe(values))
    assert {"transfer", "distill"} <= tagger.provenance.keys()
    assert torch.equal(tagger.hidden[0].weight, load_tagger(tmp_path / "source").hidden[0].weight)
    with pytest.raises(RecipeError, match=r"do not go with transfer\.mode frozen"):
        make_recipe({**values, "distill": {"teachers": [str(teacher)], "features": 1}})


def test_a_teacher_of_boosted_trees(data, tmp_path):
    fit(make_recipe({"data": str(data / "jets"), "out": str(tmp_path / "trees"), "tagger": "boosted_trees"}))
    student = fit(recipe(data / "jets", tmp_path / "run", [tmp_path / "trees"]))
    assert student.predict(some_jets(4, 1)).shape == (4, 2)
