"""From a published checkpoint to a measured run, through the command line."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from jetforge.cli.import_weights import EPILOG
from jetforge.taggers import load_tagger, lundnet3

JETFORGE = Path(sys.executable).with_name("jetforge")
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def jetforge(*arguments, **options):
    return subprocess.run([JETFORGE, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)


def as_published(tagger):
    """Return the tensors of a LundNet under the names of the published program."""
    ours, state = tagger.state_dict(), {}

    def rename(theirs, name, parts):
        state.update({f"{theirs}.{part}": ours[f"{name}.{part}"] for part in parts})

    rename("bn_fts", "input_norm", NORM)
    for number, convolution in enumerate(tagger.convolutions):
        block, name = f"edge_convs.{number}", f"convolutions.{number}"
        centre, step = convolution.first.weight.detach().chunk(2, dim=1)
        state[f"{block}.phi.weight"], state[f"{block}.theta.weight"] = centre.clone(), centre - step
        rename(f"{block}.bns.0", f"{name}.first_norm", NORM)
        rename(f"{block}.fcs.0", f"{name}.second", ("weight",))
        rename(f"{block}.bns.1", f"{name}.second_norm", NORM)
        if f"{name}.shortcut.0.weight" in ours:
            rename(f"{block}.sc", f"{name}.shortcut.0", ("weight",))
            rename(f"{block}.sc_bn", f"{name}.shortcut.1", NORM)
    rename("fusion_block.0", "fusion", ("weight", "bias"))
    rename("fusion_block.2", "fusion_norm", NORM)
    rename("fc.0.0", "hidden", ("weight", "bias"))
    rename("fc.1", "output", ("weight", "bias"))
    return state


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("published") / "Top_QCD_500GeV_LundNet5_state.pt"
    torch.save(as_published(lundnet3()), path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory, small_dataset):
    path = tmp_path_factory.mktemp("data") / "jets"
    small_dataset(path, each=20)
    return path


def test_the_example_of_the_help_gives_a_run_that_is_scored_and_measured(checkpoint, data):
    example = re.search(r"jetforge (import-weights .*)", EPILOG).group(1)
    done = jetforge(*shlex.split(example), cwd=checkpoint.parent)
    assert done.returncode == 0, done.stderr
    found = "LundNet, 391,528 parameters, qcd vs top"
    for words in (found, "runs/published: lundnet3", "lund: variables ln_z ln_delta ln_kt\n"):
        assert words in done.stdout
    run = checkpoint.parent / "runs" / "published"
    assert sorted(path.name for path in run.iterdir()) == ["tagger.json", "tagger.safetensors"]
    scores = checkpoint.parent / "scores.parquet"
    for command in (["predict", run, "--out", scores], ["evaluate", run]):
        done = jetforge(*command, "--data", data)
        assert done.returncode == 0, done.stderr
    assert pq.read_table(scores).column_names[:2] == ["score_qcd", "score_top"]
    assert json.loads((run / "metrics.json").read_text())["classes"] == ["qcd", "top"]
    assert "LundNet5_state.pt" in (run / "report.html").read_text()


def test_classes_without_names_are_pointed_out(checkpoint, tmp_path):
    done = jetforge("import-weights", checkpoint, "--out", tmp_path / "run")
    assert "name them with --classes" in done.stdout
    assert load_tagger(tmp_path / "run").classes == ("0", "1")


def test_a_run_is_replaced_only_when_asked_and_wholly(checkpoint, tmp_path):
    run = tmp_path / "run"
    assert jetforge("import-weights", checkpoint, "--out", run).returncode == 0
    (run / "metrics.json").write_text("{}")
    before = (run / "tagger.json").read_bytes()
    refused = jetforge("import-weights", checkpoint, "--out", run, "--classes", "qcd,top")
    assert refused.returncode == 1
    assert refused.stderr == f"jetforge: {run}: holds a run already; choose another directory, or --overwrite\n"
    assert (run / "tagger.json").read_bytes() == before
    done = jetforge("import-weights", checkpoint, "--out", run, "--classes", "qcd,top", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert load_tagger(run).classes == ("qcd", "top")
    assert not (run / "metrics.json").exists(), "it was measured of another tagger"


def test_what_is_no_run_is_left_alone(checkpoint, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    refused = jetforge("import-weights", checkpoint, "--out", tmp_path, "--overwrite")
    assert refused.returncode == 1
    assert "not empty and not a run (notes.txt)" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_is_imported_already_and_a_file_in_the_way_are_named(checkpoint, tmp_path):
    run, taken = tmp_path / "run", tmp_path / "taken"
    taken.write_text("mine")
    done = jetforge("import-weights", checkpoint, "--out", taken, "--overwrite")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{taken}: a file, where the directory of the run is to be" in done.stderr
    assert jetforge("import-weights", checkpoint, "--out", run).returncode == 0
    done = jetforge("import-weights", run / "tagger.safetensors", "--out", tmp_path / "other")
    assert f"already a tagger of jetforge: evaluate and predict take its directory, {run}\n" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--classes", "qcd"], "tells 2 classes apart, the names given are qcd"),
        (["--classes", "qcd, "], "--classes 'qcd, ': a name is empty"),
        ([], "a web page, not a checkpoint"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_an_earlier_run(checkpoint, tmp_path, arguments, words):
    run, page = tmp_path / "run", tmp_path / "page.pt"
    assert jetforge("import-weights", checkpoint, "--out", run).returncode == 0
    page.write_text("<html>404</html>")
    done = jetforge("import-weights", checkpoint if arguments else page, "--out", run, "--overwrite", *arguments)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    load_tagger(run)


def test_a_run_refuses_the_weights_of_another_architecture(checkpoint, tmp_path):
    from safetensors.torch import save_file

    run = tmp_path / "run"
    assert jetforge("import-weights", checkpoint, "--out", run).returncode == 0
    save_file({"layer.weight": torch.zeros(2)}, run / "tagger.safetensors")
    done = jetforge("info", run)
    assert done.returncode == 1
    assert "belongs to another tagger" in done.stderr
