"""The Particle Transformer: its pairs, its padding, its attention, and published weights."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from jetforge.errors import TaggerError
from jetforge.jets.readers.jetclass import CLASSES
from jetforge.representations import CloudRepresentation
from jetforge.taggers import create_tagger
from jetforge.taggers._attention import MASKED, PaddedJets, dropped
from jetforge.taggers._pair_embedding import pair_features
from jetforge.taggers.checkpoints import particle_transformer as checkpoint
from jetforge.taggers.particle_transformer import trimmed

SMALL = {"embed_dims": [16, 8], "pair_embed_dims": [6], "num_heads": 2, "num_layers": 2, "num_cls_layers": 1}
HEADS, WIDTH, WIDTHS, PAIR_WIDTHS = 2, 8, (16, 8), (6, 2)


def made(jets, **arguments):
    torch.manual_seed(3)
    tagger = create_tagger("part", **SMALL | arguments)
    tagger.representation.fit([jets])
    return tagger


def batch_of(jets, **settings):
    return CloudRepresentation(**settings).fit([jets])(jets)


# What weaver's program computes for one jet, written down from its layers' names, in double precision.


def published_state(num_features=7, num_classes=10, seed=1):
    """Return random weights of a small network under weaver's names."""
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def put(name, *shape, norm=False):
        state[f"{name}.weight"] = torch.randn(*shape, generator=generator) / math.sqrt(shape[-1] if shape[1:] else 4)
        if norm:
            state[f"{name}.weight"] += 1
        state[f"{name}.bias"] = torch.randn(shape[0], generator=generator) / 3

    def batch_norm(name, width):
        put(name, width, norm=True)
        state[f"{name}.running_mean"] = torch.randn(width, generator=generator)
        state[f"{name}.running_var"] = torch.rand(width, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    batch_norm("embed.input_bn", num_features)
    for layer, (before, after) in enumerate(zip((num_features, *WIDTHS), WIDTHS, strict=False)):
        put(f"embed.embed.{3 * layer}", before, norm=True)
        put(f"embed.embed.{3 * layer + 1}", after, before)
    batch_norm("pair_embed.embed.0", 4)
    for layer, (before, after) in enumerate(zip((4, *PAIR_WIDTHS), PAIR_WIDTHS, strict=False)):
        put(f"pair_embed.embed.{3 * layer + 1}", after, before)
        state[f"pair_embed.embed.{3 * layer + 1}.weight"].unsqueeze_(2)
        batch_norm(f"pair_embed.embed.{3 * layer + 2}", after)
    for block in ("blocks.0", "blocks.1", "cls_blocks.0"):
        for norm, width in (("pre_attn", WIDTH), ("post_attn", WIDTH), ("pre_fc", WIDTH), ("post_fc", 4 * WIDTH)):
            put(f"{block}.{norm}_norm", width, norm=True)
        for layer, shape in {
            "attn.in_proj": (3 * WIDTH, WIDTH),
            "attn.out_proj": (WIDTH, WIDTH),
            "fc1": (4 * WIDTH, WIDTH),
            "fc2": (WIDTH, 4 * WIDTH),
        }.items():
            put(f"{block}.{layer}", *shape)
        state[f"{block}.c_attn"] = torch.rand(HEADS, generator=generator) + 0.5
        state[f"{block}.w_resid"] = torch.rand(WIDTH, generator=generator) + 0.5
    put("norm", WIDTH, norm=True)
    put("fc.0", num_classes, WIDTH)
    state["cls_token"] = torch.randn(1, 1, WIDTH, generator=generator)
    return state


class Published:
    def __init__(self, state, interleaves=False):
        self.state = {key: value.double() for key, value in state.items()}
        self.interleaves = interleaves

    def linear(self, name, x):
        return x @ self.state[f"{name}.weight"].flatten(1).T + self.state[f"{name}.bias"]

    def layer_norm(self, name, x):
        return functional.layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def batch_norm(self, name, x):
        values = [self.state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *values)

    def pairs(self, p):
        energy, px, py, pz = p.T
        pt, rapidity, phi = torch.hypot(px, py), torch.atanh(pz / energy), torch.atan2(py, px)
        dphi = torch.remainder(phi[:, None] - phi + math.pi, 2 * math.pi) - math.pi
        delta = torch.hypot(rapidity[:, None] - rapidity, dphi)
        softer = torch.minimum(pt[:, None], pt)
        total = p[:, None] + p
        m2 = total[..., 0] ** 2 - (total[..., 1:] ** 2).sum(-1)
        return torch.stack([softer * delta, softer / (pt[:, None] + pt), delta, m2], -1).clamp(min=1e-8).log()

    def bias(self, p):
        x = self.batch_norm("pair_embed.embed.0", self.pairs(p).reshape(-1, 4))
        for layer in range(len(PAIR_WIDTHS)):
            x = self.linear(f"pair_embed.embed.{3 * layer + 1}", x)
            x = functional.gelu(self.batch_norm(f"pair_embed.embed.{3 * layer + 2}", x))
        return x.reshape(len(p), len(p), HEADS).permute(2, 0, 1)

    def attention(self, name, queries, keys, bias):
        weight = self.state[f"{name}.attn.in_proj.weight"].chunk(3)
        offset = self.state[f"{name}.attn.in_proj.bias"].chunk(3)
        q, k, v = (
            (x @ w.T + b).reshape(len(x), HEADS, -1).transpose(0, 1)
            for x, w, b in zip((queries, keys, keys), weight, offset, strict=True)
        )
        attention = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(WIDTH / HEADS) + bias, -1)
        x = self.linear(f"{name}.attn.out_proj", (attention @ v).transpose(0, 1).reshape(len(queries), WIDTH))
        scaled = x.reshape(len(x), HEADS, -1) * self.state[f"{name}.c_attn"][:, None]
        if self.interleaves:  # before version 0.5: einsum tbhd,h->tbdh
            scaled = scaled.transpose(1, 2)
        return self.layer_norm(f"{name}.post_attn_norm", scaled.reshape(x.shape))

    def rest(self, name, x):
        hidden = functional.gelu(self.linear(f"{name}.fc1", self.layer_norm(f"{name}.pre_fc_norm", x)))
        hidden = self.linear(f"{name}.fc2", self.layer_norm(f"{name}.post_fc_norm", hidden))
        return hidden + self.state[f"{name}.w_resid"] * x

    def logits(self, features, momenta):
        x = self.batch_norm("embed.input_bn", features.double())
        for layer in range(len(WIDTHS)):
            normed = self.layer_norm(f"embed.embed.{3 * layer}", x)
            x = functional.gelu(self.linear(f"embed.embed.{3 * layer + 1}", normed))
        bias = self.bias(momenta.double())
        for name in ("blocks.0", "blocks.1"):
            normed = self.layer_norm(f"{name}.pre_attn_norm", x)
            x = self.rest(name, x + self.attention(name, normed, normed, bias))
        token = self.state["cls_token"][0]
        both = self.layer_norm("cls_blocks.0.pre_attn_norm", torch.cat([token, x]))
        token = self.rest("cls_blocks.0", token + self.attention("cls_blocks.0", token, both, 0.0))
        return self.linear("fc.0", self.layer_norm("norm", token))[0]


