"""Time LundNet5 beside the same network written with PyTorch Geometric's EdgeConv, in one run.

    python benchmarks/lundnet.py [--data DATASET] [--device cuda] [--precision bf16]

Both networks get the same weights and the same jets; their outputs are compared before anything is timed. The
two alternate, and the median of each is printed in ms per jet, with the ratio. Both run as a training with
`jetforge train` does: OMP_WAIT_POLICY=PASSIVE unless it is set otherwise, and with --keep-memory freed memory kept.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median

# Read when OpenMP is loaded, by importing torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from jetforge.jets import open_dataset
from jetforge.representations import LundBatch
from jetforge.taggers import LundNet, keep_freed_memory, lundnet5

try:
    from torch_geometric.nn import EdgeConv, global_mean_pool
except ImportError:
    print("this benchmark needs PyTorch Geometric: pip install torch_geometric", file=sys.stderr)
    sys.exit(1)


class PeerLundNet(nn.Module):
    """The published network as its paper writes it, on `torch_geometric.nn.EdgeConv`."""

    def __init__(self, inputs: int, channels: tuple[int, ...] = (32, 32, 64, 64, 128, 128)) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm1d(inputs)
        self.convolutions, self.shortcuts = nn.ModuleList(), nn.ModuleList()
        for width in channels:
            mlp = nn.Sequential(
                nn.Linear(2 * inputs, width, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
                nn.Linear(width, width, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            )
            self.convolutions.append(EdgeConv(mlp, aggr="mean"))
            shortcut = nn.Sequential(nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width))
            self.shortcuts.append(nn.Identity() if inputs == width else shortcut)
            inputs = width
        self.fusion = nn.Sequential(nn.Linear(sum(channels), 384), nn.ReLU(), nn.BatchNorm1d(384))
        self.classifier = nn.Sequential(nn.Linear(384, 256), nn.ReLU(), nn.Dropout(0.1), nn.Linear(256, 2))

    def forward(self, graph: tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]) -> torch.Tensor:
        """Return the logits of a graph as `graph_of` makes it."""
        features, edges, jet_of_node, num_jets = graph
        x, outputs = self.input_norm(features), []
        for convolution, shortcut in zip(self.convolutions, self.shortcuts, strict=True):
            x = torch.relu(convolution(x, edges) + shortcut(x))
            outputs.append(x)
        return self.classifier(global_mean_pool(self.fusion(torch.cat(outputs, 1)), jet_of_node, num_jets))

    def copy_weights(self, tagger: LundNet) -> None:
        """Take over the weights of the tagger, layer by layer."""
        pairs: list[tuple[nn.Module, nn.Module]] = [
            (self.input_norm, tagger.input_norm),
            (self.fusion[0], tagger.fusion),
            (self.fusion[2], tagger.fusion_norm),
            (self.classifier[0], tagger.hidden),
            (self.classifier[3], tagger.output),
            *zip(self.shortcuts, (convolution.shortcut for convolution in tagger.convolutions), strict=True),
        ]
        for peer, ours in zip(self.convolutions, tagger.convolutions, strict=True):
            theirs = [module for module in peer.nn if not isinstance(module, nn.ReLU)]
            pairs += zip(theirs, (ours.first, ours.first_norm, ours.second, ours.second_norm), strict=True)
        for module, source in pairs:
            module.load_state_dict(source.state_dict())


def synthetic_batch(num_jets: int, num_features: int) -> LundBatch:
    """Random binary trees of 60 nodes on average, the size of those of the published samples."""
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.normal(60, 18, num_jets).astype(np.int64), 1, None)
    parents: list[int] = []
    for size in sizes:
        free: list[int] = []
        for node in range(size):
            parents.append(free.pop(rng.integers(len(free))) if free else -1)
            free += [node, node]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    return LundBatch.from_trees(rng.normal(size=(len(parents), num_features)), np.array(parents), offsets)


def stored_batch(dataset: Path, num_jets: int, tagger: LundNet) -> LundBatch:
    """Return the first training jets of a dataset."""
    jets = open_dataset(dataset).read("train", max_jets=num_jets)
    return tagger.representation.fit([jets])(jets)


def graph_of(batch: LundBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """Return the same jets as features, edges, the jet of each node, and the number of jets."""
    parent = batch.neighbours[:, 0].long()
    child = torch.nonzero(parent >= 0).squeeze(1)
    parent = parent[child]
    edges = torch.stack([torch.cat([parent, child]), torch.cat([child, parent])])
    jet_of_node = torch.repeat_interleave(torch.arange(len(batch), device=edges.device), batch.offsets.diff())
    return batch.features, edges, jet_of_node, len(batch)


def training_step(
    network: nn.Module,
    given: object,
    labels: torch.Tensor,
    precision: Callable[[], AbstractContextManager[object]],
) -> Callable[[], None]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        with precision():
            loss = functional.cross_entropy(network(given), labels)
        loss.backward()
        optimizer.step()

    return step


def prediction(
    network: nn.Module, given: object, precision: Callable[[], AbstractContextManager[object]]
) -> Callable[[], None]:
    @torch.no_grad()
    def predict() -> None:
        network.eval()
        with precision():
            network(given)

    return predict


def alternate(ours: Callable[[], None], peer: Callable[[], None], steps: int, device: str) -> tuple[float, float]:
    """Median seconds of each, after three rounds of warming up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(3 + steps):
        for work, times in zip((ours, peer), seconds, strict=True):
            start = time.perf_counter()
            work()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return median(seconds[0][3:]), median(seconds[1][3:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a jetforge dataset; synthetic trees if it is left out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precision", choices=["32", "bf16"], default="32")
    parser.add_argument("--steps", type=int, default=15, help="timed repetitions of each")
    parser.add_argument("--keep-memory", action="store_true", help="call keep_freed_memory first (helps both)")
    options = parser.parse_args()
    if options.keep_memory:
        keep_freed_memory()

    torch.manual_seed(0)
    ours = lundnet5()
    if options.data is None:
        batch = synthetic_batch(options.batch_size, len(ours.variables))
    else:
        batch = stored_batch(options.data, options.batch_size, ours)
    peer = PeerLundNet(len(ours.variables))
    peer.copy_weights(ours)
    ours, peer, batch = ours.to(options.device), peer.to(options.device), batch.to(options.device)
    graph = graph_of(batch)

    def precision() -> AbstractContextManager[object]:
        if options.precision == "32":
            return nullcontext()
        return torch.autocast(options.device.split(":")[0], dtype=torch.bfloat16)

    for training in (False, True):
        torch.manual_seed(1)
        expected = peer.train(training)(graph)
        torch.manual_seed(1)
        torch.testing.assert_close(ours.train(training)(batch), expected, rtol=1e-4, atol=1e-4)
    labels = torch.randint(0, 2, (len(batch),), device=options.device)
    print(
        f"{len(batch)} jets of {batch.num_nodes / len(batch):.1f} nodes, {options.device}, "
        f"precision {options.precision}, {torch.get_num_threads()} CPU threads"
    )
    works = {
        "training": [training_step(net, given, labels, precision) for net, given in ((ours, batch), (peer, graph))],
        "inference": [prediction(net, given, precision) for net, given in ((ours, batch), (peer, graph))],
    }
    for what, (our_work, peer_work) in works.items():
        our_time, peer_time = (
            1e3 * seconds / len(batch) for seconds in alternate(our_work, peer_work, options.steps, options.device)
        )
        print(
            f"{what:9}  jetforge {our_time:.4f} ms/jet  EdgeConv {peer_time:.4f} ms/jet  "
            f"ratio {peer_time / our_time:.2f}"
        )


if __name__ == "__main__":
    main()
