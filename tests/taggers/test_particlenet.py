"""ParticleNet: both paths of the network, its settings, and what weaver's ParticleNet gives for the same weights."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from jetforge.errors import TaggerError
from jetforge.representations import CloudBatch
from jetforge.taggers import create_tagger
from jetforge.taggers._neighbours import GatheredClouds
from jetforge.taggers.checkpoints import particlenet as checkpoint
from jetforge.taggers.checkpoints.jetclass import published_cloud

module = importlib.import_module("jetforge.taggers.particlenet")
SMALL = {"k": 5, "channels": [[8, 8], [12, 16, 12]], "hidden": [10]}


@pytest.fixture
def jets(make_jets):
    return make_jets(40, 1, 6, 3, 60, 5)


def fitted(jets, name="particlenet", **arguments):
    torch.manual_seed(3)
    tagger = create_tagger(name, **arguments)
    tagger.representation.fit([jets])
    for part in tagger.modules():
        if isinstance(part, torch.nn.BatchNorm1d):
            for tensor in (part.weight.data, part.bias.data, part.running_mean, part.running_var):
                tensor.uniform_(0.3, 1.5)
    return tagger


def by_the_formula(tagger, features, points):
    """Return the logits of one jet in evaluation mode, edge by edge; far-away stand-ins of zeros fill it up to k."""

    def norm(rows, part):
        spread = torch.sqrt(part.running_var + part.eps)
        return (rows - part.running_mean) / spread * part.weight + part.bias

    x, outputs, n = norm(features, tagger.input_norm), [], len(features)
    for convolution in tagger.convolutions:
        k = convolution.k
        with_stand_ins = torch.cat([x, x.new_zeros(k, x.shape[1])])
        places = torch.cat([points, points.new_full((k, points.shape[1]), 1e6)])
        new = []
        for i in range(n):
            distances = (places - points[i]).square().sum(1)
            distances[i] = torch.inf
            near = with_stand_ins[distances.argsort()[:k]]
            edges = torch.cat([x[i].expand(k, -1), near - x[i]], 1)
            for layer, part in zip(convolution.layers, convolution.norms, strict=True):
                edges = torch.relu(norm(edges @ layer.weight.T, part))
            new.append(edges.mean(0))
        short = x
        if isinstance(convolution.shortcut, torch.nn.Sequential):
            short = norm(x @ convolution.shortcut[0].weight.T, convolution.shortcut[1])
        x = points = torch.relu(torch.stack(new) + short)
        outputs.append(x)
    if tagger.fusion is not None:
        x = torch.relu(norm(torch.cat(outputs, 1) @ tagger.fusion[0].weight.T, tagger.fusion[1]))
    return tagger.classify(x.mean(0))


@pytest.mark.parametrize("use_fusion", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_scores_follow_the_formula_for_large_and_small_jets(jets, use_fusion, fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(module, "FusedClouds", GatheredClouds)
    tagger = fitted(jets, **SMALL, use_fusion=use_fusion).double().eval()
    batch = tagger.representation(jets)
    batch = CloudBatch(*(rows.double() for rows in batch.rows().values()), batch.offsets)
    for j, logits in enumerate(tagger(batch)):
        one = batch[j : j + 1]
        torch.testing.assert_close(logits, by_the_formula(tagger, one.features, one.points), rtol=1e-9, atol=1e-9)


def test_both_paths_train_alike(jets, monkeypatch):
    results = []
    for kind in (module.FusedClouds, GatheredClouds):
        monkeypatch.setattr(module, "FusedClouds", kind)
        tagger = fitted(jets, **SMALL, dropout=0).train()
        tagger(tagger.representation(jets))[:, 0].sum().backward()
        results.append([*(parameter.grad for parameter in tagger.parameters()), *tagger.buffers()])
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)


def test_a_longer_batch_changes_no_score(jets, make_jets):
    tagger = fitted(jets, "particlenet_lite").eval()
    alone = tagger.predict(jets)
    more = tagger.representation(make_jets(150, 90))
    batch = CloudBatch.concatenate([tagger.representation(jets), more])
    with torch.no_grad():
        together = torch.softmax(tagger(batch).double(), 1).numpy()
    np.testing.assert_allclose(together[: len(jets)], alone, rtol=1e-5, atol=1e-7)


def test_the_hardest_constituents_alone_are_read(make_jets):
    representation = create_tagger("particlenet").representation
    jets = make_jets(130, 20)
    assert representation.fit([jets])(jets).counts.tolist() == [100, 20]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", 0),
        ("k", 2.5),
        ("k", True),
        ("channels", []),
        ("channels", [[]]),
        ("channels", [[8], [0]]),
        ("channels", [8]),
        ("channels", "64"),
        ("hidden", [0]),
        ("hidden", 8),
        ("dropout", 1.0),
        ("dropout", "0"),
        ("use_fusion", 1),
    ],
)
def test_settings_must_make_sense(name, value):
    with pytest.raises(TaggerError, match=name):
        create_tagger("particlenet", **{name: value})


def test_no_hidden_layer_and_no_change_of_width_are_fine(jets):
    tagger = fitted(jets, k=3, channels=[[7], [7, 7]], hidden=[])
    assert isinstance(tagger.convolutions[0].shortcut, torch.nn.Identity)
    assert np.isfinite(tagger.predict(jets)).all()


def as_weaver_writes(tagger):
    """Return the tensors of a tagger under the names, and of the shapes, that weaver-core gives them."""
    state, hidden = {}, len(tagger.hidden)
    for key, value in tagger.state_dict().items():
        head, *rest = key.split(".")
        if head == "input_norm":
            key = f"bn_fts.{rest[0]}"
        elif head == "fusion":
            key, value = f"fusion_block.{'.'.join(rest)}", value[..., None] if value.ndim == 2 else value
        elif head == "hidden":
            key = f"fc.{rest[0]}.0.{rest[1]}"
        elif head == "output":
            key = f"fc.{hidden}.{rest[0]}"
        else:
            block, kind, number, name = rest
            theirs = {"layers": f"convs.{number}", "norms": f"bns.{number}"}
            kind = theirs[kind] if kind in theirs else ("sc", "sc_bn")[int(number)]
            key = f"edge_convs.{block}.{kind}.{name}"
            if value.ndim == 2:
                value = value[..., None] if kind == "sc" else value[..., None, None]
        state[key] = value
    return state


@pytest.mark.parametrize("num_features", [7, 13, 17])
@pytest.mark.parametrize(("name", "use_fusion"), [("particlenet", False), ("particlenet_lite", True)])
def test_weavers_weights_become_the_same_tagger(num_features, name, use_fusion):
    features = published_cloud("ParticleNet", num_features).features
    tagger = create_tagger(name, 10, {"features": features}, use_fusion=use_fusion)
    state = as_weaver_writes(tagger)
    assert checkpoint.recognises(state)
    imported = checkpoint.convert(state)
    assert imported.name == name
    assert imported.classes == ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
    assert imported.arguments["k"] == tagger.convolutions[0].k
    again = create_tagger(imported.name, imported.num_classes, imported.representation, **imported.arguments)
    again.load_state_dict(imported.state)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in tagger.state_dict().items())


def test_imported_features_are_scaled_as_published(make_jets):
    tagger = create_tagger("particlenet", 2, {"features": published_cloud("ParticleNet", 7).features})
    representation = checkpoint.convert(as_weaver_writes(tagger)).representation
    raw = create_tagger("particlenet", 2, {"features": ["log_pt", "delta_r", "deta"]}).representation
    jets = make_jets(20)
    raw = type(raw)(raw.features, 128, mean=[0, 0, 0], std=[1, 1, 1])(jets).features
    scaled = representation(jets).features
    torch.testing.assert_close(scaled[:, 0], ((raw[:, 0] - 1.7) * 0.7).clamp(-5, 5))
    torch.testing.assert_close(scaled[:, 4], ((raw[:, 1] - 0.2) * 4).clamp(-5, 5))
    torch.testing.assert_close(scaled[:, 5], raw[:, 2])


def test_other_tensors_are_not_recognised():
    state = as_weaver_writes(create_tagger("particlenet_lite"))
    assert not checkpoint.recognises({f"mod.{key}": value for key, value in state.items()})
    assert not checkpoint.recognises({"bn_fts.weight": torch.ones(7)})


def test_an_unknown_number_of_features_is_refused():
    state = as_weaver_writes(create_tagger("particlenet_lite"))
    state["bn_fts.weight"] = torch.ones(4)
    with pytest.raises(TaggerError, match="4 features"):
        checkpoint.convert(state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half])
def test_a_network_in_half_precision_stays_close_on_the_cpu(jets, dtype):
    tagger = fitted(jets, "particlenet_lite").eval()
    single = tagger.representation(jets)
    half = replace(single, features=single.features.to(dtype))
    with torch.no_grad():
        expected = tagger(single)
        torch.testing.assert_close(tagger.to(dtype)(half).float(), expected, rtol=0.05, atol=0.05)
