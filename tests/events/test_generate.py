import os

import numpy as np
import pytest

import jetforge
from jetforge.errors import RecipeError
from jetforge.events.generate import generate_jets
from jetforge.events.presets import get_preset

pytest.importorskip("pythia8mc", reason="needs the extra 'generate'")


def test_jets_are_those_that_the_preset_asks_for():
    preset = get_preset("toptag-top")
    jets, counts, seconds = generate_jets(preset, 40, seed=3)
    assert len(jets) == 40
    assert counts["selected"] >= 40
    assert counts["events"] >= counts["selected"] / 2
    assert 0 < seconds["pythia"] < seconds["total"]
    assert jets["pt"].min() > 550
    assert jets["pt"].max() < 650
    assert np.abs(jets["eta"]).max() < 2
    assert np.diff(jets.offsets).max() <= 200
    # Matched top jets have the mass of the top: few are far from it.
    assert 150 < np.median(jets["mass"]) < 190
    pt = np.hypot(jets.flat.px, jets.flat.py)
    inner = np.ones(len(pt), dtype=bool)
    inner[jets.offsets[:-1]] = False
    assert np.all(np.diff(pt)[inner[1:]] <= 0), "constituents come hardest first"


def test_constituents_add_up_to_the_jet():
    jets, _, _ = generate_jets(get_preset("lundnet-w-500:no-mpi"), 20, seed=3)
    total = {
        name: np.add.reduceat(getattr(jets.flat, name), jets.offsets[:-1]) for name in ("px", "py", "pz", "energy")
    }
    np.testing.assert_allclose(np.hypot(total["px"], total["py"]), jets["pt"], rtol=1e-9)
    mass2 = total["energy"] ** 2 - total["px"] ** 2 - total["py"] ** 2 - total["pz"] ** 2
    np.testing.assert_allclose(np.sqrt(mass2), jets["mass"], rtol=1e-5)


def test_any_number_of_workers_gives_the_same_bytes(tmp_path):
    settings = {"presets": ["toptag-top", "toptag-qcd"], "num_jets": 40, "seed": 7, "part_jets": 12}
    environment = dict(os.environ)
    for workers in (0, 1, 3):
        jetforge.generate(out=tmp_path / str(workers), workers=workers, **settings)
    assert dict(os.environ) == environment, "a training after this would run on one thread"
    first, *others = [
        {str(p.relative_to(tmp_path / w)): p.read_bytes() for p in (tmp_path / w).rglob("*") if p.is_file()}
        for w in ("0", "1", "3")
    ]
    assert len(first) == 6
    assert all(other == first for other in others)
    dataset = jetforge.open(tmp_path / "0")
    assert {split: dataset.num_jets(split) for split in dataset.splits} == {"train": 32, "val": 4, "test": 4}
    assert dataset.read("train").label.sum() == 16
    assert dataset.manifest.provenance["plan"]["presets"][0]["name"] == "toptag-top"


def test_an_existing_scheduler_does_the_same(tmp_path):
    from distributed import LocalCluster

    settings = {"presets": ["toptag-qcd"], "num_jets": 10, "seed": 7, "part_jets": 5}
    jetforge.generate(out=tmp_path / "here", workers=0, **settings)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        jetforge.generate(out=tmp_path / "there", scheduler=cluster.scheduler_address, **settings)
    for path in (tmp_path / "here").rglob("*.parquet"):
        assert (tmp_path / "there" / path.relative_to(tmp_path / "here")).read_bytes() == path.read_bytes()


def test_parts_and_seeds_differ(tmp_path):
    settings = {"presets": ["toptag-qcd"], "num_jets": 8, "part_jets": 4, "workers": 0, "split": (1, 0, 0)}
    one = jetforge.generate(out=tmp_path / "1", seed=1, **settings)
    two = jetforge.generate(out=tmp_path / "2", seed=2, **settings)
    masses = np.concatenate([d.read("train")["mass"] for d in (one, two)])
    assert len(np.unique(masses)) == 16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"presets": []}, "at least one preset"),
        ({"presets": ["toptag-qcd", "toptag-qcd"]}, "named twice"),
        ({"presets": ["toptag-qdc"]}, "did you mean toptag-qcd"),
        ({"num_jets": 11}, "11 jets cannot be shared equally among 2 presets"),
        ({"num_jets": 0}, "the number of jets is positive, not 0"),
        ({"seed": -1}, "integer from 0, not -1"),
        ({"split": (0.5, 0.5)}, "three shares"),
        ({"split": (0.5, 0.4, 0.2)}, "add up to 1"),
        ({"part_jets": 1}, "at least one jet of each preset"),
        ({"split": (float("nan"),) * 3}, "add up to 1"),
        ({"workers": -3}, "from 0, not -3"),
    ],
)
def test_wrong_numbers_are_refused_before_anything_is_made(tmp_path, changes, message):
    settings = {"presets": ["toptag-top", "toptag-qcd"], "num_jets": 10, "out": tmp_path / "data"} | changes
    with pytest.raises(RecipeError, match=message):
        jetforge.generate(**settings)
    assert not (tmp_path / "data").exists()


def test_splits_never_share_events_in_any_dataset():
    """Whatever the sizes and the presets: a part of one split and one of another never have the same seed."""
    from jetforge.events.generate import _tasks

    seeds = {}
    for presets in (["toptag-qcd"], ["toptag-top", "toptag-qcd"], ["lundnet-top-500", "lundnet-qcd-500"]):
        rows = [get_preset(name) for name in presets]
        for num_jets, part_jets in ((20_000, 2000), (400_000, 2000), (6000, 100)):
            for task in _tasks(rows, ["qcd", "top"], num_jets, 1, (0.8, 0.1, 0.1), part_jets):
                for share in task.argument["shares"]:
                    seeds.setdefault((share["preset"], share["pythia_seed"]), set()).add(task.split)
    assert all(len(splits) == 1 for splits in seeds.values())


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "published"), [("qcd", 223.80), ("w", 159.71), ("top", 228.19)])
def test_multiplicities_are_those_of_the_published_samples(preset, published):
    """Mean number of stable particles an event, from the histogram headers of github.com/JetsGame/data."""
    from jetforge.events.pythia import PythiaGenerator, multiplicity

    generator = PythiaGenerator(get_preset(f"lundnet-{preset}-500:no-mpi").settings, seed=8)
    counts = np.concatenate([multiplicity(generator.next_batch(500)) for _ in range(8)])
    assert counts.mean() == pytest.approx(published, rel=0.02)
