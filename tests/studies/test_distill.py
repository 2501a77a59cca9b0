"""A whole distillation study on a few jets: what it tries, what it says, latencies, and what it refuses."""

import html
import json
import math
import re
import shutil

import numpy as np
import pytest
import yaml
from helpers.datasets import some_jets, write_dataset

from jetforge.errors import DataError, JetforgeError, RecipeError
from jetforge.evaluation.latency import Latency, measure_latency
from jetforge.learning.fit import Hardware
from jetforge.learning.sections import TrainingSection
from jetforge.representations import JetView
from jetforge.studies import distill as distilling
from jetforge.studies import load_study, run_study
from jetforge.studies.cells import CELL_NAME, SCORES_NAME
from jetforge.studies.distill_gains import close_and_fast, summary_of
from jetforge.studies.distill_grid import lesson_cell, lessons
from jetforge.studies.studies import plan_study
from jetforge.studies.study_file import is_study
from jetforge.taggers import create_tagger, load_tagger

GENERATE = {"presets": ["toptag-top", "toptag-qcd"], "jets": 100}


def study_values(folder):
    return {
        "study": "distill",
        "out": str(folder / "study"),
        "sample": "jets",
        "samples": {"jets": {"data": str(folder / "jets")}, "more": {"data": str(folder / "more")}},
        "teachers": {
            "big": {"tagger": {"name": "lundnet5", "arguments": {"channels": [16, 16], "fusion": 32, "hidden": 16}}},
            "flat": {"tagger": "hldnn", "training": {"epochs": 1}},
        },
        "students": {
            "tiny": {"tagger": {"name": "dense_student", "arguments": {"widths": [8]}},
                     "representation": {"max_length": 10}},
            "set": {"tagger": {"name": "pfn", "arguments": {"phi": [8], "f": [8]}}, "views": ["coarse"],
                    "teachers": ["big"]},
            "other": {"tagger": {"name": "pfn", "arguments": {"phi": [8], "f": [8]}}, "views": ["full"],
                      "teachers": ["big"], "modes": ["more"]},
        },
        "views": {"coarse": {"cell_size": 0.2, "leading": 6}},
        "modes": {
            "scores": {"temperature": 2.0},
            "more": {"unlabelled": "more", "epochs_divisor": 2, "features": 0.5},
        },
        "seeds": 2,
        "training": {"epochs": 2, "batch_size": 50},
        "efficiency": "0.5",
        "scales": {
            "one": {"seeds": 1, "students": {"set": None, "other": None}, "modes": {"more": None}},
        },
    }  # fmt: skip


def write(folder, values):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("studies")
    write_dataset(path / "jets", {"train": [150], "val": [60], "test": [80]})
    write_dataset(path / "more", {"train": [50]}, seed=9)
    return path


