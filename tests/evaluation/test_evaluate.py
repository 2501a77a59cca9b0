import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import jetforge
from jetforge.errors import DataError, JetforgeError, TaggerError
from jetforge.taggers import create_tagger, save_tagger


@pytest.fixture(scope="module")
def three(tmp_path_factory, small_dataset):
    """Return a dataset of three classes, and a directory with a tagger that tells them apart by chance."""
    folder = tmp_path_factory.mktemp("three")
    dataset = small_dataset(folder / "data", classes=("qcd", "w", "top"), labels=(0, 1, 2), each=20)
    tagger = create_tagger("lundnet3", num_classes=3)
    tagger.representation.fit([dataset.read("train")])
    tagger.classes = dataset.classes
    save_tagger(tagger, folder / "run")
    return folder


def test_two_classes_give_the_binary_numbers_with_weights(tmp_path, small_dataset):
    dataset = small_dataset(tmp_path / "data", each=30)
    tagger = create_tagger("lundnet2")
    jets = dataset.read("test")
    tagger.representation.fit([jets])
    tagger.classes = dataset.classes
    save_tagger(tagger, tmp_path / "run")
    metrics = jetforge.evaluate(tmp_path / "run", tmp_path / "data")
    assert json.loads((tmp_path / "run/metrics.json").read_text()) == metrics
    score = tagger.predict(jets)[:, 1]
    assert metrics["auc"] == pytest.approx(roc_auc_score(jets.label, score, sample_weight=jets.weight))
    assert metrics["num_jets"] == 60
    assert "not recorded" in (tmp_path / "run/report.html").read_text()


def test_more_classes_are_each_measured_against_the_first(three, tmp_path):
    metrics = jetforge.evaluate(three / "run", three / "data", out=tmp_path)
    assert set(metrics["signals"]) == {"w", "top"}
    assert set(metrics["signals"]["w"]["rejection"]) == {"0.3", "0.5", "0.7", "0.8"}
    assert (tmp_path / "roc.png").is_file()


def test_progress_counts_jets(three, tmp_path):
    seen = []
    jetforge.evaluate(three / "run", three / "data", out=tmp_path, on_progress=lambda *now: seen.append(now))
    assert seen[-1] == (60, 60)


def test_classes_are_matched_by_name(three, tmp_path, small_dataset):
    """A dataset of some of the classes, in another order, is measured with the tagger's own numbering."""
    from jetforge.evaluation.scoring import load_for_scoring, score_dataset

    dataset = small_dataset(tmp_path / "data", classes=("top", "qcd"), labels=(0, 1))
    ((jets, scores),) = score_dataset(load_for_scoring(three / "run"), dataset, "test")
    assert jets.label.tolist() == [2, 0, 2, 0]
    assert scores.shape == (4, 3)


def test_what_cannot_be_measured_is_named(three, tmp_path, small_dataset):
    small_dataset(tmp_path / "other", classes=("qcd", "higgs"))
    with pytest.raises(DataError, match="class 'higgs' is unknown to the tagger, which tells qcd, w, top apart"):
        jetforge.evaluate(three / "run", tmp_path / "other")
    small_dataset(tmp_path / "case", classes=("qcd", "Top"))
    with pytest.raises(DataError, match=r"class 'Top' is unknown .* \(did you mean top\?\); .*: jetforge predict"):
        jetforge.evaluate(three / "run", tmp_path / "case")
    small_dataset(tmp_path / "two", classes=("qcd", "top"))
    with pytest.raises(DataError, match=f"{tmp_path}/two: no jets of class w in the split 'test'; .*jetforge predict"):
        jetforge.evaluate(three / "run", tmp_path / "two")
    small_dataset(tmp_path / "one", classes=("qcd", "w", "top"), labels=(1,))
    with pytest.raises(DataError, match=f"{tmp_path}/one: no jets of class qcd, top in the split 'test'"):
        jetforge.evaluate(three / "run", tmp_path / "one")
    with pytest.raises(TaggerError, match=r"tagger\.json"):
        jetforge.evaluate(tmp_path, three / "data")
    with pytest.raises(JetforgeError, match="device 'gpu9'"):
        jetforge.evaluate(three / "run", three / "data", device="gpu9")


def test_transverse_momenta_come_from_constituents_where_no_field_has_them():
    from jetforge.evaluation.evaluate import _transverse_momentum
    from jetforge.jets import Jets

    columns = {"px": [3.0, 1.0, 5.0], "py": [4.0, 0.0, 12.0], "pz": [0.0] * 3, "energy": [9.0, 9.0, 99.0]}
    jets = Jets(np.array([0, 2, 2, 3]), {name: np.array(c) for name, c in columns.items()})
    assert _transverse_momentum(jets).tolist() == pytest.approx([np.hypot(4, 4), 0, 13])
