"""Whole journeys through the command line, as a user takes them."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")

JETFORGE = Path(sys.executable).with_name("jetforge")


def start(*arguments):
    """Start a command in a process group of its own, where it can be sent a signal.

    A shell in the background makes its commands ignore Ctrl-C, and whatever they start: here it is heard again.
    """
    return subprocess.Popen(
        [JETFORGE, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def jetforge(*arguments, **options):
    return subprocess.run([JETFORGE, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)


def assert_one_line(done, code, *words):
    """Check that a command failed as it should: its exit code, and one line that names what is wrong."""
    assert done.returncode == code, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert str(word) in done.stderr


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, toptag):
    folder = tmp_path_factory.mktemp("journey")
    path = folder / "recipe.yaml"
    path.write_text(f"data: {toptag}\nout: {folder}/run\ntagger: lundnet3\ntraining:\n  epochs: 2\n  batch_size: 40\n")
    return path


@pytest.fixture(scope="module")
def run(recipe):
    done = jetforge("run", recipe)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no progress bar where there is no terminal"
    assert "report.html" in done.stdout
    return recipe.parent / "run"


def test_a_recipe_gives_a_measured_tagger(run, toptag):
    metrics = json.loads((run / "metrics.json").read_text())
    assert 0.5 < metrics["auc"] <= 1
    assert set(metrics["rejection"]) == {"0.3", "0.5", "0.7", "0.8"}
    assert metrics["num_jets"] == 40
    assert metrics["classes"] == ["qcd", "top"]
    report = (run / "report.html").read_text()
    assert "jetforge run" in report
    assert "arXiv:1902.09914" in report
    assert (run / "roc.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_recipe_again_does_nothing_twice(run, recipe):
    before = (run / "metrics.jsonl").stat().st_mtime_ns
    done = jetforge("run", recipe)
    assert done.returncode == 0
    assert f"trained    lundnet3 already, in {run}\n" in done.stdout
    assert "training " not in done.stdout
    assert (run / "metrics.jsonl").stat().st_mtime_ns == before


def test_training_and_measuring_by_hand_gives_the_same(run, toptag, tmp_path):
    out = tmp_path / "run"
    settings = ["--epochs", 2, "--batch-size", 40]
    done = jetforge("train", "lundnet3", "--data", toptag, "--out", out, *settings)
    assert done.returncode == 0, done.stderr
    assert (out / "tagger.safetensors").read_bytes() == (run / "tagger.safetensors").read_bytes()
    done = jetforge("evaluate", out, "--data", toptag, "--out", tmp_path / "measured")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "measured/metrics.json").read_bytes() == (run / "metrics.json").read_bytes()


def test_predicted_scores_are_those_that_were_measured(run, toptag, tmp_path):
    from sklearn.metrics import roc_auc_score

    done = jetforge("predict", run, "--data", toptag, "--out", tmp_path / "scores.parquet")
    assert done.returncode == 0, done.stderr
    scores = pq.read_table(tmp_path / "scores.parquet").to_pydict()
    assert len(scores["label"]) == 40
    assert {(0, "qcd"), (1, "top")} == set(zip(scores["label"], scores["class"], strict=True))
    total = [qcd + top for qcd, top in zip(scores["score_qcd"], scores["score_top"], strict=True)]
    assert total == pytest.approx([1] * 40)
    auc = json.loads((run / "metrics.json").read_text())["auc"]
    assert roc_auc_score(scores["label"], scores["score_top"]) == pytest.approx(auc)


def test_info_tells_what_there_is(run, toptag):
    for what, words in (
        ("presets", ["lundnet-w-2000", "arXiv:2012.08526"]),
        ("taggers", ["lundnet5", "391,724"]),
        (toptag, ["240", "every part is whole", "pythia8mc"]),
        (run, ["lundnet3", "391,528", "0.8"]),
    ):
        done = jetforge("info", what, *(["--verify"] if what == toptag else []))
        assert done.returncode == 0, done.stderr
        for word in words:
            assert word in done.stdout


@pytest.mark.parametrize("command", ["generate", "datasets", "info", "train", "evaluate", "predict", "run"])
def test_every_help_shows_an_example(command):
    done = jetforge(command, "--help", env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0
    assert f"jetforge {command} " in done.stdout.split("Example", 1)[1]


@pytest.mark.parametrize(
    "arguments",
    [["generte"], ["generate", "toptag-top"], ["train"], ["generate", "x", "--jets", "many", "--out", "d"],
     ["generate", "toptag-top", "--jets", "2", "--out", "d", "--split", "a,b"]],
)  # fmt: skip
def test_wrong_usage_exits_with_2(arguments, tmp_path):
    assert jetforge(*arguments, cwd=tmp_path).returncode == 2


def test_mistakes_are_one_line_and_exit_1(run, recipe, toptag, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(recipe.read_text().replace("epochs", "epocs"))
    assert_one_line(jetforge("run", bad), 1, f"{bad}:5", "did you mean 'epochs'")
    bad.write_text(recipe.read_text().replace("lundnet3", "lundnet9").replace("/run", "/other"))
    assert_one_line(jetforge("run", bad), 1, "lundnet9", "lundnet5")
    assert_one_line(jetforge("evaluate", tmp_path, "--data", toptag), 1, tmp_path)
    assert_one_line(jetforge("evaluate", run, "--data", tmp_path / "no"), 1, "no such directory")
    assert_one_line(jetforge("evaluate", run, "--data", toptag, "--split", "tset"), 1, "tset", "train, val, test")
    assert_one_line(jetforge("info", "tagers"), 1, "tagers")
    assert_one_line(jetforge("info", "x" * 300), 1, "xxx")
    assert_one_line(jetforge("predict", run, "--data", toptag, "--out", "."), 1, "is a directory")
    assert_one_line(jetforge("evaluate", run, "--data", toptag, "--device", "meta"), 1, "device 'meta'")
    assert_one_line(jetforge("evaluate", run, "--data", toptag, "--interval", "foo"), 1, "foo")
    assert_one_line(
        jetforge("train", "lundnet2", "--data", toptag, "--out", tmp_path / "x", "--devices", 0), 1, "devices"
    )
    assert_one_line(jetforge("generate", "topag-top", "--jets", 2, "--out", "d"), 1, "toptag-top")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("tagger: lundnet9", ["tagger.name", "lundnet5"]),
        ("tagger: {name: pfn, arguments: {dropot: 0.1}}", ["tagger.arguments.dropot", "dropout"]),
        ("tagger: lundnet3\nrepresentation: {variabels: [ln_kt]}", ["representation.variabels", "variables"]),
    ],
)
def test_a_recipe_without_a_tagger_is_refused_before_anything_is_made(tmp_path, section, words):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"data: {tmp_path}/data\nout: {tmp_path}/run\ngenerate: {{presets: [toptag-qcd], jets: 6}}\n{section}\n"
    )
    done = jetforge("run", path)
    assert_one_line(done, 1, f"{path}:{3 + len(section.splitlines())}: ", *words)
    assert done.stdout == ""
    assert [entry.name for entry in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_truncated_part_is_named_by_every_command(run, toptag, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(toptag, data)
    part = data / "test/part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    commands = (
        ["evaluate", run, "--data", data], ["predict", run, "--data", data, "--out", tmp_path / "s.parquet"],
        ["train", "lundnet2", "--data", data, "--out", tmp_path / "run"], ["info", data],
    )  # fmt: skip
    for arguments in commands:
        assert_one_line(jetforge(*arguments), 1, part, "truncated")
    part.unlink()
    assert_one_line(jetforge(*commands[0]), 1, part, "missing")
    content = bytearray((toptag / "test/part-00000.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    assert_one_line(jetforge(*commands[0]), 1, part, "checksum differs")
    assert_one_line(jetforge("info", data, "--verify"), 1, part, "checksum differs")
    assert not (tmp_path / "s.parquet").exists()


GENERATE = ("generate", "toptag-qcd", "--jets", 60, "--part-jets", 6, "--seed", 5)


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "data"
    done = jetforge(*GENERATE, "--out", out, "--workers", 0)
    assert done.returncode == 0, done.stderr
    return files(out)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_stopped_generation_goes_on_and_loses_nothing(undisturbed, tmp_path, number, code):
    out = tmp_path / "data"
    process = start(*GENERATE, "--out", out, "--workers", 2)
    wait_for(lambda: len(list(out.glob("*/part-*.parquet"))) >= 2)
    # As Ctrl-C on a terminal does, the signal reaches the workers too.
    os.killpg(process.pid, number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == code
    if number == signal.SIGINT:
        assert len(error.strip().splitlines()) == 1, error
        assert "run the same command again" in error
    assert_one_line(jetforge("info", out), 1, "unfinished")
    kept = {name: data for name, data in files(out).items() if name.endswith(".parquet")}
    done = jetforge(*GENERATE, "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert files(out) == undisturbed
    assert kept.items() <= undisturbed.items()


def test_a_generation_that_is_stopped_while_its_workers_start_goes_on(undisturbed, tmp_path):
    out = tmp_path / "data"
    process = start(*GENERATE, "--out", out, "--workers", 2)
    wait_for(lambda: (out / "build.json").is_file())
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130, error
    assert "run the same command again" in error.splitlines()[-1]
    done = jetforge(*GENERATE, "--out", out, "--workers", 0)
    assert done.returncode == 0, done.stderr
    assert files(out) == undisturbed


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def limit_file_size():
    # A file that may not grow is what a full disk looks like to the program: the write fails half-way.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_disk_ends_a_generation_with_one_line(undisturbed, tmp_path, workers):
    out = tmp_path / "data"
    done = jetforge(*GENERATE, "--out", out, "--workers", workers, preexec_fn=limit_file_size)
    assert_one_line(done, 1, "cannot write", "train/part-", "free space")
    assert not list(out.rglob("*.parquet"))
    done = jetforge(*GENERATE, "--out", out, "--workers", 0)
    assert done.returncode == 0, done.stderr
    assert files(out) == undisturbed


def test_a_full_disk_ends_a_training_with_one_line(toptag, tmp_path):
    out = tmp_path / "run"
    settings = ["--data", toptag, "--out", out, "--epochs", 1, "--batch-size", 40]
    # Numba's cache must be there already, since it cannot be written either.
    done = jetforge("train", "lundnet2", *settings, preexec_fn=limit_file_size)
    assert_one_line(done, 1, "cannot write", out)
    assert not (out / "tagger.json").exists()
    assert not list(out.rglob("*.ckpt"))
    done = jetforge("train", "lundnet2", *settings)
    assert done.returncode == 0, done.stderr
    assert (out / "tagger.json").is_file()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_stopped_training_goes_on(toptag, tmp_path, number, code):
    settings = ["--data", toptag, "--epochs", 12, "--batch-size", 20]
    undisturbed = jetforge("train", "lundnet2", *settings, "--out", tmp_path / "undisturbed")
    assert undisturbed.returncode == 0, undisturbed.stderr
    out = tmp_path / "run"
    command = ["train", "lundnet2", *settings, "--out", out]
    process = start(*command)
    wait_for(lambda: (out / "metrics.jsonl").is_file() and (out / "metrics.jsonl").read_text().count("\n") >= 2)
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == code
    if number == signal.SIGINT:
        assert len(error.strip().splitlines()) == 1, error
        assert "run the same command again to go on" in error
    assert_one_line(jetforge("info", out), 1, "unfinished")
    done = jetforge(*command)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(12))
    weights = "tagger.safetensors"
    assert (out / weights).read_bytes() == (tmp_path / "undisturbed" / weights).read_bytes()


TWO = ("--accelerator", "cpu", "--devices", 2, "--strategy", "ddp")


def test_two_processes_train_together_and_one_goes_on(recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.read_text().replace(str(recipe.parent / "run"), str(tmp_path / "run")))
    done = jetforge("run", path, *TWO)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("report.html") == 1
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1]
    assert 0.05 < rows[1]["train_loss"] < rows[0]["train_loss"] < 1.5


def test_a_signal_stops_all_processes_together(toptag, tmp_path):
    out = tmp_path / "run"
    command = ["train", "lundnet2", "--data", toptag, "--out", out, "--epochs", 400, "--batch-size", 20, *TWO]
    process = start(*command)
    wait_for(lambda: (out / "metrics.jsonl").is_file() and (out / "metrics.jsonl").read_text().count("\n") >= 1)
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "run the same command again to go on" in error
    assert "Traceback" not in error
    wait_for(lambda: not processes_of_group(process.pid), seconds=20)


def processes_of_group(group):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(entry.name)
    return found


def test_help_is_quick_because_it_imports_nothing_heavy():
    program = (
        "import sys, jetforge.cli.main; print([m for m in ('torch', 'numba', 'awkward', 'dask') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
