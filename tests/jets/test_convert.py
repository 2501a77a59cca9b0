"""Files to datasets: every jet, in order, whoever does the work; or one clear refusal and no dataset."""

import hashlib
import os
import signal
import time

import awkward as ak
import h5py
import numpy as np
import pytest

import jetforge
from jetforge.errors import DataError, JetforgeError
from jetforge.jets.convert import convert

pytest.importorskip("tables", reason="pandas writes HDF5 with PyTables: pip install 'jetforge[dev]'")

from helpers.written import assert_same, energyflow
from helpers.written.toptag import write


def assert_stored(jets, written, start=0, stop=None):
    """Check jets that went through the stored form: momenta in float32, the energy from the mass."""
    assert_same(jets, written, start, stop)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Return the reference set's three files, small: train, val and test."""
    folder = tmp_path_factory.mktemp("three")
    sizes = {"train": (300, 0), "val": (90, 2), "test": (110, 1)}
    return {
        name: write(folder, num, seed=number, split=number, name=f"{name}.h5") for name, (num, number) in sizes.items()
    }


@pytest.fixture(scope="module")
def converted(three, tmp_path_factory):
    files = [written.path for written in three.values()]
    return convert(files, tmp_path_factory.mktemp("converted") / "out", part_jets=50, workers=0)


@pytest.fixture
def toptag_like(three, tmp_path):
    """Return a dataset of three splits."""
    return convert([written.path for written in three.values()], tmp_path / "three", workers=0)


def test_every_jet_of_every_file_is_there_in_order_and_in_the_split_that_the_file_states(three, converted):
    assert converted.classes == ("qcd", "top")
    assert {split: converted.num_jets(split) for split in converted.splits} == {"train": 300, "val": 90, "test": 110}
    for split, written in three.items():
        assert_stored(converted.read(split), written)
    assert [part.jets for part in converted.parts("train")] == [50] * 6


def test_jets_get_the_kinematics_of_the_sum_of_their_constituents(converted):
    jets = converted.read("val")
    total = {
        name: np.add.reduceat(getattr(jets.flat, name), jets.offsets[:-1]) for name in ("px", "py", "pz", "energy")
    }
    np.testing.assert_allclose(jets["pt"], np.hypot(total["px"], total["py"]), rtol=1e-6)
    np.testing.assert_allclose(jets["y"], np.arctanh(total["pz"] / total["energy"]), rtol=1e-5, atol=1e-6)


def test_provenance_names_the_files_with_their_checksums(three, converted):
    provenance = converted.manifest.provenance
    assert [source["file"] for source in provenance["plan"]["sources"]] == ["train.h5", "val.h5", "test.h5"]
    checksums = {source["file"]: source["sha256"] for source in provenance["checksums"]}
    assert checksums["val.h5"] == hashlib.sha256(three["val"].path.read_bytes()).hexdigest()


def test_losing_one_of_three_workers_changes_no_byte(three, converted, tmp_path):
    from distributed import LocalCluster

    killed = []

    def kill_one(progress):
        if progress.done and not killed:
            killed.append(next(nanny.pid for nanny in cluster.workers.values() if nanny.worker_address))
            os.kill(killed[0], signal.SIGKILL)

    with LocalCluster(3, threads_per_worker=1, dashboard_address="127.0.0.1:0", local_directory=tmp_path) as cluster:
        files = [written.path for written in three.values()]
        dataset = convert(
            files, tmp_path / "out", part_jets=50, scheduler=cluster.scheduler_address, on_progress=kill_one
        )
    assert killed
    assert dataset.fingerprint == converted.fingerprint


def test_a_stopped_conversion_goes_on_where_it_stopped(three, converted, tmp_path):
    files = [written.path for written in three.values()]

    def stop(progress):
        if progress.done >= 150:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(files, tmp_path / "out", part_jets=50, workers=0, on_progress=stop)
    with pytest.raises(DataError, match="unfinished"):
        jetforge.open(tmp_path / "out")
    seen = []
    dataset = convert(files, tmp_path / "out", part_jets=50, workers=0, on_progress=seen.append)
    assert seen[0].resumed == 150
    assert dataset.fingerprint == converted.fingerprint


def test_what_is_finished_is_not_done_again(three, tmp_path):
    for _ in range(2):
        dataset = convert([three["val"].path], tmp_path / "out", workers=0)
    part = dataset.path / dataset.parts("val")[0].file
    before = part.stat().st_mtime_ns
    convert([three["val"].path], tmp_path / "out", workers=0)
    assert part.stat().st_mtime_ns == before
    with pytest.raises(DataError, match="other settings"):
        convert([three["val"].path], tmp_path / "out", split="test", workers=0)


