"""Observables: those of the physics library and stored values, side by side and scaled."""

import json

import numpy as np
import pytest
import torch
from helpers.written import momenta

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.physics.by_name.observed import observables
from jetforge.representations import (
    HLDNN_OBSERVABLES,
    ObservablesBatch,
    ObservablesRepresentation,
    representation_from_dict,
    representation_to_dict,
)

COUNTS = np.array([3, 0, 1, 40, 7, 2, 25])


@pytest.fixture(scope="module")
def jets():
    four = momenta(COUNTS[COUNTS > 0], seed=3, mass=0.14)
    columns = {name: four[name] for name in ("px", "py", "pz", "energy")}
    rng = np.random.default_rng(4)
    columns["charge"] = rng.integers(-1, 2, len(four["px"]))
    fields = {"ecf1": rng.gamma(2.0, 1e5, len(COUNTS)), "label": rng.integers(0, 2, len(COUNTS))}
    return Jets(np.concatenate([[0], np.cumsum(COUNTS)]), columns, fields)


def test_the_observables_are_those_of_the_physics_library(jets):
    names = ("mass_softdrop", "tau21_wta", "lha", "field:ecf1")
    zeros, ones = np.zeros(4), np.ones(4)
    settings = {"R0": 1.0, "z_cut": 0.05, "beta": 1.0}
    batch = ObservablesRepresentation(names, **settings, mean=zeros, std=ones)(jets)
    assert isinstance(batch, ObservablesBatch)
    assert batch.values.dtype == torch.float32
    table = observables(jets, names[:3], **settings)
    for column, name in enumerate(names[:3]):
        np.testing.assert_allclose(batch.values[:, column], table[name], rtol=1e-6)
    np.testing.assert_allclose(batch.values[:, 3], jets["ecf1"], rtol=1e-6)


def test_observables_are_standardised_over_any_blocks(jets):
    representation = ObservablesRepresentation().fit([jets[:2], jets[2:]])
    values = representation(jets).values.double().numpy()
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(axis=0), 1, rtol=1e-4)
    assert values.shape == (len(COUNTS), 15)


def test_logarithms_are_taken_of_what_is_named(jets):
    representation = ObservablesRepresentation(("ecf3", "mass"), log=("ecf3",), mean=[0, 0], std=[1, 1])
    ecf3, mass = representation(jets).values.double().numpy().T
    table = observables(jets, ["ecf3", "mass"])
    np.testing.assert_allclose(ecf3, np.log(np.maximum(table.ecf3, 1e-8)), rtol=1e-6)
    np.testing.assert_allclose(mass, table.mass, rtol=1e-6)


def test_few_constituents_give_numbers(jets):
    representation = ObservablesRepresentation(log=HLDNN_OBSERVABLES).fit([jets])
    assert torch.isfinite(representation(jets).values).all()
    assert torch.isfinite(representation(jets[1:3]).values).all()
    assert representation(jets[:0]).values.shape == (0, 15)


def test_a_representation_survives_json(jets):
    first = ObservablesRepresentation(("pt", "d2", "field:ecf1"), log=["pt"], R0=1.0, clip=3.0).fit([jets])
    again = representation_from_dict(json.loads(json.dumps(representation_to_dict(first))))
    assert torch.equal(again(jets).values, first(jets).values)
    assert again.to_dict() == first.to_dict()


def test_charges_are_read_where_an_observable_needs_them(jets):
    assert ObservablesRepresentation().columns == ()
    for name in ("jet_charge", "charged_multiplicity_softdrop"):
        representation = ObservablesRepresentation([name])
        assert {"charge", "pid"} <= set(representation.columns)
        assert torch.isfinite(representation.fit([jets])(jets).values).all()
    bare = Jets(jets.offsets, {name: column for name, column in jets.columns.items() if name != "charge"})
    for name, needed in (("jet_charge", "charge or pid"), ("photon_fraction", "pid")):
        with pytest.raises(DataError, match=f"^observables representation: '{name}' needs the column {needed}, which"):
            ObservablesRepresentation([name]).fit([bare])


def test_it_says_its_names_and_settings(jets):
    fitted = ObservablesRepresentation(("pt", "d2"), log=["pt"], clip=3.0).fit([jets])
    shown = "names pt, d2; log pt; R0 0.8; z_cut 0.1; beta 0.0; clip 3.0; fitted"
    assert repr(fitted) == f"ObservablesRepresentation({shown})"


def test_stored_values_must_be_there_and_be_numbers(jets):
    representation = ObservablesRepresentation(["field:ecf1"])
    with pytest.raises(DataError, match="give Jets"):
        representation.fit([jets.constituents])
    with pytest.raises(DataError, match="no field 'ecf7'"):
        ObservablesRepresentation(["field:ecf7"]).fit([jets])
    ecf1 = jets["ecf1"].copy()
    ecf1[4] = np.nan
    with pytest.raises(DataError, match="jet 4: the field 'ecf1' is nan"):
        representation.fit([Jets(jets.offsets, jets.columns, {"ecf1": ecf1})])
    words = np.full(len(COUNTS), "top")
    with pytest.raises(DataError, match="no numbers"):
        representation.fit([Jets(jets.offsets, jets.columns, {"ecf1": words})])


def test_what_makes_no_sense_is_refused(jets):
    with pytest.raises(DataError, match="call fit"):
        ObservablesRepresentation()(jets)
    for settings, rule in (
        ({"names": ["tau33x"]}, "tau33x"),
        ({"names": []}, r"names is \[\]; give a list of names, such as \[pt, mass, d2\]"),
        ({"names": "pt"}, "names is 'pt'; give a list"),
        ({"names": ["pt"], "log": 3}, "log is 3; give a list"),
        ({"names": ["pt", "pt"]}, "named twice"),
        ({"names": ["field:"]}, "needs the name"),
        ({"names": ["field:label"]}, "what the jets are classified by"),
        ({"names": ["pt"], "log": ["mass"]}, "none of the names"),
        ({"R0": 0.0}, "R0"),
        ({"z_cut": 2.0}, "z_cut"),
        ({"names": ["pt"], "mean": [0.0, 0.0], "std": [1.0, 1.0]}, "mean must be 1"),
    ):
        with pytest.raises(JetforgeError, match=rule):
            ObservablesRepresentation(**settings)
