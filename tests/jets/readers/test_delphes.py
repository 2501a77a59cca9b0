import awkward as ak
import numpy as np
import pytest

from jetforge.errors import DataError
from jetforge.jets.readers import open_reader, recognise

uproot = pytest.importorskip("uproot")
pytest.importorskip("fastjet", reason="needs the extra 'generate'")

from helpers.written import assert_same
from helpers.written.delphes import LARGEST, write

COLUMNS = ["px", "py", "pz", "energy", "mass", "pid", "charge"]
IMPACT = ["d0", "d0_error", "dz", "dz_error"]


def invariant_masses(jets):
    owner = np.repeat(np.arange(len(jets)), np.diff(jets.offsets))
    px, py, pz, energy = (np.bincount(owner, jets.columns[name]) for name in ("px", "py", "pz", "energy"))
    return np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))


@pytest.mark.parametrize("particles", ["eflow", "candidates"])
@pytest.mark.parametrize("with_mass", [True, False])
@pytest.mark.parametrize("with_impact", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, particles, with_mass, with_impact, weighted):
    written = write(tmp_path, particles=particles, with_mass=with_mass, with_impact=with_impact, weighted=weighted)
    assert recognise(written.path) == "delphes"
    assert written.counts.max() == LARGEST
    assert written.counts.min() == 1
    with open_reader(written.path) as reader:
        assert (reader.rows_are, reader.num_rows, reader.classes) == ("events", 60, ())
        jets = reader.read(0, 60)
        assert_same(jets, written)
        event = written.fields["event"]
        for start, stop in ((7, 31), (59, 60), (2, 3), (20, 20)):
            assert_same(reader.read(start, stop), written, *np.searchsorted(event, (start, stop)))
    massive = jets["mass"] > 1
    np.testing.assert_allclose(jets["mass"][massive], invariant_masses(jets)[massive], rtol=1e-6)
    assert sorted(jets.columns) == sorted(COLUMNS + (IMPACT if with_impact else []))
    assert (jets.columns["pid"].dtype, jets.columns["charge"].dtype) == (np.int32, np.float32)
    assert ("weight" in jets.fields) == weighted


def branches(path):
    with uproot.open(path) as file:
        tree = file["Delphes"]
        return {name: tree[name].array() for name in tree.keys() if not name.endswith("_size")}  # noqa: SIM118


def write_branches(path, arrays):
    """Write branches one by one, each with a counter of its own."""
    with uproot.recreate(path) as file:
        arrays = {name: ak.Array(array) for name, array in arrays.items()}
        kinds = {name: array.type if array.ndim > 1 else ak.to_numpy(array).dtype for name, array in arrays.items()}
        file.mktree("Delphes", kinds, counter_name=lambda counted: f"n_{counted}").extend(arrays)
    return path


def changed(tmp_path, change, **variant):
    arrays = branches(write(tmp_path, **variant).path)
    change(arrays)
    return write_branches(tmp_path / "changed.root", arrays)


