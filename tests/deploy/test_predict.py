import numpy as np
import pyarrow.parquet as pq
import pytest

from jetforge.deploy.predict import predict
from jetforge.errors import JetforgeError
from jetforge.taggers import create_tagger, save_tagger


@pytest.fixture
def run(tmp_path, small_dataset):
    dataset = small_dataset(tmp_path / "data", each=10)
    tagger = create_tagger("lundnet2")
    tagger.representation.fit([dataset.read("train")])
    tagger.classes = dataset.classes
    save_tagger(tagger, tmp_path / "run")
    return tagger, dataset


def test_scores_come_in_the_order_of_the_jets(run, tmp_path):
    tagger, dataset = run
    assert predict(tmp_path / "run", dataset.path, tmp_path / "scores.parquet") == 20
    table = pq.read_table(tmp_path / "scores.parquet")
    jets = dataset.read("test")
    np.testing.assert_allclose(table["score_top"].to_numpy(), tagger.predict(jets)[:, 1], rtol=1e-12)
    assert table["label"].to_pylist() == jets.label.tolist()
    assert table["class"].to_pylist() == [dataset.classes[label] for label in jets.label]


def test_jets_of_unknown_classes_are_scored_without_labels(run, tmp_path, small_dataset):
    tagger, _ = run
    other = small_dataset(tmp_path / "other", classes=("qcd", "Top"), each=10)
    notes = []
    assert predict(tmp_path / "run", other.path, tmp_path / "scores.parquet", on_note=notes.append) == 20
    table = pq.read_table(tmp_path / "scores.parquet")
    assert table.column_names == ["score_qcd", "score_top", "weight"]
    np.testing.assert_allclose(table["score_top"].to_numpy(), tagger.predict(other.read("test"))[:, 1], rtol=1e-12)
    (note,) = notes
    assert f"does not know Top of {other.path}" in note


def test_a_place_that_cannot_be_written_is_named_and_left_clean(run, tmp_path):
    _, dataset = run
    (tmp_path / "scores").mkdir()
    with pytest.raises(JetforgeError, match=f"cannot write {tmp_path}/scores: "):
        predict(tmp_path / "run", dataset.path, tmp_path / "scores")
    with pytest.raises(JetforgeError, match="cannot write"):
        predict(tmp_path / "run", dataset.path, tmp_path / "run" / "tagger.json" / "scores")
    assert not list(tmp_path.glob(".*.tmp"))


def test_other_files_are_never_overwritten(run, tmp_path):
    _, dataset = run
    manifest = dataset.path / "dataset.json"
    before = manifest.read_bytes()
    for other in (manifest, next(dataset.path.glob("test/*.parquet"))):
        with pytest.raises(JetforgeError, match="is there already and holds no scores"):
            predict(tmp_path / "run", dataset.path, other)
    assert manifest.read_bytes() == before
    for _ in range(2):
        assert predict(tmp_path / "run", dataset.path, tmp_path / "scores.parquet") == 20
