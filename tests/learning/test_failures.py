import re

import numpy as np
import pytest
import torch
from helpers.datasets import write_dataset

import jetforge
from jetforge.errors import JetforgeError
from jetforge.learning import module
from jetforge.learning.failures import LossWatch, is_out_of_memory, largest_that_fits
from jetforge.learning.recipe import make_recipe
from jetforge.taggers.energy_flow import ParticleFlowNetwork

CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried ..."


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("failures") / "data"
    write_dataset(path)
    return path


def fit(data, out, **training):
    settings = {"epochs": 1, "batch_size": 40, **training}
    return jetforge.fit(make_recipe({"data": str(data), "out": str(out), "tagger": "pfn", "training": settings}))


@pytest.mark.parametrize("cache_jets", [0, 1000])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_loss_that_is_no_number_names_batch_and_jets(data, tmp_path, monkeypatch, cache_jets, at_once):
    original = ParticleFlowNetwork.classify

    def poisoned(self, jets):
        return torch.where(jets[:, :1] == -1, torch.nan, original(self, jets))

    def embed(self, batch):
        marked = (batch.counts == 7).unsqueeze(1)
        return torch.where(marked, -torch.ones(()), original_embed(self, batch))

    original_embed = ParticleFlowNetwork.embed
    monkeypatch.setattr(ParticleFlowNetwork, "classify", poisoned)
    monkeypatch.setattr(ParticleFlowNetwork, "embed", embed)
    if not at_once:  # as on a device, which is asked now and then
        monkeypatch.setattr(module.TrainingModule, "looks_at_once", False)
    with pytest.raises(JetforgeError, match=r"the loss is not finite in epoch 0, batch \d+ \(step") as caught:
        fit(data, tmp_path / "run", cache_jets=cache_jets)
    message = str(caught.value)
    assert "\n" not in message
    assert "lower training.learning_rate" in message
    named = re.findall(r"(\d+) \((\S+) row (\d+)\)", message)
    assert named
    dataset = jetforge.open(data)
    files = [part.file for part in dataset.parts("train")]
    whole = dataset.read("train")
    for number, file, row in named:
        part = dataset.read_part("train", files.index(file))
        assert np.diff(part.offsets)[int(row)] == np.diff(whole.offsets)[int(number)] == 7
    assert not (tmp_path / "run/tagger.json").exists()
    assert not (tmp_path / "run/checkpoints/last.ckpt").exists()


def test_the_first_of_several_batches_is_found():
    watch = LossWatch()
    for batch in range(6):
        losses = torch.ones(5)
        if batch in (3, 4):
            losses[1 if batch == 3 else 4] = torch.inf
        watch.add(2, batch, 10 + batch, losses, np.arange(5) + 100 * batch)
    found = watch.first()
    assert (found.epoch, found.batch, found.step, found.bad.tolist()) == (2, 3, 13, [301])
    assert watch.first() is None
    message = str(found.error("train", lambda number: f"part.h5 row {number - 300}"))
    assert "for 1 jets, in the split 'train' the numbers 301 (part.h5 row 1): lower" in message


@pytest.mark.parametrize("make", [torch.cuda.OutOfMemoryError, RuntimeError])
@pytest.mark.parametrize(
    ("room", "message"),
    [
        (
            10,
            "batch_size 40 on cpu; 10 fits .use training.batch_size: 10 with training.accumulate: 4 for steps of",
        ),
        (
            6,
            "batch_size 40 on cpu; 5 fits .use training.batch_size: 5 with training.accumulate: 8 for steps of",
        ),
        (0, "batch_size 40 on cpu: not even one jet fits; use a smaller tagger or representation.max_constituents"),
    ],
)
def test_too_little_memory_says_what_fits(data, tmp_path, monkeypatch, make, room, message):
    original = ParticleFlowNetwork.embed

    def embed(self, batch):
        if torch.is_grad_enabled() and len(batch) > room:
            raise make(CPU_MESSAGE)
        return original(self, batch)

    monkeypatch.setattr(ParticleFlowNetwork, "embed", embed)
    with pytest.raises(JetforgeError, match=f"^out of memory with {message}") as caught:
        fit(data, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_too_little_memory_to_validate_says_so(data, tmp_path, monkeypatch):
    """Five jets fit; batches to validate are four times as large as the one jet to train with that is advised."""
    original = ParticleFlowNetwork.embed

    def embed(self, batch):
        if not torch.is_grad_enabled() and len(batch) > 8:
            raise RuntimeError(CPU_MESSAGE)
        return original(self, batch)

    monkeypatch.setattr(ParticleFlowNetwork, "embed", embed)
    with pytest.raises(JetforgeError, match=r"^out of memory on cpu when 20 jets were validated at once; 1 fits"):
        fit(data, tmp_path / "run", batch_size=30)
    fit(data, tmp_path / "advised", batch_size=1, accumulate=30)


def test_other_errors_stay_what_they_are(data, tmp_path, monkeypatch):
    def embed(self, batch):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(ParticleFlowNetwork, "embed", embed)
    with pytest.raises(RuntimeError, match="mat1"):
        fit(data, tmp_path / "run")


def test_signs_of_too_little_memory():
    assert is_out_of_memory(RuntimeError(CPU_MESSAGE))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert not is_out_of_memory(RuntimeError("shapes"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_sizes_are_halved_until_one_fits():
    tried = []

    def step(size):
        tried.append(size)
        if size > 20:
            raise MemoryError

    assert largest_that_fits(step, 100) == 12
    assert tried == [50, 25, 12]
    assert largest_that_fits(step, 1) is None
