"""Time every tagger, beside its published implementation where there is one, in one run.

    python benchmarks/taggers.py [--only particlenet,lorentznet] [--device cuda] [--data DATASET] [--quick] [--out FILE]

Peers, in an environment of the benchmark's own: weaver-core (installed as loading.py says), PyTorch Geometric (pip
install torch_geometric), and the authors' LorentzNet, a checkout given as --lorentznet DIR. What is not there is left
out with a line that says how to get it. PFN, whose authors' program is written for TensorFlow, is held to the formula
of arXiv:1810.05165 in NumPy.

Each pair has the same weights, carried over as `jetforge import-weights` does, with running statistics of batch
normalisation that are not those of a new network, and the same jets. First our logits are compared with those of the
peer in double precision (ParT's in single), for jets of different lengths: PASS where they differ by no more than 1e-5,
or 1e-5 of the largest logit where that is above 1. Then both take turns; the median of a training step (forward, loss,
backward, AdamW) and of inference is given in ms a jet. On the CPU each has a process of its own: ours keeps freed
memory and lets idle threads sleep, as `jetforge train` does, the peer runs as its users have it, and once more with
both like ours. Jets are synthetic unless --data gives a dataset: batch and constituents are printed; those of
ParticleNet are its paper's (128 jets of 100). Peak memory is that of a training step beyond what network and jets take,
on the CPU in a process of its own. All other taggers are timed alone. With --weights both have the weights of a
published checkpoint: --weights particlenet=ParticleNet_kin.pt.

With --input the input pipeline is measured instead: which share of an epoch's time the training steps alone take, on
batches that lie on the device, for a dataset in memory and on disk. With --roofline the ceilings of the hardware are
measured instead, and how near to them LundNet and ParticleNet come; on a GPU that is done after all else, too. Their
operations and bytes are those of the PyTorch operations that run on a GPU, for the CPU likewise, where fused kernels
move fewer.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

# What the system gave, for peers: they run as their users have them.
_ENVIRONMENT = dict(os.environ)
_PEER = ":peer"
# Read when OpenMP is loaded, by importing torch; `jetforge train` sets it too.
if not sys.argv[-1].endswith(_PEER):
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from _peers import PEERS, MissingPeerError, Peer, some_jets, stored_jets
from _timing import (
    Call,
    Work,
    alternate,
    busy,
    ceilings,
    flops_and_bytes,
    on_device,
    peak_memory,
    prediction,
    training_step,
)

import jetforge
from jetforge.errors import JetforgeError
from jetforge.jets import Jets
from jetforge.taggers import create_tagger, keep_freed_memory, list_taggers

_TOLERANCE = 1e-5
_AGREEMENT_JETS = 16
_ALONE = (128, 50)
_ROOFLINE = ("lundnet5", "particlenet")

Row = dict[str, Any]


def in_double(value: Any) -> Any:
    """Return tensors, and what holds them, in double precision."""
    if isinstance(value, (tuple, list)):
        return type(value)(in_double(one) for one in value)
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def jets_for(options: argparse.Namespace, batch_size: int, length: int, *, ragged: bool = False) -> Jets:
    num = batch_size if options.batch_size is None else options.batch_size
    if options.quick:
        num, length = min(num, 8), min(length, 20)
    return stored_jets(options.data, num) if options.data else some_jets(num, length, ragged=ragged)


def labels_of(jets: Jets, device: str) -> torch.Tensor:
    return torch.tensor(jets.label, dtype=torch.int64, device=device)


def calls(pair: Peer, jets: Jets, device: str) -> tuple[Call, Call | None]:
    """Return the forward pass of ours and of the peer."""
    batch, given = (on_device(value, device) for value in pair.make(jets))
    peer = pair.peer
    return (lambda: pair.tagger(batch)), None if peer is None else (lambda: peer(*given))


def agreement(pair: Peer, options: argparse.Namespace) -> tuple[float, float]:
    """Compare our logits with the peer's, in double precision if not said otherwise, for jets of different lengths.

    Returns their largest difference, and the largest logit.
    """
    length = 20 if options.quick else pair.length
    jets = some_jets(_AGREEMENT_JETS, length, ragged=True)
    batch, given = (on_device(value, options.device) for value in pair.make(jets))
    pair.tagger.eval()
    with torch.no_grad():
        ours = pair.tagger(batch).double().cpu()
        if pair.peer is not None and pair.in_double:
            theirs = pair.peer.eval().double()(*in_double(given)).cpu()
            pair.peer.float()
        elif pair.peer is not None:
            theirs = pair.peer.eval()(*given).double().cpu()
        else:
            assert pair.oracle is not None
            theirs = pair.oracle(batch)
    return float((ours - theirs).abs().max()), float(theirs.abs().max())


def measure_pair(name: str, options: argparse.Namespace) -> Row:
    """Measure ours beside its peer: agreement, speed, memory."""
    torch.manual_seed(1)
    pair = PEERS[name](options)
    pair.tagger.to(options.device)
    if pair.peer is not None:
        pair.peer.to(options.device)
    difference, largest = agreement(pair, options)
    jets = jets_for(options, pair.batch_size, pair.length)
    row: Row = {"tagger": pair.name, "peer": pair.title, "parameters": pair.tagger.num_parameters(),
                "jets": len(jets), "constituents": float(np.diff(jets.offsets).mean()),
                "agrees": difference <= _TOLERANCE * max(1.0, largest), "difference": difference,
                "largest": largest}  # fmt: skip
    row.update(_speeds(pair, jets, options))
    for whose in ("ours", "peer") if pair.peer is not None else ("ours",):
        row[f"memory_{whose}"] = _memory(pair, jets, whose, options)
    return row


def _works(pair: Peer, jets: Jets, whose: str, device: str) -> dict[str, Work]:
    """Return training step and inference of ours (``ours``, ``ours_bf16``) or of the peer, by name."""
    ours, peer = calls(pair, jets, device)
    labels = labels_of(jets, device)
    net, call = (pair.tagger, ours) if whose.startswith("ours") else (pair.peer, peer)
    assert net is not None
    assert call is not None
    bf16 = whose.endswith("bf16")
    return {
        "training": training_step(net, call, labels, device, bf16),
        "inference": prediction(net, call, device, bf16),
    }


def _speeds(pair: Peer, jets: Jets, options: argparse.Namespace) -> Row:
    """Time ours and the peer in turn; on the CPU each in a process of its own, whose memory is handled its own way."""
    on_gpu = options.device.startswith("cuda")
    peers = () if pair.peer is None else ("peer",) if on_gpu else ("peer", "peer_kept")
    row: Row = {}
    with ExitStack() as processes:
        works = {
            whose: _works(pair, jets, whose, options.device)
            if on_gpu
            else processes.enter_context(_process(pair.name, whose))
            for whose in ("ours", *peers, "ours_bf16")
        }
        for what in ("training", "inference"):
            turns = {whose: of[what] for whose, of in works.items()}
            times = alternate(turns, options.device, options.seconds, options.rounds)
            row |= {f"{what}_{whose}": 1e3 * seconds / len(jets) for whose, seconds in times.items()}
            row |= {f"{what}_{whose}_ratio": times[whose] / times["ours"] for whose in peers}
            if peers:
                row[f"{what}_bf16_ratio"] = times["peer"] / times["ours_bf16"]
    return row


@contextmanager
def _process(name: str, whose: str) -> Iterator[dict[str, Work]]:
    """Start a process that does a training step or an inference when it is told to."""
    command = [sys.executable, __file__, *sys.argv[1:], "--serve", f"{name}:{whose}"]
    environment = _ENVIRONMENT if whose == "peer" else None
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    given, answers = process.stdin, process.stdout
    assert given is not None
    assert answers is not None

    def ask(what: str) -> None:
        try:
            print(what, file=given, flush=True)
            answered = answers.readline().strip() == "done"
        except BrokenPipeError:
            answered = False
        if not answered:
            raise RuntimeError(f"the process of {name}, {whose}, ended; is there memory for it? try --batch-size")

    try:
        yield {what: partial(ask, what) for what in ("training", "inference")}
    finally:
        process.kill()
        process.wait()
        answers.close()
        with suppress(BrokenPipeError):
            given.close()


def serve(options: argparse.Namespace) -> None:
    """Do what lines of the standard input name, one after the other, and answer each with a line.

    Ours keeps freed memory and idle threads sleep, as in `jetforge train`; the peer runs as the system has it, or
    (``peer_kept``) like ours.
    """
    name, whose = options.serve.split(":")
    if whose != "peer":
        keep_freed_memory()
    torch.manual_seed(1)
    pair = PEERS[name](options)
    works = _works(pair, jets_for(options, pair.batch_size, pair.length), whose, options.device)
    for line in sys.stdin:
        works[line.strip()]()
        print("done", flush=True)


def _memory(pair: Peer, jets: Jets, whose: str, options: argparse.Namespace) -> float:
    """Return the peak memory of a training step in MiB."""
    if options.device.startswith("cuda"):
        return _memory_here(pair, jets, whose, options.device)
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", f"{pair.name}:{whose}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return float(done.stdout.strip().splitlines()[-1])


def _memory_here(pair: Peer, jets: Jets, whose: str, device: str) -> float:
    ours, peer = calls(pair, jets, device)
    labels = labels_of(jets, device)
    net, call = (pair.tagger, ours) if whose == "ours" else (pair.peer, peer)
    assert net is not None
    assert call is not None
    if not device.startswith("cuda"):
        # Code is compiled and caches are filled by two jets, whose memory is nothing.
        few = jets[:2]
        training_step(net, calls(pair, few, device)[whose == "peer"], labels_of(few, device), device)()
    return peak_memory(training_step(net, call, labels, device), device)


def print_memory(options: argparse.Namespace) -> None:
    name, whose = options.memory_of.split(":")
    torch.manual_seed(1)
    pair = PEERS[name](options)
    print(_memory_here(pair, jets_for(options, pair.batch_size, pair.length), whose, options.device))


def measure_alone(name: str, options: argparse.Namespace) -> Row:
    """Measure a tagger that has no peer here."""
    torch.manual_seed(1)
    tagger = create_tagger(name)
    jets = jets_for(options, *_ALONE)
    tagger.representation.fit([jets])
    batch = tagger.representation(jets).to(options.device)
    tagger.to(options.device)
    row: Row = {"tagger": name, "parameters": tagger.num_parameters(), "jets": len(jets),
                "constituents": float(np.diff(jets.offsets).mean())}  # fmt: skip
    labels = labels_of(jets, options.device)
    works = {"inference": prediction(tagger, lambda: tagger(batch), options.device)}
    if tagger.num_parameters():
        works["training"] = training_step(tagger, lambda: tagger(batch), labels, options.device)
    for what, work in works.items():
        seconds = alternate({what: work}, options.device, options.seconds / 2, options.rounds)[what]
        row[f"{what}_ours"] = 1e3 * seconds / len(jets)
    return row


def roofline(options: argparse.Namespace) -> tuple[dict[str, float], list[Row]]:
    """Return the ceilings of the device, and what taggers achieve of them in training and inference."""
    on_gpu = options.device.startswith("cuda")
    top = ceilings(options.device, 512 if options.quick else 8192 if on_gpu else 4096)._asdict()
    rows = []
    for name in _ROOFLINE:
        if name not in list_taggers():
            continue
        tagger = create_tagger(name)
        jets = some_jets(8, 20) if options.quick else some_jets(1024 if on_gpu else 128, 100)
        tagger.representation.fit([jets])
        batch, labels = (
            tagger.representation(jets).to(options.device),
            labels_of(jets, options.device),
        )
        tagger.to(options.device)
        for bf16 in (False, True):
            call: Call = lambda tagger=tagger, batch=batch: tagger(batch)  # noqa: E731
            works = {"training": training_step(tagger, call, labels, options.device, bf16),
                     "inference": prediction(tagger, call, options.device, bf16)}  # fmt: skip
            for what, work in works.items():
                seconds = alternate({what: work}, options.device, options.seconds / 2, options.rounds)[what]
                # While a compiler traces, taggers choose what runs on any device.
                with patch("torch.compiler.is_compiling", return_value=True):
                    flops, moved = flops_and_bytes(work)
                ceiling = top["tflops_bf16" if bf16 else "tflops_fp32"]
                rows.append({"tagger": name, "what": what, "precision": "bf16" if bf16 else "float32",
                             "jets": len(jets), "us": 1e6 * seconds / len(jets), "mflop": flops / len(jets) / 1e6,
                             "mbytes": moved / len(jets) / 1e6, "tflops": flops / seconds / 1e12,
                             "of_gemm": flops / seconds / 1e12 / ceiling, "gbps": moved / seconds / 1e9,
                             "of_copy": moved / seconds / 1e9 / top["copy_gbps"]})  # fmt: skip
    return top, rows


def measure_input(names: Iterable[str], options: argparse.Namespace) -> list[Row]:
    """Measure the share of training steps in an epoch, in memory and from disk."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        dataset = jetforge.open(options.data) if options.data else _made_dataset(Path(temporary) / "data", options)
        for name in names:
            for cache_jets in (10**9, 0):
                row = attempt(name, options, partial(busy, dataset=dataset, cache_jets=cache_jets))
                rows.append(row)
                print(_line(row), file=sys.stderr, flush=True)
    return rows


