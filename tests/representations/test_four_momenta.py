"""Packed four-momenta: every number, in any order of the jets."""

import awkward as ak
import numpy as np
import pytest
import torch
from helpers.written import momenta
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.representations import (
    FourMomentaBatch,
    FourMomentaRepresentation,
    representation_from_dict,
    representation_to_dict,
)

COUNTS = np.array([3, 0, 1, 40, 7])


@pytest.fixture(scope="module")
def jets():
    four = momenta(COUNTS[COUNTS > 0], seed=3, mass=0.14)
    columns = {name: four[name] for name in ("px", "py", "pz", "energy")}
    return Jets(np.concatenate([[0], np.cumsum(COUNTS)]), columns)


@pytest.fixture(scope="module")
def batch(jets):
    return FourMomentaRepresentation(scale=20.0)(jets)


def rows(batch):
    return [batch.momenta[a:b] for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]


def test_momenta_are_packed_in_units_of_the_scale(jets, batch):
    assert len(batch) == len(COUNTS)
    assert batch.momenta.dtype == torch.float32
    for k, name in enumerate(("energy", "px", "py", "pz")):
        np.testing.assert_allclose(batch.momenta[:, k], jets.columns[name] / 20, rtol=1e-6)


def test_an_awkward_array_gives_the_same(jets, batch):
    again = FourMomentaRepresentation(scale=20.0)(jets.constituents)
    assert torch.equal(again.momenta, batch.momenta)
    assert torch.equal(again.offsets, batch.offsets)


@given(order=st.lists(st.integers(0, len(COUNTS) - 1), max_size=12))
def test_jets_are_taken_in_any_order_and_more_than_once(batch, order):
    taken = batch.take(torch.tensor(order, dtype=torch.int64))
    assert len(taken) == len(order)
    for row, jet in zip(rows(taken), order, strict=True):
        assert torch.equal(row, rows(batch)[jet])


@given(start=st.integers(0, 5), stop=st.integers(0, 5))
def test_ranges_joined_give_the_whole(batch, start, stop):
    middle = batch[start:stop]
    assert len(middle) == max(stop - start, 0)
    joined = FourMomentaBatch.concatenate([batch[:start], batch[start:], middle])
    assert torch.equal(joined[: len(batch)].momenta, batch.momenta)
    assert torch.equal(joined[: len(batch)].offsets, batch.offsets)
    with pytest.raises(IndexError, match="contiguous"):
        batch[::2]


def test_scalars_that_are_not_there_are_named(jets):
    for scalars, rule in (
        (("d0",), "^four_momenta representation: feature 'd0' needs the column d0, which"),
        (("chrage",), "the feature 'chrage' is none of jetforge's, .*; did you mean charge"),
        (("deltar",), "the feature 'deltar' is none of jetforge's"),
    ):
        for call in (FourMomentaRepresentation(1.0, scalars=scalars), FourMomentaRepresentation(scalars=scalars).fit):
            with pytest.raises(DataError, match=rule) as error:
                call(jets if isinstance(call, FourMomentaRepresentation) else [jets])
            assert "mean delta_r" not in str(error.value)
    with pytest.raises(JetforgeError, match=r"scalars is 'charge'; give a list of names, such as \[charge"):
        FourMomentaRepresentation(scalars="charge")


def test_it_says_what_differs_from_the_default():
    assert repr(FourMomentaRepresentation()) == "FourMomentaRepresentation(not fitted)"
    other = FourMomentaRepresentation(2.5, 80, ["charge"], "float64", massless=True)
    shown = "scalars charge; 80 constituents; float64; massless; scale 2.5 GeV"
    assert repr(other) == f"FourMomentaRepresentation({shown})"


def test_the_scale_is_the_mean_energy_of_the_training_constituents_and_survives_json(jets):
    fitted = FourMomentaRepresentation().fit([jets[:3], jets[3:]])
    assert fitted.scale == pytest.approx(jets.columns["energy"].mean())
    assert representation_from_dict(representation_to_dict(fitted)).scale == fitted.scale


def test_what_makes_no_sense_is_refused(jets):
    with pytest.raises(DataError, match="no scale yet"):
        FourMomentaRepresentation()(jets)
    with pytest.raises(DataError, match="no constituent has energy"):
        FourMomentaRepresentation().fit([])
    for scale in (0.0, -1.0, float("nan"), "20", True):
        with pytest.raises(JetforgeError, match="positive number of GeV"):
            FourMomentaRepresentation(scale=scale)
    with pytest.raises(JetforgeError, match="needs scale, max_constituents, scalars, dtype, massless alone"):
        FourMomentaRepresentation.from_dict({"scale": 1.0, "mean": 0.0})
    with pytest.raises(DataError, match="jet 0, constituent 0"):
        FourMomentaRepresentation(scale=1.0)(ak.Array([[{"px": np.nan, "py": 0.0, "pz": 0.0, "energy": 1.0}]]))


@pytest.mark.parametrize("indices", [[-1], [len(COUNTS)], [True, False], [0.0]])
def test_jets_that_are_not_there_are_not_taken(batch, indices):
    with pytest.raises(IndexError, match=r"there are jets 0 to 4|by their numbers"):
        batch.take(torch.tensor(indices))


def test_double_precision_and_masslessness_survive_json(jets):
    fitted = FourMomentaRepresentation(scale=2.0, dtype="float64", massless=True)
    batch = representation_from_dict(representation_to_dict(fitted))(jets)
    assert batch.momenta.dtype == torch.float64
    torch.testing.assert_close(batch.momenta[:, 0], batch.momenta[:, 1:].norm(dim=1), rtol=1e-12, atol=0)
    assert float(batch.momenta[:, 1].abs().max()) == pytest.approx(np.abs(jets.columns["px"]).max() / 2, rel=1e-15)
    with pytest.raises(JetforgeError, match="float32 or float64"):
        FourMomentaRepresentation(dtype="float16")
    with pytest.raises(JetforgeError, match="true or false"):
        FourMomentaRepresentation(massless=1)
