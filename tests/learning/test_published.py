import pytest

from jetforge.errors import RecipeError
from jetforge.learning.published import PUBLISHED, published_training
from jetforge.learning.sections import TrainingSection
from jetforge.taggers import list_taggers


def test_every_published_training_is_of_a_tagger_and_fits_a_recipe():
    assert set(PUBLISHED) <= set(list_taggers())
    for published in PUBLISHED.values():
        TrainingSection(**published.settings)
        assert published.source


def test_the_published_training_of_lundnet():
    training = TrainingSection(**published_training("lundnet5").settings)
    assert (training.epochs, training.batch_size, training.learning_rate) == (30, 256, 1e-3)
    assert (training.optimizer, training.schedule, training.monitor) == ("adam", "steps", "val_accuracy")


def test_the_epochs_of_published_steps():
    """300,000 and 200,000 steps of 128 of the reference set's 1,211,000 jets."""
    for name, steps in (("transformer", 300_000), ("lgatr", 200_000)):
        assert PUBLISHED[name].settings["epochs"] == round(steps * 128 / 1_211_000)


def test_a_tagger_without_published_training_is_told():
    with pytest.raises(RecipeError, match="no published training of hldnn is known; leave out --published") as caught:
        published_training("hldnn")
    assert "\n" not in str(caught.value)
