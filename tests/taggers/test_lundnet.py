"""LundNet against the formula of its paper, written plainly."""

import pytest
import torch

from jetforge.representations import LundBatch
from jetforge.taggers import LundNet, create_tagger, lundnet, lundnet5
from jetforge.taggers._trees import GatheredTrees
from jetforge.taggers._trees_cpu import FusedTrees


@pytest.fixture(scope="module")
def batch(make_jets):
    tagger = lundnet5()
    jets = make_jets(1, 2, 3, 40, 1, 12)
    packed = tagger.representation.fit([jets])(jets)
    return LundBatch(packed.features.double(), packed.neighbours, packed.offsets, packed.num_links)


def plain_norm(rows, norm):
    return (rows - rows.mean(0)) / torch.sqrt(rows.var(0, correction=0) + norm.eps) * norm.weight + norm.bias


def plain_convolution(convolution, x, neighbours):
    pairs = [(i, j) for i, row in enumerate(neighbours.tolist()) for j in row if j >= 0]
    messages = torch.stack([torch.cat([x[i], x[j] - x[i]]) for i, j in pairs])
    messages = torch.relu(plain_norm(messages @ convolution.first.weight.T, convolution.first_norm))
    messages = torch.relu(plain_norm(messages @ convolution.second.weight.T, convolution.second_norm))
    means = []
    for node in range(len(x)):
        own = [message for message, (i, _) in zip(messages, pairs, strict=True) if i == node]
        means.append(sum(own) / len(own) if own else torch.zeros_like(messages[0]))
    shortcut = x
    if not isinstance(convolution.shortcut, torch.nn.Identity):
        linear, norm = convolution.shortcut
        shortcut = plain_norm(x @ linear.weight.T, norm)
    return torch.relu(torch.stack(means) + shortcut)


def plain_lundnet(tagger, batch):
    x = plain_norm(batch.features, tagger.input_norm)
    outputs = []
    for convolution in tagger.convolutions:
        x = plain_convolution(convolution, x, batch.neighbours)
        outputs.append(x)
    nodes = plain_norm(torch.relu(tagger.fusion(torch.cat(outputs, 1))), tagger.fusion_norm)
    jets = [nodes[start:stop] for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]
    pooled = torch.stack([own.mean(0) if len(own) else nodes.new_zeros(nodes.shape[1]) for own in jets])
    return tagger.output(torch.relu(tagger.hidden(pooled)))


@pytest.mark.parametrize("trees", [FusedTrees, GatheredTrees])
@pytest.mark.parametrize(("inputs", "channels"), [(4, 6), (6, 6)])
def test_edge_convolution_equals_its_formula(batch, trees, inputs, channels):
    torch.manual_seed(3)
    convolution = lundnet.EdgeConvolution(inputs, channels).double()
    for parameter in convolution.parameters():
        parameter.data.add_(0.1 * torch.rand_like(parameter))
    x = torch.randn(batch.num_nodes, inputs, dtype=torch.float64, requires_grad=True)
    leaves = [x, *convolution.parameters()]
    out = convolution(x, trees(batch))
    expected = plain_convolution(convolution, x, batch.neighbours)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(out)
    torch.testing.assert_close(
        torch.autograd.grad((out * weights).sum(), leaves),
        torch.autograd.grad((expected * weights).sum(), leaves),
        rtol=1e-10,
        atol=1e-10,
    )


@pytest.mark.parametrize("trees", [FusedTrees, GatheredTrees])
def test_lundnet_equals_its_formula(batch, trees, monkeypatch):
    torch.manual_seed(4)
    monkeypatch.setattr(lundnet, "FusedTrees", trees)
    tagger = create_tagger("lundnet5", channels=[4, 4, 6], fusion=8, hidden=8, dropout=0).double()
    torch.testing.assert_close(tagger(batch), plain_lundnet(tagger, batch), rtol=1e-9, atol=1e-10)


def test_both_implementations_agree_when_predicting(batch, monkeypatch):
    tagger = lundnet5().double().eval()
    fused = tagger(batch)
    monkeypatch.setattr(lundnet, "FusedTrees", GatheredTrees)
    torch.testing.assert_close(tagger(batch), fused, rtol=1e-10, atol=1e-12)


def test_stages_compose_to_the_whole(batch):
    tagger = lundnet5().double().eval()
    nodes = tagger.embed_nodes(batch)
    jets = tagger.embed_jets(nodes, GatheredTrees(batch))
    assert nodes.shape == (batch.num_nodes, 448)
    assert jets.shape == (len(batch), 384)
    torch.testing.assert_close(tagger.classify(jets), tagger(batch))


def test_the_published_variables():
    assert {name: create_tagger(name).variables for name in ("lundnet5", "lundnet4", "lundnet3", "lundnet2")} == {
        "lundnet5": ("ln_z", "ln_delta", "psi", "ln_m", "ln_kt"),
        "lundnet4": ("ln_z", "ln_delta", "ln_kt", "psi"),
        "lundnet3": ("ln_z", "ln_delta", "ln_kt"),
        "lundnet2": ("ln_delta", "ln_kt"),
    }


def test_any_variables_may_be_read(make_jets):
    tagger = LundNet(3, variables=("psi",), channels=(5,))
    jets = make_jets(4, 9)
    tagger.representation.fit([jets])
    assert tagger.predict(jets).shape == (2, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_cpu(batch):
    tagger = lundnet5().double().eval()
    expected = tagger(batch)
    torch.testing.assert_close(tagger.cuda()(batch.to("cuda")).cpu(), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half])
def test_a_network_in_half_precision_stays_close_on_the_cpu(batch, dtype):
    torch.manual_seed(1)
    tagger = lundnet5().eval()
    single, half = (
        LundBatch(batch.features.to(kind), batch.neighbours, batch.offsets, batch.num_links)
        for kind in (torch.float32, dtype)
    )
    with torch.no_grad():
        expected = tagger(single)
        torch.testing.assert_close(tagger.to(dtype)(half).float(), expected, rtol=0.05, atol=0.05)
