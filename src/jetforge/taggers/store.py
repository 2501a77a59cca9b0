"""A tagger on disk: ``tagger.safetensors`` with its weights, ``tagger.json`` with everything else."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from jetforge._version import __version__
from jetforge.errors import JetforgeError, TaggerError
from jetforge.files import write_atomically
from jetforge.representations import representation_from_dict, representation_to_dict
from jetforge.taggers._registry import create_tagger, list_taggers
from jetforge.taggers.base import Tagger

FORMAT_VERSION = 1
WEIGHTS_NAME = "tagger.safetensors"
DESCRIPTION_NAME = "tagger.json"

_FIELDS: dict[str, type] = {
    "name": str,
    "arguments": dict,
    "representation": dict,
    "classes": list,
    "provenance": dict,
    "num_parameters": int,
    "jetforge_version": str,
    "weights_sha256": str,
}


def save_tagger(tagger: Tagger, directory: str | os.PathLike[str]) -> Path:
    """Write a tagger so that `load_tagger` makes the same one again.

    Each file appears whole or not at all, the description last: what was there before stays until then.

    Parameters
    ----------
    tagger : Tagger
        A tagger that `jetforge.taggers.create_tagger` made.
    directory : path
        Where to write; made if it does not exist.

    Returns
    -------
    Path
        The description, ``tagger.json``.

    Raises
    ------
    TaggerError
        If the tagger has no registered name, its representation is not fitted, a weight is not finite, or a value
        cannot be written as JSON.
    """
    if not tagger.name:
        raise TaggerError("cannot save a tagger without a name: make it with create_tagger")
    if not tagger.representation.fitted:
        raise TaggerError(
            f"cannot save {tagger.name}: without a normalisation it could not predict; fit its representation first, "
            "on training jets"
        )
    state = {key: value.detach().cpu().contiguous() for key, value in tagger.state_dict().items()}
    broken = _first_not_finite(state)
    if broken is not None:
        raise TaggerError(f"cannot save {tagger.name}: its weights {broken} are not finite")
    weights = save(state)
    description = {
        "format_version": FORMAT_VERSION,
        "name": tagger.name,
        "arguments": tagger.arguments,
        "representation": representation_to_dict(tagger.representation),
        "classes": list(tagger.classes),
        "provenance": tagger.provenance,
        "num_parameters": sum(parameter.numel() for parameter in tagger.parameters()),
        "jetforge_version": __version__,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    try:
        text = json.dumps(description, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise TaggerError(f"cannot save {tagger.name}: its description is no JSON: {error}") from error
    folder = Path(directory)
    write_atomically(folder / WEIGHTS_NAME, weights)
    write_atomically(folder / DESCRIPTION_NAME, text.encode())
    return folder / DESCRIPTION_NAME


def weights_sha256(path: str | os.PathLike[str]) -> str:
    """Return the checksum of a saved tagger's weights, as its description states it.

    Raises
    ------
    TaggerError
        If there is no such description.
    """
    recorded: str = describe_tagger(path)["weights_sha256"]
    return recorded


def describe_tagger(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a saved tagger's description says: name, arguments, representation, classes, provenance ...

    Raises
    ------
    TaggerError
        If there is none, or it is damaged.
    """
    return _read_description(_description_path(path))


def _description_path(path: str | os.PathLike[str]) -> Path:
    source = Path(path)
    if not source.exists() and source.suffix != ".json":
        raise TaggerError(f"{source}: no such run directory; give one that holds {DESCRIPTION_NAME} and {WEIGHTS_NAME}")
    return source / DESCRIPTION_NAME if source.is_dir() else source


def load_tagger(path: str | os.PathLike[str]) -> Tagger:
    """Return a saved tagger, on the CPU and in evaluation mode.

    Parameters
    ----------
    path : path
        The directory that `save_tagger` wrote, or the ``tagger.json`` in it.

    Raises
    ------
    TaggerError
        If there is no such directory, a file is missing or damaged, the two do not belong together, or the tagger is
        not registered.
    """
    description_path = _description_path(path)
    description = _read_description(description_path)
    name = description["name"]
    if name not in list_taggers():
        raise TaggerError(
            f"{description_path}: the tagger {name} is not registered; "
            "import the module that registers it before loading (from Python)"
        )
    weights_path = description_path.parent / WEIGHTS_NAME
    state = _read_weights(weights_path, description["weights_sha256"])
    try:
        representation = representation_from_dict(description["representation"])
        tagger = create_tagger(name, representation=representation, **description["arguments"])
    except (JetforgeError, TypeError) as error:
        raise TaggerError(f"{description_path}: {error}") from error
    tagger.classes = tuple(description["classes"])
    tagger.provenance = description["provenance"]
    _check_weights(tagger, state, description_path, weights_path)
    tagger.load_state_dict(state)
    return tagger.eval()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise TaggerError(
            f"{path}: no such file; a saved tagger is {DESCRIPTION_NAME} beside {WEIGHTS_NAME}"
        ) from error
    except OSError as error:
        raise TaggerError(f"{path}: cannot be read: {error.strerror}") from error


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(_read(path))
    except ValueError as error:
        raise TaggerError(f"{path}: no valid JSON: {error}") from error
    if not isinstance(description, dict):
        raise TaggerError(f"{path}: must describe a tagger, holds a {type(description).__name__}")
    found = description.get("format_version")
    if found != FORMAT_VERSION:
        raise TaggerError(f"{path}: format version {found!r} is unknown; this jetforge reads version {FORMAT_VERSION}")
    for field, kind in _FIELDS.items():
        if not isinstance(description.get(field), kind):
            raise TaggerError(f"{path}: {field} is missing or no {kind.__name__}")
    return description


def _read_weights(path: Path, expected_sha256: str) -> dict[str, torch.Tensor]:
    content = _read(path)
    found = hashlib.sha256(content).hexdigest()
    if found != expected_sha256:
        raise TaggerError(
            f"{path}: sha256 {found[:12]}... is not the {expected_sha256[:12]}... of {DESCRIPTION_NAME}: "
            "the file is damaged or belongs to another tagger"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise TaggerError(f"{path}: no valid safetensors file: {error}") from error


def _check_weights(tagger: Tagger, state: dict[str, torch.Tensor], description_path: Path, weights_path: Path) -> None:
    wanted = tagger.state_dict()
    for key in wanted:
        if key not in state:
            raise TaggerError(f"{weights_path}: tensor {key} of {tagger.name} is missing")
    for key, value in state.items():
        if key not in wanted:
            raise TaggerError(f"{weights_path}: {tagger.name} has no tensor {key}")
        if value.shape != wanted[key].shape or value.is_floating_point() != wanted[key].is_floating_point():
            raise TaggerError(
                f"{weights_path}: tensor {key} is {value.dtype} {list(value.shape)}, "
                f"{tagger.name} wants {wanted[key].dtype} {list(wanted[key].shape)}"
            )
    broken = _first_not_finite(state)
    if broken is not None:
        raise TaggerError(f"{weights_path}: tensor {broken} is not finite")
    num_classes = tagger.arguments["num_classes"]
    if len(tagger.classes) != num_classes or not all(isinstance(name, str) for name in tagger.classes):
        raise TaggerError(
            f"{description_path}: classes {list(tagger.classes)} must be {num_classes} names, one a logit"
        )


def _first_not_finite(state: dict[str, torch.Tensor]) -> str | None:
    """Return the name of the first tensor that holds an infinity or no number."""
    return next((key for key, value in state.items() if not torch.isfinite(value).all()), None)