@pytest.fixture(scope="module")
def massive_jets(make_jets):
    """Return jets of constituents so heavy that pairs' masses survive single precision."""
    jets = make_jets(1, 2, 40, 7, 3, 25, 9, 1, 12, 5, 4, 17, 6, 2, 33, 8, 11)
    jets.columns["energy"] = np.sqrt(jets.columns["energy"] ** 2 + 5.0**2)
    return jets


@pytest.mark.parametrize("prefix", ["", "mod."])
@pytest.mark.parametrize("joint", [".", "_"])
def test_published_weights_give_what_the_published_program_computes(massive_jets, prefix, joint):
    state = published_state()
    renamed = {prefix + key.replace("in_proj.", f"in_proj{joint}"): value for key, value in state.items()}
    assert checkpoint.recognises(renamed)
    imported = checkpoint.convert(renamed)
    assert imported.classes == CLASSES
    assert imported.arguments == SMALL | {"expansion": 4}
    tagger = create_tagger(imported.name, imported.num_classes, imported.representation, **imported.arguments)
    tagger.load_state_dict(imported.state)
    batch = tagger.eval().representation(massive_jets)
    published = Published(state, interleaves=joint == "_")
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            logits = tagger(batch)
        for index, jet in enumerate(batch[i : i + 1] for i in range(len(batch))):
            expected = published.logits(jet.features, jet.momenta).float()
            torch.testing.assert_close(logits[index].detach(), expected, rtol=1e-3, atol=1e-3)