@pytest.mark.parametrize(
    ("split", "sizes"),
    [
        ("test", {"test": 90}),
        ((0.5, 0.3, 0.2), {"train": 45, "val": 27, "test": 18}),
        ((0.999, 0.001, 0), {"train": 90}),
    ],
)
def test_a_split_that_is_asked_for_overrides_the_stated_one(three, tmp_path, split, sizes):
    dataset = convert([three["val"].path], tmp_path / "out", split=split, workers=0)
    assert {name: dataset.num_jets(name) for name in dataset.splits} == sizes
    jets = [dataset.read(name) for name in dataset.splits]
    assert_stored(jetforge.jets.Jets.concatenate(jets), three["val"])


def test_files_of_one_class_each_are_mixed_and_labelled_with_the_background_first(tmp_path):
    files = {
        name: write(tmp_path, num, seed=num, labelled=False, name=f"{name}.h5")
        for name, num in (("top", 60), ("qcd", 120))
    }
    named = [f"{name}={written.path}" for name, written in files.items()]
    dataset = convert(named, tmp_path / "mixed", split="train", part_jets=30, workers=0)
    assert dataset.classes == ("qcd", "top")
    for index in range(len(dataset.parts("train"))):
        assert np.bincount(dataset.read_part("train", index).label).tolist() == [20, 10]
    jets = dataset.read("train")
    for label, name in enumerate(dataset.classes):
        assert_stored(jets[np.flatnonzero(jets.label == label)], files[name])
    apart = convert(named, tmp_path / "apart", split="train", part_jets=30, mix=False, workers=0)
    assert np.all(np.diff(apart.read("train").label) <= 0), "part after part, the files follow one another"


def test_jets_without_labels_can_be_converted_but_not_trained_on(tmp_path):
    written = write(tmp_path, labelled=False)
    dataset = convert([written.path], tmp_path / "out", split="test", workers=0)
    assert not dataset.labelled
    assert_stored(dataset.read("test"), written)
    with pytest.raises(DataError, match="no labels"):
        _ = dataset.read("test").label


def test_momenta_in_mev_are_noticed_and_named(tmp_path):
    written = write(tmp_path, momentum_unit=1000.0)
    with pytest.raises(DataError, match=r"toptag-table.h5: .* probably in MeV, not in GeV: give --option unit=MeV"):
        convert([written.path], tmp_path / "out", workers=0)
    assert_stored(convert([written.path], tmp_path / "out", options={"unit": "MeV"}, workers=0).read("train"), written)


def test_momenta_in_gev_are_not_taken_for_mev(tmp_path):
    written = write(tmp_path)
    with pytest.raises(DataError, match="probably in GeV, not in MeV: give --option unit=GeV"):
        convert([written.path], tmp_path / "out", options={"unit": "MeV"}, workers=0)


def test_a_checksum_beside_the_file_is_compared(three, tmp_path):
    written = write(tmp_path)
    digest = hashlib.sha256(written.path.read_bytes()).hexdigest()
    beside = written.path.with_name("toptag-table.h5.sha256")
    beside.write_text(f"{digest}  toptag-table.h5\n")
    convert([written.path], tmp_path / "good", workers=0)
    beside.write_text(f"{'0' * 64}  toptag-table.h5\n")
    with pytest.raises(DataError, match=r"SHA-256 is not the one in toptag-table.h5.sha256"):
        convert([written.path], tmp_path / "bad", workers=0)
    assert not (tmp_path / "bad" / "dataset.json").exists()


def test_a_file_that_changes_meanwhile_is_refused(tmp_path):
    written = write(tmp_path)

    def touch(progress):
        if not progress.done:
            time.sleep(0.01)
            os.utime(written.path)

    with pytest.raises(DataError, match="was changed while it was being converted"):
        convert([written.path], tmp_path / "out", part_jets=20, workers=0, on_progress=touch)


