"""What every registered tagger promises."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from jetforge.errors import DataError, TaggerError
from jetforge.jets import Jets
from jetforge.taggers import create_tagger, list_taggers, load_tagger, save_tagger

# Published: arXiv:2012.08526 (LundNet5, LundNet3); the other two follow from the number of variables.
NUM_PARAMETERS = {"lundnet2": 391_430, "lundnet3": 391_528, "lundnet4": 391_626, "lundnet5": 391_724}
MULTIPLICITIES = (1, 2, 200, 31, 3, 1, 64, 2, 17)

every_tagger = pytest.mark.parametrize("name", list_taggers())


@pytest.fixture(scope="module")
def jets(make_jets):
    return make_jets(*MULTIPLICITIES)


def fitted(name, jets, num_classes=2):
    torch.manual_seed(1)
    tagger = create_tagger(name, num_classes=num_classes)
    tagger.representation.fit([jets])
    return tagger


def loss_of(tagger, jets):
    logits = tagger(tagger.representation(jets))
    return functional.cross_entropy(logits, torch.from_numpy(jets.label) % len(tagger.classes))


def test_every_tagger_has_its_number_of_parameters():
    assert {name: create_tagger(name).num_parameters() for name in list_taggers()} == NUM_PARAMETERS


@every_tagger
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


@every_tagger
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


@every_tagger
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


@every_tagger
def test_training_learns_the_labels(name, jets):
    tagger = fitted(name, jets)
    optimizer = torch.optim.Adam(tagger.parameters(), 1e-3)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        losses.append(loss_of(tagger, jets))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]


@every_tagger
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


@every_tagger
def test_stages_hold_every_parameter_once(name):
    tagger = create_tagger(name)
    modules = (*tagger.backbone_modules(), *tagger.head_modules())
    staged = [id(parameter) for module in modules for parameter in module.parameters()]
    assert sorted(staged) == sorted(id(parameter) for parameter in tagger.parameters())
    assert any(parameter.shape[0] == 2 for module in tagger.head_modules() for parameter in module.parameters())


@every_tagger
def test_an_unfitted_tagger_does_not_predict(name, jets):
    with pytest.raises(DataError, match="call fit"):
        create_tagger(name).predict(jets)


@pytest.mark.parametrize("num_classes", [1, 0, 2.0, True, "2"])
def test_number_of_classes_must_make_sense(num_classes):
    with pytest.raises(TaggerError, match="num_classes"):
        create_tagger("lundnet3", num_classes=num_classes)


def test_batch_size_must_be_positive(jets):
    with pytest.raises(TaggerError, match="batch_size 0"):
        fitted("lundnet3", jets).predict(jets, batch_size=0)
