import copy
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from jetforge.cli.info import info
from jetforge.errors import TaggerError
from jetforge.jets import Jets
from jetforge.learning.recipe import make_recipe, tagger_of
from jetforge.taggers import create_tagger, list_taggers
from jetforge.taggers._lorentz import boost_to_rest, exact_momenta, in_rest_frames, reference_vectors, transform

METRIC = torch.diag(torch.tensor([1.0, -1, -1, -1], dtype=torch.float64))
# Two blocks show the symmetries of twelve.
SMALL = {
    "lgatr": {"blocks": 2, "multivectors": 8, "scalars": 16},
    "lgatr_slim": {"blocks": 2, "vectors": 16, "scalars": 32},
    "lloca": {"blocks": 2},
    "pelican": {"blocks": 2, "channels": 25, "messages": 15},
}
PACKAGES = {"lgatr": "lgatr", "lgatr_slim": "lgatr", "lloca": "lloca"}

every_tagger = pytest.mark.parametrize("name", SMALL)
from_a_package = pytest.mark.parametrize("name", PACKAGES)


@pytest.fixture(scope="module")
def jets(make_jets):
    return make_jets(12, 30, 3, 2, 20, 5)


def small(name, jets, **arguments):
    for package in ("lgatr", "lloca"):
        if PACKAGES.get(name) == package:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pytest.importorskip(package, reason="needs the extra 'lorentz'")
    torch.manual_seed(3)
    tagger = create_tagger(name, **SMALL[name], **arguments)
    tagger.representation.fit([jets])
    return tagger.eval()


def moved(jets, matrix):
    momenta = matrix @ np.stack([jets.columns[key] for key in ("energy", "px", "py", "pz")])
    return Jets(jets.offsets, dict(zip(("energy", "px", "py", "pz"), momenta, strict=True)), jets.fields)


def boost(beta):
    gamma = 1 / np.sqrt(1 - beta @ beta)
    matrix = np.eye(4)
    matrix[0, 0], matrix[0, 1:], matrix[1:, 0] = gamma, gamma * beta, gamma * beta
    matrix[1:, 1:] += gamma**2 / (gamma + 1) * np.outer(beta, beta)
    return matrix


def rotation(axis, angle):
    matrix = np.eye(4)
    a, b = (index for index in (1, 2, 3) if index != axis)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


@every_tagger
def test_without_references_scores_do_not_see_any_frame(name, jets):
    tagger = small(name, jets, symmetry="lorentz")
    scores, rng = tagger.predict(jets), np.random.default_rng(2)
    for _ in range(4):
        direction = rng.normal(size=3)
        matrix = boost(rng.uniform(0.3, 0.8) * direction / np.linalg.norm(direction))
        matrix = matrix @ rotation(1, rng.uniform(0, 6)) @ rotation(3, rng.uniform(0, 6))
        np.testing.assert_allclose(tagger.predict(moved(jets, matrix)), scores, atol=1e-4)


@every_tagger
def test_by_default_scores_do_not_see_the_angle_about_the_beam_alone(name, jets):
    tagger = small(name, jets)
    scores = tagger.predict(jets)
    unseen = max(np.abs(tagger.predict(moved(jets, rotation(3, angle))) - scores).max() for angle in (0.3, 2.0, 4.5))
    assert unseen < 1e-5
    for matrix in (rotation(2, 1.0), boost(np.array([0, 0, 0.7]))):
        assert np.abs(tagger.predict(moved(jets, matrix)) - scores).max() > 5 * unseen


@pytest.mark.parametrize("name", ["lgatr", "lgatr_slim"])
def test_the_two_beams_are_alike(name, jets):
    tagger = small(name, jets)
    swapped = moved(jets, rotation(1, np.pi))
    np.testing.assert_allclose(tagger.predict(swapped), tagger.predict(jets), atol=1e-5)


@every_tagger
@pytest.mark.parametrize("symmetry", ["beam", "lorentz"])
def test_jets_with_few_constituents_or_none_have_scores_that_do_not_change(name, symmetry, jets, make_jets):
    tagger = small(name, jets, symmetry=symmetry)
    few = make_jets(0, 1, 2, 0, 1, seed=1)
    scores = tagger.predict(few)
    assert np.isfinite(scores).all()
    assert np.array_equal(tagger.predict(few), scores)
    np.testing.assert_allclose(tagger.predict(few, batch_size=1), scores, atol=1e-5)
    np.testing.assert_allclose(tagger.predict(Jets.concatenate([few, jets]))[: len(few)], scores, atol=1e-5)
    for sizes in ((0,), (0, 0), ()):
        logits = tagger(tagger.representation(make_jets(*sizes)))
        assert logits.shape == (len(sizes), 2)
        logits.sum().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in tagger.parameters())