def test_one_bad_label_far_behind_refuses_the_whole_file_with_its_row(tmp_path):
    written = write(tmp_path, 300, complib="zlib")
    with h5py.File(written.path, "r+") as file:
        table = file["table/table"]
        rows = table[150:151]
        number = next(name for name in table.dtype.names if "int" in str(table.dtype[name].base) and name != "index")
        rows[number][0, -1] = 5
        table[150:151] = rows
    with pytest.raises(DataError, match=r"toptag-table.h5: row 150: is_signal_new is 5, neither 0 nor 1"):
        convert([written.path], tmp_path / "out", part_jets=20, workers=0)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_what_does_not_go_together_is_refused(three, tmp_path):
    train, val = three["train"].path, three["val"].path
    plain = write(tmp_path, labelled=False, name="plain.h5").path
    cases = {
        "is named twice": [train, train],
        "has labels of its own": [f"top={train}"],
        "has no labels, other files have": [train, plain],
        "no such file or directory": [tmp_path / "nothing.h5"],
        "a directory, not a file": [tmp_path],
        "name at least one file": [],
    }
    for message, files in cases.items():
        with pytest.raises(JetforgeError, match=f"(?i){message}"):
            convert(files, tmp_path / "out", workers=0)
    for message, arguments in {
        "no split 'tran'": {"split": "tran"},
        "add up to 1": {"split": (0.5, 0.1, 0.1)},
        "no format 'topta'; did you mean 'toptag'": {"format": "topta"},
        "no option 'units'; did you mean 'unit'": {"options": {"units": "MeV"}},
        "unit=TeV: it must be one of GeV, MeV": {"options": {"unit": "TeV"}},
        "at least one row": {"part_jets": 0},
    }.items():
        with pytest.raises(JetforgeError, match=message):
            convert([val], tmp_path / "out", workers=0, **arguments)
    assert not (tmp_path / "out").exists()


def test_a_mapping_that_changes_makes_another_dataset(tmp_path):
    from helpers.written import columns

    momentum = {name: f"p_{name}" for name in ("pt", "eta", "phi", "mass")}
    mapping = {"momentum": momentum, "label": {"column": "j_label", "classes": ["qcd", "top"]}}
    written = columns.write_mapped(tmp_path, mapping)
    options = written.settings
    first = convert([written.path], tmp_path / "out", format="columns", options=options, workers=0)
    assert (
        convert([written.path], tmp_path / "out", format="columns", options=options, workers=0).fingerprint
        == first.fingerprint
    )
    path = options["mapping"]
    with open(path, "a") as file:
        file.write("unit: GeV\n")
    with pytest.raises(DataError, match="other settings"):
        convert([written.path], tmp_path / "out", format="columns", options=options, workers=0)


def test_options_that_leave_no_jet_are_refused(tmp_path):
    from helpers.written import delphes

    written = delphes.write(tmp_path)
    with pytest.raises(DataError, match="no jet is left to be stored"):
        convert([f"qcd={written.path}"], tmp_path / "out", options={**written.settings, "pt_min": 6400.0}, workers=0)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_rows_that_say_what_they_are_for_are_followed(toptag_like, tmp_path):
    path = tmp_path / "all.parquet"
    jetforge.export(toptag_like, path, "parquet")
    back = convert([path], tmp_path / "back", part_jets=40, workers=0)
    assert back.splits == toptag_like.splits
    for split in back.splits:
        ours, theirs = back.read(split), toptag_like.read(split)
        assert np.array_equal(ours.offsets, theirs.offsets)
        for name in ("px", "py", "pz", "energy", "mass"):
            np.testing.assert_array_equal(ours.columns[name], theirs.columns[name])
        assert list(ours.fields) == list(theirs.fields), "what says the split is not kept twice"
        for name in theirs.fields:
            np.testing.assert_array_equal(ours[name], theirs[name])
    assert jetforge.open(tmp_path / "back").read("val")["pt"].tolist() == toptag_like.read("val")["pt"].tolist()


def test_splits_in_the_middle_of_a_file_are_not_lost(three, tmp_path):
    written = write(tmp_path, 500, complib="zlib")
    with h5py.File(written.path, "r+") as file:
        table = file["table/table"]
        rows = table[:]
        number = next(name for name in table.dtype.names if "int" in str(table.dtype[name].base) and name != "index")
        rows[number][240:260, 0] = 2
        table[:] = rows
    with pytest.raises(DataError, match="for val, others for train: give --split stated"):
        convert([written.path], tmp_path / "out", workers=0)
    dataset = convert([written.path], tmp_path / "stated", split="stated", workers=0)
    assert {split: dataset.num_jets(split) for split in dataset.splits} == {"train": 480, "val": 20}
    del written.fields["ttv"]
    assert_stored(dataset.read("val"), written, 240, 260)
    with pytest.raises(JetforgeError, match="states no split"):
        convert([write(tmp_path, labelled=False, name="plain.h5").path], tmp_path / "no", split="stated", workers=0)


