"""A damaged or foreign file is refused with one line that names it."""

import hashlib
import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from jetforge.errors import TaggerError
from jetforge.taggers import create_tagger, load_tagger, save_tagger


def scaled(**settings):
    """Return a tagger whose representation has a normalisation."""
    return create_tagger("lundnet2", representation={"mean": [0.0, 0.0], "std": [1.0, 1.0]}, **settings)


@pytest.fixture
def saved(tmp_path):
    save_tagger(scaled(channels=[4, 4], fusion=8, hidden=8), tmp_path)
    return tmp_path


def refuse(folder, *parts):
    with pytest.raises(TaggerError) as error:
        load_tagger(folder)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


def rewrite(folder, **changes):
    path = folder / "tagger.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite_weights(folder, change):
    path = folder / "tagger.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    rewrite(folder, weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_nothing_else_is_left_behind(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["tagger.json", "tagger.safetensors"]


def test_saving_again_replaces(saved):
    tagger = load_tagger(saved)
    tagger.provenance = {"split": "train"}
    save_tagger(tagger, saved)
    assert load_tagger(saved).provenance == {"split": "train"}


@pytest.mark.parametrize("name", ["tagger.json", "tagger.safetensors"])
def test_missing_file(saved, name):
    (saved / name).unlink()
    refuse(saved, str(saved / name), "no such file")


def test_missing_folder(tmp_path):
    refuse(tmp_path / "nowhere", f"{tmp_path / 'nowhere'}: no such run directory", "tagger.json", "tagger.safetensors")
    refuse(tmp_path / "nowhere" / "tagger.json", f"{tmp_path / 'nowhere' / 'tagger.json'}: no such file")


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_truncated_weights(saved, keep):
    path = saved / "tagger.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refuse(saved, str(path), "sha256", "damaged")
    rewrite(saved, weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    refuse(saved, str(path), "no valid safetensors")


def test_one_flipped_bit(saved):
    path = saved / "tagger.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refuse(saved, str(path), "sha256")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"format_version": 2}, ["format version 2"]),
        ({"format_version": None}, ["format version None"]),
        ({"name": "lundnet9"}, ["the tagger lundnet9 is not registered; import the module that registers it"]),
        ({"name": 3}, ["name is missing or no str"]),
        ({"arguments": {"width": 3}}, ["knows no width"]),
        ({"arguments": {"channels": "ab"}}, ["channels"]),
        ({"representation": {"name": "cloudy"}}, ["unknown representation"]),
        ({"representation": {"name": "lund"}}, ["variables"]),
        ({"classes": ["qcd"]}, ["2 names"]),
        ({"classes": [0, 1]}, ["2 names"]),
        ({"provenance": None}, ["provenance is missing"]),
    ],
)
def test_description_that_makes_no_sense(saved, changes, parts):
    rewrite(saved, **changes)
    refuse(saved, str(saved / "tagger.json"), *parts)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00\xff"])
def test_description_that_is_no_object(saved, text):
    (saved / "tagger.json").write_text(text, encoding="latin-1")
    refuse(saved, str(saved / "tagger.json"))


def test_missing_tensor(saved):
    rewrite_weights(saved, lambda state: state.pop("output.bias"))
    refuse(saved, "tagger.safetensors", "output.bias", "missing")


def test_unexpected_tensor(saved):
    rewrite_weights(saved, lambda state: state.update(extra=torch.zeros(1)))
    refuse(saved, "tagger.safetensors", "no tensor extra")


@pytest.mark.parametrize("tensor", [torch.zeros(3), torch.zeros(2, dtype=torch.int64)])
def test_tensor_of_another_kind(saved, tensor):
    rewrite_weights(saved, lambda state: state.update({"output.bias": tensor}))
    refuse(saved, "tagger.safetensors", "output.bias", "wants torch.float32 [2]")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite(saved, value):
    rewrite_weights(saved, lambda state: state["output.bias"].fill_(value))
    refuse(saved, "tagger.safetensors", "output.bias", "not finite")
    tagger = scaled()
    tagger.output.bias.data.fill_(value)
    with pytest.raises(TaggerError, match=r"output\.bias are not finite"):
        save_tagger(tagger, saved)


def test_provenance_must_be_json(tmp_path):
    tagger = scaled()
    tagger.provenance = {"seed": object()}
    with pytest.raises(TaggerError, match="no JSON"):
        save_tagger(tagger, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_tagger_without_a_name_cannot_be_saved(tmp_path):
    tagger = scaled()
    tagger.name = ""
    with pytest.raises(TaggerError, match="create_tagger"):
        save_tagger(tagger, tmp_path)


def test_a_tagger_that_could_not_predict_cannot_be_saved(tmp_path):
    with pytest.raises(TaggerError, match=r"^cannot save lundnet2: .* fit its representation first"):
        save_tagger(create_tagger("lundnet2"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
