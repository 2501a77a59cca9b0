"""Representations are found by name and survive JSON."""

import json

import pytest

from jetforge.errors import JetforgeError
from jetforge.representations import (
    LundRepresentation,
    base,
    list_representations,
    register_representation,
    representation_from_dict,
    representation_to_dict,
)


def test_lund_is_a_representation():
    assert "lund" in list_representations()


@pytest.mark.parametrize(
    "representation",
    [LundRepresentation(), LundRepresentation(("ln_kt", "psi"), mean=[0.1, -2 / 3], std=[1.5, 1e-3])],
)
def test_json_round_trip_is_exact(representation):
    text = json.dumps(representation_to_dict(representation))
    again = representation_from_dict(json.loads(text))
    assert type(again) is LundRepresentation
    assert representation_to_dict(again) == representation_to_dict(representation)


@pytest.mark.parametrize("values", [{}, {"name": "cloudy"}, {"name": ["cloud"]}])
def test_unknown_name_is_refused(values):
    with pytest.raises(JetforgeError, match=r"unknown representation.*lund"):
        representation_from_dict(values)


def test_a_class_defined_again_takes_the_place_of_the_earlier_one(monkeypatch):
    monkeypatch.setattr(base, "_REPRESENTATIONS", dict(base._REPRESENTATIONS))

    def cell():
        @register_representation("mine")
        class Mine(LundRepresentation):
            pass

        return Mine

    cell()
    again = cell()
    assert type(representation_from_dict({"name": "mine", **LundRepresentation().to_dict()})) is again

    with pytest.raises(JetforgeError, match=r"lund is registered already, by jetforge.*LundRepresentation; give"):
        register_representation("lund")(again)
    assert again.name == "mine"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"variables": ["ln_kt", "ln_pt"]}, "choose one or more"),
        ({"variables": ["ln_kt", "ln_kt"]}, "each once"),
        ({"variables": []}, "choose one or more"),
        ({"variables": 3}, "lund variables 3: give a list"),
        ({"mean": [0.0]}, "mean must be 2 finite numbers"),
        ({"mean": [0.0, float("nan")]}, "mean must be 2 finite numbers"),
        ({"mean": ["a", "b"]}, "mean must be 2 finite numbers"),
        ({"std": None}, "both mean and std"),
        ({"std": [1.0, 0.0]}, "must be positive"),
        ({"extra": 1}, "needs variables, mean, std alone"),
        ({1: 2}, "needs variables, mean, std alone, got 1, mean"),
    ],
)
def test_values_that_make_no_sense_are_refused(change, rule):
    values = {"name": "lund", "variables": ["ln_kt", "psi"], "mean": [0.0, 0.0], "std": [1.0, 1.0]}
    with pytest.raises(JetforgeError, match=rule):
        representation_from_dict(values | change)
