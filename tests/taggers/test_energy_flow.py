from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.jets import awkward_jets, split_collinearly, spread_jet, with_soft

from jetforge.errors import TaggerError
from jetforge.taggers import create_tagger


@pytest.fixture(scope="module")
def jets(make_jets):
    return make_jets(1, 2, 60, 31, 3, 1, 17)


def fitted(name, jets, **arguments):
    torch.manual_seed(1)
    tagger = create_tagger(name, **arguments)
    tagger.representation.fit([jets])
    return tagger.eval()


def formula(tagger, weights, features, offsets):
    """The network written down with NumPy: F(sum_i w_i Phi(p_i))."""
    state = {key: value.double().numpy() for key, value in tagger.state_dict().items()}

    def dense(rows, part):
        for number in sorted({int(key.split(".")[1]) for key in state if key.startswith(f"{part}.")}):
            rows = np.maximum(rows @ state[f"{part}.{number}.weight"].T + state[f"{part}.{number}.bias"], 0)
        return rows

    rows = weights[:, None] * dense(features, "phi")
    sums = np.stack([rows[a:b].sum(0) for a, b in pairwise(offsets)])
    return dense(sums, "f") @ state["output.weight"].T + state["output.bias"]


@pytest.mark.parametrize("name", ["pfn", "efn"])
def test_the_network_is_its_formula(name, jets):
    tagger = fitted(name, jets)
    pt = np.hypot(jets.columns["px"], jets.columns["py"])
    batch = tagger.representation(jets)
    hardest_first = np.concatenate([np.sort(pt[a:b])[::-1] for a, b in pairwise(jets.offsets)])
    total = np.add.reduceat(pt, jets.offsets[:-1])
    weights = hardest_first / np.repeat(total, np.diff(jets.offsets)) if name == "efn" else np.ones(len(pt))
    wanted = formula(tagger, weights, batch.features.double().numpy(), jets.offsets)
    np.testing.assert_allclose(tagger(batch).detach().numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_the_pfn_reads_what_the_paper_says(jets):
    tagger = fitted("pfn", jets)
    batch = tagger.representation(jets)
    raw = batch.features.numpy() * tagger.representation.to_dict()["std"] + tagger.representation.to_dict()["mean"]
    momenta = batch.momenta.double().numpy()
    pt = np.hypot(momenta[:, 1], momenta[:, 2])
    jet = np.add.reduceat(momenta, jets.offsets[:-1])
    sizes = np.diff(jets.offsets)
    np.testing.assert_allclose(raw[:, 0], pt / np.repeat(np.hypot(jet[:, 1], jet[:, 2]), sizes), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(raw[:, 1:], batch.points.numpy(), rtol=1e-4, atol=1e-5)


def test_the_efn_is_infrared_and_collinear_safe(jets):
    efn, pfn = fitted("efn", jets), fitted("pfn", jets)
    jet = spread_jet(3, 20, m=0.0)

    def change(tagger, changed):
        return np.abs(tagger.predict(awkward_jets(changed)) - tagger.predict(awkward_jets(jet))).max()

    for which, z in [(0, 0.5), (4, 0.2), (7, 0.01)]:
        assert change(efn, split_collinearly(jet, which, z)) < 1e-5
        assert change(pfn, split_collinearly(jet, which, z)) > 1e-4
    soft = [change(efn, with_soft(jet, pt, 0.3, -0.2)) for pt in (1.0, 1e-2, 1e-4)]
    assert soft[0] > 10 * soft[1] > 0
    assert soft[2] < 1e-5
    assert change(pfn, with_soft(jet, 1e-4, 0.3, -0.2)) > 1e-4


def test_the_numbers_of_parameters_are_the_published_ones():
    """82k of both (arXiv:1902.09914, table 1)."""
    assert create_tagger("pfn").num_parameters() == 82_458
    assert create_tagger("efn").num_parameters() == 82_358


def test_weights_are_drawn_uniformly_as_by_he(jets):
    tagger = fitted("pfn", jets)
    weight = tagger.f[0].weight
    bound = np.sqrt(6 / weight.shape[1])
    assert bound * 0.99 < weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / np.sqrt(3), rel=0.05)
    assert not any(layer.bias.any() for layer in (tagger.phi[0], tagger.f[2], tagger.output))


def test_features_come_from_the_representation(make_jets):
    features = {"features": ["log_pt", "deta", "dphi", "charge"]}
    assert create_tagger("pfn", representation=features).num_parameters() == 82_558
    with pytest.raises(TaggerError, match=r"angles alone \(deta, dphi, delta_r, eta, phi\), not log_pt"):
        create_tagger("efn", representation=features)


def test_dropout_is_of_training_alone(jets):
    tagger = fitted("pfn", jets, dropout=0.3, latent_dropout=0.2)
    batch = tagger.representation(jets)
    assert torch.equal(tagger(batch), tagger(batch))
    tagger.train()
    assert not torch.equal(tagger(batch), tagger(batch))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"phi": []}, r"phi \[\]: give the widths"),
        ({"f": [100, 0]}, r"f \[100, 0\]: give the widths"),
        ({"phi": "100"}, "phi '100': give the widths"),
        ({"dropout": 1.0}, "dropout 1.0 must be a number of at least 0 and below 1"),
        ({"latent_dropout": "much"}, "latent_dropout 'much' must be"),
    ],
)
def test_values_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(TaggerError, match=message):
        create_tagger("efn", **arguments)