def _made_dataset(path: Path, options: argparse.Namespace) -> Any:
    from loading import make_part

    from jetforge.jets.build import build_dataset
    from jetforge.jets.tasks import PartTask

    each, parts = (64, 2) if options.quick else (20_000, 10)
    return build_dataset(
        path, [PartTask("train", index, each, {}) for index in range(parts)], make_part, plan={},
        classes=("qcd", "top"), constituent_fields=("px", "py", "pz", "mass"), jet_fields=("label",), workers=0,
    )  # fmt: skip


def attempt(name: str, options: argparse.Namespace, measure: Callable[[str, argparse.Namespace], Row]) -> Row:
    """Return a row, or the reason why there is none: one tagger must not end the run of all others."""
    try:
        return measure(name, options)
    except (MissingPeerError, JetforgeError, RuntimeError, ImportError, ValueError, AttributeError) as error:
        return {"tagger": name, "left_out": str(error).strip().splitlines()[-1] if str(error) else type(error).__name__}


def markdown(rows: list[Row], columns: Mapping[str, str]) -> str:
    """Return rows as a Markdown table; ``columns`` maps keys to headings."""
    lines = ["| " + " | ".join(columns.values()) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    for row in rows:
        lines.append("| " + " | ".join(_shown(row.get(key)) for key in columns) + " |")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "PASS" if value else "FAIL"
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _line(row: Row) -> str:
    return ", ".join(f"{key} {_shown(value)}" for key, value in row.items())


AGREEMENT = {"tagger": "tagger", "peer": "peer", "parameters": "parameters", "agrees": "up to 1e-5",
             "difference": "largest difference of logits", "largest": "largest logit"}  # fmt: skip
SPEED = {"tagger": "tagger", "jets": "batch", "constituents": "constituents a jet"}
for _what in ("training", "inference"):
    SPEED |= {f"{_what}_ours": f"{_what} ms/jet", f"{_what}_peer": "peer ms/jet", f"{_what}_peer_ratio": "peer/ours",
              f"{_what}_peer_kept": "peer, memory kept", f"{_what}_peer_kept_ratio": "peer/ours",
              f"{_what}_ours_bf16": "bf16 ms/jet", f"{_what}_bf16_ratio": "peer/ours in bf16"}  # fmt: skip
SPEED |= {"memory_ours": "memory of a step MiB", "memory_peer": "peer MiB"}
ALONE = {"tagger": "tagger", "parameters": "parameters", "jets": "batch", "constituents": "constituents a jet",
         "training_ours": "training ms/jet", "inference_ours": "inference ms/jet"}  # fmt: skip
ROOF = {"tagger": "tagger", "what": "what", "precision": "precision", "jets": "batch", "us": "us/jet",
        "mflop": "MFLOP/jet", "mbytes": "MB/jet", "tflops": "TFLOP/s",
        "of_gemm": "of GEMM", "gbps": "GB/s", "of_copy": "of copy"}  # fmt: skip
BUSY = {"tagger": "tagger", "from": "dataset", "jets": "jets", "epoch_seconds": "epoch s",
        "steps_seconds": "steps alone s", "busy": "busy"}  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="names of taggers, with commas between them; all if it is left out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data", type=Path, help="a jetforge dataset; synthetic jets if it is left out")
    parser.add_argument("--lorentznet", type=Path, help="a checkout of github.com/sdogsq/LorentzNet-release")
    parser.add_argument("--weights", action="append", default=[], metavar="TAGGER=FILE",
                        help="a published checkpoint for particlenet, part or lorentznet")  # fmt: skip
    parser.add_argument("--batch-size", type=int, help="jets a batch, instead of each tagger's own")
    parser.add_argument("--threads", type=int, help="CPU threads of PyTorch")
    parser.add_argument("--quick", action="store_true", help="few small jets: to see that everything runs")
    parser.add_argument("--input", action="store_true", help="measure the input pipeline instead")
    parser.add_argument(
        "--roofline", action="store_true", help="measure the ceilings, and what comes near them, instead"
    )
    parser.add_argument("--no-peers", action="store_true", help="measure the taggers alone only")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.weights = {name: Path(file) for name, _, file in (given.partition("=") for given in options.weights)}
    unknown = sorted(set(options.weights) - {"particlenet", "part", "lorentznet"})
    if unknown:
        parser.error(f"--weights: no published checkpoint fits {unknown[0]!r}; give particlenet, part or lorentznet")
    options.seconds, options.rounds = (0.0, 1) if options.quick else (6.0, 5)
    if options.threads:
        torch.set_num_threads(options.threads)
    return options


