import pytest

import jetforge
from jetforge.cli.info import info
from jetforge.cli.train import train
from jetforge.errors import DataError, RecipeError
from jetforge.learning import fit as fitting
from jetforge.taggers import save_tagger


class _GotRecipe(Exception):
    pass


@pytest.fixture
def recipe_of(monkeypatch):
    """Return a function that gives the recipe that the command makes of its options."""
    got = []

    def fit(recipe, **flags):
        got.append(recipe)
        raise _GotRecipe

    monkeypatch.setattr(fitting, "fit", fit)

    def run(tagger="pfn", **options):
        with pytest.raises(_GotRecipe):
            train(tagger, data="data/toptag", out="runs/x", **options)
        return got[-1]

    return run


def test_options_are_fields_of_the_recipe(recipe_of):
    options = {
        "epochs": 3, "accumulate": 4, "bucket": True, "optimizer": "ranger", "schedule": "flat_cosine",
        "label_smoothing": 0.1, "compile_network": True,
    }  # fmt: skip
    training = recipe_of(**options).training
    assert (training.epochs, training.accumulate, training.optimizer) == (3, 4, "ranger")
    assert training.bucket
    assert training.compile
    assert training.label_smoothing == 0.1
    assert recipe_of().training.optimizer == "adamw"


def test_any_field_can_be_set(recipe_of):
    recipe = recipe_of(
        settings=[
            "representation.max_constituents=64",
            "tagger.arguments.dropout=0.2",
            "tagger.arguments.phi=[20, 30]",
            "training.auxiliary={target: mass}",
            "training.epochs=7",
        ],
        epochs=3,
    )
    assert recipe.representation == {"max_constituents": 64}
    assert recipe.tagger.arguments == {"dropout": 0.2, "phi": [20, 30]}
    assert recipe.training.auxiliary.target == "mass"
    assert recipe.training.epochs == 7


def test_published_settings_give_way_to_options(recipe_of):
    training = recipe_of("lorentznet", published=True, epochs=2).training
    assert (training.schedule, training.warmup_epochs, training.epochs) == ("cosine_restarts", 5, 2)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.epochs", "--set training.epochs: give FIELD=VALUE"),
        ("training..epochs=3", r"--set training\.\.epochs=3: give FIELD=VALUE"),
        ("training.epochs=[3", "the value is not valid YAML"),
        ("data.path=x", "--set data.path=x: data is 'data/toptag', without fields of its own"),
        ("training=", "^training: must be a section with fields such as epochs, batch_size, .*, not nothing$"),
        ("training.auxiliary=mass", "^training.auxiliary: must be a section .*, not 'mass'$"),
        ("training.epochz=3", "training.epochz: no such field; did you mean 'epochs'"),
    ],
)
def test_mistakes_in_settings_are_one_line(setting, message):
    with pytest.raises(RecipeError, match=message) as caught:
        train("pfn", data="data/toptag", out="runs/x", settings=[setting])
    assert "\n" not in str(caught.value)


def test_a_tagger_without_published_training_is_told():
    with pytest.raises(RecipeError, match="no published training of hldnn is known"):
        train("hldnn", data="data/toptag", out="runs/x", published=True)


def test_a_finished_run_without_its_rows_is_still_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fitting, "fit", lambda recipe, **flags: jetforge.create_tagger("pfn"))
    train("pfn", data=tmp_path / "data", out=tmp_path / "run")
    assert f"{tmp_path}/run: trained; there is no val_auc in metrics.jsonl" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["", '{"auc": 0.9', "{}", "[]", "3", '{"auc": "high"}', '{"auc": 0.9, "rejection": 1}']
)
def test_measured_numbers_that_are_damaged_are_named(tmp_path, text):
    tagger = jetforge.create_tagger("pfn", representation={"mean": [0, 0, 0], "std": [1, 1, 1]})
    tagger.classes = ("qcd", "top")
    save_tagger(tagger, tmp_path)
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=f"^{tmp_path}/metrics.json: not the numbers of an evaluation; measure again"):
        info(str(tmp_path))
