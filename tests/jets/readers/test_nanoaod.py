import awkward as ak
import numpy as np
import pytest

from jetforge.errors import DataError
from jetforge.jets.readers import open_reader, recognise
from jetforge.jets.readers.nanoaod_truth import CLASSES

uproot = pytest.importorskip("uproot")

from helpers.written import assert_same
from helpers.written.nanoaod import LARGEST, write

NAMINGS = ("v15", "jme", "pfnano")


def branches(path):
    with uproot.open(path) as file:
        tree = file["Events"]
        counters = {"nFatJet", "nPFCand", "nPFCands", "nFatJetPFCand", "nFatJetPFCands", "nGenPart"}
        return {name: tree[name].array() for name in tree.keys() if name not in counters}  # noqa: SIM118


def write_branches(path, arrays):
    """Write branches one by one, as some skims are."""
    with uproot.recreate(path) as file:
        arrays = {name: ak.Array(array) for name, array in arrays.items()}
        kinds = {name: array.type if array.ndim > 1 else ak.to_numpy(array).dtype for name, array in arrays.items()}
        file.mktree("Events", kinds).extend(arrays)
    return path


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("simulated", [True, False])
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, naming, simulated):
    written = write(tmp_path, naming=naming, simulated=simulated)
    assert recognise(written.path) == "nanoaod"
    with open_reader(written.path) as reader:
        assert (reader.rows_are, reader.num_rows) == ("events", 60)
        assert reader.classes == (CLASSES if simulated else ())
        assert_same(reader.read(0, 60), written)
        assert not reader.left_out
        event = written.fields["event"]
        for start, stop in ((7, 31), (59, 60), (2, 3), (20, 20)):
            assert_same(reader.read(start, stop), written, *np.searchsorted(event, (start, stop)))
        jets = reader.read(0, 60)
        assert jets.columns["pid"].dtype == np.int32
        assert ("label" in jets.fields) == simulated
        assert jets.columns["charge"].dtype == np.float32


def test_jets_of_real_events_add_up_to_their_raw_pt(refs):
    path = refs / "formats" / "nano_tt_v15.root"
    assert recognise(path) == "nanoaod"
    with open_reader(path) as reader:
        jets = reader.read(0, reader.num_rows)
        assert reader.left_out == {"pt_min or eta_max": 2}
    with open_reader(path, settings={"eta_max": 10}) as reader:
        assert len(reader.read(0, reader.num_rows)) == len(jets) == 62
        assert reader.left_out == {"no candidate is stored": 2}
    owner = np.repeat(np.arange(len(jets)), np.diff(jets.offsets))
    px, py, pz, energy = (np.bincount(owner, jets.columns[name]) for name in ("px", "py", "pz", "energy"))
    np.testing.assert_allclose(np.hypot(px, py), jets["raw_pt"], rtol=5e-3)
    mass = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
    np.testing.assert_allclose(mass, jets["mass"] * (1 - jets["rawfactor"]), rtol=5e-3)
    np.testing.assert_allclose(np.arcsinh(pz / np.hypot(px, py)), jets["eta"], atol=2e-3)
    tops = jets[jets.label == CLASSES.index("top")]
    assert len(tops) == 3
    assert np.all((tops["mass"] > 140) & (tops["mass"] < 210))
    assert np.diff(jets.offsets).tolist() == jets["nconstituents"].tolist()


def test_puppi_weights_may_be_left_to_the_user(tmp_path):
    written = write(tmp_path, naming="pfnano")
    with open_reader(written.path, settings={"puppi": "no"}) as reader:
        jets = reader.read(0, reader.num_rows)
    weight = written.columns["puppi_weight"]
    for name in ("px", "py", "pz", "energy", "mass"):
        np.testing.assert_allclose(jets.columns[name] * weight, written.columns[name], rtol=1e-6)


def test_candidates_of_weight_zero_are_dropped_when_weights_are_applied(tmp_path):
    written = write(tmp_path, naming="jme")
    arrays = branches(written.path)
    # Light candidates: the jet's sum must still agree with its raw pT.
    light = arrays["PFCand_pt"] < 2
    arrays["PFCand_puppiWeight"] = ak.where(light, 0, arrays["PFCand_puppiWeight"])
    path = write_branches(tmp_path / "zero.root", arrays)
    weight = written.columns["puppi_weight"]
    kept = np.hypot(written.columns["px"], written.columns["py"]) / weight >= 2
    with open_reader(path) as reader:
        jets = reader.read(0, reader.num_rows)
        assert int(jets.offsets[-1]) == kept.sum()
        np.testing.assert_allclose(jets.columns["px"], written.columns["px"][kept], rtol=1e-6)
    with open_reader(path, settings={"puppi": "no"}) as reader:
        assert int(reader.read(0, reader.num_rows).offsets[-1]) == written.counts.sum()