@pytest.fixture(scope="module")
def one(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("one")
    study = load_study(write(out, study_values(folder) | {"out": str(out / "study")}), "one")
    return study, run_study(study)


@pytest.fixture(scope="module")
def done(folder):
    study = load_study(write(folder, study_values(folder)))
    return study, run_study(study, command="jetforge run study.yaml")


def test_every_student_is_tried_alone_and_with_its_teachers(done):
    _, result = done
    tried = {(cell.student, cell.view, cell.teacher, cell.mode) for cell in result.lessons if cell.seed == 1}
    assert len(result.lessons) == 2 * len(tried)
    modes = [("alone", None), ("big", "scores"), ("big", "more"), ("flat", "scores"), ("flat", "more")]
    expected = {("tiny", view, *way) for view in ("full", "coarse") for way in modes}
    expected |= {("set", "coarse", *way) for way in modes[:3]}
    assert tried == expected | {("other", "full", *way) for way in (modes[0], modes[2])}
    for lesson, cell in result.lessons.items():
        tagger = load_tagger(cell.run)
        assert tagger.representation.view == (JetView(cell_size=0.2, leading=6) if lesson.view == "coarse" else None)
        assert ("distill" in tagger.provenance) == (lesson.teacher != "alone")
        recipe = yaml.safe_load((cell.run / "recipe.yaml").read_text())
        assert recipe["training"]["seed"] == lesson.seed
        if lesson.teacher != "alone":
            assert recipe["distill"]["teachers"] == [str(result.teachers[lesson.teacher].run)]
            assert (recipe["distill"]["unlabelled"] is not None) == (lesson.mode == "more")
            assert recipe["training"]["warmup_epochs"] == (0.5 if lesson.mode == "more" else 1.0)
            assert recipe["distill"]["temperature"] == (2.0 if lesson.mode == "scores" else 3.0)
        last = json.loads((cell.run / "metrics.jsonl").read_text().splitlines()[-1])
        # 150 jets with labels in batches of 50, 50 more without.
        assert (last["epoch"], last["step"]) == ((0, 4) if lesson.mode == "more" else (1, 6))


def test_gains_follow_from_the_cells(done):
    _, result = done

    def rejections(*names):
        found = {(x.student, x.view, x.teacher, x.mode, x.seed): c.rejection("0.5") for x, c in result.lessons.items()}
        return [found[*names, seed] for seed in (1, 2)]

    assert [row["efficiency"] for row in result.gains] == ["0.5"] * 11 + ["0.3"] * 11
    for row in result.gains[:11]:
        names = (row["student"], row["view"])
        alone, taught = rejections(*names, "alone", None), rejections(*names, row["teacher"], row["mode"])
        assert row["by"] == f"{row['teacher']}, {row['mode']}"
        assert row["gain"] == pytest.approx(np.mean(taught) / np.mean(alone))
        error = math.hypot(*(np.std(r, ddof=1) / np.sqrt(2) / np.mean(r) for r in (alone, taught)))
        assert row["gain_error"] == pytest.approx(row["gain"] * error)
        teacher = json.loads((result.teachers[row["teacher"]].run / CELL_NAME).read_text())
        assert row["of_teacher"] == pytest.approx(np.mean(taught) / teacher["metrics"]["rejection"]["0.5"]["value"])
        latency = result.latencies["students/{}/{}".format(*names)]
        assert row["faster"] == pytest.approx(result.latencies["teachers/" + row["teacher"]].network / latency.network)
        assert 0 < row["gain_low"] <= row["gain_high"]
        assert row["of_teacher_low"] <= row["of_teacher_high"]
    page = result.report.read_text()
    assert f"{result.gains[0]['gain']:.2f} ± {result.gains[0]['gain_error']:.2f}" in page
    for heading in ("Rejection and latency", "Rejection and size", "Rejection and what is seen", "Published"):
        assert f"<h2>{heading}</h2>" in page
    assert "<h2>What teachers are good for, at εS = 0.3</h2>" in page
    assert page.count("<figure") == 6
    assert len(list((result.report.parent / "figures").iterdir())) == 12
    for level, line in zip(("0.5", "0.3"), result.summary[-2:], strict=True):
        assert line.startswith(f"within 20% of the teacher's rejection at {level}, 20 times as fast: ")
        assert line in html.unescape(page)


def test_the_report_says_how_everything_was_trained(done):
    page = html.unescape(done[1].report.read_text())

    def table(heading):
        section = page.split(f"<h2>{heading}</h2>")[1].split("</section>")[0]
        rows = re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)
        return {row[0]: row[1:] for row in (re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows) if row}

    ways = table("Ways of being taught")
    assert ways["scores"] == ["2", "0.9", "0", "0", "-", "2"]
    assert ways["more"] == ["3", "0.9", "0.5", "0", "50", "1"]
    trainings = table("Trainings")
    assert trainings["students.tiny"][:5] == ["dense_student", "widths [8]", "max_length 10", "-", "2"]
    assert trainings["teachers.flat"][3:5] == ["epochs 1", "1"]
    assert table("Jets")["jets"][2:] == ["150", "60", "80"]
    assert "coarse: cell_size 0.2, leading 6" in page


