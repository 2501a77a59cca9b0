from pathlib import Path

import pytest
import yaml

from jetforge.errors import JetforgeError, RecipeError
from jetforge.learning.recipe import Recipe, load_recipe, make_recipe
from jetforge.learning.sections import TrainingSection

GOOD = """\
data: data/toptag
out: runs/lundnet5
tagger:
  name: lundnet5
training:
  epochs: 3
  learning_rate: 1.0e-3
"""
from jetforge.studies.studies import load_study
from jetforge.studies.study_file import Study, is_study


def write(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_a_recipe_is_complete_when_written_back(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD))
    assert recipe.training.epochs == 3
    assert recipe.evaluation.split == "test"
    again = load_recipe(write(tmp_path, recipe.to_yaml()))
    assert again == recipe
    assert set(yaml.safe_load(recipe.to_yaml())["training"]) == set(TrainingSection.model_fields)


def test_a_tagger_may_be_given_by_its_name():
    assert make_recipe({"data": "d", "out": "o", "tagger": "lundnet3"}).tagger.name == "lundnet3"


def test_every_recipe_of_the_repository_is_right():
    recipes = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        if is_study(path):
            scales = (yaml.safe_load(path.read_text()).get("scales") or {}).keys()
            assert all(isinstance(load_study(path, scale), Study) for scale in (None, *scales))
        else:
            assert isinstance(load_recipe(path), Recipe)


def test_a_representation_may_be_given_by_its_name_or_by_settings():
    values = {"data": "d", "out": "o", "tagger": "lundnet3"}
    assert make_recipe(values).representation == {}
    assert make_recipe({**values, "representation": "lund"}).representation == {"name": "lund"}
    settings = {"variables": ["ln_kt", "ln_delta"]}
    recipe = make_recipe({**values, "representation": settings})
    assert recipe.representation == settings
    assert yaml.safe_load(recipe.to_yaml())["representation"] == settings


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 3", "epochz: 3", ":6: training.epochz: no such field; did you mean 'epochs'?"),
        ("epochs: 3", "epochs: 0", ":6: training.epochs: must be greater than 0, not 0"),
        ("epochs: 3", "epochs: many", ":6: training.epochs: .*not 'many'"),
        ("data: data/toptag\n", "", ":1: data: this field is missing"),
        ("  name: lundnet5", "  nam: lundnet5", ":4: tagger.nam: no such field; did you mean 'name'?"),
        ("training:", "trainin:", ":5: trainin: no such field; did you mean 'training'?"),
        ("epochs: 3", "optimizer: sgdx", ":6: training.optimizer: .*not 'sgdx'"),
        ("epochs: 3", "label_smoothing: 1.0", ":6: training.label_smoothing: must be less than 1, not 1.0"),
        ("epochs: 3", "auxiliary: {targt: mass}", ":6: training.auxiliary.targt: no such field; .*'target'"),
        ("epochs: 3", "optimizer: sgd\n  betas: [0.9, 0.99]", ":7: training.betas: .*sgd has none"),
        (
            "training:",
            "representation: [lund]\ntraining:",
            ":5: representation: must be the name of .*, not .'lund'.$",
        ),
        ("epochs: 3", "epochs: 1.5", ":6: training.epochs: must be a whole number, not 1.5$"),
        ("epochs: 3", "compile: maybe", ":6: training.compile: must be true or false, not 'maybe'$"),
        ("epochs: 3", "betas: 0.9", r":6: training.betas: must be a list such as \[0.9, 0.999\], not 0.9$"),
        ("epochs: 3", "betas: [0.9]", r":6: training.betas: must be a list such as .*, not \[0.9\]$"),
        ("epochs: 3", "schedule: Cosin", ":6: training.schedule: must be .*, not 'Cosin'; did you mean 'cosine'?"),
        (
            "epochs: 3",
            "auxiliary: mass",
            ":6: training.auxiliary: must be a section .*target, weight, not 'mass'$",
        ),
        ("  epochs: 3\n  learning_rate: 1.0e-3\n", "", ":5: training: must be a section with .*epochs.*, not nothing$"),
        ("epochs: 3", "epochs: [3", ":7: not valid YAML"),
        ("epochs: 3", "epochs: 3\n  epochs: 30", ":7: epochs: given twice, first in line 6"),
        (
            "  name: lundnet5",
            "  name: lundnet5\n  arguments: {num_classes: 3}",
            ":5: tagger.arguments: .*'num_classes'",
        ),
        (
            "  name: lundnet5",
            "  name: lundnet5\n  arguments: {representation: lund}",
            ":5: tagger.arguments: .*'representation' is not given here: it is a section",
        ),
        ("learning_rate: 1.0e-3", "learning_rate: .inf", ":7: training.learning_rate: .*not inf"),
    ],
)
def test_mistakes_are_named_with_line_and_field(tmp_path, old, new, message):
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(RecipeError, match=str(path) + message) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lundnet5": "lundnet9"}, ":4: tagger.name: unknown tagger 'lundnet9'"),
        ({"lundnet5": "pfn\n  arguments: {dropout: 0, phy: [2]}"}, ":5: tagger.arguments.phy: tagger pfn knows no phy"),
        ({"lundnet5": "pfn\n  arguments:\n    dropout: 2"}, ":6: tagger.arguments.dropout: .*below 1"),
        ({"training": "representation:\n  variabels: [ln_kt]\ntraining"}, ":6: representation.variabels: .*variables"),
        ({"training": "representation: image\ntraining"}, ":5: representation: .*lund"),
        ({"lundnet5": "particlenet", "training": "representation: {max_constituents: 0}\ntraining"},
         ":5: representation.max_constituents: .*a whole number above 0"),
        ({"lundnet5": "boosted_trees"}, ":6: training.epochs: boosted_trees is not trained by gradients"),
    ],
)  # fmt: skip
def test_a_tagger_that_cannot_be_made_is_named_with_line_and_field(tmp_path, changes, message):
    text = GOOD
    for old, new in changes.items():
        text = new.join(text.rsplit(old, 1))
    path = write(tmp_path, text)
    with pytest.raises(JetforgeError, match=str(path) + message) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path):
    path = write(tmp_path, GOOD.replace("epochs: 3", "epochs: 0").replace("out:", "uot:"))
    with pytest.raises(RecipeError, match=r"training\.epochs.*uot|uot.*training\.epochs"):
        load_recipe(path)


@pytest.mark.parametrize("text", ["", "- 1\n", "just words\n"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(RecipeError, match="a recipe is a mapping"):
        load_recipe(write(tmp_path, text))


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(RecipeError, match=r"absent\.yaml: cannot be read"):
        load_recipe(tmp_path / "absent.yaml")
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(RecipeError, match=r"binary\.yaml: not a text file"):
        load_recipe(path)
