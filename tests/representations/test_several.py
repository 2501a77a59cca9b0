"""Several representations at once: each as it would be alone."""

import json

import numpy as np
import pytest
import torch
from helpers.jets import spread_jet
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.representations import (
    FourMomentaRepresentation,
    LundRepresentation,
    SequenceRepresentation,
    SeveralBatch,
    SeveralRepresentation,
    make_representation,
    representation_from_dict,
    representation_to_dict,
)

SIZES = (3, 1, 20, 7, 2)


@pytest.fixture(scope="module")
def jets():
    columns = zip(
        ("px", "py", "pz", "energy"),
        np.concatenate([spread_jet(*jet) for jet in enumerate(SIZES)], axis=1),
        strict=True,
    )
    return Jets(np.concatenate([[0], np.cumsum(SIZES)]), dict(columns))


@pytest.fixture(scope="module")
def batch(jets):
    return SeveralRepresentation({"momenta": FourMomentaRepresentation(20.0), "lund": lund()})(jets)


def lund():
    return LundRepresentation(("ln_kt", "psi"), [0.0, 0.0], [1.0, 1.0])


def tensors(batch):
    return [batch.parts["momenta"].momenta, batch.parts["lund"].features, batch.parts["lund"].offsets]


def same(first, second):
    return all(torch.equal(*pair) for pair in zip(tensors(first), tensors(second), strict=True))


def test_each_part_is_fitted_as_if_alone_on_blocks_that_are_read_once(jets):
    read = []

    def blocks():
        for block in (jets[:2], jets[2:4], jets[4:]):
            read.append(len(block))
            yield block

    class Still(FourMomentaRepresentation):
        def fit_normalisation(self, blocks):
            pass

    several = SeveralRepresentation(
        {"momenta": FourMomentaRepresentation(), "lund": LundRepresentation(("ln_kt",)), "still": Still(3.0)}
    )
    assert several.fit(blocks()) is several
    assert read == [2, 2, 1]
    in_blocks = [jets[:2], jets[2:4], jets[4:]]
    assert several.parts["momenta"].to_dict() == FourMomentaRepresentation().fit(in_blocks).to_dict()
    assert several.parts["lund"].to_dict() == LundRepresentation(("ln_kt",)).fit(in_blocks).to_dict()
    assert several.parts["still"].scale == 3.0


@pytest.mark.parametrize("number", [1, 50])
def test_a_part_that_fails_does_not_hold_up_the_fit(jets, number):
    read = []

    def blocks():
        for _ in range(number):
            read.append(1)
            yield jets

    with pytest.raises(DataError, match="d0"):
        SeveralRepresentation({"bad": SequenceRepresentation(("d0",)), "good": FourMomentaRepresentation()}).fit(
            blocks()
        )
    assert len(read) <= number


def test_blocks_that_cannot_be_read_leave_nothing_fitted(jets):
    def blocks():
        yield jets
        raise OSError("disk")

    several = SeveralRepresentation({"momenta": FourMomentaRepresentation(), "lund": LundRepresentation(("psi",))})
    with pytest.raises(OSError, match="disk"):
        several.fit(blocks())
    assert several.parts["momenta"].scale is None
    assert several.parts["lund"].mean is None


def test_features_add_up_and_columns_are_joined():
    sequence = SequenceRepresentation(("log_pt", "d0", "dz"))
    scalars = FourMomentaRepresentation(scalars=("dz", "charge"))
    several = SeveralRepresentation({"momenta": scalars, "lund": LundRepresentation(("ln_kt",)), "sequence": sequence})
    assert several.num_features == 2 + 1 + 3
    assert several.columns == (*scalars.columns, "d0")


def test_it_survives_json(jets, batch):
    several = SeveralRepresentation({"momenta": FourMomentaRepresentation(), "lund": lund()}).fit([jets])
    again = representation_from_dict(json.loads(json.dumps(representation_to_dict(several))))
    assert again.to_dict() == several.to_dict()
    assert same(again(jets), several(jets))


def test_parts_may_be_given_by_their_settings():
    given_parts = {"a": {"name": "four_momenta", "scale": 2.0}, "b": {"name": "sequence", "order": "tree"}}
    several = make_representation({"parts": given_parts}, SeveralRepresentation({"x": lund()}))
    assert several.parts["a"].scale == 2.0
    assert several.parts["b"].order == "tree"


@given(order=st.lists(st.integers(0, len(SIZES) - 1), max_size=8), start=st.integers(0, 5), stop=st.integers(0, 5))
def test_all_parts_keep_the_same_jets(batch, order, start, stop):
    indices = torch.tensor(order, dtype=torch.int64)
    taken = batch.take(indices)
    assert len(taken) == len(order)
    assert torch.equal(taken.parts["lund"].features, batch.parts["lund"].take(indices).features)
    assert torch.equal(taken.parts["momenta"].momenta, batch.parts["momenta"].take(indices).momenta)
    middle = batch[start:stop]
    assert len(middle) == len(range(*slice(start, stop).indices(len(SIZES))))
    joined = SeveralBatch.concatenate([batch[:start], batch[start:], middle])
    assert same(joined[: len(batch)], batch)
    assert same(joined[len(batch) :].to("cpu"), middle)


@pytest.mark.parametrize(
    "given_parts",
    [
        {},
        [],
        {"": lund()},
        {"a": "lund"},
        {"a": {"order": "pt"}},
        {"a": {"name": "lund", "size": 3}},
        {"a": {"name": "x"}},
        {"a": {"name": "several", "parts": {"b": {"name": "lund"}}}},
    ],
)
def test_what_makes_no_sense_is_refused(given_parts):
    with pytest.raises(JetforgeError):
        SeveralRepresentation(given_parts)


@pytest.mark.parametrize("values", [{}, {"parts": 3}, {"parts": {"a": 3}}, {"parts": {}, "more": 1}])
def test_what_was_not_stored_is_refused(values):
    with pytest.raises(JetforgeError):
        SeveralRepresentation.from_dict(values)
