import pytest

import jetforge
from jetforge.errors import RecipeError
from jetforge.learning.recipe import make_recipe
from jetforge.studies import run_recipe


def test_jets_are_generated_once_and_then_kept(tmp_path):
    pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")
    values = {
        "data": str(tmp_path / "data"),
        "out": str(tmp_path / "run"),
        "tagger": "lundnet2",
        "generate": {"presets": ["toptag-top", "toptag-qcd"], "jets": 60, "split": [0.6, 0.2, 0.2]},
        "training": {"epochs": 1, "batch_size": 20},
    }
    stages = []
    outcome = run_recipe(make_recipe(values), workers=0, on_stage=stages.append)
    assert stages == ["generate", "train", "evaluate"]
    assert outcome.metrics["num_jets"] == 12
    assert outcome.run == tmp_path / "run"
    before = (tmp_path / "data/dataset.json").stat().st_mtime_ns
    again = run_recipe(make_recipe({**values, "out": str(tmp_path / "other")}), workers=0)
    assert (tmp_path / "data/dataset.json").stat().st_mtime_ns == before
    assert again.metrics == outcome.metrics
    assert jetforge.load_tagger(tmp_path / "other").name == "lundnet2"


def test_data_that_are_not_there_are_named(tmp_path):
    recipe = make_recipe({"data": str(tmp_path / "no"), "out": str(tmp_path / "run"), "tagger": "lundnet2"})
    with pytest.raises(RecipeError, match=r"data: .*/no does not exist; generate it"):
        run_recipe(recipe)