def test_jets_are_chosen_by_pt_and_eta(tmp_path):
    written = write(tmp_path)
    with open_reader(written.path, settings={"pt_min": 580, "eta_max": 1.0}) as reader:
        jets = reader.read(0, reader.num_rows)
        left_out = reader.left_out
    wanted = (written.fields["pt"] >= 580) & (np.abs(written.fields["eta"]) <= 1)
    assert jets["event"].tolist() == written.fields["event"][wanted].tolist()
    assert np.diff(jets.offsets).tolist() == written.counts[wanted].tolist()
    assert left_out == {"pt_min or eta_max": int((~wanted).sum())}


def test_labels_depend_on_the_radius(tmp_path):
    written = write(tmp_path)
    with open_reader(written.path, settings={"match_radius": 0.01}) as reader:
        jets = reader.read(0, reader.num_rows)
    assert set(jets.label) <= {0, CLASSES.index("partial")}
    with open_reader(written.path, settings={"match_radius": 3.0}) as reader:
        jets = reader.read(0, reader.num_rows)
    # Now what is outside of a jet counts as well.
    assert np.all(jets.label[written.fields["label"] == CLASSES.index("partial")] != CLASSES.index("partial"))


def test_jets_that_lack_candidates_are_refused_left_out_or_kept(tmp_path):
    written = write(tmp_path)
    arrays = branches(written.path)
    # Without all links of the first event, and without the only link of the first jet of the second, which is its last.
    lacking = np.where(np.arange(60) == 0, 1000, np.where(np.arange(60) == 1, 1, 0))
    for name in ("FatJetPFCand_jetIdx", "FatJetPFCand_pfCandIdx"):
        place = ak.local_index(arrays[name])
        arrays[name] = arrays[name][place < ak.num(arrays[name]) - lacking]
    path = write_branches(tmp_path / "lacking.root", arrays)
    for incomplete in ("drop", "keep"):
        with open_reader(path, settings={"incomplete": incomplete}) as reader:
            assert len(reader.read(0, 60)) == len(written.counts) - 2
            assert reader.left_out == {"no candidate is stored": 2}
    with open_reader(path) as reader, pytest.raises(DataError, match="row 0: only 0 of the 44 candidates of a jet are"):
        reader.read(0, 60)
    arrays["FatJetPFCand_jetIdx"] = arrays["FatJetPFCand_jetIdx"][:, 1:]
    arrays["FatJetPFCand_pfCandIdx"] = arrays["FatJetPFCand_pfCandIdx"][:, 1:]
    path = write_branches(tmp_path / "more.root", arrays)
    with open_reader(path) as reader, pytest.raises(DataError, match="incomplete=keep"):
        reader.read(0, 60)
    counts = []
    for incomplete in ("drop", "keep"):
        with open_reader(path, settings={"incomplete": incomplete}) as reader:
            counts.append(len(reader.read(0, 60)))
            assert reader.left_out.get("some candidates are not stored", 0) > 0 or incomplete == "keep"
    assert counts[0] < counts[1]


def changed(tmp_path, change, naming="v15"):
    written = write(tmp_path, naming=naming)
    arrays = branches(written.path)
    change(arrays)
    return write_branches(tmp_path / "changed.root", arrays)


