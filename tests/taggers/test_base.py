"""What every registered tagger promises."""

import json

import numpy as np
import pytest
import torch
import yaml
from helpers.datasets import write_dataset
from torch.nn import functional

from jetforge.cli.info import info
from jetforge.errors import DataError, TaggerError
from jetforge.jets import Jets
from jetforge.learning.auxiliary import embedding_width
from jetforge.learning.boosting import LabelledRows, fit_boosted_trees
from jetforge.learning.fit import fit
from jetforge.learning.recipe import make_recipe
from jetforge.taggers import create_tagger, list_taggers, load_tagger, save_tagger, tagger_arguments

# With two classes and what each reads by default; docs/taggers.md says which are published, and by whom.
NUM_PARAMETERS = {
    "boosted_trees": 0,
    "cnn_rnn": 2_645_538,
    "dense": 452_402,
    "dense_student": 12_706,
    "efn": 82_358,
    "gru": 59_074,
    "hldnn": 133_562,
    "image_cnn": 609_666,
    "lgatr": 1_074_178,
    "lgatr_slim": 2_010_786,
    "lloca": 1_603_845,
    "lorentznet": 224_072,
    "lstm": 75_970,
    "lund_lstm": 67_330,
    "lundnet2": 391_430,
    "lundnet3": 391_528,
    "lundnet4": 391_626,
    "lundnet5": 391_724,
    "part": 2_141_134,
    "particlenet": 366_160,
    "particlenet_lite": 26_416,
    "pcnn": 349_456,
    "pelican": 208_797,
    "pfn": 82_458,
    "resnext50": 1_457_314,
    "topodnn": 59_330,
    "transformer": 1_978_882,
}
# Arguments by which networks are symmetric under all boosts and rotations, where they are not by default.
SYMMETRIC = {
    "lorentznet": {"beams": False},
    **{name: {"symmetry": "lorentz"} for name in ("pelican", "lgatr", "lgatr_slim", "lloca")},
}
# Arguments by which something is learnt from few jets, and in few steps.
FEW_JETS = {"boosted_trees": {"min_samples_leaf": 2, "max_iter": 20}}
FEW_STEPS = {"lgatr": {"blocks": 2}}
MULTIPLICITIES = (1, 2, 24, 31, 3, 1, 14, 2, 17)


def created():
    """Yield every tagger, those whose package is not installed as None."""
    for name in list_taggers():
        try:
            yield name, create_tagger(name)
        except TaggerError as error:
            if "jetforge[lorentz]" not in str(error):
                raise
            yield name, None


def names(chosen):
    absent = pytest.mark.skip(reason="needs the extra lorentz")
    return [pytest.param(name, marks=[absent] if tagger is None else []) for name, tagger in CREATED if chosen(tagger)]


CREATED = list(created())
every_tagger = pytest.mark.parametrize("name", names(lambda tagger: True))
every_network = pytest.mark.parametrize("name", names(lambda tagger: tagger is None or tagger.trained_by_gradient))


@pytest.fixture(scope="module")
def jets(make_jets):
    return make_jets(*MULTIPLICITIES)


def fitted(name, jets, num_classes=2, **arguments):
    torch.manual_seed(1)
    tagger = create_tagger(name, num_classes=num_classes, **FEW_JETS.get(name, {}), **arguments)
    tagger.representation.fit([jets])
    if not tagger.trained_by_gradient:
        labels = np.arange(len(jets)) % num_classes
        fit_boosted_trees(tagger, LabelledRows(tagger.representation(jets).values.numpy(), labels, np.ones(len(jets))))
    return tagger


def loss_of(tagger, jets):
    logits = tagger(tagger.representation(jets))
    return functional.cross_entropy(logits, torch.from_numpy(jets.label) % len(tagger.classes))


def test_every_tagger_has_its_number_of_parameters():
    counts = {name: tagger.num_parameters() for name, tagger in CREATED if tagger is not None}
    assert counts == {name: count for name, count in NUM_PARAMETERS.items() if name in counts}
    assert NUM_PARAMETERS.keys() == set(list_taggers())


