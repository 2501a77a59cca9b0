import pytest

from jetforge.errors import RecipeError
from jetforge.events.presets import PRESETS, get_preset


def test_every_published_sample_has_its_preset():
    lundnet = {f"lundnet-{c}-{t}" for c in ("qcd", "w", "top") for t in (200, 500, 2000)}
    transfer = {f"transfer-{c}-{t}" for c in ("qcd", "w", "top") for t in (500, 2000)}
    assert set(PRESETS) == lundnet | transfer | {"toptag-qcd", "toptag-top"}


def test_every_row_names_its_source_and_is_called_by_its_name():
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert "arXiv:" in preset.source


@pytest.mark.parametrize(("family", "radius"), [("lundnet", 1.0), ("transfer", 0.8)])
def test_the_transfer_samples_are_the_lundnet_samples_with_another_radius(family, radius):
    for jet_class in ("qcd", "w", "top"):
        preset = get_preset(f"{family}-{jet_class}-500")
        assert preset.radius == radius
        assert preset.settings == get_preset(f"lundnet-{jet_class}-500").settings
        assert "PhaseSpace:pTHatMin = 400" in preset.settings
        assert "Tune:pp = 5" in preset.settings


def test_multiparton_interactions_can_be_switched_off():
    preset = get_preset("lundnet-qcd-500:no-mpi")
    assert preset.settings[-1] == "PartonLevel:MPI = off"
    assert preset.name == "lundnet-qcd-500:no-mpi"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lundnet-tpo-500", "did you mean lundnet-top-500"),
        ("zzz", "there is no preset 'zzz'"),
        ("toptag-top:nompi", "the only variant is ':no-mpi'"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(name, message):
    with pytest.raises(RecipeError, match=message):
        get_preset(name)