def test_what_leaves_no_background_is_not_close_to_its_teacher(done):
    _, result = done
    row = dict(result.gains[0], faster=100.0)
    name = f"{row['student']} ({row['view']}, {row['by']})"
    for share, low, high, expected in (
        (0.9, 0.85, 0.95, name), (0.9, 0.7, 1.1, f"{name}, unclear"), (0.7, 0.6, 0.9, f"{name}, unclear"),
        (0.7, 0.6, 0.75, "none"),
    ):  # fmt: skip
        close = close_and_fast([row | {"of_teacher": share, "of_teacher_low": low, "of_teacher_high": high}])[-1]
        assert close.removeprefix("within 20% of the teacher's rejection at 0.5, 20 times as fast: ") == expected
    nothing = dict.fromkeys(("of_teacher", "of_teacher_low", "of_teacher_high", "gain", "gain_low"), math.nan)
    line, close = summary_of([row | {"taught": math.inf} | nothing])
    assert "no background left by" in line
    assert line.endswith("gain not known")
    assert close.endswith("none")


def test_students_with_few_labels_do_not_share_scores(folder, tmp_path):
    students = {
        name: {"tagger": "hldnn", "training": {"train_jets": jets}, "modes": ["more"], "teachers": ["big"]}
        for name, jets in (("a", None), ("b", 60), ("c", 60))
    }
    study = load_study(write(tmp_path, study_values(folder) | {"students": students, "views": {}}))
    caches = {x.student: lesson_cell(study, x).recipe["distill"]["cache"] for x in lessons(study) if x.mode}
    assert caches["a"] != caches["b"] == caches["c"]


def test_what_is_done_is_not_done_again(done, monkeypatch):
    study, result = done
    monkeypatch.setattr(distilling, "measure_latency", lambda *a: pytest.fail("measured again"))
    before = {cell.run: (cell.run / "tagger.safetensors").stat().st_mtime_ns for cell in result.lessons.values()}
    again = run_study(study)
    assert before == {run: (run / "tagger.safetensors").stat().st_mtime_ns for run in before}
    assert again.latencies == result.latencies
    assert again.gains == result.gains


def test_a_study_killed_half_way_goes_on(folder, tmp_path):
    study = load_study(write(tmp_path, study_values(folder) | {"out": str(tmp_path / "study")}), "one")
    assert plan_study(study).samples == {str(folder / "jets"): True}  # nothing uses the other sample
    started = []

    def stop(name, done, total):
        started.append(name)
        if len(started) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, on_cell=stop)
    finished = {p: p.stat().st_mtime_ns for p in (tmp_path / "study").rglob("tagger.json") if "best" not in p.parts}
    assert len(finished) == 4
    result = run_study(study)
    assert all(path.stat().st_mtime_ns == time for path, time in finished.items())
    assert {lesson.student for lesson in result.lessons} == {"tiny"}
    assert all(math.isnan(row["gain_error"]) for row in result.gains)
    assert {row["by"] for row in result.gains} == {"big", "flat"}


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("teachers/flat/cell.json", lambda record: record["metrics"].update(auc="0.9")),
        ("teachers/flat/cell.json", lambda record: record["metrics"]["rejection"].pop("0.3")),
        ("teachers/flat/cell.json", lambda record: record["metrics"]["rejection"].update({"0.3": 7})),
        ("teachers/flat/cell.json", lambda record: record.pop("num_parameters")),
        ("latency.json", lambda record: record["teachers/flat"]["found"].update(network="fast")),
        ("latency.json", lambda record: record["teachers/flat"]["found"].update(network=None)),
        ("latency.json", lambda record: record["teachers/flat"]["found"].pop("network")),
        ("latency.json", lambda record: record.update({"teachers/flat": []})),
        ("latency.json", lambda record: record["teachers/flat"]["found"].update(network=0.0)),
        ("latency.json", lambda record: record["teachers/flat"]["found"].update(network=math.nan)),
        ("teachers/flat/cell.json", lambda record: record["metrics"].update(auc=math.nan)),
        ("teachers/flat/cell.json", lambda record: record["metrics"]["rejection"]["0.3"].update(value=0)),
    ],
)
def test_damaged_records_are_measured_again(one, name, damage):
    study, result = one
    path = result.report.parent / name
    record = json.loads(path.read_text())
    damage(record)
    path.write_text(json.dumps(record))
    again = run_study(study)
    assert again.teachers["flat"].metrics == result.teachers["flat"].metrics
    assert again.teachers["flat"].num_parameters == result.teachers["flat"].num_parameters
    assert again.latencies["teachers/flat"].network > 0


