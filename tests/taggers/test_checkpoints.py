"""Checkpoints of other programs: what is read, what is refused, and that nothing in them is ever run."""

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from jetforge.errors import TaggerError
from jetforge.taggers import load_tagger, save_tagger
from jetforge.taggers.checkpoints.lundnet import convert, recognises
from jetforge.taggers.checkpoints.read import import_weights, read_checkpoint

CHANNELS = (8, 8, 16)
VARIABLES = {
    2: ("ln_delta", "ln_kt"),
    3: ("ln_z", "ln_delta", "ln_kt"),
    4: ("ln_z", "ln_delta", "ln_kt", "psi"),
    5: ("ln_z", "ln_delta", "psi", "ln_m", "ln_kt"),
}


def published_lundnet(variables=3, num_classes=2, channels=CHANNELS, fusion=128, hidden=12, seed=1):
    """Return random tensors under the names that the published program gives them, running statistics included."""
    random = torch.Generator().manual_seed(seed)
    state = OrderedDict()

    def weight(name, *shape):
        state[f"{name}.weight"] = torch.randn(*shape, generator=random) / shape[-1] ** 0.5

    def norm(name, width):
        state[f"{name}.weight"] = 0.5 + torch.rand(width, generator=random)
        state[f"{name}.bias"] = 0.1 * torch.randn(width, generator=random)
        state[f"{name}.running_mean"] = 0.3 * torch.randn(width, generator=random)
        state[f"{name}.running_var"] = 0.5 + torch.rand(width, generator=random)
        state[f"{name}.num_batches_tracked"] = torch.tensor(9)

    norm("bn_fts", variables)
    width = variables
    for number, channel in enumerate(channels):
        block = f"edge_convs.{number}"
        weight(f"{block}.theta", channel, width)
        weight(f"{block}.phi", channel, width)
        weight(f"{block}.fcs.0", channel, channel)
        norm(f"{block}.bns.0", channel)
        norm(f"{block}.bns.1", channel)
        if width != channel:
            weight(f"{block}.sc", channel, width)
            norm(f"{block}.sc_bn", channel)
        width = channel
    for name, shape in {"fusion_block.0": (fusion, sum(channels)), "fc.0.0": (hidden, fusion)}.items():
        weight(name, *shape)
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=random)
    norm("fusion_block.2", fusion)
    weight("fc.1", num_classes, hidden)
    state["fc.1.bias"] = 0.1 * torch.randn(num_classes, generator=random)
    return state


def published_logits(state, batch):
    """Return what arXiv:2012.08526 computes, edge by edge, with its own split of the first layer."""

    def norm(name, x):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return functional.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    child = torch.nonzero(batch.neighbours[:, 0] >= 0).squeeze(1)
    parent = batch.neighbours[child, 0].long()
    source, target = torch.cat([child, parent]), torch.cat([parent, child])
    x, outputs = norm("bn_fts", batch.features), []
    for number in range(len(CHANNELS)):
        block = f"edge_convs.{number}"
        edges = (x[target] - x[source]) @ state[f"{block}.theta.weight"].T + x[source] @ state[f"{block}.phi.weight"].T
        edges = torch.relu(norm(f"{block}.bns.0", edges))
        edges = torch.relu(norm(f"{block}.bns.1", edges @ state[f"{block}.fcs.0.weight"].T))
        summed = torch.zeros(len(x), edges.shape[1]).index_add(0, target, edges)
        mean = summed / torch.bincount(target, minlength=len(x)).clamp(min=1).unsqueeze(1)
        shortcut = x
        if f"{block}.sc.weight" in state:
            shortcut = norm(f"{block}.sc_bn", x @ state[f"{block}.sc.weight"].T)
        x = torch.relu(mean + shortcut)
        outputs.append(x)
    fused = torch.cat(outputs, 1) @ state["fusion_block.0.weight"].T + state["fusion_block.0.bias"]
    fused = norm("fusion_block.2", torch.relu(fused))
    jets = torch.stack([fused[a:b].mean(0) for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)])
    hidden = torch.relu(jets @ state["fc.0.0.weight"].T + state["fc.0.0.bias"])
    return hidden @ state["fc.1.weight"].T + state["fc.1.bias"]