def test_large_files_are_looked_into_by_the_workers(three, converted, tmp_path, monkeypatch):
    monkeypatch.setattr("jetforge.jets.convert._LARGE", 0)
    files = [written.path for written in three.values()]
    assert convert(files, tmp_path / "out", part_jets=50, workers=2).fingerprint == converted.fingerprint
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(files[1].read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"damaged.h5: "):
        convert([files[0], damaged], tmp_path / "bad", workers=2)


def test_other_contents_of_the_same_size_are_another_dataset(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (energyflow.write(tmp_path / name, 60, seed, compressed=False) for seed, name in enumerate("ab"))
    assert one.path.stat().st_size == other.path.stat().st_size
    path = tmp_path / "jets.npz"
    path.write_bytes(one.path.read_bytes())
    first = convert([path], tmp_path / "out", part_jets=20, workers=0)
    path.write_bytes(other.path.read_bytes())
    with pytest.raises(DataError, match="holds a dataset of other settings"):
        convert([path], tmp_path / "out", part_jets=20, workers=0)
    path.write_bytes(one.path.read_bytes())
    assert convert([path], tmp_path / "out", part_jets=20, workers=0).fingerprint == first.fingerprint


def test_a_momentum_that_is_no_number_is_named_with_its_row(tmp_path):
    written = write(tmp_path, 60, complib="zlib")
    with h5py.File(written.path, "r+") as file:
        table = file["table/table"]
        rows = table[:]
        rows["values_block_0"][37, 4] = np.nan
        table[:] = rows
    with pytest.raises(DataError, match=r"table.h5: jet 37, constituent 1 \(.*energy = nan\): not a finite"):
        convert([written.path], tmp_path / "out", workers=0)


def test_a_split_that_is_none_is_refused(tmp_path):
    written = write(tmp_path, 60, split=256)
    with pytest.raises(DataError, match="row 0: ttv is 256, none of 0"):
        convert([written.path], tmp_path / "out", workers=0)


def test_one_soft_or_hard_jet_is_no_matter_of_units(toptag_like, tmp_path):
    jets = toptag_like.read("train")
    scale = np.ones(len(jets))
    scale[[3, 200]] = 0.001, 30
    factor = np.repeat(scale, np.diff(jets.offsets))
    data = {
        name: ak.unflatten(jets.columns[name] * factor, np.diff(jets.offsets)) for name in ("px", "py", "pz", "energy")
    }
    data["split"] = np.arange(len(jets)) % 2
    ak.to_parquet(ak.Array({**data, "label": jets.label}), tmp_path / "own.parquet")
    for part_jets in (None, 2):
        dataset = convert([tmp_path / "own.parquet"], tmp_path / f"out-{part_jets}", part_jets=part_jets, workers=0)
        assert dataset.num_jets("train") + dataset.num_jets("val") == len(jets)


def test_a_stated_pt_in_other_units_is_noticed(toptag_like, tmp_path):
    jets = toptag_like.read("train")
    data = {name: ak.unflatten(jets.columns[name], np.diff(jets.offsets)) for name in ("px", "py", "pz", "energy")}
    ak.to_parquet(ak.Array({**data, "jet_pt": 1000 * jets["pt"], "label": jets.label}), tmp_path / "own.parquet")
    with pytest.raises(DataError, match=r"stated pT of a typical jet is 1e\+03 times that of the sum"):
        convert([tmp_path / "own.parquet"], tmp_path / "out", workers=0)


def test_the_same_file_under_two_names_is_refused(three, tmp_path):
    copy = tmp_path / "copy.h5"
    copy.write_bytes(three["val"].path.read_bytes())
    with pytest.raises(JetforgeError, match=r"copy.h5: holds the same as .*val.h5; jets would count twice"):
        convert([three["val"].path, copy], tmp_path / "out", workers=0)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("=jets.h5", "no class before the '='"),
        ("qcd=", "no file after the '='"),
        ("https://zenodo.org/records/1/files/x.h5", "only files of this machine are read; fetch it first"),
        ("qcd=root://eospublic.cern.ch//x.root", "only files of this machine"),
    ],
)
def test_what_names_no_file_is_refused(file, message, tmp_path):
    with pytest.raises(JetforgeError, match=message):
        convert([file], tmp_path / "out", workers=0)