def test_scores_of_something_else_are_found_again(one):
    study, result = one
    teacher = result.teachers["flat"]
    before = teacher.scores()
    np.save(teacher.run / SCORES_NAME, before[::-1])
    assert run_study(study).teachers["flat"].scores() == pytest.approx(before)


def test_a_changed_setting_names_the_run_to_remove_before_anything_is_trained(one):
    study, result = one
    tiny = study.students["tiny"].model_copy(update={"training": TrainingSection(learning_rate=0.1)})
    teachers = {**study.teachers, "new": study.teachers["flat"]}
    other = study.model_copy(update={"students": {"tiny": tiny}, "teachers": teachers})
    run = result.report.parent / "cells" / "tiny" / "full" / "alone" / "seed1"
    message = rf"learning_rate: 0.001 there, 0.1 asked for\); remove {run}, and it is trained anew; likewise "
    for act in (plan_study, run_study):
        with pytest.raises(RecipeError, match=message) as caught:
            act(other)
        # Of each of two views: alone, and by two teachers.
        assert str(caught.value).split("; likewise ")[1].count("/seed1") == 5
    assert not (result.report.parent / "teachers" / "new").exists()


def test_what_has_learnt_from_a_changed_teacher_is_named_with_it(one):
    study, result = one
    flat = study.teachers["flat"].model_copy(update={"training": TrainingSection(epochs=2)})
    other = study.model_copy(update={"teachers": {**study.teachers, "flat": flat}})
    with pytest.raises(RecipeError, match=r"^teachers/flat: .*epochs: 1 there, 2 asked for.*likewise ") as caught:
        plan_study(other)
    learnt = [str(cell.run) for lesson, cell in result.lessons.items() if lesson.teacher == "flat"]
    assert all(run in str(caught.value) for run in learnt)
    assert "lundnet" not in str(caught.value)


def test_students_of_a_teacher_that_was_trained_anew_are_refused(folder, tmp_path):
    values = study_values(folder) | {"out": str(tmp_path / "study"), "views": {}}
    values["teachers"] = {"flat": values["teachers"]["flat"]}
    values["students"] = {"tiny": values["students"]["tiny"]}
    values["modes"] = {"scores": {}}
    run_study(load_study(write(tmp_path, values | {"seeds": 1})))
    shutil.rmtree(tmp_path / "study" / "teachers" / "flat")
    values["teachers"]["flat"]["training"]["epochs"] = 2
    changed = load_study(write(tmp_path, values | {"seeds": 1}))
    assert plan_study(changed).trainings["teachers/flat"] is False
    with pytest.raises(
        RecipeError, match=r"tiny/full/flat/scores/seed1: .*distill.teachers: trained anew since\); remove "
    ):
        run_study(changed)
    with pytest.raises(RecipeError, match=r"distill.teachers: trained anew since"):
        plan_study(changed)


