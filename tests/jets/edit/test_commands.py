import pytest
import typer
from helpers.datasets import write_dataset
from typer.testing import CliRunner

import jetforge
from jetforge.cli import edit


@pytest.fixture
def run():
    app = typer.Typer(pretty_exceptions_enable=False, context_settings={"max_content_width": 200})
    edit.register(app)
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


def test_the_commands_do_what_their_functions_do(tmp_path, run):
    data = write_dataset(tmp_path / "data").path
    other = write_dataset(tmp_path / "other", {"train": [30]}, classes=("w", "top"), seed=2).path
    for arguments, sizes in (
        (["merge", data, other, "--part-jets", 40], "qcd vs top vs w, 160 train, 20 val, 25 test"),
        (["split", data, "--shares", "0.6,0.4,0", "--seed", 3], "qcd vs top, 105 train, 70 val"),
        (["skim", data, "pt > 0 and class == 'top' or class == 'qcd'"], "qcd vs top, 130 train, 20 val, 25 test"),
        (["reweight", data, "--bins", 3, "--limits", "400,700", "--target", "top"], "130 train, 20 val, 25 test"),
    ):
        out = tmp_path / arguments[0]
        done = run(*arguments, "--out", out, "--workers", 0)
        assert done.exit_code == 0, done.output
        assert sizes in done.output
        assert jetforge.open(out).manifest.provenance["plan"]["operation"] == arguments[0]


@pytest.mark.parametrize(
    "arguments", [["split", "data", "--shares", "a,b,c"], ["split", "data", "--shares", "1"],
                  ["reweight", "data", "--limits", "5"], ["skim", "data"], ["merge"]],
)  # fmt: skip
def test_wrong_usage_exits_with_2(run, arguments):
    assert run(*arguments, "--out", "x").exit_code == 2


@pytest.mark.parametrize("command", ["merge", "split", "skim", "reweight"])
def test_every_help_shows_an_example(run, command):
    assert f"Example: jetforge {command} data/" in run(command, "--help").output