@pytest.fixture
def checkpoint(tmp_path):
    """Return a function that writes tensors as a checkpoint."""

    def write(content, name="lundnet.pt"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write


@pytest.mark.parametrize("variables", VARIABLES)
@pytest.mark.parametrize("num_classes", [2, 5])
def test_an_imported_lundnet_gives_the_published_logits(checkpoint, make_jets, variables, num_classes):
    state = published_lundnet(variables, num_classes)
    tagger = import_weights(checkpoint(state))
    assert tagger.name == f"lundnet{variables}"
    assert tagger.representation.variables == VARIABLES[variables]
    assert not tagger.training
    batch = tagger.representation(make_jets(2, 3, 40, 17, 2, 90))
    torch.testing.assert_close(tagger(batch), published_logits(state, batch), rtol=1e-5, atol=1e-5)


def test_a_lundnet_reads_raw_variables(checkpoint, make_jets):
    import jetforge

    tagger = import_weights(checkpoint(published_lundnet()))
    jets = make_jets(30)
    trees = jetforge.lund_tree(jets.constituents)
    np.testing.assert_allclose(tagger.representation(jets).features[:, 2], trees.ln_kt[0], rtol=1e-5, atol=1e-6)


def test_an_imported_tagger_is_saved_and_loaded(checkpoint, make_jets, tmp_path):
    path = checkpoint(published_lundnet())
    tagger = import_weights(path, ["qcd", "top"])
    save_tagger(tagger, tmp_path / "run")
    again, jets = load_tagger(tmp_path / "run"), make_jets(3, 30)
    assert np.array_equal(again.predict(jets), tagger.predict(jets))
    assert again.classes == ("qcd", "top")
    imported = again.provenance["imported"]
    assert imported["file"] == "lundnet.pt"
    assert imported["architecture"] == "LundNet"
    assert len(imported["sha256"]) == 64


WRAPPED = {
    "data parallel": lambda s: {f"module.{key}": value for key, value in s.items()},
    "compiled within data parallel": lambda s: {f"module._orig_mod.{key}": value for key, value in s.items()},
    "weaver's wrapper": lambda s: {f"mod.{key}": value for key, value in s.items()},
    "Lightning": lambda s: {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{key}": value for key, value in s.items()},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []}],
    },
    "a training program": lambda s: {"epoch": 3, "best": 0.9, "model": s, "optimizer": {"state": {}}},
    "twice": lambda s: {"model": {"state_dict": s, "config": "x"}},
    "parameters": lambda s: {k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_wrappers_come_off(checkpoint, wrap):
    state = published_lundnet()
    bare = import_weights(checkpoint(state)).state_dict()
    wrapped = import_weights(checkpoint(wrap(state))).state_dict()
    assert all(torch.equal(value, wrapped[key]) for key, value in bare.items())


def test_safetensors_and_the_old_format_are_read(tmp_path):
    state = published_lundnet()
    save_file(state, tmp_path / "lundnet.safetensors")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("lundnet.safetensors", "old.pt"):
        read = read_checkpoint(tmp_path / name)
        assert read.keys() == state.keys()
        assert all(torch.equal(value, state[key]) for key, value in read.items())
        import_weights(tmp_path / name)


class _Trap:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["pickle", "new", "old", "beside tensors", "within tensors' wrapper"])
def test_a_malicious_file_is_never_run(tmp_path, kind):
    trap, path = _Trap(tmp_path / "sprung"), tmp_path / "lundnet.pt"
    content = {"beside tensors": {**published_lundnet(), "zz": trap}, "within tensors' wrapper": {"state_dict": trap}}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(trap))
    else:
        torch.save(content.get(kind, trap), path, _use_new_zipfile_serialization=kind != "old")
    with pytest.raises(TaggerError, match=r"would run code \(posix\.mkdir\)|nothing of which is run") as refused:
        import_weights(path)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "sprung").exists()


def test_a_whole_network_is_refused_without_being_run(checkpoint):
    with pytest.raises(TaggerError, match=r"would run code \(torch\.nn.*state_dict"):
        read_checkpoint(checkpoint(torch.nn.Linear(2, 2)))


def _zip_of(names):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, "x")

    return write


def _bytes(content):
    return lambda path: path.write_bytes(content)


