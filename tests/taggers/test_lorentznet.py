"""LorentzNet: the published size and formula, its symmetries, and checkpoints of the authors' program."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from jetforge.errors import TaggerError
from jetforge.representations import FourMomentaBatch
from jetforge.taggers import create_tagger
from jetforge.taggers.checkpoints import import_weights
from jetforge.taggers.checkpoints import lorentznet as checkpoints


def batch_of(momenta, counts, scalars=0):
    """Return a batch of four-momenta in float64."""
    values = torch.randn(len(momenta), scalars, generator=torch.Generator().manual_seed(1))
    return FourMomentaBatch(torch.as_tensor(momenta), values, torch.tensor([0, *np.cumsum(counts)]))


def momenta_of(counts, seed=2):
    """Return massless and massive constituents of collimated jets, float64, in GeV."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    pt, eta, phi = 30 * rng.exponential(size=n) + 0.5, rng.normal(0.4, 0.3, n), rng.normal(1, 0.3, n)
    p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], 1)
    energy = np.sqrt((p**2).sum(1) + rng.choice([0, 0.13957], n) ** 2)
    return np.concatenate([energy[:, None], p], 1)


def boost(beta, direction):
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    gamma = 1 / np.sqrt(1 - beta**2)
    matrix = np.eye(4)
    matrix[0, 0] = gamma
    matrix[0, 1:] = matrix[1:, 0] = gamma * beta * direction
    matrix[1:, 1:] += (gamma - 1) * np.outer(direction, direction)
    return matrix


def rotation(axis, angle):
    matrix = np.eye(4)
    first, second = [k for k in (1, 2, 3) if k != axis]
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def scores(tagger, momenta, counts):
    with torch.no_grad():
        return tagger.eval()(batch_of(momenta, counts)).softmax(1)


def made(seed=1, **arguments):
    torch.manual_seed(seed)
    return create_tagger("lorentznet", representation={"scale": 1.0}, **arguments)


def test_published_numbers_of_parameters():
    # 224,072 for top tagging and 227,096 for quarks and gluons: the tensors of the published checkpoints.
    assert create_tagger("lorentznet").num_parameters() == 224_072
    names = [f"type_{number}" for number in range(8)]
    quark_gluon = create_tagger("lorentznet", representation={"scalars": names}, beams=False, masses=False)
    assert quark_gluon.num_parameters() == 227_096


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_without_beams_no_frame_is_special(beta):
    counts = (20, 7, 31, 2)
    momenta, tagger = momenta_of(counts), made(beams=False)
    moved = momenta @ (boost(beta, [1, -2, 0.5]) @ rotation(1, 0.8) @ rotation(3, -2.0)).T
    torch.testing.assert_close(scores(tagger, moved, counts), scores(tagger, momenta, counts), rtol=0, atol=2e-6)


def test_beams_leave_rotations_about_their_axis_and_reflections():
    counts = (20, 7, 31, 2)
    momenta, tagger = momenta_of(counts), made()
    for matrix in (rotation(3, 1.3), np.diag([1.0, 1, 1, -1]), np.diag([1.0, -1, 1, 1])):
        torch.testing.assert_close(
            scores(tagger, momenta @ matrix.T, counts), scores(tagger, momenta, counts), rtol=0, atol=2e-6
        )
    for matrix in (rotation(1, 1.3), boost(0.5, [0, 0, 1])):
        assert (scores(tagger, momenta @ matrix.T, counts) - scores(tagger, momenta, counts)).abs().max() > 2e-5


def test_large_moves_are_covariant_only_without_a_limit():
    counts = (20, 7)
    momenta = momenta_of(counts)
    matrix = rotation(1, 0.8) @ rotation(3, -2.0)
    for limit, covariant in ((0.1, False), (None, True)):
        tagger = made(beams=False, largest_move=limit, step=0.5)
        with torch.no_grad():
            for block in list(tagger.blocks)[:-1]:
                block.step.weight *= 100
        change = (scores(tagger, momenta @ matrix.T, counts) - scores(tagger, momenta, counts)).abs().max()
        assert (change < 2e-6) == covariant


