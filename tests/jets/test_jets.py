import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError
from jetforge.jets import Jets

COUNTS = st.lists(st.integers(0, 6), min_size=1, max_size=12)


def make_jets(counts, seed=0):
    """Return jets with the given numbers of constituents; every constituent carries its own number as `pid`."""
    random = np.random.default_rng(seed)
    total = sum(counts)
    momenta = random.normal(size=(3, total)) * 20
    mass = np.abs(random.normal(size=total))
    columns = dict(zip(("px", "py", "pz"), momenta, strict=True))
    columns["energy"] = np.sqrt((momenta**2).sum(0) + mass**2)
    columns["pid"] = np.arange(total, dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    fields = {"label": np.arange(len(counts)) % 2, "number": np.arange(len(counts))}
    return Jets(offsets, columns, fields)


@given(COUNTS, st.data())
def test_choosing_jets_is_what_awkward_does(counts, data):
    jets = make_jets(counts)
    rows = np.array(data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=10)), dtype=np.int64)
    chosen = jets[rows]
    assert ak.to_list(chosen.constituents.pid) == ak.to_list(jets.constituents.pid[rows])
    assert chosen["number"].tolist() == rows.tolist()


@given(COUNTS, st.data())
def test_slices_and_masks_agree_with_index_arrays(counts, data):
    jets = make_jets(counts)
    start, stop = sorted(data.draw(st.tuples(st.integers(0, len(counts)), st.integers(0, len(counts)))))
    mask = np.zeros(len(counts), dtype=bool)
    mask[start:stop] = True
    for chosen in (jets[start:stop], jets[mask]):
        assert ak.to_list(chosen.constituents.pid) == ak.to_list(jets[np.arange(start, stop)].constituents.pid)


@given(COUNTS, st.data())
def test_concatenating_slices_gives_the_jets_back(counts, data):
    jets = make_jets(counts)
    cut = data.draw(st.integers(0, len(counts)))
    joined = Jets.concatenate([jets[:cut], jets[cut:]])
    assert ak.to_list(joined.constituents.pid) == ak.to_list(jets.constituents.pid)
    assert joined["label"].tolist() == jets["label"].tolist()


def test_constituents_are_vectors_without_a_copy():
    jets = make_jets([3, 0, 2])
    momentum = jets.constituents
    assert np.shares_memory(ak.to_numpy(ak.flatten(momentum.px)), jets.columns["px"])
    assert momentum.pt.to_list()[0] == pytest.approx(np.hypot(jets.flat.px[:3], jets.flat.py[:3]))
    assert jets.flat.energy is jets.columns["energy"]


def test_from_constituents_derives_the_energy_and_keeps_other_fields():
    array = ak.Array([[{"px": 3.0, "py": 0.0, "pz": 4.0, "mass": 12.0, "pid": 11}], []])
    jets = Jets.from_constituents(array, label=[1, 0])
    assert jets.flat.energy.tolist() == [13.0]
    assert jets.columns["pid"].tolist() == [11]
    assert jets.label.tolist() == [1, 0]
    assert jets.weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"px": [1.0, float("nan")]}, "jet 0, constituent 1"),
        ({"energy": [9.0, -9.0]}, "jet 0, constituent 1"),
    ],
)
def test_bad_constituents_are_refused_with_their_place(change, message):
    columns = {"px": [1.0, 2.0], "py": [0.0, 0.0], "pz": [0.0, 0.0], "energy": [9.0, 9.0]} | change
    array = ak.zip({name: [values] for name, values in columns.items()})
    with pytest.raises(DataError, match=message):
        Jets.from_constituents(array)


def test_missing_values_are_refused_with_their_place():
    array = ak.Array([[{"px": 3.0, "py": 0.0, "pz": 4.0, "mass": 0.0, "pid": 11}],
                      [{"px": 3.0, "py": 0.0, "pz": 4.0, "mass": 0.0, "pid": None}]])  # fmt: skip
    with pytest.raises(DataError, match="jet 1, constituent 0: pid is missing"):
        Jets.from_constituents(array)


def test_what_does_not_fit_together_is_refused():
    jets = make_jets([2, 1])
    with pytest.raises(DataError, match="energy missing"):
        Jets(jets.offsets, {name: c for name, c in jets.columns.items() if name != "energy"})
    with pytest.raises(DataError, match="'pid' has 1 rows"):
        Jets(jets.offsets, {**jets.columns, "pid": np.zeros(1)})
    with pytest.raises(DataError, match=r"'label' has the shape \(3,\) for 2 jets"):
        Jets(jets.offsets, jets.columns, {"label": np.zeros(3)})
    with pytest.raises(DataError, match="no field 'weihgt'"):
        jets["weihgt"]
    with pytest.raises(DataError, match="different columns"):
        Jets.concatenate([jets, Jets(jets.offsets, jets.columns)])


@pytest.mark.parametrize("label", [[0, -1], [0.0, 1.5], ["a", "b"], 1, None])
def test_labels_are_integers_from_0(label):
    jets = make_jets([2, 1])
    with pytest.raises(DataError, match=r"labels are|jet field 'label' has the shape"):
        Jets(jets.offsets, jets.columns, {"label": label})


def test_weights_are_finite_and_single_jets_are_slices():
    jets = make_jets([2, 1])
    with pytest.raises(DataError, match="weights are finite"):
        Jets(jets.offsets, jets.columns, {"weight": [np.nan, 1]})
    with pytest.raises(DataError, match=r"jets\[0\]: choose jets by a slice, such as jets\[0:1\]"):
        jets[0]