def test_published_features_are_prepared_as_published(make_jets):
    jets = make_jets(30)
    scaled = checkpoint.convert(published_state()).representation(jets).features
    raw = CloudRepresentation(
        ["log_pt", "log_energy", "log_pt_rel", "log_energy_rel", "delta_r", "deta", "dphi"],
        mean=[0.0] * 7,
        std=[1.0] * 7,
    )(jets).features
    factors, shifts = torch.tensor([0.7] * 4 + [4, 1, 1]), torch.tensor([1.7, 2.0, -4.7, -4.7, 0.2, 0, 0])
    torch.testing.assert_close(scaled, ((raw - shifts) * factors).clamp(-5, 5), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("number", "last"), [(13, "is_muon"), (17, "dz_error")])
def test_published_networks_with_identified_constituents_are_known(number, last):
    imported = checkpoint.convert(published_state(number, 5))
    assert imported.representation.num_features == number
    assert imported.representation.features[-3:] == (last, "deta", "dphi")
    assert imported.classes is None


def test_a_fine_tuned_network_has_its_classifier_beside_the_network():
    state = {key if key.startswith("fc.") else f"mod.{key}": value for key, value in published_state().items()}
    assert checkpoint.recognises(state)
    assert torch.equal(checkpoint.convert(state).state["output.bias"], state["fc.0.bias"])


def test_unknown_networks_are_refused():
    assert not checkpoint.recognises({"embed.input_bn.weight": torch.ones(3)})
    with pytest.raises(TaggerError, match="8 features is not known"):
        checkpoint.convert(published_state(8))
    state = published_state() | {"fc.1.weight": torch.ones(2, 2)}
    with pytest.raises(TaggerError, match="hidden layers"):
        checkpoint.convert(state)
    del state["fc.1.weight"], state["blocks.1.fc1.bias"]
    with pytest.raises(KeyError):
        checkpoint.convert(state)


def test_the_numbers_of_parameters_are_those_of_the_published_program():
    # Counted in weaver-core 0.5.3 with networks/example_ParticleTransformer.py; the paper says 2.14 million.
    assert create_tagger("part").num_parameters() == 2_141_134
    features = [*"abcdefghijklmnopq"]
    assert create_tagger("part", 10, {"features": features}).num_parameters() == 2_143_486


def test_features_of_pairs_are_symmetric_and_do_not_see_boosts_along_the_beam(make_jets):
    momenta = batch_of(make_jets(40)).momenta
    i, j = torch.tril_indices(40, 40, -1)
    features = pair_features(momenta, i, j)
    torch.testing.assert_close(features, pair_features(momenta, j, i))
    energy, px, py, pz = momenta.double().unbind(1)
    boosted = torch.stack([1.25 * energy + 0.75 * pz, px, py, 1.25 * pz + 0.75 * energy], 1)
    torch.testing.assert_close(features, pair_features(boosted, i, j), rtol=1e-2, atol=2e-2)


def test_features_of_pairs_stay_finite_where_directions_and_energies_are_extreme():
    along = torch.tensor([[100.0, 0, 0, 100], [100, 0, 0, -100], [1e-9, 0, 0, 0], [0, 0, 0, 0], [1e4, 1, 0, -1e4]])
    i, j = torch.tril_indices(5, 5)
    assert torch.isfinite(pair_features(along, i, j)).all()