def test_the_scale_of_the_representation_does_not_matter(make_jets):
    jets, tagger = make_jets(9, 30, 4), made()
    in_gev = tagger.predict(jets)
    tagger.representation.scale = 64.0  # a power of two: nothing is rounded
    np.testing.assert_allclose(tagger.predict(jets), in_gev, rtol=1e-6)


def test_single_and_double_precision_train_alike():
    counts = (20, 1, 45, 6, 3)
    batch, labels = batch_of(momenta_of(counts), counts), torch.tensor([0, 1, 1, 0, 1])
    single = made(dropout=0.0)
    double = copy.deepcopy(single).double()
    for tagger in (single, double):
        functional.cross_entropy(tagger(batch), labels).backward()
    for (key, ours), theirs in zip(single.named_parameters(), double.parameters(), strict=True):
        if not key.endswith("node_first.bias"):  # which the batch normalisation behind it cancels
            error = (ours.grad - theirs.grad).norm() / theirs.grad.norm()
            assert error < 2e-3, (key, float(error))
    for (key, ours), theirs in zip(single.named_buffers(), double.buffers(), strict=True):
        torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-4, atol=1e-5, msg=key)


def published_state(scalars, layers, width, seed=3):
    """Return random tensors under the names of the authors' program."""
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def linear(name, inputs, outputs, bias=True):
        state[f"{name}.weight"] = torch.randn(outputs, inputs, generator=generator).double() / inputs**0.5
        if bias:
            state[f"{name}.bias"] = torch.randn(outputs, generator=generator).double() / 4

    def norm(name):
        for kind in ("weight", "running_var"):
            state[f"{name}.{kind}"] = 0.5 + torch.rand(width, generator=generator).double()
        for kind in ("bias", "running_mean"):
            state[f"{name}.{kind}"] = torch.randn(width, generator=generator).double()
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    linear("module.embedding", scalars, width)
    for layer in range(layers):
        block = f"module.LGEBs.{layer}"
        linear(f"{block}.phi_e.0", 2 * width + 2, width, bias=False)
        norm(f"{block}.phi_e.1")
        linear(f"{block}.phi_e.3", width, width)
        linear(f"{block}.phi_h.0", 2 * width + scalars, width)
        norm(f"{block}.phi_h.1")
        linear(f"{block}.phi_h.3", width, width)
        linear(f"{block}.phi_m.0", width, 1)
        if layer < layers - 1:
            linear(f"{block}.phi_x.0", width, width)
            linear(f"{block}.phi_x.2", width, 1, bias=False)
    linear("module.graph_dec.0", width, width)
    linear("module.graph_dec.3", width, 2)
    return state


def plain_logits(state, scalars, x, layers, step):
    """Return the logits of one jet by the formulas of arXiv:2201.08187, pair by pair of a full matrix."""
    n = len(x)

    def linear(name, rows):
        bias = state.get(f"module.{name}.bias", torch.zeros(()))
        return rows @ state[f"module.{name}.weight"].T + bias

    def norm(name, rows):
        part = {kind: state[f"module.{name}.{kind}"] for kind in ("weight", "bias", "running_mean", "running_var")}
        return (rows - part["running_mean"]) / (part["running_var"] + 1e-5).sqrt() * part["weight"] + part["bias"]

    def psi(p):
        return p.sign() * torch.log(1 + p.abs())

    metric = torch.diag(torch.tensor([1.0, -1, -1, -1]).double())
    others = (1 - torch.eye(n).double())[:, :, None]
    h = linear("embedding", scalars)
    for layer in range(layers):
        block = f"LGEBs.{layer}"
        apart = x[:, None] - x[None]
        squares, dots = torch.einsum("ijk,kl,ijl->ij", apart, metric, apart), x @ metric @ x.T
        both = torch.stack([psi(squares), psi(dots)], 2)
        rows = torch.cat([h[:, None].expand(n, n, -1), h[None].expand(n, n, -1), both], 2)
        rows = linear(f"{block}.phi_e.3", norm(f"{block}.phi_e.1", linear(f"{block}.phi_e.0", rows)).relu()).relu()
        rows = rows * linear(f"{block}.phi_m.0", rows).sigmoid()
        if layer < layers - 1:
            moves = apart * linear(f"{block}.phi_x.2", linear(f"{block}.phi_x.0", rows).relu())
            x = x + step * (moves.clamp(-100, 100) * others).sum(1) / max(n - 1, 1)
        inputs = torch.cat([h, (rows * others).sum(1), scalars], 1)
        h = h + linear(f"{block}.phi_h.3", norm(f"{block}.phi_h.1", linear(f"{block}.phi_h.0", inputs)).relu())
    return linear("graph_dec.3", linear("graph_dec.0", h.mean(0)).relu()), n