@every_network
@pytest.mark.parametrize("num_classes", [2, 3])
def test_forward_and_backward_are_finite(name, jets, num_classes):
    tagger = fitted(name, jets, num_classes)
    logits = tagger(tagger.representation(jets))
    assert logits.shape == (len(jets), num_classes)
    assert logits.dtype == torch.float32
    loss_of(tagger, jets).backward()
    for key, parameter in tagger.named_parameters():
        assert torch.isfinite(parameter.grad).all(), key
        assert (parameter.grad != 0).any(), key


@every_network
@pytest.mark.parametrize("multiplicities", [(1,), (2,), (1, 1), (2, 2), (1, 2), (3,), (200,), ()])
def test_degenerate_batches_are_finite_in_training(name, jets, make_jets, multiplicities):
    tagger = fitted(name, jets)
    few = make_jets(*multiplicities)
    logits = tagger(tagger.representation(few))
    logits.sum().backward()
    assert logits.shape == (len(few), 2)
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in tagger.parameters())
    assert all(torch.isfinite(buffer).all() for buffer in tagger.buffers())


@every_network
@pytest.mark.parametrize("autocast", [False, True])
def test_jets_without_constituents_are_finite_in_training(name, jets, make_jets, autocast):
    tagger = fitted(name, jets)
    for few in (make_jets(0, 3, 0, 5), make_jets(0)):
        tagger.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = tagger(tagger.representation(few))
        logits.float().square().sum().backward()
        assert torch.isfinite(logits).all()
        assert all(torch.isfinite(parameter.grad).all() for parameter in tagger.parameters())
    assert all(torch.isfinite(buffer).all() for buffer in tagger.buffers())


@every_tagger
def test_the_order_of_constituents_does_not_matter(name, jets):
    tagger = fitted(name, jets)
    order = np.concatenate(
        [
            np.random.default_rng(2).permutation(np.arange(start, stop))
            for start, stop in zip(jets.offsets[:-1], jets.offsets[1:], strict=True)
        ]
    )
    shuffled = Jets(jets.offsets, {key: column[order] for key, column in jets.columns.items()}, jets.fields)
    np.testing.assert_allclose(tagger.predict(shuffled), tagger.predict(jets), rtol=1e-4, atol=1e-6)


@every_tagger
def test_a_jet_does_not_see_the_others(name, jets):
    tagger = fitted(name, jets)
    alone = tagger.predict(jets, batch_size=1)
    np.testing.assert_allclose(alone, tagger.predict(jets), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alone[::-1], tagger.predict(jets[::-1], batch_size=4), rtol=1e-5, atol=1e-6)


@every_tagger
def test_probabilities_add_up_and_differ(name, jets):
    probabilities = fitted(name, jets, 3).predict(jets)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert probabilities[:, 0].std() > 0


@every_tagger
@pytest.mark.parametrize("training", [True, False])
def test_predicting_changes_nothing(name, jets, training):
    tagger = fitted(name, jets).train(training)
    before = {key: value.clone() for key, value in tagger.state_dict().items()}
    tagger.predict(jets)
    assert tagger.training is training
    assert all(torch.equal(value, before[key]) for key, value in tagger.state_dict().items())


@every_tagger
def test_no_jets_have_no_probabilities(name, jets):
    assert fitted(name, jets, 3).predict(jets[:0]).shape == (0, 3)


@every_tagger
def test_a_saved_tagger_gives_the_same_bits(name, jets, tmp_path):
    tagger = fitted(name, jets, 3)
    loss_of(tagger, jets)  # moves the running statistics
    tagger.classes, tagger.provenance = ("qcd", "top", "w"), {"preset": "lundnet-top-500", "jets": [3, 4]}
    path = save_tagger(tagger, tmp_path / "run")
    for source in (path, path.parent, str(path)):
        again = load_tagger(source)
        assert not again.training
        assert np.array_equal(again.predict(jets), tagger.predict(jets))
        for attribute in ("name", "arguments", "classes", "provenance"):
            assert getattr(again, attribute) == getattr(tagger, attribute)
    assert json.loads(path.read_text())["num_parameters"] == tagger.num_parameters()


