"""Published networks beside ours: the same weights, the same jets. Nothing of a peer is copied; it is imported."""

import argparse
import importlib.util
import logging
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import jetforge
from jetforge.jets import Jets
from jetforge.taggers import Tagger, create_tagger
from jetforge.taggers.checkpoints import ImportedWeights, read_checkpoint

_WEAVER = "pip install --no-deps weaver-core==0.5.3 awkward0 tqdm lz4 xxhash"


class MissingPeerError(Exception):
    """A peer that is not there; says how to get it."""


class Peer(NamedTuple):
    """A network of ours and a peer of the same weights.

    `make(jets)` returns what ours reads and the arguments of the peer, of the same jets. With `in_double` the peer is
    compared in double precision.
    """

    name: str
    title: str
    tagger: Tagger
    peer: nn.Module | None
    make: Callable[[Jets], tuple[Any, tuple[Any, ...]]]
    batch_size: int
    length: int
    oracle: Callable[[Any], torch.Tensor] | None = None
    in_double: bool = True


def some_jets(num: int, length: int, *, ragged: bool = False, seed: int = 1) -> Jets:
    """Return jets of 600 GeV, of ``length`` constituents, or, ragged, of half as many to as many."""
    random = np.random.default_rng(seed)
    counts = random.integers(max(length // 2, 2), length + 1, num) if ragged else np.full(num, length)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    jet = np.repeat(np.arange(num), counts)
    pt = np.exp(random.normal(0, 1, len(jet)))
    pt *= 600 / np.bincount(jet, pt, minlength=num)[jet]
    eta, phi = random.normal(0, 0.2, (2, len(jet)))
    eta += random.uniform(-1.5, 1.5, num)[jet]
    phi += random.uniform(-3, 3, num)[jet]
    momenta = [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)]
    columns: dict[str, Any] = dict(zip(("px", "py", "pz", "energy"), momenta, strict=True))
    columns["pid"] = random.choice([-211, 22, 130, 211], len(jet)).astype(np.int32)
    for name in ("d0", "dz"):
        columns[name], columns[f"{name}_error"] = random.normal(0, 1, len(jet)), random.uniform(0, 0.5, len(jet))
    return Jets(offsets, columns, {"label": np.arange(num) % 2})


def stored_jets(dataset: Path, num: int) -> Jets:
    """Return the first training jets of a dataset, of as many constituents as they have."""
    return jetforge.open(dataset).read("train", max_jets=num)


def randomise(network: nn.Module, seed: int = 1) -> None:
    """Give batch normalisations statistics and factors of a trained network's kind, other layers their first values."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.2, generator=random)
                module.running_var.uniform_(0.5, 1.5, generator=random)
                module.weight.uniform_(0.5, 1.5, generator=random)
                module.bias.normal_(0, 0.2, generator=random)


def published(name: str, options: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Return the tensors of the checkpoint that --weights gives for a peer, under the peer's own names; or none."""
    if name not in options.weights:
        return {}
    state = read_checkpoint(options.weights[name])
    return {key.removeprefix("mod.").removeprefix("module."): tensor for key, tensor in state.items()}


def equip(network: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Give a network published weights; without any, weights like those of a trained one."""
    if state:
        network.load_state_dict(state)
    else:
        randomise(network)


def ours_of(convert: Callable[[Mapping[str, torch.Tensor]], ImportedWeights], peer: nn.Module, **more: Any) -> Tagger:
    """Return our tagger with the weights of a peer, as `jetforge import-weights` makes it."""
    imported = convert(peer.state_dict())
    tagger = create_tagger(
        imported.name, imported.num_classes, representation=imported.representation, **{**imported.arguments, **more}
    )
    tagger.load_state_dict(imported.state)
    return tagger


def _converter(module: str) -> Callable[[Mapping[str, torch.Tensor]], ImportedWeights]:
    convert: Callable[[Mapping[str, torch.Tensor]], ImportedWeights] = importlib.import_module(
        f"jetforge.taggers.checkpoints.{module}"
    ).convert
    return convert


def _weaver(module: str) -> ModuleType:
    try:
        found = importlib.import_module(f"weaver.nn.model.{module}")
    except ImportError as error:
        raise MissingPeerError(f"weaver is not here ({error}): {_WEAVER}") from error
    logging.getLogger("weaver").setLevel(logging.ERROR)
    return found


def _padded_cloud(tagger: Tagger, jets: Jets) -> tuple[Any, tuple[torch.Tensor, ...]]:
    """Return a batch, and the same as weaver's padded (n_jets, n_features, length): points, features, momenta, mask."""
    batch = tagger.representation(jets)
    length = batch.longest
    rows = (batch.points, batch.features, batch.momenta[:, [1, 2, 3, 0]])
    padded = tuple(batch.padded(row, length).transpose(1, 2).contiguous() for row in rows)
    return batch, (*padded, batch.mask(length).unsqueeze(1))


def particlenet(options: argparse.Namespace) -> Peer:
    """ParticleNet of weaver-core, as jet-universe/particle_transformer sets it up; 128 jets of 100 constituents."""
    convert = _converter("particlenet")
    weaver = _weaver("ParticleNet")
    state = published("particlenet", options)
    num_features, num_classes = (len(state["bn_fts.weight"]), _outputs(state)) if state else (7, 2)
    convolutions = [(16, (64, 64, 64)), (16, (128, 128, 128)), (16, (256, 256, 256))]
    # Without trimming: both do the same work on the same jets.
    peer = weaver.ParticleNet(
        num_features, num_classes, convolutions, [(256, 0.1)], use_fusion=False, use_counts=True, trim=False
    )
    equip(peer, state)
    tagger = ours_of(convert, peer)

    def make(jets: Jets) -> tuple[Any, tuple[Any, ...]]:
        batch, (points, features, _, mask) = _padded_cloud(tagger, jets)
        return batch, (points, features, mask)

    return Peer("particlenet", "ParticleNet of weaver-core 0.5.3", tagger, peer, make, 128, 100)


def part(options: argparse.Namespace) -> Peer:
    """Particle Transformer of weaver-core, as jet-universe/particle_transformer sets it up, without trimming."""
    convert = _converter("particle_transformer")
    weaver = _weaver("ParticleTransformer")
    state = published("part", options)
    num_features, num_classes = (len(state["embed.input_bn.weight"]), _outputs(state)) if state else (7, 2)
    peer = weaver.ParticleTransformer(
        num_features, num_classes, pair_input_dim=4, use_pre_activation_pair=False, embed_dims=[128, 512, 128],
        pair_embed_dims=[64, 64, 64], num_heads=8, num_layers=8, num_cls_layers=2, fc_params=[], activation="gelu",
        trim=False, cls_block_params={"dropout": 0, "attn_dropout": 0, "activation_dropout": 0},
    )  # fmt: skip
    equip(peer, state)
    tagger = ours_of(convert, peer, trim=False)

    def make(jets: Jets) -> tuple[Any, tuple[Any, ...]]:
        batch, (_, features, momenta, mask) = _padded_cloud(tagger, jets)
        return batch, (features, momenta, mask)

    # The masses of pairs are lost to rounding in float32, in which the network is published: there both round alike.
    title = "ParticleTransformer of weaver-core 0.5.3"
    return Peer("part", title, tagger, peer, make, 64, 100, in_double=False)


def _outputs(state: Mapping[str, torch.Tensor]) -> int:
    """Return the number of classes of a network of weaver's: its last tensor is the bias of the last layer."""
    return len(list(state.values())[-1])


class _LorentzNetPeer(nn.Module):
    """The reference network, called as its training program does."""

    def __init__(self, network: nn.Module, psi: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.network, self.psi = network, psi

    def forward(self, scalars: Any, momenta: Any, edges: Any, mask: Any, num_nodes: int) -> Any:
        dtype = next(self.parameters()).dtype
        scalars, momenta, mask = self.psi(scalars.to(dtype)), momenta.to(dtype), mask.to(dtype)
        return self.network(scalars, momenta, edges, node_mask=mask, edge_mask=None, n_nodes=num_nodes)


def lorentznet(options: argparse.Namespace) -> Peer:
    """LorentzNet of its authors, whose own collate function makes the nodes and edges of the same jets."""
    how = "git clone https://github.com/sdogsq/LorentzNet-release DIR, then --lorentznet DIR"
    if options.lorentznet is None or not (options.lorentznet / "models.py").is_file():
        raise MissingPeerError(f"the reference LorentzNet is not here: {how}")
    convert = _converter("lorentznet")
    models = _module(options.lorentznet / "models.py")
    # Its collate function with `add_beams` is what the published top tagging uses.
    collate = _module(options.lorentznet / "top" / "collate.py").collate_fn
    network = models.LorentzNet(n_scalar=2, n_hidden=72, n_class=2, n_layers=6, c_weight=5e-3, dropout=0.2)
    equip(network, published("lorentznet", options))
    tagger = ours_of(convert, network)

    def make(jets: Jets) -> tuple[Any, tuple[Any, ...]]:
        batch = tagger.representation(jets)
        momenta = batch.momenta.double()
        counts = batch.counts
        rows = []
        for start, count in zip(batch.offsets[:-1], counts, strict=True):
            one = torch.zeros(int(counts.max()), 4, dtype=torch.float64)
            one[:count] = momenta[start : start + count]
            present = (torch.arange(len(one)) < count).long()
            rows.append({"Pmu": one, "label": present, "Nobj": torch.tensor(int(count))})
        made = collate(rows, scale=1, add_beams=True, beam_mass=1)
        num_nodes = made["Pmu"].shape[1]
        tagger.divisor = num_nodes  # the program averages over padding, too
        scalars, momenta = (made[name].reshape(len(jets) * num_nodes, -1) for name in ("nodes", "Pmu"))
        return batch, (scalars, momenta, made["edges"], made["atom_mask"].reshape(-1, 1), num_nodes)

    peer = _LorentzNetPeer(network, models.psi)
    return Peer("lorentznet", "LorentzNet of its authors", tagger, peer, make, 32, 50)


def _module(path: Path) -> ModuleType:
    """Import one file of a checkout that is no package."""
    name = f"_peer_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise MissingPeerError(f"{path}: no such file in the checkout")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def lundnet5(options: argparse.Namespace) -> Peer:
    """LundNet5 beside the same network on `torch_geometric.nn.EdgeConv` (benchmarks/lundnet.py)."""
    try:
        import lundnet as beside
    except SystemExit as missing:
        raise MissingPeerError("PyTorch Geometric is not here: pip install torch_geometric") from missing
    tagger = create_tagger("lundnet5")
    randomise(tagger)
    peer = beside.PeerLundNet(5)
    peer.copy_weights(tagger)

    def make(jets: Jets) -> tuple[Any, tuple[Any, ...]]:
        if tagger.representation.mean is None:
            tagger.representation.fit([jets])
        batch = tagger.representation(jets)
        return batch, (beside.graph_of(batch),)

    return Peer("lundnet5", "LundNet on PyG's EdgeConv", tagger, peer, make, 256, 60)


def pfn(options: argparse.Namespace) -> Peer:
    """PFN beside the formula of its paper in NumPy."""
    tagger = create_tagger("pfn")
    with torch.no_grad():
        tagger.output.weight.mul_(0.02)  # logits of a trained network's size
    state = {key: value.double().numpy() for key, value in tagger.state_dict().items()}

    def dense(prefix: str, x: Any) -> Any:
        for weight in [key for key in state if key.startswith(prefix) and key.endswith(".weight")]:
            x = np.maximum(x @ state[weight].T + state[weight.replace(".weight", ".bias")], 0)
        return x

    def formula(batch: Any) -> torch.Tensor:
        each, offsets = dense("phi.", batch.features.cpu().double().numpy()), batch.offsets.cpu().numpy()
        sums = np.stack([each[a:b].sum(axis=0) for a, b in pairwise(offsets)])
        return torch.from_numpy(dense("f.", sums) @ state["output.weight"].T + state["output.bias"])

    def make(jets: Jets) -> tuple[Any, tuple[Any, ...]]:
        if not tagger.representation.fitted:
            tagger.representation.fit([jets])
        return tagger.representation(jets), ()

    return Peer("pfn", "formula of arXiv:1810.05165", tagger, None, make, 128, 100, formula)


PEERS: dict[str, Callable[[argparse.Namespace], Peer]] = {
    "lundnet5": lundnet5, "particlenet": particlenet, "part": part, "lorentznet": lorentznet, "pfn": pfn,
}  # fmt: skip