@every_tagger
def test_scalars_of_constituents_are_read(name, jets):
    columns = {**jets.columns, "score": np.random.default_rng(1).normal(size=len(jets.columns["px"]))}
    known = Jets(jets.offsets, columns, jets.fields)
    for symmetry in ("beam", "lorentz"):
        default = {"scalars": ["score"], "scale": 10.0}
        torch.manual_seed(3)
        tagger = small(name, jets)
        tagger = create_tagger(name, representation=default, symmetry=symmetry, **SMALL[name]).eval()
        batch = tagger.representation(known)
        without = replace(batch, scalars=torch.zeros_like(batch.scalars))
        assert (tagger(batch) - tagger(without)).abs().max() > 1e-5


def hide(package, monkeypatch):
    for module in [module for module in sys.modules if module.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)


@from_a_package
def test_without_the_package_the_name_stays_and_the_error_says_what_to_install(name, monkeypatch):
    hide(PACKAGES[name], monkeypatch)
    assert name in list_taggers()
    with pytest.raises(TaggerError, match=rf"tagger {name} needs the package {PACKAGES[name]}: pip install") as error:
        create_tagger(name)
    assert "\n" not in str(error.value)
    for arguments in ({}, {"blocks": 2}):
        recipe = make_recipe({"data": "data", "out": "run", "tagger": {"name": name, "arguments": arguments}})
        with pytest.raises(TaggerError, match=rf"^tagger\.name: tagger {name} needs the package"):
            tagger_of(recipe)


def test_taggers_are_listed_without_the_packages(monkeypatch, capsys):
    for package in set(PACKAGES.values()):
        hide(package, monkeypatch)
    info("taggers")
    shown = capsys.readouterr().out
    assert "particlenet" in shown
    for name, package in PACKAGES.items():
        assert f"tagger {name} needs the package {package}: pip install" in shown


@every_tagger
@pytest.mark.parametrize(
    ("setting", "value"), [("symmetry", "z"), ("blocks", 0), ("blocks", 1.5), ("dropout", 1.0), ("dropout", "a")]
)
def test_settings_must_make_sense(name, setting, value):
    with pytest.raises(TaggerError, match=setting):
        create_tagger(name, **{setting: value})


def test_boosts_to_rest_are_lorentz_transformations_to_rest():
    rng = np.random.default_rng(0)
    space = torch.from_numpy(rng.normal(size=(50, 3)) * 10)
    vectors = torch.cat([(space.square().sum(1, keepdim=True) + 0.01).sqrt(), space], dim=1)
    matrices = boost_to_rest(vectors)
    torch.testing.assert_close(matrices @ METRIC @ matrices.mT, METRIC.expand(50, 4, 4), rtol=0, atol=1e-9)
    rest = torch.tensor([0.1, 0, 0, 0], dtype=torch.float64).expand(50, 4)
    torch.testing.assert_close(transform(matrices, vectors), rest, rtol=0, atol=1e-9)
    assert torch.equal(boost_to_rest(torch.zeros(4, dtype=torch.float64)), torch.eye(4, dtype=torch.float64))


def test_the_change_to_rest_keeps_products(jets):
    tagger = small("pelican", jets)
    batch = tagger.representation(jets)
    references = reference_vectors("beam", torch.device("cpu"))
    momenta, boosted = in_rest_frames(batch, references)
    rows = exact_momenta(batch)
    jet = batch.jet_of_row()
    torch.testing.assert_close(
        torch.einsum("ia,ab,iqb->iq", momenta, METRIC, boosted[jet]), rows @ METRIC @ references.T, rtol=1e-6, atol=1e-9
    )


def test_frames_are_lorentz_transformations_even_of_single_constituents(jets, make_jets):
    tagger = small("lloca", jets, symmetry="lorentz")
    batch = tagger.representation(make_jets(1, 2, 3, 20, 1))
    momenta, _ = in_rest_frames(batch, reference_vectors("lorentz", torch.device("cpu")))
    of_jets = batch.sums(momenta)[batch.jet_of_row()]
    frames = tagger.frames(momenta, batch.scalars, of_jets, batch.offsets).detach()
    torch.testing.assert_close(frames @ METRIC @ frames.mT, METRIC.expand_as(frames), rtol=0, atol=1e-6)


@from_a_package
def test_momenta_in_double_precision_give_the_same_scores(name, jets):
    tagger = small(name, jets, representation={"dtype": "float32"})
    double = small(name, jets, representation={"dtype": "float64"})
    np.testing.assert_allclose(double.predict(jets), tagger.predict(jets), atol=1e-2)


@every_tagger
def test_a_copy_gives_the_same_scores(name, jets):
    tagger = small(name, jets)
    tagger.predict(jets)
    assert np.array_equal(copy.deepcopy(tagger).predict(jets), tagger.predict(jets))