def set_first(name, value):
    def change(arrays):
        flat = np.array(ak.flatten(arrays[name]))
        flat[0] = value
        arrays[name] = ak.unflatten(flat, ak.num(arrays[name]))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_first("FatJetPFCand_jetIdx", 1), "row 0: .*jetIdx is 1, the event has 1: damaged"),
        (set_first("FatJetPFCand_jetIdx", -1), "row 0: .*jetIdx is -1"),
        (set_first("FatJetPFCand_pfCandIdx", 5000), f"row 0: .*pfCandIdx is 5000, the event has {LARGEST + 2}"),
        (set_first("FatJet_nConstituents", 5), r"row 0: a jet has 300 candidates and says 5"),
        (set_first("FatJet_pt", np.nan), "row 0: .*not a finite number"),
        (set_first("FatJet_mass", np.nan), "row 0: .*mass or rawFactor of a jet is not a finite number"),
        (set_first("GenPart_eta", np.nan), "row 0: GenPart_eta is nan, no finite number: damaged"),
        (set_first("GenPart_phi", np.inf), "row 0: GenPart_phi is inf, no finite number: damaged"),
        (set_first("FatJet_pt", 5000.0), "row 0: the candidates of a jet of pT .* add up to"),
        (set_first("GenPart_genPartIdxMother", 300), "row 0: GenPart_genPartIdxMother is 300"),
        (lambda arrays: arrays.update(genWeight=np.full(60, np.inf, np.float32)), "row 0: genWeight"),
        (lambda arrays: arrays.update(PFCand_eta=arrays["PFCand_eta"][:, 1:]), "row 0: 'PFCand_eta' has .* values"),
        (lambda arrays: arrays.update(FatJet_eta=arrays["FatJet_eta"][:, 1:]), "row 0: 'FatJet_eta' has 0 values"),
        (
            lambda arrays: arrays.update(FatJetPFCand_pfCandIdx=arrays["FatJetPFCand_pfCandIdx"] * 1.0),
            "FatJetPFCand_pfCandIdx' is of type float64, not whole numbers",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_row(tmp_path, change, message):
    path = changed(tmp_path, change)
    with open_reader(path) as reader, pytest.raises(DataError, match=message) as raised:
        reader.read(0, reader.num_rows)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("puppi", [True, False])
@pytest.mark.parametrize(("name", "value"), [("pt", -3.0), ("pt", np.nan), ("eta", np.nan), ("puppiWeight", -0.5)])
def test_candidates_without_momentum_are_refused_with_their_row(tmp_path, name, value, puppi):
    def change(arrays):
        flat = np.array(ak.flatten(arrays[f"PFCands_{name}"]))
        flat[ak.flatten(arrays["FatJetPFCands_pFCandsIdx"][:1])[0]] = value
        arrays[f"PFCands_{name}"] = ak.unflatten(flat, ak.num(arrays[f"PFCands_{name}"]))

    path = changed(tmp_path, change, "pfnano")
    with open_reader(path, settings={"puppi": puppi}) as reader:
        reader.read(1, 60)
        if name == "puppiWeight" and not puppi:
            reader.read(0, 60)
            return
        with pytest.raises(DataError, match=r"row 0: a candidate has pt .*: no momentum"):
            reader.read(0, 60)


def test_particles_that_are_their_own_ancestors_are_refused(tmp_path):
    def circle(arrays):
        w = arrays["GenPart_pdgId"] == 24
        mother = ak.where(w, ak.local_index(w), arrays["GenPart_genPartIdxMother"])
        arrays["GenPart_genPartIdxMother"] = ak.values_astype(mother, np.int16)
        quarks = np.abs(arrays["GenPart_pdgId"]) < 3
        arrays["GenPart_statusFlags"] = ak.values_astype(ak.where(quarks, 0, 1 << 13), np.uint16)

    with open_reader(changed(tmp_path, circle)) as reader, pytest.raises(DataError, match="in a circle: damaged"):
        reader.read(0, reader.num_rows)


def test_a_file_without_candidates_is_not_of_this_format(tmp_path):
    written = write(tmp_path)
    arrays = {name: array for name, array in branches(written.path).items() if "PFCand" not in name}
    path = write_branches(tmp_path / "plain.root", arrays)
    with pytest.raises(DataError, match="of none of the known formats"):
        recognise(path)
    with pytest.raises(DataError, match="no AK8 jets with particle-flow candidates"):
        open_reader(path, "nanoaod")
    arrays = {name: array for name, array in branches(written.path).items() if name != "PFCand_mass"}
    with pytest.raises(DataError, match="no branch PFCand_mass"):
        open_reader(write_branches(tmp_path / "light.root", arrays), "nanoaod")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_cut_file_is_refused(tmp_path, share):
    written = write(tmp_path)
    data = written.path.read_bytes()
    path = tmp_path / "cut.root"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"cut\.root"), open_reader(path, "nanoaod") as reader:
        reader.read(0, reader.num_rows)
