"""Public data sets through the command line: listed, shown, fetched from a server on this machine, and converted."""

import hashlib
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("tables", reason="pandas writes HDF5 with PyTables: pip install 'jetforge[dev]'")

from helpers.file_server import file_server, other, stalled, status, truncated
from helpers.written.toptag import write

from jetforge.cli.main import main

JETFORGE = Path(sys.executable).with_name("jetforge")
MIRROR = """\
mirror:
  title: Jets of our group
  format: toptag
  licence: CC0-1.0
  citation: Our group, arXiv:2601.00001
  page: https://example.org/mirror
  url: {url}/{{name}}
  files:
    - {{name: train.h5, size: {size}, checksum: "md5:{md5}", group: train}}
    - {{name: test.h5, group: test}}
empty:
  title: Jets behind a form
  format: columns
  citation: nobody
  page: https://example.org/form
"""


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    written = [write(tmp_path_factory.mktemp("written"), 60, seed).path.read_bytes() for seed in (1, 2)]
    return dict(zip(("/train.h5", "/test.h5"), written, strict=True))


@pytest.fixture
def server(contents, tmp_path):
    with file_server() as running:
        running.files.update(contents)
        train = contents["/train.h5"]
        facts = {"size": len(train), "md5": hashlib.md5(train).hexdigest()}
        (tmp_path / "mirror.yaml").write_text(MIRROR.format(url=running.url, **facts))
        yield running


@pytest.fixture(autouse=True)
def place(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables = {"JETFORGE_CATALOGUE": "mirror.yaml", "NO_PROXY": "*", "COLUMNS": "200"}
    # The command sets these where they are not set: they go back to what they were.
    variables.update(PYTHONWARNINGS="default", OMP_WAIT_POLICY="PASSIVE")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def jetforge(monkeypatch, capsys):
    """Give the command line without a new process: its exit code, and what it prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["jetforge", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_listed_and_shown(jetforge):
    code, out, error = jetforge("datasets")
    assert (code, error) == (0, "")
    for words in (["toptag", "1.7 GB", "CC-BY-4.0"], ["jetclass2", "MIT"], ["mirror", "Jets of our group", "CC0-1.0"]):
        assert any(all(word in line for word in words) for line in out.splitlines()), words
    code, out, error = jetforge("datasets", "show", "mirror")
    assert (code, error) == (0, "")
    for word in ("arXiv:2601.00001", "https://example.org/mirror", "md5:", "none published", "jetforge convert"):
        assert word in out
    for name in ("jetclass", "jetclass2", "lundnet", "ml4sci-parquet"):
        code, out, error = jetforge("datasets", "show", name)
        assert (code, error) == (0, "")
        assert out.startswith(f"{name}: ")


def test_fetched_once_and_converted(server, jetforge, tmp_path):
    server.answers["/train.h5"] = [status(503), truncated(500)]
    done = subprocess.run([JETFORGE, "datasets", "fetch", "mirror"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no progress bar where there is no terminal"
    assert "1 by the published checksums" in done.stdout
    assert "1 without published checksums" in done.stdout
    folder = tmp_path / "data/public/mirror"
    expected = ["test.h5", "test.h5.sha256", "train.h5", "train.h5.sha256"]
    assert sorted(path.name for path in folder.iterdir()) == expected
    for path in folder.glob("*.h5"):
        noted = path.with_name(f"{path.name}.sha256").read_text()
        assert noted == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"

    asked = len(server.asked)
    code, out, _ = jetforge("datasets", "fetch", "mirror")
    assert code == 0
    assert "0 new, 2 were there" in out
    assert len(server.asked) == asked

    command = next(line for line in out.splitlines() if line.startswith("convert ")).split(maxsplit=2)[2]
    code, out, error = jetforge(*shlex.split(command), "--workers", 0)
    assert code == 0, error
    assert "120 train" in out


def test_a_stopped_download_goes_on(server, jetforge, contents, tmp_path):
    server.answers["/train.h5"] = [stalled(5000)]
    command = ["datasets", "fetch", "mirror", "--files", "train*", "--into", "here"]
    process = subprocess.Popen(
        [JETFORGE, *command], stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    part = tmp_path / "here/train.h5.part"
    end = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size == 5000):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert len(error.strip().splitlines()) == 1, error
    assert "run the same command again" in error
    assert part.read_bytes() == contents["/train.h5"][:5000]
    assert jetforge(*command)[0] == 0
    assert server.ranges("/train.h5") == ["", "bytes=5000-"]
    assert (tmp_path / "here/train.h5").read_bytes() == contents["/train.h5"]
    assert not (tmp_path / "here/test.h5").exists()


def test_mistakes_are_one_line(server, jetforge, contents, tmp_path):
    def assert_one_line(arguments, *words):
        code, _, error = jetforge("datasets", *arguments)
        assert code == 1
        assert len(error.strip().splitlines()) == 1, error
        assert all(str(word) in error for word in words), error

    assert_one_line(["show", "miror"], "'miror'", "did you mean 'mirror'")
    assert_one_line(["fetch", "empty"], "https://example.org/form")
    fetch = ["fetch", "mirror", "--files"]
    assert_one_line([*fetch, "vla"], "'vla'", "train.h5", "groups are train, test")
    server.answers["/train.h5"] = [other(bytes(len(contents["/train.h5"])))]
    assert_one_line([*fetch, "train"], "md5", "train.h5.damaged")
    assert not (tmp_path / "data/public/mirror/train.h5").exists()
    server.answers["/test.h5"] = [stalled(0)]
    stall = [*fetch, "test", "--timeout", 0.3, "--tries", 1]
    assert_one_line(stall, "/test.h5: the server stalls", "run the same command again")
    (tmp_path / "mirror.yaml").write_text("mirror:\n  titel: x\n")
    assert_one_line([], "mirror.yaml:1: mirror.title: is missing")


@pytest.mark.parametrize("arguments", [["get", "toptag"], ["show"], ["fetch"], ["list", "toptag"], ["--into", "x"]])
def test_wrong_usage_exits_with_2(jetforge, arguments):
    assert jetforge("datasets", *arguments)[0] == 2
