"""What is left to see of a jet: each step by its rule, and all of them travelling with the representation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetforge.errors import JetforgeError
from jetforge.jets import Jets
from jetforge.representations import (
    CloudRepresentation,
    JetView,
    LundRepresentation,
    make_representation,
    representation_from_dict,
    representation_to_dict,
)
from jetforge.taggers import create_tagger, load_tagger, save_tagger


def directions(jets):
    pt = np.hypot(jets.flat.px, jets.flat.py)
    return pt, np.arcsinh(jets.flat.pz / pt), np.arctan2(jets.flat.py, jets.flat.px)


def by_jet(jets, values):
    return np.split(values, jets.offsets[1:-1])


@pytest.fixture
def jets(make_jets):
    return make_jets(30, 1, 0, 12, 200, 5)


def test_nothing_asked_for_changes_nothing(jets):
    seen = JetView()(jets)
    for name in ("px", "py", "pz", "energy"):
        np.testing.assert_allclose(seen.columns[name], jets.columns[name], rtol=1e-9, atol=1e-9)
    assert seen.offsets.tolist() == jets.offsets.tolist()
    assert seen.fields.keys() == jets.fields.keys()
    assert JetView().to_dict() == {}


def test_the_leading_constituents_are_kept_in_their_order(jets):
    seen = JetView(leading=10)(jets)
    assert np.diff(seen.offsets).tolist() == [min(n, 10) for n in np.diff(jets.offsets)]
    for before, after in zip(by_jet(jets, directions(jets)[0]), by_jet(seen, directions(seen)[0]), strict=True):
        kept = np.sort(np.argsort(-before, kind="stable")[:10])
        np.testing.assert_allclose(after, before[kept])


def test_soft_constituents_go(jets):
    seen = JetView(min_pt=5.0)(jets)
    pt = directions(jets)[0]
    assert len(seen.columns["px"]) == np.count_nonzero(pt >= 5)
    np.testing.assert_allclose(directions(seen)[0], pt[pt >= 5])


def test_steps_round_to_multiples(jets):
    seen = JetView(pt_step=0.25, angle_step=0.05)(jets)
    pt, eta, phi = directions(seen)
    for values, step in ((pt, 0.25), (eta, 0.05)):
        np.testing.assert_allclose(values / step, np.rint(values / step), atol=1e-6)
    turns = (phi / 0.05 + np.array([[0.0], [2 * np.pi / 0.05], [-2 * np.pi / 0.05]])).T
    assert (np.abs(turns - np.rint(turns)).min(axis=1) < 1e-6).all()
    assert (pt > 0).all()


def test_cells_hold_the_energy_of_their_constituents(jets):
    seen = JetView(cell_size=0.1)(jets)
    pt, eta, phi = directions(seen)
    energies = [np.bincount(np.repeat(np.arange(6), np.diff(j.offsets)), j.flat.energy, 6) for j in (jets, seen)]
    np.testing.assert_allclose(energies[1], energies[0], rtol=1e-9)
    np.testing.assert_allclose(eta / 0.1 - 0.5, np.rint(eta / 0.1 - 0.5), atol=1e-6)
    np.testing.assert_allclose(seen.flat.energy, pt * np.cosh(eta), rtol=1e-9)
    for cells in zip(by_jet(seen, np.floor(eta / 0.1)), by_jet(seen, np.floor((phi + np.pi) / 0.1)), strict=True):
        assert len({*zip(*map(list, cells), strict=True)}) == len(cells[0])
    assert set(seen.columns) == {"px", "py", "pz", "energy"}
    # Each cell lies where its constituents do.
    before, after = directions(jets), (pt, eta, phi)
    for one, other in zip(zip(*(by_jet(jets, v) for v in before), strict=True),
                          zip(*(by_jet(seen, v) for v in after), strict=True), strict=True):  # fmt: skip
        for _, e, p in zip(*one, strict=True):
            near = (np.abs(other[1] - e) <= 0.0501) & (np.abs((other[2] - p + np.pi) % (2 * np.pi) - np.pi) <= 0.0501)
            assert near.any()


def test_what_is_blurred_has_the_width_that_is_asked_for(make_jets):
    jets = make_jets(*[200] * 40)
    seen = JetView(pt_resolution=0.1, angle_resolution=0.02)(jets)
    (pt, eta, phi), (pt2, eta2, phi2) = directions(jets), directions(seen)
    turned = (phi2 - phi + np.pi) % (2 * np.pi) - np.pi
    for residual, width in ((pt2 / pt - 1, 0.1), (eta2 - eta, 0.02), (turned, 0.02)):
        assert residual.mean() == pytest.approx(0, abs=4 * width / np.sqrt(len(pt)))
        assert residual.std() == pytest.approx(width, rel=0.04)
    assert abs(np.corrcoef(pt2 / pt - 1, eta2 - eta)[0, 1]) < 0.05


def test_a_jet_looks_the_same_in_every_batch(jets):
    view = JetView(pt_resolution=0.2, angle_resolution=0.01, cell_size=0.05, leading=15)
    together = view(jets)
    for number in range(len(jets)):
        alone = view(jets[number : number + 1])
        np.testing.assert_array_equal(alone.columns["px"], by_jet(together, together.columns["px"])[number])
    other = JetView(pt_resolution=0.2, seed=2)(jets)
    assert not np.allclose(other.columns["px"], JetView(pt_resolution=0.2)(jets).columns["px"])


@settings(max_examples=30, deadline=None)
@given(
    view=st.builds(
        JetView,
        pt_resolution=st.none() | st.floats(0.01, 3),
        angle_resolution=st.none() | st.floats(0.001, 1),
        cell_size=st.none() | st.floats(0.01, 10),
        pt_step=st.none() | st.floats(0.01, 100),
        angle_step=st.none() | st.floats(0.001, 1),
        min_pt=st.none() | st.floats(0.01, 100),
        leading=st.none() | st.integers(1, 300),
    )
)
def test_no_view_breaks_a_jet(view, make_jets):
    jets = make_jets(30, 0, 1, 100)
    seen = view(jets)
    assert len(seen) == len(jets)
    flat = seen.flat  # it checks the momenta
    assert (flat.energy**2 >= (flat.px**2 + flat.py**2 + flat.pz**2) * (1 - 1e-9)).all()
    assert (np.diff(seen.offsets) <= np.diff(jets.offsets)).all()
    assert JetView.from_dict(view.to_dict()) == view


def test_a_view_travels_with_the_representation(jets, make_jets, tmp_path):
    view = {"leading": 8, "cell_size": 0.1}
    representation = make_representation({"view": view}, LundRepresentation())
    representation.fit([jets])
    plain = LundRepresentation().fit([JetView(**view)(jets)])
    np.testing.assert_array_equal(representation(jets).features.numpy(), plain(JetView(**view)(jets)).features.numpy())
    again = representation_from_dict(representation_to_dict(representation))
    assert again.view == JetView(**view)
    assert "view" not in representation_to_dict(LundRepresentation())
    tagger = create_tagger("lundnet2", representation={"view": view}, channels=[4], fusion=4, hidden=4)
    tagger.representation.fit([jets])
    save_tagger(tagger, tmp_path)
    loaded = load_tagger(tmp_path)
    assert loaded.representation.view == JetView(**view)
    np.testing.assert_array_equal(loaded.predict(jets), tagger.eval().predict(jets))
    full = tagger.predict(jets)
    tagger.representation.view = None
    assert np.abs(tagger.predict(jets) - full).max() > 0
    np.testing.assert_array_equal(tagger.predict(JetView(**view)(jets)), full)


def test_awkward_arrays_are_seen_too(jets):
    seen = JetView(leading=3)(jets.constituents)
    np.testing.assert_allclose(seen.columns["px"], JetView(leading=3)(jets).columns["px"])


def test_a_feature_that_a_view_takes_away_is_missed(make_jets):
    jets = make_jets(5)
    columns = {**jets.columns, "charge": np.zeros(5, dtype=np.int8)}
    charged = Jets(jets.offsets, columns, jets.fields)
    CloudRepresentation(("charge",)).fit([charged])
    with pytest.raises(JetforgeError, match="charge"):
        make_representation({"features": ["charge"], "view": {"cell_size": 0.1}}, CloudRepresentation()).fit([charged])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"leading": 0}, "view: leading 0 must be a whole number of 1 or more"),
        ({"leading": 2.5}, "leading 2.5 must be a whole number"),
        ({"cell_size": -1}, "cell_size -1 must be a number above 0"),
        ({"pt_step": "x"}, "pt_step 'x' must be a number above 0"),
        ({"seed": None}, "seed None must be a whole number of 0 or more"),
        ({"leadin": 3}, "view has no setting 'leadin'; did you mean leading?"),
        (3, "view: 3 must be a section with settings such as leading: 20"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(JetforgeError) as caught:
        make_representation({"view": settings}, LundRepresentation())
    assert message in str(caught.value)
