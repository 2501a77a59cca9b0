"""What the benchmarks of taggers measure with: times in turn, peak memory, ceilings of the hardware, input."""

import argparse
import logging
import os
import resource
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from jetforge.learning.loader import BatchLoader
from jetforge.learning.module import TrainingModule
from jetforge.learning.sections import TrainingSection
from jetforge.taggers import Tagger, create_tagger

Work = Callable[[], None]
Call = Callable[[], torch.Tensor]


def on_device(value: Any, device: str) -> Any:
    """Move tensors, batches and what holds them."""
    if isinstance(value, (tuple, list)):
        return type(value)(on_device(one, device) for one in value)
    return value.to(device) if hasattr(value, "to") else value


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def precision(device: str, bf16: bool) -> AbstractContextManager[object]:
    return torch.autocast(device.split(":")[0], dtype=torch.bfloat16) if bf16 else nullcontext()


def training_step(network: nn.Module, call: Call, labels: torch.Tensor, device: str, bf16: bool = False) -> Work:
    """Return what a step of training does: forward, cross entropy, backward, one step of AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        network.train()
        optimizer.zero_grad()
        with precision(device, bf16):
            loss = functional.cross_entropy(call().float(), labels)
        loss.backward()
        optimizer.step()

    return step


def prediction(network: nn.Module, call: Call, device: str, bf16: bool = False) -> Work:
    """Return the forward pass in evaluation mode, without gradients."""

    @torch.no_grad()
    def predict() -> None:
        network.eval()
        with precision(device, bf16):
            call()

    return predict


def alternate(works: Mapping[str, Work], device: str, seconds: float, rounds: int) -> dict[str, float]:
    """Run works in turn and return the median seconds of each.

    At least ``rounds`` rounds, after one (two on a GPU) of warming up, and more until ``seconds`` have passed.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    warm = 2 if device.startswith("cuda") else 1
    began, done = time.perf_counter(), 0
    while done < warm + rounds or (time.perf_counter() - began < seconds and done < 200):
        for name, work in works.items():
            synchronise(device)
            start = time.perf_counter()
            work()
            synchronise(device)
            times[name].append(time.perf_counter() - start)
        done += 1
    return {name: median(values[warm:]) for name, values in times.items()}


def peak_memory(work: Work, device: str) -> float:
    """Return by how many MiB a work raises the memory in use, at its highest; on the CPU of this process.

    On the CPU call it once a process, before the work has been done: freed memory that is kept would hide it.
    """
    if device.startswith("cuda"):
        work()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before, highest_before = _resident(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    highest, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            highest.append(_resident())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    work()
    done.set()
    watcher.join()
    highest.append(_resident())
    highest_after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    # The system's own high-water mark misses nothing, but says something only where it was exceeded.
    return max(max(highest), highest_after if highest_after > highest_before else 0.0) - before


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Ceilings(NamedTuple):
    """What the hardware gives at most, as measured: TFLOP/s of a product of matrices, GB/s of a copy."""

    tflops_fp32: float
    tflops_bf16: float
    copy_gbps: float


def ceilings(device: str, size: int = 8192) -> Ceilings:
    """Measure them: a square product of matrices in float32 (no TF32) and bfloat16, a copy counted read and written."""
    tflops = []
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        seconds = alternate({"gemm": lambda a=a, b=b: torch.mm(a, b)}, device, 1.0, 5)["gemm"]
        tflops.append(2 * size**3 / seconds / 1e12)
    source = torch.empty(2**28 if device.startswith("cuda") else 2**25, device=device).normal_()
    target = torch.empty_like(source)
    seconds = alternate({"copy": lambda: target.copy_(source)}, device, 1.0, 5)["copy"]
    return Ceilings(tflops[0], tflops[1], 2 * source.nbytes / seconds / 1e9)


class _Traffic(TorchDispatchMode):
    """Adds up the bytes that every operation reads and writes; views are free."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not getattr(func, "is_view", False):
            self.bytes += _nbytes((args, kwargs or {})) + _nbytes(out)
        return out


def _nbytes(values: Any) -> int:
    if isinstance(values, torch.Tensor):
        return values.nbytes
    if isinstance(values, dict):
        values = list(values.values())
    return sum(_nbytes(value) for value in values) if isinstance(values, (list, tuple)) else 0


def flops_and_bytes(work: Work) -> tuple[float, float]:
    """Return the floating-point operations of a work (products and convolutions), and the bytes its operations move.

    The bytes are those that each operation reads and writes; what stays in a cache between two operations counts twice.
    """
    with FlopCounterMode(display=False) as flops:
        work()
    with _Traffic() as traffic:
        work()
    return float(flops.get_total_flops()), float(traffic.bytes)


def busy(name: str, options: argparse.Namespace, *, dataset: Any, cache_jets: int) -> dict[str, Any]:
    """Return which share of an epoch of `jetforge train` its steps alone take; validation is left out."""
    training = TrainingSection(epochs=4, batch_size=32 if options.quick else 256, cache_jets=cache_jets)
    torch.manual_seed(1)
    tagger = create_tagger(name, num_classes=len(dataset.classes))
    columns = dataset.present(tagger.representation.columns)
    tagger.representation.fit(dataset.blocks("train", block_jets=20_000, columns=columns))
    loader = BatchLoader(
        dataset, "train", tagger.representation, training.batch_size, shuffle=True, cache_jets=cache_jets
    )
    module = TrainingModule(tagger, training, len(loader))
    seconds: list[float] = []

    class Clock(pl.Callback):
        """Times every epoch of training."""

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            """Start."""
            self.start = time.perf_counter()

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            """Stop, once the device has done its work."""
            if options.device.startswith("cuda"):
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - self.start)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    trainer = pl.Trainer(
        accelerator="gpu" if options.device.startswith("cuda") else "cpu", devices=1, max_epochs=training.epochs,
        gradient_clip_val=training.gradient_clip, callbacks=[Clock()], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, loader)
    # The first epoch reads the jets, and warms up.
    wall = median(seconds[1:])
    tagger.to(options.device)
    batches = [on_device(batch.jets, options.device) for batch in loader]
    labels = [on_device(batch.labels, options.device) for batch in loader]

    def steps() -> None:
        for jets, truth in zip(batches, labels, strict=True):
            training_step_of(jets, truth)

    training_step_of = _plain_step(tagger)
    alone = alternate({"steps": steps}, options.device, 0.0, 2)["steps"]
    return {"tagger": name, "jets": dataset.num_jets("train"), "from": "memory" if cache_jets else "disk",
            "epoch_seconds": wall, "steps_seconds": alone, "busy": alone / wall}  # fmt: skip


def _plain_step(tagger: Tagger) -> Callable[[Any, torch.Tensor], None]:
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=1e-4)

    def step(jets: Any, labels: torch.Tensor) -> None:
        tagger.train()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(tagger(jets).float(), labels).backward()
        torch.nn.utils.clip_grad_norm_(tagger.parameters(), 1.0)
        optimizer.step()

    return step
