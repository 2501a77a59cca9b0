import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.readers.base import checked_settings
from jetforge.jets.readers.delphes import DelphesReader
from jetforge.jets.readers.event_jets import Clustering, check_particles, cluster_events
from jetforge.jets.readers.hepmc import HepMcReader
from jetforge.physics.flat import FlatJets

pytest.importorskip("fastjet", reason="needs the extra 'generate'")

from helpers.written.hepmc import clustered


def make_events(seed, num=6, largest=120):
    """Return offsets and columns of events of two hard directions, soft particles, and two along the beam."""
    random = np.random.default_rng(seed)
    counts = random.integers(2, largest, num)
    counts[num // 2] = 0
    size = counts.sum()
    pt = np.exp(random.normal(1, 1.5, size))
    hard = random.random(size) < 0.5
    eta = np.where(hard, random.normal(0, 0.3, size), random.uniform(-5, 5, size))
    phi = np.where(hard, random.normal(0, 0.3, size) + np.pi * random.integers(0, 2, size), random.uniform(-4, 4, size))
    columns = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta)}
    offsets = np.concatenate([[0], np.cumsum(counts)])
    for sign, beam in ((1, offsets[:-1]), (-1, offsets[:-1] + 1)):
        at = beam[counts > 0]
        columns["px"][at] = columns["py"][at] = 0
        columns["pz"][at] = sign * 3000.0
    columns["energy"] = np.sqrt(columns["px"] ** 2 + columns["py"] ** 2 + columns["pz"] ** 2 + 0.14**2)
    columns["number"] = np.arange(size, dtype=np.int32)
    return offsets, columns


def cluster(offsets, columns, **settings):
    clustering = Clustering.from_settings(checked_settings(HepMcReader, settings))
    flat = FlatJets(offsets, *(columns[name] for name in ("px", "py", "pz", "energy")))
    fields = {"event": np.arange(len(offsets) - 1)}
    return cluster_events(flat, columns, fields, clustering)


@given(
    st.integers(0, 10_000),
    st.sampled_from(["antikt", "cambridge_aachen", "kt"]),
    st.floats(0.2, 1.5),
    st.floats(0.5, 100),
)
def test_jets_and_their_constituents_are_those_of_fastjet(seed, algorithm, radius, pt_min):
    offsets, columns = make_events(seed)
    jets = cluster(offsets, columns, algorithm=algorithm, radius=radius, pt_min=pt_min)
    p4 = np.stack([columns[name] for name in ("px", "py", "pz", "energy")], axis=1)
    at = 0
    for event in range(len(offsets) - 1):
        for expected, members in clustered(p4[offsets[event] : offsets[event + 1]], radius, algorithm, pt_min):
            assert jets["event"][at] == event
            for name, value in zip(("pt", "eta", "phi", "y"), expected[:4], strict=True):
                np.testing.assert_allclose(jets[name][at], value, rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(
                jets["mass"][at] ** 2, expected[4] ** 2, rtol=1e-10, atol=1e-10 * expected[5] ** 2
            )
            np.testing.assert_allclose(jets["energy"][at], expected[5], rtol=1e-10)
            mine = slice(jets.offsets[at], jets.offsets[at + 1])
            assert jets.columns["number"][mine].tolist() == (offsets[event] + members).tolist()
            at += 1
    assert at == len(jets)


def test_constituents_keep_what_they_carry_in_its_type():
    offsets, columns = make_events(1)
    jets = cluster(offsets, columns, pt_min=5)
    assert jets.columns["number"].dtype == np.int32
    for name, values in columns.items():
        assert np.array_equal(jets.columns[name], values[jets.columns["number"]])
    assert len(np.unique(jets.columns["number"])) == len(jets.columns["number"])


def test_limits_choose_among_the_jets_of_an_event():
    offsets, columns = make_events(2, num=40)
    jets = cluster(offsets, columns)
    first = np.searchsorted(jets["event"], jets["event"])
    rank = np.arange(len(jets)) - first
    for settings, kept in (
        ({"leading": 1}, rank < 1),
        ({"leading": 2, "eta_max": 1.0}, (rank < 2) & (np.abs(jets["eta"]) <= 1)),
        ({"pt_max": 200}, jets["pt"] <= 200),
        ({"pt_min": 100, "eta_max": 2.5}, (jets["pt"] >= 100) & (np.abs(jets["eta"]) <= 2.5)),
    ):
        chosen = cluster(offsets, columns, **settings)
        assert 0 < kept.sum() < len(jets)
        assert chosen["pt"].tolist() == jets["pt"][kept].tolist()
        assert np.diff(chosen.offsets).tolist() == np.diff(jets.offsets)[kept].tolist()
        assert np.array_equal(chosen.columns["number"], jets[kept].columns["number"])


def test_no_events_and_no_particles_give_no_jets():
    _, columns = make_events(3)
    nothing = {name: values[:0] for name, values in columns.items()}
    for bounds in (np.zeros(1, np.int64), np.zeros(4, np.int64)):
        jets = cluster(bounds, nothing)
        assert len(jets) == 0
        assert set(jets.columns) == set(columns)
        assert {"pt", "eta", "phi", "y", "mass", "energy", "event"} == set(jets.fields)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("radius", 0, "radius is 0; it must be a finite number from"),
        ("pt_min", 0, "pt_min is 0; it must be a finite number above 0"),
        ("pt_max", -1, "pt_max is -1; it must be"),
        ("eta_max", -1, "eta_max is -1; it must be"),
        ("leading", -1, "leading is -1; it must be a whole number, 0 or more"),
        ("algorithm", "siscone", "option algorithm=siscone: it must be one of"),
    ],
)
@pytest.mark.parametrize("reader", [DelphesReader, HepMcReader])
def test_settings_out_of_their_range_are_refused(reader, name, value, message):
    with pytest.raises(JetforgeError, match=message):
        Clustering.from_settings(checked_settings(reader, {name: value}))


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [("px", np.nan, "not a finite momentum"), ("energy", -3.0, "is negative"), ("energy", 0.01, r"below \|p\|")],
)
def test_what_is_no_momentum_is_refused_with_its_row(tmp_path, column, value, rule):
    class Named(HepMcReader):
        def __init__(self):
            self.path = tmp_path / "events"

    offsets, columns = make_events(4)
    columns[column][offsets[4] + 3] = value
    with pytest.raises(DataError, match=f"events: row 104: particle 3 .*{rule}"):
        check_particles(Named(), 100, offsets, columns)