@every_network
def test_training_repeats_bit_for_bit(name, jets):
    def trained():
        tagger = fitted(name, jets)
        optimizer = torch.optim.Adam(tagger.parameters(), 1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(tagger, jets).backward()
            optimizer.step()
        return tagger.state_dict()

    first, second = trained(), trained()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@every_network
def test_training_learns_the_labels(name, make_jets):
    jets = make_jets(*MULTIPLICITIES[:3], 5, 8, 13, 6, 4, 9)
    tagger = fitted(name, jets, **FEW_STEPS.get(name, {}))
    optimizer = torch.optim.Adam(tagger.parameters(), 1e-3)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = loss_of(tagger, jets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] < 0.8 * losses[0]:
            break
    assert losses[-1] < 0.8 * losses[0]


@every_network
def test_bfloat16_autocast_stays_close(name, jets):
    tagger = fitted(name, jets)
    batch = tagger.representation(jets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = tagger(batch)
    half.float().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in tagger.parameters())
    tagger.eval()
    full = tagger(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = tagger(batch)
    torch.testing.assert_close(half.float(), full, rtol=0.1, atol=0.05)


@every_network
def test_stages_hold_every_parameter_once(name):
    tagger = create_tagger(name)
    modules = (*tagger.modules_before(list(tagger.stages())[-1]), *tagger.head_modules())
    staged = [id(parameter) for module in modules for parameter in module.parameters()]
    assert sorted(staged) == sorted(id(parameter) for parameter in tagger.parameters())
    assert any(parameter.shape[0] == 2 for module in tagger.head_modules() for parameter in module.parameters())


WITH_ALL_STAGES = {"particlenet": {"use_fusion": True}}


@every_network
def test_what_a_boundary_reads_gives_the_same_logits(name, jets):
    tagger = fitted(name, jets, **WITH_ALL_STAGES.get(name, {})).eval()
    batch = tagger.representation(jets)
    with torch.no_grad():
        expected = tagger(batch)
        for boundary in tagger.boundaries():
            given = tagger.before(boundary, batch)
            assert len(given) == len(jets)
            torch.testing.assert_close(tagger.after(boundary, given), expected, rtol=1e-5, atol=1e-6)
            taken = tagger.after(boundary, given.take(torch.tensor([3, 0])))
            torch.testing.assert_close(taken, expected[[3, 0]], rtol=1e-5, atol=1e-6)


@every_network
def test_what_follows_the_first_boundary_has_no_part_in_what_precedes_it(name, jets):
    tagger = fitted(name, jets, **WITH_ALL_STAGES.get(name, {})).eval()
    boundary, batch = tagger.boundaries()[0], tagger.representation(jets)
    frozen = {id(p) for module in tagger.modules_before(boundary) for p in module.parameters()}
    parts = vars(tagger.before(boundary, batch))
    sum(value.sum() for value in parts.values() if value.is_floating_point()).backward()
    assert frozen
    assert all(p.grad is None for p in tagger.parameters() if id(p) not in frozen)


@every_tagger
def test_a_long_jet_and_an_empty_one_do_not_disturb_the_others(name, jets, make_jets):
    tagger = fitted(name, jets)
    long = make_jets(200, 0, seed=8)
    together = tagger.predict(Jets.concatenate([jets, long]))
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together[: len(jets)], tagger.predict(jets), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(together[len(jets)], tagger.predict(long[:1])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_scores_do_not_see_boosts_and_rotations(name, jets):
    tagger = fitted(name, jets, **SYMMETRIC[name])
    rng = np.random.default_rng(4)
    momenta = np.stack([jets.columns[key] for key in ("energy", "px", "py", "pz")])
    for _ in range(5):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        moved = momenta.copy()
        moved[1:] = rotation * np.linalg.det(rotation) @ momenta[1:]
        moved = boosted(moved, rng.uniform(0, 0.8) * unit(rng.normal(size=3)))
        columns = dict(zip(("energy", "px", "py", "pz"), moved, strict=True))
        elsewhere = Jets(jets.offsets, columns, jets.fields)
        np.testing.assert_allclose(tagger.predict(elsewhere), tagger.predict(jets), atol=1e-4)
    assert tagger.predict(jets)[:, 0].std() > 2e-4


def unit(direction):
    return direction / np.linalg.norm(direction)


def boosted(momenta, beta):
    """Return (E, px, py, pz) as seen from a frame that moves with -beta."""
    gamma = 1 / np.sqrt(1 - beta @ beta)
    along = beta @ momenta[1:]
    energy = gamma * (momenta[0] + along)
    return np.vstack([energy, momenta[1:] + np.outer(beta, gamma * momenta[0] + gamma**2 / (gamma + 1) * along)])


@every_tagger
def test_jets_of_no_weight_teach_nothing(name, tmp_path):
    """Trained by the whole pipeline, a tagger is bit for bit the same whatever the labels of jets of weight zero."""
    taught = []
    for flipped in (False, True):

        def change(jets, flipped=flipped):
            ignored = np.arange(len(jets)) % 3 == 0
            label = np.where(ignored & flipped, 1 - jets.label, jets.label)
            return Jets(jets.offsets, jets.columns, {"label": label, "weight": np.where(ignored, 0.0, 1.5)})

        data = write_dataset(tmp_path / f"data{flipped}", {"train": [24], "val": [16]}, change=change)
        run = {"data": str(data.path), "out": str(tmp_path / f"run{flipped}"), "tagger": name}
        steps = {"epochs": 1, "batch_size": 12, "warmup_epochs": 0}
        training = steps if create_tagger(name).trained_by_gradient else {}
        taught.append(fit(make_recipe({**run, "training": training})))
    first, second = (tagger.state_dict() for tagger in taught)
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@every_tagger
def test_an_unfitted_tagger_does_not_predict(name, jets):
    with pytest.raises(DataError, match="call fit"):
        create_tagger(name).predict(jets)


@pytest.mark.parametrize("num_classes", [1, 0, 2.0, True, "2"])
def test_number_of_classes_must_make_sense(num_classes):
    with pytest.raises(TaggerError, match="num_classes"):
        create_tagger("lundnet3", num_classes=num_classes)


@pytest.mark.parametrize("batch_size", [0, 2.5, "2", True, None])
def test_batch_size_must_be_a_whole_number_above_zero(jets, batch_size):
    with pytest.raises(TaggerError, match=f"^batch_size {batch_size!r} must be a whole number of 1 or more$"):
        fitted("lundnet3", jets).predict(jets, batch_size=batch_size)


def test_predicting_leaves_what_trains_and_what_does_not(jets):
    tagger = fitted("lundnet3", jets).train()
    tagger.convolutions.eval()
    before = [module.training for module in tagger.modules()]
    tagger.predict(jets)
    embedding_width(tagger, jets)
    assert [module.training for module in tagger.modules()] == before


@every_tagger
def test_arguments_are_listed_with_the_defaults_that_a_new_tagger_has(name, capsys):
    found = tagger_arguments(name)
    assert not {"num_classes", "representation"} & found.keys()
    # What is listed can be given, and makes the same tagger.
    torch.manual_seed(0)
    usual = create_tagger(name)
    torch.manual_seed(0)
    given = create_tagger(name, **found)
    assert repr(given) == repr(usual)
    assert {key: usual.arguments.get(key, value) for key, value in found.items()} == found
    info(name)
    shown = capsys.readouterr().out
    assert shown.startswith(f"{name}: ")
    for key, default in found.items():
        assert f"    {key}: " in shown
        assert yaml.safe_load(shown.split("arguments\n")[1].split("boundaries")[0])[key] == default