def test_latency_is_of_the_jets_that_are_given():
    tagger = create_tagger("hldnn")
    jets = some_jets(64, 1)
    tagger.representation.fit([jets])
    found = measure_latency(tagger, jets, 32)
    assert 0 < found.network < 1e5
    assert found.total == found.network + found.representation
    assert found.batch_size == 32
    assert tagger.training  # as it was
    with pytest.raises(DataError, match="a batch of 100 jets is asked for, there are 64"):
        measure_latency(tagger, jets, 100)
    assert Latency(1.0, 2.0, 1).total == 3.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample": "x"}, "sample: there is no sample 'x'; they are jets"),
        ({"views": {"v": {"leadin": 3}}}, "views.v: view has no setting 'leadin'; did you mean leading?"),
        (
            {"students": {"s": {"tagger": "hldnn", "views": ["x"]}}},
            "students.s.views: there is no view 'x'",
        ),
        ({"students": {"s": {"tagger": "hldnn", "teachers": ["x"]}}}, "students.s.teachers: there is no teacher 'x'"),
        ({"teachers": {"alone": {"tagger": "hldnn"}}}, "'alone' is a student without a teacher"),
        ({"views": {"full": {"leading": 3}}}, "views.full: this is what sees everything"),
        ({"students": {"s": {"tagger": "hldnn", "representation": {"view": {}}}}}, "is one of the study's views"),
        ({"students": {"s": {"tagger": "hldnn", "modes": ["x"]}}}, "students.s.modes: there is no mode 'x'"),
        (
            {"modes": {"m": {"unlabelled": "x"}}},
            "modes.m.unlabelled: 'x' is no other sample of the study; there are more",
        ),
        ({"modes": {"m": {"unlabelled": "jets"}}}, "modes.m.unlabelled: 'jets' is no other sample"),
        ({"modes": {}}, "modes: "),
        ({"students": {2: {"tagger": "hldnn"}}}, "students: the key 2 must be a text; put it into quotes"),
        ({"modes": {"m": {"epochs_divisor": 0.5}}}, "modes.m.epochs_divisor: must be greater than or equal to 1"),
        ({"students": {"s": {"tagger": "hldnn", "views": []}}}, "students.s.views: "),
        (
            {"samples": {"jets": {"data": "a/x"}, "more": {"data": "a/../a/x"}}},
            "samples.more: it has jets of samples.jets",
        ),
        (
            {"samples": {n: {"data": n, "generate": {"presets": ["w", n], "jets": 10}} for n in ("jets", "more")}},
            "samples.more: it has jets of samples.jets",
        ),
        ({"modes": {"m": {"weight": 0}}}, "nothing is learnt from a teacher"),
        ({"study": ["distill"]}, "there is no study ['distill']"),
        ({"scales": ["small"]}, "scales: must be a section"),
        ({"training": {"epochs": 2, "batch_size": "x"}}, "training.batch_size: must be a whole number"),
        (
            {"students": {"s": {"tagger": "hldnn", "training": {"seed": 3}}}},
            "students.s.training.seed: these are 1 to 2; leave it out",
        ),
        ({"scales": {"full": {}}}, "scales.full: full is the file as it is"),
        ({"scales": {"one": None}}, "scales.one: must be a section with the fields that differ"),
        ({"out": ""}, "out: must not be empty"),
        ({"students": {"s": {"tagger": "hldnn", "views": "full"}}}, "students.s.views: must be a list, not 'full'"),
        ({"efficiency": 0.4}, "efficiency: must be '0.3', '0.5', '0.7' or '0.8'"),
        ({"modes": {"m": {"temperature": 0}}}, "modes.m.temperature: must be greater than 0"),
        ({"modes": {"m": {"teachers": []}}}, "modes.m.teachers: no such field"),
    ],
)
def test_mistakes_in_a_study_are_one_line(folder, tmp_path, change, message):
    with pytest.raises(RecipeError) as caught:
        load_study(write(tmp_path, study_values(folder) | change))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_student_that_cannot_be_is_named(folder, tmp_path):
    with pytest.raises(JetforgeError, match=r"study.yaml:\d+: students.s.tagger.name: unknown tagger 'pfnn'"):
        run_study(load_study(write(tmp_path, study_values(folder) | {"students": {"s": {"tagger": "pfnn"}}})))


def test_a_training_that_cannot_be_is_told_before_anything_is_done(folder, tmp_path):
    values = study_values(folder)
    values["out"] = str(tmp_path / "out")
    changes = {"modes": {"more": {"weight": 1}}, "training": {**values["training"], "label_smoothing": 0.1}}
    with pytest.raises(JetforgeError, match=r"which distill.weight 1 leaves out"):
        plan_study(load_study(write(tmp_path, values | changes)))


def test_what_is_known_from_the_file_is_told_before_jets_are_generated(folder, tmp_path):
    def run(change, **options):
        values = study_values(folder) | {"out": str(tmp_path / "out"), "modes": {"m": {}}, "students": STUDENT}
        study = load_study(write(tmp_path, values | change))
        for act in (plan_study, run_study) if not options else (lambda s: run_study(s, **options),):
            with pytest.raises(JetforgeError) as caught:
                act(study)
        return str(caught.value)

    STUDENT = {"s": {"tagger": "hldnn"}}
    (tmp_path / "file").write_text("")
    assert "out: " in (told := run({"out": str(tmp_path / "file")}))
    assert "is a file, where the directory of the study is to be" in told
    assert "is not empty and not a study (dataset.json)" in run({"out": str(folder / "jets")})
    nowhere = {"jets": {"data": str(tmp_path / "new"), "generate": GENERATE}, "more": {"data": "nowhere"}}
    assert "samples.more.data: nowhere does not exist" in run(
        {"samples": nowhere, "modes": {"m": {"unlabelled": "more"}}}
    )
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in run({}, scheduler="tcp://127.0.0.1:9")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match=r"samples.jets.generate: .*jets: holds a dataset of other settings"):
        load_study(write(tmp_path, study_values(folder) | {"samples": {
            "jets": {"data": str(folder / "jets"), "generate": GENERATE}, "more": {"data": "m"}}}))  # fmt: skip


