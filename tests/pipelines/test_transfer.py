"""Journeys from one tagger to the next through the command line: fine-tuned, pre-trained, distilled, studied."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.datasets import write_dataset
from helpers.written import atlas

from jetforge.cli.main import main

JETFORGE = Path(sys.executable).with_name("jetforge")
ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ("--epochs", 1, "--batch-size", 40)


def jetforge(*arguments, **options):
    options = {"timeout": 300, **options}
    return subprocess.run([JETFORGE, *map(str, arguments)], capture_output=True, text=True, **options)


def done(*arguments, **options):
    result = jetforge(*arguments, **options)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def refused(*arguments, **options):
    result = jetforge(*arguments, **options)
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("learning")
    write_dataset(path / "old", seed=1)
    write_dataset(path / "new", seed=2)
    write_dataset(path / "w", seed=3, classes=("qcd", "w"))
    done("train", "lundnet3", "--data", "old", "--out", "source", *SETTINGS, cwd=path)
    return path


def test_a_new_task_from_an_old_one(folder, tmp_path):
    text = done("finetune", "source", "--data", "new", "--out", tmp_path / "run", "--mode", "frozen", "--boundary",
                "classifier", "--train-jets", 100, "--epochs", 2, cwd=folder)  # fmt: skip
    assert "kept epoch" in text
    assert "measure it: jetforge evaluate" in text
    recipe = yaml.safe_load((tmp_path / "run/recipe.yaml").read_text())
    assert recipe["training"]["batch_size"] == 40  # as the source
    assert recipe["transfer"]["boundary"] == "classifier"
    done("evaluate", tmp_path / "run", "--data", "new", cwd=folder)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["num_jets"] == 25
    # The recipe of the run is a recipe: it finds everything done.
    again = done("run", tmp_path / "run/recipe.yaml", cwd=folder)
    assert "trained    lundnet3 already" in again


def test_learning_without_labels_and_then_with(folder, tmp_path):
    out = ("--out", tmp_path / "first")
    text = done("pretrain", "lundnet3", "--data", "old", *out, "--objective", "masked", *SETTINGS, cwd=folder)
    assert f"go on from it: jetforge finetune {tmp_path / 'first'}" in text
    assert "its head has learnt nothing; train it first" in refused(
        "evaluate", tmp_path / "first", "--data", "old", cwd=folder
    )
    done("finetune", tmp_path / "first", "--data", "w", "--out", tmp_path / "second", "--rate-divisor", 1, "--set",
         "training.monitor=val_auc", cwd=folder)  # fmt: skip
    assert json.loads((tmp_path / "second/tagger.json").read_text())["classes"] == ["qcd", "w"]


def test_a_student_of_two_teachers(folder, tmp_path):
    done("train", "hldnn", "--data", "new", "--out", tmp_path / "second", *SETTINGS, cwd=folder)
    view = ("--set", "representation.view.leading=5")
    done("distill", "source", "dense_student", "--data", "new", "--out", tmp_path / "student", "--teacher",
         tmp_path / "second", "--unlabelled", "old", *SETTINGS, *view, cwd=folder)  # fmt: skip
    tagger = json.loads((tmp_path / "student/tagger.json").read_text())
    assert tagger["representation"]["view"] == {"leading": 5}
    assert len(tagger["provenance"]["distill"]["teachers"]) == 2
    assert "view           leading 5" in done("info", tmp_path / "student")


def test_a_study_of_given_jets(folder, tmp_path, monkeypatch, capsys):
    study = {
        "study": "transfer", "out": str(tmp_path / "study"), "target": "new",
        "samples": {name: {"data": str(folder / name)} for name in ("new", "old")},
        "sources": {"lundnet3-top": {"tagger": "lundnet3", "sample": "old"}},
        "modes": {"frozen": {"mode": "frozen", "boundary": "classifier"}}, "sizes": {100: 1},
        "training": {"epochs": 1, "batch_size": 50}, "diagnostic_jets": 20,
        "scales": {"tiny": {"sizes": {50: 1}}},
    }  # fmt: skip

    def here(*arguments):
        monkeypatch.setattr(sys, "argv", ["jetforge", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    assert "0 of 3 trainings done" in here("run", path, "--scale", "tiny", "--dry-run")[1].out
    assert not (tmp_path / "study").exists()
    text = done("run", path, "--scale", "tiny")
    assert "1/2  cells/lundnet3-top/frozen/50-seed1" in text
    assert text.rstrip().endswith(f"report   {tmp_path / 'study' / 'report.html'}")
    plan = here("run", path, "--scale", "tiny", "--dry-run")[1].out.splitlines()
    assert "done   cells/lundnet3-top/frozen/50-seed1" in plan
    assert plan[-1] == "3 of 3 trainings done"
    assert "1/2  cells/lundnet3-top/frozen/50-seed1, kept" in done("run", path, "--scale", "tiny")
    page = (tmp_path / "study/report.html").read_text()
    assert f"jetforge run {path} --scale tiny" in page
    own = folder / "source/recipe.yaml"
    for words, arguments in (
        ("it has no scale 'huge'; there are full, tiny", (path, "--scale", "huge")),
        ("a study keeps what it has done", (path, "--overwrite")),
        ("--dry-run is for studies", (own, "--dry-run")),
        ("--scale is for studies", (own, "--scale", "tiny")),
    ):
        code, told = here("run", *arguments)
        assert (code, len(told.err.strip().splitlines())) == (1, 1)
        assert words in told.err


def test_teacher_and_students_of_atlas_from_files_to_the_report(tmp_path):
    for kind, num in (("train", 200), ("test", 80)):
        atlas.write(tmp_path, num, seed=num, kind=kind)
    recipe = ROOT / "recipes/teacher-student-atlas.yaml"
    # The commands at the head of the recipe, with the names of these files.
    lines = [line.removeprefix("#").split() for line in recipe.read_text().splitlines() if line.startswith("#     ")]
    assert [line[1] for line in lines] == ["convert", "convert", "merge"]
    for _, *arguments in lines:
        done(*(part.replace("_nominal_*", "_80030") for part in arguments), cwd=tmp_path)
    text = done("run", recipe, "--scale", "small", cwd=tmp_path)
    assert "student-20-coarse, trigger: " in text
    study = tmp_path / "studies/teacher-student-atlas-small"
    assert (study / "report.html").is_file()
    student = json.loads((study / "cells/student-20-coarse/trigger/dense/taught/seed1/tagger.json").read_text())
    assert student["representation"]["max_length"] == 20
    assert student["representation"]["view"]["leading"] == 20
    measured = json.loads((study / "cells/student-20/full/alone/seed1/cell.json").read_text())
    assert measured["metrics"]["num_jets"] == 80


def test_mistakes_are_one_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    out = ("--data", "new", "--out", tmp_path / "run")
    for arguments, words in (
        (("finetune", "nowhere", *out), "nowhere: no such run directory"),
        (("finetune", "new", *out), "tagger.json: no such file"),
        (("finetune", "source", *out, "--mode", "frosen"), "did you mean 'frozen'?"),
        (("finetune", "source", *out, "--boundary", "jets"), "boundary is for the mode frozen"),
        (("finetune", "source", *out, "--train-jets", 1000), "1000 jets of the split 'train' are asked for"),
        (("finetune", "source", "--data", "nowhere", "--out", tmp_path / "run"), "nowhere: no such directory"),
        (("finetune", "source", *out, "--set", "representation.variables=[ln_m]"), "representation.variables"),
        (
            ("finetune", "source", "--data", "new", "--out", "source", "--overwrite"),
            "is transfer.source itself, which would be",
        ),
        (
            ("finetune", "source", *out, "--set", "tagger.arguments.hidden=8"),
            "the tagger is that of source; leave it out",
        ),
        (("finetune", "source", *out, "--not-cached"), "--not-cached is for --mode frozen, not for finetune"),
        (("distill", "source", "hldnn", "--data", "new", "--out", "source"), "is distill.teachers itself"),
        (("distill", "source", "hldnn", *out, "--teacher", "source"), "source is given twice"),
        (
            ("distill", "source", "hldnn", *out, "--weight", 1, "--label-smoothing", 0.1),
            "which distill.weight 1 leaves out",
        ),
        (("pretrain", "hldnn", *out, "--objective", "contrastive", "--mask", 0.3), "--mask is for --objective masked"),
        (("distill", "source", "dense_studnt", *out), "unknown tagger 'dense_studnt'; did you mean dense_student"),
        (("distill", "source", "hldnn", "--data", "w", "--out", tmp_path / "run"), "tells qcd, top apart"),
        (("distill", "source", "hldnn", *out, "--set", "representation.view.leadin=5"), "did you mean leading?"),
        (("pretrain", "hldnn", *out, "--objective", "masked"), "hldnn embeds jets"),
        (("pretrain", "lundnet3", *out, "--objective", "mask"), "did you mean 'masked'?"),
    ):
        monkeypatch.setattr(sys, "argv", ["jetforge", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        message = capsys.readouterr().err.strip()
        assert words in message
        assert (ended.value.code, len(message.splitlines())) == (1, 1)
    assert not (tmp_path / "run/tagger.json").exists()
    assert (folder / "source/tagger.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "holds"), [("transfer-lundnet", "AUC"), ("distill-trigger", "gain")])
def test_the_small_scale_of_a_study_runs_from_collisions_to_its_report(tmp_path, name, holds):
    pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")
    # Alone on the machine, as a user runs it: with all threads.
    env = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    text = done("run", ROOT / "recipes" / f"{name}.yaml", "--scale", "small", cwd=tmp_path, timeout=3600, env=env)
    assert holds in text
    page = (tmp_path / "studies" / f"{name}-small" / "report.html").read_text()
    assert page.count("<figure") >= 2