def test_padding_keeps_rows_and_pairs_in_place(make_jets):
    batch = batch_of(make_jets(*range(20), seed=2))
    jets = PaddedJets(batch)
    torch.testing.assert_close(jets.unpad(jets.pad(batch.features)), batch.features)
    first, second = jets.pairs()
    assert len(first) == sum(n * (n + 1) // 2 for n in range(20))
    marks = torch.arange(batch.num_rows, dtype=torch.float32)
    values = torch.stack([marks[first] * marks[second], marks[first] + marks[second]], 1)
    biases = jets.biases(values, first, second)
    padded = jets.pad(marks.unsqueeze(1))
    assert len(padded) > 1
    assert sum(rows.numel() for rows in padded) < 20 * 19
    for bias, rows, mask in zip(biases, padded, jets.masks(torch.float32), strict=True):
        there = mask[:, 0, 0] == 0
        both = there.unsqueeze(2) & there.unsqueeze(1)
        rows = rows.squeeze(2)
        assert (bias[:, 0][~both] == MASKED).all()
        assert torch.equal(bias[:, 0][both], (rows.unsqueeze(2) * rows.unsqueeze(1))[both])
        assert torch.equal(bias[:, 1][both], (rows.unsqueeze(2) + rows.unsqueeze(1))[both])
    numbers = jets.order.unsqueeze(1)
    assert jets.by_jet(numbers).flatten().tolist() == list(range(20))


def test_the_statistics_of_pairs_do_not_see_padding(make_jets):
    jets = make_jets(3, 30)
    tagger = made(jets, trim=False)
    batch = tagger.representation(jets)
    tagger(batch)
    i, j = PaddedJets(batch).pairs()
    expected = 0.1 * pair_features(batch.momenta, i, j).mean(0)
    torch.testing.assert_close(tagger.pair_embedding.layers[0].running_mean, expected, rtol=1e-4, atol=1e-5)


def test_embedding_pairs_in_parts_changes_nothing_but_rounding(make_jets, monkeypatch):
    jets = make_jets(20, 31)
    tagger = made(jets)
    whole = tagger.predict(jets)
    monkeypatch.setattr("jetforge.taggers._pair_embedding._PAIRS_AT_ONCE", {"cpu": 100})
    np.testing.assert_allclose(tagger.predict(jets), whole, rtol=1e-5)


def test_trimming_takes_constituents_of_the_longest_jets_by_chance(make_jets):
    batch = batch_of(make_jets(*range(1, 31), 100))
    torch.manual_seed(1)
    results = [trimmed(batch) for _ in range(20)]
    longest = {result.longest for result in results}
    assert len(longest) > 1
    assert min(longest) >= 28
    for result in results:
        assert torch.equal(result.counts, batch.counts.clamp(max=result.longest))
        for index in (3, 30):
            kept, there = result[index : index + 1].momenta, batch[index : index + 1].momenta
            places = (kept[:, None] == there).all(2).float().argmax(1)
            assert torch.equal(there[places], kept)
            assert (places.diff() > 0).all()
    assert len({result[30:31].momenta.sum().item() for result in results}) > 10


def test_nothing_is_trimmed_outside_training(make_jets, monkeypatch):
    jets = make_jets(2, 3, 50)
    monkeypatch.setattr("jetforge.taggers.particle_transformer.trimmed", lambda batch: batch[:0])
    tagger = made(jets)
    assert len(tagger.eval()(tagger.representation(jets))) == 3
    assert len(tagger.train()(tagger.representation(jets))) == 0


def test_dropped_values_are_a_fraction_of_all_and_of_their_gradients():
    torch.manual_seed(1)
    x = torch.ones(401, 101, requires_grad=True)
    y = dropped(x, 0.25)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert y.detach().unique().tolist() == pytest.approx([0, 4 / 3])
    assert (y == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    torch.manual_seed(1)
    assert torch.equal(dropped(x, 0.25), y)
    assert torch.equal(dropped(x, 0.0), x)


def test_dropout_acts_in_training_alone(make_jets):
    jets = make_jets(5, 9)
    tagger = made(jets, dropout=0.5, attention_dropout=0.5, trim=False)
    batch = tagger.representation(jets)
    assert not torch.equal(tagger(batch), tagger(batch))
    tagger.eval()
    assert torch.equal(tagger(batch), tagger(batch))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"embed_dims": []}, "embed_dims"),
        ({"embed_dims": [8, 0]}, "embed_dims .8, 0."),
        ({"pair_embed_dims": "64"}, "pair_embed_dims"),
        ({"num_heads": 3}, "num_heads 3 must divide the width 8"),
        ({"num_layers": 0}, "num_layers 0"),
        ({"num_cls_layers": True}, "num_cls_layers True"),
        ({"dropout": 1.0}, "dropout 1.0"),
        ({"trim": 1}, "trim 1 must be true or false"),
        ({"attention_dropout": -0.1}, "attention_dropout -0.1"),
    ],
)
def test_settings_must_make_sense(arguments, complaint):
    with pytest.raises(TaggerError, match=complaint):
        create_tagger("part", **SMALL | arguments)