NO_CHECKPOINTS = {
    "empty": (_bytes(b""), "is empty"),
    "text": (_bytes(b"see the web page\n"), "neither what torch.save writes nor a safetensors file"),
    "web page": (_bytes(b"\n<!DOCTYPE html><html><body>404</body></html>"), "a web page, not a checkpoint"),
    "LFS": (_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"), "a pointer of Git LFS"),
    "folder": (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    "other zip": (_zip_of(["a/b.txt", "c.csv"]), r"a zip file of something else \(b.txt, c.csv\)"),
    "TorchScript": (_zip_of(["net/data.pkl", "net/constants.pkl"]), "a TorchScript program"),
    "cut pickle": (_bytes(b"\x80\x02}q\x00"), "damaged"),
    "noise": (_bytes(b"\x80\x02" + bytes(range(200))), "damaged|would run"),
    "cut safetensors": (_bytes(b"\x10" + 7 * b"\0" + b'{"a": {"dtype": '), "no valid safetensors file"),
}


@pytest.mark.parametrize(("write", "message"), NO_CHECKPOINTS.values(), ids=NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_named(tmp_path, write, message):
    path = tmp_path / "weights.pt"
    write(path)
    with pytest.raises(TaggerError, match=message) as refused:
        read_checkpoint(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TaggerError, match="No such file"):
        read_checkpoint(tmp_path / "weights.pt")


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("part", [0.03, 0.5, 0.95])
def test_a_cut_file_is_refused(tmp_path, new, part):
    path = tmp_path / "lundnet.pt"
    torch.save(published_lundnet(), path, _use_new_zipfile_serialization=new)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(TaggerError, match=r"lundnet\.pt: ") as refused:
        import_weights(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("new", [True, False])
def test_flipped_bytes_give_one_line_or_a_tagger(tmp_path, new):
    path, random, refused = tmp_path / "lundnet.pt", np.random.default_rng(3), []
    torch.save(published_lundnet(), path, _use_new_zipfile_serialization=new)
    whole = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[random.integers(4000)] ^= int(random.integers(1, 256))
        path.write_bytes(bytes(damaged))
        try:
            import_weights(path)
        except TaggerError as error:
            refused.append(str(error))
    assert refused
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in refused)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "config": "x"}, "holds epoch, config, not named tensors"),
        ([torch.zeros(2)], "holds a list, not named tensors"),
        (torch.zeros(2), "holds a Tensor, not named tensors"),
        ({}, "holds no tensors"),
        ({"model": {}}, "holds model, not named tensors"),
        ({"layer.weight": torch.zeros(2), "b": torch.zeros(1)}, "no known architecture.*LundNet.*layer.weight, b"),
        ({"a.layer.weight": torch.zeros(2)}, "no known architecture.*a.layer.weight"),
    ],
)
def test_what_holds_no_known_network_says_what_it_holds(checkpoint, content, message):
    with pytest.raises(TaggerError, match=message):
        import_weights(checkpoint(content))


def _changed(change):
    state = published_lundnet()
    change(state)
    return state


BROKEN = {
    "missing": (lambda s: s.pop("edge_convs.1.fcs.0.weight"), "tensor edge_convs.1.fcs.0.weight is missing"),
    "missing shortcut": (lambda s: s.pop("edge_convs.2.sc.weight"), "has no tensor edge_convs.2.sc_bn.bias"),
    "extra": (lambda s: s.update({"edge_convs.0.fcs.1.weight": torch.zeros(8, 8)}), "no tensor edge_convs.0.fcs.1"),
    "other shape": (lambda s: s.update({"fc.0.0.bias": torch.zeros(13)}), r"hidden.bias of lundnet3 is \[13\].*\[12\]"),
    "unequal halves": (lambda s: s.update({"edge_convs.0.phi.weight": torch.zeros(8, 9)}), "not the published LundNet"),
    "not finite": (lambda s: s["fc.1.bias"].fill_(float("nan")), "output.bias of lundnet3 is not finite"),
    "seven variables": (lambda s: s.update({"bn_fts.weight": torch.ones(7)}), "a LundNet of 7 variables"),
    "one class": (lambda s: s.update({"fc.1.bias": torch.zeros(1)}), "num_classes 1"),
    "scalar": (lambda s: s.update({"fc.1.bias": torch.tensor(1.0)}), "not the published LundNet"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_checkpoint_that_does_not_fit_is_refused(checkpoint, change, message):
    path = checkpoint(_changed(change))
    with pytest.raises(TaggerError, match=message) as refused:
        import_weights(path)
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize("classes", [["qcd"], ["qcd", "top", "w"], ["qcd", "qcd"], ["qcd", ""]])
def test_names_must_fit_the_classes(checkpoint, classes):
    with pytest.raises(TaggerError, match="tells 2 classes apart, the names given are qcd"):
        import_weights(checkpoint(published_lundnet()), classes)


def test_the_weights_of_another_program_are_not_taken_for_a_run(checkpoint, tmp_path):
    checkpoint(published_lundnet(), "tagger.safetensors")
    with pytest.raises(TaggerError, match=r"tagger\.json: no such file"):
        load_tagger(tmp_path)


def test_only_the_published_names_are_recognised():
    state = published_lundnet()
    assert recognises(state)
    assert not recognises({key: value for key, value in state.items() if not key.startswith("fusion")})
    assert convert(state).arguments == {"channels": list(CHANNELS), "fusion": 128, "hidden": 12}
