"""Checkpoint files of other programs, read without running anything, and turned into taggers."""

import hashlib
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from jetforge.errors import JetforgeError, TaggerError, first_line
from jetforge.taggers._registry import create_tagger
from jetforge.taggers.base import Tagger
from jetforge.taggers.checkpoints import lorentznet, lundnet, particle_transformer, particlenet
from jetforge.taggers.checkpoints.base import ImportedWeights
from jetforge.taggers.store import DESCRIPTION_NAME, WEIGHTS_NAME

_ARCHITECTURES: dict[str, ModuleType] = {
    "LundNet": lundnet,
    "ParticleNet": particlenet,
    "Particle Transformer": particle_transformer,
    "LorentzNet": lorentznet,
}

# Under which keys programs keep the weights beside optimiser, epoch and the like; Lightning uses the first.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights")
_SNIFFED = 512
_LFS = b"version https://git-lfs"


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, on the CPU; nothing that the file holds is ever run.

    Parameters
    ----------
    path : path
        What ``torch.save`` wrote of a ``state_dict()``, alone or within a dictionary (``{"model": ...}``,
        ``{"state_dict": ...}``, a checkpoint of Lightning), or a ``.safetensors`` file.

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    TaggerError
        If the file is something else, is cut or damaged, or would have to run code to be read.
    """
    path = Path(path)
    kind = _kind(path)
    content = _load_safetensors(path) if kind == "safetensors" else _load_torch(path)
    state = _unwrapped(content)
    if state is None:
        raise TaggerError(f"{path}: {_described(content)}, not named tensors: save the network's state_dict()")
    if not state:
        raise TaggerError(f"{path}: holds no tensors")
    return state


def import_weights(path: str | os.PathLike[str], classes: Sequence[str] | None = None) -> Tagger:
    """Return the tagger that a published checkpoint holds, on the CPU and in evaluation mode.

    Parameters
    ----------
    path : path
        A checkpoint that `read_checkpoint` reads, of one of the known architectures.
    classes : sequence of str, optional
        What the classes are called, in the order of the network's outputs; by default what the publication says, or
        their numbers.

    Returns
    -------
    Tagger
        Its provenance names the file, its SHA-256 and the architecture.

    Raises
    ------
    TaggerError
        If the file cannot be read, its architecture is not known, a tensor is missing, left over, of another shape or
        not finite, or there are more or fewer names than classes.
    """
    path = Path(path)
    _refuse_own(path)
    architecture, state = _recognised(path, read_checkpoint(path))
    imported = _convert(path, architecture, state)
    try:
        tagger = create_tagger(
            imported.name, imported.num_classes, representation=imported.representation, **imported.arguments
        )
    except JetforgeError as error:
        raise TaggerError(f"{path}: {error}") from error
    _check(path, tagger, imported)
    tagger.load_state_dict(imported.state)
    if classes is not None:
        tagger.classes = _checked_names(path, classes, imported.num_classes)
    elif imported.classes is not None:
        tagger.classes = imported.classes
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    tagger.provenance = {"imported": {"file": path.name, "sha256": digest, "architecture": architecture}}
    return tagger.eval()


def _refuse_own(path: Path) -> None:
    folder = path if path.is_dir() else path.parent
    if (path.is_dir() or path.name in (WEIGHTS_NAME, DESCRIPTION_NAME)) and (folder / DESCRIPTION_NAME).is_file():
        raise TaggerError(f"{path}: already a tagger of jetforge: evaluate and predict take its directory, {folder}")


def _kind(path: Path) -> str:
    """Return ``torch`` or ``safetensors``; refuse what is visibly something else."""
    try:
        with path.open("rb") as file:
            start = file.read(_SNIFFED)
    except OSError as error:
        raise TaggerError(f"{path}: cannot be read: {error.strerror}") from error
    if start.startswith(_LFS):
        raise TaggerError(f"{path}: a pointer of Git LFS, not the file itself; fetch it with 'git lfs pull'")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise TaggerError(
            f"{path}: a web page, not a checkpoint: the address wants a login, or shows a page of the file"
        )
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return "safetensors"
    if start.startswith(b"PK"):
        _check_archive(path)
    elif not start.startswith(b"\x80"):
        what = "is empty" if not start else "neither what torch.save writes nor a safetensors file"
        raise TaggerError(f"{path}: {what}")
    return "torch"


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.split("/")[-1] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise TaggerError(f"{path}: not a whole file ({error}): copy or fetch it again") from error
    if "data.pkl" not in names:
        raise TaggerError(f"{path}: a zip file of something else ({', '.join(names[:3]) or 'nothing'}), no checkpoint")
    if "constants.pkl" in names:
        raise TaggerError(f"{path}: a TorchScript program, not a checkpoint: save the network's state_dict()")


def _load_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats, which are fine, and of foreign ones, which are refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is None:
            raise TaggerError(f"{path}: damaged, or a pickle of something else, nothing of which is run") from error
        raise TaggerError(
            f"{path}: reading it would run code ({code.group(1)}), which is never done: "
            "where you trust it, load it in the program that wrote it and save the network's state_dict()"
        ) from error
    except (
        Exception
    ) as error:  # what a damaged file raises has no end: EOFError, IndexError, KeyError, RuntimeError ...
        raise TaggerError(f"{path}: damaged ({first_line(error)}): copy or fetch it again") from error


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_safetensors(path.read_bytes())
    except SafetensorError as error:
        raise TaggerError(f"{path}: no valid safetensors file: {first_line(error)}") from error


def _unwrapped(content: Any) -> dict[str, Tensor] | None:
    """Return the named tensors in what a file held, or None."""
    if not isinstance(content, Mapping):
        return None
    if all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        return dict(content)
    for key in _WRAPPERS:
        state = _unwrapped(content.get(key))
        if state:
            return state
    return None


def _described(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"holds {', '.join(map(str, list(content)[:4])) or 'nothing'}"
    return f"holds a {type(content).__name__}"


def _recognised(path: Path, state: dict[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """Return the architecture, and the tensors without what wrappers put before all of their names."""
    bare = state
    while True:
        for name, module in _ARCHITECTURES.items():
            if module.recognises(bare):
                return name, bare
        # torch.compile, data parallelism and the programs' own wrappers prefix every name: "module.", "_orig_mod." ...
        heads = {key.partition(".")[0] for key in bare}
        if len(heads) > 1 or any("." not in key for key in bare):
            break
        bare = {key.partition(".")[2]: value for key, value in bare.items()}
    raise TaggerError(
        f"{path}: of no known architecture (known: {', '.join(_ARCHITECTURES)}); its first tensors are "
        f"{', '.join(list(state)[:3])}"
    )


class _Watched(Mapping[str, Tensor]):
    """Tensors that remember which of them were asked for."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self._state = state
        self.left = set(state)

    def __getitem__(self, key: str) -> Tensor:
        value = self._state[key]
        self.left.discard(key)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._state

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)