def test_jets_without_labels_are_not_those_with(folder, tmp_path):
    shutil.copytree(folder / "jets", tmp_path / "copy")
    samples = {"jets": {"data": str(folder / "jets")}, "more": {"data": str(tmp_path / "copy")}}
    study = load_study(write(tmp_path, study_values(folder) | {"out": str(tmp_path / "out"), "samples": samples}))
    with pytest.raises(DataError, match=r"modes.more.unlabelled: more: .*copy.* holds train jets of .*jets"):
        run_study(study)


def test_an_efficiency_may_be_a_number(folder, tmp_path):
    assert load_study(write(tmp_path, study_values(folder) | {"efficiency": 0.7})).efficiencies == ["0.7", "0.3", "0.5"]


def test_a_study_that_does_not_say_what_it_is(folder, tmp_path):
    values = study_values(folder)
    del values["study"]
    with pytest.raises(RecipeError, match=r"study.yaml:1: it has samples, as a study has; give study: "):
        is_study(write(tmp_path, values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"presets": ["toptag-topp"]}, "generate: there is no preset 'toptag-topp'; did you mean toptag-top"),
        ({"presets": ["toptag-top", "toptag-top"]}, "generate: a preset is named twice"),
        ({"split": [0.8, 0.1, 0.2]}, "generate: the split is three shares"),
        ({"jets": 101}, "generate: 101 jets cannot be shared equally among 2 presets"),
    ],
)
def test_samples_that_cannot_be_generated_are_refused_with_their_line(folder, tmp_path, change, message):
    values = study_values(folder) | {"samples": {"jets": {"data": "a", "generate": GENERATE | change}}}
    values["students"]["other"]["modes"] = ["m"]
    with pytest.raises(RecipeError, match=r"study.yaml:\d+: samples.jets.") as caught:
        load_study(write(tmp_path, values | {"modes": {"m": {}}}))
    assert message in str(caught.value)


@pytest.mark.parametrize("rows", ["", '{"epoch": 0}\n', '{"epoch": 0, "seconds": "long"}\n'])
def test_a_training_without_its_epochs_is_named(one, rows):
    study, result = one
    path = result.teachers["big"].run / "metrics.jsonl"
    before = path.read_text()
    path.write_text(rows)
    with pytest.raises(
        DataError, match=r"teachers/big: .*metrics.jsonl: rows .*; remove .*teachers/big, and it is trai"
    ):
        run_study(study)
    path.write_text(before)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("recipe.yaml", r"teachers/flat: .*not empty and not a run \(cell.json\); remove .*teachers/flat, and it is"),
        ("tagger.safetensors", r"teachers/flat: .*teachers/flat.*; remove .*teachers/flat, and it is trained anew"),
    ],
)
def test_a_run_that_has_lost_a_file_is_named(one, lost, message):
    study, result = one
    path = result.teachers["flat"].run / lost
    kept = path.read_bytes()
    path.unlink()
    try:
        for act in (plan_study, run_study):
            with pytest.raises(JetforgeError, match=message):
                act(study)
    finally:
        path.write_bytes(kept)
    assert plan_study(study).trainings["teachers/flat"]


def test_other_jets_are_told_before_anything_is_trained(folder, tmp_path):
    shutil.copytree(folder / "jets", tmp_path / "jets")
    values = study_values(folder) | {
        "out": str(tmp_path / "study"),
        "samples": {"jets": {"data": str(tmp_path / "jets")}},
    }
    del values["students"]["other"]
    values |= {"modes": {"scores": {}}, "views": {}, "teachers": {"flat": values["teachers"]["flat"]}, "seeds": 1}
    values["students"] = {"tiny": values["students"]["tiny"]}
    study = load_study(write(tmp_path, values))
    run_study(study)
    shutil.rmtree(tmp_path / "jets")
    write_dataset(tmp_path / "jets", {"train": [150], "val": [60], "test": [80]}, seed=5)
    for act in (plan_study, run_study):
        with pytest.raises(
            DataError, match=r"teachers/flat: .*not the jets that .*; remove .*; likewise .*alone/seed1"
        ):
            act(study)


