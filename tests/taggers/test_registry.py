"""Taggers by name."""

import numpy as np
import pytest

from jetforge.errors import JetforgeError, TaggerError
from jetforge.representations import (
    CloudRepresentation,
    ImageRepresentation,
    LundRepresentation,
    SequenceRepresentation,
    SeveralRepresentation,
)
from jetforge.taggers import (
    ParticleFlowNetwork,
    create_tagger,
    list_taggers,
    load_tagger,
    lundnet5,
    pfn,
    register_tagger,
    save_tagger,
)
from jetforge.taggers import _registry as registry


def test_names_are_sorted_and_greppable():
    assert list_taggers() == sorted(list_taggers())
    assert {"lundnet2", "lundnet3", "lundnet4", "lundnet5"} <= set(list_taggers())


def test_a_tagger_knows_how_it_was_made():
    tagger = create_tagger("lundnet3", num_classes=3, dropout=0.2)
    assert tagger.name == "lundnet3"
    assert tagger.arguments == {"num_classes": 3, "dropout": 0.2}
    assert tagger.classes == ("0", "1", "2")
    assert lundnet5(4).arguments == {"num_classes": 4}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lundnet", r"did you mean lundnet\d or lundnet\d or lundnet\d\?"),
        ("LundNet5", r"did you mean lundnet5\?"),
        ("PFN", r"did you mean pfn\?"),
        ("ParticleNet-Lite", "did you mean particlenet_lite or"),
        ("zzz", "jetforge info taggers lists them"),
        ("mean_tagger", "jetforge info taggers lists them"),
    ],
)
def test_an_unknown_name_names_the_nearest(name, hint):
    with pytest.raises(TaggerError, match=f"^unknown tagger '{name}'; {hint}") as error:
        create_tagger(name)
    assert "\n" not in str(error.value)


def test_an_unknown_argument_names_those_there_are():
    with pytest.raises(TaggerError, match=r"no droput; its arguments are channels, fusion, hidden, dropout"):
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

    with pytest.raises(TaggerError, match=r"lundnet5 is registered already, by jetforge\.taggers\.lundnet.*; give"):
        register_tagger(lundnet5)


def test_a_function_defined_again_takes_the_place_of_the_earlier_one(monkeypatch):
    monkeypatch.setattr(registry, "_TAGGERS", dict(registry._TAGGERS))

    def cell(width):
        @register_tagger
        def mine(num_classes=2, representation=None):
            return pfn(num_classes, representation, f=[width])

    cell(3)
    cell(4)
    tagger = create_tagger("mine")
    assert tagger.name == "mine"
    assert tagger.output.in_features == 4


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("lund", "^representation is 'lund'; give a Representation or a mapping such as {'name': 'lund'}$"),
        ("lundd", "is 'lundd'; .* {'name': 'cloud'}$"),
        (["lund"], "is of type list; give"),
        ({"name": ["lund"]}, r"unknown representation \['lund'\]; known: cloud"),
        ({1: 2}, "representation lund has no setting 1"),
    ],
)
def test_what_is_no_representation_is_refused(given, rule):
    with pytest.raises(JetforgeError, match=rule):
        create_tagger("lundnet5", representation=given)


@pytest.mark.parametrize("name", [["lundnet5"], None, 5])
def test_a_name_that_is_no_text_is_refused(name):
    with pytest.raises(TaggerError, match="unknown tagger"):
        create_tagger(name)


def test_numbers_of_numpy_are_numbers(tmp_path):
    scaled = {"mean": [0.0] * 7, "std": [1.0] * 7}
    numbers = {"num_classes": np.int64(3), "k": np.int64(4), "dropout": np.float64(0.25)}
    tagger = create_tagger("particlenet_lite", representation=scaled, **numbers)
    save_tagger(tagger, tmp_path / "tagger")
    arguments = load_tagger(tmp_path / "tagger").arguments
    assert {"num_classes": 3, "k": 4, "dropout": 0.25}.items() <= arguments.items()


@pytest.mark.parametrize(("name", "reads"), [("pfn", "cloud"), ("dense_student", "sequence"), ("cnn_rnn", "several")])
def test_a_representation_of_another_kind_is_refused_in_the_name_of_the_tagger(name, reads):
    rule = f"^{name} reads the representation {reads}, not lund$"
    for given in ({"name": "lund"}, LundRepresentation()):
        with pytest.raises(TaggerError, match=rule):
            create_tagger(name, representation=given)
    with pytest.raises(TaggerError, match=r"^lundnet5 reads the representation lund, not cloud$"):
        lundnet5(2, CloudRepresentation())
    with pytest.raises(TaggerError, match=r"^ParticleFlowNetwork reads"):
        ParticleFlowNetwork(2, LundRepresentation())


def image_and_sequence(channels, features):
    return SeveralRepresentation(
        {"image": ImageRepresentation(channels), "sequence": SequenceRepresentation(features, max_length=200)}
    )


@pytest.mark.parametrize(
    ("name", "later", "rule"),
    [
        ("efn", CloudRepresentation(("pt_rel", "log_energy")), "^an EFN reads angles alone .* not pt_rel"),
        ("lundnet2", LundRepresentation(("ln_kt", "ln_delta")), "reads the variables ln_delta, ln_kt, .* ln_kt, ln_d"),
        ("lundnet2", LundRepresentation(("ln_z", "psi")), "the representation has ln_z, psi$"),
        ("pfn", CloudRepresentation(("deta", "dphi")), "^pfn was made for 3 features, the representation has 2$"),
        *(
            (name, SequenceRepresentation(features, max_length=length), rule)
            for name, features in (("topodnn", ("pt", "deta", "dphi")), ("pcnn", SequenceRepresentation().features))
            for length, rule in ((20, f"^{name} was made for a max_length of .* has 20$"), (None, "give max_length$"))
        ),
        (
            "cnn_rnn",
            image_and_sequence(("pt", "multiplicity"), SequenceRepresentation().features[1:]),
            "of the part image",
        ),
    ],
)
def test_what_a_tagger_is_made_with_and_what_it_is_given_later_obey_the_same_rules(name, later, rule):
    tagger = create_tagger(name)
    before = tagger.representation
    with pytest.raises(TaggerError, match=rule):
        tagger.representation = later
    assert tagger.representation is before
    tagger.representation = create_tagger(name).representation