def main() -> None:
    """Measure what is asked for, print tables, write the numbers."""
    options = parse()
    if options.memory_of:
        print_memory(options)
        return
    if options.serve:
        serve(options)
        return
    keep_freed_memory()
    known = [*dict.fromkeys([*PEERS, *list_taggers()])]
    names = options.only.split(",") if options.only else known
    if strange := [name for name in names if name not in known]:
        raise SystemExit(f"--only: unknown tagger {strange[0]!r}; known: {', '.join(known)}")
    where = (
        torch.cuda.get_device_name() if options.device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"
    )
    print(f"{where}, PyTorch {torch.__version__}, {options.data or 'synthetic jets'}\n")
    found: dict[str, Any] = {"where": where, "torch": torch.__version__, "data": str(options.data or "synthetic")}
    if options.input:
        found["input"] = measure_input([name for name in names if name in _ROOFLINE] or names, options)
        print(markdown([row for row in found["input"] if "left_out" not in row], BUSY))
    elif options.roofline:
        _measure_roofline(options, found)
    else:
        _measure_all(names, options, found)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


def _measure_all(names: list[str], options: argparse.Namespace, found: dict[str, Any]) -> None:
    pairs, alone = [], []
    for name in names:
        row = None
        if name in PEERS and not options.no_peers:
            row = attempt(name, options, measure_pair)
            pairs.append(row)
            print(_line(row), file=sys.stderr, flush=True)
        if (row is None or "left_out" in row) and name in list_taggers():
            alone.append(attempt(name, options, measure_alone))
            print(_line(alone[-1]), file=sys.stderr, flush=True)
    found |= {"peers": pairs, "alone": alone}
    done = [row for row in pairs if "left_out" not in row]
    if done:
        print(markdown(done, AGREEMENT), markdown(done, SPEED), sep="\n\n", end="\n\n")
    if any("left_out" not in row for row in alone):
        print(markdown([row for row in alone if "left_out" not in row], ALONE), end="\n\n")
    if options.device.startswith("cuda"):
        _measure_roofline(options, found)
    for row in (*pairs, *alone):
        if "left_out" in row:
            print(f"left out: {row['tagger']}: {row['left_out']}")


def _measure_roofline(options: argparse.Namespace, found: dict[str, Any]) -> None:
    found["ceilings"], found["roofline"] = roofline(options)
    print(", ".join(f"{key} {value:.4g}" for key, value in found["ceilings"].items()), end="\n\n")
    print(markdown(found["roofline"], ROOF), end="\n\n")


if __name__ == "__main__":
    main()
