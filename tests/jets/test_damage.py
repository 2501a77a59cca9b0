"""Damaged files of every format give the same jets or one clear error: never a crash, a hang or fewer jets.

Most containers have no checksum over the numbers in them: a bit that flips within a number stays unnoticed there,
unless the checksum of the file itself lies beside it; with it, each of these is refused too.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.damage import VARIANTS, Trial

# gzip and zip archives have checksums over all that is in them; a line of text has none.
CHECKED = {("energyflow", "compressed"), ("lundnet", "json.gz"), ("hepmc", "HepMC2, gzip")}
FEW, MANY = 24, 500

variants = pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: f"{v.format}-{v.name}".replace(" ", ""))


def assert_safe(trial, seeds):
    for seed in seeds:
        found, what = trial.outcome(seed)
        assert found != "worse", f"{trial.variant.format}: {what}"
        assert found != "altered" or (trial.variant.format, trial.variant.name) not in CHECKED, what
    assert trial.outcomes["refused"] > len(seeds) // 10, trial.outcomes


@variants
def test_damaged_files_are_refused_or_read_as_if_whole(variant, tmp_path):
    for module in filter(None, [variant.needs]):
        pytest.importorskip(module)
    assert_safe(Trial(variant, tmp_path), range(FEW))


@pytest.mark.slow
@variants
def test_damaged_files_are_refused_or_read_as_if_whole_at_many_places(variant, tmp_path):
    for module in filter(None, [variant.needs]):
        pytest.importorskip(module)
    assert_safe(Trial(variant, tmp_path), range(MANY))


@pytest.mark.parametrize("format", ["atlas", "lundnet", "columns"])
def test_the_command_says_one_line_and_exits_with_1(format, tmp_path):  # noqa: A002
    variant = next(v for v in VARIANTS if v.format == format)
    trial = Trial(variant, tmp_path)
    seed = next(seed for seed in range(100) if trial.outcome(seed)[0] == "refused")
    trial.outcome(seed)
    path = next(tmp_path.glob("damaged-*"))
    file = f"{variant.class_name}={path}" if variant.class_name else path
    command = [
        Path(sys.executable).with_name("jetforge"),
        "convert",
        file,
        "--out",
        tmp_path / "again",
        "--split",
        "train",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith(f"jetforge: {path}: ")
    assert not (tmp_path / "again" / "dataset.json").exists()