def set_first(name, value, row=0):
    def change(arrays):
        flat = np.array(ak.flatten(arrays[name]))
        flat[int(ak.sum(ak.num(arrays[name][:row])))] = value
        arrays[name] = ak.unflatten(flat, ak.num(arrays[name]))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_first("EFlowTrack.PT", np.nan, 1), "row 1: particle 0 .*not a finite momentum"),
        (set_first("EFlowTrack.PT", -3.0, 1), "row 1: EFlowTrack.PT is -3.0, negative: no momentum"),
        (set_first("EFlowPhoton.ET", -3.0, 2), "row 2: EFlowPhoton.ET is -3.0, negative: no momentum"),
        (set_first("EFlowTrack.Eta", np.inf, 1), "row 1: particle 0 .*not a finite momentum"),
        (set_first("EFlowTrack.Mass", np.nan, 1), "row 1: particle 0 .*not a finite momentum"),
        (set_first("EFlowPhoton.E", -5.0, 1), "row 1: particle .*is negative"),
        (set_first("EFlowNeutralHadron.E", 1e-3, 1), r"row 1: particle .*below \|p\|"),
        (set_first("Event.Weight", np.inf, 3), "row 3: Event.Weight is not a finite number"),
        (lambda a: a.update({"EFlowTrack.Eta": a["EFlowTrack.Eta"][:, 1:]}), "row .*'EFlowTrack.Eta' has .* values"),
        (lambda a: a.update({"Event.Number": a["Event.Number"][:, :0]}), "row 0: 'Event.Number' has 0 values, not one"),
        (
            lambda a: a.update({"EFlowTrack_size": ak.num(a["EFlowTrack.PT"]) + 1}),
            "row 0: 'EFlowTrack.PT' has .* values",
        ),
        (
            lambda a: a.update({"EFlowPhoton.E": a["EFlowPhoton.E"] > 0}),
            "'EFlowPhoton.E' is of type .*bool, not numbers",
        ),
        (lambda a: a.update({"EFlowPhoton.E": np.ones(60)}), "'EFlowPhoton.E' is of type .* not a list of numbers"),
        (lambda a: a.pop("EFlowPhoton.Phi"), "no branch EFlowPhoton.Phi"),
        (lambda a: a.pop("EFlowNeutralHadron.ET"), "no branch EFlowNeutralHadron.ET"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_row(tmp_path, change, message):
    path = changed(tmp_path, change)
    assert recognise(path) == "delphes"
    with pytest.raises(DataError, match=message) as raised, open_reader(path) as reader:
        reader.read(0, reader.num_rows)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_energy_flow_objects_are_taken_first_and_candidates_on_request(tmp_path):
    written, other = write(tmp_path), write(tmp_path, seed=2, particles="candidates")
    arrays = branches(written.path) | branches(other.path)
    path = write_branches(tmp_path / "both.root", arrays)
    for settings, expected in (({}, written), ({"particles": "eflow"}, written), ({"particles": "candidates"}, other)):
        with open_reader(path, settings=settings) as reader:
            jets = reader.read(0, 60)
            assert np.diff(jets.offsets).tolist() == expected.counts.tolist()
            np.testing.assert_allclose(jets.columns["px"], expected.columns["px"], rtol=1e-6)
    with pytest.raises(
        DataError, match="no ParticleFlowCandidate in the tree 'Delphes'; it has EFlowNeutralHadron, EFlow"
    ):
        open_reader(written.path, settings={"particles": "candidates"})


def test_towers_are_massless_to_rounding_and_keep_a_mass_that_is_more(tmp_path):
    arrays = branches(write(tmp_path).path)
    energy = arrays["EFlowNeutralHadron.E"]
    arrays["EFlowNeutralHadron.E"] = ak.values_astype(np.sqrt(energy**2 + 0.25), np.float32)
    with open_reader(write_branches(tmp_path / "massive.root", arrays)) as reader:
        columns = reader.read(0, 60).columns
    assert np.all(columns["mass"][columns["pid"] == 22] == 0)
    soft = (columns["pid"] == 0) & (columns["energy"] < 50)
    np.testing.assert_allclose(columns["mass"][soft], 0.5, rtol=2e-2)


def test_a_tree_without_particles_is_not_of_this_format(tmp_path):
    arrays = {name: array for name, array in branches(write(tmp_path).path).items() if "EFlow" not in name}
    path = write_branches(tmp_path / "plain.root", arrays)
    with pytest.raises(DataError, match="no EFlowTrack or ParticleFlowCandidate in the tree 'Delphes'; it has Event"):
        open_reader(path, "delphes")
    with uproot.recreate(tmp_path / "other.root") as file:
        file.mktree("tree", {"x": np.float32}).extend({"x": np.ones(3, np.float32)})
    with pytest.raises(DataError, match="the tree 'Delphes' cannot be read"):
        open_reader(tmp_path / "other.root", "delphes")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_cut_file_is_refused(tmp_path, share):
    data = write(tmp_path).path.read_bytes()
    path = tmp_path / "cut.root"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"cut\.root"), open_reader(path, "delphes") as reader:
        reader.read(0, reader.num_rows)


def test_jets_of_real_events_are_those_of_delphes(refs):
    path = refs / "formats" / "events_delphes_example.root"
    if not path.exists():
        pytest.skip(f"no reference data: {path} is absent")
    with open_reader(path, settings={"pt_min": 500}) as reader:
        jets = reader.read(0, reader.num_rows)
    with uproot.open(path) as file:
        tree = file["Delphes"]
        pt, eta = (tree[f"JetPUPPIAK8.{name}"].array() for name in ("PT", "Eta"))
    # Delphes clusters candidates whose energies do not fit their momenta, which moves rapidities a little.
    assert (
        jets["event"].tolist() == ak.flatten(ak.local_index(pt, axis=0) + 0 * (pt > 500))[ak.flatten(pt > 500)].tolist()
    )
    np.testing.assert_allclose(jets["pt"], ak.flatten(pt[pt > 500]), rtol=5e-3)
    np.testing.assert_allclose(jets["eta"], ak.flatten(eta[pt > 500]), atol=0.05)
