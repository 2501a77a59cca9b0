"""The pages that promise to run as written, run as written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytest.importorskip("pythia8mc", reason="the tutorial generates jets: needs the extra 'generate'")


def run_page(page: Path, folder: Path) -> str:
    """Run the bash and python blocks of a page in order, in one folder; return what they print.

    Python blocks share their names, as in one session that waits while the shell works.
    """
    pieces = []
    for language, code in BLOCK.findall(page.read_text()):
        if language == "bash":
            code = f"import subprocess\nsubprocess.run(['bash', '-euo', 'pipefail', '-c', {code!r}], check=True)"
        pieces.append(code)
    assert pieces, f"{page} has nothing to run"
    script = folder / f"{page.stem}.py"
    script.write_text("\n".join(pieces))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    outcome = subprocess.run(
        [sys.executable, "-u", script.name],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, f"{page.name}:\n{outcome.stdout[-1000:]}\n{outcome.stderr[-3000:]}"
    return outcome.stdout


def readme_example() -> str:
    """Return the Python examples of README.md, which follow each other in one session."""
    codes = [code for language, code in BLOCK.findall((ROOT / "README.md").read_text()) if language == "python"]
    assert len(codes) == 2
    return "".join(codes)


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("tutorial")
    return folder, run_page(ROOT / "docs" / "tutorial.md", folder)


def test_tutorial_makes_what_it_says(tutorial):
    folder, printed = tutorial
    assert "data/toptag: qcd vs top, 480 train, 60 val, 60 test" in printed
    for file in (
        "data/toptag/dataset.json",
        "data/toptag/train/part-00000.parquet",
        "data/toptag/val/part-00000.parquet",
        "data/toptag/test/part-00000.parquet",
        "runs/lundnet5/recipe.yaml",
        "runs/lundnet5/metrics.jsonl",
        "runs/lundnet5/checkpoints/last.ckpt",
        "runs/lundnet5/checkpoints/best/tagger.json",
        "runs/lundnet5/tagger.json",
        "runs/lundnet5/tagger.safetensors",
        "runs/lundnet5/metrics.json",
        "runs/lundnet5/roc.png",
        "runs/lundnet5/report.html",
        "scores.parquet",
    ):
        assert (folder / file).is_file(), file
    assert (folder / "lund.png").stat().st_size > 10_000


def test_tutorial_numbers_are_those_of_the_physics(tutorial):
    folder, printed = tutorial
    mass = {name: float(value) for name, value in re.findall(r"(qcd|top): median mass (\d+) GeV", printed)}
    assert 155 < mass["top"] < 190
    assert 20 < mass["qcd"] < 100
    metrics = json.loads((folder / "runs" / "lundnet5" / "metrics.json").read_text())
    assert metrics["num_jets"] == 60
    assert metrics["auc"] > 0.75, "even so small a training tells most top jets from QCD jets"
    again, stored = re.findall(r"^(0\.\d+|1\.0) (0\.\d+|1\.0)$", printed, re.MULTILINE)[-1]
    assert float(again) == float(stored) == metrics["auc"]


def test_tutorial_does_nothing_twice(tutorial):
    folder, _ = tutorial
    rows = (folder / "runs" / "lundnet5" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == [0, 1]


def test_readme_example_runs(tutorial):
    folder, _ = tutorial
    here = folder / "readme"
    (here / "data").mkdir(parents=True)
    (here / "runs").mkdir()
    (here / "data" / "demo").symlink_to(folder / "data" / "toptag")
    (here / "runs" / "demo").symlink_to(folder / "runs" / "lundnet5")
    outcome = subprocess.run([sys.executable, "-c", readme_example()], cwd=here, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr


def test_own_data_page_runs(tutorial):
    folder, _ = tutorial
    printed = run_page(ROOT / "docs" / "howto" / "own-data.md", folder)
    assert "data/mine: background vs signal, 320 train, 40 val, 40 test" in printed
    assert "<Dataset data/from-python: background vs signal; jets: 320 train, 40 val, 40 test>" in printed
    assert (folder / "runs" / "mine" / "tagger.safetensors").is_file()


def test_formats_page_names_every_key(tutorial):
    folder, _ = tutorial
    page = (ROOT / "docs" / "formats.md").read_text()
    for file in ("data/toptag/dataset.json", "runs/lundnet5/tagger.json", "runs/lundnet5/metrics.json"):
        for key in json.loads((folder / file).read_text()):
            assert f"`{key}`" in page, f"docs/formats.md does not say what {key} of {file} is"
    row = (folder / "runs" / "lundnet5" / "metrics.jsonl").read_text().splitlines()[0]
    for key in json.loads(row):
        assert f"`{key}`" in page, f"docs/formats.md does not say what {key} of metrics.jsonl is"