def _convert(path: Path, architecture: str, state: dict[str, Tensor]) -> ImportedWeights:
    watched = _Watched(state)
    try:
        imported: ImportedWeights = _ARCHITECTURES[architecture].convert(watched)
    except KeyError as error:
        raise TaggerError(f"{path}: not the published {architecture}: tensor {error.args[0]} is missing") from error
    except JetforgeError as error:
        raise TaggerError(f"{path}: {error}") from error
    except (IndexError, TypeError, ValueError, RuntimeError) as error:  # tensors that do not fit each other
        raise TaggerError(f"{path}: not the published {architecture}: {first_line(error)}") from error
    left = sorted(key for key in watched.left if not key.endswith("num_batches_tracked"))
    if left:
        raise TaggerError(f"{path}: not the published {architecture}, which has no tensor {left[0]}")
    return imported


def _check(path: Path, tagger: Tagger, imported: ImportedWeights) -> None:
    wanted = tagger.state_dict()
    for key in (*wanted, *imported.state):
        if key not in imported.state:
            raise TaggerError(f"{path}: nothing in it becomes tensor {key} of {tagger.name}")
        if key not in wanted:
            raise TaggerError(f"{path}: {tagger.name} has no tensor {key}")
        there, value = wanted[key], imported.state[key]
        if value.shape != there.shape:
            raise TaggerError(
                f"{path}: tensor {key} of {tagger.name} is {list(value.shape)}, must be {list(there.shape)}"
            )
        if not torch.isfinite(value).all():
            raise TaggerError(f"{path}: tensor {key} of {tagger.name} is not finite")


def _checked_names(path: Path, classes: Sequence[str], num_classes: int) -> tuple[str, ...]:
    names = (classes,) if isinstance(classes, str) else tuple(classes)
    if len(names) != num_classes or len(set(names)) != num_classes or not all(names):
        raise TaggerError(
            f"{path}: its network tells {num_classes} classes apart, the names given are "
            f"{', '.join(names) or 'none'}: give {num_classes} different ones, in the order of its outputs"
        )
    return names