def imported(state):
    weights = checkpoints.convert(state)
    tagger = create_tagger(weights.name, weights.num_classes, weights.representation, **weights.arguments)
    tagger.load_state_dict(weights.state)
    return tagger.eval(), weights


@pytest.mark.parametrize("width", [72, 10])
def test_top_tagging_checkpoints_give_what_the_formulas_give(width):
    state, counts = published_state(2, 3, width), (12, 1, 30)
    assert checkpoints.recognises(state)
    tagger, weights = imported(state)
    assert weights.classes == ("qcd", "top")
    momenta = momenta_of(counts)
    beams = np.array([[2**0.5, 0, 0, 1], [2**0.5, 0, 0, -1]])
    logits = []
    for x in np.split(momenta, np.cumsum(counts)[:-1]):
        mass = np.sqrt(np.abs(x[:, 0] ** 2 - (x[:, 1:] ** 2).sum(1)))
        scalars = np.zeros((len(x) + 2, 2))
        scalars[:2, 1], scalars[2:, 0] = np.log(2), np.log(1 + mass)
        given = torch.from_numpy(scalars), torch.from_numpy(np.concatenate([beams, x]))
        logits.append(plain_logits(state, *given, 3, 5e-3)[0])
    wanted = torch.stack(logits)
    with torch.no_grad():
        torch.testing.assert_close(tagger(batch_of(momenta, counts)).double(), wanted, rtol=1e-4, atol=1e-4)
        exact = copy.deepcopy(tagger).double()(batch_of(momenta, counts))
    torch.testing.assert_close(exact, wanted, rtol=1e-6, atol=1e-6)


def test_quark_gluon_checkpoints_give_what_the_formulas_give():
    state, counts = published_state(8, 2, 16), (12,)
    tagger, weights = imported(state)
    assert weights.classes == ("gluon", "quark")
    batch = batch_of(momenta_of(counts), counts, scalars=8)
    with torch.no_grad():
        logits = tagger(batch)[0].double()
    wanted, _ = plain_logits(state, batch.scalars.double(), batch.momenta, 2, 1e-3)
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)


def test_a_fixed_divisor_scales_the_embedded_jets():
    counts = (12, 3)
    batch, tagger = batch_of(momenta_of(counts), counts), made().eval()
    with torch.no_grad():
        mean = tagger.embed(batch)
        tagger.divisor = 14.0
        torch.testing.assert_close(tagger.embed(batch), mean * torch.tensor([[1.0], [5 / 14]]))


def test_other_checkpoints_are_refused():
    assert not checkpoints.recognises({"bn_fts.weight": torch.ones(1)})
    with pytest.raises(TaggerError, match="3 input scalars"):
        checkpoints.convert(published_state(3, 1, 4))


@pytest.mark.parametrize("name", ["LGEBs.0.phi_y.0.weight", "phi_y.weight", "LGEBs.0.phi_e.7.bias"])
def test_a_tensor_too_many_is_named(tmp_path, name):
    torch.save(published_state(2, 1, 8) | {name: torch.ones(8)}, tmp_path / "weights.pt")
    with pytest.raises(TaggerError, match=f"not the published LorentzNet, which has no tensor {name}"):
        import_weights(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 0}, "layers 0 must be a whole number above 0"),
        ({"width": 2.5}, "width 2.5 must be a whole number"),
        ({"beams": 1}, "beams 1 must be true or false"),
        ({"dropout": 1.0}, "dropout 1.0 must be a number of at least 0 and below 1"),
        ({"largest_move": -1}, "largest_move -1 must be"),
        ({"divisor": 0}, "divisor 0 must be a number of at least 1"),
        ({"masses": False}, "masses is off"),
    ],
)
def test_settings_must_make_sense(arguments, message):
    with pytest.raises(TaggerError, match=message):
        create_tagger("lorentznet", **arguments)
