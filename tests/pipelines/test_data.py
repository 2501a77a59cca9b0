"""Whole journeys of data through the command line: out of a dataset into files of others, and back into a tagger."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import jetforge as jf

pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")

JETFORGE = Path(sys.executable).with_name("jetforge")


def jetforge(*arguments):
    done = subprocess.run([JETFORGE, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def reference(toptag, tmp_path_factory):
    """Return generated jets as a file of the reference set's layout."""
    path = tmp_path_factory.mktemp("reference") / "train.h5"
    out = jetforge("convert", toptag, "--to", "toptag", "--split", "train", "--out", path)
    assert "240 jets" in out
    assert "no place for" in out, "columns that the layout lacks are named"
    return path


def test_jets_go_out_and_come_back(toptag, reference, tmp_path):
    out = jetforge("convert", reference, "--out", tmp_path / "back")
    assert "qcd vs top, 240 train" in out
    assert "jetforge info toptag" in out
    ours, theirs = jf.open(tmp_path / "back").read("train"), jf.open(toptag).read("train")
    assert np.array_equal(ours.offsets, theirs.offsets)
    assert np.array_equal(ours.label, theirs.label)
    order = np.lexsort((-np.hypot(theirs.flat.px, theirs.flat.py), np.repeat(np.arange(240), np.diff(theirs.offsets))))
    np.testing.assert_allclose(ours.flat.px, theirs.flat.px[order], rtol=1e-6)
    np.testing.assert_allclose(ours["pt"], theirs["pt"], rtol=1e-5)


def test_a_tagger_is_trained_on_what_was_edited_and_scores_jets_without_labels(reference, tmp_path):
    jetforge("convert", reference, "--split", "0.6,0.2,0.2", "--out", tmp_path / "data")
    jetforge("split", tmp_path / "data", "--shares", "0.6,0.2,0.2", "--seed", "3", "--out", tmp_path / "shared")
    jetforge("skim", tmp_path / "shared", "pt > 500 and num_constituents > 5", "--out", tmp_path / "hard")
    jetforge("reweight", tmp_path / "hard", "--bins", "4", "--out", tmp_path / "flat")
    assert "weight" in jetforge("info", tmp_path / "flat", "--verify")
    jetforge("train", "lundnet2", "--data", tmp_path / "flat", "--out", tmp_path / "run", "--epochs", "1")
    pq.write_table(_without_labels(tmp_path, reference), tmp_path / "challenge.parquet")
    jetforge("convert", tmp_path / "challenge.parquet", "--split", "test", "--out", tmp_path / "challenge")
    jetforge("predict", tmp_path / "run", "--data", tmp_path / "challenge", "--out", tmp_path / "scores.parquet")
    scores = pq.read_table(tmp_path / "scores.parquet")
    assert scores.num_rows == 240
    assert scores.column_names == ["score_qcd", "score_top"]


def _without_labels(tmp_path, reference):
    jetforge("convert", tmp_path / "data", "--to", "parquet", "--out", tmp_path / "all.parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    return table.drop_columns(["label", "split"]).replace_schema_metadata(None)
