"""Taggers by name."""

import pytest

from jetforge.errors import TaggerError
from jetforge.taggers import create_tagger, list_taggers, lundnet5, register_tagger


def test_names_are_sorted_and_greppable():
    assert list_taggers() == sorted(list_taggers())
    assert {"lundnet2", "lundnet3", "lundnet4", "lundnet5"} <= set(list_taggers())


def test_a_tagger_knows_how_it_was_made():
    tagger = create_tagger("lundnet3", num_classes=3, dropout=0.2)
    assert tagger.name == "lundnet3"
    assert tagger.arguments == {"num_classes": 3, "dropout": 0.2}
    assert tagger.classes == ("0", "1", "2")
    assert lundnet5(4).arguments == {"num_classes": 4}


@pytest.mark.parametrize(("name", "near"), [("lundnet", "lundnet"), ("LundNet5", "lundnet5"), ("zzz", "lundnet2")])
def test_an_unknown_name_names_the_nearest(name, near):
    with pytest.raises(TaggerError, match=f"unknown tagger '{name}'.*{near}") as error:
        create_tagger(name)
    assert "\n" not in str(error.value)


def test_an_unknown_argument_names_those_there_are():
    with pytest.raises(TaggerError, match=r"no droput; .*num_classes, channels, fusion, hidden, dropout"):
        create_tagger("lundnet5", droput=0.1)


@pytest.mark.parametrize(
    "arguments",
    [{"dropout": 1.0}, {"dropout": "x"}, {"channels": []}, {"channels": [0]}, {"hidden": 0}, {"fusion": "a"}],
)
def test_values_that_make_no_sense_are_refused(arguments):
    with pytest.raises(TaggerError, match=next(iter(arguments))):
        create_tagger("lundnet5", **arguments)


def test_two_taggers_cannot_share_a_name():
    def lundnet5():
        raise AssertionError

    with pytest.raises(ValueError, match="two taggers"):
        register_tagger(lundnet5)
