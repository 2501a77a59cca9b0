"""A whole transfer study on a few jets: what it tries, what it says, what it does not do twice."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from distributed import LocalCluster
from helpers.datasets import write_dataset

from jetforge.errors import DataError, JetforgeError, RecipeError
from jetforge.learning.fit import Hardware
from jetforge.learning.sections import TrainingSection
from jetforge.studies import cells as celling
from jetforge.studies import load_study, run_study
from jetforge.studies.cells import CELL_NAME, SCORES_NAME, MeasuredCell
from jetforge.studies.studies import plan_study
from jetforge.studies.transfer_findings import findings
from jetforge.studies.transfer_grid import Trial, architecture_of, trials
from jetforge.studies.transfer_report import Series, series_of

SMALL = {"name": "lundnet5", "arguments": {"channels": [8, 8], "fusion": 12, "hidden": 8}}
CLOUD = {"name": "particlenet_lite", "arguments": {"k": 3, "channels": [[4], [4]], "hidden": [4]}}


def study_values(folder):
    return {
        "study": "transfer",
        "out": str(folder / "study"),
        "target": "new",
        "samples": {name: {"data": str(folder / name)} for name in ("new", "old", "w")},
        "sources": {
            "lundnet5-top": {"tagger": SMALL, "sample": "old"},
            "lundnet5-w": {"tagger": SMALL, "sample": "w", "modes": ["finetuned"], "sizes": {12: 1}, "epochs": 4},
            "particlenet-top": {"tagger": CLOUD, "sample": "old", "modes": ["finetuned", "frozen"]},
        },
        "modes": {
            "finetuned": {"mode": "finetune"},
            "frozen": {"mode": "frozen"},
            "frozen-pooled": {"mode": "frozen", "boundary": "classifier"},
        },
        "sizes": {12: 1, 100: 2},
        "epochs": {12: 3},
        "training": {"epochs": 2, "batch_size": 50},
        "diagnostic_jets": 20,
        "scales": {"tiny": {"sizes": {12: 1}, "sources": {"lundnet5-w": None}}},
    }


def write(folder, values):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("studies")
    write_dataset(path / "new", seed=2)
    write_dataset(path / "old", seed=1)
    write_dataset(path / "w", seed=3, classes=("qcd", "w"))
    return path


@pytest.fixture(scope="module")
def done(folder):
    study = load_study(write(folder, study_values(folder)))
    return study, run_study(study, command="jetforge run study.yaml")


def test_everything_is_tried_with_the_seeds_that_are_asked_for(done):
    study, result = done
    tried = {(t.architecture, t.source, t.mode, t.num_jets, t.seed) for t in result.trials}
    expected = {
        (architecture, "scratch", "scratch", size, seed)
        for architecture in ("lundnet5-top", "particlenet-top")
        for size, seeds in ((12, 1), (100, 2))
        for seed in range(1, seeds + 1)
    }
    for source, modes in (
        ("lundnet5-top", ("finetuned", "frozen", "frozen-pooled")), ("particlenet-top", ("finetuned", "frozen")),
    ):  # fmt: skip
        expected |= {(source, source, m, s, n) for m in modes for s, k in ((12, 1), (100, 2)) for n in range(1, k + 1)}
    expected.add(("lundnet5-top", "lundnet5-w", "finetuned", 12, 1))
    assert tried == expected
    assert list(result.trials) == list(trials(study))


def test_each_run_is_what_its_name_says(done):
    _, result = done
    for trial, cell in result.trials.items():
        recipe = yaml.safe_load((cell.run / "recipe.yaml").read_text())
        assert (recipe["training"]["train_jets"], recipe["training"]["seed"]) == (trial.num_jets, trial.seed)
        assert recipe["training"]["epochs"] == len(cell.epochs) == (3 if trial.num_jets == 12 else 2)
        if trial.source == "scratch":
            assert recipe["transfer"] is None
            continue
        assert recipe["transfer"]["source"] == str(result.sources[trial.source].run)
        assert recipe["transfer"]["mode"] == {"finetuned": "finetune"}.get(trial.mode, "frozen")
        assert recipe["transfer"]["rate_divisor"] == (
            1 if trial.mode != "finetuned" else 3 if trial.source == "lundnet5-w" else 10
        )


def test_a_source_may_learn_for_longer_and_its_target_not(done):
    _, result = done
    assert {name: len(cell.epochs) for name, cell in result.sources.items()} == {
        "lundnet5-top": 2, "lundnet5-w": 4, "particlenet-top": 2,
    }  # fmt: skip


def test_numbers_of_the_report_are_those_of_the_cells(done):
    _, result = done
    page = result.report.read_text()
    pair = [c for t, c in result.trials.items() if (t.source, t.mode, t.num_jets) == ("lundnet5-top", "frozen", 100)]
    aucs = [json.loads((cell.run / CELL_NAME).read_text())["metrics"]["auc"] for cell in pair]
    assert f"{np.mean(aucs):.5f} ± {np.std(aucs, ddof=1):.5f}" in page
    for heading in ("What follows", "Area under the ROC curve", "Training time", "Does it transfer?", "Sources"):
        assert f"<h2>{heading}</h2>" in page
    assert "03:48:15" in page  # the published time beside ours
    assert "jetforge run study.yaml" in page
    assert page.count("<figure") >= 6
    figures = {path.name for path in (result.report.parent / "figures").iterdir()}
    assert len(figures) == 2 * page.count("<figure")
    assert {"area-under-the-roc-curve.pdf", "number-of-epochs.png", "number-of-epochs-2.png"} <= figures
    assert len(pair[0].scores()) == 25
    holds = re.findall(r"<td>((?:yes|no|unclear)(?:, 1 seed)?)</td>", page)
    assert len(holds) == len(result.summary) >= 6


def verdict(margin, *seeds):
    if min(map(len, seeds)) == 1:
        return "yes, 1 seed" if margin > 0 else "no, 1 seed"
    error = np.sqrt(sum(np.var(values, ddof=1) / len(values) for values in seeds))
    return "unclear" if abs(margin) < error else "yes" if margin > 0 else "no"


def test_findings_follow_from_the_numbers(done):
    _, result = done
    aucs = {}
    for trial, cell in result.trials.items():
        aucs.setdefault((trial.source, trial.mode, trial.num_jets, trial.architecture), []).append(cell.auc)
    pair = [aucs["lundnet5-top", "finetuned", 12, "lundnet5-top"], aucs["scratch", "scratch", 100, "lundnet5-top"]]
    difference = np.mean(pair[0]) - np.mean(pair[1])
    row = next(r for r in result.findings if r["finding"].startswith("lundnet5-top, finetuned: with 12 jets"))
    assert f"{difference:+.5f}" in row["found"]
    assert row["holds"] == verdict(difference + 0.001, *pair)
    # This source was tried with the few jets alone: they are still compared with all jets from scratch.
    w = aucs["lundnet5-w", "finetuned", 12, "lundnet5-top"][0]
    row = next(r for r in result.findings if r["finding"].startswith("lundnet5-w, finetuned: with 12 jets as good"))
    assert row["finding"].endswith("from scratch with 100, to within 0.001")
    assert f"{w - np.mean(aucs['scratch', 'scratch', 100, 'lundnet5-top']):+.5f}" in row["found"]
    row = next(r for r in result.findings if r["finding"].startswith("lundnet5-w, finetuned: another signal helps"))
    assert f"{w - aucs['scratch', 'scratch', 12, 'lundnet5-top'][0]:+.5f}" in row["found"]


def test_losses_are_compared_with_as_many_jets(done):
    study, result = done
    classes = {"new": ("qcd", "top"), "old": ("qcd", "top"), "w": ("qcd", "w")}
    few = {t: c for t, c in result.trials.items() if t.source != "particlenet-top" or t.num_jets == 12}
    for size, kept in ((100, result.trials), (12, few)):
        losses, every = [], []
        for name in ("lundnet5-top", "particlenet-top"):
            cells = [(t, c.auc) for t, c in kept.items() if (t.architecture, t.num_jets) == (name, size)]
            scratch = [auc for trial, auc in cells if trial.source == "scratch"]
            frozen = [auc for t, auc in cells if (t.source, t.mode) == (name, "frozen")]
            losses.append(np.mean(scratch) - np.mean(frozen))
            every += [scratch, frozen]
        start = f"lundnet5-top, frozen: with {size} jets it loses less"
        rows = [row for row in findings(study, series_of(kept), classes) if row["finding"].startswith(start)]
        assert re.findall(r"(?<!± )-?0\.\d{5}", rows[0]["found"]) == [f"{loss:.5f}" for loss in losses]
        assert [row["holds"] for row in rows] == [verdict(losses[1] - losses[0], *every)]


def test_what_the_seeds_do_not_decide_is_unclear(folder, tmp_path):
    study = load_study(write(tmp_path, study_values(folder)))
    scratch = Trial("lundnet5-top", "scratch", "scratch", 100, 1)
    tuned = Trial("lundnet5-top", "lundnet5-top", "finetuned", 10, 1)

    def line(trial, *aucs):
        rows = [{"epoch": 0, "val_auc": 0.9}]
        cells = [MeasuredCell(trial.name, tmp_path, {"auc": auc}, rows, 0) for auc in aucs]
        return Series(trial.mode, {trial.num_jets: cells}, trial)

    for aucs, expected in (
        ((0.9012, 0.9008), "yes"), ((0.8978, 0.8982), "no"), ((0.8984, 0.8998), "unclear"), ((0.9,), "yes, 1 seed"),
        ((0.8,), "no, 1 seed"),
    ):  # fmt: skip
        rows = findings(
            study, [line(scratch, 0.9, 0.9), line(tuned, *aucs)], dict.fromkeys(study.samples, ("qcd", "top"))
        )
        assert [row["holds"] for row in rows if "as good as from scratch" in row["finding"]] == [expected]


def test_scratch_is_trained_as_the_source_is(folder, tmp_path):
    """What a source says itself counts, also where it is what every training has by default."""
    values = study_values(folder)
    tagger = {"tagger": "hldnn", "sample": values["target"]}
    values |= {
        "training": {"epochs": 3, "learning_rate": 0.01},
        "sources": {
            "a": tagger, "b": {**tagger, "training": {"learning_rate": TrainingSection().learning_rate}},
            "c": {**tagger, "training": {"epochs": 3}},
        },
    }  # fmt: skip
    study = load_study(write(tmp_path, values))
    assert [architecture_of(study, name) for name in "abc"] == ["a", "b", "a"]


def test_what_is_done_is_not_done_again(done, monkeypatch):
    study, result = done
    before = {cell.run: (cell.run / "tagger.safetensors").stat().st_mtime_ns for cell in result.trials.values()}
    monkeypatch.setattr(celling, "score_dataset", lambda *a: pytest.fail("measured again"))
    again = run_study(study)
    assert [cell.metrics for cell in again.trials.values()] == [cell.metrics for cell in result.trials.values()]
    assert before == {run: (run / "tagger.safetensors").stat().st_mtime_ns for run in before}


def test_a_study_killed_half_way_goes_on(folder, tmp_path, monkeypatch):
    values = study_values(folder) | {"out": str(tmp_path / "study")}
    study = load_study(write(tmp_path, values), "tiny")
    started = []

    def stop(name, done, total):
        started.append(name)
        if len(started) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, on_cell=stop)
    finished = {p.parent: p.stat().st_mtime_ns for p in (tmp_path / "study").rglob("tagger.safetensors")
                if "checkpoints" not in p.parts}  # fmt: skip
    assert len(finished) == 4
    result = run_study(study)
    assert all((run / "tagger.safetensors").stat().st_mtime_ns == time for run, time in finished.items())
    assert {t.num_jets for t in result.trials} == {12}
    assert set(result.sources) == {"lundnet5-top", "particlenet-top"}


def test_a_cell_whose_measurement_is_lost_is_measured_again(done):
    study, result = done
    cell = next(iter(result.trials.values()))
    expected = cell.scores()
    (cell.run / SCORES_NAME).unlink()
    (cell.run / CELL_NAME).write_text("{")
    again = run_study(study)
    np.testing.assert_array_equal(next(iter(again.trials.values())).scores(), expected)
    (cell.run / SCORES_NAME).write_bytes(b"no array")
    with pytest.raises(DataError, match=r"scores.npy: no scores; run the study again"):
        cell.scores()
    again = run_study(study)
    np.testing.assert_array_equal(next(iter(again.trials.values())).scores(), expected)


def test_a_failing_cell_is_named(done, folder, tmp_path):
    values = study_values(folder) | {"out": str(tmp_path / "study"), "sizes": {500: 1}}
    with pytest.raises(DataError, match=r"sizes: 500 jets are asked for, the target .*new has 130 to train on"):
        run_study(load_study(write(tmp_path, values)))
    values = study_values(folder) | {"out": str(tmp_path / "study"), "training": {"epochs": 1, "accumulate": 500}}
    with pytest.raises(RecipeError, match=r"sources/lundnet5-top: training.accumulate: 500 is more than"):
        run_study(load_study(write(tmp_path, values)))


def test_the_same_on_a_cluster(done, folder, tmp_path):
    _, here = done
    values = study_values(folder) | {"out": str(tmp_path / "study")}
    study = load_study(write(tmp_path, values), "tiny")
    with LocalCluster(1, threads_per_worker=1, dashboard_address="127.0.0.1:0", local_directory=tmp_path) as cluster:
        result = run_study(study, scheduler=cluster.scheduler_address)
    for trial, cell in result.trials.items():
        np.testing.assert_allclose(cell.scores(), here.trials[trial].scores(), rtol=1e-3, atol=1e-4)
    assert result.report.is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"study": "tranfer"}, r"study.yaml:1: there is no study 'tranfer'; did you mean 'transfer'\?"),
        ({"target": "x"}, r"target: there is no sample 'x'; they are new, old, w"),
        ({"sizes": {}}, r"study.yaml:\d+: sizes: "),
        ({"sizes": {0: 1}}, r"sizes: the key 0 must be greater than 0"),
        ({"sources": {}}, r"study.yaml:\d+: sources: must have one entry or more"),
        ({"epochs": {50: 1}}, r"study.yaml:\d+: epochs.50: nothing is trained with 50 jets; there are 12, 100"),
        (
            {"sources": {"a/b": {"tagger": "lundnet5", "sample": "old"}}},
            r"sources: the name 'a/b' cannot",
        ),
        (
            {"sizes": [100, 300]},
            r"sizes: must be numbers of jets, each with its number, such as \{1000: 3, 10000: 1\}, no",
        ),
        ({"modes": {"m": {"mode": "froz"}}}, r"study.yaml:\d+: modes.m.mode: must be .* did you mean 'frozen'\?"),
        ({"trainin": {}}, r"study.yaml:\d+: trainin: no such field; did you mean 'training'\?"),
        ({"sources": {"a": {"tagger": "lundnet5", "sample": "y"}}}, r"sources.a.sample: there is no sample 'y'"),
        ({"sources": {"a": {"tagger": "lundnet5", "sample": "old", "modes": ["z"]}}}, r"sources.a.modes: there is no"),
        ({"sources": {"a": {"tagger": "lundnet5", "sampl": "old"}}}, r"sources.a.sampl: no such field"),
        ({"sources": {"scratch": {"tagger": "lundnet5", "sample": "old"}}}, r"'scratch' is what is trained from noth"),
    ],
)
def test_mistakes_in_a_study_are_one_line(folder, tmp_path, change, message):
    with pytest.raises(RecipeError, match=message) as caught:
        load_study(write(tmp_path, study_values(folder) | change))
    assert "\n" not in str(caught.value)


def test_mistakes_that_show_later(folder, tmp_path):
    def run(change):
        run_study(load_study(write(tmp_path, study_values(folder) | {"out": str(tmp_path / "out")} | change)))

    with pytest.raises(JetforgeError, match=r"yaml:\d+: sources.a.tagger.name: unknown tagger 'lundnet9'"):
        run({"sources": {"a": {"tagger": "lundnet9", "sample": "old"}}})
    with pytest.raises(
        RecipeError, match=r"modes.m.boundary: jets is none of particlenet_lite's, which are classifier"
    ):
        run({"modes": {"m": {"mode": "frozen", "boundary": "jets"}},
             "sources": {"a": {"tagger": "particlenet_lite", "sample": "old"}}})  # fmt: skip
    with pytest.raises(RecipeError, match=r"samples.new.data: .*nowhere does not exist; generate it"):
        run({"samples": {**study_values(folder)["samples"], "new": {"data": str(tmp_path / "nowhere")}}})
    with pytest.raises(
        RecipeError, match=r"yaml:\d+: sources.a: training.epochs: boosted_trees is not trained by gradients"
    ):
        run({"sources": {"a": {"tagger": "boosted_trees", "sample": "old"}}})
    with pytest.raises(RecipeError, match=r"a study trains in one process at a time: give --devices 1"):
        run_study(load_study(write(tmp_path, study_values(folder))), hardware=Hardware(devices="2"))
    with pytest.raises(RecipeError, match=r"it has no scale 'huge'; there are full, tiny"):
        load_study(write(tmp_path, study_values(folder)), "huge")
    changes = {"scales": {"one": {"sources": {"lundnet5-ww": None}}}}
    with pytest.raises(RecipeError, match=r"study.yaml:\d\d: scales.one.sources.lundnet5-ww: null leaves out a field"):
        load_study(write(tmp_path, study_values(folder) | changes), "one")
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(RecipeError, match=r"list.yaml:1: a study says which it is; give study: transfer"):
        load_study(tmp_path / "list.yaml")


def test_a_lost_source_does_not_hide_that_its_trials_have_changed(done, folder, tmp_path):
    study, result = done
    out = tmp_path / "study"
    shutil.copytree(result.report.parent, out)
    shutil.rmtree(out / "sources" / "lundnet5-top")
    mode = study.modes["finetuned"].model_copy(update={"layer_decay": 0.5})
    other = study.model_copy(update={"out": str(out), "modes": {**study.modes, "finetuned": mode}})
    with pytest.raises(RecipeError, match=r"lundnet5-top/finetuned/.*layer_decay: None there, 0.5 asked for"):
        plan_study(other)


def test_more_jets_than_there_will_be_are_refused_before_they_are_generated(folder, tmp_path):
    values = study_values(folder)
    made = {"presets": ["transfer-top-500", "transfer-qcd-500"], "jets": 100}
    values["samples"]["new"] = {"data": str(tmp_path / "new"), "generate": made}
    with pytest.raises(DataError, match=r"sizes: 100 jets are asked for, the target .*new has 80 to train on"):
        plan_study(load_study(write(tmp_path, values | {"out": str(tmp_path / "out")})))