def test_a_study_goes_on_with_another_teacher_after_a_kill(folder, tmp_path):
    """What the earlier teacher gave is left over, and not taken for the new one's."""
    values = study_values(folder) | {"out": str(tmp_path / "study"), "modes": {"scores": {}}, "views": {}, "seeds": 1}
    values["teachers"] = {"flat": values["teachers"]["flat"]}
    values["students"] = {"tiny": values["students"]["tiny"]}

    def stop(name, done, total):
        if done == 1:
            raise KeyboardInterrupt

    run_study(load_study(write(tmp_path, values)))
    cell = tmp_path / "study/cells/tiny/full/flat/scores/seed1"
    scores = next(iter((tmp_path / "study").glob("scores/flat/scores/jets/*")), None)
    assert scores is None  # removed at the end
    shutil.rmtree(cell)
    with pytest.raises(KeyboardInterrupt):
        run_study(load_study(write(tmp_path, values)), on_cell=stop)
    shutil.rmtree(cell, ignore_errors=True)
    shutil.rmtree(tmp_path / "study/teachers/flat")
    values["teachers"]["flat"]["training"]["epochs"] = 2
    result = run_study(load_study(write(tmp_path, values)))
    assert {lesson.teacher for lesson in result.lessons} == {"alone", "flat"}


def test_the_directory_of_something_else_is_no_studys(folder, tmp_path):
    values = study_values(folder)

    def refused(out):
        with pytest.raises(RecipeError) as caught:
            plan_study(load_study(write(tmp_path, values | {"out": str(out)}), "one"))
        return str(caught.value)

    (tmp_path / "run").mkdir()
    (tmp_path / "run/report.html").write_text("of an evaluation")
    assert "is not empty and not a study (report.html)" in refused(tmp_path / "run")
    (tmp_path / "run/study.json").write_text('{"study": "transfer"}')
    assert "is the directory of another kind of study, transfer" in refused(tmp_path / "run")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/.gitkeep").write_text("")
    plan_study(load_study(write(tmp_path, values | {"out": str(tmp_path / "new")}), "one"))


@pytest.mark.parametrize(
    ("generate", "message"),
    [
        ({"presets": ["toptag-qcd"]}, "there are jets of 1 classes (qcd); a study compares taggers of two"),
        ({"jets": 40, "split": [0.98, 0.01, 0.01]}, "there are no val jets, which the study needs"),
    ],
)
def test_jets_that_a_study_cannot_use_are_not_generated(folder, tmp_path, generate, message):
    values = study_values(folder) | {
        "modes": {"m": {}},
        "samples": {"jets": {"data": "a", "generate": GENERATE | generate}},
    }
    values["students"]["other"]["modes"] = ["m"]
    with pytest.raises(DataError, match=r"study.yaml:\d+: samples.jets.generate: ") as caught:
        load_study(write(tmp_path, values))
    assert message in str(caught.value)


def test_given_jets_that_a_study_cannot_use_are_refused(folder, tmp_path):
    write_dataset(tmp_path / "three", classes=("qcd", "top", "w"))
    (tmp_path / "file").write_text("")
    for name, message in (("three", "there are jets of 3 classes"), ("file", "file: ")):
        samples = {"jets": {"data": str(tmp_path / name)}, "more": {"data": str(folder / "more")}}
        study = load_study(write(tmp_path, study_values(folder) | {"samples": samples, "out": str(tmp_path / "out")}))
        with pytest.raises(JetforgeError, match=message):
            plan_study(study)


def test_several_devices_are_refused_before_anything_is_made(folder, tmp_path):
    values = study_values(folder) | {"out": str(tmp_path / "out")}
    with pytest.raises(RecipeError, match=r"give --devices 1"):
        run_study(load_study(write(tmp_path, values)), hardware=Hardware(devices="2"))
    assert not (tmp_path / "out").exists()
